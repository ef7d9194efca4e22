"""How accurate the kernels of an answer have been found: their rows of `validation/summary.json`, or that nobody has measured them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attnsim.evaluate.estimate import KernelAnswer, Report
from attnsim.evaluate.render import percent
from attnsim.report.html.parts import Part, column, table
from attnsim.validate.summary import shipped_summary

Entry = Mapping[str, Any]


def accuracy_view(report: Report) -> list[Part]:
    """A part for every schedule of the report's kernels that was timed, one for published tables about the same things, or none known."""
    summary = shipped_summary()
    names = list(dict.fromkeys(result.schedule for result in report.results if isinstance(result, KernelAnswer)))
    tables = [one for one in summary["tables"] if one["workload"] == report.workload_name or one["schedule"] in names]
    parts = []
    for name in names:
        timed = [one for one in summary["kernels"] if one["schedule"] == name]
        if timed:
            held_to = any(one["schedule"] == name and one["arch"] == report.arch_name for one in tables)
            parts.append(_schedule(name, timed, report.arch_name, held_to))
        elif not any(one["schedule"] == name for one in tables):
            parts.append({"name": name, "text": f"{name} has never been compared with a measurement.", "table": None})
    parts += [_published(what, some) for what, some in _grouped(tables)]
    if not parts:
        text = f"{report.workload_name} has never been compared with a measurement."
        parts.append({"name": report.workload_name, "text": text, "table": None})
    return parts


def _grouped(tables: Sequence[Entry]) -> Iterable[tuple[str, list[Entry]]]:
    """Tables by what they are about: a workload as it is shipped, or a schedule."""
    found: dict[str, list[Entry]] = {}
    for one in tables:
        found.setdefault(one["workload"] or one["schedule"], []).append(one)
    return found.items()


def _published(what: str, tables: Sequence[Entry]) -> Part:
    values = sum(one["all"]["n"] for one in tables)
    mean = sum(one["all"]["n"] * one["all"]["mape"] for one in tables) / values
    text = (
        f"{values} value{'' if values == 1 else 's'} of tables about {what}{' as it is shipped' if tables[0]['workload'] else ''} "
        f"differ{'s' if values == 1 else ''} from this engine's by {percent(mean)} on average."
    )
    rows = [(one["arch"], one["title"], one["table"], one["all"]["n"], one["all"]["mape"], one["all"]["max"]) for one in tables]
    heads = [
        column("machine"),
        column("source"),
        column("table"),
        column("values", "count"),
        column("mean |difference|", "percent"),
        column("worst", "percent"),
    ]
    return {"name": f"published {what}", "text": text, "table": table(f"Tables about {what}", heads, rows)}


def _schedule(name: str, entries: Sequence[Entry], arch: str, held_to: bool) -> Part:
    """held_to: whether tables, which have a part of their own, hold it to values of this machine."""
    held = [one for one in entries if one["held_out"]["n"]]
    here = [one for one in held if one["arch"] == arch]
    texts = [_words(name, here, f"on {arch}")] if here else []
    if not here and any(one["arch"] == arch for one in entries):
        texts.append(f"On {arch} {name} was measured only where it was fitted.")
    elif not here:
        texts.append(f"Tables below hold {name} to values of {arch}." if held_to else f"{name} has never been measured on {arch}.")
    elsewhere = len({one["arch"] for one in held})
    if held and len(held) > len(here):
        texts.append(_words("In all, it", held, f"on {elsewhere} machine{'' if elsewhere == 1 else 's'}"))
    elif not held:
        texts.append("Every row that was measured was used for fitting.")
    rows = [
        (
            one["arch"], f"{one['title']}{': ' + one['group'] if one['group'] else ''}", one["held_out"]["n"], one["held_out"]["mape"],
            one["held_out"]["max"], one["fitted"]["n"], one["fitted"]["mape"],
        )
        for one in sorted(entries, key=lambda one: (one["arch"] != arch, one["arch"], one["case"], one["group"]))
    ]  # fmt: skip
    heads = [
        column("machine"), column("measured"), column("held-out rows", "count"), column("mean |error|", "percent"),
        column("worst", "percent"), column("fitted rows", "count"), column("mean |error|, fitted", "percent"),
    ]  # fmt: skip
    return {"name": name, "text": " ".join(texts), "table": table(f"Measured: {name}", heads, rows)}


def _words(subject: str, entries: Iterable[Entry], where: str) -> str:
    stats = [one["held_out"] for one in entries]
    rows = sum(one["n"] for one in stats)
    mean = sum(one["n"] * one["mape"] for one in stats) / rows
    return f"{subject} was off by {percent(mean)} on average over {rows} held-out measurement{'' if rows == 1 else 's'} {where}."
