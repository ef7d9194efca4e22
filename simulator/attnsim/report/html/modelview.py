"""A model's answer: what a token costs and takes, part by part, and what stands in memory."""

from __future__ import annotations

from attnsim.report.html.parts import Part, bars, column, fact, headline, named, table, unit_of
from attnsim.serving.answer import ModelEstimate


def model_view(result: ModelEstimate) -> Part:
    """One entry of `results`."""
    return {
        **headline(result),
        "sizes": {"context": result.context, "batch": result.batch, "devices": result.gpus},
        "model": result.model,
        "phase": result.phase,
        "usd_per_mtok": result.cost["usd_per_mtok"] if result.cost else None,
        "facts": _facts(result),
        "time": bars("Time by part", "s", result.time_by_resource_s, result.latency_s, result.bound, "Of one step, beside its latency."),
        "bytes": [
            {"level": level, "total": float(total), "intensity": result.flops / total if total else None, "tensors": []}
            for level, total in result.bytes.items()
        ],
        "flops_by_unit": bars(
            "FLOPs by part", "FLOP", {name: float(part["flops"]) for name, part in result.parts.items() if part.get("flops")}
        ),
        "memory": bars("Memory of a device", "B", {name: float(held) for name, held in result.memory_bytes.items()}),
        "tables": _tables(result),
    }


def _facts(result: ModelEstimate) -> list[Part]:
    facts = []
    if result.cost:
        facts.append(fact("cost", result.cost["usd_per_mtok"], "USD", f"a million tokens, prices {result.cost['prices']}"))
    if result.ttft_s is not None:
        facts.append(fact("TTFT", result.ttft_s, "s", "to the first token"))
    if result.tpot_s is not None:
        facts.append(fact("TPOT", result.tpot_s, "s", f"a token of each request; bound by {result.bound}"))
    facts += [
        fact("throughput", result.tokens_per_s, "ratio", "tokens a second"),
        fact("a device", result.tokens_per_s_per_gpu, "ratio", f"tokens a second, {result.gpus} device{'' if result.gpus == 1 else 's'}"),
        fact("lower bound", result.lower_bound_s, "s", "peak rates, compulsory traffic"),
    ]
    if result.energy_j_per_token is not None:
        facts.append(fact("energy", result.energy_j_per_token, "J", "a token"))
    facts += [fact("context", result.context, "count", f"tokens, {result.phase}"), fact("batch", result.batch, "count", "requests")]
    return facts


def _tables(result: ModelEstimate) -> list[Part]:
    names = list(dict.fromkeys(name for values in result.parts.values() for name in values))
    heads = [("text" if any(isinstance(part.get(name), str) for part in result.parts.values()) else None, *unit_of(name)) for name in names]
    columns = [column("part"), *(column(label, text or unit) for text, label, unit in heads)]
    rows = [(part, *(values.get(name) for name in names)) for part, values in result.parts.items()]
    tables = [table("Parts", columns, rows)]
    if result.conditions:
        tables.append(named("Conditions", result.conditions))
    return tables
