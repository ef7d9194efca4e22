"""Cells of tokens (Swin, MaxViT, LongLoRA) against boolean masks, and the neighborhood masks that they equal."""

import numpy as np
import pytest
from brute import tiled, unrolled
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from attnsim.mask import Neighborhood, PerHead, from_spec
from attnsim.spec.mask import MaskSpec

SPEC = TypeAdapter(MaskSpec)


def made(**written):
    return from_spec(SPEC.validate_python(written))


@st.composite
def cells(draw):
    shape = draw(st.lists(st.integers(1, 9), min_size=1, max_size=3))
    window = [draw(st.integers(1, extent)) for extent in shape]
    shift = [draw(st.integers(0, side - 1)) for side in window]
    causal = [draw(st.booleans()) for _ in shape]
    return {"shape": shape, "window": window, "shift": shift, "causal": causal}


def attended(shape, window, shift, causal) -> np.ndarray:
    """Two tokens attend one another on an axis when no border of a cell lies between them."""
    pairs = np.ones((1, 1), bool)
    for extent, side, first, after in zip(shape, window, shift, causal, strict=True):
        borders = set(range(first, extent, side))
        cell = np.cumsum([token in borders for token in range(extent)])
        here = cell[:, None] == cell[None, :]
        pairs = np.kron(pairs, here & np.tri(extent, dtype=bool) if after else here)
    return pairs


@settings(max_examples=300)
@given(cells(), st.integers(1, 12), st.integers(1, 12))
def test_counts_and_stretches_equal_brute_force(written, q_tile, k_tile):
    mask, exists = made(kind="windows", **written), attended(**written)
    P = len(exists)
    assert (mask.attends(P, P) == exists).all()
    assert mask.pairs(P, P) == exists.sum()
    assert mask.keys(P, P) == exists.any(axis=0).sum() == P
    visited, partial = tiled(exists, q_tile, k_tile, 1)
    if mask.permuted:
        assert unrolled(mask.walk(P, P, q_tile, k_tile)) == list(zip(visited.sum(axis=1), partial.sum(axis=1), strict=True))


@settings(max_examples=300)
@given(cells(), st.data())
def test_boxes_equal_brute_force(written, data):
    """A tile of queries visits every box of keys between those it needs: axis by axis."""
    mask = made(kind="windows", **written)
    tiles = [[data.draw(st.integers(1, 5)) for _ in written["shape"]] for _ in "qk"]
    P = int(np.prod(written["shape"]))
    visited = np.ones((1, 1), int)
    for number, extent in enumerate(written["shape"]):
        one = attended(*([written[name][number]] for name in ("shape", "window", "shift", "causal")))
        seen, _ = tiled(one, tiles[0][number], tiles[1][number], 1)
        assert seen.shape[0] == -(-extent // tiles[0][number])
        visited = np.kron(visited, seen)
    walk = mask.walk(P, P, tuple(tiles[0]), tuple(tiles[1]))
    assert walk.visited_total == walk.needed_total == visited.sum()


def test_unshifted_windows_are_blocked_neighborhoods():
    assert made(kind="windows", shape=[56, 56], window=7) == Neighborhood.of((56, 56), (7, 7), (7, 7))
    shifted = made(kind="windows", shape=[56, 56], window=7, shift=3)
    assert shifted.kind == "windows"
    assert shifted.describe() == "windows of 7x7 of 56x56 tokens, shifted by 3x3"
    assert shifted.pairs(3136, 3136) == (7 * 49 + 9 + 16) ** 2  # cells of 3, seven times 7, and 4 tokens along each axis
    assert made(kind="windows", shape=[10], window=4).kind == "windows", "a short last window stays short; a neighborhood's would not"


def test_grid_attention_is_dilated():
    mask = made(kind="grid", shape=[56, 28], grid=[7, 14])
    assert mask == Neighborhood.of((56, 28), (7, 14), None, (8, 2))
    exists = mask.attends(56 * 28, 56 * 28)
    rows, columns = np.divmod(np.arange(56 * 28), 28)
    assert (exists == ((rows[:, None] - rows) % 8 == 0) & ((columns[:, None] - columns) % 2 == 0)).all()


def test_shifted_groups_of_longlora():
    """Half of the heads attend groups of a quarter of the sequence, the other half groups shifted by half a group."""
    group = {"kind": "windows", "shape": 8192, "window": 2048, "causal": True}
    mask = made(kind="per_head", masks=[{"heads": 16, "mask": group}, {"heads": 16, "mask": {**group, "shift": 1024}}])
    assert isinstance(mask, PerHead)
    straight, shifted = 4 * 2048 * 2049 // 2, 3 * 2048 * 2049 // 2 + 2 * 1024 * 1025 // 2
    assert [part.pairs(8192, 8192) for _, part in mask.by_head(32)] == [straight, shifted]
    assert mask.pairs(8192, 8192) == (straight + shifted) // 2
    assert mask.within_causal


@pytest.mark.parametrize(
    "written, place, message",
    [
        ({"kind": "windows", "shape": [8, 8], "window": [9, 4]}, ("window", 0), "must be 1 to 8"),
        ({"kind": "windows", "shape": [8, 8], "window": 4, "shift": [0, 4]}, ("shift", 1), "must be 0 to 3"),
        ({"kind": "windows", "shape": [8, 8], "window": [4]}, ("window",), "one entry for each of the 2 axes"),
        ({"kind": "windows", "shape": [], "window": 4}, ("shape",), "1 to 3 axes, not 0"),
        ({"kind": "grid", "shape": [8, 9], "grid": 4}, ("grid", 1), "divide 9"),
        ({"kind": "grid", "shape": [0], "grid": 4}, ("shape", 0), "at least 1 token"),
    ],
)
def test_what_is_not_legal_is_refused_at_its_place(written, place, message):
    with pytest.raises(ValueError, match=message) as caught:
        SPEC.validate_python(written)
    assert caught.value.errors()[0]["ctx"]["error"].loc == place
