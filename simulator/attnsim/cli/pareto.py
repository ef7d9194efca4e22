"""`attnsim pareto`: the points of a sweep that no other point dominates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

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
)

if TYPE_CHECKING:
    from attnsim.explore.pareto.front import Front


@cli_command(
    "pareto",
    "attnsim pareto sweep.parquet --minimize latency_s,energy_j",
    "attnsim pareto sweep/ --minimize tpot_s,usd_per_mtok --by arch -o front.svg",
    'attnsim pareto sweep/ --minimize tpot_s --maximize tokens_per_s_per_gpu --where "batch >= 8" --format csv',
)
@click.argument("sweep", metavar="SWEEP")
@click.option("--minimize", multiple=True, metavar="COLUMN,...", help="Columns that should be small; may be given more than once.")
@click.option("--maximize", multiple=True, metavar="COLUMN,...", help="Columns that should be large; may be given more than once.")
@click.option("--where", multiple=True, metavar="CONDITION",
              help="Only points that meet it, as 'sizes.B >= 8 and arch != b200'; may be given more than once.")  # fmt: skip
@click.option(
    "--by", multiple=True, metavar="COLUMN,...", help="A front for every value of these columns, and which points are on that of all."
)
@click.option(
    "--top", type=click.IntRange(min=1), metavar="N", help="List the first N points only (of every front).  [default: all; 40 as text]"
)
@format_option(*FORMATS)
@output_option
def command(
    sweep: str,
    minimize: tuple[str, ...],
    maximize: tuple[str, ...],
    where: tuple[str, ...],
    by: tuple[str, ...],
    top: int | None,
    format_: str | None,
    output: str | None,
) -> None:
    """Find the points of a sweep that no other point dominates: as good in everything, better in something.

    SWEEP is what `attnsim sweep -o` wrote: Parquet, a folder of Parquet files, CSV or JSON lines. It is read in batches, so it may be
    larger than memory. A column goes by its name or the end of it: usd_per_mtok is cost.usd_per_mtok. Equal points are all listed.

    FILE.svg, .pdf or .png is a figure with its rows beside it (CSV, or what --format says): two objectives are its axes, a third is the
    colour of the points, more have a panel each. Points with an error, or without a value of an objective, are left out and counted.
    """
    check_writable(output)
    from attnsim.explore.pareto.front import pareto

    front = pareto(sweep, minimize, maximize, where=where, by=by)
    listed = front if top is None else front.top(top)
    drawn = output is not None and Path(output).suffix.lower() in FIGURES
    chosen = format_ or ("csv" if drawn else pick_format(format_, output))
    if chosen != "text":  # the text says it itself
        for line in front.counts.lines():
            click.echo(line, err=True)
    if not drawn or output is None:
        deliver(_written(listed, chosen), output)
        return
    from attnsim.report.paretofigure import save

    beside = Path(output).with_suffix(f".{'txt' if chosen == 'text' else chosen}")
    save(front, Path(output), {beside: _written(listed, chosen).encode("utf-8")})
    narrate(f"wrote {output} and {beside}")


def _written(front: Front, format_: str) -> str:
    from attnsim.report.export import to_csv, to_json

    if format_ == "json":
        return to_json(front.to_dict())
    return to_csv(front.rows(), first=front.table.column_names) if format_ == "csv" else front.text() + "\n"
