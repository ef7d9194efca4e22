"""Words moved at the memory and at the buffer, by tensor and direction, for one head."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

from attnsim.evaluate.spatial.point import SpatialPoint
from attnsim.machine.spatial import Array
from attnsim.schedule.spatial import Product, Space


@dataclass(slots=True)
class Words:
    """Words by tensor and direction ("read", "write")."""

    moved: dict[str, dict[str, float]] = field(default_factory=dict)

    def add(self, tensor: str, direction: str, words: float) -> None:
        """Count `words` more; none leaves no entry."""
        if words:
            by_direction = self.moved.setdefault(tensor, {})
            by_direction[direction] = by_direction.get(direction, 0) + words

    def total(self, direction: str | None = None) -> float:
        """All words, or those of one direction."""
        return sum(words for moved in self.moved.values() for name, words in moved.items() if direction is None or name == direction)

    def merge(self, other: Words) -> None:
        """Add another account."""
        for tensor, moved in other.moved.items():
            for direction, words in moved.items():
                self.add(tensor, direction, words)

    def scaled(self, factor: float) -> dict[str, dict[str, float]]:
        """By tensor and direction, times `factor`."""
        return {tensor: {name: words * factor for name, words in moved.items()} for tensor, moved in sorted(self.moved.items())}


def moving_seconds(point: SpatialPoint, memory: Words, buffer: Words) -> tuple[float, float]:
    """Seconds that memory and buffer take for words of one head, over all heads; 0 for a buffer whose bandwidth is no limit."""
    machine, scale = point.machine, point.heads * point.word
    near = 0.0 if machine.buffer.bandwidth is None else buffer.total() * scale / machine.buffer.bandwidth
    return memory.total() * scale / machine.dram.bandwidth, near


@dataclass(frozen=True, slots=True)
class Edge:
    """Words of a matrix product between the array and what is behind it: operands in, results out, partial sums back in."""

    first: float
    second: float
    out: float
    back: float


def edge_words(point: SpatialPoint, product: Product, array: Array, space: Space, row_blocks: int, rows: int) -> Edge:
    """Words that cross the edge of an array for one head.

    An operand is loaded once for every piece of an unrolled rank that it does not have; a result that is reduced over an unrolled rank
    leaves as partial sums, one for every piece of it, and all but the first are added to what came before. The query rank is cut into
    `row_blocks` blocks of `rows`; an operand without it is loaded again for every block.
    """
    unrolled = [(rank, array.shape[dimension]) for dimension, group in enumerate(space) for rank in _whole(point, group)]
    blocked = point.query if point.query in (*product.rows, *product.columns) else ""

    def pieces(rank: str, length: int) -> int:
        return row_blocks * -(-rows // length) if rank == blocked else point.count_tiles(rank, length)

    def repeats(ranks: tuple[str, ...]) -> int:
        times = prod(pieces(rank, length) for rank, length in unrolled if rank not in ranks)
        walked = blocked and blocked not in ranks and all(rank != blocked for rank, _ in unrolled)
        return times * (row_blocks if walked else 1)

    first, second = (*product.rows, *product.reduced), (*product.columns, *product.reduced)
    result = (*product.rows, *product.columns)
    sums = prod(pieces(rank, length) for rank, length in unrolled if rank in product.reduced)
    return Edge(
        first=point.words(product.first) * repeats(first),
        second=point.words(product.second) * repeats(second),
        out=_words(point, result) * sums,
        back=_words(point, result) * (sums - 1),
    )


def _words(point: SpatialPoint, ranks: tuple[str, ...]) -> int:
    return prod(point.sizes[rank] for rank in ranks)


def _whole(point: SpatialPoint, group: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(point.cascade.whole(rank) for rank in group))
