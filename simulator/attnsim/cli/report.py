"""`attnsim report`: answers as one self-contained HTML page."""

from __future__ import annotations

from pathlib import Path

import click

from attnsim.cli.common import check_writable, cli_command, deliver, narrate, schedule_option, set_option
from attnsim.cli.kinds import split
from attnsim.errors import InfeasibleError, UsageError


@cli_command(
    "report",
    "attnsim report llama3-8b-prefill llama3-8b-decode h100_sxm a100_sxm_80gb -o report.html",
    "attnsim report fusemax-bert-attention fusemax_cloud -o fusemax.html",
)
@click.argument("names", nargs=-1, required=True, metavar="WORKLOAD... ARCH...")
@schedule_option
@set_option
@click.option("-o", "--output", metavar="FILE", default="report.html", help="Page to write (- is stdout).")
def command(names: tuple[str, ...], schedule: str | None, sets: tuple[str, ...], output: str) -> None:
    """Write the answers of workloads on machines as one interactive HTML page.

    The page holds everything it needs: results to sort and filter, rooflines, time by resource, bytes by level and tensor, passes and
    footprints, the cascade as a graph, the mask, cost against context and batch, and how accurate the kernels used have been found.
    Of several workloads and machines, those that cannot run together are left out and named.
    """
    if Path(output).suffix.lower() not in ("", ".html", ".htm"):
        raise UsageError(f"cannot write a page to {output!r}: end the name in .html")
    check_writable(output)
    workloads, archs = split(names, "attnsim report llama3-8b-prefill h100_sxm -o report.html")
    import attnsim
    from attnsim.report.html.page import report_page

    reports, left_out = [], []
    for arch in archs:
        for workload in workloads:
            try:
                reports.append(attnsim.run(workload, arch, schedule=schedule, sets=sets))
            except InfeasibleError as error:
                if len(workloads) * len(archs) == 1:
                    raise
                left_out.append(f"left out: {workload} on {arch}: {'; '.join(issue.message for issue in error.issues)}")
                narrate(left_out[-1])
    if not reports:
        raise InfeasibleError("no answer is left to report")
    deliver(report_page(reports, left_out), output)
