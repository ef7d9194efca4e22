"""Walks of many points at once are those of each point."""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from attnsim.lanes import Lanes
from attnsim.mask import ragged
from attnsim.mask.banded import Banded
from attnsim.mask.base import TileWalk

tiles = st.sampled_from((1, 16, 48, 64, 128))
sizes = st.lists(st.tuples(st.integers(1, 700), st.integers(1, 700)), min_size=1, max_size=6)
masks = st.builds(
    Banded.of, st.none() | st.integers(0, 400), st.none() | st.integers(0, 300), st.sampled_from((0, 0, 1, 100, 130))
)  # fmt: skip
TOTALS = ("extent", "across", "tile_count", "visited_total", "partial_total", "needed_total", "all_total", "max_visited")


def one(number: Any, lane: int) -> float:
    return float(number.values[lane]) if type(number) is Lanes else float(number)


def check(walk: ragged.LaneWalk, expected: list[TileWalk]) -> None:
    for lane, alone in enumerate(expected):
        runs = slice(walk.runs.offsets[lane], walk.runs.offsets[lane + 1])
        found = list(zip(walk.runs.count[runs].tolist(), walk.runs.visited[runs].tolist(), walk.runs.partial[runs].tolist(), strict=True))
        assert [(n, v, p) for n, v, p in spelt(found)] == [
            (n, v, p) for n, v, p in spelt([(r.tiles, r.visited, r.partial) for r in alone.runs])
        ]
        for name in TOTALS:
            assert one(getattr(walk, name), lane) == getattr(alone, name), name


def spelt(runs: list[Any]) -> list[tuple[float, float, float]]:
    """Runs with equal neighbours together."""
    out: list[tuple[float, float, float]] = []
    for count, visited, partial in runs:
        if out and out[-1][1:] == (visited, partial):
            out[-1] = (out[-1][0] + count, visited, partial)
        else:
            out.append((count, visited, partial))
    return out


@settings(max_examples=200)
@given(masks, sizes, tiles, tiles, st.sampled_from((1, 2, 3, 8)))
def test_walks_of_lanes_are_those_of_each(mask: Banded, points: list[tuple[int, int]], q_tile: int, k_tile: int, pack: int) -> None:
    P, M = (Lanes(np.array(column, dtype=np.float64)) for column in zip(*points, strict=True))
    check(mask.walk(P, M, q_tile, k_tile, pack), [mask.walk(p, m, q_tile, k_tile, pack) for p, m in points])
    check(mask.walk_keys(P, M, k_tile, q_tile, pack), [mask.walk_keys(p, m, k_tile, q_tile, pack) for p, m in points])


@settings(max_examples=100)
@given(masks, sizes, st.sampled_from((64, 128)), st.sampled_from((32, 64)), st.sampled_from((1, 2)), st.sampled_from((1, 2)))
def test_walks_within_larger_blocks(mask: Banded, points: list[tuple[int, int]], q: int, k: int, rows: int, across: int) -> None:
    P, M = (Lanes(np.array(column, dtype=np.float64)) for column in zip(*points, strict=True))
    walk, blocks = mask.walk(P, M, q, k), mask.walk(P, M, q * rows, k * across)
    check(
        walk.within(blocks, rows, across),
        [mask.walk(p, m, q, k).within(mask.walk(p, m, q * rows, k * across), rows, across) for p, m in points],
    )


@given(
    st.lists(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 3), st.integers(0, 1)), min_size=1, max_size=6), min_size=1, max_size=4)
)
def test_one_cta_a_run_and_back(lanes: list[list[tuple[int, int, int]]]) -> None:
    offsets = np.cumsum([0, *(len(runs) for runs in lanes)])
    columns = [np.array([run[place] for runs in lanes for run in runs], dtype=np.float64) for place in range(3)]
    runs = ragged.Ragged(offsets, *columns)
    each = runs.each()
    assert each.count.tolist() == [1] * int(runs.count.sum())
    assert each.ctas.values.tolist() == runs.ctas.values.tolist()
    merged, known = each.merged(), runs.merged()
    assert [merged.count.tolist(), merged.visited.tolist(), merged.partial.tolist(), merged.offsets.tolist()] == [
        known.count.tolist(), known.visited.tolist(), known.partial.tolist(), known.offsets.tolist(),
    ]  # fmt: skip
