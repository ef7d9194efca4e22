"""What a roofline figure shows, as plain data: roofs, diagonals, points and bars; and its CSV. `figure.py` draws it.

The roofline model: S. Williams, A. Waterman, D. Patterson, "Roofline: an insightful visual performance model for multicore
architectures", CACM 52(4), 2009. One kernel appears once per memory level with the bytes moved at that level (the hierarchical form).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attnsim.errors import UsageError
from attnsim.machine.spatial import SpatialMachine

if TYPE_CHECKING:
    from attnsim.evaluate.estimate import Report
    from attnsim.machine.machine import Machine

# Profilers call a GPU's device memory DRAM and write the levels in capitals; the same names let a reader lay a capture over the figure.
LEVEL_LABELS = {"hbm": "DRAM", "dram": "DRAM", "smem": "SMEM"}
# Every operation goes through these: as roofs they say nothing.
UNROOFED = ("register", "tmem")


def level_label(name: str) -> str:
    """Name of a memory level in the figure: hbm -> DRAM, l2 -> L2, smem -> SMEM."""
    return LEVEL_LABELS.get(name, name.upper())


@dataclass(frozen=True, slots=True)
class Roof:
    """A flat roof: the peak of one unit at one or several precisions, FLOP/s at the nominal clock."""

    unit: str
    dtypes: tuple[str, ...]
    flops_per_s: float

    @property
    def name(self) -> str:
        """Unit and precisions, as `tensor bf16, fp16`."""
        return f"{self.unit} {', '.join(self.dtypes)}"


@dataclass(frozen=True, slots=True)
class Diagonal:
    """A sloped roof: the nominal bandwidth of one memory level, B/s; `used` when a kernel counts bytes there."""

    level: str
    bytes_per_s: float
    used: bool = True

    @property
    def name(self) -> str:
        """Label of the level, as `DRAM`."""
        return level_label(self.level)


@dataclass(frozen=True, slots=True)
class Kernel:
    """One result: its matmul FLOPs, its bytes per level (B), its latency and the time each resource is busy (s)."""

    name: str
    schedule: str
    dtype: str
    flops: float
    latency_s: float
    lower_bound_s: float
    bound: str
    bytes: tuple[tuple[str, float], ...]
    time_by_resource_s: tuple[tuple[str, float], ...]

    @property
    def flops_per_s(self) -> float:
        """Achieved rate, FLOP/s: the height of its points."""
        return self.flops / self.latency_s

    def points(self) -> list[tuple[str, float]]:
        """(level, FLOP/B) of every level it moves bytes at."""
        return [(level, self.flops / moved) for level, moved in self.bytes if moved > 0 and self.flops > 0]


@dataclass(frozen=True, slots=True)
class Chart:
    """One machine with its roofs, and the kernels under them."""

    arch: str
    title: str
    roofs: tuple[Roof, ...]
    diagonals: tuple[Diagonal, ...]
    kernels: tuple[Kernel, ...]
    inputs: tuple[str, ...]

    @property
    def top(self) -> Roof:
        """The highest flat roof: ridges are read against it."""
        return max(self.roofs, key=lambda roof: roof.flops_per_s)

    def ridge(self, diagonal: Diagonal) -> float:
        """FLOP/B at which a level's diagonal meets the highest roof."""
        return self.top.flops_per_s / diagonal.bytes_per_s


def charts(reports: Iterable[Report]) -> tuple[Chart, ...]:
    """One chart per machine, in the order the machines first appear."""
    by_arch: dict[str, list[Report]] = {}
    for report in reports:
        by_arch.setdefault(report.arch_name, []).append(report)
    return tuple(_chart(name, group) for name, group in by_arch.items())


