"""A sweep on disk: a folder with one Parquet file a chunk, each whole or not there, so that a killed sweep can go on.

    OUT/_plan.json              what is swept, in which chunks, and whether it is complete
    OUT/part-000012.parquet     the points of chunk 12

Names with a `_` or a `.` in front are passed over by readers of Parquet datasets, so `OUT/` opens as one table.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from attnsim.errors import SpecError, UsageError

if TYPE_CHECKING:
    import pyarrow

PLAN: Final = "_plan.json"
KEY: Final = b"attnsim"
"""Key of the metadata of every file; its value is JSON."""

# Rows of a row group of a single file: small enough to stream, large enough that the footer stays short.
_GROUP_ROWS: Final = 131_072
_CHANGES_TOLD: Final = 3
_DERIVED: Final = ("command", "count", "digest", "schema")  # of a description: told by the rest of it


ERROR: Final = "error"
"""The column that says why a point has no answer."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Rows of a sweep; those without an answer, and why the first of these has none."""

    rows: int
    refused: int
    why: str


@dataclass(frozen=True, slots=True)
class Header:
    """What a sweep is. `digest` decides whether two are the same; `about` (workload, machines, axes, filters) tells a person."""

    digest: str
    version: str
    count: int
    chunk: int
    about: Mapping[str, Any]

    @property
    def chunks(self) -> int:
        """Number of chunks; the last one may be short."""
        return -(-self.count // self.chunk)

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        plan = {"digest": self.digest, "attnsim": self.version, "count": self.count, "chunk": self.chunk, "chunks": self.chunks}
        return {"schema": 1, **plan, "plan": dict(self.about)}


@dataclass(frozen=True, slots=True)
class Chunk:
    """Points `start` to `stop` - 1 of a plan, before filters."""

    number: int
    start: int
    stop: int


def encode(table: pyarrow.Table, chunk: Chunk, digest: str) -> bytes:
    """The Parquet file of a chunk. Its metadata says which points of which plan it holds, which is what a resumed sweep goes by."""
    import pyarrow
    import pyarrow.parquet

    told = {"digest": digest, "start": chunk.start, "stop": chunk.stop}
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table.replace_schema_metadata({KEY: json.dumps(told)}), sink, compression="zstd")
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


