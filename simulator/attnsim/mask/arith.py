"""Arithmetic that is the same text for Python ints, numpy arrays and sympy expressions.

Ints stay exact. Arrays become float64, because the products here pass 2**63 long before float64 runs out; object arrays keep their
Python ints. Neither numpy nor sympy is imported until one of theirs comes in.
"""

from __future__ import annotations

from operator import index
from typing import Any, TypeAlias

from attnsim.lanes import Lanes, OneByOne

Number: TypeAlias = Any
"""An int, a numpy array or a sympy expression; the result of a formula is what its arguments are."""


def is_symbolic(x: Number) -> bool:
    """Whether x is a sympy expression with free symbols."""
    return bool(getattr(x, "free_symbols", ()))


def size(x: Number, name: str) -> Number:
    """x made ready for the formulas; ValueError unless it is a positive integer (every element, for arrays)."""
    if isinstance(x, int):
        if x < 1:
            raise ValueError(f"{name} must be at least 1, not {x}")
        return x
    if type(x) is Lanes or is_symbolic(x):
        return x
    try:
        return size(index(x), name)  # numpy and sympy integers
    except TypeError:
        pass
    import numpy as np

    array = np.asarray(x)
    array = array if array.dtype == object else array.astype(np.float64)
    if not ((array >= 1) & (array % 1 == 0)).all():
        raise ValueError(f"{name} must hold whole numbers of at least 1")
    return array


def one_size(x: Number, name: str) -> int:
    """x as an int, for masks that are counted one size at a time. ValueError below 1, TypeError for arrays and symbols."""
    checked = size(x, name)
    if type(checked) is Lanes:
        raise OneByOne
    if not isinstance(checked, int):
        raise TypeError(f"{name} must be one number: this mask is counted one size at a time")
    return checked


def positive_part(x: Number) -> Number:
    """max(x, 0)."""
    if isinstance(x, int):
        return x if x > 0 else 0
    if is_symbolic(x):
        from sympy import Max

        return Max(0, x)
    return half(x + abs(x))


def half(x: Number) -> Number:
    """x / 2 for an x that is known to be even."""
    if isinstance(x, int) or getattr(getattr(x, "dtype", None), "kind", "") == "O":
        return x // 2
    return x / 2


def ceil_div(x: Number, y: Number) -> Number:
    """x / y rounded up."""
    return -(-x // y)
