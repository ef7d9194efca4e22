"""`attnsim validate`: predictions beside published tables or a user's own measurements."""

from __future__ import annotations

from pathlib import Path

import click

from attnsim.cli.common import check_writable, cli_command, deliver, format_option, narrate, output_option, pick_format
from attnsim.errors import UsageError

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
@format_option(*FORMATS)
@output_option
def command(
    cases: tuple[str, ...],
    measurements: str | None,
    arch: str | None,
    page: str | None,
    figure: str | None,
    format_: str | None,
    output: str | None,
) -> int:
    """Compare predictions with published or measured times.

    Without arguments every shipped case; CASE names some of them. Per point: predicted, measured and signed error; per case: n, mean,
    median, p90 and worst, the points that constants were fitted on apart from the held-out ones. Exit 1 when a case misses its tolerance
    or a measurement had to be skipped.

    A file of measurements has the columns of one or more kinds of kernel: attention, matrix products, norms and activations, collectives,
    whole models, copies and launches. Its rows are scored by kernel, beside rooflines and published formulas.
    """
    if measurements is not None and cases:
        raise UsageError("--measurements scores one file; leave the case names out")
    if (measurements is None) != (arch is None):
        missing = "--arch" if arch is None else "--measurements"
        raise UsageError(f"{missing} is missing; write for example attnsim validate --measurements mine.csv --arch h100_sxm")
    for path in (output, page, figure):
        check_writable(path)
    if figure is not None:
        from attnsim.report.figure import check_ending

        check_ending(Path(figure))
    from attnsim.validate import run_cases, score_measurements

    report = score_measurements(measurements, arch) if measurements is not None and arch is not None else run_cases(cases)
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
