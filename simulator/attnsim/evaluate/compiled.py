"""`makespan` of many grids, compiled. The same integers in the same order of a heap's smallest: the same answer to the last bit."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numba import njit

from attnsim.evaluate.makespan import FOLD_ABOVE, TICKS

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

_TOO_LONG = 2.0**62  # ticks with a slot number beside them that an int64 cannot hold


def makespans(offsets: Array, count: Array, cost: Array, repeat: Array, processors: int, resident: int, alone: float) -> Array:
    """As `makespan` for every lane i: the runs `offsets[i]` ... `offsets[i + 1]` - 1 of (count, cost), `repeat[i]` times."""
    spans = np.empty(len(repeat))
    _spans(offsets.astype(np.int64), count.astype(np.int64), cost, repeat.astype(np.int64), processors, resident, alone, spans)
    return spans


@njit(cache=True, nogil=True)
def _gcd(a: int, b: int) -> int:
    while b:
        a, b = b, a % b
    return a


@njit(cache=True, nogil=True)
def _sift(heap: Array, slots: int, value: int) -> None:
    """The smallest of the heap replaced by a larger value."""
    place = 0
    while True:
        child = 2 * place + 1
        if child >= slots:
            break
        right = child + 1
        if right < slots and heap[right] < heap[child]:
            child = right
        if heap[child] >= value:
            break
        heap[place] = heap[child]
        place = child
    heap[place] = value


@njit(cache=True, nogil=True)
def _spans(offsets: Array, count: Array, cost: Array, repeat: Array, processors: int, resident: int, alone: float, spans: Array) -> None:
    slots = processors * resident
    bits = 0
    while (slots >> bits) > 0:
        bits += 1
    if resident == 1:
        alone = 1.0
    heap = np.empty(slots, np.int64)
    for lane in range(len(repeat)):
        start, stop = offsets[lane], offsets[lane + 1]
        period, work, longest, shortest = 0, 0.0, 0.0, np.inf
        for run in range(start, stop):
            if count[run] > 0 and cost[run] > 0:
                period += count[run]
                work += count[run] * cost[run]
                longest = max(longest, cost[run])
                shortest = min(shortest, cost[run])
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
        for _ in range(periods):
            for run in range(start, stop):
                if cost[run] > 0:
                    step_ticks = np.int64(np.rint(cost[run] * resident * TICKS)) << bits
                    for _ in range(count[run]):
                        _sift(heap, slots, heap[0] + step_ticks)
        spans[lane] = folded + _end(heap, slots, bits, processors, resident, alone)


@njit(cache=True, nogil=True)
def _end(heap: Array, slots: int, bits: int, processors: int, resident: int, alone: float) -> float:
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
