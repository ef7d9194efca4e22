"""Conditions of schedule files: what they mean, and where a mistake in one is."""

from __future__ import annotations

import operator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnsim.schedule.condition import ConditionError, compile_condition

HOPPER: dict[str, Any] = {"E": 128, "F": 64, "P": 1, "group": 8, "isa": "sm_90", "dtype": "bf16", "kind": "gpu", "scratch_kib": 227.0}
COMPARE = {"==": operator.eq, "!=": operator.ne, "<=": operator.le, "<": operator.lt, ">=": operator.ge, ">": operator.gt}


@pytest.mark.parametrize(
    ("text", "truth"),
    [
        ("E <= 128", True),
        ("E < 128", False),
        ("E>=128 and F<=64", True),
        ("F == 64", True),
        ("F != 64", False),
        ("128 == E", True),
        ("E > F", True),
        ("E == F * 2", True),
        ("isa == sm_90", True),
        ("isa != sm_90", False),
        ("isa in [sm_86, sm_89]", False),
        ("isa in [sm_86, sm_90]", True),
        ("E in [64, 128]", True),
        ("E in [64]", False),
        ("P * group <= 64", True),
        ("P * group > 8", False),
        ("E / F == 2", True),
        ("E % 48 == 32", True),
        ("scratch_kib >= 144.5", True),
        ("not E <= 64", True),
        ("not not E <= 64", False),
        ("not (isa == sm_90 and E == 128)", False),
        ("dtype == flash-attention-2", False),  # names may hold dashes and dots
    ],
)
def test_a_condition_holds_or_not(text: str, truth: bool) -> None:
    assert compile_condition(text)(HOPPER) is truth


@pytest.mark.parametrize("a", [True, False])
@pytest.mark.parametrize("b", [True, False])
@pytest.mark.parametrize("c", [True, False])
def test_not_binds_before_and_before_or(a: bool, b: bool, c: bool) -> None:
    context = {"A": int(a), "B": int(b), "C": int(c)}

    def says(text: str) -> bool:
        return compile_condition(text)(context)

    assert says("A == 1 or B == 1 and C == 1") == (a or (b and c))
    assert says("A == 1 and B == 1 or C == 1") == ((a and b) or c)
    assert says("(A == 1 or B == 1) and C == 1") == ((a or b) and c)
    assert says("not A == 1 and B == 1") == ((not a) and b)
    assert says("not A == 1 or B == 1") == ((not a) or b)
    assert says("not (A == 1 or B == 1)") == (not (a or b))


@given(st.sampled_from(sorted(COMPARE)), st.integers(0, 5), st.integers(0, 5))
def test_comparisons_of_numbers_are_those_of_numbers(sign: str, left: int, right: int) -> None:
    context = {"A": left, "B": right}
    assert compile_condition(f"A {sign} B")(context) == COMPARE[sign](left, right)
    assert compile_condition(f"A {sign} {right}")(context) == COMPARE[sign](left, right)
    assert compile_condition(f"{left} {sign} {right}.0")({}) == COMPARE[sign](left, right)


@pytest.mark.parametrize("sign", sorted(COMPARE))
@pytest.mark.parametrize("text", ["X {} 4", "4 {} X", "X * E {} 4", "E % X {} 0", "E / zero {} 1", "E % zero {} 0", "isa {} 90"])
def test_nothing_holds_of_a_rank_the_workload_lacks(sign: str, text: str) -> None:
    assert not compile_condition(text.format(sign))({**HOPPER, "zero": 0})
    assert compile_condition("not " + text.format(sign))({**HOPPER, "zero": 0})


def test_a_missing_rank_is_in_no_list() -> None:
    assert not compile_condition("X in [1, 2, 4]")(HOPPER)
    assert not compile_condition("E % X in [0, 1]")(HOPPER)
    assert not compile_condition("E % X in [E % X]")(HOPPER)


def test_names_have_no_order() -> None:
    assert not compile_condition("isa < sm_99")(HOPPER)
    assert not compile_condition("isa >= sm_10")(HOPPER)


def test_a_name_the_context_knows_is_its_value_on_either_side() -> None:
    assert compile_condition("sm_90 == isa")(HOPPER)
    assert compile_condition("E in [F, E]")(HOPPER)
    assert compile_condition("causal == mask")({"mask": "causal"})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty condition"),
        ("   ", "empty condition"),
        ("E", "'E' ends too early"),
        ("E <=", "'E <=' ends too early"),
        ("E <= 64 and", "ends too early"),
        ("not", "ends too early"),
        ("E <= $", "at column 6"),
        ("E <= 64 # small", "at column 9"),
        ("E = 64", "at column 3"),
        ("E == 'x'", "at column 6"),
        ("E <= -1", "at column 6"),
        ("E 64", "expected a comparison at column 3 of 'E 64', found '64'"),
        ("E and F", "expected a comparison at column 3 of 'E and F', found 'and'"),
        ("E <= and", "expected a name or a number at column 6"),
        ("<= 64", "expected a name or a number at column 1"),
        ("E <= 64 F", "unexpected 'F' at column 9"),
        ("E < F < 3", "unexpected '<' at column 7"),
        ("(E <= 64", "ends too early; expected ')'"),
        ("(E <= 64]", "expected ')' at column 9"),
        ("E <= 64)", "unexpected ')' at column 8"),
        ("isa in sm_90", "expected '[' at column 8"),
        ("isa in []", "expected a name or a number at column 9"),
        ("isa in [sm_90 sm_80]", "expected ']' at column 15"),
        ("E * 2 * 2 <= 64", "expected a comparison at column 7"),
        ("__import__('os')", "at column 12"),
    ],
)
def test_a_mistake_is_named_with_its_column(text: str, says: str) -> None:
    with pytest.raises(ConditionError) as caught:
        compile_condition(text)
    assert says in str(caught.value)


@given(st.text(alphabet="EFP ()[],<>=!*/%0123456789.andortisx_-#'", max_size=24))
def test_any_text_compiles_or_is_refused(text: str) -> None:
    """No text escapes as another error, and what compiles answers yes or no."""
    try:
        predicate = compile_condition(text)
    except ConditionError as error:
        assert str(error)
    else:
        assert predicate(HOPPER) in (True, False)
        assert predicate({}) in (True, False)
