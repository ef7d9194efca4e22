"""`attnsim roofline`: workloads and measured rows under the roofs of machines, as a figure."""

from __future__ import annotations

from pathlib import Path

import click

from attnsim.cli.common import FIGURES, check_writable, cli_command, narrate, schedule_option, set_option
from attnsim.cli.kinds import split
from attnsim.errors import UsageError

EXAMPLE = "attnsim roofline llama3-8b-prefill h100_sxm"
MEASURED_EXAMPLE = "attnsim roofline h200 --measurements measured.csv --where kernel=cudnn --where seqlen_q=8192"


@cli_command(
    "roofline", "attnsim roofline llama3-8b-prefill llama3-8b-decode h100_sxm -o roofline.svg", f"{MEASURED_EXAMPLE} -o measured.svg"
)
@click.argument("names", nargs=-1, required=True, metavar="[WORKLOAD...] ARCH...")
@schedule_option
@set_option
@click.option("--measurements", metavar="FILE.csv", help="Draw measured times too, hollow; the file is one that `attnsim measure` writes.")
@click.option(
    "--where", multiple=True, metavar="COLUMN=VALUE[,...]",
    help="Only rows of the measurements with these values, as kernel=cudnn or line=7,9; may be given more than once.",
)  # fmt: skip
@click.option("-o", "--output", metavar="FILE", default="roofline.svg", help="Figure to write; .svg, .pdf or .png.")
def command(
    names: tuple[str, ...], schedule: str | None, sets: tuple[str, ...], measurements: str | None, where: tuple[str, ...], output: str
) -> None:
    """Draw workloads under the roofs of machines (SVG, PDF or PNG).

    Left: log-log, one diagonal per memory level, one flat roof per unit and precision, dashed what the board's power limit allows, each
    kernel once per level. Right: the time each resource is busy, stacked, the bound named. The data goes into a CSV beside the figure.

    With --measurements, a row of the file that is the call of a workload stands beside its prediction, hollow, with the ratio of the rates.
    Without workloads, each row is a kernel of its own, predicted and measured.
    """
    if Path(output).suffix.lower() not in FIGURES:
        raise UsageError(f"cannot draw {output!r}: end the name in {', '.join(FIGURES)}")
    check_writable(output)
    workloads, archs = split(names, EXAMPLE, workload=measurements is None)
    if where and measurements is None:
        raise UsageError("--where chooses rows of measurements; add --measurements FILE.csv")
    if measurements is not None and len(archs) > 1:
        raise UsageError(f"measurements are of one machine; name one of {', '.join(archs)}")
    import attnsim
    from attnsim.report.roofline.charts import charts
    from attnsim.report.roofline.figure import MOST, save

    reports = [attnsim.run(workload, arch, schedule=schedule, sets=sets) for arch in archs for workload in workloads]
    timings = []
    if measurements is not None:
        from attnsim.report.roofline.timings import parse_where, read_timings

        if not workloads and (schedule is not None or sets):
            raise UsageError("--schedule and --set change workloads; the rows of measurements name their own")
        found = read_timings(measurements, archs[0], parse_where(where), reports, MOST)
        for line in found.lines():
            narrate(f"not drawn: {line}")
        if not reports and not found.rows:
            raise UsageError(f"no row of {measurements} can be drawn")
        timings.append(found)
    data = save(charts(reports, timings), Path(output), attnsim.__version__)
    narrate(f"wrote {output} and {data}")
