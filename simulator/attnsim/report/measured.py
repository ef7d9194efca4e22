"""Measured rows beside their predictions, as a figure and as one HTML page: a user's file, or validation cases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attnsim.report.export import write_files
from attnsim.report.htmlpage import Drawing, Section, Table, html_page
from attnsim.report.roofline.figure import figure_bytes
from attnsim.report.scatter import Dot, draw, inline_svg
from attnsim.validate.baselines import BaselineScore
from attnsim.validate.machinecase import MISFIT, MachineScore
from attnsim.validate.measurements import MeasurementReport
from attnsim.validate.render import SUMMARY, remarks, summary_rows
from attnsim.validate.render_machinecase import GROUP_NUMBERS, GROUPS, LISTED, LISTED_NUMBERS, group_rows, listed_cells
from attnsim.validate.render_measurements import BESIDE, ROWS, STATS, baseline_table, impossible_text, row_cells, stats_rows
from attnsim.validate.scoring import ValidationReport
from attnsim.validate.stats import ErrorStats, percent

NUMBERS = (0, 3, 4, 5, 6)
"""Columns of numbers in a table of rows."""


def dots_of(report: MeasurementReport) -> list[Dot]:
    """The rows of a measurement file, to be drawn."""
    return [Dot(row.kernel, row.call.measured_s, row.prediction.latency_s, row.fitted) for row in report.rows]


def figure_texts(report: MeasurementReport, version: str) -> tuple[str, str, str]:
    """Title, subtitle and footer of the figure."""
    stats = report.stats(fitted=False)
    return (
        f"measured and predicted times on {report.arch}",
        f"{stats.n} held-out rows: mean |error| {percent(stats.mape)}, p90 {percent(stats.p90)}",
        f"attnsim {version}; {report.file}",
    )


def measurements_page(report: MeasurementReport, version: str) -> str:
    """The page of a measurement file."""
    stats, held = report.stats(), report.stats(fitted=False)
    title = f"{report.file} on {report.arch}"
    below = [row for row in report.rows if row.below_floor]
    lines = [
        f"{len(report.rows)} rows scored, {len(report.skipped)} skipped, {len(below)} below the certified lower bound.",
        f"Held out: {held.n} rows, mean |error| {percent(held.mape)}, median {percent(held.median)}, p90 {percent(held.p90)}, "
        f"worst {percent(held.max)}. All: mean {percent(stats.mape)}.",
        "An error is predicted / measured - 1, in time. Fitted rows are those that constants of the model were fitted on.",
    ]
    sections = []
    if report.rows:
        drawing = Drawing(inline_svg(dots_of(report), figure_texts(report, version)), "predicted against measured times, both logarithmic")
        sections += [Section("By kernel", Table(("kernel", "rows", *STATS), stats_rows(report), range(2, 9)))]
        sections += [Section("Measured and predicted", drawing)]
    sections += _beside(report.baselines)
    if report.worst:
        sections.append(Section("Worst rows", Table(ROWS, [row_cells(row) for row in report.worst], NUMBERS)))
    if below:
        note = "Measured below the certified lower bound: check the clock, the units and what was timed."
        sections.append(Section("Faster than possible", Table(ROWS, [row_cells(row) for row in below], NUMBERS), [note]))
    if report.skipped:
        skipped = [[str(row.line), row.kernel, row.reason] for row in report.skipped]
        sections.append(Section("Skipped", Table(("line", "kernel", "reason"), skipped, (0,))))
    return html_page(title, lines, sections, f"attnsim {version}")


def case_dots(report: ValidationReport) -> list[Dot]:
    """The points of all kernel cases, each case a kernel of its own, and the rows of measured machines by kernel."""
    several = len(report.machines) + len(report.cases) > 1
    machines = [
        Dot(f"{score.name}: " * several + one.row.kernel, one.row.call.measured_s, one.row.prediction.latency_s, one.row.fitted)
        for score in report.machines
        for one in score.rows
    ]
    return machines + [
        Dot(case.name, point.point.measured_s, point.prediction.latency_s, point.point.fitted)
        for case in report.cases
        if case.case.spec.kind == "case"
        for point in case.points
    ]


def case_texts(report: ValidationReport, version: str) -> tuple[str, str, str]:
    """Title, subtitle and footer of the figure of cases."""
    rows = [row.row for score in report.machines for row in score.rows]
    points = [point for case in report.cases if case.case.spec.kind == "case" for point in case.points]
    held = [*(row.error for row in rows if not row.fitted), *(point.error for point in points if not point.point.fitted)]
    stats = ErrorStats.of(held)
    subtitle = f"{stats.n} held-out rows: mean |error| {percent(stats.mape)}, p90 {percent(stats.p90)}"
    return "measured and predicted times of validation cases", subtitle, f"attnsim {version}"


def cases_page(report: ValidationReport, version: str) -> str:
    """The page of validation cases."""
    lines = ["Fitted rows are those that constants of the schedule were fitted on, held out all others. Errors are of the predicted time."]
    sections = []
    if report.cases:
        rows = [row for case in report.cases for row in summary_rows(case)]
        notes = [line for case in report.cases for line in remarks(case)]
        sections.append(Section("Cases", Table(SUMMARY, rows, range(2, 13)), notes))
    for score in report.machines:
        sections += _machine_sections(score)
    dots = case_dots(report)
    if dots:
        drawing = Drawing(inline_svg(dots, case_texts(report, version)), "predicted against measured times, both logarithmic")
        sections.append(Section("Measured and predicted", drawing))
    return html_page("validation cases", lines, sections, f"attnsim {version}")


def _machine_sections(score: MachineScore) -> list[Section]:
    notes = [score.spec.source, *(f"{group.group.name}: {group.group.note}" for group in score.groups if group.group.note)]
    sections = [Section(f"{score.name}: {score.spec.title}", Table(GROUPS, group_rows(score), GROUP_NUMBERS), notes)]
    sections += _beside(score.baselines)
    if score.misfits:
        rows = [[*listed_cells(one), one.explanation or "unexplained"] for one in score.misfits]
        note = f"{len(score.unexplained)} of them unexplained"
        sections.append(Section(f"{score.name}: more than {MISFIT * 100:.0f} % off", Table((*LISTED, "why"), rows, LISTED_NUMBERS), [note]))
    if score.skipped:
        skipped = [[file, str(row.line), row.kernel, row.reason] for file, row in score.skipped]
        sections.append(Section(f"{score.name}: without a prediction", Table(("file", "line", "kernel", "reason"), skipped, (1,))))
    return sections


def _beside(scores: Sequence[BaselineScore]) -> list[Section]:
    """The section of baselines; none without rows."""
    if not scores:
        return []
    header, rows = baseline_table(scores)
    notes = [text for text in (BESIDE, impossible_text(scores)) if text]
    return [Section("Simpler models on the same rows", Table(header, rows, range(1, len(header))), notes)]


def write(report: MeasurementReport | ValidationReport, page: str | None, figure: str | None) -> list[Path]:
    """Write the page and the figure that are asked for, and say which; both appear whole or neither does. Raises UsageError."""
    from attnsim import __version__

    files: dict[Path, bytes] = {}
    if isinstance(report, MeasurementReport):
        dots, texts = dots_of(report), figure_texts(report, __version__)
        if page is not None:
            files[Path(page)] = measurements_page(report, __version__).encode("utf-8")
    else:
        dots, texts = case_dots(report), case_texts(report, __version__)
        if page is not None:
            files[Path(page)] = cases_page(report, __version__).encode("utf-8")
    if figure is not None:
        path = Path(figure)
        files[path] = figure_bytes(lambda: draw(dots, texts), path.suffix.lower().removeprefix("."))
    write_files(files)
    return list(files)
