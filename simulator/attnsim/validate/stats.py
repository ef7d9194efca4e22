"""Error statistics. An error is predicted / measured - 1 in time: +0.05 means predicted 5 % too slow."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ErrorStats:
    """Statistics of |error| over n points (fractions; None when n is 0), and how many were measured below the certified floor.

    `mape` is the mean of |error|, `bias` the mean of the signed error, `max` the worst |error|.
    """

    n: int
    mape: float | None = None
    median: float | None = None
    p90: float | None = None
    max: float | None = None
    bias: float | None = None
    below_floor: int = 0

    @classmethod
    def of(cls, errors: Iterable[float], below_floor: int = 0) -> ErrorStats:
        """Statistics of signed errors."""
        signed = list(errors)
        if not signed:
            return cls(0, below_floor=below_floor)
        sizes = sorted(abs(e) for e in signed)
        n = len(sizes)
        return cls(n, math.fsum(sizes) / n, quantile(sizes, 0.5), quantile(sizes, 0.9), sizes[-1], math.fsum(signed) / n, below_floor)

    def to_dict(self) -> dict[str, float | int | None]:
        """Every name, always; the statistics of no points are null."""
        return {name: getattr(self, name) for name in ("n", "mape", "median", "p90", "max", "bias", "below_floor")}


def quantile(ordered: Sequence[float], q: float) -> float:
    """The q-quantile (0..1) of an ascending, non-empty sequence, interpolated linearly between its points (numpy's default)."""
    position = q * (len(ordered) - 1)
    low = math.floor(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (position - low) * (ordered[high] - ordered[low])


def percent(fraction: float | None, signed: bool = False) -> str:
    """A fraction as percent with one decimal; a dash for None."""
    if fraction is None:
        return "-"
    shown = round(fraction * 100, 1) + 0.0  # + 0.0: no minus sign before a zero
    return f"{shown:{'+' if signed else ''}.1f} %"
