"""`attnsim.pareto`: the points of a sweep that no other point of it dominates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from attnsim.errors import InfeasibleError, UsageError
from attnsim.evaluate.render import table as aligned
from attnsim.evaluate.render import whole
from attnsim.explore.output.sample import Sample
from attnsim.explore.output.table import Columns, Source, Table, as_floats, open_table
from attnsim.explore.pareto.dominance import Floats, RunningFront, nondominated
from attnsim.explore.plan.filter import Filter, FilterError, FilterField, parse_filter
from attnsim.explore.shown import label, shown

if TYPE_CHECKING:
    import pandas

MOST_GROUPS = 1000
ROWS_SHOWN = 40
OVERALL = "on_overall_front"


@dataclass(frozen=True, slots=True)
class Objective:
    """A column that should be small, or large."""

    column: str
    maximize: bool = False

    @property
    def text(self) -> str:
        """As a sentence names it."""
        return f"{'highest' if self.maximize else 'lowest'} {label(self.column)}"


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows read, and of these: with an error, that pass no filter, without a value of an objective, on a front."""

    rows: int
    failed: int
    filtered: int
    unvalued: int
    front: int

    def lines(self) -> list[str]:
        """What is left out, and why."""
        why = ((self.failed, "cannot be had (column error)"), (self.unvalued, "no value of an objective"))
        return [f"left out: {whole(count)} point{'' if count == 1 else 's'}: {reason}" for count, reason in why if count]


@dataclass(frozen=True, slots=True, repr=False)
class Front:
    """Points that no other point dominates, as good in every objective and better in one; equal points are all on it.

    With `by`, each of the `groups` has its own front, and the column `on_overall_front` says which points are also on that of all.
    table: pyarrow, a row a point: `point`, the columns of `by`, the objectives, the fields that differ, the bound; best in the first
    objective first. group: number of the group of each row. same: fields that are equal throughout. cloud: a sample of all points, for
    figures. Its repr is the table.
    """

    source: str
    objectives: tuple[Objective, ...]
    by: tuple[str, ...]
    where: tuple[str, ...]
    fields: tuple[str, ...]
    same: Mapping[str, Any]
    groups: tuple[str, ...]
    counts: Counts
    table: Any
    group: np.ndarray
    cloud: Floats

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def to_dataframe(self) -> pandas.DataFrame:
        """The table as a pandas DataFrame."""
        frame: pandas.DataFrame = self.table.to_pandas()
        return frame

    def rows(self) -> list[dict[str, Any]]:
        """A dict a point, by the names of the sweep's columns."""
        found: list[dict[str, Any]] = self.table.to_pylist()
        return found

    def top(self, count: int) -> Front:
        """The first `count` points of every group."""
        ranks = np.concatenate([np.arange(size) for size in np.bincount(self.group, minlength=len(self.groups))] or [np.arange(0)])
        kept = np.flatnonzero(ranks < count)
        return replace(self, table=self.table.take(pa.array(kept)), group=self.group[kept])

    def to_dict(self) -> dict[str, Any]:
        """The JSON of ``attnsim pareto``."""
        from attnsim import __version__

        return {
            "schema": 1,
            "attnsim": __version__,
            "source": self.source,
            "minimize": [one.column for one in self.objectives if not one.maximize],
            "maximize": [one.column for one in self.objectives if one.maximize],
            "by": list(self.by),
            "where": list(self.where),
            "points": self.counts.rows,
            "left_out": {"error": self.counts.failed, "where": self.counts.filtered, "no_value": self.counts.unvalued},
            "on_front": self.counts.front,
            "same": dict(self.same),
            "results": [{name: value for name, value in row.items() if value is not None} for row in self.rows()],
        }

    def text(self) -> str:
        """The table of the terminal, with what is left out."""
        return "\n".join([*self._above(), "", self._grid(), *self._below()])

    def __repr__(self) -> str:
        return self.text()

    def _above(self) -> list[str]:
        counts = self.counts
        among = counts.rows - counts.failed - counts.filtered - counts.unvalued
        fronts = f"fronts by {', '.join(self.by)}" if self.by else "front"
        lines = [f"{fronts}: {whole(counts.front)} of {whole(among)} points; {', '.join(one.text for one in self.objectives)}"]
        if self.where:
            lines.append(f"where {' and '.join(self.where)}: {whole(among)} of {whole(among + counts.filtered)} points")
        if self.same:
            lines.append(
                ", ".join(f"{name} {value if isinstance(value, str) else shown(name, value)}" for name, value in self.same.items())
            )
        return lines

    def _grid(self) -> str:
        names = [name for name in self.table.column_names if name not in ("point", OVERALL)]
        if self.by:
            names.insert(len(self.by), OVERALL)
        columns = {name: self.table[name].slice(0, ROWS_SHOWN).to_pylist() for name in names}
        rows = list(zip(*([shown(name, value) for value in values] for name, values in columns.items()), strict=True))
        words = [any(isinstance(value, str | bool) for value in values) for values in columns.values()]
        header = ["of all" if name == OVERALL else label(name) for name in names]
        return aligned(header, rows, right=[index for index, text in enumerate(words) if not text])

    def _below(self) -> list[str]:
        listed = min(len(self), ROWS_SHOWN)
        hint = ": write them with -o FILE.csv" if len(self) > listed else ""
        more = self.counts.front - listed
        return [*([f"and {whole(more)} more{hint}"] if more else []), *self.counts.lines()]


