"""`attnsim validate`: predictions beside published tables or a user's own measurements."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from attnsim.cli.common import State, check_writable, cli_command, deliver, format_option, narrate, output_option, pick_format
from attnsim.errors import UsageError

if TYPE_CHECKING:
    from attnsim.validate import MeasurementReport, ValidationReport

FORMATS = ("text", "json")


@cli_command(
    "validate",
    "attnsim validate",
    "attnsim validate fa3-h100-forward gemm-h100",
    "attnsim validate --measurements mine.csv --arch h100_sxm --format json",
    "attnsim validate --measurements mine.csv --arch h100_sxm --report mine.html --figure mine.svg",
)
@click.argument("cases", nargs=-1, metavar="[CASE]...")
@click.option("--measurements", metavar="FILE.csv", help="Score a CSV of measured times instead of the shipped cases.")
@click.option("--arch", metavar="ARCH", help="The machine the measurements were taken on.")
@click.option("--report", "page", metavar="FILE.html", help="Write the tables and the figure as one HTML page, too.")
@click.option("--figure", metavar="FILE.svg", help="Draw measured against predicted times (SVG, PDF or PNG), too.")
@click.option("--data", metavar="DIR", help="Folder of the measured tables that aiconfigurator reads.")
@click.option("--sample", type=click.IntRange(1), metavar="N", help="Score only N held-out rows of each measured table.")
@format_option(*FORMATS)
@output_option
def command(
    cases: tuple[str, ...],
    measurements: str | None,
    arch: str | None,
    page: str | None,
    figure: str | None,
    data: str | None,
    sample: int | None,
    format_: str | None,
    output: str | None,
) -> int:
    """Compare predictions with published or measured times.

    Without arguments every shipped case; CASE names some of them. Per point: predicted, measured and signed error; per case: n, mean,
    median, p90 and worst, the points that constants were fitted on apart from the held-out ones. Exit 1 when a case misses its tolerance
    or a measurement had to be skipped.

    A file of measurements has the columns of one or more kinds of kernel: attention, matrix products, norms and activations, collectives,
    whole models, copies and launches. Its rows are scored by kernel, beside rooflines and published formulas.

    The case aiconfigurator scores the measured tables of NVIDIA's AIConfigurator, which are read where they lie and not shipped: by name
    all their rows, else a sample of each, or none where they are missing.
    """
    if measurements is not None and cases:
        raise UsageError("--measurements scores one file; leave the case names out")
    if (measurements is None) != (arch is None):
        missing = "--arch" if arch is None else "--measurements"
        raise UsageError(f"{missing} is missing; write for example attnsim validate --measurements mine.csv --arch h100_sxm")
    for path in (output, page, figure):
        check_writable(path)
    if figure is not None:
        from attnsim.report.roofline.figure import check_ending

        check_ending(Path(figure))
    from attnsim.validate import run_cases, score_measurements

    if measurements is not None and arch is not None:
        report: MeasurementReport | ValidationReport = score_measurements(measurements, arch)
    else:
        report = run_cases(cases, data=data, sample=sample, progress=_progress)
    if pick_format(format_, output, FORMATS) == "json":
        from attnsim.report.export import to_json

        deliver(to_json(report.to_dict()), output)
    else:
        deliver(report.text(), output)
    if page is not None or figure is not None:
        from attnsim.report.measured import write

        for written in write(report, page, figure):
            narrate(f"wrote {written}")
    return 0 if report.ok else 1


def _progress(table: str, done: int, rows: int) -> None:
    """A line of stderr for each table, which counts while somebody watches."""
    state = click.get_current_context().find_root().obj
    if isinstance(state, State) and state.quiet:
        return
    watched = sys.stderr.isatty()
    if watched or done == rows:
        click.echo(f"{chr(13) * watched}{table}: {done} of {rows} rows", err=True, nl=done == rows)
