"""Cycles of one tile against numbers worked out by hand and against published cycle models."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnsim.errors import InfeasibleError
from attnsim.evaluate.evaluate import kernels_of
from attnsim.evaluate.kernel import tile_cycles
from attnsim.evaluate.point import Point
from attnsim.evaluate.work import CtaWork, Work, accumulations, cta_work
from attnsim.machine import load_machine

MakePoint = Callable[..., Point]


def work_of(point: Point) -> CtaWork:
    """Work of a CTA of the point's main kernel."""
    schedule = point.schedule
    helped = {label for helper in (*schedule.spec.before, *schedule.spec.after) for label in helper.einsums}
    einsums = tuple(einsum for einsum in point.cascade.einsums if einsum.label not in helped)
    row = schedule.tile(point.context)
    return cta_work(point, einsums, row.sizes(), schedule.sequential, row.warps or 1)


def changed(name: str, **constants: Any) -> dict[str, Any]:
    entries = {key: value if isinstance(value, dict) else {"value": value, "source": "test"} for key, value in constants.items()}
    return {"extends": name, "constants": entries}


SQUARE = {"P": 4096, "M": 4096, "E": 128}


# --- FlashAttention-4's cycle model: arXiv 2603.05451, section 3.1 --------------------------------


def test_flash_attention_4_forward_tile(point: MakePoint) -> None:
    """M x N x d = 256 x 128 x 128: T_mma = 4MNd/8192, T_exp = MN/16, T_smem = 3MNd/8192."""
    work = work_of(point("b200", changed("flash-attention-4", exp_on_vector=0), SQUARE)).per_tile
    assert work.cycles["tensor"] == 4 * 256 * 128 * 128 / 8192 == 2048
    assert work.cycles["smem"] == 3 * 256 * 128 * 128 / 8192 == 1536
    # and one exponential a row for the correction factor, which the paper leaves out
    assert work.cycles["sfu"] == 256 * 128 / 16 + 256 / 16 == 2048 + 16


def test_flash_attention_4_backward_tile(point: MakePoint) -> None:
    """128 x 128 x 128: five matmuls are 2560 cycles, the exponentials 1024."""
    work = work_of(point("b200", "flash-attention-4-backward", SQUARE, cascade="attention-backward")).per_tile
    assert work.cycles["tensor"] == 5 * 2 * 128**3 / 8192 == 2560
    assert work.cycles["sfu"] == 128 * 128 / 16 == 1024


def test_a_share_of_the_exponentials_runs_as_a_polynomial(point: MakePoint) -> None:
    none = work_of(point("b200", changed("flash-attention-4", exp_on_vector=0), SQUARE)).per_tile
    some = work_of(point("b200", changed("flash-attention-4", exp_on_vector=0.25), SQUARE)).per_tile
    exponentials = 256 * 128 + 256
    assert some.cycles["sfu"] == 0.75 * none.cycles["sfu"]
    # a polynomial takes 1 max, 2 add, 2 sub and 3 mac at 128 a cycle (expand.exp of the machine)
    assert some.cycles["vector"] - none.cycles["vector"] == pytest.approx(0.25 * exponentials * 8 / 128)
    assert some.ops["vector"]["mac"] == pytest.approx(0.25 * exponentials * 3)
    assert some.cycles["tensor"] == none.cycles["tensor"]


def test_a_conditional_einsum_costs_its_share(point: MakePoint) -> None:
    def multiplications(share: float) -> float:
        schedule = changed("flash-attention-4", executed={"SPNV": {"value": share, "source": "test"}})
        return work_of(point("b200", schedule, SQUARE)).per_tile.ops["vector"]["mul"]

    assert multiplications(1) - multiplications(0) == 256 * 128  # SPNV = RNV x PRM, a tile of the output
    assert multiplications(0.1) - multiplications(0) == pytest.approx(0.1 * 256 * 128)


# --- FlashAttention-2 on an A100, by hand ---------------------------------------------------------


