"""Every file that ships loads, and every schedule answers on a machine it was written for."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest

import attnsim
from attnsim.cascade.cascade import load_cascade
from attnsim.errors import InfeasibleError, SpecError
from attnsim.machine import load_machine
from attnsim.machine.spatial import SpatialMachine
from attnsim.schedule.spatial import is_spatial
from attnsim.spec import library

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {
    "arch": ("arch_specs",),
    "cascade": ("workloads/cascades",),
    "schedule": ("workloads/schedules",),
    "workload": ("workloads/examples",),
}


def names(kind: library.Kind) -> list[str]:
    return [entry.name for entry in library.entries(kind)]


# One size for every rank letter a shipped cascade uses: a prefill that fills any machine, and one query row for decode.
SIZES = {
    "B": 4, "H": 16, "G": 16, "P": 2048, "M": 2048, "E": 128, "F": 128, "N": 128, "C": 512, "R": 64, "K": 2048, "D": 2048, "S": 8192,
    "J": 2048, "T": 300, "X": 4,
}  # fmt: skip
ARRAYS = {entry.name for entry in library.entries("arch") if "spatial" in entry.path.parts}


@cache
def case(schedule: str) -> dict[str, Any]:
    """A workload of the cascade the schedule is for."""
    cascade = str(library.load("schedule", schedule).data["cascade"])
    spec = load_cascade(cascade)
    sizes = {rank: SIZES[rank] for rank in spec.spec.ranks if rank in SIZES} | {rank: SIZES[rank] for rank in spec.groups}
    direction = "backward" if "dO" in spec.inputs else "forward"
    document = library.load("schedule", schedule)
    dtype = "int4" if "int4" in str(document.data.get("requires")) else "bf16"
    mask: dict[str, Any] = {"kind": "dense" if is_spatial(document) else "causal"}
    if "neighborhood" in document.data.get("masks", ()):
        mask = {"kind": "neighborhood", "shape": [32, 64], "window": [9, 16], "stride": [1, 4]}
    return {
        "attnsim": 1, "kind": "kernel", "name": schedule, "cascade": cascade, "sizes": sizes, "dtype": dtype, "direction": direction,
        "mask": mask, "schedule": schedule,
    }  # fmt: skip


def softmax(arch: str) -> bool:
    """Whether the PEs of a spatial machine compute all that a softmax takes, on one array or another."""
    machine = load_machine(arch)
    assert isinstance(machine, SpatialMachine)
    return {"mac", "max", "sub", "exp", "add", "mul", "div"} <= {kind for array in machine.arrays.values() for kind in array.cycles}


@pytest.mark.parametrize("kind", FOLDERS)
def test_the_library_lists_every_file(kind: library.Kind) -> None:
    files = {path for folder in FOLDERS[kind] for path in (ROOT / folder).rglob("*.yaml") if path.name != "prices.yaml"}
    assert files
    assert {entry.path.resolve() for entry in library.entries(kind) if entry.path.resolve().is_relative_to(ROOT)} == files
    for entry in library.entries(kind):
        assert entry.title, f"{entry.path}: a title tells `attnsim list` what it is"
        for name in (entry.name, *entry.aliases):
            assert library.find(kind, name) == entry


@pytest.mark.parametrize("name", names("arch"))
def test_machine_loads(name: str) -> None:
    machine = load_machine(name)
    assert machine.name == name
    assert max(machine.peak_flops(dtype) for dtype in machine.dtypes) > 0


@pytest.mark.parametrize("name", names("cascade"))
def test_cascade_loads_and_counts(name: str) -> None:
    cascade = load_cascade(name)
    ranks = {rank for ranks in cascade.inputs.values() for rank in ranks}
    sizes = cascade.resolve_sizes({rank: SIZES[rank] for rank in {*ranks, *cascade.groups.values()}})
    counts = cascade.counts(sizes)
    assert set(counts) == set(cascade.by_label)
    assert all(count > 0 for kinds in counts.values() for count in kinds.values())


@pytest.mark.parametrize("name", names("workload"))
def test_example_runs(name: str) -> None:
    machines = {"fusemax": "fusemax_cloud", "hunyuanvideo": "b200", "sale": "rtx_4090", "step3": "h800", "deepseek": "h800"}
    arch = machines.get(name.split("-")[0], "h100_sxm")
    for result in attnsim.run(name, arch).results:
        assert 0 < result.lower_bound_s <= result.latency_s


@pytest.mark.parametrize("name", names("schedule"))
def test_schedule_answers_on_a_machine(name: str) -> None:
    answered = []
    for arch in names("arch"):
        try:
            result = attnsim.run(case(name), arch).results[0]
        except (InfeasibleError, SpecError):
            continue
        assert 0 < result.lower_bound_s <= result.latency_s, arch
        assert result.schedule == name
        answered.append(arch)
    assert answered, f"no shipped machine runs {name}"


@pytest.mark.parametrize("arch", names("arch"))
def test_every_machine_has_a_schedule_of_its_own_choice(arch: str) -> None:
    for queries in (2048, 1):
        machine = load_machine(arch)
        workload = {
            "attnsim": 1, "kind": "kernel", "name": "default", "cascade": "attention-1pass", "mask": {"kind": "causal"},
            "dtype": "bf16" if machine.supports("bf16") else min(machine.dtypes),
            "sizes": {"B": 4, "H": 32, "G": 8, "P": queries, "M": 2048, "E": 128, "F": 128},
        }  # fmt: skip
        if arch in ARRAYS and not softmax(arch):
            with pytest.raises(InfeasibleError, match=r"^[^\n]*Einsum \w+ needs \w+, which array \w+ of \w+ does not execute[^\n]*$"):
                attnsim.run(workload, arch)
            return
        result = attnsim.run(workload, arch).results[0]
        assert result.schedule in names("schedule")
        assert 0 < result.lower_bound_s <= result.latency_s
