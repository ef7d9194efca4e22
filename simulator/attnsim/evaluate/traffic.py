"""Bytes between memory levels: what a kernel reads and writes, by level, tensor and direction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from attnsim.cascade.cascade import Cascade
from attnsim.cascade.einsum import Einsum
from attnsim.evaluate.point import Point
from attnsim.lanes import Lanes, Number, added, maximum, minimum, real, where
from attnsim.tape import call

STATE_BYTES = 4  # running maxima, sums and partial results are fp32 in every kernel of the library


@dataclass(slots=True)
class Traffic:
    """Bytes by level, tensor and direction."""

    moved: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    _totals: dict[str, float] = field(default_factory=dict, repr=False, compare=False)

    def add(self, level: str, tensor: str, direction: str, count: float) -> None:
        """Charge `count` bytes."""
        tensors = self.moved.setdefault(level, {}).setdefault(tensor, {})
        tensors[direction] = tensors.get(direction, 0.0) + count
        self._totals.pop(level, None)

    def total(self, level: str) -> float:
        """All bytes of a level."""
        found = self._totals.get(level)
        if found is None:
            found = self._totals[level] = added([added(by.values()) for by in self.moved.get(level, {}).values()])
        return found

    def directed(self, level: str) -> tuple[float, float]:
        """Bytes read from a level, and bytes written to it."""
        written = added(by.get("write", 0.0) for by in self.moved.get(level, {}).values())
        return self.total(level) - written, written

    def merge(self, other: Traffic) -> None:
        """Add another kernel's traffic."""
        for level, tensors in other.moved.items():
            for tensor, directions in tensors.items():
                for direction, count in directions.items():
                    self.add(level, tensor, direction, count)


@dataclass(frozen=True, slots=True)
class Grid:
    """What the traffic of a fused kernel depends on.

    tile: by rank; tiled: ranks spread over CTAs; walked: sequential ranks; ctas: CTAs in all; visits: tiles visited in all; heads: batch
    x heads of the grid; pack: query heads in the rows of a tile; tiles: CTAs per head; slots: resident CTAs of the machine; splits: CTAs
    that share a walk.
    """

    tile: Mapping[str, int]
    tiled: tuple[str, ...]
    walked: tuple[str, ...]
    batch_order: tuple[str, ...]
    ctas: Number
    visits: Number
    heads: Number
    pack: int
    tiles: Number
    slots: int
    splits: Number
    inside: Mapping[str, Number] = field(default_factory=dict)
    tile_bytes: dict[str, Number] = field(default_factory=dict)


@lru_cache(maxsize=1024)
def inputs_of(einsums: tuple[Einsum, ...]) -> tuple[str, ...]:
    """Tensors read from outside by a set of Einsums, in order of use."""
    made = {einsum.label for einsum in einsums}
    return tuple(dict.fromkeys(o.name for e in einsums for o in e.operands if o.name not in made))


def results_of(point: Point, einsums: tuple[Einsum, ...]) -> tuple[str, ...]:
    """Tensors that leave a set of Einsums: the cascade's outputs, and what other Einsums read."""
    return _results_of(point.cascade, einsums)


@lru_cache(maxsize=1024)
def _results_of(cascade: Cascade, einsums: tuple[Einsum, ...]) -> tuple[str, ...]:
    labels = {einsum.label for einsum in einsums}
    read = {o.name for e in cascade.einsums if e.label not in labels for o in e.operands}
    return tuple(e.label for e in einsums if e.label in cascade.outputs or e.label in read)


def tile_bytes(point: Point, tensor: str, grid: Grid) -> Number:
    """Bytes of one tile of a tensor, clipped to what exists."""
    found = grid.tile_bytes.get(tensor)
    if found is None:
        found = grid.tile_bytes[tensor] = _tile_bytes(point, tensor, grid.inside, grid.pack)
    return found


