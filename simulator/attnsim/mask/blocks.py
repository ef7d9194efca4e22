"""A mask given block by block, as sparse kernels take it: which blocks of keys each block of queries attends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from attnsim.mask.arith import Number, ceil_div, one_size
from attnsim.mask.base import Mask, TileShape, TileWalk
from attnsim.mask.tally import TileCounts, number_formula, stretches

if TYPE_CHECKING:
    import numpy as np
    from sympy import Expr

    Array = np.ndarray[Any, np.dtype[Any]]

_AT_ONCE = 2**22  # entries of an array over (stretches of queries, tiles of keys)


@dataclass(frozen=True)
class Blocks(Mask):
    """Query p and key m attend when the block of (p div q_block, m div k_block) is set; causal: and m is not after p + M - P.

    bits: the blocks, row by row, eight to a byte; q_blocks, k_blocks: how many.
    """

    bits: bytes = field(repr=False)
    q_blocks: int
    k_blocks: int
    q_block: int
    k_block: int
    causal: bool = False

    @classmethod
    def of(cls, blocks: Array, q_block: int, k_block: int, causal: bool = False) -> Blocks:
        """blocks: [q_blocks, k_blocks] booleans. ValueError for sizes below 1."""
        import numpy as np

        if blocks.ndim != 2 or min(blocks.shape) < 1 or min(q_block, k_block) < 1:
            raise ValueError(f"blocks are a table of at least 1 x 1 of at least 1 x 1 pairs, not {blocks.shape} of {q_block} x {k_block}")
        rows, columns = blocks.shape
        return cls(np.packbits(blocks.astype(bool)).tobytes(), rows, columns, q_block, k_block, causal)

    @property
    def kind(self) -> str:
        """`blocks`."""
        return "blocks"

    @cached_property
    def table(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """The blocks, [q_blocks, k_blocks]."""
        import numpy as np

        bits = np.unpackbits(np.frombuffer(self.bits, dtype=np.uint8), count=self.q_blocks * self.k_blocks)
        return bits.reshape(self.q_blocks, self.k_blocks).astype(bool)

    def describe(self) -> str:
        """Such as "37 of 256 blocks of 64x64 pairs, causal"."""
        text = f"{int(self.table.sum())} of {self.table.size} blocks of {self.q_block}x{self.k_block} pairs"
        return f"{text}, causal" if self.causal else text

    @property
    def within_causal(self) -> bool:
        """Whether no query attends a key after it."""
        return self.causal

    def fits(self, P: int, M: int) -> str | None:
        """The blocks have to cover the queries and keys, the last ones perhaps in part."""
        wanted = (ceil_div(P, self.q_block), ceil_div(M, self.k_block))
        if wanted == (self.q_blocks, self.k_blocks):
            return None
        return (
            f"the mask has {self.q_blocks} x {self.k_blocks} blocks of {self.q_block} x {self.k_block} pairs; "
            f"P = {P}, M = {M} need {wanted[0]} x {wanted[1]}"
        )

    def _checked(self, P: Number, M: Number) -> tuple[int, int]:
        sizes = one_size(P, "P"), one_size(M, "M")
        fault = self.fits(*sizes)
        if fault is not None:
            raise ValueError(fault)
        return sizes

    def pairs(self, P: Number, M: Number) -> Number:
        """Attended pairs."""
        return _pairs(self, *self._checked(P, M))

    def row_blocks(self, P: Number, M: Number, block: Number) -> Number:
        """Key blocks of `block` keys touched by a query, summed over the queries."""
        return _counts(self, *self._checked(P, M), 1, one_size(block, "block"), 1).visited

    def queries(self, P: Number, M: Number) -> Number:
        """Queries that attend at least one key."""
        import numpy as np

        P, M = self._checked(P, M)
        rows, held = self.table, self._held(P, self.q_block)
        if not self.causal:
            return int(held[rows.any(axis=1)].sum())
        first = np.where(rows.any(axis=1), rows.argmax(axis=1) * self.k_block, M)  # the first key of a row: seen from then on
        begin = _starts(held)
        return int((held - (first - (M - P) - begin).clip(0, held)).sum())

    def keys(self, P: Number, M: Number) -> Number:
        """Keys that at least one query attends."""
        P, M = self._checked(P, M)
        columns, held = self.table, self._held(M, self.k_block)
        if not self.causal:
            return int(held[columns.any(axis=0)].sum())
        q_held = self._held(P, self.q_block)
        last = self.q_blocks - 1 - columns[::-1].argmax(axis=0)  # the last row of a column sees most of it
        end = (_starts(q_held) + q_held)[last] + M - P
        return int(((end - _starts(held)).clip(0, held) * columns.any(axis=0)).sum())

    @staticmethod
    def _held(size: int, block: int) -> Array:
        """Positions of each block."""
        import numpy as np

        return np.minimum(block, size - np.arange(ceil_div(size, block)) * block)

    def attends(self, P: int, M: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """The mask itself, [P, M]."""
        import numpy as np

        self._checked(P, M)
        seen = self.table[(np.arange(P) // self.q_block)[:, None], (np.arange(M) // self.k_block)[None, :]]
        return seen & (np.arange(M)[None, :] <= (np.arange(P) + M - P)[:, None]) if self.causal else seen

    def walk(self, P: int, M: int, q_tile: TileShape, k_tile: TileShape, pack: int = 1, dynamic: bool = False) -> TileWalk:
        """Per query tile, the key tiles visited."""
        rows, keys = stretches(q_tile, k_tile, pack, dynamic)
        return _counts(self, *self._checked(P, M), rows, keys, pack).walk(rows, P * pack)

    def walk_keys(self, P: int, M: int, k_tile: TileShape, q_tile: TileShape, pack: int = 1) -> TileWalk:
        """Per key tile, the query tiles visited."""
        rows, keys = stretches(q_tile, k_tile, pack)
        return _counts(self, *self._checked(P, M), rows, keys, pack).walk_keys(keys, M)

    def formula(self, P: Any, M: Any, at: tuple[int, int] | None = None) -> tuple[Expr, str]:
        """`pairs` as a number, and the sizes it holds for. ValueError without `at`: there is no formula for all sizes."""
        return number_formula(self, at)


def _starts(held: Array) -> Array:
    return held.cumsum() - held


@lru_cache(maxsize=256)
def _pairs(mask: Blocks, P: int, M: int) -> int:
    import numpy as np

    rows, columns = mask._held(P, mask.q_block), mask._held(M, mask.k_block)
    if not mask.causal:
        return int(rows @ mask.table @ columns)
    # Sum over the queries of a block of min(max(0, q + 1 - start), size): a difference of two ramps.
    total = 0
    begin = _starts(rows) + M - P
    for row, first, count in zip(mask.table, begin.tolist(), rows.tolist(), strict=True):
        start = np.nonzero(row)[0] * mask.k_block
        size = columns[row]

        def ramp(at: Array, first: int = first, count: int = count) -> Array:
            high, low = np.maximum(first + count - at, 0), np.maximum(first - at, 0)
            summed: Array = (high * (high + 1) - low * (low + 1)) // 2
            return summed

        total += int((ramp(start) - ramp(start + size)).sum())
    return total


@lru_cache(maxsize=256)
def _counts(mask: Blocks, P: int, M: int, q_tile: int, k_tile: int, pack: int) -> TileCounts:
    """Tiles visited and full ones, by tile of queries and by tile of keys."""
    import numpy as np

    by_query: list[tuple[Array, Array]] = []
    visited_by_key, full_by_key, full_total = np.zeros(ceil_div(M, k_tile), int), np.zeros(ceil_div(M, k_tile), int), 0
    for visited, full in _tiles(mask, P, M, q_tile, k_tile, pack):
        full_total += int(full.sum())
        if M % k_tile:
            full[:, -1] = False
        by_query.append((visited.sum(axis=1), full.sum(axis=1)))
        visited_by_key += visited.sum(axis=0)
        full_by_key += full.sum(axis=0)
    seen, whole = (np.concatenate(part) for part in zip(*by_query, strict=True))
    return TileCounts(seen, whole, visited_by_key, full_by_key, full_total)


def _tiles(mask: Blocks, P: int, M: int, q_tile: int, k_tile: int, pack: int) -> Iterator[tuple[Array, Array]]:
    """[query tiles, key tiles] visited, and attended whole as far as keys exist; a few query tiles at a time."""
    import numpy as np

    edges = np.minimum(np.arange(ceil_div(M, k_tile) + 1) * k_tile, M)
    some = max(1, _AT_ONCE // (edges.size + mask.k_blocks) * mask.q_block // max(q_tile // pack, mask.q_block))
    tiles = ceil_div(P * pack, q_tile)
    for begin in range(0, tiles, some):
        tile = np.arange(begin, min(begin + some, tiles))
        first, last = tile * q_tile // pack, (np.minimum((tile + 1) * q_tile, P * pack) - 1) // pack
        # A tile of queries cut where blocks end: stretches of one row of blocks each.
        low_row, high_row = first // mask.q_block, last // mask.q_block
        counts = high_row - low_row + 1
        of = np.repeat(np.arange(tile.size), counts)
        heads = np.cumsum(counts) - counts
        row = low_row[of] + np.arange(of.size) - heads[of]
        start, end = np.maximum(first[of], row * mask.q_block), np.minimum(last[of], (row + 1) * mask.q_block - 1)
        table = mask.table[row]
        seen, whole = _by_tile(mask, table, edges, k_tile)
        if mask.causal:
            seen, whole = (
                _before(mask, table, edges, end + 1 + M - P, seen),
                _before(mask, table, edges, start + 1 + M - P, whole, all_=True),
            )
        yield np.logical_or.reduceat(seen, heads), np.logical_and.reduceat(whole, heads)


def _by_tile(mask: Blocks, table: Array, edges: Array, k_tile: int) -> tuple[Array, Array]:
    """[rows, key tiles]: whether any, and whether all of the keys of a tile are attended."""
    import numpy as np

    if k_tile % mask.k_block == 0:
        first = np.arange(0, mask.k_blocks, k_tile // mask.k_block)
        return np.logical_or.reduceat(table, first, axis=1), np.logical_and.reduceat(table, first, axis=1)
    if mask.k_block % k_tile == 0:
        spread = table.repeat(mask.k_block // k_tile, axis=1)[:, : edges.size - 1]
        return spread, spread
    padded = np.pad(table, ((0, 0), (0, 1)))
    before = np.pad(np.cumsum(table, axis=1, dtype=np.int32), ((0, 0), (1, 0)))
    block = edges // mask.k_block
    counted = np.diff(before[:, block] * mask.k_block + padded[:, block] * (edges - block * mask.k_block))
    return counted > 0, counted == np.diff(edges)


def _before(mask: Blocks, table: Array, edges: Array, limit: Array, tiles: Array, all_: bool = False) -> Array:
    """`tiles` as far as their keys come before a limit, one a row; all_: whether all of a tile's keys do and are attended."""
    import numpy as np

    limit = limit.clip(0, edges[-1])
    cut = np.searchsorted(edges, limit, side="right") - 1  # the tile that holds the limit, or begins at it
    out = tiles & (np.arange(edges.size - 1) < cut[:, None])
    if all_:
        return out
    low, rows = edges[cut], np.nonzero(limit > edges[cut])[0]
    for row in rows:  # a part of the tile: from its start to the limit
        first, last = low[row] // mask.k_block, (limit[row] - 1) // mask.k_block
        out[row, cut[row]] = table[row, first : last + 1].any()
    return out
