"""`makespan` of many grids, compiled. The same integers in the same order of a heap's smallest: the same answer to the last bit."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numba import njit

from attnsim.evaluate.makespan import FOLD_ABOVE, RUN, TICKS

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


#: Runs of a period from which buckets beat a heap: where fewer costs differ, many ends are the same.
VARIED = 8
#: Runs of a period up to which a line for each beats buckets where many CTAs cost the same.
MOST_LINES = 96
_NEVER = 2**62
_SHARE = 256  # lanes that a thread takes at a time


def makespans(offsets: Array, count: Array, cost: Array, repeat: Array, processors: int, resident: int, alone: float) -> Array:
    """As `makespan` for every lane i: the runs `offsets[i]` ... `offsets[i + 1]` - 1 of (count, cost), `repeat[i]` times.

    On all cores: the compiled code runs without the interpreter's lock.
    """
    spans = np.empty(len(repeat))
    offsets, count, periods = offsets.astype(np.int64), count.astype(np.int64), repeat.astype(np.int64)

    def part(first: int) -> None:
        stop = min(first + _SHARE, len(repeat))
        _spans(offsets[first : stop + 1], count, cost, periods[first:stop], processors, resident, alone, spans[first:stop])

    starts = range(0, len(repeat), _SHARE)
    if len(starts) == 1:
        part(0)
    else:
        list(_threads().map(part, starts))
    return spans


def grid_times(
    count: Array, visited: Array, partial: Array, per_tile: float, masked: float, overhead: float, repeat: int, longest_first: bool,
    batch_first: bool, processors: int, resident: int, alone: float,
) -> tuple[float, float]:  # fmt: skip
    """As `spans.grid_times` of one grid: its rounds as columns."""
    found: tuple[float, float] = _times(
        count, visited, partial, per_tile, masked, overhead, repeat, longest_first, batch_first, processors, resident, float(alone)
    )
    return found


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())


@njit(cache=True, nogil=True)
def _ticks(cost: float, resident: int, bits: int) -> Any:
    """The time of a CTA above the bits of a slot number."""
    return np.int64(np.rint(cost * resident * TICKS)) << bits


@njit(cache=True, nogil=True)
def _gcd(a: int, b: int) -> int:
    while b:
        a, b = b, a % b
    return a


@njit(cache=True, nogil=True)
def _sift(heap: Array, slots: int, value: int) -> None:
    """The smallest of the heap replaced by a larger value: down to a leaf along the smaller children, and up again, mostly not far."""
    place, child = 0, 1
    while child + 1 < slots:
        child += heap[child + 1] < heap[child]
        heap[place] = heap[child]
        place, child = child, 2 * child + 1
    if child < slots:
        heap[place] = heap[child]
        place = child
    while place > 0:
        above = (place - 1) >> 1
        if heap[above] <= value:
            break
        heap[place] = heap[above]
        place = above
    heap[place] = value


@njit(cache=True, nogil=True)
def _queue(ends: Array, slots: int, costs: Array, count: Array, periods: int, total: int) -> None:
    """CTAs one by one, from buckets of ends: constant time each where costs differ, since a bucket then holds about one end.

    costs: ticks above the bits of a slot number, of runs of `count` CTAs; ends: of every slot, in the order of the slots.
    """
    work, longest = 0.0, 0
    for run in range(len(costs)):
        work += count[run] * float(costs[run])
        longest = max(longest, costs[run])
    width = max(1.0, work * periods / total / slots)
    shift = int(np.floor(np.log2(width)))
    buckets = 1
    while buckets < (longest >> shift) + 2:
        buckets *= 2
    first, after = np.full(buckets, -1, np.int64), np.empty(slots, np.int64)
    cursor, launched, mask = 0, 0, buckets - 1
    for _ in range(periods):
        for run in range(len(costs)):
            for _ in range(count[run]):
                if launched < slots:  # the first CTA of every slot
                    best = launched
                    launched += 1
                else:
                    while first[cursor & mask] < 0:
                        cursor += 1
                    bucket = cursor & mask
                    best, before = first[bucket], -1
                    last, other = best, after[best]
                    while other >= 0:
                        if ends[other] < ends[best]:
                            best, before = other, last
                        last, other = other, after[other]
                    if before < 0:
                        first[bucket] = after[best]
                    else:
                        after[before] = after[best]
                ends[best] += costs[run]
                bucket = (ends[best] >> shift) & mask
                after[best] = first[bucket]
                first[bucket] = best


@njit(cache=True, nogil=True)
def _lines(ends: Array, slots: int, costs: Array, count: Array, periods: int) -> None:
    """CTAs one by one, from a line for each cost: starts never fall, so CTAs that cost the same end in the order they started.

    Mostly the line that had the least end has the next one, too: the others are looked at again only when it has not.
    """
    classes = len(costs)
    line, heads = np.empty((classes, slots), np.int64), np.full(classes, _NEVER, np.int64)
    first, held = np.zeros(classes, np.int64), np.zeros(classes, np.int64)
    launched, out, least, other_least = 0, 0, _NEVER, -1
    for _ in range(periods):
        for run in range(classes):
            for _ in range(count[run]):
                if launched < slots:
                    end = launched + costs[run]
                    launched += 1
                else:
                    if least > other_least:
                        least = heads[0]
                        for other in range(1, classes):
                            least = min(least, heads[other])
                        out = 0
                        while heads[out] != least:
                            out += 1
                        heads[out] = _NEVER
                        other_least = heads[0]
                        for other in range(1, classes):
                            other_least = min(other_least, heads[other])
                    end = least + costs[run]
                    first[out] = first[out] + 1 if first[out] + 1 < slots else 0
                    held[out] -= 1
                    least = line[out, first[out]] if held[out] else _NEVER
                    heads[out] = least
                place = first[run] + held[run]
                line[run, place if place < slots else place - slots] = end
                if held[run] == 0:
                    heads[run] = end
                    if run == out:
                        least = end
                    else:
                        other_least = min(other_least, end)
                held[run] += 1
    slot = 0
    for run in range(classes):
        for index in range(held[run]):
            place = first[run] + index
            ends[slot] = line[run, place if place < slots else place - slots]
            slot += 1


@njit(cache=True, nogil=True)
def _place(ends: Array, spare: Array, slots: int, count: int, cost: int, ordered: bool) -> bool:
    """A run of equal CTAs on the slots that are free first: whole turns at once, then what one turn takes, the rest one by one."""
    while count >= RUN:
        if not ordered:
            ends.sort()
            ordered = True
        if ends[-1] - ends[0] <= cost:
            turns, rest = count // slots, count % slots
            for slot in range(slots - rest):
                spare[slot] = ends[slot + rest] + turns * cost
            for slot in range(rest):
                spare[slots - rest + slot] = ends[slot] + (turns + 1) * cost
            ends[:] = spare
            return True
        placed = min(count, np.searchsorted(ends, ends[0] + cost, side="right"))
        if placed < RUN:
            break
        left, moved = placed, 0  # what stays and what moves are each in order
        for slot in range(slots):
            if left < slots and (moved >= placed or ends[left] <= ends[moved] + cost):
                spare[slot] = ends[left]
                left += 1
            else:
                spare[slot] = ends[moved] + cost
                moved += 1
        ends[:] = spare
        count -= placed
    for _ in range(count):
        _sift(ends, slots, ends[0] + cost)
    return ordered and count == 0


@njit(cache=True, nogil=True)
def _spans(offsets: Array, count: Array, cost: Array, repeat: Array, processors: int, resident: int, alone: float, spans: Array) -> None:
    slots = processors * resident
    bits = 0
    while (slots >> bits) > 0:
        bits += 1
    if resident == 1:
        alone = 1.0
    heap, spare = np.empty(slots, np.int64), np.empty(slots, np.int64)
    for lane in range(len(repeat)):
        start, stop = offsets[lane], offsets[lane + 1]
        period, work, longest, shortest, most, runs = 0, 0.0, 0.0, np.inf, 0, 0
        for run in range(start, stop):
            if count[run] > 0 and cost[run] > 0:
                period += count[run]
                work += count[run] * cost[run]
                longest = max(longest, cost[run])
                shortest = min(shortest, cost[run])
                most = max(most, count[run])
                runs += 1
        periods = repeat[lane]
        total = periods * period
        if total == 0:
            spans[lane] = 0.0
            continue
        if longest == shortest:
            waves, rest = total // slots, total % slots
            last = -(-rest // processors)
            spans[lane] = (waves * resident + (1.0 / alone if last == 1 else last)) * longest
            continue
        folded = 0.0
        if total > FOLD_ABOVE and periods > 1:
            step = slots // _gcd(slots, period)
            keep = max(1, FOLD_ABOVE // period)
            removable = (periods - keep) // step * step if periods > keep else 0
            folded = removable * work / processors
            periods -= removable
            total = periods * period
        if total <= processors:
            spans[lane] = folded + longest / alone
            continue
        for slot in range(slots):
            heap[slot] = slot
        few = runs <= MOST_LINES and total >= slots
        lasting = _ticks(shortest, resident, bits) > 0  # a slot is not free again before every other had its first CTA
        if lasting and period < runs * slots // 4 and (runs >= VARIED or few):
            kept = np.empty(runs, np.int64)
            times = np.empty(runs, np.int64)
            runs = 0
            for run in range(start, stop):
                if count[run] > 0 and cost[run] > 0:
                    kept[runs], times[runs] = _ticks(cost[run], resident, bits), count[run]
                    runs += 1
            if few and (period >= 2 * runs or runs < VARIED):
                _lines(heap, slots, kept, times, periods)
            else:
                _queue(heap, slots, kept, times, periods, total)
            spans[lane] = folded + _end(heap, slots, bits, processors, resident, alone)
            continue
        ordered = True  # a sorted list is a heap, too
        for _ in range(periods):
            for run in range(start, stop):
                if cost[run] > 0:
                    step_ticks = _ticks(cost[run], resident, bits)
                    ordered = _place(heap, spare, slots, count[run], step_ticks, ordered)
        spans[lane] = folded + _end(heap, slots, bits, processors, resident, alone)


@njit(cache=True, nogil=True)
def _times(
    count: Array, visited: Array, partial: Array, per_tile: float, masked: float, overhead: float, repeat: int, longest_first: bool,
    batch_first: bool, processors: int, resident: int, alone: float,
) -> Any:  # fmt: skip
    cost, total = visited * per_tile + partial * masked + overhead, 0.0
    for run in range(len(cost)):
        total += count[run] * cost[run]
    periods = np.array([repeat])
    if longest_first or batch_first:
        count, periods = count * repeat, np.array([1])
    if longest_first:
        order = np.argsort(-cost, kind="mergesort")
        count, cost = count[order], cost[order]
    spans = np.empty(1)
    _spans(np.array([0, len(cost)]), count, cost, periods, processors, resident, alone, spans)
    return spans[0], total * repeat


@njit(cache=True, nogil=True)
def _end(heap: Array, slots: int, bits: int, processors: int, resident: int, alone: float) -> Any:
    if resident == 1:
        return (heap.max() >> bits) / TICKS
    mask = (1 << bits) - 1
    totals, latest, second = np.zeros(processors, np.int64), np.zeros(processors, np.int64), np.zeros(processors, np.int64)
    for index in range(slots):
        processor, ticks = (heap[index] & mask) % processors, heap[index] >> bits
        totals[processor] += ticks
        if ticks > latest[processor]:
            second[processor], latest[processor] = latest[processor], ticks
        elif ticks > second[processor]:
            second[processor] = ticks
    stretch = 1.0 / alone - 1.0
    return (totals + stretch * (latest - second)).max() / (resident * TICKS)
