"""Measurement files searched for times that cannot be: faster than physics, faster for more work, unlike for the same call, unreadable."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from attnsim.errors import AttnsimError, ChecksError
from attnsim.validate.answer import Answers
from attnsim.validate.call import Call, Reader, required
from attnsim.validate.measurements import machine_of
from attnsim.validate.point import NotPredictedError, RowError
from attnsim.validate.predict import ArchRef, Predict, engine, reason
from attnsim.validate.records import read_csv

Fault = Literal["bad row", "faster than physics", "repeated", "not monotonic"]

DISAGREE = 0.1
"""Rows of one call may differ by this share of the shorter time."""
FASTER = 0.2
"""A call with more work may be faster by this share of the time of one with less."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong with a row: its line, what kind of fault, in words; and the line it contradicts, where it does."""

    line: int
    fault: Fault
    message: str
    other: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {"line": self.line, "fault": self.fault, "message": self.message, "other_line": self.other}


@dataclass(frozen=True, slots=True)
class LintReport:
    """What was found in a file. unchecked: (line, why a good row has no lower bound to be held against)."""

    file: str
    arch: str
    rows: int
    findings: tuple[Finding, ...]
    unchecked: tuple[tuple[int, str], ...]

    @property
    def ok(self) -> bool:
        """Whether nothing was found in a file that has rows."""
        return self.rows > 0 and not self.findings

    def counts(self) -> dict[str, int]:
        """Findings by fault."""
        found: dict[str, int] = {}
        for finding in self.findings:
            found[finding.fault] = found.get(finding.fault, 0) + 1
        return found

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        from attnsim import __version__

        return {
            "schema": 1, "attnsim": __version__, "file": self.file, "arch": self.arch, "ok": self.ok, "rows": self.rows,
            "counts": self.counts(), "findings": [finding.to_dict() for finding in self.findings],
            "unchecked": [{"line": line, "reason": why} for line, why in self.unchecked],
        }  # fmt: skip

    def text(self) -> str:
        """A line a finding, then how many."""
        lines = [f"{self.file}:{finding.line}: {finding.fault}: {finding.message}" for finding in self.findings]
        lines += [f"{self.file}:{line}: not held against physics: {why}" for line, why in self.unchecked]
        summary = ", ".join(f"{count} {fault}" for fault, count in self.counts().items()) or "nothing found"
        return "\n".join([*lines, f"{self.rows} rows on {self.arch}: {summary if self.rows else 'nothing to check'}"])

    def __repr__(self) -> str:
        return self.text()


def lint_measurements(path: str | os.PathLike[str], arch: ArchRef | os.PathLike[str], *, predict: Predict = engine) -> LintReport:
    """Search a measurement file for rows that cannot be trusted.

    Raises SpecError when the file cannot be read, lacks a column, or the machine is unknown.
    """
    machine, name = machine_of(arch)
    table = read_csv(Path(path), required, ChecksError)
    reader, answers = Reader(), Answers(machine, predict)
    calls: list[Call] = []
    findings: list[Finding] = []
    unchecked: list[tuple[int, str]] = []
    for record in table.records:
        try:
            calls.append(reader.read(record))
        except NotPredictedError as e:
            unchecked.append((record.line, str(e)))
        except (RowError, AttnsimError) as e:
            findings.append(Finding(record.line, "bad row", reason(e) if isinstance(e, AttnsimError) else str(e)))
    for call in calls:
        try:
            least = answers.of(call).lower_bound_s
        except AttnsimError as e:
            unchecked.append((call.line, reason(e)))
            continue
        if call.measured_s < least:
            share = call.measured_s / least
            message = f"{_named(call)} in {_us(call.measured_s)} is {share:.2f} of the certified lower bound, {_us(least)}"
            findings.append(Finding(call.line, "faster than physics", message))
    findings += [*_repeated(calls), *_falling(calls)]
    found = tuple(sorted(findings, key=lambda finding: (finding.line, finding.fault)))
    return LintReport(str(path), name, len(table.records), found, tuple(sorted(unchecked)))


def _repeated(calls: Iterable[Call]) -> Iterator[Finding]:
    """Rows of the same call that disagree with its first."""
    first: dict[tuple[Any, ...], Call] = {}
    for call in calls:
        before = first.setdefault((call.kernel, call.made_by, *call.columns.items()), call)
        apart = abs(call.measured_s - before.measured_s) / min(call.measured_s, before.measured_s)
        if apart > DISAGREE:
            message = f"{_named(call)} in {_us(call.measured_s)}, but {_us(before.measured_s)} on line {before.line}"
            yield Finding(call.line, "repeated", message, before.line)


def _falling(calls: Sequence[Call]) -> Iterator[Finding]:
    """Rows with more of one size, all else equal, that are clearly faster than one with less; each is named once."""
    named: set[int] = set()
    for series, columns in _series(calls):
        slowest: Call | None = None
        for call in sorted(series, key=lambda call: [call.columns[column] for column in columns]):
            if slowest is None or call.measured_s >= slowest.measured_s:
                slowest = call
                continue
            more = all(call.columns[column] > slowest.columns[column] for column in columns)
            if more and call.measured_s < slowest.measured_s * (1 - FASTER) and call.line not in named:
                named.add(call.line)
                here, there = (" ".join(f"{column} {one.columns[column]}" for column in columns) for one in (call, slowest))
                times = f"{here} in {_us(call.measured_s)}, but {there} on line {slowest.line} in {_us(slowest.measured_s)}"
                yield Finding(call.line, "not monotonic", f"{_named(call)}: {times}", slowest.line)


def _series(calls: Sequence[Call]) -> Iterator[tuple[list[Call], tuple[str, ...]]]:
    """Calls that differ in one size only; queries and keys together where there are as many of both."""
    found: dict[tuple[Any, ...], list[Call]] = {}
    for call in calls:
        if call.columns.get("lengths"):
            continue
        square = call.kind == "attention" and call.columns["seqlen_q"] == call.columns["seqlen_kv"]
        sizes = [(size,) for size in call.size if not (square and size.startswith("seqlen"))]
        for columns in [*sizes, ("seqlen_q", "seqlen_kv")] if square else sizes:
            rest = tuple((name, value) for name, value in call.columns.items() if name not in columns)
            found.setdefault((columns, square, call.kernel, call.made_by, rest), []).append(call)
    for (columns, *_), series in found.items():
        if len(series) > 1:
            yield series, columns


def _named(call: Call) -> str:
    return f"{call.kernel} {call.label}".strip()


def _us(seconds: float) -> str:
    return f"{seconds * 1e6:.1f} us"
