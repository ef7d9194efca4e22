"""Weights and caches kept in narrower formats than they are multiplied in."""

from __future__ import annotations

from typing import Any

import pytest

import attnsim
from attnsim.cascade.cascade import load_cascade
from attnsim.evaluate.evaluate import evaluate
from attnsim.evaluate.point import Point
from attnsim.machine.load import load_machine
from attnsim.mask.banded import DENSE
from attnsim.schedule.schedule import load_schedule
from attnsim.serving.kernels import core, product
from attnsim.serving.model import Model
from attnsim.spec.dtype import BITS, narrower
from attnsim.spec.library import entries, load
from attnsim.spec.model import GroupedAttention, TransformerSpec
from attnsim.spec.workload import Conditions
from attnsim.spec.yaml import validate

H100 = load_machine("h100_sxm")
GQA = GroupedAttention(kind="gqa", heads=32, kv_heads=8, head_dim=128)


def model(name: str) -> Model:
    return Model(validate(TransformerSpec, load("model", name)))


def test_the_narrower_of_two() -> None:
    assert narrower("fp8", "bf16") == "fp8"
    assert narrower("bf16", "fp8") == "fp8"
    assert narrower("fp16", "bf16") == "bf16", "as wide: what is multiplied"
    assert BITS["mxfp4"] == 4 + 8 / 32


@pytest.mark.parametrize(("kept", "bits"), [("fp8", 8), ("int4", 4), ("mxfp4", 4.25)])
def test_a_product_reads_its_weights_in_their_format(kept: str, bits: float) -> None:
    rows, depth, cols = 16, 4096, 8192
    whole, narrow = product(H100, rows, depth, cols, "bf16"), product(H100, rows, depth, cols, "bf16", kept=kept)
    others = 2 * rows * (depth + cols)
    assert whole.bytes == 2 * depth * cols + others
    assert narrow.bytes == depth * cols * bits / 8 + others
    assert narrow.flops == whole.flops
    assert narrow.bound_s < narrow.seconds < whole.seconds


def test_the_format_of_another_tensor_changes_nothing() -> None:
    sizes = {"P": 16, "K": 4096, "N": 8192}
    schedule = load_schedule("matmul")
    points = [
        Point(load_cascade("linear"), sizes, DENSE, "bf16", H100, schedule, Conditions(), "forward", formats=formats)  # type: ignore[arg-type]
        for formats in ((), (("elsewhere", "fp8"),), (("W", "bf16"),))
    ]
    assert len({evaluate(point, "linear").latency_s for point in points}) == 1


def test_attention_over_a_cache_of_eight_bits_reads_half() -> None:
    asked = (H100, GQA, 64, 1, 8192, "bf16", 32, 8)
    whole, narrow = core(*asked), core(*asked, kept="fp8")
    cache = 64 * 8192 * 8 * 2 * 128 * 2
    assert whole.bytes - narrow.bytes == pytest.approx(cache / 2, rel=0.01)
    assert narrow.bound_s < narrow.seconds < whole.seconds


@pytest.mark.parametrize(("name", "gibibytes"), [("gpt-oss-120b", 60.8), ("gpt-oss-20b", 12.8)])
def test_checkpoints_with_experts_in_mxfp4(name: str, gibibytes: float) -> None:
    """arXiv 2508.10925, Table 1: sizes of the checkpoints."""
    assert model(name).weight_bytes() / 2**30 == pytest.approx(gibibytes, rel=0.003)


def test_experts_in_four_bits_decode_faster_and_say_so() -> None:
    def ask(**fields: Any) -> Any:
        base = {"attnsim": 1, "kind": "model", "name": "asked", "context": 4096, "batch": 32, "deployment": {"kind": "colocated"}}
        return attnsim.run({**base, **fields}, "h200").results[0]

    spec = load("model", "gpt-oss-20b").data
    narrow, wide = ask(model=spec), ask(model={key: value for key, value in spec.items() if key != "expert_weights"})
    assert narrow.latency_s < wide.latency_s and narrow.lower_bound_s < wide.lower_bound_s
    assert narrow.flops == wide.flops and narrow.memory_bytes["weights"] < wide.memory_bytes["weights"] / 2
    line = "weights kept in mxfp4 are widened to bf16 inside the kernels, which takes no time here"
    assert line in narrow.assumptions and line not in wide.assumptions


@pytest.mark.parametrize("name", [entry.name for entry in entries("model")])
@pytest.mark.parametrize("dtype", [None, "fp8"])
def test_the_bound_holds_whatever_the_formats(name: str, dtype: str | None) -> None:
    for batch in (1, 64):
        asked = {
            "attnsim": 1, "kind": "model", "name": "asked", "model": name, "context": 8192, "batch": batch,
            "deployment": {"kind": "colocated"}, **({"dtype": dtype} if dtype else {}),
        }  # fmt: skip
        found = attnsim.run(asked, "h100_sxm", sets=["arch.levels.hbm.capacity=20 TB"]).results[0]
        assert 0 < found.lower_bound_s <= found.latency_s
