"""A phase whose Einsums are fused tile by tile: rows of queries stay in the buffer while keys stream by.

What must stay follows from the pass analysis: state and inputs of the rows, and whole fibers of tensors that a later pass reads again
(arXiv 2406.10491, sections III-B and V). The buffer decides how many row tiles are kept at a time; where not even one fits with its
fibers, the share of the fibers that does not fit is spilled to memory and loaded again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, prod

from attnsim.cascade.einsum import Einsum
from attnsim.errors import InfeasibleError, Issue
from attnsim.evaluate.spatial.point import SpatialPoint
from attnsim.evaluate.spatial.traffic import Words, edge_words
from attnsim.evaluate.spatial.visits import visits
from attnsim.schedule.spatial import product_of
from attnsim.schedule.stages import StagePlan


@dataclass(frozen=True, slots=True)
class RowBlock:
    """Rows kept at a time and what the buffer holds for them, in words.

    row_tile: rows of one tile; tiles: row tiles kept at a time (P1); blocks: how often the keys stream by (P2); per_row: words of state,
    inputs and staged tensors of a row; fiber: words of whole key fibers of a row; fixed: tiles without rows; spilled: share of the fibers
    that does not fit; swapped: with the keys outside, share of the rows' state and inputs that crosses the memory at every key tile.
    """

    row_tile: int
    tiles: int
    blocks: int
    per_row: int
    fiber: int
    fixed: int
    spilled: float
    swapped: float = 0.0

    @property
    def held_words(self) -> float:
        """Words in the buffer."""
        return self.fixed + self.row_tile * self.tiles * (self.per_row * (1 - self.swapped) + self.fiber * (1 - self.spilled))


def external(point: SpatialPoint, labels: Iterable[str]) -> tuple[list[str], list[str]]:
    """Tensors that a group of Einsums reads from outside, and those it computes that are outputs or read elsewhere."""
    inside = set(labels)
    einsums = [point.cascade.by_label[label] for label in inside]
    inputs = dict.fromkeys(ref.name for einsum in point.cascade.einsums if einsum in einsums for ref in einsum.operands)
    results = [
        label
        for label in point.cascade.by_label
        if label in inside
        and (label in point.cascade.outputs or any(reader.label not in inside for reader in point.cascade.consumers(label)))
    ]
    return [name for name in inputs if name not in inside], results


def row_block(point: SpatialPoint, labels: tuple[str, ...], reserved: float = 0.0) -> RowBlock:
    """How many rows a phase keeps in the buffer. `reserved`: words that other tensors of the phase already take.

    Raises:
        InfeasibleError: not even one row tile fits.
    """
    cascade, inside = point.cascade, set(labels)
    inputs, _ = external(point, labels)
    held = [name for name in (*inputs, *(label for label in cascade.by_label if label in inside))]
    per_row = fiber = fixed = 0
    for name in held:
        live = point.lives[name]
        if live.replaces in held and name not in point.schedule.spec.staged:
            continue
        has_rows = point.query in point.own_ranks(name) or not point.query
        has_keys = point.key in point.own_ranks(name)
        if not has_rows:
            fixed += _tile_words(point, name)
        elif live.role == "fiber":
            fiber += _row_words(point, name, whole=True)
        elif live.role == "state" and (not has_keys or name in inside):
            per_row += _row_words(point, name, whole=False)
        if name in point.schedule.spec.staged and live.role == "stream":
            per_row += _row_words(point, name, whole=False)
    row_tile = point.tiles.get(point.query, 1)
    rows = point.sizes.get(point.query, 1)
    row_tiles = ceil(rows / row_tile)
    capacity = point.capacity_words - reserved
    if capacity < fixed + row_tile * per_row:
        need = f"{ceil((reserved + fixed + row_tile * per_row) * point.word)} B"  # whole bytes: one word short is short
        have = f"{int(point.capacity_words * point.word)} B"
        message = (
            f"one tile of schedule {point.schedule.name} needs {need} of buffer, state and inputs of its rows included; it may use {have}"
        )
        raise InfeasibleError(Issue(f"{message} of {point.machine.name}"))
    if point.schedule.outer(cascade) == "keys":
        share = max(0.0, 1 - (capacity - fixed) / (rows * (per_row + fiber)))
        return RowBlock(row_tile, row_tiles, 1, per_row, fiber, fixed, share, share)
    most = int((capacity - fixed) // (row_tile * (per_row + fiber))) if per_row + fiber else row_tiles
    if not point.schedule.fits_buffer(point.query):
        most = min(most, 1)
    spilled = 0.0
    if most < 1 and fiber:
        spilled = 1 - (capacity - fixed - row_tile * per_row) / (row_tile * fiber)
    tiles = largest_divisor(row_tiles, max(1, most))
    return RowBlock(row_tile, tiles, row_tiles // tiles, per_row, fiber, fixed, spilled)


def largest_divisor(number: int, most: int) -> int:
    """The largest divisor of `number` that is at most `most`: all blocks are of one size, as in the artifact of arXiv 2406.10491."""
    if most >= number:
        return number
    best = 1
    candidate = 1
    while candidate * candidate <= number:
        if number % candidate == 0:
            for divisor in (candidate, number // candidate):
                if best < divisor <= most:
                    best = divisor
        candidate += 1
    return best


def _row_words(point: SpatialPoint, name: str, whole: bool) -> int:
    """Words of a tensor for one row: its ranks without the query rank, keys whole or one tile of them."""
    sizes = (
        point.tiles.get(rank, point.resolved[rank]) if rank == point.key and not whole else point.resolved[rank]
        for rank in point.own_ranks(name)
        if rank != point.query
    )
    return prod(sizes)


def _tile_words(point: SpatialPoint, name: str) -> int:
    return prod(point.tiles.get(rank, point.sizes[point.cascade.whole(rank)]) for rank in point.own_ranks(name))


def streamed_words(point: SpatialPoint, plan: StagePlan) -> tuple[Words, Words]:
    """(words at the memory, words at the buffer) of Einsums through which whole tensors stream, for one head: every operand from outside
    once for each Einsum that reads it, every result that is read outside once.
    """
    memory, buffer = Words(), Words()
    inputs, results = external(point, plan.labels)
    for name in inputs:
        readers = [einsum for einsum in point.cascade.consumers(name) if einsum.label in plan.slots]
        size = point.words(name)
        memory.add(name, "read", size * len(readers))
        buffer.add(name, "write", size * len(readers))
        buffer.add(name, "read", size * len(readers))
    for name in results:
        memory.add(name, "write", point.words(name))
    return memory, buffer


def fused_words(point: SpatialPoint, plan: StagePlan, block: RowBlock) -> tuple[Words, Words]:
    """(words at the memory, words at the buffer) of a phase, for one head."""
    memory, buffer = Words(), Words()
    inputs, results = external(point, plan.labels)
    for name in inputs:
        _input(point, plan, block, name, memory, buffer)
    for name in results:
        memory.add(name, "write", point.words(name))
    for label in plan.labels:
        _intermediate(point, plan, block, point.cascade.by_label[label], results, memory, buffer)
    return memory, buffer


def _input(point: SpatialPoint, plan: StagePlan, block: RowBlock, name: str, memory: Words, buffer: Words) -> None:
    size, ranks = point.words(name), point.own_ranks(name)
    readers = [einsum for einsum in point.cascade.consumers(name) if einsum.label in plan.slots]
    passes = len({point.pass_of[einsum.label] for einsum in readers})
    loads: float = size
    if point.query not in ranks:
        partitioned = point.query in point.tiles
        times = size * passes * (block.blocks if partitioned else 1)
        loads = times * _seen_keys(point, block) if point.key in ranks and partitioned else times
    elif point.key in ranks and point.lives[name].role == "fiber":
        loads = size * (1 + block.spilled * (len(readers) - 1))
    elif point.key not in ranks:
        loads = size * (1 + block.swapped * _again(point))
    memory.add(name, "read", loads)
    buffer.add(name, "write", loads)
    for einsum in readers:
        buffer.add(name, "read", _array_reads(point, plan, einsum, name))


def _seen_keys(point: SpatialPoint, block: RowBlock) -> float:
    """Share of the keys that a row block needs, averaged over the blocks; 1 without a mask."""
    seen = visits(point, block.row_tile * block.tiles).keys
    return seen / (point.sizes[point.key] * block.blocks)


def _array_reads(point: SpatialPoint, plan: StagePlan, einsum: Einsum, name: str) -> float:
    """Words of an operand that an array takes in."""
    array = point.array(plan.slots[einsum.label].array)
    space = point.schedule.space(point.cascade, einsum, array.name, len(array.shape))
    product = product_of(point.cascade, einsum)
    if product is None or space is None:
        return point.words(name) * _visited(point, name)
    edge = edge_words(point, product, array, space, 1, point.sizes.get(point.query, 1))
    return (edge.first if name == product.first else edge.second) * _visited(point, name)


def _visited(point: SpatialPoint, name: str) -> float:
    """Of what crosses to an array without a mask, the share that does under one: points, rows or keys of the tiles gone through."""
    gone, P, M = visits(point), point.sizes[point.query], point.sizes[point.key]
    whole = {point.cascade.whole(rank) for rank in point.own_ranks(name)}
    if gone.pairs == gone.dense:
        return 1
    if {point.query, point.key} <= whole:
        return gone.points / (P * M) if point.key in point.own_ranks(name) else _turns(point) / _key_tiles(point)
    if point.query in whole:
        return _turns(point) / _key_tiles(point)
    return gone.keys / (M * -(-P // point.tiles[point.query])) if point.key in whole else 1


def _turns(point: SpatialPoint) -> float:
    """Key tiles that a row goes through, on average."""
    return visits(point).rows / point.sizes[point.query]


def _again(point: SpatialPoint) -> float:
    """Key tiles beyond its first that a row goes through, on average; a row without a key goes through none."""
    return visits(point).again / point.sizes[point.query]


def through_buffer(point: SpatialPoint, plan: StagePlan, einsum: Einsum, reader: Einsum) -> bool:
    """Whether a reader takes an intermediate from the buffer: it runs in a later pass, or on another array."""
    same_pass = point.pass_of[einsum.label] == point.pass_of[reader.label]
    return not (same_pass and plan.slots[einsum.label].array == plan.slots[reader.label].array)


def _intermediate(
    point: SpatialPoint, plan: StagePlan, block: RowBlock, einsum: Einsum, results: list[str], memory: Words, buffer: Words
) -> None:
    name, size = einsum.label, float(point.words(einsum.label))
    readers = [reader for reader in point.cascade.consumers(name) if reader.label in plan.slots]
    live = point.lives[name]
    turns = _turns(point)
    if live.role == "fiber" or name in point.schedule.spec.staged:
        through = [reader for reader in readers if through_buffer(point, plan, einsum, reader)]
        size *= _visited(point, name)
        buffer.add(name, "write", size)
        buffer.add(name, "read", size * len(through))
        if live.role == "fiber":
            memory.add(name, "write", block.spilled * size)
            memory.add(name, "read", block.spilled * size * len(through))
    elif live.role == "state" and point.query in point.tiles and point.query in point.own_ranks(name):
        _state(point, einsum, readers, size, turns, name in results, buffer)
        if block.swapped and _outlives_a_tile(point, einsum):
            memory.add(name, "write", block.swapped * size * turns)
            memory.add(name, "read", block.swapped * size * turns)


def _key_tiles(point: SpatialPoint) -> int:
    return ceil(point.sizes[point.key] / point.tiles.get(point.key, point.sizes[point.key])) if point.key else 1


def _outlives_a_tile(point: SpatialPoint, einsum: Einsum) -> bool:
    """Whether a value of a row is carried from key tile to key tile: iterative, or summed over all of them."""
    outer = point.cascade.partition.get(point.key, (point.key,))[0]
    return bool(einsum.output.iterative) or outer in {rank for rank, _ in einsum.reductions}


def _state(point: SpatialPoint, einsum: Einsum, readers: list[Einsum], size: float, turns: float, output: bool, buffer: Words) -> None:
    """Values of a row that outlive a tile: swapped in and out as the row tiles of a block take turns."""
    name = einsum.label
    if einsum.output.iterative:
        buffer.add(name, "write", size * turns)
        if any(ref.mode == "previous" and ref.name == name for reader in readers for ref in reader.operands):
            buffer.add(name, "read", size * turns)
        for reader in readers:
            if any(ref.mode == "final" and ref.name == name for ref in reader.operands):
                buffer.add(name, "read", size)
        return
    if not _outlives_a_tile(point, einsum):
        return  # made once, from what is at hand
    outer = {*point.cascade.partition.get(point.key, (point.key,))[:1]}
    buffer.add(name, "write", size * turns)
    buffer.add(name, "read", size * _again(point))
    for reader in readers:
        buffer.add(name, "read", size * (turns if outer & set(reader.ranks) else 1))
    if output:
        buffer.add(name, "read", size)
