"""A matrix product alone on an array, operands from memory, result to memory: stationarity and blocking found by search.

One of the three tensors is kept in the buffer block by block, the other two stream past it: the kept one crosses the memory once, and an
operand that lacks a blocked rank once for every block. Which one, how large its blocks are and what stays in the PEs is whatever gives the
least latency, then the least traffic at the memory, then at the buffer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, isqrt, prod
from typing import Literal, get_args

from attnsim.cascade.einsum import Einsum
from attnsim.errors import InfeasibleError, Issue
from attnsim.evaluate.spatial.cycles import einsum_cycles
from attnsim.evaluate.spatial.point import SpatialPoint
from attnsim.evaluate.spatial.traffic import Words, moving_seconds
from attnsim.machine.spatial import Array
from attnsim.schedule.spatial import Product, Space
from attnsim.spec.mapping import Stationary
from attnsim.units import format_quantity

Kept = Literal["first", "second", "result"]


@dataclass(frozen=True, slots=True)
class Blocking:
    """How a matrix product runs. kept: the tensor blocked in the buffer; block: its rows and columns; loads: of the two operands."""

    array: str
    stationary: str
    space: Space
    cycles: float
    kept: Kept
    block: tuple[int, int]
    loads: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.stationary}, {self.kept} kept in blocks of {self.block[0]} x {self.block[1]}"


def _spaces(product: Product, array: Array, given: Space | None) -> Iterator[tuple[str, Space]]:
    if given is not None:
        yield "given space", given
        return
    for stationary in get_args(Stationary):
        yield f"{stationary} stationary", product.roles(stationary)[0][: len(array.shape)]


@dataclass(frozen=True, slots=True)
class _Shape:
    """rows x reduced times reduced x columns."""

    rows: int
    columns: int
    reduced: int


def gemm_blocking(point: SpatialPoint, einsum: Einsum, product: Product, arrays: list[Array], given: Space | None = None) -> Blocking:
    """The best way to run a product on one of `arrays`. `given`: what the schedule unrolls; left out, every stationarity is tried.

    Raises:
        InfeasibleError: the buffer does not hold one tile of each tensor.
    """
    shape = _Shape(*(prod(point.sizes[rank] for rank in ranks) for ranks in (product.rows, product.columns, product.reduced)))
    found: list[tuple[tuple[float, ...], Blocking]] = []
    for array in arrays:
        for stationary, space in _spaces(product, array, given):
            cycles = einsum_cycles(point, einsum, array, space)
            for kept, block, loads in _blocks(point, shape, array):
                blocking = Blocking(array.name, stationary, space, cycles, kept, block, loads)
                memory, buffer = gemm_words(point, product, blocking, array)
                latency = max(cycles / point.machine.clock_hz, *moving_seconds(point, memory, buffer))
                found.append(((latency, memory.total(), buffer.total()), blocking))
    if not found:
        tile = format_quantity(_staging(arrays[0], shape) * point.word, "B")
        have = format_quantity(point.capacity_words * point.word, "B")
        raise InfeasibleError(
            Issue(
                f"{einsum.label} needs {tile} of buffer for one tile of each of its tensors; schedule {point.schedule.name} may use {have}"
            )
        )
    return min(found, key=lambda entry: entry[0])[1]


def _staging(array: Array, shape: _Shape) -> int:
    """Words of the tiles in flight: two of every tensor."""
    long, wide = array.shape[0], array.shape[-1]
    return 2 * (
        min(long, shape.rows) * min(wide, shape.reduced)
        + min(long, shape.columns) * min(wide, shape.reduced)
        + min(long, shape.rows) * min(wide, shape.columns)
    )


def _blocks(point: SpatialPoint, shape: _Shape, array: Array) -> Iterator[tuple[Kept, tuple[int, int], tuple[int, int]]]:
    """(tensor kept, block, loads of the first and second operand) for what the buffer holds."""
    free = int(point.capacity_words) - _staging(array, shape)
    unit = array.shape[-1]
    if free < 0:
        return
    if (rows := _blocked(shape.rows, free // shape.reduced, unit)) > 0:
        yield "first", (rows, shape.reduced), (1, ceil(shape.rows / rows))
    if (columns := _blocked(shape.columns, free // shape.reduced, unit)) > 0:
        yield "second", (shape.reduced, columns), (ceil(shape.columns / columns), 1)
    side = isqrt(free)
    for rows in dict.fromkeys((_blocked(shape.rows, free // unit, unit), _blocked(shape.rows, side, unit))):
        if rows > 0 and (columns := _blocked(shape.columns, free // rows, unit)) > 0:
            yield "result", (rows, columns), (ceil(shape.columns / columns), ceil(shape.rows / rows))


def _blocked(size: int, most: int, unit: int) -> int:
    """The largest block of a rank: all of it, or a multiple of the array's length; 0 where not even that fits."""
    return size if size <= most else most // unit * unit


def gemm_words(point: SpatialPoint, product: Product, blocking: Blocking, array: Array) -> tuple[Words, Words]:
    """(words at the memory, words at the buffer) of one head."""
    memory, buffer = Words(), Words()
    length = {rank: array.shape[dimension] for dimension, group in enumerate(blocking.space) for rank in group}
    pieces = {
        ranks: ceil(prod(point.sizes[rank] for rank in ranks) / length[ranks[0]]) if ranks and ranks[0] in length else 1
        for ranks in (product.rows, product.columns, product.reduced)
    }
    for name, loads, missing in (
        (product.first, blocking.loads[0], product.columns),
        (product.second, blocking.loads[1], product.rows),
    ):
        size = point.words(name)
        memory.add(name, "read", size * loads)
        buffer.add(name, "write", size * loads)
        buffer.add(name, "read", size * pieces[missing])
    size = point.words(product.result)
    memory.add(product.result, "write", size)
    sums = pieces[product.reduced]
    if sums > 1:  # partial sums meet in the buffer
        buffer.add(product.result, "write", size * sums)
        buffer.add(product.result, "read", size * sums)
    return memory, buffer
