"""A measurement report as plain aligned text."""

from __future__ import annotations

from collections.abc import Sequence

from attnsim.evaluate.render import table
from attnsim.validate.measurements import WORST_SHOWN, MeasuredRow, MeasurementReport
from attnsim.validate.render import percent
from attnsim.validate.stats import ErrorStats


def measurements_text(report: MeasurementReport) -> str:
    """Table by kernel, worst rows, rows below the floor, skipped rows. No trailing newline."""
    counts = f"{len(report.rows)} rows scored, {len(report.skipped)} skipped"
    lines = [f"{report.file} on {report.arch}: {counts}; |error| of the predicted time", ""]
    header = ("kernel", "n", "mean", "median", "p90", "worst", "signed mean", "below floor")
    rows = [_stats(kernel, report.stats(kernel)) for kernel in report.kernels]
    if len(rows) != 1:
        rows.append(_stats("all", report.stats()))
    lines += table(header, rows, right=range(1, 8)).split("\n")
    worst = sorted(report.rows, key=lambda row: -abs(row.error))[:WORST_SHOWN]
    if worst:
        lines += ["", f"worst {len(worst)} rows", *_rows(worst)]
    below = [row for row in report.rows if row.below_floor]
    if below:
        lines += ["", "measured below the certified lower bound: check the clock, the units and what was timed", *_rows(below)]
    if report.skipped:
        lines += ["", "skipped", *(f"  {report.file}:{row.line}: {row.reason}" for row in report.skipped)]
    return "\n".join(line.rstrip() for line in lines)


def _stats(name: str, stats: ErrorStats) -> list[str]:
    sizes = (percent(size) for size in (stats.mape, stats.median, stats.p90, stats.max))
    return [name, str(stats.n), *sizes, percent(stats.bias, signed=True), str(stats.below_floor)]


def _rows(rows: Sequence[MeasuredRow]) -> list[str]:
    header = ("line", "kernel", "row", "measured us", "predicted us", "error", "floor us", "bound")
    return table(header, [_row(row) for row in rows], right=(0, 3, 4, 5, 6), indent="  ").split("\n")


def _row(row: MeasuredRow) -> list[str]:
    s = row.shape
    mask = "causal" if s.causal else "dense"
    if row.window is not None:
        mask += f" window {row.window}"
    sizes = f"B{s.batch} H{s.heads_q}/{s.heads_kv} P{s.seqlen_q} M{s.seqlen_kv} d{s.head_dim}/{s.head_dim_v}"
    what = f"{row.direction} {row.dtype} {sizes} {mask}"
    times = (row.measured_s, row.prediction.latency_s, row.prediction.lower_bound_s)
    measured, predicted, floor = (f"{seconds * 1e6:.1f}" for seconds in times)
    return [str(row.line), row.kernel, what, measured, predicted, percent(row.error, signed=True), floor, row.prediction.bound]