class Dataset:
    """The folder of one sweep, held by one process at a time; `open_dataset` makes it."""

    def __init__(self, folder: Path, header: Header, complete: bool) -> None:
        self.folder, self.header, self.complete = folder, header, complete
        self._digits = max(6, len(str(header.chunks - 1)))
        self.missing = tuple(chunk for chunk in self._chunks() if not self._holds(chunk))

    def part(self, number: int) -> Path:
        """File of a chunk, whether there or not."""
        return self.folder / f"part-{number:0{self._digits}d}.parquet"

    def parts(self) -> Iterator[Path]:
        """Files of all chunks, in the order of the points."""
        return map(self.part, range(self.header.chunks))

    def write(self, chunk: Chunk, content: bytes) -> None:
        """Put a chunk's file in place. A second answer to the same chunk replaces the first, so that no point is there twice."""
        _write(self.part(chunk.number), lambda file: file.write_bytes(content))

    def finish(self) -> None:
        """Mark the sweep complete."""
        if not self.complete:
            self.mark(complete=True)

    def totals(self) -> Totals:
        """Of all chunks."""
        return totals_of(self.parts())

    def mark(self, *, complete: bool) -> None:
        """Write the plan file."""
        text = json.dumps(self.header.to_dict() | {"complete": complete}, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        _write(self.folder / PLAN, lambda file: file.write_text(text, encoding="utf-8"))
        self.complete = complete

    def _chunks(self) -> Iterator[Chunk]:
        size, count = self.header.chunk, self.header.count
        return (Chunk(number, number * size, min(count, (number + 1) * size)) for number in range(self.header.chunks))

    def _holds(self, chunk: Chunk) -> bool:
        told = told_by(self.part(chunk.number))
        return told == {"digest": self.header.digest, "start": chunk.start, "stop": chunk.stop}


@contextmanager
def open_dataset(folder: Path, header: Header, *, resume: bool, chunk_given: bool = True) -> Iterator[Dataset]:
    """The dataset of a sweep in `folder`, new, or with `resume` the one that is there already (then leftovers of a crash go).

    With `chunk_given` false a resumed sweep keeps the size of chunks that it was begun with.
    Raises: UsageError for a folder that cannot be used, one in use without `resume`, or one of another plan; SpecError for a plan file
    that cannot be read. A new sweep that fails before its first chunk is written leaves nothing behind.
    """
    made = not folder.exists()
    with _writing(folder):
        folder.mkdir(exist_ok=True)
    with _locked(folder):
        try:
            with _writing(folder):
                dataset = _begin(folder, header, resume, chunk_given)
            yield dataset
        except BaseException:
            if made and not any(folder.glob("part-*")):
                (folder / PLAN).unlink(missing_ok=True)
                with suppress(OSError):
                    folder.rmdir()
            raise


def _begin(folder: Path, header: Header, resume: bool, chunk_given: bool) -> Dataset:
    there = list(folder.iterdir())
    leftovers = [path for path in there if path.name.startswith(".") and path.name.endswith(".tmp")]
    used = len(there) > len(leftovers)
    if used and not resume:
        raise UsageError(f"{str(folder)!r} exists; add --resume to go on with the sweep in it, or choose another output")
    if used and folder / PLAN not in there:
        raise UsageError(f"cannot resume {str(folder)!r}: it holds no sweep, there is no {PLAN} in it")
    header, complete = _same(folder / PLAN, header, chunk_given) if used else (header, False)
    for leftover in leftovers:
        leftover.unlink()
    dataset = Dataset(folder, header, complete)
    if not complete or dataset.missing:
        dataset.mark(complete=False)
    return dataset


def concatenate(dataset: Dataset, path: Path) -> None:
    """All chunks of a finished dataset as one file, in the order of the points, a few chunks in memory at a time."""
    import pyarrow
    import pyarrow.parquet

    header = dataset.header
    told = {**header.about, "digest": header.digest, "attnsim": header.version, "count": header.count}
    parts = list(dataset.parts())
    schema = pyarrow.parquet.read_schema(parts[0]) if parts else pyarrow.schema([])
    schema = schema.with_metadata({KEY: json.dumps(told, sort_keys=True)})

    def fill(file: Path) -> None:
        with pyarrow.parquet.ParquetWriter(file, schema, compression="zstd") as writer:
            held: list[pyarrow.Table] = []
            for part in parts:
                held.append(pyarrow.parquet.ParquetFile(part).read().replace_schema_metadata(schema.metadata))
                if part is parts[-1] or sum(table.num_rows for table in held) >= _GROUP_ROWS:
                    writer.write_table(pyarrow.concat_tables(held))
                    held.clear()

    _write(path, fill, dataset.folder)  # half a file is a leftover of the folder, which a resumed sweep removes


def totals_of(files: Iterable[Path]) -> Totals:
    """Rows of Parquet files that attnsim wrote, counted from their footers."""
    import pyarrow.parquet

    rows = refused = 0
    why = ""
    for path in files:
        file = pyarrow.parquet.ParquetFile(path)
        rows += file.metadata.num_rows
        refused += (failed := _not_null(file.metadata, ERROR))
        if failed and not why:
            why = str(file.read([ERROR])[ERROR].drop_null()[0])
    return Totals(rows, refused, why)


def remove(folder: Path) -> None:
    """Take away a dataset, if there, whose points are elsewhere by now."""
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)


def told_by(path: Path) -> dict[str, Any] | None:
    """What attnsim wrote into a Parquet file's metadata; None where there is no such file, or none that can be read to its end."""
    import pyarrow
    import pyarrow.parquet

    try:
        metadata = pyarrow.parquet.read_schema(path).metadata or {}
        told = json.loads(metadata.get(KEY, b"null"))
    except (OSError, ValueError, pyarrow.ArrowException):
        return None
    return told if isinstance(told, dict) else None


