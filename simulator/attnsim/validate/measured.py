"""Measured tables of NVIDIA's AIConfigurator, scored where the user has them: held-out rows, cross-GPU rows, and two simple bars beside."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attnsim.errors import AttnsimError
from attnsim.importers.aiconfigurator import Call, find_data, kernel_map, pick, read
from attnsim.spec.case import Target
from attnsim.spec.library import load
from attnsim.spec.tables import OP_OF, MeasuredSpec, TableSpec
from attnsim.spec.yaml import load_yaml, validate
from attnsim.validate.cases import MEASURED
from attnsim.validate.fit import TwoParameters, fit_two, roofline_s
from attnsim.validate.point import Shape, workload
from attnsim.validate.predict import ArchRef, Predict, Prediction, engine, reason
from attnsim.validate.stats import ErrorStats

CHUNK = 250
ALONE = 1500
"""So few rows are scored in this process."""

Progress = Callable[[str, int, int], None]
"""Table, rows done, rows in all."""


@dataclass(frozen=True, slots=True)
class ScoredCall:
    """A row of a table with its prediction."""

    call: Call
    prediction: Prediction
    fitted: bool

    @property
    def error(self) -> float:
        """Predicted / measured - 1."""
        return self.prediction.latency_s / self.call.time_s - 1

    @property
    def below_floor(self) -> bool:
        """Whether the measurement beats the certified lower bound."""
        return self.call.time_s < self.prediction.lower_bound_s


@dataclass(frozen=True, slots=True)
class TableScore:
    """A table under a schedule. left_out: reason -> rows; repeats: rows that said a key again; sampled: of so many held-out rows."""

    name: str
    table: TableSpec
    schedule: str
    fitted_on: str
    target: Target | None
    rows: tuple[ScoredCall, ...]
    left_out: Mapping[str, int]
    failures: Mapping[str, int]
    repeats: int
    of: int
    two: TwoParameters | None

    def stats(self, fitted: bool | None = False) -> ErrorStats:
        """Errors of the held-out (False), the fitted (True) or all (None) rows."""
        taken = [row for row in self.rows if fitted in (None, row.fitted)]
        return ErrorStats.of((row.error for row in taken), sum(row.below_floor for row in taken))

    def roofline(self) -> ErrorStats:
        """Errors of the roofline on the held-out rows."""
        return ErrorStats.of(roofline_s(row.call, self.table.arch) / row.call.time_s - 1 for row in self.rows if not row.fitted)

    def two_parameters(self) -> ErrorStats:
        """Errors of the two-parameter fit on the held-out rows."""
        if self.two is None:
            return ErrorStats.of(())
        held_out = (row.call for row in self.rows if not row.fitted)
        return ErrorStats.of(self.two.time_s(roofline_s(call, self.table.arch)) / call.time_s - 1 for call in held_out)

    @property
    def target_met(self) -> bool | None:
        """None without a target."""
        if self.target is None:
            return None
        stats = self.stats(None if self.target.rows == "all" else False)
        pairs = ((self.target.mape, stats.mape), (self.target.worst, stats.max))
        return all(limit is None or (value is not None and value <= limit) for limit, value in pairs)

    @property
    def ok(self) -> bool:
        """Target met (or none set), every row predicted, none below the floor."""
        return self.target_met is not False and not self.failures and not self.stats(None).below_floor


@dataclass(frozen=True, slots=True)
class MeasuredScore:
    """A folder of measured tables: each table, and the same tables under schedules that never saw their machine."""

    spec: MeasuredSpec
    folder: Path
    tables: tuple[TableScore, ...]
    transfers: tuple[TableScore, ...]

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def ok(self) -> bool:
        """Whether every table and every transfer is."""
        return all(score.ok for score in (*self.tables, *self.transfers))


def order(call: Call) -> str:
    """Where a row stands in the sample: the SHA-256 of its sizes, which no size or position of the table can lean on."""
    sizes = (call.batch, call.queries, call.keys, call.heads_q, call.heads_kv, call.head_dim, call.window, call.dtype, call.kv_dtype)
    return hashlib.sha256(",".join(map(str, sizes)).encode()).hexdigest()


def load_measured(folder: Path) -> MeasuredSpec:
    """Read measured.yaml of a folder. Raises SpecError for everything wrong in it."""
    return validate(MeasuredSpec, load_yaml(folder / MEASURED))


def score_measured(
    folder: Path,
    data: str | os.PathLike[str] | None = None,
    *,
    sample: int | None = None,
    only: Sequence[str] = (),
    predict: Predict = engine,
    progress: Progress | None = None,
) -> MeasuredScore:
    """Score every table of a folder, or of those called `only`.

    sample: besides the fitted rows, score only so many held-out rows of each table. predict: picklable, for it runs in other processes.
    Raises MissingDataError where the tables, one of them, or pyarrow are missing.
    """
    spec = load_measured(folder)
    place = find_data(data)
    scores: dict[str, TableScore] = {}
    with _Workers(predict) as workers:
        for table in spec.tables:
            if not only or table.name in only:
                scores[table.name] = _score(spec, place, table, sample, workers, progress)
        transfers = []
        for transfer in spec.transfers:
            if transfer.table in scores:
                own = scores[transfer.table]
                rows, failures = own.rows, own.failures
                if transfer.schedule != own.table.schedule:
                    done = workers.run(own.table, spec, transfer.schedule, [row.call for row in rows], transfer.table, progress)
                    rows, failures = _scored([row.call for row in rows], done, 0)
                two = scores[transfer.baseline].two if transfer.baseline in scores else None
                held_out = tuple(ScoredCall(row.call, row.prediction, False) for row in rows)
                transfers.append(
                    TableScore(transfer.table, own.table, _schedule_name(transfer.schedule), transfer.fitted_on, transfer.targets, held_out,
                               own.left_out, failures, own.repeats, own.of, two)
                )  # fmt: skip
    return MeasuredScore(spec, folder, tuple(scores.values()), tuple(transfers))


def _score(
    spec: MeasuredSpec, data: Path, table: TableSpec, sample: int | None, workers: _Workers, progress: Progress | None
) -> TableScore:
    calls, left_out = select(data, table)
    repeats = sum(call.times - 1 for call in calls)
    held_out = max(0, len(calls) - spec.fit_rows)
    taken = calls if sample is None else calls[: spec.fit_rows + sample]
    done = workers.run(table, spec, table.schedule, taken, table.name, progress)
    rows, failures = _scored(taken, done, spec.fit_rows)
    two = fit_two([(roofline_s(row.call, table.arch), row.call.time_s) for row in rows if row.fitted])
    name = _schedule_name(table.schedule)
    return TableScore(table.name, table, name, "", table.targets, rows, left_out, failures, repeats, held_out, two)


def select(data: Path, table: TableSpec) -> tuple[list[Call], dict[str, int]]:
    """Rows of a table in the order of the sample, and how many are left out for which reason."""
    op = OP_OF[table.phase]
    rules, left_out, calls = kernel_map().kernels, dict[str, int](), list[Call]()
    for call in read(pick(data, table.system, op, table.framework, table.version)):
        if not isinstance(call, Call):
            raise TypeError(f"{op} holds {type(call).__name__}")
        rule = next((rule for rule in rules if rule.holds(op, call.source, table.system, table.framework)), None)
        why = ""
        if table.kernel_sources and call.source not in table.kernel_sources:
            why = (rule.reason if rule is not None else "") or f"kernel {call.source}"
        elif not table.kernel_sources and (rule is None or rule.reason):
            why = rule.reason if rule is not None else f"kernel {call.source}"
        elif call.dtype != table.dtype or call.kv_dtype != table.dtype:
            why = "another number format" if call.dtype != table.dtype else f"{call.kv_dtype} cache"
        elif call.window and not table.windows:
            why = "sliding window"
        elif table.head_dims and call.head_dim not in table.head_dims:
            why = f"head dimension {call.head_dim}, for which the schedule has no tiles"
        if why:
            left_out[why] = left_out.get(why, 0) + 1
        else:
            calls.append(call)
    return sorted(calls, key=order), left_out


Outcome = tuple[float, float, str] | str
"""latency_s, lower_bound_s and bound of a row, or why there is none."""


def _scored(calls: Sequence[Call], done: Sequence[Outcome], fitted: int) -> tuple[tuple[ScoredCall, ...], dict[str, int]]:
    rows, failures = [], dict[str, int]()
    for index, (call, outcome) in enumerate(zip(calls, done, strict=True)):
        if isinstance(outcome, str):
            failures[outcome] = failures.get(outcome, 0) + 1
        else:
            rows.append(ScoredCall(call, Prediction(*outcome), index < fitted))
    return tuple(rows), failures


def _schedule_name(schedule: str | Mapping[str, Any]) -> str:
    return schedule if isinstance(schedule, str) else f"{schedule.get('extends', schedule.get('name', 'inline'))}, changed"


def question(call: Call, schedule: str | Mapping[str, Any], cascade: str, conditions: Mapping[str, Any]) -> dict[str, Any]:
    """The engine's input for a row. A decode row has one query, which sees every key."""
    causal = call.queries > 1
    mask = None if call.left is None else {"kind": "window", "left": call.left, "right": 0}
    shape = Shape(call.batch, call.heads_q, call.heads_kv, call.queries, call.keys, call.head_dim, call.head_dim_v, causal)
    made = workload(shape, name="row", dtype=call.dtype, direction="forward", cascade=cascade, mask=mask, schedule=None, conditions=None)
    return {**made, "schedule": schedule, "conditions": dict(conditions)}


