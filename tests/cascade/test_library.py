"""Every shipped cascade loads, says where it comes from, and has a graph."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import pytest

from attnsim.cascade.cascade import load_cascade
from attnsim.spec.library import entries

FILES = sorted((Path(__file__).parents[2] / "workloads" / "cascades").glob("*.yaml"))


def test_the_promised_cascades_ship() -> None:
    attention = "attention-unstable attention-3pass attention-3pass-deferred attention-2pass attention-1pass attention-backward"
    others = "mla-absorbed mla-expanded product-2pass product-deferred product-iterative"
    assert set(f"{attention} {others}".split()) <= {entry.name for entry in entries("cascade")} == {path.stem for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_shipped_cascade(path: Path) -> None:
    cascade = load_cascade(path)
    assert cascade.name == path.stem and "arXiv" in cascade.source and cascade.spec.title
    assert all(cascade.ranks.values())
    graph = cascade.graph()
    assert nx.is_directed_acyclic_graph(graph)
    assert {name for name, degree in graph.in_degree() if degree == 0} <= set(cascade.inputs)
    ends = {name for name, degree in graph.out_degree() if degree == 0}
    assert set(cascade.outputs) <= ends | set(cascade.spec.outputs)  # a tensor named as an output may be read too
    order = {einsum.label: i for i, einsum in enumerate(cascade.einsums)}
    assert all(order[a] < order[b] for a, b in graph.edges if a in order)
    assert repr(cascade).count("\n") == len(cascade.einsums)


def test_the_graph_of_the_one_pass_cascade() -> None:
    cascade = load_cascade("attention-1pass")
    graph = cascade.graph()
    assert set(graph.predecessors("SLN")) == {"QK", "RM"} and graph.edges["RM", "SLN"]["access"] == "RM[m1+1,p]"
    assert ("RM", "RM") in graph.graph["carried"] and ("RD", "SPD") in graph.graph["carried"]
    assert nx.has_path(graph, "V", "AV") and graph.nodes["K"] == {"kind": "input", "ranks": ("B", "G", "M", "E")}
    assert cascade.tensors == ("QK", "LM", "RM", "SLN", "SLD", "SLNV", "PRM", "SPD", "RD", "SPNV", "RNV")
    assert [einsum.label for einsum in cascade.consumers("SLN")] == ["SLD", "SLNV"]
    assert cascade.producer("K") is None and cascade.producer("SLN") is cascade.by_label["SLN"]


def test_unquoted_reductions_are_read_as_equations() -> None:
    """YAML splits `… :: max(m0)` at the colon; the file still reads like the paper."""
    text = next(path for path in FILES if path.stem == "attention-1pass").read_text(encoding="utf-8")
    assert "- LM[m1,p]      = QK[m1,m0,p] :: max(m0)" in text
    assert load_cascade("attention-1pass").by_label["LM"].text == "LM[m1,p] = QK[m1,m0,p] :: max(m0)"
