"""Loading a case: groups, filters, fitted and held-out rows, and what is said about a faulty one."""

from __future__ import annotations

from pathlib import Path

import pytest

from attnsim.errors import SpecError
from attnsim.validate import cases
from attnsim.validate.cases import Case, load_case

GROUPS = """
groups:
  - {name: narrow, where: {head_dim: 64}, schedule: kernel-b, targets: null}
  - {name: wide, arch: h200, arch_overrides: {levels.hbm.bandwidth: 4 TB/s, title: changed}, conditions: {tensor_clock: 1830 MHz}}
"""


def edit(folder: Path, old: str, new: str, file: str = "case.yaml") -> Path:
    path = folder / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return folder


def test_rows_become_points(case_folder: Path) -> None:
    case = load_case(case_folder)
    assert [(p.record.line, p.fitted, p.dtype) for p in case.points] == [(2, True, "fp16"), (3, False, "fp16"), (4, False, "fp16")]
    assert case.points[0].measured_s == pytest.approx(4 * 2 * 512**2 * 64 / 400e12)
    assert case.points[1].measured_s == pytest.approx(2 * 2 * 512**2 * 64 / 200e12)


def test_a_case_without_groups_is_one_group(case_folder: Path) -> None:
    (group,) = load_case(case_folder).groups
    assert (group.name, group.arch, group.schedule) == ("", "h100_sxm", "kernel-a") and group.target is not None


def test_groups_take_rows_in_order_and_inherit_what_they_do_not_say(case_folder: Path) -> None:
    (case_folder / "case.yaml").write_text((case_folder / "case.yaml").read_text() + GROUPS)
    case = load_case(case_folder)
    narrow, wide = case.groups
    assert [p.group.name for p in case.points] == ["narrow", "narrow", "wide"]
    assert narrow.schedule == "kernel-b" and wide.schedule == "kernel-a"
    assert narrow.target is None and wide.target is not None
    assert narrow.arch == "h100_sxm" and narrow.conditions.tensor_clock is None
    assert wide.arch == {"extends": "h200", "levels": {"hbm": {"bandwidth": "4 TB/s"}}, "title": "changed"}
    assert wide.conditions.tensor_clock == 1.83e9


def test_latencies_need_no_flop_convention(case_folder: Path) -> None:
    edit(case_folder, "metric: throughput", "metric: latency")
    edit(case_folder, "throughput,400,TFLOP/s", "latency,12.5,us", "reference.csv")
    edit(case_folder, "throughput,200,TFLOP/s", "latency,0.5,ms", "reference.csv")
    edit(case_folder, "throughput,500,TFLOP/s", "latency,1,s", "reference.csv")
    assert [p.measured_s for p in load_case(case_folder).points] == pytest.approx([12.5e-6, 0.5e-3, 1.0])


def test_excluded_rows_are_kept_with_their_reason(case_folder: Path) -> None:
    edit(case_folder, "fitted:", "excluded:\n  - {where: {head_dim: 128}, reason: too wide}\nfitted:")
    case = load_case(case_folder)
    assert len(case.points) == 2 and [(r.line, why) for r, why in case.excluded] == [(4, "too wide")]


