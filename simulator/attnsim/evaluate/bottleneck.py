"""What stops a kernel: the busiest resource, fixed times, or processors that idle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attnsim.evaluate.kernel import Kernel
from attnsim.lanes import Number, count_of, many, values_of
from attnsim.tape import call


def bound_of(times: Mapping[str, Number], compute: Number, kernel: Kernel, seconds: Number) -> Any:
    """The busiest resource; `latency` when fixed overheads take most of the time, `occupancy` when idle processors do.

    times: seconds each resource is busy; compute: of the CTAs; seconds: of the kernel, launch included. Of Lanes an array of names.
    """
    fixed = kernel.fixed_s + times.get("launch", 0.0)
    if many(seconds, compute, kernel.ctas, *times.values()):
        return _bounds(times, compute, kernel, seconds, fixed)
    return call(_bound, times, compute, kernel.ctas, kernel.slots, seconds, fixed)


def _bound(times: Mapping[str, float], compute: float, ctas: int, slots: int, seconds: float, fixed: float) -> str:
    busiest = max(times, key=lambda name: times[name])
    if times[busiest] >= seconds / 2:
        return busiest
    if fixed >= seconds / 2:
        return "latency"
    return "occupancy" if ctas < slots and compute >= seconds / 2 else busiest


def _bounds(times: Mapping[str, Number], compute: Number, kernel: Kernel, seconds: Number, fixed: Number) -> Any:
    import numpy as np

    lanes = count_of(seconds, compute, kernel.ctas, *times.values())
    table = np.stack([values_of(time, lanes) for time in times.values()])
    names = np.array([*times], dtype=object)[table.argmax(axis=0)]
    half = values_of(seconds, lanes) / 2
    idle = (values_of(kernel.ctas, lanes) < kernel.slots) & (values_of(compute, lanes) >= half)
    others = np.where(values_of(fixed, lanes) >= half, "latency", np.where(idle, "occupancy", names))
    return np.where(table.max(axis=0) >= half, names, others)


def longest_bound(latencies: Sequence[Number], bounds: Sequence[Any]) -> Any:
    """The bound of the kernel that takes the longest, the first of equal ones."""
    if not many(*latencies):
        return call(_longest, list(latencies), list(bounds))
    import numpy as np

    lanes = count_of(*latencies)
    longest = np.stack([values_of(latency, lanes) for latency in latencies]).argmax(axis=0)
    table = np.stack([np.broadcast_to(np.asarray(bound, dtype=object), lanes) for bound in bounds])
    return table[longest, np.arange(lanes)]


def _longest(latencies: Sequence[float], bounds: Sequence[str]) -> str:
    return bounds[max(range(len(bounds)), key=lambda index: latencies[index])]
