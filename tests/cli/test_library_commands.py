from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from attnsim.spec.library import KINDS, entries
from attnsim.spec.schema import schema_text

# --- list


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "model"])
def test_list_names_every_entry_of_a_kind(kind: Any, call: Any) -> None:
    done = call("list", kind)
    header, *rows = done.out.splitlines()
    assert done.code == 0 and header.split() == ["name", "aliases", "title", "origin"]
    assert [row.split()[0] for row in rows] == [entry.name for entry in entries(kind)] and rows


def test_list_names_the_price_profiles(call: Any) -> None:
    header, *rows = call("list", "prices").out.splitlines()
    assert header.split() == ["name", "aliases", "title", "origin"]
    assert [row.split()[0] for row in rows] == ["stepfun-2025", "lamina-2025", "megascale-rel", "deepseek-2025", "list-2026-09"]
    assert "(2025-07, USD/h)" in rows[0] and "(2025-04, relative)" in rows[2]


def test_list_without_a_kind_lists_all_and_says_which_is_which(call: Any) -> None:
    data = json.loads(call("list", "--format", "json").out)
    assert data["schema"] == 1
    assert {entry["kind"] for entry in data["entries"]} >= {"arch", "workload", "cascade", "schedule"}
    (h100,) = (entry for entry in data["entries"] if entry["name"] == "h100_sxm")
    assert "h100" in h100["aliases"] and Path(h100["path"]).is_file()
    rows = list(csv.DictReader(io.StringIO(call("list", "--format", "csv").out)))
    assert len(rows) == len(data["entries"]) and {row["name"] for row in rows} == {entry["name"] for entry in data["entries"]}


