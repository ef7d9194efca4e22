from __future__ import annotations

from pathlib import Path

import pytest

import attnsim
from attnsim.errors import SpecError, UsageError
from attnsim.report.roofline.charts import charts, rows
from attnsim.report.roofline.timings import parse_where, ranges, read_timings

HEADER = (
    "kernel,direction,dtype,batch,heads_q,heads_kv,seqlen_q,seqlen_kv,head_dim,head_dim_v,causal,window,operation,m,n,devices,bytes,time_us"
)
PREFILL = "flash-attention-3,forward,bf16,1,32,8,8192,8192,128,128,True,,,,,,"


def table(path: Path, *lines: str) -> Path:
    path.write_text("\n".join((HEADER, *lines)) + "\n")
    return path


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    return table(
        tmp_path / "m.csv",
        f"{PREFILL},1000",
        f"{PREFILL},1200",
        "fa2,fwd,bf16,1,32,8,8192,8192,128,128,1,,,,,,,1700",
        "flash-attention-9,forward,bf16,1,32,8,8192,8192,128,128,1,,,,,,,1000",
        "row-norm,,bf16,,,,,,,,,,rms-norm,4096,4096,,,30",
        "all-reduce,,,,,,,,,,,,,,,8,1048576,50",
        "flash-attention-3,forward,bf16,1,32,8,8192,8192,128,128,True,,,,,,,-4",
    )


def test_rows_alone_give_kernels_with_the_median_of_what_was_measured(mixed: Path) -> None:
    found = read_timings(mixed, "h100_sxm")
    (chart,) = charts([], [found])
    first, second = chart.kernels
    assert first.name == "flash-attention-3 forward bf16 B1 H32/8 P8192 M8192 d128/128 causal" and first.label == "flash-attention-3"
    assert first.measured is not None and first.measured.seconds == pytest.approx(1.1e-3) and first.measured.lines == (2, 3)
    predicted = attnsim.run("llama3-8b-prefill", "h100_sxm").results[0].latency_s
    assert first.latency_s == predicted and first.ratio == pytest.approx(predicted / 1.1e-3)
    assert first.measured_flops_per_s == pytest.approx(first.flops / 1.1e-3)
    assert second.schedule == "flash-attention-2" and chart.shared == "forward bf16 B1 H32/8 P8192 M8192 d128/128 causal"
    assert chart.inputs[1].startswith("m.csv ")


def test_rows_without_a_point_are_named_with_line_and_reason(mixed: Path) -> None:
    lines = read_timings(mixed, "h100_sxm").lines()
    assert [line.replace(str(mixed), "F") for line in lines] == [
        "F:5: kernel: unknown schedule 'flash-attention-9'; did you mean 'flash-attention-4'?",
        "F:6: has no matmul FLOPs, so no point of a roofline",
        "F:7: a collective computes nothing, which is no point of a roofline",
        "F:8: time_us is '-4'; a finite number above 0 is wanted",
    ]


def test_with_workloads_only_their_calls_are_drawn_and_the_others_named(mixed: Path) -> None:
    reports = [attnsim.run("llama3-8b-prefill", "h100_sxm"), attnsim.run("llama3-8b-decode", "h100_sxm")]
    found = read_timings(mixed, "h100_sxm", reports=reports)
    assert "timed flash-attention-2, drawn is flash-attention-3; --schedule flash-attention-2 draws it" in found.lines()[0]
    (chart,) = charts(reports, [found])
    assert [(kernel.name, kernel.measured is None) for kernel in chart.kernels] == [
        ("llama3-8b-prefill", False),
        ("llama3-8b-decode", True),
    ]
    by_name = {(row["name"], row["level"]): row for row in rows([chart])}
    assert by_name["llama3-8b-prefill", "hbm"]["measured_s"] == pytest.approx(1.1e-3)
    assert by_name["llama3-8b-prefill", "hbm"]["measured_lines"] == "2;3" and by_name["llama3-8b-prefill", "hbm"]["measured_file"] == str(
        mixed
    )
    assert "measured_s" not in by_name["llama3-8b-decode", "hbm"]


def test_another_size_is_no_counterpart(tmp_path: Path) -> None:
    path = table(tmp_path / "m.csv", PREFILL.replace("8192", "4096") + ",500", PREFILL.replace("True", "False") + ",900")
    found = read_timings(path, "h100_sxm", reports=[attnsim.run("llama3-8b-prefill", "h100_sxm")])
    assert found.rows == () and found.lines() == [f"{path}:2-3: no kernel drawn here is this call"]


def test_where_chooses_rows_by_value_in_any_spelling(mixed: Path) -> None:
    def lines(**where: str) -> list[int]:
        found = read_timings(mixed, "h100_sxm", parse_where(f"{column}={values}" for column, values in where.items()))
        return [row.line for row in found.rows]

    assert lines(kernel="flash_attention_3") == [2, 3]
    assert lines(causal="1", seqlen_q="8192.0") == [2, 3, 4]
    assert lines(line="3,4") == [3, 4]


def test_where_that_finds_nothing_or_asks_for_no_column_says_so(mixed: Path) -> None:
    with pytest.raises(UsageError, match="has no row with kernel=cudnn and causal=1"):
        read_timings(mixed, "h100_sxm", {"kernel": ("cudnn",), "causal": ("1",)})
    with pytest.raises(UsageError, match="has no column 'seqlen'; did you mean 'seqlen_q'"):
        read_timings(mixed, "h100_sxm", {"seqlen": ("1",)})
    with pytest.raises(UsageError, match="cannot read 'kernel'; write for example kernel=cudnn"):
        parse_where(["kernel"])


def test_too_many_calls_are_refused_before_they_are_predicted(mixed: Path) -> None:
    with pytest.raises(UsageError, match="has 3 different calls to draw; a roofline shows at most 1: .* --where kernel=flash-att"):
        read_timings(mixed, "h100_sxm", most=1)


def test_an_unknown_machine_and_a_missing_file_are_one_error(mixed: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="h1000"):
        read_timings(mixed, "h1000")
    with pytest.raises(SpecError, match="no such file"):
        read_timings(tmp_path / "none.csv", "h100_sxm")


def test_lines_are_written_as_ranges() -> None:
    assert ranges([7, 9, 8, 12, 7]) == "7-9,12" and ranges([]) == ""