def _tile_bytes(point: Point, tensor: str, inside: Mapping[str, Number], pack: int) -> Number:
    size: Number = point.stored(tensor)
    for rank in point.cascade.tensor_ranks(tensor):
        if rank in point.cascade.batch or rank in point.cascade.groups:
            size *= inside[rank]
        else:
            exists = point.sizes.get(rank, 1)
            size *= minimum(inside[rank], exists * pack if rank == point.query else exists)
    return size


def attended_share(point: Point, tensor: str) -> Number:
    """Share of a tensor that some attended pair touches: keys outside every window are never read."""
    found = point.attended.get(tensor)
    if found is None:
        found = point.attended[tensor] = _attended_share(point, tensor)
    return found


def _attended_share(point: Point, tensor: str) -> Number:
    if not point.positioned:
        return 1.0
    ranks = point.cascade.tensor_ranks(tensor)
    p, m = point.sizes[point.query], point.sizes[point.key]
    if point.key in ranks:
        return _keys_read(point, p, m) / m
    return (
        real(call(type(point.mask).queries, point.mask, p, m)) / p if point.query in ranks and tensor not in point.cascade.outputs else 1.0
    )


def _keys_read(point: Point, p: Number, m: Number) -> Number:
    """Keys that are read of a key head, on average: of the query heads that share it, at least those of the one that attends most."""
    if len(point.masks) == 1:
        return real(call(type(point.mask).keys, point.mask, p, m))
    keys = [mask.keys(p, m) for count, mask in point.masks for _ in range(count)]
    groups = [max(keys[first : first + point.group]) for first in range(0, len(keys), point.group)]
    return float(sum(groups)) / len(groups)


def fill_bytes(point: Point, einsums: tuple[Einsum, ...], grid: Grid) -> Number:
    """What a CTA loads before its first tile product and stores after its last."""
    names = (*inputs_of(einsums), *(r for r in results_of(point, einsums) if not set(point.cascade.tensor_ranks(r)) & set(grid.walked)))
    return added(tile_bytes(point, name, grid) for name in names)


def fused_traffic(point: Point, einsums: tuple[Einsum, ...], grid: Grid) -> Traffic:
    """Traffic of one fused kernel.

    Shared level (L2): stationary tiles once per CTA, walked tiles once per visit. Memory: every input once; walked inputs once more per
    wave of CTAs that sweeps them again when the heads in flight do not fit into the shared level (reference note: FlashAttention tiles of
    128 rows need it only for long sequences). Without a shared level every re-read goes to memory.
    """
    machine, cascade, traffic = point.machine, point.cascade, Traffic()
    memory = machine.memory.name
    shared = machine.levels[point.shared] if point.shared is not None else None
    walked = set(grid.walked)
    names = inputs_of(einsums)
    walking = [name for name in names if walked & set(cascade.tensor_ranks(name))]
    again = _sweeps(point, grid, walking, 0.0 if shared is None else shared.capacity_bytes)
    for name in names:
        once = point.tensor_bytes(name) * attended_share(point, name)
        trips = _trips(point, name, grid)
        near = maximum(once, trips * tile_bytes(point, name, grid))
        if shared is None:
            traffic.add(memory, name, "read", near)
            continue
        traffic.add(shared.name, name, "read", near)
        traffic.add(memory, name, "read", minimum(near, once * again) if name in walking else once)
    _results(point, einsums, grid, traffic, memory, None if shared is None else shared.name)
    return traffic