def test_flash_attention_2_tile_of_an_a100(point: MakePoint) -> None:
    """d 128: 128 x 64 tiles, four warps of 32 rows; per cycle 1024 macs, 64 vector operations, 16 exponentials, 128 B of shared memory."""
    work = work_of(point("a100", "flash-attention-2", SQUARE))
    elements, rows, output = 128 * 64, 128, 128 * 128
    ops = work.per_tile.ops
    assert ops["tensor"] == {"mac": 2 * elements * 128}
    assert ops["sfu"] == {"exp": elements + rows}  # SLN, PRM
    assert ops["vector"] == {
        "max": elements + rows,  # LM, RM
        "sub": elements + rows,  # inside SLN, PRM
        "add": elements + rows + elements,  # SLD, RD, and the conversion of SLN to bf16
        "mul": rows + output,  # SPD, SPNV
    }
    assert work.per_tile.cycles["tensor"] == 2048
    assert work.per_tile.cycles["sfu"] == (8192 + 128) / 16 == 520
    assert work.per_tile.cycles["vector"] == (4 * 8192 + 4 * 128 + 16384) / 64 == 776
    # Q once (128 x 128), K and V (64 x 128) once for each of four warps, 2 B an element
    assert work.per_tile.smem_bytes == 2 * (128 * 128 + 4 * 64 * 128 + 4 * 64 * 128)
    assert work.per_tile.cycles["smem"] == 163840 / 128 == 1280
    assert work.once.ops == {"vector": {"mul": output}}  # the division of the output by the denominator, a reciprocal a row
    assert work.once.cycles == {"vector": 256}
    assert (work.masked_ops, work.masked_cycles) == (3 * elements, 3 * elements / 64)


def test_flash_attention_2_tile_of_narrow_heads(point: MakePoint) -> None:
    """d 64: 128 x 128 tiles; the exponentials weigh twice as much against the matmuls."""
    cycles = work_of(point("a100", "flash-attention-2", {**SQUARE, "E": 64})).per_tile.cycles
    assert cycles["tensor"] == 2 * 128 * 128 * 64 / 1024 == 2048
    assert cycles["sfu"] == (128 * 128 + 128) / 16 == 1032


def test_mma_sync_reaches_its_share_of_hoppers_rate(point: MakePoint) -> None:
    two, three = work_of(point("h100", "flash-attention-2", SQUARE)), work_of(point("h100", "flash-attention-3", SQUARE))
    assert two.per_tile.cycles["tensor"] == pytest.approx(2 * 128 * 64 * 128 / (0.629 * 2048))
    assert three.per_tile.cycles["tensor"] == 2 * 128 * 176 * 128 / 2048 == 2816
    # 64 rows a wgmma instruction: K and V are read twice by 128 rows
    assert three.per_tile.smem_bytes == 2 * (128 * 128 + 2 * 176 * 128 + 2 * 176 * 128)


@given(st.sampled_from((16, 32, 64, 128)), st.sampled_from((16, 32, 64, 128, 256)), st.sampled_from((32, 64, 128)))
def test_a_tile_costs_in_proportion_to_its_elements(point: MakePoint, rows: int, keys: int, dim: int) -> None:
    schedule = {"extends": "flash-attention-2", "tiles": [{"P": rows, "M": keys, "warps": 4}]}
    work = work_of(point("a100", schedule, {**SQUARE, "E": dim}))
    assert work.per_tile.cycles["tensor"] == 2 * rows * keys * dim / 1024
    assert work.per_tile.cycles["sfu"] == (rows * keys + rows) / 16
    assert work.masked_cycles == 3 * rows * keys / 64


# --- what is free, what is added ------------------------------------------------------------------


def test_the_matrix_unit_accumulates_in_place(point: MakePoint) -> None:
    fused = point("a100", "flash-attention-2", SQUARE)
    assert accumulations(fused, fused.cascade.einsums) == {"RNV"}  # RNV = SLNV + SPNV, not RD = SLD + SPD
    assert not accumulations(fused, [fused.cascade.by_label["RNV"]])  # the product is not in this kernel: nothing to accumulate into


