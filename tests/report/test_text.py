from __future__ import annotations

import re
from typing import Any

import pytest
from report_fakes import kernel, report, result

from attnsim.report.text import digits3, percent, report_text, table


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1.8349, "1.83"),
        (9.999, "10.0"),
        (54.54, "54.5"),
        (99.96, "100"),
        (999.4, "999"),
        (999.6, "1 000"),
        (2080, "2 080"),
        (33558528, "33 558 528"),
        (0.0123456, "0.0123"),
        (1e-9, "1.00e-09"),
        (-2.5, "-2.50"),
    ],
)
def test_pure_numbers_have_three_digits_and_large_ones_are_whole(value: float, text: str) -> None:
    assert digits3(value) == text


def test_percent() -> None:
    assert [percent(x) for x in (0.5454, 1.0, 0.00123, 12.5)] == ["54.5 %", "100 %", "0.123 %", "1 250 %"]


def test_table_aligns_and_leaves_no_trailing_blanks() -> None:
    assert table(["name", "n"], [["long name", "5"], ["x", "12"]], right=(1,)).split("\n") == [
        "name        n",
        "long name   5",
        "x          12",
    ]


def lines(*results: Any) -> list[str]:
    return report_text(report(*results)).split("\n")


def line(start: str, text: list[str]) -> str:
    (found,) = [one for one in text if one.startswith(start)]
    return re.sub(r"\s+", " ", found)


def test_the_answer_comes_first_and_in_words() -> None:
    text = lines()
    assert text[0] == "prefill on toy"
    assert line("latency ", text) == "latency 1.00 ms bound by tensor"
    assert line("achieved ", text) == "achieved 500 TFLOP/s 50.0 % of the 1.00 PFLOP/s peak for bf16"
    assert line("lower bound ", text).startswith("lower bound 500 us set by tensor:")
    assert line("headroom ", text).startswith("headroom 2.00 x")
    assert line("energy ", text) == "energy 600 mJ 600 W on average"
    assert line("passes ", text).startswith("passes 1 over M")


def test_a_clock_below_boost_is_said() -> None:
    assert line("  clock ", lines()) == " clock 1.00 GHz (boost 1.20 GHz)"
    assert line("  clock ", lines(result(clock_hz=1.2e9))) == " clock 1.20 GHz"


def test_another_baseline_than_the_schedule_itself_gets_its_own_line() -> None:
    assert not [one for one in lines() if one.startswith("speedup")]
    assert line("speedup", lines(result(speedup_upper_bound=7.0))).startswith("speedup <= 7.00 x")


def test_resources_are_ordered_by_time_and_the_bound_is_marked() -> None:
    text = lines()
    start = next(index for index, one in enumerate(text) if one.startswith("time by resource"))
    rows = text[start + 1 : start + 5]
    assert [row.split()[0] for row in rows] == ["tensor", "l2", "sfu", "hbm"]
    assert ["<- bound" in row for row in rows] == [True, False, False, False]
    assert [row.count("#") for row in rows] == [27, 12, 9, 3]


def test_useful_share_is_shown_only_where_padding_makes_it_differ() -> None:
    assert "useful" in line("time by resource", lines())
    same = result(utilization={"tensor": 0.9, "sfu": 0.3})
    assert "useful" not in line("time by resource", lines(same))


def test_a_share_too_small_to_matter_is_only_called_small() -> None:
    text = lines(result(time_by_resource_s={"tensor": 1e-3, "launch": 5e-7}))
    assert line("launch ", text) == "launch 500 ns <0.1 %"


def test_bytes_are_split_by_direction_and_named_by_tensor() -> None:
    assert line("hbm ", [one for one in lines() if "AV" in one]) == "hbm 200 MB 67.0 MB 67.0 MB 2 500 AV 67.0 MB, Q 67.0 MB"


def test_kernels_show_tile_grid_and_waves() -> None:
    text = lines(result(kernels=(kernel(), kernel(name="combine", latency_s=2.5e-5, tile={}, ctas=1, waves=0.01))))
    assert line("attention ", text) == "attention 1.00 ms 100 % tensor P=128 M=176 2 048 1 (smem) 20.5 1"
    assert line("combine ", text) == "combine 25.0 us 2.50 % tensor - 1 1 (smem) 0.0100 1"


def test_the_mask_prints_exact_counts() -> None:
    text = lines()
    assert line("mask ", text) == (
        "mask causal (bottom-right aligned); 33 558 528 pairs a head attended (50.0 %); "
        "2 080 of 4 096 tiles visited; 64 of them partly masked"
    )
    assert "      block sparse no" in text


def test_a_mask_that_reports_something_else_is_printed_with_its_own_names() -> None:
    text = lines(result(mask={"kind": "blocks", "live_blocks": 12, "fill": 0.25}))
    assert line("mask ", text) == "mask blocks"
    assert "      live blocks 12; fill 0.250" in text


def test_the_model_around_the_kernel_is_told_when_asked_for() -> None:
    facts = {"share": 0.6, "dense_latency_s": 0.1, "op_speedup": 8.0, "speedup": 2.1, "speedup_flop": 2.2, "natten_sim": 2.15}
    text = lines(result(end_to_end=facts))
    assert "end to end  2.1 x over dense attention, which takes 60.0 % of the time (2.2 x by FLOPs, 2.15 x as NATTENSim)" in text
    assert "            the operation: 8 x of 100 ms dense in this kernel" in text
    assert not any(one.startswith("end to end") for one in lines())


def test_assumptions_are_printed_once() -> None:
    text = lines(result("a"), result("b"))
    assert text.count("  - dense peak") == 1 and text.count("  - power limit 700 W lowers the clock") == 1


def test_several_results_are_told_apart() -> None:
    text = lines(result("first"), result("second"))
    assert [one.split()[1] for one in text if one.startswith("  result")] == ["first", "second"]


def test_the_text_is_plain_ascii_and_needs_no_terminal() -> None:
    text = report_text(report())
    assert text.isascii() and "\x1b" not in text and text.endswith("\n") and not any(one != one.rstrip() for one in text.split("\n"))
