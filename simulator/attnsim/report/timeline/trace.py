"""An answer as a trace that Perfetto and chrome://tracing open: CTAs on their slots, Einsums on their arrays, stages with micro-batches.

`trace(attnsim.run(...))` is the JSON object of the Chrome trace format as a dict; `attnsim run WORKLOAD ARCH --trace FILE.json` writes it.
Events of category `resource` add up, resource by resource, to the `time_by_resource_s` of the answer (of a layer: of its sum). A trace of
a huge grid stays below some 100 000 events: CTAs in the middle of each slot are then one event that says how many they are.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from attnsim.errors import UsageError
from attnsim.evaluate.estimate import Estimate, Report
from attnsim.evaluate.launch import launches
from attnsim.evaluate.layer import LayerEstimate
from attnsim.evaluate.placement import MOST_PIECES
from attnsim.evaluate.point import Point
from attnsim.evaluate.spatial.estimate import SpatialEstimate
from attnsim.machine.machine import Machine
from attnsim.report.export import write_files
from attnsim.report.timeline.events import BUSY, Events, Thread, to_text
from attnsim.report.timeline.kernels import add_kernel
from attnsim.report.timeline.tracestages import add_phases, add_stages
from attnsim.serving.answer import ModelEstimate

ENDINGS = (".json", ".json.gz")


def trace(report: Report, command: str = "", most: int = MOST_PIECES) -> dict[str, Any]:
    """The trace of a report: `traceEvents`, `displayTimeUnit`, and under `otherData` what was asked.

    command: the command line, left out `attnsim run` with the names of the report; most: events of CTAs, about.
    """
    from attnsim import __version__

    events = Events()
    top = events.process(f"{report.workload_name} on {report.arch_name}")
    results, asked = report.results, report.resolved()
    layer = results[0] if isinstance(results[0], LayerEstimate) else None
    steps = list(zip(results, asked, strict=True))[layer is not None :]
    now = 0.0
    row = events.thread(top, "answer" if layer is None else "steps")
    for result, question in steps:
        row.add(f"{result.name}: {result.schedule}", "answer", now, now + result.latency_s, {"bound": result.bound})
        now = _add(events, result, question, report, now, max(1, most // len(steps)))
    if layer is not None and layer.layers > 1:
        _add_alike(events, row, layer, now)
    workload, arch = report.digests()
    return {
        "displayTimeUnit": "ns",
        "otherData": {
            "attnsim": __version__,
            "command": command or f"attnsim run {report.workload_name} {report.arch_name}",
            "workload": report.workload_name,
            "workload_sha256": workload,
            "arch": report.arch_name,
            "arch_sha256": arch,
            "latency_s": results[0].latency_s,
        },
        "traceEvents": events.events,
    }


def _add(events: Events, result: Any, question: Any, report: Report, now: float, most: int) -> float:
    """The processes of one result, from `now` on; when it ends."""
    if isinstance(result, Estimate):
        assert isinstance(question, Point) and isinstance(report.machine, Machine)
        for estimate, launch in zip(result.kernels, launches(question, most), strict=True):
            now = add_kernel(events, report.machine, result, estimate, launch, now)
        return now
    if isinstance(result, SpatialEstimate):
        return add_phases(events, result, now)
    assert isinstance(result, ModelEstimate)
    return add_stages(events, result, question, now)


def _add_alike(events: Events, row: Thread, layer: LayerEstimate, now: float) -> None:
    """The layers that are as the first one, each resource in one piece."""
    others, end = layer.layers - 1, layer.latency_s
    name = f"layers 2 to {layer.layers}, each as the first" if others > 1 else "layer 2, as the first"
    row.add(name, "answer", now, end, {"layers": others})
    for resource, seconds in layer.time_by_resource_s.items():
        busy = seconds * others / layer.layers
        events.thread(row.process, resource).add(name, BUSY, now, now + busy, {"resource": resource, "layers": others})


def check_ending(path: Path) -> None:
    """Raises UsageError for a name that is no trace's."""
    if not path.name.lower().endswith(ENDINGS):
        raise UsageError(f"cannot write a trace to {str(path)!r}: end the name in {' or '.join(ENDINGS)}")


def save(report: Report, path: Path, command: str = "") -> int:
    """Write the trace of a report, compressed if the name ends in .gz, whole or not at all; how many events it has. Raises: UsageError."""
    check_ending(path)
    made = trace(report, command)
    write_files({path: _packed(to_text(made), path.name.lower().endswith(".gz"))})
    return len(made["traceEvents"])


def _packed(pieces: Iterable[str], compress: bool) -> bytes:
    text = "".join(pieces).encode("utf-8")
    return gzip.compress(text, compresslevel=6, mtime=0) if compress else text
