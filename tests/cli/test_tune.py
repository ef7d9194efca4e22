from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import attnsim

ASKED = ("tune", "llama3-8b-prefill", "a100_sxm_80gb", "--schedule", "flash-attention-2")
TILES = (*ASKED, "--vary", "tiles", "--set", "sizes.P=2048", "--set", "sizes.M=2048")
SETS = ["sizes.P=2048", "sizes.M=2048"]


def test_text_is_the_repr_of_the_answer(call: Any) -> None:
    done = call(*TILES, "--top", "3")
    assert done.code == 0 and done.err == ""
    found = attnsim.tune("llama3-8b-prefill", "a100_sxm_80gb", "flash-attention-2", vary=["tiles"], top=3, sets=SETS)
    assert done.out == repr(found) + "\n"
    assert "  refused   88 by registers, 8 by warps to hide latency\n" in done.out
    assert (
        "P 128 x M 64, warps 4: 236 us" in done.out
        and " (own) " in done.out
        and "x the lower bound" in done.out
        and "faster than the runner-up" in done.out
    )


def test_json_and_csv_hold_the_same(call: Any) -> None:
    data = json.loads(call(*TILES, "--top", "4", "--format", "json").out)
    assert list(data) == sorted(data) and data["candidates"] == data["evaluated"] + sum(data["refused"].values())
    assert data["refused_examples"]["registers"].startswith("tile P ")
    rows = list(csv.DictReader(io.StringIO(call(*TILES, "--top", "4", "--format", "csv").out)))
    assert [float(row["latency_s"]) for row in rows] == [one["latency_s"] for one in data["results"]]
    assert [int(row["choice.tile.M"]) for row in rows] == [one["choice"]["tile"]["M"] for one in data["results"]]
    assert {row["arch"] for row in rows} == {"a100_sxm_80gb"}


def test_the_written_schedule_gives_the_same_latency(call: Any, tmp_path: Path) -> None:
    target = tmp_path / "new.yaml"
    asked = (*ASKED, "--set", "sizes.P=2048", "--set", "sizes.M=2048")
    done = call(*asked, "--format", "json", "-o", str(target))
    assert done.code == 0 and done.err == f"wrote {target}\n"
    best = json.loads(done.out)["results"][0]
    written = yaml.safe_load(target.read_text())
    assert written == json.loads(done.out)["best_schedule"] and written["extends"] == "flash-attention-2"
    ran = call("run", "llama3-8b-prefill", "a100_sxm_80gb", "--schedule", str(target), *asked[5:], "--format", "json")
    assert json.loads(ran.out)["results"][0]["latency_s"] == best["latency_s"]
    assert call("check", str(target)).code == 0


def test_json_goes_to_its_file(call: Any, tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    assert call(*TILES, "-o", str(target)).out == ""
    assert json.loads(target.read_text())["schedule"] == "flash-attention-2"


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (("--tile", "P=256,M=256"), 4, "limited by registers: tile P 256 x M 256 in 8 warps needs 447 registers per thread"),
        (("--tile", "P:256"), 2, "cannot read 'P:256'; write for example P=128,M=64 or P=128,M=64,warps=4"),
        (("--tile", "P=0"), 2, "cannot read 'P=0'"),
        (("--vary", "speed"), 2, "tune varies tiles, ctas, order, stages, split, not 'speed'"),
        (("--limit", "0"), 2, "0"),
        (("--set", "dtype=fp8"), 4, "a100_sxm_80gb cannot compute in fp8"),
        (("-o", "nowhere/new.yaml"), 2, "there is no folder"),
    ],
)
def test_mistakes_are_told_in_a_line(options: tuple[str, ...], code: int, says: str, call: Any) -> None:
    done = call(*TILES, *options)
    assert done.code == code and done.out == "" and says in done.err
    assert len([line for line in done.err.splitlines() if line and not line.startswith(("Usage:", "Try "))]) == 1


def test_optuna_missing_is_exit_5(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    done = call(*ASKED, "--limit", "5")
    assert done.code == 5 and "pip install 'attnsim[search]'" in done.err
