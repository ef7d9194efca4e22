"""One steady-state epoch: what every array does for a tile's worth of work, and the limit for keys without end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from attnsim.evaluate.spatial.estimate import PhaseEstimate, SpatialEstimate
from attnsim.machine.spatial import SpatialMachine


@dataclass(frozen=True, slots=True)
class Bar:
    """An Einsum on an array: cycles from the start of the epoch, and the tiles by which it is behind the newest one."""

    array: str
    label: str
    start: float
    cycles: float
    behind: int


@dataclass(frozen=True, slots=True)
class Epoch:
    """A tile's worth of every Einsum in a steady state. `stalls`: (start, cycles) in which a drain is waited for."""

    name: str
    cycles: float
    bars: tuple[Bar, ...]
    stalls: tuple[tuple[float, float], ...]


def epoch(estimate: SpatialEstimate, phase: PhaseEstimate) -> Epoch:
    """The epoch of a phase; without tiles the whole phase is one."""
    each = phase.tiles or 1
    bars: list[Bar] = []
    stalls: list[tuple[float, float]] = []
    start = 0.0
    for index, stage in enumerate(phase.stages):
        for array, busy in stage.busy.items():
            at = start
            for label, cycles in busy.items():
                bars.append(Bar(array, label, at, cycles / each, estimate.lag.get(label, 0)))
                at += cycles / each
        start += stage.cycles / each
        if index == phase.stall_behind and phase.stall_cycles:  # the results come out of the array before the tile goes on
            stalls.append((start, phase.stall_cycles / each))
            start += phase.stall_cycles / each
    return Epoch(phase.name, start, tuple(bars), tuple(stalls))


def steady_limits(estimate: SpatialEstimate, machine: SpatialMachine) -> Mapping[str, Any]:
    """Cycles a tile and utilization when there is no end of keys: what runs once a row, not once a tile, no longer counts.

    Empty for schedules that do not go tile by tile.
    """
    if len(estimate.phases) != 1 or not estimate.phases[0].tiles:
        return {}
    phase = estimate.phases[0]
    each = phase.tiles
    rare = set(estimate.once_a_row)
    stages = [
        {array: {label: cycles / each for label, cycles in busy.items() if label not in rare} for array, busy in stage.busy.items()}
        for stage in phase.stages
    ]
    cycles = sum(max((sum(busy.values()) for busy in stage.values()), default=0.0) for stage in stages) + phase.stall_cycles / each
    busy = {name: sum(sum(stage[name].values()) for stage in stages if name in stage) for name in machine.arrays}
    return {"cycles_a_tile": cycles, "utilization": {name: used / cycles for name, used in busy.items()}}