def _trips(point: Point, tensor: str, grid: Grid) -> Number:
    """How often a tile of an input is loaded: per visit when the innermost loop walks it, per outer step when only the outer one does,
    else once a CTA.
    """
    ranks = set(point.cascade.tensor_ranks(tensor))
    if not ranks & set(grid.walked):
        return grid.ctas
    if grid.walked[-1] in ranks:
        return grid.visits
    steps: Number = 1
    for rank in grid.walked[:-1]:
        steps *= -(-point.sizes[rank] // grid.tile[rank])
    return grid.ctas * steps


def _sweeps(point: Point, grid: Grid, walking: list[str], capacity: float) -> Number:
    """How often the walked inputs come from memory: 1 when the heads in flight fit into the shared level."""
    groups = point.group // grid.pack
    most = maximum(1.0, grid.tiles * groups / grid.slots)
    if not walking or (type(most) is not Lanes and most <= 1.0):
        return 1.0
    per_head = added(point.tensor_bytes(name) for name in walking) / maximum(1, grid.heads // groups)
    in_flight = minimum(grid.heads, -(-grid.slots // grid.tiles))
    batch = point.sizes.get(grid.batch_order[0], 1) if grid.batch_order else 1
    # Heads of a group follow each other in the grid only when the head rank varies before the batch rank.
    adjacent = groups == 1 or next(iter(point.cascade.groups.values()), "") == grid.batch_order[0] or batch == 1
    distinct = where(adjacent, -(-in_flight // groups), maximum(minimum(in_flight, batch), 1))
    capture = minimum(1.0, capacity / (distinct * per_head))
    return 1.0 + (1.0 - capture) * (most - 1.0)


def summed_over_grid(point: Point, grid: Grid, tensor: str) -> bool:
    """Whether every CTA adds to a result at each step of its walk: the rank it is spread over is summed, the one it walks is not."""
    ranks = set(point.cascade.tensor_ranks(tensor))
    return any(rank not in ranks for rank in grid.tiled) and bool(ranks & set(grid.walked))


def _results(point: Point, einsums: tuple[Einsum, ...], grid: Grid, traffic: Traffic, memory: str, shared: str | None) -> None:
    cascade = point.cascade
    for name in results_of(point, einsums):
        size = point.tensor_bytes(name)
        wide = size / point.stored(name) * STATE_BYTES
        if summed_over_grid(point, grid, name):
            # Summed over the CTAs of the grid: fp32 reductions sent to the shared level, which adds them itself (FlashAttention-2,
            # section 3.2).
            elements = tile_bytes(point, name, grid) / point.stored(name)
            if shared is not None:
                traffic.add(shared, name, "write", grid.visits * elements * STATE_BYTES)
            traffic.add(memory, name, "write", wide)
        elif grid.splits > 1:
            rows = size / point.stored(name) / point.sizes[cascade.tensor_ranks(name)[-1]]
            partial = grid.splits * (wide + rows * STATE_BYTES)
            split = point.schedule.spec.split
            inside_kernel = split is not None and split.combine == "in-kernel"  # then the same kernel reads them back and writes the result
            for level in (memory, *(() if shared is None else (shared,))):
                traffic.add(level, name, "write", partial + (size if inside_kernel else 0.0))
                if inside_kernel:
                    traffic.add(level, name, "read", partial)
        else:
            traffic.add(memory, name, "write", size)
            if shared is not None:
                traffic.add(shared, name, "write", size)
    if point.query in grid.walked and point.key in grid.walked and grid.walked.index(point.key) < grid.walked.index(point.query):
        _spilled_state(point, einsums, grid, traffic, memory, shared)


def _spilled_state(point: Point, einsums: tuple[Einsum, ...], grid: Grid, traffic: Traffic, memory: str, shared: str | None) -> None:
    """Keys outside, queries inside: the running state of every query tile is read and written at each step (FlashAttention, Algorithm 1).

    It stays in the shared level as far as the heads in flight fit there.
    """
    inside = grid.inside
    states = tuple(dict.fromkeys(o.name for e in einsums for o in e.operands if o.iterative and o.mode == "previous"))
    in_flight = minimum(grid.heads, grid.slots)
    held = in_flight * added(point.tensor_bytes(name) / point.stored(name) * STATE_BYTES for name in states) / grid.heads
    capacity = 0.0 if point.shared is None else point.machine.levels[point.shared].capacity_bytes
    missed = 1.0 - minimum(1.0, capacity / held) if held else 0.0
    for name in states:
        size = float(STATE_BYTES)
        for rank in point.cascade.tensor_ranks(name):
            size *= inside[rank]
        for direction in ("read", "write"):
            traffic.add(memory, name, direction, missed * grid.visits * size)
            if shared is not None:
                traffic.add(shared, name, direction, grid.visits * size)
