"""Cases of measured machines: rows of every kind of kernel, predicted as a user's own file is, judged on what nothing was fitted to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attnsim.errors import Issue, SpecError
from attnsim.spec.case import NamedRows, RowFilter
from attnsim.spec.machinecase import MachineCaseSpec, MachineGroup, MachineTarget
from attnsim.spec.yaml import Document, load_yaml, validate
from attnsim.validate.answer import Answers
from attnsim.validate.baselines import BaselineScore, compare
from attnsim.validate.call import required
from attnsim.validate.cases import CASE
from attnsim.validate.fitted import calibrated_lines, is_fitted
from attnsim.validate.measurements import MeasuredRow, SkippedRow, machine_of, samples_of, score_table, stats_of_rows
from attnsim.validate.predict import Predict, engine
from attnsim.validate.records import Record, Table, any_match, matches, read_csv
from attnsim.validate.stats import ErrorStats

MISFIT = 0.25
"""|error| of a held-out row from which the case must say why."""


@dataclass(frozen=True, slots=True)
class FileRow:
    """A scored row and the file it stands in. Reasons are empty where none is given."""

    file: str
    record: Record
    row: MeasuredRow
    floor_reason: str
    explanation: str

    @property
    def misfit(self) -> bool:
        """Whether the case must say why it is so far off."""
        return not self.row.fitted and abs(self.row.error) > MISFIT


@dataclass(frozen=True, slots=True)
class MachineGroupScore:
    """A group of a case and its rows."""

    group: MachineGroup
    rows: tuple[FileRow, ...]

    def stats(self, fitted: bool | None = None) -> ErrorStats:
        """Statistics of all rows, the fitted ones or the held-out ones."""
        return stats_of_rows(one.row for one in self.rows if fitted in (None, one.row.fitted))

    @property
    def target(self) -> MachineTarget | None:
        """What was promised for the held-out rows, if anything."""
        return self.group.targets

    @property
    def target_met(self) -> bool | None:
        """None without a target; not met without a held-out row."""
        if self.target is None:
            return None
        held = self.stats(False)
        pairs = ((self.target.mape, held.mape), (self.target.p90, held.p90), (self.target.worst, held.max))
        return all(limit is None or (value is not None and value <= limit) for limit, value in pairs)


@dataclass(frozen=True, slots=True)
class MachineScore:
    """A case of a measured machine, scored. skipped, excluded: (file, row)."""

    spec: MachineCaseSpec
    folder: Path
    groups: tuple[MachineGroupScore, ...]
    skipped: tuple[tuple[str, SkippedRow], ...]
    excluded: tuple[tuple[str, Record, str], ...]
    baselines: tuple[BaselineScore, ...]

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def rows(self) -> tuple[FileRow, ...]:
        """All scored rows."""
        return tuple(row for group in self.groups for row in group.rows)

    @property
    def misfits(self) -> tuple[FileRow, ...]:
        """Held-out rows that are too far off, worst first."""
        return tuple(sorted((row for row in self.rows if row.misfit), key=lambda one: -abs(one.row.error)))

    @property
    def unexplained(self) -> tuple[FileRow, ...]:
        """Those of them that the case says nothing about."""
        return tuple(row for row in self.misfits if not row.explanation)

    @property
    def broken(self) -> tuple[FileRow, ...]:
        """Rows measured below the certified lower bound that the case does not name."""
        return tuple(one for one in self.rows if one.row.below_floor and not one.floor_reason)

    @property
    def ok(self) -> bool:
        """Every target met, every row predicted, no floor broken and no misfit left without a reason."""
        met = all(group.target_met is not False for group in self.groups)
        return bool(self.rows) and met and not self.skipped and not self.broken and not self.unexplained

    def stats(self, fitted: bool | None = None) -> ErrorStats:
        """Statistics of all rows, the fitted ones or the held-out ones."""
        return stats_of_rows(one.row for one in self.rows if fitted in (None, one.row.fitted))

    def to_dict(self, detailed: bool) -> dict[str, Any]:
        """JSON form; `rows` only where they were asked for."""
        from attnsim.validate.render_machinecase import machine_dict

        return machine_dict(self, detailed)


def is_machine_case(folder: Path) -> bool:
    """Whether the case.yaml of a folder is about a measured machine."""
    file = folder / CASE
    return file.is_file() and bool(load_yaml(file).data.get("kind") == "measured")


def arch_of(arch: str, folder: Path) -> str:
    """The machine of a case: a name of the library, or the path of a file in its folder."""
    return str(folder / arch) if arch.endswith(".yaml") else arch


def score_machine(folder: Path, *, predict: Predict = engine) -> MachineScore:
    """Read and score a case. Raises SpecError naming file, line and reason of everything wrong in case.yaml, and for a faulty file."""
    doc = load_yaml(folder / CASE)
    spec = validate(MachineCaseSpec, doc)
    machine, _ = machine_of(arch_of(spec.arch, folder))
    tables = {file: _named(read_csv(folder / file, required), file) for file in spec.files}
    issues = list(_faults(spec, doc, tables))
    if issues:
        raise SpecError(issues)
    answers = Answers(machine, predict)
    groups: dict[str, list[FileRow]] = {group.name: [] for group in _groups(spec)}
    skipped: list[tuple[str, SkippedRow]] = []
    excluded: list[tuple[str, Record, str]] = []
    for file, table in tables.items():
        lines = calibrated_lines(machine, folder / file)
        left_out = {record.line: why for record in table.records if (why := _reason(spec.excluded, record))}
        excluded += [(file, record, left_out[record.line]) for record in table.records if record.line in left_out]
        by_line = {record.line: record for record in table.records if record.line not in left_out}
        scored, bad = score_table(
            Table(table.file, table.columns, tuple(by_line.values())), answers,
            lambda record, lines=lines: is_fitted(record, lines) or any_match(record.values, spec.fitted),  # type: ignore[misc]
        )  # fmt: skip
        skipped += [(file, row) for row in bad]
        for row in scored:
            record = by_line[row.line]
            group = next((group for group in _groups(spec) if matches(record.values, group.where)), None)
            if group is None:
                skipped.append((file, SkippedRow(row.line, row.kernel, "belongs to no group of case.yaml, and is not excluded")))
                continue
            reasons = _reason(spec.below_floor, record), _reason(spec.explained, record)
            groups[group.name].append(FileRow(file, record, row, *reasons))
    scores = tuple(MachineGroupScore(group, tuple(groups[group.name])) for group in _groups(spec))
    samples = samples_of(one.row for score in scores for one in score.rows)
    return MachineScore(spec, folder, scores, tuple(skipped), tuple(excluded), compare(samples, machine))


def _groups(spec: MachineCaseSpec) -> list[MachineGroup]:
    return spec.groups or [MachineGroup(name="all")]


def _named(table: Table, file: str) -> Table:
    """The rows with a column `file`, so that filters can name it."""
    stem = file.removesuffix(".csv")
    records = tuple(Record(record.line, {**record.values, "file": stem}, record.fault) for record in table.records)
    return Table(table.file, table.columns, records)


def _reason(named: Iterable[NamedRows], record: Record) -> str:
    return next((rows.reason for rows in named if matches(record.values, rows.where)), "")


def _faults(spec: MachineCaseSpec, doc: Document, tables: dict[str, Table]) -> Iterator[Issue]:
    """Truncated files; and filters that match no row, which are typing errors: silently, fitted rows would count as held out."""
    for file, count in spec.files.items():
        if len(tables[file].records) != count:
            yield doc.issue(("files", file), f"says {count} rows, but {tables[file].file} has {len(tables[file].records)}")
    filters: list[tuple[tuple[str | int, ...], RowFilter]] = [(("fitted", i), where) for i, where in enumerate(spec.fitted)]
    for section in ("below_floor", "excluded", "explained"):
        filters += [((section, i, "where"), rows.where) for i, rows in enumerate(getattr(spec, section))]
    filters += [(("groups", i, "where"), group.where) for i, group in enumerate(spec.groups)]
    for loc, where in filters:
        if not any(matches(record.values, where) for table in tables.values() for record in table.records):
            yield doc.issue(loc, "matches no row of the files")
