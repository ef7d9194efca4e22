"""What a roofline figure shows, as plain data: roofs, diagonals, points predicted and measured, bars; and its CSV. `figure.py` draws it.

The roofline model: S. Williams, A. Waterman, D. Patterson, "Roofline: an insightful visual performance model for multicore
architectures", CACM 52(4), 2009. One kernel appears once per memory level with the bytes moved at that level (the hierarchical form).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING, Any

from attnsim.errors import UsageError
from attnsim.report.roofline.roofs import (
    LEVEL_LABELS,
    Ceiling,
    Diagonal,
    PowerRoof,
    Roof,
    ceilings_of,
    diagonals_of,
    level_label,
    power_roofs_of,
    roofs_of,
)  # fmt: skip

if TYPE_CHECKING:
    from attnsim.evaluate.estimate import Report
    from attnsim.report.roofline.timings import Timing, Timings

__all__ = [
    "LEVEL_LABELS", "Ceiling", "Chart", "Diagonal", "Kernel", "Measured", "PowerRoof", "Roof", "call_of", "charts", "level_label",
    "limits", "resource_label", "rows",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Measured:
    """What the rows of a measurement file say of one kernel: the median of their times (s), and the lines they stand on."""

    seconds: float
    file: str
    lines: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Kernel:
    """One result: its matmul FLOPs, its bytes per level (B), its latency and the time each resource is busy (s).

    A model gives one for its step on one device, and one for each of its parts, which have no `time_by_resource_s`. ceilings: what units
    without multiply-adds allow it; measured: what was timed, if given. label: the name in the figure, where that is a shorter one.
    """

    name: str
    schedule: str
    dtype: str
    flops: float
    latency_s: float
    lower_bound_s: float
    bound: str
    bytes: tuple[tuple[str, float], ...]
    time_by_resource_s: tuple[tuple[str, float], ...]
    ceilings: tuple[Ceiling, ...] = ()
    measured: Measured | None = None
    label: str = ""

    @property
    def flops_per_s(self) -> float:
        """Achieved rate, FLOP/s: the height of its points."""
        return self.flops / self.latency_s

    @property
    def measured_flops_per_s(self) -> float | None:
        """Measured rate, FLOP/s."""
        return None if self.measured is None else self.flops / self.measured.seconds

    @property
    def ratio(self) -> float | None:
        """Measured rate over the predicted one; above 1 the kernel is faster than predicted."""
        return None if self.measured is None else self.latency_s / self.measured.seconds

    def points(self) -> list[tuple[str, float]]:
        """(level, FLOP/B) of every level it moves bytes at."""
        return [(level, self.flops / moved) for level, moved in self.bytes if moved > 0 and self.flops > 0]


@dataclass(frozen=True, slots=True)
class Chart:
    """One machine with its roofs, and the kernels under them. shared: words of all names, which their labels leave out."""

    arch: str
    title: str
    roofs: tuple[Roof, ...]
    diagonals: tuple[Diagonal, ...]
    kernels: tuple[Kernel, ...]
    inputs: tuple[str, ...]
    power: tuple[PowerRoof, ...] = ()
    shared: str = ""

    @property
    def top(self) -> Roof:
        """The highest flat roof: ridges are read against it."""
        return max(self.roofs, key=lambda roof: roof.flops_per_s)

    def ridge(self, diagonal: Diagonal) -> float:
        """FLOP/B at which a level's diagonal meets the highest roof."""
        return self.top.flops_per_s / diagonal.bytes_per_s

    def peak(self, kernel: Kernel) -> float:
        """The flat roof over a kernel, FLOP/s."""
        return next((roof.flops_per_s for roof in self.roofs if kernel.dtype in roof.dtypes), self.top.flops_per_s)

    def attainable(self, kernel: Kernel) -> float:
        """The lowest of its flat roof and the diagonals at its points, FLOP/s."""
        widths = {diagonal.level: diagonal.bytes_per_s for diagonal in self.diagonals}
        return min([self.peak(kernel), *(x * widths[level] for level, x in kernel.points() if level in widths)])

    def to_dict(self) -> dict[str, Any]:
        """The chart as JSON: SI units; the power-limited roofs as (FLOP/B, FLOP/s) pairs over the range of the figure."""
        (low, high), _ = limits(self)
        return {
            "arch": self.arch,
            "title": self.title,
            "roofs": [
                {"name": roof.name, "unit": roof.unit, "dtypes": list(roof.dtypes), "flops_per_s": roof.flops_per_s} for roof in self.roofs
            ],
            "diagonals": [
                {"level": one.level, "name": one.name, "bytes_per_s": one.bytes_per_s, "used": one.used, "ridge": self.ridge(one)}
                for one in self.diagonals
            ],
            "power": [
                {"name": one.name, "limit_w": one.limit_w, "flops_per_s": one.flops_per_s, "curve": self.curve(one, low, high)}
                for one in self.power
            ],
            "kernels": [_kernel_dict(kernel) for kernel in self.kernels],
            "inputs": list(self.inputs),
        }  # fmt: skip

    def curve(self, roof: PowerRoof, low: float, high: float) -> list[tuple[float, float]]:
        """A power-limited roof where it lies under the flat roof and the outermost level's diagonal: (FLOP/B, FLOP/s)."""
        return roof.curve(low, high, self.diagonals[0].bytes_per_s) if self.diagonals else []


