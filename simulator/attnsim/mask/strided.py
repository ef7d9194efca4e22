"""A local band of blocks beside every query and, in every `stride`-th block, columns that all later queries see.

The static block-sparse patterns of language models: S2-Attention (arXiv 2407.17678; each head keeps other columns), MoA's spans
(arXiv 2406.14909; the band grows with the sequence), sinks in blocks. Counts are sums over tiles of intervals: a band is one interval of
keys per tile of queries, and the columns are the same for all, so a prefix sum over the keys counts them in any interval.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from attnsim.mask.arith import Number, ceil_div, one_size
from attnsim.mask.base import Mask, TileShape, TileWalk
from attnsim.mask.tally import TileCounts, number_formula, stretches

if TYPE_CHECKING:
    import numpy as np
    from sympy import Expr

    Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class Strided(Mask):
    """The query at the aligned position q = p + M - P, in block i = q div block, attends the keys of block j when

    j is local (|i - j| below the local blocks), or j < sinks, or j mod stride = offset (without a stride: none). causal: only keys up to q.
    The local blocks hold alpha + beta * M keys, as far as there are so many, in whole blocks; within: the sinks are among these.
    """

    block: int
    alpha: int
    beta: float = 0.0
    stride: int | None = None
    offset: int = 0
    sinks: int = 0
    causal: bool = True
    within: bool = False

    @classmethod
    def of(cls, block: int, local: int, stride: int | None = None, offset: int = 0, sinks: int = 0, causal: bool = True) -> Strided:
        """local, sinks: in blocks. ValueError for what makes no sense."""
        for name, value, least in (("block", block, 1), ("local", local, 0), ("sinks", sinks, 0), ("stride", stride or 1, 1)):
            if value < least:
                raise ValueError(f"{name} must be at least {least}, not {value}")
        if not 0 <= offset < (stride or 1):
            raise ValueError(f"offset must be 0 to {(stride or 1) - 1}, not {offset}")
        return cls(block, local * block, 0.0, stride, offset, sinks, causal)

    @property
    def kind(self) -> str:
        """`strided`, or `span` for a band that grows with the sequence."""
        return "span" if self.stride is None else "strided"

    def describe(self) -> str:
        """Such as "causal, blocks of 64: 16 local, every 16th from 3"."""
        grows = self.beta or self.alpha % self.block
        local = f"{self.alpha} + {self.beta:g} M keys" if grows else f"{self.alpha // self.block} local"
        words = [f"blocks of {self.block}: {local}"]
        if self.stride is not None:
            words.append(f"every {self.stride}th from {self.offset}")
        if self.sinks:
            words.append(f"the first {self.sinks}" + (" among them" if self.within else ""))
        return ("causal, " if self.causal else "") + ", ".join(words)

    @property
    def within_causal(self) -> bool:
        """Whether no query attends a key after it."""
        return self.causal

    def local(self, M: int) -> int:
        """Blocks of the band, of M keys."""
        keys = min(max(int(self.alpha + self.beta * M), 0), M)
        return max(0, -(-keys // self.block) - (self.sinks if self.within else 0))

    def pairs(self, P: Number, M: Number) -> Number:
        """Attended pairs."""
        return _pairs(self, one_size(P, "P"), one_size(M, "M"))

    def row_blocks(self, P: Number, M: Number, block: Number) -> Number:
        """Key blocks of `block` keys touched by a query, summed over the queries."""
        return int(_counts(self, one_size(P, "P"), one_size(M, "M"), 1, one_size(block, "block"), 1).visited_by_query.sum())

    def queries(self, P: Number, M: Number) -> Number:
        """Queries that attend at least one key."""
        P, M = one_size(P, "P"), one_size(M, "M")
        columns = _Columns.of(self, M)
        if not self.causal:
            before = 0 if columns.below(M) else self.block * (1 - self.local(M))  # earlier bands end before key 0
            return P if columns.below(M) else min(P, max(0, M - before)) if self.local(M) else 0
        first = 0 if self.local(M) else columns.first
        return min(P, max(0, M - first))

    def keys(self, P: Number, M: Number) -> Number:
        """Keys that at least one query attends."""
        P, M = one_size(P, "P"), one_size(M, "M")
        columns, local = _Columns.of(self, M), self.local(M)
        first, last = (M - P) // self.block, (M - 1) // self.block
        low = min(max(0, (first - local + 1) * self.block), M) if local else M
        high = M if local and (self.causal or last + local > 0) else low
        return int(high - low + columns.below(low) + columns.below(M) - columns.below(high))

    def attends(self, P: int, M: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """The mask itself, [P, M]."""
        import numpy as np

        at, keys = (np.arange(P) + M - P)[:, None], np.arange(M)[None, :]
        row, column = at // self.block, keys // self.block
        seen = (abs(row - column) < self.local(M)) | (column < self.sinks)
        if self.stride is not None:
            seen |= column % self.stride == self.offset
        return seen & (keys <= at) if self.causal else seen

    def walk(self, P: int, M: int, q_tile: TileShape, k_tile: TileShape, pack: int = 1, dynamic: bool = False) -> TileWalk:
        """Per query tile, the key tiles visited."""
        rows, keys = stretches(q_tile, k_tile, pack, dynamic)
        return _walk(self, P, M, rows, keys, pack)

    def walk_keys(self, P: int, M: int, k_tile: TileShape, q_tile: TileShape, pack: int = 1) -> TileWalk:
        """Per key tile, the query tiles visited."""
        rows, keys = stretches(q_tile, k_tile, pack)
        return _walk_keys(self, P, M, keys, rows, pack)

    def formula(self, P: Any, M: Any, at: tuple[int, int] | None = None) -> tuple[Expr, str]:
        """`pairs` as a number, and the sizes it holds for. ValueError without `at`: there is no formula for all sizes."""
        return number_formula(self, at)


@dataclass(frozen=True, slots=True, eq=False)
class _Columns:
    """The keys that every query sees as far as they are not after it: `cumulative` counts those of the blocks before each block."""

    block: int
    here: Array
    cumulative: Array

    @classmethod
    def of(cls, mask: Strided, M: int) -> _Columns:
        import numpy as np

        blocks = np.arange(ceil_div(M, mask.block))
        here = blocks < mask.sinks
        if mask.stride is not None:
            here |= blocks % mask.stride == mask.offset
        held = np.minimum(mask.block, M - blocks * mask.block) * here
        return cls(mask.block, np.append(here, False), np.concatenate([[0], np.cumsum(held)]))

    @property
    def first(self) -> int:
        """The first such key; beyond the last key when there is none."""
        found = self.here.nonzero()[0]
        return int(found[0]) * self.block if found.size else self.block * self.here.size

    def below(self, x: Any) -> Any:
        """Such keys before key x (0 to M), a number or an array."""
        block = x // self.block
        return self.cumulative[block] + self.here[block] * (x - block * self.block)


@lru_cache(maxsize=512)
def _pairs(mask: Strided, P: int, M: int) -> int:
    import numpy as np

    columns, block, local = _Columns.of(mask, M), mask.block, mask.local(M)
    first = np.arange((M - P) // block, (M - 1) // block + 1) * block
    low = np.maximum(first, M - P)  # of the queries of a block of them: the first, and one past the last
    high = np.minimum(first + block, M)
    if not mask.causal:
        start, end = _clipped(first - (local - 1) * block, M), _clipped(first + local * block, M)
        end = np.maximum(start, end) if local else start
        each = end - start + columns.below(start) + columns.below(M) - columns.below(end)
        return int(((high - low) * each).sum())
    low, high = np.maximum(low, 0), np.maximum(high, 0)
    start = _clipped(first - (local - 1) * block, M) if local else _clipped(first, M)
    ends = _triangle(high) - _triangle(low)  # sum of q + 1
    if local:
        return int((ends + (high - low) * (columns.below(start) - start)).sum())
    inside = columns.here[start // block]
    return int(((high - low) * (columns.below(start) - inside * start) + inside * ends).sum())


def _clipped(x: Array, M: int) -> Array:
    import numpy as np

    return np.clip(x, 0, M)


def _triangle(x: Array) -> Array:
    total: Array = x * (x + 1) // 2
    return total


@lru_cache(maxsize=512)
def _walk(mask: Strided, P: int, M: int, q_tile: int, k_tile: int, pack: int) -> TileWalk:
    return _counts(mask, P, M, q_tile, k_tile, pack).walk(q_tile, P * pack)


@lru_cache(maxsize=512)
def _walk_keys(mask: Strided, P: int, M: int, k_tile: int, q_tile: int, pack: int) -> TileWalk:
    return _counts(mask, P, M, q_tile, k_tile, pack).walk_keys(k_tile, M)


def _counts(mask: Strided, P: int, M: int, q_tile: int, k_tile: int, pack: int) -> TileCounts:
    import numpy as np

    columns, block, local = _Columns.of(mask, M), mask.block, mask.local(M)
    tile = np.arange(ceil_div(P * pack, q_tile))
    first = tile * q_tile // pack + M - P
    last = (np.minimum((tile + 1) * q_tile, P * pack) - 1) // pack + M - P
    tiles, whole_tiles = ceil_div(M, k_tile), M // k_tile
    edges = np.minimum(np.arange(tiles + 1) * k_tile, M)
    seen, sizes = np.diff(columns.below(edges)), np.diff(edges)

    def band(early: Array, late: Array, stop: Array) -> _Attended:
        """What queries from `early` to `late` see: a band that starts where the early one's does; `stop`: the last key of causality."""
        limit = _clipped(stop + 1, M) if mask.causal else np.full(tile.size, M)
        start = _clipped((early // block - local + 1) * block, M)
        end = limit if mask.causal else _clipped((late // block + local) * block, M)
        return _Attended(columns, start, np.maximum(start, end) if local else start, limit)

    any_query, all_queries = band(first, last, last), band(last, first, first)
    start, end, limit = any_query.start, any_query.end, any_query.limit
    visited = _Tally(seen > 0, start // k_tile, np.where(end > start, -(-end // k_tile), start // k_tile), limit // k_tile)
    visited.single(limit // k_tile, columns.below(limit) > columns.below(limit // k_tile * k_tile))

    start, end, limit = all_queries.start, all_queries.end, all_queries.limit
    begin, full_to = -(-start // k_tile), end // k_tile
    covered = (seen == sizes) & (sizes == k_tile)
    full = _Tally(covered, begin, np.maximum(begin, np.where(end > start, full_to, begin)), limit // k_tile)
    left, right = start // k_tile, end // k_tile
    for mixed, other in ((left, True), (right, right != left)):  # a part of them lies in the band, perhaps the rest in columns
        at = np.minimum(mixed, tiles - 1)
        full.single(mixed, other & (mixed < whole_tiles) & (all_queries.inside(edges[at], edges[at + 1]) == k_tile))
    short = 0
    if whole_tiles < tiles:
        short = int((all_queries.inside(edges[-2] + 0 * tile, edges[-1] + 0 * tile) == M - whole_tiles * k_tile).sum())
    return TileCounts(visited.by_query, full.by_query, visited.by_key, full.by_key, int(full.by_query.sum()) + short)


@dataclass(frozen=True, slots=True, eq=False)
class _Attended:
    """Keys start ... end-1 of each tile of queries, and those of the columns below its limit."""

    columns: _Columns
    start: Array
    end: Array
    limit: Array

    def inside(self, low: Array, high: Array) -> Array:
        """How many of the keys low ... high-1."""
        import numpy as np

        start, end = np.clip(self.start, low, high), np.clip(self.end, low, high)
        most = np.clip(self.limit, low, high)
        before = self.columns.below(np.minimum(start, most)) - self.columns.below(low)
        after = self.columns.below(np.maximum(most, end)) - self.columns.below(end)
        counted: Array = before + end - start + after
        return counted


class _Tally:
    """Tiles low ... high-1 of each tile of queries, and the tiles before `stop` that count through their columns."""

    def __init__(self, column: Array, low: Array, high: Array, stop: Array) -> None:
        import numpy as np

        self.column, self.low, self.high, self.stop = column, low, high, stop
        before = np.concatenate([[0], np.cumsum(column)])
        inside, over = np.minimum(low, stop), np.minimum(high, stop)
        self.by_query: Array = high - low + before[inside] + before[stop] - before[over]
        none = np.zeros_like(low)
        self.by_key: Array = self._covering(low, high) + column * (self._covering(none, inside) + self._covering(over, stop))

    def _covering(self, low: Array, high: Array) -> Array:
        """By tile of keys, the intervals low ... high-1 that hold it."""
        import numpy as np

        size = self.column.size + 1
        counted: Array = np.cumsum(np.bincount(low, minlength=size) - np.bincount(high, minlength=size))[:-1]
        return counted

    def single(self, tile: Array, wanted: Array) -> None:
        """One more tile for each tile of queries where it is wanted and not counted yet."""
        import numpy as np

        at = np.minimum(tile, self.column.size - 1)
        new = wanted & (tile < self.column.size) & ((tile < self.low) | (tile >= self.high)) & ~(self.column[at] & (tile < self.stop))
        self.by_query = self.by_query + new
        self.by_key = self.by_key + np.bincount(at[new], minlength=self.column.size)
