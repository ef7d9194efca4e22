"""`attnsim lint-measurements`: measured times that cannot be."""

from __future__ import annotations

import click

from attnsim.cli.common import check_writable, cli_command, deliver, format_option, output_option, pick_format

FORMATS = ("text", "json")


@cli_command("lint-measurements", "attnsim lint-measurements mine.csv --arch h100_sxm")
@click.argument("file", metavar="FILE")
@click.option("--arch", metavar="ARCH", required=True, help="The machine the measurements were taken on.")
@format_option(*FORMATS)
@output_option
def command(file: str, arch: str, format_: str | None, output: str | None) -> int:
    """Find measured times that cannot be: faster than physics, contradicting.

    Named are rows that are faster than the certified lower bound, rows with more work that are more than 20 % faster than one with less,
    rows of the same call that differ by more than 10 %, and rows that cannot be read. Exit 1 when there is one.
    """
    check_writable(output)
    from attnsim.validate.lint import lint_measurements

    report = lint_measurements(file, arch)
    if pick_format(format_, output, FORMATS) == "json":
        from attnsim.report.export import to_json

        deliver(to_json(report.to_dict()), output)
    else:
        deliver(report.text(), output)
    return 0 if report.ok else 1