def _kernel_dict(kernel: Kernel) -> dict[str, Any]:
    measured = kernel.measured
    return {
        "name": kernel.name, "schedule": kernel.schedule, "dtype": kernel.dtype, "flops": kernel.flops, "flops_per_s": kernel.flops_per_s,
        "latency_s": kernel.latency_s, "lower_bound_s": kernel.lower_bound_s, "bound": kernel.bound, "bytes": dict(kernel.bytes),
        "points": [{"level": level, "intensity": x} for level, x in kernel.points()],
        "time_by_resource_s": dict(kernel.time_by_resource_s),
        "ceilings": [{"name": one.name, "flops_per_s": one.flops_per_s} for one in kernel.ceilings],
        "measured": None if measured is None else {
            "seconds": measured.seconds, "file": measured.file, "lines": list(measured.lines),
            "flops_per_s": kernel.measured_flops_per_s, "ratio": kernel.ratio,
        },
    }  # fmt: skip


def call_of(answer: Any) -> tuple[Hashable, ...]:
    """What a kernel's answer is about, whatever its name: two with the same are the same call. The schedule stands last."""
    mask = answer.mask
    asked = (mask.get("description"), mask.get("attended_pairs"))
    return answer.cascade, answer.direction, answer.dtype, tuple(sorted(answer.sizes.items())), asked, answer.schedule


def charts(reports: Iterable[Report], timings: Iterable[Timings] = ()) -> tuple[Chart, ...]:
    """One chart per machine, in the order the machines first appear.

    A layer gives a kernel a step, a model its step on one device and the parts of that. timings: measured rows
    (`attnsim.report.roofline.timings.read_timings`); a row that is the call of a result stands beside it, any other is a kernel of its own.

    Raises: UsageError for a model whose parts run on several machines.
    """
    by_arch: dict[str, tuple[list[Report], list[Timings]]] = {}
    for report in reports:
        by_arch.setdefault(report.arch_name, ([], []))[0].append(report)
    for found in timings:
        if found.rows:
            by_arch.setdefault(found.arch, ([], []))[1].append(found)
    return tuple(_chart(name, *group) for name, group in by_arch.items())


