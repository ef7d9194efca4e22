"""Passes are read off the equations: the published counts, edits that change them, and fibers that must not be confused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from attnsim.cascade.cascade import Cascade, load_cascade
from attnsim.errors import SpecError
from attnsim.spec.library import load

Small = Callable[..., Cascade]


@pytest.mark.parametrize(
    ("name", "rank", "passes"),
    [
        ("attention-unstable", "M", 2),
        ("attention-3pass", "M", 3),
        ("attention-3pass-deferred", "M", 2),
        ("attention-2pass", "M", 2),
        ("attention-1pass", "M", 1),
        ("mla-absorbed", "M", 1),
        ("mla-expanded", "M", 1),
        ("attention-backward", "M", 1),
        ("attention-backward", "P", 1),
        ("product-2pass", "K", 2),
        ("product-deferred", "K", 1),
        ("product-iterative", "K", 1),
    ],
)
def test_published_pass_counts(name: str, rank: str, passes: int) -> None:
    cascade = load_cascade(name)
    assert cascade.passes(rank).count == passes == cascade.pass_counts()[rank]


def edited(name: str, change: dict[str, str], **fields: Any) -> Cascade:
    """A library cascade with the equation of each named tensor replaced ("" removes it)."""
    data = load("cascade", name).data
    lines = [line if isinstance(line, str) else ": ".join(*line.items()) for line in data["body"]]
    body = [change.get(line.split("[")[0], line) for line in lines]
    assert sum(line.split("[")[0] in change for line in lines) == len(change)
    return load_cascade({**data, "body": [line for line in body if line], **fields})


@pytest.mark.parametrize(
    ("name", "change", "fields", "passes"),
    [
        ("attention-3pass", {"A": "A[m,p] = SN[m,p]"}, {"outputs": ["AV", "SD"]}, 2),
        ("attention-3pass", {"SN": "SN[m,p] = exp(QK[m,p])", "GM": ""}, {}, 2),
        ("attention-3pass", {"A": "SNV[p,f] = SN[m,p] * V[m,f]", "AV": "AV[p,f] = SNV[p,f] / SD[p]"}, {}, 2),
        ("attention-2pass", {"SD": "SD[p] = SN[m1,m0,p]", "SLD": ""}, {}, 3),
        # The running denominator is replaced by the final one in the body: every key must be read again.
        ("attention-1pass", {"SLNV": "SLNV[m1,p,f] = SLN[m1,m0,p] * V[m1,m0,f] * RD[M1,p]"}, {}, 2),
        ("product-2pass", {"Z = Y * A": "Z = Y"}, {}, 1),
    ],
)
def test_editing_an_equation_changes_the_answer(name: str, change: dict[str, str], fields: dict[str, Any], passes: int) -> None:
    rank = "K" if name.startswith("product") else "M"
    assert edited(name, change, **fields).passes(rank).count == passes != load_cascade(name).passes(rank).count


def test_pass_of_every_einsum_and_why() -> None:
    plan = load_cascade("attention-3pass").passes("M")
    assert dict(plan.pass_of) == {"QK": 1, "GM": 1, "SN": 2, "SD": 2, "A": 3, "AV": 3} == dict(plan.stage_of)
    assert [str(boundary) for boundary in plan.boundaries] == [
        "pass 2 over M starts at SN: it walks QK again and needs GM, complete only at the end of pass 1",
        "pass 3 over M starts at A: it walks SN again and needs SD, complete only at the end of pass 2",
    ]


def test_work_on_tile_results_between_passes_is_no_pass() -> None:
    plan = load_cascade("attention-2pass").passes("M")
    assert dict(plan.pass_of) == {"QK": 1, "LM": 1, "SLN": 1, "SLD": 1, "GM": 1, "PLM": 1, "SD": 1, "SN": 2, "A": 2, "AV": 2}
    (boundary,) = plan.boundaries
    assert (boundary.einsum, boundary.rereads, boundary.waits_for) == ("SN", "SLN", "PLM")


def test_two_independent_fibers_make_no_false_pass(small: Small) -> None:
    """B waits for the sum over A, but no fiber is read twice."""
    cascade = small("S[p] = A[m,p]", "Z[p] = B[m,p] * S[p]", inputs={"A": ["M", "P"], "B": ["M", "P"]})
    plan = cascade.passes("M")
    assert plan.count == 1 and not plan.boundaries
    assert dict(plan.stage_of) == {"S": 1, "Z": 2}  # they still cannot be fused on M


def test_independent_fibers_through_intermediates(small: Small) -> None:
    inputs = {"A": ["M"], "B": ["M"]}
    chain = ["X[m] = exp(A[m])", "S = X[m]", "Y[m] = B[m] / S", "T = Y[m]"]
    assert small(*chain, "Z[m] = square(Y[m]) + 1", inputs=inputs).passes("M").count == 1
    assert small(*chain, "Z[m] = B[m] * T", inputs=inputs).passes("M").count == 2
    # X walks A again, after all of A was read: the chain S -> Y -> T costs A a second pass, not a third.
    assert small(*chain, "Z[m] = X[m] * T", inputs=inputs).passes("M").count == 2


def test_cross_attention_to_two_memories_is_as_cheap_as_to_one(small: Small) -> None:
    """Softmax over one set of keys, its result a query to another set: each set is passed as often as alone."""
    inputs = {"Q": ["P", "E"], "K": ["M", "E"], "V": ["M", "E"], "L": ["M", "E"], "W": ["M", "E"]}
    first = [
        "QK[m,p] = Q[p,e] * K[m,e]",
        "SN[m,p] = exp(QK[m,p])",
        "SD[p] = SN[m,p]",
        "NV[p,e] = SN[m,p] * V[m,e]",
        "AV[p,e] = NV[p,e] / SD[p]",
    ]
    second = [
        "QL[m,p] = AV[p,e] * L[m,e]",
        "TN[m,p] = exp(QL[m,p])",
        "TD[p] = TN[m,p]",
        "NW[p,e] = TN[m,p] * W[m,e]",
        "AW[p,e] = NW[p,e] / TD[p]",
    ]
    plan = small(*first, *second, inputs=inputs).passes("M")
    assert plan.count == 1
    assert plan.stage_of["NV"] == 1 and plan.stage_of["NW"] == 2


def test_the_same_fiber_through_two_names_is_one_fiber(small: Small) -> None:
    cascade = small("X[m] = exp(A[m])", "Y[m] = A[m] * A[m]", "S = X[m]", "Z[m] = Y[m] / S", inputs={"A": ["M"]})
    assert cascade.passes("M").count == 2


def test_variance_takes_three_passes_or_one(small: Small) -> None:
    inputs = {"X": ["M"], "N": []}
    naive = ["S = X[m]", "MU = S / N", "C[m] = X[m] - MU", "VA = C[m] * C[m]", "Y[m] = C[m] * rsqrt(VA)"]
    moments = ["S = X[m]", "T = X[m] * X[m]", "VA = T - S * S / N", "Y = VA / N"]
    assert small(*naive, inputs=inputs, ranks={"M": ""}).passes("M").count == 3
    assert small(*moments, inputs=inputs, ranks={"M": ""}).passes("M").count == 1


def test_iterating_one_rank_costs_no_pass_over_another(small: Small) -> None:
    """Each step normalises a new row over F: two passes over the row, however many steps there are."""
    cascade = small(
        "S[m] = Y[m,f] * Y[m,f]",
        "Y[m+1,f] = Y[m,f] * rsqrt(S[m]) + X[m,f]",
        inputs={"X": ["M", "F"]},
        init=["Y[0,f] = 1"],
        **{"finally": ["Z[f] = Y[M,f]"]},
    )
    assert cascade.pass_counts() == {"M": 1, "F": 2}


def test_three_level_partition_counts_like_the_whole_rank() -> None:
    data = load("cascade", "attention-3pass").data
    split = [
        line.replace("[m,", "[m2,m1,m0,") for line in (item if isinstance(item, str) else ": ".join(*item.items()) for item in data["body"])
    ]
    split = [line.replace("max(m)", "max(m2,m1,m0)") for line in split]
    cascade = load_cascade({**data, "body": split, "partition": {"M": ["M2", "M1", "M0"]}})
    assert cascade.passes("M").count == 3
    sizes = cascade.resolve_sizes({"B": 1, "H": 1, "P": 2, "M": 1000, "E": 4, "F": 4}, {"M1": 4, "M0": 32})
    assert (sizes["M2"], sizes["M1"], sizes["M0"]) == (8, 4, 32)
    assert cascade.counts(sizes)["QK"] == {"mac": 2 * 1000 * 4}


def test_ranks_that_are_not_reduced_are_not_listed() -> None:
    assert load_cascade("attention-3pass").pass_counts() == {"M": 3, "E": 1}


@pytest.mark.parametrize("rank", ["X", "B", "M0"])
def test_passes_over_a_rank_that_is_not_there(rank: str) -> None:
    with pytest.raises(SpecError, match=f"has no rank '{rank}' to pass over"):
        load_cascade("attention-1pass").passes(rank)
