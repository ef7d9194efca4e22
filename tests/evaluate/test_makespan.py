"""The makespan against a simulation of processor sharing, event by event in exact arithmetic."""

from __future__ import annotations

import random
import statistics
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnsim.evaluate import makespan as module
from attnsim.evaluate.makespan import FOLD_ABOVE, makespan

Pattern = list[tuple[int, int]]


def simulate(pattern: Pattern, repeat: int, processors: int, resident: int) -> Fraction:
    """When the last CTA ends. A processor gives each of its k CTAs 1/k of its rate; a CTA that ends frees its slot for the next in line.

    Slot i sits on processor i mod processors. Slots that become free at the same moment are filled in order of their numbers.
    """
    waiting = [Fraction(cost) for count, cost in pattern for _ in range(count)] * repeat
    waiting.reverse()
    running: list[dict[int, Fraction]] = [{} for _ in range(processors)]  # by processor: slot -> work left
    for slot in range(min(len(waiting), processors * resident)):
        running[slot % processors][slot] = waiting.pop()
    now = Fraction(0)
    while any(running):
        step = min(min(left.values()) * len(left) for left in running if left)
        now += step
        freed = []
        for left in running:
            done = step / len(left) if left else 0
            for slot in list(left):
                left[slot] -= done
                if left[slot] == 0:
                    freed.append(slot)
        for slot in sorted(freed):
            del running[slot % processors][slot]
            if waiting:
                running[slot % processors][slot] = waiting.pop()
    return now


# Costs are whole cycles, which the ticks of the implementation hold exactly: the greedy order is then the same, ties included.
costs = st.integers(1, 2000)
patterns = st.lists(st.tuples(st.integers(1, 25), costs), min_size=1, max_size=6)


@given(patterns, st.integers(1, 4), st.integers(1, 7), st.integers(1, 4))
def test_it_is_that_of_processor_sharing(pattern: Pattern, repeat: int, processors: int, resident: int) -> None:
    assert makespan(pattern, repeat, processors, resident) == pytest.approx(
        float(simulate(pattern, repeat, processors, resident)), rel=1e-9
    )


@settings(max_examples=40)
@given(st.lists(costs, min_size=1, max_size=60), st.integers(1, 3), st.integers(2, 5), st.integers(1, 3))
def test_it_holds_when_no_two_neighbours_are_alike(each: list[int], repeat: int, processors: int, resident: int) -> None:
    pattern = [(1, cost) for cost in each]
    assert makespan(pattern, repeat, processors, resident) == pytest.approx(
        float(simulate(pattern, repeat, processors, resident)), rel=1e-9
    )


@given(st.floats(1, 1e6), st.integers(1, 10**6), st.integers(1, 400), st.integers(1, 8))
def test_equal_ctas_run_in_waves(cost: float, count: int, processors: int, resident: int) -> None:
    waves, rest = divmod(count, processors * resident)
    # a full wave keeps a processor busy for `resident` costs, the last one for as many as it holds
    assert makespan([(count, cost)], 1, processors, resident) == pytest.approx((waves * resident + ceil(rest / processors)) * cost)


def test_equal_ctas_are_one_however_they_are_written() -> None:
    assert makespan([(5, 700.0), (2, 700.0)], 10, 8, 2) == makespan([(70, 700.0)], 1, 8, 2) == float(simulate([(7, 700)], 10, 8, 2))


@given(patterns, st.integers(1, 4), st.integers(1, 7), st.integers(1, 4))
def test_it_lies_between_perfect_balance_and_one_after_the_other(pattern: Pattern, repeat: int, processors: int, resident: int) -> None:
    work, longest = repeat * sum(count * cost for count, cost in pattern), max(cost for _, cost in pattern)
    span = makespan(pattern, repeat, processors, resident)
    assert max(work / processors, longest) <= span * (1 + 1e-9)
    # Graham's bound for greedy lists, each CTA of a full processor lasting `resident` times its cost
    assert span <= (work / processors + resident * longest) * (1 + 1e-9)


