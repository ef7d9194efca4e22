"""Points answered at once have the answers they have alone: every number of them, to 1e-9, and every word."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnsim.api.documents import workload_document
from attnsim.evaluate.estimate import Estimate
from attnsim.explore.answer.scalar import Group, answer_one_by_one
from attnsim.explore.answer.vector import answer_together, answers_together
from attnsim.machine.load import load_machine

FIELDS = [entry.name for entry in dataclasses.fields(Estimate) if entry.name not in ("assumptions", "kernels")]
KERNELS: dict[str, tuple[str | None, ...]] = {
    "a100_sxm_80gb": (
        None,
        "flash-attention-1",
        "flash-attention-2",
        "flash-decoding",
        "lean-attention",
        "flex-attention",
        "vllm-fa2-decode",
    ),
    "h100_sxm": (
        None,
        "flash-attention-3",
        "cudnn",
        "flashinfer-decode",
        "flashinfer-decode-cuda",
        "flex-attention-64",
        "flash-attention-2",
    ),
    "h200": (None, "flash-attention-2", "cudnn", "sglang-fa3-prefill", "sglang-fa3-decode", "naive", "pytorch-eager"),
    "b200": (None, "flash-attention-4", "trtllm-gen-decode", "trtllm-gen-prefill", "cudnn", "natten-blackwell"),
    "mi300x": (None, "flash-attention-2"),
    "epyc_7763": (None, "cpu-flash", "naive"),
}
length = st.integers(1, 300) | st.integers(300, 9000) | st.sampled_from((128, 1024, 4096, 8192, 16384))


@st.composite
def masks(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(("dense", "causal", "causal", "window", "sinks")))
    mask: dict[str, Any] = {"kind": kind}
    if kind in ("window", "sinks"):
        mask |= {"left": draw(st.integers(0, 3000)), "right": draw(st.sampled_from((0, 0, 64)))}
    if kind == "sinks":
        mask["sinks"] = draw(st.integers(1, 200))
    return mask


@st.composite
def groups(draw: st.DrawFn) -> Group:
    count = draw(st.integers(4, 9))
    shape = draw(st.sampled_from(("self", "decode", "any")))
    keys = [draw(length) for _ in range(count)]
    queries = keys if shape == "self" else [1] * count if shape == "decode" else [draw(length) for _ in range(count)]
    heads = [draw(st.sampled_from((1, 2, 8))) for _ in range(count)]
    group = [draw(st.sampled_from((1, 1, 4, 8))) for _ in range(count)]
    batch = [draw(st.integers(1, 40)) for _ in range(count)]
    columns = {"B": batch, "H": [g * h for g, h in zip(group, heads, strict=True)], "G": heads, "P": queries, "M": keys}
    if draw(st.booleans()):
        columns["E"] = columns["F"] = [draw(st.sampled_from((64, 128, 96))) for _ in range(count)]
    cascade = draw(st.sampled_from(("attention-1pass",) * 8 + ("attention-3pass",)))
    workload = {
        "attnsim": 1, "kind": "kernel", "name": "drawn", "cascade": cascade,
        "dtype": draw(st.sampled_from(("bf16", "bf16", "bf16", "fp8"))),
        "sizes": {"B": 1, "H": 8, "G": 8, "P": 64, "M": 64, "E": 128, "F": 128}, "mask": draw(masks()),
        "direction": draw(st.sampled_from(("forward", "forward", "forward", "backward"))),
        "conditions": {"launch": draw(st.sampled_from(("graph", "stream"))), "power_limit": draw(st.booleans())},
    }  # fmt: skip
    sizes = {rank: np.array(column) for rank, column in columns.items()}
    arch = draw(st.sampled_from(tuple(KERNELS)))
    schedule = draw(st.sampled_from(KERNELS[arch]))
    return Group(workload_document(workload), load_machine(arch), schedule, sizes, "all", FIELDS, count)


def same(alone: dict[str, Any], together: dict[str, Any], count: int) -> None:
    for name in {*alone, *together}:
        one, many = alone.get(name, [None] * count), together.get(name, [None] * count)
        for index in range(count):
            a, b = one[index], many[index]
            if isinstance(a, str | bool) or isinstance(b, str | bool):
                assert a == b, (name, index)
            elif (
                a is None or b is None or math.isnan(b)
            ):  # an effect that is nothing has no entry alone, and a 0 beside points that have it
                assert (a or 0.0) == 0.0 and (b is None or math.isnan(b) or b == 0.0), (name, index, a, b)
            else:
                assert math.isclose(a, b, rel_tol=1e-9), (name, index, a, b)


@settings(max_examples=150, deadline=None)
@given(groups())
def test_points_at_once_are_those_one_by_one(group: Group) -> None:
    assert answers_together(group)
    same(answer_one_by_one(group, range(group.count)), answer_together(group), group.count)


@settings(max_examples=40, deadline=None)
@given(groups())
def test_bounds_alone(group: Group) -> None:
    group = dataclasses.replace(group, only="lower_bound")
    bounds = answer_together(group)
    same(answer_one_by_one(group, range(group.count)), bounds, group.count)
    whole = answer_one_by_one(dataclasses.replace(group, only="all"), range(group.count))
    for index, error in enumerate(whole["error"]):
        if error is None:
            assert math.isclose(whole["lower_bound_s"][index], bounds["lower_bound_s"][index], rel_tol=1e-12)


SIZES = {"B": 1, "H": 8, "G": 8, "P": 1024, "M": 1024, "E": 128, "F": 128}


def _group(workload: dict[str, Any], sizes: dict[str, Any], arch: str = "h100_sxm", schedule: str | None = None) -> Group:
    count = len(next(iter(sizes.values())))
    columns = {rank: np.array(column) for rank, column in sizes.items()}
    return Group(
        workload_document({"attnsim": 1, "kind": "kernel", "name": "w", **workload}),
        load_machine(arch),
        schedule,
        columns,
        "all",
        FIELDS,
        count,
    )


PRODUCTS = [
    ({"cascade": "linear", "sizes": {"P": 1, "N": 4096, "K": 4096}}, {"P": [1, 7, 64, 200, 1000, 4096, 16384, 30000]}, "matmul"),
    (
        {"cascade": "linear", "sizes": {"P": 64, "N": 4096, "K": 4096}},
        {"P": [1, 64, 999, 64], "N": [128, 4096, 5000, 64], "K": [64, 8192, 100, 4096]},
        "matmul",
    ),
    (
        {"cascade": "grouped-linear", "sizes": {"X": 8, "P": 16, "N": 2048, "K": 7168}},
        {"X": [1, 8, 32, 256], "P": [1, 16, 128, 1000]},
        "grouped-matmul",
    ),
    ({"cascade": "silu-mul", "sizes": {"P": 1, "D": 4096}}, {"P": [1, 100, 4096, 100000]}, "elementwise"),
    (
        {"cascade": "mla-absorbed", "sizes": {"B": 1, "H": 128, "P": 1, "M": 1024, "C": 512, "R": 64}},
        {"B": [1, 8, 64, 128], "M": [512, 4096, 4096, 30000]},
        "flash-mla",
    ),
]


@pytest.mark.parametrize("arch", ["h100_sxm", "h200"])
@pytest.mark.parametrize(("workload", "sizes", "schedule"), PRODUCTS, ids=lambda value: value if isinstance(value, str) else "")
def test_kernels_that_are_no_attention(workload: dict[str, Any], sizes: dict[str, Any], schedule: str, arch: str) -> None:
    group = _group({"dtype": "bf16", **workload}, sizes, arch, schedule)
    alone = answer_one_by_one(group, range(group.count))
    assert alone["error"] == [None] * group.count
    same(alone, answer_together(group), group.count)


def test_a_neighborhood_of_many_batches() -> None:
    mask = {"kind": "neighborhood", "shape": [16, 24, 32], "window": [8, 8, 12], "stride": [2, 4, 4]}
    workload = {
        "cascade": "attention-1pass",
        "dtype": "bf16",
        "mask": mask,
        "sizes": {"B": 1, "H": 8, "G": 8, "P": 12288, "M": 12288, "E": 128, "F": 128},
    }
    group = _group(workload, {"B": [1, 2, 3, 9, 20], "H": [8, 8, 24, 1, 7], "G": [8, 8, 24, 1, 7]}, "h100_sxm", "natten-hopper")
    alone = answer_one_by_one(group, range(group.count))
    assert alone["error"] == [None] * group.count
    same(alone, answer_together(group), group.count)


def test_masks_that_differ_from_head_to_head_are_answered_one_by_one() -> None:
    mask = {
        "kind": "per_head",
        "masks": [{"heads": 4, "mask": {"kind": "causal"}}, {"heads": 4, "mask": {"kind": "window", "left": 128, "right": 0}}],
    }
    workload = {
        "cascade": "attention-1pass",
        "dtype": "bf16",
        "mask": mask,
        "sizes": {"B": 1, "H": 8, "G": 8, "P": 1024, "M": 1024, "E": 128, "F": 128},
    }
    group = _group(workload, {"B": [1, 2, 3, 9], "M": [1024, 1500, 2000, 4000]}, "h100_sxm", "moa-decode")
    same(answer_one_by_one(group, range(group.count)), answer_together(group), group.count)


def test_what_does_not_fit_says_so_in_the_words_it_has_alone() -> None:
    workload = {"cascade": "attention-1pass", "dtype": "bf16", "sizes": {"B": 1, "H": 32, "G": 5, "P": 1024, "M": 1024, "E": 128, "F": 128}}
    group = _group(workload, {"B": [1, 10**6, 2, 10**7], "G": [32, 32, 5, 8]})
    errors = answer_together(group)["error"].tolist()
    assert errors == answer_one_by_one(group, range(4))["error"]
    assert [error is None for error in errors] == [True, False, False, False]
    assert "inputs and outputs take" in errors[1] and "must divide" in errors[2]


def test_masks_stored_in_blocks_larger_than_the_tiles() -> None:
    """FlexAttention's blocks of 128 over its smaller tiles: walks of many points are cut as the walk of one."""
    workload = {
        "cascade": "attention-1pass",
        "dtype": "bf16",
        "mask": {"kind": "window", "left": 700, "right": 0},
        "sizes": {"B": 2, "H": 8, "G": 8, "P": 512, "M": 512, "E": 128, "F": 128},
    }
    lengths = [300, 1024, 2000, 4096, 9000]
    group = _group(workload, {"P": lengths, "M": lengths}, "a100_sxm_80gb", "flex-attention")
    alone = answer_one_by_one(group, range(group.count))
    assert alone["error"] == [None] * group.count
    same(alone, answer_together(group), group.count)
