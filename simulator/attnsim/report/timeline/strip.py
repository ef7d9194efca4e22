"""The lower half of a timeline: bars of time one under another, each with its length and its share of the whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnsim.evaluate.render import percent
from attnsim.report.roofline.figure import BAR, BOUND_BAR, INK
from attnsim.units import format_quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PITCH = 0.2
"""Inches from bar to bar."""
TEXT = 7.5  # points


@dataclass(frozen=True, slots=True)
class Bar:
    """A row: (start, seconds) of its pieces; mark: what is said of a row that stands out."""

    name: str
    pieces: tuple[tuple[float, float], ...]
    mark: str = ""

    @property
    def seconds(self) -> float:
        """Of all its pieces."""
        return sum(seconds for _, seconds in self.pieces)

    @property
    def label(self) -> str:
        """What stands on its left."""
        return f"{self.name} ({self.mark})" if self.mark else self.name

    def told(self, length: float) -> str:
        """What stands on its right."""
        return f"{format_quantity(self.seconds, 's')}, {percent(self.seconds / length)}"


def draw_strip(axes: Axes, bars: Sequence[Bar], length: float, lit: Sequence[tuple[float, float]] = (), lit_color: str = "") -> None:
    """Draw the bars over `length` seconds. lit: (start, seconds) of what is marked on the first one."""
    unit, scale = time_unit(length)
    for row, bar in enumerate(bars):
        for start, seconds in bar.pieces:
            axes.barh(row, seconds * scale, left=start * scale, height=0.66, color=BOUND_BAR if bar.mark else BAR, linewidth=0)
        axes.text(length * scale * 1.008, row, bar.told(length), fontsize=TEXT, color=INK, va="center")
    for start, seconds in lit:
        axes.barh(0, seconds * scale, left=start * scale, height=0.66, color=lit_color, linewidth=0)
    axes.set_xlim(0, length * scale)
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.set_yticks(range(len(bars)), [bar.label for bar in bars])
    axes.set_xlabel(f"{unit}; blue: the waves above" if lit else unit, fontsize=TEXT + 0.5)
    bare(axes)


def bare(axes: Axes) -> None:
    """Only the time axis."""
    axes.tick_params(labelsize=TEXT, length=2.5)
    axes.tick_params(axis="y", length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def time_unit(seconds: float) -> tuple[str, float]:
    """A unit in which a time is between 1 and 1000, and what a second is in it."""
    return next(((name, scale) for name, scale in (("s", 1.0), ("ms", 1e3), ("us", 1e6)) if seconds * scale >= 1), ("ns", 1e9))
