"""What a run before left in the shared cache: a kernel timed again and again on the same tensors does not read them from memory.

A working set well below the cache's capacity stays, one near it is lost (each line is evicted before it is used again), and between the two
the share that stays falls. Where the shares lie is measured per machine (`retains` and `forgets` of the cache's level).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from attnsim.errors import InfeasibleError, Issue
from attnsim.evaluate.kernel import Kernel
from attnsim.evaluate.point import Point
from attnsim.evaluate.traffic import Traffic
from attnsim.lanes import Number, added, maximum


def working_set(point: Point) -> Number:
    """Bytes of every input and output."""
    return added(point.tensor_bytes(name) for name in dict.fromkeys((*point.cascade.inputs, *point.cascade.outputs)))


def kept_share(point: Point) -> Number:
    """Share of the working set that the run before left in the shared cache; 0 when the run starts cold or the machine has none.

    Raises:
        InfeasibleError: the machine's file does not say how much its cache retains.
    """
    if point.conditions.cache == "cold" or point.shared is None:
        return 0.0
    level = point.machine.levels[point.shared]
    if level.retains is None or level.forgets is None:
        raise InfeasibleError(
            Issue(
                f"{point.machine.name} does not say what its {level.name} keeps from run to run; give the level `retains` and "
                "`forgets`, or ask for a cold cache",
                path="conditions.cache",
            )
        )
    share = working_set(point) / level.capacity_bytes
    if share >= level.forgets:
        return 0.0
    return 1.0 if share <= level.retains else (level.forgets - share) / (level.forgets - level.retains)


def least_moved_share(point: Point) -> Number:
    """Share of the compulsory bytes that must cross memory even if the shared cache held as much of them as it can: for lower bounds."""
    if point.conditions.cache == "cold" or point.shared is None:
        return 1.0
    moved = working_set(point)
    return maximum(0.0, moved - point.machine.levels[point.shared].capacity_bytes) / moved if moved else 0.0


def warmed(point: Point, kernels: tuple[Kernel, ...]) -> tuple[Kernel, ...]:
    """The kernels with the bytes that the shared cache still holds taken off memory."""
    kept = kept_share(point)
    if not kept:
        return kernels
    memory = point.machine.memory.name
    return tuple(
        replace(kernel, traffic=_less(kernel.traffic, memory, 1.0 - kept), level_s=_scaled(kernel.level_s, memory, 1.0 - kept))
        for kernel in kernels
    )


def _scaled(level_s: Mapping[str, float], memory: str, share: float) -> dict[str, float]:
    return {name: seconds * share if name == memory else seconds for name, seconds in level_s.items()}


def _less(traffic: Traffic, memory: str, share: float) -> Traffic:
    out = Traffic()
    for level, tensors in traffic.moved.items():
        for tensor, directions in tensors.items():
            for direction, count in directions.items():
                out.add(level, tensor, direction, count * share if level == memory else count)
    return out
