"""The constants of one schedule from the rows of one kernel: least squares of log(predicted / measured), soft L1."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from attnsim.api import resolve, workload_document, workload_spec
from attnsim.calibrate.constants import MOST, Parameter, Place, changed_lists, parameters_of, with_lists
from attnsim.calibrate.found import Constant, KernelFit, mean_error, written
from attnsim.calibrate.lines import minimise, polish, soft
from attnsim.calibrate.rows import Row
from attnsim.errors import AttnsimError
from attnsim.evaluate.evaluate import evaluate
from attnsim.evaluate.point import Point
from attnsim.machine.machine import Machine
from attnsim.schedule.schedule import Schedule
from attnsim.spec.workload import KernelWorkload
from attnsim.validate.measurements import SkippedRow
from attnsim.validate.predict import reason

FITTED_KINDS = ("attention", "product", "rowwise")
INERT = 1e-4
"""A constant that moves no row by so much for a small step has nothing to be fitted on."""

FEWEST = 3
"""Rows that must depend on a constant: fitted on one or two it would take up what else is wrong with these."""

ANCHOR = 1e-3
"""Weight that holds constants which the rows do not tell apart near where they were."""

AT_BOUND = 1e-3

COARSE, FINE = 0.05, 0.01
"""Of difference quotients: CTAs of one length that change places on the processors make times jump by up to a few per cent."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A row and its point on the machine."""

    row: Row
    point: Point


def points_of(rows: Sequence[Row], machine: Machine) -> tuple[list[Asked], list[tuple[Row, SkippedRow]]]:
    """Rows as the engine sees them, and those it refuses with its words."""
    asked, refused = list[Asked](), list[tuple[Row, SkippedRow]]()
    for row in rows:
        try:
            document = workload_document(dict(row.call.workload or {}))
            spec = workload_spec(document)
            assert isinstance(spec, KernelWorkload), "rows of these kinds are kernels"
            point = resolve(spec, document, machine)
            evaluate(point, spec.name)
            asked.append(Asked(row, point))
        except AttnsimError as error:
            refused.append((row, SkippedRow(row.call.line, row.call.kernel, reason(error))))
    return asked, refused


def groups_of(asked: Sequence[Asked]) -> dict[str, list[Asked]]:
    """Rows by the schedule that answers for them, which is another one for a backward pass; in sorted order."""
    found: dict[str, list[Asked]] = {}
    for one in asked:
        found.setdefault(one.point.schedule.name, []).append(one)
    return {name: sorted(found[name], key=_order) for name in sorted(found)}


def _order(one: Asked) -> tuple[Any, ...]:
    columns = one.row.call.columns
    return tuple((not isinstance(value, int), value if isinstance(value, int) else 0, str(value)) for value in columns.values()) + (
        (one.row.file, one.row.call.line, ""),
    )


def every_kth(group: Sequence[Asked], rows: int) -> tuple[list[Asked], int]:
    """At most `rows` of a group, every k-th in sorted order, and k; 0: all. k is odd: head widths and masks often come in pairs."""
    step = 1 if rows == 0 or len(group) <= rows else math.ceil(len(group) / rows) | 1
    return list(group[::step]), step


