"""The phases of a schedule on a machine: which Einsums run together, what each unrolls in space, and what they move."""

from __future__ import annotations

from dataclasses import dataclass, field

from attnsim.cascade.einsum import Einsum
from attnsim.evaluate.spatial.cycles import einsum_cycles
from attnsim.evaluate.spatial.gemm import Blocking, gemm_blocking, gemm_words
from attnsim.evaluate.spatial.located import Choice, located_words, search_choice
from attnsim.evaluate.spatial.point import SpatialPoint
from attnsim.evaluate.spatial.rowblock import RowBlock, fused_words, row_block, streamed_words
from attnsim.evaluate.spatial.traffic import Words
from attnsim.machine.spatial import Array
from attnsim.schedule.spatial import Space, product_of
from attnsim.schedule.stages import StagePlan, check_phases, stage_plan


@dataclass(slots=True)
class Phase:
    """A phase on its way to an estimate: plan, what each Einsum unrolls, words moved, and how the mapping came about."""

    plan: StagePlan
    spaces: dict[str, Space | None]
    memory: Words = field(default_factory=Words)
    buffer: Words = field(default_factory=Words)
    block: RowBlock | None = None
    choice: Choice | None = None
    blocking: Blocking | None = None


def plans_of(point: SpatialPoint) -> list[StagePlan]:
    """The phases of the schedule, or for `fusion: none` those that follow from cascade and machine."""
    cascade, schedule = point.cascade, point.schedule
    if schedule.spec.fusion == "stages":
        plans = []
        for number, phase in enumerate(schedule.spec.plan):
            stages = tuple(tuple((array, tuple(members)) for array, members in stage.items()) for stage in phase.stages)
            root: tuple[str | int, ...] = ("stages",) if schedule.spec.stages else ("phases", number, "stages")
            for index, stage in enumerate(stages):
                for name, members in stage:
                    array = point.array(name, (*root, index, name))
                    for place, label in enumerate(members):
                        point.need(cascade.by_label[label], array, (*root, index, name, place))
            plans.append(stage_plan(cascade, schedule, phase.name, stages, root))
        check_phases(cascade, schedule, plans)
        _check_interleaving(point, plans)
        return plans
    groups: list[list[Einsum]] = []
    for einsum in cascade.einsums:
        alone = product_of(cascade, einsum) is not None
        if alone or not groups or product_of(cascade, groups[-1][-1]) is not None:
            groups.append([einsum])
        else:
            groups[-1].append(einsum)
    plans = []
    for group in groups:
        runs: list[tuple[str, list[str]]] = []  # of Einsums that follow one another on one array: a stage each, in the order of the cascade
        for einsum in group:
            name = _fastest(point, einsum).name
            if runs and runs[-1][0] == name:
                runs[-1][1].append(einsum.label)
            else:
                runs.append((name, [einsum.label]))
        stages = tuple(((name, tuple(labels)),) for name, labels in runs)
        plans.append(stage_plan(cascade, schedule, "+".join(einsum.label for einsum in group), stages))
    return plans


def _candidates(point: SpatialPoint, einsum: Einsum) -> list[Array]:
    """Arrays that execute every operation of an Einsum. Raises InfeasibleError where there is none."""
    found = [array for array in point.machine.arrays.values() if array.executes(term.kind for term in einsum.terms)]
    if not found:
        for array in sorted(point.machine.arrays.values(), key=lambda array: len(array.cycles)):
            point.need(einsum, array)
    return found


def _fastest(point: SpatialPoint, einsum: Einsum) -> Array:
    """The array that takes the fewest cycles."""
    candidates = _candidates(point, einsum)
    product = product_of(point.cascade, einsum)
    if product is not None:
        return point.array(gemm_blocking(point, einsum, product, candidates).array)
    return min(candidates, key=lambda array: einsum_cycles(point, einsum, array, None))


def _check_interleaving(point: SpatialPoint, plans: list[StagePlan]) -> None:
    for index, group in enumerate(point.schedule.spec.interleave):
        arrays = {plan.slots[label].array for plan in plans for label in group if label in plan.slots}
        if len(arrays) > 1:
            raise point.schedule.infeasible(
                f"{' and '.join(group)} run on different arrays and cannot alternate on one", "interleave", index
            )


def resolved(point: SpatialPoint, plan: StagePlan) -> Phase:
    """What each Einsum unrolls and what the phase moves."""
    cascade, schedule = point.cascade, point.schedule
    single = cascade.by_label[plan.labels[0]] if len(plan.labels) == 1 else None
    product = product_of(cascade, single) if single is not None else None
    if single is not None and product is not None and not schedule.spec.mapping.loop_order:
        array = point.array(plan.slots[single.label].array)
        blocking = gemm_blocking(point, single, product, [array], _space(point, plan, single))
        memory, buffer = gemm_words(point, product, blocking, array)
        return Phase(plan, {single.label: blocking.space}, memory, buffer, blocking=blocking)
    spaces = {label: _space(point, plan, cascade.by_label[label]) for label in plan.labels}
    if not point.key:  # no rows to keep: whole tensors stream by
        return Phase(plan, spaces, *streamed_words(point, plan))
    if schedule.spec.search is not None and len(plan.labels) > 1:
        if point.mask.kind != "dense":
            raise schedule.infeasible(
                f"schedule {schedule.name} computes whole fibers, so a {point.mask.kind} mask saves it nothing; use dense"
            )
        choice = search_choice(point, plan)
        memory, buffer, block = located_words(point, plan, choice)
        for label in plan.labels:
            matrix = product_of(cascade, cascade.by_label[label])
            if matrix is not None:
                spaces[label] = matrix.roles(choice.stationary)[0]
        return Phase(plan, spaces, memory, buffer, block, choice)
    block = row_block(point, plan.labels)
    memory, buffer = fused_words(point, plan, block)
    return Phase(plan, spaces, memory, buffer, block)


def _space(point: SpatialPoint, plan: StagePlan, einsum: Einsum) -> Space | None:
    array = point.array(plan.slots[einsum.label].array)
    return point.schedule.space(point.cascade, einsum, array.name, len(array.shape))
