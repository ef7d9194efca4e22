"""One axis of a neighborhood mask: which keys a query attends, and the tiles of keys that a tile of queries visits.

Semantics of NATTEN (arXiv 2504.16922, section 3; csrc/include/natten/cuda/reference/mask.hpp). With dilation d, token x belongs to group
x mod d at position x div d, and attends keys of its own group only. Windows are intervals of positions; their starts and ends never
decrease along a group, and those of neighbours touch, because the stride is at most the window. So a tile of queries needs one
contiguous range of keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np


class Range(NamedTuple):
    """Key tiles of one query tile: start ... end-1 visited, inner ... outer-1 attended whole by all its queries.

    padded: `outer` when keys out of range need no mask; real: whether the tile holds a query.
    """

    start: int
    end: int
    inner: int
    outer: int
    padded: int
    real: bool

    @property
    def visited(self) -> int:
        """Key tiles visited."""
        return self.end - self.start

    @property
    def full(self) -> int:
        """Key tiles that need no mask."""
        return max(0, self.outer - self.inner) if self.real else 0

    @property
    def full_but_padding(self) -> int:
        """Key tiles that need no mask but for keys out of range."""
        return max(0, self.padded - self.inner) if self.real else 0


@dataclass(frozen=True, slots=True)
class Axis:
    """Extent, window, stride, dilation and causality of one axis, in tokens (the window and the stride in positions of a group)."""

    extent: int
    window: int
    stride: int = 1
    dilation: int = 1
    causal: bool = False

    @property
    def groups(self) -> tuple[tuple[int, int], ...]:
        """(number of groups, tokens of each): the first `extent mod dilation` groups hold one token more."""
        short, longer = divmod(self.extent, self.dilation)
        return tuple(pair for pair in ((longer, short + 1), (self.dilation - longer, short)) if pair[0])

    @property
    def dense(self) -> bool:
        """Whether every query attends every key."""
        return self.window == self.extent and not self.causal

    def start(self, position: int, length: int) -> int:
        """First position attended in a group of `length` tokens; a position beyond the last takes the last stride group's."""
        base = position // self.stride * self.stride
        if self.causal:
            return max(min(base + self.stride - 1, length - 1) - self.window + 1, 0)
        leader = min(base + self.stride // 2, length - 1)
        return min(max(leader - self.window // 2, 0), length - self.window)

    def end(self, position: int, length: int) -> int:
        """One past the last position attended."""
        return min(position, length - 1) + 1 if self.causal else self.start(position, length) + self.window

    def pairs(self) -> int:
        """Attended pairs, by closed form."""
        if not self.causal:
            return self.extent * self.window
        return sum(count * self._causal_pairs(length) for count, length in self.groups)

    def _causal_pairs(self, length: int) -> int:
        w, s = self.window, self.stride
        whole, rest = divmod(length, s)
        first = min(w // s, whole)  # stride groups before this one start at position 0
        ramp = whole - first
        starts = s * (ramp * (s - w) + s * (whole * (whole - 1) - first * (first - 1)) // 2) if ramp > 0 else 0
        starts += rest * max(length - w, 0)
        return length * (length + 1) // 2 - starts

    def attends(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """The mask of the axis, [extent, extent]."""
        import numpy as np

        pairs = np.zeros((self.extent, self.extent), dtype=bool)
        for token in range(self.extent):
            group, place = token % self.dilation, token // self.dilation
            length = (self.extent - group + self.dilation - 1) // self.dilation
            keys = range(self.start(place, length), self.end(place, length))
            pairs[token, [group + key * self.dilation for key in keys]] = True
        return pairs

    def tiles(self, tile: int) -> int:
        """Tiles of each group: the axis is padded to whole tiles of all its groups."""
        return -(-self.extent // (tile * self.dilation))

    def ranges(self, q_tile: int, k_tile: int, dynamic: bool = False) -> tuple[tuple[int, tuple[Range, ...]], ...]:
        """(groups alike, the key tiles of each of their query tiles). dynamic: key tiles start at the first key needed."""
        return _ranges(self, q_tile, k_tile, dynamic)

    def starts_apart(self, k_tile: int, q_tile: int) -> bool:
        """The kernel's own test that no visited tile needs a mask: sufficient for even tiles, never necessary.

        NATTEN csrc/include/natten/cuda/fna_hopper/collective/fna_fusion.hpp, is_fully_block_sparse_int.
        """
        return all(self._apart(length, q_tile, k_tile) for _, length in self.groups)

    def _apart(self, length: int, q_tile: int, k_tile: int) -> bool:
        w, s = self.window, self.stride
        if self.causal:
            return False
        if length == w:
            return True
        if s % q_tile or w % k_tile or (length % s and (length - w) % k_tile):
            return False
        if (w // 2 - s // 2) % k_tile == 0:
            return True
        return length % k_tile == 0 and -(-length // s) == 2 and s + s // 2 >= length - w


@dataclass(frozen=True, slots=True)
class Cells(Axis):
    """An axis cut into cells of `window` tokens, the first one `shift` tokens long (0: a whole one), the last one what is left.

    A query attends its own cell, causal: as far as itself. Shifted windows of Swin (arXiv 2103.14030), shifted groups of LongLoRA
    (arXiv 2309.12307).
    """

    shift: int = 0

    @property
    def dense(self) -> bool:
        """Whether every query attends every key."""
        return self.window >= self.extent and self.shift in (0, self.extent) and not self.causal

    def start(self, position: int, length: int) -> int:
        """First position of the cell; a position beyond the last lies in the last one."""
        before = -self.shift % self.window  # of the first cell, tokens that are missing in front
        return max(0, (min(position, length - 1) + before) // self.window * self.window - before)

    def end(self, position: int, length: int) -> int:
        """One past the last position attended."""
        position = min(position, length - 1)
        if self.causal:
            return position + 1
        before = -self.shift % self.window
        return min(length, ((position + before) // self.window + 1) * self.window - before)

    def pairs(self) -> int:
        """Attended pairs, by closed form."""
        first = min(self.shift, self.extent)
        whole, last = divmod(self.extent - first, self.window)
        sizes = ((1, first), (whole, self.window), (1, last))
        return sum(count * (size * (size + 1) // 2 if self.causal else size * size) for count, size in sizes)

    def _apart(self, length: int, q_tile: int, k_tile: int) -> bool:
        return False  # NATTEN's kernels do not know cells


@lru_cache(maxsize=512)
def _ranges(axis: Axis, q_tile: int, k_tile: int, dynamic: bool) -> tuple[tuple[int, tuple[Range, ...]], ...]:
    out: list[tuple[int, tuple[Range, ...]]] = []
    tiles = axis.tiles(q_tile)
    for count, length in axis.groups:
        row: list[Range] = []
        for tile in range(tiles):
            first = tile * q_tile
            last = first + q_tile - 1
            low, high = axis.start(first, length), axis.end(last, length)
            # What all the queries attend: from the start of the last one to the end of the first one.
            inner, outer = axis.start(min(last, length - 1), length), axis.end(first, length)
            origin = low if dynamic else 0
            start = (low - origin) // k_tile
            row.append(
                Range(
                    start,
                    -(-(high - origin) // k_tile),
                    -(-(inner - origin) // k_tile),
                    (outer - origin) // k_tile,
                    -(-(outer - origin) // k_tile) if outer == (high if dynamic else length) else (outer - origin) // k_tile,
                    first < length,
                )
            )
        out.append((count, tuple(row)))
    return tuple(out)
