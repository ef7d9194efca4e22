"""What a page is given: every kind of answer as plain data, and pictures that show what the engine counts."""

from __future__ import annotations

import ast
import json
import shlex
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import attnsim
from attnsim.cli.main import main
from attnsim.errors import AttnsimError
from attnsim.evaluate.estimate import Asked, Report
from attnsim.mask.banded import Banded
from attnsim.mask.neighborhood import Neighborhood
from attnsim.mask.tilemap import tile_map
from attnsim.report.export import to_json
from attnsim.report.html import maskview
from attnsim.report.html.asked import command, python_call
from attnsim.report.html.layered import layers_of, place
from attnsim.report.html.views import answer_view
from attnsim.spec.library import entries

MACHINES = ("h100_sxm", "h800", "fusemax_cloud", *(entry.name for entry in entries("arch")))


def answered(workload: Any) -> Report:
    """A workload on the first machine that can run it."""
    for machine in MACHINES:
        try:
            return attnsim.run(workload, machine)
        except AttnsimError:
            continue
    pytest.fail(f"no machine runs {workload}")


@pytest.mark.parametrize("name", [entry.name for entry in entries("workload")])
def test_every_shipped_workload_has_a_view(name: str) -> None:
    report = answered(name)
    view = answer_view(report)
    assert json.loads(to_json(view)) == json.loads(json.dumps(view)), "no NaN, nothing that JSON lacks"
    assert [one["name"] for one in view["results"]] == [result.name for result in report.results]
    for one, result in zip(view["results"], report.results, strict=True):
        assert one["latency_s"] == result.latency_s and one["facts"] and one["time"]["items"]
        assert {item["name"]: item["value"] for item in one["time"]["items"]} == dict(result.time_by_resource_s)
        assert [level["total"] for level in one["bytes"]] == list(result.bytes.values())
        assert ("graph" in one) == (result.kind == "kernel")
        bound = [item["name"] for item in one["time"]["items"] if item["bound"]]
        assert bound == [result.bound] or result.bound not in result.time_by_resource_s
        for table in [*one["tables"], *([one["graph"]["footprint"]] if "graph" in one else [])]:
            assert all(len(row) == len(table["columns"]) for row in table["rows"]), table["title"]
    assert view["accuracy"] and view["assumptions"] and view["command"] == f"attnsim run {name} {report.arch_name}"
    assert view["cost"]["charts"] or view["cost"]["missing"]
    for chart in view["cost"]["charts"]:
        assert all(dict(map(tuple, line["points"])).get(chart["own"]) for line in chart["lines"]), "the point asked about is on the curve"
    assert bool(view["roofline"]["charts"]) != bool(view["roofline"]["refused"])


def test_parts_that_cost_time_can_be_left_out(reports: list[Report]) -> None:
    view = answer_view(reports[0], curves=False, accuracy=False, pictures=False, roofline=False)
    assert view["cost"] is view["accuracy"] is view["roofline"] is None and "graph" not in view["results"][0]


def test_a_report_that_does_not_know_its_question_has_neither_command_nor_curves(reports: list[Report]) -> None:
    known = reports[0]
    view = answer_view(
        Report(known.workload_name, known.arch_name, known.machine, known.results, known.assumptions, known.digests), roofline=False
    )
    assert view["command"] is view["python"] is view["cost"] is None and "graph" not in view["results"][0]


def test_curves_are_answers_of_run(reports: list[Report]) -> None:
    charts = {chart["title"]: chart for chart in answer_view(reports[0])["cost"]["charts"]}
    for context, latency in charts["Latency against context"]["lines"][0]["points"]:
        asked = attnsim.run("llama3-8b-prefill", "h100_sxm", sizes={"P": context, "M": context})
        assert asked.results[0].latency_s == latency
    model = {chart["title"]: chart for chart in answer_view(attnsim.run("step3-afd", "h800"))["cost"]["charts"]}
    for batch, usd in model["USD a million tokens against batch"]["lines"][0]["points"]:
        assert attnsim.run("step3-afd", "h800", batch=batch).results[0].cost["usd_per_mtok"] == usd


# --- the question in words -------------------------------------------------------------------------------------------------------------

ASKED = [
    Asked("llama3-8b-prefill", "h100_sxm"),
    Asked("llama3-8b-prefill", "a100_sxm_80gb", "flash-attention-2", ("sizes.P=4096", "sizes.M=4096"), {}),
    Asked("llama3-8b-decode", "h100_sxm", None, ("conditions.cache=warm",), {"sizes": {"B": 3, "M": 1000}, "dtype": "fp8"}),
    Asked(
        "llama3-8b-prefill", "h100_sxm",
        overrides={"mask": {"kind": "window", "left": 512, "right": 0}, "conditions": {"power_limit": False}},
    ),
    Asked("hunyuanvideo-gna", "b200", None, (), {"mask": {"stride": [1, 1, 1]}}),
    Asked("llama3-70b-serving", "h100_sxm", None, ("arch.power.tdp=500 W",), {"context": 2048, "slo": {"tpot": "40 ms"}}),
]  # fmt: skip


