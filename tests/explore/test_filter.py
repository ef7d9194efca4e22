from __future__ import annotations

import math
import operator
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnsim.explore.plan.filter import FilterError, FilterField, parse_filter

NUMBER, TEXT, FLAG = FilterField("number"), FilterField("text"), FilterField("flag")
FIELDS = {
    "sizes.M": NUMBER,
    "sizes.P": NUMBER,
    "dtype": FilterField("text", frozenset({"bf16", "fp8"})),
    "schedule": TEXT,
    "mask.causal": FLAG,
}
COLUMNS: dict[str, Any] = {
    "sizes.M": np.array([1024, 2048, 3000, 0]),
    "sizes.P": np.array([2048, 2048, 1000, 5]),
    "dtype": np.array(["bf16", "fp8", "bf16", "fp8"], dtype=object),
    "schedule": "flash-attention-2",
    "mask.causal": np.array([True, False, True, False]),
}


def holds(text: str) -> list[bool]:
    return list(parse_filter(text, FIELDS).holds(COLUMNS, 4))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sizes.M >= sizes.P", [False, True, True, False]),
        ("sizes.M>=sizes.P and dtype==bf16", [False, False, True, False]),
        ("not (sizes.M >= 2k) or dtype == fp8", [True, True, False, True]),
        ("dtype in [fp8]", [False, True, False, True]),
        ("dtype not in [fp8, 'bf16']", [False, False, False, False]),
        ("sizes.M in [1k, 1500 * 2]", [True, False, True, False]),
        ("1k < sizes.M <= 3000", [False, True, True, False]),
        ("sizes.M % sizes.P == 0", [False, True, True, True]),
        ("sizes.P / sizes.M != 1", [True, False, True, False]),  # the quotient of a division by zero is nothing
        ("sizes.M-sizes.P < -3", [True, False, False, True]),
        ("sizes.M - -1 == 1025", [True, False, False, False]),
        ("schedule == flash-attention-2", [True, True, True, True]),
        ("schedule != 'fa3' and mask.causal", [True, False, True, False]),
        ("mask.causal == false", [False, True, False, True]),
        ("not not mask.causal", [True, False, True, False]),
        ("sizes.M + 2 * sizes.P == 5120 or sizes.M * 2 + sizes.P == 7k - 168", [True, False, True, False]),
    ],
)
def test_points_that_pass(text: str, expected: list[bool]) -> None:
    assert holds(text) == expected


WRITE = "write for example 'sizes.M >= sizes.P and dtype == bf16'"
COMPARE = "compare it, as in 'sizes.M >= sizes.P and dtype == bf16'"
ALL = "the fields are sizes.M, sizes.P, dtype, schedule, mask.causal"


@pytest.mark.parametrize(
    ("text", "message", "column"),
    [
        ("", f"is empty; {WRITE}", 1),
        ("sizes.M >=", "'sizes.M >=' ends too early", 11),
        ("(sizes.M > 1", "'(sizes.M > 1' ends too early; expected ')'", 13),
        ("size.M >= 8", "unknown field 'size.M' at column 1 of 'size.M >= 8'; did you mean 'sizes.M'?", 1),
        ("8 < batch", f"unknown field 'batch' at column 5 of '8 < batch'; {ALL}", 5),
        ("arh == h100", f"unknown field 'arh' at column 1 of 'arh == h100'; {ALL}", 1),
        ("dtype == bf61", "dtype is never 'bf61' (column 10 of 'dtype == bf61'); did you mean 'bf16'?", 10),
        ("sizes.M", f"'sizes.M' has a number at column 1 where a condition is needed; {COMPARE}", 1),
        ("sizes.M >= 1 and 3", f"'sizes.M >= 1 and 3' has a number at column 18 where a condition is needed; {COMPARE}", 18),
        ("1 < 2", f"'1 < 2' is no condition over fields: it names none; {WRITE}", 1),
        ("dtype >= 'bf16'", "\"dtype >= 'bf16'\" asks for the order of texts at column 7; use == or !=", 7),
        ("dtype == 8", "'dtype == 8' compares a text with a number at column 7", 7),
        ("dtype + 1 == 2", "'+' takes numbers, not a text, at column 1 of 'dtype + 1 == 2'", 1),
        ("sizes.M = 8", f"cannot read 'sizes.M = 8' at column 9; {WRITE}", 9),
        ("__import__('os').system('x')", f"cannot read \"__import__('os').system('x')\" at column 17; {WRITE}", 17),
        ("sizes.M >= 1; x", f"cannot read 'sizes.M >= 1; x' at column 13; {WRITE}", 13),
        ("sizes.M in 8", "expected '[' at column 12 of 'sizes.M in 8', found '8'", 12),
        ("sizes.M >= and", "expected a field or a number at column 12 of 'sizes.M >= and', found 'and'", 12),
        ("(" * 60 + "sizes.M > 1" + ")" * 60, "is nested more than 50 levels deep", 51),
        ("sizes.M > 8kb", f"cannot read 'sizes.M > 8kb' at column 11; {WRITE}", 11),
    ],
)  # fmt: skip
def test_what_is_no_filter_is_one_line(text: str, message: str, column: int) -> None:
    with pytest.raises(FilterError) as error:
        parse_filter(text, FIELDS)
    assert (str(error.value), error.value.column) == (message, column)


