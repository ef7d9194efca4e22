"""Numbers of many points: arithmetic as that of each, and programs that part where lanes differ."""

from math import ceil
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnsim.lanes import Diverged, Lanes, OneByOne, apart, largest, maximum, minimum, one_value, where

whole = st.integers(1, 2**40)


def lanes(*values: float) -> Lanes:
    return Lanes(np.array(values, dtype=np.float64))


@given(st.lists(st.tuples(whole, st.integers(1, 2**20)), min_size=1, max_size=8))
def test_whole_numbers_divide_as_ints_do(pairs: list[tuple[int, int]]) -> None:
    a, b = lanes(*(a for a, _ in pairs)), lanes(*(b for _, b in pairs))
    assert (a // b).values.tolist() == [a // b for a, b in pairs]
    assert (a % b).values.tolist() == [a % b for a, b in pairs]
    assert (-(-a // b)).values.tolist() == [-(-a // b) for a, b in pairs]
    assert ceil(a / b).values.tolist() == [ceil(a / b) for a, b in pairs]
    assert [int(x) for x in (7 // b).values] == [7 // b for _, b in pairs]
    assert (2 - a).values.tolist() == [2 - a for a, _ in pairs]


def test_a_question_on_which_lanes_agree_is_answered() -> None:
    assert lanes(2, 3) > 1
    assert not lanes(2, 3) > 5
    assert bool(lanes(1, 2))
    assert not lanes(0, 0)


def test_a_question_on_which_they_differ_parts_them() -> None:
    with pytest.raises(Diverged) as parted:
        bool(lanes(1, 2, 3) > 1)
    assert parted.value.taken.tolist() == [False, True, True]


def test_choices_lane_by_lane() -> None:
    assert maximum(lanes(1, 5), 3).values.tolist() == [3, 5]
    assert minimum(3, lanes(1, 5)).values.tolist() == [1, 3]
    assert where(lanes(1, 5) > 3, 10, lanes(7, 8)).values.tolist() == [7, 10]
    assert largest([1, lanes(0, 4), 2]).values.tolist() == [2, 4]
    assert (maximum(1, 2), minimum(1, 2), where(True, 1, 2), largest([], 0.5)) == (2, 1, 1, 0.5)


def test_one_value_is_plain_or_parts() -> None:
    assert one_value(lanes(4, 4)) == 4 and isinstance(one_value(lanes(4, 4)), int)
    with pytest.raises(Diverged):
        one_value(lanes(4, 5))


@given(st.lists(st.integers(1, 60), min_size=1, max_size=40))
def test_a_program_that_parts_answers_every_lane_once(numbers: list[int]) -> None:
    """Collatz: as many paths as there are lengths."""

    def steps(number: Any) -> int:
        count = 0
        while number != 1:
            number = number / 2 if number % 2 == 0 else 3 * number + 1
            count += 1
        return count

    found: dict[int, int] = {}
    values = np.array(numbers, dtype=np.float64)

    def run(some: Any) -> None:
        count = steps(Lanes(values[some]))
        for index in some.tolist():
            assert index not in found
            found[index] = count

    apart(np.arange(len(numbers)), run, lambda some, error: None, ValueError)
    assert found == {index: steps(number) for index, number in enumerate(numbers)}


def test_lanes_whose_program_ends_in_an_error_are_refused_alone() -> None:
    refused: list[tuple[list[int], str]] = []
    kept: list[int] = []
    values = np.array([1.0, 2, 3, 4])

    def run(some: Any) -> None:
        number = Lanes(values[some])
        if number > 3:
            raise ValueError("too large")
        if number < 2:
            raise OneByOne
        kept.extend(some.tolist())

    apart(np.arange(4), run, lambda some, error: refused.append((some.tolist(), type(error).__name__)), ValueError)
    assert sorted(refused) == [([0], "OneByOne"), ([3], "ValueError")]
    assert sorted(kept) == [1, 2]
