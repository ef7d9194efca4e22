"""What is wrong in an arch file is said where it stands, all of it in one run."""

from __future__ import annotations

from pathlib import Path

import pytest

from attnsim.errors import SpecError, UsageError
from attnsim.machine import load_machine

HEAD = "attnsim: 1\nkind: gpu\nextends: h100_sxm\nname: mine\n"


def errors_of(tmp_path: Path, body: str) -> list[str]:
    path = tmp_path / "mine.yaml"
    path.write_text(HEAD + body, encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        load_machine(path)
    return [str(issue).replace(str(tmp_path) + "/", "") for issue in caught.value.issues]


def test_the_base_alone_is_fine(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(HEAD, encoding="utf-8")
    assert load_machine(path).name == "mine"


@pytest.mark.parametrize(
    ("body", "place", "words"),
    [
        ("processors: {count: 0}\n", "mine.yaml:5:14", ("at least 1",)),
        ("processors: {cuont: 4}\n", "mine.yaml:5:14", ("did you mean 'count'",)),
        ("levels: {hbm: {bandwidth: 3.35 TBs}}\n", "mine.yaml:5:16", ("levels.hbm.bandwidth", "3.35 TBs", "B/s")),
        ("levels: {hbm: {bandwidth: 3.35e12}}\n", "mine.yaml:5:16", ("no unit",)),
        ("levels: {hbm: {bandwidth: {value: 4 TB/s, source: nvds}}}\n", "mine.yaml:5:16", ("'nvds' is not listed under `sources`",)),
        ("levels: {hbm: {sustained: {value: 1.2, source: rrze}}}\n", "mine.yaml:5:", ("at most 1",)),
        ("links: {cxl: {bandwidth: {value: 64 GB/s, source: estimate}}}\n", "mine.yaml:5:15", ("needs a note",)),
        ("levels: {smem: {clock: tensr}}\n", "mine.yaml:5:17", ("unknown clock 'tensr'; did you mean 'tensor'?",)),
        ("levels: {smem: {bandwidth: 3 TB/s}}\n", "mine.yaml:5:", ("either bandwidth", "bytes_per_cycle")),
        ("units: {tensor: {paths: {wgmma: {warp_rows: 8}}}}\n", "mine.yaml:5:", ("either rows", "warp_rows")),
        ("units: {sfu: {clock: nope}}\n", "mine.yaml:5:15", ("unknown clock 'nope'", "tensor")),
        ("clocks: {tensor: {boost: 1 GHz}}\n", "mine.yaml:5:19", ("cannot be below nominal",)),
        ("peak: {bf16: {value: 1979 TFLOP/s, source: ml-eng}}\n", "mine.yaml:5:8", ("989.4", "1979", "peak_note.bf16")),
        ("peak: {fp4: {value: 1 TFLOP/s, source: ml-eng}}\n", "mine.yaml:5:8", ("no unit has a mac rate for 'fp4'",)),
        ("peak_note: {fp4: none}\n", "mine.yaml:5:13", ("a peak that is not given",)),
        ("sources: {estimate: me}\n", "mine.yaml:5:11", ("reserved word",)),
        ("power: {joule_per_op: {tensorr: {bf16: 1 pJ/OP}}}\n", "mine.yaml:5:24", ("unknown unit 'tensorr'; did you mean 'tensor'?",)),
        ("power: {tdp: 700 J}\n", "mine.yaml:5:9", ("cannot read '700 J' as W",)),
        ("power: {gemm: {bf16: {bytes_per_flop: {l4: 0.1}}}}\n", "mine.yaml:5:40", ("unknown level 'l4'",)),
        ("links: {nvlink: {bandwidth: 400 Gb}}\n", "mine.yaml:5:18", ("as B/s",)),
        ("power: {tdp: {value: 700 W, sorce: ml-eng}}\n", "mine.yaml:5:9", ("power.tdp: unknown field 'sorce'; did you mean 'source'?",)),
        ("power: {tdp: {value: 700 W, source: 7}}\n", "mine.yaml:5:9", ("power.tdp: source must be text, not 7",)),
        ("power: {tdp: {value: 700}}\n", "mine.yaml:5:9", ("power.tdp", "no unit")),
        ("links: {cxl: {source: ml-eng, bandwidth: {note: fast}}}\n", "mine.yaml:5:31", ("value is missing",)),
        ("links: {cxl: {bandwidth: 64 GB/s}}\n", "mine.yaml:5:", ("links.cxl", "no source")),
    ],
)
def test_one_mistake_one_line(tmp_path: Path, body: str, place: str, words: tuple[str, ...]) -> None:
    errors = errors_of(tmp_path, body)
    assert len(errors) == 1, errors
    assert errors[0].startswith(place), errors[0]
    for word in words:
        assert word in errors[0]


def test_all_mistakes_in_one_run(tmp_path: Path) -> None:
    shapes = errors_of(tmp_path, "processors: {count: -1}\npower: {tdp: 700}\nlevels: {hbm: {capacity: 80 Gx}}\n")
    assert len(shapes) == 3
    meanings = errors_of(tmp_path, "levels: {smem: {clock: x}}\nunits: {sfu: {clock: y}}\nlinks: {a: {bandwidth: 1 GB/s, source: z}}\n")
    assert len(meanings) == 3


def test_source_of_the_group_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(HEAD + "links: {cxl: {bandwidth: 64 GB/s, source: ml-eng}}\n", encoding="utf-8")
    assert load_machine(path).links["cxl"].bandwidth == 64e9


def test_an_explained_peak_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(HEAD + "peak: {bf16: {value: 900 TFLOP/s, source: ml-eng}}\npeak_note: {bf16: an early data sheet}\n", encoding="utf-8")
    assert load_machine(path).published_peak["bf16"] == 900e12


def test_a_what_if_need_not_repeat_the_published_peak(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(HEAD + "processors: {count: 66, source: ml-eng}\n", encoding="utf-8")
    assert load_machine(path).peak_flops("bf16") == load_machine("h100").peak_flops("bf16") / 2


def test_unknown_machine() -> None:
    with pytest.raises(SpecError, match=r"h100_sxn.*did you mean 'h100_sxm'"):
        load_machine("h100_sxn")


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("processors.count", SpecError, "KEY=VALUE"),
        ("processors.count=many", SpecError, "whole number"),
        ("levels.hbm.bandwith=1 TB/s", SpecError, "did you mean 'bandwidth'"),
        ("name.x=1", UsageError, "nothing below it"),
    ],
)
def test_bad_sets(text: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        load_machine("h100", sets=(text,))
