"""A sweep, resolved: what is asked of which machines at which points. Points are numbers; their settings are decoded when needed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any, Final, Literal

from attnsim import __version__
from attnsim.api.documents import Ref, changed
from attnsim.errors import UsageError
from attnsim.explore.plan.axes import Axis, canonical_text
from attnsim.explore.plan.filter import Filter
from attnsim.machine.load import load_machine
from attnsim.machine.machine import Machine
from attnsim.machine.spatial import SpatialMachine
from attnsim.spec.yaml import Document

if TYPE_CHECKING:
    import numpy as np
    import pyarrow

Only = Literal["all", "lower_bound"]
"""What a sweep asks for: whole answers, or no more than the bound."""
MOST_POINTS: Final = 100_000_000
"""Points that a sweep may have without being confirmed."""
_WINDOWS: Final = ("window", "sinks")


class SweepError(UsageError):
    """A sweep that cannot be run as it is asked for; `field` is the varied field, option or filter at fault, where there is one."""

    def __init__(self, problem: Any, field: str = "", column: int | None = None) -> None:
        """Keep the field, and the column inside a filter."""
        super().__init__(problem)
        self.field = field
        self.column = column


@dataclass(frozen=True, slots=True)
class Settings:
    """Some points of a plan. index: their numbers, ascending (int64); columns: the value of every varied field, by its dotted name."""

    index: np.ndarray
    columns: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.index)


@dataclass(frozen=True, slots=True)
class Combination:
    """What a group of points shares: workload (all but counts set), machine, and the schedule in place of the workload's own."""

    document: Document
    machine: Machine | SpatialMachine
    schedule: Ref | None


