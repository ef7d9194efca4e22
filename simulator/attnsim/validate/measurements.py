"""A user's own timings, scored: `attnsim validate --measurements`. The columns of the file stand in `attnsim.spec.measurement`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attnsim.errors import AttnsimError, ChecksError
from attnsim.spec.library import load
from attnsim.spec.measurement import ATTENTION as COLUMNS
from attnsim.validate.answer import Answers
from attnsim.validate.baselines import BaselineScore, Sample, compare
from attnsim.validate.call import Call, Reader, required
from attnsim.validate.fitted import calibrated_lines, is_fitted
from attnsim.validate.point import RowError
from attnsim.validate.predict import ArchRef, Predict, Prediction, engine, reason
from attnsim.validate.records import Record, Table, read_csv
from attnsim.validate.stats import ErrorStats

__all__ = ["COLUMNS", "MeasuredRow", "MeasurementReport", "SkippedRow", "score_measurements", "score_table", "stats_of_rows"]

WORST_SHOWN = 10


@dataclass(frozen=True, slots=True)
class MeasuredRow:
    """One usable row: the call it timed, the prediction, and whether a constant was fitted on it."""

    call: Call
    prediction: Prediction
    fitted: bool = False

    @property
    def line(self) -> int:
        """Line of the file, from 1."""
        return self.call.line

    @property
    def kernel(self) -> str:
        """Library name of the kernel."""
        return self.call.kernel

    @property
    def error(self) -> float:
        """Predicted / measured - 1, in time."""
        return self.prediction.latency_s / self.call.measured_s - 1

    @property
    def below_floor(self) -> bool:
        """Whether the measurement beats the certified lower bound."""
        return self.call.measured_s < self.prediction.lower_bound_s

    def to_dict(self) -> dict[str, Any]:
        """The columns of the file, and predicted_us, lower_bound_us, error, below_floor, bound, fitted."""
        return {
            "line": self.line, "kernel": self.kernel, "kind": self.call.kind, **self.call.columns,
            "time_us": self.call.measured_s * 1e6, "predicted_us": self.prediction.latency_s * 1e6,
            "lower_bound_us": self.prediction.lower_bound_s * 1e6, "error": self.error, "below_floor": self.below_floor,
            "bound": self.prediction.bound or None, "fitted": self.fitted,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class SkippedRow:
    """A row that was not scored: its line, what it named, and why."""

    line: int
    kernel: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {"line": self.line, "kernel": self.kernel, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class MeasurementReport:
    """A measurement file beside the predictions for one machine, and beside those of simpler models on its held-out rows."""

    file: str
    arch: str
    rows: tuple[MeasuredRow, ...]
    skipped: tuple[SkippedRow, ...]
    baselines: tuple[BaselineScore, ...] = ()

    @property
    def ok(self) -> bool:
        """Every row could be scored, there was one, and none lies below the certified floor."""
        return bool(self.rows) and not self.skipped and not any(row.below_floor for row in self.rows)

    def stats(self, kernel: str | None = None, fitted: bool | None = None) -> ErrorStats:
        """Error statistics of all rows or one kernel's, fitted and held out or one of them."""
        return stats_of_rows(row for row in self.rows if kernel in (None, row.kernel) and fitted in (None, row.fitted))

    @property
    def kernels(self) -> tuple[str, ...]:
        """Kernels that were scored, by name."""
        return tuple(sorted({row.kernel for row in self.rows}))

    @property
    def groups(self) -> tuple[tuple[str, str], ...]:
        """Kernels and their variants (directions, operations, phases) that were scored, by name."""
        return tuple(sorted({row.call.group for row in self.rows}))

    def of(self, group: tuple[str, str], fitted: bool | None = None) -> ErrorStats:
        """Error statistics of a kernel in one variant."""
        return stats_of_rows(row for row in self.rows if row.call.group == group and fitted in (None, row.fitted))

    @property
    def worst(self) -> tuple[MeasuredRow, ...]:
        """The rows farthest off, worst first."""
        return tuple(sorted(self.rows, key=lambda row: -abs(row.error))[:WORST_SHOWN])

    def to_dict(self) -> dict[str, Any]:
        """JSON form: summary, fitted and held_out, by_kernel, by_group, baselines, worst, rows and skipped."""
        from attnsim import __version__

        return {
            "schema": 1, "attnsim": __version__, "file": self.file, "arch": self.arch, "ok": self.ok,
            "summary": {**self.stats().to_dict(), "skipped": len(self.skipped)},
            "fitted": self.stats(fitted=True).to_dict(), "held_out": self.stats(fitted=False).to_dict(),
            "by_kernel": {kernel: self.stats(kernel).to_dict() for kernel in self.kernels},
            "by_group": [
                {
                    "kernel": group[0], "variant": group[1], "all": self.of(group).to_dict(), "fitted": self.of(group, True).to_dict(),
                    "held_out": self.of(group, False).to_dict(),
                }
                for group in self.groups
            ],
            "baselines": baselines_dict(self.baselines),
            "worst": [row.to_dict() for row in self.worst],
            "rows": [row.to_dict() for row in self.rows],
            "skipped": [row.to_dict() for row in self.skipped],
        }  # fmt: skip

    def text(self) -> str:
        """Table by kernel, baselines, the worst rows with the bound the model believed, rows below the floor, rows that were skipped."""
        from attnsim.validate.render_measurements import measurements_text

        return measurements_text(self)

    def __repr__(self) -> str:
        return self.text()


