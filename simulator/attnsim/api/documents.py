"""What the user asked, as documents: workloads with every override applied, sizes filled in, errors put where the workload asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attnsim import mask as masks
from attnsim.cascade.cascade import Cascade, load_cascade
from attnsim.errors import AttnsimError, Issue, SpecError, UsageError
from attnsim.evaluate.point import query_heads
from attnsim.machine.load import load_machine
from attnsim.machine.machine import Machine
from attnsim.machine.spatial import SpatialMachine
from attnsim.mask.base import Mask
from attnsim.spec import library
from attnsim.spec.base import FieldError
from attnsim.spec.closed import are_files_closed
from attnsim.spec.workload import KernelWorkload, LayerWorkload, WorkloadSpec
from attnsim.spec.yaml import Document, validate

Ref = library.Ref


def workload_document(
    workload: Ref, sets: Sequence[str] = (), overrides: Mapping[str, Any] | None = None, schedule: Ref | None = None
) -> Document:
    """The workload with every override applied, positions of its file kept: `schedule` first, then `sets`, then `overrides`."""
    return changed(library.load("workload", workload), sets, overrides, schedule)


def changed(
    document: Document, sets: Sequence[str] = (), overrides: Mapping[str, Any] | None = None, schedule: Ref | None = None
) -> Document:
    """As `workload_document`, of a document."""
    if schedule is not None:
        written = not isinstance(schedule, str | Path)  # what it extends is part of it, as it is of a file
        document = document.with_set("schedule", dict(library.load("schedule", schedule).data) if written else str(schedule))
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


def question(
    workload: Ref, arch: Ref, schedule: Ref | None, sets: Sequence[str], overrides: Mapping[str, Any]
) -> tuple[Document, Machine | SpatialMachine, Ref | None]:
    """Workload and machine with every override applied, and the schedule that replaces the workload's own, if it is not part of it now."""
    if schedule is not None and any(text.strip().startswith("schedule.") for text in sets):
        document, schedule = workload_document(workload, sets, overrides, schedule), None
    else:
        document = workload_document(workload, sets, overrides)
    machine_sets = [text.strip()[len("arch.") :] for text in sets if text.strip().startswith("arch.")]
    return document, load_machine(arch, sets=machine_sets), schedule


def _spelt_out(document: Document, text: str) -> Document:
    """The workload with its named schedule written out, so that any field of it, list entries too, can be set."""
    named = document.data.get("schedule")
    if named is None:
        raise UsageError(f"--set {text}: the workload names no schedule to change; add --schedule NAME (attnsim list schedule)")
    if isinstance(named, str):
        document = document.with_set("schedule", dict(library.load("schedule", named, doc=document, loc=("schedule",)).data))
    return document


def workload_spec(document: Document) -> KernelWorkload | LayerWorkload:
    """The workload of a document. Raises SpecError with every mistake at its place."""
    kernel = document.data.get("kind") == "kernel"  # one model is quicker to run than the union of all
    spec: KernelWorkload | LayerWorkload = validate(KernelWorkload if kernel else WorkloadSpec, document)
    return spec


def mask_of(spec: KernelWorkload, document: Document, cascade: Cascade) -> Mask:
    """The mask of a workload. Raises SpecError where it has another number of tokens or heads than the workload, or a file is no mask.

    A file is looked for beside the file that names it.
    """
    folder = None
    if spec.mask.kind in ("blocks", "per_head") and not are_files_closed():  # only these may name files
        named = Path(document.locate(("mask",))[0])
        folder = named.parent if named.is_file() else None
    try:
        mask = masks.from_spec(spec.mask, folder)
    except FieldError as error:
        raise SpecError(document.issue(("mask", *error.loc), str(error))) from None
    if len(cascade.positions) == 2:
        fault = mask.fits(*(spec.sizes[rank] for rank in cascade.positions))
        if fault is not None:
            raise SpecError(document.issue(("mask", "shape"), fault))
        try:
            mask.by_head(query_heads(cascade, spec.sizes))
        except ValueError as error:
            raise SpecError(document.issue(("mask", "masks"), str(error))) from None
    return mask


def baseline_spec(spec: KernelWorkload, own: str, cascade: Cascade) -> KernelWorkload:
    """The workload of a baseline schedule, which brings `own`, the cascade it was written for, when that computes the same function."""
    computes = load_cascade(own).spec.computes
    return spec.model_copy(update={"cascade": own}) if computes and computes == cascade.spec.computes else spec


def with_groups(cascade: Cascade, sizes: Mapping[str, int]) -> dict[str, int]:
    """Sizes with every group rank present: left out, each head has its own keys and values."""
    full = dict(sizes)
    for group, heads in cascade.groups.items():
        if group not in full and heads in full:
            full[group] = full[heads]
    return full


def placed(error: AttnsimError, document: Document) -> AttnsimError:
    """An infeasible point, reported where the workload asks for it: at the field the error names, else at its schedule."""
    placed = []
    for issue in error.issues:
        if not issue.file:
            loc = tuple(issue.path.split(".")) if issue.path else ("schedule",)
            issue = document.issue(loc, issue.message) if issue.path else Issue(issue.message, *document.locate(loc))
        placed.append(issue)
    return type(error)(placed)
