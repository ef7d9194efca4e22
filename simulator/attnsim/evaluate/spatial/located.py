"""A phase whose tensors each have a place: whole in the buffer for a row block, tile by tile, or past the buffer; found by search.

The choices are those of FLAT (arXiv 2107.06419; corrected model in the artifact of arXiv 2406.10491): how many rows are computed before
the next ones, what stays in the PEs, and which tensors are kept on the chip. If all that is to be held does not fit, the same share of
everything held is spilled: that share crosses the memory as often as it crosses the edge of the array.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product as combinations
from math import ceil, prod

from attnsim.cascade.einsum import Einsum
from attnsim.errors import InfeasibleError, Issue
from attnsim.evaluate.spatial.cycles import einsum_cycles
from attnsim.evaluate.spatial.point import SpatialPoint
from attnsim.evaluate.spatial.rowblock import RowBlock, external, row_block, through_buffer
from attnsim.evaluate.spatial.traffic import Edge, Words, edge_words
from attnsim.machine.spatial import Array
from attnsim.schedule.spatial import Product, Space, product_of
from attnsim.schedule.stages import StagePlan
from attnsim.spec.mapping import Location, SearchSpec, Stationary


@dataclass(frozen=True, slots=True)
class Choice:
    """What the search settled on. rows: of a row block; head: the block is a whole head; spilled: share held that does not fit."""

    rows: int
    head: bool
    stationary: Stationary
    location: Mapping[str, Location]
    held_words: float
    spilled: float
    tried: int = 0

    def __str__(self) -> str:
        places = ", ".join(f"{tensor} {place}" for tensor, place in self.location.items())
        rows = "a whole head" if self.head else f"{self.rows} rows"
        return f"{rows} at a time, {self.stationary} stationary; {places}; {self.spilled:.3g} of it spilled"


@dataclass(frozen=True, slots=True)
class _Matrix:
    """A matrix product under one row block and stationarity."""

    einsum: Einsum
    product: Product
    array: Array
    space: Space
    edge: Edge
    cycles: float
    sums: bool  # partial sums leave the array: the block of results is held until it is complete


@dataclass(frozen=True, slots=True)
class _Frame:
    """Everything that does not depend on where tensors are."""

    rows: int
    head: bool
    blocks: int
    stationary: Stationary
    matrices: tuple[_Matrix, ...]


def search_choice(point: SpatialPoint, plan: StagePlan) -> Choice:
    """The best of all row blocks, stationarities and locations; of equally good ones the first, in the order of the file.

    Raises:
        InfeasibleError: nothing fits the shape of the machine.
    """
    spec = point.schedule.spec.search
    assert spec is not None
    weighed = set(spec.weigh or plan.labels)
    best: tuple[float, Choice] | None = None
    tried = 0
    for frame in _frames(point, plan, spec):
        for location in _locations(point, plan, spec):
            tried += 1
            held, drained = _held(point, frame, location)
            spilled = max(0.0, 1 - point.capacity_words / held)
            cost = _believed_latency(point, plan, spec, frame, location, held, drained, spilled, weighed)
            if best is None or cost < best[0] * (1 - 1e-12):
                best = cost, Choice(frame.rows, frame.head, frame.stationary, location, held, spilled)
    if best is None:
        raise InfeasibleError(Issue(f"schedule {point.schedule.name} finds no row block for {point.query} = {point.sizes[point.query]}"))
    chosen = best[1]
    return Choice(chosen.rows, chosen.head, chosen.stationary, chosen.location, chosen.held_words, chosen.spilled, tried)


def _frames(point: SpatialPoint, plan: StagePlan, spec: SearchSpec) -> Iterator[_Frame]:
    size = point.sizes[point.query]
    lengths = [array.shape[-1] for array in _matrix_arrays(point, plan)]
    unit = max(lengths, default=1)
    for block in spec.row_block:
        head = block == "head"
        rows = size if block == "head" else unit * block
        if rows > size:
            continue
        for stationary in spec.stationary:
            matrices = tuple(_matrices(point, plan, rows, stationary))
            yield _Frame(rows, head, ceil(size / rows), stationary, matrices)


def _matrix_arrays(point: SpatialPoint, plan: StagePlan) -> list[Array]:
    return [point.array(slot.array) for label, slot in plan.slots.items() if product_of(point.cascade, point.cascade.by_label[label])]


def _matrices(point: SpatialPoint, plan: StagePlan, rows: int, stationary: Stationary) -> Iterator[_Matrix]:
    for label, slot in plan.slots.items():
        einsum = point.cascade.by_label[label]
        product = product_of(point.cascade, einsum)
        if product is None:
            continue
        array = point.array(slot.array)
        space = product.roles(stationary)[0][: len(array.shape)]
        blocks = ceil(point.sizes[point.query] / rows)
        edge = edge_words(point, product, array, space, blocks, rows)
        cycles = einsum_cycles(point, einsum, array, space)
        sums = any(
            point.count_tiles(rank, array.shape[dimension]) > 1
            for dimension, group in enumerate(space)
            for rank in group
            if rank in product.reduced
        )
        yield _Matrix(einsum, product, array, space, edge, cycles, sums)


def _locations(point: SpatialPoint, plan: StagePlan, spec: SearchSpec) -> Iterator[dict[str, Location]]:
    for choices in combinations(*(entry.choices for entry in spec.location)):
        yield {name: place for entry, place in zip(spec.location, choices, strict=True) for name in entry.tensors}


def _held(point: SpatialPoint, frame: _Frame, location: Mapping[str, Location]) -> tuple[float, float]:
    """(words held, words that go through the chip once at its start and end): the second is what a search charges as ramp-up."""
    twice = 2 if point.schedule.spec.double_buffered else 1
    held = drained = 0.0
    slab = 0
    for matrix in frame.matrices:
        product = matrix.product
        for name in (product.first, product.second, product.result):
            inside = name in point.cascade.tensors
            output = name == product.result
            if location.get(name, "tile") == "buffer":
                words = _block_words(point, name, frame.rows)
                if inside:  # the fiber of a row block: what is made of it takes its place
                    slab = max(slab, words)
                    continue
                held += twice * words
                drained += words
            else:
                words = _tile_words(point, matrix, name, frame.rows, held_sums=output and matrix.sums)
                held += twice * words
                drained += words * (2 if output and name in point.cascade.outputs else 1)
    return held + slab, drained


def _block_words(point: SpatialPoint, name: str, rows: int) -> int:
    return prod(rows if rank == point.query else point.resolved[rank] for rank in point.own_ranks(name))


def _tile_words(point: SpatialPoint, matrix: _Matrix, name: str, rows: int, held_sums: bool) -> int:
    """One array tile of a tensor; of partial sums, all rows of the block."""
    words = 1
    length = {rank: matrix.array.shape[dimension] for dimension, group in enumerate(matrix.space) for rank in group}
    for rank in point.own_ranks(name):
        size = rows if rank == point.query else point.sizes[rank]
        if held_sums and rank not in length:
            words *= size
        else:
            words *= min(size, length.get(rank, matrix.array.shape[0]))
    return words


def _moved(
    point: SpatialPoint, matrix: _Matrix, location: Mapping[str, Location], spilled: float, reload: bool
) -> Iterator[tuple[str, str, float]]:
    """(tensor, direction, words at the memory) of one matrix product for one head."""
    kept = 1.0 if reload else 1 - spilled
    edge, product = matrix.edge, matrix.product
    for name, crossing in ((product.first, edge.first), (product.second, edge.second)):
        place = location.get(name, "tile")
        if place == "stream":
            yield name, "read", crossing
            continue
        once = 0 if name in point.cascade.tensors else point.words(name)
        least = once if place == "buffer" else crossing
        yield name, "read", kept * least + spilled * crossing
    name = product.result
    place = location.get(name, "tile")
    once = 0 if place == "buffer" and name in point.cascade.tensors else point.words(name)
    if place == "stream" and not matrix.sums:
        yield name, "write", edge.out
        return
    yield name, "write", kept * once + spilled * edge.out
    yield name, "read", spilled * edge.back


def _believed_latency(
    point: SpatialPoint,
    plan: StagePlan,
    spec: SearchSpec,
    frame: _Frame,
    location: Mapping[str, Location],
    held: float,
    drained: float,
    spilled: float,
    weighed: set[str],
) -> float:
    """Seconds the search reckons with: the longer of memory and arrays, the first and last tiles, and the ramps of every row block."""
    machine = point.machine
    words = sum(
        moved
        for matrix in frame.matrices
        if matrix.einsum.label in weighed
        for _, _, moved in _moved(point, matrix, location, spilled, spec.spill == "reload")
    )
    busy: dict[str, float] = {}
    for matrix in frame.matrices:
        if matrix.einsum.label in weighed:
            busy[matrix.array.name] = busy.get(matrix.array.name, 0) + matrix.cycles
    ramp = spec.ramp.get(frame.stationary)
    ramps = 0.0 if ramp is None else ramp.value * len(frame.matrices) * frame.blocks * point.heads
    memory = words * point.heads * point.word / machine.dram.bandwidth
    compute = max(busy.values(), default=0.0) / machine.clock_hz
    return max(memory, compute) + drained * point.word / machine.dram.bandwidth + ramps / machine.clock_hz


def located_words(point: SpatialPoint, plan: StagePlan, choice: Choice) -> tuple[Words, Words, RowBlock | None]:
    """(words at the memory, words at the buffer, rows of the Einsums between) of a phase under a choice, for one head."""
    memory, buffer = Words(), Words()
    between = tuple(label for label in plan.labels if product_of(point.cascade, point.cascade.by_label[label]) is None)
    for matrix in _matrices(point, plan, choice.rows, choice.stationary):
        for name, direction, words in _moved(point, matrix, choice.location, choice.spilled, reload=False):
            memory.add(name, direction, words)
        _matrix_buffer(point, matrix, choice, memory, buffer)
    block = None
    if between:
        inputs, results = external(point, between)
        on_chip = all(choice.location.get(name, "tile") == "buffer" for name in (*inputs, *results))
        fibers = 0.0 if on_chip else _resident(point, plan, choice)
        block = None if on_chip else row_block(point, between, reserved=fibers)
        spilled = choice.spilled if block is None else block.spilled
        _vector_words(point, plan, choice, between, inputs, results, spilled, memory, buffer)
    return memory, buffer, block


def _resident(point: SpatialPoint, plan: StagePlan, choice: Choice) -> float:
    """Words of tensors kept whole for a row block: what is left of the buffer holds the fibers of the Einsums between the products."""
    return float(sum(_block_words(point, name, choice.rows) for name, place in choice.location.items() if place == "buffer"))


def _matrix_buffer(point: SpatialPoint, matrix: _Matrix, choice: Choice, memory: Words, buffer: Words) -> None:
    edge, product = matrix.edge, matrix.product
    for name, crossing in ((product.first, edge.first), (product.second, edge.second)):
        if choice.location.get(name, "tile") == "buffer":
            buffer.add(name, "read", crossing)
            if name not in point.cascade.tensors:
                buffer.add(name, "write", point.words(name))
    name = product.result
    if choice.location.get(name, "tile") == "buffer" or matrix.sums:
        buffer.add(name, "write", edge.out)
        buffer.add(name, "read", edge.back)
        if name in point.cascade.outputs:
            buffer.add(name, "read", point.words(name))


def _vector_words(
    point: SpatialPoint,
    plan: StagePlan,
    choice: Choice,
    between: tuple[str, ...],
    inputs: list[str],
    results: list[str],
    spilled: float,
    memory: Words,
    buffer: Words,
) -> None:
    """The Einsums between the matrix products: they work on fibers of one row (or row block) in the buffer."""
    for name in inputs:
        readers = [reader for reader in point.cascade.consumers(name) if reader.label in between]
        size = point.words(name)
        if choice.location.get(name, "tile") == "buffer":
            memory.add(name, "read", spilled * size * len(readers))
        else:
            memory.add(name, "read", size * (1 + spilled * (len(readers) - 1)))
            buffer.add(name, "write", size)
        buffer.add(name, "read", size * len(readers))
    for label in between:
        einsum = point.cascade.by_label[label]
        size = point.words(label)
        if label in results:
            if choice.location.get(label, "tile") == "buffer":
                memory.add(label, "write", spilled * size)
                buffer.add(label, "write", size)
            else:
                memory.add(label, "write", size)
        elif point.lives[label].role == "fiber":
            readers = [r for r in point.cascade.consumers(label) if r.label in between and through_buffer(point, plan, einsum, r)]
            memory.add(label, "write", spilled * size)
            memory.add(label, "read", spilled * size * len(readers))
            buffer.add(label, "write", size)
            buffer.add(label, "read", size * len(readers))
