"""The rows that a machine is calibrated on: measurement files read as `validate` reads them, with what `measure` noted beside the time."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from attnsim.errors import AttnsimError
from attnsim.measure.provenance import read_header
from attnsim.validate.call import Call, Reader, required
from attnsim.validate.measurements import SkippedRow
from attnsim.validate.point import RowError
from attnsim.validate.predict import reason
from attnsim.validate.records import Record, read_csv


@dataclass(frozen=True, slots=True)
class Row:
    """A usable row. file: its number among the files; clock_hz, power_w: sensors while it ran, None where they were not read."""

    file: int
    call: Call
    suite: str
    backend: str
    clock_hz: float | None = None
    power_w: float | None = None

    @property
    def seconds(self) -> float:
        """Measured."""
        return self.call.measured_s

    @property
    def bytes(self) -> float:
        """Of a copy, a read or a collective."""
        return float(self.call.columns["bytes"])

    @property
    def held_bytes(self) -> float:
        """All sets of inputs that take turns."""
        return self.bytes * float(self.call.columns.get("sets", 1))


@dataclass(frozen=True, slots=True)
class MeasuredFile:
    """A measurement file: name, hash, and what its comment lines say of where and when it was made."""

    name: str
    sha256: str
    device: str
    driver: str
    date: str
    skipped: tuple[SkippedRow, ...]


def read_files(paths: Sequence[str]) -> tuple[tuple[MeasuredFile, ...], tuple[Row, ...]]:
    """Every file and every usable row. Raises SpecError for a file that cannot be read or lacks a column."""
    files, rows = [], []
    for number, path in enumerate(paths):
        table = read_csv(Path(path), required)
        raw = Path(path).read_bytes()
        told = read_header(raw.decode("utf-8-sig").splitlines())
        reader, skipped = Reader(), []
        for record in table.records:
            try:
                rows.append(_row(number, reader.read(record), record))
            except (RowError, AttnsimError) as error:
                why = reason(error) if isinstance(error, AttnsimError) else str(error)
                skipped.append(SkippedRow(record.line, record.values.get("kernel", ""), why))
        driver = "" if told.get("driver") == "none" else told.get("driver", "")
        digest = hashlib.sha256(raw).hexdigest()
        files.append(MeasuredFile(Path(path).name, digest, told.get("device", ""), driver, told.get("date", "")[:10], tuple(skipped)))
    return tuple(files), tuple(rows)


def _row(file: int, call: Call, record: Record) -> Row:
    values = record.values
    clock, power = (_sensor(values.get(name, "")) for name in ("clock_mhz", "power_w"))
    return Row(file, call, values.get("suite", ""), values.get("backend", ""), None if clock is None else clock * 1e6, power)


def _sensor(text: str) -> float | None:
    """A sensor that was not read, or wrote something else than a number, is not there: the time is good all the same."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 < value < 1e9 else None


def is_micro(row: Row) -> bool:
    """Whether a row is about the machine and not about a kernel: streams and launches, and the matrix products of suite micro."""
    return row.call.kind == "micro" or row.suite == "micro"
