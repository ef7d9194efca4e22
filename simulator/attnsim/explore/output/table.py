"""Reads what a sweep wrote, as batches of the columns asked for: Parquet files and folders of them, CSV, JSON lines, tables in memory.

Rows are numbered from 0 in the order of the files' names and of the rows in each.
"""

from __future__ import annotations

import io
import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import fields
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet
from numpy.typing import NDArray

from attnsim.errors import UsageError, suggest
from attnsim.evaluate.estimate import Estimate
from attnsim.evaluate.layer import LayerEstimate
from attnsim.evaluate.spatial.estimate import SpatialEstimate
from attnsim.serving.answer import ModelEstimate

Source = Any
"""A path, a pandas DataFrame or a pyarrow Table."""
Columns = dict[str, Any]
"""pyarrow arrays by name."""

Kind = Literal["number", "text", "flag"]

QUESTIONS = ("arch", "workload", "model", "phase", "direction", "dtype", "schedule", "cascade", "context", "batch")
_RECORDS = (Estimate, SpatialEstimate, LayerEstimate, ModelEstimate)
# A mask and a deployment are asked about as well as answered.
ANSWERS = frozenset(entry.name for record in _RECORDS for entry in fields(record)) - {*QUESTIONS, "sizes", "mask"}

BATCH = 1 << 16
BLOCK_BYTES = 1 << 24
LOOKED_AT = 1000
"""Lines of a JSON file whose names and types count for all, while these hold every column asked for."""
MISSING = ["", "nan", "NaN"]
ENDINGS = {".parquet": "parquet", ".pq": "parquet", ".csv": "csv", ".jsonl": "json", ".ndjson": "json", ".json": "json"}


class Table(ABC):
    """Rows of a sweep. names: of every column, in the order of the file."""

    def __init__(self, label: str, names: Sequence[str]) -> None:
        self.label, self.names = label, tuple(names)

    @abstractmethod
    def batches(self, names: Collection[str], numbers: Collection[str] = ()) -> Iterator[tuple[int, Columns]]:
        """The number of the first row, and the columns of `names` and `numbers`, batch by batch; of files as text where types are unknown.

        A column that a file of a folder lacks is null there. Raises: UsageError where a column of `numbers` holds something else.
        """

    @abstractmethod
    def type_of(self, name: str) -> Any:
        """The pyarrow type of a column, of CSV and JSON by the first rows."""

    def kind(self, name: str) -> Kind:
        """What a column holds; one without any value may be numbers."""
        found = self.type_of(name)
        return "number" if _is_number(found) else "flag" if pa.types.is_boolean(found) else "text"

    @property
    def inputs(self) -> tuple[str, ...]:
        """The varied fields and the machine: what stands between `point` and the answers, and whatever else is asked and not answered."""
        leading: list[str] = []
        for name in self.names[self.names.index("point") + 1 :] if "point" in self.names else ():
            if name.partition(".")[0] in ANSWERS:
                break
            leading.append(name)
        others = [name for name in self.names if name in QUESTIONS or name.startswith("sizes.")]
        return tuple(name for name in dict.fromkeys([*leading, *others]) if name != "error")

    def rows(self, wanted: NDArray[np.int64], names: Sequence[str]) -> pa.Table:
        """The rows of these numbers, which ascend."""
        parts: list[pa.Table] = []
        for start, columns in self.batches(names):
            length = len(next(iter(columns.values())))
            low, high = np.searchsorted(wanted, [start, start + length])
            if high > low:
                parts.append(pa.table({name: columns[name] for name in names}).take(pa.array(wanted[low:high] - start)))
        return joined(parts, names)

    def column(self, word: str) -> str:
        """The one column a name means: its whole name, or the end of it behind a dot, as usd_per_mtok of cost.usd_per_mtok.

        Raises: UsageError where there is none, with the nearest name, or several.
        """
        if word in self.names:
            return word
        found = [name for name in self.names if name.endswith(f".{word}")]
        if len(found) == 1:
            return found[0]
        if found:
            raise UsageError(f"{word!r} may be {', '.join(found[:-1])} or {found[-1]}; write one of them")
        ends = [name.rpartition(".")[2] for name in self.names]
        near = suggest(word, [*self.names, *(end for end in ends if ends.count(end) == 1)])
        raise UsageError(f"{self.label} has no column {word!r}{near}")


