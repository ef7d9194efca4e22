"""`attnsim.run`: from a question to a report in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from attnsim import mask as masks
from attnsim.cascade.cascade import Cascade, load_cascade
from attnsim.errors import AttnsimError, InfeasibleError, Issue, SpecError, UsageError
from attnsim.evaluate.estimate import Report
from attnsim.evaluate.evaluate import evaluate
from attnsim.evaluate.point import Point, schedule_context
from attnsim.machine.load import load_machine
from attnsim.machine.machine import Machine
from attnsim.machine.spatial import SpatialMachine
from attnsim.schedule.defaults import default_schedule
from attnsim.schedule.names import check_names
from attnsim.schedule.schedule import Schedule, load_schedule
from attnsim.spec import library
from attnsim.spec.workload import KernelWorkload, LayerWorkload, WorkloadSpec
from attnsim.spec.yaml import Document, validate

Ref = str | Path | Mapping[str, Any]


def run(workload: Ref, arch: Ref, schedule: Ref | None = None, *, sets: Sequence[str] = (), **overrides: Any) -> Report:
    """Evaluate one workload on one machine.

    workload, arch, schedule: a library name, a path, or the content as a dict each. overrides: workload fields; mappings merge
    (``sizes={"M": 4096}``), anything else replaces. sets: the command line's ``a.b=c`` texts. A field under ``arch.`` changes the
    machine.

    Returns:
        A Report: ``repr`` is the table, ``to_dict()`` the JSON of ``attnsim run``.

    Raises:
        SpecError: a mistake in a file, dict or override. InfeasibleError: it cannot run there. UsageError: a text in `sets` without "=".
    """
    if isinstance(schedule, str) and any(text.strip().startswith("schedule.") for text in sets):
        document, schedule = workload_document(workload, sets, overrides, schedule), None
    else:
        document = workload_document(workload, sets, overrides)
    machine_sets = [text.strip()[len("arch.") :] for text in sets if text.strip().startswith("arch.")]
    machine = load_machine(arch, sets=machine_sets)
    spec = workload_spec(document)
    if isinstance(spec, LayerWorkload):
        from attnsim import api_layer

        return api_layer.run(spec, document, machine, schedule)
    return run_kernel(spec, document, machine, schedule)


def run_kernel(spec: KernelWorkload, document: Document, machine: Machine | SpatialMachine, schedule: Ref | None = None) -> Report:
    """Evaluate one kernel of a document on a resolved machine. Raises as `run`."""
    if isinstance(machine, SpatialMachine):
        from attnsim import api_spatial

        return api_spatial.run(spec, document, machine, schedule)
    point = resolve(spec, document, machine, schedule)
    try:
        baseline = None
        if spec.baseline is not None:
            other = _baseline(spec, document, machine, point)
            baseline = (other.schedule.name, evaluate(other, spec.name).latency_s)
        estimate = evaluate(point, spec.name, baseline)
    except InfeasibleError as error:
        raise placed(error, document) from None
    return Report(spec.name, machine.name, machine, (estimate,), estimate.assumptions, lambda: (document.sha256, machine.sha256))


def workload_spec(document: Document) -> KernelWorkload | LayerWorkload:
    """The workload of a document. Raises SpecError with every mistake at its place."""
    kernel = document.data.get("kind") == "kernel"  # one model is quicker to run than the union of all
    spec: KernelWorkload | LayerWorkload = validate(KernelWorkload if kernel else WorkloadSpec, document)
    return spec


def _baseline(spec: KernelWorkload, document: Document, machine: Machine, point: Point) -> Point:
    """The baseline's point. A baseline schedule brings the cascade it was written for when that computes the same function."""
    plan = load_schedule(spec.baseline or "", doc=document, loc=("baseline",))
    own = load_cascade(plan.spec.cascade)
    if own.spec.computes and own.spec.computes == point.cascade.spec.computes:
        spec = spec.model_copy(update={"cascade": plan.spec.cascade})
    return resolve(spec, document, machine, spec.baseline, ("baseline",))