@dataclass(frozen=True)
class Plan:
    """A sweep.

    workload: before `sets`; archs: machine files by the name they are asked for; arch: the one where `arch` does not vary. The last axis
    varies fastest. constants: the workload's own fields that filters name. schema: the columns of the answers, and answers: the entries
    of an estimate they come from; both are filled in by `attnsim.explore.answer.columns`.
    """

    workload: Document
    archs: Mapping[str, Document]
    arch: str
    schedule: Ref | None = None
    sets: tuple[str, ...] = ()
    axes: tuple[Axis, ...] = ()
    filters: tuple[Filter, ...] = ()
    only: Only = "all"
    columns: tuple[str, ...] = ()
    constants: Mapping[str, Any] = field(default_factory=dict)
    schema: pyarrow.Schema | None = None
    answers: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """Points before filters."""
        return prod(len(axis) for axis in self.axes)

    @property
    def fields(self) -> tuple[str, ...]:
        """Every varied field, slowest first."""
        return tuple(name for axis in self.axes for name in axis.fields)

    @property
    def is_model(self) -> bool:
        """Whether a whole model is asked about."""
        return bool(self.workload.data.get("kind") == "model")

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything the answers depend on."""
        schedule = self.schedule if self.schedule is None or isinstance(self.schedule, dict) else str(self.schedule)
        content = {
            "attnsim": __version__,
            "workload": self.workload.sha256,
            "archs": {name: document.sha256 for name, document in self.archs.items()},
            "arch": self.arch,
            "schedules": self._schedules(),
            "schedule": schedule,
            "sets": self.sets,
            "axes": canonical_text(self.axes),
            "filters": [one.text for one in self.filters],
            "only": self.only,
            "columns": self.columns,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()

    def _schedules(self) -> list[str]:
        """Digests of the schedules that are named, which a file of the user's own may hold."""
        from attnsim.errors import SpecError
        from attnsim.spec import library

        named: list[Any] = [self.schedule, self.workload.data.get("schedule")]
        for axis in self.axes:
            named += [
                series.value(at)
                for name, series in zip(axis.fields, axis.series, strict=True)
                if name == "schedule"
                for at in range(len(axis))
            ]
        found = []
        for name in named:
            try:
                found.append("" if name is None else library.load("schedule", name, doc=self.workload, loc=("schedule",)).sha256)
            except SpecError:
                found.append("unreadable")
        return found

    def chunks(self, size: int) -> int:
        """How many chunks of `size` points there are; the last may be shorter."""
        return -(-self.count // size)

    def positions(self, index: np.ndarray) -> list[np.ndarray]:
        """The position on every axis of the points of these numbers."""
        found: list[np.ndarray] = []
        rest = index
        for axis in reversed(self.axes):
            found.append(rest % len(axis))
            rest = rest // len(axis)
        return found[::-1]

    def settings(self, start: int, stop: int) -> Settings:
        """The points numbered `start` to `stop` - 1 that pass the filters."""
        import numpy as np

        return self.settings_of(np.arange(start, min(stop, self.count), dtype=np.int64))

    def settings_of(self, index: np.ndarray) -> Settings:
        """Those of the points numbered `index` that pass the filters."""
        columns: dict[str, np.ndarray] = {}
        for axis, positions in zip(self.axes, self.positions(index), strict=True):
            columns |= {name: series.take(positions) for name, series in zip(axis.fields, axis.series, strict=True)}
        for one in self.filters:
            kept = one.holds({**self.constants, **columns}, len(index))
            if not kept.all():
                index = index[kept]
                columns = {name: column[kept] for name, column in columns.items()}
        return Settings(index, columns)

    def groups(self, index: np.ndarray) -> np.ndarray:
        """The number of the combination that each of these points belongs to: all that varies but counts."""
        import numpy as np

        number = np.zeros(len(index), dtype=np.int64)
        for axis, positions in zip(self.axes, self.positions(index), strict=True):
            number = number * axis.group_count + axis.groups(positions)
        return number

    def combination(self, number: int) -> Combination:
        """The combination of a number. Raises: as `attnsim.run` where a value cannot be set or a machine cannot be built."""
        return self.combine(self.values(number))

    def values(self, number: int) -> dict[str, Any]:
        """Field -> value of a combination, counts left out."""
        values: dict[str, Any] = {}
        for axis in reversed(self.axes):
            number, group = divmod(number, axis.group_count)
            values = axis.settings(axis.first(group)) | values
        return values

    def combine(self, values: Mapping[str, Any]) -> Combination:
        """Workload, machine and schedule with these values set as `--set` sets them."""
        from attnsim.explore.plan.ranges import label

        values = dict(values)
        arch = self.archs[label(values.pop("arch", self.arch))]
        schedule = values.pop("schedule", self.schedule)
        window = values.pop("mask.window", None)
        sets = [*self.sets, *(f"{name}={set_text(value)}" for name, value in values.items())]
        document = self.workload
        if "schedule" in self.fields and schedule is None:
            document = document.with_set("schedule", None)
        if schedule is not None and any(text.strip().startswith("schedule.") for text in sets):
            document, schedule = document.with_set("schedule", schedule), None
        document = changed(document, sets)
        if window is not None:
            document = with_window(document, window)
        machine_sets = [text.strip().removeprefix("arch.") for text in sets if text.strip().startswith("arch.")]
        return Combination(document, load_machine(arch.data, sets=machine_sets), schedule)

    def with_schema(self, schema: pyarrow.Schema, answers: tuple[str, ...]) -> Plan:
        """This plan, its columns known."""
        return replace(self, schema=schema, answers=answers)


def with_window(document: Document, keys: Any) -> Document:
    """`mask.window` set: in window and sinks masks the keys that a query sees, its own included (`left` = window - 1 - `right`)."""
    mask = document.data.get("mask")
    if not isinstance(mask, dict) or mask.get("kind") not in _WINDOWS:
        return document.with_set("mask.window", keys)
    right = mask.get("right", 0)
    if not isinstance(keys, int) or not isinstance(right, int) or keys < right + 1:
        raise SweepError(
            f"mask.window must be a whole number of at least {(right or 0) + 1}, the query's own key and those right of it, not {keys!r}",
            "mask.window",
        )
    return document.with_set("mask.left", keys - 1 - right)


def set_text(value: Any) -> str:
    """A value as `--set` reads it back."""
    from attnsim.spec.scan import read_value

    if isinstance(value, str):
        reading = read_value(value, "")
        return value if reading.value == value and not reading.issues else json.dumps(value)
    return json.dumps(value)
