"""`attnsim.run`: from a question to a report in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attnsim import mask as masks
from attnsim.cascade.cascade import Cascade, load_cascade
from attnsim.errors import AttnsimError, InfeasibleError, Issue, SpecError, UsageError
from attnsim.evaluate.estimate import Report
from attnsim.evaluate.evaluate import evaluate
from attnsim.evaluate.point import Point
from attnsim.machine.load import load_machine
from attnsim.machine.machine import Machine
from attnsim.schedule.defaults import default_schedule
from attnsim.schedule.schedule import Schedule, load_schedule
from attnsim.spec import library
from attnsim.spec.workload import KernelWorkload, WorkloadSpec
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
        SpecError: a mistake in a file or dict. InfeasibleError: it cannot run there. UsageError: an override that is no field.
    """
    document = workload_document(workload, sets, overrides)
    machine_sets = [text.strip()[len("arch.") :] for text in sets if text.strip().startswith("arch.")]
    machine = load_machine(arch, sets=machine_sets)
    spec: KernelWorkload = validate(WorkloadSpec, document)
    point = resolve(spec, document, machine, schedule)
    try:
        baseline = None
        if spec.baseline is not None:
            other = resolve(spec, document, machine, spec.baseline, ("baseline",))
            baseline = (other.schedule.name, evaluate(other, spec.name).latency_s)
        estimate = evaluate(point, spec.name, baseline)
    except InfeasibleError as error:
        raise _placed(error, document) from None
    return Report(spec.name, machine.name, machine, (estimate,), estimate.assumptions, lambda: (document.sha256, machine.sha256))


def workload_document(workload: Ref, sets: Sequence[str] = (), overrides: Mapping[str, Any] | None = None) -> Document:
    """The workload with every override applied, positions of its file kept."""
    document = library.load("workload", workload)
    for text in sets:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"--set takes KEY=VALUE, for example sizes.M=32768, not {text!r}")
        if not key.strip().startswith("arch."):
            document = document.with_set(key.strip(), value.strip())
    for key, value in (overrides or {}).items():
        if isinstance(value, Mapping) and isinstance(document.data.get(key), Mapping) and "kind" not in value:
            for name, item in value.items():
                document = document.with_set(f"{key}.{name}", item)
        else:
            document = document.with_set(key, value)
    return document


def resolve(
    spec: KernelWorkload, document: Document, machine: Machine, schedule: Ref | None = None, loc: tuple[str, ...] = ("schedule",)
) -> Point:
    """The point a workload asks about: cascade, mask, machine and schedule brought together and checked against one another."""
    cascade = load_cascade(spec.cascade, document, ("cascade",))
    cascade.resolve_sizes(spec.sizes, doc=document)
    if len(cascade.positions) != 2:
        raise SpecError(
            [
                document.issue(
                    ("cascade",), f"cascade {cascade.name} has no query and key rank; `attnsim explain` analyses it, `run` needs attention"
                )
            ]
        )
    chosen = schedule if schedule is not None else spec.schedule
    sizes = _with_groups(cascade, spec.sizes)
    mask = masks.from_spec(spec.mask)
    if chosen is not None:
        plan = load_schedule(chosen, doc=document, loc=loc) if schedule is None or loc != ("schedule",) else load_schedule(schedule)
    else:
        plan = default_schedule(sizes, machine.kind, machine.isa, spec.dtype, spec.mask.kind, cascade.name, spec.direction)
    if spec.direction == "backward":
        plan, cascade = _backward(plan, cascade, document)
        sizes = _with_groups(cascade, {rank: size for rank, size in sizes.items() if rank in cascade.ranks or rank in cascade.groups})
    return Point(cascade, sizes, mask, spec.dtype, machine, plan, spec.conditions, spec.direction)


def _with_groups(cascade: Cascade, sizes: Mapping[str, int]) -> dict[str, int]:
    """Sizes with every group rank present: left out, each head has its own keys and values."""
    full = dict(sizes)
    for group, heads in cascade.groups.items():
        if group not in full and heads in full:
            full[group] = full[heads]
    return full


def _backward(plan: Schedule, cascade: Cascade, document: Document) -> tuple[Schedule, Cascade]:
    """The backward schedule of a forward one, and the cascade it computes."""
    if plan.spec.backward is not None:
        plan = load_schedule(plan.spec.backward)
    own = load_cascade(plan.spec.cascade)
    if own.inputs.keys() <= cascade.inputs.keys():
        if cascade.content_key == own.content_key and plan.spec.backward is None and "dO" in own.inputs:
            return plan, cascade
        raise SpecError(
            [
                document.issue(
                    ("direction",), f"schedule {plan.name} has no backward pass; leave `direction: backward` out, or name one that has"
                )
            ]
        )
    return plan, own


def _placed(error: AttnsimError, document: Document) -> AttnsimError:
    """An infeasible point, reported at the workload it was asked in."""
    file, line, column = document.locate(("schedule",))
    issues = [issue if issue.file else Issue(issue.message, file, line, column, issue.path) for issue in error.issues]
    return type(error)(issues)
