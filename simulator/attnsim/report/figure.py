"""Draws roofline charts with matplotlib: a row per machine, log-log roofs and points on the left, time per resource on the right.

The same inputs give the same bytes: no dates, no random ids, no global state (pyplot is not used).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnsim.errors import UsageError
from attnsim.report import rooflinepanel, timepanel
from attnsim.report.canvas import fitted, plain
from attnsim.report.export import to_csv, write_files
from attnsim.report.roofline import Chart, Kernel, level_label, limits, rows
from attnsim.report.rooflinepanel import MARKERS, OTHER_MARKER, RING, color_of, line_of, ratio_text
from attnsim.report.style import COLORS, ENDINGS, FAINT, INK, LINES, LineStyle, check_ending, figure_bytes
from attnsim.report.timepanel import Fill, fills_of
from attnsim.units import format_quantity

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "COLORS", "ENDINGS", "FAINT", "INK", "LINES", "MOST", "LineStyle", "check_ending", "draw", "figure_bytes", "limits", "render", "save",
]  # fmt: skip

MOST = 24
"""Kernels that one chart shows: more of them, and nobody can tell one from another."""

# Inches.
WIDTH, LEFT, ROOFLINE_WIDTH, GAP, RIGHT = 13.0, 0.95, 6.35, 0.45, 0.3
TITLE, AXIS, LINE, FOOTER, PANEL, BELOW = 0.55, 0.55, 0.21, 0.22, 4.9, 0.25
SAMPLE = 0.32
"""Inches of a line or fill that a legend shows."""


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
    return figure_bytes(lambda: draw(charts, version), format_)


@dataclass(frozen=True, slots=True)
class _Place:
    """Inches: the height of the bars, of the legend under the roofline, and of the whole row."""

    bars: float
    height: float

    @classmethod
    def of(cls, chart: Chart, notes: int, fill_rows: int) -> _Place:
        """For a chart with so many lines of notes and rows of fills."""
        bars = timepanel.panel_height(chart)
        left = PANEL + AXIS + LINE * (len(chart.kernels) + 1 + notes) + BELOW
        right = bars + AXIS + LINE * fill_rows + BELOW
        return cls(bars, TITLE + max(left, right))


def draw(charts: Sequence[Chart], version: str) -> Figure:
    """The figure: one row of two panels per machine."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    fills = fills_of(charts)
    # The labels that find no room are known only once the panel is drawn, and their lines are part of the height: drawn twice.
    notes: list[list[str]] = []
    for chart in charts:
        probe = Figure(figsize=(WIDTH, TITLE + PANEL + AXIS))
        FigureCanvasAgg(probe)
        panel = probe.add_axes((LEFT / WIDTH, AXIS / (TITLE + PANEL + AXIS), ROOFLINE_WIDTH / WIDTH, PANEL / (TITLE + PANEL + AXIS)))
        texts = rooflinepanel.draw_panel(panel, chart)
        notes.append([line for text in texts for line in _wrapped(probe, text, ROOFLINE_WIDTH)])
    probe = Figure(figsize=(WIDTH, 1.0))
    FigureCanvasAgg(probe)
    inputs = "; ".join(dict.fromkeys(text for chart in charts for text in chart.inputs))
    footer = _wrapped(probe, f"attnsim {version}; {inputs}", WIDTH - LEFT - RIGHT, fontsize=6.5)
    width = WIDTH - RIGHT - LEFT - ROOFLINE_WIDTH - GAP
    used = [_fill_rows(probe, chart, fills, width) for chart in charts]
    places = [_Place.of(chart, len(lines), len(keys)) for chart, lines, keys in zip(charts, notes, used, strict=True)]
    height = FOOTER + 0.14 * len(footer) + sum(place.height for place in places)
    figure = Figure(figsize=(WIDTH, height))
    FigureCanvasAgg(figure)
    top = height
    for chart, place, lines, keys in zip(charts, places, notes, used, strict=True):
        _draw_row(figure, chart, place, top, lines, fills, keys)
        top -= place.height
    for index, line in enumerate(reversed(footer)):
        figure.text(LEFT / WIDTH, (0.12 + 0.14 * index) / height, line, fontsize=6.5, color=FAINT, parse_math=False)
    return figure


