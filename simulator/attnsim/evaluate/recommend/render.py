"""Recommendations as plain aligned text; it is also what their `repr` shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from attnsim.evaluate.render import digits3, percent, table, whole
from attnsim.units import format_quantity

if TYPE_CHECKING:
    from attnsim.evaluate.recommend.answer import Recommendation, Recommendations


def render(found: Recommendations) -> str:
    """Header, one row a result, the command that runs the best one. Three significant digits, no trailing newline."""
    base = found.baseline
    causal = ", ".join(str(axis) for axis, flag in enumerate(found.causal) if flag)
    windows = f"{whole(found.windows)} window{'' if found.windows == 1 else 's'}"
    head = [
        ("tokens", by_axis(found.shape) + (f", causal along axis {causal}" if causal else "")),
        ("schedule", f"{base.schedule}, {found.tiles} tile shape{'' if found.tiles == 1 else 's'}"),
        (
            "baseline",
            f"dense attention in {base.schedule}, tiles {_tiles(base.q_tile, base.kv_tile)}: {format_quantity(base.latency_s, 's')}",
        ),
        (
            "searched",
            f"{windows}, {whole(found.considered)} combinations with strides and tiles; {whole(found.evaluated)} timed",
        ),
    ]
    lines = [f"{found.workload_name} on {found.arch_name}", *(f"  {name:9s}  {text}" for name, text in head), ""]
    lines += _rows(found.results).split("\n")
    notes = list(found.notes)
    if any(one.missed for one in found.results):
        notes.append("missed: no tile needs a mask, but the kernel's test does not see it and masks every tile")
    lines += ["", *(f"note  {text}" for text in notes), *([""] if notes else []), "the first row:", f"  {found.command}"]
    return "\n".join(line.rstrip() for line in lines)


def _rows(results: Sequence[Recommendation]) -> str:
    dilated = any(side > 1 for one in results for side in one.dilation)
    model = any(one.end_to_end is not None for one in results)
    header = ["window", "stride", *(["dilation"] if dilated else []), "tile q / kv", "attended", "by FLOPs", "block sparse", "latency"]
    header += ["operation", *(["end to end"] if model else [])]
    rows = []
    for one in results:
        row = [by_axis(one.window), by_axis(one.stride), *([by_axis(one.dilation)] if dilated else []), _tiles(one.q_tile, one.kv_tile)]
        row += [percent(one.density), f"{digits3(one.flop_speedup)} x", _sparse(one), format_quantity(one.latency_s, "s")]
        row.append(f"{digits3(one.op_speedup)} x")
        if one.end_to_end is not None:
            row.append(f"{one.end_to_end:.3f} x")
        rows.append(row)
    last = len(header)
    return table(header, rows, right=[*range(header.index("attended"), last)])


def _sparse(one: Recommendation) -> str:
    return "missed" if one.missed else "yes" if one.block_sparse else "no"


def by_axis(shape: Sequence[int]) -> str:
    """Such as 18x24x24."""
    return "x".join(map(str, shape))


def _tiles(q_tile: Sequence[int], kv_tile: Sequence[int]) -> str:
    return f"{by_axis(q_tile)} / {by_axis(kv_tile)}"