def test_nothing_takes_no_time() -> None:
    assert makespan([], 3, 108, 2) == 0
    assert makespan([(0, 100.0), (5, 0.0)], 3, 108, 2) == 0


def test_one_cta_takes_its_cost_however_many_may_be_resident() -> None:
    assert makespan([(1, 1000.0)], 1, 108, 2) == 1000
    assert makespan([(1, 1000.0), (1, 400.0)], 1, 108, 2) == 1000
    # 109 CTAs on 108 processors: two share one processor, which ends after both
    assert makespan([(1, 1000.0), (108, 400.0)], 1, 108, 2) == 1400


def test_longest_first_is_shorter_than_longest_last() -> None:
    rising = [(1, 1000.0 * (tile + 1)) for tile in range(64)]
    assert makespan(rising[::-1], 1, 8, 1) < makespan(rising, 1, 8, 1)


def exact(pattern: list[tuple[int, float]], repeat: int, processors: int, resident: int, monkeypatch: pytest.MonkeyPatch) -> float:
    with monkeypatch.context() as patch:
        patch.setattr(module, "FOLD_ABOVE", 10**12)
        return makespan(pattern, repeat, processors, resident)


def long_grids() -> list[tuple[list[tuple[int, float]], int, int, int]]:
    """Grids of 20000 to 60000 CTAs: causal walks, windows, random tiles and two kinds of CTAs, on machines that ship."""
    draw = random.Random(2307)
    grids = []
    for kind in ("causal", "window", "random", "two") * 9:
        size = draw.randint(2, 200)
        pattern: list[tuple[int, float]] = {
            "causal": [(1, 1000.0 + 900 * tile) for tile in range(size)],
            "window": [*((1, 1000.0 * tile) for tile in range(1, 9)), (size, 8000.0)],
            "random": [(draw.randint(1, 20), draw.uniform(500, 50000)) for _ in range(size % 60 + 2)],
            "two": [(draw.randint(1, 30), 1000.0), (draw.randint(1, 30), draw.uniform(1100, 30000))],
        }[kind]
        repeat = draw.choice((20001, 30000, 60000)) // sum(count for count, _ in pattern) + 1
        grids.append((pattern, repeat, draw.choice((78, 108, 132, 148, 304)), draw.choice((1, 2, 3))))
    grids.append(([(1, 1000.0 + 900 * tile) for tile in range(7)], 3000, 304, 3))  # the worst found in a search over 400
    return grids


def test_folding_the_middle_of_a_long_grid_costs_less_than_one_percent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The figures that the docstring of makespan gives."""
    errors = []
    for grid in long_grids():
        assert grid[1] * sum(count for count, _ in grid[0]) > FOLD_ABOVE
        errors.append(abs(makespan(*grid) / exact(*grid, monkeypatch) - 1))
    assert any(error > 0 for error in errors)  # something was folded
    assert max(errors) < 0.01
    assert statistics.mean(errors) < 0.001


def test_folding_keeps_the_time_in_proportion_to_the_work() -> None:
    pattern = [(1, 1000.0 + 900 * tile) for tile in range(64)]
    work = sum(cost for _, cost in pattern)
    for repeat in (1000, 10_000, 1_000_000):
        assert makespan(pattern, repeat, 132, 1) == pytest.approx(repeat * work / 132, rel=0.01)


def test_a_cta_alone_may_not_reach_the_full_rate() -> None:
    """One CTA on a processor that holds two takes 1 / alone as long; two together as long as ever; a processor for one is not concerned."""
    assert makespan([(4, 100.0)], 1, 8, 2, 0.8) == pytest.approx(125.0)
    assert makespan([(16, 100.0)], 1, 8, 2, 0.8) == pytest.approx(200.0)
    assert makespan([(4, 100.0)], 1, 8, 1, 0.8) == pytest.approx(100.0)
    # 60 and 100 share one processor until cycle 120, then 40 are left, at 0.8
    assert makespan([(1, 60.0), (1, 100.0)], 1, 1, 2, 0.8) == pytest.approx(120 + 40 / 0.8)
