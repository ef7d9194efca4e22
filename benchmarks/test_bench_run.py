"""Warm calls of `attnsim.run` on Python dicts: how many points a second a sweep in one process gets.

Warm: the process has answered a few thousand questions of the kind. Then the engine's arithmetic is played from what it did before
(`evaluate/replay.py`), and CTAs that differ are scheduled by the compiled scheduler where the extra `fast` is installed. No answer is kept:
every point is computed whole, all but the digests of its files, which are hashed when they are asked for.
"""

from itertools import islice, product
from random import Random
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import attnsim

# 960 prefill kernels, every one of another size, so that no answer can come from a cache of answers.
PREFILL = [
    {"B": batch, "H": heads, "G": max(1, heads // share), "P": length, "M": length, "E": dim, "F": dim}
    for length, batch, heads, share, dim in product(
        (512, 1000, 1024, 2048, 3000, 4096, 6000, 8192, 12345, 16384, 24576, 32768), (1, 2, 3, 4), (8, 16, 24, 32, 40), (1, 4), (64, 128)
    )
]
DECODE = [{**sizes, "P": 1} for sizes in PREFILL]


def workload(sizes: dict[str, int]) -> dict[str, Any]:
    return {
        "attnsim": 1, "kind": "kernel", "name": "bench", "cascade": "attention-1pass", "sizes": sizes, "dtype": "bf16",
        "mask": {"kind": "causal"},
    }  # fmt: skip


@pytest.mark.parametrize("arch", ["a100_sxm_80gb", "h100_sxm", "b200"])
@pytest.mark.parametrize(("phase", "points"), [("prefill", PREFILL), ("decode", DECODE)])
def test_run(benchmark: BenchmarkFixture, arch: str, phase: str, points: list[dict[str, int]]) -> None:
    benchmark.group = phase
    workloads = [workload(sizes) for sizes in points]

    def sweep() -> list[Any]:
        found = []
        for one in workloads:
            answer = attnsim.run(one, arch).results[0]
            found.append((answer.latency_s, answer.lower_bound_s, answer.bound, answer.energy_j, *answer.bytes.values()))
        return found

    points = benchmark.pedantic(sweep, rounds=5, warmup_rounds=3)
    assert len(set(points)) > len(points) // 4  # a batch of two is as much work as twice the heads
    benchmark.extra_info["points_per_second"] = round(len(workloads) / benchmark.stats.stats.median)


@pytest.mark.parametrize("arch", ["a100_sxm_80gb", "h100_sxm", "b200"])
def test_run_of_lengths_never_seen(benchmark: BenchmarkFixture, arch: str) -> None:
    """Prefill kernels whose lengths do not come again, up to 32K: the tiles that the mask leaves are walked for every one of them."""
    benchmark.group = "new lengths"
    lengths = iter(Random(7).sample(range(256, 32768), 960 * 8))

    def fresh() -> tuple[tuple[list[dict[str, Any]]], dict[str, Any]]:
        return ([workload({**PREFILL[0], "P": length, "M": length}) for length in islice(lengths, 960)],), {}

    def sweep(workloads: list[dict[str, Any]]) -> list[float]:
        return [attnsim.run(one, arch).results[0].latency_s for one in workloads]

    for _ in range(3):
        sweep(*fresh()[0])
    found = benchmark.pedantic(sweep, setup=fresh, rounds=5)
    assert len(set(found)) > len(found) // 4  # lengths that fill the same tiles take as long
    benchmark.extra_info["points_per_second"] = round(960 / benchmark.stats.stats.median)


def test_first_point(benchmark: BenchmarkFixture) -> None:
    """One point as a whole dict of results, the way a service would answer a request."""
    one = workload(PREFILL[-1])
    benchmark.group = "one point"
    answer = benchmark(lambda: attnsim.run(one, "h100_sxm").to_dict())
    assert answer["results"][0]["latency_s"] > 0
