"""The mask in the tiles of its kernel: which pairs of a query tile and a key tile are full, partial or skipped, as runs of equal tiles."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Any

from attnsim.api.tiling import Tiling, tiling
from attnsim.errors import AttnsimError, UsageError
from attnsim.mask.banded import Banded
from attnsim.mask.base import Mask, TileShape
from attnsim.mask.neighborhood import Neighborhood
from attnsim.report.html.parts import Part
from attnsim.report.html.steps import Step
from attnsim.report.maskmap import shape_text

if TYPE_CHECKING:
    import numpy as np

    from attnsim.machine.machine import Machine
    from attnsim.machine.spatial import SpatialMachine

    Classes = np.ndarray[Any, np.dtype[np.uint8]]

PAIRS = 2**22
"""(query, key) pairs that are looked at one by one; above, only masks whose tiles follow from a formula are drawn in full."""
TOKENS = 2048
"""Queries and keys of the picture of any other large mask."""
TILES = 2**20
"""Tile pairs of a picture."""
PANELS = 4
SKIPPED, PARTIAL, FULL, PADDING = range(4)
NAMES = ("skipped", "partial", "full", "padding queries")


@dataclass(frozen=True, slots=True)
class _Cut:
    """What a picture depends on."""

    mask: Mask
    P: int
    M: int
    q_tile: TileShape
    k_tile: TileShape
    pack: int
    dynamic: bool


def mask_view(step: Step, machine: Machine | SpatialMachine) -> Part | None:
    """The picture of a step's mask; None where no rank is masked. `refused` says why there is none."""
    if len(step.cascade.positions) != 2:
        return None
    cut = _tiles(step, machine)
    panels: list[Part] = []
    hidden = 0
    masks: dict[Mask, int] = {}
    for count, mask in cut.mask.by_head(cut.heads):
        masks[mask] = masks.get(mask, 0) + count
    for mask, heads in masks.items():
        if len(panels) == PANELS:
            hidden = len(masks) - PANELS
            break
        one = _Cut(mask, cut.P, cut.M, cut.q_tile, cut.k_tile, cut.pack, cut.dynamic)
        panels.append({"heads": heads, **_panel(one)})
    return {"schedule": cut.schedule, "heads": cut.heads, "panels": panels, "hidden": hidden}


def _tiles(step: Step, machine: Machine | SpatialMachine) -> Tiling:
    """The schedule's tiles; default ones where it has none of queries and keys."""
    from attnsim.machine.spatial import SpatialMachine

    if not isinstance(machine, SpatialMachine):
        try:
            return tiling(step.spec, step.document, machine, step.schedule)
        except UsageError:
            pass
    return tiling(step.spec, step.document, None)


@lru_cache(maxsize=128)
def _panel(cut: _Cut) -> Part:
    part: Part = {
        "description": cut.mask.describe(),
        "queries": cut.P,
        "keys": cut.M,
        "q_tile": shape_text(cut.q_tile),
        "k_tile": shape_text(cut.k_tile),
        "pack": cut.pack,
        "note": "",
    }
    try:
        drawn, classes = _classes(cut)
    except (ValueError, AttnsimError) as error:
        return part | {"refused": str(error)}
    if drawn is not cut:
        part |= {"queries": drawn.P, "keys": drawn.M, "note": f"drawn for {drawn.P} queries and {drawn.M} keys of {cut.P} and {cut.M}"}
    counts = [int((classes == kind).sum()) for kind in range(len(NAMES))]
    return part | _runs(classes) | {"counts": {name: counts[kind] for kind, name in enumerate(NAMES) if counts[kind] or kind != PADDING}}


