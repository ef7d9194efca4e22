"""A user's own timings, scored: the CSV contract of `attnsim measure` and `attnsim validate --measurements`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attnsim.errors import AttnsimError, SpecError
from attnsim.spec import dtype as dtypes
from attnsim.spec.library import find
from attnsim.validate.point import RowError, Shape, direction_of, positive, workload
from attnsim.validate.predict import ArchRef, Predict, Prediction, cascade_for, engine, reason
from attnsim.validate.records import Record, read_csv
from attnsim.validate.stats import ErrorStats

COLUMNS = (
    "kernel", "direction", "dtype", "batch", "heads_q", "heads_kv", "seqlen_q", "seqlen_kv", "head_dim", "head_dim_v", "causal", "window",
    "time_us",
)  # fmt: skip
"""Columns a measurement file must have; others are ignored."""

WORST_SHOWN = 10


@dataclass(frozen=True, slots=True)
class MeasuredRow:
    """One usable row: its line, the schedule its kernel names, the workload, the measured and the predicted seconds."""

    line: int
    kernel: str
    dtype: str
    direction: str
    shape: Shape
    window: int | None
    measured_s: float
    prediction: Prediction

    @property
    def error(self) -> float:
        """Predicted / measured - 1, in time."""
        return self.prediction.latency_s / self.measured_s - 1

    @property
    def below_floor(self) -> bool:
        """Whether the measurement beats the certified lower bound."""
        return self.measured_s < self.prediction.lower_bound_s

    def to_dict(self) -> dict[str, Any]:
        """The columns of the file, and predicted_us, lower_bound_us, error, below_floor, bound."""
        s = self.shape
        return {
            "line": self.line, "kernel": self.kernel, "direction": self.direction, "dtype": self.dtype,
            "batch": s.batch, "heads_q": s.heads_q, "heads_kv": s.heads_kv, "seqlen_q": s.seqlen_q, "seqlen_kv": s.seqlen_kv,
            "head_dim": s.head_dim, "head_dim_v": s.head_dim_v, "causal": s.causal, "window": self.window,
            "time_us": self.measured_s * 1e6, "predicted_us": self.prediction.latency_s * 1e6,
            "lower_bound_us": self.prediction.lower_bound_s * 1e6, "error": self.error, "below_floor": self.below_floor,
            "bound": self.prediction.bound or None,
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
    """A measurement file beside the predictions for one machine."""

    file: str
    arch: str
    rows: tuple[MeasuredRow, ...]
    skipped: tuple[SkippedRow, ...]

    @property
    def ok(self) -> bool:
        """Every row could be scored, there was one, and none lies below the certified floor."""
        return bool(self.rows) and not self.skipped and not any(row.below_floor for row in self.rows)

    def stats(self, kernel: str | None = None) -> ErrorStats:
        """Error statistics of all rows, or of one kernel's."""
        taken = [row for row in self.rows if kernel in (None, row.kernel)]
        return ErrorStats.of((row.error for row in taken), sum(row.below_floor for row in taken))

    @property
    def kernels(self) -> tuple[str, ...]:
        """Kernels that were scored, by name."""
        return tuple(sorted({row.kernel for row in self.rows}))

    def to_dict(self) -> dict[str, Any]:
        """JSON form: summary, by_kernel, rows and skipped."""
        from attnsim import __version__

        return {
            "schema": 1, "attnsim": __version__, "file": self.file, "arch": self.arch, "ok": self.ok,
            "summary": {**self.stats().to_dict(), "skipped": len(self.skipped)},
            "by_kernel": {kernel: self.stats(kernel).to_dict() for kernel in self.kernels},
            "rows": [row.to_dict() for row in self.rows],
            "skipped": [row.to_dict() for row in self.skipped],
        }  # fmt: skip

    def text(self) -> str:
        """Table by kernel, the worst rows with the bound the model believed, rows below the floor, rows that were skipped."""
        from attnsim.validate.render_measurements import measurements_text

        return measurements_text(self)

    def __repr__(self) -> str:
        return self.text()


def score_measurements(path: str | os.PathLike[str], arch: ArchRef | os.PathLike[str], *, predict: Predict = engine) -> MeasurementReport:
    """Score a CSV of measured times against the predictions for a machine.

    A row that cannot be used (unknown kernel, illegal size, a time that is no positive number, a dtype the machine lacks) is listed under
    `skipped` with its line and reason; all others are scored. Lines that start with `#` are comments.

    Raises SpecError when the file cannot be read, lacks a column, or the machine is unknown.
    """
    machine: ArchRef = os.fspath(arch) if isinstance(arch, os.PathLike) else arch
    if isinstance(machine, str):
        find("arch", machine)  # an unknown machine is one error, not one a row
    table = read_csv(Path(path), COLUMNS)
    kernels: dict[str, str] = {}
    rows: list[MeasuredRow] = []
    skipped: list[SkippedRow] = []
    for record in table.records:
        try:
            rows.append(_score(record, machine, kernels, predict))
        except (RowError, AttnsimError) as e:
            why = reason(e) if isinstance(e, AttnsimError) else str(e)
            skipped.append(SkippedRow(record.line, record.values.get("kernel", ""), why))
    name = machine if isinstance(machine, str) else str(machine.get("name", machine.get("extends", "")))
    return MeasurementReport(str(path), name, tuple(rows), tuple(skipped))


def _score(record: Record, arch: ArchRef, kernels: dict[str, str], predict: Predict) -> MeasuredRow:
    if record.fault:
        raise RowError(record.fault)
    values = record.values
    kernel = _kernel(values["kernel"], kernels)
    direction = direction_of(values["direction"])
    dtype = dtypes.canonical(values["dtype"])
    if dtype not in dtypes.BITS:
        raise RowError(f"dtype is {values['dtype']!r}; one of {', '.join(dtypes.BITS)} is wanted")
    shape = Shape.from_values(values)
    window = _window(values["window"])
    measured = positive("time_us", values["time_us"]) * 1e-6
    asked = workload(
        shape, name=f"line {record.line}", dtype=dtype, direction=direction, cascade=cascade_for(kernel, direction),
        mask=_mask(shape, window), schedule=kernel, conditions=None,
    )  # fmt: skip
    return MeasuredRow(record.line, kernel, dtype, direction, shape, window, measured, Prediction(*predict(asked, arch)))


def _kernel(name: str, known: dict[str, str]) -> str:
    if name not in known:
        if not name:
            raise RowError("kernel is empty")
        try:
            known[name] = find("schedule", name).name
        except SpecError as e:
            raise RowError(f"kernel: {e.issues[0].message}") from None
    return known[name]


def _window(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise RowError(f"window is {text!r}; write the number of keys seen to the left, or nothing for no window")
    return int(text)


def _mask(shape: Shape, window: int | None) -> Mapping[str, Any] | None:
    # FlashAttention's convention: causal looks back `window` keys; without causal the window reaches equally far to both sides.
    return None if window is None else {"kind": "window", "left": window, "right": 0 if shape.causal else window}
