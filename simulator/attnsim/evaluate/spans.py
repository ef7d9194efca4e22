"""What the CTAs of a grid cost, and when the last of them ends: of one point, or of many at once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, TypeAlias, Union

from attnsim.evaluate.makespan import makespan
from attnsim.evaluate.walks import Rounds
from attnsim.lanes import Number, added, many
from attnsim.mask.base import Rounds as PlainRounds

if TYPE_CHECKING:
    from attnsim.evaluate.lanespans import LaneCosts

Costs: TypeAlias = Union[list[tuple[Number, Number]], "LaneCosts"]
"""(CTAs, cycles of a processor each) of one period of a grid, in launch order; LaneCosts where lanes have other numbers of them."""

Span: TypeAlias = Callable[[Sequence[tuple[int, float]], int, int, int, float], float]
"""When the last CTA ends, as `makespan`."""


#: Grids of CTAs that differ which a process schedules in plain Python, about a second of work, before it imports the compiled scheduler.
WORTH_COMPILING = 2048
_in_python = count()


def costs_of(rounds: Rounds, per_tile: Number, masked: Number, overhead: Number) -> Costs:
    """per_tile: cycles of a visited tile; masked: those that a mask adds; overhead: of a CTA."""
    if isinstance(rounds, tuple):
        return [(count, visited * per_tile + partial * masked + overhead) for count, visited, partial in rounds]
    from attnsim.evaluate.lanespans import LaneCosts

    return LaneCosts.of(rounds, per_tile, masked, overhead)


def grid_times(
    rounds: Rounds, each: Sequence[Number], repeat: Number, orders: tuple[bool, bool], slots: tuple[int, int, float], span_of: Span
) -> tuple[Number, Number]:
    """Cycles until the last CTA of a grid ends, and of all its CTAs together.

    each: cycles of a visited tile, those that a mask adds, and of a CTA; orders, the rest: as in `grid_span`. Compiled where that is
    worth it, with the same answer to the last bit.
    """
    if span_of is makespan and type(rounds) is PlainRounds and len(rounds) > 1 and not many(repeat, *each):
        compiled = _compiled()
        if compiled is not None:
            return compiled(*rounds.columns, *map(float, each), repeat, *orders, *slots)
    costs = costs_of(rounds, *each)
    return grid_span(costs, repeat, *orders, slots, span_of), total_cost(costs) * repeat


def _compiled() -> Callable[..., tuple[float, float]] | None:
    """The compiled scheduler, if numba is there (the extra `fast`) and this process asks often enough to pay for its import."""
    if "attnsim.evaluate.compiled" not in sys.modules and next(_in_python) < WORTH_COMPILING:
        return None
    return _scheduler()


@lru_cache(maxsize=1)
def _scheduler() -> Callable[..., tuple[float, float]] | None:
    try:
        from attnsim.evaluate.compiled import grid_times as compiled
    except (ImportError, RuntimeError):  # numba needs a folder to keep what it compiled in
        return None
    return compiled


def total_cost(costs: Costs) -> Number:
    """Cycles of all CTAs of a period."""
    return added(ctas * cost for ctas, cost in costs) if isinstance(costs, list) else costs.total


def first_cost(costs: Costs) -> Number:
    """Cycles of the first CTA of a list."""
    assert isinstance(costs, list)
    return costs[0][1]


def grid_span(costs: Costs, repeat: Number, longest_first: bool, batch_first: bool, slots: tuple[int, int, float], span_of: Span) -> Number:
    """Cycles until the last CTA of a grid ends.

    repeat: periods; longest_first: handed out by falling cost; batch_first: all that are alike before the next ones; slots: processors,
    CTAs resident on each, share of its rate that one alone reaches; span_of: of one point, as `makespan`.
    """
    if not isinstance(costs, list) or many(repeat, *(number for run in costs for number in run)):
        from attnsim.evaluate.lanespans import lane_span

        return lane_span(costs, repeat, longest_first, batch_first, slots)
    if longest_first:
        return span_of(sorted(((count * repeat, cost) for count, cost in costs), key=lambda item: -item[1]), 1, *slots)
    if batch_first:
        return span_of([(count * repeat, cost) for count, cost in costs], 1, *slots)
    return span_of(costs, repeat, *slots)
