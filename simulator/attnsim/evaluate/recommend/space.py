"""Windows, strides and dilations of a neighborhood mask, and the key tiles that each stride of an axis visits.

Counts of tiles are products of counts by axis (`attnsim.mask.neighborhood`), so strides are counted axis by axis and combined afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from typing import Any, TypeAlias

import numpy as np

from attnsim.mask.axis import Axis
from attnsim.mask.neighborhood import Neighborhood

Ints: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]
Flags: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]
Shape: TypeAlias = tuple[int, ...]

#: Query tiles x strides of an axis beyond which only strides aligned with a query tile are tried.
EVERY_STRIDE = 2**18
#: Windows of an axis beyond which a budget tries only every so many.
EVERY_WINDOW = 256


@dataclass(frozen=True, slots=True)
class Setting:
    """A window and a dilation, one entry an axis. pairs: attended by one head; dense: whether these are all."""

    window: Shape
    dilation: Shape
    pairs: int
    dense: bool


@dataclass(frozen=True, slots=True)
class Strides:
    """Strides of one axis that no smaller one makes useless, ascending, under one pair of tiles.

    visited: key tiles, summed over the query tiles; most: of the query tile with most; apart: whether the kernel's own test finds no tile
    that needs a mask.
    """

    stride: Ints
    visited: Ints
    most: Ints
    apart: Flags


def setting_of(mask: Neighborhood, P: int, M: int, window: Shape, dilation: Shape) -> Setting:
    """The setting of a legal window and dilation. ValueError for one that is not."""
    shape, causal = [axis.extent for axis in mask.axes], [axis.causal for axis in mask.axes]
    pairs = Neighborhood.of(shape, window, None, dilation, causal).pairs(P, M)
    return Setting(window, dilation, pairs, pairs == P * M)


def windows_by_axis(mask: Neighborhood, key_sides: Sequence[Sequence[int]]) -> list[list[int]]:
    """Of every axis: multiples of the sides of its key tiles, the whole axis and the mask's own window."""
    out = []
    for axis, sides in zip(mask.axes, key_sides, strict=True):
        longest = axis.extent // axis.dilation
        found = {axis.window, longest}
        for side in sides:
            step = side * -(-longest // (side * EVERY_WINDOW))
            found.update(range(step, longest + 1, step))
        out.append(sorted(window for window in found if window > 1))
    return out


def maximal(settings: Sequence[Setting], windows: Sequence[Sequence[int]]) -> list[Setting]:
    """Those whose window cannot grow along an axis to the next of `windows` and still be among the settings."""
    known = {setting.window for setting in settings}

    def grown(window: Shape) -> Iterator[Shape]:
        for number, choices in enumerate(windows):
            place = choices.index(window[number]) + 1
            if place < len(choices):
                yield (*window[:number], choices[place], *window[number + 1 :])

    return [setting for setting in settings if not any(larger in known for larger in grown(setting.window))]


def dilations_of(mask: Neighborhood, window: Shape) -> list[Shape]:
    """Every legal dilation of a window."""
    return list(product(*(range(1, axis.extent // width + 1) for axis, width in zip(mask.axes, window, strict=True))))


def stride_choices(axis: Axis, q_sides: Sequence[int], most: int) -> tuple[int, ...]:
    """Strides to try along an axis, at most `most`: all; on very long axes those that divide a query tile's side and its multiples; on
    still longer ones its multiples by powers of two.
    """
    last, tiles = min(axis.window, most), axis.tiles(min(q_sides))
    if last * tiles <= EVERY_STRIDE:
        return tuple(range(1, last + 1))
    divisors = {stride for side in q_sides for stride in range(1, min(side, last) + 1) if side % stride == 0} | {last}
    multiples = {stride for side in q_sides for stride in range(side, last + 1, side)}
    if len(multiples) * tiles > EVERY_STRIDE:
        multiples = {side << power for side in q_sides for power in range((last // side).bit_length())}
    return tuple(sorted(divisors | multiples))


@dataclass(frozen=True, slots=True)
class Least:
    """Fewest key tiles visited along one axis, summed over its query tiles, by any stride; and by any that passes the kernel's test, or
    None. tiles: query tiles of all its groups, those of nothing but padding among them; choices: how many strides there are.
    """

    visited: int
    apart: int | None
    tiles: int
    choices: int


def least_visited(axis: Axis, choices: Shape, q_tile: int, k_tile: int, dynamic: bool) -> Least:
    """Over all the choices of strides."""
    visited, _, groups = tiles_by_stride(axis, np.array(choices, dtype=np.int64), q_tile, k_tile, dynamic)
    totals = (visited * groups).sum(axis=1)
    apart = totals[_apart(axis, choices, q_tile, k_tile)]
    return Least(int(totals.min()), int(apart.min()) if len(apart) else None, int(groups.sum()), len(choices))


def _apart(axis: Axis, choices: Shape, q_tile: int, k_tile: int) -> Flags:
    """Which strides pass the kernel's own test."""
    found: Flags = np.array([replace(axis, stride=stride).starts_apart(k_tile, q_tile) for stride in choices], dtype=bool)
    return found


@lru_cache(maxsize=8192)
def useful_strides(axis: Axis, choices: Shape, q_tile: int, k_tile: int, dynamic: bool, partial: bool) -> Strides:
    """The choices that no smaller one makes useless: one that visits no more from any query tile and passes the kernel's test as well.

    partial: only partly masked tiles cost more, so it must need no more masks either. List scheduling of independent CTAs never ends later
    when none of them takes longer, so what is left out is never faster, whatever the other axes do.
    """
    strides: Ints = np.array(choices, dtype=np.int64)
    visited, full, groups = tiles_by_stride(axis, strides, q_tile, k_tile, dynamic)
    apart = _apart(axis, choices, q_tile, k_tile)
    cost = np.hstack([visited, -full]) if partial else visited
    kept: list[int] = []
    for index in range(len(choices)):
        before = np.array(kept, dtype=np.int64)
        if kept and ((cost[before] <= cost[index]).all(axis=1) & (apart[before] | ~apart[index])).any():
            continue
        kept.append(index)
    return Strides(strides[kept], (visited * groups).sum(axis=1)[kept], visited.max(axis=1)[kept], apart[kept])


def tiles_by_stride(axis: Axis, strides: Ints, q_tile: int, k_tile: int, dynamic: bool) -> tuple[Ints, Ints, Ints]:
    """Key tiles visited and key tiles without a mask, [stride, query tile], and how many groups are like that of each query tile.

    As `Axis.ranges`, for many strides at once.
    """
    visited, full, alike = [], [], []
    first: Ints = np.arange(axis.tiles(q_tile), dtype=np.int64) * q_tile
    last = first + q_tile - 1
    step = strides[:, None]
    for count, length in axis.groups:

        def start(position: Ints, length: int = length) -> Ints:
            base = position // step * step
            if axis.causal:
                ahead: Ints = np.minimum(base + step - 1, length - 1) - axis.window + 1
            else:
                ahead = np.minimum(np.minimum(base + step // 2, length - 1) - axis.window // 2, length - axis.window)
            found: Ints = np.maximum(ahead, 0)
            return found

        def end(position: Ints, length: int = length) -> Ints:
            if axis.causal:
                return np.broadcast_to(np.minimum(position, length - 1) + 1, (len(strides), len(first)))
            return start(position) + axis.window

        low, high = start(first), end(last)
        origin = low if dynamic else np.zeros_like(low)
        inner, outer = start(np.minimum(last, length - 1)), end(first)
        visited.append(-(-(high - origin) // k_tile) - (low - origin) // k_tile)
        full.append(np.where(first < length, np.maximum(0, (outer - origin) // k_tile + -(inner - origin) // k_tile), 0))
        alike.append(np.full(len(first), count, dtype=np.int64))
    return np.hstack(visited), np.hstack(full), np.concatenate(alike)
