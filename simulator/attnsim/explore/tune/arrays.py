"""The search of a mapping on PE arrays: tile sizes, the order of the loops over tiles, and which array runs which Einsum."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from itertools import permutations
from math import prod
from typing import Any

from attnsim.errors import InfeasibleError, UsageError
from attnsim.evaluate.spatial.evaluate import evaluate_spatial
from attnsim.evaluate.spatial.point import SpatialPoint
from attnsim.explore.tune.answer import Tried
from attnsim.explore.tune.search import Place, Problem, Refusal
from attnsim.schedule.spatial import load_spatial_schedule
from attnsim.spec.mapping import part_size

VARIED = ("tiles", "order", "bindings")
OPERANDS = 2  #: of an operation under way in a PE


@dataclass(frozen=True)
class Mapped:
    """A mapping: the choice on every axis that is not the schedule's own, by the axis' name."""

    chosen: tuple[tuple[str, Hashable], ...] = ()


@dataclass(frozen=True)
class _Axis:
    """kind: of `VARIED`; key: the rank or Einsum; the own choice first."""

    kind: str
    key: str
    choices: tuple[Any, ...] = field(default=())

    @property
    def name(self) -> str:
        return f"{self.kind} {self.key}".strip()


class ArraySearch:
    """A point on PE arrays and its space. Raises as `attnsim.tune`."""

    def __init__(self, point: SpatialPoint, name: str, vary: Sequence[str]) -> None:
        self.point, self.name = point, name
        axes = [*_tiles(point), *_orders(point), *_bindings(point)]
        kinds = dict.fromkeys(axis.kind for axis in axes)
        for one in vary:
            if one not in VARIED:
                raise UsageError(f"on PE arrays tune varies {', '.join(VARIED)}, not {one!r}")
            if one not in kinds:
                has = ", ".join(kinds) or "none of what tune varies"
                raise UsageError(f"schedule {point.schedule.name} has no {one} to vary; it has {has}")
        self.axes = [axis for axis in axes if axis.kind in (vary or kinds)]
        if not self.axes:
            raise InfeasibleError(f"schedule {point.schedule.name} leaves nothing to vary: it partitions no rank and has no stage plan")
        evaluate_spatial(point, name)

    def problem(self) -> Problem[Mapped]:
        """What is searched."""
        return Problem({axis.name: len(axis.choices) for axis in self.axes}, self._fit, self._seconds, lambda one: len(one.chosen))

    def _fit(self, place: Place) -> Mapped | Refusal | None:
        return Mapped(tuple((axis.name, axis.choices[at]) for axis, at in zip(self.axes, place, strict=True) if at))

    def _seconds(self, candidate: Mapped) -> float | Refusal:
        point = self._under(candidate)
        estimate = evaluate_spatial(point, self.name)
        refusal = _registers(point, estimate.lag) if candidate.chosen else None
        return estimate.latency_s if refusal is None else refusal

    def _under(self, candidate: Mapped) -> SpatialPoint:
        if not candidate.chosen:
            return self.point
        data = {**self.point.schedule.doc.data, **self.changes(candidate)}
        return replace(self.point, schedule=load_spatial_schedule(data))

    def named(self, sizes: Mapping[str, int]) -> Mapped:
        """The mapping with tiles somebody names.

        Raises:
            UsageError: a rank the schedule does not partition. InfeasibleError: tiles that do not fit, with the limit.
        """
        known = {axis.key: axis for axis in _tiles(self.point)}
        unknown = sorted(set(sizes) - set(known))
        if unknown:
            has = ", ".join(known) or "no rank"
            raise UsageError(f"tile: schedule {self.point.schedule.name} partitions no {', '.join(unknown)}; it partitions {has}")
        candidate = Mapped(tuple((known[rank].name, f"uniform_shape({size})") for rank, size in sizes.items()))
        seconds = self._seconds(candidate)
        if isinstance(seconds, Refusal):
            raise InfeasibleError(f"limited by {seconds.limit}: {seconds.message}")
        return candidate

    def same(self, candidate: Mapped) -> Any:
        """What tells candidates apart where the rest changes nothing: equally fast ones differ in what changes nothing."""
        return ()

    def changes(self, candidate: Mapped) -> dict[str, Any]:
        """The fields of the schedule's file that a mapping changes, whole."""
        data = deepcopy(dict(self.point.schedule.doc.data))
        kinds = set()
        for name, choice in candidate.chosen:
            kind, _, key = name.partition(" ")
            kinds.add(kind)
            if kind == "tiles":
                data["mapping"]["partitioning"][key][-1] = choice
            elif kind == "order":
                data["mapping"]["loop-order"] = list(choice)  # type: ignore[call-overload]
            else:
                _move(data, key, str(choice))
        plan = "stages" if data.get("stages") else "phases"
        fields = {"tiles": ("mapping",), "order": ("mapping",), "bindings": (plan, "interleave")}
        if "bindings" in kinds:  # Einsums that went apart cannot alternate on one array any more
            data["interleave"] = [group for group in data.get("interleave", []) if len({_array_of(data, label) for label in group}) == 1]
        return {field: data[field] for kind in sorted(kinds) for field in fields[kind]}

    def tried(self, candidate: Mapped) -> Tried:
        """A mapping's answer."""
        estimate = evaluate_spatial(self._under(candidate), self.name)
        longest = max(estimate.phases, key=lambda phase: phase.latency_s)
        facts = {"row_block": longest.row_block, "blocks": longest.blocks, "stall_cycles": longest.stall_cycles, "spilled": longest.spilled}
        chosen = dict(candidate.chosen)
        return Tried(
            choice={
                axis.name: chosen.get(axis.name, axis.choices[0]) for axis in self.axes if axis.name in chosen or axis.kind != "bindings"
            },
            own=not candidate.chosen,
            latency_s=estimate.latency_s,
            lower_bound_s=estimate.lower_bound_s,
            bound=estimate.bound,
            time_by_resource_s=estimate.time_by_resource_s,
            facts=facts,
        )

    def notes(self) -> list[str]:
        """What the search leaves out."""
        return [] if self.point.schedule.spec.search is None else ["row blocks, stationarity and locations are the schedule's own search"]


