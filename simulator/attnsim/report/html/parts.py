"""What every section of a page is made of: facts, bars and tables as plain data. Numbers are SI; `format.js` writes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attnsim.evaluate.estimate import Answer
from attnsim.serving.answer import ModelEstimate

Part = dict[str, Any]

UNITS = {"bytes_per_s": "B/s", "bytes": "B", "flops": "FLOP", "seconds": "s", "s": "s", "w": "W", "j": "J"}
"""Ending of a name -> unit of its number."""


def headline(result: Answer | ModelEstimate) -> Part:
    """What every answer has, whatever it is of: the columns of the table of results."""
    return {
        "name": result.name,
        "kind": result.kind,
        "schedule": result.schedule,
        "dtype": result.dtype,
        "latency_s": result.latency_s,
        "lower_bound_s": result.lower_bound_s,
        "headroom": result.latency_s / result.lower_bound_s if result.lower_bound_s else None,
        "bound": result.bound,
        "flops": float(result.flops),
        "energy_j": result.energy_j,
    }


def fact(label: str, value: float | str, unit: str = "text", note: str = "") -> Part:
    """A headline figure. unit: one of `attnsim.units`, or text, count, ratio, percent, USD."""
    return {"label": label, "value": value, "unit": unit, "note": note}


def column(label: str, unit: str = "text") -> Part:
    """A column of a table; its cells are numbers of `unit`, or texts."""
    return {"label": label, "unit": unit}


def table(title: str, columns: Sequence[Part], rows: Iterable[Sequence[Any]], note: str = "") -> Part:
    """A table. A cell that is None stays empty."""
    return {"title": title, "columns": list(columns), "rows": [list(row) for row in rows], "note": note}


def bars(title: str, unit: str, items: Mapping[str, float], whole: float | None = None, bound: str = "", note: str = "") -> Part:
    """Horizontal bars, longest first. whole: what shares refer to (the longest bar where None); bound: the bar that is the limit."""
    ordered = sorted(items.items(), key=lambda item: (-item[1], item[0]))
    return {
        "title": title,
        "unit": unit,
        "whole": whole,
        "note": note,
        "items": [{"name": name, "value": value, "bound": name == bound} for name, value in ordered],
    }


def unit_of(name: str) -> tuple[str, str]:
    """(label, unit) of a result's own name: time_s -> ("time", "s"), ffn_tokens -> ("ffn tokens", "ratio")."""
    for ending, unit in UNITS.items():
        if name == ending or name.endswith(f"_{ending}"):
            label = (name.removesuffix(ending).rstrip("_") or name).replace("_", " ")
            return "FLOPs" if label == "flops" else label, unit
    return name.replace("_", " "), "ratio"


def named(title: str, values: Mapping[str, float]) -> Part:
    """A table of numbers of several units, each said by the ending of its name."""
    rows = []
    for name, value in values.items():
        label, unit = unit_of(name)
        rows.append((label, {"value": value, "unit": unit}))
    return table(title, [column(""), column("", "ratio")], rows)


def words(name: str) -> str:
    """A name of the JSON as words."""
    return name.replace("_", " ")
