"""Published tables beside the engine's values, as plain aligned text and as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from attnsim.evaluate.render import table
from attnsim.validate.published import CheckScore, TablesScore, Value

DIFFERING_SHOWN = 6
ROUNDING = 1e-12
"""Relative differences below this are rounding of the last digits."""


def tables_text(score: TablesScore, detailed: bool) -> Iterator[str]:
    """Lines about one folder: a row a column and configuration, then the averages; differing rows of what fails, all rows if detailed."""
    yield f"{score.name}: {score.spec.title}"
    if detailed:
        yield f"  source   {score.spec.source}"
        if score.spec.licence:
            yield f"  licence  {score.spec.licence}"
    rows = [_row(check) for check in score.checks]
    header = ["table", "configuration", "column", "rows", "mean", "worst", "held out", "fitted", "required", ""]
    yield from table(header, rows, right=(3, 4, 5, 6, 7), indent="  ").split("\n")
    for check in score.checks:
        for record, why in check.failures:
            yield f"  {check.table}, {check.configuration}: line {record.line} has no prediction: {why}"
        differing = check.differing
        for value in differing[:DIFFERING_SHOWN]:
            yield f"  {check.table}, {check.configuration}, {check.check.column}: {_difference(value)}"
        if len(differing) > DIFFERING_SHOWN:
            yield f"  {check.table}, {check.configuration}, {check.check.column}: {len(differing) - DIFFERING_SHOWN} more rows differ"
    notes = dict.fromkeys(f"  {check.table}, {check.check.column}: {check.check.note}" for check in score.checks if check.check.note)
    yield from notes
    if score.means:
        header = ["averages", "points", "arithmetic", "geometric", "published", "printed", "difference", "required", ""]
        rows = [
            [
                m.mean.name, str(m.n), f"{m.arithmetic:.4f}", f"{m.geometric:.4f}", f"{m.mean.published:g}", m.mean.printed,
                share(m.error, signed=True), share(m.mean.within), "ok" if m.ok else "FAILS",
            ]
            for m in score.means
        ]  # fmt: skip
        yield ""
        yield from table(header, rows, right=(1, 2, 3, 4, 5, 6, 7), indent="  ").split("\n")
        yield f"  the paper's averages are {score.spec.mean} means{': ' + score.spec.mean_note if score.spec.mean_note else ''}"


def _row(check: CheckScore) -> list[str]:
    words = bool(check.check.words)
    limit = required(check)
    split = bool(check.check.fitted)

    def shown(fitted: bool | None) -> str:
        worst = check.worst(fitted)
        if worst is None:
            return "-"
        return ("same" if worst == 0 else "differs") if words else share(worst)

    state = "" if check.ok and not words and not check.check.limits else "ok" if check.ok else "FAILS"
    return [
        check.table, check.configuration, check.check.label or check.check.column, str(len(check.values) + len(check.failures)),
        "" if words else share(check.mean), shown(None),
        shown(False) if split else "", shown(True) if split else "", limit, state,
    ]  # fmt: skip


def required(check: CheckScore) -> str:
    """What a column is held to, in words."""
    if check.check.words:
        return "same word"
    if check.check.off is not None:
        return f"off by {check.check.off:g}"
    if check.check.mean_within is not None:
        return f"mean {share(check.check.mean_within)}"
    return "-" if check.check.within is None else share(check.check.within) if check.check.within else "equal"


def _difference(value: Value) -> str:
    named = " ".join(
        f"{name}={value.record.values[name]}"
        for name in ("platform", "model", "models", "seq_len", "window", "stride")
        if name in value.record.values
    )
    error = "" if math.isinf(value.error) else f" ({share(value.error, signed=True)})"
    return f"line {value.record.line} ({named}) says {value.published}, predicted {value.predicted}{error}"


def share(fraction: float, signed: bool = False) -> str:
    """A fraction as percent; small ones by their power of ten, and what rounding makes of nothing as nothing."""
    if abs(fraction) < ROUNDING:
        return "<1e-12"
    if abs(fraction) < 1e-5:
        return f"{fraction:{'+' if signed else ''}.0e}"
    return f"{fraction * 100:{'+' if signed else ''}.3g} %"


def tables_dict(score: TablesScore, detailed: bool) -> dict[str, Any]:
    """JSON form; an infinite difference (another word, a value where nothing is published) is null."""
    made: dict[str, Any] = {
        "name": score.name, "title": score.spec.title, "source": score.spec.source, "ok": score.ok,
        "checks": [_check_dict(check, detailed) for check in score.checks],
        "mean": score.spec.mean,
        "means": [
            {
                "name": m.mean.name, "n": m.n, "arithmetic": m.arithmetic, "geometric": m.geometric, "published": m.mean.published,
                "printed": m.mean.printed or None, "error": m.error, "within": m.mean.within, "ok": m.ok,
            }
            for m in score.means
        ],
    }  # fmt: skip
    return made


def _check_dict(check: CheckScore, detailed: bool) -> dict[str, Any]:
    def worst(fitted: bool | None) -> float | None:
        found = check.worst(fitted)
        return None if found is None or math.isinf(found) else found

    made: dict[str, Any] = {
        "table": check.table, "configuration": check.configuration, "column": check.check.column, "result": check.check.result,
        "n": len(check.values),
        "mean": None if math.isinf(check.mean) else check.mean, "worst": worst(None), "held_out": worst(False),
        "fitted": worst(True), "within": check.check.within,
        "off": check.check.off, "mean_within": check.check.mean_within,
        "differing": len(check.differing), "failed": [{"line": r.line, "reason": why} for r, why in check.failures], "ok": check.ok,
    }  # fmt: skip
    if detailed:
        made["rows"] = [
            {
                "line": value.record.line, "published": value.published, "predicted": value.predicted,
                "error": None if math.isinf(value.error) else value.error, "set": "fitted" if value.fitted else "held_out",
            }
            for value in check.values
        ]  # fmt: skip
    return made
