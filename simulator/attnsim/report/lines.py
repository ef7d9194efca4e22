"""Draws lines over a shared axis: what a quantity becomes as another grows, limits dashed, published or measured values hollow.

The same lines give the same bytes; pyplot is not used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from attnsim.errors import UsageError
from attnsim.evaluate.render import whole
from attnsim.report.drawing.axes import dot_box, end_labels, frame, handle, pixel_of, placer_of
from attnsim.report.drawing.page import LABEL, PANEL_WIDTH, TITLE, Page, bold_width, text_width
from attnsim.report.roofline.figure import COLORS, FAINT, INK
from attnsim.spec.span import count_text
from attnsim.units import format_quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Places = Sequence[tuple[float, float]]

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
MOST = len(COLORS)
"""Lines that a figure tells apart, limits not counted."""
STEEP = 8.0
"""Largest over smallest value from which an axis is logarithmic; below, values start at zero."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its name, its points, and beside them what was published or measured there.

    Both are (x, y) pairs. limit: drawn dashed and without marks, a bound rather than an answer.
    """

    label: str
    points: Places
    measured: Places = ()
    limit: bool = False


@dataclass(frozen=True, slots=True)
class Scale:
    """What an axis shows. unit: of `attnsim.units`, or empty for a plain number; tokens: whole numbers, written as 8K.

    spacing: left out, values whose largest is many times the smallest are logarithmic.
    """

    label: str
    unit: str = ""
    tokens: bool = False
    spacing: Literal["linear", "log"] | None = None

    def text(self, value: float) -> str:
        """A value as the ticks show it."""
        if self.tokens:
            return count_text(round(value)).replace("k", "K")
        if not self.unit:
            return whole(value) if abs(value) >= 1000 else f"{value:.3g}"
        number, _, unit = format_quantity(value, self.unit, digits=3).partition(" ")
        return f"{number.rstrip('0').rstrip('.') if '.' in number else number} {unit}"


def draw(
    lines: Sequence[Line], x: Scale, y: Scale, title: str, subtitle: str = "", measured: str = "published", footer: str = ""
) -> Figure:
    """The figure: one panel, the names of the lines behind their ends.

    measured: what hollow marks are. Raises: UsageError for nothing to draw, or more lines than colours.
    """
    from attnsim import __version__

    own = [line for line in lines if not line.limit]
    if not any(line.points for line in lines):
        raise UsageError("nothing to draw: no line has a point")
    if len(own) > MOST:
        raise UsageError(f"a figure tells {MOST} lines apart, not {len(own)}; draw fewer")
    handles = [handle("predicted", marker="o", color=INK)] if own else []
    if any(line.measured for line in lines):
        handles.append(handle(measured, marker="o", linestyle="none", color=INK, markerfacecolor="white"))
    if len(own) < len(lines):
        handles.append(handle("limit", linestyle=(0, (4, 2)), color=INK))
    shown = handles if len(handles) > 1 else []
    texts = (title, subtitle, "; ".join(filter(None, (f"attnsim {__version__}", footer))))
    margin = max(text_width([line.label for line in lines], LABEL) + 0.35, bold_width(title, TITLE) + 0.1 - PANEL_WIDTH)
    page = Page((1, 1), margin, texts, shown)
    _panel(page.panel(0), lines, x, y)
    return page.figure


def _panel(axes: Axes, lines: Sequence[Line], x: Scale, y: Scale) -> None:
    places = [place for line in lines for place in (*line.points, *line.measured)]
    _across(axes, x, sorted({at for at, _ in places}))
    _up(axes, y, [value for _, value in places])
    frame(axes)
    axes.set_xlabel(x.label, fontsize=LABEL)
    axes.set_ylabel(y.label, fontsize=LABEL)
    placer = placer_of(axes)
    ends: list[tuple[str, str, tuple[float, float]]] = []
    number = 0
    for line in lines:
        color = FAINT if line.limit else COLORS[number]
        marker = "" if line.limit else MARKERS[number]
        number += not line.limit
        points = sorted(line.points)
        if points:
            axes.plot(
                *zip(*points, strict=True), marker=marker, color=color, linestyle=(0, (4, 2)) if line.limit else "-", linewidth=1.3,
                markersize=4.2, markeredgecolor="white", markeredgewidth=0.5, zorder=2 if line.limit else 4,
            )  # fmt: skip
            ends.append((line.label, color, points[-1]))
        if line.measured:
            axes.plot(
                *zip(*line.measured, strict=True), linestyle="none", marker=marker or "o", color=color, markersize=7.5,
                markerfacecolor="none", markeredgewidth=0.9, zorder=5,
            )  # fmt: skip
        for start, end in zip(points, points[1:], strict=False):
            placer.add((pixel_of(axes, start), pixel_of(axes, end)))
        for place in (*points, *line.measured):
            placer.add(dot_box(axes, place))
    end_labels(axes, placer, ends, max(at for at, _ in places))


def _across(axes: Axes, scale: Scale, values: Sequence[float]) -> None:
    from matplotlib.ticker import FuncFormatter, NullLocator

    low, high = values[0], values[-1]
    log = scale.spacing == "log" or (scale.spacing is None and low > 0 and high > STEEP * low)
    if log:
        axes.set_xscale("log", base=2)
        room = max((high / low) ** 0.03, 1.05)
        axes.set_xlim(low / room, high * room)
    else:
        room = 0.03 * (high - low) or 0.5
        axes.set_xlim(low - room, high + room)
    if len(values) <= 11:
        axes.set_xticks(list(values))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _position: scale.text(value)))


def _up(axes: Axes, scale: Scale, values: Sequence[float]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    low, high = min(values), max(values)
    if scale.spacing == "log" or (scale.spacing is None and low > 0 and high > STEEP * low):
        axes.set_yscale("log")
        axes.set_ylim(low / 1.25, high * 1.25)
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 1e3 * low else (1.0,)))
    else:
        axes.set_ylim(0, 1.08 * high)
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _position: scale.text(value)))
