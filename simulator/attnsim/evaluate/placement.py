"""Where and when every CTA of a grid runs: the list schedule whose end `makespan` gives, kept slot by slot.

The same arithmetic on the same ticks, so that the last CTA ends when `makespan` says. While CTAs wait, each of the `resident` CTAs of a
processor gets an equal share of its rate; once none waits, those left share what the others no longer take. What `makespan` folds out of a
huge grid stands here as one piece a slot, and pieces beyond a limit are merged: what they hold is counted, not guessed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapreplace
from itertools import accumulate
from math import gcd

from attnsim.evaluate.makespan import FOLD_ABOVE, TICKS

MOST_PIECES = 80_000
"""Pieces that a placement keeps apart; beyond, CTAs in the middle of each slot are one piece."""

Held = tuple[tuple[int, float], ...]
"""(run of the pattern, CTAs of it) that a piece holds; CTAs are a fraction where a fold spread its periods over the slots."""


@dataclass(frozen=True, slots=True)
class Piece:
    """CTAs that follow one another on a slot.

    start, end: cycles from the first CTA's start; first: number of the first in launch order; held: which of them; folded: whether these
    are periods that the engine does not place one by one.
    """

    start: float
    end: float
    first: int
    held: Held
    folded: bool = False

    @property
    def count(self) -> float:
        """CTAs."""
        return sum(count for _, count in self.held)


@dataclass(frozen=True, slots=True)
class Placement:
    """span: cycles from the first CTA's start to the last one's end; slots: the pieces of each, slot i on processor i mod processors."""

    span: float
    processors: int
    resident: int
    slots: tuple[tuple[Piece, ...], ...]


@dataclass(slots=True)
class _Open:
    """A piece whose end is that of the slot's next one. Times in ticks."""

    start: int
    first: int
    held: Held


