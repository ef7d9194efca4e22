"""How columns of answers are called and their values written where people read them."""

from __future__ import annotations

from typing import Any

from attnsim.evaluate.render import digits3, whole
from attnsim.units import format_quantity

# Endings of a name that say its unit; the longer one first where one ends in another.
_ENDINGS = (("bytes_per_s", "B/s"), ("flops_per_s", "FLOP/s"), ("bytes", "B"), ("flops", "FLOP"), ("hz", "Hz"), ("s", "s"), ("j", "J"),
            ("w", "W"), ("m2", "m^2"))  # fmt: skip
# Names that are no unit behind words.
_LABELS = {
    "usd_per_mtok": "USD/Mtok",
    "usd_per_hour": "USD/h",
    "tokens_per_s": "tokens/s",
    "tokens_per_s_per_gpu": "tokens/s a device",
    "energy_j_per_token": "energy a token",
    "tpot_s": "TPOT",
    "ttft_s": "TTFT",
    "flops": "FLOPs",
    "flops_by_unit": "FLOPs",
    "bytes": "bytes",
    "gpus": "devices",
    "flops_per_s": "achieved",
    "speedup_upper_bound": "speedup <=",
    "time_by_resource_s": "time",
    "lower_bound_by_resource_s": "lower bound",
}
_UNITS = {"energy_j_per_token": "J", "tokens_per_s": "", "tokens_per_s_per_gpu": "", "flops_by_unit": "FLOP", "bytes_by_tensor": "B"}


def unit(name: str) -> str:
    """The unit of a column, one that `format_quantity` knows; empty where it has none."""
    for part in reversed(name.split(".")):
        if part in _UNITS:
            return _UNITS[part]
        for ending, found in _ENDINGS:
            if part == ending and len(ending) > 2 or part.endswith(f"_{ending}"):
                return "" if part.endswith(f"_per_{ending}") and "_per_" not in ending else found
    return ""


def label(name: str) -> str:
    """A column in words, without the unit that stands beside its values: latency, USD/Mtok, time tensor. Fields keep their name."""
    parts = name.split(".")
    if parts[0] == "cost":
        parts = parts[1:]
    return " ".join(_words(part) for part in parts) if unit(name) or parts[-1] in _LABELS else name


def _words(part: str) -> str:
    if part in _LABELS:
        return _LABELS[part]
    for ending, _ in _ENDINGS:
        if part.endswith(f"_{ending}"):
            return part.removesuffix(f"_{ending}").replace("_", " ")
    return part.replace("_", " ")


def shown(name: str, value: Any) -> str:
    """A value of a column with its unit, three digits; counts whole; nothing where it is missing."""
    if value is None or value != value:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if "usd" in name:
        return f"{value:.4g}"
    if unit(name):
        return format_quantity(float(value), unit(name))
    return whole(value) if isinstance(value, int) else digits3(float(value))
