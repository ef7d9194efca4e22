"""Static and dynamic block-sparse masks through the engine: heads that differ, files, what is refused, laws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import attnsim
from attnsim.errors import InfeasibleError, SpecError

EVERY = ["dense", "causal", "window", "sinks", "windows", "strided", "span", "blocks", "per_head"]
KERNEL = {"extends": "flash-attention-2", "masks": EVERY, "tiles": [{"P": 64, "M": 64, "warps": 4}]}
CAUSAL = {"kind": "causal"}
STRIDED = {"kind": "strided", "block": 64, "local": 4, "stride": 8}


def workload(mask: Any, n: int = 4096, heads: int = 8, groups: int | None = None, batch: int = 2, **fields: Any) -> dict[str, Any]:
    sizes = {"B": batch, "H": heads, "G": groups or heads, "P": n, "M": n, "E": 128, "F": 128}
    base = {"attnsim": 1, "kind": "kernel", "name": "asked", "cascade": "attention-1pass", "dtype": "bf16", "schedule": KERNEL}
    return {**base, "sizes": sizes, "mask": mask, **fields}


def ask(mask: Any, arch: str = "a100_sxm_80gb", **fields: Any) -> Any:
    return attnsim.run(workload(mask, **fields), arch).results[0]


def per_head(*masks: Any) -> dict[str, Any]:
    return {"kind": "per_head", "masks": [{"heads": heads, "mask": mask} for heads, mask in masks]}


def test_heads_that_differ_add_up_to_their_parts():
    causal, sparse = ask(CAUSAL, heads=4), ask(STRIDED, heads=4)
    both = ask(per_head((4, CAUSAL), (4, STRIDED)))
    assert both.flops == causal.flops + sparse.flops
    assert both.ops_by_kind == {kind: causal.ops_by_kind[kind] + sparse.ops_by_kind[kind] for kind in both.ops_by_kind}
    assert both.kernels[0].ctas == causal.kernels[0].ctas + sparse.kernels[0].ctas
    assert both.bytes["l2"] == causal.bytes["l2"] + sparse.bytes["l2"]
    apart = causal.latency_s + sparse.latency_s
    assert 0.8 * apart < both.latency_s < apart, "one grid has one tail where two have two"
    assert both.mask["attended_pairs"] * 2 == causal.mask["attended_pairs"] + sparse.mask["attended_pairs"]
    assert [entry["heads"] for entry in both.mask["by_head"]] == [4, 4]


def test_a_list_of_equal_masks_is_that_mask():
    one, listed = ask(STRIDED), ask(per_head((3, STRIDED), (5, STRIDED)))
    assert listed.latency_s == one.latency_s
    assert listed.mask == one.mask


@pytest.mark.parametrize("order", [["P", "B", "H"], ["P", "H", "B"], ["H", "P", "B"]])
def test_the_order_of_the_grid_keeps_the_work(order):
    kernel = {**KERNEL, "loops": [{"ranks": order, "parallel": "cta"}, {"rank": "M", "sequential": "last-to-first"}]}
    mask = per_head((2, CAUSAL), (6, STRIDED))
    one, reference = ask(mask, schedule=kernel), ask(mask)
    assert one.bytes["l2"] == reference.bytes["l2"]
    assert one.kernels[0].issued_ops == reference.kernels[0].issued_ops
    assert one.latency_s == pytest.approx(reference.latency_s, rel=0.25), "only the tail differs"


def test_query_heads_of_a_group_read_the_keys_of_the_one_that_needs_most():
    """Two query heads share a key head: one attends all of its keys, the other a window of them."""
    window = {"kind": "window", "left": 127}
    sizes = {"B": 1, "H": 4, "G": 2, "P": 1, "M": 4096, "E": 128, "F": 128}
    whole = ask(CAUSAL, sizes=sizes).bytes["hbm"]
    assert ask(per_head((1, CAUSAL), (1, window)), sizes=sizes).bytes["hbm"] == pytest.approx(whole, rel=0.01)
    half = ask(per_head((2, CAUSAL), (2, window)), sizes=sizes).bytes["hbm"]
    assert half == pytest.approx(whole * (4096 + 128) / 8192, rel=0.02)


def test_packed_query_heads_need_the_same_mask():
    packed = {**KERNEL, "pack_groups": "always"}
    with pytest.raises(InfeasibleError, match="packs 4 query heads into a tile, but their masks differ"):
        ask(per_head((2, CAUSAL), (6, STRIDED)), groups=2, schedule=packed)
    assert (
        ask(per_head((4, CAUSAL), (4, STRIDED)), groups=2, schedule=packed).kernels[0].ctas
        == ask(CAUSAL, groups=2, schedule=packed).kernels[0].ctas
    )


def test_kernels_that_do_not_know_a_mask_say_which():
    with pytest.raises(InfeasibleError, match="flash-attention-2 knows no strided mask, only dense, causal, window, sinks"):
        ask(STRIDED, schedule="flash-attention-2")
    with pytest.raises(InfeasibleError, match="knows no per_head mask"):
        ask(per_head((1, CAUSAL), (1, {"kind": "dense"})), schedule="flash-attention-2")
    with pytest.raises(SpecError, match="masks: the mask lists 3 heads, which must divide the 8 query heads"):
        ask(per_head((1, CAUSAL), (2, STRIDED)))


BLOCKS = {"kind": "blocks", "block": 64}


def test_blocks_from_files_are_those_written_out(tmp_path: Path):
    table = np.tri(64, dtype=bool)
    np.save(tmp_path / "mask.npy", table)
    np.savez(tmp_path / "two.npz", mask=table, other=~table)
    text = "attnsim: 1\nkind: kernel\nname: asked\ncascade: attention-1pass\ndtype: bf16\n"
    text += "sizes: {B: 1, H: 2, P: 4096, M: 4096, E: 128, F: 128}\n"
    text += "schedule: {extends: flash-attention-2, masks: [blocks, per_head], tiles: [{P: 64, M: 64, warps: 4}]}\n"
    written = attnsim.run(workload({**BLOCKS, "blocks": table.astype(int).tolist()}, heads=2, batch=1), "a100_sxm_80gb").results[0]
    for mask in ("file: mask.npy", "file: two.npz, array: mask"):
        path = tmp_path / "w.yaml"
        path.write_text(text + f"mask: {{kind: blocks, block: 64, {mask}}}\n")
        assert attnsim.run(path, "a100_sxm_80gb").results[0].mask == written.mask, "a file is looked for beside the workload"
    assert written.mask["tile_pairs_kernel"] == 64 * 65 // 2
    assert written.mask["block_sparse"] is True


def test_a_scipy_matrix_and_an_array_by_head(tmp_path: Path):
    table = np.random.default_rng(0).random((64, 64)) < 0.2
    rows, columns = np.nonzero(table)
    pointers = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=64))])
    sparse = tmp_path / "sparse.npz"
    np.savez(sparse, indices=columns, indptr=pointers, shape=np.array(table.shape), format=np.array(b"csr"), data=np.ones(rows.size))
    one = ask({**BLOCKS, "file": str(sparse)}, heads=2)
    assert one.mask["tile_pairs_kernel"] == table.sum()
    heads = tmp_path / "heads.npy"
    np.save(heads, np.stack([table, np.ones_like(table)]).astype(np.int8))
    two = ask({**BLOCKS, "file": str(heads)}, heads=2)
    assert [entry["tile_pairs_kernel"] for entry in two.mask["by_head"]] == [table.sum(), 4096]


@pytest.mark.parametrize(
    "content, fields, message",
    [
        (None, {}, "mask.file: cannot read .*mask.npy': No such file"),
        (b"not numpy", {}, "mask.file: .* is no .npy or .npz file of an array of 0 and 1"),
        (np.ones((64, 64), float), {}, "mask.file: an array of 0 and 1 .*, not float64"),
        (np.full((64, 64), 2), {}, "mask.file: an array of 0 and 1"),
        (np.array([object()]), {}, "mask.file: .* is no .npy or .npz file"),
        (np.ones(64, bool), {}, r"mask.file: an array \[query blocks, key blocks\] .*, not \[64\]"),
        (np.ones((64, 64), bool), {"array": "mask"}, "mask.array: .* holds one array without a name"),
        (np.ones((64, 63), bool), {}, "P = 4096, M = 4096 need 64 x 64"),
        (np.ones((3, 64, 64), bool), {}, "lists 3 heads|64 x 64"),
    ],
)
def test_files_that_are_no_masks_are_one_clear_line(tmp_path: Path, content, fields, message):
    path = tmp_path / "mask.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        if content.ndim == 3:
            content[1] = False
        np.save(path, content, allow_pickle=True)
    with pytest.raises(SpecError, match=message) as caught:
        ask({**BLOCKS, "file": str(path), **fields})
    assert len(str(caught.value).splitlines()) == 1


def test_masks_larger_than_memory_are_one_clear_line(tmp_path: Path):
    """A sparse matrix of a few bytes can stand for a table that fits nowhere."""
    path = tmp_path / "huge.npz"
    empty = {"indices": np.zeros(0, int), "indptr": np.zeros(2**20 + 1, int), "data": np.zeros(0)}
    np.savez_compressed(path, shape=np.array([2**20, 2**20]), format=np.array(b"csr"), **empty)
    with pytest.raises(SpecError, match="mask.file: 1048576 x 1048576 blocks are more than 1073741824.*use larger blocks"):
        ask({**BLOCKS, "file": str(path)})
    layout = {"kind": "neighborhood", "shape": [512, 512, 64], "window": [8, 8, 8]}
    flat = {"extends": "flash-attention-2", "masks": ["neighborhood"]}
    with pytest.raises(InfeasibleError, match="choose larger tiles, or tiles with one entry an axis"):
        ask(layout, n=512 * 512 * 64, heads=1, batch=1, schedule=flat)
    with pytest.raises(InfeasibleError, match="inputs and outputs take .*; hbm of a100_sxm_80gb holds 80.0 GB"):
        ask({**layout, "shape": [512, 512, 512]}, n=2**27, heads=2, batch=1, schedule=flat)


# --- laws ---

SPANS = st.builds(
    lambda alpha, beta: {"kind": "span", "alpha": alpha, "beta": beta}, st.integers(64, 512), st.sampled_from([0.0, 0.25, 1.0])
)
COLUMNS = st.builds(
    lambda local, stride: {"kind": "strided", "block": 64, "local": local, "stride": stride}, st.integers(1, 8), st.integers(1, 8)
)
MASKS = SPANS | COLUMNS


@settings(max_examples=40, deadline=None)
@given(MASKS, MASKS, st.sampled_from([512, 1000, 2048]))
def test_sparse_heads_are_no_slower_than_causal_ones_and_no_faster_than_the_bound(one, other, n):
    sparse, causal = ask(per_head((1, one), (1, other)), n=n, heads=4), ask(CAUSAL, n=n, heads=4)
    assert sparse.lower_bound_s <= sparse.latency_s
    assert sparse.lower_bound_s <= causal.lower_bound_s
    assert sparse.latency_s <= causal.latency_s * (1 + 1e-9)
    assert sparse.flops <= causal.flops
