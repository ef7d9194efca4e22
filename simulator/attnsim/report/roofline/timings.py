"""Rows of a measurement file for a roofline: each with the engine's answer for the same call, or with the reason why it has no point."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnsim.api import run
from attnsim.errors import AttnsimError, ChecksError, UsageError, suggest
from attnsim.report.roofline.charts import call_of
from attnsim.spec.library import load
from attnsim.validate.call import Call, Reader, required
from attnsim.validate.measurements import SkippedRow
from attnsim.validate.point import RowError
from attnsim.validate.predict import ArchRef, reason
from attnsim.validate.records import Record, Table, parse_bool, read_csv

if TYPE_CHECKING:
    from attnsim.evaluate.estimate import Report

Where = Mapping[str, Sequence[str]]
"""Column -> the values a row may have there; `line` is the line of the file."""
LINE = "line"
POINTLESS = {
    "collective": "a collective computes nothing", "micro": "copies and launches compute nothing",
    "model": "a step of a whole model, not of a kernel",
}  # fmt: skip
"""Kind of row -> why it is no point of a roofline."""


@dataclass(frozen=True, slots=True)
class Timing:
    """One timed call: its line, its seconds, what it is in few words, and the engine's report of the same call."""

    line: int
    seconds: float
    label: str
    report: Report

    @property
    def answer(self) -> Any:
        """The engine's answer for the call."""
        return self.report.results[0]


@dataclass(frozen=True, slots=True)
class Timings:
    """The rows of a measurement file that a roofline of one machine can show, and those it cannot."""

    file: str
    sha256: str
    arch: str
    rows: tuple[Timing, ...]
    skipped: tuple[SkippedRow, ...]

    @property
    def name(self) -> str:
        """The file without its folders."""
        return Path(self.file).name

    def lines(self) -> list[str]:
        """Those it cannot show, a line a reason: `FILE:7-12,15: why`."""
        by_reason: dict[str, list[int]] = {}
        for row in self.skipped:
            by_reason.setdefault(row.reason, []).append(row.line)
        return [f"{self.file}:{ranges(lines)}: {why}" for why, lines in by_reason.items()]


