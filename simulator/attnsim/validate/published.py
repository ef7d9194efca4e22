"""Published tables scored value by value: what the engine gives back, how far off the worst row is, and the averages of the paper."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, geometric_mean
from typing import Any

from attnsim.errors import AttnsimError, Issue, SpecError, UsageError, suggest
from attnsim.spec.published import Check, PublishedMean, PublishedTable, TablesSpec
from attnsim.spec.yaml import Document, load_yaml, validate
from attnsim.validate.point import put
from attnsim.validate.predict import reason
from attnsim.validate.records import Record, any_match, matches, read_csv

NOTHING = 1e-12
"""Below this a value is zero: relative differences of nothing say nothing."""


@dataclass(frozen=True, slots=True)
class Value:
    """One value of a table beside the engine's. error: relative, signed; 0 or infinite for words; off: absolute, infinite for words."""

    record: Record
    published: str
    predicted: Any
    error: float
    fitted: bool
    off: float = math.inf

    @property
    def row(self) -> Mapping[str, str]:
        """The row of the table it stands in: text by column."""
        return self.record.values


@dataclass(frozen=True, slots=True)
class CheckScore:
    """A column of one configuration. failures: (row, why there is no prediction)."""

    table: str
    configuration: str
    check: Check
    values: tuple[Value, ...]
    failures: tuple[tuple[Record, str], ...] = ()

    def worst(self, fitted: bool | None = None) -> float | None:
        """Largest |relative difference|: of all rows, fitted or held-out ones; None for no rows."""
        return max((abs(value.error) for value in self.values if fitted is None or value.fitted is fitted), default=None)

    @property
    def mean(self) -> float:
        """Mean |relative difference|."""
        return fmean(abs(value.error) for value in self.values) if self.values else 0.0

    @property
    def differing(self) -> tuple[Value, ...]:
        """Values outside the tolerance of a row."""
        if self.check.off is not None:
            return tuple(value for value in self.values if value.off > self.check.off)
        limit = 0.0 if self.check.words else self.check.within
        return () if limit is None else tuple(value for value in self.values if abs(value.error) > limit)

    @property
    def ok(self) -> bool:
        """Every row predicted and within the tolerance, where there is one."""
        limit = self.check.mean_within
        return not self.failures and not self.differing and (limit is None or self.mean <= limit)


@dataclass(frozen=True, slots=True)
class MeanScore:
    """An average beside the published one."""

    mean: PublishedMean
    kind: str
    n: int
    arithmetic: float
    geometric: float

    @property
    def value(self) -> float:
        """The mean the paper uses."""
        return self.arithmetic if self.kind == "arithmetic" else self.geometric

    @property
    def error(self) -> float:
        """Relative difference from the published value."""
        return self.value / self.mean.published - 1

    @property
    def ok(self) -> bool:
        """Whether it is within the tolerance."""
        return abs(self.error) <= self.mean.within


@dataclass(frozen=True, slots=True)
class TablesScore:
    """A folder of published tables, scored."""

    spec: TablesSpec
    folder: Path
    checks: tuple[CheckScore, ...]
    means: tuple[MeanScore, ...]

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def ok(self) -> bool:
        """Whether every check and every mean is."""
        return all(check.ok for check in self.checks) and all(mean.ok for mean in self.means)

    def check(self, table: str, configuration: str, column: str) -> CheckScore:
        """A column of one configuration, by the label where it has one. Raises: UsageError for one that is not scored."""
        found = {(one.table, one.configuration, one.check.label or one.check.column): one for one in self.checks}
        if (table, configuration, column) not in found:
            known = "; ".join(", ".join(names) for names in found)
            raise UsageError(f"{self.name} scores no {table!r}, {configuration!r}, {column!r}; it has {known}")
        return found[table, configuration, column]

    def mean(self, name: str) -> MeanScore:
        """An average of the paper by its name. Raises: UsageError for one that it has not."""
        found = {one.mean.name: one for one in self.means}
        if name not in found:
            raise UsageError(f"{self.name} has no mean {name!r}{suggest(name, found)}")
        return found[name]


@dataclass(slots=True)
class _Engine:
    """Answers of `attnsim.run`, each computed once."""

    spec: TablesSpec
    answers: dict[tuple[Any, ...], dict[str, Any]] = field(default_factory=dict)

    def result(self, configuration: str, sizes: Mapping[str, int], fields: Mapping[str, str] | None = None) -> dict[str, Any]:
        from attnsim.api import run, workload_document
        from attnsim.cascade.cascade import load_cascade

        chosen = self.spec.configurations[configuration]
        if chosen.collective is not None:
            from attnsim.api.collective import run_collective
            from attnsim.machine import load_machine

            return run_collective(chosen.collective, load_machine(chosen.arch), sizes).to_dict()
        ranks = load_cascade(chosen.cascade).ranks if chosen.cascade else sizes
        own = {rank: size for rank, size in sizes.items() if rank in ranks}
        key = configuration, tuple(sorted(own.items())), tuple(sorted((fields or {}).items()))
        if key not in self.answers:
            shared = {"conditions": self.spec.conditions.model_dump(exclude_unset=True), **deepcopy(chosen.workload)}
            if chosen.base:
                document = workload_document(chosen.base, overrides={"sizes": own} if own else None)
                workload = {**deepcopy(document.data), **{name: value for name, value in shared.items() if value or name != "conditions"}}
            else:
                workload = {
                    "attnsim": 1, "kind": "kernel", "name": f"{self.spec.name}: {configuration}", "cascade": chosen.cascade, "sizes": own,
                    "dtype": self.spec.dtype, "schedule": {"extends": chosen.schedule} if fields else chosen.schedule, **shared,
                }  # fmt: skip
            for place, text in (fields or {}).items():
                put(workload, place, text)
            sets = [f"arch.{place}={value}" for place, value in chosen.arch_overrides.items()]
            self.answers[key] = run(workload, chosen.arch, sets=sets).results[0].to_dict()
        return self.answers[key]


