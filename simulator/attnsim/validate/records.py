"""Rows of a CSV file with the line they stand on, and row filters."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from attnsim.errors import Issue, SpecError, suggest
from attnsim.spec.case import RowFilter, Scalar

UNITS = ("s", "ms", "us", "ns")
"""Endings of columns that hold a time."""


@dataclass(frozen=True, slots=True)
class Record:
    """One data row: the line it starts on (from 1), column -> text, and why it cannot be read (empty: it can)."""

    line: int
    values: Mapping[str, str]
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A CSV file: its columns and its rows, in order."""

    file: str
    columns: tuple[str, ...]
    records: tuple[Record, ...]


def read_csv(path: Path, required: Sequence[str] | Callable[[Sequence[str]], Sequence[str]], faulty: type[SpecError] = SpecError) -> Table:
    """Read a CSV file with a header row; empty lines and lines that start with `#` are comments.

    required: the columns it must have, or a function of the columns it has (none for an empty file). A row with too few or too many fields
    is kept, with `fault` set, so that the caller can name it.
    Raises SpecError for a file that is missing, a folder, empty or not UTF-8 text; `faulty` for one that lacks a `required` column.
    """
    file = str(path)
    lines = _text(path).splitlines()
    needed = required if callable(required) else lambda _: required
    numbered = [(i, text) for i, text in enumerate(lines, 1) if text.strip() and not text.lstrip().startswith("#")]
    if not numbered:
        raise SpecError(Issue("the file is empty; its first line must name the columns " + ",".join(needed([])), file=file))
    # A quoted field may hold a line break: the reader counts the lines it took, which gives each row its own first line.
    reader = csv.reader(text for _, text in numbered)
    header = [name.strip() for name in next(reader)]
    if faults := _header_faults(header, needed(header)):
        raise faulty([Issue(f"{fault}", file=file, line=numbered[0][0]) for fault in faults])
    records = []
    taken = reader.line_num
    for fields in reader:
        line = numbered[taken][0]
        taken = reader.line_num
        fault = "" if len(fields) == len(header) else f"{len(fields)} fields where the header has {len(header)}"
        records.append(Record(line, {c: v.strip() for c, v in zip(header, fields, strict=False)}, fault))
    return Table(file, tuple(header), tuple(records))


def _text(path: Path) -> str:
    file = str(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise SpecError(Issue("no such file", file=file)) from None
    except IsADirectoryError:
        raise SpecError(Issue("is a folder; a CSV file is wanted", file=file)) from None
    except UnicodeDecodeError:
        raise SpecError(Issue("is not UTF-8 text; a CSV file is wanted", file=file)) from None
    except OSError as e:
        raise SpecError(Issue(f"cannot be read: {e.strerror}", file=file)) from None
    if "\0" in text:
        raise SpecError(Issue("holds NUL bytes; a CSV file is wanted", file=file))
    return text


def _header_faults(header: Sequence[str], required: Sequence[str]) -> list[str]:
    messages = [
        f"column {name!r} is missing{_other_unit(name, header) or suggest(name, header)}" for name in required if name not in header
    ]
    messages += [f"column {name!r} is given twice" for name in sorted({h for h in header if header.count(h) > 1})]
    return messages


def _other_unit(name: str, header: Sequence[str]) -> str:
    """A hint where the column is there in another unit: `time_ms` for `time_us`."""
    stem, _, unit = name.rpartition("_")
    if unit not in UNITS:
        return ""
    found = next((h for h in header if h.rpartition("_")[0] == stem and h.rpartition("_")[2] in UNITS), None)
    return "" if found is None else f"; {found!r} is in another unit: convert to {unit} and call the column {name!r}"


def matches(values: Mapping[str, str], where: RowFilter) -> bool:
    """Whether a row passes a filter. Numbers compare by value ("128" is 128), yes and no in any spelling, text exactly."""
    return all(_holds(values.get(column, ""), wanted) for column, wanted in where.items())


def _holds(text: str, wanted: Scalar | list[Scalar]) -> bool:
    return any(_same(text, one) for one in wanted) if isinstance(wanted, list) else _same(text, wanted)


def _same(text: str, wanted: Scalar) -> bool:
    if isinstance(wanted, bool):
        return parse_bool(text) is wanted
    if isinstance(wanted, str):
        return text == wanted
    try:
        return float(text) == wanted
    except ValueError:
        return False


def parse_bool(text: str) -> bool | None:
    """True or False for the spellings CSV writers use (True, true, 1 / False, false, 0), None for anything else."""
    return {"true": True, "1": True, "false": False, "0": False}.get(text.strip().lower())


def any_match(values: Mapping[str, str], filters: Iterable[RowFilter]) -> bool:
    """Whether a row passes at least one of the filters."""
    return any(matches(values, f) for f in filters)