def ranges(lines: Iterable[int]) -> str:
    """Whole numbers in few characters: 7-9,12."""
    runs: list[list[int]] = []
    for line in sorted(set(lines)):
        if runs and line == runs[-1][1] + 1:
            runs[-1][1] = line
        else:
            runs.append([line, line])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def parse_where(texts: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """`COLUMN=VALUE[,VALUE]` texts. Raises UsageError."""
    found: dict[str, tuple[str, ...]] = {}
    for text in texts:
        column, equals, values = text.partition("=")
        if not equals or not column.strip():
            raise UsageError(f"cannot read {text!r}; write for example kernel=cudnn,flash-attention-3 or seqlen_q=8192")
        found[column.strip()] = (*found.get(column.strip(), ()), *(value.strip() for value in values.split(",")))
    return found


def read_timings(
    path: str | os.PathLike[str], arch: ArchRef, where: Where | None = None, reports: Sequence[Report] = (), most: int | None = None
) -> Timings:
    """The rows of a measurement CSV with the engine's answers for `arch`.

    where: only rows with these values; the rest is left out and not listed. reports: only rows that are the call of one of their results;
    any other is listed under `skipped`, as are rows that cannot be read or have no prediction. most: kernels that there may be.

    Raises:
        SpecError: the file cannot be read, or the machine is unknown. ChecksError: columns are missing. UsageError: `where` names a column
        that is not there or leaves no row, or there are more than `most` kernels.
    """
    load("arch", arch)
    file = Path(path)
    table = read_csv(file, required, ChecksError)
    records = _selected(table, where or {})
    reader = Reader()
    skipped: list[SkippedRow] = []
    calls: list[Call] = []
    for record in records:
        try:
            calls.append(_drawable(reader.read(record)))
        except (RowError, AttnsimError) as error:
            skipped.append(_skip(record.line, record.values.get("kernel", ""), error))
    known = {call_of(answer): answer for report in reports for answer in report.results if answer.kind == "kernel"}
    distinct = len({(call.kernel, call.label) for call in calls})
    if most is not None and not reports and distinct > most:
        raise UsageError(
            f"{path} has {distinct} different calls to draw; a roofline shows at most {most}: choose rows, for example "
            f"--where kernel={calls[0].kernel} --where {calls[0].size[-1]}={calls[0].columns[calls[0].size[-1]]}"
        )
    rows: list[Timing] = []
    for call in calls:
        try:
            rows.append(_timing(call, arch, known, bool(reports)))
        except (RowError, AttnsimError) as error:
            skipped.append(_skip(call.line, call.kernel, error))
    skipped.sort(key=lambda row: row.line)
    name = (rows[0].report if rows else reports[0]).arch_name if rows or reports else str(arch)
    return Timings(str(path), hashlib.sha256(file.read_bytes()).hexdigest(), name, tuple(rows), tuple(skipped))


def _skip(line: int, kernel: str, error: Exception) -> SkippedRow:
    return SkippedRow(line, kernel, reason(error) if isinstance(error, AttnsimError) else str(error))


def _drawable(call: Call) -> Call:
    if call.kind in POINTLESS:
        raise RowError(f"{POINTLESS[call.kind]}, which is no point of a roofline")
    return call


def _timing(call: Call, arch: ArchRef, known: Mapping[Any, Any], only_known: bool) -> Timing:
    """Raises RowError for a call without a point, or one that is not among the `known`; AttnsimError where there is no prediction."""
    workload = dict(call.workload or {})
    alike = [answer for answer in known.values() if _may_be(workload, answer)]
    if only_known and not alike:
        raise RowError("no kernel drawn here is this call")
    report = run(workload, arch)
    answer = report.results[0]
    if not answer.flops:
        raise RowError("has no matmul FLOPs, so no point of a roofline")
    made = call_of(answer)
    if only_known and made not in known:
        others = [other for other in alike if call_of(other)[:-1] == made[:-1]]
        if others:
            raise RowError(f"timed {made[-1]}, drawn is {others[0].schedule}; --schedule {made[-1]} draws it")
        raise RowError("no kernel drawn here is this call")
    return Timing(call.line, call.measured_s, f"{call.kernel} {call.label}", report)


def _may_be(workload: Mapping[str, Any], answer: Any) -> bool:
    """Whether a question has the sizes and formats of an answer: spares the engine the rows of a long file that are something else."""
    same = workload["dtype"] == answer.dtype and workload.get("direction", "forward") == answer.direction
    return same and all(answer.sizes.get(rank) == size for rank, size in workload["sizes"].items())


def _selected(table: Table, where: Where) -> list[Record]:
    columns = (LINE, *table.columns)
    for column in where:
        if column not in columns:
            raise UsageError(f"{table.file} has no column {column!r}{suggest(column, columns)}; it has {', '.join(table.columns)}")
    chosen = [record for record in table.records if all(_holds(record, column, values) for column, values in where.items())]
    if not chosen:
        asked = " and ".join(f"{column}={','.join(values)}" for column, values in where.items())
        raise UsageError(f"{table.file} has no row{f' with {asked}' * bool(asked)}")
    return chosen


def _holds(record: Record, column: str, values: Sequence[str]) -> bool:
    text = str(record.line) if column == LINE else record.values.get(column, "")
    return any(_same(text, value) for value in values)


def _same(text: str, value: str) -> bool:
    """Numbers compare by value, yes and no in any spelling, names with - and _ alike."""
    if _plain(text) == _plain(value):
        return True
    if _NUMBER.fullmatch(text) and _NUMBER.fullmatch(value):
        return float(text) == float(value)
    return parse_bool(text) is not None and parse_bool(text) == parse_bool(value)


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def _plain(text: str) -> str:
    return text.lower().replace("_", "-")