def test_unfused_kernels_pay_for_the_addition(point: MakePoint) -> None:
    kernels = {kernel.name: kernel for kernel in kernels_of(point("a100", "naive", SQUARE))}
    chunks = 4096 // 128
    assert kernels["RNV"].ops == {"vector": {"add": chunks * 4096 * 128}}


def test_results_of_the_vector_unit_are_narrowed_for_the_matrix_unit(point: MakePoint) -> None:
    backward = work_of(point("a100", "flash-attention-2-backward", SQUARE, cascade="attention-backward"))
    elements = 64 * 128
    assert backward.per_tile.ops["vector"] == {
        "sub": 2 * elements,  # QK - LSE, dP - D
        "mul": elements,  # SN x (dP - D)
        "add": 2 * elements,  # SN and dS to bf16
    }
    assert backward.per_tile.ops["sfu"] == {"exp": elements}
    assert backward.per_tile.ops["tensor"] == {"mac": 5 * elements * 128}


def test_a_dot_product_a_row_is_no_matrix_product(point: MakePoint) -> None:
    backward = point("a100", "flash-attention-2-backward", SQUARE, cascade="attention-backward")
    assert backward.unit(backward.cascade.by_label["D"], "mac") == "vector"
    assert backward.unit(backward.cascade.by_label["dV"], "mac") == "tensor"


# --- CPUs: one unit does everything ---------------------------------------------------------------


def test_exponentials_of_a_cpu_are_polynomials(point: MakePoint) -> None:
    """EPYC 7763: 16 operations a cycle; exp is 1 max, 1 min, 8 mac and 2 add. One task of the tile table: 32 x 512."""
    work = work_of(point("epyc_7763", "cpu-flash", {"P": 32, "M": 4096, "E": 64})).per_tile
    elements, rows, output = 32 * 512, 32, 32 * 64
    exponentials = elements + rows
    assert set(work.ops) == {"vector"}
    assert work.ops["vector"] == {
        "mac": 2 * elements * 64 + 8 * exponentials,
        "max": elements + rows + exponentials,
        "min": exponentials,
        "sub": elements + rows,
        "add": elements + rows + elements + 2 * exponentials,
        "mul": rows + output,
    }
    assert work.cycles["vector"] == pytest.approx(sum(work.ops["vector"].values()) / 16)


def test_an_operation_nobody_can_price_is_refused(point: MakePoint) -> None:
    bare = dataclasses.replace(load_machine("epyc_7763"), expand={}, content_key="epyc without exp")
    with pytest.raises(InfeasibleError, match=r"epyc_7763 has no unit that runs exp in bf16: .*add `expand\.exp`"):
        work_of(point(bare, "cpu-flash", SQUARE))


def test_a_unit_the_machine_lacks_is_refused(point: MakePoint) -> None:
    with pytest.raises(InfeasibleError, match=r"the tensor unit of l40s has no path 'wgmma'; its paths are mma_sync"):
        work_of(point("l40s", {"extends": "flash-attention-2", "tensor_path": "wgmma"}, SQUARE))


def test_no_operation_costs_nothing(point: MakePoint) -> None:
    work = Work()
    work.add(point("a100", "flash-attention-2", SQUARE), "vector", "add", 0)
    work.emulate(point("a100", "flash-attention-2", SQUARE), "vector", "exp", 0)
    assert work == Work()


# --- one tile from the cycles of its resources ----------------------------------------------------


def test_exposed_parts_follow_one_another_and_hidden_parts_overlap(point: MakePoint) -> None:
    exposed = {"sfu": {"value": 0.5, "source": "test"}, "tensor": {"value": 0.25, "source": "test"}}
    schedule = {
        "extends": "flash-attention-3",
        "overlap": {"exposed": {**exposed, "fill": []}},
        "constants": {"tensor_efficiency": {"value": 0.8, "source": "test"}},
    }
    asked = point("h100", schedule, SQUARE)
    # tensor 1000 / 0.8 = 1250: 312.5 exposed, 937.5 hidden; sfu 900: 450 exposed, 450 hidden; vector 600 hidden
    assert tile_cycles(asked, {"tensor": 1000.0, "sfu": 900.0, "vector": 600.0}) == pytest.approx(312.5 + 450 + 937.5)
    assert tile_cycles(asked, {"tensor": 1000.0, "sfu": 900.0, "vector": 2000.0}) == pytest.approx(312.5 + 450 + 2000)
    assert tile_cycles(asked, {}) == 0


