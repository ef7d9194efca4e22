"""Kernels that stream whole tensors: all processors work on their share, and memory is what counts."""

from __future__ import annotations

from attnsim.evaluate.kernel import Kernel
from attnsim.evaluate.occupancy import Occupancy
from attnsim.evaluate.point import Point
from attnsim.evaluate.traffic import Traffic
from attnsim.evaluate.work import Work
from attnsim.lanes import largest


def stream(point: Point, traffic: Traffic, tensor: str, direction: str, count: float) -> None:
    """Charge `count` bytes to memory, and to the shared cache they pass through."""
    traffic.add(point.machine.memory.name, tensor, direction, count)
    if point.shared is not None:
        traffic.add(point.machine.levels[point.shared].name, tensor, direction, count)


def level_times(point: Point, traffic: Traffic, efficiency: float = 1.0) -> dict[str, float]:
    """Seconds of each device level at its sustained bandwidth; efficiency: share of the memory's that the kernel reaches."""
    memory = point.machine.memory
    return {
        level.name: level.seconds(*traffic.directed(level.name), efficiency if level is memory else 1.0)
        for level in point.machine.levels
        if level.per == "device" and traffic.total(level.name)
    }


def streaming_kernel(point: Point, work: Work, traffic: Traffic, name: str, efficiency: float = 1.0) -> Kernel:
    """All processors stream their share; no tile structure. efficiency: as in `level_times`."""
    share = {unit: cycles / point.machine.processors for unit, cycles in work.cycles.items()}
    schedule = point.schedule
    return Kernel(
        name=name,
        compute_cycles=largest(share.values()),
        busy_cycles=share,
        ops=work.ops,
        smem_bytes=0.0,
        traffic=traffic,
        level_s=level_times(point, traffic, efficiency),
        exposed_memory=0.0,
        drain_cycles=0.0,
        fixed_s=schedule.constant(schedule.spec.constants.kernel_overhead, point.context, 0.0),
        ctas=point.machine.processors,
        tile={},
        splits=1,
        occupancy=Occupancy(1, "streaming", 0.0),
        slots=point.machine.processors,
    )
