"""`attnsim taxonomy`: how often each cascade of the library must go through the keys, and the algorithms that compute it that way."""

from __future__ import annotations

from attnsim.cli.common import FORMATS, check_writable, cli_command, deliver, format_option, output_option, pick_format


@cli_command("taxonomy", "attnsim taxonomy", "attnsim taxonomy --format csv")
@format_option(*FORMATS)
@output_option
def command(format_: str | None, output: str | None) -> None:
    """Count the passes of every attention cascade and list the algorithms.

    Passes over the keys, and the words that must stay live for one query row, both computed from the equations (FuseMax's taxonomy,
    arXiv 2406.10491, Table I). Cascades without query and key rank are left out.
    """
    check_writable(output)
    from attnsim.report.taxonomy import taxonomy, text

    rows = taxonomy()
    format_ = pick_format(format_, output)
    if format_ == "json":
        from attnsim.report.export import to_json

        deliver(to_json({"schema": 1, "cascades": rows}), output)
    elif format_ == "csv":
        from attnsim.report.export import flatten, to_csv

        deliver(to_csv([flatten(row) for row in rows], first=("passes", "cascade", "algorithms")), output)
    else:
        deliver(text(rows), output)