def _chart(arch: str, reports: Sequence[Report], timings: Sequence[Timings]) -> Chart:
    first = reports[0] if reports else timings[0].rows[0].report
    machine = first.machine
    timed: dict[Hashable, list[tuple[str, Timing]]] = {}
    for found in timings:
        for row in found.rows:
            timed.setdefault(call_of(row.answer), []).append((found.file, row))
    kernels: list[Kernel] = []
    units: dict[str, None] = {}
    drawn: set[Hashable] = set()
    for report in reports:
        for answer in report.results:
            units.update(dict.fromkeys(getattr(answer, "flops_by_unit", ())))
        kernels += _kernels(report, timed, drawn)
    for call, rows_of_call in timed.items():
        if call in drawn:
            continue
        _, row = rows_of_call[0]
        units.update(dict.fromkeys(row.answer.flops_by_unit))
        kernels.append(_kernel(row.answer, machine, row.label, rows_of_call))
    kernels, shared = _labelled(kernels) if timings and not reports else (kernels, "")
    used = {level for kernel in kernels for level, moved in kernel.bytes if moved > 0}
    dtypes = list(dict.fromkeys(kernel.dtype for kernel in kernels))
    inputs = dict.fromkeys(
        [
            f"{arch} {first.arch_sha256[:12]}",
            *(f"{report.workload_name} {report.workload_sha256[:12]}" for report in reports),
            *(f"{found.name} {found.sha256[:12]}" for found in timings),
        ]
    )
    return Chart(
        arch=arch,
        title=machine.title or arch,
        roofs=roofs_of(machine, dtypes, list(units)),
        diagonals=diagonals_of(machine, used),
        kernels=tuple(kernels),
        inputs=tuple(inputs),
        power=power_roofs_of(machine, dtypes),
        shared=shared,
    )


def _labelled(kernels: Sequence[Kernel]) -> tuple[list[Kernel], str]:
    """Measured calls under labels of the words in which they differ, and the words that all of them share; the first word stays."""
    words = [kernel.name.split() for kernel in kernels]
    common = [word for word in words[0][1:] if all(word in others for others in words)] if len(kernels) > 1 else []
    short = [" ".join((each[0], *(word for word in each[1:] if word not in common))) for each in words]
    return [replace(kernel, label=label) for kernel, label in zip(kernels, short, strict=True)], " ".join(common)


def _kernels(report: Report, timed: Mapping[Hashable, Sequence[tuple[str, Timing]]], drawn: set[Hashable]) -> list[Kernel]:
    """Those of a report; the calls that were timed and are among them are added to `drawn`."""
    made: list[Kernel] = []
    for answer in report.results:
        if answer.kind == "model":
            made += _model(answer)
        elif answer.kind == "kernel":  # the sum of a layer is no point: its kernels follow it
            call = call_of(answer) if timed else ()
            drawn.add(call)
            made.append(_kernel(answer, report.machine, answer.name, timed.get(call, ())))
    return made


def _kernel(answer: Any, machine: Any, name: str, found: Sequence[tuple[str, Timing]]) -> Kernel:
    measured = None
    if found:
        lines = tuple(row.line for _, row in found)
        measured = Measured(median(row.seconds for _, row in found), ", ".join(dict.fromkeys(file for file, _ in found)), lines)
    return Kernel(
        name=name,
        schedule=answer.schedule,
        dtype=answer.dtype,
        flops=float(answer.flops),
        latency_s=answer.latency_s,
        lower_bound_s=answer.lower_bound_s,
        bound=answer.bound,
        bytes=tuple((level, float(moved)) for level, moved in answer.bytes.items()),
        time_by_resource_s=tuple(answer.time_by_resource_s.items()),
        ceilings=ceilings_of(machine, answer),
        measured=measured,
    )


def _model(answer: Any) -> list[Kernel]:
    """A step on one device, then its parts. Raises UsageError where the parts are not those of one device."""
    parts: Mapping[str, Mapping[str, Any]] = answer.parts
    if any("time_s" not in part or "machine" in part for part in parts.values()):
        raise UsageError(
            f"{answer.name} is a model under {answer.schedule}, whose parts are not kernels of one machine; "
            "a roofline draws kernels, layers and colocated models"
        )
    (level,) = answer.bytes
    working = {name: part for name, part in parts.items() if "memory_bytes" in part}
    seconds = sum(part["time_s"] for part in parts.values())
    whole = Kernel(
        name=answer.name,
        schedule=answer.schedule,
        dtype=answer.dtype,
        flops=float(sum(part["flops"] for part in working.values())),
        latency_s=seconds,
        lower_bound_s=answer.lower_bound_s * seconds / answer.latency_s,
        bound=answer.bound,
        bytes=((level, float(sum(part["memory_bytes"] for part in working.values()))),),
        time_by_resource_s=tuple((name, part["time_s"]) for name, part in parts.items()),
    )
    each = [
        Kernel(
            name=f"{answer.name}: {name}",
            schedule=answer.schedule,
            dtype=answer.dtype,
            flops=float(part["flops"]),
            latency_s=part["time_s"],
            lower_bound_s=part["lower_bound_s"],
            bound=answer.bound if name == answer.bound else "",
            bytes=((level, float(part["memory_bytes"])),),
            time_by_resource_s=(),
        )
        for name, part in working.items()
        if part["flops"] > 0
    ]
    return [whole, *each]


