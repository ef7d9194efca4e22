"""The cascade as a graph in layers, its passes with their reasons, and what stays live."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from attnsim.cascade.cascade import Cascade
from attnsim.cascade.footprint import footprint_words, live_footprints
from attnsim.report.html.layered import layers_of, place
from attnsim.report.html.parts import Part, column, table
from attnsim.report.html.steps import Step

ROLES = {"fiber": "whole fiber, read again in a later pass", "state": "kept", "stream": "streams through"}


@lru_cache(maxsize=64)
def _graph(cascade: Cascade) -> Part:
    """Nodes and edges with their places: x in node widths, y in layers."""
    labels = [einsum.label for einsum in cascade.einsums]
    names = [*cascade.inputs, *labels]
    plain = dict.fromkeys((ref.name, einsum.label) for einsum in cascade.einsums for ref in einsum.operands if ref.mode != "previous")
    carried = dict.fromkeys((ref.name, einsum.label) for einsum in cascade.einsums for ref in einsum.operands if ref.mode == "previous")
    layer = layers_of(names, list(plain), list(cascade.inputs))
    backward = [(start, end) for start, end in carried if layer[start] > layer[end]]
    forward = [(start, end) for start, end in carried if layer[start] < layer[end] and (start, end) not in plain]
    drawn = dict.fromkeys([*plain, *forward, *((end, start) for start, end in backward if (end, start) not in plain)])
    placed = place(layer, list(drawn))
    passes = {label: number for rank in cascade.positions[1:] for label, number in cascade.passes(rank).pass_of.items()}
    nodes = [
        {
            "id": name,
            "x": placed.nodes[name][0],
            "y": placed.nodes[name][1],
            "kind": _kind(cascade, name),
            "ranks": [rank for rank in cascade.tensor_ranks(name) if rank not in {*cascade.batch, *cascade.groups}],
            "equation": cascade.by_label[name].text if name in cascade.by_label else "",
            "output": name in cascade.outputs,
            "pass": passes.get(name),
            "carried": [start for start, end in carried if end == name],
        }
        for name in names
    ]
    edges = [_edge(placed.edges[edge], *edge, carried=False) for edge in plain]
    edges += [_edge(placed.edges[edge], *edge, carried=True) for edge in forward]
    for start, end in backward:
        if (end, start) in placed.edges and (end, start) not in plain:
            edges.append(_edge(placed.edges[end, start][::-1], start, end, carried=True))
    return {"nodes": nodes, "edges": edges, "width": placed.width, "layers": placed.layers}


def _kind(cascade: Cascade, name: str) -> str:
    if name in cascade.inputs:
        return "input"
    return "matmul" if cascade.by_label[name].is_matmul else "vector"


def _edge(points: Any, start: str, end: str, carried: bool) -> Part:
    return {"from": start, "to": end, "carried": carried, "points": [[x, y] for x, y in points]}


def cascade_view(step: Step) -> Part:
    """The graph, its passes, and what a query row keeps live; sizes as the step has them."""
    cascade = step.cascade
    graph = _graph(cascade)
    counts = cascade.counts(cascade.resolve_sizes(step.sizes, step.tiles))
    return {
        "name": cascade.name,
        "title": cascade.spec.title,
        "source": cascade.source,
        "init": list(cascade.spec.init),
        "equations": [einsum.text for einsum in cascade.einsums],
        "ranks": {rank: meaning for rank, meaning in cascade.ranks.items()},
        **graph,
        "operations": {label: {kind: float(number) for kind, number in kinds.items()} for label, kinds in counts.items()},
        "passes": [
            {"rank": rank, "count": plan.count, "reasons": [str(boundary) for boundary in plan.boundaries]}
            for rank in cascade.pass_counts()
            for plan in [cascade.passes(rank)]
        ],
        "footprint": _footprint(step),
    }


def _footprint(step: Step) -> Part:
    cascade = step.cascade
    sizes = cascade.resolve_sizes(step.sizes, step.tiles)
    rows: list[tuple[Any, ...]] = []
    for name, live in live_footprints(cascade).items():
        notes = [ROLES[live.role], *(["shared by all query rows"] if live.shared else [])]
        notes += [f"in the place of {live.replaces}"] if live.replaces else []
        rows.append((name, live.formula, int(live.words(sizes)), ", ".join(notes)))
    rows.append(("kept", "fibers and state", int(footprint_words(cascade, sizes)), "at least, in every mapping"))
    columns = [column("tensor"), column("words a query row"), column("", "count"), column("")]
    return table("Live footprint", columns, rows, "of one batch element and head")
