"""What one equation costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from attnsim.cascade.cascade import Cascade
from attnsim.cascade.einsum import OpTerm
from attnsim.errors import SpecError

Small = Callable[..., Cascade]

# Distinct primes, so that every product of sizes names its ranks.
SIZES = {"P": 2, "M": 3, "E": 5, "F": 7, "C": 11}
INPUTS = {
    "X": ["M", "P"], "Q": ["P", "E"], "K": ["M", "E"], "V": ["M", "F"], "W": ["E", "C"], "U": ["P", "C"], "T": ["M", "C"],
    "R": ["P"], "S": ["M"],
}  # fmt: skip
P, M, E, F, C = 2, 3, 5, 7, 11


def cost(small: Small, equation: str, **fields: Any) -> dict[str, int]:
    used = {name: ranks for name, ranks in INPUTS.items() if f"{name}[" in equation}
    cascade = small(equation, inputs=used, ranks=dict.fromkeys(SIZES, ""), **fields)
    return cascade.counts(cascade.resolve_sizes(SIZES))[cascade.einsums[0].label]


@pytest.mark.parametrize(
    ("equation", "operations"),
    [
        ("Y[m,p] = Q[p,e] * K[m,e]", {"mac": P * M * E}),
        ("Y[m,p] = Q[p,e] * K[m,e] :: sum(e)", {"mac": P * M * E}),
        ("Y[m,p] = 0.125 * Q[p,e] * K[m,e]", {"mul": P * E, "mac": P * M * E}),
        ("Y[m,p,c] = Q[p,e] * K[m,e] * W[e,c]", {"mul": P * M * E, "mac": P * M * E * C}),
        ("Y[p] = X[m,p]", {"add": P * M}),
        ("Y = X[m,p]", {"add": P * M}),
        ("Y[p] = X[m,p] :: max(m)", {"max": P * M}),
        ("Y[p] = X[m,p] :: prod(m)", {"mul": P * M}),
        ("Y = X[m,p] :: max(m), sum(p)", {"max": P * M, "add": P}),
        ("Y = X[m,p] :: max(m, p)", {"max": P * M}),
        ("Y[p] = Q[p,e] * K[m,e] :: max(m)", {"mac": P * M * E, "max": P * M}),
        ("Y[p] = exp(X[m,p] - R[p]) :: sum(m)", {"sub": P * M, "exp": P * M, "add": P * M}),
        ("Y[m,p] = X[m,p]", {}),
        ("Y[m,p] = X[m,p] * X[m,p]", {"mul": P * M}),
        ("Y[m,p] = exp(R[p]) + X[m,p]", {"exp": P, "add": P * M}),
        ("Y[m,p] = X[m,p] / R[p]", {"div": P * M}),
        ("Y[m,p] = X[m,p] / (R[p] + 1)", {"add": P, "div": P * M}),
        ("Y[m,p] = X[m,p] * (2 * 3 + 1)", {"mul": P * M}),
        ("Y[m,p] = max(X[m,p], R[p], S[m])", {"max": 2 * P * M}),
        ("Y[m,p] = max(R[p], 0) + X[m,p]", {"max": P, "add": P * M}),
        ("Y[m,p] = silu(X[m,p])", {"sigmoid": P * M, "mul": P * M}),
        ("Y[m,p] = relu(-X[m,p])", {"sub": P * M, "max": P * M}),
        ("Y[m,p] = square(X[m,p]) * rsqrt(R[p])", {"mul": 2 * P * M, "rsqrt": P}),
        ("Y[m,p] = min(tanh(X[m,p]), sqrt(log(R[p])))", {"tanh": P * M, "log": P, "sqrt": P, "min": P * M}),
        # Einstein's convention: each addend sums over its own missing ranks, and accumulates into the result.
        ("Y[m,p] = Q[p,e] * K[m,e] + X[m,p]", {"mac": P * M * E, "add": P * M}),
        ("Y[m,p] = Q[p,e] * K[m,e] - U[p,c] * T[m,c]", {"mac": P * M * E + P * M * C}),
        ("Y[p] = X[m,p] - R[p]", {"add": P * M, "sub": P}),
    ],
)
def test_operations_by_kind(small: Small, equation: str, operations: dict[str, int]) -> None:
    assert cost(small, equation) == operations


def test_terms_name_every_iteration_rank_batch_first(small: Small) -> None:
    shapes = {"Q": ["B", "H", "P", "E"], "K": ["B", "G", "M", "E"]}
    ranks = dict.fromkeys("BHPME", "")
    cascade = small("QK[m1,m0,p] = Q[p,e] * K[m1,m0,e]", inputs=shapes, ranks=ranks, batch=["B", "H"], partition={"M": ["M1", "M0"]})
    (einsum,) = cascade.einsums
    assert einsum.terms == (OpTerm("mac", ("B", "H", "P", "M1", "M0", "E")),)
    assert einsum.ranks == ("B", "H", "P", "M1", "M0", "E")
    assert einsum.reductions == (("E", "sum"),)
    assert [operand.ranks for operand in einsum.operands] == [("B", "H", "P", "E"), ("B", "G", "M1", "M0", "E")]
    assert einsum.output.ranks == ("B", "H", "P", "M1", "M0") and cascade.tensor_ranks("QK") == ("B", "H", "M", "P")
    sizes = {"B": 2, "H": 4, "P": 3, "M1": 5, "M0": 7, "E": 11}
    assert einsum.terms[0].count(sizes) == 2 * 4 * 3 * 5 * 7 * 11


def test_a_product_of_two_shapes_is_a_matmul_and_a_dot_product_is_not(small: Small) -> None:
    inputs = {"Q": ["P", "E"], "K": ["M", "E"], "U": ["P", "E"]}
    cascade = small("QK[m,p] = Q[p,e] * K[m,e]", "D[p] = Q[p,e] * U[p,e]", "Z[m,p] = QK[m,p] * D[p]", inputs=inputs)
    assert cascade.matmuls == ("QK",)


@pytest.mark.parametrize(
    ("equation", "message"),
    [
        ("Y[p] = exp(X[m,p])", "rank M is missing on the left; only products and plain tensors are summed unasked: write ':: sum(m)'"),
        ("Y[p] = X[m,p] / R[p]", "write ':: sum(m)'"),
        ("Y[p] = R[p] :: max(m)", "max(m) reduces over a rank that is not on the right side"),
        ("Y[p] = R[p] :: max(z)", "max(z) reduces over a rank that is not on the right side"),
        ("Y[m,p] = X[m,p] :: max(m)", "max(m) reduces over rank M, which is kept on the left side"),
        ("Y = X[m,p] :: max(m), sum(m)", "a rank is reduced twice"),
        ("Y[m,p] = R[p]", "rank M is on the left side but on no operand"),
        ("Y[p] = 3 * S[m]", "rank P is on the left side but on no operand"),
    ],
)
def test_reductions_that_make_no_sense(small: Small, equation: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        cost(small, equation)
    assert message in str(caught.value)


def test_heads_of_a_group_share_reads_and_sum_into_shared_results(small: Small) -> None:
    fields: Mapping[str, Any] = {"ranks": dict.fromkeys("BHPM", ""), "batch": ["B", "H"]}
    shapes = {"X": ["B", "H", "P", "M"], "S": ["B", "G", "M"]}
    cascade = small("T[m] = square(S[m])", "Y[p] = X[p,m] * T[m]", "Z[m] = X[p,m] * Y[p]", inputs=shapes, shared={"Z": "G"}, **fields)
    sizes = cascade.resolve_sizes({"B": 2, "H": 12, "G": 3, "P": 5, "M": 7})
    assert cascade.counts(sizes) == {"T": {"mul": 2 * 3 * 7}, "Y": {"mac": 2 * 12 * 5 * 7}, "Z": {"mac": 2 * 12 * 5 * 7}}
    assert cascade.tensor_ranks("T") == ("B", "G", "M") and cascade.tensor_ranks("Z") == ("B", "G", "M")
    assert cascade.by_label["Z"].reductions == (("H", "sum"), ("P", "sum"))
