"""Draws roofline charts with matplotlib: log-log roofs and points on the left, time per resource on the right.

The same inputs give the same bytes: no dates, no random ids, no global state (pyplot is not used).
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from attnsim.errors import UsageError
from attnsim.evaluate.render import digits3
from attnsim.report.export import to_csv, write_files
from attnsim.report.placing import Placer, Point, Shape, box
from attnsim.report.roofline import Chart, Diagonal, Kernel, level_label, rows
from attnsim.units import format_quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LineStyle: TypeAlias = Literal["-", "--", "-.", ":"]
ENDINGS = (".svg", ".pdf", ".png")

# Okabe and Ito's palette, told apart by readers with any colour vision; every use has a number, marker or hatch beside it.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES: tuple[LineStyle, ...] = ("-", "--", "-.", ":")
# Marker and its size in points: the outer levels are larger, so that points that fall together all stay visible.
MARKERS = {"hbm": ("o", 9.5), "dram": ("o", 9.5), "l3": ("D", 7.5), "l2": ("s", 7.0), "l1": ("^", 6.0), "smem": ("^", 6.0)}
OTHER_MARKER = ("v", 6.0)
INK, FAINT, BAR, BOUND_BAR = "#222222", "#888888", "#B8C4CE", "#D55E00"

# Inches.
WIDTH, LEFT, ROOFLINE_WIDTH, GAP, RIGHT = 13.0, 1.1, 6.6, 1.5, 0.3
TITLE, AXIS, LINE, FOOTER, BAR_PITCH, PANEL = 0.55, 0.60, 0.24, 0.35, 0.27, 4.4
FONT = 8.5


def check_ending(path: Path) -> None:
    """Raises UsageError for a name that is no figure's."""
    if path.suffix.lower() not in ENDINGS:
        raise UsageError(f"cannot draw {str(path)!r}: end the name in {', '.join(ENDINGS)}")


def save(charts: Sequence[Chart], path: Path, version: str) -> Path:
    """Write the figure (SVG, PDF or PNG by the path's ending) and its data as CSV beside it; return the CSV's path.

    Both files appear whole or neither does. Raises: UsageError for another ending.
    """
    check_ending(path)
    data = path.with_suffix(".csv")
    picture = render(charts, path.suffix.lower().removeprefix("."), version)
    write_files({path: picture, data: to_csv(rows(charts)).encode("utf-8")})
    return data


def render(charts: Sequence[Chart], format_: str, version: str) -> bytes:
    """The figure as bytes of an SVG, PDF or PNG file; the same input gives the same bytes."""
    return figure_bytes(lambda: draw(charts, version), format_)


def figure_bytes(make: Callable[[], Figure], format_: str, dpi: int = 150) -> bytes:
    """A figure as bytes of an SVG, PDF or PNG file: no dates, no random ids. dpi: pixels an inch of PNG."""
    import matplotlib

    silent: dict[str, dict[str, Any]] = {
        "svg": {"Date": None, "Creator": "attnsim"},
        "pdf": {"CreationDate": None, "ModDate": None, "Creator": "attnsim", "Producer": "attnsim"},
        "png": {"Software": "attnsim"},
    }
    # A dollar sign in a name is a dollar sign; no figure has formulas.
    with matplotlib.rc_context({"svg.hashsalt": "attnsim", "font.size": FONT, "pdf.fonttype": 42, "text.parse_math": False}):
        buffer = io.BytesIO()
        make().savefig(buffer, format=format_, dpi=dpi, metadata=silent[format_])
    return buffer.getvalue()


