"""One question about a spatial machine, resolved: cascade, sizes, mask, machine and schedule, and the few facts every stage asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod

from attnsim.cascade.cascade import Cascade
from attnsim.cascade.einsum import Einsum
from attnsim.cascade.footprint import Live, live_footprints
from attnsim.errors import InfeasibleError, Issue
from attnsim.machine.spatial import Array, SpatialMachine
from attnsim.mask.base import Mask
from attnsim.schedule.spatial import SpatialSchedule
from attnsim.spec.workload import Conditions
from attnsim.units import format_quantity


@dataclass(frozen=True, eq=False)
class SpatialPoint:
    """`sizes`: of the cascade's unpartitioned ranks, groups included. `tiles`: the schedule's innermost parts by rank."""

    cascade: Cascade
    sizes: Mapping[str, int]
    mask: Mask
    dtype: str
    machine: SpatialMachine
    schedule: SpatialSchedule
    conditions: Conditions
    direction: str
    tiles: Mapping[str, int] = field(init=False)
    resolved: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        shapes = {name: array.shape for name, array in self.machine.arrays.items()}
        tiles: dict[str, int] = {}
        for rank in self.cascade.ranks:
            size = self.schedule.tile(rank, shapes)
            if size is not None:
                tiles[rank] = min(size, self.sizes[rank])
        object.__setattr__(self, "tiles", tiles)
        inner = {rank: tiles[rank] for rank in self.cascade.partition if rank in tiles}
        object.__setattr__(self, "resolved", self.cascade.resolve_sizes(self.sizes, inner))

    @property
    def query(self) -> str:
        """Rank of query positions; "" for a cascade without positions."""
        return self.cascade.positions[0] if self.cascade.positions else ""

    @property
    def key(self) -> str:
        """Rank of key positions; "" for a cascade without positions."""
        return self.cascade.positions[1] if self.cascade.positions else ""

    @cached_property
    def heads(self) -> int:
        """Problems of one (query, key) plane each: the product of the batch ranks."""
        return prod(self.sizes.get(rank, 1) for rank in self.cascade.batch)

    @cached_property
    def lives(self) -> Mapping[str, Live]:
        """Live footprint of every tensor while the keys are traversed."""
        return live_footprints(self.cascade)

    @cached_property
    def pass_of(self) -> Mapping[str, int]:
        """The pass over the keys that each Einsum runs in."""
        return self.cascade.passes(self.key).pass_of if self.key else dict.fromkeys(self.cascade.by_label, 1)

    def copies(self, tensor: str) -> int:
        """Times a tensor exists: once for every coordinate of the batch and group ranks it has."""
        hidden = {*self.cascade.batch, *self.cascade.groups}
        return prod(self.sizes[rank] for rank in self.cascade.tensor_ranks(tensor) if rank in hidden)

    @property
    def word(self) -> float:
        """Bytes of a word."""
        return self.machine.word_bytes

    @cached_property
    def capacity_words(self) -> float:
        """Words of the buffer that the schedule may use."""
        budget = self.schedule.spec.budget
        capacity = self.machine.buffer.capacity_bytes
        return (capacity if budget is None else min(budget, capacity)) / self.word

    def own_ranks(self, tensor: str) -> tuple[str, ...]:
        """Whole ranks of a tensor without the batch ranks."""
        hidden = {*self.cascade.batch, *self.cascade.groups}
        return tuple(rank for rank in self.cascade.tensor_ranks(tensor) if rank not in hidden)

    def words(self, tensor: str) -> int:
        """Words of a tensor for one head; a tensor with one value a key chunk counts its chunks."""
        return prod(self.resolved[rank] for rank in self.own_ranks(tensor))

    def count_tiles(self, rank: str, length: int) -> int:
        """Pieces of at most `length` (the reach of an array's dimension) that a rank is unrolled in, tile by tile."""
        size, tile = self.sizes[self.cascade.whole(rank)], self.tiles.get(self.cascade.whole(rank))
        if tile is None:
            return -(-size // length)
        return -(-size // tile) * -(-tile // length)

    def array(self, name: str, loc: tuple[str | int, ...] = ()) -> Array:
        """The array called `name`. Raises InfeasibleError where the machine has none."""
        found = self.machine.arrays.get(name)
        if found is None:
            known = self.machine.arrays
            raise self.schedule.infeasible(f"{self.machine.name} has no array '{name}'; its arrays are {', '.join(known)}", *loc)
        return found

    def need(self, einsum: Einsum, array: Array, loc: tuple[str | int, ...] = ()) -> None:
        """Refuse an Einsum with an operation that the PEs of an array lack."""
        for term in einsum.terms:
            if term.kind not in array.cycles:
                raise self.schedule.infeasible(
                    f"Einsum {einsum.label} needs {term.kind}, which array {array.name} of {self.machine.name} does not execute; "
                    f"it executes {', '.join(array.cycles)}",
                    *loc,
                )


def check_point(point: SpatialPoint) -> None:
    """Refuse what a spatial machine cannot be asked. Raises InfeasibleError."""
    machine = point.machine
    if not machine.supports(point.dtype):
        raise InfeasibleError(Issue(f"{machine.name} computes in {', '.join(sorted(machine.dtypes))}, not in {point.dtype}", path="dtype"))
    if point.direction == "backward":
        raise InfeasibleError(
            Issue("schedules for PE arrays run forward cascades; name attention-backward as the cascade", path="direction")
        )
    if point.conditions.tensor_clock is not None:
        message = f"{machine.name} has one clock; change it with --set arch.clock='800 MHz'"
        raise InfeasibleError(Issue(message, path="conditions.tensor_clock"))
    held = sum(point.words(name) * point.copies(name) for name in (*point.cascade.inputs, *point.cascade.outputs)) * point.word
    check_capacity(point, held, "inputs and outputs take")


def check_capacity(point: SpatialPoint, held_bytes: float, what: str) -> None:
    """Refuse what the memory does not hold. Raises InfeasibleError."""
    capacity = point.machine.dram.capacity_bytes
    if capacity is not None and held_bytes > capacity:
        message = f"{what} {format_quantity(held_bytes, 'B')}; the memory of {point.machine.name} holds {format_quantity(capacity, 'B')}"
        raise InfeasibleError(Issue(message, path="sizes"))
