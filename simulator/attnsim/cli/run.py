"""`attnsim run`: one workload on one machine."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from attnsim.cli.common import (
    FORMATS,
    check_writable,
    cli_command,
    deliver,
    format_option,
    narrate,
    output_option,
    pick_format,
    schedule_option,
    set_option,
    written,
)
from attnsim.errors import UsageError


@cli_command(
    "run",
    "attnsim run llama3-8b-prefill h100_sxm",
    "attnsim run llama3-8b-prefill a100_sxm_80gb --schedule flash-attention-2 --set sizes.M=4096 --set sizes.P=4096 --format json",
    "attnsim run llama3-8b-prefill h100_sxm --trace prefill.json.gz",
)
@click.argument("workload")
@click.argument("arch")
@schedule_option
@set_option
@format_option(*FORMATS)
@output_option
@click.option("--trace", "trace", metavar="FILE",
              help="Also write a trace (.json or .json.gz) that ui.perfetto.dev and chrome://tracing open: CTAs on their slots, Einsums on "
              "their arrays, stages with micro-batches.")  # fmt: skip
def command(
    workload: str, arch: str, schedule: str | None, sets: tuple[str, ...], format_: str | None, output: str | None, trace: str | None
) -> None:
    """How fast is a workload on a machine, and what stops it?

    Prints latency and the resource that bounds it, a lower bound no kernel can beat, FLOPs, bytes per memory level, utilization and
    energy. WORKLOAD and ARCH are library names (`attnsim list workload`, `attnsim list arch`) or paths of YAML files.
    """
    check_writable(output)
    if trace is not None:
        _check_trace(trace, output)
    import attnsim

    report = attnsim.run(workload, arch, schedule=schedule, sets=sets)
    deliver(written(report, pick_format(format_, output)), output)
    if trace is not None:
        from attnsim.report.timeline.trace import save

        count = save(report, Path(trace), _command(workload, arch, schedule, sets))
        narrate(f"wrote {trace}: {count} events; open it in ui.perfetto.dev or chrome://tracing")


def _check_trace(trace: str, output: str | None) -> None:
    """Refuse a trace that cannot be written before the work is done."""
    if not trace.lower().endswith((".json", ".json.gz")):
        raise UsageError(f"cannot write a trace to {trace!r}: end the name in .json or .json.gz")
    check_writable(trace)
    if output is not None and output != "-" and Path(trace).resolve() == Path(output).resolve():
        raise UsageError(f"{trace!r} cannot be both the answer (-o) and the trace (--trace); name two files")


def _command(workload: str, arch: str, schedule: str | None, sets: tuple[str, ...]) -> str:
    """The line that gives this answer again."""
    chosen = [] if schedule is None else ["--schedule", schedule]
    return shlex.join(["attnsim", "run", workload, arch, *chosen, *(part for text in sets for part in ("--set", text))])
