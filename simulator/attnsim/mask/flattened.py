"""Tiles of the row-major sequence under a neighborhood mask: what a kernel visits that does not permute its tokens.

The tokens of a tile lie in rows of the last axis. What a stretch of one row needs is a product of ranges, hence one interval of the
sequence for each row of keys; a tile visits every block that such an interval touches. What all tokens of a tile attend is a product of
ranges too, the intersection taken axis by axis. Imports numpy: a tile meets hundreds of intervals.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from attnsim.mask.base import TileWalk
from attnsim.mask.tally import TileCounts

if TYPE_CHECKING:
    from attnsim.mask.axis import Axis
    from attnsim.mask.neighborhood import Neighborhood

Array = np.ndarray[Any, np.dtype[Any]]
#: Most (query tile, key block) pairs that are looked at one by one.
MOST_PAIRS = 2**26
_BUFFER = 2**22  # interval ends that are gathered before they are counted


def walk_flattened(mask: Neighborhood, extra: int, q_tile: int, k_tile: int) -> TileWalk:
    """Per stretch of q_tile tokens, the blocks of k_tile keys with an attended pair. ValueError: more than MOST_PAIRS."""
    return _counts(mask, extra, q_tile, k_tile).walk(q_tile, mask.tokens)


def walk_flattened_keys(mask: Neighborhood, extra: int, k_tile: int, q_tile: int) -> TileWalk:
    """Per block of k_tile keys, the stretches of q_tile tokens that visit it."""
    return _counts(mask, extra, q_tile, k_tile).walk_keys(k_tile, mask.tokens + extra)


@lru_cache(maxsize=64)
def _counts(mask: Neighborhood, extra: int, q_tile: int, k_tile: int) -> TileCounts:
    tokens = mask.tokens
    rows, own = -(-tokens // q_tile), -(-tokens // k_tile)
    blocks = own + -(-extra // k_tile)  # extra keys start a block of their own
    if rows * blocks > MOST_PAIRS:
        raise ValueError(
            f"{tokens} tokens in tiles of {q_tile} x {k_tile} are {rows * blocks} pairs of them, more than {MOST_PAIRS}; "
            f"choose larger tiles, or tiles with one entry an axis"
        )
    visited = np.ones((rows, blocks), dtype=bool)
    visited[:, :own] = _visited(mask, rows, own, q_tile, k_tile)
    held = np.full(own, k_tile)
    held[-1] = tokens - (own - 1) * k_tile
    full = np.ones((rows, blocks), dtype=bool)
    seen: dict[Any, Array] = {}
    for row in range(rows):
        common = _common(mask, row * q_tile, min((row + 1) * q_tile, tokens))
        if common not in seen:
            seen[common] = _per_block(mask, common, own, k_tile) == held
        full[row, :own] = seen[common]
    whole = full.copy()
    whole[:, own - 1] &= held[-1] == k_tile
    whole[:, -1] &= not extra or extra % k_tile == 0
    return TileCounts(visited.sum(axis=1), whole.sum(axis=1), visited.sum(axis=0), whole.sum(axis=0), int(full.sum()))


def _windows(axis: Axis) -> tuple[Array, Array]:
    """By token of an axis: the positions of its group where its window starts and ends."""
    lengths = [(axis.extent - group + axis.dilation - 1) // axis.dilation for group in range(axis.dilation)]
    places = [(token // axis.dilation, lengths[token % axis.dilation]) for token in range(axis.extent)]
    return np.array([axis.start(*place) for place in places]), np.array([axis.end(*place) for place in places])


def _visited(mask: Neighborhood, rows: int, blocks: int, q_tile: int, k_tile: int) -> Array:
    """Whether a tile has a pair in a block: interval starts and ends are counted, and summed along the blocks."""
    width, last = mask.axes[-1].extent, mask.axes[-1]
    step = last.dilation
    starts, ends = _windows(last)
    cuts = np.union1d(np.arange(0, mask.tokens, width), np.arange(0, mask.tokens, q_tile))
    stops = np.append(cuts[1:], mask.tokens)
    line, first, tile = cuts // width, cuts % width, cuts // q_tile
    final = first + (stops - cuts) - 1
    change = np.zeros(rows * (blocks + 1), dtype=np.int64)
    pending: list[tuple[Array, Array]] = []

    def flush() -> None:
        for ends_of, sign in ((0, 1), (1, -1)):
            index = np.concatenate([pair[ends_of] for pair in pending])
            change[:] += sign * np.bincount(index, minlength=change.size)
        pending.clear()

    size = 0
    for lines, key_lines in _key_lines(mask):
        inside = np.isin(line, lines)
        for group in range(step):
            low = first[inside] + (group - first[inside]) % step
            high = final[inside] - (final[inside] - group) % step
            real = low <= high
            if not real.any():
                continue
            begin, end, at = starts[low[real]], ends[high[real]], tile[inside][real]
            if step > 1:  # dilated keys do not touch: each is an interval of its own
                many = end - begin
                at = np.repeat(at, many)
                begin = np.repeat(begin - np.append(0, np.cumsum(many)[:-1]), many) + np.arange(many.sum())
                end = begin + 1
            left = (key_lines[:, None] * width + (group + begin * step)[None, :]) // k_tile
            right = (key_lines[:, None] * width + (group + (end - 1) * step)[None, :]) // k_tile
            pending.append(((at * (blocks + 1) + left).ravel(), (at * (blocks + 1) + right + 1).ravel()))
            size += left.size
        if size > _BUFFER:
            flush()
            size = 0
    if pending:
        flush()
    return np.cumsum(change.reshape(rows, blocks + 1), axis=1)[:, :-1] > 0


def _key_lines(mask: Neighborhood) -> Iterator[tuple[Array, Array]]:
    """Rows of the last axis that need the same rows of keys, and those rows of keys."""
    outer = mask.axes[:-1]
    by_axis: list[list[tuple[Array, Array]]] = []
    for axis in outer:
        starts, ends = _windows(axis)
        alike: dict[tuple[int, int, int], list[int]] = {}
        for token in range(axis.extent):
            alike.setdefault((token % axis.dilation, int(starts[token]), int(ends[token])), []).append(token)
        by_axis.append([(np.array(tokens), g + axis.dilation * np.arange(low, high)) for (g, low, high), tokens in alike.items()])
    for combination in product(*by_axis):
        queries, keys = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
        for axis, (tokens, attended) in zip(outer, combination, strict=True):
            queries = (queries[:, None] * axis.extent + tokens[None, :]).ravel()
            keys = (keys[:, None] * axis.extent + attended[None, :]).ravel()
        yield queries, keys


def _common(mask: Neighborhood, first: int, stop: int) -> tuple[tuple[int, int, int], ...]:
    """Of every axis, (group, start, end) of the positions that all tokens first ... stop-1 attend; start = end for none."""
    out = []
    for number, axis in enumerate(mask.axes):
        inner = prod(other.extent for other in mask.axes[number + 1 :])
        low, high = first // inner, (stop - 1) // inner
        present: Sequence[int] = range(axis.extent)
        if high - low + 1 < axis.extent:
            present = [token % axis.extent for token in range(low, high + 1)]
        groups = {token % axis.dilation for token in present}
        if len(groups) > 1:
            return ()
        group = groups.pop()
        length = (axis.extent - group + axis.dilation - 1) // axis.dilation
        places = [token // axis.dilation for token in present]
        begin, end = max(axis.start(place, length) for place in places), min(axis.end(place, length) for place in places)
        if begin >= end:
            return ()
        out.append((group, begin, end))
    return tuple(out)


def _per_block(mask: Neighborhood, common: tuple[tuple[int, int, int], ...], blocks: int, k_tile: int) -> Array:
    """Keys of each block in a product of ranges."""
    inside = np.zeros(blocks * k_tile, dtype=np.int64)
    if common:
        grid = inside[: mask.tokens].reshape([axis.extent for axis in mask.axes])
        cells = tuple(
            slice(group + begin * axis.dilation, group + (end - 1) * axis.dilation + 1, axis.dilation)
            for axis, (group, begin, end) in zip(mask.axes, common, strict=True)
        )
        grid[cells] = 1
    counts: Array = inside.reshape(blocks, k_tile).sum(axis=1)
    return counts
