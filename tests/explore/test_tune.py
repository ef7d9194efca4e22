"""The search of a schedule: published tiles are found again, what does not fit is refused by name, and the answer runs as a file."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import attnsim
from attnsim.api.documents import question, workload_spec
from attnsim.api.processors import resolve
from attnsim.errors import InfeasibleError, MissingDataError, SpecError, UsageError
from attnsim.explore.tune.limits import Limits, limits_of, most_held
from attnsim.explore.tune.search import Refusal
from attnsim.explore.tune.space import Candidate, Space, space_of
from attnsim.schedule.schedule import build


def kernel(length: int, dim: int, mask: str = "dense", dtype: str = "bf16") -> list[str]:
    """16k tokens of a model 2048 wide."""
    sizes = {"P": length, "M": length, "E": dim, "F": dim, "H": 2048 // dim, "G": 2048 // dim, "B": 16384 // length}
    return [*(f"sizes.{name}={size}" for name, size in sizes.items()), f"mask.kind={mask}", f"dtype={dtype}"]


def made(arch: str, schedule: str, sets: list[str], **overrides: Any) -> tuple[Space, Limits]:
    document, machine, named = question("llama3-8b-prefill", arch, schedule, sets, overrides)
    spec = workload_spec(document)
    point = resolve(spec, document, machine, named)
    space = space_of(replace(point, schedule=build(point.schedule.doc)))
    return space, limits_of(space.point, space.own)


A100, H100 = ("a100_sxm_80gb", "flash-attention-2"), ("h100_sxm", "flash-attention-3")
B200 = ("b200", "flash-attention-4")
EXPOSED = "schedule.overlap.exposed.sfu=[{value: 0.5, source: 'estimate: x'}]"
#: Beyond 3 %: a tile whose length does not divide the sequence computes 3 % of padding there, which FlashAttention-3 accepts for one tile
#: at all lengths (tile_size.h: "suffers from tile quantization at short seqlen").
QUANTIZED = {("flash-attention-3", 128, "dense", 2048), ("flash-attention-3", 64, "dense", 2048), ("flash-attention-3", 64, "dense", 4096)}


@pytest.mark.parametrize("length", [2048, 4096, 8192, 16384])
@pytest.mark.parametrize("mask", ["dense", "causal"])
@pytest.mark.parametrize("dim", [64, 128])
@pytest.mark.parametrize("case", [A100, H100], ids=["a100", "h100"])
def test_published_tiles_are_found_or_close(case: tuple[str, str], dim: int, mask: str, length: int) -> None:
    arch, schedule = case
    found = attnsim.tune("llama3-8b-prefill", arch, schedule, vary=["tiles"], sets=kernel(length, dim, mask))
    behind = found.own.latency_s / found.best.latency_s - 1
    assert 0 <= behind <= (0.04 if (schedule, dim, mask, length) in QUANTIZED else 0.03)
    if schedule == "flash-attention-2":
        assert found.own.choice["tile"] == {"P": 128, "M": 64 if dim == 128 else 128}
        if dim == 128 or mask == "causal":
            assert found.best.own


@pytest.mark.parametrize(
    ("dim", "mask", "dtype", "through_registers"),
    [
        (64, "dense", "bf16", False),
        (64, "causal", "bf16", True),
        (96, "dense", "bf16", False),
        (96, "causal", "bf16", False),
        (128, "dense", "bf16", True),
        (128, "causal", "bf16", True),
        (192, "dense", "bf16", True),
        (256, "dense", "bf16", True),
        (64, "dense", "fp8", True),
        (96, "dense", "fp8", True),
        (128, "dense", "fp8", True),
        (192, "dense", "fp8", True),
        (256, "dense", "fp8", True),
    ],
)
def test_registers_tell_which_tiles_hand_over_in_shared_memory(dim: int, mask: str, dtype: str, through_registers: bool) -> None:
    """MmaPV_is_RS of Dao-AILab/flash-attention hopper/tile_size.h, for the tiles of FlashAttention-3."""
    heads = ["sizes.H=8", "sizes.G=8"]
    space, limits = made(*H100, [*kernel(4096, 128, mask, dtype), f"sizes.E={dim}", f"sizes.F={dim}", *heads])
    assert (limits.spilled == ()) == through_registers
    assert limits.granted(space.own) == {8: 240, 12: 160}[space.own.warps or 0]  # setmaxnreg of flash_fwd_kernel_sm90.h


def test_registers_of_tiles_are_those_of_accumulators() -> None:
    space, limits = made(*A100, kernel(2048, 128))
    assert most_held(space.point, {"P": 128, "M": 64}, "register") == 128 * 64 * 4 + 128 * 128 * 4  # scores, then numerators in their place
    assert most_held(space.point, {"P": 128, "M": 64}, "register", ["SLN"]) == 128 * 64 * (4 + 2) + 128 * 128 * 4
    assert limits.beside == 255 - 192
    gradient, bounds = made(*A100, kernel(2048, 128), direction="backward")
    accumulated = 2 * 128 * 128 * 4  # dK and dV of 128 keys
    assert most_held(gradient.point, gradient.own.sizes, "register") == accumulated + 64 * 128 * (
        2 + 4
    )  # and SN beside dP, or dS beside dQ
    assert isinstance(bounds.fit(gradient.own), Candidate)


def test_tensor_memory_of_blackwell_is_full() -> None:
    space, limits = made("b200", "flash-attention-4", kernel(4096, 128))
    assert space.own.sizes == {"P": 256, "M": 128}
    assert most_held(space.point, space.own.sizes, "tmem") == 256 * 1024  # two tiles of 128 rows: scores and numerators of 128 columns each
    assert limits.fit(space.own) == space.own


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_whatever_fits_keeps_every_limit(data: st.DataObject) -> None:
    arch, schedule = data.draw(st.sampled_from([A100, H100, B200]))
    space, limits = made(
        arch, schedule, kernel(4096, data.draw(st.sampled_from([64, 128])), data.draw(st.sampled_from(["dense", "causal"])))
    )
    candidate = space.candidate(data.draw(st.tuples(*(st.integers(0, len(axis.choices) - 1) for axis in space.axes))))
    if candidate is None:
        return
    fitted = limits.fit(candidate)
    machine = space.point.machine
    if isinstance(fitted, Refusal):
        assert fitted.limit and any(mark.isdigit() for mark in fitted.message)
        return
    threads = (fitted.warps or 0) * machine.limits.warp * (fitted.ctas or 1)
    assert threads <= machine.limits.threads
    assert limits.registers(fitted) <= machine.limits.registers_per_thread
    assert limits.registers(fitted) * threads <= machine.limits.registers
    assert fitted.sizes["M"] % 16 == 0 and fitted.sizes["P"] % 64 == 0


REFUSED = [
    (A100, {"P": 256, "M": 256}, "registers: tile P 256 x M 256 in 8 warps needs 447 registers per thread (QK, SLN, RNV, 63 beside); "
     "a100_sxm_80gb has 255 for each (65536 per SM, 255 per thread)"),
    (A100, {"P": 256, "M": 64, "warps": 4}, "registers: tile P 256 x M 64 in 4 warps needs 447"),  # its code: spills
    (A100, {"P": 64, "M": 256, "warps": 2}, "registers: tile P 64 x M 256 in 2 warps needs 447"),
    (A100, {"P": 64, "M": 64, "warps": 8}, "instructions: mma_sync of a100_sxm_80gb covers multiples of 128 rows"),
    (H100, {"P": 96, "M": 64, "warps": 4}, "instructions: wgmma of h100_sxm covers multiples of 64 rows"),
    (A100, {"P": 100}, "rows: the warps of schedule flash-attention-2 cover 64, 128, 256 rows"),
    (A100, {"M": 100}, "instructions: mma_sync of a100_sxm_80gb takes multiples of 16 in bf16"),
    (H100, {"P": 192, "M": 128}, "registers: tile P 192 x M 128 in 12 warps needs 188 registers per thread"),
    (H100, {"P": 128, "M": 208}, "registers: tile P 128 x M 208 in 8 warps needs 248"),
    (H100, {"P": 64, "M": 64, "ctas": 4}, "registers: tile P 64 x M 64 in 4 warps needs 140 registers per thread (QK, SLN, RNV, "
     "28 beside); h100_sxm has 104 for each (65536 per SM of 4 CTAs, 255 per thread)"),
    (B200, {"P": 256, "M": 160}, "tensor memory: tile P 256 x M 160 in 8 warps needs 295 kB of tensor memory per CTA (QK, SLN, RNV); "
     "b200 has 262 kB for each of 1"),
]  # fmt: skip


@pytest.mark.parametrize(("case", "tile", "says"), REFUSED, ids=[str(tile) for _, tile, _ in REFUSED])
def test_a_tile_that_does_not_fit_is_refused_by_its_limit(case: tuple[str, str], tile: dict[str, int], says: str) -> None:
    with pytest.raises(InfeasibleError) as caught:
        attnsim.tune("llama3-8b-prefill", *case, vary=["tiles"], tile=tile, sets=kernel(2048, 128))
    assert f"limited by {says}" in str(caught.value) and len(caught.value.issues) == 1


def test_shared_memory_is_a_limit_too() -> None:
    says = (
        "limited by shared memory: tile P 128 x M 128 of schedule flash-attention-2 needs 197 kB of smem per CTA; a100_sxm_80gb has 167 kB"
    )
    with pytest.raises(InfeasibleError, match=says):
        attnsim.tune("llama3-8b-prefill", *A100, vary=["tiles"], tile={"P": 128, "M": 128, "warps": 8}, sets=kernel(2048, 256))


def test_a_named_tile_is_held_against_the_best() -> None:
    found = attnsim.tune("llama3-8b-prefill", *A100, vary=["tiles"], tile={"P": 128, "M": 32}, sets=kernel(2048, 128))
    assert found.asked is not None and found.asked.choice["tile"] == {"P": 128, "M": 32}
    assert found.asked.latency_s > found.best.latency_s and found.to_dict()["asked"]["latency_s"] == found.asked.latency_s
    assert "asked" in repr(found)


@pytest.mark.parametrize(
    ("workload", "arch", "schedule", "vary", "sets"),
    [
        ("llama3-8b-prefill", "a100_sxm_80gb", "flash-attention-2", ["tiles", "order"], kernel(2048, 64)),
        ("llama3-8b-prefill", "h100_sxm", "flash-attention-3", ["tiles", "order", "stages"], kernel(2048, 64, "causal")),
        ("llama3-8b-prefill", "h100_sxm", "flash-attention-3", ["split"], ["sizes.P=128", "sizes.H=4", "sizes.G=4", "mask.kind=dense"]),
        ("llama3-8b-prefill", "h100_sxm", "flash-attention-3", ["tiles"], [*kernel(2048, 128), EXPOSED]),
        ("llama3-8b-decode", "h100_sxm", "flash-attention-3", ["ctas", "split"], []),
        ("hunyuanvideo-gna", "b200", None, ["tiles", "order"], []),
        ("fusemax-bert-attention", "fusemax_cloud", None, ["tiles"], []),
        ("fusemax-bert-attention", "fusemax_cloud", "fusemax", ["bindings"], ["sizes.P=1024", "sizes.M=1024"]),
    ],
)  # fmt: skip
def test_the_best_runs_as_a_file(workload: str, arch: str, schedule: str | None, vary: list[str], sets: list[str], tmp_path: Path) -> None:
    found = attnsim.tune(workload, arch, schedule, vary=vary, sets=sets, limit=500, trials=40)
    target = tmp_path / "best.yaml"
    target.write_text(found.schedule_yaml())
    plain = [text for text in sets if not text.startswith("schedule.")]
    ran = attnsim.run(workload, arch, str(target), sets=plain)
    assert ran.results[0].latency_s == found.best.latency_s
    assert found.best.latency_s <= found.own.latency_s
    own = attnsim.run(workload, arch, schedule, sets=sets).results[0].latency_s
    assert found.own.latency_s == own
    if plain == sets and schedule:
        assert "extends" in yaml.safe_load(found.schedule_yaml())


def test_counts_and_order_of_the_answer() -> None:
    found = attnsim.tune("llama3-8b-prefill", *A100, vary=["tiles"], sets=kernel(4096, 64), top=5)
    assert found.candidates == 128 == found.evaluated + sum(found.refused.values()) and found.method == "exhaustive"
    assert set(found.refused) == set(found.examples) == {"registers", "warps to hide latency"}
    times = [one.latency_s for one in found.results]
    assert times == sorted(times) and len(times) == 5
    assert all(one.lower_bound_s == found.own.lower_bound_s and one.over_bound >= 1 for one in found.results)
    assert found.reasons[0].startswith(f"{100 * (times[1] / times[0] - 1):.2f} % faster than the runner-up")
    assert sum(one.own for one in found.results) == 1


def test_optuna_is_deterministic_and_knows_the_own() -> None:
    pytest.importorskip("optuna")
    asked: dict[str, Any] = {"limit": 20, "trials": 60, "sets": kernel(2048, 64)}
    one, other = (attnsim.tune("llama3-8b-prefill", *H100, seed=3, **asked) for _ in range(2))
    assert one.method == "optuna" and one.to_dict() == other.to_dict()
    assert one.best.latency_s <= one.own.latency_s and one.evaluated <= 60
    everything = attnsim.tune("llama3-8b-prefill", *H100, vary=["tiles"], sets=kernel(2048, 64))
    assert one.best.latency_s <= 1.05 * everything.best.latency_s


def test_without_optuna_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingDataError, match=r"more than 20 candidates fit; .*pip install 'attnsim\[search\]'"):
        attnsim.tune("llama3-8b-prefill", *H100, limit=20, sets=kernel(2048, 64))
    assert attnsim.tune("llama3-8b-prefill", *H100, vary=["tiles"], sets=kernel(2048, 64)).method == "exhaustive"


def test_a_mapping_has_to_fit_into_the_pes() -> None:
    found = attnsim.tune("fusemax-bert-attention", "fusemax_cloud", vary=["tiles"])
    assert found.best.latency_s < found.own.latency_s and found.refused["registers of the PEs"] > 0
    with pytest.raises(InfeasibleError, match="limited by registers of the PEs: tile P 256 x M 2048 needs 18 words in a PE of pe2d"):
        attnsim.tune("fusemax-bert-attention", "fusemax_cloud", vary=["tiles"], tile={"M": 2048})


ARRAYS: dict[str, Any] = {"arch": "fusemax_cloud", "schedule": None}


@pytest.mark.parametrize(
    ("asked", "error", "says"),
    [
        ({"vary": ["colour"]}, UsageError, "tune varies tiles, ctas, order, stages, split, not 'colour'"),
        ({"vary": ["split"]}, UsageError, "schedule flash-attention-2 splits no walk, so there are no split to vary; it has tiles, order"),
        ({"vary": ["ctas"]}, UsageError, "leaves the CTAs per processor to the limits"),
        ({"tile": {"Z": 4}}, UsageError, "tile: schedule flash-attention-2 has no tile of Z; it has P, M"),
        ({"limit": 0}, UsageError, "limit must be at least 1, not 0"),
        ({"schedule": "naive"}, InfeasibleError, "tune varies fused kernels that walk one rank; schedule naive is none"),
        ({"workload": "deepseek-v3-ep128"}, SpecError, "tune takes a kernel"),
        ({**ARRAYS, "vary": ["stages"]}, UsageError, "on PE arrays tune varies tiles, order, bindings, not 'stages'"),
        ({**ARRAYS, "vary": ["tiles"], "tile": {"E": 4}}, UsageError, "schedule fusemax partitions no E; it partitions M, P"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(asked: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error) as caught:
        attnsim.tune(**{"workload": "llama3-8b-prefill", "arch": A100[0], "schedule": A100[1], **asked})
    assert says in str(caught.value) and "\n" not in str(caught.value)
