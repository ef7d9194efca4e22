"""The right panel of a roofline figure: the time each resource is busy, stacked, a bar a kernel, and the bound named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attnsim.report.drawing.canvas import fitted, plain, wrapped
from attnsim.report.drawing.style import INK
from attnsim.report.roofline.charts import Chart, Kernel, resource_label
from attnsim.report.roofline.ratepanel import color_of, ratio_text
from attnsim.units import format_quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Fills of the resources: Okabe and Ito's palette with yellow and grey for black, each with a hatch of its own.
FILLS = ("#56B4E9", "#D55E00", "#F0E442", "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#BBBBBB")
HATCHES = ("", "////", "..", "\\\\\\\\", "xxxx", "----", "||||", "++++")
PITCH, BAR, NAME, LINE = 0.62, 0.26, 0.21, 0.14
"""Inches: from bar to bar, the height of a bar, of the line above it, and of a line of times below it."""
DETAILED, DETAIL = 8, 2
"""Up to so many bars have their times written below them, in so many lines."""
TICKS = 7.5
"""The most steps that the axis of shares is divided into."""
ROOM = 0.10
"""Share of the width that is left free on the right of the longest bar."""


@dataclass(frozen=True, slots=True)
class Fill:
    """How the time of one resource is drawn."""

    color: str
    hatch: str


def fills_of(charts: Sequence[Chart]) -> dict[str, Fill]:
    """A fill for every resource of the figure; no two of the first 64 have both the colour and the hatch of another."""
    names = dict.fromkeys(name for chart in charts for kernel in chart.kernels for name, _ in kernel.time_by_resource_s)
    count = len(FILLS)
    return {name: Fill(FILLS[index % count], HATCHES[(index + index // count) % count]) for index, name in enumerate(names)}


def barred(chart: Chart) -> list[tuple[int, Kernel]]:
    """Kernels that have a bar, with their place in the chart."""
    return [(index, kernel) for index, kernel in enumerate(chart.kernels) if kernel.time_by_resource_s]


def panel_height(chart: Chart) -> float:
    """Inches of the panel without its axis."""
    return _pitch(chart) * len(barred(chart)) + 0.12


def _pitch(chart: Chart) -> float:
    return PITCH + (DETAIL * LINE + 0.06 if len(barred(chart)) <= DETAILED else 0.0)


def draw_panel(axes: Axes, chart: Chart, fills: Mapping[str, Fill]) -> None:
    """Draw the bars. Times are shares of the predicted latency; a stack longer than that says how much of it overlaps."""
    bars = barred(chart)
    edge = axes.get_window_extent()
    dpi = axes.figure.dpi
    wide, high = edge.width / dpi, edge.height / dpi
    reach = max([1.0, *(max(_stack(kernel), 1 / (kernel.ratio or 1.0)) for _, kernel in bars)]) / (1 - ROOM)
    axes.set_xlim(0, reach)
    axes.set_ylim(high, 0)
    for row, (index, kernel) in enumerate(bars):
        top = row * _pitch(chart) + 0.06
        _draw_title(axes, chart, index, top + NAME / 2, wide)
        _draw_bar(axes, kernel, fills, top + NAME + BAR / 2, wide / reach)
        axes.plot([1.0, 1.0], [top + NAME - 0.03, top + NAME + BAR + 0.03], color="black", linewidth=1.0, linestyle=(0, (1, 1)), zorder=3.5)
        if kernel.ratio is not None:
            said = f"{format_quantity(kernel.latency_s / kernel.ratio, 's')} {ratio_text(kernel.ratio)}"
            _draw_measured(axes, kernel.ratio, said, top + NAME + BAR + 0.07, color_of(index))
        if len(bars) <= DETAILED:
            _draw_times(axes, chart, kernel, top + NAME + BAR + (0.2 if kernel.ratio is not None else 0.11), wide)
    axes.set_yticks([])
    steps = (0.25, 0.5, *(digit * 10**power for power in range(9) for digit in (1, 2, 5)))
    step = next(step for step in steps if reach / step <= TICKS)
    ticks = [step * place for place in range(int(0.98 * reach / step) + 1)]
    axes.set_xticks(ticks, [f"{round(tick * 100)} %" if tick else "0" for tick in ticks])
    axes.set_xlabel("busy time by resource, share of the predicted latency (beyond 100 %: overlapped)", fontsize=7.5)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _figure(axes: Axes) -> Any:
    return axes.figure


def _stack(kernel: Kernel) -> float:
    return sum(seconds for _, seconds in kernel.time_by_resource_s) / kernel.latency_s


def _draw_title(axes: Axes, chart: Chart, index: int, y: float, wide: float) -> None:
    figure, kernel = _figure(axes), chart.kernels[index]
    busy = dict(kernel.time_by_resource_s).get(kernel.bound)
    share = f" {round(busy / kernel.latency_s * 100)} %" if busy else ""
    said = f"{format_quantity(kernel.latency_s, 's')}, bound by {plain(resource_label(chart, kernel.bound))}{share}"
    said = fitted(figure, said, 0.6 * wide)
    right = axes.text(axes.get_xlim()[1], y, said, ha="right", va="center", color=INK, parse_math=False)
    left = wide - right.get_window_extent().width / figure.dpi - 0.15
    name = fitted(figure, f"{index + 1}  {kernel.label or kernel.name}", left, fontweight="bold")
    axes.text(0.0, y, name, va="center", color=color_of(index), fontweight="bold", parse_math=False)


def _draw_bar(axes: Axes, kernel: Kernel, fills: Mapping[str, Fill], y: float, inches: float) -> None:
    """Segments in the order of the legend; the value in those that have room. inches: of a bar as long as the latency."""
    start = 0.0
    order = {name: place for place, name in enumerate(fills)}
    for name, seconds in sorted(kernel.time_by_resource_s, key=lambda item: order[item[0]]):
        share, fill, bound = seconds / kernel.latency_s, fills[name], name == kernel.bound
        axes.barh(
                y, share, BAR, start, color=fill.color, hatch=fill.hatch or None, edgecolor="white", linewidth=0.5, zorder=2
            )  # fmt: skip
        if bound:
            axes.barh(y, share, BAR, start, fill=False, edgecolor="black", linewidth=1.8, zorder=3)
        text = axes.text(
            start + share / 2, y, format_quantity(seconds, "s"), ha="center", va="center", fontsize=7, color=INK, zorder=4,
            fontweight="bold" if bound else "normal", parse_math=False,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0, "alpha": 0.9},
        )  # fmt: skip
        if text.get_window_extent().width / axes.figure.dpi + 0.12 > share * inches:
            text.remove()
        start += share


def _draw_times(axes: Axes, chart: Chart, kernel: Kernel, y: float, wide: float) -> None:
    """The times in words, the longest first."""
    times = sorted(kernel.time_by_resource_s, key=lambda item: -item[1])
    said = [f"{resource_label(chart, name)} {format_quantity(seconds, 's')}" for name, seconds in times]
    text = [*(f"{one}," for one in said[:-1]), said[-1]]
    for row, line in enumerate(wrapped(_figure(axes), text, wide, DETAIL, fontsize=7)):
        axes.text(0.0, y + row * LINE, line, va="center", fontsize=7, color="#555555", parse_math=False)


def _draw_measured(axes: Axes, ratio: float, said: str, y: float, color: str) -> None:
    """A hollow diamond at the measured time, joined to the predicted one, and the ratio."""
    measured = 1 / ratio
    axes.plot([1.0, measured], [y, y], color=color, linewidth=1.1, zorder=4)
    axes.plot([1.0], [y], marker="|", markersize=6, color=color, zorder=4)
    axes.plot([measured], [y], marker="D", markersize=4.5, markerfacecolor="white", markeredgecolor=color, markeredgewidth=1.1, zorder=5)
    text = axes.annotate(
        said, (measured, y), (0, 0), textcoords="offset points", va="center", fontsize=7, color=color, fontweight="bold", zorder=4.5,
        parse_math=False, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
    )  # fmt: skip
    # Behind the diamond, away from the predicted time, unless the panel ends there.
    edge = axes.get_window_extent()
    place, room = axes.transData.transform((measured, y))[0], text.get_window_extent().width + 14 * axes.figure.dpi / 72
    right = place + room <= edge.x1 if measured >= 1 else place - room < edge.x0
    text.set_position((7 if right else -7, 0))
    text.set_horizontalalignment("left" if right else "right")