def place(
    pattern: Sequence[tuple[int, float]], repeat: int, processors: int, resident: int, alone: float = 1.0, most: int = MOST_PIECES
) -> Placement:
    """The list schedule of a grid; arguments as of `makespan`. most: pieces kept apart, but no fewer than three a slot."""
    runs = [(index, count, cost) for index, (count, cost) in enumerate(pattern) if count and cost > 0]
    slots = processors * resident
    if not runs:
        return Placement(0.0, processors, resident, ((),) * slots)
    alone = alone if resident > 1 else 1.0
    limit = max(3, most // slots)
    if all(cost == runs[0][2] for _, _, cost in runs):
        return _alike(runs, repeat, processors, resident, alone, limit)
    period, work = sum(count for _, count, _ in runs), sum(count * cost for _, count, cost in runs)
    removed = 0
    if repeat * period > FOLD_ABOVE and repeat > 1:  # as makespan folds
        keep, step = max(1, FOLD_ABOVE // period), slots // gcd(slots, period)
        removed = (repeat - keep) // step * step if repeat > keep else 0
    kept = repeat - removed
    placed, ends = _greedy(runs, kept, slots, resident, merge=kept * period > most)
    fold = None
    if removed:
        cut = kept // 2 * period
        held = tuple((index, removed * count / slots) for index, count, _ in runs)
        fold = _Fold(cut, removed * period, removed * work / processors, held)
    pieces = [_closed(opened, end, fold, limit) for opened, end in zip(placed, ends, strict=True)]
    span = 0.0
    for processor in range(processors):
        span = max(span, _drained(pieces, range(processor, slots, processors), alone))
    return Placement(span, processors, resident, tuple(tuple(own) for own in pieces))


@dataclass(frozen=True, slots=True)
class _Fold:
    """Periods left out behind the CTAs before `cut`: how many CTAs, the cycles that each slot takes for its share, and what that is."""

    cut: int
    ctas: int
    cycles: float
    held: Held


def _alike(runs: Sequence[tuple[int, int, float]], repeat: int, processors: int, resident: int, alone: float, limit: int) -> Placement:
    """CTAs of one cost go round the slots in waves."""
    cost, slots = runs[0][2], processors * resident
    period = sum(count for _, count, _ in runs)
    borders = list(accumulate(count for _, count, _ in runs))
    waves, rest = divmod(repeat * period, slots)
    most = -(-rest // processors)
    last = 1.0 / alone if most == 1 else float(most)

    def held(first: int, count: int) -> Held:
        if len(runs) == 1:
            return ((runs[0][0], count),)
        found: dict[int, int] = {}
        for number in range(first, first + count * slots, slots):
            run = runs[bisect_right(borders, number % period)][0]
            found[run] = found.get(run, 0) + 1
        return tuple(found.items())

    def stretch(slot: int, first: int, count: int) -> Piece:
        return Piece(first * resident * cost, (first + count) * resident * cost, first * slots + slot, held(first * slots + slot, count))

    placed = []
    for slot in range(slots):
        if waves <= limit:
            own = [stretch(slot, wave, 1) for wave in range(waves)]
        else:
            own = [stretch(slot, 0, 1), stretch(slot, 1, waves - 2), stretch(slot, waves - 1, 1)]
        if slot < rest:
            beside = len(range(slot % processors, rest, processors))
            lasts = min(last, 1.0 / alone if beside == 1 else float(beside))
            start, number = waves * resident, waves * slots + slot
            own.append(Piece(start * cost, (start + lasts) * cost, number, held(number, 1)))
        placed.append(tuple(own))
    return Placement((waves * resident + last) * cost, processors, resident, tuple(placed))


def _greedy(
    runs: Sequence[tuple[int, int, float]], repeat: int, slots: int, resident: int, merge: bool
) -> tuple[list[list[_Open]], list[int]]:
    """What every slot takes in launch order, and its end in ticks. merge: neighbours of one run on a slot are one piece."""
    bits = slots.bit_length()
    mask = (1 << bits) - 1
    ends = list(range(slots))  # end in ticks above the slot's number: a heap, as in makespan
    placed: list[list[_Open]] = [[] for _ in range(slots)]
    number = 0

    def take(slot: int, start: int, first: int, run: int, count: int) -> None:
        own = placed[slot]
        if merge and own and own[-1].held[0][0] == run:
            own[-1].held = ((run, own[-1].held[0][1] + count),)
        else:
            own.append(_Open(start, first, ((run, count),)))

    for _ in range(repeat):
        for run, count, cycles in runs:
            cost = round(cycles * resident * TICKS) << bits
            left = count
            if merge and count >= 2 * slots:
                ends.sort()
                if ends[-1] - ends[0] <= cost:  # whole turns: no slot comes round again before every other had its own
                    turns = left // slots
                    for place, end in enumerate(ends):
                        take(end & mask, end >> bits, number + place, run, turns)
                    ends = [end + turns * cost for end in ends]
                    number, left = number + turns * slots, left - turns * slots
            for _ in range(left):
                end = ends[0]
                take(end & mask, end >> bits, number, run, 1)
                heapreplace(ends, end + cost)
                number += 1
    last = [0] * slots
    for end in ends:
        last[end & mask] = end >> bits
    return placed, last


def _closed(opened: Sequence[_Open], end: int, fold: _Fold | None, limit: int) -> list[Piece]:
    """The pieces of a slot in cycles, what was folded among them, no more than `limit` of them."""
    stops = [*(one.start for one in opened[1:]), end]
    pieces = [Piece(one.start / TICKS, stop / TICKS, one.first, one.held) for one, stop in zip(opened, stops, strict=False)]
    if fold is not None:
        at = next((index for index, piece in enumerate(pieces) if piece.first >= fold.cut), len(pieces))
        start = pieces[at].start if at < len(pieces) else end / TICKS
        later = [Piece(one.start + fold.cycles, one.end + fold.cycles, one.first + fold.ctas, one.held) for one in pieces[at:]]
        pieces = [*pieces[:at], Piece(start, start + fold.cycles, fold.cut, fold.held, folded=True), *later]
    if len(pieces) <= limit:
        return pieces
    before = limit // 2
    after = limit - before - 1
    middle = pieces[before : len(pieces) - after]
    held: dict[int, float] = {}
    for piece in middle:
        for run, count in piece.held:
            held[run] = held.get(run, 0) + count
    merged = Piece(middle[0].start, middle[-1].end, middle[0].first, tuple(held.items()), any(piece.folded for piece in middle))
    return [*pieces[:before], merged, *pieces[len(pieces) - after :]]


def _drained(pieces: list[list[Piece]], slots: range, alone: float) -> float:
    """When a processor ends; the last piece of each of its slots ends where the rate left to it lets it."""
    order = sorted(slots, key=lambda slot: pieces[slot][-1].end if pieces[slot] else 0.0)
    before = now = 0.0
    for place, slot in enumerate(order):
        end = pieces[slot][-1].end if pieces[slot] else 0.0
        left = len(order) - place
        share = left / len(order) / (alone if left == 1 else 1.0)
        now += (end - before) * share
        before = end
        if pieces[slot]:
            last = pieces[slot][-1]
            pieces[slot][-1] = Piece(last.start, now, last.first, last.held, last.folded)
    return now
