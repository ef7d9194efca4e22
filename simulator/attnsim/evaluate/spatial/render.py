"""Answers about PE arrays, and about layers of several kernels, as plain aligned text."""

from __future__ import annotations

from collections.abc import Iterator

from attnsim.evaluate import render as text
from attnsim.evaluate.layer import LayerEstimate
from attnsim.evaluate.render import digits3, percent, share, table, whole
from attnsim.evaluate.spatial.estimate import PhaseEstimate, SpatialEstimate
from attnsim.machine.spatial import SpatialMachine
from attnsim.units import format_quantity

ENERGY_SHOWN = 8


def machine_text(machine: SpatialMachine) -> str:
    """The arrays and the buffer in a few words."""
    arrays = [
        f"{f'{array.copies} x ' if array.copies > 1 else ''}{name} {'x'.join(map(str, array.shape))}"
        for name, array in machine.arrays.items()
    ]
    return f"{', '.join(arrays)}; buffer {format_quantity(machine.buffer.capacity_bytes, 'B')}"


def spatial_blocks(estimate: SpatialEstimate, machine: SpatialMachine) -> list[str]:
    """The lines of one result."""
    sizes = " ".join(f"{rank}={size}" for rank, size in estimate.sizes.items())
    lines = [
        f"  workload   {estimate.cascade}, {estimate.direction}, {estimate.dtype}: {sizes}",
        f"  schedule   {estimate.schedule}",
        f"  clock      {format_quantity(estimate.clock_hz, 'Hz')}",
        "",
        *text.summary_lines(estimate, machine),
        *_area(estimate),
        "",
        *text.resource_lines(estimate),
        "",
        *text.byte_lines(estimate),
        "",
        *text.work_lines(estimate),
        "",
        *_energy(estimate),
    ]
    for phase in estimate.phases:
        lines += ["", *phase_lines(estimate, phase)]
    return [*lines, "", *text.mask_lines(estimate)]


def _area(estimate: SpatialEstimate) -> list[str]:
    total = sum(estimate.area_m2.values())
    if not total:
        return []
    parts = ", ".join(f"{name} {percent(area / total)}" for name, area in estimate.area_m2.items() if area)
    return ["", f"area  {format_quantity(total, 'm^2')}: {parts}"]


def _energy(estimate: SpatialEstimate) -> list[str]:
    parts = sorted(estimate.energy_by_part_j.items(), key=lambda item: -item[1])
    shown = [[name, format_quantity(joule, "J"), share(joule / estimate.energy_j)] for name, joule in parts[:ENERGY_SHOWN] if joule]
    if len(parts) > ENERGY_SHOWN:
        rest = sum(joule for _, joule in parts[ENERGY_SHOWN:])
        shown.append([f"{len(parts) - ENERGY_SHOWN} more", format_quantity(rest, "J"), share(rest / estimate.energy_j)])
    return table(["energy", "", "of all"], shown, right=(1, 2)).split("\n")


def phase_lines(estimate: SpatialEstimate, phase: PhaseEstimate) -> list[str]:
    """The stage plan of a phase with its cycles: a tile's worth where the phase goes tile by tile, else over the whole problem."""
    many = len(estimate.phases) > 1
    each = phase.tiles or 1
    head = f"phase {phase.name}: {format_quantity(phase.latency_s, 's')}, bound by {phase.bound}" if many else "stage plan"
    lines = [head]
    if phase.mapping:
        lines.append(f"  {phase.mapping}")
    elif phase.row_block:
        times = f"keys stream by {phase.blocks} time{'s' if phase.blocks > 1 else ''}" if phase.tiles else "row by row"
        spilled = f"; {percent(phase.spilled)} of the fibers spilled" if phase.spilled else ""
        held = format_quantity(phase.held_bytes, "B")
        lines.append(
            f"  {whole(phase.row_block)} query row{'s' if phase.row_block > 1 else ''} at a time in {held} of buffer; {times}{spilled}"
        )
    rows = list(_stage_rows(estimate, phase, each))
    for group in estimate.interleave:
        lines.append(f"  {' and '.join(group)} alternate cycle by cycle")
    unit = "cycles a tile" if phase.tiles else "cycles"
    return [*lines, *table(["stage", "array", "Einsums", unit, "stage", "behind"], rows, right=(0, 3, 4), indent="  ").split("\n")]


def _stage_rows(estimate: SpatialEstimate, phase: PhaseEstimate, each: int) -> Iterator[list[str]]:
    for index, stage in enumerate(phase.stages):
        first = True
        for array, busy in stage.busy.items():
            behind = max((estimate.lag.get(label, 0) for label in busy), default=0)
            yield [
                str(index + 1) if first else "",
                array,
                ", ".join(f"{label} {digits3(cycles / each)}" for label, cycles in busy.items()),
                digits3(sum(busy.values()) / each),
                digits3(stage.cycles / each) if first else "",
                f"{behind} tile{'s' if behind > 1 else ''}" if behind else "",
            ]
            first = False
    if phase.stall_cycles:
        yield [
            "",
            "",
            "stall: arrays drain before the tile goes on",
            digits3(phase.stall_cycles / each),
            digits3(phase.stall_cycles / each),
            "",
        ]
    total = phase.stall_cycles + sum(stage.cycles for stage in phase.stages)
    yield ["", "", "all stages", "", digits3(total / each), ""]


def layer_lines(estimate: LayerEstimate) -> list[str]:
    """The sum of a layer: steps, then what adds up."""
    times = estimate.layers
    rows = [[name, format_quantity(seconds, "s"), share(times * seconds / estimate.latency_s)] for name, seconds in estimate.steps.items()]
    headroom = estimate.latency_s / estimate.lower_bound_s
    facts = [
        ["latency", format_quantity(estimate.latency_s, "s"), f"bound by {estimate.bound} in the longest step"],
        ["lower bound", format_quantity(estimate.lower_bound_s, "s"), "every resource at its peak over all steps, perfectly overlapped"],
        ["headroom", f"{digits3(headroom)} x", "latency / lower bound"],
        ["energy", format_quantity(estimate.energy_j, "J"), f"{format_quantity(estimate.energy_j / estimate.latency_s, 'W')} on average"],
    ]
    return [
        f"  {'layer      ' if times == 1 else f'{times} layers  '}{estimate.dtype}: "
        f"{' '.join(f'{rank}={size}' for rank, size in estimate.sizes.items())}",
        "",
        *table(["", "", ""], facts, right=(1,)).split("\n")[1:],
        "",
        *table(["steps" if times == 1 else "steps of a layer", "time", "of latency"], rows, right=(1, 2)).split("\n"),
        "",
        *text.resource_lines(estimate),
    ]
