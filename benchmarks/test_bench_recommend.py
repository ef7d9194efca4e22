"""`attnsim.recommend` for the layouts of HunyuanVideo and FLUX: every stride in every tile shape, and every window within a budget."""

from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import attnsim

LAYOUTS = {"hunyuan": ([30, 48, 80], [18, 24, 24]), "flux": ([256, 256], [80, 80])}


def workload(layout: str) -> dict[str, Any]:
    shape, window = LAYOUTS[layout]
    tokens = 115200 if layout == "hunyuan" else 65536
    return {
        "attnsim": 1, "kind": "kernel", "name": layout, "cascade": "attention-1pass", "dtype": "bf16", "schedule": "natten-blackwell",
        "sizes": {"B": 1, "H": 24, "P": tokens, "M": tokens, "E": 128, "F": 128},
        "mask": {"kind": "neighborhood", "shape": shape, "window": window},
    }  # fmt: skip


@pytest.mark.parametrize("budget", [None, 0.9], ids=["own window", "windows of a budget"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_recommend(benchmark: BenchmarkFixture, layout: str, budget: float | None) -> None:
    benchmark.group = "own window" if budget is None else "windows within a budget"
    found = benchmark.pedantic(lambda: attnsim.recommend(workload(layout), "b200", max_sparsity=budget), rounds=3, warmup_rounds=1)
    assert found.results[0].block_sparse_natten
    benchmark.extra_info["considered"], benchmark.extra_info["evaluated"] = found.considered, found.evaluated
