"""A calibration as text: machine fields, constants of kernels, rows left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from attnsim.calibrate.found import written

if TYPE_CHECKING:
    from attnsim.calibrate import Calibration


def calibration_text(found: Calibration) -> str:
    """One table of fields, one block a kernel."""
    names = ", ".join(file.name for file in found.files)
    lines = [f"{found.arch} calibrated on {names}"]
    if found.fields:
        lines += ["", *_table(_field_rows(found))]
    for fit in found.kernels:
        head = f"{fit.schedule}{f' ({fit.variant})' if fit.variant else ''}"
        error = f"mean |error| {fit.before:.1%} before, {fit.after:.1%} after on {len(fit.rows)} fitted rows"
        if fit.held is not None:
            error += f"; {fit.held[0]:.1%} before, {fit.held[1]:.1%} after on {fit.held_rows} others"
        lines += ["", f"{head}: {error}"]
        rows = [["constant", "before", "after", ""]]
        for one in fit.constants:
            bound = f"at the {one.bound} bound" if one.bound else ""
            rows.append([one.name, str(written(one.before, one.unit, 4)), str(written(one.after, one.unit, 4)), bound])
        lines += _table(rows)
    skipped = [(file.name, one) for file in found.files for one in file.skipped]
    if skipped:
        lines += ["", f"{len(skipped)} row{'s' * (len(skipped) > 1)} left out"]
        alike: dict[tuple[str, str, str], list[int]] = {}
        for name, left in skipped:
            alike.setdefault((name, left.kernel or "no kernel", left.reason), []).append(left.line)
        lines += [f"  {name}:{_ranges(numbers)}: {kernel}: {why}" for (name, kernel, why), numbers in alike.items()]
    return "\n".join(lines)


def _field_rows(found: Calibration) -> list[list[str]]:
    rows = [["field", "before", "after", "rows", "spread"]]
    for one in found.fields:
        before = "-" if one.before is None else str(written(one.before, one.unit, 4))
        rows.append([one.name, before, str(written(one.after, one.unit, 4)), str(len(one.rows)), f"{one.spread:.1%}"])
    return rows


def _ranges(numbers: Sequence[int]) -> str:
    """2,5-9: lines that follow one another as one range."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [
            text.ljust(width) if index == 0 else text.rjust(width) for index, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()
