"""Suite sparse: what its rows say, and that masks, block masks and columns agree with the library's masks."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import yaml

from attnsim.mask.neighborhood import Neighborhood
from attnsim.measure.suites import flexmask, sparse
from attnsim.spec.measurement import ATTENTION, FILE, MEASURED


def test_counts_and_columns() -> None:
    rows = [case.values for case in sparse.cases("cuda", False)]
    assert 70 <= len(rows) <= 100
    assert set(Counter(tuple(sorted((name, str(text)) for name, text in row.items())) for row in rows).values()) == {1}
    for row in rows:
        assert set(ATTENTION) - {"time_us"} <= set(row) <= set(FILE) - (set(MEASURED) - {"suite", "backend"})
    builds = [case.build for case in sparse.cases("cuda", False)]
    assert len(set(builds)) == len(builds) and all(builds)


def test_masks_of_the_column_are_those_of_a_workload() -> None:
    found = 0
    for case in sparse.cases("cuda", False):
        if text := case.values["mask"]:
            mask = yaml.safe_load(str(text))
            made = Neighborhood.of(mask["shape"], mask["window"], mask.get("stride"))
            assert made.pairs(case.values["seqlen_q"], case.values["seqlen_kv"])  # type: ignore[arg-type]
            found += 1
    assert found >= 30


MASKS: dict[str, tuple[flexmask.Mask, int]] = {
    "causal": (flexmask.causal(), 256),
    "window": (flexmask.window(40), 256),
    "both sides": (flexmask.both_sides(33), 256),
    "one axis": (flexmask.neighborhood((256,), (32,)), 256),
    "plane": (flexmask.neighborhood((16, 16), (5, 7)), 256),
    "stride": (flexmask.neighborhood((16, 16), (8, 8), (4, 4)), 256),
    "boxes": (flexmask.neighborhood((16, 16), (5, 7), (), (8, 8)), 256),
    "volume": (flexmask.neighborhood((4, 8, 8), (3, 5, 5), (), (4, 4, 4)), 256),
}


def _seen(mask: flexmask.Mask, tokens: int) -> Any:
    torch = pytest.importorskip("torch")
    at = torch.arange(tokens)
    assert mask.mod is not None
    return mask.mod(0, 0, at[:, None], at[None, :])


@pytest.mark.parametrize("name", [name for name, (mask, _) in MASKS.items() if mask.columns["mask"]])
def test_neighborhoods_have_as_many_pairs_as_the_library_says(name: str) -> None:
    mask, tokens = MASKS[name]
    column = yaml.safe_load(str(mask.columns["mask"]))
    expected = Neighborhood.of(column["shape"], column["window"], column.get("stride")).pairs(tokens, tokens)
    assert int(_seen(mask, tokens).sum()) == expected


@pytest.mark.parametrize("name", MASKS)
def test_block_masks_are_those_that_pytorch_makes(name: str) -> None:
    torch = pytest.importorskip("torch")
    from torch.nn.attention.flex_attention import create_block_mask

    mask, tokens = MASKS[name]
    assert mask.mod is not None
    made = flexmask.block_mask(mask.mod, tokens, 64, "cpu")
    theirs = create_block_mask(mask.mod, None, None, tokens, tokens, device="cpu", BLOCK_SIZE=64)
    assert torch.equal(made.to_dense(), theirs.to_dense())
    assert torch.equal(made.full_kv_num_blocks, theirs.full_kv_num_blocks)


@pytest.mark.parametrize("block", [64, 128])
@pytest.mark.parametrize("name", ["causal", "plane"])
def test_an_uncompiled_row_is_right(name: str, block: int) -> None:
    pytest.importorskip("torch")
    mask, tokens = MASKS[name]
    prepared = sparse.prepare(sparse.Flex(2, 4, 2, tokens, 64, mask, block), "cpu", compiled=False)
    assert len(prepared.calls) >= 2
    assert prepared.check() <= prepared.tolerance
