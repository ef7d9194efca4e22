"""`attnsim.run` on processors (GPUs and CPUs): cascade, mask, machine and schedule brought together for the engine of kernels."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from attnsim import mask as masks
from attnsim.api.documents import Ref, baseline_spec, mask_of, placed, with_groups
from attnsim.cascade.cascade import Cascade, load_cascade
from attnsim.errors import InfeasibleError, SpecError
from attnsim.evaluate.endtoend import end_to_end
from attnsim.evaluate.estimate import Estimate, Report
from attnsim.evaluate.evaluate import Bounds, bounds, evaluate
from attnsim.evaluate.point import Point, schedule_context
from attnsim.evaluate.replay import Question, evaluated
from attnsim.machine.machine import Machine
from attnsim.schedule.defaults import default_schedule
from attnsim.schedule.names import check_names
from attnsim.schedule.schedule import Schedule, load_schedule
from attnsim.spec.workload import EndToEnd, KernelWorkload
from attnsim.spec.yaml import Document


def run_on_processors(spec: KernelWorkload, document: Document, machine: Machine, schedule: Ref | None = None) -> Report:
    """Evaluate one kernel on a GPU or CPU. Raises as `attnsim.run`."""
    estimate = estimate_of(spec, document, machine, schedule)
    digests, resolved = lambda: (document.sha256, machine.sha256), lambda: (resolve(spec, document, machine, schedule),)
    return Report(spec.name, machine.name, machine, (estimate,), estimate.assumptions, digests, resolved)


def bounds_of(spec: KernelWorkload, document: Document, machine: Machine, schedule: Ref | None = None) -> Bounds:
    """The lower bound alone: no schedule is evaluated. Raises as `attnsim.run`."""
    point = resolve(spec, document, machine, schedule)
    try:
        return bounds(point, spec.name)
    except InfeasibleError as error:
        raise placed(error, document) from None


def estimate_of(spec: KernelWorkload, document: Document, machine: Machine, schedule: Ref | None = None) -> Estimate:
    """The answer of one kernel, or of many that differ in their sizes, given as Lanes. Raises as `attnsim.run`."""
    question = _question(spec, document, machine, schedule)
    try:
        if spec.baseline is None and spec.end_to_end is None:
            return evaluated(question, spec.name)
        point = question.point()
        baseline = None
        if spec.baseline is not None:
            other = _baseline(spec, document, machine, point)
            baseline = (other.schedule.name, evaluate(other, spec.name).latency_s)
        estimate = evaluate(point, spec.name, baseline)
        if spec.end_to_end is not None:
            estimate = replace(estimate, end_to_end=beside_dense(spec.end_to_end, point, estimate, dense_latency(point)))
    except InfeasibleError as error:
        raise placed(error, document) from None
    return estimate


def dense_latency(point: Point) -> float:
    """Seconds of the same kernel without a mask."""
    return evaluate(replace(point, mask=masks.dense_like(point.mask)), "dense").latency_s


def beside_dense(asked: EndToEnd, point: Point, estimate: Estimate, dense_s: float) -> dict[str, float]:
    """The entry `end_to_end` of an estimate beside dense attention that takes `dense_s`."""
    shared = 0.0
    if point.conditions.permute == "per_model":
        each = evaluate(replace(point, conditions=point.conditions.model_copy(update={"permute": "per_op"})), "permuting")
        shared = each.latency_s - estimate.latency_s
    flop, worst = float(estimate.mask.get("flop_speedup", 1.0)), estimate.mask.get("speedup_worst_tile")
    return end_to_end(asked, dense_s, estimate.latency_s, shared, flop, worst)


def _baseline(spec: KernelWorkload, document: Document, machine: Machine, point: Point) -> Point:
    """The baseline's point."""
    plan = load_schedule(spec.baseline or "", doc=document, loc=("baseline",))
    asked = baseline_spec(spec, plan.spec.cascade, point.cascade)
    return resolve(asked, document, machine, spec.baseline, ("baseline",))


def resolve(
    spec: KernelWorkload, document: Document, machine: Machine, schedule: Ref | None = None, loc: tuple[str, ...] = ("schedule",)
) -> Point:
    """The point a workload asks about: cascade, mask, machine and schedule brought together and checked against one another."""
    return _question(spec, document, machine, schedule, loc).point()


def _question(
    spec: KernelWorkload, document: Document, machine: Machine, schedule: Ref | None = None, loc: tuple[str, ...] = ("schedule",)
) -> Question:
    cascade = load_cascade(spec.cascade, document, ("cascade",))
    cascade.resolve_sizes(spec.sizes, doc=document)
    wanted = spec.conditions.tensor_clock
    unit = None if wanted is None else machine.matmul_unit(spec.dtype)
    if wanted is not None and unit is not None and wanted > machine.clock(unit, "boost") * (1 + 1e-9):
        highest = machine.clock(unit, "boost") / 1e6
        raise InfeasibleError(document.issue(("conditions", "tensor_clock"), f"{machine.name} clocks no higher than {highest:.0f} MHz"))
    chosen = schedule if schedule is not None else spec.schedule
    sizes = with_groups(cascade, spec.sizes)
    mask = mask_of(spec, document, cascade)
    if chosen is not None:
        plan = load_schedule(chosen, doc=document, loc=loc) if schedule is None or loc != ("schedule",) else load_schedule(schedule)
    else:
        context = schedule_context(cascade, sizes, mask, spec.dtype, machine, spec.direction)
        plan = default_schedule({**context, "cascade": cascade.name, "positions": len(cascade.positions)})
    direction = spec.direction
    if "backward" in (direction, plan.spec.direction) or _is_gradient(plan, cascade):
        direction = "backward"
        plan, cascade = _backward(plan, cascade, document)
        sizes = with_groups(cascade, {rank: size for rank, size in sizes.items() if rank in cascade.ranks or rank in cascade.groups})
        cascade.resolve_sizes(sizes, doc=document)
    check_names(plan, cascade)
    if plan.spec.fusion == "all" and len(cascade.positions) != 2:
        message = (
            f"cascade {cascade.name} has no query and key rank, which schedule {plan.name} walks; choose one kernel an Einsum (matmul)"
        )
        raise InfeasibleError(document.issue(("cascade",), message))
    return Question(cascade, sizes, mask, spec.dtype, machine, plan, spec.conditions, direction)


@lru_cache(maxsize=512)
def _is_gradient(plan: Schedule, cascade: Cascade) -> bool:
    """Whether the cascade is the one that the schedule's backward pass computes, named without `direction: backward`."""
    return (
        plan.spec.backward is not None and load_cascade(load_schedule(plan.spec.backward).spec.cascade).content_key == cascade.content_key
    )


def _backward(plan: Schedule, cascade: Cascade, document: Document) -> tuple[Schedule, Cascade]:
    """The backward schedule of a forward one, and the cascade it computes: the gradient reads all that the forward pass reads, and more."""
    if plan.spec.backward is not None:
        plan = load_schedule(plan.spec.backward)
    own = load_cascade(plan.spec.cascade)
    if own.content_key == cascade.content_key and plan.spec.direction == "backward":
        return plan, cascade
    if plan.spec.direction != "backward" or not cascade.inputs.keys() < own.inputs.keys():
        message = (
            f"schedule {plan.name} has no backward pass for cascade {cascade.name}; leave `direction: backward` out, or name one that has"
        )
        raise SpecError(document.issue(("direction",), message))
    return plan, own