def test_a_filter_travels_to_other_processes() -> None:
    again = pickle.loads(pickle.dumps(parse_filter("sizes.M >= sizes.P", FIELDS)))
    assert list(again.holds(COLUMNS, 4)) == [False, True, True, False]


# --- against plain Python ---------------------------------------------------------------

OPERATORS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne}
ROWS = 5


def arithmetic(word: str, a: float, b: float) -> float:
    if word in ("/", "%"):
        return math.nan if b == 0 else a / b if word == "/" else a % b
    return a + b if word == "+" else a - b if word == "-" else a * b


def evaluated(node: Any, row: dict[str, float]) -> Any:
    if not isinstance(node, tuple):
        return row[node] if isinstance(node, str) else float(node)
    word, *parts = node
    if word == "not":
        return not evaluated(parts[0], row)
    left, right = (evaluated(part, row) for part in parts)
    if word == "and":
        return left and right
    if word == "or":
        return left or right
    if word in OPERATORS:
        return not math.isnan(left) and not math.isnan(right) and OPERATORS[word](left, right)
    return arithmetic(word, left, right)


def written(node: Any) -> str:
    if not isinstance(node, tuple):
        return str(node)
    word, *parts = node
    if word == "not":
        return f"not ({written(parts[0])})"
    return f"({written(parts[0])}) {word} ({written(parts[1])})"


numbers = st.recursive(
    st.sampled_from(["x", "y.z"]) | st.integers(0, 50),
    lambda inner: st.tuples(st.sampled_from("+-*/%"), inner, inner),
    max_leaves=5,
)
conditions = st.recursive(
    st.tuples(st.sampled_from(sorted(OPERATORS)), numbers, numbers),
    lambda inner: st.tuples(st.just("not"), inner) | st.tuples(st.sampled_from(["and", "or"]), inner, inner),
    max_leaves=4,
)


@given(conditions, st.lists(st.tuples(st.integers(-40, 40), st.integers(0, 9)), min_size=ROWS, max_size=ROWS))
def test_arrays_pass_as_python_says(condition: Any, rows: list[tuple[int, int]]) -> None:
    text = f"({written(condition)}) and x == x"
    columns = {"x": np.array([x for x, _ in rows]), "y.z": np.array([y for _, y in rows])}
    found = parse_filter(text, {"x": NUMBER, "y.z": NUMBER}).holds(columns, ROWS)
    assert list(found) == [evaluated(condition, {"x": x, "y.z": y}) for x, y in rows]


def test_precedence_is_that_of_mathematics() -> None:
    fields, columns = {"x": NUMBER}, {"x": np.arange(-20, 20)}
    for text in ("x - 3 - 2 * x % 7 / 2 < 4 - -x", "x < 3 or x > 5 and not x == 7", "-x * 2 + 1 >= x / 4 * 2"):
        expected = [bool(eval(text, {"x": float(x)})) for x in columns["x"]]  # the texts are ours
        assert list(parse_filter(text, fields).holds(columns, 40)) == expected
