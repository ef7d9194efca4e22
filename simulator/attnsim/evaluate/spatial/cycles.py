"""Cycles of Einsums on PE arrays, from the operation counts and what is unrolled in space.

An operation at every point of an iteration space costs its PE cycles times the product of the ranks: a rank unrolled over a dimension of
length d counts ceil(size / d), a rank walked in time its size. Ragged tiles are padded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, prod

from attnsim.cascade.einsum import Einsum
from attnsim.evaluate.spatial.point import SpatialPoint
from attnsim.evaluate.spatial.visits import visits
from attnsim.machine.spatial import Array
from attnsim.schedule.spatial import Space


def einsum_cycles(point: SpatialPoint, einsum: Einsum, array: Array, space: Space | None) -> float:
    """Cycles that an array is busy with an Einsum, over all heads and tiles. `space` None: the points are dealt out to all PEs."""
    costs: dict[tuple[str, ...], dict[str, float]] = {}
    for term in einsum.terms:
        costs.setdefault(term.ranks, {})[term.kind] = term.per_element * array.cycles[term.kind]
    total: float = 0
    for ranks, kinds in costs.items():
        total += _steps(point, ranks, array, space) * issued(kinds, point.schedule.spec.chained)
    return total


def issued(kinds: Mapping[str, float], chains: Sequence[Sequence[str]]) -> float:
    """Cost of operations on the same points: their sum, but for those of one chain the longest."""
    rest = dict(kinds)
    total: float = 0
    for chain in chains:
        members = [rest.pop(kind) for kind in chain if kind in rest]
        total += max(members, default=0)
    return total + sum(rest.values())


def _steps(point: SpatialPoint, ranks: tuple[str, ...], array: Array, space: Space | None) -> float:
    """Times that the PEs of an array execute one operation of this iteration space; copies of the array share heads and tiles."""
    batch = {*point.cascade.batch, *point.cascade.groups}
    own = [rank for rank in ranks if rank not in batch]
    pieces = prod(point.sizes[rank] for rank in ranks if rank in batch)
    if space is None:
        return ceil(pieces * prod(point.resolved[rank] for rank in own) / array.pes)
    merged = set(point.cascade.merged(ranks))
    left = list(own)
    for dimension, group in enumerate(space):
        members = [rank for rank in group if rank in left or rank in merged]
        if not members:
            continue
        length = array.shape[dimension]
        if len(members) == 1:
            pieces *= _reach(point, members[0], left, length)
        else:
            pieces *= ceil(prod(point.sizes[rank] for rank in members) / length)
        for rank in members:
            for part in (rank, *point.cascade.partition.get(rank, ())):
                if part in left:
                    left.remove(part)
    steps = ceil(pieces / array.copies) * prod(point.resolved[rank] for rank in left)
    return steps * visited_share(point, ranks)


def _reach(point: SpatialPoint, rank: str, left: list[str], length: int) -> int:
    """ceil(size / length) of a rank, tile by tile; an inner part counts within its tile, its outer part stands apart in `left`."""
    whole = point.cascade.whole(rank)
    if whole != rank:
        return ceil(point.resolved[rank] / length)
    return point.count_tiles(rank, length)


def visited_share(point: SpatialPoint, ranks: tuple[str, ...]) -> float:
    """Share of the (query tile, key tile) pairs gone through, for an iteration space with both ranks; 1 for any other."""
    if not point.key or not {point.query, point.key} <= {point.cascade.whole(rank) for rank in ranks}:
        return 1
    return visits(point).share


def pe_cycles(array: Array, counts: Mapping[str, int], chains: Sequence[Sequence[str]]) -> float:
    """PE-cycles of useful work of an Einsum: every operation of the attended points at its cost, nothing padded."""
    return issued({kind: count * array.cycles[kind] for kind, count in counts.items()}, chains)


def drain_cycles(einsum: Einsum, array: Array, space: Space | None) -> float:
    """Cycles until an array delivers what it reduces over a rank unrolled in space: the length reduced over, one operation a hop."""
    if space is None:
        return 0.0
    reduced = dict(einsum.reductions)
    depth = 0.0
    for dimension, group in enumerate(space):
        for rank in group:
            if rank in reduced:
                operation = (
                    "max" if reduced[rank] == "max" else "min" if reduced[rank] == "min" else "mac" if "mac" in array.cycles else "add"
                )
                depth = max(depth, array.shape[dimension] * array.cycles.get(operation, 1))
    return depth
