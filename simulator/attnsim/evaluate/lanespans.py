"""When the last CTA ends, of many grids at once: as `makespan`, CTA by CTA, compiled where numba is installed.

Grids whose CTAs cost the same have a closed form. For the others list scheduling is done one grid after the other with the very integers of
`makespan`, so that the two agree to the last tick: compiled with numba (the extra `fast`), else by `makespan` itself.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from attnsim.evaluate.makespan import makespan
from attnsim.lanes import Lanes, Number, count_of, values_of
from attnsim.mask.ragged import Ragged, as_ragged

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

#: Grids at a time from which the compiled scheduler is imported.
WORTH_COMPILING = 512


@dataclass(frozen=True, slots=True, eq=False)
class LaneCosts:
    """(CTAs, cycles of a processor each) of every lane, in launch order: runs `offsets[i]` ... `offsets[i + 1]` - 1 are those of lane i."""

    offsets: Array
    count: Array
    cost: Array

    @classmethod
    def of(cls, rounds: Ragged, per_tile: Number, masked: Number, overhead: Number) -> LaneCosts:
        """As `spans.costs_of`."""
        each = rounds.visited * rounds.spread(per_tile) + rounds.partial * rounds.spread(masked) + rounds.spread(overhead)
        return cls(rounds.offsets, rounds.count, each)

    @property
    def lane(self) -> Array:
        """The lane of every run."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    @property
    def total(self) -> Lanes:
        """Cycles of all CTAs of a period, by lane."""
        return Lanes(np.add.reduceat(self.count * self.cost, self.offsets[:-1]))


def lane_span(costs: Any, repeat: Number, longest_first: bool, batch_first: bool, slots: tuple[int, int, float]) -> Lanes:
    """As `spans.grid_span`, of every lane."""
    if isinstance(costs, list):
        lanes = count_of(repeat, *(number for run in costs for number in run))
        if len(costs) == 1:
            ((count, cost),) = costs
            return Lanes(_even(values_of(count * repeat, lanes), values_of(cost, lanes), *slots))
        ragged = as_ragged([(count, cost, 0) for count, cost in costs], lanes)
        costs = LaneCosts(ragged.offsets, ragged.count, ragged.visited)
    lanes = len(costs.offsets) - 1
    periods = values_of(repeat, lanes)
    count, cost = costs.count, costs.cost
    if longest_first or batch_first:
        count = count * np.repeat(periods, np.diff(costs.offsets))
        periods = np.ones(lanes)
    if longest_first:
        order = np.lexsort((-cost, costs.lane))
        count, cost = count[order], cost[order]
    return Lanes(_uneven(LaneCosts(costs.offsets, count, cost), periods, *slots))


def _even(ctas: Array, cost: Array, processors: int, resident: int, alone: float) -> Array:
    """Grids of CTAs that cost the same."""
    slots = processors * resident
    alone = alone if resident > 1 else 1.0
    waves = np.floor(ctas / slots)
    last = np.ceil((ctas - waves * slots) / processors)
    span: Array = (waves * resident + np.where(last == 1, 1.0 / alone, last)) * cost
    return np.where(cost > 0, span, 0.0)


def _uneven(costs: LaneCosts, periods: Array, processors: int, resident: int, alone: float) -> Array:
    makespans = _compiled(len(periods))
    if makespans is None:
        return np.array(
            [
                makespan(
                    [(int(count), float(cost)) for count, cost in zip(costs.count[a:b], costs.cost[a:b], strict=True)],
                    int(periods[lane]), processors, resident, alone,
                )
                for lane, (a, b) in enumerate(zip(costs.offsets[:-1], costs.offsets[1:], strict=True))
            ]
        )  # fmt: skip
    return makespans(costs.offsets, costs.count, costs.cost, periods, processors, resident, alone)


def _compiled(lanes: int) -> Callable[..., Array] | None:
    """The compiled scheduler, if numba is there and already at work, or worth its half second of import (6 s the very first time)."""
    if lanes < WORTH_COMPILING and "attnsim.evaluate.compiled" not in sys.modules:
        return None
    try:
        from attnsim.evaluate.compiled import makespans
    except (ImportError, RuntimeError):  # numba is an extra, and needs a folder to keep what it compiled in
        return None
    return makespans
