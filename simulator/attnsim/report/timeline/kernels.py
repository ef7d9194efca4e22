"""A kernel in a trace: its CTAs on the slots of the processors, and how long each resource is busy beside them."""

from __future__ import annotations

from typing import Any

from attnsim.evaluate.estimate import Estimate, KernelEstimate
from attnsim.evaluate.launch import Launch
from attnsim.evaluate.placement import Piece
from attnsim.machine.machine import Machine
from attnsim.report.timeline.events import BUSY, Events
from attnsim.units import format_quantity


def add_kernel(events: Events, machine: Machine, answer: Estimate, estimate: KernelEstimate, launch: Launch, now: float) -> float:
    """A process of a kernel that starts at `now`, with a thread a slot; when it ends."""
    clock, kernel = answer.clock_hz, launch.kernel
    process = events.process(f"{estimate.name} ({answer.name})")
    begun = now + estimate.time_by_resource_s.get("launch", 0.0)
    body, end = begun + kernel.fixed_s, now + estimate.latency_s
    phases = events.thread(process, "kernel")
    told = {"bound": estimate.bound, "ctas": estimate.ctas, "waves": estimate.waves, "splits": estimate.splits, "clock_hz": float(clock)}
    told |= {"compute_s": float(estimate.compute_s), "memory_s": float(kernel.memory_s)}
    for name, start, stop, args in (
        ("launch", now, begun, {}), ("fixed overhead", begun, body, {}), (estimate.name, body, end, told),
    ):  # fmt: skip
        if stop > start:
            phases.add(name, "kernel", start, stop, args)
    for resource, seconds in estimate.time_by_resource_s.items():
        start = now if resource == "launch" else body
        used: dict[str, Any] = {"resource": resource, "share_of_kernel": seconds / estimate.latency_s}
        if resource in estimate.bytes:
            used["bytes"] = float(estimate.bytes[resource])
        events.thread(process, resource).add(f"{resource} busy {format_quantity(seconds, 's')}", BUSY, start, start + seconds, used)
    _add_counters(events, process, estimate, launch, body, clock)
    _add_slots(events, process, machine, launch, body, clock)
    if launch.merge_cycles:
        after = body + launch.placement.span / clock
        events.thread(process, "merge").add("partial results merged", "cta", after, after + launch.merge_cycles / clock, {})
    return end


def _add_slots(events: Events, process: int, machine: Machine, launch: Launch, body: float, clock: float) -> None:
    """Processor by processor, slot by slot."""
    placement = launch.placement
    for processor in range(placement.processors):
        for place in range(placement.resident):
            pieces = placement.slots[place * placement.processors + processor]
            if not pieces:
                continue
            slot = f", slot {place}" if placement.resident > 1 else ""
            thread = events.thread(process, f"{machine.processor_name} {processor}{slot}")
            for piece in pieces:
                name, args = _told(launch, piece)
                thread.add(name, "cta", body + piece.start / clock, body + piece.end / clock, args)


def _told(launch: Launch, piece: Piece) -> tuple[str, dict[str, Any]]:
    """Name and arguments of the event of a piece."""
    total = launch.total(piece)
    name = launch.name(piece)
    args: dict[str, Any] = {"ctas": _number(piece.count), "cycles": round(total.cycles, 3)}
    if total.tiles:
        args |= {"tiles": _number(total.tiles), "masked_tiles": _number(total.masked)}
        masked = f", {_number(total.masked)} masked" if total.masked else ""
        name = f"{name}: {_number(total.tiles)} tile{'' if total.tiles == 1 else 's'}{masked}"
    return name, args | {f"{unit}_cycles": round(cycles, 3) for unit, cycles in total.units.items()}


def _number(value: float) -> int | float:
    """Whole where it is; shares of folded periods are not."""
    return round(value) if abs(value - round(value)) < 1e-6 else round(value, 3)


def _add_counters(events: Events, process: int, estimate: KernelEstimate, launch: Launch, body: float, clock: float) -> None:
    """How many CTAs run, and what the memory levels deliver."""
    for level, moved in estimate.bytes.items():
        seconds = estimate.time_by_resource_s.get(level, 0.0)
        if seconds > 0:
            events.counter(process, level, body, "GB/s", moved / seconds / 1e9)
            events.counter(process, level, body + seconds, "GB/s", 0.0)
    ends = sorted(pieces[-1].end for pieces in launch.placement.slots if pieces)
    if not ends:
        return
    events.counter(process, "CTAs running", body, "CTAs", len(ends))
    for index, stop in enumerate(ends):
        if index + 1 == len(ends) or ends[index + 1] > stop:  # those that end together are one step down
            events.counter(process, "CTAs running", body + stop / clock, "CTAs", len(ends) - index - 1)
