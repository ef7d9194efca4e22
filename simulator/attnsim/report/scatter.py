"""Draws measured against predicted times, log-log: a colour and a marker a kernel, hollow where a constant was fitted on the row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

from attnsim.report.drawing.page import PANEL_WIDTH, Page, text_width
from attnsim.report.export import write_files
from attnsim.report.roofline.figure import COLORS, FAINT, INK, check_ending, figure_bytes
from attnsim.units import format_quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Eight markers and seven colours: 56 kernels before a pair returns.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
BAND = 0.1
"""Share of the measured time within which a prediction lies in the grey band."""
LEGEND_SIZE, LEGEND_LINES, GAP = 7.5, 15, 0.15
"""Points; entries of a column beside the panel; inches between the two."""


@dataclass(frozen=True, slots=True)
class Dot:
    """One row: its kernel, measured and predicted seconds, and whether a constant was fitted on it."""

    kernel: str
    measured_s: float
    predicted_s: float
    fitted: bool


def save(dots: Sequence[Dot], path: Path, texts: tuple[str, str, str]) -> None:
    """Write the figure (SVG, PDF or PNG by the path's ending). texts: title, subtitle, footer. Raises UsageError."""
    check_ending(path)
    write_files({path: figure_bytes(lambda: draw(dots, texts), path.suffix.lower().removeprefix("."))})


def inline_svg(dots: Sequence[Dot], texts: tuple[str, str, str]) -> str:
    """The figure as an `<svg>` element to stand inside a page."""
    text = figure_bytes(lambda: draw(dots, texts), "svg").decode("utf-8")
    return text[text.index("<svg") :]


def draw(dots: Sequence[Dot], texts: tuple[str, str, str]) -> Figure:
    """The figure: one panel and its legend beside it."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    kernels = sorted({dot.kernel for dot in dots})
    style = {kernel: (COLORS[i % len(COLORS)], MARKERS[i % len(MARKERS)]) for i, kernel in enumerate(kernels)}
    handles: list[Line2D | Patch] = []

    def mark(color: str, marker: str, hollow: bool, label: str) -> None:
        face = "none" if hollow else color
        handles.append(Line2D([], [], color=color, marker=marker, markersize=5, linestyle="none", markerfacecolor=face, label=label))

    for kernel in kernels:
        own = [dot.fitted for dot in dots if dot.kernel == kernel]
        mark(*style[kernel], all(own), f"{kernel}: {len(own)}{f', {sum(own)} fitted' if any(own) else ''}")
    if any(dot.fitted for dot in dots):
        mark(FAINT, "o", True, "hollow: fitted")
    handles.append(Patch(facecolor="#DDDDDD", label=f"within {BAND * 100:.0f} %"))
    columns = ceil(len(handles) / LEGEND_LINES)
    widest = text_width([str(handle.get_label()) for handle in handles], LEGEND_SIZE)
    page = Page((1, 1), GAP + columns * (widest + 0.5), texts, [])
    panel = page.panel(0)
    _panel(panel, dots, style)
    panel.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(1 + GAP / PANEL_WIDTH, 1), ncols=columns, frameon=False, fontsize=LEGEND_SIZE,
        borderpad=0, borderaxespad=0, columnspacing=1.2, handlelength=1.6, labelspacing=0.4,
    )  # fmt: skip
    return page.figure


def _panel(axes: Axes, dots: Sequence[Dot], style: dict[str, tuple[str, str]]) -> None:
    from matplotlib.ticker import FuncFormatter

    every = [seconds for dot in dots for seconds in (dot.measured_s, dot.predicted_s)] or [1e-6, 1e-3]
    low, high = min(every) / 1.6, max(every) * 1.6
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _position: format_quantity(value, "s", digits=1)))
    axes.minorticks_off()
    axes.set_xlabel("measured")
    axes.set_ylabel("predicted")
    axes.grid(True, which="major", color="#E6E6E6", linewidth=0.6)
    axes.set_axisbelow(True)
    ends = [low, high]
    axes.fill_between(ends, [x * (1 - BAND) for x in ends], [x * (1 + BAND) for x in ends], color="#DDDDDD", linewidth=0, zorder=1)
    axes.plot(ends, ends, color=INK, linewidth=0.8, zorder=2)
    for kernel, (color, marker) in style.items():
        for fitted in (False, True):
            own = [dot for dot in dots if dot.kernel == kernel and dot.fitted is fitted]
            axes.plot(
                [dot.measured_s for dot in own], [dot.predicted_s for dot in own], marker, color=color, markersize=4,
                markerfacecolor="none" if fitted else color, markeredgewidth=0.8, linestyle="none", zorder=3,
            )  # fmt: skip
