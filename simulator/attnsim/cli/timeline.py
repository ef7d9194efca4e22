"""`attnsim timeline`: when the CTAs of a kernel run, as a figure."""

from __future__ import annotations

from pathlib import Path

import click

from attnsim.cli.common import FIGURES, check_writable, cli_command, narrate, schedule_option, set_option
from attnsim.errors import UsageError


@cli_command(
    "timeline",
    "attnsim timeline llama3-8b-prefill h100_sxm -o waves.svg",
    "attnsim timeline fusemax-bert-attention fusemax_cloud -o epoch.svg",
    "attnsim timeline step3-afd h800 -o stages.svg",
)
@click.argument("workload")
@click.argument("arch")
@schedule_option
@set_option
@click.option("-o", "--output", metavar="FILE", default="timeline.svg", help="Figure to write; .svg, .pdf or .png.")
def command(workload: str, arch: str, schedule: str | None, sets: tuple[str, ...], output: str) -> None:
    """Draw what runs when: first and last wave of CTAs, an epoch of PE arrays, or the stages of a model.

    On processors: every slot of every processor in the first and the last wave, CTAs coloured by how many tiles they walk, what stays idle
    hatched, and below how long each resource is busy; of several kernels or steps the longest. On PE arrays: a steady epoch, Einsum by
    Einsum. Of a model: which part works on which micro-batch, for a few layers. The data goes into a CSV beside the figure; the whole run
    as a trace is `attnsim run --trace`.
    """
    if Path(output).suffix.lower() not in FIGURES:
        raise UsageError(f"cannot draw {output!r}: end the name in {', '.join(FIGURES)}")
    check_writable(output)
    import attnsim
    from attnsim.report.timeline.waves import save

    data = save(attnsim.run(workload, arch, schedule=schedule, sets=sets), Path(output), attnsim.__version__)
    narrate(f"wrote {output} and {data}")
