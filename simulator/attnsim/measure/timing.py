"""Time of one call: warm-up, then replays of a CUDA graph (or plain calls) back to back for as long as is asked."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from attnsim.measure.sensors import Reading, Sensors, flags, summary
from attnsim.measure.suite import Prepared, Value

REPLAY_S, LONGEST_S, MOST_CALLS, FEWEST, MOST_REPLAYS, AHEAD = 2e-3, 0.05, 512, 7, 2000, 3
NOISY, OUTLIER, OUTLIERS = 0.05, 1.25, 0.05


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of one call in every replay, calls of a replay, sets of inputs they rotate over, what the sensors read meanwhile, notes."""

    samples_s: tuple[float, ...]
    calls: int
    sets: int
    readings: tuple[Reading, ...] = ()
    notes: tuple[str, ...] = ()

    def columns(self) -> dict[str, Value]:
        """Columns of the file, from time_us to flags; microseconds."""
        ordered = sorted(self.samples_s)
        found = [*self.notes, *flags(self.readings), *spread_flags(ordered)]
        return {
            "time_us": _us(percentile(ordered, 0.5)), "p20_us": _us(percentile(ordered, 0.2)), "p80_us": _us(percentile(ordered, 0.8)),
            "calls": self.calls, "sets": self.sets, **summary(self.readings), "flags": ";".join(found),
        }  # fmt: skip


def percentile(ordered: Sequence[float], share: float) -> float:
    """Of sorted values, the one that `share` of them do not exceed, between two neighbours where it falls between them."""
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def spread_flags(ordered: Sequence[float]) -> list[str]:
    """`noisy`: p20 to p80 is wider than 5 % of the median; `outliers`: more than 5 % of the samples are 25 % above it."""
    median = percentile(ordered, 0.5)
    found = ["noisy"] if percentile(ordered, 0.8) - percentile(ordered, 0.2) > NOISY * median else []
    far = sum(sample > OUTLIER * median for sample in ordered)
    return found + (["outliers"] if far > OUTLIERS * len(ordered) else [])


def time_cpu(prepared: Prepared, hold_s: float) -> Timing:
    """Calls one after another on the CPU's clock, after half of `hold_s` to warm up."""
    if prepared.times is not None:
        return Timing(tuple(prepared.times()), 1, 1)
    hold_s = prepared.hold_s or hold_s
    calls, now = prepared.calls, time.perf_counter
    start, done = now(), 0
    while done < len(calls) or now() - start < hold_s / 2:
        calls[done % len(calls)]()
        done += 1
    # A sample is so many calls that the clock's own grain does not show.
    group = max(1, math.ceil(2e-4 * done / (now() - start)))
    samples: list[float] = []
    start, index = now(), 0
    while len(samples) < FEWEST or (now() - start < hold_s and len(samples) < MOST_REPLAYS):
        first = now()
        for _ in range(group):
            calls[index % len(calls)]()
            index += 1
        samples.append((now() - first) / group)
    return Timing(tuple(samples), group, len(calls))


def time_cuda(prepared: Prepared, hold_s: float, sensors: Sensors) -> Timing:
    """Replays back to back for `hold_s`, so that the GPU stays at the clock such work settles at, after half of that to warm up.

    A replay is one CUDA graph of every set of inputs in turn (or the plain calls, where a graph may not be had), about 2 ms or more.
    """
    import torch

    if prepared.times is not None:
        return Timing(tuple(prepared.times()), 1, 1)
    hold_s = prepared.hold_s or hold_s
    notes: tuple[str, ...] = ()
    order = _order(torch, prepared.calls)
    replay: Callable[[], Any] = _in_turn(order)
    if prepared.graph:
        try:
            replay = _captured(torch, order)
        except RuntimeError:  # a library that synchronises while it is captured; its calls can be timed all the same
            torch.cuda.synchronize()
            notes = ("no-graph",)
    length = _length(torch, replay)
    more = min(math.ceil(REPLAY_S / length), MOST_CALLS // len(order))
    if more > 1:  # what was timed before the capture were launches; a graph of them is shorter
        order = list(order) * more
        replay = _in_turn(order) if notes or not prepared.graph else _captured(torch, order)
        length = _length(torch, replay)
    for _ in range(max(1, min(MOST_REPLAYS, math.ceil(hold_s / 2 / length)))):
        replay()
    torch.cuda.synchronize()
    samples, readings = _replayed(torch, replay, max(FEWEST, min(MOST_REPLAYS, math.ceil(hold_s / length))), sensors)
    return Timing(tuple(sample / len(order) for sample in samples), len(order), len(prepared.calls), readings, notes)


def _order(torch: Any, calls: Sequence[Callable[[], Any]]) -> list[Callable[[], Any]]:
    """The calls of one replay: every set once, of long calls fewer."""
    for call in calls[:2]:
        call()
    tried = calls[: max(2, min(len(calls), 16))]
    once = _length(torch, _in_turn(tried)) / len(tried)
    return list(calls[: max(2, min(MOST_CALLS, math.ceil(LONGEST_S / once)))])


def _length(torch: Any, replay: Callable[[], Any]) -> float:
    """Seconds of one replay, and no less than a microsecond."""
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    first.record()
    replay()
    last.record()
    last.synchronize()
    return max(1e-6, float(first.elapsed_time(last)) / 1e3)


def _in_turn(order: Sequence[Callable[[], Any]]) -> Callable[[], None]:
    def replay() -> None:
        for call in order:
            call()

    return replay


def _captured(torch: Any, order: Sequence[Callable[[], Any]]) -> Callable[[], None]:
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for call in order[:2]:
            call()
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for call in order:
            call()

    def replay() -> None:  # holds the graph, too
        graph.replay()

    return replay


def _replayed(torch: Any, replay: Callable[[], Any], count: int, sensors: Sensors) -> tuple[list[float], tuple[Reading, ...]]:
    """Seconds of each of `count` replays, and three readings taken while they ran."""
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(count + 1)]
    asked = {count // 4, count // 2, count * 3 // 4}
    readings = []
    marks[0].record()
    for index in range(count):
        replay()
        marks[index + 1].record()
        if index >= AHEAD:
            marks[index - AHEAD].synchronize()  # the GPU has a few replays waiting, no more
        if index in asked and (reading := sensors.read()) is not None:
            readings.append(reading)
    marks[count].synchronize()
    return [a.elapsed_time(b) / 1e3 for a, b in zip(marks, marks[1:], strict=False)], tuple(readings)


def _us(seconds: float) -> float:
    return float(f"{seconds * 1e6:.6g}")
