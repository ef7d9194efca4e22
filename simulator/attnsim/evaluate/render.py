"""A report as plain aligned text; it is also what `repr` of a report shows. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from attnsim.evaluate.estimate import Told
from attnsim.evaluate.layer import LayerEstimate
from attnsim.evaluate.spatial.estimate import SpatialEstimate
from attnsim.machine.spatial import SpatialMachine
from attnsim.units import format_quantity

if TYPE_CHECKING:
    from attnsim.evaluate.estimate import Estimate, KernelEstimate, Report
    from attnsim.machine.machine import Machine

BAR_WIDTH = 30
TENSORS_SHOWN = 5


def render_report(report: Report) -> str:
    """The whole report: header, one block a result, assumptions. Three significant digits, no trailing newline."""
    machine = report.machine
    title = f", {machine.title}" if machine.title else ""
    lines = [f"{report.workload_name} on {report.arch_name}", f"  machine    {machine.name}{title}: {_processors(machine)}"]
    for estimate in report.results:
        if isinstance(estimate, Told):
            lines += estimate.lines()
            continue
        if isinstance(estimate, SpatialEstimate | LayerEstimate):
            lines += _other_result(estimate, machine, named=len(report.results) > 1)
            continue
        assert not isinstance(machine, SpatialMachine)
        lines += [*_header(estimate, machine, named=len(report.results) > 1), "", *summary_lines(estimate, machine), ""]
        lines += [
            *resource_lines(estimate),
            "",
            *byte_lines(estimate),
            "",
            *work_lines(estimate),
            "",
            *_kernels(estimate.kernels, estimate.latency_s, machine),
        ]
        lines += ["", *mask_lines(estimate), *_end_to_end(estimate.end_to_end)] if estimate.mask else []
    assumptions = list(dict.fromkeys([*report.assumptions, *(text for estimate in report.results for text in estimate.assumptions)]))
    if assumptions:
        lines += ["", "assumptions", *(f"  - {text}" for text in assumptions)]
    return "\n".join(line.rstrip() for line in lines)


def _processors(machine: Machine | SpatialMachine) -> str:
    if isinstance(machine, SpatialMachine):
        from attnsim.evaluate.spatial.render import machine_text

        return machine_text(machine)
    return f"{machine.processors} {machine.processor_name}s"


def _other_result(estimate: SpatialEstimate | LayerEstimate, machine: Machine | SpatialMachine, named: bool) -> list[str]:
    """A result about PE arrays, or the sum of a layer."""
    from attnsim.evaluate.spatial.render import layer_lines, spatial_blocks

    lines = ["", f"  result     {estimate.name}"] if named else []
    if isinstance(estimate, LayerEstimate):
        return [*lines, *layer_lines(estimate)]
    assert isinstance(machine, SpatialMachine)
    return [*lines, *spatial_blocks(estimate, machine)]


def table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = (), indent: str = "") -> str:
    """Aligned columns two spaces apart; the columns whose numbers are in `right` are right-aligned."""
    grid = [list(header), *(list(row) for row in rows)]
    widths = [max(len(row[column]) for row in grid) for column in range(len(header))]
    lines = []
    for row in grid:
        cells = (
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append((indent + "  ".join(cells)).rstrip())
    return "\n".join(lines)


def digits3(value: float) -> str:
    """A pure number with three significant digits: 1.83, 54.5, 0.012; from 1000 on whole, with a space between thousands."""
    if not 1e-3 <= abs(value) < 1e15:
        return "0" if value == 0 else f"{value:.2e}"
    rounded = float(f"{value:.2e}")
    if abs(rounded) >= 1000:
        return whole(value)
    return f"{rounded:.{max(0, 2 - math.floor(math.log10(abs(rounded))))}f}"


def whole(count: float) -> str:
    """An exact count with a space between thousands: 33 558 528."""
    return f"{count:,.0f}".replace(",", " ")


def percent(fraction: float) -> str:
    """A fraction as a percentage with three digits: 54.5 %."""
    return f"{digits3(fraction * 100)} %"


def share(fraction: float) -> str:
    """A part of a whole as a percentage; what cannot matter is only called small: <0.1 %."""
    return "<0.1 %" if 0 < fraction < 1e-3 else percent(fraction)


def tile_text(tile: Mapping[str, int]) -> str:
    """Tile sizes as P=128 M=64; `-` for a kernel without tiles."""
    return " ".join(f"{rank}={size}" for rank, size in tile.items()) or "-"


def _sizes(sizes: Mapping[str, int]) -> str:
    return " ".join(f"{rank}={size}" for rank, size in sizes.items())


def _header(estimate: Estimate, machine: Machine, named: bool) -> list[str]:
    lines = [""] if named else []
    if named:
        lines.append(f"  result     {estimate.name}")
    lines.append(f"  workload   {estimate.cascade}, {estimate.direction}, {estimate.dtype}: {_sizes(estimate.sizes)}")
    lines.append(f"  schedule   {estimate.schedule}")
    lines.append(f"  clock      {format_quantity(estimate.clock_hz, 'Hz')}{_clock_note(estimate, machine)}")
    return lines


def _clock_note(estimate: Estimate, machine: Machine) -> str:
    unit = machine.matmul_unit(estimate.dtype)
    boost = machine.clock(unit, "boost") if unit else 0.0
    return f" (boost {format_quantity(boost, 'Hz')})" if estimate.clock_hz < boost * 0.9995 else ""


def summary_lines(estimate: Estimate | SpatialEstimate, machine: Machine | SpatialMachine) -> list[str]:
    """The figures an answer starts with."""
    achieved = estimate.flops / estimate.latency_s
    peak = machine.peak_flops(estimate.dtype)
    share = f"{percent(achieved / peak)} of the {format_quantity(peak, 'FLOP/s')} peak for {estimate.dtype}"
    others = {kernel.dtype for kernel in estimate.kernels} - {estimate.dtype} if not isinstance(estimate, SpatialEstimate) else set()
    if others:
        share = f"in {estimate.dtype} and {', '.join(sorted(others))} together"
    floor_bound = max(estimate.lower_bound_by_resource_s.items(), key=lambda item: item[1], default=("", 0.0))[0]
    headroom = estimate.latency_s / estimate.lower_bound_s
    rows = [
        ("latency", format_quantity(estimate.latency_s, "s"), f"bound by {estimate.bound}"),
        (
            "achieved",
            format_quantity(achieved, "FLOP/s"),
            share,
        ),
        (
            "lower bound",
            format_quantity(estimate.lower_bound_s, "s"),
            f"set by {floor_bound}: perfect overlap, peak rates, compulsory traffic only",
        ),
        ("headroom", f"{digits3(headroom)} x", "latency / lower bound: the most that a better schedule could gain"),
    ]
    if not math.isclose(headroom, estimate.speedup_upper_bound, rel_tol=1e-9):
        rows.append(("speedup <=", f"{digits3(estimate.speedup_upper_bound)} x", "baseline latency / lower bound"))
    rows += [
        ("energy", format_quantity(estimate.energy_j, "J"), f"{format_quantity(estimate.energy_j / estimate.latency_s, 'W')} on average"),
        *(
            ("passes", f"{count} over {rank}", "how often this rank is walked; counted from the equations")
            for rank, count in estimate.passes.items()
        ),
        ("footprint", format_quantity(estimate.footprint_bytes, "B"), "inputs, outputs and intermediates held in memory"),
    ]
    names = max(len(row[0]) for row in rows)
    values = max(len(row[1]) for row in rows)
    return [f"{name.ljust(names)}  {value.rjust(values)}   {note}" for name, value, note in rows]


def resource_lines(estimate: Estimate | SpatialEstimate | LayerEstimate) -> list[str]:
    """Busy time of every resource."""
    rows = []
    padded = any(
        not math.isclose(used, estimate.time_by_resource_s.get(name, 0.0) / estimate.latency_s, abs_tol=5e-4)
        for name, used in estimate.utilization.items()
    )
    for resource, seconds in sorted(estimate.time_by_resource_s.items(), key=lambda item: -item[1]):
        part = seconds / estimate.latency_s
        used = estimate.utilization.get(resource)
        mark = " <- bound" if resource == estimate.bound else ""
        bar = "#" * round(min(part, 1.0) * BAR_WIDTH)
        useful = ["" if used is None else percent(used)] if padded else []
        rows.append([resource, format_quantity(seconds, "s"), share(part), *useful, bar + mark])
    header = ["time by resource", "busy", "of latency", *(["useful"] if padded else []), ""]
    return table(header, rows, right=(1, 2, 3) if padded else (1, 2)).split("\n")


def byte_lines(estimate: Estimate | SpatialEstimate) -> list[str]:
    """Traffic by level and tensor."""
    rows = []
    for level, total in estimate.bytes.items():
        tensors = estimate.bytes_by_tensor.get(level, {})
        read = sum(moved.get("read", 0) for moved in tensors.values())
        write = sum(moved.get("write", 0) for moved in tensors.values())
        by_size = sorted(((sum(moved.values()), name) for name, moved in tensors.items()), key=lambda item: (-item[0], item[1]))
        named = ", ".join(f"{name} {format_quantity(size, 'B')}" for size, name in by_size[:TENSORS_SHOWN])
        more = f", {len(by_size) - TENSORS_SHOWN} more" if len(by_size) > TENSORS_SHOWN else ""
        intensity = digits3(estimate.flops / total) if total else "-"
        split = [format_quantity(read, "B"), format_quantity(write, "B")] if tensors else ["", ""]
        rows.append([level, format_quantity(total, "B"), *split, intensity, named + more])
    return table(["bytes by level", "total", "read", "written", "FLOP/B", "tensors"], rows, right=(1, 2, 3, 4)).split("\n")


def work_lines(estimate: Estimate | SpatialEstimate) -> list[str]:
    """Operations by unit and kind."""
    rows = [["matmul", format_quantity(estimate.flops, "FLOP"), "of the attended pairs; masked work is not counted"]]
    rows += [[f"on {unit}", format_quantity(work, "FLOP"), ""] for unit, work in estimate.flops_by_unit.items()]
    kinds = sorted(estimate.ops_by_kind.items(), key=lambda item: (-item[1], item[0]))
    rows.append(["by kind", "", ", ".join(f"{kind} {format_quantity(count, 'OP')}" for kind, count in kinds)])
    return table(["FLOPs", "", ""], rows, right=(1,)).split("\n")


def _kernels(kernels: Sequence[KernelEstimate], latency_s: float, machine: Machine) -> list[str]:
    rows = [
        [
            kernel.name,
            format_quantity(kernel.latency_s, "s"),
            share(kernel.latency_s / latency_s),
            kernel.bound,
            tile_text(kernel.tile),
            whole(kernel.ctas),
            f"{whole(kernel.ctas_per_processor)} ({kernel.limiter})",
            digits3(kernel.waves),
            str(kernel.splits),
        ]
        for kernel in kernels
    ]
    header = ["kernels", "time", "of latency", "bound", "tile", "CTAs", f"per {machine.processor_name}", "waves", "splits"]
    return table(header, rows, right=(1, 2, 5, 6, 7, 8)).split("\n")


def mask_lines(estimate: Estimate | SpatialEstimate) -> list[str]:
    """The mask in words; whatever else it reports follows with its own name. Counts are exact, so they are printed whole."""
    facts = dict(estimate.mask)
    kind = facts.pop("kind", "")
    words = [f"mask  {facts.pop('description', kind)}"]
    pairs, density = facts.pop("attended_pairs", None), facts.pop("density", None)
    if pairs is not None:
        words.append(f"{whole(pairs)} pairs a head attended" + ("" if density is None else f" ({percent(density)})"))
    visited, dense = facts.pop("tile_pairs_kernel", None), facts.pop("tile_pairs_all", None)
    if visited is not None and dense is not None:
        words.append(f"{whole(visited)} of {whole(dense)} tiles visited")
    partial = facts.pop("tile_pairs_partial", None)
    if partial is not None:
        words.append(f"{whole(partial)} of them partly masked")
    different = facts.pop("by_head", ())
    if different:
        facts["masks"] = len(different)
    rest = "; ".join(f"{name.replace('_', ' ')} {_fact(value)}" for name, value in facts.items())
    return ["; ".join(words), *([f"      {rest}"] if rest else [])]


def _end_to_end(facts: Mapping[str, float]) -> list[str]:
    """The model around the kernel beside its dense self."""
    if not facts:
        return []
    others = f"{facts['speedup_flop']:.3g} x by FLOPs" + (f", {facts['natten_sim']:.3g} x as NATTENSim" if "natten_sim" in facts else "")
    return [
        "",
        f"end to end  {facts['speedup']:.3g} x over dense attention, which takes {percent(facts['share'])} of the time ({others})",
        f"            the operation: {facts['op_speedup']:.3g} x of {format_quantity(facts['dense_latency_s'], 's')} dense in this kernel",
    ]


def _fact(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return whole(value)
    return digits3(value) if isinstance(value, float) else str(value)
