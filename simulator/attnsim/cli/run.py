"""`attnsim run`: one workload on one machine."""

from __future__ import annotations

import click

from attnsim.cli.common import (
    FORMATS,
    check_writable,
    cli_command,
    deliver,
    format_option,
    output_option,
    pick_format,
    schedule_option,
    set_option,
)


@cli_command(
    "run",
    "attnsim run llama3-8b-prefill h100_sxm",
    "attnsim run llama3-8b-prefill a100_sxm_80gb --schedule flash-attention-2 --set sizes.M=4096 --set sizes.P=4096 --format json",
)
@click.argument("workload")
@click.argument("arch")
@schedule_option
@set_option
@format_option(*FORMATS)
@output_option
def command(workload: str, arch: str, schedule: str | None, sets: tuple[str, ...], format_: str | None, output: str | None) -> None:
    """How fast is a workload on a machine, and what stops it?

    Prints latency and the resource that bounds it, a lower bound no kernel can beat, FLOPs, bytes per memory level, utilization and
    energy. WORKLOAD and ARCH are library names (`attnsim list workload`, `attnsim list arch`) or paths of YAML files.
    """
    check_writable(output)
    import attnsim

    report = attnsim.run(workload, arch, schedule=schedule, sets=sets)
    format_ = pick_format(format_, output)
    if format_ == "text":
        from attnsim.report.text import report_text

        deliver(report_text(report), output)
    elif format_ == "json":
        from attnsim.report.export import to_json

        deliver(to_json(report.to_dict()), output)
    else:
        from attnsim.report.export import report_csv

        deliver(report_csv(report.to_dict()), output)
