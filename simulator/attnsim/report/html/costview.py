"""How an answer changes with context and batch: the same question asked again at a few points around its own, as curves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import attnsim
from attnsim.errors import AttnsimError
from attnsim.evaluate.estimate import Asked, Report
from attnsim.report.html.parts import Part
from attnsim.report.html.steps import Step
from attnsim.serving.answer import ModelEstimate

CONTEXTS = (1 / 16, 1 / 4, 1 / 2, 1, 2, 4)
"""Lengths and batches to look at, in terms of those asked about."""
BATCHES = (1 / 8, 1 / 4, 1 / 2, 1, 2, 8)
COARSE_CONTEXTS, COARSE_BATCHES = (1 / 16, 1 / 4, 1, 4), (1 / 8, 1, 8)
"""As many as a report of many answers can afford."""


@dataclass(frozen=True, slots=True)
class _Axis:
    """A direction to look in: `fields` of the workload that get the same value, all `own` now."""

    title: str
    label: str
    fields: tuple[str, ...]
    own: int
    factors: Sequence[float]

    def values(self) -> list[int]:
        """Points to ask about, the own one among them."""
        return sorted({max(1, round(self.own * factor)) for factor in self.factors})


def cost_view(report: Report, steps: Sequence[Step | None], coarse: bool = False) -> Part | None:
    """Curves against context and against batch; None for a report that does not know its question."""
    if report.call is None:
        return None
    charts: list[Part] = []
    missing: list[str] = []
    for axis in _axes(report, steps, *((COARSE_CONTEXTS, COARSE_BATCHES) if coarse else (CONTEXTS, BATCHES))):
        found, reasons = _asked_at(report.call, axis, report.results[0])
        if len(found) < 2:
            missing.append(f"no curve against {axis.label}: {reasons[0]}" if reasons else f"no curve against {axis.label}")
            continue
        missing += reasons[:1] and [f"{len(reasons)} of {len(axis.values())} points against {axis.label} cannot be had: {reasons[0]}"]
        charts += _charts(axis, found)
    return {"charts": charts, "missing": missing}


def _axes(report: Report, steps: Sequence[Step | None], contexts: Sequence[float], batches: Sequence[float]) -> Iterator[_Axis]:
    result = report.results[0]
    if isinstance(result, ModelEstimate):
        yield _Axis("context", "context, tokens", ("context",), result.context, contexts)
        yield _Axis("batch", "batch, requests", ("batch",), result.batch, batches)
        return
    step = next((one for one in steps if one is not None and len(one.cascade.positions) == 2), None)
    if step is None:
        return
    query, key = step.cascade.positions
    sizes = result.sizes
    if key in sizes:
        together = sizes.get(query) == sizes[key]
        names = (query, key) if together else (key,)
        label = f"{key} = {query}, keys and queries" if together else f"{key}, {step.cascade.ranks[key]}s"
        yield _Axis("context", label, tuple(f"sizes.{name}" for name in names), sizes[key], contexts)
    batch = next((rank for rank in step.cascade.batch if rank != step.cascade.head_rank), None)
    if batch in sizes and batch is not None:
        yield _Axis("batch", f"{batch}, {step.cascade.ranks.get(batch, 'batch')}", (f"sizes.{batch}",), sizes[batch], batches)


def _asked_at(asked: Asked, axis: _Axis, own: Any) -> tuple[list[tuple[int, Any]], list[str]]:
    """(value, first result) at every point that can be had, and why others cannot. own: the answer there is already."""
    found: list[tuple[int, Any]] = []
    reasons: list[str] = []
    for value in axis.values():
        if value == axis.own:
            found.append((value, own))
            continue
        try:
            report = attnsim.run(
                asked.workload, asked.arch, asked.schedule, sets=asked.sets, **_changed(asked.overrides, axis.fields, value)
            )
        except AttnsimError as error:
            reasons.append(error.issues[0].message)
            continue
        found.append((value, report.results[0]))
    return found, reasons


def _changed(overrides: Mapping[str, Any], fields: Sequence[str], value: int) -> dict[str, Any]:
    changed = dict(overrides)
    for field in fields:
        name, _, rank = field.partition(".")
        changed[name] = {**changed.get(name, {}), rank: value} if rank else value
    return changed


def _charts(axis: _Axis, found: Sequence[tuple[int, Any]]) -> Iterator[Part]:
    first = found[0][1]
    if isinstance(first, ModelEstimate):
        times = [(label, name) for label, name in (("TTFT", "ttft_s"), ("TPOT", "tpot_s")) if getattr(first, name) is not None]
        yield _chart(
            axis, f"Time against {axis.title}", "s", [(label, [(x, getattr(one, name)) for x, one in found]) for label, name in times]
        )
        if first.cost:
            usd = [(x, one.cost["usd_per_mtok"]) for x, one in found]
            yield _chart(axis, f"USD a million tokens against {axis.title}", "USD", [("USD/Mtok", usd)])
        return
    lines = [("latency", [(x, one.latency_s) for x, one in found]), ("lower bound", [(x, one.lower_bound_s) for x, one in found])]
    yield _chart(axis, f"Latency against {axis.title}", "s", lines)
    yield _chart(axis, f"Rate against {axis.title}", "FLOP/s", [("achieved", [(x, one.flops / one.latency_s) for x, one in found])], True)


def _chart(axis: _Axis, title: str, unit: str, lines: Sequence[tuple[str, Sequence[tuple[int, float]]]], from_zero: bool = False) -> Part:
    return {
        "title": title,
        "x": axis.label,
        "own": axis.own,
        "unit": unit,
        "from_zero": from_zero,
        "lines": [{"name": name, "points": [[x, y] for x, y in points]} for name, points in lines],
    }
