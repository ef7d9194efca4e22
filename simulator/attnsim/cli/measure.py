"""`attnsim measure`: times of other people's kernels on this machine, in the file that validate and calibrate read."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from attnsim.cli.common import check_writable, cli_command, narrate
from attnsim.errors import UsageError


@cli_command("measure", "attnsim measure --device cpu --suite attention --small -o mine.csv", "attnsim measure --device cuda -o mine.csv")
@click.option("--device", required=True, type=click.Choice(("cuda", "cpu")), help="Where the kernels run.")
@click.option(
    "--suite", "suites", multiple=True, metavar="NAME",
    help="micro, gemm, attention, decode, sparse, linear, collective or model; may be given more than once.  [default: all]",
)  # fmt: skip
@click.option("-o", "--output", metavar="FILE.csv", help="Append to FILE, leaving out the rows it has; without it, write to stdout.")
@click.option(
    "--hold", type=click.FloatRange(min=0.0), default=0.1, metavar="SECONDS", help="Time a row is repeated for after its warm-up."
)
@click.option("--limit", type=click.FloatRange(min=0.0), metavar="SECONDS", help="Begin no row after so long.")
@click.option("--shard", default="0/1", metavar="I/N", help="Rows I modulo N: several GPUs share the work (CUDA_VISIBLE_DEVICES chooses).")
@click.option("--small", is_flag=True, help="A few rows of each suite, for a try.")
@click.option("--list", "list_", is_flag=True, help="Print the rows that would be timed, and time nothing.")
def command(
    device: str,
    suites: tuple[str, ...],
    output: str | None,
    hold: float,
    limit: float | None,
    shard: str,
    small: bool,
    list_: bool,
) -> int:
    """Time kernels on this machine and write them as CSV.

    Each row is checked against float64 before it is timed. What lacks a package is skipped; a row that a library refuses, that is wrong
    or runs out of memory is told on stderr and costs no other row. A run that was stopped goes on when the same command is given again.
    Exit 1 when an output was wrong.
    """
    from attnsim.measure.run import Options, chosen, describe, run, taken

    check_writable(output)
    path = None if output in (None, "-") else Path(str(output))
    options = Options(device, suites, path, hold, limit, _shard(shard), small, tuple(sys.argv[2:]) if sys.argv[1:2] == ["measure"] else ())
    if list_:
        for suite in chosen(options, narrate):
            for _, case in taken(suite, options):
                click.echo(describe(case.values))
        return 0
    outcome = run(options, narrate)
    narrate(outcome.text() + (f"; in {output}" if path else ""))
    return 0 if outcome.ok else 1


def _shard(text: str) -> tuple[int, int]:
    part, slash, parts = text.partition("/")
    if not (slash and part.isascii() and part.isdigit() and parts.isascii() and parts.isdigit() and int(part) < int(parts)):
        raise UsageError(f"--shard is {text!r}; write for example 0/2 and 1/2")
    return int(part), int(parts)
