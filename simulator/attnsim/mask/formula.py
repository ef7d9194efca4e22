"""The count of attended pairs as a formula for people. Imports sympy: only `attnsim explain` comes here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sympy import Expr, Max, expand, factor, sympify

from attnsim.mask import counts

_EVERYWHERE = "P >= 1, M >= 1"


def pairs_formula(P: Any, M: Any, left: int | None, right: int | None, sinks: int, at: tuple[int, int] | None) -> tuple[Expr, str]:
    """Attended pairs of a band (names as in counts.py) in P and M (positive integer symbols, or ints), and where the expression holds.

    Without `at`: everywhere, with Max. With `at` = (P, M): the polynomial of that place, and the inequalities under which it stays.
    """
    P, M = sympify(P), sympify(M)
    if at is None:
        return counts.pairs(P, M, left, right, sinks, lambda x: Max(0, x)), _EVERYWHERE
    sizes = {symbol: value for symbol, value in zip((P, M), at, strict=True) if symbol.is_Symbol}
    conditions: list[Expr] = []  # each holds where it is >= 0

    def positive(x: Any) -> Expr:
        x = sympify(x)
        holds = x.subs(sizes, simultaneous=True) >= 0
        conditions.append(x if holds else -x)
        return x if holds else sympify(0)

    total = counts.pairs(P, M, left, right, sinks, positive)
    shortest = min((expand(total), factor(total)), key=lambda form: len(str(form)))
    return shortest, ", ".join(_at_least_zero(x) for x in _needed(conditions)) or _EVERYWHERE


def _needed(conditions: Iterable[Expr]) -> list[Expr]:
    """The conditions that neither hold for all positive sizes nor follow from another one."""
    unique = [x for x in dict.fromkeys(expand(x) for x in conditions) if not x.is_nonnegative]
    return [x for x in unique if not any(y is not x and (x - y).is_nonnegative for y in unique)]


def _at_least_zero(x: Expr) -> str:
    """`x >= 0` written without a minus sign: M - P - 4 as "M >= P + 4"."""
    terms = x.as_ordered_terms()
    above = [term for term in terms if not term.could_extract_minus_sign()]
    below = [-term for term in terms if term.could_extract_minus_sign()]
    return f"{sum(above, sympify(0))} >= {sum(below, sympify(0))}"
