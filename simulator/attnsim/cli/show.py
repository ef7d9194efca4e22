"""`attnsim show`: a spec as attnsim resolves it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from attnsim.cli.common import check_writable, cli_command, deliver, format_option, output_option, pick_format
from attnsim.cli.kinds import locate

if TYPE_CHECKING:
    from attnsim.spec.library import Kind

KINDS = ("arch", "workload", "cascade", "schedule", "model", "sweep")
FORMATS = ("text", "json")


@cli_command("show", "attnsim show h100_sxm", "attnsim show flash-attention-2 --format json")
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), help="Look only among this kind, when one name means several things.")
@format_option(*FORMATS)
@output_option
def command(name: str, kind: Kind | None, format_: str | None, output: str | None) -> None:
    """Print a library entry or a file as attnsim resolves it.

    YAML with `extends:` applied, after a comment that names the file it came from. Save it, change it, and use the path in place of the
    name.
    """
    check_writable(output)
    from attnsim.spec.library import load

    found_kind, path = locate(name, kind)
    data = load(found_kind, path).data
    if pick_format(format_, output, FORMATS) == "json":
        from attnsim.report.export import to_json

        deliver(to_json({"kind": found_kind, "file": str(path), "data": data}), output)
        return
    import yaml

    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)
    deliver(f"# {found_kind} {name}: {path}\n{text}", output)
