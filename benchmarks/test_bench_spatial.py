"""PE arrays: the 24 points of FuseMax's evaluation under five configurations, searches included, through warm `attnsim.run` on dicts."""

from itertools import product
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import attnsim

# batch 64; heads and head dimension of BERT-Base, TrXL-wt103, T5-small, XLM
MODELS = ((12, 64), (16, 64), (8, 64), (16, 128))
LENGTHS = (1024, 4096, 16384, 65536, 262144, 1048576)
CONFIGURATIONS = (
    ("unfused", "flat_cloud", "attention-3pass"),
    ("flat", "flat_cloud", "attention-3pass"),
    ("fusemax-cascade", "flat_cloud", "attention-1pass"),
    ("fusemax-architecture", "fusemax_cloud", "attention-1pass"),
    ("fusemax", "fusemax_cloud", "attention-1pass"),
)


def workload(cascade: str, heads: int, width: int, length: int) -> dict[str, Any]:
    return {
        "attnsim": 1, "kind": "kernel", "name": "bench", "cascade": cascade, "dtype": "fp16",
        "sizes": {"B": 64, "H": heads, "P": length, "M": length, "E": width, "F": width},
    }  # fmt: skip


def evaluate(configurations: tuple[tuple[str, str, str], ...]) -> list[float]:
    return [
        attnsim.run(workload(cascade, heads, width, length), arch, schedule).results[0].latency_s
        for schedule, arch, cascade in configurations
        for (heads, width), length in product(MODELS, LENGTHS)
    ]


def test_the_whole_evaluation(benchmark: BenchmarkFixture) -> None:
    benchmark.group = "24 points x 5 configurations"
    times = benchmark.pedantic(lambda: evaluate(CONFIGURATIONS), rounds=5, warmup_rounds=1)
    assert len(times) == 120


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=lambda configuration: configuration[0])
def test_one_configuration(benchmark: BenchmarkFixture, configuration: tuple[str, str, str]) -> None:
    benchmark.group = "24 points"
    assert len(benchmark.pedantic(lambda: evaluate((configuration,)), rounds=5, warmup_rounds=1)) == 24
