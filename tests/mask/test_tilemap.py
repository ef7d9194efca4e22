"""The tiles a picture shows are the tiles the masks count: every tile of random masks against the closed forms of `walk`."""

from __future__ import annotations

import os
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnsim.mask import CAUSAL, DENSE, Banded, Mask, Neighborhood, Strided
from attnsim.mask.tilemap import TileClass, TileMap, tile_map

SKIPPED, PARTIAL, FULL, EMPTY = TileClass
several = settings(max_examples=int(os.environ.get("ATTNSIM_EXAMPLES", "100")))
REACH = st.none() | st.integers(0, 30)
BANDED = st.builds(Banded.of, REACH, REACH, st.integers(0, 20)) | st.sampled_from([DENSE, CAUSAL])
COLUMNS = st.builds(
    Strided.of, st.integers(1, 9), st.integers(0, 4), st.integers(4, 6), st.integers(0, 3), st.integers(0, 2), st.booleans()
)


@st.composite
def neighborhoods(draw: st.DrawFn) -> tuple[Neighborhood, tuple[int, ...], tuple[int, ...]]:
    """A mask of one to three axes, and boxes of queries and of keys."""
    count = draw(st.integers(1, 3))
    rows = []
    for _ in range(count):
        extent = draw(st.integers(2, (0, 80, 14, 6)[count]))
        dilation = draw(st.integers(1, min(4, extent // 2)))
        window = draw(st.integers(2, extent // dilation))
        rows.append((extent, window, draw(st.integers(1, window)), dilation, draw(st.booleans())))
    box = st.tuples(*[st.integers(1, (0, 16, 6, 4)[count])] * count)
    return Neighborhood.of(*zip(*rows, strict=True)), draw(box), draw(box)


def agrees(shown: TileMap, **arguments: int) -> None:
    """Visited and partial tiles of every query tile; the total of pairs."""
    walk = shown.mask.walk(shown.P, shown.M, shown.rows.tile, shown.columns.tile, shown.pack)
    visited = (shown.classes != SKIPPED).sum(axis=1)
    # Whole tiles of extra keys need no mask, so the walk does not count them as partial, even where every query is padding.
    whole = (shown.columns.tokens >= 0).all(axis=1) & (
        np.arange(len(shown.columns.tokens)) >= len(shown.columns.tokens) - shown.columns.extra
    )
    masked = (shown.classes == PARTIAL) | ((shown.classes == EMPTY) & ~whole)
    expected = [(run.visited, run.partial) for run in walk.runs for _ in range(run.tiles)]
    assert list(zip(visited.tolist(), masked.sum(axis=1).tolist(), strict=True)) == expected
    assert len(shown.classes) == walk.tile_count and shown.visited == walk.visited_total
    assert shown.pairs == shown.mask.pairs(shown.P, shown.M) * shown.pack
    assert shown.exists.sum() == shown.pairs


@several
@given(BANDED | COLUMNS, st.integers(1, 60), st.integers(1, 60), st.integers(1, 16), st.integers(1, 16), st.integers(1, 4))
def test_stretches_agree_with_the_walk(mask: Mask, P: int, M: int, q_tile: int, k_tile: int, pack: int) -> None:
    agrees(tile_map(mask, P, M, q_tile, k_tile, pack))


@several
@given(neighborhoods(), st.just(0) | st.integers(0, 30))
def test_boxes_agree_with_the_walk(drawn: tuple[Neighborhood, tuple[int, ...], tuple[int, ...]], extra: int) -> None:
    mask, q_tile, k_tile = drawn
    agrees(tile_map(mask, mask.tokens, mask.tokens + extra, q_tile, k_tile))


@several
@given(neighborhoods(), st.integers(1, 30), st.integers(1, 30), st.just(0) | st.integers(0, 30))
def test_flattened_layouts_agree_with_the_walk(
    drawn: tuple[Neighborhood, tuple[int, ...], tuple[int, ...]], q_tile: int, k_tile: int, extra: int
) -> None:
    mask = drawn[0]
    agrees(tile_map(mask, mask.tokens, mask.tokens + extra, q_tile, k_tile))


@several
@given(neighborhoods(), st.integers(0, 30))
def test_the_matrix_is_the_mask_in_another_order(drawn: tuple[Neighborhood, tuple[int, ...], tuple[int, ...]], extra: int) -> None:
    mask, q_tile, k_tile = drawn
    shown = tile_map(mask, mask.tokens, mask.tokens + extra, q_tile, k_tile)
    rows, columns = shown.rows.tokens.ravel(), shown.columns.tokens.ravel()
    for tokens, count in ((rows, mask.tokens), (columns, mask.tokens + extra)):
        assert sorted(tokens[tokens >= 0]) == list(range(count))
    back = np.zeros((mask.tokens, mask.tokens + extra), dtype=bool)
    inside = shown.exists[rows >= 0][:, columns >= 0]
    back[np.ix_(rows[rows >= 0], columns[columns >= 0])] = inside
    assert (back == mask.attends(*back.shape)).all()


def test_tokens_of_boxes_and_of_dilation_groups() -> None:
    """4 x 4 tokens in boxes of 2 x 2; 5 tokens of dilation 2 in boxes of 2, padded to 8."""
    square = Neighborhood.of((4, 4), (2, 2))
    shown = tile_map(square, 16, 16, (2, 2), (2, 2))
    assert shown.rows.tokens.tolist() == [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]
    assert (shown.rows.groups, shown.rows.boxes, shown.rows.extra) == (1, (2, 2), 0)
    line = Neighborhood.of((5,), (2,), None, (2,))
    shown = tile_map(line, 5, 8, (2,), (2,))
    assert shown.rows.tokens.tolist() == [[0, 2], [4, -1], [1, 3], [-1, -1]]
    assert shown.columns.tokens.tolist() == [[0, 2], [4, -1], [1, 3], [-1, -1], [5, 6], [7, -1]]
    assert (shown.columns.groups, shown.columns.boxes, shown.columns.extra) == (2, (2,), 2)
    # The last query tile is padding alone; the kernel launches it for the keys that the last token of its group would need.
    assert shown.classes.tolist() == [[2, 0, 0, 0, 2, 1], [1, 1, 0, 0, 2, 1], [0, 0, 2, 0, 2, 1], [0, 0, 3, 0, 3, 3]]


def test_packed_heads_share_a_tile() -> None:
    shown = tile_map(CAUSAL, 2, 6, 8, 4, pack=4)
    assert shown.rows.tokens.tolist() == [[0, 0, 0, 0, 1, 1, 1, 1]]
    assert shown.classes.tolist() == [[FULL, PARTIAL]] and shown.pairs == 4 * (5 + 6)
    assert shown.efficiency == 44 / (8 * 8)


def test_counts_of_causal_tiles() -> None:
    shown = tile_map(CAUSAL, 512, 512, 64, 64)
    assert [shown.count(kind) for kind in (FULL, PARTIAL, SKIPPED, EMPTY)] == [28, 8, 28, 0]
    assert shown.pairs == 512 * 513 // 2 and shown.efficiency == shown.pairs / (36 * 64 * 64)
    assert tile_map(Banded.of(0, 0), 4, 1, 4, 1).efficiency == 1 / 4


@pytest.mark.parametrize(
    ("mask", "P", "M", "tiles", "arguments", "says"),
    [
        (DENSE, 8, 5000, (8, 8), {}, "M = 5000: pictures show at most 4096 tokens an axis; `attnsim run` counts"),
        (DENSE, 2048, 8, (8, 8), {"pack": 4}, "P = 2048 times 4 packed heads: pictures show at most 4096"),
        (Neighborhood.of((8, 8), (4, 4)), 64, 64, ((4, 4), (4, 4)), {"dynamic": True}, "start at the first key needed"),
        (Neighborhood.of((8, 8), (4, 4)), 64, 64, ((4, 4, 4), (4, 4)), {}, "has 3 axes, but the mask has 2"),
        (Neighborhood.of((8, 8), (4, 4)), 64, 64, ((4, 4), (100, 100)), {}, "key tiles pad the tokens to 10000"),
        (DENSE, 8, 8, ((4, 4), (4, 4)), {}, "tiles of a sequence have one axis"),
    ],
)
def test_what_cannot_be_drawn_says_why(mask: Mask, P: int, M: int, tiles: tuple[int, int], arguments: dict[str, int], says: str) -> None:
    with pytest.raises(ValueError, match=says.replace("(", r"\(")):
        tile_map(mask, P, M, *tiles, **arguments)


def test_a_banded_mask_has_the_same_tiles_with_dynamic_key_tiles() -> None:
    assert (tile_map(CAUSAL, 16, 16, 4, 4, dynamic=True).classes == tile_map(CAUSAL, 16, 16, 4, 4).classes).all()


def test_tiles_of_one_axis_may_be_written_as_boxes() -> None:
    assert tile_map(CAUSAL, 16, 16, (4,), (8,)).classes.tolist() == tile_map(CAUSAL, 16, 16, 4, 8).classes.tolist()


def test_the_matrix_of_three_axes() -> None:
    shape, window = (4, 8, 8), (2, 4, 4)
    mask = Neighborhood.of(shape, window)
    shown = tile_map(mask, prod(shape), prod(shape), (2, 4, 4), (2, 4, 4))
    assert shown.classes.shape == (8, 8) and shown.pairs == prod(shape) * prod(window)
