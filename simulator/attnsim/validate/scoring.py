"""Predictions beside the published numbers of the cases: errors, statistics, and whether each target is met."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from attnsim.errors import AttnsimError, MissingDataError
from attnsim.spec.case import Target
from attnsim.validate.cases import (
    CASE,
    MEASURED,
    TABLE,
    Case,
    CasePoint,
    Group,
    find,
    folders,
    load_case,
    machine_folders,
    measured_folders,
    table_folders,
)
from attnsim.validate.machinecase import MachineScore, is_machine_case, score_machine
from attnsim.validate.measured import MeasuredScore, Progress, score_measured
from attnsim.validate.predict import Ceiling, Predict, Prediction, engine, machine_ceiling, reason
from attnsim.validate.published import TablesScore, score_tables
from attnsim.validate.stats import ErrorStats

BRIEF = 300
"""Held-out rows of each measured table that are scored when no case is named."""


@dataclass(frozen=True, slots=True)
class ScoredPoint:
    """A measured point with its prediction."""

    point: CasePoint
    prediction: Prediction

    @property
    def error(self) -> float:
        """Predicted / measured - 1, in time: +0.05 is predicted 5 % too slow."""
        return self.prediction.latency_s / self.point.measured_s - 1

    @property
    def below_floor(self) -> bool:
        """Whether the measurement beats the certified lower bound, which no honest measurement should."""
        return self.point.measured_s < self.prediction.lower_bound_s


@dataclass(frozen=True, slots=True)
class Failure:
    """A point the engine refused, and its words."""

    point: CasePoint
    reason: str


@dataclass(frozen=True, slots=True)
class GroupScore:
    """Score of the rows of one group: all, those the constants were fitted on, and those held out."""

    group: Group
    points: tuple[ScoredPoint, ...]
    failures: tuple[Failure, ...]

    def stats(self, fitted: bool | None = None) -> ErrorStats:
        """Statistics of all rows (None), the fitted ones (True) or the held-out ones (False)."""
        return stats_of(p for p in self.points if fitted is None or p.point.fitted is fitted)

    @property
    def target(self) -> Target | None:
        """What was promised for these rows, if anything."""
        return self.group.target

    @property
    def target_met(self) -> bool | None:
        """None without a target."""
        if self.target is None:
            return None
        stats = self.stats(fitted=None if self.target.rows == "all" else False)
        pairs = ((self.target.mape, stats.mape), (self.target.worst, stats.max))
        return all(limit is None or (value is not None and value <= limit) for limit, value in pairs)

    @property
    def unexplained(self) -> tuple[ScoredPoint, ...]:
        """Rows below the certified floor that the case does not name."""
        return tuple(p for p in self.points if p.below_floor and not p.point.floor_reason)

    @property
    def ok(self) -> bool:
        """Target met (or none set), every point predicted, no floor broken without a reason."""
        return self.target_met is not False and not self.failures and not self.unexplained


@dataclass(frozen=True, slots=True)
class CaseScore:
    """A case and the scores of its groups."""

    case: Case
    groups: tuple[GroupScore, ...]

    @property
    def name(self) -> str:
        """The case's name, which is its folder's."""
        return self.case.folder.name

    @property
    def ok(self) -> bool:
        """Whether every group is."""
        return all(group.ok for group in self.groups)

    @property
    def points(self) -> tuple[ScoredPoint, ...]:
        """All scored rows."""
        return tuple(p for group in self.groups for p in group.points)


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """All cases that were run. `detailed` names those whose every row is shown."""

    cases: tuple[CaseScore, ...]
    detailed: frozenset[str]
    tables: tuple[TablesScore, ...] = ()
    machines: tuple[MachineScore, ...] = ()
    measured: tuple[MeasuredScore, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Every target met, nothing refused, no unexplained row below the floor, every published table given back."""
        return all(score.ok for part in (self.cases, self.tables, self.machines, self.measured) for score in part)

    def stats(self, fitted: bool | None = None) -> ErrorStats:
        """Statistics over the rows of all kernel cases (a ceiling is no kernel): all, fitted or held out."""
        points = (p for case in self.cases if case.case.spec.kind == "case" for p in case.points)
        return stats_of(p for p in points if fitted is None or p.point.fitted is fitted)

    def to_dict(self) -> dict[str, Any]:
        """JSON form: SI units, errors as fractions, rows only of the cases asked for by name."""
        from attnsim.validate.serialize import report_dict

        return report_dict(self)

    def text(self) -> str:
        """Summary table, then every row of the cases asked for by name."""
        from attnsim.validate.render import report_text

        return report_text(self)

    def __repr__(self) -> str:
        return self.text()


