"""Arithmetic that is the same text for Python ints, numpy arrays and sympy expressions.

Ints stay exact. Integer arrays become float64, because B*H*P*M*E passes 2**63 at sizes people ask about. Neither numpy nor sympy is
imported until one of theirs comes in.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from attnsim.tape import Traced, noted

Number: TypeAlias = Any
"""An int, a numpy array or a sympy expression; a formula returns what it was given."""


def is_symbolic(x: Number) -> bool:
    """Whether x is a sympy expression (a sympy number too)."""
    return hasattr(x, "free_symbols")


def plain(x: Number) -> Number:
    """x with numpy integers made safe: scalars become ints, integer arrays float64."""
    kind = getattr(getattr(x, "dtype", None), "kind", "")
    if kind not in ("i", "u"):
        return x
    return int(x) if x.ndim == 0 else x.astype("float64")


def positive(x: Number) -> bool:
    """Whether x is a whole number of at least 1, in every element; a symbol is taken at its word."""
    if type(x) is Traced:
        return bool(noted(_positive, x, x))
    if isinstance(x, bool):
        return False
    if isinstance(x, int):
        return x >= 1
    if is_symbolic(x):
        return x.is_positive is not False and x.is_integer is not False
    try:
        good = (x >= 1) & (x % 1 == 0)
    except TypeError:
        return False
    return bool(good.all() if hasattr(good, "all") else good)


def _positive(x: Number, _: Number) -> bool:
    return positive(x)


def ceil_div(x: Number, y: Number) -> Number:
    """The least whole number of y that hold x."""
    if is_symbolic(x) or is_symbolic(y):
        from sympy import ceiling

        return ceiling(x / y)
    return -(-x // y)


def divides(x: Number, y: Number) -> bool:
    """Whether x divides y, in every element; unknown for symbols, and then taken as true."""
    if is_symbolic(x) or is_symbolic(y):
        return True
    rest = y % x == 0
    return bool(rest.all() if hasattr(rest, "all") else rest)


def product(factors: Iterable[Number]) -> Number:
    """The product, 1 for none."""
    result: Number = 1
    for factor in factors:
        result = result * factor
    return result


def largest(candidates: Iterable[Number]) -> Number:
    """The greatest of at least one number, element by element for arrays."""
    first, *rest = candidates
    for other in rest:
        if is_symbolic(first) or is_symbolic(other):
            from sympy import Max

            first = Max(first, other)
        elif hasattr(first, "dtype") or hasattr(other, "dtype"):
            import numpy as np

            first = np.maximum(first, other)
        else:
            first = max(first, other)
    return first
