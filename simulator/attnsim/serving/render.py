"""What the terminal shows of a model's answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attnsim.evaluate.render import digits3, table
from attnsim.serving.answer import ModelEstimate
from attnsim.units import format_quantity

_UNITS = {"bytes_per_s": "B/s", "bytes": "B", "flops": "FLOP", "seconds": "s", "s": "s", "w": "W", "j": "J"}


def model_lines(estimate: ModelEstimate) -> list[str]:
    """Question, headline figures, parts, memory, conditions."""
    devices = f"{estimate.gpus} device{'' if estimate.gpus == 1 else 's'}"
    lines = [
        f"  model      {estimate.model}, {estimate.phase}, {estimate.context} tokens of context, batch {estimate.batch}, {estimate.dtype}",
        f"  deployment {estimate.schedule}, {devices}",
        "",
        *table(["", "", ""], _facts(estimate), right=(1,)).split("\n")[1:],
        "",
        *_parts(estimate.parts),
    ]
    for title, values in (("memory of a device", estimate.memory_bytes), ("conditions", estimate.conditions)):
        if values:
            rows = [[_label(name), _shown(name if title == "conditions" else "bytes", value)] for name, value in values.items()]
            lines += ["", *table([title, ""], rows, right=(1,)).split("\n")]
    return lines


def _facts(estimate: ModelEstimate) -> list[list[str]]:
    rows = []
    if estimate.cost is not None:
        rows.append(["cost", f"{estimate.cost['usd_per_mtok']:.4g} USD", f"for a million tokens, prices {estimate.cost['prices']}"])
    if estimate.ttft_s is not None:
        rows.append(["TTFT", format_quantity(estimate.ttft_s, "s"), "to the first token"])
    if estimate.tpot_s is not None:
        rows.append(["TPOT", format_quantity(estimate.tpot_s, "s"), f"a token of each request; bound by {estimate.bound}"])
    rows += [
        ["throughput", digits3(estimate.tokens_per_s), f"tokens a second, {digits3(estimate.tokens_per_s_per_gpu)} a device"],
        ["lower bound", format_quantity(estimate.lower_bound_s, "s"), "peak rates, compulsory traffic, perfectly overlapped"],
    ]
    if estimate.energy_j_per_token is not None:
        rows.append(["energy", format_quantity(estimate.energy_j_per_token, "J"), "a token"])
    return rows


def _parts(parts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    names = list(dict.fromkeys(name for values in parts.values() for name in values))
    rows = [[part, *(_shown(name, values[name]) if name in values else "" for name in names)] for part, values in parts.items()]
    header = ["part", *map(_label, names)]
    return table(header, rows, right=tuple(range(1, len(header)))).split("\n")


def _unit(name: str) -> tuple[str, str]:
    """(ending, unit) of a name that ends in its unit; two empty words for any other."""
    return next(((ending, unit) for ending, unit in _UNITS.items() if name == ending or name.endswith(f"_{ending}")), ("", ""))


def _label(name: str) -> str:
    """The name without its unit, which stands beside the value."""
    ending, _ = _unit(name)
    return name.removesuffix(f"_{ending}").replace("_", " ")


def _shown(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    _, unit = _unit(name)
    return format_quantity(value, unit) if unit else digits3(value)
