"""What `attnsim.run` returns: plain JSON, exact counts, digests of what was asked, the same answer every time."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest

import attnsim

SMALL: dict[str, Any] = {
    "attnsim": 1, "kind": "kernel", "name": "small", "cascade": "attention-1pass", "dtype": "bf16", "mask": {"kind": "causal"},
    "sizes": {"B": 2, "H": 16, "G": 4, "P": 2048, "M": 2048, "E": 128, "F": 128},
}  # fmt: skip


def one(workload: Any = SMALL, arch: Any = "h100_sxm", schedule: Any = None, **overrides: Any) -> Any:
    """The single estimate of a run."""
    (estimate,) = attnsim.run(workload, arch, schedule, **overrides).results
    return estimate


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        for item in value.values():
            yield from numbers(item)
    elif isinstance(value, list):
        for item in value:
            yield from numbers(item)
    elif isinstance(value, int | float):
        yield value


QUESTIONS = [
    ({}, "h100_sxm"),
    ({"sizes": {"P": 1, "M": 100_000}}, "a100"),
    ({"direction": "backward"}, "b200"),
    ({"cascade": "attention-3pass"}, "l40s"),
    ({"dtype": "fp32"}, "epyc_7763"),
    ({"sizes": {"P": 1, "M": 1, "B": 1, "H": 1, "G": 1}}, "mi300x"),
    ({"sizes": {"P": 1 << 20, "M": 1 << 20, "B": 1, "H": 32, "G": 8}, "mask": {"kind": "dense"}}, "h100_sxm"),
]


@pytest.mark.parametrize(("overrides", "arch"), QUESTIONS, ids=str)
def test_the_report_is_json_with_finite_numbers(overrides: dict[str, Any], arch: str) -> None:
    data = attnsim.run(SMALL, arch, **overrides).to_dict()
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert all(math.isfinite(number) for number in numbers(data))
    assert data["schema"] == 1 and data["attnsim"] == attnsim.__version__
    assert set(data) == {"schema", "attnsim", "workload", "arch", "assumptions", "results"}
    (result,) = data["results"]
    for name in (
        "name", "kind", "schedule", "flops", "flops_by_unit", "bytes", "passes", "footprint_bytes", "latency_s", "lower_bound_s", "bound",
        "utilization", "energy_j", "speedup_upper_bound", "time_by_resource_s", "mask",
    ):  # fmt: skip
        assert name in result
    assert 0 < result["lower_bound_s"] <= result["latency_s"]
    assert result["energy_j"] > 0
    assert data["assumptions"]


def test_counts_stay_exact_beyond_64_bits() -> None:
    sizes = {"B": 1, "H": 1, "G": 1, "P": 1 << 27, "M": 1 << 27, "E": 128, "F": 128}
    result = one(sizes=sizes, arch="mi300x", mask={"kind": "dense"})
    assert result.flops == 2 * (1 << 54) * 256 == 1 << 63
    assert result.ops_by_kind["mac"] == 1 << 62


def test_digests_name_the_content() -> None:
    first, again = attnsim.run(SMALL, "h100_sxm"), attnsim.run(dict(reversed(SMALL.items())), "h100")
    assert (first.workload_sha256, first.arch_sha256) == (again.workload_sha256, again.arch_sha256)
    assert len(first.workload_sha256) == len(first.arch_sha256) == 64
    assert attnsim.run(SMALL, "h100_sxm", sizes={"M": 2049}).workload_sha256 != first.workload_sha256


def test_asking_twice_gives_the_same_answer() -> None:
    assert attnsim.run(SMALL, "h100_sxm").to_dict() == attnsim.run(SMALL, "h100_sxm").to_dict()


@pytest.mark.parametrize(("launch", "seconds"), [("none", 0.0), ("graph", 1.26e-6), ("stream", 2.4e-6)])
def test_a_launch_costs_what_the_machine_says(launch: str, seconds: float) -> None:
    plain = one(conditions={"launch": "none"})
    asked = one(conditions={"launch": launch})
    assert asked.latency_s - plain.latency_s == pytest.approx(seconds, abs=1e-12)
    assert asked.time_by_resource_s.get("launch", 0.0) == pytest.approx(seconds)