def pareto(
    source: Source,
    minimize: str | Sequence[str] = (),
    maximize: str | Sequence[str] = (),
    *,
    where: str | Sequence[str] = (),
    by: str | Sequence[str] = (),
) -> Front:
    """The points of a sweep that no other point of it dominates.

    source: what ``attnsim sweep`` wrote (Parquet, a folder of Parquet files, CSV, JSON lines), a DataFrame or a pyarrow table; read batch
    by batch. minimize, maximize: columns, at least one, by name or by the end of one (``usd_per_mtok``). where: conditions over columns
    that a point must meet (``"sizes.B >= 8"``). by: columns whose every value has a front of its own. Points with an error or without a
    value are left out and counted.

    Raises:
        UsageError: a file that cannot be read, a column that is not there or holds no numbers, a condition that cannot be read.
        InfeasibleError: no point is left.
    """
    table = open_table(source)
    objectives = _objectives(table, minimize, maximize)
    groups = tuple(dict.fromkeys(table.column(word) for word in _words(by)))
    conditions = [_filter(table, text) for text in ([where] if isinstance(where, str) else where)]
    reading = _Reading(table, objectives, groups, conditions)
    reading.read()
    return reading.front(Path(source).name if isinstance(source, str | Path) else table.label)


def _words(names: str | Sequence[str]) -> list[str]:
    return [part.strip() for text in ([names] if isinstance(names, str) else names) for part in text.split(",") if part.strip()]


def _objectives(table: Table, minimize: str | Sequence[str], maximize: str | Sequence[str]) -> tuple[Objective, ...]:
    found = [Objective(table.column(word)) for word in _words(minimize)] + [Objective(table.column(w), True) for w in _words(maximize)]
    if not found:
        raise UsageError("nothing to minimize or maximize; name columns, for example --minimize latency_s,energy_j")
    seen: set[str] = set()
    for one in found:
        if one.column in seen:
            raise UsageError(f"{one.column} is named twice; an objective is minimized or maximized, once")
        seen.add(one.column)
        if table.kind(one.column) != "number":
            held = "text" if table.kind(one.column) == "text" else "yes or no"
            raise UsageError(f"column {one.column!r} holds {held}; objectives are numbers, such as latency_s")
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Condition:
    """A filter, and the column that each of its names means."""

    filter: Filter
    columns: Mapping[str, str]


def _filter(table: Table, text: str) -> _Condition:
    ends: dict[str, list[str]] = {}
    for name in table.names:
        ends.setdefault(name.rpartition(".")[2], []).append(name)
    known = {end: names[0] for end, names in ends.items() if len(names) == 1} | {name: name for name in table.names}
    try:
        found = parse_filter(text, {word: FilterField(table.kind(name)) for word, name in known.items()})
    except FilterError as error:
        raise UsageError(f"--where: {error}") from None
    return _Condition(found, {word: known[word] for word in found.fields})


