"""`attnsim roofline`: workloads under the roofs of machines, as a figure."""

from __future__ import annotations

from pathlib import Path

import click

from attnsim.cli.common import FIGURES, check_writable, cli_command, narrate, schedule_option, set_option
from attnsim.cli.kinds import split
from attnsim.errors import UsageError


@cli_command("roofline", "attnsim roofline llama3-8b-prefill llama3-8b-decode h100_sxm -o roofline.svg")
@click.argument("names", nargs=-1, required=True, metavar="WORKLOAD... ARCH...")
@schedule_option
@set_option
@click.option("-o", "--output", metavar="FILE", default="roofline.svg", help="Figure to write; .svg, .pdf or .png.")
def command(names: tuple[str, ...], schedule: str | None, sets: tuple[str, ...], output: str) -> None:
    """Draw workloads under the roofs of machines (SVG, PDF or PNG).

    Left: log-log, one diagonal per memory level, one flat roof per unit and precision, each kernel once per level. Right: the time each
    resource is busy, the bound named. The data goes into a CSV beside the figure.
    """
    if Path(output).suffix.lower() not in FIGURES:
        raise UsageError(f"cannot draw {output!r}: end the name in {', '.join(FIGURES)}")
    check_writable(output)
    workloads, archs = split(names, "attnsim roofline llama3-8b-prefill h100_sxm")
    import attnsim
    from attnsim.report.figure import save
    from attnsim.report.roofline import charts

    reports = [attnsim.run(workload, arch, schedule=schedule, sets=sets) for arch in archs for workload in workloads]
    data = save(charts(reports), Path(output), attnsim.__version__)
    narrate(f"wrote {output} and {data}")
