"""`attnsim taxonomy`: how often each cascade of the library must go through the keys, and the algorithms that compute it that way."""

from __future__ import annotations

from typing import Any

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
    rows = taxonomy()
    format_ = pick_format(format_, output)
    if format_ == "json":
        from attnsim.report.export import to_json

        deliver(to_json({"schema": 1, "cascades": rows}), output)
    elif format_ == "csv":
        from attnsim.report.export import flatten, to_csv

        deliver(to_csv([flatten(row) for row in rows], first=("passes", "cascade", "algorithms")), output)
    else:
        from attnsim.evaluate.render import table

        cells = [[str(row["passes"]), row["cascade"], ", ".join(row["algorithms"]) or "-", row["live_words"], row["why"]] for row in rows]
        deliver(table(["passes", "cascade", "algorithms", "live words a row", "why"], cells, right=(0,)) + "\n", output)


def taxonomy() -> list[dict[str, Any]]:
    """One row a cascade with query and key rank, most passes first."""
    from attnsim.cascade.cascade import load_cascade
    from attnsim.cascade.formulas import formulas, text
    from attnsim.spec.library import entries

    rows = []
    for entry in entries("cascade"):
        cascade = load_cascade(entry.path)
        if len(cascade.positions) != 2:
            continue
        plan = cascade.passes(cascade.positions[1])
        rows.append(
            {
                "cascade": cascade.name,
                "passes": plan.count,
                "algorithms": list(cascade.spec.algorithms),
                "live_words": text(formulas(cascade).footprint_total),
                "why": "; ".join(f"{boundary.einsum} needs {boundary.waits_for}" for boundary in plan.boundaries),
                "source": cascade.source,
            }
        )
    return sorted(rows, key=lambda row: (-row["passes"], row["cascade"]))