def fit_kernel(name: str, group: Sequence[Asked], rows: int, names: Mapping[int, str]) -> KernelFit | None:
    """The fit of a group of rows; None where no constant moves any of them. rows: as `every_kth`; names: of the files."""
    chosen, step = every_kth(group, rows)
    others = [one for one in group if one not in chosen] if step > 1 else []
    used = _moving(chosen)[: max(1, min(MOST, len(chosen) // 2))]
    if not used:
        return None
    scales = [max(parameter.kind.step * 5, abs(parameter.first)) for parameter in used]

    def ratios(x: Sequence[float], points: Sequence[Asked]) -> list[float]:
        made = _Changed(dict(zip(used, (float(v) * s for v, s in zip(x, scales, strict=True)), strict=True)))
        return [made.seconds(one) / one.row.seconds for one in points]

    first = [parameter.first / scale for parameter, scale in zip(used, scales, strict=True)]
    low = [parameter.kind.low / scale for parameter, scale in zip(used, scales, strict=True)]
    high = [parameter.kind.high / scale for parameter, scale in zip(used, scales, strict=True)]

    def residuals(x: Any) -> list[float]:
        drawn = [ANCHOR * (float(value) - start) for value, start in zip(x, first, strict=True)]
        return [math.log(ratio) for ratio in ratios(x, chosen)] + drawn

    best, least = list(first), float(soft(residuals(first)))
    tries: list[tuple[list[float] | None, float]] = [*((start, COARSE) for start in _starts(used, first, scales)), (None, FINE)]
    for start, width in tries:
        found = [float(value) for value in minimise(residuals, best if start is None else start, low, high, width)]
        cost = soft(residuals(found))
        if cost < least:
            best, least = found, cost
    best = polish(residuals, best, low, high, FINE)
    plain = [one.row.seconds for one in chosen]
    before = mean_error([_seconds(one.point) / measured for one, measured in zip(chosen, plain, strict=True)])
    after = mean_error(ratios(best, chosen))
    if after > before and after > 0.001:  # soft L1 and the mean disagree where little can be had
        best, after = first, before
    values = {parameter: float(x) * scale for parameter, x, scale in zip(used, best, scales, strict=True)}
    held = None
    if others:
        held = (mean_error([_seconds(one.point) / one.row.seconds for one in others]), mean_error(ratios(best, others)))
    constants = tuple(_told(parameter, value) for parameter, value in values.items())
    lists = _entries(group[0].point.schedule, values, constants, _rows_text(chosen, step, names))
    return KernelFit(
        name, " and ".join(sorted({one.row.call.variant for one in group} - {""})), constants, lists, tuple(one.row for one in chosen),
        before, after, len(others), held,
    )  # fmt: skip


def _seconds(point: Point) -> float:
    return evaluate(point, "row").latency_s


class _Changed:
    """Points with constants changed; a schedule that several points share is changed once."""

    def __init__(self, values: Mapping[Parameter, float]) -> None:
        self._values, self._made = values, dict[int, Schedule]()

    def seconds(self, one: Asked) -> float:
        schedule = one.point.schedule
        if id(schedule) not in self._made:
            lists = changed_lists(schedule, self._values, "estimate", "")
            self._made[id(schedule)] = with_lists(schedule, lists)
        return _seconds(replace(one.point, schedule=self._made[id(schedule)]))


def _moving(chosen: Sequence[Asked]) -> list[Parameter]:
    """Constants that move some row, those that move them most first; `KINDS` is the order where they move them alike."""
    plain = [_seconds(one.point) for one in chosen]
    weighed = []
    for parameter in parameters_of(chosen[0].point.schedule):
        kind = parameter.kind
        step = -kind.step if parameter.first > (kind.low + kind.high) / 2 or parameter.first + kind.step > kind.high else kind.step
        made = _Changed({parameter: parameter.first + step})
        moved = [made.seconds(one) / was - 1 for one, was in zip(chosen, plain, strict=True)]
        size = math.sqrt(math.fsum(move * move for move in moved) / len(moved))
        if sum(abs(move) > INERT for move in moved) >= min(FEWEST, len(chosen)):
            weighed.append((size, parameter))
    return [parameter for _, parameter in sorted(weighed, key=lambda pair: -pair[0])]


def _starts(used: Sequence[Parameter], first: Sequence[float], scales: Sequence[float]) -> Iterator[list[float]]:
    """Where the descent begins: the schedule's own constants, and the middle of their ranges for shares at an end."""
    yield list(first)
    inside = []
    for parameter, start, scale in zip(used, first, scales, strict=True):
        kind = parameter.kind
        at_end = not kind.unit and (parameter.first <= kind.low + 0.02 or parameter.first >= kind.high - 0.02)
        inside.append((0.3 * kind.low + 0.7 * kind.high if kind.default else 0.3) / scale if at_end else start)
    if inside != list(first):
        yield inside


def _told(parameter: Parameter, value: float) -> Constant:
    kind = parameter.kind
    bound = "lower" if value - kind.low <= AT_BOUND * kind.step else "upper" if kind.high - value <= AT_BOUND * kind.high else ""
    value = kind.low if bound == "lower" else kind.high if bound == "upper" else value
    return Constant(parameter.place, parameter.when, parameter.first, value, kind.unit, bound)


def _rows_text(chosen: Sequence[Asked], step: int, names: Mapping[int, str]) -> str:
    files = ", ".join(names[number] for number in sorted({one.row.file for one in chosen}))
    which = "all" if step == 1 else f"every {step}{'rd' if step == 3 else 'th'} in sorted order"
    return f"{files}: {len(chosen)} rows, {which}"


def _entries(
    schedule: Schedule, values: Mapping[Parameter, float], constants: Sequence[Constant], rows: str
) -> dict[Place, list[dict[str, Any]]]:
    """The changed lists as a file has them."""
    changed = dict(zip(values, constants, strict=True))
    placed = {(parameter.place, parameter.index): constant for parameter, constant in changed.items()}
    made: dict[Place, list[dict[str, Any]]] = {}
    for place, entries in changed_lists(schedule, values, "fitted", rows).items():
        unit = next(iter(parameter.kind.unit for parameter in values if parameter.place == place))
        made[place] = []
        for index, entry in enumerate(entries):
            last = index == len(entries) - 1 and (place, None) in placed
            constant = placed.get((place, None if last else index))
            told: dict[str, Any] = {} if entry.when is None else {"when": entry.when}
            value = float(entry.value) if constant is None else constant.after
            source = entry.source
            if constant is not None and constant.bound:
                source = f"fitted; at the {constant.bound} bound of the fit"
            told |= {"value": written(value, unit), "source": source}
            made[place].append(told | ({"rows": entry.rows} if entry.rows else {}))
    return made
