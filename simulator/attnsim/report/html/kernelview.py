"""A kernel's answer, on processors or on PE arrays, and a layer's: facts, bars and tables."""

from __future__ import annotations

from math import isclose
from typing import Any

from attnsim.evaluate.estimate import Answer, Estimate, KernelAnswer, Report
from attnsim.evaluate.layer import LayerEstimate
from attnsim.evaluate.render import tile_text
from attnsim.evaluate.spatial.estimate import SpatialEstimate
from attnsim.machine.spatial import SpatialMachine
from attnsim.report.html.parts import Part, bars, column, fact, headline, named, table, words
from attnsim.units import format_quantity


def kernel_view(report: Report, result: Answer) -> Part:
    """One entry of `results`."""
    view: Part = {
        **headline(result),
        "sizes": dict(result.sizes),
        "facts": _facts(report, result),
        "time": bars(
            "Time by resource", "s", result.time_by_resource_s, result.latency_s, result.bound,
            "How long each resource is busy, beside the latency of the whole. Resources work at the same time, so these do not add up.",
        ),
        "bytes": _bytes(result),
        "flops_by_unit": bars("FLOPs by unit", "FLOP", {name: float(work) for name, work in result.flops_by_unit.items()}),
        "tables": [],
    }  # fmt: skip
    if isinstance(result, KernelAnswer):
        view["cascade"], view["direction"] = result.cascade, result.direction
    view["tables"] = _tables(report, result)
    return view


def _facts(report: Report, result: Answer) -> list[Part]:
    machine = report.machine
    achieved = result.flops / result.latency_s
    peak = 0.0
    formats = {kernel.dtype for kernel in result.kernels} if isinstance(result, Estimate) else {result.dtype}
    if isinstance(result, KernelAnswer) and formats == {result.dtype}:
        peak = machine.peak_flops(result.dtype)
    floor = max(result.lower_bound_by_resource_s.items(), key=lambda item: item[1], default=("", 0.0))[0]
    facts = [
        fact("latency", result.latency_s, "s", f"bound by {result.bound}"),
        fact("achieved", achieved, "FLOP/s", "matmul FLOPs / latency"),
        fact("lower bound", result.lower_bound_s, "s", f"set by {floor}; no kernel can be faster"),
    ]
    if peak:
        facts.insert(2, fact("of the peak", achieved / peak, "percent", f"{format_quantity(peak, 'FLOP/s')} for {result.dtype}"))
    if result.lower_bound_s:
        headroom = result.latency_s / result.lower_bound_s
        facts.append(fact("headroom", headroom, "ratio", "latency / lower bound"))
        if isinstance(result, KernelAnswer) and not isclose(headroom, result.speedup_upper_bound, rel_tol=1e-9):
            facts.append(fact("speedup at most", result.speedup_upper_bound, "ratio", f"{result.baseline} / lower bound"))
    facts.append(fact("energy", result.energy_j, "J", f"{format_quantity(result.energy_j / result.latency_s, 'W')} on average"))
    facts += [fact(f"passes over {rank}", count, "count", "counted from the equations") for rank, count in result.passes.items()]
    facts.append(fact("footprint", result.footprint_bytes, "B", "held in memory"))
    if isinstance(result, KernelAnswer):
        facts.append(fact("clock", result.clock_hz, "Hz"))
    return facts


def _bytes(result: Answer) -> list[Part]:
    """Traffic by level; of every tensor what is read and written there, most first."""
    by_tensor = result.bytes_by_tensor if isinstance(result, KernelAnswer) else {}
    levels = []
    for level, total in result.bytes.items():
        tensors: list[Part] = [
            {"name": name, "read": float(moved.get("read", 0)), "write": float(moved.get("write", 0))}
            for name, moved in by_tensor.get(level, {}).items()
        ]
        tensors.sort(key=lambda tensor: (-(tensor["read"] + tensor["write"]), tensor["name"]))
        levels.append({"level": level, "total": float(total), "intensity": result.flops / total if total else None, "tensors": tensors})
    return levels


