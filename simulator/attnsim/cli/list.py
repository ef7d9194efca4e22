"""`attnsim list`: what the library holds."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from attnsim.cli.common import FORMATS, check_writable, cli_command, deliver, format_option, output_option, pick_format

if TYPE_CHECKING:
    from attnsim.spec.library import Kind

KINDS: tuple[Kind, ...] = ("arch", "workload", "cascade", "schedule", "model", "prices", "sweep")


@cli_command("list", "attnsim list arch", "attnsim list schedule --format json")
@click.argument("kind", type=click.Choice(KINDS), required=False)
@format_option(*FORMATS)
@output_option
def command(kind: str | None, format_: str | None, output: str | None) -> None:
    """List machines, workloads, cascades, schedules, models, price profiles, sweeps.

    Each with its aliases, title and where it was found: your own folders (environment variable ATTNSIM_PATH) come before the shipped
    library. Without KIND, everything.
    """
    check_writable(output)
    rows = [row for wanted in KINDS if kind in (None, wanted) for row in (_profiles() if wanted == "prices" else _entries(wanted))]
    format_ = pick_format(format_, output)
    if format_ == "json":
        from attnsim.report.export import to_json

        deliver(to_json({"schema": 1, "entries": rows}), output)
    elif format_ == "csv":
        from attnsim.report.export import flatten, to_csv

        deliver(to_csv([flatten(row) for row in rows], first=("kind", "name", "aliases", "title", "origin", "path")), output)
    elif output in (None, "-") and sys.stdout.isatty():
        _print_rich(rows, one_kind=kind is not None)
    else:
        deliver(_plain(rows, one_kind=kind is not None), output)


def _entries(kind: Kind) -> list[dict[str, object]]:
    from attnsim.spec.library import entries

    return [_row(entry.kind, entry.name, entry.aliases, entry.title, entry.origin, entry.path) for entry in entries(kind)]


def _profiles() -> list[dict[str, object]]:
    from attnsim.machine.prices import price_profiles
    from attnsim.spec.library import entries

    origins = {str(entry.path): entry.origin for entry in entries("prices")}
    return [_row("prices", one.name, (), f"{one.title} ({one.date}, {one.unit})", origins[one.file], one.file) for one in price_profiles()]


def _row(kind: str, name: str, aliases: Sequence[str], title: str, origin: str, path: object) -> dict[str, object]:
    return {"kind": kind, "name": name, "aliases": list(aliases), "title": title, "origin": origin, "path": str(path)}


def _cells(row: Mapping[str, object], one_kind: bool) -> list[str]:
    aliases = row["aliases"]
    names = ", ".join(aliases) if isinstance(aliases, list) else ""
    return [*([] if one_kind else [str(row["kind"])]), str(row["name"]), names, str(row["title"]), str(row["origin"])]


def _header(one_kind: bool) -> list[str]:
    return [*([] if one_kind else ["kind"]), "name", "aliases", "title", "origin"]


def _plain(rows: Sequence[Mapping[str, object]], one_kind: bool) -> str:
    from attnsim.report.text import table

    return table(_header(one_kind), [_cells(row, one_kind) for row in rows]) + "\n"


def _print_rich(rows: Sequence[Mapping[str, object]], one_kind: bool) -> None:
    # Only for a person at a terminal: rich folds long titles to the window's width, and shortens them on a pipe.
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in _header(one_kind):
        grid.add_column(name, overflow="fold", style="bold" if name == "name" else None)
    for row in rows:
        grid.add_row(*(Text(cell) for cell in _cells(row, one_kind)))
    Console().print(grid)
