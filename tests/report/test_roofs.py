from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import attnsim
from attnsim.machine.load import load_machine
from attnsim.machine.power import Power, sustained_gemm
from attnsim.report.roofline.charts import charts
from attnsim.report.roofline.roofs import PowerRoof, ceilings_of, power_roofs_of


def roof(tdp: float = 300.0, op: float = 400.0, each: float = 1e-10, exponent: float = 1.0, shared: float = 0.0) -> PowerRoof:
    """1 PFLOP/s under a board limit that leaves 200 W beside the 100 W of idling."""
    return PowerRoof("tensor", ("bf16",), 1e15, op, each, Power(tdp, 100.0, exponent, {}, {}, shared))


def test_without_bytes_the_operations_share_what_idle_power_leaves() -> None:
    # 100 W + 400 W x s^2 = 300 W
    assert roof().flops_per_s == pytest.approx(1e15 * math.sqrt(0.5), rel=1e-6)


def test_bytes_take_their_part_of_the_power() -> None:
    # At 1000 FLOP/B, 1e15 FLOP/s move 1e12 B/s: 100 W at the nominal clock. 400 s^2 + 100 s = 200 W.
    assert roof().at(1000.0) == pytest.approx(1e15 * (-100 + math.sqrt(100**2 + 4 * 400 * 200)) / 800, rel=1e-6)


def test_what_both_draw_is_counted_once() -> None:
    # 400 s^2 + 100 s less all of the smaller, which the bytes are: as if nothing moved.
    assert roof(shared=1.0).at(1000.0) == pytest.approx(roof().flops_per_s, rel=1e-6)


def test_a_board_with_power_to_spare_has_no_limited_roof() -> None:
    assert roof(tdp=1000.0).at(1000.0) == 1e15 and roof(tdp=1000.0).curve(10.0, 1e5, 2e12) == []


@settings(max_examples=40, deadline=None)
@given(
    x=st.floats(1, 1e5), more=st.floats(1, 100), op=st.floats(10, 2000), each=st.floats(1e-12, 1e-9), exponent=st.floats(0.3, 2),
    shared=st.floats(0, 1),
)  # fmt: skip
def test_the_limit_holds_and_rises_with_intensity(x: float, more: float, op: float, each: float, exponent: float, shared: float) -> None:
    limited = roof(op=op, each=each, exponent=exponent, shared=shared)

    def drawn(share: float) -> float:
        ops, moved = op * share ** (1 + exponent), share * limited.peak / x * each
        return 100 + ops + moved - shared * min(ops, moved)

    rate, step = limited.at(x), 2**-22  # of the peak: what the clock is known to
    share = rate / limited.peak
    assert 0 <= share <= 1 and drawn(share) <= 300 * (1 + 1e-9)
    assert share == 1 or drawn(share + step) > 300
    assert limited.at(x * more) >= rate - step * limited.peak


@settings(max_examples=15, deadline=None)
@given(op=st.floats(100, 2000), each=st.floats(1e-12, 5e-10), width=st.floats(5e11, 2e13))
def test_the_curve_lies_under_peak_and_diagonal_and_begins_on_one_of_them(op: float, each: float, width: float) -> None:
    limited = roof(op=op, each=each)
    curve = limited.curve(1.0, 1e5, width)
    assert all(y <= min(limited.peak, width * x) for x, y in curve)
    if curve and curve[0][0] > 1.0:
        x, y = curve[0]
        assert y == pytest.approx(min(limited.peak, width * x), rel=2e-3)


@pytest.mark.parametrize("arch", ["h100_sxm", "h200", "a100_sxm_80gb", "b200", "mi300x", "l40s"])
def test_no_prediction_stands_above_the_power_limit_of_its_machine(arch: str) -> None:
    (chart,) = charts([attnsim.run(workload, arch) for workload in ("llama3-8b-prefill", "llama3-8b-decode")])
    (limit,) = chart.power
    assert limit.limit_w == load_machine(arch).power.tdp_w
    for kernel in chart.kernels:
        outermost = kernel.points()[0][1]
        assert kernel.flops_per_s <= limit.at(outermost) * 1.001


@pytest.mark.parametrize(("arch", "dtype"), [("h100_sxm", "bf16"), ("h100_sxm", "fp8"), ("h200", "bf16"), ("a100_sxm_80gb", "bf16")])
def test_the_matrix_product_the_energies_are_fitted_to_stays_below_the_roof(arch: str, dtype: str) -> None:
    machine = load_machine(arch)
    (limit,) = power_roofs_of(machine, [dtype])
    settled = sustained_gemm(machine, dtype)
    assert settled is not None
    intensity = 1 / machine.power.gemm[dtype].bytes_per_flop["hbm"]
    # Its traffic on the chip costs power too, which the roof leaves out; it reaches two thirds of it and more.
    assert 0.66 * limit.at(intensity) < settled[0] < limit.at(intensity)


def test_dtypes_of_one_peak_and_one_energy_share_a_roof() -> None:
    found = power_roofs_of(load_machine("h100_sxm"), ["bf16", "fp16", "fp8"])
    assert [limit.name for limit in found] == ["700 W, tensor bf16, fp16", "700 W, tensor fp8"]


def test_exponentials_alone_allow_a_kernel_their_rate_times_its_flops_each() -> None:
    (answer,) = attnsim.run("llama3-8b-prefill", "h100_sxm").results
    machine = load_machine("h100_sxm")
    (ceiling,) = ceilings_of(machine, answer)
    issued = answer.kernels[0].issued_ops["sfu"]["exp"]
    assert ceiling.name == "sfu exp" and ceiling.flops_per_s == pytest.approx(answer.flops / issued * 16 * 132 * 1830e6)
    # 4 x 128 FLOPs an attended pair and its exponential; padded tiles issue more of these.
    assert ceiling.flops_per_s <= 4 * 128 * 16 * 132 * 1830e6


def test_a_machine_that_runs_everything_on_one_unit_has_no_ceilings() -> None:
    (answer,) = attnsim.run("llama3-8b-prefill", "epyc_turin_2core").results
    assert ceilings_of(load_machine("epyc_turin_2core"), answer) == ()
