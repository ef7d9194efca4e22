"""What follows from the equations alone: passes with their reasons, live footprints, operations and traffic, as formulas and integers.

`explanation` gathers it as plain data (the JSON of `attnsim explain`), `explanation_text` prints it. Needs sympy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attnsim.evaluate.render import digits3, table, tile_text, whole
from attnsim.evaluate.spatial.render import phase_lines
from attnsim.evaluate.spatial.steady import steady_limits
from attnsim.machine.spatial import SpatialMachine
from attnsim.units import format_quantity

if TYPE_CHECKING:
    from attnsim.cascade.cascade import Cascade
    from attnsim.cascade.formulas import Formulas
    from attnsim.evaluate.estimate import Report
    from attnsim.mask.base import Mask

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Question:
    """What is put into the formulas: sizes by rank (parts such as M0 included when a tile is known), the mask, and the number format."""

    name: str
    sizes: Mapping[str, int]
    tiles: Mapping[str, int]
    mask: Mask
    dtype: str | None


def explanation(cascade: Cascade, question: Question | None = None, report: Report | None = None) -> dict[str, Any]:
    """Everything about a cascade as plain data; with a question also the integers, with a report also the schedule as resolved."""
    from attnsim.cascade.formulas import formulas

    masked = question is not None and len(cascade.positions) == 2 and question.mask.kind != "dense"
    closed = formulas(cascade, masked)
    values = _Values(cascade, question, masked)
    data: dict[str, Any] = {
        "schema": SCHEMA,
        "cascade": {
            "name": cascade.name,
            "title": cascade.spec.title,
            "source": cascade.source,
            "ranks": dict(cascade.ranks),
            "groups": {group: heads for group, heads in cascade.groups.items() if group not in cascade.ranks},
            "partition": {rank: list(parts) for rank, parts in cascade.partition.items()},
            "inputs": {name: list(ranks) for name, ranks in cascade.inputs.items()},
            "outputs": {name: list(cascade.tensor_ranks(name)) for name in cascade.outputs},
            "init": list(cascade.spec.init),
            "equations": [einsum.text for einsum in cascade.einsums],
        },
        "passes": [_passes(cascade, rank) for rank in cascade.pass_counts()],
        "footprint": _footprint(cascade, closed, values),
        "operations": _operations(closed, values),
        "totals": _totals(closed, values),
        "traffic": _traffic(cascade, closed, values),
    }
    if question is not None:
        data["workload"] = {"name": question.name, "dtype": question.dtype, "sizes": dict(question.sizes), "tiles": dict(question.tiles)}
        if len(cascade.positions) == 2:
            data["mask"] = _mask(cascade, question, values)
    if report is not None:
        spatial = report.machine.kind == "spatial"
        data["schedules"] = [(_stages if spatial else _schedule)(report, result) for result in report.results]
    return data


class _Values:
    """The integers behind the formulas; every method gives None where no sizes are known."""

    def __init__(self, cascade: Cascade, question: Question | None, masked: bool) -> None:
        self.question = question
        self.sizes: dict[str, int] | None = None
        self.counts: Any = None
        self.row_blocks: int | None = None
        if question is None:
            return
        sizes: Any = cascade.resolve_sizes(question.sizes, question.tiles)
        self.sizes = sizes
        pairs = blocks = None
        if masked:
            query, key = cascade.positions
            pairs = question.mask.pairs(sizes[query], sizes[key])
            inner = cascade.partition.get(key, ())[-1:]
            blocks = question.mask.row_blocks(sizes[query], sizes[key], sizes[inner[0]]) if inner else None
            self.row_blocks = None if blocks is None else int(blocks)
        self.counts = cascade.counts(sizes, pairs, blocks)

    def count(self, label: str, kind: str) -> int | None:
        return None if self.counts is None else int(self.counts[label][kind])

    def total(self, kind: str) -> int | None:
        return None if self.counts is None else sum(int(kinds[kind]) for kinds in self.counts.values() if kind in kinds)


def _passes(cascade: Cascade, rank: str) -> dict[str, Any]:
    plan = cascade.passes(rank)
    return {
        "rank": rank,
        "count": plan.count,
        "reasons": [str(boundary) for boundary in plan.boundaries],
        "pass_of": {label: plan.pass_of[label] for label in (einsum.label for einsum in cascade.einsums) if label in plan.pass_of},
    }


def _footprint(cascade: Cascade, closed: Formulas, values: _Values) -> list[dict[str, Any]]:
    from attnsim.cascade.footprint import footprint_words, live_footprints
    from attnsim.cascade.formulas import text

    sizes = values.sizes
    rows = [
        {
            "tensor": name,
            "role": live.role,
            "formula": text(closed.footprint[name]),
            "words": None if sizes is None else int(live.words(sizes)),
            "shared": live.shared,
            "replaces": live.replaces,
        }
        for name, live in live_footprints(cascade).items()
    ]
    total = None if sizes is None else int(footprint_words(cascade, sizes))
    rows.append({"tensor": "", "role": "total", "formula": text(closed.footprint_total), "words": total, "shared": False, "replaces": ""})
    return rows


def _operations(closed: Formulas, values: _Values) -> list[dict[str, Any]]:
    from attnsim.cascade.formulas import text

    return [
        {"einsum": label, "kind": kind, "formula": text(expression), "count": values.count(label, kind)}
        for label, kinds in closed.operations.items()
        for kind, expression in kinds.items()
    ]


def _totals(closed: Formulas, values: _Values) -> list[dict[str, Any]]:
    from attnsim.cascade.formulas import text

    rows = [{"what": kind, "formula": text(expression), "count": values.total(kind)} for kind, expression in closed.totals.items()]
    macs = values.counts is not None and closed.cascade.matmul_flops(values.counts)
    rows.append({"what": "matmul FLOPs", "formula": text(closed.flops), "count": int(macs) if values.counts is not None else None})
    return rows


def _traffic(cascade: Cascade, closed: Formulas, values: _Values) -> list[dict[str, Any]]:
    """Compulsory traffic: every input read once, every output written once. Elements without a number format, bytes with one."""
    from sympy import Rational

    from attnsim.cascade.formulas import text
    from attnsim.spec.dtype import element_bytes, output_dtype

    dtype = values.question.dtype if values.question else None
    widths = {"read": Rational(1), "write": Rational(1)}
    if dtype is not None:
        widths = {"read": Rational(element_bytes(dtype)), "write": Rational(element_bytes(output_dtype(dtype)))}
    rows: list[dict[str, Any]] = []
    total: Any = Rational(0)
    for direction, tensors in (("read", closed.reads), ("write", closed.writes)):
        for name, elements in tensors.items():
            expression = widths[direction] * elements
            total += expression
            amount = None if values.sizes is None else float(widths[direction]) * cascade.elements(name, values.sizes)
            rows.append({"tensor": name, "direction": direction, "formula": text(expression), "amount": amount})
    amount = None if values.sizes is None else sum(row["amount"] for row in rows)
    rows.append({"tensor": "", "direction": "total", "formula": text(total), "amount": amount})
    unit = "elements" if dtype is None else "bytes"
    return [{**row, "unit": unit, "amount": None if row["amount"] is None else round(row["amount"])} for row in rows]


def _mask(cascade: Cascade, question: Question, values: _Values) -> dict[str, Any]:
    from sympy import Symbol, sstr

    query, key = cascade.positions
    sizes = (question.sizes[query], question.sizes[key])
    rows, columns = (Symbol(rank, integer=True, positive=True) for rank in (query, key))
    expression, domain = question.mask.formula(rows, columns, at=sizes)
    return {
        "kind": question.mask.kind,
        "description": question.mask.describe(),
        "formula": str(sstr(expression)),
        "domain": domain,
        "pairs": int(question.mask.pairs(*sizes)),
        "dense_pairs": sizes[0] * sizes[1],
        "row_blocks": values.row_blocks,
    }


def _schedule(report: Report, result: Any) -> dict[str, Any]:
    machine = report.machine
    assert not isinstance(machine, SpatialMachine)
    kernels = [
        {
            "name": kernel.name,
            "tile": dict(kernel.tile),
            "ctas": kernel.ctas,
            "slots": kernel.slots,
            "waves": kernel.waves,
            "ctas_per_processor": kernel.ctas_per_processor,
            "limiter": kernel.limiter,
            "splits": kernel.splits,
            "latency_s": kernel.latency_s,
            "bound": kernel.bound,
        }
        for kernel in result.kernels
    ]
    return {
        "arch": report.arch_name,
        "schedule": result.schedule,
        "processor": machine.processor_name,
        "latency_s": result.latency_s,
        "lower_bound_s": result.lower_bound_s,
        "bound": result.bound,
        "kernels": kernels,
    }


def _stages(report: Report, result: Any) -> dict[str, Any]:
    """The stage plan of a schedule for PE arrays, and what bounds it however long the keys are."""
    record, machine = result.to_dict(), report.machine
    assert isinstance(machine, SpatialMachine)
    return {
        "arch": report.arch_name,
        **{
            name: record[name]
            for name in ("schedule", "latency_s", "lower_bound_s", "bound", "utilization", "utilization_by_einsum", "lag")
        },
        "phases": record["phases"],
        "limits": steady_limits(result, machine),
        "text": "\n".join(line for phase in result.phases for line in phase_lines(result, phase)),
    }


# --- as text ---------------------------------------------------------------------------------------------------------------------------


def explanation_text(data: Mapping[str, Any]) -> str:
    """The explanation for people, ending in a newline."""
    blocks = [
        _head(data),
        _equations(data["cascade"]),
        _passes_text(data["passes"]),
        _footprint_text(data),
        _operations_text(data),
        _traffic_text(data),
    ]
    if "mask" in data:
        blocks.append(_mask_text(data["mask"]))
    blocks += [_schedule_text(schedule) for schedule in data.get("schedules", [])]
    return "\n\n".join(blocks) + "\n"


def _shapes(tensors: Mapping[str, Sequence[str]]) -> str:
    return "  ".join(f"{name}[{','.join(ranks)}]" for name, ranks in tensors.items())


def _head(data: Mapping[str, Any]) -> str:
    cascade = data["cascade"]
    lines = [cascade["name"] + (f": {cascade['title']}" if cascade["title"] else "")]
    if cascade["source"]:
        lines.append(f"  source   {cascade['source']}")
    if "workload" in data:
        workload = data["workload"]
        sizes = " ".join(f"{rank}={size}" for rank, size in workload["sizes"].items())
        tiles = "".join(f", tile of {rank} {size}" for rank, size in workload["tiles"].items())
        name = f"workload {workload['name']}, {workload['dtype']}:" if workload["dtype"] else "sizes   "
        lines.append(f"  {name} {sizes}{tiles}")
    groups = [f"{group} groups of {heads}" for group, heads in cascade["groups"].items()]
    parts = [f"{rank} = {' x '.join(split)}" for rank, split in cascade["partition"].items()]
    lines += [
        f"  ranks    {', '.join([*(f'{rank} {meaning}' for rank, meaning in cascade['ranks'].items()), *groups, *parts])}",
        f"  inputs   {_shapes(cascade['inputs'])}",
        f"  outputs  {_shapes(cascade['outputs'])}",
    ]
    return "\n".join(lines)


def _equations(cascade: Mapping[str, Any]) -> str:
    return "\n".join(
        ["equations", *(f"  {text}   (at the start)" for text in cascade["init"]), *(f"  {text}" for text in cascade["equations"])]
    )


def _passes_text(passes: Sequence[Mapping[str, Any]]) -> str:
    lines = ["passes"]
    for plan in passes:
        lines.append(f"  {plan['count']} over {plan['rank']}")
        lines += [f"    {reason}" for reason in plan["reasons"]]
    return "\n".join(lines if passes else ["passes", "  none: no rank is reduced"])


def _amount(value: float | None) -> str:
    return "" if value is None else whole(value)


def _footprint_text(data: Mapping[str, Any]) -> str:
    meanings = {
        "fiber": "whole fiber: a later pass reads it again",
        "state": "kept, does not grow with the fiber",
        "stream": "streams through",
        "total": "fibers and state",
    }
    rows = []
    for row in data["footprint"]:
        notes = [
            meanings[row["role"]],
            *(["shared by all query rows"] if row["shared"] else []),
            *([f"in the place of {row['replaces']}"] if row["replaces"] else []),
        ]
        rows.append([row["tensor"] or "total", row["formula"], _amount(row["words"]), ", ".join(notes)])
    return table(["live footprint", "words a query row", "", ""], rows, right=(2,))


def _operations_text(data: Mapping[str, Any]) -> str:
    rows = [[row["einsum"], row["kind"], row["formula"], _amount(row["count"])] for row in data["operations"]]
    rows += [["total", row["what"], row["formula"], _amount(row["count"])] for row in data["totals"]]
    return table(["operations", "kind", "formula", ""], rows, right=(3,))


def _traffic_text(data: Mapping[str, Any]) -> str:
    rows = [
        [row["tensor"] or "total", "" if row["direction"] == "total" else row["direction"], row["formula"], _amount(row["amount"])]
        for row in data["traffic"]
    ]
    return table(["compulsory traffic", "", data["traffic"][0]["unit"], ""], rows, right=(3,))


def _mask_text(mask: Mapping[str, Any]) -> str:
    share = mask["pairs"] / mask["dense_pairs"]
    blocks = (
        ""
        if mask["row_blocks"] is None
        else f"\n  row_blocks = {whole(mask['row_blocks'])}: key tiles a query row touches, summed over the rows of a head"
    )
    return (
        f"mask: {mask['description']}\n"
        f"  pairs = {mask['formula']}  where {mask['domain']}\n"
        f"        = {whole(mask['pairs'])} of {whole(mask['dense_pairs'])} per head ({digits3(share * 100)} %){blocks}"
    )


def _stages_text(schedule: Mapping[str, Any]) -> str:
    head = (
        f"schedule {schedule['schedule']} on {schedule['arch']}: {format_quantity(schedule['latency_s'], 's')}, "
        f"bound by {schedule['bound']}; lower bound {format_quantity(schedule['lower_bound_s'], 's')}"
    )
    limits = schedule["limits"]
    lines = [head, schedule["text"]]
    if limits:
        busy = ", ".join(f"{name} {digits3(100 * used)} %" for name, used in limits["utilization"].items())
        lines.append(f"  keys without end: {digits3(limits['cycles_a_tile'])} cycles a tile; busy {busy}")
    return "\n".join(lines)


def _schedule_text(schedule: Mapping[str, Any]) -> str:
    if "phases" in schedule:
        return _stages_text(schedule)
    rows = [
        [
            kernel["name"],
            format_quantity(kernel["latency_s"], "s"),
            kernel["bound"],
            tile_text(kernel["tile"]),
            whole(kernel["ctas"]),
            f"{whole(kernel['ctas_per_processor'])} ({kernel['limiter']})",
            digits3(kernel["waves"]),
            str(kernel["splits"]),
        ]
        for kernel in schedule["kernels"]
    ]
    head = (
        f"schedule {schedule['schedule']} on {schedule['arch']}: "
        f"{format_quantity(schedule['latency_s'], 's')}, bound by {schedule['bound']}; "
        f"lower bound {format_quantity(schedule['lower_bound_s'], 's')}"
    )
    header = ["kernel", "time", "bound", "tile", "CTAs", f"per {schedule['processor']} (limited by)", "waves", "splits"]
    return head + "\n" + table(header, rows, right=(1, 4, 6, 7), indent="  ")