def stats_of_rows(rows: Iterable[MeasuredRow]) -> ErrorStats:
    """Statistics of scored rows."""
    taken = list(rows)
    return ErrorStats.of((row.error for row in taken), sum(row.below_floor for row in taken))


def merged(scores: Iterable[BaselineScore]) -> dict[str, BaselineScore]:
    """A model's scores over all groups as one, by its name."""
    found: dict[str, BaselineScore] = {}
    for score in scores:
        before = found.get(score.name, BaselineScore(score.name, ("", ""), (), 0))
        found[score.name] = BaselineScore(score.name, ("", ""), before.errors + score.errors, before.impossible + score.impossible)
    return found


def baselines_dict(scores: Sequence[BaselineScore]) -> dict[str, Any]:
    """JSON form: attnsim and every baseline on the same held-out rows, over all of them and by group."""

    def entry(score: BaselineScore) -> dict[str, Any]:
        numbers = score.stats.to_dict()
        del numbers["below_floor"]  # of the measurements, which are the same for all
        return {**numbers, "predicted_below_floor": score.impossible}

    made: dict[str, Any] = {}
    for name, whole in merged(scores).items():
        groups = [{"kernel": s.group[0], "variant": s.group[1], **entry(s)} for s in scores if s.name == name]
        made[name] = {**entry(whole), "by_group": groups}
    return made


def score_measurements(path: str | os.PathLike[str], arch: ArchRef | os.PathLike[str], *, predict: Predict = engine) -> MeasurementReport:
    """Score a CSV of measured times against the predictions for a machine.

    A row that cannot be used (unknown kernel, illegal size, a time that is no positive number, a dtype the machine lacks) is listed under
    `skipped` with its line and reason; all others are scored. Lines that start with `#` are comments. Rows are fitted where the column
    `fitted` or the machine's calibration record says so. `predict` takes the engine's place for kernels and models.

    Raises SpecError when the file cannot be read or the machine is unknown, ChecksError when columns are missing.
    """
    machine, name = machine_of(arch)
    table = read_csv(Path(path), required, ChecksError)
    lines = calibrated_lines(machine, Path(path))
    rows, skipped = score_table(table, Answers(machine, predict), lambda record: is_fitted(record, lines))
    return MeasurementReport(str(path), name, rows, skipped, compare(samples_of(rows), machine))


def machine_of(arch: ArchRef | os.PathLike[str]) -> tuple[ArchRef, str]:
    """A machine as the engine takes it, and what it is called. Raises SpecError for an unknown one: one error, not one a row."""
    machine: ArchRef = os.fspath(arch) if isinstance(arch, os.PathLike) else arch
    load("arch", machine)
    return machine, machine if isinstance(machine, str) else str(machine.get("name", machine.get("extends", "")))


def score_table(table: Table, answers: Answers, fitted: Callable[[Record], bool]) -> tuple[tuple[MeasuredRow, ...], tuple[SkippedRow, ...]]:
    """Every row of a table predicted, or listed with the reason why not."""
    reader = Reader()
    rows: list[MeasuredRow] = []
    skipped: list[SkippedRow] = []
    for record in table.records:
        try:
            call = reader.read(record)
            rows.append(MeasuredRow(call, answers.of(call), fitted(record)))
        except (RowError, AttnsimError) as e:
            why = reason(e) if isinstance(e, AttnsimError) else str(e)
            skipped.append(SkippedRow(record.line, record.values.get("kernel", ""), why))
    return tuple(rows), tuple(skipped)


def samples_of(rows: Iterable[MeasuredRow]) -> list[Sample]:
    """The rows that baselines have something to say about: kernels."""
    return [
        Sample(row.call.group, row.call.workload, row.call.measured_s, row.prediction, row.fitted)
        for row in rows
        if row.call.workload is not None and row.call.kind != "model"
    ]
