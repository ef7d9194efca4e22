"""A measurement file that grows by a row at a time, so that a run that is killed keeps what it has and can go on."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Final

from attnsim.errors import Issue, SpecError, UsageError
from attnsim.measure.provenance import Provenance, read_header
from attnsim.measure.suite import Value
from attnsim.spec.measurement import FILE

IDENTITY: Final = FILE[: FILE.index("time_us")]
"""Columns that say what a row is; two rows with the same of all of them are the same row."""

Key = tuple[str, ...]


def key_of(values: Mapping[str, Value]) -> Key:
    """What identifies a row."""
    return tuple(str(values.get(column, "")) for column in IDENTITY)


class Writer:
    """Appends rows to a CSV file, or to stdout where `path` is None.

    A file that is there already is gone on with: its rows are `done`. Raises UsageError if its header tells of another device or other
    versions, and SpecError if it is no measurement file.
    """

    def __init__(self, path: Path | None, provenance: Provenance) -> None:
        self.done: set[Key] = set()
        self._path = path
        header = [*provenance.lines(), ",".join(FILE)]
        if path is not None and path.exists() and path.stat().st_size:
            found = _existing(path, provenance)
            self.done = {key_of(row) for row in found or ()}
            header = [f"# continued: {provenance.date}; {provenance.command}"] if found is not None else header
        self._file: IO[str] = sys.stdout if path is None else path.open("a", encoding="utf-8", newline="")
        self._rows = csv.DictWriter(self._file, FILE, lineterminator="\n", restval="", extrasaction="raise")
        self._file.write("".join(f"{line}\n" for line in header))
        self._file.flush()

    def write(self, row: Mapping[str, Value]) -> None:
        """One row, on its way to the disk before this returns."""
        self._rows.writerow(row)
        self._file.flush()
        self.done.add(key_of(row))

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._path is not None:
            self._file.close()


def _existing(path: Path, provenance: Provenance) -> list[dict[str, str]] | None:
    """Rows of the file, a last line without an end cut off it; None where it holds no whole header yet."""
    try:
        raw = path.read_bytes()
        text = raw.decode("utf-8")
    except OSError as error:
        raise UsageError(f"cannot read {str(path)!r}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SpecError(Issue("is not UTF-8 text; name a new file, or one that `attnsim measure` wrote", file=str(path))) from None
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        with path.open("r+b") as file:
            file.truncate(len(whole.encode("utf-8")))
    lines = whole.splitlines()
    rows = [line for line in lines if line and not line.startswith("#")]
    told = read_header(lines)
    if not rows and not set(told) - set(provenance.same) - {"date", "command"}:
        with path.open("r+b") as file:  # killed inside the header
            file.truncate(0)
        return None
    if not rows or rows[0] != ",".join(FILE):
        raise SpecError(Issue("is no file that `attnsim measure` wrote; name a new one", file=str(path)))
    for name, here in provenance.same.items():
        if told.get(name) != here:
            raise UsageError(f"{path} was measured with {name} {told.get(name, 'unknown')!r}, here it is {here!r}: name another file")
    return [row for row in csv.DictReader(rows) if None not in row and None not in row.values()]
