"""What every kernel is checked for before it is counted: its format, its size, the Einsums that its schedule names."""

from __future__ import annotations

from functools import lru_cache

from attnsim.cascade.cascade import Cascade
from attnsim.errors import InfeasibleError, Issue, suggest
from attnsim.evaluate.point import Point
from attnsim.lanes import added, refusal
from attnsim.units import format_quantity

LONGEST = 2**28  # positions; a walk has one entry per query tile, two million at this length


def check_dtype(point: Point) -> None:
    """The machine has to compute in the format. Raises InfeasibleError."""
    machine = point.machine
    if not machine.supports(point.dtype):
        raise InfeasibleError(
            Issue(
                f"{machine.name} cannot compute in {point.dtype}{suggest(point.dtype, machine.dtypes)}; "
                f"it computes in {', '.join(sorted(machine.dtypes))}",
                path="dtype",
            )
        )


def check_labels(point: Point) -> None:
    """What a schedule fuses or leaves to helper kernels must be computed by this cascade, not only by the one it was written for."""
    spec, cascade = point.schedule.spec, point.cascade
    named = [label for helper in (*spec.before, *spec.after) for label in helper.einsums]
    if isinstance(spec.fusion, list):
        named += [label for group in spec.fusion for label in group]
    missing = [label for label in dict.fromkeys(named) if label not in cascade.by_label]
    if missing:
        raise InfeasibleError(
            Issue(
                f"schedule {spec.name} groups {', '.join(missing)}, which cascade {cascade.name} does not compute; "
                f"it was written for {spec.cascade} (--set cascade={spec.cascade})",
                path="cascade",
            )
        )


def check_size(point: Point) -> None:
    """Inputs and outputs have to fit into the machine's memory, and the grid into what can be walked one tile at a time."""
    memory = point.machine.memory
    held = added(point.tensor_bytes(name) for name in footprint_tensors(point.cascade))
    if held > memory.capacity_bytes:

        def told(held: float) -> InfeasibleError:
            text = f"inputs and outputs take {format_quantity(held, 'B')}; {memory.name} of {point.machine.name} holds "
            return InfeasibleError(Issue(text + format_quantity(memory.capacity_bytes, "B"), path="sizes"))

        raise refusal(told, held)
    for rank in point.cascade.positions:
        if point.sizes[rank] > LONGEST:
            raise InfeasibleError(
                Issue(f"{rank} = {point.sizes[rank]}: sequences beyond {LONGEST} are not evaluated", path=f"sizes.{rank}")
            )


@lru_cache(maxsize=512)
def footprint_tensors(cascade: Cascade) -> tuple[str, ...]:
    """Tensors that memory holds whatever the schedule."""
    return (*cascade.inputs, *cascade.outputs)