def limits(chart: Chart) -> tuple[tuple[float, float], tuple[float, float]]:
    """Axis limits ((x low, x high) in FLOP/B, (y low, y high) in FLOP/s) that hold every point and every ridge with room for labels."""
    ridges = [chart.ridge(diagonal) for diagonal in chart.diagonals]
    xs = [*ridges, *(x for kernel in chart.kernels for _, x in kernel.points())] or [1.0]
    drawn = [kernel for kernel in chart.kernels if kernel.points()]
    measured = [rate for kernel in drawn if (rate := kernel.measured_flops_per_s)]
    ys = [*(roof.flops_per_s for roof in chart.roofs), *(kernel.flops_per_s for kernel in drawn), *measured]
    low_x, high_x = min(xs) / 6, max(xs) * 12
    # The diagonals enter from the left edge; low enough to show a piece of each, and all points.
    low_y = min([min(ys) / 6, *(diagonal.bytes_per_s * low_x * 2 for diagonal in chart.diagonals)])
    points = [*(kernel.flops_per_s for kernel in drawn), *measured, max(ys)]
    return (low_x, high_x), (min(max(low_y, max(ys) / 1e6), min(points) / 6), max(ys) * 4)


def resource_label(chart: Chart, name: str) -> str:
    """Name of a resource in the figure: memory levels as on their diagonals, anything else as it is called."""
    return level_label(name) if any(name == level for kernel in chart.kernels for level, _ in kernel.bytes) else name


def rows(all_charts: Iterable[Chart]) -> list[dict[str, Any]]:
    """The figure's data, one row per machine, kernel and level (SI units); what the CSV beside the figure holds.

    A kernel without matmul FLOPs, which has no point, has one row with the level left empty.
    """
    result = []
    for chart in all_charts:
        bandwidth = {diagonal.level: diagonal.bytes_per_s for diagonal in chart.diagonals}
        for kernel in chart.kernels:
            peak = chart.peak(kernel)
            limit = next((roof for roof in chart.power if kernel.dtype in roof.dtypes), None)
            outermost = kernel.bytes[0][0] if kernel.bytes else ""
            for level, intensity in kernel.points() or [("", 0.0)]:
                width = bandwidth.get(level)
                attainable = peak if width is None else min(peak, intensity * width)
                allowed = limit.at(intensity) if limit is not None and level == outermost else None
                result.append(
                    {
                        "arch": chart.arch,
                        "name": kernel.name,
                        "schedule": kernel.schedule,
                        "dtype": kernel.dtype,
                        "level": level,
                        "flops": kernel.flops,
                        "bytes": dict(kernel.bytes).get(level, ""),
                        "intensity_flop_per_byte": intensity if level else "",
                        "achieved_flop_per_s": kernel.flops_per_s,
                        "peak_flop_per_s": peak,
                        "bandwidth_bytes_per_s": "" if width is None else width,
                        "attainable_flop_per_s": attainable if level else "",
                        "power_limited_flop_per_s": "" if allowed is None else allowed,
                        "latency_s": kernel.latency_s,
                        "lower_bound_s": kernel.lower_bound_s,
                        "bound": kernel.bound,
                        **_measured_columns(kernel),
                        **{f"{one.unit}_ceiling_flop_per_s": one.flops_per_s for one in kernel.ceilings},
                        **{f"time_{resource}_s": seconds for resource, seconds in kernel.time_by_resource_s},
                    }
                )
    return result


def _measured_columns(kernel: Kernel) -> dict[str, Any]:
    if kernel.measured is None:
        return {}
    return {
        "measured_s": kernel.measured.seconds,
        "measured_flop_per_s": kernel.measured_flops_per_s,
        "measured_over_predicted": kernel.ratio,
        "measured_file": kernel.measured.file,
        "measured_lines": ";".join(map(str, kernel.measured.lines)),
    }
