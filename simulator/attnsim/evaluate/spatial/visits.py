"""The (query tile, key tile) pairs that a schedule goes through under a mask, and how many rows, keys and points they hold.

A schedule that tiles both ranks skips tiles without an attended pair; inside a tile everything is computed. One that does not tile both
applies the mask by value and goes through all of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from attnsim.errors import InfeasibleError
from attnsim.evaluate.spatial.point import SpatialPoint
from attnsim.mask.base import Mask


@dataclass(frozen=True, slots=True)
class Visits:
    """Of one head.

    pairs: tile pairs gone through, `dense` of them without a mask; rows, keys, points: theirs, summed over the pairs; again: rows of the
    pairs that are not the first of their query tile.
    """

    pairs: int
    dense: int
    rows: int
    keys: int
    points: int
    again: int

    @property
    def share(self) -> float:
        """Share of the tile pairs; 1 where none is skipped."""
        return 1 if self.pairs == self.dense else self.pairs / self.dense


def visits(point: SpatialPoint, rows: int | None = None) -> Visits:
    """What is gone through; `rows` for blocks of so many rows in place of the schedule's row tile.

    Raises InfeasibleError for tiles that the mask cannot be cut into.
    """
    P, M = point.sizes[point.query], point.sizes[point.key]
    q_tile, k_tile = point.tiles.get(point.query), point.tiles.get(point.key)
    if q_tile is None or k_tile is None:
        return _visits(None, P, M, rows or q_tile or 1, k_tile or M)
    try:
        return _visits(None if point.mask.kind == "dense" else point.mask, P, M, rows or q_tile, k_tile)
    except ValueError as error:
        raise InfeasibleError(f"schedule {point.schedule.name}: {error}") from None


@lru_cache(maxsize=4096)
def _visits(mask: Mask | None, P: int, M: int, q_tile: int, k_tile: int) -> Visits:
    across, down = -(-M // k_tile), -(-P // q_tile)
    if mask is None:
        return Visits(across * down, across * down, P * across, M * down, P * M, P * (across - 1))
    walk = mask.walk(P, M, q_tile, k_tile)
    # A short last tile holds less than the others; both axes count its visits.
    short_rows, short_keys = down * q_tile - P, across * k_tile - M
    last_row = walk.runs[-1].visited
    last_key = mask.walk_keys(P, M, k_tile, q_tile).runs[-1].visited
    corner = short_rows * short_keys if last_row and last_key else 0
    pairs = walk.visited_total
    points = pairs * q_tile * k_tile - short_rows * k_tile * last_row - short_keys * q_tile * last_key + corner
    rows, keys = pairs * q_tile - short_rows * last_row, pairs * k_tile - short_keys * last_key
    first = sum(run.tiles for run in walk.runs if run.visited) * q_tile - (short_rows if last_row else 0)
    return Visits(pairs, across * down, rows, keys, points, rows - first)
