"""`helper_efficiency` slows the kernels beside the main one, and those only."""

from __future__ import annotations

from typing import Any

import pytest

from attnsim.api import run
from attnsim.machine.load import load_machine

BYTES = 4 * 16 * 4096 * 8 * 128 * 2
"""K and V read and written once."""


def latency(**constants: Any) -> float:
    append = {"name": "append to cache", "reads": {"K": "io", "V": "io"}, "writes": {"K": "io", "V": "io"}}
    schedule = {"extends": "flash-attention-3", "before": [append], "constants": constants}
    sizes = {"B": 16, "H": 8, "G": 8, "P": 64, "M": 4096, "E": 128, "F": 128}
    workload = {"attnsim": 1, "kind": "kernel", "name": "row", "cascade": "attention-1pass", "dtype": "bf16", "sizes": sizes}
    (estimate,) = run({**workload, "schedule": schedule}, "h100_sxm").results
    return float(estimate.latency_s)


def test_a_quarter_of_the_bandwidth_takes_three_times_longer_on_top() -> None:
    slower = latency(helper_efficiency={"value": 0.25, "source": "estimate: a test"}) - latency()
    assert slower == pytest.approx(3 * BYTES / load_machine("h100_sxm").memory.sustained, rel=0.01)


def test_all_of_the_bandwidth_is_the_default() -> None:
    assert latency(helper_efficiency={"value": 1, "source": "estimate: a test"}) == latency()