def workload_document(
    workload: Ref, sets: Sequence[str] = (), overrides: Mapping[str, Any] | None = None, schedule: str | None = None
) -> Document:
    """The workload with every override applied, positions of its file kept: `schedule` first, then `sets`, then `overrides`."""
    document = library.load("workload", workload)
    if schedule is not None:
        document = document.with_set("schedule", schedule)
    for text in sets:
        key, equals, value = text.partition("=")
        key = key.strip()
        if not equals or not key:
            raise UsageError(f"--set takes KEY=VALUE, for example sizes.M=32768, not {text!r}")
        if key.startswith("schedule."):
            document = _spelt_out(document, text)
        if not key.startswith("arch."):
            document = document.with_set(key, value.strip())
    for key, value in (overrides or {}).items():
        if isinstance(value, Mapping) and isinstance(document.data.get(key), Mapping) and "kind" not in value:
            for name, item in value.items():
                document = document.with_set(f"{key}.{name}", item)
        else:
            document = document.with_set(key, value)
    return document


def _spelt_out(document: Document, text: str) -> Document:
    """The workload with its named schedule written out, so that any field of it, list entries too, can be set."""
    named = document.data.get("schedule")
    if named is None:
        raise UsageError(f"--set {text}: the workload names no schedule to change; add --schedule NAME (attnsim list schedule)")
    if isinstance(named, str):
        document = document.with_set("schedule", dict(library.load("schedule", named, doc=document, loc=("schedule",)).data))
    return document


def resolve(
    spec: KernelWorkload, document: Document, machine: Machine, schedule: Ref | None = None, loc: tuple[str, ...] = ("schedule",)
) -> Point:
    """The point a workload asks about: cascade, mask, machine and schedule brought together and checked against one another."""
    cascade = load_cascade(spec.cascade, document, ("cascade",))
    cascade.resolve_sizes(spec.sizes, doc=document)
    if len(cascade.positions) != 2:
        message = f"cascade {cascade.name} has no query and key rank; `attnsim explain` analyses it, `run` needs attention"
        raise SpecError(document.issue(("cascade",), message))
    wanted, unit = spec.conditions.tensor_clock, machine.matmul_unit(spec.dtype)
    if wanted is not None and unit is not None and wanted > machine.clock(unit, "boost") * (1 + 1e-9):
        highest = machine.clock(unit, "boost") / 1e6
        raise InfeasibleError(document.issue(("conditions", "tensor_clock"), f"{machine.name} clocks no higher than {highest:.0f} MHz"))
    chosen = schedule if schedule is not None else spec.schedule
    sizes = with_groups(cascade, spec.sizes)
    mask = masks.from_spec(spec.mask)
    if chosen is not None:
        plan = load_schedule(chosen, doc=document, loc=loc) if schedule is None or loc != ("schedule",) else load_schedule(schedule)
    else:
        context = schedule_context(cascade, sizes, mask, spec.dtype, machine, spec.direction)
        plan = default_schedule({**context, "cascade": cascade.name})
    direction = spec.direction
    if "backward" in (direction, plan.spec.direction) or _is_gradient(plan, cascade):
        direction = "backward"
        plan, cascade = _backward(plan, cascade, document)
        sizes = with_groups(cascade, {rank: size for rank, size in sizes.items() if rank in cascade.ranks or rank in cascade.groups})
        cascade.resolve_sizes(sizes, doc=document)
    check_names(plan, cascade)
    return Point(cascade, sizes, mask, spec.dtype, machine, plan, spec.conditions, direction)


@lru_cache(maxsize=512)
def _is_gradient(plan: Schedule, cascade: Cascade) -> bool:
    """Whether the cascade is the one that the schedule's backward pass computes, named without `direction: backward`."""
    return (
        plan.spec.backward is not None and load_cascade(load_schedule(plan.spec.backward).spec.cascade).content_key == cascade.content_key
    )


def with_groups(cascade: Cascade, sizes: Mapping[str, int]) -> dict[str, int]:
    """Sizes with every group rank present: left out, each head has its own keys and values."""
    full = dict(sizes)
    for group, heads in cascade.groups.items():
        if group not in full and heads in full:
            full[group] = full[heads]
    return full


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


def placed(error: AttnsimError, document: Document) -> AttnsimError:
    """An infeasible point, reported where the workload asks for it: at the field the error names, else at its schedule."""
    placed = []
    for issue in error.issues:
        if not issue.file:
            loc = tuple(issue.path.split(".")) if issue.path else ("schedule",)
            issue = document.issue(loc, issue.message) if issue.path else Issue(issue.message, *document.locate(loc))
        placed.append(issue)
    return type(error)(placed)