def _classes(cut: _Cut) -> tuple[_Cut, Classes]:
    """The class of every tile pair, by formula where there is one; else pair by pair, of a smaller sequence if need be."""
    for formula in (_banded, _boxes):
        found = formula(cut)
        if found is not None:
            return cut, found
    from attnsim.mask.tilemap import tile_map

    if cut.P * cut.pack * cut.M > PAIRS:
        cut = replace(cut, P=min(cut.P, TOKENS), M=min(cut.M, TOKENS) if cut.P > 1 else PAIRS // (2 * cut.pack))
        fault = cut.mask.fits(cut.P, cut.M)
        if fault is not None:
            raise ValueError(f"too large to draw pair by pair, and {fault}")
    pairs = tile_map(cut.mask, cut.P, cut.M, cut.q_tile, cut.k_tile, cut.pack, cut.dynamic, limit=PAIRS)
    return cut, pairs.classes


def _banded(cut: _Cut) -> Classes | None:
    """A band and a prefix of keys: what a tile of queries needs follows from its first and its last row."""
    mask = cut.mask
    if not isinstance(mask, Banded) or not isinstance(cut.q_tile, int) or not isinstance(cut.k_tile, int):
        return None
    import numpy as np

    rows, columns = -(-cut.P * cut.pack // cut.q_tile), -(-cut.M // cut.k_tile)
    _check(rows * columns)
    first_row = np.arange(rows) * cut.q_tile
    last_row = np.minimum(first_row + cut.q_tile, cut.P * cut.pack) - 1
    first, last = (row // cut.pack + cut.M - cut.P for row in (first_row, last_row))  # aligned positions
    low = np.arange(columns)[None, :] * cut.k_tile
    high = np.minimum(low + cut.k_tile, cut.M) - 1

    def ahead(at: Any) -> Any:
        return (at + mask.right if mask.right is not None else np.full_like(at, cut.M - 1))[:, None]

    def back(at: Any) -> Any:
        return (at - mask.left if mask.left is not None else np.zeros_like(at))[:, None]

    within = (low <= ahead(last)) & (high >= back(first))
    sunk = (low < mask.sinks) & (low <= ahead(last))
    whole = (high <= ahead(first)) & ((np.maximum(low, mask.sinks) >= back(last)) | (high < mask.sinks))
    full = whole & (low + cut.k_tile <= cut.M)
    return np.where(full, FULL, np.where(within | sunk, PARTIAL, SKIPPED)).astype(np.uint8)


def _boxes(cut: _Cut) -> Classes | None:
    """Boxes of a neighborhood: a pair of boxes is visited if it is on every axis, and full if it is on every axis."""
    mask = cut.mask
    if not isinstance(mask, Neighborhood) or cut.dynamic or not isinstance(cut.q_tile, tuple) or not isinstance(cut.k_tile, tuple):
        return None
    if cut.M != cut.P or cut.pack != 1 or any(axis.dilation > 1 for axis in mask.axes):
        return None
    import numpy as np

    visited = full = np.ones((1, 1), dtype=bool)
    for axis, q, k in zip(mask.axes, cut.q_tile, cut.k_tile, strict=True):
        columns = np.arange(axis.tiles(k))[None, :]
        ((_, ranges),) = axis.ranges(q, k)
        start, end, inner, outer = (
            np.array([getattr(one, name) for one in ranges])[:, None] for name in ("start", "end", "inner", "outer")
        )
        _check(visited.size * len(ranges) * columns.size)
        visited = np.kron(visited, (columns >= start) & (columns < end))
        full = np.kron(full, (columns >= inner) & (columns < outer))
    return np.where(full & visited, FULL, np.where(visited, PARTIAL, SKIPPED)).astype(np.uint8)


def _check(tiles: int) -> None:
    if tiles > TILES:
        raise ValueError(f"{tiles} pairs of tiles are more than a picture shows; see the counts")


def _runs(classes: Classes) -> Part:
    """Rows of tiles as runs [class, tiles, class, tiles ...]; equal rows are kept once and named by their number."""
    kept: dict[bytes, int] = {}
    runs: list[list[int]] = []
    order: list[int] = []
    for line in classes:
        key = line.tobytes()
        if key not in kept:
            kept[key] = len(runs)
            runs.append([int(number) for kind, same in groupby(key) for number in (kind, sum(1 for _ in same))])
        order.append(kept[key])
    rows = [[number, sum(1 for _ in same)] for number, same in groupby(order)]
    return {"tiles": [int(side) for side in classes.shape], "runs": runs, "rows": rows}