def _draw_row(
    figure: Figure, chart: Chart, place: _Place, top: float, notes: Sequence[str], fills: Mapping[str, Fill], keys: Sequence[Sequence[str]]
) -> None:
    height = figure.get_figheight()
    dtypes = ", ".join(dict.fromkeys(kernel.dtype for kernel in chart.kernels))
    heading = fitted(figure, f"{chart.title}: {dtypes}, dense peak", WIDTH - LEFT - RIGHT, fontsize=11, fontweight="bold")
    figure.text(LEFT / WIDTH, (top - 0.32) / height, heading, fontsize=11, fontweight="bold", color=INK, parse_math=False)
    left = figure.add_axes((LEFT / WIDTH, (top - TITLE - PANEL) / height, ROOFLINE_WIDTH / WIDTH, PANEL / height))
    rooflinepanel.draw_panel(left, chart)
    _draw_legend(figure, chart, top - TITLE - PANEL - AXIS, notes)
    if timepanel.barred(chart):
        start = LEFT + ROOFLINE_WIDTH + GAP
        width = WIDTH - RIGHT - start
        right = figure.add_axes((start / WIDTH, (top - TITLE - place.bars) / height, width / WIDTH, place.bars / height))
        timepanel.draw_panel(right, chart, fills)
        _draw_fills(figure, keys, fills, (start, top - TITLE - place.bars - AXIS))


def _wrapped(figure: Figure, text: str, inches: float, **style: Any) -> list[str]:
    """A text in lines of at most so many inches, broken at spaces; a word that is longer is shortened."""
    probe = figure.text(0.0, 0.0, "", parse_math=False, **style)
    lines: list[str] = []
    for word in plain(text).split():
        joined = f"{lines[-1]} {word}" if lines else word
        probe.set_text(joined)
        if lines and probe.get_window_extent().width <= inches * figure.dpi:
            lines[-1] = joined
        else:
            lines.append(fitted(figure, word, inches, **style))
    probe.remove()
    return lines


def _legend_text(index: int, kernel: Kernel) -> str:
    """What stands beside a kernel's line: its number, what it is, and its rates."""
    what = ", ".join(text for text in (kernel.schedule, kernel.dtype) if text and text not in kernel.name.split())
    said = [format_quantity(kernel.flops_per_s, "FLOP/s")] if kernel.flops else []
    if kernel.measured is not None and kernel.ratio is not None:
        count = len(kernel.measured.lines)
        said.append(
            f"measured {format_quantity(kernel.measured.seconds, 's')} {ratio_text(kernel.ratio)}{f' ({count} rows)' * (count > 1)}"
        )
    said.append(f"lower bound {format_quantity(kernel.lower_bound_s, 's')}")
    return f"{', '.join(part for part in (kernel.name, what) if part)}: {format_quantity(kernel.latency_s, 's')}, {', '.join(said)}"


def _draw_legend(figure: Figure, chart: Chart, top: float, notes: Sequence[str]) -> None:
    """Levels by marker, kernels by number, colour and line, then notes; under the roofline, where it covers nothing. Inches."""
    _draw_markers(figure, chart, top - LINE / 2)
    for index, kernel in enumerate(chart.kernels):
        y = top - (index + 1.5) * LINE
        _sample(figure, (LEFT, y), color=color_of(index), linestyle=line_of(index), linewidth=1.5)
        number = f"{index + 1}  "
        text = fitted(figure, number + _legend_text(index, kernel), ROOFLINE_WIDTH - SAMPLE - 0.08)
        _write(figure, (LEFT + SAMPLE + 0.08, y), text)
    for index, line in enumerate(notes):
        _write(figure, (LEFT, top - (len(chart.kernels) + 1.5 + index) * LINE), line, color="#555555")


