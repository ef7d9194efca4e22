from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

import attnsim

HEAD = "point,sizes.B,arch,bound,cost.usd_per_mtok,latency_s,error\n"
ROWS = (
    "0,1,h100_sxm,hbm,4.0,0.001,\n1,2,h100_sxm,hbm,2.0,0.002,\n2,4,h100_sxm,tensor,3.0,0.003,\n3,1,b200,hbm,5.0,0.0005,\n"
    '4,2,b200,hbm,2.5,0.001,\n5,4,b200,tensor,,0.002,\n6,8,b200,,,,"it takes 99 GB, b200 has 80 GB"\n'
)


@pytest.fixture
def sweep(tmp_path: Path) -> str:
    path = tmp_path / "sweep.csv"
    path.write_text(HEAD + ROWS)
    return str(path)


def test_text_is_the_repr_of_the_answer(call: Any, sweep: str) -> None:
    done = call("pareto", sweep, "--minimize", "latency_s,usd_per_mtok")
    assert done.code == 0 and done.err == ""
    assert done.out == repr(attnsim.pareto(sweep, ["latency_s", "usd_per_mtok"])) + "\n"
    assert done.out.splitlines() == [
        "front: 3 of 5 points; lowest latency, lowest USD/Mtok",
        "",
        "latency  USD/Mtok  sizes.B  arch      bound",
        " 500 us         5        1  b200      hbm",
        "1.00 ms       2.5        2  b200      hbm",
        "2.00 ms         2        2  h100_sxm  hbm",
        "left out: 1 point: cannot be had (column error)",
        "left out: 1 point: no value of an objective",
    ]


def test_csv_has_the_columns_of_the_sweep_and_the_rest_goes_to_stderr(call: Any, sweep: str) -> None:
    done = call("pareto", sweep, "--minimize", "latency_s", "--minimize", "usd_per_mtok", "--format", "csv", "--quiet")
    assert [row["point"] for row in csv.DictReader(io.StringIO(done.out))] == ["3", "4", "1"]
    assert done.out.splitlines()[0] == "point,latency_s,cost.usd_per_mtok,sizes.B,arch,bound"
    assert done.err.splitlines() == ["left out: 1 point: cannot be had (column error)", "left out: 1 point: no value of an objective"]


def test_json_is_the_dict_of_the_answer(call: Any, sweep: str, tmp_path: Path) -> None:
    target = tmp_path / "front.json"
    options = ("--minimize", "latency_s", "--maximize", "sizes.B", "--where", "arch == b200", "--by", "bound")
    assert call("pareto", sweep, *options, "-o", str(target)).code == 0
    data = json.loads(target.read_text())
    found = attnsim.pareto(sweep, minimize="latency_s", maximize="sizes.B", where="arch == b200", by="bound")
    assert data == json.loads(json.dumps(found.to_dict()))
    assert data["left_out"] == {"error": 1, "where": 3, "no_value": 0} and data["same"] == {"arch": "b200"}
    assert [(row["bound"], row["point"], row["on_overall_front"]) for row in data["results"]] == [
        ("hbm", 3, True), ("hbm", 4, True), ("tensor", 5, True),
    ]  # fmt: skip


def test_top_lists_less_and_counts_all(call: Any, sweep: str) -> None:
    done = call("pareto", sweep, "--minimize", "latency_s,usd_per_mtok", "--top", "1")
    assert "front: 3 of 5 points" in done.out and "and 2 more\n" in done.out and "500 us" in done.out and "1.00 ms" not in done.out


@pytest.mark.parametrize(("more", "beside"), [((), "front.csv"), (("--format", "json"), "front.json"), (("--format", "text"), "front.txt")])
def test_a_figure_has_its_rows_beside_it(call: Any, sweep: str, tmp_path: Path, more: tuple[str, ...], beside: str) -> None:
    target = tmp_path / "front.svg"
    done = call("pareto", sweep, "--minimize", "latency_s,usd_per_mtok", "--by", "arch", "-o", str(target), *more)
    assert done.code == 0 and done.out == "" and done.err.splitlines()[-1] == f"wrote {target} and {tmp_path / beside}"
    assert target.read_text().startswith("<?xml") and (tmp_path / beside).read_text()


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        ((), 2, "nothing to minimize or maximize; name columns, for example --minimize latency_s,energy_j"),
        (("--minimize", "latency"), 2, "has no column 'latency'; did you mean 'latency_s'?"),
        (("--minimize", "bound"), 2, "column 'bound' holds text"),
        (("--minimize", "latency_s", "--where", "sizes.B >"), 2, "--where: 'sizes.B >' ends too early"),
        (("--minimize", "latency_s", "--where", "sizes.B > 99"), 4, "no point of sweep.csv is left: 1 cannot be had, 6 pass no filter"),
        (("--minimize", "latency_s", "-o", "missing/front.svg"), 2, "there is no folder"),
        (("--minimize", "latency_s", "--top", "0"), 2, "0"),
    ],
)
def test_a_mistake_is_one_line(call: Any, sweep: str, options: tuple[str, ...], code: int, says: str) -> None:
    done = call("pareto", sweep, *options)
    assert done.code == code and done.out == "" and says in done.err
    assert len(done.err.splitlines()) == 1 or "Usage" in done.err


def test_a_sweep_that_is_not_there(call: Any) -> None:
    done = call("pareto", "nowhere.parquet", "--minimize", "latency_s")
    assert done.code == 2 and done.err == "attnsim: there is no file 'nowhere.parquet'\n"


def test_a_figure_of_one_objective_writes_nothing(call: Any, sweep: str, tmp_path: Path) -> None:
    done = call("pareto", sweep, "--minimize", "latency_s", "-o", str(tmp_path / "f.svg"))
    assert done.code == 2 and "a figure needs two objectives or more" in done.err and not (tmp_path / "f.svg").exists()
