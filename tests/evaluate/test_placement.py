"""Where CTAs run: the list schedule of `makespan`, slot by slot."""

from __future__ import annotations

import random
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnsim.evaluate.makespan import FOLD_ABOVE, TICKS, makespan
from attnsim.evaluate.placement import Placement, place

costs = st.one_of(st.integers(1, 2000), st.floats(0.5, 2000))
patterns = st.lists(st.tuples(st.integers(0, 60), costs), min_size=1, max_size=6)
grids = st.tuples(patterns, st.integers(1, 6), st.integers(1, 7), st.integers(1, 4), st.floats(0.5, 1.0))


def check(placed: Placement, pattern: list[tuple[int, float]], repeat: int, alone: float) -> None:
    """Nothing overlaps, nothing is lost, and a processor works at its full rate whenever it holds a CTA that is not alone."""
    held = [0.0] * len(pattern)
    for pieces in placed.slots:
        for run, number in (pair for piece in pieces for pair in piece.held):
            held[run] += number
    assert held == pytest.approx([repeat * count if cost > 0 else 0 for count, cost in pattern])
    for pieces in placed.slots:
        assert all(a.end == b.start for a, b in zip(pieces, pieces[1:], strict=False))  # no slot waits while CTAs do
        assert all(piece.start <= piece.end + 1e-9 for piece in pieces)
        assert all(a.first < b.first for a, b in zip(pieces, pieces[1:], strict=False))
    last = [pieces[-1].end for pieces in placed.slots if pieces]
    assert max(last, default=0.0) == pytest.approx(placed.span, rel=1e-12)
    if alone < 1:
        return
    for processor in range(placed.processors):
        own = [pieces for slot, pieces in enumerate(placed.slots) if slot % placed.processors == processor]
        work = sum(pattern[run][1] * count for pieces in own for piece in pieces for run, count in piece.held)
        busy = max((pieces[-1].end for pieces in own if pieces), default=0.0)
        number = sum(len(pieces) for pieces in own)
        assert busy == pytest.approx(work, rel=1e-9, abs=(number + 1) / TICKS)


@settings(max_examples=100, deadline=None)
@given(grids, st.sampled_from([1, 20, 10**6]))
def test_the_last_cta_ends_at_the_makespan(grid: tuple[list[tuple[int, float]], int, int, int, float], most: int) -> None:
    pattern, repeat, processors, resident, alone = grid
    placed = place(pattern, repeat, processors, resident, alone, most)
    assert placed.span == pytest.approx(makespan(pattern, repeat, processors, resident, alone), abs=1 / TICKS, rel=1e-9)
    check(placed, pattern, repeat, alone)
    assert all(len(pieces) <= max(3, most // len(placed.slots)) + 1 for pieces in placed.slots)


@settings(max_examples=40, deadline=None)
@given(grids)
def test_every_cta_has_its_place_in_launch_order(grid: tuple[list[tuple[int, float]], int, int, int, float]) -> None:
    pattern, repeat, processors, resident, _ = grid
    placed = place(pattern, repeat, processors, resident, 1.0)
    launched = [index for index, (count, cost) in enumerate(pattern) for _ in range(count) if cost > 0] * repeat
    found = sorted((piece.first, piece.start, piece.held) for pieces in placed.slots for piece in pieces)
    assert [held for _, _, held in found] == [((run, 1),) for run in launched]
    assert [first for first, _, _ in found] == list(range(len(launched)))
    starts = [start for _, start, _ in found]
    assert starts == sorted(starts)  # handed out in this order
    for slot, pieces in enumerate(placed.slots):
        for piece in pieces[:-1]:  # while others wait, a CTA gets its share of the processor
            assert piece.end - piece.start == pytest.approx(pattern[piece.held[0][0]][1] * resident, abs=1 / TICKS), slot


def test_what_the_engine_folds_stands_in_the_middle_of_every_slot() -> None:
    draw = random.Random(8)
    for _ in range(4):
        pattern = [(draw.randint(1, 9), draw.uniform(500, 50000)) for _ in range(draw.randint(2, 40))]
        period, processors, resident = sum(count for count, _ in pattern), draw.choice((78, 132)), draw.choice((1, 2, 3))
        repeat = 200_000 // period
        placed = place(pattern, repeat, processors, resident)
        assert placed.span == pytest.approx(makespan(pattern, repeat, processors, resident), rel=1e-9, abs=1 / TICKS)
        folds = [[piece for piece in pieces if piece.folded] for pieces in placed.slots]
        assert all(len(own) == 1 for own in folds) and len({own[0].count for own in folds}) == 1
        assert repeat * period > FOLD_ABOVE and folds[0][0].count == int(folds[0][0].count)
        check(placed, pattern, repeat, 1.0)


def test_a_million_ctas_take_few_pieces() -> None:
    alike = place([(10**7 + 5, 300.0)], 1, 132, 2)
    assert sum(len(pieces) for pieces in alike.slots) <= 4 * 264
    assert alike.span == makespan([(10**7 + 5, 300.0)], 1, 132, 2)
    longest_first = [(1500, 1000.0 + 90 * tile) for tile in range(200, 0, -1)]
    placed = place(longest_first, 1, 132, 1, most=5_000)
    assert placed.span == pytest.approx(makespan(longest_first, 1, 132, 1), abs=1 / TICKS)
    assert sum(len(pieces) for pieces in placed.slots) <= 5_000
    check(placed, longest_first, 1, 1.0)


def test_a_wave_that_is_not_full() -> None:
    """Five CTAs of 100 cycles on two processors that hold two: a full wave of 200, then one alone, with the whole processor."""
    placed = place([(5, 100.0)], 1, 2, 2)
    assert [[(piece.start, piece.end) for piece in pieces] for pieces in placed.slots] == [
        [(0, 200), (200, 300)], [(0, 200)], [(0, 200)], [(0, 200)],
    ]  # fmt: skip
    assert placed.span == 300 == ceil(5 / 4) * 100 + 100
    assert place([(5, 100.0)], 1, 2, 2, 0.5).span == 400


def test_nothing_is_placed_of_nothing() -> None:
    assert place([(0, 5.0), (4, 0.0)], 3, 4, 2) == Placement(0.0, 4, 2, ((),) * 8)