def score_tables(folder: Path) -> TablesScore:
    """Score `table.yaml` of a folder. Raises SpecError for everything wrong in it; a row the engine refuses is reported, not raised."""
    document = load_yaml(folder / "table.yaml")
    spec = validate(TablesSpec, document)
    issues = list(_unknown_configurations(spec, document))
    if issues:
        raise SpecError(issues)
    engine = _Engine(spec)
    checks: list[CheckScore] = []
    for index, table in enumerate(spec.tables):
        checks += _table(folder, document, index, table, engine)
    return TablesScore(spec, folder, tuple(checks), tuple(_means(folder, spec, engine)))


def _unknown_configurations(spec: TablesSpec, document: Document) -> Iterator[Issue]:
    known = spec.configurations
    for index, table in enumerate(spec.tables):
        for word, name in table.configurations.items():
            if name not in known:
                yield document.issue(("tables", index, "configurations", word), f"no configuration '{name}'{suggest(name, known)}")
        for number, check in enumerate(table.checks):
            if check.over and check.over not in known:
                where = ("tables", index, "checks", number, "over")
                yield document.issue(where, f"no configuration '{check.over}'{suggest(check.over, known)}")
    for index, mean in enumerate(spec.means):
        for which in ("this", "other"):
            for place, name in enumerate(getattr(mean, which)):
                if name not in known:
                    yield document.issue(("means", index, which, place), f"no configuration '{name}'{suggest(name, known)}")


def _table(folder: Path, document: Document, index: int, table: PublishedTable, engine: _Engine) -> Iterator[CheckScore]:
    columns = {
        table.configuration,
        *table.fields.values(),
        *(check.column for check in table.checks),
        *(c for c in table.sizes.values() if isinstance(c, str)),
    }
    found = read_csv(folder / table.file, sorted(columns))
    if len(found.records) != table.points:
        raise SpecError(document.issue(("tables", index, "points"), f"says {table.points} rows, but {found.file} has {len(found.records)}"))
    for number, check in enumerate(table.checks):
        if not any(matches(record.values, check.where) for record in found.records):
            raise SpecError(document.issue(("tables", index, "checks", number, "where"), f"matches no row of {table.file}"))
    for word, configuration in table.configurations.items():
        rows = [record for record in found.records if record.values[table.configuration] == word]
        if not rows:
            raise SpecError(document.issue(("tables", index, "configurations", word), f"no row of {table.file} is called '{word}'"))
        for check in table.checks:
            chosen = [record for record in rows if matches(record.values, check.where)]
            if chosen:
                yield _check(table, configuration, check, chosen, engine)


def _check(table: PublishedTable, configuration: str, check: Check, rows: list[Record], engine: _Engine) -> CheckScore:
    values: list[Value] = []
    failures: list[tuple[Record, str]] = []
    for record in rows:
        try:
            fields = {place: record.values[column] for place, column in table.fields.items()}
            result = engine.result(configuration, _sizes(table.sizes, record), fields)
            predicted = pick(result, check.result)
            if check.over:
                predicted /= pick(engine.result(check.over, _sizes(table.sizes, record), fields), check.result)
        except AttnsimError as error:
            failures.append((record, reason(error)))
            continue
        published = record.values[check.column]
        difference = _error(check, published, predicted)
        off = math.inf if check.words else abs(float(predicted) - float(published) * check.factor)
        values.append(Value(record, published, predicted, difference, any_match(record.values, check.fitted), off))
    return CheckScore(table.name, configuration, check, tuple(values), tuple(failures))


def _sizes(sizes: Mapping[str, str | int], record: Record) -> dict[str, int]:
    return {rank: int(record.values[column]) if isinstance(column, str) else column for rank, column in sizes.items()}


def pick(result: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted place of a result; numbers address list entries. Raises SpecError where there is none."""
    value: Any = result
    for step in path.split("."):
        try:
            value = value[int(step)] if isinstance(value, list) else value[step]
        except (KeyError, IndexError, ValueError, TypeError):
            raise SpecError(f"the result has no {path!r}: nothing at {step!r}") from None
    return value


def _error(check: Check, published: str, predicted: Any) -> float:
    if check.words:
        return 0.0 if str(predicted) in check.words.get(published, []) else math.inf
    try:
        reference = float(published) * check.factor
    except ValueError:
        raise SpecError(f"{check.column} is {published!r}; a number is wanted") from None
    if abs(reference) < NOTHING and abs(predicted) < NOTHING:
        return 0.0
    return math.inf if reference == 0 else float(predicted) / reference - 1


def _means(folder: Path, spec: TablesSpec, engine: _Engine) -> Iterator[MeanScore]:
    if spec.grid is None:
        return
    columns = [column for column in spec.grid.sizes.values() if isinstance(column, str)]
    rows = read_csv(folder / spec.grid.file, columns).records
    points = [
        {**_sizes(spec.grid.sizes, record), **dict.fromkeys(spec.grid.ranks, length)} for record in rows for length in spec.grid.lengths
    ]
    for mean in spec.means:
        ratios = []
        for sizes in points:
            this, other = (sum(float(pick(engine.result(name, sizes), mean.result)) for name in names) for names in (mean.this, mean.other))
            ratios.append(other / this if mean.ratio == "other/this" else this / other)
        yield MeanScore(mean, spec.mean, len(ratios), fmean(ratios), geometric_mean(ratios))
