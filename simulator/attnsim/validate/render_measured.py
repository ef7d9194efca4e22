"""Measured tables beside the predictions, as plain aligned text and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from attnsim.evaluate.render import table
from attnsim.validate.measured import MeasuredScore, TableScore
from attnsim.validate.render import target_text
from attnsim.validate.stats import ErrorStats, percent

TIMES_S = (20e-6, 100e-6, 1e-3)
"""Bounds of the measured time between which errors are also shown."""

_HEADER = ("machine", "schedule", "held out: n", "mean", "median", "p90", "worst", "signed", "fitted: n", "mean", "target", "floor",
           "roofline", "2 parameters", "")  # fmt: skip


def measured_text(score: MeasuredScore, detailed: bool) -> Iterator[str]:
    """Lines about one folder: a row a table, the cross-GPU rows; by measured time, and what is left out, if detailed."""
    yield f"{score.name}: {score.spec.title}"
    if detailed:
        yield f"  source   {score.spec.source}"
        yield f"  licence  {score.spec.licence}"
    yield (
        f"  fitted: of each table the first {score.spec.fit_rows} rows by the SHA-256 of their sizes, held out: {_sampled(score.tables)}; "
        "roofline and 2 parameters (an efficiency and an overhead, fitted on the same rows): mean of the held-out rows"
    )
    yield from table(("table", *_HEADER), [_row(one) for one in score.tables], right=(*range(3, 9), 9, 10, 13, 14), indent="  ").split("\n")
    if score.transfers:
        yield "  on machines that the schedule's constants, and the two parameters, were not fitted on"
        rows = [_row(one, one.fitted_on) for one in score.transfers]
        yield from table(("table", "fitted on", *_HEADER), rows, right=(*range(4, 11), 14, 15), indent="  ").split("\n")
    for one in (*score.tables, *score.transfers):
        for why, count in one.failures.items():
            yield f"  {one.name}: no prediction for {count} of its rows: {why}"
    if detailed:
        yield "  signed mean error by measured time; mean |error| in brackets"
        yield from table(("table", *_buckets()), [[one.name, *_by_time(one)] for one in score.tables], indent="  ").split("\n")
        for why, count in _left_out(score.tables).most_common():
            yield f"  left out   {count} rows: {why}"
        repeats = sum(one.repeats for one in score.tables)
        if repeats:
            yield f"  repeated   {repeats} rows say a key again; scored is the median of its times"


def _sampled(scores: Sequence[TableScore]) -> str:
    shown = [sum(not row.fitted for row in one.rows) for one in scores]
    every = [one.of for one in scores]
    return "all others" if shown >= every else f"{sum(shown)} of the {sum(every)} others, the next in this order"


def _row(one: TableScore, fitted_on: str = "") -> list[str]:
    held_out, fitted = one.stats(False), one.stats(True)
    broken = one.stats(None).below_floor
    return [
        one.name, *([fitted_on] if fitted_on else []), one.table.arch, one.schedule,
        str(held_out.n), percent(held_out.mape), percent(held_out.median), percent(held_out.p90), percent(held_out.max),
        percent(held_out.bias, signed=True), str(fitted.n), percent(fitted.mape), target_text(one.target),
        f"{broken} below" if broken else "kept", percent(one.roofline().mape), percent(one.two_parameters().mape),
        "" if one.target is None and one.ok else "ok" if one.ok else "FAILS",
    ]  # fmt: skip


def _buckets() -> list[str]:
    names = [f"{bound * 1e6:g} us" for bound in TIMES_S]
    return [f"up to {names[0]}", *(f"{low} to {high}" for low, high in zip(names, names[1:], strict=False)), f"over {names[-1]}"]


def _by_time(one: TableScore) -> list[str]:
    found: list[list[float]] = [[] for _ in range(len(TIMES_S) + 1)]
    for row in one.rows:
        found[sum(row.call.time_s > bound for bound in TIMES_S)].append(row.error)
    stats = [ErrorStats.of(errors) for errors in found]
    return [f"{percent(s.bias, signed=True)} ({percent(s.mape)}, n {s.n})" if s.n else "-" for s in stats]


def _left_out(scores: Sequence[TableScore]) -> Counter[str]:
    total: Counter[str] = Counter()
    for one in scores:
        total.update(one.left_out)
    return total


def measured_dict(score: MeasuredScore, detailed: bool) -> dict[str, Any]:
    """JSON form: fractions and seconds; `rows` only if detailed."""
    return {
        "name": score.name, "title": score.spec.title, "source": score.spec.source, "licence": score.spec.licence, "ok": score.ok,
        "fit_rows": score.spec.fit_rows,
        "tables": [_dict(one, detailed) for one in score.tables], "transfers": [_dict(one, False) for one in score.transfers],
    }  # fmt: skip


def _dict(one: TableScore, rows: bool) -> dict[str, Any]:
    spec, two = one.table, one.two
    made: dict[str, Any] = {
        "name": one.name, "arch": spec.arch, "phase": spec.phase, "schedule": one.schedule, "ok": one.ok,
        "system": spec.system, "framework": spec.framework, "version": spec.version,
        "fitted_on": one.fitted_on or None, "held_out": one.stats(False).to_dict(), "fitted": one.stats(True).to_dict(),
        "held_out_rows": one.of, "repeated_rows": one.repeats, "left_out": dict(one.left_out), "failed": dict(one.failures),
        "target": one.target.model_dump(exclude_none=True) if one.target else None, "target_met": one.target_met,
        "baselines": {
            "roofline": one.roofline().to_dict(),
            "two_parameters": {
                **one.two_parameters().to_dict(),
                "efficiency": two.efficiency if two else None, "overhead_s": two.overhead_s if two else None,
            },
        },
    }  # fmt: skip
    if rows:
        made["rows"] = [
            {
                "set": "fitted" if row.fitted else "held_out", "kernel_source": row.call.source, "batch": row.call.batch,
                "heads_q": row.call.heads_q, "heads_kv": row.call.heads_kv, "seqlen_q": row.call.queries, "seqlen_kv": row.call.keys,
                "head_dim": row.call.head_dim, "head_dim_v": row.call.head_dim_v, "window": row.call.left, "measured_s": row.call.time_s,
                "predicted_s": row.prediction.latency_s, "lower_bound_s": row.prediction.lower_bound_s, "error": row.error,
                "bound": row.prediction.bound or None,
            }
            for row in one.rows
        ]  # fmt: skip
    return made
