"""Points one by one: each is answered as `attnsim.run` answers it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from attnsim.api import answer
from attnsim.api.documents import Ref, workload_spec
from attnsim.api.processors import bounds_of
from attnsim.errors import AttnsimError, InfeasibleError
from attnsim.evaluate.estimate import plain
from attnsim.evaluate.flat import flatten
from attnsim.explore.plan.plan import Only
from attnsim.machine.machine import Machine
from attnsim.machine.spatial import SpatialMachine
from attnsim.spec.workload import KernelWorkload
from attnsim.spec.yaml import Document

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class Group:
    """Points of one workload on one machine that differ in counts alone.

    sizes: of the ranks that vary, by rank, one a point; of a model: `context` and `batch`, as far as they vary. What does not vary stands
    in the document. fields: top-level entries of the answer to give (None: all); only: "lower_bound" asks for no more than the bound.
    """

    document: Document
    machine: Machine | SpatialMachine
    schedule: Ref | None
    sizes: Mapping[str, np.ndarray]
    only: Only = "all"
    fields: Collection[str] | None = None
    count: int = 1

    @property
    def is_model(self) -> bool:
        """Whether a whole model is asked about."""
        return bool(self.document.data.get("kind") == "model")


def answer_group(group: Group) -> dict[str, Any]:
    """Columns by name, as `flatten` names them, and `error`: why a point has no answer, else None.

    A list or an array holds one entry a point, a plain number or text is that of all; None, and NaN among floats, stand for no value.
    """
    return answer_one_by_one(group, range(group.count))


def answer_one_by_one(group: Group, numbers: Iterable[int]) -> dict[str, Any]:
    """As `answer_group`, of some of its points."""
    rows: list[dict[str, Any]] = []
    errors: list[str | None] = []
    for number in numbers:
        try:
            rows.append(answer_point(group, int(number)))
            errors.append(None)
        except AttnsimError as error:  # a sum of sizes that fits nowhere, groups that do not divide: of this point alone
            rows.append({})
            errors.append(reason(error))
    names = dict.fromkeys(name for row in rows for name in row)
    return {**{name: [row.get(name) for row in rows] for name in names}, "error": errors}


def answer_point(group: Group, number: int) -> dict[str, Any]:
    """The answer of one point as a flat row. Raises: as `attnsim.run`."""
    document = point_document(group, number)
    if group.only == "lower_bound" and document.data.get("kind") == "kernel" and isinstance(group.machine, Machine):
        spec = workload_spec(document)
        assert isinstance(spec, KernelWorkload)
        return flatten(plain(bounds_of(spec, document, group.machine, group.schedule)))
    estimate = answer(document, group.machine, group.schedule).results[0]
    if group.fields is None:
        return flatten(estimate.to_dict())
    entries = {name: getattr(estimate, name, None) for name in group.fields}
    return flatten({name: plain(value) for name, value in entries.items() if value is not None})


def point_document(group: Group, number: int) -> Document:
    """The workload of one point."""
    if not group.sizes:
        return group.document
    values = {name: int(column[number]) for name, column in group.sizes.items()}
    data = group.document.data
    changed = {**data, **values} if group.is_model else {**data, "sizes": {**data["sizes"], **values}}
    return replace(group.document, data=changed)


def reason(error: AttnsimError) -> str:
    """An error as the cell of a table: its messages, with the field at fault where the question is not well put."""
    named = not isinstance(error, InfeasibleError)
    return "; ".join(f"{issue.path}: {issue.message}" if named and issue.path else issue.message for issue in error.issues)
