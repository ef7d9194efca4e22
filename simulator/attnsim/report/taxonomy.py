"""FuseMax's taxonomy (arXiv 2406.10491, Table I) of the library's attention cascades: passes over the keys, counted from the equations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attnsim.cascade.cascade import load_cascade
from attnsim.cascade.formulas import formulas
from attnsim.cascade.formulas import text as formula_text
from attnsim.evaluate.render import table
from attnsim.spec.library import entries


def taxonomy() -> list[dict[str, Any]]:
    """One row a cascade with query and key rank, most passes first: passes, live words of a query row, why each pass starts, algorithms."""
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
                "live_words": formula_text(formulas(cascade).footprint_total),
                "why": "; ".join(f"{boundary.einsum} needs {boundary.waits_for}" for boundary in plan.boundaries),
                "source": cascade.source,
            }
        )
    return sorted(rows, key=lambda row: (-row["passes"], row["cascade"]))


def text(rows: Sequence[dict[str, Any]]) -> str:
    """The table of the terminal."""
    cells = [[str(row["passes"]), row["cascade"], ", ".join(row["algorithms"]) or "-", row["live_words"], row["why"]] for row in rows]
    return table(["passes", "cascade", "algorithms", "live words a row", "why"], cells, right=(0,)) + "\n"
