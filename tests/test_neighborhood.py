"""Neighborhood attention through the engine: tiles, masks, permutation, the model around the kernel, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import attnsim
from attnsim.errors import AttnsimError, InfeasibleError, SpecError
from attnsim.evaluate.endtoend import end_to_end, model_speedup
from attnsim.spec.workload import EndToEnd

VIDEO = [30, 48, 80]
BOXES = {"q": [4, 8, 8], "kv": [2, 8, 8]}


def workload(
    shape: list[int], window: Any, stride: Any = 1, *, schedule: Any = "natten-blackwell", heads: int = 24, **fields: Any
) -> dict[str, Any]:
    tokens = 1
    for extent in shape:
        tokens *= extent
    return {
        "attnsim": 1, "kind": "kernel", "name": "asked", "cascade": "attention-1pass", "dtype": "bf16", "schedule": schedule,
        "sizes": {"B": 1, "H": heads, "P": tokens, "M": tokens, "E": 128, "F": 128},
        "mask": {"kind": "neighborhood", "shape": shape, "window": window, "stride": stride}, **fields,
    }  # fmt: skip


def ask(*args: Any, arch: str = "b200", sets: tuple[str, ...] = (), **fields: Any) -> Any:
    return attnsim.run(workload(*args, **fields), arch, sets=sets).results[0]


def hunyuan(stride: Any, **fields: Any) -> Any:
    return ask(VIDEO, [18, 24, 24], stride, schedule={"extends": "natten-blackwell", "tiles": BOXES}, **fields)


def test_the_answer_reports_the_tiles_of_the_kernel() -> None:
    mask = hunyuan([2, 1, 8]).to_dict()["mask"]
    assert mask["attended_pairs"] == 115200 * 18 * 24 * 24
    assert (mask["q_tiles"], mask["tile_pairs_kernel"], mask["tile_pairs_dense"]) == (480, 54000, 24840)
    assert (mask["max_kv_tiles"], mask["speedup_worst_tile"], mask["speedup_mean_tile"]) == (150, 6.0, 8.0)
    assert mask["flop_speedup"] == pytest.approx(11.1111111, rel=1e-8)
    assert (mask["block_sparse"], mask["block_sparse_natten"], mask["masked_tile_cost"]) == (False, False, 1.537)
    assert mask["permute_bytes"] == 8 * 115200 * 24 * 128 * 2


def test_a_kernel_masks_all_tiles_or_none() -> None:
    """Issued mask operations are none here; the cost of masking is a factor on every tile visited."""
    masked, whole = hunyuan(1), hunyuan([16, 8, 8])
    tiles = masked.mask["tile_pairs_kernel"] / whole.mask["tile_pairs_kernel"]
    (first,) = [kernel for kernel in masked.kernels if kernel.name == "natten-blackwell"]
    (second,) = [kernel for kernel in whole.kernels if kernel.name == "natten-blackwell"]
    assert first.latency_s / second.latency_s == pytest.approx(1.537 * tiles, rel=0.05)
    assert not whole.mask["tile_pairs_partial"] and masked.mask["tile_pairs_partial"] < masked.mask["tile_pairs_kernel"]


def test_permutation_is_charged_to_the_operation_only_where_it_is_done() -> None:
    each, model, nobody = (hunyuan(1, conditions={"permute": word}) for word in ("per_op", "per_model", "none"))
    assert [kernel.name for kernel in each.kernels] == ["permute", "natten-blackwell", "unpermute"]
    assert [kernel.name for kernel in nobody.kernels] == ["natten-blackwell"]
    assert model.latency_s == nobody.latency_s < each.latency_s
    assert nobody.mask["permute_bytes"] == 0
    one_axis = ask([32768], 2048)
    assert [kernel.name for kernel in one_axis.kernels] == ["natten-blackwell"]
    dilated = ask([32768], 2048, sets=("mask.dilation=2",))
    assert [kernel.name for kernel in dilated.kernels] == ["permute", "natten-blackwell", "unpermute"]


def test_a_whole_window_is_dense_attention() -> None:
    dense = ask(VIDEO, -1)
    assert dense.mask["density"] == 1 and dense.mask["block_sparse"] and [kernel.name for kernel in dense.kernels] == ["natten-blackwell"]
    assert hunyuan(1).latency_s < dense.latency_s


def test_the_model_around_the_kernel() -> None:
    asked = {"share": 0.607, "steps": 50, "dense_steps": 15}
    found = hunyuan(1, conditions={"permute": "none"}, end_to_end=asked).to_dict()["end_to_end"]
    share = 0.607 * 35 / 50
    assert found["speedup"] == pytest.approx(1 / (1 - share + share / found["op_speedup"]), rel=1e-12)
    assert found["natten_sim"] == pytest.approx(1 / (1 - share + share / 3.3), rel=1e-12)  # 3.27, printed as 3.3
    assert found["speedup_flop"] == pytest.approx(1 / (1 - share + share * 0.09), rel=1e-12)
    once = hunyuan(1, conditions={"permute": "per_model"}, end_to_end={**asked, "layers": 60}).end_to_end
    each = hunyuan(1, conditions={"permute": "per_op"}, end_to_end=asked).end_to_end
    assert each["speedup"] < once["speedup"] < found["speedup"]


@given(st.floats(0, 1), st.integers(1, 100), st.data(), st.floats(1, 1000))
def test_a_model_gains_no_more_than_its_attention(share: float, steps: int, data: st.DataObject, speedup: float) -> None:
    asked = EndToEnd(share=share, steps=steps, dense_steps=data.draw(st.integers(0, steps)))
    gained = model_speedup(asked, speedup)
    assert 1 - 1e-12 <= gained <= speedup * (1 + 1e-12)
    assert asked.dense_steps < steps or gained == 1


@pytest.mark.parametrize(("worst", "printed"), [(3.2727, 3.3), (1.746, 1.8), (1.744, 1.7), (10.24, 10.2)])
def test_nattensim_rounds_twice(worst: float, printed: float) -> None:
    found = end_to_end(EndToEnd(share=1.0), 1.0, 1.0, 0.0, 1.0, worst)
    assert found["natten_sim"] == pytest.approx(printed, rel=1e-12)


@st.composite
def video(draw: st.DrawFn) -> tuple[list[int], list[int], list[int]]:
    shape = draw(st.lists(st.integers(8, 40), min_size=1, max_size=3))
    window = [draw(st.integers(2, extent)) for extent in shape]
    return shape, window, [draw(st.integers(1, w)) for w in window]


@settings(max_examples=60, deadline=None)
@given(
    video(),
    st.sampled_from(
        (("b200", "natten-blackwell"), ("h100_sxm", "natten-hopper"), ("a100_sxm_80gb", "natten-ampere"), ("h100_sxm", "naive"))
    ),
)
def test_laws(question: tuple[list[int], list[int], list[int]], where: tuple[str, str]) -> None:
    """No answer beats its lower bound, and a mask never costs more pairs, tiles or bound than no mask."""
    arch, schedule = where
    found = ask(*question, arch=arch, schedule=schedule, heads=4)
    dense = ask(question[0], -1, arch=arch, schedule=schedule, heads=4)
    assert found.lower_bound_s <= found.latency_s
    assert found.flops <= dense.flops and found.lower_bound_s <= dense.lower_bound_s * (1 + 1e-12)
    if schedule != "naive":
        assert found.mask["tile_pairs_needed"] <= found.mask["tile_pairs_kernel"] <= found.mask["tile_pairs_all"]


def test_key_tiles_that_start_at_the_first_key_are_fewer() -> None:
    moved = ask([96, 96], 25, arch="a100_sxm_80gb", schedule="natten-ampere").mask
    fixed = ask([96, 96], 25, arch="a100_sxm_80gb", schedule={"extends": "natten-ampere", "key_tiles": "static"}).mask
    assert moved["tile_pairs_kernel"] < fixed["tile_pairs_kernel"]


def test_keys_beyond_the_layout_are_seen_by_every_query() -> None:
    plain = hunyuan([16, 8, 8])
    more = attnsim.run(
        workload(VIDEO, [18, 24, 24], [16, 8, 8], schedule={"extends": "natten-blackwell", "tiles": BOXES}), "b200", sets=["sizes.M=115456"]
    ).results[0]
    assert more.mask["attended_pairs"] - plain.mask["attended_pairs"] == 256 * 115200
    assert more.mask["tile_pairs_kernel"] - plain.mask["tile_pairs_kernel"] == 2 * 480


REFUSED: dict[str, tuple[type[AttnsimError], tuple[str, ...], str]] = {
    "window beyond the axis": (
        SpecError,
        ("mask.window=[18,24,90]",),
        "mask.window.2: must be at most 80 (extent 80 / dilation 1), not 90",
    ),
    "dilated beyond the axis": (
        SpecError,
        ("mask.dilation=[1,3,1]",),
        "mask.window.1: must be at most 16 (extent 48 / dilation 3), not 24",
    ),
    "stride beyond the window": (SpecError, ("mask.stride=[1,25,1]",), "mask.stride.1: must be 1 to 24, the window, not 25"),
    "a window of one": (SpecError, ("mask.window=[18,24,1]",), "mask.window.2: must be at least 2 (or -1 for the whole axis), not 1"),
    "a tile of zero": (SpecError, ("schedule.tiles.q=[0,8,8]",), "must be a whole number of at least 1, not 0"),
    "a tile of two axes": (InfeasibleError, ("schedule.tiles.q=[8,8]",), "a tile 8x8 has 2 axes, but the mask has 3"),
    "another number of tokens": (SpecError, ("sizes.P=1000",), "has 115200 tokens: P must be 115200, and M at least that"),
    "a kernel without such a mask": (InfeasibleError, ("schedule=flash-attention-4",), "knows no neighborhood mask, only dense, causal"),
    "more than memory": (
        InfeasibleError,
        ("mask.shape=[300,480,800]", "sizes.P=115200000", "sizes.M=115200000"),
        "inputs and outputs take",
    ),
    "more dense steps than steps": (SpecError, ("end_to_end.dense_steps=51",), "must be at most 50, the steps, not 51"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_is_one_clear_line(case: str) -> None:
    kind, sets, message = REFUSED[case]
    with pytest.raises(kind) as caught:
        attnsim.run("hunyuanvideo-gna", "b200", sets=list(sets))
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
