"""When the last CTA ends: greedy list scheduling of CTAs on processors, as the hardware's block scheduler does it.

CTAs are given in launch order, run-length encoded. A processor holds up to `resident` CTAs which share its rate equally, so a CTA of cost
c (cycles of the whole processor) lasts resident x c while the machine is full. While CTAs wait, every slot is busy, and scheduling on
processors x resident slots is exact; once none waits, the CTAs left on a processor drain at its full rate, so the processor ends at the
mean of its slots' end times; later when a CTA left alone cannot use the full rate.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from heapq import heapreplace
from math import ceil, gcd

from attnsim.lanes import added

#: Above this many CTAs the middle of a periodic launch order is folded out (its slots stay busy, so it only adds work / rate).
FOLD_ABOVE = 6000
# Times are kept as integers in 1/256 cycle, with the slot number in the low bits: heap operations on ints are several times faster
# than on tuples.
TICKS = 256
RUN = 10  # equal CTAs in a row from which placing them in one sort beats one heap operation each


def makespan(pattern: Sequence[tuple[int, float]], repeat: int, processors: int, resident: int, alone: float = 1.0) -> float:
    """Cycles from the first CTA's start to the last one's end.

    pattern: (count, cost in processor cycles) of consecutive CTAs of one period, in launch order; repeat: periods; alone: share of a
    processor's rate that one CTA reaches when it is the only one there of several that fit. Error: below one tick per CTA; with folding
    (more than FOLD_ABOVE CTAs) below 1 %, 0.1 % on average (tests/evaluate/test_makespan.py).
    """
    pattern = [(count, cost) for count, cost in pattern if count and cost > 0]
    if not pattern:
        return 0.0
    total = repeat * sum(count for count, _ in pattern)
    slots = processors * resident
    alone = alone if resident > 1 else 1.0
    if all(cost == pattern[0][1] for _, cost in pattern):
        waves, rest = divmod(total, slots)
        last = ceil(rest / processors)
        return (waves * resident + (1.0 / alone if last == 1 else last)) * pattern[0][1]
    folded = 0.0
    if total > FOLD_ABOVE and repeat > 1:
        period = total // repeat
        work = added(count * cost for count, cost in pattern)
        # Remove whole periods in steps after which the same slot pattern recurs on average.
        step = slots // gcd(slots, period)
        keep = max(1, FOLD_ABOVE // period)
        removable = (repeat - keep) // step * step if repeat > keep else 0
        folded = removable * work / processors
        repeat -= removable
        total = repeat * period
    if total <= processors:
        return folded + max(cost for _, cost in pattern) / alone
    return folded + _schedule(pattern, repeat, processors, resident, alone)


def _schedule(pattern: Sequence[tuple[int, float]], repeat: int, processors: int, resident: int, alone: float) -> float:
    slots = processors * resident
    bits = slots.bit_length()
    runs = [(count, round(cost * resident * TICKS) << bits) for count, cost in pattern]
    # End times with the slot number in the low bits: slot i sits on processor i mod processors, so the first CTAs go round robin.
    ends = list(range(slots))
    if max(count for count, _ in runs) >= RUN:
        _place_runs(ends, runs * repeat, slots)
    else:
        for cost in [cost for count, cost in runs for _ in range(count)] * repeat:
            heapreplace(ends, ends[0] + cost)
    mask = (1 << bits) - 1
    if resident == 1:
        return (max(ends) >> bits) / TICKS
    totals, latest, second = [0] * processors, [0] * processors, [0] * processors
    for end in ends:
        processor, ticks = (end & mask) % processors, end >> bits
        totals[processor] += ticks
        if ticks > latest[processor]:
            second[processor], latest[processor] = latest[processor], ticks
        elif ticks > second[processor]:
            second[processor] = ticks
    # The last CTA of a processor has it for itself once the last but one is done: that stretch takes 1 / alone as long.
    stretch = 1.0 / alone - 1.0
    return max(total + stretch * (last - before) for total, last, before in zip(totals, latest, second, strict=True)) / (resident * TICKS)


def _place_runs(ends: list[int], runs: Sequence[tuple[int, int]], slots: int) -> None:
    """Greedy placement of runs of equal CTAs; `ends` (sorted, or a heap) is changed in place."""
    ordered = True
    for run, cost in runs:
        count = run
        while count >= RUN:
            if not ordered:
                ends.sort()
                ordered = True
            if ends[-1] - ends[0] <= cost:
                # No slot comes round again before every other had its turn: whole turns at once, and the result is sorted already.
                turns, rest = divmod(count, slots)
                later = [end + turns * cost for end in ends[rest:]] if turns else ends[rest:]
                ends[:] = later + [end + (turns + 1) * cost for end in ends[:rest]]
                count = 0
                break
            placed = min(count, bisect_right(ends, ends[0] + cost))  # the slots that take one CTA before the first takes a second
            if placed < RUN:
                break
            ends[:] = ends[placed:] + [end + cost for end in ends[:placed]]
            ends.sort()
            count -= placed
        if count:
            ordered = False
            for _ in range(count):
                heapreplace(ends, ends[0] + cost)
