"""The text of an equation: what it means, and where an error points."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnsim.cascade.grammar import Access, Call, Constant, ExpressionError, Node, accesses, parse_equation


def show(node: Node) -> str:
    """An expression with every parenthesis written out."""
    if isinstance(node, Call):
        return f"{node.function}({', '.join(map(show, node.arguments))})"
    return str(node.value) if isinstance(node, Constant) else str(node)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a + b * c", "add(a, mul(b, c))"),
        ("a * b + c", "add(mul(a, b), c)"),
        ("a - b - c", "sub(sub(a, b), c)"),
        ("a / b * c", "mul(div(a, b), c)"),
        ("a - (b - c)", "sub(a, sub(b, c))"),
        ("-a * b", "mul(neg(a), b)"),
        ("a * -b", "mul(a, neg(b))"),
        ("- -a", "a"),
        ("-inf", "-inf"),
        ("max(a, b, c)", "max(a, b, c)"),
        ("exp(a[m] - b)", "exp(sub(a[m], b))"),
        ("1.5e-3 * a", "mul(0.0015, a)"),
        (".5 * a", "mul(0.5, a)"),
        ("silu(neg(a))", "silu(neg(a))"),
    ],
)
def test_precedence_is_the_usual_one(text: str, tree: str) -> None:
    assert show(parse_equation(f"y = {text}").expression) == tree


def test_whole_numbers_stay_exact() -> None:
    node = parse_equation("y = 9007199254740993 * a").expression
    assert isinstance(node, Call) and node.arguments[0] == Constant(9007199254740993, 5)


def test_minus_infinity_is_a_constant() -> None:
    node = parse_equation("RM[0,p] = -inf").expression
    assert isinstance(node, Constant) and node.value == -math.inf


@pytest.mark.parametrize(
    ("index", "terms", "offset", "final", "variable"),
    [
        ("m", ((1, "m"),), 0, "", "m"),
        ("m1+1", ((1, "m1"),), 1, "", "m1"),
        ("m-1", ((1, "m"),), -1, "", "m"),
        ("2*p+s", ((2, "p"), (1, "s")), 0, "", ""),
        ("2*p + s - 3", ((2, "p"), (1, "s")), -3, "", ""),
        ("p+p", ((2, "p"),), 0, "", ""),
        ("0", (), 0, "", ""),
        ("M1", (), 0, "M1", ""),
    ],
)
def test_indices(index: str, terms: tuple[tuple[int, str], ...], offset: int, final: str, variable: str) -> None:
    access = parse_equation(f"y = X[{index}]").expression
    assert isinstance(access, Access)
    (found,) = access.indices
    assert (found.terms, found.offset, found.final, found.variable) == (terms, offset, final, variable)
    again = parse_equation(f"y = X[{found}]").expression
    assert isinstance(again, Access) and again.indices[0].terms == terms and again.indices[0].offset == offset


def test_reductions_keep_their_order() -> None:
    equation = parse_equation("Y[p] = X[m1,m0,p] :: max(m0), sum(m1)")
    assert [(reduction.operator, reduction.variables) for reduction in equation.reductions] == [("max", ("m0",)), ("sum", ("m1",))]
    assert parse_equation("Y = X[m,p] :: prod(m, p)").reductions[0].variables == ("m", "p")


def test_reads_are_listed_left_to_right_with_repetitions() -> None:
    equation = parse_equation("RZ[k+1] = RZ[k] * RY[k+1] / RY[k] + RY[k+1] * A[k]")
    assert [str(access) for access in accesses(equation.expression)] == ["RZ[k]", "RY[k+1]", "RY[k]", "RY[k+1]", "A[k]"]


@pytest.mark.parametrize(
    ("text", "message", "column"),
    [
        ("", "expected a tensor but found the end", 1),
        ("Y[p]", "expected '=' but found the end", 5),
        ("Y[p] = ", "expected a tensor, a number or a function but found the end", 7),
        ("Y[p] = X[p", "expected ']' but found the end", 11),
        ("Y[p]] = X[p]", "expected '=' but found ']'", 5),
        ("Y[p] = X[p] Z[p]", "expected an operator, '::' or the end but found 'Z'", 13),
        ("Y[p] = X[p] $ Z[p]", "unexpected character '$'", 13),
        ("Y[p] = X[p] : max(m)", "unexpected character ':'", 13),
        ("Y[p] = expp(X[p])", "unknown function 'expp'; did you mean 'exp'?", 8),
        ("Y[p] = sum(X[m,p])", "unknown function 'sum'; a reduction stands at the end of the line", 8),
        ("Y[p] = exp(X[p], X[p])", "exp() takes 1 argument, not 2", 8),
        ("Y[p] = max(X[p])", "max() takes two or more arguments, not 1", 8),
        ("Y[p] = sub(X[p])", "sub() takes 2 arguments, not 1", 8),
        ("Y[p] = X[m,p] :: mxa(m)", "expected a reduction such as max(m0) but found 'mxa'; did you mean 'max'?", 18),
        ("Y[p] = X[m,p] :: max(M)", "expected a variable such as m0 but found 'M'", 22),
        ("Y[p] = X[2*3]", "expected an index such as m, m1+1 or 2*p+s but found '3'", 12),
        ("Y[p] = X[1.5]", "expected an index such as m, m1+1 or 2*p+s but found '1.5'", 10),
        ("Y[p] = X[3-p]", "an index grows with its variables", 10),
        ("1 = X", "expected a tensor but found '1'", 1),
        ("Y = (X + 1", "expected ')' but found the end", 11),
    ],
)
def test_errors_say_what_and_where(text: str, message: str, column: int) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse_equation(text)
    assert message in str(caught.value) and caught.value.column == column


def test_deep_nesting_is_refused_in_words() -> None:
    with pytest.raises(ExpressionError, match="nested too deeply"):
        parse_equation("Y = " + "(" * 5000 + "X" + ")" * 5000)


@given(st.text(alphabet="Xpm01 +-*/()[],=:.exp$é\n", max_size=30))
def test_any_text_parses_or_fails_with_a_column_inside_it(text: str) -> None:
    try:
        parse_equation(text)
    except ExpressionError as error:
        assert 1 <= error.column <= len(text) + 1
