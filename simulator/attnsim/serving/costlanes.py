"""Costs of many kernels at once: those that are alike once, those known from before not again, the others together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, Final, TypeAlias

import numpy as np

from attnsim.errors import AttnsimError
from attnsim.lanes import Diverged, Lanes, OneByOne, apart, values_of
from attnsim.serving.cost import Cost

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

FEW: Final = 4  # fewer are quicker one by one
MOST_KEPT: Final = 500_000
"""Costs kept of kernels that differ in their Lanes alone."""
MOST_TABLES: Final = 4096

_NAMES: Final = tuple(entry.name for entry in fields(Cost))


class Table:
    """Costs by what they were asked for, ascending. costs: one row an entry of `Cost`; NaN where the engine refused."""

    def __init__(self, keys: Array) -> None:
        self.keys = keys[:0]
        self.costs = np.empty((len(_NAMES), 0))

    def known(self, keys: Array) -> Array:
        """Which of the keys are there."""
        if not len(self.keys):
            return np.zeros(len(keys), dtype=bool)
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        found: Array = self.keys[at] == keys
        return found

    def add(self, keys: Array, costs: Array) -> None:
        """Costs of keys that are not there."""
        if len(self.keys) + len(keys) > MOST_KEPT:
            self.keys, self.costs = self.keys[:0], self.costs[:, :0]
        keys, costs = np.concatenate([self.keys, keys]), np.concatenate([self.costs, costs], axis=1)
        order = np.argsort(keys, kind="stable")
        self.keys, self.costs = keys[order], costs[:, order]

    def of(self, keys: Array) -> Array:
        """Costs of keys that are there."""
        costs: Array = self.costs[:, np.searchsorted(self.keys, keys)]
        return costs


def cost_of_lanes(
    cost: Callable[..., Cost], single: Callable[..., Cost], tables: dict[Any, Table], arguments: Sequence[Any], named: Mapping[str, Any]
) -> Cost:
    """What `cost` answers, lane by lane. single: the same of one point; tables: what is known, by the other arguments.

    Raises:
        Diverged: where some lanes are refused. OneByOne: where all are, each to be told why.
    """
    columns: list[Array] = []
    places: dict[int, int] = {}
    for at, argument in enumerate(arguments):
        if type(argument) is Lanes:
            places[at] = _place(columns, argument.values)
    if len(columns) > 2:
        raise OneByOne
    keys, inverse = np.unique(columns[0] if len(columns) == 1 else columns[0] + 1j * columns[1], return_inverse=True)
    name = (tuple(None if at in places else argument for at, argument in enumerate(arguments)), tuple(places.items()), *named.items())
    table = tables.get(name)
    if table is None:
        if len(tables) >= MOST_TABLES:
            tables.clear()
        table = tables[name] = Table(keys)
    missing = keys[~table.known(keys)]
    if len(missing):
        table.add(missing, _computed(cost, single, arguments, named, places, missing))
        if not table.known(keys).all():  # emptied, since it was full
            table.add(keys[~table.known(keys)], _computed(cost, single, arguments, named, places, keys[~table.known(keys)]))
    costs = table.of(keys)[:, inverse]
    answered = ~np.isnan(costs[0])
    if not answered.all():
        if not answered.any():
            raise OneByOne
        raise Diverged(answered)
    return Cost(*(Lanes(row) for row in costs))


def _place(columns: list[Array], values: Array) -> int:
    """The number of a column, added where no other is equal."""
    for at, known in enumerate(columns):
        if known is values or np.array_equal(known, values):
            return at
    columns.append(values)
    return len(columns) - 1


def _computed(
    cost: Callable[..., Cost],
    single: Callable[..., Cost],
    arguments: Sequence[Any],
    named: Mapping[str, Any],
    places: Mapping[int, int],
    keys: Array,
) -> Array:
    columns = [keys.real, keys.imag] if np.iscomplexobj(keys) else [keys]
    costs = np.full((len(_NAMES), len(keys)), np.nan)

    def asked(values: Sequence[Any]) -> list[Any]:
        return [values[places[at]] if at in places else argument for at, argument in enumerate(arguments)]

    def one(lane: int) -> None:
        try:
            found = single(*asked([_plain(column[lane]) for column in columns]), **named)
        except AttnsimError:
            return  # stays NaN
        costs[:, lane] = [getattr(found, name) for name in _NAMES]

    def run(some: Array) -> None:
        if len(some) < FEW:
            for lane in some:
                one(lane)
            return
        found = cost(*asked([_lanes(column[some]) for column in columns]), **named)
        for at, name in enumerate(_NAMES):
            costs[at, some] = values_of(getattr(found, name), len(some))

    def refuse(some: Array, error: Exception) -> None:
        if isinstance(error, OneByOne):
            for lane in some:
                one(lane)

    apart(np.arange(len(keys)), run, refuse, AttnsimError)
    return costs


def _plain(value: Any) -> int | float:
    return int(value) if value % 1 == 0 else float(value)


def _lanes(values: Array) -> Any:
    return _plain(values[0]) if bool((values == values[0]).all()) else Lanes(np.ascontiguousarray(values))