def draw(charts: Sequence[Chart], version: str) -> Figure:
    """The figure: one row of two panels per machine."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = [max(PANEL, BAR_PITCH * _bar_rows(chart) + 0.3) for chart in charts]
    legends = [LINE * (len(chart.kernels) + 1) for chart in charts]
    height = FOOTER + sum(TITLE + panel + AXIS + legend for panel, legend in zip(panels, legends, strict=True))
    figure = Figure(figsize=(WIDTH, height))
    FigureCanvasAgg(figure)
    top = height
    for chart, panel, legend in zip(charts, panels, legends, strict=True):
        bottom = top - TITLE - panel
        roofline = figure.add_axes((LEFT / WIDTH, bottom / height, ROOFLINE_WIDTH / WIDTH, panel / height))
        bars_left = LEFT + ROOFLINE_WIDTH + GAP
        bars = figure.add_axes((bars_left / WIDTH, bottom / height, (WIDTH - RIGHT - bars_left) / WIDTH, panel / height))
        dtypes = ", ".join(dict.fromkeys(kernel.dtype for kernel in chart.kernels))
        figure.text(LEFT / WIDTH, (top - 0.32) / height, f"{chart.title}: {dtypes}, dense peak", fontsize=11, fontweight="bold", color=INK)
        _draw_roofline(roofline, chart)
        _draw_bars(bars, chart)
        _draw_legend(figure, chart, (bottom - AXIS) / height, LINE / height)
        top = bottom - AXIS - legend
    inputs = "; ".join(dict.fromkeys(text for chart in charts for text in chart.inputs))
    figure.text(LEFT / WIDTH, 0.12 / height, f"attnsim {version}; {inputs}", fontsize=6.5, color=FAINT)
    return figure


def limits(chart: Chart) -> tuple[tuple[float, float], tuple[float, float]]:
    """Axis limits ((x low, x high) in FLOP/B, (y low, y high) in FLOP/s) that hold every point and every ridge with room for labels."""
    ridges = [chart.ridge(diagonal) for diagonal in chart.diagonals]
    xs = [*ridges, *(x for kernel in chart.kernels for _, x in kernel.points())] or [1.0]
    ys = [*(roof.flops_per_s for roof in chart.roofs), *(kernel.flops_per_s for kernel in chart.kernels if kernel.flops > 0)]
    low_x, high_x = min(xs) / 8, max(xs) * 8
    # The diagonals enter from the left edge; low enough to show a piece of each.
    low_y = min([min(ys) / 6, *(diagonal.bytes_per_s * low_x * 2 for diagonal in chart.diagonals)])
    return (low_x, high_x), (max(low_y, max(ys) / 1e6), max(ys) * 4)


def _bar_rows(chart: Chart) -> int:
    return sum(len(kernel.time_by_resource_s) + 2 for kernel in chart.kernels)


def _color(index: int) -> str:
    return COLORS[index % len(COLORS)]


def _engineering(unit: str) -> Any:
    from matplotlib.ticker import FuncFormatter

    return FuncFormatter(lambda value, _position: format_quantity(value, unit, digits=1))


def _draw_roofline(axes: Axes, chart: Chart) -> None:
    (low_x, high_x), (low_y, high_y) = limits(chart)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(low_x, high_x)
    axes.set_ylim(low_y, high_y)
    axes.set_xlabel("arithmetic intensity, FLOP/B")
    axes.set_ylabel("achieved rate")
    axes.yaxis.set_major_formatter(_engineering("FLOP/s"))
    axes.grid(True, which="major", color="#E6E6E6", linewidth=0.6)
    axes.minorticks_off()
    axes.set_axisbelow(True)
    placer = _Canvas(axes)
    own: dict[str, Shape] = {}
    for diagonal in chart.diagonals:
        start, end = _ends(diagonal, chart, low_x, low_y)
        axes.plot(*zip(start, end, strict=True), color=INK if diagonal.used else FAINT, linewidth=1.2 if diagonal.used else 0.8)
        own[diagonal.level] = placer.segment(start, end)
    for roof in chart.roofs:
        left = max(low_x, min([roof.flops_per_s / diagonal.bytes_per_s for diagonal in chart.diagonals], default=low_x))
        axes.plot([left, high_x], [roof.flops_per_s] * 2, color=INK, linewidth=1.6 if roof is chart.top else 1.0)
        own[roof.name] = placer.segment((left, roof.flops_per_s), (high_x, roof.flops_per_s))
    counted = [diagonal for diagonal in chart.diagonals if diagonal.used]
    for diagonal in counted:
        own[f"ridge {diagonal.level}"] = _draw_ridge(axes, placer, chart, diagonal, low_y)
    for index, kernel in enumerate(chart.kernels):
        _draw_points(axes, placer, index, kernel)
    for roof in chart.roofs:
        label = f"{roof.name}  {format_quantity(roof.flops_per_s, 'FLOP/s')}"
        placer.along(own[roof.name], label, [0.97, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3])
    for diagonal in chart.diagonals:
        label = f"{diagonal.name}  {format_quantity(diagonal.bytes_per_s, 'B/s')}"
        placer.along(own[diagonal.level], label, [0.5, 0.6, 0.4, 0.7, 0.3, 0.8, 0.2, 0.9, 0.1])
    for diagonal in counted:
        label = f"ridge {diagonal.name}  {digits3(chart.ridge(diagonal))} FLOP/B"
        placer.upright(own[f"ridge {diagonal.level}"], label)
    for index, kernel in enumerate(chart.kernels):
        if kernel.points():
            placer.beside([(x, kernel.flops_per_s) for _, x in kernel.points()], str(index + 1), _color(index))


def _ends(diagonal: Diagonal, chart: Chart, low_x: float, low_y: float) -> tuple[Point, Point]:
    start = max(low_x, low_y / diagonal.bytes_per_s)
    return (start, start * diagonal.bytes_per_s), (chart.ridge(diagonal), chart.top.flops_per_s)


def _draw_ridge(axes: Axes, placer: _Canvas, chart: Chart, diagonal: Diagonal, low_y: float) -> Shape:
    x, y = chart.ridge(diagonal), chart.top.flops_per_s
    axes.plot([x, x], [low_y, y], color=FAINT, linewidth=0.7, linestyle=(0, (1, 2)))
    axes.plot([x], [y], marker="d", markersize=5, color=INK)
    return placer.segment((x, low_y), (x, y))


def _draw_points(axes: Axes, placer: _Canvas, index: int, kernel: Kernel) -> None:
    points = kernel.points()
    if not points:
        return
    xs = [x for _, x in points]
    axes.plot(
        [min(xs), max(xs)], [kernel.flops_per_s] * 2, color=_color(index), linewidth=0.9, linestyle=LINES[index % len(LINES)], zorder=3
    )
    placer.segment((min(xs), kernel.flops_per_s), (max(xs), kernel.flops_per_s))
    for level, x in sorted(points, key=lambda point: -MARKERS.get(point[0], OTHER_MARKER)[1]):
        marker, size = MARKERS.get(level, OTHER_MARKER)
        axes.plot(
            [x], [kernel.flops_per_s], marker, color=_color(index), markersize=size, markeredgecolor="white", markeredgewidth=0.8, zorder=4
        )
        placer.dot((x, kernel.flops_per_s), size * axes.figure.dpi / 72 + 2)


def _draw_bars(axes: Axes, chart: Chart) -> None:
    """Time of each resource as a share of the latency; the bound is named, coloured and hatched."""
    row, reach = 0.0, 1.0
    for index, kernel in enumerate(chart.kernels):
        axes.text(
            0.0,
            row,
            f"{index + 1}  {kernel.name}: {format_quantity(kernel.latency_s, 's')}",
            fontweight="bold",
            color=_color(index),
            va="center",
        )
        row += 1
        for resource, seconds in sorted(kernel.time_by_resource_s, key=lambda item: -item[1]):
            bound = resource == kernel.bound
            share = seconds / kernel.latency_s
            axes.barh(
                row, share, height=0.7, color=BOUND_BAR if bound else BAR, hatch="//" if bound else None, edgecolor="white", linewidth=0
            )
            text = f" {format_quantity(seconds, 's')}, {'<1' if 0 < share < 0.01 else round(share * 100)} %" + ("  bound" if bound else "")
            label = axes.text(share, row, text, va="center", fontweight="bold" if bound else "normal", color=INK)
            # The axis must end far enough right for the text behind each bar.
            room = 1 - label.get_window_extent().width / axes.get_window_extent().width
            reach = max(reach, share / max(room, 0.2))
            axes.annotate(resource, (0, row), (-4, 0), textcoords="offset points", va="center", ha="right", color=INK)
            row += 1
        row += 1
    axes.set_xlim(0, reach * 1.02)
    axes.set_ylim(row - 0.9, -0.8)
    axes.set_yticks([])
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1.0], ["0", "25 %", "50 %", "75 %", "100 %"])
    axes.axvline(1.0, color=FAINT, linewidth=0.7, linestyle=(0, (1, 2)), zorder=0)
    axes.set_xlabel("time a resource is busy, share of latency")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _draw_legend(figure: Figure, chart: Chart, top: float, pitch: float) -> None:
    """Kernels by number, colour and line; levels by marker. Under the panels, where it covers nothing."""
    from matplotlib.lines import Line2D

    levels = list(dict.fromkeys(level for kernel in chart.kernels for level, _ in kernel.points()))
    handles = [
        Line2D([], [], color=FAINT, marker=MARKERS.get(level, OTHER_MARKER)[0], linestyle="none", label=f"bytes at {level_label(level)}")
        for level in levels
    ]
    x = LEFT / WIDTH
    if handles:
        legend = figure.legend(
            handles=handles,
            loc="center left",
            bbox_to_anchor=(x, top - pitch / 2),
            ncols=len(handles),
            frameon=False,
            borderpad=0,
            borderaxespad=0,
        )
        legend.set_zorder(5)
    for index, kernel in enumerate(chart.kernels):
        y = top - (index + 1.5) * pitch
        sample = Line2D(
            [x, x + 0.03], [y, y], color=_color(index), linestyle=LINES[index % len(LINES)], linewidth=1.5, transform=figure.transFigure
        )
        figure.add_artist(sample)
        text = (
            f"{index + 1}  {kernel.name}, {kernel.schedule}, {kernel.dtype}: {format_quantity(kernel.latency_s, 's')}, "
            f"{format_quantity(kernel.flops_per_s, 'FLOP/s')}, bound by {kernel.bound}; "
            f"lower bound {format_quantity(kernel.lower_bound_s, 's')}"
        )
        figure.text(x + 0.037, y, text, va="center", color=INK)


class _Canvas:
    """Draws labels on one axes where the placer finds room; coordinates in are data, shapes are pixels of the figure."""

    def __init__(self, axes: Axes) -> None:
        self.axes = axes
        edge = axes.get_window_extent()
        self.placer = Placer(((edge.x0, edge.y0), (edge.x1, edge.y0), (edge.x1, edge.y1), (edge.x0, edge.y1)))

    def pixel(self, point: Point) -> Point:
        x, y = self.axes.transData.transform(point)
        return float(x), float(y)

    def segment(self, start: Point, end: Point) -> Shape:
        shape = (self.pixel(start), self.pixel(end))
        self.placer.add(shape)
        return shape

    def dot(self, point: Point, size: float) -> None:
        self.placer.add(box(self.pixel(point), size, size))

    def _size(self, text: str) -> tuple[float, float]:
        probe = self.axes.text(0.5, 0.5, text, transform=self.axes.transAxes)
        extent = probe.get_window_extent()
        probe.remove()
        return extent.width + 3, extent.height

    def _write(self, text: str, shape: Shape, degrees: float, **style: Any) -> None:
        center = (sum(x for x, _ in shape) / 4, sum(y for _, y in shape) / 4)
        x, y = self.axes.transData.inverted().transform(center)
        self.axes.text(x, y, text, rotation=degrees, ha="center", va="center", rotation_mode="anchor", zorder=5, **style)

    def along(self, line: Shape, text: str, steps: Sequence[float]) -> None:
        """A label on a line, turned to its slope: above it, else below, at the first step that is free."""
        (x0, y0), (x1, y1) = line
        width, height = self._size(text)
        length = math.hypot(x1 - x0, y1 - y0)
        degrees = math.degrees(math.atan2(y1 - y0, x1 - x0))
        across = (-(y1 - y0) / length, (x1 - x0) / length)
        shapes = []
        for side in (1, -1):
            offset = side * (height / 2 + 2)
            for step in steps:
                # The step runs over the places where the whole label lies beside the line.
                t = (width / 2 + step * max(0.0, length - width)) / length if length > width else 0.5
                center = (x0 + t * (x1 - x0) + offset * across[0], y0 + t * (y1 - y0) + offset * across[1])
                shapes.append(box(center, width, height, degrees))
        chosen = self.placer.place(shapes, ignore=(line,))
        if chosen is not None:
            self._write(text, shapes[chosen], degrees, color=INK)

    def upright(self, line: Shape, text: str) -> None:
        """A label turned upright beside a vertical line, as low as there is room."""
        (x, y0), (_, y1) = line
        width, height = self._size(text)
        shapes = [
            box((x + side * (height / 2 + 2), y0 + 4 + width / 2 + step * max(0.0, y1 - y0 - width - 8)), width, height, 90.0)
            for step in (percent / 100 for percent in range(0, 91, 3))
            for side in (1, -1)
        ]
        chosen = self.placer.place(shapes, ignore=(line,))
        if chosen is not None:
            self._write(text, shapes[chosen], 90.0, color=FAINT)

    def beside(self, points: Sequence[Point], text: str, color: str) -> None:
        """A short tag near one of several points."""
        width, height = self._size(text)
        shapes = []
        for point in points:
            x, y = self.pixel(point)
            for angle in (90, 135, 45, 180, 0, 270, 225, 315):
                for reach in (11.0, 16.0):
                    shapes.append(
                        box((x + reach * math.cos(math.radians(angle)), y + reach * math.sin(math.radians(angle))), width, height)
                    )
        chosen = self.placer.place(shapes)
        if chosen is not None:
            self._write(text, shapes[chosen], 0.0, color=color, fontweight="bold")