class _Reading:
    """One walk over the rows: a running front for every group, a sample of all, and counts."""

    def __init__(self, table: Table, objectives: Sequence[Objective], by: Sequence[str], conditions: Sequence[_Condition]) -> None:
        self._table, self._objectives, self._by, self._conditions = table, objectives, by, conditions
        self._signs = np.array([-1.0 if one.maximize else 1.0 for one in objectives])
        self._numbers: dict[tuple[Any, ...], int] = {}
        self._fronts: list[RunningFront] = []
        self._sample = Sample(len(objectives))
        self._rows = self._failed = self._filtered = self._unvalued = 0

    def read(self) -> None:
        """Walk all rows once."""
        filtered = dict.fromkeys(name for one in self._conditions for name in one.columns.values())
        numeric = dict.fromkeys([*(one.column for one in self._objectives), *(n for n in filtered if self._table.kind(n) == "number")])
        others = dict.fromkeys([*self._by, *(name for name in filtered if name not in numeric)])
        texts = [*others, *(["error"] if "error" in self._table.names else [])]
        for start, columns in self._table.batches(texts, numeric):
            self._add(start, columns)

    def _add(self, start: int, columns: Columns) -> None:
        count = len(next(iter(columns.values())))
        fine = np.ones(count, dtype=np.bool_)
        if "error" in columns:
            fine = columns["error"].is_null().to_numpy(zero_copy_only=False)
        passing = fine & self._passing(columns, count)
        values = np.stack([as_floats(columns[one.column], one.column) for one in self._objectives], axis=1) * self._signs
        valued = passing & ~np.isnan(values).any(axis=1)
        self._rows += count
        self._failed += int(count - fine.sum())
        self._filtered += int(fine.sum() - passing.sum())
        self._unvalued += int(passing.sum() - valued.sum())
        at = np.flatnonzero(valued)
        for number, inside in self._grouped(columns, at):
            self._fronts[number].add(values[at[inside]], start + at[inside])
        self._sample.add(values[at], start + at)

    def _passing(self, columns: Columns, count: int) -> Any:
        found = np.ones(count, dtype=np.bool_)
        for one in self._conditions:
            found &= one.filter.holds({word: self._known(columns[name], name) for word, name in one.columns.items()}, count)
        return found

    def _known(self, values: Any, name: str) -> Any:
        kind = self._table.kind(name)
        if kind == "number":
            return as_floats(values, name)
        plain = values.to_numpy(zero_copy_only=False)
        if kind == "flag":  # written as a word in CSV
            return np.array([str(value).lower() == "true" for value in plain])
        return plain

    def _grouped(self, columns: Columns, at: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """The number of a group, in the order of their first rows, and which of the rows `at` are its own."""
        codes = np.zeros(len(at), dtype=np.int64)
        keys: list[tuple[Any, ...]] = [()]
        encoded = [columns[name].take(pa.array(at)).dictionary_encode(null_encoding="encode") for name in self._by]
        if prod(len(one.dictionary) for one in encoded) > MOST_GROUPS**2:
            raise self._too_many()
        for one in encoded:
            codes = codes * len(one.dictionary) + one.indices.to_numpy(zero_copy_only=False)
            keys = [(*key, value) for key in keys for value in one.dictionary.to_pylist()]
        order = np.argsort(codes, kind="stable")
        starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
        for inside in sorted(np.split(order, starts[1:]) if len(order) else [], key=lambda rows: int(rows[0])):
            number = self._numbers.setdefault(keys[codes[inside[0]]], len(self._fronts))
            if number == MOST_GROUPS:
                raise self._too_many()
            if number == len(self._fronts):
                self._fronts.append(RunningFront(len(self._objectives)))
            yield number, inside

    def _too_many(self) -> UsageError:
        return UsageError(f"--by {','.join(self._by)} makes more than {MOST_GROUPS} groups; name columns with few values, such as arch")

    def front(self, source: str) -> Front:
        """What was found. Raises: InfeasibleError where no point is left."""
        if not self._fronts:
            reasons = {"cannot be had": self._failed, "pass no filter": self._filtered, "have no value": self._unvalued}
            told = ", ".join(f"{whole(count)} {reason}" for reason, count in reasons.items() if count) or "there is none"
            raise InfeasibleError(f"no point of {source} is left: {told}")
        found = [self._fronts[number].result() for number in self._ordered()]
        values = np.concatenate([values for values, _ in found])
        rows = np.concatenate([rows for _, rows in found])
        group = np.repeat(np.arange(len(found)), [len(rows) for _, rows in found])
        order = np.lexsort([rows, *values.T[::-1], group])
        values, rows, group = values[order], rows[order], group[order]
        table, fields, same = self._described(rows)
        groups = tuple(self._named(table, int(np.searchsorted(group, number))) for number in range(len(found)))
        if self._by:
            table = table.append_column(OVERALL, pa.array(nondominated(values)))
        counts = Counts(self._rows, self._failed, self._filtered, self._unvalued, len(rows))
        where = tuple(one.filter.text for one in self._conditions)
        cloud = self._sample.values() * self._signs
        return Front(source, tuple(self._objectives), tuple(self._by), where, fields, same, groups, counts, table, group, cloud)

    def _ordered(self) -> list[int]:
        """The groups, by their values where these are numbers, else in the order of their first rows."""
        try:
            numbers = {key: tuple(map(float, key)) for key in self._numbers}
        except (TypeError, ValueError):
            return list(range(len(self._fronts)))
        return [self._numbers[key] for key in sorted(numbers, key=lambda key: numbers[key])]

    def _described(self, rows: np.ndarray) -> tuple[Any, tuple[str, ...], dict[str, Any]]:
        """The columns of the rows: those that differ; names of the fields that do; the fields that do not."""
        known = self._table
        objectives = [one.column for one in self._objectives]
        asked = [name for name in known.inputs if name not in (*self._by, *objectives)]
        ends = [name for name in ("bound",) if name in known.names and name not in (*self._by, *objectives)]
        number = ["point"] if "point" in known.names and "point" not in (*self._by, *objectives) else []
        names = [*number, *self._by, *objectives, *asked, *ends]
        ascending = np.argsort(rows, kind="stable")
        back = np.empty(len(rows), dtype=np.int64)
        back[ascending] = np.arange(len(rows))
        table = known.rows(rows[ascending], names).take(pa.array(back))
        different = {name: table[name].unique().to_pylist() for name in asked}
        same = {name: values[0] for name, values in different.items() if len(values) == 1 and values[0] is not None}
        fields = tuple(name for name, values in different.items() if len(values) > 1)
        return table.select([*number, *self._by, *objectives, *fields, *ends]), fields, same

    def _named(self, table: Any, row: int) -> str:
        values = {name: table[name][row].as_py() for name in self._by}
        return ", ".join(value if isinstance(value, str) else f"{name.rpartition('.')[2]} {value}" for name, value in values.items())
