"""`attnsim validate`: predictions beside published tables or a user's own measurements."""

from __future__ import annotations

import click

from attnsim.cli.common import check_writable, cli_command, deliver, format_option, output_option, pick_format
from attnsim.errors import UsageError

FORMATS = ("text", "json")


@cli_command("validate", "attnsim validate", "attnsim validate --measurements mine.csv --arch h100_sxm --format json")
@click.argument("cases", nargs=-1, metavar="[CASE]...")
@click.option("--measurements", metavar="FILE.csv", help="Score a CSV of measured times instead of the shipped cases.")
@click.option("--arch", metavar="ARCH", help="The machine the measurements were taken on.")
@format_option(*FORMATS)
@output_option
def command(cases: tuple[str, ...], measurements: str | None, arch: str | None, format_: str | None, output: str | None) -> int:
    """Compare predictions with published or measured times.

    Without arguments every shipped case; CASE names some of them. Per point: predicted, measured and signed error; per case: n, mean,
    median, p90 and worst, the points that constants were fitted on apart from the held-out ones. Exit 1 when a case misses its tolerance
    or a measurement had to be skipped.
    """
    if measurements is not None and cases:
        raise UsageError("--measurements scores one file; leave the case names out")
    if (measurements is None) != (arch is None):
        missing = "--arch" if arch is None else "--measurements"
        raise UsageError(f"{missing} is missing; write for example attnsim validate --measurements mine.csv --arch h100_sxm")
    check_writable(output)
    from attnsim.validate import run_cases, score_measurements

    report = score_measurements(measurements, arch) if measurements is not None and arch is not None else run_cases(cases)
    if pick_format(format_, output, FORMATS) == "json":
        from attnsim.report.export import to_json

        deliver(to_json(report.to_dict()), output)
    else:
        deliver(report.text(), output)
    return 0 if report.ok else 1
