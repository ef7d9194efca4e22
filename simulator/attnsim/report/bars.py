"""Draws bars side by side or in pieces: what each of several answers comes to, of what it is made, and what was published beside it.

The same bars give the same bytes; pyplot is not used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attnsim.errors import UsageError
from attnsim.evaluate.render import digits3
from attnsim.report.drawing.page import HEAD, LABEL, LEGEND, SMALL, SUBTITLE, TICK, TITLE, bold_width, text_width
from attnsim.report.roofline.figure import COLORS, FAINT, INK
from attnsim.units import UNITS, format_quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Inches.
PANEL, LEFT, RIGHT, PITCH, AXIS, FOOTER, SHORTEST = 4.4, 0.18, 0.25, 0.29, 0.5, 0.22, 1.4
HATCHES = ("", "//", "..", "xx", "\\\\", "++", "oo")
MOST = len(COLORS)
"""Pieces that a figure tells apart."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: its name, its pieces by name in the order they follow one another, and a published total, marked on it.

    note: said behind the value.
    """

    label: str
    parts: Mapping[str, float]
    published: float | None = None
    note: str = ""

    @property
    def total(self) -> float:
        """Where the bar ends."""
        return sum(self.parts.values())


def draw(bars: Sequence[Bar], label: str, unit: str, title: str, subtitle: str = "", footer: str = "") -> Figure:
    """The figure: a row a bar with its total behind it, pieces named in the legend.

    label: of the axis; unit: one of `attnsim.units`, or any word written behind a number ("x", "USD"), or empty.
    Raises: UsageError for nothing to draw, negative pieces, or more pieces than can be told apart.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from attnsim import __version__

    names = list(dict.fromkeys(name for bar in bars for name in bar.parts))
    if not names:
        raise UsageError("nothing to draw: no bar has a piece")
    if len(names) > MOST:
        raise UsageError(f"a figure tells {MOST} pieces apart, not {len(names)}; add some together")
    if any(value < 0 for bar in bars for value in bar.parts.values()):
        raise UsageError("a bar cannot have a negative piece")
    left = LEFT + text_width([bar.label for bar in bars], LABEL) + 0.12
    legend = _entries(names, bars)
    # Wide enough for the longest text behind a bar, with room for the bar, and for the title.
    across = max(PANEL, text_width([_behind(bar, unit) for bar in bars], LABEL) + SHORTEST)
    width = max(left + across + RIGHT, LEFT + bold_width(title, TITLE) + RIGHT)
    head = HEAD + (SUBTITLE if subtitle else 0.0) + 0.06
    panel = PITCH * len(bars) + 0.1
    rows = -(-len(legend) // _columns(legend))
    height = head + panel + AXIS + LEGEND * rows + FOOTER
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    figure.text(LEFT / width, 1 - 0.18 / height, title, fontsize=TITLE, fontweight="bold", color=INK, va="center_baseline")
    figure.text(LEFT / width, 1 - (HEAD + 0.03) / height, subtitle, fontsize=TICK, color=INK, va="center_baseline")
    told = "; ".join(filter(None, (f"attnsim {__version__}", footer)))
    figure.text(LEFT / width, 0.08 / height, told, fontsize=SMALL, color=FAINT)
    axes = figure.add_axes((left / width, (height - head - panel) / height, across / width, panel / height))
    _panel(axes, bars, names, label, unit, across)
    if legend:
        figure.legend(
            handles=legend, loc="upper left", bbox_to_anchor=(left / width, (FOOTER + LEGEND * rows) / height), ncols=_columns(legend),
            frameon=False, fontsize=TICK, borderpad=0, borderaxespad=0, columnspacing=1.4, handlelength=1.4, handletextpad=0.5,
            labelspacing=0.4,
        )  # fmt: skip
    return figure


def value_text(value: float, unit: str) -> str:
    """A value with its unit, three digits: "624 us", "6.72x", "0.0549 USD"."""
    if unit in UNITS:
        return format_quantity(value, unit)
    return f"{digits3(value)}{unit}" if unit in ("x", "%") else f"{digits3(value)} {unit}".rstrip()


def _behind(bar: Bar, unit: str) -> str:
    return "  ".join(filter(None, (value_text(bar.total, unit), bar.note)))


def _style(number: int) -> dict[str, Any]:
    return {"facecolor": COLORS[number], "hatch": HATCHES[number], "edgecolor": "white", "linewidth": 0.0, "alpha": 0.9}


def _entries(names: Sequence[str], bars: Sequence[Bar]) -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    found: list[Any] = [Patch(label=name, **_style(number)) for number, name in enumerate(names)] if len(names) > 1 else []
    if any(bar.published is not None for bar in bars):
        found.append(Line2D([], [], label="published", **_mark()))
    return found


def _mark() -> dict[str, Any]:
    return {"marker": "D", "linestyle": "none", "color": INK, "markerfacecolor": "white", "markersize": 5.0, "markeredgewidth": 1.0}


def _columns(legend: Sequence[Any]) -> int:
    """Entries a line that the panel has room for."""
    widest = text_width([str(entry.get_label()) for entry in legend], TICK) + 0.45
    return max(1, min(len(legend), int(PANEL // widest)))


def _panel(axes: Axes, bars: Sequence[Bar], names: Sequence[str], label: str, unit: str, across: float) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    texts = [_behind(bar, unit) for bar in bars]
    ends = [max(bar.total, bar.published or 0.0) for bar in bars]
    # The axis must end far enough right for the text behind each bar.
    rooms = [1 - (text_width([text], LABEL) + 0.2) / across for text in texts]
    axes.set_xlim(0, max(end / room for end, room in zip(ends, rooms, strict=True)) or 1.0)
    axes.set_ylim(len(bars) - 0.4, -0.6)
    reach = axes.get_xlim()[1]
    for row, (bar, text, end) in enumerate(zip(bars, texts, ends, strict=True)):
        start = 0.0
        for name, value in bar.parts.items():
            axes.barh(row, value, left=start, height=0.66, **_style(names.index(name)))
            start += value
        if bar.published is not None:
            axes.plot([bar.published], [row], zorder=5, **_mark())
        mark = 0.06 / across * reach if bar.published is not None and bar.published >= 0.97 * end else 0.0
        axes.text(end + 0.06 / across * reach + mark, row, text, va="center", ha="left", fontsize=LABEL, color=INK)
    axes.set_yticks(range(len(bars)), [bar.label for bar in bars], fontsize=LABEL)
    axes.tick_params(axis="y", length=0, pad=4)
    axes.tick_params(axis="x", labelsize=TICK, length=2.5, width=0.6, pad=2)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _position: _tick(value, unit)))
    axes.set_xlabel(label, fontsize=LABEL)
    axes.grid(True, axis="x", color="#E6E6E6", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_linewidth(0.6)


def _tick(value: float, unit: str) -> str:
    if unit not in UNITS:
        return f"{value:g}"
    number, _, rest = format_quantity(value, unit, digits=3).partition(" ")
    return f"{number.rstrip('0').rstrip('.') if '.' in number else number} {rest}" if value else "0"
