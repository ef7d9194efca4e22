"""Points of one group all at once: the engine that answers one, asked with Lanes of sizes.

Ranks of the batch, of heads, queries and keys become Lanes. Points that differ in any other rank (head dimensions), and in positions under
a mask that is counted one size at a time, are answered apart, those alike together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from attnsim.api.documents import mask_of, workload_spec
from attnsim.api.processors import bounds_of, estimate_of
from attnsim.cascade.cascade import load_cascade
from attnsim.errors import AttnsimError
from attnsim.evaluate.estimate import plain
from attnsim.evaluate.flat import flatten
from attnsim.explore.answer.models import MOST_LANES, model_answers, model_batches
from attnsim.explore.answer.scalar import Group, answer_one_by_one, point_document, reason
from attnsim.lanes import Lanes, Refused, apart
from attnsim.machine.machine import Machine
from attnsim.mask.banded import Banded
from attnsim.mask.perhead import PerHead
from attnsim.spec.workload import KernelWorkload

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

_WORDS = frozenset({"assumptions", "kernels"})  # said of one point at a time
_FEW = 4  # fewer points are quicker one by one


def answers_together(group: Group) -> bool:
    """Whether points of this group can be answered at once."""
    if group.count < _FEW or not isinstance(group.machine, Machine):
        return False
    if group.is_model:
        return group.fields is not None and not _WORDS & set(group.fields)
    if group.document.data.get("kind") != "kernel":
        return False
    if group.only != "lower_bound" and (group.fields is None or _WORDS & set(group.fields)):
        return False
    return not group.document.data.get("end_to_end")


def answer_together(group: Group) -> dict[str, Any]:
    """As `scalar.answer_group`: columns by name, and `error`."""
    columns = _Columns(group.count)
    answer, batches = (model_answers(group), model_batches(group)) if group.is_model else (_answer, _batches(group))
    for rows in batches:

        def run(some: Array) -> None:
            if len(some) < _FEW:
                columns.put(some, answer_one_by_one(group, some))
            else:
                columns.put(some, answer(group, some))

        def refuse(some: Array, error: Exception) -> None:  # what is said of a point is said of it alone
            if isinstance(error, Refused):
                columns.put(some, {"error": [reason(one) for one in error.errors if isinstance(one, AttnsimError)]})
            else:
                columns.put(some, answer_one_by_one(group, some))

        apart(rows, run, refuse, AttnsimError)
    return columns.named()


def _batches(group: Group) -> Iterator[Array]:
    """Numbers of points whose other ranks are alike, at most `MOST_LANES` at a time."""
    spec = workload_spec(point_document(group, 0))
    assert isinstance(spec, KernelWorkload)
    cascade = load_cascade(spec.cascade, group.document, ("cascade",))
    mask = mask_of(spec, group.document, cascade)
    numbers = np.arange(group.count)
    if isinstance(mask, PerHead):
        for number in numbers:
            yield numbers[number : number + 1]
        return
    free = {*cascade.batch, *cascade.groups, *(cascade.positions if isinstance(mask, Banded) else ())}
    fixed = [column for rank, column in group.sizes.items() if rank not in free]
    if len(cascade.positions) != 2:  # products alone: every rank is one of rows, columns or depth
        fixed = []
    if fixed:
        _, which = np.unique(np.stack(fixed), axis=1, return_inverse=True)
        order = np.argsort(which, kind="stable")
        parts = np.split(order, np.flatnonzero(np.diff(which[order])) + 1)
    else:
        parts = [numbers]
    for part in parts:
        for first in range(0, len(part), MOST_LANES):
            yield part[first : first + MOST_LANES]


def _answer(group: Group, some: Array) -> dict[str, Any]:
    sizes: dict[str, Any] = {}
    for rank, column in group.sizes.items():
        values = column[some]
        alike = bool((values == values[0]).all())
        sizes[rank] = int(values[0]) if alike else Lanes(values.astype(np.float64))
    spec = workload_spec(point_document(group, int(some[0])))
    assert isinstance(spec, KernelWorkload) and isinstance(group.machine, Machine)
    asked = spec.model_copy(update={"sizes": {**spec.sizes, **sizes}})
    document = replace(group.document, data=group.document.data)
    if group.only == "lower_bound":
        return flatten(plain(bounds_of(asked, document, group.machine, group.schedule)))
    estimate = estimate_of(asked, document, group.machine, group.schedule)
    entries = {name: getattr(estimate, name, None) for name in group.fields or ()}
    return flatten({name: plain(value) for name, value in entries.items() if value is not None})


class _Columns:
    """Columns of a group, filled part by part."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._columns: dict[str, Array] = {"error": np.full(count, None, dtype=object)}

    def put(self, rows: Array, answers: dict[str, Any]) -> None:
        """One value for all rows, or one each."""
        for name, value in answers.items():
            values = value.values if type(value) is Lanes else value
            column = self._columns.get(name)
            if column is None:
                column = self._columns[name] = self._new(values)
            column[rows] = values

    def _new(self, values: Any) -> Array:
        if isinstance(values, np.ndarray):
            number = values.dtype.kind in "fiu"
        elif isinstance(values, list):
            number = all(value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in values)
        else:
            number = isinstance(values, int | float) and not isinstance(values, bool)
        return np.full(self._count, np.nan) if number else np.full(self._count, None, dtype=object)

    def named(self) -> dict[str, Any]:
        """Columns by name; NaN and None where a point has no value."""
        return self._columns