def _registers(point: SpatialPoint, lag: Mapping[str, int]) -> Refusal | None:
    """Tiles that stay in the PEs of an array between its Einsums have to fit into their registers, beside two operands.

    A PE that is given several elements of a tile holds as many, of every tile under way between the one that is computed and the one that
    is read (`lag`).
    """
    place = {
        label: array for phase in point.schedule.spec.plan for stage in phase.stages for array, some in stage.items() for label in some
    }
    held: dict[str, dict[str, int]] = {}
    for einsum in point.cascade.einsums:
        name = place.get(einsum.label, "")
        readers = [other.label for other in point.cascade.consumers(einsum.label) if place.get(other.label) == name]
        if not name or not readers or einsum.output.iterative:
            continue
        shape = point.machine.arrays[name].shape
        space = point.schedule.space(point.cascade, einsum, name, len(shape))
        if space is None or not all(space) or not {rank for ranks in space for rank in ranks} <= set(einsum.output.ranks):
            continue
        each = prod(-(-prod(_size(point, rank) for rank in ranks) // length) for ranks, length in zip(space, shape, strict=True))
        held.setdefault(name, {})[einsum.label] = each * (1 + max(lag.get(label, 0) for label in readers) - lag.get(einsum.label, 0))
    for name, tensors in held.items():
        registers = point.machine.arrays[name].registers
        needed = sum(tensors.values()) + OPERANDS
        if registers is not None and needed > registers.words:
            shown = ", ".join(f"{label} {words}" for label, words in tensors.items())
            tile = " x ".join(f"{rank} {size}" for rank, size in point.tiles.items())
            message = f"tile {tile} needs {needed} words in a PE of {name} ({shown}, {OPERANDS} operands); it has {registers.words}"
            return Refusal("registers of the PEs", message)
    return None


def _size(point: SpatialPoint, rank: str) -> int:
    """Elements of a rank in one tile."""
    whole = point.cascade.whole(rank)
    return point.tiles.get(whole, point.resolved[rank])


def _tiles(point: SpatialPoint) -> list[_Axis]:
    """Innermost parts: the array's extent halved and doubled up to three times, no longer than the rank."""
    axes = []
    for rank, parts in point.schedule.spec.mapping.partitioning.items():
        size = point.tiles.get(rank)
        if size is None or part_size(parts[-1]).fits:
            continue
        other = [size >> down for down in range(3, 0, -1) if size >> down] + [size << up for up in range(1, 4)]
        kept = [f"uniform_shape({length})" for length in other if length <= point.sizes[rank]]
        axes.append(_Axis("tiles", rank, (parts[-1], *kept)))
    return axes


def _orders(point: SpatialPoint) -> list[_Axis]:
    """The orders of the loops over tiles that a tile-by-tile fusion can have, where there are several."""
    own = tuple(point.schedule.spec.mapping.loop_order)
    others = [order for order in permutations(own) if order != own and _legal(point, order)]
    return [_Axis("order", "", (own, *others))] if others else []


def _legal(point: SpatialPoint, order: tuple[str, ...]) -> bool:
    spec = point.schedule.spec
    mapping = spec.mapping.model_copy(update={"loop_order": list(order)})
    try:
        replace(point.schedule, spec=spec.model_copy(update={"mapping": mapping})).outer(point.cascade)
    except InfeasibleError:
        return False
    return True


def _bindings(point: SpatialPoint) -> list[_Axis]:
    """For every Einsum of the stage plan its array, then the others that execute it."""
    axes = []
    for phase in point.schedule.spec.plan:
        for stage in phase.stages:
            for array, labels in stage.items():
                for label in labels:
                    kinds = [term.kind for term in point.cascade.by_label[label].terms]
                    others = [name for name, one in point.machine.arrays.items() if name != array and one.executes(kinds)]
                    if others:
                        axes.append(_Axis("bindings", label, (array, *others)))
    return axes


def _plans(data: dict[str, Any]) -> list[list[dict[str, list[str]]]]:
    return [data["stages"]] if data.get("stages") else [phase["stages"] for phase in data["phases"]]


def _array_of(data: dict[str, Any], label: str) -> str:
    return next(array for plan in _plans(data) for stage in plan for array, labels in stage.items() if label in labels)


def _move(data: dict[str, Any], label: str, array: str) -> None:
    """Put an Einsum on another array of its stage, in the order of the cascade's file there."""
    for plan in _plans(data):
        for stage in plan:
            for name, labels in list(stage.items()):
                if label in labels:
                    labels.remove(label)
                    if not labels:
                        del stage[name]
                    stage.setdefault(array, []).append(label)
                    return
