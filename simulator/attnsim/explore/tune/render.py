"""A tuning as plain aligned text; it is also what its `repr` shows."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from attnsim.evaluate.render import digits3, table, whole
from attnsim.explore.tune.reasons import common_choices, told
from attnsim.units import format_quantity

if TYPE_CHECKING:
    from attnsim.explore.tune.answer import Tried, Tuning

SHOWN = ("ctas_per_processor", "limiter", "registers", "waves", "splits", "row_block", "blocks")
HEADERS = {"ctas_per_processor": "CTAs each", "limiter": "limited by", "row_block": "row block"}


def render(found: Tuning) -> str:
    """Header, one row a schedule, why the first wins. No trailing newline."""
    varied = ", ".join(f"{name} ({count})" for name, count in found.varied.items() if count > 1) or "nothing"
    refused = ", ".join(f"{whole(count)} by {limit}" for limit, count in sorted(found.refused.items(), key=lambda one: (-one[1], one[0])))
    how = "all that fit" if found.method == "exhaustive" else "chosen by Optuna"
    every = (*found.results, found.own, *(() if found.asked is None else (found.asked,)))
    common = common_choices(every)
    head = [
        ("schedule", f"{found.schedule}; its own: {told(found.own)}: {format_quantity(found.own.latency_s, 's')}"),
        ("varied", varied),
        ("tried", f"{whole(found.candidates)} candidates, {whole(found.evaluated)} timed ({how})"),
        ("refused", refused or "none"),
        (
            "best",
            f"{told(found.best, common)}: {format_quantity(found.best.latency_s, 's')}, {digits3(found.best.over_bound)} x the lower bound",
        ),
    ]
    if found.asked is not None:
        slower = 100 * (found.asked.latency_s / found.best.latency_s - 1)
        head.append(
            ("asked", f"{told(found.asked, common)}: {format_quantity(found.asked.latency_s, 's')}, {slower:.2f} % behind the best")
        )
    lines = [f"{found.workload_name} on {found.arch_name}", *(f"  {name:8s}  {text}" for name, text in head), ""]
    lines += [_table(found.results, common), "", "the best is", *(f"  {reason}" for reason in found.reasons)]
    if found.notes:
        lines += ["", *(f"note  {text}" for text in found.notes)]
    return "\n".join(line.rstrip() for line in lines)


def _table(results: tuple[Tried, ...], common: Collection[str]) -> str:
    shown = [name for name in SHOWN if any(name in one.facts for one in results)]
    header = ["schedule", "latency", "x bound", "bound", *(HEADERS.get(name, name) for name in shown)]
    rows = []
    for one in results:
        mark = " (own)" if one.own else ""
        rows.append([told(one, common) + mark, format_quantity(one.latency_s, "s"), digits3(one.over_bound), one.bound])
        rows[-1] += [_fact(one.facts.get(name)) for name in shown]
    return table(header, rows, right=(1, 2))


def _fact(value: object) -> str:
    return "-" if value is None else digits3(value) if isinstance(value, float) else str(value)
