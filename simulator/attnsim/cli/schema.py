"""`attnsim schema`: JSON Schemas of the spec files."""

from __future__ import annotations

import click

from attnsim.cli.common import check_writable, cli_command, deliver, output_option

KINDS = ("arch", "workload", "cascade", "schedule", "model", "prices", "sweep")


@cli_command("schema", "attnsim schema workload")
@click.argument("kind", type=click.Choice(KINDS))
@output_option
def command(kind: str, output: str | None) -> None:
    """Print the JSON Schema of a kind of spec, for editors.

    Put `# yaml-language-server: $schema=FILE` at the top of a YAML file to have an editor complete and check it.
    """
    check_writable(output)
    from attnsim.spec.schema import schema_text

    deliver(schema_text(kind), output)
