"""Which tiles a workload's mask is cut into: those of its schedule on a machine, or tiles somebody names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from attnsim.api.documents import Ref, mask_of, placed, with_groups
from attnsim.api.processors import resolve
from attnsim.cascade.cascade import Cascade, load_cascade
from attnsim.errors import InfeasibleError, SpecError, UsageError
from attnsim.evaluate.evaluate import kernels_of
from attnsim.evaluate.kernel import packed_heads
from attnsim.evaluate.point import Point
from attnsim.machine.machine import Machine
from attnsim.machine.spatial import SpatialMachine
from attnsim.mask.base import Mask, TileShape
from attnsim.spec.workload import KernelWorkload
from attnsim.spec.yaml import Document

Tiles = tuple[TileShape, TileShape]
DEFAULT_TILES: Mapping[int, TileShape] = {1: 64, 2: (8, 8), 3: (4, 4, 4)}
"""Tiles where neither a machine nor the user says: 64 tokens, of a layout a box as even as can be."""


@dataclass(frozen=True, slots=True)
class Tiling:
    """P queries and M keys of one of `heads` heads under a mask, in tiles of q_tile and k_tile.

    pack: query heads of a group that are rows of one tile; dynamic: key tiles start at the first key needed; schedule: whose tiles
    these are, None for tiles the user named or the default ones.
    """

    mask: Mask
    P: int
    M: int
    heads: int
    q_tile: TileShape
    k_tile: TileShape
    pack: int = 1
    dynamic: bool = False
    schedule: str | None = None


def tiling(
    spec: KernelWorkload,
    document: Document,
    machine: Machine | SpatialMachine | None,
    schedule: Ref | None = None,
    tiles: Tiles | None = None,
) -> Tiling:
    """The tiles of a workload. tiles: (query tile, key tile) instead of the schedule's; without a machine 64 tokens each.

    Raises: SpecError, InfeasibleError as `attnsim.run`; UsageError for a schedule without tiles of queries and keys.
    """
    if isinstance(machine, SpatialMachine):
        raise UsageError(f"{machine.name} is a machine of PE arrays, whose schedules cut ranks, not the mask: leave it out and give --tile")
    if machine is None:
        return _alone(spec, document, tiles)
    point = resolve(spec, document, machine, schedule)
    p, m, heads = point.sizes[point.query], point.sizes[point.key], _heads(point.cascade, point.sizes)
    if tiles is not None:
        q, k = tiles
        pack = packed_heads(point, {point.query: q if isinstance(q, int) else prod(q)})
        return Tiling(point.mask, p, m, heads, q, k, pack)
    try:
        q, k, pack = _of_schedule(point)
    except InfeasibleError as error:
        raise placed(error, document) from None
    return Tiling(point.mask, p, m, heads, q, k, pack, point.schedule.spec.key_tiles == "dynamic", point.schedule.name)


def _alone(spec: KernelWorkload, document: Document, tiles: Tiles | None) -> Tiling:
    """The tiles of a workload on no machine."""
    cascade = load_cascade(spec.cascade, document, ("cascade",))
    cascade.resolve_sizes(spec.sizes, doc=document)
    if len(cascade.positions) != 2:
        raise SpecError(document.issue(("cascade",), f"cascade {cascade.name} has no query and key rank, so no mask"))
    mask = mask_of(spec, document, cascade)
    sizes = with_groups(cascade, spec.sizes)
    p, m = (sizes[rank] for rank in cascade.positions)
    default = DEFAULT_TILES[mask.dimensions]
    q, k = tiles or (default, default)
    return Tiling(mask, p, m, _heads(cascade, sizes), q, k)


def _of_schedule(point: Point) -> tuple[TileShape, TileShape, int]:
    """(query tile, key tile, packed heads) of the fused kernel, once it is sure that the schedule runs at all."""
    kernels_of(point)
    schedule = point.schedule
    if schedule.spec.fusion != "all":
        raise UsageError(f"schedule {schedule.name} does not cut queries and keys into tiles; give --tile, or another --schedule")
    row = schedule.tile(point.context)
    return row.shape(point.query), row.shape(point.key), packed_heads(point, row.sizes())


def _heads(cascade: Cascade, sizes: Mapping[str, int]) -> int:
    """Query heads: the rank that groups share keys among, else the last batch rank."""
    rank = next(iter(cascade.groups.values()), cascade.batch[-1] if cascade.batch else "")
    return sizes.get(rank, 1)
