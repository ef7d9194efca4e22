"""`attnsim cost`: what a token of models costs on machines, as a table or a figure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from attnsim.cli.common import (
    FIGURES,
    FORMATS,
    check_writable,
    cli_command,
    deliver,
    format_option,
    narrate,
    output_option,
    pick_format,
    set_option,
)
from attnsim.cli.kinds import split
from attnsim.errors import UsageError

if TYPE_CHECKING:
    from attnsim.report.cost import CostTable


@cli_command(
    "cost",
    "attnsim cost step3-decode-ideal h800 --model step3,minimax-m1 --context 1k..128k:log2 --kv -o cost.svg",
    "attnsim cost step3-decode-ideal h800 --model step3,deepseek-v3 --context 8k,32k --against activated -o models.svg",
    "attnsim cost llama3-70b-serving h100_sxm h200 --context 1k..64k:log2",
)
@click.argument("names", nargs=-1, required=True, metavar="WORKLOAD... ARCH...")
@click.option("--model", "models", multiple=True, metavar="NAME,...",
              help="Models instead of the workload's; may be given more than once.")  # fmt: skip
@click.option("--context", "contexts", metavar="LIST",
              help="Contexts instead of the workload's, as 1k..128k:log2, 8k..64k:+8k or 8k,32k (k is 1024).")  # fmt: skip
@click.option("--prices", metavar="NAME", help="Price profile instead of the workload's (attnsim list prices).")
@click.option("--against", type=click.Choice(("context", "activated")), default="context",
              help="Figure: a line for each model and machine over the context, or models by activated parameters.")  # fmt: skip
@click.option("--kv", is_flag=True, help="Figure: beside the cost, the cache that a token reads.")
@set_option
@format_option(*FORMATS)
@output_option
def command(
    names: tuple[str, ...],
    models: tuple[str, ...],
    contexts: str | None,
    prices: str | None,
    against: Literal["context", "activated"],
    kv: bool,
    sets: tuple[str, ...],
    format_: str | None,
    output: str | None,
) -> None:
    """What a token of models costs, against context or size; as a figure, too.

    Every workload (of kind model) with every model on every machine at every context, each point as `attnsim run` answers it. FILE.svg,
    .pdf or .png is a figure with its rows beside it (CSV, or what --format says); otherwise the answer is a table, CSV or JSON.

    Solid lines and filled dots: memory bounds the longest part of a step; dashed and hollow: compute; dotted and half filled: the network.
    Points that do not fit or meet no target are left out, and listed on stderr with their reason; the JSON lists them under "skipped".
    """
    check_writable(output)
    drawn = output is not None and Path(output).suffix.lower() in FIGURES
    if kv and (not drawn or against == "activated"):
        raise UsageError("--kv is for figures against context; add -o FILE.svg" if not drawn else "--kv needs --against context")
    workloads, archs = split(names, "attnsim cost step3-decode-ideal h800")
    from attnsim.report.cost import cost_table

    chosen = [name.strip() for text in models for name in text.split(",")]
    table = cost_table(workloads, archs, chosen, contexts or (), prices=prices, sets=sets)
    for line in table.left_out():  # part of the answer, which --quiet does not mute
        click.echo(line, err=True)
    if not drawn or output is None:
        deliver(_written(table, pick_format(format_, output)), output)
        return
    from attnsim.report.costfigure import save

    beside = Path(output).with_suffix(f".{'txt' if format_ == 'text' else format_ or 'csv'}")
    save(table, Path(output), against, kv, {beside: _written(table, format_ or "csv").encode("utf-8")})
    narrate(f"wrote {output} and {beside}")


def _written(table: CostTable, format_: str) -> str:
    if format_ == "json":
        from attnsim.report.export import to_json

        return to_json(table.to_dict())
    return table.csv() if format_ == "csv" else table.text()