def test_a_folder_of_the_user_comes_first_and_is_named(call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.yaml").write_text("kind: kernel\nname: mine\ntitle: my own\n")
    monkeypatch.setenv("ATTNSIM_PATH", str(tmp_path))
    (row,) = (line for line in call("list", "workload").out.splitlines() if line.startswith("mine"))
    assert str(tmp_path) in row and "my own" in row


# --- show


@pytest.mark.parametrize(
    ("name", "kind"),
    [("h100-sxm", "arch"), ("H100", "arch"), ("attention_3pass", "cascade"), ("fa2", "schedule"), ("llama3_8b_prefill", "workload")],
)
def test_show_finds_a_name_of_any_kind_and_names_the_file(name: str, kind: str, call: Any) -> None:
    done = call("show", name)
    first, _, rest = done.out.partition("\n")
    assert done.code == 0 and first.startswith(f"# {kind} {name}: ") and Path(first.rpartition(": ")[2]).is_file()
    assert isinstance(yaml.safe_load(rest), dict)


@pytest.mark.parametrize("kind", ["arch", "cascade", "schedule", "workload"])
def test_what_show_prints_is_a_spec_that_check_accepts(kind: Any, call: Any, tmp_path: Path) -> None:
    for entry in entries(kind):
        path = tmp_path / f"{entry.name}.yaml"
        path.write_text(call("show", entry.name, "--kind", kind).out)
        done = call("check", str(path))
        assert done.code == 0, (entry.name, done.err)


def test_show_applies_extends(call: Any, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("extends: h100_sxm\nname: mine\n")
    data = yaml.safe_load(call("show", str(path)).out)
    assert data["name"] == "mine" and "extends" not in data and data["processors"]["count"] == 132


def test_show_as_json(call: Any) -> None:
    data = json.loads(call("show", "h100_sxm", "--format", "json").out)
    assert data["kind"] == "arch" and data["data"]["name"] == "h100_sxm"


def test_an_unknown_name_exits_3_with_a_suggestion(call: Any) -> None:
    done = call("show", "h100_smx")
    assert done.code == 3 and done.out == "" and "did you mean 'h100_sxm'?" in done.err


def test_a_name_of_two_kinds_asks_which(call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "h100_sxm.yaml").write_text("attnsim: 1\nkind: kernel\nname: h100_sxm\n")
    monkeypatch.setenv("ATTNSIM_PATH", str(tmp_path))
    done = call("show", "h100_sxm")
    assert done.code == 2 and "an arch and a workload; add --kind arch" in done.err
    assert call("show", "h100_sxm", "--kind", "arch").code == 0


# --- check


def test_check_accepts_everything_that_ships(call: Any) -> None:
    files = [str(entry.path) for kind in ("arch", "cascade", "schedule", "workload", "prices") for entry in entries(kind)]  # type: ignore[arg-type]
    done = call("check", *files)
    assert done.code == 0, done.err
    assert len(done.out.splitlines()) == len(files) and all(": ok, " in line for line in done.out.splitlines())


def write(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def test_check_reports_all_errors_of_all_files(call: Any, tmp_path: Path) -> None:
    one = write(tmp_path, "one.yaml", "attnsim: 1\nkind: kernel\nname: x\ncascade: attention-1pass\nsizes: {B: 0}\ndtype: bf17\n")
    two = write(
        tmp_path,
        "two.yaml",
        "attnsim: 1\nkind: cascade\nname: y\nranks: {K: k}\nbatch: []\npositions: []\ninputs: {A: [K]}\nbody: ['Z = A[k] * Q[k]']\n",
    )
    good = str(next(entry.path for entry in entries("cascade")))
    done = call("check", one, good, two)
    lines = done.err.splitlines()
    assert done.code == 3 and done.out.splitlines() == [line for line in done.out.splitlines() if line.startswith(good)] != []
    assert sum(line.startswith(f"{one}:") for line in lines) == 2 and sum(line.startswith(f"{two}:") for line in lines) == 1
    assert "1 of 3 files fine" in lines


WORKLOAD = "attnsim: 1\nkind: kernel\nname: x\ncascade: attention-1pass\nsizes: {B: 1, H: 8, G: 8, P: 8, M: 8, E: 64, F: 64}\ndtype: bf16\n"
SCHEDULE = "attnsim: 1\nkind: schedule\nname: x\ncascade: attention-1pass\nloops: [{ranks: [P, B, H], parallel: cta}]\n"


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        (WORKLOAD.replace("attention-1pass", "attention-9pass"), "4:1: cascade", "attention-9pass"),
        (WORKLOAD.replace("G: 8", "G: 3"), "5:", "divide"),
        (WORKLOAD.replace(", F: 64", ""), "5:1: sizes", "F"),
        (WORKLOAD + "schedule: flash-attention-22\n", "7:1: schedule", "did you mean"),
        (WORKLOAD + "baseline: niave\n", "7:1: baseline", "niave"),
        (SCHEDULE.replace("attention-1pass", "attention-1pas"), "4:1: cascade", "did you mean 'attention-1pass'"),
        (SCHEDULE.replace("[P, B, H]", "[P, B, HH]"), "5:", "no rank 'HH'"),
        (SCHEDULE + "tiles: [{P: 128, MM: 64}]\n", "6:", "no rank 'MM'"),
        ("attnsim: 1\nname: x\n", "1:1: kind", "missing"),
        ("attnsim: 1\nkind: kernal\n", "2:1: kind", "did you mean 'kernel'?"),
        ("extends: nothing-like-it\n", "1:1: extends", "unknown name"),
        ("attnsim: 1\nkind: prices\nname: x\nprofiles: {}\n", "4:1: profiles", "at least 1"),
    ],
)
def test_check_finds_what_a_file_names_wrongly(text: str, place: str, says: str, call: Any, tmp_path: Path) -> None:
    path = write(tmp_path, "x.yaml", text)
    done = call("check", path)
    errors = [line for line in done.err.splitlines() if line.startswith(f"{path}:")]
    assert done.code == 3 and len(errors) == 1 and done.out == ""
    assert errors[0].startswith(f"{path}:{place}") and says in errors[0]


def test_check_of_a_missing_file_names_it(call: Any, tmp_path: Path) -> None:
    done = call("check", str(tmp_path / "none.yaml"))
    assert done.code == 3 and "none.yaml" in done.err


# --- schema


@pytest.mark.parametrize("kind", ["arch", "workload", "cascade", "schedule", "prices"])
def test_schema_prints_what_the_models_generate(kind: str, call: Any) -> None:
    done = call("schema", kind)
    assert done.code == 0 and done.out == schema_text(kind)
    assert json.loads(done.out)["title"] == f"attnsim {kind}"


def test_schema_of_an_unknown_kind_is_a_usage_error(call: Any) -> None:
    assert call("schema", "machine").code == 2


def test_prices_of_a_profile(call: Any) -> None:
    title, header, *rows = call("prices", "stepfun-2025").out.splitlines()
    assert title.startswith("stepfun-2025: ")
    assert header.split("  ")[0] == "machine"
    assert [row.split()[0] for row in rows] == ["h800", "ascend_910b", "a800", "h20"]
    data = json.loads(call("prices", "megascale-rel", "--format", "json").out)
    assert data["unit"] == "relative"
    assert {one["machine"] for one in data["machines"]} == {"l20", "h800", "a800", "h20", "l40s"}
    assert call("prices", "megascale-rel", "--format", "csv").out.startswith("machine,price,dtype,capacity_bytes,bandwidth,flops\n")
    wrong = call("prices", "megascal")
    assert (wrong.code, wrong.out) == (3, "")
    assert "did you mean 'megascale-rel'?" in wrong.err
