"""CTAs on one processor, from shared memory, registers and threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from attnsim.errors import InfeasibleError
from attnsim.evaluate.occupancy import Occupancy, occupancy
from attnsim.evaluate.point import Point
from attnsim.machine import load_machine
from attnsim.schedule.schedule import load_schedule

MakePoint = Callable[..., Point]
KIB = 1024


def held(point: Point) -> Occupancy:
    row = point.schedule.tile(point.context)
    return occupancy(point, row, row.sizes())


def square(dim: int) -> dict[str, int]:
    return {"P": 4096, "M": 4096, "E": dim}


@pytest.mark.parametrize(
    ("arch", "dim", "ctas", "scratch"),
    [
        # (rows + 2 x keys) x d x 2 B: 128 + 2 x 128 rows of 64
        ("a100", 64, 2, 48 * KIB),  # three by shared memory (164 KiB), two by registers
        ("a100", 128, 2, 64 * KIB),  # 128 + 2 x 64 rows of 128; two by both
        ("a100", 256, 1, 128 * KIB),  # eight warps: 256 threads of 256 registers are all of them
        ("h100", 128, 2, 64 * KIB),  # three by shared memory (228 KiB), two by registers
        ("h100", 256, 2, 96 * KIB),  # 64 x 64 tiles instead, for two CTAs
        ("l40s", 128, 1, 48 * KIB),  # dense: 128 x 32 tiles; 100 KiB hold two
    ],
)
def test_flash_attention_2(point: MakePoint, arch: str, dim: int, ctas: int, scratch: int) -> None:
    found = held(point(arch, "flash-attention-2", square(dim)))
    assert found.scratch_bytes == scratch
    assert found.ctas == (2 if arch == "l40s" else ctas)
    if (arch, dim) in (("a100", 64), ("h100", 128)):
        assert found.limiter == "registers"


@pytest.mark.parametrize("dtype", ["bf16", "fp8"])
@pytest.mark.parametrize("mask", [{"kind": "dense"}, {"kind": "causal"}, {"kind": "window", "left": 128}])
@pytest.mark.parametrize(("E", "F"), [(64, 64), (64, 256), (64, 512), (96, 96), (128, 128), (192, 128), (192, 192), (256, 256)])
def test_every_tile_of_flash_attention_3_fits_once(point: MakePoint, E: int, F: int, mask: dict[str, Any], dtype: str) -> None:
    """Two stages of K and V beside Q; one CTA by registers, as its table says."""
    asked = point("h100", "flash-attention-3", {**square(E), "F": F}, mask=mask, dtype=dtype)
    found = held(asked)
    tile = asked.schedule.tile(asked.context).sizes()
    assert found.ctas == 1
    assert found.scratch_bytes == (tile["P"] * E + 2 * tile["M"] * E + 2 * tile["M"] * F) * (2 if dtype == "bf16" else 1)
    assert found.scratch_bytes <= 227 * KIB


def test_flash_attention_4_fills_the_shared_memory_with_wide_keys(point: MakePoint) -> None:
    """d 192/128: two query tiles of 128 rows and three stages that K and V share, 96 + 96 + 32 KiB of 227."""
    assert held(point("b200", "flash-attention-4", {**square(192), "F": 128})) == Occupancy(1, "smem", 224 * KIB)
    assert held(point("b200", "flash-attention-4", square(128))).scratch_bytes == (64 + 64 + 32) * KIB


@pytest.mark.parametrize(("dim", "scratch"), [(64, 64), (128, 96), (256, 128)])
def test_flash_attention_2_backward_holds_four_tiles(point: MakePoint, dim: int, scratch: int) -> None:
    found = held(point("a100", "flash-attention-2-backward", square(dim), cascade="attention-backward"))
    assert found.scratch_bytes == scratch * KIB
    assert found.ctas == 1  # eight warps at 255 registers


def test_state_kept_in_shared_memory_counts(point: MakePoint) -> None:
    """FlashAttention-1, d 64: Q 16 rows, K and V 256 keys, and a tile of the running output."""
    assert held(point("a100", "flash-attention-1", square(64))).scratch_bytes == (16 + 256 + 256 + 16) * 64 * 2


@pytest.mark.parametrize("tensor", ["Q", "K", "V", "SLN", "AV"])
def test_any_tensor_may_be_resident(point: MakePoint, tensor: str) -> None:
    """Inputs, intermediates and outputs alike."""
    resident = {name: "register" for name in ("Q", "K", "V", "QK", "SLN", "RNV")}
    schedule = {"extends": "flash-attention-2", "resident": {**resident, tensor: "smem"}}
    elements = {"Q": 128 * 128, "K": 64 * 128, "V": 64 * 128, "SLN": 64 * 128, "AV": 128 * 128}
    assert held(point("a100", schedule, square(128))).scratch_bytes == 2 * elements[tensor]


def test_buffers_multiply_a_tile(point: MakePoint) -> None:
    single = held(point("h100", "flash-attention-2", square(64))).scratch_bytes
    double = held(point("h100", {"extends": "flash-attention-2", "buffers": {"K": 2, "V": 3}}, square(64))).scratch_bytes
    assert double - single == (1 + 2) * 128 * 64 * 2


@pytest.mark.parametrize(
    ("row", "ctas", "limiter"),
    [
        ({"warps": 4, "registers": 255}, 2, "registers"),  # 128 x 256 of 65536
        ({"warps": 4, "registers": 168}, 3, "registers"),
        ({"warps": 4, "registers": 101}, 4, "registers"),  # granted in steps of 8: 104, of which 5 CTAs would need too many
        ({"warps": 16}, 4, "threads"),  # 512 of 2048
        ({"warps": 1}, 17, "smem"),  # 164 KiB by 8 KiB and the reserved 1 KiB
        ({"warps": 1, "ctas": 5}, 5, "schedule"),
    ],
)
def test_what_bounds_the_ctas(point: MakePoint, row: dict[str, int], ctas: int, limiter: str) -> None:
    schedule = {"extends": "flash-attention-2", "tiles": [{"P": 32, "M": 16, **row}]}
    found = held(point("a100", schedule, square(64)))
    assert (found.scratch_bytes, found.ctas, found.limiter) == (8 * KIB, 18 if limiter == "smem" else ctas, limiter)


def test_no_more_than_the_hardware_takes(point: MakePoint) -> None:
    schedule = {"extends": "flash-attention-2", "tiles": [{"P": 16, "M": 16, "warps": 1}]}
    assert held(point("a100", schedule, square(16))) == Occupancy(32, "CTA limit", 3 * 16 * 16 * 2)


def test_a_tile_that_does_not_fit_is_refused_with_both_sizes(point: MakePoint) -> None:
    schedule = {"extends": "flash-attention-2", "tiles": [{"P": 256, "M": 256, "warps": 8}]}
    with pytest.raises(InfeasibleError) as caught:
        held(point("a100", schedule, square(128)))
    assert "tile P 256 x M 256 of schedule flash-attention-2 needs 197 kB of smem per CTA; a100_sxm_80gb has 167 kB" in str(caught.value)


def test_a_cta_that_needs_more_than_all_threads_or_registers_is_refused(point: MakePoint) -> None:
    for row, limiter in (({"warps": 65}, "threads"), ({"warps": 16, "registers": 255}, "registers")):
        schedule = {"extends": "flash-attention-2", "tiles": [{"P": 16, "M": 16, **row}]}
        with pytest.raises(InfeasibleError, match=rf"with {row['warps']} warps does not fit on a100_sxm_80gb: limited by {limiter}"):
            held(point("a100", schedule, square(64)))


def test_a_core_runs_one_task_out_of_its_own_cache(point: MakePoint) -> None:
    found = held(point("epyc_7763", "cpu-flash", {"P": 4096, "M": 4096, "E": 64}))
    assert found == Occupancy(1, "processors", (256 + 2 * 512) * 64 * 2)
    # A cache is no scratchpad: 640 KiB of tiles do not fit its 512 KiB, and still run.
    assert held(point("epyc_7763", "cpu-flash", square(256))) == Occupancy(1, "processors", 640 * KIB)


def test_shipped_kernels_use_the_tile_that_fits_a_small_shared_memory(point: MakePoint) -> None:
    """MI300X has 64 KiB: the decode kernel takes a shorter key tile there."""
    assert load_machine("mi300x").limits.smem_per_cta_bytes == 64 * KIB
    for dim in (64, 128, 256):
        small, large = (point(arch, "flashinfer-decode", {"P": 1, "M": 4096, "E": dim}) for arch in ("mi300x", "a100"))
        assert small.schedule.tile(small.context).sizes()["M"] * 2 == large.schedule.tile(large.context).sizes()["M"]
        assert held(small).ctas >= 1


def test_every_shipped_row_fits_a_machine_it_was_written_for(point: MakePoint) -> None:
    """By the widest heads it takes, on the machine with the most shared memory that may run it."""
    for name, arch in (("flash-attention-2", "a100"), ("flash-decoding", "a100"), ("lean-attention", "a100"), ("flashinfer-decode", "a100"),
                       ("cudnn", "b200"), ("flash-attention-4", "b200"), ("flash-attention-1", "a100")):  # fmt: skip
        for dim in (32, 64, 96, 128, 192, 256):
            asked = point(arch, name, square(dim))
            try:
                load_schedule(name).tile(asked.context)
            except InfeasibleError:
                continue
            assert held(asked).ctas >= 1, (name, dim)
