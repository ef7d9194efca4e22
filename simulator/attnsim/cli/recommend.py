"""`attnsim recommend`: parameters of a neighborhood mask, the fastest first."""

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


def _by_axis(_ctx: click.Context, param: click.Parameter, value: str | tuple[str, ...] | None) -> list[list[int]] | list[int] | None:
    if isinstance(value, tuple):
        return [_numbers(text, str(param.opts[0]), "18x24x24, or -1x24x24 for the whole first axis") for text in value]
    return None if value is None else _numbers(value, str(param.opts[0]), "16x8x8, or 8 for every axis")


def _numbers(text: str, option: str, example: str) -> list[int]:
    try:
        return [int(part) for part in text.strip().split("x")]
    except ValueError:
        raise click.BadParameter(f"cannot read {text!r}; write for example {example}", param_hint=f"'{option}'") from None


@cli_command(
    "recommend",
    "attnsim recommend hunyuanvideo-gna b200",
    "attnsim recommend hunyuanvideo-gna h100_sxm --schedule natten-hopper --min-sparsity 0.9 --top 5",
    "attnsim recommend hunyuanvideo-gna b200 --window 18x24x24 --window 30x40x40 --max-stride 8 --format csv",
)
@click.argument("workload")
@click.argument("arch")
@click.option("--window", "windows", multiple=True, metavar="AxBxC", callback=_by_axis,
              help="Window to try, as 18x24x24 (-1: the whole axis); may be given more than once.")  # fmt: skip
@click.option("--min-sparsity", type=click.FloatRange(0, 1), metavar="SHARE",
              help="Budget of time: windows that skip at least this share of the pairs; alone, the largest such windows.")  # fmt: skip
@click.option("--max-sparsity", type=click.FloatRange(0, 1), metavar="SHARE",
              help="Budget of quality: windows that skip at most this share of the pairs.")  # fmt: skip
@click.option("--max-stride", metavar="AxBxC", callback=_by_axis, help="Largest stride to try, as 16x8x8 or 8.  [default: the window]")
@click.option("--dilation", is_flag=True, help="Try every dilation too, not only the workload's.")
@click.option("--top", type=click.IntRange(min=1), default=10, metavar="N", help="Settings to list at most.")
@schedule_option
@set_option
@format_option(*FORMATS)
@output_option
def command(
    workload: str,
    arch: str,
    windows: list[list[int]],
    min_sparsity: float | None,
    max_sparsity: float | None,
    max_stride: list[int] | None,
    dilation: bool,
    top: int,
    schedule: str | None,
    sets: tuple[str, ...],
    format_: str | None,
    output: str | None,
) -> None:
    """Choose window, stride, dilation and tiles of a neighborhood mask.

    Tries every stride in every tile shape the kernel is built for and lists the fastest settings, as `attnsim run` times them. Without a
    budget or --window the window stays the workload's; with a budget, windows are multiples of the key tiles' sides, or a whole axis.

    Dropped: a setting when another one of the same window and dilation has no larger stride along any axis and is not slower; with a budget
    also when another one attends as many pairs or more and is not slower.

    Block sparse: "yes" when no visited tile needs a mask, which the kernel then never computes; "missed" when that is so, but the kernel's
    own test does not see it.
    """
    check_writable(output)
    import attnsim

    found = attnsim.recommend(
        workload,
        arch,
        schedule,
        windows=windows,
        min_sparsity=min_sparsity,
        max_sparsity=max_sparsity,
        max_stride=None if max_stride is None else max_stride[0] if len(max_stride) == 1 else max_stride,
        dilation=dilation,
        top=top,
        sets=sets,
    )
    deliver(written(found, pick_format(format_, output)), output)
