"""The Machine type: units, clocks, levels, expansion, hashing; and the power limit."""

from __future__ import annotations

import copy
import dataclasses
import math
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnsim.errors import InfeasibleError, MissingDataError
from attnsim.machine import Machine, Power, clock_scale, load_machine, sustained_gemm
from attnsim.machine.power import highest_within

H100 = load_machine("h100_sxm")
EPYC = load_machine("epyc_7763")


def test_rates_are_per_cycle_and_processor() -> None:
    assert H100.rate("tensor", "mac", "bf16") == 2048
    assert H100.rate("vector", "add", "bf16") == 128
    assert H100.rate("vector", "mac", "fp32") == 128
    assert H100.rate("tensor", "exp", "bf16") is None
    assert H100.rate("tensor", "mac", "fp4") is None
    assert H100.op_rate("sfu", "exp", "fp32") == 132 * 16 * 1.83e9
    assert H100.op_rate("sfu", "mac", "fp32") is None


def test_clocks() -> None:
    assert H100.clock("tensor") == 1.83e9
    assert H100.clock("tensor", "boost") == 1.98e9
    assert H100.clock("vector") == 1.98e9
    assert H100.common_clock(("vector", "tensor")) == 1.83e9
    assert H100.common_clock(("vector",)) == 1.98e9
    assert H100.peak_flops("bf16", "boost") / H100.peak_flops("bf16") == pytest.approx(1.98 / 1.83)


def test_levels() -> None:
    smem = H100.level("smem")
    assert smem.per == "processor"
    assert smem.bytes_per_cycle == 128
    assert smem.bandwidth == 132 * 128 * 1.83e9
    assert H100.bandwidth("smem", "boost") == pytest.approx(132 * 128 * 1.98e9)
    assert H100.bandwidth("hbm", "boost") == H100.memory.bandwidth == 3.35e12
    assert H100.memory.bytes_per_cycle is None
    assert H100.level("l2").latency_far_s > H100.level("l2").latency_s
    assert H100.memory.latency_far_s == H100.memory.latency_s


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda: H100.level("smen"), ("smen", "did you mean 'smem'", "hbm")),
        (lambda: H100.unit("tensr"), ("did you mean 'tensor'", "h100_sxm")),
        (lambda: H100.rate("tensor", "mac", "bf16", "tcgen05"), ("no path 'tcgen05'", "wgmma")),
        (lambda: H100.path("sfu", "wgmma"), ("no path 'wgmma'", "none")),
        (lambda: H100.peak_flops("fp4"), ("cannot compute in fp4", "bf16")),
    ],
)
def test_what_a_machine_lacks_is_infeasible(ask: object, words: tuple[str, ...]) -> None:
    assert callable(ask)
    with pytest.raises(InfeasibleError) as caught:
        ask()
    for word in words:
        assert word in str(caught.value)


def test_expansion_ends_in_native_operations() -> None:
    assert H100.expansion("exp", "sfu") == {"exp": 1.0}
    assert H100.expansion("exp") == {"max": 1, "add": 2, "sub": 2, "mac": 3}
    assert EPYC.expansion("max") == {"max": 1.0}
    sigmoid, exp = EPYC.expansion("sigmoid"), EPYC.expansion("exp")
    assert sigmoid == {**exp, "add": exp["add"] + 1, "div": 1.0}


def test_expansion_needs_an_entry() -> None:
    with pytest.raises(MissingDataError, match=r"cannot run 'erf'.*expand\.erf"):
        EPYC.expansion("erf")


def test_circular_expansion_is_found() -> None:
    loop = dataclasses.replace(EPYC, expand={"exp": {"tanh": 1.0}, "tanh": {"exp": 2.0}})
    with pytest.raises(MissingDataError, match="cannot run 'exp'"):
        loop.expansion("exp")


def test_equality_is_that_of_the_content() -> None:
    again = load_machine("h100")
    assert again == H100
    assert hash(again) == hash(H100)
    changed = load_machine("h100", sets=("processors.count=66",))
    assert changed != H100
    assert changed.processors == 66
    assert changed.peak_flops("bf16") == H100.peak_flops("bf16") / 2
    assert len({H100, again, changed}) == 2
    assert H100 != "h100_sxm"


def test_machines_are_frozen_and_can_travel() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        H100.processors = 1  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(H100)) == H100
    assert copy.deepcopy(H100).levels == H100.levels


def test_loading_again_costs_nothing() -> None:
    first = load_machine("h100_sxm")  # H100 itself is gone where other tests loaded hundreds of machines since
    assert load_machine("h100_sxm") is first


