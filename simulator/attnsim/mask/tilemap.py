"""A mask pair by pair with the tiles a kernel cuts it into: what pictures show. It costs time and memory in proportion to P x M.

Stretches: tokens in row-major order, cut every so many rows. Boxes: every axis padded to whole tiles of all its dilation groups, groups
one after another, then boxes, then the tokens of a box, each row-major (NATTEN's token permutation, arXiv 2504.16922, appendix B).
Imports numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import accumulate
from math import prod
from operator import mul
from typing import TYPE_CHECKING, Any

import numpy as np

from attnsim.mask.base import Mask, TileShape
from attnsim.mask.neighborhood import Neighborhood

if TYPE_CHECKING:
    from attnsim.mask.axis import Axis

Array = np.ndarray[Any, np.dtype[Any]]
MOST_TOKENS = 4096
"""Query rows, and keys, that are looked at pair by pair; tiles may pad them to twice as many."""


class TileClass(IntEnum):
    """What a kernel does with a pair of a query tile and a key tile."""

    SKIPPED = 0
    """Never visited: no pair is attended."""
    PARTIAL = 1
    """Visited; a pair is masked, or a key does not exist."""
    FULL = 2
    """Visited, and every pair of a query that exists is attended."""
    EMPTY = 3
    """Visited without an attended pair: all its queries are padding, which boxes of unequal dilation groups have."""


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """The tokens of one side of the matrix, tile by tile.

    tokens: [tiles, rows of a tile], the token of each row, -1 for padding; tile: rows, or sides of the box; groups: dilation groups;
    boxes: boxes of a group by axis, () for stretches; extra: tiles at the end that hold keys beyond the layout, which all queries attend.
    """

    tokens: Array
    tile: TileShape
    groups: int = 1
    boxes: tuple[int, ...] = ()
    extra: int = 0

    def border(self, tile: int) -> int:
        """What begins at a tile: 0 the tile alone, 1 a row of boxes, 2 a plane of them ..., highest a dilation group or extra keys."""
        steps = sorted({step for step in accumulate(reversed(self.boxes), mul) if step > 1})
        own = len(self.tokens) - self.extra
        if tile >= own:
            return len(steps) + 1 if tile == own and self.extra else 0
        return sum(tile % step == 0 for step in steps)


@dataclass(frozen=True, slots=True, eq=False)
class TileMap:
    """The matrix of one head's mask in tile order.

    P, M: queries and keys; pack: query heads that are rows of a tile (row r is query r // pack); rows, columns: queries and keys in
    order; exists: [rows, columns] attended pairs, False for padding; classes: [query tiles, key tiles] TileClass;
    attended: [query tiles, key tiles] attended pairs.
    """

    mask: Mask
    P: int
    M: int
    pack: int
    rows: Order
    columns: Order
    exists: Array
    classes: Array
    attended: Array

    def count(self, kind: TileClass) -> int:
        """Tile pairs of a class."""
        return int((self.classes == kind).sum())

    @property
    def tile_pairs(self) -> int:
        """All tile pairs."""
        return int(self.classes.size)

    @property
    def visited(self) -> int:
        """Tile pairs that the kernel computes."""
        return self.tile_pairs - self.count(TileClass.SKIPPED)

    @property
    def pairs(self) -> int:
        """Attended (row, key) pairs; packed heads count each."""
        return int(self.attended.sum())

    @property
    def efficiency(self) -> float:
        """Attended pairs / pairs of the tiles visited, padding included; 1.0 where nothing is visited."""
        computed = self.visited * self.rows.tokens.shape[1] * self.columns.tokens.shape[1]
        return self.pairs / computed if computed else 1.0


def tile_map(
    mask: Mask, P: int, M: int, q_tile: TileShape, k_tile: TileShape, pack: int = 1, dynamic: bool = False, limit: int = MOST_TOKENS
) -> TileMap:
    """The tiles that `mask.walk` counts, one by one. Arguments as there; limit: most rows and most keys.

    Raises ValueError for what cannot be cut or drawn: more tokens than `limit`, key tiles that start at the first key needed (other
    columns for every query tile), and whatever `mask.walk` refuses.
    """
    for name, tokens in (("P", P * pack), ("M", M)):
        if tokens > limit:
            what = f"{name} = {P} times {pack} packed heads" if name == "P" and pack > 1 else f"{name} = {tokens}"
            raise ValueError(f"{what}: pictures show at most {limit} tokens an axis; `attnsim run` counts the tiles of any size")
    mask.walk(P, M, q_tile, k_tile, pack)
    axes = mask.axes if isinstance(mask, Neighborhood) else ()
    if dynamic and axes:
        raise ValueError(
            "key tiles that start at the first key needed have other columns for every query tile, which no matrix shows; "
            "name static ones (--tile QUERY/KEY), or count them with `attnsim run`"
        )
    if isinstance(q_tile, tuple) and isinstance(k_tile, tuple) and axes:
        rows, columns = _boxes(axes, q_tile), _boxes(axes, k_tile, M - P)
    else:
        rows = _stretches(np.repeat(np.arange(P), pack), _size(q_tile))
        columns = _stretches(np.arange(P if axes else M), _size(k_tile), M - P if axes else 0)
    for order, name in ((rows, "query"), (columns, "key")):
        if order.tokens.size > 2 * limit:
            raise ValueError(
                f"{name} tiles pad the tokens to {order.tokens.size}, more than a picture shows ({2 * limit}); take smaller tiles"
            )
    return _classified(mask, P, M, pack, rows, columns)


def _size(tile: TileShape) -> int:
    return tile if isinstance(tile, int) else prod(tile)


def _padded(tokens: Array, tile: int) -> Array:
    """Tokens cut into tiles: [tiles, tile], the last one padded."""
    tiles = -(-len(tokens) // tile)
    return np.pad(tokens, (0, tiles * tile - len(tokens)), constant_values=-1).reshape(tiles, tile)


def _stretches(tokens: Array, tile: int, extra: int = 0) -> Order:
    beyond = _padded(np.arange(len(tokens), len(tokens) + extra), tile)
    return Order(np.vstack([_padded(tokens, tile), beyond]), tile, extra=len(beyond))


def _boxes(axes: Sequence[Axis], tile: tuple[int, ...], extra: int = 0) -> Order:
    tokens = _permuted(axes, tile, copy_last=False)
    count = prod(axis.extent for axis in axes)
    beyond = _padded(np.arange(count, count + extra), prod(tile))
    boxes = tuple(axis.tiles(side) for axis, side in zip(axes, tile, strict=True))
    return Order(np.vstack([tokens, beyond]), tile, prod(axis.dilation for axis in axes), boxes, len(beyond))


def _permuted(axes: Sequence[Axis], tile: tuple[int, ...], copy_last: bool) -> Array:
    """[tiles, rows of a tile] tokens of boxes. Padding is -1, or with copy_last the last token of its group on every axis."""
    n = len(axes)
    token, real = np.zeros((), dtype=int), np.ones((), dtype=bool)
    for number, (axis, side) in enumerate(zip(axes, tile, strict=True)):
        tiles, d = axis.tiles(side), axis.dilation
        groups = np.arange(d)[:, None, None]
        places = np.broadcast_to(np.arange(tiles * side).reshape(1, tiles, side), (d, tiles, side))
        last = (axis.extent - groups - 1) // d
        shape = [1] * (3 * n)  # groups of all axes, boxes of all axes, rows of all axes
        shape[number], shape[n + number], shape[2 * n + number] = d, tiles, side
        token = token * axis.extent + (np.minimum(places, last) * d + groups).reshape(shape)
        real = real & (places <= last).reshape(shape)
    return (token if copy_last else np.where(real, token, -1)).reshape(-1, prod(tile))


def _classified(mask: Mask, P: int, M: int, pack: int, rows: Order, columns: Order) -> TileMap:
    attends = mask.attends(P, M)
    q, k = rows.tokens, columns.tokens
    exists = attends[q.ravel()][:, k.ravel()]
    exists[q.ravel() < 0] = False
    exists[:, k.ravel() < 0] = False
    attended = exists.reshape(len(q), q.shape[1], len(k), k.shape[1]).sum(axis=(1, 3))
    visited = attended > 0
    queries, keys = (q >= 0).sum(axis=1)[:, None], (k >= 0).sum(axis=1)[None, :]
    full = visited & (attended == queries * keys) & (keys == k.shape[1])
    idle = np.flatnonzero(queries[:, 0] == 0)
    if len(idle) and isinstance(mask, Neighborhood) and isinstance(rows.tile, tuple):
        # Launched all the same; their queries count as copies of the last token of the group (Axis.start).
        copies = _permuted(mask.axes, rows.tile, copy_last=True)[idle]
        needed = np.stack([attends[tile].any(axis=0) for tile in copies])
        visited[idle] = np.where(k >= 0, needed[:, k], False).any(axis=2)
    classes = np.where(full, TileClass.FULL, np.where(visited, np.where(attended > 0, TileClass.PARTIAL, TileClass.EMPTY), 0))
    return TileMap(mask, P, M, pack, rows, columns, exists, classes.astype(np.uint8), attended)
