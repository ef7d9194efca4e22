"""Sweeps in one process: points a second of bounds, of whole kernels and of whole models, and how the cost grows."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from attnsim.api.documents import workload_document
from attnsim.explore.answer.scalar import Group
from attnsim.explore.answer.vector import answer_together
from attnsim.machine.load import load_machine
from attnsim.serving import kernels

SUMMARY = (
    "latency_s",
    "lower_bound_s",
    "bound",
    "energy_j",
    "flops",
    "bytes",
    "utilization",
    "time_by_resource_s",
    "footprint_bytes",
    "mask",
)
DENSE, CAUSAL, WINDOW = {"kind": "dense"}, {"kind": "causal"}, {"kind": "window", "left": 1023, "right": 0}


def group(
    arch: str, mask: dict[str, Any], decode: bool, count: int, lengths: tuple[int, int], only: Any = "all", schedule: Any = None
) -> Group:
    """Batches of 1 to 16, 8 to 64 heads in groups of 1, 4 and 8, lengths spread evenly on a log scale: no two points need be alike."""
    draw = np.random.default_rng(7)
    keys = np.exp(draw.uniform(*np.log(lengths), count)).astype(np.int64)
    shared, share = draw.choice([1, 2, 8], count), draw.choice([1, 4, 8], count)
    sizes = {"B": draw.integers(1, 17, count), "H": shared * share, "G": shared, "P": np.ones_like(keys) if decode else keys, "M": keys}
    workload = {
        "attnsim": 1, "kind": "kernel", "name": "bench", "cascade": "attention-1pass", "dtype": "bf16", "mask": mask,
        "sizes": {"B": 1, "H": 8, "G": 8, "P": 128, "M": 128, "E": 128, "F": 128},
    }  # fmt: skip
    return Group(workload_document(workload), load_machine(arch), None, sizes, only, SUMMARY, count)


def rate(benchmark: BenchmarkFixture, asked: Group, rounds: int = 3, forget: Callable[[], None] | None = None) -> None:
    """forget: called before each round, so that it finds no cost that a round before computed."""
    answer_together(asked)  # imports, compiles

    def before() -> tuple[tuple[Group], dict[str, Any]]:
        if forget is not None:
            forget()
        return (asked,), {}

    answers = benchmark.pedantic(answer_together, setup=before, rounds=rounds)
    assert sum(error is None for error in answers["error"]) > asked.count // 4
    benchmark.extra_info["points_per_second"] = round(asked.count / benchmark.stats.stats.median)


def test_lower_bounds(benchmark: BenchmarkFixture) -> None:
    benchmark.group = "bounds"
    rate(benchmark, group("h100_sxm", CAUSAL, False, 1_000_000, (256, 131072), "lower_bound"))


@pytest.mark.parametrize(
    ("arch", "mask", "decode"),
    [
        ("h100_sxm", DENSE, False), ("a100_sxm_80gb", DENSE, False), ("h100_sxm", DENSE, True), ("b200", DENSE, True),
        ("h100_sxm", CAUSAL, False), ("a100_sxm_80gb", CAUSAL, False), ("a100_sxm_80gb", WINDOW, False),
    ],
    ids=["h100-dense", "a100-dense", "h100-decode", "b200-decode", "h100-causal", "a100-causal", "a100-window"],
)  # fmt: skip
def test_kernels(benchmark: BenchmarkFixture, arch: str, mask: dict[str, Any], decode: bool) -> None:
    benchmark.group = "kernels"
    rate(benchmark, group(arch, mask, decode, 50_000, (256, 16384)))


@pytest.mark.parametrize(("model", "arch", "deployment"), [
    ("llama3-70b", "h200", {"kind": "colocated", "tp": 8}), ("deepseek-v3", "h200", {"kind": "colocated", "tp": 8, "dp": 4, "ep": 32}),
])  # fmt: skip
@pytest.mark.parametrize("phase", ["decode", "prefill"])
def test_models(benchmark: BenchmarkFixture, model: str, arch: str, deployment: dict[str, Any], phase: str) -> None:
    """128 batches by 39 contexts of a model in a deployment; costs of kernels that a round before found are forgotten."""
    benchmark.group = "models"
    workload = {
        "attnsim": 1,
        "kind": "model",
        "name": "bench",
        "model": model,
        "context": 1024,
        "batch": 8,
        "phase": phase,
        "deployment": deployment,
    }
    batch, context = (grid.ravel() for grid in np.meshgrid(np.arange(4, 516, 4), np.arange(512, 40 * 512, 512)))

    def forget() -> None:
        for kernel in (kernels.product, kernels.core, kernels.rowwise):
            kernel.cache_clear()

    fields = ("latency_s", "lower_bound_s", "bound", "tokens_per_s", "tpot_s", "energy_j", "memory_bytes", "time_by_resource_s", "cost")
    rate(
        benchmark,
        Group(workload_document(workload), load_machine(arch), None, {"batch": batch, "context": context}, "all", fields, len(batch)),
        forget=forget,
    )


@pytest.mark.parametrize("count", [10, 100, 1_000, 10_000, 100_000])
def test_growth_with_points(benchmark: BenchmarkFixture, count: int) -> None:
    benchmark.group = "growth with points"
    rate(benchmark, group("h100_sxm", DENSE, False, count, (256, 16384)))


@pytest.mark.parametrize("length", [1024, 4096, 16384, 65536, 262144, 1048576])
def test_growth_with_sequence_length(benchmark: BenchmarkFixture, length: int) -> None:
    """The causal tiles of a sequence: what a point costs when each has `length` / 128 of them."""
    benchmark.group = "growth with sequence length"
    rate(benchmark, group("a100_sxm_80gb", CAUSAL, False, 512, (length, length + 1)), rounds=2)


MEMORY = """
import resource, sys
from attnsim.cli.main import main
code = main(["sweep", "llama3-8b-decode", "h100_sxm", "--vary", "sizes.M=1..100000:+1", "--vary", "sizes.B=1..100:+1",
             "--only", "lower-bound", "--quiet", "-o", sys.argv[1]])
print(code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_memory_of_ten_million_points(benchmark: BenchmarkFixture, tmp_path: Any) -> None:
    benchmark.group = "memory"
    path = tmp_path / "ten-million.parquet"

    def run() -> str:
        return subprocess.run([sys.executable, "-c", MEMORY, str(path)], capture_output=True, text=True, check=True).stdout

    code, megabytes = map(int, benchmark.pedantic(run, rounds=1).split())
    import pyarrow.parquet as pq

    assert code == 0 and pq.read_metadata(path).num_rows == 10_000_000
    benchmark.extra_info["points_per_second"] = round(10_000_000 / benchmark.stats.stats.median)
    benchmark.extra_info["peak_megabytes"] = megabytes
