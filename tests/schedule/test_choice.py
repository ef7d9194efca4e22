"""The first entry that holds is the same whether it was found before or not."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnsim.schedule.choice import Choice
from attnsim.schedule.condition import compile_condition, holds, left_open
from attnsim.schedule.schedule import load_schedule

CONDITIONS = (
    "E <= 64 and F <= 64 and mask == dense",
    "E <= 64 or P * group <= 16",
    "not (isa in [sm_80, sm_90] and P >= E)",
    "dtype == bf16 and (M % 256 == 0 or M / P > 4)",
    "isa != sm_90 and X <= 4",
    "E in [F, 2, 128]",
    "P > M or 1 == 2",
    "causal == mask and not 1 == 1",
)
VALUES = {
    "E": st.sampled_from([64, 96, 128]), "F": st.sampled_from([64, 128]), "P": st.integers(1, 600), "M": st.integers(1, 600),
    "group": st.sampled_from([1, 8]), "mask": st.sampled_from(["dense", "causal"]), "isa": st.sampled_from(["sm_80", "sm_90", "gfx942"]),
    "dtype": st.sampled_from(["bf16", "fp8"]),
}  # fmt: skip
CONTEXTS = st.fixed_dictionaries({}, optional=VALUES)


@dataclass(frozen=True)
class Row:
    when: str | None


class Lengths:
    """Lengths of several points: they compare one by one, and have no truth of their own."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, *values: float) -> None:
        self.values = values

    def __le__(self, other: Any) -> Truths:
        return Truths(*(value <= other for value in self.values))

    def __eq__(self, other: object) -> Any:
        return Truths(*(value == other for value in self.values))

    def __mul__(self, other: Any) -> Lengths:
        return Lengths(*(value * other for value in self.values))


class DifferError(Exception):
    """Points answer differently."""


class Truths(Lengths):
    def __bool__(self) -> bool:
        if len(set(self.values)) != 1:
            raise DifferError
        return bool(self.values[0])


@given(st.lists(st.sampled_from([*CONDITIONS, None]), max_size=6), st.lists(CONTEXTS, min_size=1, max_size=30))
def test_a_choice_is_the_first_row_that_holds(conditions: list[str | None], contexts: list[dict[str, Any]]) -> None:
    rows = [Row(text) for text in conditions]
    choice = Choice(rows)
    for context in [*contexts, *contexts]:
        assert choice.first(context) is next((row for row in rows if holds(row.when, context)), None)


def test_names_that_never_repeat_are_asked_anew_and_the_answers_stay_few() -> None:
    rows = [Row("E <= 64 and P * group <= 640"), Row("P % 7 == 0 and M <= 5"), Row("E >= 64"), Row("F == 4")]
    choice = Choice(rows)
    for P in range(1, 900):
        for E in (64, 128):
            context = {"E": E, "P": P, "group": 1, "M": P % 9, "isa": "sm_90"}
            assert choice.first(context) is next((row for row in rows if holds(row.when, context)), None)
    assert len(choice._kept) <= 256
    assert "P" not in choice._names
    assert "E" in choice._names


@pytest.mark.parametrize("text", CONDITIONS)
@given(context=CONTEXTS, known=st.sets(st.sampled_from([*VALUES, "X"])))
def test_what_is_known_beforehand_changes_no_answer(text: str, context: dict[str, Any], known: set[str]) -> None:
    left = left_open(text, {name: context.get(name, name) for name in known})
    assert (left if isinstance(left, bool) else left(context)) == compile_condition(text)(context)


def test_values_that_cannot_be_kept_are_asked_for_their_truth() -> None:
    rows = [Row("isa == sm_80 and P <= 1"), Row("P * group <= 16"), Row("P in [4, 8]"), Row("P <= 64")]
    choice = Choice(rows)
    for _ in range(2):
        assert choice.first({"isa": "sm_90", "P": Lengths(1, 2), "group": 8}) is rows[1]
        assert choice.first({"isa": "sm_90", "P": Lengths(8, 8), "group": 8}) is rows[2]
        with pytest.raises(DifferError):
            choice.first({"isa": "sm_90", "P": Lengths(2, 3), "group": 8})
        assert choice.first({"isa": "sm_90", "P": 2, "group": 8}) is rows[1]
    assert choice.first({"isa": "sm_90", "P": Lengths(70, 90), "group": 8}) is None


def test_a_schedule_travels_after_it_was_asked() -> None:
    schedule = load_schedule("flash-attention-3")
    context = {"E": 128, "F": 128, "P": 128, "mask": "causal", "isa": "sm_90", "dtype": "bf16", "group": 1}
    row = schedule.tile(context)
    again = pickle.loads(pickle.dumps(schedule))
    assert again.tile(context) == row
    assert again.spec == schedule.spec
