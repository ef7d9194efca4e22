"""Events of the Chrome trace format, written so that what follows on a thread overlaps nothing before it, in any viewer.

The format is the Trace Event Format of Chromium's tracing (JSON object form): complete events (ph X), counters (ph C) and metadata (ph M);
times are microseconds. Viewers bring start and length to whole nanoseconds, each for itself, by cutting or by rounding, and Perfetto drops
an event that then overlaps the one before. So events start at whole nanoseconds, and none is longer than the time to the next.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import nextafter
from typing import Any

NANOSECONDS, PICOSECONDS = 1e9, 1e12
BUSY = "resource"
"""Category of the events whose times add up to the `time_by_resource_s` of the answer."""


@dataclass(slots=True)
class Events:
    """A trace as it is written: processes, their threads, and what happens on them. Times are given in seconds."""

    events: list[dict[str, Any]] = field(default_factory=list)
    processes: int = 0
    threads: int = 0

    def process(self, name: str) -> int:
        """A new process; its number. Processes stand in the order they are made."""
        self.processes += 1
        self._tell("process_name", {"pid": self.processes}, {"name": name})
        self._tell("process_sort_index", {"pid": self.processes}, {"sort_index": self.processes})
        return self.processes

    def thread(self, process: int, name: str) -> Thread:
        """A new thread of a process, below those made before."""
        self.threads += 1
        own = {"pid": process, "tid": self.threads}  # a number of its own in the whole trace: viewers take those of two processes for one
        self._tell("thread_name", own, {"name": name})
        self._tell("thread_sort_index", own, {"sort_index": self.threads})
        return Thread(self, process, self.threads)

    def counter(self, process: int, name: str, start_s: float, unit: str, value: float) -> None:
        """The value that a counter of a process has from a moment on."""
        self.events.append(
            {"ph": "C", "name": name, "pid": process, "ts": _microseconds(round(start_s * NANOSECONDS)), "args": {unit: value}}
        )

    def _tell(self, what: str, whose: dict[str, int], args: dict[str, Any]) -> None:
        self.events.append({"ph": "M", "name": what, **whose, "args": args})


@dataclass(slots=True)
class Thread:
    """One row of the picture; what happens on it is added in its order. last: what was added last; start, end: of it, in picoseconds."""

    trace: Events
    process: int
    number: int
    last: dict[str, Any] | None = None
    start: int = 0
    end: int = 0

    def add(self, name: str, category: str, start_s: float, end_s: float, args: Mapping[str, Any]) -> None:
        """Something that takes from `start_s` to `end_s`.

        Times of resources are kept to the picosecond and start a nanosecond late where they have to; others are cut where the next begins.
        """
        start, length = 1000 * round(start_s * NANOSECONDS), max(0, round((end_s - start_s) * PICOSECONDS))
        if category == BUSY:
            start = max(start, -(-self.end // 1000) * 1000)
        elif self.last is not None and self.end > start:
            self.last["dur"] = (start - self.start) / 1e6
        own = {"pid": self.process, "tid": self.number, "ts": _microseconds(start // 1000), "dur": length / 1e6, "args": dict(args)}
        self.last, self.start, self.end = {"ph": "X", "name": name, "cat": category, **own}, start, start + length
        self.trace.events.append(self.last)


def _microseconds(nanoseconds: int) -> float:
    """As a number that is still as many nanoseconds when it is cut: 0.009 us times 1000 must not become 8 ns."""
    value = nanoseconds / 1e3
    return value if int(value * 1e3) == nanoseconds else nextafter(value, float("inf"))


def busy_s(trace: Mapping[str, Any]) -> dict[str, float]:
    """Seconds of every resource in a trace: its events of category `resource`, each with its share of the resource."""
    busy: dict[str, float] = {}
    for event in trace["traceEvents"]:
        if event.get("cat") == BUSY:
            name = event["args"]["resource"]
            busy[name] = busy.get(name, 0.0) + event["dur"] * event["args"].get("share", 1.0) / 1e6
    return busy


def to_text(trace: Mapping[str, Any]) -> Iterator[str]:
    """The JSON text of a trace piece by piece, an event a line."""

    def dump(value: Any) -> str:
        return json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)

    yield "{"
    for name, value in trace.items():
        if name != "traceEvents":
            yield f"{dump(name)}:{dump(value)},\n"
    yield '"traceEvents":[\n'
    events: Sequence[Any] = trace["traceEvents"]
    for index, event in enumerate(events):
        yield dump(event) + (",\n" if index + 1 < len(events) else "\n")
    yield "]}\n"
