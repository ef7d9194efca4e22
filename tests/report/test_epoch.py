"""The epoch of a stage plan: bars add up to what the engine says, and the picture is the same every time."""

from __future__ import annotations

import csv
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

import attnsim
from attnsim.errors import UsageError
from attnsim.evaluate.spatial.estimate import SpatialEstimate
from attnsim.evaluate.spatial.steady import epoch, steady_limits
from attnsim.machine.load import load_machine
from attnsim.machine.spatial import SpatialMachine
from attnsim.report.timeline.epoch import rows, save


def estimate(schedule: str, arch: str = "fusemax_cloud", cascade: str = "attention-1pass", width: int = 64) -> SpatialEstimate:
    workload: dict[str, Any] = {
        "attnsim": 1, "kind": "kernel", "name": "x", "cascade": cascade, "dtype": "fp16",
        "sizes": {"B": 1, "H": 1, "P": 4096, "M": 4096, "E": width, "F": width},
    }  # fmt: skip
    result = attnsim.run(workload, arch, schedule).results[0]
    assert isinstance(result, SpatialEstimate)
    return result


@pytest.mark.parametrize("schedule", ["fusemax", "fusemax-architecture"])
def test_bars_of_an_array_follow_one_another_and_add_up(schedule: str) -> None:
    result = estimate(schedule)
    (phase,) = result.phases
    one = epoch(result, phase)
    assert one.cycles * phase.tiles == pytest.approx(phase.compute_s * result.clock_hz)
    for array in ("pe2d", "pe1d"):
        bars = [bar for bar in one.bars if bar.array == array]
        assert all(a.start + a.cycles <= b.start + 1e-9 for a, b in zip(bars, bars[1:], strict=False))
        assert sum(bar.cycles for bar in bars) * phase.tiles == pytest.approx(result.time_by_resource_s[array] * result.clock_hz)
    assert {bar.label for bar in one.bars if bar.behind} == ({"RD", "RNV"} if schedule == "fusemax" else {"RD"})


def test_the_stall_stands_behind_the_local_maximum() -> None:
    result = estimate("fusemax-architecture")
    one = epoch(result, result.phases[0])
    (stall,) = one.stalls
    maximum = next(bar for bar in one.bars if bar.label == "LM")
    after = next(bar for bar in one.bars if bar.label == "RM")
    assert stall == (maximum.start + maximum.cycles, 256) and after.start == sum(stall)
    assert estimate("fusemax").phases[0].stall_cycles == 0


@pytest.mark.parametrize(("width", "cycles"), [(64, 138), (128, 266)])
def test_the_limit_for_keys_without_end(width: int, cycles: int) -> None:
    # arXiv 2406.10491: 2F + 10 cycles a tile; all but one of them on the 2-D array
    machine = load_machine("fusemax_cloud")
    assert isinstance(machine, SpatialMachine)
    limits = steady_limits(estimate("fusemax", width=width), machine)
    assert limits["cycles_a_tile"] == cycles
    assert limits["utilization"]["pe2d"] == pytest.approx((cycles - 1) / cycles) and limits["utilization"]["pe1d"] == 1


def test_schedules_without_tiles_have_no_such_limit() -> None:
    machine = load_machine("flat_cloud")
    assert isinstance(machine, SpatialMachine)
    assert steady_limits(estimate("flat", "flat_cloud", "attention-3pass"), machine) == {}


@pytest.mark.parametrize(
    ("schedule", "arch", "cascade"), [("fusemax", "fusemax_cloud", "attention-1pass"), ("unfused", "flat_cloud", "attention-3pass")]
)
def test_the_picture_is_the_same_every_time_and_its_data_stands_beside_it(tmp_path: Path, schedule: str, arch: str, cascade: str) -> None:
    result = estimate(schedule, arch, cascade)
    first = save(result, arch, tmp_path / "a.svg", "0")
    save(result, arch, tmp_path / "b.svg", "0")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    ET.parse(tmp_path / "a.svg")
    read = list(csv.DictReader(first.read_text().splitlines()))
    expected = rows([epoch(result, phase) for phase in result.phases])
    assert [(row["einsum"], float(row["cycles"])) for row in read] == [(row["einsum"], row["cycles"]) for row in expected]
    assert {row["einsum"] for row in read} == {label for phase in result.phases for label in phase.einsums}


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"end the name in .svg, .pdf, .png"):
        save(estimate("fusemax"), "fusemax_cloud", tmp_path / "a.gif", "0")
    assert not list(tmp_path.iterdir())
