"""How many CTAs share one query tile's walk over the keys (split-KV), as the kernels' own heuristics choose."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from attnsim.spec.schedule import Split


def split_count(split: Split, rows: int, tiles: int, processors: int, requests: int = 1) -> int:
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
        return max(1, min(split.maximum, tiles, slots // rows))
    if split.rule == "even-share":
        share = max(1, ceil(1.1 * rows * tiles / slots))
        return min(ceil(tiles / share), _wave_efficient(split, max(1, rows // requests), tiles, slots))
    return _wave_efficient(split, rows, tiles, slots)


def piece_tiles(split: Split, walks: Sequence[tuple[int, int]], tile: int, processors: int) -> int:
    """Longest piece, in tiles, of the rules that cut every walk into pieces of one length; the longest walk, where none is cut.

    walks: (CTAs of the unsplit grid, tiles each visits); tile: positions of one. ``fill``: the shortest pieces of which all walks together
    have no more than one wave; ``pieces``: what each slot would get of all positions, rounded up to a length the kernel knows.
    """
    slots, rows = processors * split.slots_per_processor, sum(count for count, _ in walks)
    longest = max(visited for _, visited in walks)
    if split.rule == "pieces":
        share = ceil(sum(count * visited for count, visited in walks) * tile / slots)
        whole = ceil(share / split.least) * split.least
        wanted = next((split.pieces[most] for most in sorted(split.pieces) if share <= most), whole)
        return min(longest, ceil(wanted / tile))
    if longest <= split.min_tiles or rows > slots:
        return longest
    low, high = min(longest, max(1, ceil(split.least / tile), ceil(longest / split.maximum))), longest
    while low < high:
        middle = (low + high) // 2
        if sum(count * ceil(visited / middle) for count, visited in walks) > slots:
            low = middle + 1
        else:
            high = middle
    return low


def _wave_efficient(split: Split, rows: int, tiles: int, slots: int) -> int:
    limit = min(split.maximum, tiles, slots)
    if rows >= split.enough * slots:
        return 1
    # A count that leaves the longest share as it was at one split fewer is not eligible.
    eligible = [n for n in range(1, limit + 1) if n == 1 or ceil(tiles / n) != ceil(tiles / (n - 1))]
    efficiency = {n: (rows * n / slots) / ceil(rows * n / slots) for n in eligible}
    best = max(efficiency.values())
    return next(n for n in eligible if efficiency[n] >= split.keep * best)


def stream_k(total: int, rows: int, slots: int, maximum: int) -> tuple[int, int, int]:
    """Equal shares of a linearised tile space (LeanAttention, arXiv 2405.10480; onnxruntime's lean_attention grid rule).

    total: tiles of all walks; rows: walks; slots: CTAs resident at a time; maximum: CTAs that may share one walk.

    Returns:
        (CTAs, tiles of the longer shares, number of the longer shares): the others get one tile fewer.
    """
    grid = slots if total > 2 * slots else min(max(1, ceil(total / 2)), rows * maximum)
    grid = max(1, min(grid, total))
    base, extra = divmod(total, grid)
    return (grid, base, grid) if extra == 0 else (grid, base + 1, extra)
