"""Walks of many points cut into pieces, as `division` cuts those of one."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from attnsim.evaluate.walks import Rounds
from attnsim.lanes import Diverged, Number, OneByOne, halves, values_of
from attnsim.mask.ragged import MOST_TILES, Ragged, as_ragged

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


def cut(rounds: Rounds, piece: Number, count: Number, at_end: bool, lanes: int) -> Ragged:
    """The pieces of all walks in launch order. piece: tiles of one; 0: those of the walk divided by `count`."""
    ragged = as_ragged(rounds, lanes)
    share = values_of(piece if not isinstance(piece, int) or piece else count, lanes)
    each = np.repeat(share, ragged.runs)
    if isinstance(piece, int) and not piece:
        each = np.ceil(ragged.visited / each)
    pieces = np.ceil(ragged.visited / np.maximum(each, 1))
    total = int((pieces * ragged.count).sum())
    if total > MOST_TILES:
        if lanes == 1:
            raise OneByOne
        raise Diverged(halves(lanes))
    walks = ragged.count.astype(np.int64)  # a run of walks that are alike: the pieces of each follow one another
    each, pieces, visited, partial = (
        np.repeat(values, walks) for values in (each, pieces.astype(np.int64), ragged.visited, ragged.partial)
    )
    offsets = np.concatenate(([0], np.cumsum(np.add.reduceat(pieces, _starts(ragged, walks)))))
    walk = np.repeat(np.arange(len(pieces)), pieces)
    index = np.arange(total) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    last = index == pieces[walk] - 1
    size = np.where(last, visited[walk] - index * each[walk], each[walk])
    masked = _masked_at_end(index, walk, each, pieces, visited, partial) if at_end else _masked_evenly(index, walk, size, pieces, partial)
    return Ragged(offsets.astype(np.int64), np.ones(total), size, np.minimum(size, masked)).merged()


def _starts(ragged: Ragged, walks: Array) -> Array:
    """The first walk of every lane."""
    starts: Array = np.concatenate(([0], np.cumsum(walks)))[ragged.offsets[:-1]]
    return starts


def _masked_at_end(index: Array, walk: Array, each: Array, pieces: Array, visited: Array, partial: Array) -> Array:
    """Masked tiles left for a piece after those behind it."""
    rest = visited - (pieces - 1) * each
    behind = pieces[walk] - 1 - index
    taken = np.where(behind == 0, 0.0, np.minimum(rest, partial)[walk] + np.maximum(behind - 1, 0) * each[walk])
    left: Array = np.maximum(partial[walk] - taken, 0.0)
    return left


def _masked_evenly(index: Array, walk: Array, size: Array, pieces: Array, partial: Array) -> Array:
    """The share of its walk's masked tiles that each piece has, from the last piece to the first."""
    masked, left = np.zeros(len(index)), partial.astype(np.float64).copy()
    first = np.cumsum(pieces) - pieces
    for step in range(int(pieces.max(initial=0)), 0, -1):
        here = np.flatnonzero(pieces >= step)
        at = first[here] + step - 1
        masked[at] = np.minimum(size[at], np.ceil(left[here] / step))
        left[here] -= masked[at]
    return masked