def test_rows_known_to_lie_below_the_floor_carry_the_reason(case_folder: Path) -> None:
    edit(case_folder, "fitted:", "below_floor:\n  - {where: {causal: true}, reason: boost clock}\nfitted:")
    assert [p.floor_reason for p in load_case(case_folder).points] == ["", "boost clock", ""]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("points: 3", "points: 4", r"case.yaml:12:1: points: says 4 rows, but .* has 3"),
        ("head_dim: 64}", "head_dim: 65}", r"case.yaml:15:\d+: fitted.0: matches no row"),
        ("dtype: fp16", "dtype: bf16", r"reference.csv:2: dtype is 'fp16', the case is about bf16"),
        ("direction: forward", "direction: backward", r"reference.csv:2: direction is 'fwd'"),
        ("metric: throughput", "metric: latency", r"reference.csv:2: metric is 'throughput'"),
        ("arch: h100_sxm\n", "", "needs `arch`"),
        ("schedule:", "shedule:", "did you mean 'schedule'"),
        ("{mape: 0.10}", "{rows: all}", "a target needs mape or worst"),
        ("{mape: 0.10}", "{mape: 10}", r"targets\.mape"),
        ("metric: throughput", "metric: speed", "metric"),
    ],
)
def test_a_faulty_case_file_is_named_with_its_place(case_folder: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        load_case(edit(case_folder, old, new))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",400,", ",-400,", r"reference.csv:2: value is '-400'"),
        (",400,", ",OOM,", r"reference.csv:2: value is 'OOM'"),
        ("400,TFLOP/s", "400,GB/s", r"reference.csv:2: .*400 GB/s"),
        (",64,True,", ",64,,", r"reference.csv:3: causal is ''"),
        (",Fig. 1,VERIFIED\n", "\n", r"reference.csv:2: 15 fields where the header has 17"),
    ],
)
def test_a_faulty_reference_row_is_named_with_its_line(case_folder: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        load_case(edit(case_folder, old, new, "reference.csv"))


def test_a_row_of_no_group_is_an_error(case_folder: Path) -> None:
    (case_folder / "case.yaml").write_text((case_folder / "case.yaml").read_text() + "groups:\n  - {name: narrow, where: {head_dim: 64}}\n")
    with pytest.raises(SpecError, match=r"reference.csv:4: belongs to no group"):
        load_case(case_folder)


def test_a_ceiling_compares_the_time_of_a_teraflop(case_folder: Path) -> None:
    edit(case_folder, "kind: case", "kind: ceiling")
    point = load_case(case_folder).points[0]
    assert point.shape is None and point.measured_s == pytest.approx(1e12 / 400e12)


def test_cases_are_found_by_name_in_any_spelling_and_by_path(case_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cases.find(str(case_folder)) == case_folder and cases.find(str(case_folder / "case.yaml")) == case_folder
    root = case_folder.parent / "mine" / "validation"
    root.mkdir(parents=True)
    case_folder.rename(root / "my-small")
    monkeypatch.setenv("ATTNSIM_PATH", str(root.parent))
    assert cases.find("My_Small") == root / "my-small"
    assert "my-small" in cases.folders() and "fa2-a100-forward" in cases.folders()


def test_an_unknown_case_gets_the_nearest_name() -> None:
    with pytest.raises(SpecError, match="did you mean 'fa2-a100-forward'"):
        cases.find("fa2-a100-forwrad")


def test_a_ceiling_point_has_no_workload(case_folder: Path) -> None:
    case: Case = load_case(edit(case_folder, "kind: case", "kind: ceiling"))
    with pytest.raises(ValueError, match="no workload"):
        case.points[0].workload("x")


def test_fields_of_a_workload_come_from_columns(case_folder: Path) -> None:
    edit(
        case_folder,
        "metric: throughput",
        "mask: {kind: neighborhood}\nfields: {mask.shape: shape, mask.window: window, mask.stride: stride}\nmetric: throughput",
    )
    path = case_folder / "reference.csv"
    header, *rows = path.read_text().splitlines()
    columns = ("16x32,5x6,", "512,9,3", "16x32,4,")
    lines = [f"{header},shape,window,stride", *(f"{row},{own}" for row, own in zip(rows, columns, strict=True))]
    path.write_text("\n".join(lines) + "\n")
    made = [point.workload("x")["mask"] for point in load_case(case_folder).points]
    assert made == [
        {"kind": "neighborhood", "shape": [16, 32], "window": [5, 6]},
        {"kind": "neighborhood", "shape": 512, "window": 9, "stride": 3},
        {"kind": "neighborhood", "shape": [16, 32], "window": 4},
    ]


def test_a_field_needs_its_column(case_folder: Path) -> None:
    edit(case_folder, "metric: throughput", "fields: {mask.left: lefft}\nmetric: throughput")
    with pytest.raises(SpecError, match=r"reference.csv:2: has no column 'lefft', which `fields` of case.yaml names"):
        load_case(case_folder)
