"""The kernels behind the results of a report, resolved once more: cascade, sizes, mask and tiles, which a report does not keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from attnsim.api.documents import question, workload_spec
from attnsim.api.layer import step_document
from attnsim.api.processors import resolve
from attnsim.cascade.cascade import Cascade
from attnsim.evaluate.estimate import Estimate, Report
from attnsim.machine.spatial import SpatialMachine
from attnsim.spec.workload import KernelWorkload, LayerWorkload
from attnsim.spec.yaml import Document, validate


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One kernel. sizes, tiles: by rank, tiles of parts of the cascade alone; schedule: in place of the workload's own."""

    spec: KernelWorkload
    document: Document
    cascade: Cascade
    sizes: Mapping[str, int]
    tiles: Mapping[str, int]
    schedule: Any


def steps_of(report: Report) -> list[Step | None]:
    """A step for every result that is about one kernel; None for a layer's sum, a model, and where nobody knows the question."""
    asked = report.call
    if asked is None:
        return [None for _ in report.results]
    document, _, schedule = question(asked.workload, asked.arch, asked.schedule, asked.sets, asked.overrides)
    if document.data.get("kind") == "model":
        return [None for _ in report.results]
    spec = workload_spec(document)
    if not isinstance(spec, LayerWorkload):
        return [_step(report, 0, spec, document, schedule)]
    steps: list[Step | None] = [None]
    for index in range(len(spec.steps)):
        inner = step_document(spec, document, index)
        steps.append(_step(report, index + 1, validate(KernelWorkload, inner), inner, None))
    return steps


def _step(report: Report, number: int, spec: KernelWorkload, document: Document, schedule: Any) -> Step:
    if isinstance(report.machine, SpatialMachine):
        from attnsim.api.spatial import resolve as resolve_spatial

        spatial = resolve_spatial(spec, document, report.machine, schedule)
        parts = spatial.cascade.partition
        inner = {rank: size for rank, size in spatial.tiles.items() if rank in parts}
        return Step(spec, document, spatial.cascade, spatial.sizes, inner, schedule)
    point = resolve(spec, document, report.machine, schedule)
    estimate: Estimate = report.results[number]
    tiles = {rank: size for kernel in estimate.kernels for rank, size in kernel.tile.items() if rank in point.cascade.partition}
    return Step(spec, document, point.cascade, point.sizes, tiles, schedule)