@pytest.mark.parametrize("asked", ASKED, ids=range(len(ASKED)))
def test_command_and_call_ask_the_same(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    report = attnsim.run(asked.workload, asked.arch, asked.schedule, sets=asked.sets, **asked.overrides)
    assert report.call == asked
    words = shlex.split(command(asked) or "")
    assert words[0] == "attnsim" and main([*words[1:], "--format", "json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["results"] == json.loads(json.dumps(report.to_dict()["results"]))
    call = ast.parse(python_call(asked), mode="eval").body
    assert isinstance(call, ast.Call) and ast.unparse(call.func) == "attnsim.run"
    options = {keyword.arg or "": ast.literal_eval(keyword.value) for keyword in call.keywords}
    again = attnsim.run(*map(ast.literal_eval, call.args), **options)
    assert (again.workload_sha256, again.arch_sha256, again.results) == (report.workload_sha256, report.arch_sha256, report.results)


def test_no_command_line_holds_a_dict() -> None:
    asked = Asked({"name": "mine"}, "h100_sxm", overrides={"sizes.B": 2})
    assert command(asked) is None
    assert python_call(asked) == "attnsim.run({'name': 'mine'}, 'h100_sxm', **{'sizes.B': 2})"


# --- pictures --------------------------------------------------------------------------------------------------------------------------

sizes = st.integers(1, 40)


def decoded(part: dict[str, Any]) -> Any:
    rows = [np.repeat(run[::2], run[1::2]) for run in part["runs"]]
    return np.vstack([rows[number] for number, times in part["rows"] for _ in range(times)])


@settings(max_examples=60)
@given(
    st.none() | st.integers(0, 30), st.none() | st.integers(0, 30), st.integers(0, 9), sizes, sizes, st.integers(1, 9), st.integers(1, 9),
    st.integers(1, 3),
)  # fmt: skip
def test_bands_are_drawn_as_they_are_counted(
    left: int | None, right: int | None, sinks: int, p: int, m: int, q_tile: int, k_tile: int, pack: int
) -> None:
    mask = Banded.of(left, right, sinks)
    cut = maskview._Cut(mask, p, m, q_tile, k_tile, pack, False)
    part = maskview._panel(cut)
    assert np.array_equal(decoded(part), tile_map(mask, p, m, q_tile, k_tile, pack).classes)
    assert part["tiles"] == list(decoded(part).shape) and sum(part["counts"].values()) == decoded(part).size


axes = st.tuples(st.integers(2, 7), st.integers(2, 7), st.integers(1, 3), st.booleans(), st.integers(1, 4), st.integers(1, 4))


@settings(max_examples=60)
@given(st.lists(axes, min_size=2, max_size=3))
def test_boxes_are_drawn_as_they_are_counted(sides: list[tuple[int, int, int, bool, int, int]]) -> None:
    shape, windows = [side[0] for side in sides], [min(side[0], side[1]) for side in sides]
    mask = Neighborhood.of(
        shape, windows, [min(side[2], window) for side, window in zip(sides, windows, strict=True)], [1] * len(sides), [s[3] for s in sides]
    )
    tokens = int(np.prod(shape))
    q_tile, k_tile = tuple(side[4] for side in sides), tuple(side[5] for side in sides)
    part = maskview._panel(maskview._Cut(mask, tokens, tokens, q_tile, k_tile, 1, False))
    assert np.array_equal(decoded(part), tile_map(mask, tokens, tokens, q_tile, k_tile).classes)


def test_a_large_mask_stays_small(reports: list[Report]) -> None:
    (view,) = answer_view(reports[3], curves=False)["results"]
    (panel,) = view["picture"]["panels"]
    assert panel["tiles"] == [480, 900] and len(json.dumps(panel)) < 60_000
    assert panel["counts"]["full"] + panel["counts"]["partial"] == reports[3].results[0].mask["tile_pairs_kernel"]


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=24))
def test_layers_keep_room_and_order(pairs: list[tuple[int, int]]) -> None:
    nodes = [f"n{number}" for number in range(12)]
    edges = list(dict.fromkeys((nodes[min(a, b)], nodes[max(a, b)]) for a, b in pairs if a != b))
    sources = [node for node in nodes if all(end != node for _, end in edges)]
    layer = layers_of(nodes, edges, sources)
    placed = place(layer, edges)
    assert all(layer[start] < layer[end] for start, end in edges)
    for number in range(placed.layers):
        row = sorted(x for x, own in placed.nodes.values() if own == number)
        assert all(right - left >= 1 - 1e-9 for left, right in zip(row, row[1:], strict=False)), "boxes do not overlap"
    for (start, end), points in placed.edges.items():
        assert points[0] == placed.nodes[start] and points[-1] == placed.nodes[end]
        assert [at for _, at in points] == list(range(layer[start], layer[end] + 1)), "a bend in every layer"
    assert all(0 <= x <= placed.width + 1e-9 for x, _ in placed.nodes.values())


def test_the_graph_of_a_cascade_has_every_read(reports: list[Report]) -> None:
    graph = answer_view(reports[0], curves=False)["results"][0]["graph"]
    by_name = {node["id"]: node for node in graph["nodes"]}
    assert {(edge["from"], edge["to"]) for edge in graph["edges"]} >= {
        ("QK", "LM"),
        ("RM", "PRM"),
        ("V", "SLNV"),
        ("RNV", "AV"),
        ("RD", "AV"),
    }
    assert by_name["RM"]["carried"] == ["RM"] and by_name["SPD"]["carried"] == ["RD"]
    assert [node["id"] for node in graph["nodes"] if node["kind"] == "matmul"] == ["QK", "SLNV"]
    assert [plan["count"] for plan in graph["passes"]] == [1, 1] and by_name["AV"]["output"]
