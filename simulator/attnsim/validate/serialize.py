"""JSON form of a validation report. SI base units; errors and targets are fractions."""

from __future__ import annotations

from typing import Any

from attnsim import __version__
from attnsim.validate.cases import CasePoint
from attnsim.validate.records import Record
from attnsim.validate.render_measured import measured_dict
from attnsim.validate.render_published import tables_dict
from attnsim.validate.scoring import CaseScore, GroupScore, ScoredPoint, ValidationReport

NAMING = ("arch", "kernel", "framework", "version", "provenance")
"""Columns of reference.csv that say which measurement a row is; sizes are added as numbers."""


def report_dict(report: ValidationReport) -> dict[str, Any]:
    """Summary over all kernel cases, then the cases in order; `rows` only where they were asked for."""
    return {
        "schema": 1,
        "attnsim": __version__,
        "ok": report.ok,
        "summary": {"all": report.stats().to_dict(), "fitted": report.stats(True).to_dict(), "held_out": report.stats(False).to_dict()},
        "cases": [_case(score, score.name in report.detailed) for score in report.cases],
        "tables": [tables_dict(score, score.name in report.detailed) for score in report.tables],
        "machines": [score.to_dict(score.name in report.detailed) for score in report.machines],
        "measured": [measured_dict(score, score.name in report.detailed) for score in report.measured],
        "notes": list(report.notes),
    }


def _case(score: CaseScore, detailed: bool) -> dict[str, Any]:
    spec = score.case.spec
    made: dict[str, Any] = {
        "name": score.name, "title": spec.title, "kind": spec.kind, "source": spec.source, "metric": spec.metric, "ok": score.ok,
        "groups": [_group(group) for group in score.groups],
        "below_floor": [{**_identity(p.point), "reason": p.point.floor_reason or None} for p in score.points if p.below_floor],
        "failed": [{**_identity(f.point), "reason": f.reason} for group in score.groups for f in group.failures],
        "excluded": [{**_named(record), "reason": reason} for record, reason in score.case.excluded],
    }  # fmt: skip
    if detailed:
        made["rows"] = [row_dict(p) for p in score.points]
    return made


def _group(score: GroupScore) -> dict[str, Any]:
    group = score.group
    return {
        "name": group.name, "arch": group.arch_name, "schedule": group.schedule,
        "conditions": group.conditions.model_dump(exclude_none=True),
        "all": score.stats().to_dict(), "fitted": score.stats(True).to_dict(), "held_out": score.stats(False).to_dict(),
        "target": score.target.model_dump(exclude_none=True) if score.target else None, "target_met": score.target_met, "ok": score.ok,
    }  # fmt: skip


def _named(record: Record) -> dict[str, Any]:
    return {"line": record.line, **{name: record.values[name] for name in NAMING if record.values.get(name)}}


def _identity(point: CasePoint) -> dict[str, Any]:
    made: dict[str, Any] = {**_named(point.record), "dtype": point.dtype, "direction": point.direction}
    if point.group.name:
        made["group"] = point.group.name
    if point.shape is not None:
        made |= {"sizes": point.shape.sizes(), "causal": point.shape.causal}
        if point.group.mask:
            made["mask"] = dict(point.group.mask)
    return made


def row_dict(scored: ScoredPoint) -> dict[str, Any]:
    """One scored row: which measurement, the seconds on both sides, the certified floor, the signed error, and its set."""
    return {
        **_identity(scored.point),
        "set": "fitted" if scored.point.fitted else "held_out",
        "measured_s": scored.point.measured_s,
        "predicted_s": scored.prediction.latency_s,
        "lower_bound_s": scored.prediction.lower_bound_s,
        "bound": scored.prediction.bound or None,
        "error": scored.error,
        "below_floor": scored.below_floor,
    }
