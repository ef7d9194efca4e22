"""`attnsim.run`: from a question to a report in one call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from attnsim.api.documents import Ref, question, workload_document, workload_spec
from attnsim.api.kernel import run_kernel
from attnsim.api.processors import resolve
from attnsim.evaluate.estimate import Asked, Report
from attnsim.machine.machine import Machine
from attnsim.machine.spatial import SpatialMachine
from attnsim.spec.serving import ModelWorkload
from attnsim.spec.workload import LayerWorkload
from attnsim.spec.yaml import Document, validate

__all__ = ["Ref", "answer", "resolve", "run", "run_kernel", "workload_document", "workload_spec"]


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
    report = answer(*question(workload, arch, schedule, sets, overrides))
    return replace(report, call=Asked(_given(workload), _given(arch), _given(schedule), tuple(sets), overrides))


def answer(document: Document, machine: Machine | SpatialMachine, schedule: Ref | None) -> Report:
    """What `run` answers to a question whose overrides are applied. Raises as it does."""
    if document.data.get("kind") == "model":
        from attnsim.api.model import run_model

        return run_model(validate(ModelWorkload, document), document, machine, schedule)
    spec = workload_spec(document)
    if isinstance(spec, LayerWorkload):
        from attnsim.api.layer import run_layer

        return run_layer(spec, document, machine, schedule)
    return run_kernel(spec, document, machine, schedule)


def _given(ref: Ref | None) -> Any:
    """A reference as it can be written: of a document what it says."""
    return ref.data if isinstance(ref, Document) else ref
