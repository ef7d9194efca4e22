"""A straight line through times: t = alpha + amount / rate, by least squares of the logarithm, outliers counting less (soft L1)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from attnsim.calibrate.found import spread_of
from attnsim.calibrate.rows import Row

SOFT = 0.05
"""A misfit of 5 % and more counts linearly: a row that was disturbed does not pull the rest with it."""

STEP = 1e-4
FINEST = 2e-3


@dataclass(frozen=True, slots=True)
class Line:
    """alpha_s: seconds before the first byte; rate: bytes per second; spread as in `Field`."""

    alpha_s: float
    rate: float
    spread: float


def fit_line(points: Sequence[tuple[float, float]]) -> Line:
    """Through (amount, seconds), one point at least; with one, or with amounts that hardly differ, alpha is 0."""
    import numpy as np

    amounts, times = (np.array(side, float) for side in zip(*points, strict=True))
    rate = float(np.max(amounts / times))
    if amounts.max() < 1.5 * amounts.min():
        return Line(0.0, float(np.median(amounts / times)), spread_of(list(amounts / times / np.median(amounts / times))))

    def model(x: Any) -> Any:
        return np.exp(x[0]) + amounts / rate / np.exp(x[1])

    first = max(1e-10, float(np.min(times - amounts / rate / 1.02)))
    x = minimise(lambda x: np.log(model(x) / times), [float(np.log(first)), 0.02], [-25.0, -2.0], [float(np.log(times.min())), 1.0])
    return Line(float(np.exp(x[0])), rate * float(np.exp(x[1])), spread_of(list(model(x) / times)))


def minimise(
    residuals: Callable[[Any], Any], first: Sequence[float], low: Sequence[float], high: Sequence[float], step: float = STEP
) -> Any:
    """The least squares solution within bounds: plain squares find the way from afar, soft L1 then lets go of outliers.

    step: of the difference quotients; unknowns are scaled to about 1.
    """
    import numpy as np
    from scipy.optimize import least_squares

    def slopes(x: Any) -> Any:
        columns = []
        for index in range(len(x)):
            ends = []
            for moved in (min(x[index] + step, high[index]), max(x[index] - step, low[index])):
                there = np.array(x, float)
                there[index] = moved
                ends.append((moved, np.asarray(residuals(there), float)))
            (above, upper), (below, lower) = ends
            columns.append((upper - lower) / (above - below))
        return np.stack(columns, axis=1)

    margin = 1e-6 * (np.array(high) - np.array(low))
    x = np.clip(first, np.array(low) + margin, np.array(high) - margin)
    for loss, scale in (("linear", 1.0), ("soft_l1", SOFT)):
        x = least_squares(residuals, x, jac=slopes, bounds=(low, high), loss=loss, f_scale=scale, method="dogbox", max_nfev=25).x
    return x


def soft(residuals: Sequence[float]) -> float:
    """The soft L1 loss."""
    return math.fsum(math.sqrt(1 + (value / SOFT) ** 2) - 1 for value in residuals)


def polish(
    residuals: Callable[[Any], Sequence[float]], first: Sequence[float], low: Sequence[float], high: Sequence[float], step: float
) -> list[float]:
    """One unknown after the other moved while soft L1 falls, in ever smaller steps: for what jumps a little wherever one looks."""
    x, best = list(first), soft(residuals(first))
    while step > FINEST:
        moved = False
        for index in range(len(x)):
            for way in (step, -step):
                there = [*x[:index], min(high[index], max(low[index], x[index] + way)), *x[index + 1 :]]
                if (found := soft(residuals(there))) < best * (1 - 1e-9):
                    x, best, moved = there, found, True
                    break
        if not moved:
            step /= 2
    return x


def best_of(rows: Iterable[Row]) -> list[Row]:
    """The fastest row of each number of bytes, by bytes: a machine's speed is what its best kernel of that size gets."""
    best: dict[float, Row] = {}
    for row in rows:
        size = round(row.bytes / 2**12)  # a triad of three buffers is some bytes short of the power of two
        if size not in best or row.bytes / row.seconds > best[size].bytes / best[size].seconds:
            best[size] = row
    return [best[size] for size in sorted(best)]