def test_a_faster_memory_keeps_its_measured_share() -> None:
    fast = load_machine("h100", sets=("levels.hbm.bandwidth=6.7 TB/s",))
    assert fast.memory.bandwidth == 6.7e12
    assert fast.memory.sustained / fast.memory.bandwidth == pytest.approx(H100.memory.sustained / H100.memory.bandwidth)


def test_a_machine_from_a_mapping() -> None:
    mine = load_machine({"extends": "h100", "attnsim": 1, "kind": "gpu", "name": "mine", "processors": {"count": 100}})
    assert isinstance(mine, Machine)
    assert (mine.name, mine.processors) == ("mine", 100)
    assert mine.level("l2") == H100.level("l2")


power_numbers = st.floats(0, 5000)


@given(op=power_numbers, other=power_numbers, exponent=st.floats(0, 3))
@settings(max_examples=100, deadline=None)
def test_the_board_limit_holds(op: float, other: float, exponent: float) -> None:
    power = dataclasses.replace(H100.power, clock_exponent=exponent)
    scale = clock_scale(power, op_w=op, other_w=other)
    assert 0 < scale <= 1

    def watts(share: float) -> float:
        return power.idle_w + op * share ** (1 + exponent) + other * share

    assert watts(scale) <= power.tdp_w * (1 + 1e-9)
    if scale < 1:
        assert watts(scale * (1 + 1e-6)) >= power.tdp_w * (1 - 1e-9)  # no headroom left unused
        assert clock_scale(power, op_w=op * 1.1 + 1, other_w=other) < scale


@given(idle=power_numbers, op=power_numbers, other=power_numbers, memory=st.floats(0, 3), highest=st.sampled_from([1.0, 1.98e9]))
@settings(max_examples=200, deadline=None)
def test_the_clock_under_the_limit_is_that_of_plain_bisection(idle: float, op: float, other: float, memory: float, highest: float) -> None:
    def watts(clock: float) -> float:  # a kernel as long as its compute or, below some clock, as its memory
        share = clock / highest
        return idle + (op * share**2 + other) / max(1 / share, memory)

    low, high = 0.0, highest
    for _ in range(24):
        middle = (low + high) / 2
        low, high = (middle, high) if watts(middle) <= 700.0 else (low, middle)
    assert highest_within(watts, 700.0, highest) == (highest if watts(highest) <= 700.0 else low)


def test_clock_scale_follows_the_cube_law() -> None:
    power = Power(tdp_w=500, idle_w=100, clock_exponent=2, joule_per_op={}, gemm={})
    assert clock_scale(power, op_w=3200) == pytest.approx(0.5)
    assert clock_scale(power, op_w=400) == 1.0
    assert clock_scale(power, op_w=0, highest=1.08) == 1.08
    assert clock_scale(dataclasses.replace(power, idle_w=600), op_w=1) == 0.0


def test_what_operations_and_bytes_both_count_is_drawn_once() -> None:
    power = Power(tdp_w=500, idle_w=100, clock_exponent=2, joule_per_op={}, gemm={})
    apart, once = (dataclasses.replace(power, shared=share) for share in (0.0, 0.5))
    assert clock_scale(apart, op_w=300, other_w=200) < clock_scale(once, op_w=300, other_w=200) == 1.0
    assert clock_scale(once, op_w=3200) == clock_scale(apart, op_w=3200)  # operations alone share with nothing


def test_a_level_writes_slower_than_it_reads() -> None:
    memory = load_machine("h200").memory
    assert memory.seconds(8e9) == 8e9 / memory.sustained
    assert memory.seconds(4e9, 4e9) == pytest.approx((4e9 + 4e9 / memory.write) / memory.sustained)
    assert memory.seconds(8e9, efficiency=0.5) == 2 * memory.seconds(8e9)
    assert H100.memory.write == 1.0 and H100.memory.ramp_s == 0.0


def test_sustained_gemm_of_a_board_without_a_measurement() -> None:
    assert sustained_gemm(load_machine("l40s"), "bf16") is None
    assert sustained_gemm(H100, "fp4") is None


def test_sustained_gemm_rises_with_the_limit() -> None:
    more = load_machine("h100", sets=("power.tdp=900 W",))
    low, high = sustained_gemm(H100, "bf16"), sustained_gemm(more, "bf16")
    assert low and high
    assert low[0] < high[0] <= more.peak_flops("bf16") * more.power.gemm["bf16"].efficiency
    assert math.isclose(high[0] / high[1], low[0] / low[1])  # rate and clock go together
