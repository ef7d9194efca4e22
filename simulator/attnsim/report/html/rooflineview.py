"""Rooflines as plain data for the page: what `attnsim roofline` draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attnsim.errors import UsageError
from attnsim.evaluate.estimate import Report
from attnsim.report.html.parts import Part
from attnsim.report.roofline import charts, level_label


def roofline_views(reports: Sequence[Report], measured: Sequence[Any] = ()) -> tuple[list[Part], list[str]]:
    """A chart a machine, in the order they first appear, and why reports have none. measured: timings for `charts`, where it takes some."""
    shown, refused = [], []
    for report in reports:
        try:
            charts([report])
        except UsageError as error:
            refused.append(str(error))
            continue
        shown.append(report)
    more = (measured,) if measured else ()
    return [_chart(chart) for chart in charts(shown, *more)], list(dict.fromkeys(refused))


def _chart(chart: Any) -> Part:
    """A chart as plain data; power-limited roofs and measured rates where charts have them."""
    xs = [*(chart.ridge(line) for line in chart.diagonals), *(x for kernel in chart.kernels for _, x in kernel.points())] or [1.0]
    return {
        "arch": chart.arch,
        "title": chart.title,
        "roofs": [{"name": roof.name, "flops_per_s": roof.flops_per_s} for roof in chart.roofs],
        "power": [
            {"name": roof.name, "curve": [list(point) for point in chart.curve(roof, min(xs) / 10, max(xs) * 10)]}
            for roof in getattr(chart, "power", ())
        ],
        "diagonals": [
            {"name": line.name, "bytes_per_s": line.bytes_per_s, "used": line.used, "ridge": chart.ridge(line)} for line in chart.diagonals
        ],
        "kernels": [_kernel(kernel) for kernel in chart.kernels],
        "inputs": list(chart.inputs),
    }


def _kernel(kernel: Any) -> Part:
    measured = getattr(kernel, "measured_flops_per_s", None)
    return {
        "name": kernel.name,
        "schedule": kernel.schedule,
        "dtype": kernel.dtype,
        "flops": kernel.flops,
        "flops_per_s": kernel.flops_per_s,
        "latency_s": kernel.latency_s,
        "lower_bound_s": kernel.lower_bound_s,
        "bound": kernel.bound,
        "points": [{"level": level_label(level), "intensity": intensity} for level, intensity in kernel.points()],
        "measured": None if measured is None else {"flops_per_s": measured, "ratio": measured / kernel.flops_per_s},
    }
