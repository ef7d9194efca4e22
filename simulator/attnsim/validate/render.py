"""Validation reports as plain aligned text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attnsim.evaluate.render import table
from attnsim.spec.case import Target
from attnsim.units import format_quantity
from attnsim.validate.cases import CasePoint
from attnsim.validate.records import Record
from attnsim.validate.render_machinecase import machine_lines
from attnsim.validate.render_published import tables_text
from attnsim.validate.scoring import CaseScore, GroupScore, ScoredPoint, ValidationReport
from attnsim.validate.stats import ErrorStats, percent

SUMMARY = (
    "case", "machine", "all: n", "mean", "median", "p90", "worst", "held out: n", "mean", "p90", "worst", "fitted: n", "mean", "target",
    "floor", "",
)  # fmt: skip
EXCLUDED_SHOWN = 4
FLOOR_BREAKS_SHOWN = 10
"""Rows below the floor listed by group in the summary; the details of a case list them all."""
ROWS = ("line", "row", "measured", "predicted", "error", "best possible", "set", "bound", "")


def report_text(report: ValidationReport) -> str:
    """One summary table for all cases, what needs explaining, then every row of the cases asked for by name."""
    if not report.cases:
        return "\n".join(line.rstrip() for line in [*_tables(report), *report.notes])
    lines = ["|error| of the predicted time; fitted: rows the schedule's constants were fitted on, held out: all others", ""]
    lines += table(SUMMARY, [row for case in report.cases for row in summary_rows(case)], right=range(2, 13)).split("\n")
    everything, held_out, fitted = report.stats(), report.stats(False), report.stats(True)
    targets = [group.target_met for case in report.cases for group in case.groups if group.target_met is not None]
    lines += [
        "",
        f"kernels: {_sentence(everything)}; held out: {_sentence(held_out)}; fitted: {_sentence(fitted)}",
        f"targets: {sum(targets)} of {len(targets)} met; cases: {sum(case.ok for case in report.cases)} of {len(report.cases)} ok; "
        f"rows left out with a reason: {sum(len(case.case.excluded) for case in report.cases)}",
    ]
    lines += [line for case in report.cases for line in remarks(case)]
    for case in report.cases:
        if case.name in report.detailed:
            lines += ["", *_details(case)]
    lines += ["", *_tables(report)] if report.tables or report.machines or report.measured else []
    lines += ["", *report.notes] if report.notes else []
    return "\n".join(line.rstrip() for line in lines)


def _tables(report: ValidationReport) -> Iterator[str]:
    for index, score in enumerate(report.tables):
        if index:
            yield ""
        yield from tables_text(score, score.name in report.detailed)
    for index, machine in enumerate(report.machines):
        if index or report.tables:
            yield ""
        yield from machine_lines(machine, machine.name in report.detailed)
    for index, measured in enumerate(report.measured):
        if index or report.tables or report.machines:
            yield ""
        from attnsim.validate.render_measured import measured_text

        yield from measured_text(measured, measured.name in report.detailed)


def _sentence(stats: ErrorStats) -> str:
    return f"{stats.n} rows, mean {percent(stats.mape)}, p90 {percent(stats.p90)}" if stats.n else "none"


def summary_rows(case: CaseScore) -> Iterator[list[str]]:
    """Cells under `SUMMARY`, a row a group."""
    for score in case.groups:
        everything, held_out, fitted = score.stats(), score.stats(False), score.stats(True)
        yield [
            f"{case.name}: {score.group.name}" if score.group.name else case.name,
            score.group.arch_name,
            str(everything.n), percent(everything.mape), percent(everything.median), percent(everything.p90), percent(everything.max),
            str(held_out.n), percent(held_out.mape), percent(held_out.p90), percent(held_out.max),
            str(fitted.n), percent(fitted.mape),
            target_text(score.target),
            _floor(score),
            "" if score.target is None and score.ok else ("ok" if score.ok else "FAILS"),
        ]  # fmt: skip


def target_text(target: Target | None) -> str:
    """A target in words: mean <= 4 %, held out."""
    if target is None:
        return "-"
    parts = [f"{name} <= {limit * 100:g} %" for name, limit in (("mean", target.mape), ("worst", target.worst)) if limit is not None]
    return ", ".join(parts) + (" held out" if target.rows == "held_out" else "")


def _floor(score: GroupScore) -> str:
    broken = score.stats().below_floor
    if not score.points:
        return "-"
    return f"{broken} below" if broken else "kept"


def remarks(case: CaseScore) -> Iterator[str]:
    """What needs explaining: rows without a prediction, rows below the floor."""
    for group in case.groups:
        if group.failures:
            reasons = list(dict.fromkeys(f.reason for f in group.failures))
            more = f" (and {len(reasons) - 1} other reasons)" if len(reasons) > 1 else ""
            yield f"{_title(case, group)}: no prediction for {len(group.failures)} of its rows: {reasons[0]}{more}"
        broken = [p for p in group.points if p.below_floor]
        for p in broken[:FLOOR_BREAKS_SHOWN]:
            ratio = p.point.measured_s / p.prediction.lower_bound_s
            row = f"line {p.point.record.line} ({_where(p.point)})"
            yield f"{_title(case, group)}: {row} measured at {ratio:.2f} of the lower bound: {_why(p)}"
        more_broken = len(broken) - FLOOR_BREAKS_SHOWN
        if more_broken > 0:
            yield f"{_title(case, group)}: {more_broken} more rows below the lower bound; attnsim validate {case.name} lists them"


def _why(p: ScoredPoint) -> str:
    return p.point.floor_reason or "no reason known"


def _title(case: CaseScore, group: GroupScore) -> str:
    return f"{case.name}: {group.group.name}" if group.group.name else case.name


def _details(case: CaseScore) -> Iterator[str]:
    spec = case.case.spec
    yield f"{case.name}: {spec.title}"
    yield f"  source     {spec.source}"
    if spec.licence:
        yield f"  licence    {spec.licence}"
    for group in case.groups:
        yield from _group_details(group, spec.kind)
    for reason, records in _by_reason(case.case.excluded).items():
        named = [_label(record) for record in records[:EXCLUDED_SHOWN]] + ["..."] * (len(records) > EXCLUDED_SHOWN)
        yield f"  left out   {len(records)} rows ({', '.join(named)}): {reason}"


def _group_details(score: GroupScore, kind: str) -> Iterator[str]:
    group = score.group
    given = group.conditions
    clock = f"tensor clock {format_quantity(given.tensor_clock, 'Hz', 4)}" if given.tensor_clock else "own clock"
    conditions = "" if kind == "ceiling" else f" ({clock}, power limit {'on' if given.power_limit else 'off'}, launch {given.launch})"
    schedule = "" if kind == "ceiling" else f"{group.schedule or 'the best known schedule'} on "
    yield f"  {group.name or 'machine':<10} {schedule}{group.arch_name}{conditions}"
    if score.points:
        yield from table(ROWS, [_row(p) for p in score.points], right=(0, 2, 3, 4, 5), indent="  ").split("\n")
        stats = score.stats()
        yield (
            f"  n {stats.n}, mean {percent(stats.mape)}, median {percent(stats.median)}, p90 {percent(stats.p90)}, "
            f"worst {percent(stats.max)}, signed mean {percent(stats.bias, signed=True)}; target {target_text(score.target)}"
        )
    for failure in score.failures:
        yield f"  line {failure.point.record.line} ({_where(failure.point)}): no prediction: {failure.reason}"


def _row(p: ScoredPoint) -> list[str]:
    point, prediction = p.point, p.prediction
    note = f"below the floor: {_why(p)}" if p.below_floor else ""
    return [
        str(point.record.line), _where(point), _value(point, point.measured_s), _value(point, prediction.latency_s),
        percent(p.error, signed=True), _value(point, prediction.lower_bound_s), "fitted" if point.fitted else "held out",
        prediction.bound, note,
    ]  # fmt: skip


def _value(point: CasePoint, seconds: float) -> str:
    # In the unit the paper printed, so that a reader can lay the page beside it.
    if point.record.values["metric"] == "latency":
        return f"{seconds * 1e6:.1f} us"
    return f"{point.flops / seconds / 1e12:.1f} TFLOP/s"


def _where(point: CasePoint) -> str:
    if point.shape is None:
        return f"{point.record.values['arch']} {point.record.values['kernel']} {point.dtype}"
    s = point.shape
    heads = f"H{s.heads_q}" if s.heads_q == s.heads_kv else f"H{s.heads_q}/{s.heads_kv}"
    tokens = f"S{s.seqlen_q}" if s.seqlen_q == s.seqlen_kv else f"P{s.seqlen_q} M{s.seqlen_kv}"
    width = f"d{s.head_dim}" if s.head_dim == s.head_dim_v else f"d{s.head_dim}/{s.head_dim_v}"
    mask = point.group.mask["kind"] if point.group.mask else ("causal" if s.causal else "dense")
    mask = " ".join((mask, *(point.record.values[column] for column in point.group.fields.values() if point.record.values[column])))
    version = point.record.values.get("version", "")
    return " ".join(x for x in (f"B{s.batch} {heads} {tokens} {width} {mask}", point.record.values.get("framework", ""), version) if x)


def _label(record: Record) -> str:
    named = [record.values.get(c, "") for c in ("arch", "framework", "version") if record.values.get(c)]
    return f"line {record.line}: {' '.join(named)}"


def _by_reason(excluded: Iterable[tuple[Record, str]]) -> dict[str, list[Record]]:
    grouped: dict[str, list[Record]] = {}
    for record, reason in excluded:
        grouped.setdefault(reason, []).append(record)
    return grouped
