"""What a fit found: a field of the machine, or the constants of one kernel, with the rows it is from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from attnsim.calibrate.rows import Row
from attnsim.units import format_quantity


@dataclass(frozen=True, slots=True)
class Field:
    """A number of the machine. place: keys down the arch file; unit: "" for a share or a count; spread: half of what lies between the
    20th and the 80th percentile of predicted / measured on its rows.
    """

    place: tuple[str, ...]
    before: float | None
    after: float
    unit: str
    note: str
    rows: tuple[Row, ...]
    spread: float

    @property
    def name(self) -> str:
        """Dotted."""
        return ".".join(self.place)

    def written(self) -> str | float:
        """The value as a file has it."""
        return written(self.after, self.unit)


@dataclass(frozen=True, slots=True)
class Constant:
    """A constant of a schedule. place: `constants.tensor_efficiency`, ...; when: condition of its entry; bound: upper or lower, if any."""

    place: tuple[str, ...]
    when: str | None
    before: float
    after: float
    unit: str
    bound: str = ""

    @property
    def name(self) -> str:
        """Dotted, with its condition."""
        return ".".join(self.place[1:]) + (f" where {self.when}" if self.when else "")


@dataclass(frozen=True, slots=True)
class KernelFit:
    """Constants of one schedule. entries: its lists as the file writes them, by place; before, after: mean |error| on the fitted rows;
    held: the same on the others, None where there are none.
    """

    schedule: str
    variant: str
    constants: tuple[Constant, ...]
    entries: dict[tuple[str, ...], list[dict[str, Any]]]
    rows: tuple[Row, ...]
    before: float
    after: float
    held_rows: int
    held: tuple[float, float] | None


def written(value: float, unit: str, digits: int = 5) -> str | float:
    """A number with its unit, or a plain one."""
    if not unit:
        return float(f"{value:.{digits}g}")
    if unit in ("cycle", "OP/cycle", "B/cycle"):
        return f"{value:.{digits}g} {unit}" if value < 1e5 else f"{value:.0f} {unit}"
    return format_quantity(value, unit, digits)


def spread_of(ratios: Sequence[float]) -> float:
    """Half of what lies between the 20th and the 80th percentile."""
    if len(ratios) < 2:
        return 0.0
    ordered = sorted(ratios)

    def at(share: float) -> float:
        place = share * (len(ordered) - 1)
        low = math.floor(place)
        high = min(low + 1, len(ordered) - 1)
        return ordered[low] + (place - low) * (ordered[high] - ordered[low])

    return (at(0.8) - at(0.2)) / 2


def mean_error(ratios: Sequence[float]) -> float:
    """Mean |predicted / measured - 1|."""
    return math.fsum(abs(ratio - 1) for ratio in ratios) / len(ratios)
