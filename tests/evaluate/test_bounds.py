"""The certified lower bound, by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnsim.evaluate.bounds import algorithm, lower_bound
from attnsim.evaluate.evaluate import evaluate
from attnsim.evaluate.point import Point
from attnsim.machine import load_machine

MakePoint = Callable[..., Point]
CAUSAL = {"kind": "causal"}
BOOST = 132 * 1.98e9  # cycles a second of all SMs of an H100
LLAMA = {"B": 1, "H": 32, "G": 8, "P": 8192, "M": 8192, "E": 128}
PAIRS = 8192 * 8193 // 2  # attended by causal heads of 8192 tokens


def bound(point: Point) -> dict[str, float]:
    return lower_bound(point, algorithm(point))


def exponential(floors: dict[str, float]) -> float:
    """Seconds of the exponentials, under the name of the faster of the two units that share them."""
    (seconds,) = (floors[name] for name in ("sfu", "vector") if name in floors)
    return seconds


def test_prefill_of_8192_tokens_on_an_h100(point: MakePoint) -> None:
    """32 heads of 128: 2 x 128 macs and one exponential a pair; per cycle and SM 2048 macs, and 16 exponentials beside the polynomial on
    128 lanes (8 operations each).
    """
    asked = point("h100", "fa3", LLAMA, mask=CAUSAL)
    work = algorithm(asked)
    assert work.ops_by_kind["mac"] == work.matmul_macs == 32 * PAIRS * 2 * 128
    assert work.ops_by_kind["exp"] == 32 * (PAIRS + 8192)  # and one correction factor a row
    floors = bound(asked)
    assert floors["tensor"] == pytest.approx(32 * PAIRS * 256 / (2048 * BOOST))
    assert floors["tensor"] == pytest.approx(513.5e-6, rel=1e-3)
    assert exponential(floors) == pytest.approx(32 * (PAIRS + 8192) / ((16 + 128 / 8) * BOOST))
    assert floors["hbm"] == pytest.approx((2 * 32 + 2 * 8) * 8192 * 128 * 2 / 3.35e12)  # Q and AV of 32 heads, K and V of 8
    assert len(floors) == 3
    assert evaluate(asked, "w").lower_bound_s == floors["tensor"]


def test_decode_is_bounded_by_the_nominal_memory_bandwidth(point: MakePoint) -> None:
    asked = point("h100", "fa3", {**LLAMA, "B": 64, "P": 1}, mask=CAUSAL)
    moved = 64 * 128 * 2 * (2 * 32 + 2 * 8 * 8192)
    assert bound(asked)["hbm"] == pytest.approx(moved / 3.35e12)
    assert evaluate(asked, "w").lower_bound_s == bound(asked)["hbm"]


def test_narrow_fp8_heads_are_bounded_by_exponentials(point: MakePoint) -> None:
    asked = point("b200", "fa4", {"H": 16, "P": 8192, "M": 8192, "E": 64}, dtype="fp8")
    floors = bound(asked)
    exponentials = 16 * (8192 * 8192 + 8192)
    assert exponential(floors) == pytest.approx(exponentials / (32 * 148 * 1.965e9))
    assert floors["tensor"] == pytest.approx(16 * 8192**2 * 128 / (8192 * 148 * 1.965e9))
    assert evaluate(asked, "w").lower_bound_s == exponential(floors)


def test_backward_counts_five_matmuls_and_every_gradient(point: MakePoint) -> None:
    asked = point("h100", "fa3-bwd", {**LLAMA, "G": 32}, mask=CAUSAL, cascade="attention-backward")
    work = algorithm(asked)
    assert work.matmul_macs == 32 * PAIRS * 5 * 128
    assert work.ops_by_kind["mac"] == work.matmul_macs + 32 * 8192 * 128  # D = rowsum(dO x O) is no matmul
    rows = 32 * 8192 * 128 * 2
    assert work.compulsory_read == {"Q": rows, "K": rows, "V": rows, "O": rows, "dO": rows, "LSE": 32 * 8192 * 2}
    assert work.compulsory_write == {"dQ": rows, "dK": rows, "dV": rows}


def test_on_a_cpu_one_unit_does_both(point: MakePoint) -> None:
    """EPYC 7763: 64 cores, 16 operations a cycle at 3.5 GHz; an exponential is 12 of them."""
    asked = point("epyc_7763", "cpu-flash", {"H": 8, "P": 2048, "M": 2048, "E": 64}, dtype="fp32")
    macs, exponentials = 8 * 2048**2 * 128, 8 * (2048**2 + 2048)
    floors = bound(asked)
    assert floors["vector"] == pytest.approx((macs + 12 * exponentials) / (16 * 64 * 3.5e9))
    assert floors["dram"] == pytest.approx(4 * 8 * 2048 * 64 * 4 / 204.8e9)
    assert set(floors) == {"vector", "dram"}


def test_without_a_polynomial_the_special_units_stand_alone(point: MakePoint) -> None:
    bare = dataclasses.replace(load_machine("h100"), expand={}, content_key="h100 without a polynomial")
    assert bound(point(bare, "fa3", LLAMA))["sfu"] == pytest.approx(2 * exponential(bound(point("h100", "fa3", LLAMA))))


def test_a_format_of_the_vector_unit_is_bounded_there(point: MakePoint) -> None:
    floors = bound(point("h100", "naive", {**LLAMA, "G": 32}, mask=CAUSAL, dtype="fp32", cascade="attention-3pass"))
    assert "tensor" not in floors
    assert floors["vector"] == pytest.approx(32 * PAIRS * 256 / (128 * BOOST))


def test_a_window_needs_only_the_keys_it_sees(point: MakePoint) -> None:
    asked = point("h100", "fa3", {**LLAMA, "P": 1}, mask={"kind": "window", "left": 1023, "right": 0})
    assert algorithm(asked).compulsory_read["K"] == 8 * 1024 * 128 * 2
    assert algorithm(asked).matmul_macs == 32 * 1024 * 256


def test_the_bound_does_not_know_the_schedule(point: MakePoint) -> None:
    bounds = {tuple(bound(point("h100", name, LLAMA)).items()) for name in ("fa2", "fa3", "cudnn", "naive", "flash-decoding", "lean")}
    assert len(bounds) == 1


@pytest.mark.parametrize("cascade", ["attention-3pass", "attention-2pass", "attention-3pass-deferred"])
def test_every_cascade_of_attention_has_the_same_matmuls_and_bytes(point: MakePoint, cascade: str) -> None:
    one, other = (point("h100", "naive", LLAMA, cascade=name) for name in ("attention-1pass", cascade))
    assert algorithm(one).matmul_macs == algorithm(other).matmul_macs == 32 * 8192**2 * 256
    assert bound(one)["hbm"] == bound(other)["hbm"]
    assert bound(one)["tensor"] == pytest.approx(bound(other)["tensor"], rel=1e-5)  # a multiply-add a row more in the softmax of some


sizes = st.fixed_dictionaries(
    {
        "B": st.integers(1, 64), "H": st.sampled_from((8, 16, 64)), "G": st.sampled_from((1, 2, 8)), "P": st.integers(1, 5000),
        "M": st.integers(5000, 100_000), "E": st.sampled_from((64, 96, 128)),
    }
)  # fmt: skip
archs = st.sampled_from(("a100", "h100", "b200", "l40s", "mi300x", "epyc_7763", "xeon_8480"))
written = st.sampled_from(({"kind": "dense"}, CAUSAL, {"kind": "window", "left": 700, "right": 0}))


@given(archs, sizes, written, st.sampled_from("BPMEG"), st.integers(2, 4))
def test_more_of_anything_takes_no_less(
    point: MakePoint, arch: str, sizes: dict[str, int], mask: dict[str, Any], rank: str, times: int
) -> None:
    grown = {**sizes, rank: sizes[rank] * times} if rank != "G" else {**sizes, "G": sizes["H"]}
    if rank == "P":
        grown["P"] = min(grown["P"], grown["M"])
    small, large = (bound(point(arch, "naive", size, mask=mask)) for size in (sizes, grown))
    for resource, seconds in small.items():
        assert 0 < seconds <= large[resource] * (1 + 1e-12), resource


@given(archs, sizes, st.integers(0, 6000), st.integers(0, 6000))
def test_a_wider_window_takes_no_less(point: MakePoint, arch: str, sizes: dict[str, int], one: int, other: int) -> None:
    narrow, wide = sorted((one, other))
    small, large = (bound(point(arch, "naive", sizes, mask={"kind": "window", "left": left, "right": 0})) for left in (narrow, wide))
    for resource, seconds in small.items():
        assert seconds <= large[resource] * (1 + 1e-12), resource


@pytest.mark.parametrize(
    ("change", "resource", "factor"),
    [
        ("processors.count=264", "tensor", 0.5),
        ("processors.count=264", "exp", 0.5),
        ("units.sfu.uniform.rate=48 OP/cycle", "exp", 0.5),  # 48 + 16 of the polynomial, against 16 + 16
        ("processors.count=264", "hbm", 1.0),
        ("levels.hbm.bandwidth=6700 GB/s", "hbm", 0.5),
        ("levels.hbm.sustained.value=0.1", "hbm", 1.0),  # the bound takes the nominal figure
        ("clocks.tensor.boost=3960 MHz", "tensor", 0.5),
        ("launch.graph=1 s", "tensor", 1.0),
    ],
)
def test_a_changed_machine_changes_its_bound(point: MakePoint, change: str, resource: str, factor: float) -> None:
    before, after = (bound(point(machine, "fa3", LLAMA)) for machine in ("h100", load_machine("h100", sets=(change,))))
    if resource == "exp":
        assert exponential(after) == pytest.approx(factor * exponential(before))
    else:
        assert after[resource] == pytest.approx(factor * before[resource])