@given(st.dictionaries(st.sampled_from(("tensor", "sfu", "vector", "smem")), st.floats(0, 1e6), min_size=1), st.data())
def test_a_tile_takes_at_least_its_longest_resource_and_at_most_all_of_them(point: MakePoint, cycles: dict[str, float], data: Any) -> None:
    schedule = data.draw(st.sampled_from(("flash-attention-2", "flash-attention-3", "flash-decoding", "flashinfer-decode")))
    asked = point("h100", schedule, SQUARE)
    efficiency = asked.schedule.constant(asked.schedule.spec.constants.tensor_efficiency, asked.context, 1.0)
    stretched = {name: value / efficiency if name == "tensor" else value for name, value in cycles.items()}
    assert max(stretched.values()) <= tile_cycles(asked, cycles) * (1 + 1e-12)
    assert tile_cycles(asked, cycles) <= sum(stretched.values()) * (1 + 1e-12)
    for name in cycles:
        assert tile_cycles(asked, {**cycles, name: cycles[name] * 1.5}) >= tile_cycles(asked, cycles) * (1 - 1e-12)


# --- work is kept for the next point that asks the same -------------------------------------------


def test_longer_sequences_share_the_work_of_a_tile(point: MakePoint) -> None:
    short, long = point("a100", "fa2", SQUARE), point("a100", "fa2", {**SQUARE, "M": 65536, "P": 2048, "B": 8, "H": 4})
    assert work_of(short) is work_of(long)


@pytest.mark.parametrize(
    "other",
    [
        {"sizes": {**SQUARE, "E": 96}},
        {"arch": "h100"},
        {"dtype": "fp32", "schedule": {"extends": "fa2", "requires": None}},
        {"schedule": changed("fa2", masked_ops=5)},
        {"schedule": {"extends": "fa2", "resident": {"Q": "register"}}},
    ],
    ids=str,
)
def test_anything_else_has_work_of_its_own(point: MakePoint, other: dict[str, Any]) -> None:
    asked = {"arch": "a100", "schedule": "fa2", "sizes": SQUARE}
    assert work_of(point(**{**asked, **other})) != work_of(point(**asked))


# --- which unit -----------------------------------------------------------------------------------


def test_a_kind_bound_to_the_vector_unit_is_emulated_there(point: MakePoint) -> None:
    sfu, vector = (work_of(point("a100", {"extends": "fa2", "bindings": {"exp": unit}}, SQUARE)).per_tile for unit in ("sfu", "vector"))
    exponentials = 128 * 64 + 128
    assert "sfu" not in vector.ops
    assert vector.ops["vector"]["mac"] == 3 * exponentials
    assert vector.cycles["vector"] - sfu.cycles["vector"] == pytest.approx(8 * exponentials / 64)


@pytest.mark.parametrize(("kind", "unit"), [("add", "sfu"), ("mul", "tensor"), ("exp", "tensor")])
def test_a_kind_a_unit_cannot_run_goes_where_it_can(point: MakePoint, kind: str, unit: str) -> None:
    asked = point("a100", {"extends": "fa2", "bindings": {kind: unit}}, SQUARE)
    assert asked.unit(asked.cascade.by_label["SPNV"], "add") == "vector"
    assert asked.unit(asked.cascade.by_label["SPNV"], "mul") == "vector"
    assert asked.unit(asked.cascade.by_label["SLN"], "exp") == "sfu"


def test_a_matrix_product_may_be_bound_away_from_the_matrix_unit(point: MakePoint) -> None:
    asked = point("a100", {"extends": "fa2", "bindings": {"QK": "vector"}}, SQUARE)
    assert asked.unit(asked.cascade.by_label["QK"], "mac") == "vector"
    assert asked.unit(asked.cascade.by_label["SLNV"], "mac") == "tensor"
    assert work_of(asked).per_tile.ops["vector"]["mac"] == 128 * 64 * 128
