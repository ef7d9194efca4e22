"""Places for the nodes of a small directed graph in layers (K. Sugiyama, S. Tagawa, M. Toda, "Methods for visual understanding of
hierarchical system structures", IEEE Transactions on Systems, Man, and Cybernetics 11(2), 1981): edges that pass layers get a bend in
each, the order within a layer is swept towards few crossings, and places are relaxed towards those of neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

SWEEPS = 12
BEND = 0.45
"""Room of a bend beside that of a node, which is 1."""

Edge = tuple[str, str]
Place = tuple[float, int]


@dataclass(frozen=True, slots=True)
class Placed:
    """Where nodes stand, and the bends of every edge from its first to its last node: (x, layer), x from 0 to `width`."""

    nodes: Mapping[str, Place]
    edges: Mapping[Edge, tuple[Place, ...]]
    width: float
    layers: int


def layers_of(nodes: Sequence[str], edges: Sequence[Edge], sources: Sequence[str]) -> dict[str, int]:
    """Layer of every node: below all it follows; sources directly above the first that follows them. `nodes` come before what follows."""
    layer = dict.fromkeys(nodes, 0)
    for node in nodes:
        before = [layer[start] + 1 for start, end in edges if end == node]
        layer[node] = max(before, default=0)
    for node in sources:
        after = [layer[end] for start, end in edges if start == node]
        layer[node] = max(0, min(after, default=1) - 1)
    return layer


def place(layer: Mapping[str, int], edges: Sequence[Edge]) -> Placed:
    """Places of nodes whose layers are known. Edges point downwards, each pair once."""
    count = max(layer.values(), default=0) + 1
    rows: list[list[str]] = [[] for _ in range(count)]
    for node, number in layer.items():
        rows[number].append(node)
    chains: dict[Edge, list[str]] = {}
    for start, end in edges:
        bends = [f"{start}>{end}>{number}" for number in range(layer[start] + 1, layer[end])]
        for bend, number in zip(bends, range(layer[start] + 1, layer[end]), strict=True):
            rows[number].append(bend)
        chains[start, end] = [start, *bends, end]
    links = [pair for chain in chains.values() for pair in pairwise(chain)]
    above = _neighbours([(end, start) for start, end in links])
    below = _neighbours(links)
    rows = _ordered(rows, above, below, links)
    x = _places(rows, layer, above, below)
    left = min(x.values(), default=0.0)
    width = max(x.values(), default=0.0) - left
    at = {name: (x[name] - left, number) for number, row in enumerate(rows) for name in row}
    return Placed(
        {name: at[name] for name in layer}, {edge: tuple(at[name] for name in chain) for edge, chain in chains.items()}, width, count
    )


def _neighbours(links: Sequence[Edge]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one, other in links:
        found.setdefault(one, []).append(other)
    return found


def _ordered(
    rows: list[list[str]], above: Mapping[str, list[str]], below: Mapping[str, list[str]], links: Sequence[Edge]
) -> list[list[str]]:
    """The order with the fewest crossings that sweeps down and up find."""
    best, fewest = [list(row) for row in rows], _crossings(rows, links)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        near = above if down else below
        numbers = range(1, len(rows)) if down else range(len(rows) - 2, -1, -1)
        for number in numbers:
            beside = {name: index for index, name in enumerate(rows[number - 1 if down else number + 1])}
            own = {name: float(index) for index, name in enumerate(rows[number])}
            for name in rows[number]:
                places = [beside[other] for other in near.get(name, ()) if other in beside]
                if places:
                    own[name] = sum(places) / len(places)
            rows[number].sort(key=own.__getitem__)
        crossings = _crossings(rows, links)
        if crossings < fewest:
            best, fewest = [list(row) for row in rows], crossings
    return best


def _crossings(rows: Sequence[Sequence[str]], links: Sequence[Edge]) -> int:
    at = {name: (number, index) for number, row in enumerate(rows) for index, name in enumerate(row)}
    by_row: dict[int, list[tuple[int, int]]] = {}
    for start, end in links:
        by_row.setdefault(at[start][0], []).append((at[start][1], at[end][1]))
    return sum((a - c) * (b - d) < 0 for pairs in by_row.values() for i, (a, b) in enumerate(pairs) for c, d in pairs[i + 1 :])


def _places(
    rows: Sequence[Sequence[str]], nodes: Mapping[str, int], above: Mapping[str, list[str]], below: Mapping[str, list[str]]
) -> dict[str, float]:
    """Relaxed towards the mean of the neighbours, in order and with room between."""
    room = {name: 1.0 if name in nodes else BEND for row in rows for name in row}
    x: dict[str, float] = {}
    for row in rows:
        right = 0.0
        for name in row:
            x[name] = right + room[name] / 2
            right += room[name]
        for name in row:
            x[name] -= right / 2
    for sweep in range(4 * SWEEPS):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            wanted = []
            for name in row:
                near = [*above.get(name, ()), *below.get(name, ())]
                wanted.append(sum(x[other] for other in near) / len(near) if near else x[name])
            gaps = [(room[one] + room[other]) / 2 for one, other in pairwise(row)]
            forth, back = list(wanted), list(wanted)
            for i, gap in enumerate(gaps):
                forth[i + 1] = max(forth[i + 1], forth[i] + gap)
            for i in range(len(gaps) - 1, -1, -1):
                back[i] = min(back[i], back[i + 1] - gaps[i])
            for name, one, other in zip(row, forth, back, strict=True):
                x[name] = (one + other) / 2
    return x
