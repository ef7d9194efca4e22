"""The stage plan of a phase: how far each Einsum runs behind the newest tile, and what a tile waits for when tiles do not overlap.

A stage lists Einsums by array; the arrays of a stage work side by side, the stages of an epoch one after another, and in a steady state
every epoch computes one tile's worth of everything (arXiv 2406.10491, section V). An Einsum whose operand comes from a later stage works
on an older tile: it has a lag.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from attnsim.cascade.cascade import Cascade
from attnsim.cascade.einsum import Einsum, TensorRef
from attnsim.cascade.passes import trace
from attnsim.errors import InfeasibleError
from attnsim.schedule.spatial import SpatialSchedule

Stages: TypeAlias = tuple[tuple[tuple[str, tuple[str, ...]], ...], ...]
"""Stages in order, each as (array, Einsums) pairs."""

Loc: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Slot:
    """Where an Einsum stands: its array, the stage, and the place among the Einsums of that array and stage."""

    label: str
    array: str
    stage: int
    place: int


@dataclass(frozen=True, slots=True)
class StagePlan:
    """One phase: stages as (array, Einsums) pairs, the slot of every Einsum, and its lag in tiles."""

    name: str
    stages: Stages
    slots: Mapping[str, Slot]
    lag: Mapping[str, int]
    pipelined: bool

    @property
    def labels(self) -> tuple[str, ...]:
        """Einsums of the phase in the order of the plan."""
        return tuple(self.slots)


def stage_plan(cascade: Cascade, schedule: SpatialSchedule, name: str, stages: Stages, root: Loc = ("stages",)) -> StagePlan:
    """The plan with its lags. `root`: where the stages stand in the schedule's file.

    Raises:
        InfeasibleError: the order of the stages breaks a dependency.
    """
    slots = {
        label: Slot(label, array, index, place)
        for index, stage in enumerate(stages)
        for array, members in stage
        for place, label in enumerate(members)
    }
    pipelined = schedule.spec.pipelined
    plan = StagePlan(name, stages, slots, _lags(cascade, schedule, slots, pipelined, root), pipelined)
    if not pipelined:
        for einsum in cascade.einsums:
            if einsum.label in slots:
                _check_own_tile(cascade, schedule, plan, einsum, root)
    return plan


def _lags(cascade: Cascade, schedule: SpatialSchedule, slots: Mapping[str, Slot], pipelined: bool, root: Loc) -> dict[str, int]:
    """The least lags that keep every operand ahead of its reader; what a tile takes over from the tile before must be ready in time too."""
    needs = [
        (einsum.label, ref.name, _behind(slots, einsum, ref, pipelined))
        for einsum in cascade.einsums
        if einsum.label in slots
        for ref in einsum.operands
        if ref.name in slots and ref.mode != "final"
    ]
    lag = dict.fromkeys(slots, 0)
    for _ in range(len(slots) + 1):
        late = [(label, name, behind) for label, name, behind in needs if lag[label] < lag[name] + behind]
        if not late:
            return lag
        for label, name, behind in late:
            lag[label] = max(lag[label], lag[name] + behind)
    label, name, _ = late[0]
    raise _broken(
        schedule,
        root,
        slots[label],
        f"{label} in stage {slots[label].stage + 1} needs {name} of stage {slots[name].stage + 1}, which goes round an iteration and would "
        "fall further behind with every tile; put them in the order in which one tile computes them",
    )


def _own_tile(slots: Mapping[str, Slot], einsum: Einsum) -> list[TensorRef]:
    """Operands that this phase computes for the same tile."""
    return [ref for ref in einsum.operands if ref.name in slots and ref.mode in ("plain", "current")]


def _before(first: Slot, second: Slot) -> bool:
    """Whether `first` is done when `second` starts, in one epoch."""
    if first.stage != second.stage:
        return first.stage < second.stage
    return first.array == second.array and first.place < second.place


def _behind(slots: Mapping[str, Slot], einsum: Einsum, ref: TensorRef, pipelined: bool) -> int:
    """Tiles by which a reader runs behind the Einsum it reads; -1 where it takes the result of the tile before and that is ready."""
    mine, theirs = slots[einsum.label], slots[ref.name]
    # Not pipelined, a neighbour array of the same stage takes the results as they stream out.
    streams = not pipelined and theirs.stage == mine.stage and theirs.array != mine.array
    late = 0 if _before(theirs, mine) or streams else 1
    return late - 1 if ref.mode == "previous" else late


def _check_own_tile(cascade: Cascade, schedule: SpatialSchedule, plan: StagePlan, einsum: Einsum, root: Loc) -> None:
    """Without pipelining an Einsum may fall behind its tile only if nothing of the tile waits for it."""
    slots = plan.slots
    mine = slots[einsum.label]
    for ref in _own_tile(slots, einsum):
        theirs = slots[ref.name]
        if _before(theirs, mine):
            continue
        waits = [reader.label for reader in cascade.consumers(einsum.label) if _waits(slots, einsum, reader)]
        if theirs.stage == mine.stage and theirs.array != mine.array:  # results stream from array to array, but not back again
            waits = [label for label in waits if slots[label].stage == mine.stage and slots[label].array == theirs.array]
        if waits:
            raise _broken(
                schedule,
                root,
                mine,
                f"{einsum.label} in stage {mine.stage + 1} needs {ref.name} of the same tile, computed in stage {theirs.stage + 1}, and "
                f"{waits[0]} waits for it; move {einsum.label} behind {ref.name}, or set `pipelined: true`",
            )


def _waits(slots: Mapping[str, Slot], einsum: Einsum, reader: Einsum) -> bool:
    return reader.label in slots and any(ref.name == einsum.label and ref.mode in ("plain", "current") for ref in reader.operands)


def _broken(schedule: SpatialSchedule, root: Loc, slot: Slot, message: str) -> InfeasibleError:
    return schedule.infeasible(f"the stage plan breaks a dependency: {message}", *root, slot.stage, slot.array, slot.place)


def check_phases(cascade: Cascade, schedule: SpatialSchedule, plans: Sequence[StagePlan]) -> None:
    """Phases run one after another, each on whole tensors: what a phase reads, an earlier one has made. Raises InfeasibleError."""
    phase_of = {label: number for number, plan in enumerate(plans) for label in plan.slots}
    for einsum in cascade.einsums:
        for ref in einsum.operands:
            mine, theirs = phase_of[einsum.label], phase_of.get(ref.name, -1)
            if theirs > mine:
                message = f"{einsum.label} in phase {mine + 1} needs {ref.name}, which phase {theirs + 1} computes"
                raise _broken(schedule, ("phases", mine, "stages"), plans[mine].slots[einsum.label], message)


def _passes(cascade: Cascade) -> Mapping[str, int]:
    """The level of `attnsim.cascade.passes` at which each Einsum runs: 2k while pass k over the keys streams by, 2k + 1 at its end."""
    if len(cascade.positions) != 2:
        return dict.fromkeys(cascade.by_label, 0)
    key = cascade.positions[1]
    ran = trace(cascade, cascade.partition.get(key, (key,)), one_fiber=True).ran
    return {label: max(levels.values(), default=0) for label, levels in ran.items()}


def stall(cascade: Cascade, plan: StagePlan, drain: Callable[[Einsum, str], float]) -> tuple[float, str]:
    """Cycles that a tile waits for arrays to drain when no other tile fills the gap, and the Einsum last waited for; (0, "") if pipelined.

    An array that reduces over a rank it unrolls delivers its result `drain` cycles after the last operand went in, and what depends on the
    result, on whatever array, can only then come back to it. `drain(einsum, array)` is that depth, 0 where nothing is reduced in space. The
    longest chain of such returns counts; a result that only feeds other arrays drains behind the next tile.
    """
    longest = (0.0, "")
    if plan.pipelined:
        return longest
    when = _passes(cascade)
    for array in dict.fromkeys(slot.array for slot in plan.slots.values()):
        waited: dict[str, tuple[float, str, float, str]] = {}  # waited so far and for what; drain not yet paid and of what
        for einsum in cascade.einsums:
            if einsum.label not in plan.slots or plan.lag[einsum.label]:
                continue
            paid, owed = (0.0, ""), (0.0, "")
            here = plan.slots[einsum.label].array == array
            for ref in _own_tile(plan.slots, einsum):
                if ref.name not in waited or when[ref.name] != when[einsum.label]:
                    continue  # a pass waits for the one before once a row block, not once a tile
                before, last, pending, source = waited[ref.name]
                paid = max(paid, (before + pending, source) if here and pending else (before, last))
                if not here:
                    owed = max(owed, (pending, source))
            if here:
                owed = (drain(einsum, array), einsum.label)
            waited[einsum.label] = (*paid, *owed)
            longest = max(longest, paid)
    return longest