def _chart(arch: str, reports: Sequence[Report]) -> Chart:
    machine = reports[0].machine
    if isinstance(machine, SpatialMachine):
        raise UsageError(
            f"{arch} is a machine of PE arrays, which a roofline does not show; draw its epoch: attnsim explain --epoch FILE.svg"
        )
    several = [(report.workload_name, result.kind) for report in reports for result in report.results if result.kind != "kernel"]
    if several:
        name, kind = several[0]
        raise UsageError(f"{name} is a {kind} of several kernels; a roofline shows single kernels")
    kernels = tuple(
        Kernel(
            name=result.name,
            schedule=result.schedule,
            dtype=result.dtype,
            flops=float(result.flops),
            latency_s=result.latency_s,
            lower_bound_s=result.lower_bound_s,
            bound=result.bound,
            bytes=tuple((level, float(moved)) for level, moved in result.bytes.items()),
            time_by_resource_s=tuple(result.time_by_resource_s.items()),
        )
        for report in reports
        for result in report.results
    )
    used = {level for kernel in kernels for level, moved in kernel.bytes if moved > 0}
    diagonals = tuple(
        Diagonal(level.name, level.bandwidth, level.name in used)
        for level in machine.levels
        if level.bandwidth and level.name not in UNROOFED
    )
    units = list(dict.fromkeys(unit for report in reports for result in report.results for unit in result.flops_by_unit))
    roofs = _roofs(machine, list(dict.fromkeys(kernel.dtype for kernel in kernels)), units)
    inputs = tuple(
        dict.fromkeys([f"{arch} {reports[0].arch_sha256[:12]}", *(f"{r.workload_name} {r.workload_sha256[:12]}" for r in reports)])
    )
    return Chart(arch=arch, title=machine.title or arch, roofs=roofs, diagonals=diagonals, kernels=kernels, inputs=inputs)


def _roofs(machine: Machine, dtypes: Sequence[str], units: Sequence[str]) -> tuple[Roof, ...]:
    peaks: dict[tuple[str, float], list[str]] = {}
    for dtype in dtypes:
        peaks.setdefault((machine.matmul_unit(dtype) or "", machine.peak_flops(dtype)), []).append(dtype)
    if "vector" in units and "vector" in machine.units and all(unit != "vector" for unit, _ in peaks):
        # Everything that is not a matmul runs in fp32. A mac is one operation of the machine's rates and two FLOPs of the axis.
        rate = machine.op_rate("vector", "mac", "fp32")
        if rate is not None:
            peaks.setdefault(("vector", 2 * rate), []).append("fp32")
    return tuple(Roof(unit, tuple(names), peak) for (unit, peak), names in peaks.items())


def rows(all_charts: Iterable[Chart]) -> list[dict[str, Any]]:
    """The figure's data, one row per machine, kernel and level (SI units); what the CSV beside the figure holds."""
    result = []
    for chart in all_charts:
        bandwidth = {diagonal.level: diagonal.bytes_per_s for diagonal in chart.diagonals}
        for kernel in chart.kernels:
            peak = next((roof.flops_per_s for roof in chart.roofs if kernel.dtype in roof.dtypes), chart.top.flops_per_s)
            for level, intensity in kernel.points():
                width = bandwidth.get(level)
                result.append(
                    {
                        "arch": chart.arch,
                        "name": kernel.name,
                        "schedule": kernel.schedule,
                        "dtype": kernel.dtype,
                        "level": level,
                        "flops": kernel.flops,
                        "bytes": dict(kernel.bytes)[level],
                        "intensity_flop_per_byte": intensity,
                        "achieved_flop_per_s": kernel.flops_per_s,
                        "peak_flop_per_s": peak,
                        "bandwidth_bytes_per_s": "" if width is None else width,
                        "attainable_flop_per_s": peak if width is None else min(peak, intensity * width),
                        "latency_s": kernel.latency_s,
                        "lower_bound_s": kernel.lower_bound_s,
                        "bound": kernel.bound,
                        **{f"time_{resource}_s": seconds for resource, seconds in kernel.time_by_resource_s},
                    }
                )
    return result
