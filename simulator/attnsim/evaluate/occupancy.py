"""How many CTAs fit on one processor: shared memory, registers, threads, and the hardware's own limit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from attnsim.errors import InfeasibleError
from attnsim.evaluate.point import Point
from attnsim.evaluate.work import extents
from attnsim.spec.schedule import Tile
from attnsim.units import format_quantity

REGISTER_GRANULE = 8  # registers are allocated per thread in steps of 8 (CUDA occupancy rules)


@dataclass(frozen=True, slots=True)
class Occupancy:
    """ctas: resident per processor; limiter: what bounds them; scratch_bytes: local memory one CTA holds."""

    ctas: int
    limiter: str
    scratch_bytes: float


def occupancy(point: Point, row: Tile, tile: Mapping[str, int]) -> Occupancy:
    """CTAs per processor of a fused kernel.

    Raises:
        InfeasibleError: the tile does not fit into the shared memory of a GPU's processor.
    """
    machine, spec = point.machine, point.schedule.spec
    if point.local is None:
        return Occupancy(1, "processors", 0.0)
    level = machine.levels[point.local]
    scratch = 0.0
    inside = extents(point, tile)
    for tensor, held in spec.resident.items():
        if held != level.name or (tensor not in point.cascade.inputs and tensor not in point.cascade.by_label):
            continue
        size = point.element * spec.buffers.get(tensor, 1)
        for rank in point.cascade.tensor_ranks(tensor):
            size *= inside[rank]
        scratch += size
    if machine.kind != "gpu":  # a cache: what does not fit is fetched again from the next level
        return Occupancy(1, "processors", scratch)
    limits = machine.limits
    if scratch > limits.smem_per_cta_bytes:
        shown = " x ".join(f"{rank} {size}" for rank, size in tile.items())
        raise InfeasibleError(
            point.schedule.issue(
                ("tiles", spec.tiles.index(row)),
                f"tile {shown} of schedule {spec.name} needs {format_quantity(scratch, 'B')} of {level.name} per CTA; "
                f"{machine.name} has {format_quantity(limits.smem_per_cta_bytes, 'B')}",
            )
        )
    bounds = {"CTA limit": limits.ctas}
    if scratch:
        bounds[level.name] = int(level.capacity_bytes // (scratch + limits.smem_reserved_per_cta_bytes))
    if row.warps:
        threads = row.warps * limits.warp
        bounds["threads"] = limits.threads // threads
        if row.registers:
            granted = -(-row.registers // REGISTER_GRANULE) * REGISTER_GRANULE
            bounds["registers"] = limits.registers // (granted * threads)
    if row.ctas:
        bounds["schedule"] = row.ctas
    limiter, ctas = min(bounds.items(), key=lambda item: item[1])
    if ctas < 1:
        raise InfeasibleError(
            f"tile row of schedule {spec.name} with {row.warps} warps does not fit on {machine.name}: limited by {limiter}"
        )
    return Occupancy(ctas, limiter, scratch)