def _draw_markers(figure: Figure, chart: Chart, y: float) -> None:
    """What the markers and the dashed line mean."""
    levels = list(dict.fromkeys(level for kernel in chart.kernels for level, _ in kernel.points()))
    x = LEFT
    entries: list[tuple[str, Mapping[str, Any]]] = [
        (
            f"{level_label(level)}",
            {"marker": MARKERS.get(level, OTHER_MARKER)[0], "color": FAINT, "markersize": MARKERS.get(level, OTHER_MARKER)[1]},
        )
        for level in levels
    ]
    if any(kernel.measured for kernel in chart.kernels) and levels:
        marker, size = MARKERS.get(levels[0], OTHER_MARKER)
        hollow = {"markerfacecolor": "none", "markeredgecolor": "#666666", "markeredgewidth": 1.3, "markersize": size + RING}
        entries.append(("hollow: measured, × of the predicted rate", {"marker": marker, **hollow}))
    if entries:
        x += _write(figure, (x, y), "bytes at") + 0.12
    for text, style in entries:
        _marker(figure, (x + 0.08, y), **style)
        x += 0.22 + _write(figure, (x + 0.22, y), text) + 0.17
    if chart.power:
        _sample(figure, (x, y), color=INK, linestyle=(0, (5, 3)), linewidth=1.2)
        _write(
            figure,
            (x + SAMPLE + 0.06, y),
            f"board power {chart.power[0].limit_w:.0f} W, by FLOP/B of {level_label(chart.diagonals[0].level)}",
        )


def _fill_rows(figure: Figure, chart: Chart, fills: Mapping[str, Fill], inches: float) -> list[list[str]]:
    """The resources of a chart in rows of the legend."""
    found: list[list[str]] = []
    room = 0.0
    named = {name for kernel in chart.kernels for name, _ in kernel.time_by_resource_s}
    for name in fills:
        if name not in named:
            continue
        probe = figure.text(0.0, 0.0, plain(name), parse_math=False)
        width = SAMPLE + 0.06 + probe.get_window_extent().width / figure.dpi + 0.17
        probe.remove()
        if width > room:
            found.append([])
            room = inches
        found[-1].append(name)
        room -= width
    return found


def _draw_fills(figure: Figure, keys: Sequence[Sequence[str]], fills: Mapping[str, Fill], place: tuple[float, float]) -> None:
    """What the fills mean, under the bars, from `place` on."""
    import matplotlib
    from matplotlib.patches import Rectangle

    height = figure.get_figheight()
    for row, names in enumerate(keys):
        x, y = place[0], place[1] - (row + 0.5) * LINE
        for name in names:
            fill = fills[name]
            with matplotlib.rc_context({"hatch.linewidth": 0.6}):
                figure.add_artist(
                    Rectangle(
                        (x / WIDTH, (y - 0.06) / height), SAMPLE / WIDTH, 0.12 / height, facecolor=fill.color, hatch=fill.hatch or None,
                        edgecolor="white", linewidth=0.0, transform=figure.transFigure,
                    )
                )  # fmt: skip
            x += SAMPLE + 0.06
            x += _write(figure, (x, y), plain(name)) + 0.17


def _write(figure: Figure, place: tuple[float, float], text: str, **style: Any) -> float:
    """A text at inches of the figure; its width."""
    written = figure.text(
        place[0] / WIDTH, place[1] / figure.get_figheight(), text, va="center", parse_math=False, **{"color": INK, **style}
    )
    return float(written.get_window_extent().width) / figure.dpi


def _sample(figure: Figure, place: tuple[float, float], **style: Any) -> None:
    from matplotlib.lines import Line2D

    xs, ys = [place[0] / WIDTH, (place[0] + SAMPLE) / WIDTH], [place[1] / figure.get_figheight()] * 2
    figure.add_artist(Line2D(xs, ys, transform=figure.transFigure, **style))


def _marker(figure: Figure, place: tuple[float, float], **style: Any) -> None:
    from matplotlib.lines import Line2D

    figure.add_artist(
        Line2D([place[0] / WIDTH], [place[1] / figure.get_figheight()], linestyle="none", transform=figure.transFigure, **style)
    )
