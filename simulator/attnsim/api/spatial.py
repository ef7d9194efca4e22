"""`attnsim.run` on a spatial machine: cascade, mask, machine and schedule brought together for the engine of PE arrays."""

from __future__ import annotations

from attnsim.api.documents import Ref, baseline_spec, mask_of, placed, with_groups
from attnsim.cascade.cascade import load_cascade
from attnsim.errors import InfeasibleError
from attnsim.evaluate.estimate import Report
from attnsim.evaluate.spatial.evaluate import evaluate_spatial
from attnsim.evaluate.spatial.point import SpatialPoint
from attnsim.machine.spatial import SpatialMachine
from attnsim.schedule.condition import Value
from attnsim.schedule.defaults import default_spatial_schedule
from attnsim.schedule.spatial import check_spatial_names, load_spatial_schedule
from attnsim.spec.workload import KernelWorkload
from attnsim.spec.yaml import Document


def run_on_arrays(spec: KernelWorkload, document: Document, machine: SpatialMachine, schedule: Ref | None = None) -> Report:
    """Evaluate one workload on PE arrays. Raises as `attnsim.run`."""
    if spec.end_to_end is not None:
        raise InfeasibleError(document.issue(("end_to_end",), "is for processors; use a workload of kind layer on PE arrays"))
    try:
        point = resolve(spec, document, machine, schedule)
        baseline = None
        if spec.baseline is not None:
            other = _baseline(spec, document, machine, point)
            baseline = (other.schedule.name, evaluate_spatial(other, spec.name).latency_s)
        estimate = evaluate_spatial(point, spec.name, baseline)
    except InfeasibleError as error:
        raise placed(error, document) from None
    digests, resolved = lambda: (document.sha256, machine.sha256), lambda: (resolve(spec, document, machine, schedule),)
    return Report(spec.name, machine.name, machine, (estimate,), estimate.assumptions, digests, resolved)


def resolve(
    spec: KernelWorkload, document: Document, machine: SpatialMachine, schedule: Ref | None = None, loc: tuple[str, ...] = ("schedule",)
) -> SpatialPoint:
    """The point a workload asks about. Raises SpecError: a name or size that does not fit; InfeasibleError: as `attnsim.run`."""
    cascade = load_cascade(spec.cascade, document, ("cascade",))
    cascade.resolve_sizes(spec.sizes, doc=document)
    chosen = schedule if schedule is not None else spec.schedule
    if chosen is None:
        plan = default_spatial_schedule(_context(spec, cascade.name, machine))
    elif schedule is None or loc != ("schedule",):
        plan = load_spatial_schedule(chosen, doc=document, loc=loc)
    else:
        plan = load_spatial_schedule(chosen)
    check_spatial_names(plan, cascade)
    sizes = with_groups(cascade, spec.sizes)
    return SpatialPoint(cascade, sizes, mask_of(spec, document, cascade), spec.dtype, machine, plan, spec.conditions, spec.direction)


def _context(spec: KernelWorkload, cascade: str, machine: SpatialMachine) -> dict[str, Value]:
    """What the rules of `workloads/default_schedules.yaml` may ask of a spatial machine."""
    wide = [array for array in machine.arrays.values() if len(array.shape) > 1]
    return {
        "kind": machine.kind,
        "isa": machine.name,
        "dtype": spec.dtype,
        "direction": spec.direction,
        "mask": spec.mask.kind,
        "cascade": cascade,
        "arrays": len(machine.arrays),
        "softmax_2d": sum(array.executes(("max", "exp", "add", "mac")) for array in wide),
    }


def _baseline(spec: KernelWorkload, document: Document, machine: SpatialMachine, point: SpatialPoint) -> SpatialPoint:
    """The baseline's point."""
    plan = load_spatial_schedule(spec.baseline or "", doc=document, loc=("baseline",))
    asked = baseline_spec(spec, plan.spec.cascade, point.cascade)
    return resolve(asked, document, machine, spec.baseline, ("baseline",))