def open_table(source: Source) -> Table:
    """What a sweep wrote: a Parquet file, a folder with Parquet files, CSV or JSON lines by the ending; or a table in memory.

    Raises: UsageError for a file that is not there, is none of these or cannot be read.
    """
    if isinstance(source, pa.Table):
        return _Memory("the table", source)
    if not isinstance(source, str | Path):
        return _Memory("the table", pa.Table.from_pandas(source, preserve_index=False))
    path = Path(source)
    if path.is_dir():
        files = sorted(file for file in path.rglob("*.parquet") if not file.name.startswith((".", "_")))
        if not files:
            raise UsageError(f"{str(path)!r} holds no Parquet files; name what `attnsim sweep -o` wrote")
        return _Parquet(str(path), files)
    if not path.is_file():
        raise UsageError(f"there is no file {str(path)!r}")
    kind = ENDINGS.get(path.suffix.lower())
    if kind is None:
        raise UsageError(f"cannot read {str(path)!r}: end the name in {', '.join(ENDINGS)}, or name a folder of Parquet files")
    return _Parquet(str(path), [path]) if kind == "parquet" else _Csv(path) if kind == "csv" else _Json(path)


def as_floats(values: Any, name: str) -> NDArray[np.float64]:
    """An array as floats, NaN where it has no value. Raises: UsageError for an array that holds no numbers."""
    if not _is_number(values.type):
        raise UsageError(f"column {name!r} holds no numbers but {_kind(values.type)}")
    return np.asarray(values.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def typed(values: Any) -> Any:
    """An array of texts as whole numbers where all of them are, else as numbers, else as it is."""
    if not pa.types.is_string(values.type) or values.null_count == len(values):
        return values
    for kind in (pa.int64(), pa.float64()):
        try:
            return values.cast(kind)
        except pa.ArrowInvalid:
            continue
    return values


def joined(parts: Sequence[pa.Table], names: Sequence[str]) -> pa.Table:
    """Tables below one another, every column in the widest type it has; texts that are all numbers become numbers."""
    if not parts:
        return pa.table({name: pa.array([], pa.null()) for name in names})
    whole = pa.concat_tables(parts, promote_options="permissive").combine_chunks()
    return pa.table({name: typed(_plain(whole[name])) for name in names})


def _plain(values: Any) -> Any:
    """An array, its chunks as one and without a dictionary."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks() if values.num_chunks != 1 else values.chunk(0)
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values


def _is_number(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind))


def _kind(kind: Any) -> str:
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind):
        return "text"
    return "truth values" if pa.types.is_boolean(kind) else f"values of type {kind}"


class _Memory(Table):
    def __init__(self, label: str, table: pa.Table) -> None:
        super().__init__(label, table.column_names)
        self._table = table

    def type_of(self, name: str) -> Any:
        return self._table.schema.field(name).type

    def batches(self, names: Collection[str], numbers: Collection[str] = ()) -> Iterator[tuple[int, Columns]]:
        start, wanted = 0, list(dict.fromkeys([*names, *numbers]))
        for batch in self._table.select(wanted).to_batches(max_chunksize=BATCH):
            yield start, {name: _plain(batch.column(name)) for name in wanted}
            start += batch.num_rows


class _Parquet(Table):
    def __init__(self, label: str, files: Sequence[Path]) -> None:
        self._files = files
        self._schemas = [_read(file, lambda file=file: pa.parquet.read_schema(file)) for file in files]
        super().__init__(label, list(dict.fromkeys(name for schema in self._schemas for name in schema.names)))

    def type_of(self, name: str) -> Any:
        found = [schema.field(name).type for schema in self._schemas if name in schema.names]
        return next((kind for kind in found if not pa.types.is_null(kind)), pa.null())

    def batches(self, names: Collection[str], numbers: Collection[str] = ()) -> Iterator[tuple[int, Columns]]:
        return self._batches(list(dict.fromkeys([*names, *numbers])), None)

    def rows(self, wanted: NDArray[np.int64], names: Sequence[str]) -> pa.Table:
        parts = []
        for start, columns in self._batches(names, wanted):
            low, high = np.searchsorted(wanted, [start, start + len(next(iter(columns.values())))])
            if high > low:
                parts.append(pa.table(columns).take(pa.array(wanted[low:high] - start)))
        return joined(parts, names)

    def _batches(self, names: Sequence[str], wanted: NDArray[np.int64] | None) -> Iterator[tuple[int, Columns]]:
        """Only of the row groups with a row that is wanted, if some are named."""
        start = 0
        for path, schema in zip(self._files, self._schemas, strict=True):
            present = [name for name in names if name in schema.names]
            with _read(path, lambda path=path: pa.parquet.ParquetFile(path)) as file:
                for group in range(file.num_row_groups):
                    length = file.metadata.row_group(group).num_rows
                    if wanted is None or np.diff(np.searchsorted(wanted, [start, start + length]))[0]:
                        yield from self._group(file, group, start, names, present, length)
                    start += length

    def _group(
        self, file: Any, group: int, start: int, names: Sequence[str], present: Sequence[str], length: int
    ) -> Iterator[tuple[int, Columns]]:
        if not present:
            yield start, {name: pa.nulls(length) for name in names}
            return
        for batch in file.iter_batches(BATCH, row_groups=[group], columns=present, use_threads=False):
            found = {name: _plain(batch.column(name)) for name in present}
            yield start, {name: found[name] if name in found else pa.nulls(batch.num_rows) for name in names}
            start += batch.num_rows


class _Csv(Table):
    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open(encoding="utf-8-sig", newline="") as file:
            import csv

            names = next(csv.reader(file), [])
        if not names:
            raise UsageError(f"{str(path)!r} is empty")
        super().__init__(str(path), names)
        options = pa.csv.ConvertOptions(strings_can_be_null=True, null_values=MISSING)
        self._schema = _read(path, lambda: pa.csv.open_csv(path, convert_options=options).schema)

    def type_of(self, name: str) -> Any:
        return self._schema.field(name).type

    def batches(self, names: Collection[str], numbers: Collection[str] = ()) -> Iterator[tuple[int, Columns]]:
        wanted = list(dict.fromkeys([*names, *numbers]))
        types = {name: pa.float64() if name in numbers else pa.string() for name in wanted}
        options = pa.csv.ConvertOptions(column_types=types, include_columns=wanted, strings_can_be_null=True, null_values=MISSING)
        start, size = 0, pa.csv.ReadOptions(block_size=BLOCK_BYTES, use_threads=False)
        reader = _read(self._path, lambda: pa.csv.open_csv(self._path, read_options=size, convert_options=options))
        while True:
            batch = _read(self._path, lambda: next(reader, None))
            if batch is None:
                return
            yield start, {name: batch.column(name) for name in wanted}
            start += batch.num_rows


class _Json(Table):
    def __init__(self, path: Path) -> None:
        self._path = path
        self._types: dict[str, Any] = {}
        with path.open("rb") as file:
            for number, line in enumerate(islice(file, LOOKED_AT), 1):
                self._look(line, number)
        super().__init__(str(path), list(self._types))

    def type_of(self, name: str) -> Any:
        return self._types.get(name) or pa.null()

    def column(self, word: str) -> str:
        """As of any table; a name that the first lines lack is looked for in all of them."""
        try:
            return super().column(word)
        except UsageError:
            with self._path.open("rb") as file:
                for number, line in enumerate(file, 1):
                    if number > LOOKED_AT and word.encode() in line:
                        self._look(line, number)
            self.names = tuple(self._types)
            return super().column(word)

    def _look(self, line: bytes, number: int) -> None:
        for name, value in self._parsed(line, number).items():
            kind = pa.bool_() if isinstance(value, bool) else pa.float64() if isinstance(value, int | float) else pa.string()
            if self._types.get(name) is None or value is not None:
                self._types[name] = None if value is None else kind

    def _parsed(self, line: bytes, number: int) -> Mapping[str, Any]:
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise UsageError(f"{self._path}:{number}: not a JSON object; a file of JSON lines has one on each line")
        return row

    def batches(self, names: Collection[str], numbers: Collection[str] = ()) -> Iterator[tuple[int, Columns]]:
        wanted = list(dict.fromkeys([*names, *numbers]))
        schema = pa.schema([(name, pa.float64() if name in numbers else self._types.get(name) or pa.string()) for name in wanted])
        parse = pa.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
        start, whole = 0, pa.json.ReadOptions(block_size=2 * BLOCK_BYTES, use_threads=False)
        with self._path.open("rb") as file:
            while lines := file.readlines(BLOCK_BYTES):
                block = io.BytesIO(b"".join(lines))
                table = _read(self._path, lambda block=block: pa.json.read_json(block, whole, parse))
                yield start, {name: _plain(table[name]) for name in wanted}
                start += table.num_rows

    def rows(self, wanted: NDArray[np.int64], names: Sequence[str]) -> pa.Table:
        found, chosen = [], set(wanted.tolist())
        with self._path.open("rb") as file:
            for number, line in enumerate(line for line in file if line.strip()):
                if number in chosen:
                    row = self._parsed(line, number + 1)
                    found.append({name: row.get(name) for name in names})
        return pa.table({name: _column([row[name] for row in found]) for name in names})


def _column(values: Sequence[Any]) -> Any:
    """Values of one column, as texts where they are of several types."""
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([None if value is None else str(value) for value in values])


def _read(path: Path, action: Any) -> Any:
    """What pyarrow reads of a file. Raises: UsageError with its reason, on one line."""
    try:
        return action()
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"cannot read {str(path)!r}: {reason[:160]}") from None
