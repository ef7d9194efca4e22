"""JSON and CSV of results, and files written whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from attnsim.errors import UsageError
from attnsim.evaluate.flat import flatten

__all__ = ["flatten", "report_csv", "to_csv", "to_json", "write_files", "write_text"]


def to_json(data: Any) -> str:
    """`data` as JSON text: sorted keys, two-space indent, a newline at the end.

    Raises: ValueError naming the place of a number that is not finite; JSON has no NaN or infinity, and no result of attnsim should.
    """
    for place, value in _numbers(data, ""):
        if not math.isfinite(value):
            raise ValueError(f"{place} is {value}, which JSON cannot hold")
    return json.dumps(data, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"


def _numbers(value: Any, place: str) -> Iterable[tuple[str, float]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _numbers(item, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _numbers(item, f"{place}[{index}]")
    elif isinstance(value, float):
        yield place, value


def report_csv(report: Mapping[str, Any]) -> str:
    """CSV of the JSON form of a report: one row a result, named as in the JSON, workload and machine in front."""
    inputs = {"workload": report["workload"]["name"], "arch": report["arch"]["name"]}
    return to_csv([inputs | flatten(result) for result in report["results"]], first=("workload", "arch", "name"))


def to_csv(rows: Sequence[Mapping[str, Any]], first: Sequence[str] = ()) -> str:
    """CSV text of `rows`; columns are the union of their keys, those of `first` in front, missing values empty."""
    columns = list(dict.fromkeys([*(name for name in first if any(name in row for row in rows)), *(key for row in rows for key in row)]))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file whole or not at all."""
    write_files({path: text.encode("utf-8")})


def write_files(contents: Mapping[Path, bytes]) -> None:
    """Write several files; none appears before all of them are on the disk.

    Each goes to a temporary file in its own folder, then takes its name in one step (`os.replace`), so that a reader or a crash never
    sees half a file. A link stays a link: the file it points to is replaced. A device or a pipe is written to, never replaced.
    Raises: UsageError naming the file when a folder is missing or may not be written.
    """
    ready: list[tuple[str, Path]] = []
    streams: list[tuple[Path, bytes]] = []
    try:
        for path, content in contents.items():
            try:
                if _is_stream(path):
                    streams.append((path, content))
                    continue
                path = path.resolve() if path.is_symlink() else path
                handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
                ready.append((name, path))
                with os.fdopen(handle, "wb") as file:
                    file.write(content)
                os.chmod(name, 0o666 & ~_umask())
            except OSError as error:
                raise UsageError(f"cannot write {str(path)!r}: {error.strerror or error}") from error
        while ready:
            name, path = ready[0]
            try:
                os.replace(name, path)
            except OSError as error:
                raise UsageError(f"cannot write {str(path)!r}: {error.strerror or error}") from error
            ready.pop(0)
        for path, content in streams:
            try:
                path.write_bytes(content)
            except OSError as error:
                raise UsageError(f"cannot write {str(path)!r}: {error.strerror or error}") from error
    finally:
        for name, _ in ready:
            with suppress(OSError):
                os.unlink(name)


def _is_stream(path: Path) -> bool:
    """Whether a path names something that is neither a file nor free to become one: /dev/null, /dev/stdout, a named pipe."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _umask() -> int:
    # mkstemp makes files that only their owner reads; a result should get the rights an ordinary new file gets.
    mask = os.umask(0)
    os.umask(mask)
    return mask
