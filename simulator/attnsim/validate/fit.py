"""The simplest model with constants: t = floor / efficiency + overhead, fitted on a sample as a bar to be beaten."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

EFFICIENCIES = tuple(step / 100 for step in range(2, 151))


@dataclass(frozen=True, slots=True)
class TwoParameters:
    """efficiency: of the machine's peak; overhead_s: of every call."""

    efficiency: float
    overhead_s: float

    def time_s(self, floor_s: float) -> float:
        """Seconds of a call whose roofline time is `floor_s`."""
        return floor_s / self.efficiency + self.overhead_s


def fit_two(pairs: Sequence[tuple[float, float]]) -> TwoParameters | None:
    """The pair with the least mean |predicted / measured - 1| over (floor, measured) seconds; None for no rows."""
    if not pairs:
        return None
    fits = (TwoParameters(efficiency, _overhead(pairs, efficiency)) for efficiency in EFFICIENCIES)
    return min(fits, key=lambda fit: math.fsum(abs(fit.time_s(floor) / measured - 1) for floor, measured in pairs))


def _overhead(pairs: Sequence[tuple[float, float]], efficiency: float) -> float:
    # sum |(f/e + o - t) / t| is least at the median of the residuals t - f/e, each weighing 1/t
    residuals = sorted((measured - floor / efficiency, 1 / measured) for floor, measured in pairs)
    half = math.fsum(weight for _, weight in residuals) / 2
    passed = 0.0
    for residual, weight in residuals:
        passed += weight
        if passed >= half:
            return max(0.0, residual)
    return 0.0