def stats_of(points: Iterable[ScoredPoint]) -> ErrorStats:
    """Statistics of scored points."""
    taken = list(points)
    return ErrorStats.of((p.error for p in taken), sum(p.below_floor for p in taken))


def run_cases(
    names: Sequence[str] = (),
    *,
    verbose: bool = False,
    predict: Predict = engine,
    ceiling: Ceiling = machine_ceiling,
    data: str | os.PathLike[str] | None = None,
    sample: int | None = None,
    progress: Progress | None = None,
) -> ValidationReport:
    """Score validation cases, named or (without names) all that ship; the named ones, or with `verbose` all, show every row.

    `predict` and `ceiling` take attnsim's place when a baseline is to be scored on the same rows. Of measured tables, which lie in the
    folder `data`, `sample` held-out rows each are scored: left out, all of those named, and `BRIEF` where none is.
    Raises SpecError for an unknown case or a faulty one, MissingDataError where the tables of a named one are missing; a row the engine
    refuses is reported, not raised.
    """
    every = (*folders().values(), *table_folders().values(), *machine_folders().values(), *measured_folders().values())
    chosen = dict.fromkeys([find(name) for name in names] if names else every)
    about = {folder: is_machine_case(folder) for folder in chosen if (folder / CASE).is_file()}
    scores = tuple(score_case(load_case(folder), predict=predict, ceiling=ceiling) for folder, machine in about.items() if not machine)
    tables = tuple(score_tables(folder) for folder in chosen if (folder / TABLE).is_file())
    machines = tuple(score_machine(folder, predict=predict) for folder, machine in about.items() if machine)
    measured, notes = list[MeasuredScore](), list[str]()
    for folder in chosen:
        if (folder / MEASURED).is_file():
            try:
                rows = sample if names or sample is not None else BRIEF
                measured.append(score_measured(folder, data, sample=rows, predict=predict, progress=progress))
            except MissingDataError as error:
                if names or data is not None:
                    raise
                notes.append(f"{folder.name} is not scored: {reason(error)}")
    known = (score.name for part in (scores, tables, machines, measured) for score in part)
    shown = frozenset(known if names or verbose else ())
    return ValidationReport(scores, shown, tables, machines, tuple(measured), tuple(notes))


def score_case(case: Case, *, predict: Predict = engine, ceiling: Ceiling = machine_ceiling) -> CaseScore:
    """Predict and score every point of a case."""
    scored: dict[str, list[ScoredPoint]] = {group.name: [] for group in case.groups}
    failures: dict[str, list[Failure]] = {group.name: [] for group in case.groups}
    for point in case.points:
        try:
            prediction = _predict(case, point, predict, ceiling)
        except AttnsimError as e:
            failures[point.group.name].append(Failure(point, reason(e)))
        else:
            scored[point.group.name].append(ScoredPoint(point, prediction))
    return CaseScore(case, tuple(GroupScore(g, tuple(scored[g.name]), tuple(failures[g.name])) for g in case.groups))


def _predict(case: Case, point: CasePoint, predict: Predict, ceiling: Ceiling) -> Prediction:
    if point.shape is None:
        sustained, peak = ceiling(point.group.arch, point.dtype)
        return Prediction(point.flops / sustained, point.flops / peak, "tensor")
    return Prediction(*predict(point.workload(f"{case.spec.name}:{point.record.line}"), point.group.arch))