def _chunk(
    calls: Sequence[Call], arch: ArchRef, schedule: str | Mapping[str, Any], cascade: str, conditions: Mapping[str, Any], predict: Predict
) -> list[Outcome]:
    """Predict some rows; runs in a process of its own, so everything in and out is plain."""
    done: list[Outcome] = []
    for call in calls:
        try:
            found = Prediction(*predict(question(call, schedule, cascade, conditions), arch))
            done.append((found.latency_s, found.lower_bound_s, found.bound))
        except AttnsimError as error:
            done.append(reason(error))
    return done


class _Workers:
    """Processes that predict rows, started when the first long table comes."""

    def __init__(self, predict: Predict) -> None:
        self.predict = predict
        self.pool: Any = None

    def __enter__(self) -> _Workers:
        return self

    def __exit__(self, *_: object) -> None:
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)

    def run(
        self,
        table: TableSpec,
        spec: MeasuredSpec,
        schedule: str | Mapping[str, Any],
        calls: Sequence[Call],
        name: str,
        progress: Progress | None,
    ) -> list[Outcome]:
        """Outcomes in the order of the calls."""
        written = schedule if isinstance(schedule, str) else schedule.get("extends", "")
        cascade = str(load("schedule", written).data.get("cascade", "attention-1pass")) if written else "attention-1pass"
        conditions = spec.conditions.model_dump(exclude_unset=True)
        chunks = [calls[start : start + CHUNK] for start in range(0, len(calls), CHUNK)]
        shared = (table.arch, schedule, cascade, conditions, self.predict)
        results = (_chunk(chunk, *shared) for chunk in chunks) if len(calls) <= ALONE else self._spread(chunks, shared)
        done: list[Outcome] = []
        for result in results:
            done += result
            if progress is not None:
                progress(name, len(done), len(calls))
        return done

    def _spread(self, chunks: Sequence[Sequence[Call]], shared: tuple[Any, ...]) -> Any:
        if self.pool is None:
            from concurrent.futures import ProcessPoolExecutor
            from multiprocessing import get_context

            self.pool = ProcessPoolExecutor(processors(), mp_context=get_context("spawn"))
        # dealt out in turn: the rows are in a random order, so the chunks take about as long as one another
        return (future.result() for future in [self.pool.submit(_chunk, chunk, *shared) for chunk in chunks])


def processors() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
