"""What `attnsim validate` found, short enough to ship: errors by kernel schedule and machine, and of published tables.

`validation/summary.json` holds it, so that a report can say how accurate its kernels are without predicting every measured point again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from attnsim.errors import MissingDataError
from attnsim.validate.cases import roots
from attnsim.validate.scoring import ValidationReport
from attnsim.validate.stats import ErrorStats

SCHEMA = 1
FILE = "summary.json"
DIGITS = 4
"""Significant digits kept: more would change with the machine that computes them."""
NOISE = 1e-12
"""Errors below this come from the order of additions alone, and are kept as none."""


def accuracy_summary(report: ValidationReport) -> dict[str, Any]:
    """The summary of a report over all shipped cases: `kernels`, an entry a group of measured rows, and `tables`, one a published
    table, machine and workload, or kernel schedule where a table names no workload."""
    kernels = [
        _entry(score.name, score.case.spec.title, group.group.name, _name(group.group.schedule), group.group.arch_name, group)
        for score in report.cases
        for group in score.groups
        if group.group.schedule is not None
    ]
    for machine in report.machines:
        rows = [one.row for group in machine.groups for one in group.rows]
        for kernel in sorted({row.kernel for row in rows}):
            mine = [row for row in rows if row.kernel == kernel]
            stats = {fitted: ErrorStats.of(row.error for row in mine if row.fitted is fitted) for fitted in (True, False)}
            kernels.append(_kernel(machine.name, machine.spec.title, "", kernel, machine.spec.arch, stats))
    return {"schema": SCHEMA, "kernels": kernels, "tables": list(_tables(report))}


def _name(schedule: Any) -> str:
    """The library schedule a case times, be it named or changed in place."""
    return str(schedule.get("extends") or schedule.get("name", "")) if isinstance(schedule, Mapping) else str(schedule)


def _entry(case: str, title: str, group: str, schedule: str, arch: str, score: Any) -> dict[str, Any]:
    return _kernel(case, title, group, schedule, arch, {fitted: score.stats(fitted) for fitted in (True, False)})


def _kernel(case: str, title: str, group: str, schedule: str, arch: str, stats: Mapping[bool, ErrorStats]) -> dict[str, Any]:
    made = {"case": case, "title": title, "group": group, "schedule": schedule, "arch": arch}
    return made | {"fitted": _stats(stats[True]), "held_out": _stats(stats[False])}


def _stats(stats: ErrorStats) -> dict[str, Any]:
    return {"n": stats.n, **{name: _rounded(getattr(stats, name)) for name in ("mape", "p90", "max")}}


def _rounded(value: float | None) -> float | None:
    if value is None:
        return None
    return float(f"{value:.{DIGITS - 1}e}") if abs(value) >= NOISE else 0.0


def _tables(report: ValidationReport) -> Iterable[dict[str, Any]]:
    for score in report.tables:
        found: dict[tuple[str, str, str, str], list[float]] = {}
        for check in score.checks:
            if check.check.words:
                continue
            asked = score.spec.configurations.get(check.configuration)
            if asked is None or asked.collective is not None:
                continue
            key = (asked.base, "" if asked.base else _name(asked.schedule), asked.arch, check.table)
            found.setdefault(key, []).extend(abs(value.error) for value in check.values)
        for (base, schedule, arch, name), errors in found.items():
            about = {"table": name, "workload": base, "schedule": schedule, "arch": arch}
            yield {"case": score.name, "title": score.spec.title, **about, "all": _stats(ErrorStats.of(errors))}


def summary_text(summary: Mapping[str, Any]) -> str:
    """The file: an entry a line, so that a change shows as one."""
    parts = [f'{{"schema": {summary["schema"]}']
    for name in ("kernels", "tables"):
        lines = ",\n".join(f"  {json.dumps(entry, ensure_ascii=False, allow_nan=False)}" for entry in summary[name])
        parts.append(f'"{name}": [\n{lines}\n]')
    return ",\n".join(parts) + "}\n"


@lru_cache(maxsize=1)
def shipped_summary() -> dict[str, Any]:
    """The summary beside the shipped cases. Raises MissingDataError where it is not installed."""
    for root in reversed(roots()):
        if (root / FILE).is_file():
            found: dict[str, Any] = json.loads((root / FILE).read_text(encoding="utf-8"))
            return found
    raise MissingDataError(f"validation/{FILE} is missing; python tools/accuracy_summary.py writes it")
