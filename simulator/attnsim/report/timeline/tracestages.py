"""Stages in a trace: Einsums on PE arrays, and the parts of a model on the devices of a deployment."""

from __future__ import annotations

from typing import Any

from attnsim.evaluate.spatial.estimate import PhaseEstimate, SpatialEstimate
from attnsim.evaluate.spatial.steady import epoch
from attnsim.report.timeline.events import BUSY, Events, Thread
from attnsim.serving.answer import ModelEstimate
from attnsim.serving.timeline import timeline

SHOWN = 2
"""Epochs shown Einsum by Einsum at the start; one more at the end, and all between in one piece an Einsum."""


def add_phases(events: Events, answer: SpatialEstimate, now: float) -> float:
    """A process a phase, with a thread an array; when the last one ends."""
    for phase in answer.phases:
        process = events.process(f"{phase.name} ({answer.name})")
        thread = events.thread(process, "phase")
        thread.add(phase.name, "phase", now, now + phase.latency_s, {"bound": phase.bound, "tiles": phase.tiles})
        _add_arrays(events, process, answer, phase, now)
        for resource, seconds in (("dram", phase.memory_s), ("buffer", phase.buffer_s)):
            if seconds:
                events.thread(process, resource).add(f"{resource} busy", BUSY, now, now + seconds, {"resource": resource})
        now += phase.latency_s
    return now


def _add_arrays(events: Events, process: int, answer: SpatialEstimate, phase: PhaseEstimate, start: float) -> None:
    """The first epochs and the last one in full; of those between each Einsum in one piece, stage after stage."""
    names = dict.fromkeys(array for stage in phase.stages for array in stage.busy)
    threads = {name: events.thread(process, name) for name in names}
    drain = events.thread(process, "drain") if phase.stall_cycles else None
    tiles, clock = phase.tiles or 1, answer.clock_hz
    single = epoch(answer, phase)
    shown = range(min(SHOWN, tiles))
    for number in shown:
        _add_epoch(threads, drain, answer, phase, start + number * single.cycles / clock, number, 1)
    between = tiles - len(shown) - 1
    if between > 0:
        _add_epoch(threads, drain, answer, phase, start + len(shown) * single.cycles / clock, len(shown), between)
    if tiles > len(shown):
        _add_epoch(threads, drain, answer, phase, start + (tiles - 1) * single.cycles / clock, tiles - 1, 1)


def _add_epoch(
    threads: dict[str, Thread], drain: Thread | None, answer: SpatialEstimate, phase: PhaseEstimate, start: float, first: int, count: int
) -> None:
    """`count` epochs from number `first` on, as if each Einsum did all of them in one go."""
    one, clock = epoch(answer, phase), answer.clock_hz
    for bar in one.bars:
        args: dict[str, Any] = {"resource": bar.array, "epoch": first, "epochs": count, "tiles_behind": bar.behind}
        name = bar.label if count == 1 else f"{bar.label} of {count} epochs"
        begin = start + bar.start * count / clock
        threads[bar.array].add(name, BUSY, begin, begin + bar.cycles * count / clock, args)
    for at, cycles in one.stalls:
        begin = start + at * count / clock
        if drain is not None:
            drain.add("results drain", BUSY, begin, begin + cycles * count / clock, {"resource": "drain", "epoch": first, "epochs": count})


def add_stages(events: Events, answer: ModelEstimate, question: Any, now: float) -> float:
    """A process with a thread for every pool, link or kind of kernel; when the step ends."""
    told = timeline(question, answer)
    process = events.process(f"{answer.model}, {answer.phase} ({answer.schedule})")
    step = "a token of every request" if answer.phase == "decode" else "a prompt"
    events.thread(process, "step").add(step, "step", now, now + answer.latency_s, {"batch": int(answer.batch), "note": told.note})
    threads = [events.thread(process, row.name) for row in told.rows]
    for work in told.work:
        row = told.rows[work.row]
        args: dict[str, Any] = {"resource": row.resource}
        args |= {} if row.share == 1 else {"share": row.share}
        args |= {name: value for name, value in (("layer", work.layer), ("micro_batch", work.batch)) if value >= 0}
        where = ", ".join(f"{name} {value}" for name, value in (("layer", work.layer), ("batch", work.batch)) if value >= 0)
        name = f"{work.name}: {where}" if where else work.name
        threads[work.row].add(name, BUSY, now + work.start, now + work.start + work.seconds, args)
    return now + float(answer.latency_s)
