"""`attnsim.run` on a layer: its kernels one after another, each as `attnsim.run` would answer it alone, and their sum."""

from __future__ import annotations

from attnsim.api.documents import Ref
from attnsim.api.kernel import run_kernel
from attnsim.cascade.cascade import load_cascade
from attnsim.errors import SpecError
from attnsim.evaluate.estimate import Report
from attnsim.evaluate.layer import layer_estimate
from attnsim.machine.machine import Machine
from attnsim.machine.spatial import SpatialMachine
from attnsim.spec.scan import Loc, Position
from attnsim.spec.workload import KernelWorkload, LayerWorkload
from attnsim.spec.yaml import Document, validate

SHARED = ("dtype", "mask", "conditions")


def run_layer(spec: LayerWorkload, document: Document, machine: Machine | SpatialMachine, schedule: Ref | None = None) -> Report:
    """Evaluate a layer: the sum first, then every step.

    Raises:
        SpecError: also for a schedule given beside the layer, whose steps each have their own. InfeasibleError: as `attnsim.run`.
    """
    if schedule is not None:
        raise SpecError(
            document.issue(("steps",), "every step of a layer names its own schedule; change it with --set steps.0.schedule=NAME")
        )
    reports = []
    for index in range(len(spec.steps)):
        inner = step_document(spec, document, index)
        kernel = validate(KernelWorkload, inner)
        reports.append(run_kernel(kernel, inner, machine))
    parts = [report.results[0] for report in reports]
    total = layer_estimate(spec.name, spec.dtype, spec.sizes, parts, spec.layers)
    digests, resolved = lambda: (document.sha256, machine.sha256), lambda: (None, *(one for report in reports for one in report.resolved()))
    return Report(spec.name, machine.name, machine, (total, *parts), total.assumptions, digests, resolved)


def step_document(spec: LayerWorkload, document: Document, index: int) -> Document:
    """A step as a workload of its own; what the layer says for all steps keeps its place in the file."""
    written = dict(document.data["steps"][index])
    cascade = load_cascade(written["cascade"], document, ("steps", index, "cascade"))
    ranks = {*cascade.ranks, *cascade.groups}
    own = written.get("sizes", {})
    sizes = {rank: size for rank, size in {**document.data["sizes"], **own}.items() if rank in ranks or rank in own}
    shared = {name: document.data[name] for name in SHARED if name in document.data}
    if not cascade.positions:
        shared.pop("mask", None)  # no rank of this step is masked
    data = {**shared, **written, "attnsim": 1, "kind": "kernel", "name": f"{spec.name}: {written['name']}", "sizes": sizes}
    data = {name: value for name, value in data.items() if value is not None}
    positions: dict[Loc, Position] = {
        loc: place for loc, place in document.positions.items() if loc[:1] == ("sizes",) or (loc and loc[0] in SHARED)
    }
    positions[()] = document.positions.get(("steps", index), document.positions.get((), (document.file, 0, 0)))
    positions.update({loc[2:]: place for loc, place in document.positions.items() if loc[:2] == ("steps", index) and len(loc) > 2})
    return Document(data, document.file, positions)
