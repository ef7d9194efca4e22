"""Whole models: one answer, and a thousand points of one model."""

from __future__ import annotations

from typing import Any

import attnsim
from attnsim.serving import kernels


def ask(batch: int, context: int) -> Any:
    workload = {
        "attnsim": 1, "kind": "model", "name": "asked", "model": "llama3-70b", "context": context, "batch": batch,
        "deployment": {"kind": "colocated", "tp": 8},
    }  # fmt: skip
    return attnsim.run(workload, "h200")


def test_a_thousand_points_of_one_model(benchmark: Any) -> None:
    """40 batches x 25 contexts; the kernels asked for before are forgotten first."""
    ask(1, 1024)

    def points() -> None:
        kernels.product.cache_clear()
        kernels.core.cache_clear()
        for batch in range(1, 41):
            for context in range(1024, 26 * 1024, 1024):
                ask(batch, context)

    benchmark.pedantic(points, rounds=3, iterations=1)


def test_one_answer(benchmark: Any) -> None:
    """Everything of it known already but the answer itself."""
    benchmark(ask, 16, 8192)
