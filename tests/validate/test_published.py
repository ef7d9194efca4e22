"""Published tables: every shipped one is given back, differences are found, and mistakes in a table file are named at their place."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import attnsim
from attnsim.errors import SpecError
from attnsim.spec.published import Configuration
from attnsim.validate import run_cases
from attnsim.validate.cases import find, folders, table_folders
from attnsim.validate.published import TablesScore, pick, score_tables

TABLE = """\
attnsim: 1
kind: published
name: small
title: A small table
source: a paper, Table 1
dtype: fp16
conditions: {count_register_files: false}
configurations:
  fast: {arch: fusemax_cloud, schedule: fusemax, cascade: attention-1pass}
  slow: {arch: fusemax_cloud, schedule: fusemax-architecture, cascade: attention-1pass}
tables:
  - name: times
    file: times.csv
    points: 2
    configuration: config
    configurations: {FAST: fast, SLOW: slow}
    sizes: {B: 1, H: 2, P: length, M: length, E: 64, F: 64}
    checks:
      - {column: seconds, result: latency_s, within: 1.0e-9, fitted: [{config: FAST}]}
      - {column: limit, result: bound, words: {array: [pe1d], waiting: [drain]}}
grid:
  file: models.csv
  sizes: {B: 1, H: heads, E: 64, F: 64}
  ranks: [P, M]
  lengths: [1024, 2048]
means:
  - {name: speedup, result: latency_s, this: [fast], other: [slow], ratio: other/this, published: 3.2, within: 0.1}
