"""Where the rows of a sweep go: a Parquet, CSV or JSON lines file, a stream, or memory. Tables come one after another."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Protocol

from attnsim.errors import UsageError

if TYPE_CHECKING:
    import pyarrow

ENDINGS: Final = {".parquet": "parquet", ".pq": "parquet", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
META: Final = ".meta.json"
GROUP_ROWS: Final = 1 << 16


class Sink(Protocol):
    """What takes the rows."""

    def write(self, table: pyarrow.Table) -> None:
        """Take a table."""

    def close(self) -> None:
        """All rows are written: make them last."""

    def abort(self) -> None:
        """Leave nothing behind."""


class Frames:
    """Keeps all rows in memory."""

    def __init__(self, schema: pyarrow.Schema) -> None:
        self._schema, self._tables = schema, list[Any]()

    def write(self, table: pyarrow.Table) -> None:
        """Keep a table."""
        self._tables.append(table)

    def close(self) -> None:
        """Nothing to do."""

    def abort(self) -> None:
        """Forget the rows."""
        self._tables.clear()

    def table(self) -> pyarrow.Table:
        """All rows."""
        import pyarrow as pa

        return pa.concat_tables(self._tables) if self._tables else self._schema.empty_table()


class Stream:
    """Writes rows as text to `out`, CSV or JSON lines."""

    def __init__(self, out: Callable[[bytes], object], form: str) -> None:
        self._out, self._form, self._started = out, form, False

    def write(self, table: pyarrow.Table) -> None:
        """Write the rows; before the first of a CSV, its header."""
        self._out(csv_bytes(table, header=not self._started) if self._form == "csv" else jsonl_bytes(table))
        self._started = True

    def close(self) -> None:
        """Nothing to do: what is written is out."""

    def abort(self) -> None:
        """What is out cannot be taken back."""


class File:
    """A file that has its name only once it is whole, with `about` in it (Parquet) or beside it (NAME.meta.json)."""

    def __init__(self, path: Path, form: str, schema: pyarrow.Schema, about: Mapping[str, Any]) -> None:
        self._path = path.resolve() if path.is_symlink() else path
        self._streams = self._path.exists() and not self._path.is_file()  # a device or a pipe is written to, never replaced
        self._waiting = self._path if self._streams else self._path.with_name(f".{self._path.name}.{os.getpid()}.tmp")
        self._about, self._form = about, form
        self._file = _opened(self._waiting)
        self._rows: _Parquet | Stream = Stream(self._file.write, form)
        if form == "parquet":
            try:
                self._rows = _Parquet(self._file, schema, about)
            except BaseException:
                self.abort()
                raise

    def write(self, table: pyarrow.Table) -> None:
        """Write the rows. Raises: UsageError where the disk does not take them."""
        try:
            self._rows.write(table)
        except OSError as error:
            raise UsageError(f"cannot write {str(self._path)!r}: {error.strerror or error}") from error

    def close(self) -> None:
        """Give the file its name. Raises: UsageError where that cannot be."""
        try:
            self._rows.close()
            self._file.close()
            if self._streams:
                return
            beside = self._path.with_name(self._path.name + META)
            waiting = beside.with_name(f".{beside.name}.{os.getpid()}.tmp")
            try:
                if self._form != "parquet":
                    waiting.write_text(json.dumps(self._about, indent=2, sort_keys=True) + "\n", encoding="utf-8")
                os.replace(self._waiting, self._path)
                if self._form != "parquet":
                    os.replace(waiting, beside)
            finally:
                waiting.unlink(missing_ok=True)
        except OSError as error:
            self.abort()
            raise UsageError(f"cannot write {str(self._path)!r}: {error.strerror or error}") from error

    def abort(self) -> None:
        """Leave nothing behind."""
        with suppress(OSError, ValueError):  # a writer that was not closed would write its end later, to a file that is gone
            self._rows.close()
        with suppress(OSError):
            self._file.close()
        if not self._streams:
            with suppress(OSError):
                self._waiting.unlink(missing_ok=True)


class _Parquet:
    """Parquet with row groups of a useful size, however small the tables are that come."""

    def __init__(self, file: IO[bytes], schema: pyarrow.Schema, about: Mapping[str, Any]) -> None:
        import pyarrow.parquet as pq

        described = schema.with_metadata({b"attnsim": json.dumps(about, sort_keys=True).encode()})
        self._writer = pq.ParquetWriter(file, described, compression="zstd")
        self._waiting: list[Any] = []
        self._rows = 0

    def write(self, table: pyarrow.Table) -> None:
        """Keep the rows until they fill a row group."""
        self._waiting.append(table)
        self._rows += table.num_rows
        if self._rows >= GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._rows:
            self._writer.write_table(pa.concat_tables(self._waiting), row_group_size=2 * GROUP_ROWS)
        self._waiting, self._rows = [], 0

    def close(self) -> None:
        """Write what is left, and the footer."""
        self._flush()
        self._writer.close()


def _opened(path: Path) -> IO[bytes]:
    try:
        return open(path, "wb")
    except OSError as error:
        raise UsageError(f"cannot write {str(path)!r}: {error.strerror or error}") from error


def csv_bytes(table: pyarrow.Table, header: bool) -> bytes:
    """Rows as CSV; empty cells are missing values, texts are quoted."""
    import io

    import pyarrow.csv as csv

    buffer = io.BytesIO()
    if header and not table.num_rows:  # pyarrow writes no header of an empty table
        return (",".join(f'"{name}"' for name in table.column_names) + "\n").encode()
    csv.write_csv(table, buffer, csv.WriteOptions(include_header=header))
    return buffer.getvalue()


def jsonl_bytes(table: pyarrow.Table) -> bytes:
    """Rows as JSON lines with dotted names; missing values are left out."""
    lines = [json.dumps({name: value for name, value in row.items() if value is not None}, allow_nan=False) for row in table.to_pylist()]
    return "".join(f"{line}\n" for line in lines).encode()


def form_of(path: Path) -> str:
    """The form a file's ending names. Raises: UsageError for another ending."""
    form = ENDINGS.get(path.suffix.lower())
    if form is None:
        raise UsageError(f"cannot tell the form of {str(path)!r} by its ending; end it in .parquet, .csv or .jsonl, or add --format")
    return form