def changes(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """What differs between two descriptions, as `axes.sizes.M.count was 7, is 8`."""
    found: list[str] = []
    for key in dict.fromkeys((*old, *new)):
        before, after = _by_fields(old.get(key)), _by_fields(new.get(key))
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += changes(before, after, f"{prefix}{key}.")
            if before == after and list(before) != list(after):
                found.append(f"{prefix}{key} came in the order {', '.join(before)}, now {', '.join(after)}")
        elif before != after:
            found.append(f"{prefix}{key} was {_short(before)}, is {_short(after)}")
    return found


def _by_fields(value: Any) -> Any:
    """Axes by the fields that vary along them; anything else as it is."""
    if isinstance(value, list) and value and all(isinstance(entry, Mapping) and "fields" in entry for entry in value):
        return {",".join(entry["fields"]): {key: item for key, item in entry.items() if key != "fields"} for entry in value}
    return value


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        value = dict(value)
    text = "not given" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _same(path: Path, header: Header, chunk_given: bool) -> tuple[Header, bool]:
    """The header of the sweep that is there, if it is this one, and whether it is complete."""
    try:
        there = json.loads(path.read_text(encoding="utf-8"))
        digest, version, chunk, complete = there["digest"], there["attnsim"], int(there["chunk"]), bool(there["complete"])
        about = dict(there["plan"])
    except (OSError, ValueError, KeyError, TypeError):
        raise SpecError(f"{path}: is no plan that `attnsim sweep` wrote; choose another output") from None
    if digest != header.digest:
        before, after = ({key: value for key, value in one.items() if key not in _DERIVED} for one in (about, _plain(header.about)))
        differ = changes({"attnsim": version} | before, {"attnsim": header.version} | after)
        told = "; ".join(differ[:_CHANGES_TOLD]) or "a file that it uses has changed since"
        more = f"; and {len(differ) - _CHANGES_TOLD} more" if len(differ) > _CHANGES_TOLD else ""
        raise UsageError(f"cannot resume {str(path.parent)!r}: it holds another sweep: {told}{more}")
    if chunk_given and chunk != header.chunk:
        raise UsageError(f"cannot resume {str(path.parent)!r} with --chunk {header.chunk}: it was begun with --chunk {chunk}")
    return Header(digest, version, header.count, chunk, about), complete


def _plain(about: Mapping[str, Any]) -> dict[str, Any]:
    # As JSON gives it back: tuples are lists there.
    plain: dict[str, Any] = json.loads(json.dumps(dict(about)))
    return plain


def _not_null(metadata: pyarrow.parquet.FileMetaData, name: str) -> int:
    """How many values a column has that are not null, of a file that attnsim wrote."""
    if name not in metadata.schema.names:
        return 0
    at = metadata.schema.names.index(name)
    columns = [metadata.row_group(group).column(at) for group in range(metadata.num_row_groups)]
    return sum(column.num_values - column.statistics.null_count for column in columns if column.statistics is not None)


def _write(path: Path, fill: Callable[[Path], object], folder: Path | None = None) -> None:
    """Let `fill` write a file, then give it its name in one step, both safely on the disk: `path` is whole or not there.

    `folder`, on the same file system, is where the file is while it is written: the folder of `path` if not given.
    """
    with _writing(path):
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=folder or path.parent)
        os.close(handle)
        try:
            fill(Path(name))
            with open(name, "rb+") as file:
                os.fsync(file.fileno())
            os.chmod(name, 0o666 & ~_umask())
            os.replace(name, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(name)
            raise
        if os.name == "posix":  # the new name is an entry of the folder, which has to reach the disk, too
            entry = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(entry)
            finally:
                os.close(entry)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError:
        raise UsageError(f"cannot write {str(path)!r}: it is a file; name a folder, or a file that ends in .parquet") from None
    except FileNotFoundError:
        raise UsageError(f"cannot write {str(path)!r}: there is no folder {str(path.parent)!r}; make it first") from None
    except OSError as error:
        raise UsageError(f"cannot write {str(path)!r}: {error.strerror or error}") from error


def _umask() -> int:
    # mkstemp makes files that only their owner reads; a result should get the rights an ordinary new file gets.
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep a second sweep out of the folder. The lock is the operating system's: it ends with its process, however that ends."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"{str(folder)!r} is being written by another sweep; wait for it, or choose another output") from None
        except OSError:
            pass  # a file system without locks: whoever starts two sweeps into one folder there computes chunks twice, no more
        try:
            yield
        finally:
            with suppress(OSError):  # closing is not enough: a process that was born meanwhile holds the descriptor, too
                fcntl.flock(handle, fcntl.LOCK_UN)
    finally:
        os.close(handle)
