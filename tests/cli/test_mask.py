from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

import attnsim
from attnsim.cli.mask import read_tiles
from attnsim.errors import UsageError

SMALL = ("--set", "sizes.P=512", "--set", "sizes.M=512")
GNA = ("--set", "mask={kind: neighborhood, shape: [16, 32], window: [6, 8], stride: 2}")


@pytest.mark.parametrize(
    ("text", "axes", "tiles"),
    [
        ("128/64", 1, (128, 64)),
        ("128x64", 1, (128, 64)),
        ("64", 1, (64, 64)),
        ("64", 2, (64, 64)),
        ("8x8", 2, ((8, 8), (8, 8))),
        ("4x8x8/2x8x8", 3, ((4, 8, 8), (2, 8, 8))),
        ("16/8", 2, (16, 8)),
    ],
)
def test_tiles_are_read_as_written(text: str, axes: int, tiles: object) -> None:
    assert read_tiles(text, axes) == tiles


@pytest.mark.parametrize("text", ["", "64/", "/64", "64/x", "0/4", "4x/4", "-1", "1.5", "64/64/64", "a"])
def test_other_tiles_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--tile takes QUERY/KEY, such as 128/64 or 4x8x8/2x8x8"):
        read_tiles(text, 1)


def test_tiles_on_a_machine_are_those_that_run_counts(call: Any) -> None:
    done = call("mask", "llama3-8b-prefill", "h100_sxm", *SMALL, "--format", "json")
    assert done.code == 0 and done.err == ""
    data = json.loads(done.out)
    (mask,), run = data["masks"], attnsim.run("llama3-8b-prefill", "h100_sxm", sets=SMALL[1::2]).results[0].to_dict()
    assert data["schedule"] == run["schedule"] == "flash-attention-3"
    assert mask["tile_pairs"]["partial"] == run["mask"]["tile_pairs_partial"] > 0
    assert mask["tile_pairs"]["full"] == run["mask"]["tile_pairs_dense"] > 0
    assert mask["attended_pairs"] == run["mask"]["attended_pairs"]


def test_boxes_on_a_machine_are_those_that_run_counts(call: Any) -> None:
    asked = ("llama3-8b-prefill", "h100_sxm", *SMALL, *GNA, "--schedule", "natten-hopper")
    (mask,) = json.loads(call("mask", *asked, "--format", "json").out)["masks"]
    counted = json.loads(call("run", *asked, "--format", "json").out)["results"][0]["mask"]
    assert (mask["q_tile"], mask["k_tile"]) == ("16x8", "16x8")
    assert mask["tile_pairs"]["partial"] == counted["tile_pairs_partial"] > 0
    assert mask["tile_pairs"]["full"] + mask["tile_pairs"]["partial"] == counted["tile_pairs_kernel"]


def test_packed_heads_and_set_of_the_schedule(call: Any) -> None:
    out = call("mask", "llama3-8b-decode", "h100_sxm", "--set", "sizes.M=1024").out
    assert "4 query heads packed into the rows of a tile" in out and "work efficiency 25.0 %" in out
    asked = ("mask", "llama3-8b-prefill", "a100_sxm_80gb", *SMALL, "--schedule", "flash-attention-2", "--set", "schedule.tiles.0.M=32")
    done = call(*asked, "--set", "schedule.tiles.0.when=null")
    assert done.code == 0 and "key tiles of 32 tokens" in done.out


def test_without_a_machine_tiles_hold_64_tokens_and_it_says_so(call: Any) -> None:
    done = call("mask", "llama3-8b-prefill", *SMALL)
    assert done.err == "no ARCH and no --tile: tiles of 64 tokens\n" and "query tiles of 64, key tiles of 64" in done.out
    done = call("mask", "llama3-8b-prefill", *SMALL, *GNA)
    assert done.err == "no ARCH and no --tile: tiles of 8x8 tokens\n" and "key tiles of 8x8 tokens (boxes)" in done.out


def test_a_named_tile_comes_before_the_schedule(call: Any) -> None:
    out = call("mask", "llama3-8b-prefill", "h100_sxm", *SMALL, "--tile", "256/128").out
    assert out.startswith("llama3-8b-prefill\n") and "query tiles of 256, key tiles of 128" in out


def test_a_picture_with_its_data_beside_it(call: Any, tmp_path: Path) -> None:
    target = tmp_path / "m.svg"
    done = call("mask", "llama3-8b-prefill", *SMALL, "--tile", "64/64", "-o", str(target), "--format", "csv")
    assert (done.code, done.out, done.err) == (0, "", f"wrote {target} and {tmp_path / 'm.csv'}\n")
    assert target.read_text().startswith("<?xml")
    rows = list(csv.DictReader((tmp_path / "m.csv").open()))
    assert len(rows) == 64 and sum(row["class"] == "full" for row in rows) == 28
    assert call("mask", "llama3-8b-prefill", *SMALL, "-o", str(tmp_path / "n.png")).code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.csv", "m.svg", "n.png"]


def test_data_goes_into_a_file_by_its_ending(call: Any, tmp_path: Path) -> None:
    assert call("mask", "llama3-8b-prefill", *SMALL, "--tile", "64", "-o", str(tmp_path / "m.json")).code == 0
    assert json.loads((tmp_path / "m.json").read_text())["masks"][0]["rows"][1] == "#+......"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("llama3-8b-prefill",), 2, "P = 8192: pictures show at most 4096 tokens an axis"),
        (("llama3-8b-prefill", "h100_sxm"), 2, "P = 8192: pictures show at most 4096 tokens an axis"),
        (("llama3-8b-prefill", *SMALL, "--tile", "64y64"), 2, "--tile takes QUERY/KEY"),
        (("llama3-8b-prefill", *SMALL, "--tile", "8x8/8x8"), 2, "tiles of a sequence have one axis"),
        (("llama3-8b-prefill", *SMALL, "--schedule", "flash-attention-2"), 2, "--schedule needs an ARCH"),
        (("llama3-8b-prefill", "h100_sxm", *SMALL, "--schedule", "naive"), 2, "naive does not cut queries and keys into tiles"),
        (("llama3-8b-prefill", "a100_sxm_80gb", *SMALL, *GNA, "--schedule", "natten-ampere"), 2, "name static ones (--tile"),
        (("llama3-8b-prefill", "a100_sxm_80gb", *SMALL, "--schedule", "flash-attention-3"), 4, "flash-attention-3"),
        (("fusemax-bert-attention", "fusemax_cloud"), 2, "machine of PE arrays"),
        (("fusemax-bert-encoder", "h100_sxm"), 2, "is a layer of several kernels"),
        (("llama3-8b-prefil",), 3, "did you mean"),
        (("llama3-8b-prefill", *SMALL, "-o", "missing/m.svg"), 2, "there is no folder"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_one_line(arguments: tuple[str, ...], code: int, says: str, call: Any) -> None:
    done = call("mask", *arguments)
    assert done.code == code and done.out == "" and len(done.err.splitlines()) == 1 and says in done.err, done.err


def test_dynamic_key_tiles_are_drawn_static_on_request(call: Any) -> None:
    done = call("mask", "llama3-8b-prefill", "a100_sxm_80gb", *SMALL, *GNA, "--schedule", "natten-ampere", "--tile", "8x8/8x16")
    assert done.code == 0 and "key tiles of 8x16 tokens (boxes)" in done.out
