"""The fastest block of many matrix products: every block of every product at once, then the winner of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from attnsim.errors import AttnsimError
from attnsim.evaluate.product import Block, Shape
from attnsim.evaluate.traffic import Traffic
from attnsim.lanes import Lanes, Number, OneByOne, apart, count_of, values_of
from attnsim.schedule.condition import Value

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


def fastest(
    blocks: Sequence[Block],
    seconds: Callable[[Block, Shape, Traffic, Mapping[str, Value]], Number],
    shape: Shape,
    traffic: Traffic,
    context: Mapping[str, Value],
) -> Block:
    """The block that takes the least time, lane by lane; the first of equal ones. seconds: of products in one block.

    Raises:
        OneByOne: blocks of which different numbers fit on a processor, and products of different rows.
    """
    if shape.loads or len({block.ctas for block in blocks}) > 1:
        raise OneByOne
    lanes = count_of(shape.rows, shape.cols, shape.depth, shape.products)
    table = [np.stack([values_of(number, lanes) for number in column]) for column in list(zip(*blocks, strict=True))[:-1]]
    taken = np.empty(len(blocks) * lanes)

    def run(pairs: Array) -> None:
        lane = pairs % lanes

        def of(number: Any) -> Any:
            return Lanes(number.values[lane]) if type(number) is Lanes else number

        block = _block([column.ravel()[pairs] for column in table], blocks[0])
        asked = replace(shape, rows=of(shape.rows), cols=of(shape.cols), depth=of(shape.depth), products=of(shape.products))
        moved = {
            level: {tensor: {direction: of(count) for direction, count in by.items()} for tensor, by in tensors.items()}
            for level, tensors in traffic.moved.items()
        }
        found = seconds(block, asked, Traffic(moved), {name: of(value) for name, value in context.items()})
        taken[pairs] = values_of(found, len(pairs))

    def refuse(_: Array, error: Exception) -> None:
        raise error

    apart(np.arange(len(taken)), run, refuse, AttnsimError)
    best = taken.reshape(len(blocks), lanes).argmin(axis=0)
    return _block([column[best, np.arange(lanes)] for column in table], blocks[0])


def _block(columns: Sequence[Array], first: Block) -> Block:
    rows, cols, depth, cluster, warps = map(_number, columns)
    return Block(rows, cols, depth, cluster, warps, first.ctas)


def _number(values: Array) -> Number:
    """One number where all lanes have it."""
    return int(values[0]) if bool((values == values[0]).all()) else Lanes(values)
