from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnsim.errors import UsageError
from attnsim.explore.plan.ranges import MOST_VALUES, Listed, Stepped, read_series, series_of


def values(text: str) -> list[object]:
    series = read_series(text)
    return [series.value(position) for position in range(len(series))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1k..8k:log2", [1024, 2048, 4096, 8192]),
        ("1k..1M:*32", [2**10, 2**15, 2**20]),
        ("1..1000:log10", [1, 10, 100, 1000]),
        ("3..20:log2", [3, 6, 12]),
        ("1..4:+1", [1, 2, 3, 4]),
        ("1k..2k:+512", [1024, 1536, 2048]),
        ("5..5:+1", [5]),
        ("0..1:+0.25", [0, 0.25, 0.5, 0.75, 1]),
        ("0.1..0.3:+0.1", [0.1, 0.2, 0.3]),
        ("0.01..1:log10", [0.01, 0.1, 1]),
        ("bf16,fp8", ["bf16", "fp8"]),
        ("8k", [8192]),
        ("1.5k, 2M", [1536, 2**21]),
        ('"8k"', ["8k"]),
        ("true,false,null", [True, False, None]),
        ("2 TB/s,3 TB/s", ["2 TB/s", "3 TB/s"]),
        ("1 TB/s..2 TB/s:+0.5 TB/s", ["1 TB/s", "1.5 TB/s", "2 TB/s"]),
        ("100 GB..400 GB:log2", ["100 GB", "200 GB", "400 GB"]),
        ("[18,24,24],[30,40,40]", [[18, 24, 24], [30, 40, 40]]),
        ("{kind: window, left: 3},{kind: causal}", [{"kind": "window", "left": 3}, {"kind": "causal"}]),
        ("../my.yaml,specs/../b.yaml", ["../my.yaml", "specs/../b.yaml"]),
        ("1..3:+1,2,7", [1, 2, 3, 7]),
        ("1,1.0", [1, 1.0]),
    ],
)
def test_values_of_a_text(text: str, expected: list[object]) -> None:
    found = values(text)
    assert found == expected
    assert [type(value) for value in found] == [type(value) for value in expected]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no values; write for example 1k..1M:log2, 1..200:+1, or bf16,fp8"),
        ("8k,,16k", "'8k,,16k' has an empty value; write for example 1k..1M:log2, 1..200:+1, or bf16,fp8"),
        ("8..1:+1", "'8..1:+1' ends before it starts; write 1..8:+1"),
        ("1..8:+0", "'1..8:+0' never ends: the step must be more than 0"),
        ("1..8:+-1", "'1..8:+-1' never ends: the step must be more than 0"),
        ("1..8:*1", "'1..8:*1' never ends: the factor must be more than 1"),
        ("0..8:log2", "'0..8:log2' multiplies, so it must start above 0"),
        ("1..8", "'1..8' has no step; write 1..8:log2 to double, or 1..8:+1 to count"),
        ("1..8:log3", "'1..8:log3' has a step 'log3' that is none; write log2, log10, *4 or +512"),
        ("1..many:+1", "'many' in '1..many:+1' is not a number; write for example 1k..1M:log2, 1..200:+1, or bf16,fp8"),
        ("1..8:+x", "'x' in '1..8:+x' is not a number; write for example 1k..1M:log2, 1..200:+1, or bf16,fp8"),
        ("1 GB..2 TB:+1 GB", "'1 GB..2 TB:+1 GB' starts in GB and ends in TB; use one unit"),
        ("1..8:+1 GB", "'1..8:+1 GB' steps by GB, but runs in plain numbers; use one unit"),
        ("1..1e19:+1", "'1e19' in '1..1e19:+1' is too large"),
        (
            "0..1:+0.0000001",
            f"'0..1:+0.0000001' is 10,000,001 values; at most {MOST_VALUES:,}, unless they are whole numbers at equal steps",
        ),
        ("1..2000000:+1,5", f"more than {MOST_VALUES:,} values one by one; a single series such as 1..2000000:+1 may be longer"),
        ("&a x", "'&a x' cannot be read: anchor '&a' is not supported; write values out, or use 'extends:'"),
    ],
)
def test_what_is_no_series_is_one_line(text: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        read_series(text)
    assert str(error.value) == message


def test_whole_numbers_at_equal_steps_take_no_memory() -> None:
    series = read_series("1..1000000000000:+1")
    assert series == Stepped(1, 1, 10**12) and len(series) == 10**12
    assert series.take(np.array([0, 10**12 - 1])).tolist() == [1, 10**12]


@given(st.integers(1, 10**6), st.integers(1, 10**4), st.integers(1, 200))
def test_a_stepped_series_is_a_range(first: int, step: int, count: int) -> None:
    last = first + step * (count - 1)
    assert values(f"{first}..{last}:+{step}") == list(range(first, last + 1, step))
    assert series_of(range(first, last + 1, step)).take(np.arange(count)).tolist() == list(range(first, last + 1, step))


@given(st.integers(1, 10**6), st.integers(1, 30), st.integers(2, 16))
def test_a_multiplied_series_holds_every_power_up_to_its_end(first: int, powers: int, factor: int) -> None:
    last = min(first * factor**powers, 10**17)
    found = values(f"{first}..{last}:*{factor}")
    assert found[0] == first and all(b == a * factor for a, b in zip(found, found[1:], strict=False))  # type: ignore[operator]
    assert found[-1] <= last < found[-1] * factor  # type: ignore[operator]


def test_values_from_python() -> None:
    assert series_of(["1k..4k:log2", 5, "fp8"]) == Listed((1024, 2048, 4096, 5, "fp8"))
    assert series_of(np.array([3, 1])) == Listed((3, 1))
    assert series_of(7) == Listed((7,))
    for wrong, message in (
        ([], "has no values; list at least one"),
        (range(0), "range(0, 0) is empty"),
        (range(3, 0, -1), "range(3, 0, -1) runs backwards"),
    ):
        with pytest.raises(UsageError) as error:
            series_of(wrong)
        assert str(error.value) == message


def test_types_of_columns() -> None:
    first = np.zeros(1, dtype=np.int64)
    assert read_series("1,2").take(first).dtype == np.int64
    assert read_series("1,2.5").take(first).dtype == np.float64
    assert read_series("true,false").take(first).dtype == bool
    assert np.isnan(read_series("null,8").take(first)[0])
    assert read_series("null,fp8").take(np.array([0, 1])).tolist() == [None, "fp8"]
