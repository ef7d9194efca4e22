"""The formulas for people say what the counts say."""

import subprocess
import sys

import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from attnsim.mask import CAUSAL, DENSE, Banded

P, M = sympy.symbols("P M", integer=True, positive=True)
MASKS = st.builds(Banded.of, st.none() | st.integers(0, 12), st.none() | st.integers(0, 12), st.integers(0, 5))
SIZES = st.integers(1, 20)


def holds(domain: str, p: int, m: int) -> bool:
    """Whether the sizes are inside a domain such as "M >= P + 3, P >= 1"."""
    return all(bool(sympy.sympify(condition, locals={"P": P, "M": M}).subs({P: p, M: m})) for condition in domain.split(", "))


def test_readable_where_it_matters():
    assert DENSE.formula(P, M) == (P * M, "P >= 1, M >= 1")
    expression, domain = CAUSAL.formula(P, M, at=(8192, 8192))
    assert sympy.expand(expression - (P * M - P * (P - 1) / 2)) == 0
    assert domain == "M >= P"
    assert CAUSAL.formula(P, M, at=(9, 5)) == (M * (M + 1) / 2, "P >= M")
    assert Banded.of(1023, 0).formula(P, M, at=(1, 8192)) == (1024 * P, "M >= P + 1024")
    assert Banded.of(1023, 0, 4).formula(P, M, at=(1, 8192)) == (1028 * P, "M >= P + 1028")


def test_one_symbol_for_both_sizes():
    expression, domain = CAUSAL.formula(P, P, at=(64, 64))
    assert sympy.expand(expression - P * (P + 1) / 2) == 0
    assert domain == "P >= 1, M >= 1"


def test_a_size_may_be_a_number():
    expression, domain = CAUSAL.formula(1, M, at=(1, 4096))
    assert (expression, domain) == (M, "P >= 1, M >= 1")


@settings(max_examples=40, deadline=None)
@given(MASKS, SIZES, SIZES)
def test_the_general_formula_equals_the_count(mask, p, m):
    expression, _ = mask.formula(P, M)
    assert expression.subs({P: p, M: m}) == mask.pairs(p, m)
    assert mask.pairs(P, M).subs({P: p, M: m}) == mask.pairs(p, m)
    assert mask.row_blocks(P, M, 4).subs({P: p, M: m}) == mask.row_blocks(p, m, 4)


@settings(max_examples=40, deadline=None)
@given(MASKS, SIZES, SIZES, SIZES, SIZES)
def test_the_local_formula_equals_the_count_on_its_whole_domain(mask, p, m, p2, m2):
    expression, domain = mask.formula(P, M, at=(p, m))
    assert not expression.has(sympy.Max)
    assert holds(domain, p, m)
    assert expression.subs({P: p, M: m}) == mask.pairs(p, m)
    if holds(domain, p2, m2):
        assert expression.subs({P: p2, M: m2}) == mask.pairs(p2, m2)


@pytest.mark.parametrize("module", ["numpy", "sympy"])
def test_counting_imports_neither_numpy_nor_sympy(module):
    code = (
        "import sys; from attnsim.mask import CAUSAL; CAUSAL.pairs(64, 64); CAUSAL.row_blocks(64, 64, 8); CAUSAL.walk(64, 64, 8, 8);"
        f"CAUSAL.walk_keys(64, 64, 8, 8); CAUSAL.describe(); sys.exit({module!r} in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})
