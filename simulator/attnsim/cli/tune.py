"""`attnsim tune`: the fastest schedule of a workload on a machine, and why."""

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
    written,
)

YAML = (".yaml", ".yml")


def _tile(_ctx: click.Context, _param: click.Parameter, value: str | None) -> dict[str, int] | None:
    if value is None:
        return None
    sizes: dict[str, int] = {}
    for part in value.split(","):
        name, equals, number = (text.strip() for text in part.partition("="))
        if not equals or not name or not number.isdigit() or int(number) < 1 or name in sizes:
            raise click.BadParameter(f"cannot read {value!r}; write for example P=128,M=64 or P=128,M=64,warps=4", param_hint="'--tile'")
        sizes[name] = int(number)
    return sizes


@cli_command(
    "tune",
    "attnsim tune llama3-8b-prefill a100_sxm_80gb --schedule flash-attention-2 --vary tiles",
    "attnsim tune llama3-8b-prefill h100_sxm --schedule flash-attention-3 --tile P=128,M=96",
    "attnsim tune llama3-8b-decode h100_sxm --vary split --vary ctas -o faster.yaml",
    "attnsim tune fusemax-bert-attention fusemax_cloud --vary tiles --vary bindings --format json",
)
@click.argument("workload")
@click.argument("arch")
@click.option("--vary", multiple=True, metavar="WHAT",
              help="tiles, ctas, order, stages or split of a kernel; tiles, order or bindings of a mapping on PE arrays; may be given more "
              "than once.  [default: all that the schedule has]")  # fmt: skip
@click.option("--tile", metavar="P=128,M=64", callback=_tile, help="A tile to hold against the best; refused with the limit it exceeds.")
@click.option("--limit", type=click.IntRange(min=1), default=4096, metavar="N",
              help="Candidates timed one by one; where more fit, Optuna chooses.")  # fmt: skip
@click.option("--trials", type=click.IntRange(min=1), default=1000, metavar="N", help="Candidates that Optuna chooses.")
@click.option("--seed", type=click.IntRange(min=0), default=0, metavar="N", help="Seed of Optuna.")
@click.option("--top", type=click.IntRange(min=1), default=10, metavar="N", help="Schedules to list at most.")
@schedule_option
@set_option
@format_option(*FORMATS)
@output_option
def command(
    workload: str,
    arch: str,
    vary: tuple[str, ...],
    tile: dict[str, int] | None,
    limit: int,
    trials: int,
    seed: int,
    top: int,
    schedule: str | None,
    sets: tuple[str, ...],
    format_: str | None,
    output: str | None,
) -> None:
    """Search tiles, CTAs, splits and order of a schedule, or a mapping on PE arrays.

    Lists the fastest schedules with why the first beats the next and the schedule's own, and how far it is from the lower bound. Refused
    is what registers, tensor memory, shared memory, threads or CTAs of a processor do not hold, and what keeps fewer warps on one than the
    constants of the schedule were found with.

    With -o FILE.yaml the best schedule is written as a file for `attnsim run --schedule FILE.yaml`, and the answer still goes to stdout.
    """
    check_writable(output)
    import attnsim

    found = attnsim.tune(workload, arch, schedule, vary=vary, tile=tile, limit=limit, trials=trials, seed=seed, top=top, sets=sets)
    kept = output is not None and output.lower().endswith(YAML)
    answer = written(found, pick_format(format_, output))
    if kept:
        deliver(found.schedule_yaml(), output)
    deliver(answer, None if kept else output)
