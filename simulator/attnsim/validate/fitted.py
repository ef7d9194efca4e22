"""Which rows of a measurement file were fitted on: the file's own word, or that of the machine's calibration record."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

from attnsim.spec.library import load
from attnsim.validate.point import RowError
from attnsim.validate.predict import ArchRef
from attnsim.validate.records import Record, parse_bool


def calibrated_lines(arch: ArchRef, file: Path) -> frozenset[int]:
    """Lines of this file that the `calibration:` section of the machine names; none for another file, told by its hash."""
    found: Any = load("arch", arch).data.get("calibration")
    records = [
        one for one in (found if isinstance(found, list) else [found]) if isinstance(one, dict) and isinstance(one.get("rows"), dict)
    ]
    if not records:
        return frozenset()
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return frozenset(int(line) for one in records if one.get("sha256") == digest for lines in one["rows"].values() for line in lines)


def is_fitted(record: Record, lines: Collection[int]) -> bool:
    """Whether a row was fitted on: its column `fitted`, or its line. Raises RowError for a column that is neither yes nor no."""
    text = record.values.get("fitted", "")
    said = parse_bool(text) if text else False
    if said is None:
        raise RowError(f"fitted is {text!r}; write 1 or 0")
    return said or record.line in lines
