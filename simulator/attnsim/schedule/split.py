"""How many CTAs share one query tile's walk over the keys (split-KV), as the kernels' own heuristics choose."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

from attnsim.lanes import Lanes, Number, count_of, many, maximum, minimum, values_of, where
from attnsim.spec.schedule import Split


def split_count(split: Split, rows: Number, tiles: Number, processors: int, requests: Number = 1) -> Number:
    """Splits of a sequential walk.

    rows: CTAs of the unsplit grid (heads x query tiles); tiles: key tiles of the longest walk; processors: of the machine; requests: batch
    elements of the grid. Rules: ``wave-efficiency`` is FlashAttention's ``num_splits_heuristic`` (flash_api.cpp; reference in each schedule
    file), ``fill`` takes as many splits as fit beside each other in one wave, ``even-share`` is FlashAttention-3's rule for lengths that
    only the device knows (flash_prepare_scheduler.cu): no piece longer than what each slot would get of all tiles and a tenth, and no
    more pieces than ``wave-efficiency`` gives one batch element.
    A ``stream-k`` grid is not split by row; its count is 1 here.
    """
    slots = processors * split.slots_per_processor
    if split.rule == "stream-k" or tiles <= split.min_tiles:
        return 1
    if split.rule == "fill":
        return maximum(1, minimum(minimum(split.maximum, tiles), slots // rows))
    if split.rule == "even-share":
        share = maximum(1, ceil(1.1 * rows * tiles / slots))
        return minimum(ceil(tiles / share), _wave_efficient(split, maximum(1, rows // requests), tiles, slots))
    return _wave_efficient(split, rows, tiles, slots)


def piece_tiles(
    split: Split, walks: tuple[Number, Number, Number], pieces: Callable[[Number], Number], tile: int, processors: int
) -> Number:
    """Longest piece, in tiles, of the rules that cut every walk into pieces of one length; the longest walk, where none is cut.

    walks: (CTAs of the unsplit grid, tiles they visit in all, tiles of the longest); pieces: of all walks, by the tiles of a piece; tile:
    positions of one. ``fill``: the shortest pieces of which all walks together have no more than one wave; ``pieces``: what each slot would
    get of all positions, rounded up to a length the kernel knows.
    """
    slots, (rows, visited, longest) = processors * split.slots_per_processor, walks
    if split.rule == "pieces":
        share = ceil(visited * tile / slots)
        wanted = ceil(share / split.least) * split.least
        for most in sorted(split.pieces, reverse=True):
            wanted = where(share <= most, split.pieces[most], wanted)
        return minimum(longest, ceil(wanted / tile))
    whole = longest <= split.min_tiles or rows > slots
    if whole:
        return longest
    low, high = minimum(longest, maximum(maximum(1, ceil(split.least / tile)), ceil(longest / split.maximum))), longest
    while low < high if not many(low, high) else not _settled(low, high):
        middle = (low + high) // 2
        more = pieces(middle) > slots
        low, high = where(more, minimum(middle + 1, high), low), where(more, high, middle)
    return low


def _settled(low: Number, high: Number) -> bool:
    lanes = count_of(low, high)
    return bool((values_of(low, lanes) >= values_of(high, lanes)).all())


def _wave_efficient(split: Split, rows: Number, tiles: Number, slots: int) -> Number:
    if many(rows, tiles):
        return _wave_efficient_lanes(split, rows, tiles, slots)
    limit = min(split.maximum, tiles, slots)
    if rows >= split.enough * slots:
        return 1
    # A count that leaves the longest share as it was at one split fewer is not eligible.
    eligible = [n for n in range(1, limit + 1) if n == 1 or ceil(tiles / n) != ceil(tiles / (n - 1))]
    efficiency = {n: (rows * n / slots) / ceil(rows * n / slots) for n in eligible}
    best = max(efficiency.values())
    return next(n for n in eligible if efficiency[n] >= split.keep * best)


def _wave_efficient_lanes(split: Split, rows: Number, tiles: Number, slots: int) -> Lanes:
    """The same for many grids at once: every count of every lane."""
    import numpy as np

    lanes = count_of(rows, tiles)
    ctas, walk = (values_of(number, lanes)[:, None] for number in (rows, tiles))
    most = int(min(split.maximum, slots, walk.max()))
    counts = np.arange(1.0, most + 1)
    waves = ctas * counts / slots
    share = np.ceil(walk / counts)
    eligible = counts <= np.minimum(walk, most)
    eligible[:, 1:] &= share[:, 1:] != share[:, :-1]
    efficiency = np.where(eligible, waves / np.ceil(waves), -1.0)
    enough = efficiency >= split.keep * efficiency.max(axis=1, keepdims=True)
    best = counts[(enough & eligible).argmax(axis=1)]
    return Lanes(np.where(ctas[:, 0] >= split.enough * slots, 1.0, best))


def stream_k(total: Number, rows: Number, slots: int, maximum_splits: int) -> tuple[Number, Number, Number]:
    """Equal shares of a linearised tile space (LeanAttention, arXiv 2405.10480; onnxruntime's lean_attention grid rule).

    total: tiles of all walks; rows: walks; slots: CTAs resident at a time; maximum_splits: CTAs that may share one walk.

    Returns:
        (CTAs, tiles of the longer shares, number of the longer shares): the others get one tile fewer.
    """
    few = minimum(maximum(1, ceil(total / 2)), rows * maximum_splits)
    grid = maximum(1, minimum(where(total > 2 * slots, slots, few), total))
    base, extra = divmod(total, grid)
    even = extra == 0
    return grid, where(even, base, base + 1), where(even, grid, extra)
