"""Generalized neighborhood attention on one to three axes (arXiv 2504.16922): a token attends the tokens around it on every axis.

The mask of a pair of tokens is the conjunction of one mask an axis, so counts of pairs, of tiles visited and of whole tiles are products
of counts by axis. Two layouts of tokens: permuted, where a tile is a box of tokens (and dilation groups come one after another), and
flattened, where it is a stretch of the row-major sequence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, product
from math import prod
from typing import TYPE_CHECKING, Any

from attnsim.mask.arith import Number
from attnsim.mask.axis import Axis, Cells, Range
from attnsim.mask.base import Mask, TileShape, TileWalk
from attnsim.spec.mask import illegal_axis

if TYPE_CHECKING:
    import numpy as np
    from sympy import Expr

#: Beyond so many runs of equal tiles a walk keeps how many tiles are alike, no longer in which order they come.
ORDERED_RUNS = 20_000
_CACHED_WALKS = 128
Counted = tuple[int, int, int]  # tiles, visited, full


@dataclass(frozen=True, slots=True)
class Neighborhood(Mask):
    """The tokens of a layout of one to three axes, row-major. Keys beyond the tokens are attended by every query."""

    axes: tuple[Axis, ...]

    @classmethod
    def of(
        cls,
        shape: Sequence[int],
        window: Sequence[int],
        stride: Sequence[int] | None = None,
        dilation: Sequence[int] | None = None,
        causal: Sequence[bool] | None = None,
    ) -> Neighborhood:
        """One entry an axis each. Raises ValueError for what is not legal (NATTEN src/natten/utils/checks.py)."""
        count = len(shape)
        columns = (shape, window, stride or (1,) * count, dilation or (1,) * count, causal or (False,) * count)
        if not 1 <= count <= 3 or any(len(column) != count for column in columns):
            raise ValueError("a neighborhood mask has one to three axes, and one entry an axis in each of its fields")
        axes = tuple(Axis(*entries) for entries in zip(*columns, strict=True))
        for axis in axes:
            fault = illegal_axis(axis.extent, axis.window, axis.stride, axis.dilation)
            if fault is not None:
                raise ValueError(f"{fault[0]}: {fault[1]}")
        return cls(axes)

    @classmethod
    def windows(cls, shape: Sequence[int], window: Sequence[int], shift: Sequence[int], causal: Sequence[bool]) -> Neighborhood:
        """Every axis cut into cells of `window` tokens, the first of `shift` tokens (0: a whole one); a query attends its own cell.

        Cells that the kernels of neighborhood attention know (stride = window) are written as they would be.
        """
        rows = list(zip(shape, window, shift, causal, strict=True))
        if all(extent % cell == 0 and not offset and not after and cell > 1 for extent, cell, offset, after in rows):
            return cls.of(shape, window, window)
        return cls(tuple(Cells(extent, cell, cell, 1, after, offset) for extent, cell, offset, after in rows))

    @property
    def kind(self) -> str:
        """`neighborhood`, or `windows` for cells that no stride gives."""
        return "windows" if self.cells else "neighborhood"

    @property
    def cells(self) -> bool:
        """Whether the axes are cut into cells."""
        return any(isinstance(axis, Cells) for axis in self.axes)

    @property
    def within_causal(self) -> bool:
        """Whether no query attends a token after it in the sequence: for certain on one causal axis."""
        return self.dimensions == 1 and self.axes[0].causal

    @property
    def tokens(self) -> int:
        """Tokens of the layout."""
        return prod(axis.extent for axis in self.axes)

    @property
    def dimensions(self) -> int:
        """Axes of the layout."""
        return len(self.axes)

    @property
    def permuted(self) -> bool:
        """Any layout of several axes, and any dilation."""
        return self.dimensions > 1 or self.axes[0].dilation > 1

    def describe(self) -> str:
        """Such as "neighborhood of 18x24x24 of 30x48x80 tokens, stride 16x8x8"."""
        words = [f"{'windows' if self.cells else 'neighborhood'} of {self._by_axis('window')} of {self._by_axis('extent')} tokens"]
        if any(getattr(axis, "shift", 0) for axis in self.axes):
            words.append(f"shifted by {self._by_axis('shift')}")
        words += (
            []
            if self.cells
            else [f"{name} {self._by_axis(name)}" for name in ("stride", "dilation") if any(getattr(axis, name) > 1 for axis in self.axes)]
        )
        if any(axis.causal for axis in self.axes):
            words.append(f"causal along axis {', '.join(str(number) for number, axis in enumerate(self.axes) if axis.causal)}")
        return ", ".join(words)

    def _by_axis(self, name: str) -> str:
        return "x".join(str(getattr(axis, name)) for axis in self.axes)

    def fits(self, P: int, M: int) -> str | None:
        """P is the number of tokens; M as many, or more by the keys that every query attends."""
        if self.tokens == P and M >= P:
            return None
        return f"the layout {self._by_axis('extent')} of the mask has {self.tokens} tokens: P must be {self.tokens}, and M at least that"

    def _extra(self, P: Number, M: Number) -> int:
        fault = self.fits(P, M)
        if fault is not None:
            raise ValueError(f"{fault}; here P = {P}, M = {M}")
        return int(M - P)

    def pairs(self, P: Number, M: Number) -> Number:
        """Attended pairs: the product over the axes, and the extra keys of every query."""
        extra = self._extra(P, M)
        return prod(axis.pairs() for axis in self.axes) + self.tokens * extra

    def row_blocks(self, P: Number, M: Number, block: Number) -> Number:
        """Key blocks of a query whose keys lie together, as a layout permuted for this mask holds them at best; summed over the queries."""
        return -(-self.pairs(P, M) // block) if isinstance(block, int) else self.pairs(P, M) / block

    def queries(self, P: Number, M: Number) -> Number:
        """All of them: no query is without a key."""
        self._extra(P, M)
        return P

    def keys(self, P: Number, M: Number) -> Number:
        """All of them."""
        self._extra(P, M)
        return M

    def attends(self, P: int, M: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """The mask itself, [P, M], tokens in row-major order and extra keys behind them."""
        import numpy as np

        extra = self._extra(P, M)
        pairs = np.ones((1, 1), dtype=bool)
        for axis in self.axes:
            pairs = np.kron(pairs, axis.attends())
        return np.hstack([pairs, np.ones((P, extra), dtype=bool)])

    def walk(self, P: int, M: int, q_tile: TileShape, k_tile: TileShape, pack: int = 1, dynamic: bool = False) -> TileWalk:
        """Per query tile, the key tiles visited.

        Tiles of one entry an axis: tokens permuted into boxes, as NATTEN's kernels do. They visit the bounding box of what a query tile
        needs, and launch tiles that hold nothing but padding. dynamic: key tiles start at the first key needed (Ampere kernels), not at
        multiples of the tile. Tiles that are ints: stretches of the row-major sequence, where exactly the tiles with a pair are visited.
        """
        extra = self._checked(P, M, q_tile, k_tile, pack)
        if isinstance(q_tile, int) and isinstance(k_tile, int):
            if self.permuted:
                from attnsim.mask.flattened import walk_flattened

                if dynamic:
                    raise ValueError("key tiles that start at the first key needed are boxes: give one entry an axis")
                return walk_flattened(self, extra, q_tile, k_tile)
            q_tile, k_tile = (q_tile,), (k_tile,)
        return _walk(self, extra, _shape(q_tile), _shape(k_tile), dynamic)

    def walk_keys(self, P: int, M: int, k_tile: TileShape, q_tile: TileShape, pack: int = 1) -> TileWalk:
        """Per key tile, the query tiles visited: the same pairs as `walk`, none for key tiles of padding."""
        extra = self._checked(P, M, q_tile, k_tile, pack)
        if isinstance(q_tile, int) and isinstance(k_tile, int):
            if self.permuted:
                from attnsim.mask.flattened import walk_flattened_keys

                return walk_flattened_keys(self, extra, k_tile, q_tile)
            q_tile, k_tile = (q_tile,), (k_tile,)
        return _walk_keys(self, extra, _shape(k_tile), _shape(q_tile))

    def _checked(self, P: int, M: int, q_tile: TileShape, k_tile: TileShape, pack: int) -> int:
        """Extra keys, once all arguments make sense."""
        extra = self._extra(P, M)
        if pack != 1:
            raise ValueError("query heads of a group cannot share the tiles of a neighborhood mask")
        if isinstance(q_tile, int) != isinstance(k_tile, int):
            raise ValueError("query and key tiles are either both boxes of tokens or both stretches of them")
        for tile in (q_tile, k_tile):
            entries = (tile,) if isinstance(tile, int) else tuple(tile)
            if min(entries) < 1:
                raise ValueError(f"tiles must be at least 1, not {tile}")
            if not isinstance(tile, int) and len(entries) != self.dimensions:
                raise ValueError(f"a tile {'x'.join(map(str, entries))} has {len(entries)} axes, but the mask has {self.dimensions}")
        return extra

    def formula(self, P: Any, M: Any, at: tuple[int, int] | None = None) -> tuple[Expr, str]:
        """`pairs` in P, and the sizes it holds for: those of the layout."""
        from sympy import sympify

        pairs = prod(axis.pairs() for axis in self.axes)
        each, rest = divmod(pairs, self.tokens)
        inside = each * sympify(P) if rest == 0 else sympify(pairs)
        return inside + sympify(P) * (sympify(M) - sympify(P)), f"P = {self.tokens}, M >= P"


def _shape(tile: TileShape) -> tuple[int, ...]:
    return (tile,) if isinstance(tile, int) else tuple(tile)


@lru_cache(maxsize=_CACHED_WALKS)
def _walk(mask: Neighborhood, extra: int, q_tile: tuple[int, ...], k_tile: tuple[int, ...], dynamic: bool) -> TileWalk:
    by_axis = [axis.ranges(q, k, dynamic) for axis, q, k in zip(mask.axes, q_tile, k_tile, strict=True)]
    beyond = _ceil(extra, prod(k_tile))

    def summed(count: Callable[[Range], int]) -> int:
        return prod(sum(groups * sum(map(count, row)) for groups, row in axis) for axis in by_axis)

    real = summed(lambda tile: tile.real)
    needed = summed(lambda tile: tile.visited if tile.real else 0) + real * beyond
    full = summed(lambda tile: tile.full_but_padding) + real * beyond
    counts = [[(groups, [(1, tile.visited, tile.full) for tile in row]) for groups, row in axis] for axis in by_axis]
    return TileWalk.of(
        _ordered(counts, beyond, extra // prod(k_tile)),
        prod(q_tile),
        mask.tokens,
        prod(_ceil(axis.extent, k) for axis, k in zip(mask.axes, k_tile, strict=True)) + beyond,
        needed_total=needed,
        block_sparse=full == needed,
        block_sparse_test=all(axis.starts_apart(k, q) for axis, q, k in zip(mask.axes, q_tile, k_tile, strict=True)),
        full_total=full,
    )


@lru_cache(maxsize=_CACHED_WALKS)
def _walk_keys(mask: Neighborhood, extra: int, k_tile: tuple[int, ...], q_tile: tuple[int, ...]) -> TileWalk:
    by_axis = []
    q_tiles = 1
    for axis, q, k in zip(mask.axes, q_tile, k_tile, strict=True):
        q_tiles *= axis.tiles(q) * axis.dilation
        by_axis.append([(groups, _seen_by(row, axis.tiles(k))) for groups, row in axis.ranges(q, k)])
    counts = [[(groups, [(1, *seen) for seen in row]) for groups, row in axis] for axis in by_axis]
    across = prod(_ceil(axis.extent, q) for axis, q in zip(mask.axes, q_tile, strict=True))
    beyond, whole = _ceil(extra, prod(k_tile)), extra // prod(k_tile)
    tail = [(whole, q_tiles, q_tiles), (beyond - whole, q_tiles, 0)]
    return TileWalk.of(
        [*_ordered(counts, 0, 0), *((n, visited, visited - full) for n, visited, full in tail if n)],
        prod(k_tile),
        mask.tokens + extra,
        across,
    )


def _seen_by(row: Sequence[Range], tiles: int) -> list[tuple[int, int]]:
    """Per key tile, the query tiles that visit it and those that need no mask there."""
    visited, full = [0] * (tiles + 1), [0] * (tiles + 1)
    for tile in row:
        visited[tile.start] += 1
        visited[tile.end] -= 1
        if tile.full:
            full[tile.inner] += 1
            full[tile.outer] -= 1
    return list(zip(accumulate(visited[:-1]), accumulate(full[:-1]), strict=True))


def _ordered(axes: list[list[tuple[int, list[Counted]]]], beyond: int, whole: int) -> Iterable[Counted]:
    """(tiles, visited, partial) in tile order, dilation groups outermost, from (groups alike, tiles of each) of every axis.

    beyond, whole: key tiles of extra keys that every query tile visits, and how many of them need no mask.
    """
    alike = [[_merged(row) for _, row in axis] for axis in axes]
    groups = [[number for number, (count, _) in enumerate(axis) for _ in range(count)] for axis in axes]
    most = 1  # runs of the longest group: a tile of an outer axis repeats all the runs inside it
    for rows in reversed(alike):
        most *= max(len(row) if most == 1 else sum(count for count, _, _ in row) for row in rows)
    if most * prod(map(len, groups)) > ORDERED_RUNS:
        return _alike(axes, beyond, whole)
    sequences: dict[tuple[int, ...], list[Counted]] = {}
    runs: list[Counted] = []
    for combination in product(*groups):
        if combination not in sequences:
            sequences[combination] = _sequence([rows[number] for rows, number in zip(alike, combination, strict=True)])
        runs += sequences[combination]
    return [(n, visited + beyond, visited + beyond - full - whole) for n, visited, full in runs]


def _sequence(rows: list[list[Counted]]) -> list[Counted]:
    """(tiles, visited, full) of the boxes of one group, the last axis fastest."""
    sequence: list[Counted] = [(1, 1, 1)]
    for row in reversed(rows):
        longer: list[Counted] = []
        for count, visited, full in row:
            scaled = [(n, visited * v, full * f) for n, v, f in sequence]
            longer += [(scaled[0][0] * count, *scaled[0][1:])] if len(scaled) == 1 else scaled * count
        sequence = _merged(longer)
    return sequence


def _alike(axes: list[list[tuple[int, list[Counted]]]], beyond: int, whole: int) -> list[Counted]:
    """As `_ordered`, tiles that are alike together, those that visit most first."""
    seen: Counter[tuple[int, int]] = Counter({(1, 1): 1})
    for axis in axes:
        here: Counter[tuple[int, int]] = Counter()
        for groups, row in axis:
            for count, visited, full in row:
                here[visited, full] += groups * count
        then: Counter[tuple[int, int]] = Counter()
        for (visited, full), count in seen.items():
            for (v, f), n in here.items():
                then[visited * v, full * f] += count * n
        seen = then
    return [(n, v + beyond, v + beyond - f - whole) for (v, f), n in sorted(seen.items(), reverse=True)]


def _merged(row: Sequence[Counted]) -> list[Counted]:
    out: list[Counted] = []
    for count, visited, full in row:
        if out and out[-1][1:] == (visited, full):
            out[-1] = (out[-1][0] + count, visited, full)
        else:
            out.append((count, visited, full))
    return out


def _ceil(x: int, y: int) -> int:
    return -(-x // y)
