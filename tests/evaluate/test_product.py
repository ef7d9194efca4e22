"""Matrix products in kernels of their own: padding, waves, splits, re-reads, the tile a library would take."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attnsim.cascade.cascade import load_cascade
from attnsim.errors import InfeasibleError, SpecError
from attnsim.evaluate.evaluate import kernels_of, latency_of
from attnsim.evaluate.kernel import Kernel
from attnsim.evaluate.linear import grouped_latency, kernel_latency, product_latency
from attnsim.evaluate.point import Point
from attnsim.machine.load import load_machine
from attnsim.machine.machine import Machine
from attnsim.mask.banded import DENSE
from attnsim.schedule.names import check_names
from attnsim.schedule.schedule import load_schedule
from attnsim.spec.workload import Conditions

H100 = load_machine("h100_sxm")
ONE = [{"rows": 128, "cols": 256, "depth": 64, "warps": 8, "ctas": 1}]


def point(rows: int, cols: int, depth: int, experts: int = 0, dtype: str = "bf16", machine: Any = H100, **fields: Any) -> Point:
    """One product, or one of experts; fields: of a schedule that extends matmul."""
    schedule = load_schedule({"extends": "matmul", **fields}) if fields else load_schedule("matmul")
    sizes = {"P": rows, "N": cols, "K": depth} | ({"X": experts} if experts else {})
    cascade = load_cascade("grouped-linear" if experts else "linear")
    return Point(cascade, sizes, DENSE, dtype, machine, schedule, Conditions(), "forward")


def kernel(*sizes: int, **fields: Any) -> Kernel:
    """The one kernel of a product without a split."""
    (found,) = kernels_of(point(*sizes, **{"split": None, **fields}))
    return found


def test_a_tile_is_padded_and_waves_are_whole() -> None:
    # 132 SMs: 132 tiles take as long as one, 133 twice; a row more than a tile costs a tile
    full = kernel(128, 132 * 256, 4096, tile_rule="first", tiles=ONE)
    one = kernel(128, 256, 4096, tile_rule="first", tiles=ONE)
    assert full.ctas == 132 and full.compute_cycles == one.compute_cycles == pytest.approx(128 * 256 * 4096 / 2048 / 0.95)
    assert kernel(129, 132 * 256, 4096, tile_rule="first", tiles=ONE).compute_cycles == 2 * full.compute_cycles
    assert kernel(1, 256, 4096, tile_rule="first", tiles=ONE).filled == 1 / 128


def test_operands_are_reread_through_the_cache_and_a_cluster_shares_them() -> None:
    m, n, k = 512, 2048, 1024
    alone = kernel(m, n, k, tile_rule="first", tiles=ONE)
    x, w, y = 2 * m * k, 2 * n * k, 2 * m * n
    assert alone.traffic.total("hbm") == x + w + y
    assert alone.traffic.total("l2") == x * (n // 256) + w * (m // 128) + y
    shared = kernel(m, n, k, tile_rule="first", tiles=[{**ONE[0], "cluster": 2}])
    saved = max(x * (n // 256), w * (m // 128)) / 2  # the operand read most often
    assert shared.traffic.total("l2") == alone.traffic.total("l2") - saved


def test_matrix_instructions_read_the_tile_from_shared_memory() -> None:
    # 64 rows an instruction: one side once, the other once for every 64 of the first; 64x64 tiles are as busy there as in the unit
    small = kernel(64, 64, 640, tile_rule="first", tiles=[{"rows": 64, "cols": 64, "warps": 4, "ctas": 1}])
    assert small.smem_bytes == (64 + 64) * 640 * 2
    assert small.busy_cycles["smem"] == small.busy_cycles["tensor"]
    assert kernel(128, 256, 64, tile_rule="first", tiles=ONE).smem_bytes == (128 + 2 * 256) * 64 * 2


def test_the_reduction_is_split_where_processors_idle_and_a_second_kernel_adds_up() -> None:
    main, adding = kernels_of(point(1, 4096, 4096))
    assert main.splits > 1 and main.ctas == 128 and main.tile["rows"] == 8  # as cuBLAS' kernels of these sizes
    partial = main.splits * 4096 * 4
    assert main.traffic.moved["hbm"]["Y"]["write"] == 0 and main.traffic.moved["l2"]["Y"]["write"] == partial
    assert adding.traffic.moved["l2"]["Y"] == {"write": 4096 * 2, "read": partial} and adding.traffic.total("hbm") == 4096 * 2
    assert len(kernels_of(point(1, 8192, 8192))) == 1  # 128 tiles already
    assert len(kernels_of(point(1, 4096, 4096, dtype="fp8"))) == 1


def test_partial_results_larger_than_the_cache_go_through_memory() -> None:
    small = replace(H100, levels=tuple(replace(x, capacity_bytes=1024.0) if x.name == "l2" else x for x in H100.levels))
    main, adding = kernels_of(point(1, 4096, 4096, machine=small))
    assert main.traffic.moved["hbm"]["Y"]["write"] == adding.traffic.moved["hbm"]["Y"]["read"] == main.splits * 4096 * 4


@pytest.mark.parametrize(("rows", "tile"), [(8, 8), (16, 16), (64, 64), (128, 128), (4096, 128)])
def test_the_tile_follows_the_rows_as_in_cublas(rows: int, tile: int) -> None:
    assert kernels_of(point(rows, 57344, 8192))[0].tile["rows"] in (tile, 64)


def test_the_fastest_tile_is_no_slower_than_any_other() -> None:
    asked = point(300, 5120, 7168)
    best = latency_of(asked, kernels_of(asked))
    for tile in asked.schedule.tile_rows({**asked.context, "rows": 300}):
        row = {name: value for name, value in {**tile.model_dump(exclude_none=True), **tile.sizes()}.items() if name != "when"}
        one = point(300, 5120, 7168, tile_rule="first", tiles=[row])
        assert best <= latency_of(one, kernels_of(one)) * 1.02  # chosen at the nominal clock, timed at the settled one


def test_experts_pad_their_own_tiles_and_every_weight_is_read_once() -> None:
    grouped = kernels_of(replace(point(100, 2048, 512, experts=8), schedule=load_schedule("grouped-matmul")))[0]
    assert grouped.ctas == 8 * 2 * 16  # tiles of 64 x 128: 100 rows need two
    assert grouped.traffic.moved["hbm"]["W"]["read"] == 8 * 2048 * 512 * 2


@pytest.mark.parametrize("rows", [1, 16, 256, 4096])
def test_latency_grows_with_every_side(rows: int) -> None:
    base = product_latency(H100, rows, 4096, 4096)
    assert product_latency(H100, rows, 16384, 4096) > base < product_latency(H100, rows, 4096, 16384)
    # 64 rows fill the SMs without a split: 14.6 us were measured, 16.7 us for 16 rows
    assert product_latency(H100, 4 * rows, 4096, 4096) > base * (0.85 if rows == 16 else 0.99)


def test_a_product_by_its_sizes() -> None:
    assert product_latency(H100, 16, 8192, 8192) == pytest.approx(47.7e-6, rel=0.05)  # measured
    assert product_latency(H100, 16, 8192, 8192, "fp8") < 0.6 * product_latency(H100, 16, 8192, 8192)
    assert product_latency(H100, 16, 4096, 7168, experts=32) == pytest.approx(681e-6, rel=0.06)
    hits = kernel_latency.cache_info().hits
    product_latency(H100, 16, 8192, 8192)
    assert kernel_latency.cache_info().hits == hits + 1
    with pytest.raises(InfeasibleError, match="holds"):
        product_latency(H100, 10**6, 10**6, 10**6)
    with pytest.raises(SpecError, match="P"):
        product_latency(H100, 0, 4096, 4096)


@pytest.mark.parametrize("machine", ["a100_sxm_80gb", "b200", "mi300x", "epyc_7763"])
def test_other_machines_stay_above_their_floor(machine: str) -> None:
    found: Machine = load_machine(machine)  # type: ignore[assignment]
    dtype = "bf16" if found.supports("bf16") else "fp32"
    for rows in (1, 64, 1024):
        seconds = product_latency(found, rows, 8192, 8192, dtype)
        width = 2 if dtype == "bf16" else 4
        memory, compute = 8192**2 * width / found.memory.bandwidth, 2 * rows * 8192**2 / found.peak_flops(dtype)
        assert max(memory, 0.7 * compute) < seconds < 6 * max(memory, compute), rows  # peaks are given below the boost clock


def ramp(rows: int, experts: int) -> list[int]:
    """From 0 to twice the mean, as tools/measure_gemm.py spreads rows over experts."""
    found = [round(2 * (rows // experts) * index / (experts - 1)) for index in range(experts)]
    return [*found[:-1], found[-1] + rows - sum(found)]


def test_experts_may_have_different_rows() -> None:
    # 64 + 65 + 129 rows in tiles of 64 rows: 1 + 2 + 3; an expert without rows costs nothing; the order does not matter
    uneven = kernels_of(replace(point(86, 2048, 512, experts=3), schedule=load_schedule("grouped-matmul"), loads=(64, 65, 129)))[0]
    assert uneven.ctas == 6 * 16 and uneven.filled == (64 + 65 + 129) / (6 * 64)
    assert grouped_latency(H100, [65, 0, 64, 129], 2048, 512) == grouped_latency(H100, [64, 65, 129], 2048, 512)
    assert grouped_latency(H100, [32] * 8, 2048, 512) == product_latency(H100, 32, 2048, 512, experts=8)
    assert grouped_latency(H100, [1] * 7 + [1024], 4096, 4096) > grouped_latency(H100, [129] * 8, 4096, 4096) * 0.5
    with pytest.raises(SpecError, match="X"):
        grouped_latency(H100, [0, 0], 2048, 512)


def test_uneven_experts_as_measured() -> None:
    with (Path(__file__).parents[2] / "validation" / "gemm-h100" / "reference.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["spread"] == "ramp"]
    found = []
    for row in rows:
        m, n, k, experts = (int(row[name]) for name in ("rows", "cols", "depth", "experts"))
        found.append(grouped_latency(H100, ramp(m, experts), n, k) / (float(row["time_us"]) * 1e-6) - 1)
    assert len(found) == 12 and sum(map(abs, found)) / 12 < 0.08 and max(map(abs, found)) < 0.2


def test_a_streaming_kernel_reads_and_writes_once() -> None:
    schedule = load_schedule("row-norm")
    (norm,) = kernels_of(Point(load_cascade("rms-norm"), {"P": 4096, "D": 8192}, DENSE, "bf16", H100, schedule, Conditions(), "forward"))
    assert norm.traffic.total("hbm") == (2 * 4096 * 8192 + 8192) * 2 and norm.fixed_s == 0
    assert kernel_latency(H100, "rms-norm", "row-norm", (("P", 1), ("D", 4096)), "bf16") > H100.launch.graph_s + 0.5e-6


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"extends": "matmul", "tiles": [{"P": 128, "M": 64}]}, "only `fusion: none` with `rows` and `cols`"),
        ({"extends": "matmul", "fusion": "stream"}, "only `fusion: none` with `rows` and `cols`"),
        ({"extends": "matmul", "split": {"rank": "K", "rule": "fill"}}, "write depth, not K"),
        ({"extends": "flash-attention-2", "tiles": [{"when": "rows <= 8", "P": 128, "M": 64}]}, "asks for 'rows'"),
    ],
)
def test_mistakes_are_named(fields: dict[str, Any], wanted: str) -> None:
    with pytest.raises(SpecError, match=wanted):
        check_names(load_schedule(fields))


def test_without_a_row_that_holds_there_is_no_tile() -> None:
    with pytest.raises(InfeasibleError, match="no tile"):
        kernels_of(point(64, 64, 64, tiles=[{**ONE[0], "when": "rows > 64"}]))
