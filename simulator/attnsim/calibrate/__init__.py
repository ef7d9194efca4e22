"""From measured times to a machine file: `calibrate` fits the machine to streams and launches, then its kernels to their rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from attnsim.calibrate.document import base_name, document, text_of
from attnsim.calibrate.found import Field, KernelFit
from attnsim.calibrate.kernels import FITTED_KINDS, fit_kernel, groups_of, points_of
from attnsim.calibrate.links import link_fields
from attnsim.calibrate.machine import machine_fields
from attnsim.calibrate.rows import MeasuredFile, Row, is_micro, read_files
from attnsim.errors import InfeasibleError, SpecError, suggest
from attnsim.machine.load import load_machine
from attnsim.machine.machine import Machine
from attnsim.spec import library

ROWS = 24
"""Rows of a kernel that are fitted on, where nothing is said."""


@dataclass(frozen=True)
class Calibration:
    """What was fitted. files: with the rows that could not be used; made: the content of the new file."""

    arch: str
    files: tuple[MeasuredFile, ...]
    fields: tuple[Field, ...]
    kernels: tuple[KernelFit, ...]
    made: dict[str, Any] = field(repr=False)

    @property
    def ok(self) -> bool:
        """Every row could be used."""
        return not any(file.skipped for file in self.files)

    def yaml(self) -> str:
        """The new file."""
        return text_of(self.made)

    def text(self) -> str:
        """Fields and kernels before and after, and the rows left out."""
        from attnsim.calibrate.render import calibration_text

        return calibration_text(self)


def calibrate(
    paths: Sequence[str], arch: str, *, output: str | None = None, kernels: Sequence[str] = (), rows: int = ROWS,
    told: Callable[[str], None] = lambda _: None,
) -> Calibration:  # fmt: skip
    """Fit machine and kernels. output: where the new file will lie; kernels: those to fit, all left out; rows: about how many of each
    kernel are fitted on (every k-th in sorted order), 0: all; told: takes a line for each kernel under way.

    A row that cannot be used is listed in its file's `skipped`. Raises SpecError for a file that cannot be read or holds no usable row, an
    unknown machine or kernel; InfeasibleError for a machine of PE arrays.
    """
    machine = load_machine(arch)
    if not isinstance(machine, Machine):
        raise InfeasibleError(f"{machine.name} is a machine of PE arrays; processors are calibrated")
    files, found = read_files(paths)
    wanted = _wanted(kernels, found)
    extends, data = base_name(arch, output), library.load("arch", arch).data
    fields = (
        *machine_fields(machine, data, [row for row in found if is_micro(row)]),
        *link_fields(machine, [row for row in found if row.call.kind == "collective"]),
    )
    name = _name(output, machine.name)
    beside = machine if not fields else _loaded(document(arch, data, name, files, fields, ()))
    asked, refused = points_of([row for row in found if row.call.kind in FITTED_KINDS and not is_micro(row)], beside)
    files = tuple(
        replace(file, skipped=(*file.skipped, *(skipped for row, skipped in refused if row.file == number)))
        for number, file in enumerate(files)
    )
    names = {number: file.name for number, file in enumerate(files)}
    fits = []
    for schedule, group in groups_of(asked).items():
        if wanted is None or schedule in wanted or group[0].row.call.kernel in wanted:
            told(f"fitting {schedule} on {len(group)} rows")
            fit = fit_kernel(schedule, group, rows, names)
            fits += [fit] if fit is not None else []
    if not fields and not fits:
        raise SpecError(_nothing(files, found))
    made = document(extends, data, name, files, fields, fits)
    _loaded({**made, "extends": arch})  # what is written can be read
    return Calibration(machine.name, files, fields, tuple(fits), made)


def _loaded(made: dict[str, Any]) -> Machine:
    machine = load_machine(made)
    assert isinstance(machine, Machine), "it extends one of processors"
    return machine


def _name(output: str | None, base: str) -> str:
    stem = "" if output in (None, "-") else Path(str(output)).stem
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", stem) or f"{base}-calibrated"


def _wanted(kernels: Sequence[str], rows: Sequence[Row]) -> set[str] | None:
    """Library names of the kernels asked for. Raises SpecError for one that is unknown or that no row is about."""
    if not kernels:
        return None
    present = {row.call.kernel for row in rows if row.call.kind in FITTED_KINDS and not is_micro(row)}
    chosen = set()
    for name in kernels:
        known = library.find("schedule", name).name
        if known not in present:
            raise SpecError(f"no usable row of kernel {name!r}{suggest(known, present)}; there are {', '.join(sorted(present)) or 'none'}")
        chosen.add(known)
    return chosen


def _nothing(files: Sequence[MeasuredFile], rows: Sequence[Row]) -> str:
    names = ", ".join(file.name for file in files)
    skipped = [(file, one) for file in files for one in file.skipped]
    why = f"; line {skipped[0][1].line} of {skipped[0][0].name}: {skipped[0][1].reason}" if skipped else ""
    return f"{names}: no row can be calibrated on, of {len(rows) + len(skipped)}{why}"


__all__ = ["ROWS", "Calibration", "calibrate"]
