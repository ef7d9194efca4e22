"""Every shipped case loads, is what it says it is, and copies its numbers once."""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path

import pytest

from attnsim.spec.library import entries
from attnsim.validate.cases import COLUMNS, Case, folders, load_case
from attnsim.validate.point import Shape

NAMES = list(folders())


@pytest.fixture(scope="module")
def shipped() -> dict[str, Case]:
    return {name: load_case(folder) for name, folder in folders().items()}


def test_the_promised_figures_are_there() -> None:
    assert {
        "fa2-a100-forward", "fa2-a100-backward", "fa1-a100-forward", "fa2-h100-forward", "fa2-h100-backward", "fa3-h100-forward",
        "fa3-h100-backward", "fa3-h100-fp8", "cudnn-h100-forward", "fa4-b200-forward", "fa4-b200-forward-mla", "fa4-b200-backward",
        "cudnn-b200-forward", "cudnn-gb200-forward", "fa2-b200-forward", "flash-decoding-a100", "gemm-ceilings", "aic-reference-points",
        "flex-attention-h100",
    } <= set(NAMES)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_case_is_named_as_its_folder_and_explains_itself(name: str, shipped: dict[str, Case]) -> None:
    case = shipped[name]
    assert case.spec.name == name and case.spec.source
    readme = (case.folder / "README.md").read_text()
    assert readme.startswith("# ") and len(readme) > 300


@pytest.mark.parametrize("name", NAMES)
def test_every_row_has_provenance_and_was_verified(name: str, shipped: dict[str, Case]) -> None:
    with (shipped[name].folder / "reference.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert set(COLUMNS) <= set(rows[0])
    assert all(row["source"] and row["provenance"] and row["verified"] == "VERIFIED" for row in rows)


@pytest.mark.parametrize("name", NAMES)
def test_no_point_is_copied_twice(name: str, shipped: dict[str, Case]) -> None:
    case = shipped[name]
    named = ("arch", "kernel", "framework", "version")
    keys = Counter(
        (p.group.name, p.shape, p.dtype, *(p.record.values.get(column) for column in (*named, *p.group.fields.values(), "layout")))
        for p in case.points
    )
    assert [key for key, count in keys.items() if count > 1] == []


@pytest.mark.parametrize("name", NAMES)
def test_constants_are_fitted_on_plain_rows_only(name: str, shipped: dict[str, Case]) -> None:
    for point in shipped[name].points:
        if point.fitted and point.shape is not None:
            # Where the case is about masks (a column of its own), what a mask costs is fitted on a few of their rows.
            assert "mask" in point.record.values or not point.shape.causal, point.record
            assert point.shape.head_dim in (64, 128), point.record


def test_cases_and_schedules_agree_on_what_was_fitted(shipped: dict[str, Case]) -> None:
    # A constant says `rows: "CASE: ..."`; the case says which of its rows. One without the other would pass fitted rows off as held out.
    # Constants stand in the schedules of the library, or in the schedule a case changes for itself.
    files = [
        *(entry.path for entry in entries("schedule")),
        *(Path(__file__).parents[2] / "validation" / name / "case.yaml" for name in shipped),
    ]
    texts = "\n".join(path.read_text() for path in files)
    named = set(re.findall(r"rows: \"?([a-z0-9-]+):", texts))
    assert named == {name for name, case in shipped.items() if case.spec.kind == "case" and case.spec.fitted}


@pytest.mark.parametrize("name", [n for n in NAMES if n.startswith(("fa1-", "fa2-", "fa3-", "fa4-"))])
def test_papers_keep_the_number_of_tokens(name: str, shipped: dict[str, Case]) -> None:
    tokens = {p.shape.batch * p.shape.seqlen_q for p in shipped[name].points if isinstance(p.shape, Shape)}
    if name == "fa3-h100-fp8":
        assert all(16384 <= t <= 16896 for t in tokens)  # lengths rounded up to multiples of 132
    else:
        assert tokens == ({32768} if "b200" in name else {16384})


def test_sizes_of_the_tables(shipped: dict[str, Case]) -> None:
    expected = {"fa2-a100-forward": 24, "fa3-h100-forward": 36, "fa4-b200-forward": 12, "fa2-h100-forward": 36, "fa3-h100-fp8": 36}
    assert {name: len(shipped[name].points) for name in expected} == expected


def test_rates_are_what_the_figures_print(shipped: dict[str, Case]) -> None:
    # FlashAttention-2 on A100, d 128, no mask, 16k: 223 TFLOP/s; causal: 197
    seconds = {p.shape: p.measured_s for p in shipped["fa2-a100-forward"].points}
    flops = 4 * 16 * 16384**2 * 128
    assert seconds[Shape(1, 16, 16, 16384, 16384, 128, 128, causal=False)] == pytest.approx(flops / 223e12)
    assert seconds[Shape(1, 16, 16, 16384, 16384, 128, 128, causal=True)] == pytest.approx(flops / 2 / 197e12)


def test_tables_faster_than_physics_are_left_out_with_the_reason(shipped: dict[str, Case]) -> None:
    case = shipped["aic-reference-points"]
    reasons = {record.values["value"]: reason for record, reason in case.excluded}
    assert "PFLOP/s" in reasons["0.10083"] and "K and V" in reasons["0.39732"] and "K and V" in reasons["0.18048"]
    assert len(case.points) + len(case.excluded) == 66
    assert {round(p.measured_s * 1e3, 3) for p in case.points if p.group.name == "h100 prefill"} == {1.045, 1.005}