"""


def seconds(schedule: str, length: int = 1024) -> float:
    sizes = {"B": 1, "H": 2, "P": length, "M": length, "E": 64, "F": 64}
    workload = {"attnsim": 1, "kind": "kernel", "name": "x", "cascade": "attention-1pass", "dtype": "fp16", "sizes": sizes}
    return float(attnsim.run(workload, "fusemax_cloud", schedule).results[0].latency_s)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "table.yaml").write_text(TABLE)
    fast, slow = seconds("fusemax"), seconds("fusemax-architecture")
    (tmp_path / "times.csv").write_text(f"# a comment\nconfig,length,seconds,limit\nFAST,1024,{fast!r},array\nSLOW,1024,{slow!r},waiting\n")
    (tmp_path / "models.csv").write_text("heads\n2\n4\n")
    return tmp_path


Edit = Callable[[str, str, str], None]


@pytest.fixture
def edit(folder: Path) -> Edit:
    """Replace text in one of the files."""

    def replace(file: str, old: str, new: str) -> None:
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new))

    return replace


def test_a_table_that_agrees_is_ok(folder: Path) -> None:
    score = score_tables(folder)
    assert score.ok
    assert [(check.configuration, check.check.column, len(check.values)) for check in score.checks] == [
        ("fast", "seconds", 1), ("fast", "limit", 1), ("slow", "seconds", 1), ("slow", "limit", 1),
    ]  # fmt: skip
    by_column = {(check.configuration, check.check.column): check for check in score.checks}
    assert by_column["fast", "seconds"].worst(fitted=True) == 0.0 and by_column["fast", "seconds"].worst(fitted=False) is None
    (mean,) = score.means
    ratios = [seconds("fusemax-architecture", length) / seconds("fusemax", length) for length in (1024, 2048)]
    assert mean.n == 4 and mean.arithmetic == pytest.approx(sum(ratios) / 2)
    assert mean.geometric == pytest.approx(math.sqrt(ratios[0] * ratios[1]))


def test_a_column_of_ratios(folder: Path, edit: Edit) -> None:
    """`over`: the same row asked of two configurations, one result divided by the other."""
    ratio = seconds("fusemax") / seconds("fusemax-architecture")
    edit("table.yaml", "result: latency_s, within: 1.0e-9, fitted: [{config: FAST}]", "result: latency_s, over: slow, within: 1.0e-9")
    edit("times.csv", f"{seconds('fusemax')!r}", f"{ratio!r}")
    edit("times.csv", f"{seconds('fusemax-architecture')!r}", "1.0")
    assert score_tables(folder).ok
    edit("times.csv", f"{ratio!r}", f"{2 * ratio!r}")
    (bad,) = [check for check in score_tables(folder).checks if not check.ok]
    assert bad.values[0].error == pytest.approx(-0.5)


def test_a_number_that_differs_fails_with_its_row(folder: Path, edit: Edit) -> None:
    fast = seconds("fusemax")
    edit("times.csv", f"{fast!r}", f"{fast * 1.01!r}")
    score = score_tables(folder)
    assert not score.ok
    (bad,) = [check for check in score.checks if not check.ok]
    (value,) = bad.differing
    assert value.record.line == 3 and value.error == pytest.approx(1 / 1.01 - 1)
    text = run_cases([str(folder)]).text()
    assert "FAILS" in text and "line 3" in text and "-0.99 %" in text


def test_a_word_that_differs_fails(folder: Path, edit: Edit) -> None:
    edit("times.csv", ",waiting", ",array")
    score = score_tables(folder)
    assert [check.check.column for check in score.checks if not check.ok] == ["limit"]
    report = run_cases([str(folder)])
    assert not report.ok
    data = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    (bad,) = [check for check in data["tables"][0]["checks"] if not check["ok"]]
    assert bad["worst"] is None and bad["differing"] == 1 and bad["rows"][0]["predicted"] == "drain"


def test_an_average_that_differs_fails(folder: Path, edit: Edit) -> None:
    edit("table.yaml", "published: 3.2", "published: 4.2")
    score = score_tables(folder)
    assert not score.ok and all(check.ok for check in score.checks) and not score.means[0].ok


def test_a_row_the_engine_refuses_fails_with_the_reason(folder: Path, edit: Edit) -> None:
    edit("table.yaml", "slow: {arch: fusemax_cloud", "slow: {arch: flat_cloud")
    edit("table.yaml", TABLE[TABLE.index("grid:") :], "")
    score = score_tables(folder)
    failed = [check for check in score.checks if check.failures]
    assert {check.configuration for check in failed} == {"slow"} and not score.ok
    assert "needs max, which array pe2d of flat_cloud does not execute" in failed[0].failures[0][1]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("points: 2", "points: 3", r"table.yaml:14:5: tables.0.points: says 3 rows, but .*times.csv has 2$"),
        ("SLOW: slow", "SLOW: slwo", r"table.yaml:16:34: tables.0.configurations.SLOW: no configuration 'slwo'; did you mean 'slow'\?$"),
        ("SLOW: slow", "SLO: slow", r"table.yaml:16:34: tables.0.configurations.SLO: no row of times.csv is called 'SLO'$"),
        ("this: [fast]", "this: [fats]", r"table.yaml:27:47: means.0.this.0: no configuration 'fats'; did you mean 'fast'\?$"),
        ("1.0e-9,", "1.0e-9, over: slwo,", r"table.yaml:19:\d+: tables.0.checks.0.over: no configuration 'slwo'; did you mean 'slow'\?$"),
        ("result: bound,", "result: bound, over: slow,", r"tables.0.checks.1.over: words have no ratio$"),
        ("result: latency_s, within", "result: latencys, within", r"the result has no 'latencys': nothing at 'latencys'$"),
        ("words: {array", "within: 0.1, words: {array", r"table.yaml:20:\d+: tables.0.checks.1.words: words are equal or not"),
        ("column: seconds", "column: secs", r"times.csv:2: column 'secs' is missing"),
    ],
)
def test_mistakes_are_named(folder: Path, edit: Edit, old: str, new: str, message: str) -> None:
    edit("table.yaml", old, new)
    with pytest.raises(SpecError) as caught:
        score = score_tables(folder)
        raise SpecError(score.checks[0].failures[0][1])  # an unknown result is told of its rows
    assert len(str(caught.value).splitlines()) == 1
    assert re.search(message, str(caught.value)), str(caught.value)


def test_pick_addresses_mappings_and_lists() -> None:
    result: dict[str, Any] = {"a": {"b": [1, {"c": 2}]}}
    assert pick(result, "a.b.1.c") == 2
    for path in ("a.x", "a.b.7", "a.b.c", "a.b.0.c"):
        with pytest.raises(SpecError, match="the result has no"):
            pick(result, path)


@pytest.fixture(scope="module")
def shipped() -> dict[str, TablesScore]:
    return {name: score_tables(folder) for name, folder in table_folders().items()}


def test_every_shipped_table_is_given_back(shipped: dict[str, TablesScore]) -> None:
    assert "fusemax" in shipped and not set(shipped) & set(folders())
    for name, score in shipped.items():
        assert score.spec.name == name and find(name) == score.folder
        assert (score.folder / "README.md").read_text().startswith("# ")
        assert score.ok, [(check.table, check.configuration, check.check.column) for check in score.checks if not check.ok]


def test_fusemax_covers_every_row_that_the_artifact_publishes(shipped: dict[str, TablesScore]) -> None:
    score = shipped["fusemax"]
    exact = {(check.configuration, check.check.column): len(check.values) for check in score.checks if check.check.within == 1e-9}
    for configuration in ("flat", "cascade", "architecture", "binding"):
        assert exact[configuration, "latency_s"] == exact[configuration, "traffic_bytes"] == exact[configuration, "util_2d"] == 12
    assert exact["unfused", "latency_s"] == 8 and exact["linear-flat", "latency_s"] == exact["linear-fusemax", "latency_s"] == 12
    choices = [check for check in score.checks if check.table == "FLAT's choices"]
    assert {len(check.values) for check in choices if check.check.column.endswith("_loc")} == {48}
    assert {mean.mean.published for mean in score.means} >= {6.7226, 10.052, 0.7875, 5.3017, 0.8335}
    assert all(mean.n == 24 for mean in score.means)


def test_deepep_needs_no_constant_of_its_own(shipped: dict[str, TablesScore]) -> None:
    """Alpha and bandwidth of h800 alone: payloads to what is printed, and the 20 latencies that the network sets within 6 %."""
    checks = [check for check in shipped["deepep"].checks if check.check.result == "latency_s"]
    held = [value for check in checks if check.check.within is not None for value in check.values]
    assert len(held) == 20 and max(abs(value.error) for value in held) < 0.06
    assert sum(abs(value.error) for value in held) / len(held) < 0.035
    assert not any(check.check.fitted for check in checks)


def test_a_collective_is_no_kernel() -> None:
    with pytest.raises(ValueError, match="leave cascade, schedule, base and workload out"):
        Configuration(arch="h800", cascade="attention-1pass", schedule="naive", collective={"kind": "all-reduce"})  # type: ignore[arg-type]
