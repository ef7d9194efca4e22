"""A measurement report as plain aligned text."""

from __future__ import annotations

from collections.abc import Sequence

from attnsim.evaluate.render import table
from attnsim.validate.baselines import BaselineScore
from attnsim.validate.measurements import MeasuredRow, MeasurementReport, merged
from attnsim.validate.stats import ErrorStats, percent

STATS = ("n", "mean", "median", "p90", "worst", "signed mean", "below floor")
BESIDE = "beside simpler models: mean |error| on the same rows, which neither was fitted to"
ROWS = ("line", "kernel", "row", "measured us", "predicted us", "error", "floor us", "bound")


def measurements_text(report: MeasurementReport) -> str:
    """Table by kernel, baselines, worst rows, rows below the floor, skipped rows. No trailing newline."""
    counts = f"{len(report.rows)} rows scored, {len(report.skipped)} skipped"
    lines = [f"{report.file} on {report.arch}: {counts}; |error| of the predicted time", ""]
    lines += table(("kernel", "rows", *STATS), stats_rows(report), right=range(2, 9)).split("\n")
    lines += baseline_lines(report.baselines)
    worst = report.worst
    if worst:
        lines += ["", f"worst {len(worst)} rows", *rows_lines(worst)]
    below = [row for row in report.rows if row.below_floor]
    if below:
        lines += ["", "measured below the certified lower bound: check the clock, the units and what was timed", *rows_lines(below)]
    if report.skipped:
        lines += ["", "skipped", *(f"  {report.file}:{row.line}: {row.reason}" for row in report.skipped)]
    return "\n".join(line.rstrip() for line in lines)


def stats_rows(report: MeasurementReport) -> list[list[str]]:
    """Cells by kernel and direction, fitted and held-out rows apart where there are both, and of all kernels."""
    rows = [row for group in report.groups for row in _sets(" ".join(group).strip(), [report.of(group, which) for which in (True, False)])]
    if len(report.groups) != 1:
        rows += _sets("all", [report.stats(fitted=which) for which in (True, False)], report.stats())
    return rows


def _sets(name: str, sets: Sequence[ErrorStats], every: ErrorStats | None = None) -> list[list[str]]:
    named = [(which, stats) for which, stats in zip(("fitted", "held out"), sets, strict=True) if stats.n]
    if every is not None and len(named) != 1:
        named.append(("all", every))
    return [[name, which, *stats_cells(stats), str(stats.below_floor)] for which, stats in named]


def stats_cells(stats: ErrorStats) -> list[str]:
    """n, mean, median, p90, worst and signed mean."""
    sizes = (percent(size) for size in (stats.mape, stats.median, stats.p90, stats.max))
    return [str(stats.n), *sizes, percent(stats.bias, signed=True)]


def baseline_lines(scores: Sequence[BaselineScore], indent: str = "") -> list[str]:
    """Mean |error| of every model by group, under its heading; nothing without rows."""
    if not scores:
        return []
    header, rows = baseline_table(scores)
    lines = ["", f"{indent}{BESIDE}", *table(header, rows, right=range(1, len(header)), indent=indent).split("\n")]
    impossible = impossible_text(scores)
    return [*lines, f"{indent}{impossible}"] if impossible else lines


def baseline_table(scores: Sequence[BaselineScore]) -> tuple[list[str], list[list[str]]]:
    """Header and cells: a group a row, a model a column with its mean |error|, and of how many rows where it has no formula for all."""
    names = list(dict.fromkeys(score.name for score in scores if score.errors))
    found = {(score.group, score.name): score for score in scores}
    groups = list(dict.fromkeys(score.group for score in scores))
    whole = merged(scores)
    rows = [_beside(" ".join(group).strip(), [found[group, name] for name in names]) for group in groups]
    if len(groups) > 1:
        rows.append(_beside("all", [whole[name] for name in names]))
    return ["kernel", "n", *names], rows


def _beside(where: str, scores: Sequence[BaselineScore]) -> list[str]:
    n = max(len(score.errors) for score in scores)
    cells = (f"{percent(s.stats.mape)}{f' of {len(s.errors)}' if 0 < len(s.errors) < n else ''}" for s in scores)
    return [where, str(n), *cells]


def impossible_text(scores: Sequence[BaselineScore]) -> str:
    """Which models predict times below the certified lower bound, in words; empty for none."""
    found = [f"{score.impossible} of {score.name}" for score in merged(scores).values() if score.impossible]
    return f"predictions below the certified lower bound: {', '.join(found)}" if found else ""


def rows_lines(rows: Sequence[MeasuredRow]) -> list[str]:
    """A table of rows."""
    return table(ROWS, [row_cells(row) for row in rows], right=(0, 3, 4, 5, 6), indent="  ").split("\n")


def row_cells(row: MeasuredRow) -> list[str]:
    """One row, times in microseconds."""
    times = (row.call.measured_s, row.prediction.latency_s, row.prediction.lower_bound_s)
    measured, predicted, floor = (f"{seconds * 1e6:.1f}" for seconds in times)
    return [
        str(row.line), row.kernel, row.call.label, measured, predicted, percent(row.error, signed=True), floor, row.prediction.bound
    ]  # fmt: skip
