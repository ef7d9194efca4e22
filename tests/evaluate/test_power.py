"""The clock a board settles at under its power limit, and the energy of a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnsim.evaluate.estimate import Estimate
from attnsim.evaluate.evaluate import evaluate, kernels_of
from attnsim.evaluate.point import Point
from attnsim.evaluate.power import Dynamic, dynamic_energy, energy
from attnsim.machine import load_machine

MakePoint = Callable[..., Point]
PREFILL = {"B": 1, "H": 32, "G": 32, "P": 8192, "M": 8192, "E": 128}
DECODE = {"B": 1, "H": 32, "G": 8, "P": 1, "M": 8192, "E": 128}
CAUSAL = {"kind": "causal"}


def answer(point: Point) -> Estimate:
    return evaluate(point, "w")


def limited(arch: str, watts: float) -> Any:
    return load_machine(arch, sets=(f"power.tdp={watts} W",))


def test_a_large_prefill_lowers_the_clock_of_an_h100(point: MakePoint) -> None:
    found = answer(point("h100", "fa3", PREFILL))
    assert 1.2e9 < found.clock_hz < 1.98e9
    assert found.energy_j / found.latency_s == pytest.approx(700, rel=0.02)  # at the limit, but for the launch
    assert any("clock lowered from 1980 to" in note and "700 W" in note for note in found.assumptions)


def test_a_small_decode_runs_at_boost(point: MakePoint) -> None:
    found = answer(point("h100", "fa3", DECODE, mask=CAUSAL))
    assert found.clock_hz == 1.98e9
    assert found.energy_j / found.latency_s < 500
    assert not any("clock lowered from" in note for note in found.assumptions)


@pytest.mark.parametrize(("arch", "schedule"), [("a100", "fa2"), ("b200", "fa4"), ("l40s", "fa2"), ("epyc_7763", "cpu-flash")])
@pytest.mark.parametrize("sizes", [PREFILL, DECODE])
def test_a_board_that_never_reaches_its_limit_runs_at_boost(point: MakePoint, arch: str, schedule: str, sizes: dict[str, int]) -> None:
    machine = limited(arch, 100_000)
    found = answer(point(machine, schedule, sizes))
    assert found.clock_hz == machine.clock(machine.matmul_unit("bf16") or "", "boost")


@settings(max_examples=60)
@given(
    st.sampled_from((("a100", "fa2"), ("h100", "fa3"), ("h100", "fa2"), ("b200", "fa4"), ("l40s", "fa2"), ("epyc_7763", "cpu-flash"))),
    st.floats(0.5, 3),
    st.integers(1, 16384),
    st.integers(1, 16384),
    st.sampled_from((1, 8, 64)),
    st.sampled_from(({"kind": "dense"}, CAUSAL)),
)
def test_the_settled_clock_keeps_to_the_limit(
    point: MakePoint, where: tuple[str, str], share: float, queries: int, keys: int, batch: int, mask: dict[str, Any]
) -> None:
    """At any limit that idling with the memory at full speed leaves room for."""
    arch, schedule = where
    watts = share * load_machine(arch).power.tdp_w
    asked = point(limited(arch, watts), schedule, {"B": batch, "H": 8, "P": min(queries, keys), "M": keys, "E": 128}, mask=mask)
    found = answer(asked)
    highest = asked.machine.clock(asked.machine.matmul_unit("bf16") or "", "boost")
    assert found.clock_hz <= highest
    if found.clock_hz > 0.0501 * highest:  # else not even the lowest clock keeps the limit
        assert found.energy_j / found.latency_s <= watts * (1 + 1e-9)
    if found.clock_hz < highest:
        # no lower than needed: at a slightly higher clock the kernels alone would draw more
        higher = found.clock_hz * 1.001
        kernels = kernels_of(asked)
        seconds = sum(kernel.seconds(higher) for kernel in kernels)
        nominal = asked.machine.clock(asked.machine.matmul_unit("bf16") or "")
        assert energy(asked, dynamic_energy(asked, kernels), seconds, higher, nominal) / seconds > watts


def test_a_higher_limit_is_never_slower(point: MakePoint) -> None:
    found = [answer(point(limited("h100", watts), "fa3", PREFILL)) for watts in range(200, 1400, 100)]
    for low, high in zip(found, found[1:], strict=False):
        assert low.clock_hz <= high.clock_hz
        assert low.latency_s >= high.latency_s
    assert found[0].clock_hz < found[-1].clock_hz == 1.98e9


@pytest.mark.parametrize("megahertz", [600, 1330, 1830, 1980])
def test_a_locked_clock_is_kept(point: MakePoint, megahertz: int) -> None:
    asked = point("h100", "fa3", PREFILL, tensor_clock=f"{megahertz} MHz", power_limit=False)
    found = answer(asked)
    assert found.clock_hz == megahertz * 1e6
    assert any(f"clock locked at {megahertz} MHz" in note for note in found.assumptions)
    boost = answer(point("h100", "fa3", PREFILL, power_limit=False))
    (kernel,), (fast,) = found.kernels, boost.kernels
    assert kernel.compute_s == pytest.approx(fast.compute_s * 1980 / megahertz)


def test_a_locked_clock_is_still_lowered_by_the_limit(point: MakePoint) -> None:
    free = answer(point("h100", "fa3", PREFILL)).clock_hz
    locked = answer(point("h100", "fa3", PREFILL, tensor_clock="1900 MHz")).clock_hz
    assert locked == pytest.approx(free, rel=1e-6)
    assert answer(point("h100", "fa3", PREFILL, tensor_clock="900 MHz")).clock_hz == 900e6


def test_without_the_limit_a_prefill_runs_at_boost(point: MakePoint) -> None:
    found = answer(point("h100", "fa3", PREFILL, power_limit=False))
    assert found.clock_hz == 1.98e9
    assert found.energy_j / found.latency_s > 700
    assert "power limit not applied (short or locked-clock run)" in found.assumptions
    assert found.latency_s < answer(point("h100", "fa3", PREFILL)).latency_s


# --- energy, by hand ------------------------------------------------------------------------------


def test_energy_is_idle_power_operations_and_bytes(point: MakePoint) -> None:
    asked = point("h100", "naive", PREFILL)
    # clock_exponent 0.57: at a quarter of the nominal clock an operation costs 4 ** -0.57 of what it does there
    assert energy(asked, Dynamic(0, 0), 2.0, 1e9, 1.83e9) == 120 * 2.0
    assert energy(asked, Dynamic(3, 5), 1.0, 1.83e9, 1.83e9) == pytest.approx(120 + 3 + 5)
    assert energy(asked, Dynamic(3, 5), 1.0, 1.83e9 / 4, 1.83e9) == pytest.approx(120 + 3 * 4**-0.57 + 5)


def test_dynamic_energy_of_one_product_by_hand(point: MakePoint) -> None:
    """128 x 128 x 64 on an H100: 1.44 pJ a mac, 14 pJ/bit of HBM and 1 pJ/bit of L2; no shared memory is charged to an unfused kernel."""
    asked = point("h100", "naive", {"P": 128, "M": 128, "E": 64, "F": 64}, cascade="attention-3pass")
    product = next(kernel for kernel in kernels_of(asked) if kernel.name == "QK")
    moved = 2 * (128 * 64 + 128 * 64 + 128 * 128)
    found = dynamic_energy(asked, [product])
    assert found.ops_j == pytest.approx(128 * 128 * 64 * 1.44e-12)
    assert found.bytes_j == pytest.approx(moved * 8 * (14e-12 + 1e-12))


def test_padding_rows_cost_time_but_no_energy(point: MakePoint) -> None:
    """One query in a tile of 128 rows: the kernel computes 128 rows of zeros, which switch next to nothing."""
    one, many = (
        dynamic_energy(asked, kernels_of(asked))
        for asked in (point("a100", "fa2", {"H": 8, "P": rows, "M": 8192, "E": 128}) for rows in (1, 128))
    )
    assert one.ops_j == pytest.approx(many.ops_j / 128)


def test_shared_memory_reads_are_charged(point: MakePoint) -> None:
    asked = point("h100", "fa3", PREFILL)
    (kernel,) = kernels_of(asked)
    per_byte = {level.name: level.energy_j_per_byte for level in asked.machine.levels}
    wanted = kernel.smem_bytes * per_byte["smem"] + sum(kernel.traffic.total(name) * per_byte[name] for name in ("hbm", "l2"))
    assert dynamic_energy(asked, [kernel]).bytes_j == pytest.approx(wanted)
    assert per_byte["smem"] == pytest.approx(0.25e-12 * 8)


def test_products_whose_operands_toggle_less_draw_less(point: MakePoint) -> None:
    quiet = {"extends": "flash-attention-3", "constants": {"activity": {"value": 0.8, "source": "estimate: x"}}}
    usual, less = point("h100", "fa3", PREFILL), point("h100", quiet, PREFILL)
    products = usual.machine.power.energy("tensor", "bf16") or 0.0
    ops = sum(kernel.ops["tensor"]["mac"] * kernel.filled for kernel in kernels_of(usual))
    drawn = [dynamic_energy(each, kernels_of(each)) for each in (usual, less)]
    assert drawn[0].ops_j - drawn[1].ops_j == pytest.approx(0.2 * products * ops) and drawn[0].bytes_j == drawn[1].bytes_j
    assert answer(less).latency_s < answer(usual).latency_s  # the board keeps a higher clock
