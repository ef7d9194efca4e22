"""Tiles of a boolean mask, counted one by one."""

import numpy as np

from attnsim.mask import TileWalk


def tiled(exists: np.ndarray, q_tile: int, k_tile: int, pack: int) -> tuple[np.ndarray, np.ndarray]:
    """Visited and partial tiles, (query tiles, key tiles) booleans each."""
    rows = np.repeat(exists, pack, axis=0)
    n_rows, M = rows.shape
    shape = (-(-n_rows // q_tile), -(-M // k_tile))
    visited, partial = np.zeros(shape, bool), np.zeros(shape, bool)
    for i in range(shape[0]):
        for j in range(shape[1]):
            tile = rows[i * q_tile : (i + 1) * q_tile, j * k_tile : (j + 1) * k_tile]
            visited[i, j] = tile.any()
            partial[i, j] = tile.any() and not (tile.all() and tile.shape[1] == k_tile)
    return visited, partial


def unrolled(walk: TileWalk) -> list[tuple[int, int]]:
    return [(run.visited, run.partial) for run in walk.runs for _ in range(run.tiles)]
