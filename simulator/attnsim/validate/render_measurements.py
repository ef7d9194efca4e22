"""A measurement report as plain aligned text."""

from __future__ import annotations

from collections.abc import Sequence

from attnsim.evaluate.render import table
from attnsim.validate.baselines import BaselineScore
from attnsim.validate.measurements import MeasuredRow, MeasurementReport, merged
from attnsim.validate.render import percent
from attnsim.validate.stats import ErrorStats

STATS = ("n", "mean", "median", "p90", "worst", "signed mean", "below floor")
MODELS = ("model", "rows", "n", "mean", "median", "p90", "worst", "signed mean", "impossible")
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
    """The table of baselines under its heading; nothing without rows."""
    if not scores:
        return []
    heading = "beside simpler models, on rows that neither was fitted to; impossible: predicted below the certified lower bound"
    return ["", indent + heading, *table(MODELS, baseline_rows(scores), right=range(2, 9), indent=indent).split("\n")]


def baseline_rows(scores: Sequence[BaselineScore]) -> list[list[str]]:
    """Cells by kernel and direction, then of all kernels; a model that has no formula for any of the rows is left out."""
    groups = list(dict.fromkeys(score.group for score in scores))
    rows = [_baseline(" ".join(score.group).strip(), score) for score in scores if score.errors]
    if len(groups) > 1:
        rows += [_baseline("all", score) for score in merged(scores).values() if score.errors]
    return rows


def _baseline(where: str, score: BaselineScore) -> list[str]:
    return [score.name, where, *stats_cells(score.stats), str(score.impossible)]


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
