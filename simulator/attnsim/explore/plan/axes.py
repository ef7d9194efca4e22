"""The axes of a sweep: which fields vary together, and how a point's number tells the value of each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from attnsim.errors import UsageError
from attnsim.explore.plan.ranges import Series, Stepped, label, series_of

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Axis:
    """Fields that vary together: at position i, each of `fields` has the i-th value of its series.

    counted: the fields that hold plain counts (sizes of ranks; context and batch of a model), in which a group of points may differ.
    """

    fields: tuple[str, ...]
    series: tuple[Series, ...]
    counted: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self.series[0])

    @property
    def text(self) -> str:
        """As an error names it: `sizes.M 1,024`."""
        return f"{','.join(self.fields)} {len(self):,}"

    @cached_property
    def categories(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The group of every position, and a position of every group; None where every position is a group of its own."""
        import numpy as np

        plain = [series for field, series in zip(self.fields, self.series, strict=True) if field not in self.counted]
        if not plain:
            return np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
        if len(plain) == len(self.fields) or any(isinstance(series, Stepped) for series in plain):
            return None
        found: dict[tuple[str, ...], int] = {}
        groups = np.empty(len(self), dtype=np.int64)
        firsts: list[int] = []
        for position in range(len(self)):
            key = tuple(label(series.value(position)) for series in plain)
            if key not in found:
                found[key] = len(firsts)
                firsts.append(position)
            groups[position] = found[key]
        return groups, np.array(firsts, dtype=np.int64)

    @property
    def is_counted(self) -> bool:
        """Whether nothing but counts varies."""
        return set(self.fields) <= self.counted

    @property
    def group_count(self) -> int:
        """Groups that positions fall into."""
        return len(self) if self.categories is None else len(self.categories[1])

    def groups(self, positions: np.ndarray) -> np.ndarray:
        """The group of each position."""
        if self.categories is None:
            return positions
        if self.is_counted:
            return positions * 0
        found: np.ndarray = self.categories[0][positions]
        return found

    def first(self, group: int) -> int:
        """A position of a group."""
        return group if self.categories is None else int(self.categories[1][group])

    def settings(self, position: int) -> dict[str, Any]:
        """Field -> value at a position, counts left out."""
        return {field: series.value(position) for field, series in zip(self.fields, self.series, strict=True) if field not in self.counted}

    def canonical(self) -> Any:
        """What two equal axes share, as JSON data."""
        return [
            [field, [series.first, series.step, series.count] if isinstance(series, Stepped) else {"values": series.values}]
            for field, series in zip(self.fields, self.series, strict=True)
        ]


def vary(fields: str, values: Any) -> Axis:
    """An axis of one field, or of several that take the same value ("sizes.P,sizes.M"). Raises: UsageError."""
    names = tuple(name.strip() for name in fields.split(","))
    if not all(names):
        raise UsageError(f"cannot read {fields!r}; write a field such as sizes.M, or several that take the same value: sizes.P,sizes.M")
    try:
        series = series_of(values)
    except UsageError as error:
        raise UsageError(f"{fields}: {error}") from None
    return Axis(names, (series,) * len(names))


def zipped(columns: Mapping[str, Any]) -> Axis:
    """An axis of fields that each have values of their own, as many for all. Raises: UsageError."""
    made = [vary(fields, values) for fields, values in columns.items()]
    lengths = {len(axis) for axis in made}
    if len(lengths) > 1:
        counts = ", ".join(f"{','.join(axis.fields)} has {len(axis):,}" for axis in made)
        raise UsageError(f"fields that vary together need as many values each: {counts}")
    return Axis(tuple(field for axis in made for field in axis.fields), tuple(series for axis in made for series in axis.series))


def listed(points: Sequence[Mapping[str, Any]]) -> Axis:
    """An axis of points written out; each gives the same fields. Raises: UsageError."""
    fields = tuple(points[0])
    for number, point in enumerate(points):
        if set(point) != set(fields):
            changes = [f"lacks {field}" for field in fields if field not in point] + [
                f"adds {field}" for field in point if field not in fields
            ]
            raise UsageError(f"point {number} {', '.join(changes)}; every point of a list gives the same fields")
    from attnsim.explore.plan.ranges import Listed

    return Axis(fields, tuple(Listed(tuple(_single(point[field], field) for point in points)) for field in fields))


def _single(value: Any, field: str) -> Any:
    if not isinstance(value, str):
        return value
    try:
        series = series_of([value])
    except UsageError as error:
        raise UsageError(f"{field}: {error}") from None
    if len(series) > 1:
        raise UsageError(f"{field}: {value!r} is {len(series):,} values; a point of a list has one")
    return series.value(0)


def canonical_text(axes: Sequence[Axis]) -> str:
    """The axes as canonical JSON, for digests."""
    return json.dumps([axis.canonical() for axis in axes], sort_keys=True, separators=(",", ":"), default=str)
