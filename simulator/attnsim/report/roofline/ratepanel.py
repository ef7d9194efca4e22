"""The left panel of a roofline figure: log-log, roofs, diagonals and ridges, every kernel once per level, predicted and measured."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from attnsim.evaluate.render import digits3
from attnsim.report.drawing.canvas import Canvas
from attnsim.report.drawing.placing import Point, Shape
from attnsim.report.drawing.style import COLORS, FAINT, INK, LINES
from attnsim.report.roofline.charts import Chart, Diagonal, Kernel, limits
from attnsim.units import format_quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Marker and its size in points: the outer levels are larger, so that points that fall together all stay visible.
MARKERS = {
    "hbm": ("o", 9.5), "dram": ("o", 9.5), "l3": ("D", 7.0), "llc": ("D", 7.0), "l2": ("s", 7.0), "buffer": ("s", 7.0), "l1": ("^", 6.0),
    "smem": ("^", 6.0),
}  # fmt: skip
OTHER_MARKER = ("v", 6.0)
RING = 4.5
"""Points by which a measured marker is larger than the predicted one: where the two agree, a ring lies around the dot."""
ARROW = 3.0
"""Points from dot to ring from which on an arrow has room."""
GROUP = 1.1
"""Ceilings within this factor share a line."""
NEAR = 2.0
"""A ceiling is drawn for kernels whose flat and sloped roofs are no farther below it than this factor: elsewhere it limits nothing."""
CEILINGS = 3
"""Lines of ceilings in a picture; the others are listed."""
Label: TypeAlias = tuple[Sequence[Shape], str, Sequence[float]]
"""Pieces of the line it names, its text, and where along them it is tried."""
CEILING: dict[str, Any] = {"color": "#666666", "linewidth": 0.9, "linestyle": (0, (4, 2, 1, 2))}
LIMIT: dict[str, Any] = {"color": INK, "linewidth": 1.2, "linestyle": (0, (5, 3))}
SUPERSCRIPT = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
FLAT = (0.97, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
SLOPED = (0.5, 0.6, 0.4, 0.7, 0.3, 0.8, 0.2, 0.9, 0.1)


def color_of(index: int) -> str:
    """Colour of a kernel by its place in the chart."""
    return COLORS[index % len(COLORS)]


def line_of(index: int) -> Any:
    """Line style of a kernel: with the colour, unlike that of any other of the first 28."""
    return LINES[index % len(LINES)]


def ratio_text(ratio: float) -> str:
    """A measured rate over the predicted one, as ×0.93."""
    return f"×{ratio:.2f}" if 0.095 <= ratio < 10 else f"×{digits3(ratio)}"


def names_of(indices: Iterable[int]) -> str:
    """Kernels by their numbers: 1, 2."""
    return ", ".join(str(index + 1) for index in indices)


def draw_panel(axes: Axes, chart: Chart) -> list[str]:
    """Draw the panel; what found no room for its label, or no line, as texts for below the figure."""
    from matplotlib.ticker import FuncFormatter

    (low_x, high_x), (low_y, high_y) = limits(chart)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(low_x, high_x)
    axes.set_ylim(low_y, high_y)
    axes.set_xlabel("arithmetic intensity, FLOP/B")
    axes.set_ylabel("achieved rate")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _position: _power(value)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _position: format_quantity(value, "FLOP/s", digits=1)))
    axes.grid(True, which="major", color="#E6E6E6", linewidth=0.6)
    axes.minorticks_off()
    axes.set_axisbelow(True)
    canvas = Canvas(axes)
    lines = _draw_lines(axes, canvas, chart, (low_x, high_x), (low_y, high_y))
    labels, left_out = _draw_ceilings(axes, canvas, chart, low_x, high_x, high_y)
    for index, kernel in enumerate(chart.kernels):
        _draw_points(axes, canvas, index, kernel)
    # Names of lines first: tags of kernels can stand farther away.
    for pieces, text, steps in [*lines, *labels]:
        canvas.along(pieces, text, steps)
    for index, kernel in enumerate(chart.kernels):
        if kernel.points():
            _tag(canvas, index, kernel)
    for diagonal in chart.diagonals:
        if diagonal.used:
            x = chart.ridge(diagonal)
            foot, top = canvas.pixel((x, low_y)), canvas.pixel((x, chart.top.flops_per_s))
            canvas.upright((foot, top), f"ridge {diagonal.name}  {digits3(x)} FLOP/B", "#666666")
    pointless = [index for index, kernel in enumerate(chart.kernels) if not kernel.points()]
    notes = [f"without matmul FLOPs, so without a point: {names_of(pointless)}"] if pointless else []
    return [*notes, *left_out, *([f"no room for the labels: {'; '.join(canvas.homeless)}"] if canvas.homeless else [])]


def _draw_lines(axes: Axes, canvas: Canvas, chart: Chart, x_range: tuple[float, float], y_range: tuple[float, float]) -> list[Label]:
    """Roofs, diagonals, ridges and power limits; their labels, to be placed after the points."""
    (low_x, high_x), (low_y, _) = x_range, y_range
    labels: list[Label] = []
    for diagonal in chart.diagonals:
        start, end = _ends(diagonal, chart, low_x, low_y)
        axes.plot(*zip(start, end, strict=True), color=INK if diagonal.used else FAINT, linewidth=1.2 if diagonal.used else 0.8)
        label = f"{diagonal.name}  {format_quantity(diagonal.bytes_per_s, 'B/s')}"
        labels.append(([canvas.segment(start, end)], label, SLOPED))
    for roof in sorted(chart.roofs, key=lambda roof: -roof.flops_per_s):
        left = max(low_x, min([roof.flops_per_s / diagonal.bytes_per_s for diagonal in chart.diagonals], default=low_x))
        axes.plot([left, high_x], [roof.flops_per_s] * 2, color=INK, linewidth=1.6 if roof is chart.top else 1.0)
        line = canvas.segment((left, roof.flops_per_s), (high_x, roof.flops_per_s))
        labels.append(([line], f"{roof.name}  {format_quantity(roof.flops_per_s, 'FLOP/s')}", FLAT))
    for limit in chart.power:
        curve = chart.curve(limit, low_x, high_x)
        inside = [point for point in curve if point[1] >= low_y]
        if len(inside) < 2:
            continue
        axes.plot(*zip(*inside, strict=True), zorder=2.2, **LIMIT)
        pieces = _pieces(inside)
        shapes = [canvas.segment(*piece) for piece in pieces]
        level = limit.flops_per_s
        value = f"  {format_quantity(level, 'FLOP/s')}" if level < 0.999 * limit.peak else ""
        labels.append((shapes[::-1], limit.name + value, FLAT))
    top = chart.top.flops_per_s
    for diagonal in chart.diagonals:
        if diagonal.used:
            x = chart.ridge(diagonal)
            axes.plot([x, x], [low_y, top], color=FAINT, linewidth=0.7, linestyle=(0, (1, 2)))
            axes.plot([x], [top], marker="d", markersize=5, color=INK)
            canvas.segment((x, low_y), (x, top))
            canvas.dot((x, top), 5)
    return labels


def _pieces(curve: Sequence[Point]) -> list[tuple[Point, Point]]:
    """A curve that rises and levels off as a few straight pieces, parts of a figure that a label can lie along."""
    marks = [0, *(next(i for i, point in enumerate(curve) if point[1] >= share * curve[-1][1]) for share in (0.75, 0.93)), len(curve) - 1]
    return [(curve[one], curve[other]) for one, other in zip(marks, marks[1:], strict=False) if one < other]


def _ends(diagonal: Diagonal, chart: Chart, low_x: float, low_y: float) -> tuple[Point, Point]:
    start = max(low_x, low_y / diagonal.bytes_per_s)
    return (start, start * diagonal.bytes_per_s), (chart.ridge(diagonal), chart.top.flops_per_s)


def limiting(chart: Chart) -> list[tuple[float, str, int]]:
    """Ceilings that are not far above a kernel's other roofs: FLOP/s, name and the kernel's place."""
    return [
        (one.flops_per_s, one.name, index)
        for index, kernel in enumerate(chart.kernels)
        for one in kernel.ceilings
        if one.flops_per_s <= NEAR * chart.attainable(kernel)
    ]


def _draw_ceilings(axes: Axes, canvas: Canvas, chart: Chart, low_x: float, high_x: float, high_y: float) -> tuple[list[Label], list[str]]:
    """What special functions allow each kernel: the lowest as dotted lines, the others as a text."""
    groups: list[tuple[str, float, float, list[int]]] = []
    for rate, name, index in sorted(limiting(chart)):
        for place, (named, low, _, members) in enumerate(groups):
            if named == name and rate <= GROUP * low:
                groups[place] = (named, low, rate, [*members, index])
                break
        else:
            groups.append((name, rate, rate, [index]))
    labels: list[Label] = []
    left_out = []
    for name, low, high, members in groups:
        rates = format_quantity(low, "FLOP/s")
        if format_quantity(high, "FLOP/s") != rates:
            rates += f" to {format_quantity(high, 'FLOP/s')}"
        text = f"{name} of {names_of(sorted(members))}  {rates}"
        if low >= high_y / 1.5 or len(labels) == CEILINGS:
            left_out.append(text)
            continue
        left = max(low_x, min([low / diagonal.bytes_per_s for diagonal in chart.diagonals], default=low_x))
        axes.plot([left, high_x], [low, low], zorder=1.9, **CEILING)
        labels.append(([canvas.segment((left, low), (high_x, low))], text, FLAT))
    return labels, [f"ceilings not drawn: {'; '.join(left_out)}"] if left_out else []


def _draw_points(axes: Axes, canvas: Canvas, index: int, kernel: Kernel) -> None:
    points = kernel.points()
    if not points:
        return
    xs, rate, color = [x for _, x in points], kernel.flops_per_s, color_of(index)
    axes.plot([min(xs), max(xs)], [rate] * 2, color=color, linewidth=0.9, linestyle=line_of(index), zorder=3)
    canvas.segment((min(xs), rate), (max(xs), rate))
    for level, x in sorted(points, key=lambda point: -MARKERS.get(point[0], OTHER_MARKER)[1]):
        marker, size = MARKERS.get(level, OTHER_MARKER)
        axes.plot([x], [rate], marker, color=color, markersize=size, markeredgecolor="white", markeredgewidth=0.8, zorder=4)
        canvas.dot((x, rate), size + 1)
    measured = kernel.measured_flops_per_s
    if measured is not None:
        level, x = points[0]
        marker, size = MARKERS.get(level, OTHER_MARKER)
        size += RING
        axes.plot([x], [measured], marker, markersize=size, markerfacecolor="none", markeredgecolor=color, markeredgewidth=1.3, zorder=4.2)
        canvas.dot((x, measured), size + 1)
        start, end = canvas.pixel((x, rate)), canvas.pixel((x, measured))
        if math.dist(start, end) > (size / 2 + ARROW) * canvas.point:
            canvas.segment((x, rate), (x, measured))
            style = {"arrowstyle": "-|>", "mutation_scale": 8, "shrinkA": 0, "shrinkB": size / 2, "color": color, "linewidth": 1.1}
            axes.annotate("", (x, measured), (x, rate), arrowprops=style, zorder=4.3)


def _tag(canvas: Canvas, index: int, kernel: Kernel) -> None:
    """The kernel's number, with the ratio where it was measured, beside one of its points."""
    number = str(index + 1)
    places = [((x, kernel.flops_per_s), MARKERS.get(level, OTHER_MARKER)[1]) for level, x in kernel.points()]
    texts = [number]
    ratio, measured = kernel.ratio, kernel.measured_flops_per_s
    if ratio is not None and measured is not None:
        texts = [f"{number} {ratio_text(ratio)}", number]
        first, size = places[0]
        places.insert(0, ((first[0], measured), size + RING))
        places[1] = (first, size + RING)
    canvas.beside(places, texts, color_of(index))


def _power(value: float) -> str:
    """A power of ten as 10² is written: figures have no formulas (`drawing/style.py`)."""
    return "10" + str(round(math.log10(value))).translate(SUPERSCRIPT)