def _tables(report: Report, result: Answer) -> list[Part]:
    tables = []
    if isinstance(result, LayerEstimate):
        rows = [(name, seconds, seconds * result.layers / result.latency_s) for name, seconds in result.steps.items()]
        note = f"of each of {result.layers} layers" if result.layers > 1 else ""
        tables.append(table("Steps", [column("step"), column("time", "s"), column("of latency", "share")], rows, note))
    if isinstance(result, Estimate):
        tables.append(_kernels(report, result))
    if isinstance(result, SpatialEstimate):
        tables += _spatial(result)
    if isinstance(result, KernelAnswer):
        kinds = sorted(result.ops_by_kind.items(), key=lambda item: (-item[1], item[0]))
        tables.append(table("Operations by kind", [column("kind"), column("operations", "OP")], kinds, "a mac is one operation, two FLOPs"))
    if isinstance(result, Estimate) and result.end_to_end:
        tables.append(named("End to end", result.end_to_end))
    if result.mask:
        tables.append(_mask(result))
    return tables


def _kernels(report: Report, result: Estimate) -> Part:
    machine = report.machine
    assert not isinstance(machine, SpatialMachine)
    columns = [
        column("kernel"), column("time", "s"), column("of latency", "share"), column("bound"), column("tile"), column("CTAs", "count"),
        column(f"per {machine.processor_name}", "count"), column("limited by"), column("waves", "ratio"), column("splits", "count"),
    ]  # fmt: skip
    rows = [
        (
            kernel.name, kernel.latency_s, kernel.latency_s / result.latency_s, kernel.bound, tile_text(kernel.tile), kernel.ctas,
            kernel.ctas_per_processor, kernel.limiter, kernel.waves, kernel.splits,
        )
        for kernel in result.kernels
    ]  # fmt: skip
    return table("Kernels", columns, rows)


def _spatial(result: SpatialEstimate) -> list[Part]:
    phases = [
        column("phase"), column("time", "s"), column("compute", "s"), column("memory", "s"), column("buffer", "s"), column("bound"),
        column("stages", "count"), column("tiles", "count"), column("rows kept", "count"), column("held", "B"),
        column("spilled", "percent"),
    ]  # fmt: skip
    rows = [
        (
            phase.name, phase.latency_s, phase.compute_s, phase.memory_s, phase.buffer_s, phase.bound, len(phase.stages),
            phase.tiles or None, phase.row_block, phase.held_bytes, phase.spilled,
        )
        for phase in result.phases
    ]  # fmt: skip
    tables = [table("Phases", phases, rows)]
    several = len(result.phases) > 1
    stages = [
        (
            *([phase.name] if several else []),
            number,
            stage.cycles,
            ", ".join(f"{einsum} on {array}" for array, busy in stage.busy.items() for einsum in busy),
        )
        for phase in result.phases
        for number, stage in enumerate(phase.stages, 1)
    ]
    stage_columns = [*([column("phase")] if several else []), column("stage", "count"), column("cycles", "ratio"), column("Einsums")]
    tables.append(table("Stages", stage_columns, stages, "Einsums of a stage run at the same time"))
    if result.utilization_by_einsum:
        arrays = list(result.utilization_by_einsum)
        einsums = dict.fromkeys(einsum for used in result.utilization_by_einsum.values() for einsum in used)
        used = [(einsum, *(result.utilization_by_einsum[array].get(einsum) for array in arrays)) for einsum in einsums]
        tables.append(table("Utilization by Einsum", [column("Einsum"), *(column(array, "percent") for array in arrays)], used))
    parts = sorted(((name, joule) for name, joule in result.energy_by_part_j.items() if joule), key=lambda item: -item[1])
    shares = [(name, joule, joule / result.energy_j) for name, joule in parts]
    tables.append(table("Energy by part", [column("part"), column("energy", "J"), column("of all", "share")], shares))
    area = sum(result.area_m2.values())
    if area:
        measured = [(name, part, part / area) for name, part in result.area_m2.items() if part]
        tables.append(table("Area", [column("part"), column("area", "m^2"), column("of all", "share")], measured))
    return tables


def _mask(result: Answer) -> Part:
    """The mask in numbers; what holds for a kind of mask alone follows with its own name."""
    facts: dict[str, Any] = dict(result.mask)
    facts.pop("by_head", None)
    facts.pop("kind", None)
    title = str(facts.pop("description", ""))
    rows = [(words(name), _told(value)) for name, value in facts.items()]
    return table("Mask in numbers", [column(""), column("", "ratio")], rows, title)


def _told(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return {"value": value, "unit": "count"}
    return value if isinstance(value, float) else str(value)
