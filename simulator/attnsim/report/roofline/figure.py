"""Draws roofline charts with matplotlib: a row per machine, log-log roofs and points on the left, time per resource on the right.

The same inputs give the same bytes: no dates, no random ids, no global state (pyplot is not used).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnsim.errors import UsageError
from attnsim.report.drawing.canvas import fitted, plain, wrapped
from attnsim.report.drawing.style import BAR, BOUND_BAR, COLORS, ENDINGS, FAINT, FONT, INK, LINES, LineStyle, check_ending, figure_bytes
from attnsim.report.export import to_csv, write_files
from attnsim.report.roofline import ratepanel, timepanel
from attnsim.report.roofline.charts import Chart, Kernel, level_label, limits, resource_label, rows
from attnsim.report.roofline.ratepanel import MARKERS, OTHER_MARKER, RING, color_of, line_of, ratio_text
from attnsim.report.roofline.timepanel import Fill, fills_of
from attnsim.units import format_quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "BAR", "BOUND_BAR", "COLORS", "ENDINGS", "FAINT", "INK", "LINES", "MOST", "LineStyle", "check_ending", "draw", "figure_bytes", "limits",
    "render", "save", "styled",
]  # fmt: skip

MOST = 24
"""Kernels that one chart shows: more of them, and nobody can tell one from another."""

# Inches.
WIDTH, LEFT, ROOFLINE_WIDTH, GAP, RIGHT = 13.0, 1.1, 6.35, 0.4, 0.3
BARS_LEFT = LEFT + ROOFLINE_WIDTH + GAP
BARS_WIDTH = WIDTH - RIGHT - BARS_LEFT
TITLE, AXIS, LINE, FOOTER, PANEL, TALL, BELOW = 0.55, 0.55, 0.21, 0.22, 4.9, 7.0, 0.25
SAMPLE, BETWEEN = 0.32, 0.17
"""Inches of a line or fill that a legend shows, and between its entries."""
PROVISIONAL = 12.0


@contextmanager
def styled() -> Iterator[None]:
    """The width of a text must be the same in every format: no hinting, which rounds letters to pixels. Letters no font has are boxes."""
    import matplotlib

    with (
        matplotlib.rc_context({"font.size": FONT, "text.parse_math": False, "text.hinting": "none", "hatch.linewidth": 0.6}),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from", UserWarning)
        yield


def save(charts: Sequence[Chart], path: Path, version: str) -> Path:
    """Write the figure (SVG, PDF or PNG by the path's ending) and its data as CSV beside it; return the CSV's path.

    Both files appear whole or neither does. Raises: UsageError for another ending, and for more kernels than a chart shows.
    """
    check_ending(path)
    data = path.with_suffix(".csv")
    picture = render(charts, path.suffix.lower().removeprefix("."), version)
    write_files({path: picture, data: to_csv(rows(charts)).encode("utf-8")})
    return data


def render(charts: Sequence[Chart], format_: str, version: str) -> bytes:
    """The figure as bytes of an SVG, PDF or PNG file; the same input gives the same bytes. Raises UsageError for too many kernels."""
    for chart in charts:
        if len(chart.kernels) > MOST:
            raise UsageError(f"{len(chart.kernels)} kernels on {chart.arch}; a roofline shows at most {MOST}: draw fewer at a time")
    with styled():
        return figure_bytes(lambda: draw(charts, version), format_)


@dataclass(frozen=True, slots=True)
class _Row:
    """A chart's part of the figure. Inches: of the roofline, of the bars, of all of it; notes and keys are the lines below them."""

    chart: Chart
    panel: float
    bars: float
    height: float
    axes: tuple[Axes, Axes | None]
    notes: Sequence[str]
    markers: Sequence[Sequence[Entry]]
    keys: Sequence[Sequence[Entry]]


def draw(charts: Sequence[Chart], version: str) -> Figure:
    """The figure: one row of two panels per machine."""
    with styled():
        return _draw(charts, version)


def _draw(charts: Sequence[Chart], version: str) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # The height is known only once the labels that find no room are: panels are drawn in inches, then moved to their places.
    figure = Figure(figsize=(WIDTH, PROVISIONAL))
    FigureCanvasAgg(figure)
    fills = fills_of(charts)
    rows_ = [_draw_panels(figure, chart, fills) for chart in charts]
    inputs = list(dict.fromkeys(text for chart in charts for text in chart.inputs))
    words = [*(f"{text};" for text in (f"attnsim {version}", *inputs[:-1])), inputs[-1]]
    footer = wrapped(figure, words, WIDTH - LEFT - RIGHT, fontsize=6.5)
    height = FOOTER + 0.14 * len(footer) + sum(row.height for row in rows_)
    figure.set_size_inches(WIDTH, height)
    top = height
    for row in rows_:
        _move(row.axes[0], LEFT, top - TITLE - row.panel, ROOFLINE_WIDTH, row.panel)
        if row.axes[1] is not None:
            _move(row.axes[1], BARS_LEFT, top - TITLE - row.bars, BARS_WIDTH, row.bars)
            _draw_entries(figure, row.keys, (BARS_LEFT, top - TITLE - row.bars - AXIS))
        dtypes = ", ".join(dict.fromkeys(kernel.dtype for kernel in row.chart.kernels))
        heading = fitted(figure, f"{row.chart.title}: {dtypes}, dense peak", WIDTH - LEFT - RIGHT, fontsize=11, fontweight="bold")
        _write(figure, (LEFT, top - 0.3), heading, fontsize=11, fontweight="bold")
        _draw_legend(figure, row, top - TITLE - row.panel - AXIS)
        top -= row.height
    for index, line in enumerate(reversed(footer)):
        _write(figure, (LEFT, 0.16 + 0.14 * index), line, fontsize=6.5, color=FAINT)
    return figure


def _draw_panels(figure: Figure, chart: Chart, fills: Mapping[str, Fill]) -> _Row:
    bars = timepanel.panel_height(chart)
    markers = _rows_of(figure, _marker_entries(chart), ROOFLINE_WIDTH)
    named = {name for kernel in chart.kernels for name, _ in kernel.time_by_resource_s}
    entries = [Entry(plain(resource_label(chart, name)), fill=fill) for name, fill in fills.items() if name in named]
    keys = _rows_of(figure, entries, BARS_WIDTH)
    below = AXIS + LINE * (len(markers) + len(chart.kernels)) + BELOW
    right = bars + AXIS + LINE * len(keys) + BELOW
    panel = min(max(right - below, PANEL), TALL)
    left = figure.add_axes((0, 0, 1, 1))
    _move(left, LEFT, 1.0, ROOFLINE_WIDTH, panel)
    texts = [f"all of them: {chart.shared}"] if chart.shared else []
    texts += ratepanel.draw_panel(left, chart)
    notes = [line for text in texts for line in wrapped(figure, text.split(), ROOFLINE_WIDTH)]
    height = TITLE + max(panel + below + LINE * len(notes), right)
    if not timepanel.barred(chart):
        return _Row(chart, panel, bars, height, (left, None), notes, markers, keys)
    other = figure.add_axes((0, 0, 1, 1))
    _move(other, BARS_LEFT, 1.0, BARS_WIDTH, bars)
    timepanel.draw_panel(other, chart, fills)
    return _Row(chart, panel, bars, height, (left, other), notes, markers, keys)


def _move(axes: Axes, left: float, bottom: float, width: float, height: float) -> None:
    """Put axes at a place given in inches."""
    figure: Any = axes.figure
    across, up = figure.get_size_inches()
    axes.set_position((left / across, bottom / up, width / across, height / up))


def _legend_text(kernel: Kernel) -> str:
    """What stands behind a kernel's name: its times and rates."""
    said = [format_quantity(kernel.latency_s, "s")]
    if kernel.flops:
        said.append(format_quantity(kernel.flops_per_s, "FLOP/s"))
    if kernel.measured is not None and kernel.ratio is not None:
        count = len(kernel.measured.lines)
        median = f" (median of {count})" if count > 1 else ""
        said.append(f"measured {format_quantity(kernel.measured.seconds, 's')} {ratio_text(kernel.ratio)}{median}")
    else:
        said.append(f"lower bound {format_quantity(kernel.lower_bound_s, 's')}")
    return ": " + ", ".join(said)


def _draw_legend(figure: Figure, row: _Row, top: float) -> None:
    """Levels by marker, kernels by number, colour and line, then notes; under the roofline, where it covers nothing. Inches."""
    _draw_entries(figure, row.markers, (LEFT, top))
    y = top - (len(row.markers) + 0.5) * LINE
    for index, kernel in enumerate(row.chart.kernels):
        _sample(figure, (LEFT, y), color=color_of(index), linestyle=line_of(index), linewidth=1.5)
        known = (kernel.schedule, kernel.dtype) if kernel.time_by_resource_s else ()  # parts of a model share them
        what = kernel.label or ", ".join((kernel.name, *known))
        room = ROOFLINE_WIDTH - SAMPLE - 0.08
        said = fitted(figure, _legend_text(kernel), room * 0.7)
        name = fitted(figure, f"{index + 1}  {what}", room - width_of(figure, said))
        _write(figure, (LEFT + SAMPLE + 0.08, y), name + said)
        y -= LINE
    for line in row.notes:
        _write(figure, (LEFT, y), line, color="#555555")
        y -= LINE


@dataclass(frozen=True, slots=True)
class Entry:
    """A sample with its meaning: a marker, a line or a fill; or a text alone."""

    text: str
    marker: Mapping[str, Any] | None = None
    line: Mapping[str, Any] | None = None
    fill: Fill | None = None

    @property
    def sample(self) -> float:
        """Inches before the text."""
        return 0.26 if self.marker else SAMPLE + 0.07 if self.line or self.fill else 0.0


def _marker_entries(chart: Chart) -> list[Entry]:
    """What the markers and the dashed line mean."""
    levels = list(dict.fromkeys(level for kernel in chart.kernels for level, _ in kernel.points()))
    entries = [Entry("bytes at")] if levels else []
    for level in levels:
        marker, size = MARKERS.get(level, OTHER_MARKER)
        entries.append(Entry(level_label(level), marker={"marker": marker, "color": FAINT, "markersize": size}))
    if any(kernel.measured for kernel in chart.kernels) and levels:
        marker, size = MARKERS.get(levels[0], OTHER_MARKER)
        hollow = {"marker": marker, "markerfacecolor": "none", "markeredgecolor": "#666666", "markeredgewidth": 1.3}
        entries.append(Entry("hollow: measured, × of the predicted rate", marker={**hollow, "markersize": size + RING}))
    (low, high), _ = limits(chart)
    if any(chart.curve(limit, low, high) for limit in chart.power):
        said = f"board power {chart.power[0].limit_w:.0f} W, by FLOP/B of {level_label(chart.diagonals[0].level)}"
        entries.append(Entry(said, line=ratepanel.LIMIT))
    if ratepanel.limiting(chart):
        entries.append(Entry("what special functions alone allow a kernel", line=ratepanel.CEILING))
    return entries


def _rows_of(figure: Figure, entries: Sequence[Entry], inches: float) -> list[list[Entry]]:
    """Entries of a legend in rows of at most so many inches."""
    found: list[list[Entry]] = []
    room = 0.0
    for entry in entries:
        width = entry.sample + width_of(figure, entry.text) + BETWEEN
        if width > room or not found:
            found.append([])
            room = inches
        found[-1].append(entry)
        room -= width
    return found


def _draw_entries(figure: Figure, entries: Sequence[Sequence[Entry]], place: tuple[float, float]) -> None:
    """Rows of a legend from a place down."""
    for row, several in enumerate(entries):
        x, y = place[0], place[1] - (row + 0.5) * LINE
        for entry in several:
            if entry.marker:
                _sample(figure, (x + 0.09, y), 0.0, linestyle="none", **entry.marker)
            elif entry.line:
                _sample(figure, (x, y), **entry.line)
            elif entry.fill:
                _fill(figure, (x, y), entry.fill)
            x += entry.sample
            x += _write(figure, (x, y), entry.text) + BETWEEN


def width_of(figure: Figure, text: str) -> float:
    """Inches that a text takes."""
    probe = figure.text(0.0, 0.0, text, parse_math=False)
    width = float(probe.get_window_extent().width) / figure.dpi
    probe.remove()
    return width


def _write(figure: Figure, place: tuple[float, float], text: str, **style: Any) -> float:
    """A text at inches of the figure; its width."""
    up = figure.get_figheight()
    written = figure.text(place[0] / WIDTH, place[1] / up, text, va="center", parse_math=False, **{"color": INK, **style})
    return float(written.get_window_extent().width) / figure.dpi


def _sample(figure: Figure, place: tuple[float, float], length: float = SAMPLE, **style: Any) -> None:
    from matplotlib.lines import Line2D

    xs, ys = [place[0] / WIDTH, (place[0] + length) / WIDTH], [place[1] / figure.get_figheight()] * 2
    figure.add_artist(Line2D(xs[: 2 if length else 1], ys[: 2 if length else 1], transform=figure.transFigure, **style))


def _fill(figure: Figure, place: tuple[float, float], fill: Fill) -> None:
    from matplotlib.patches import Rectangle

    up = figure.get_figheight()
    corner = (place[0] / WIDTH, (place[1] - 0.06) / up)
    style: dict[str, Any] = {"facecolor": fill.color, "hatch": fill.hatch or None, "edgecolor": "white", "linewidth": 0.0}
    figure.add_artist(Rectangle(corner, SAMPLE / WIDTH, 0.12 / up, transform=figure.transFigure, **style))
