"""Mistakes in a cascade: one line each, at the line of the file, with what would be right."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from attnsim.cascade.cascade import Cascade, load_cascade
from attnsim.errors import SpecError
from attnsim.spec.yaml import parse_yaml

GOOD = """\
attnsim: 1
kind: cascade
name: mine
ranks: {B: batch, H: head, P: query, M: key, E: qk dim}
inputs:
  Q: [B, H, P, E]
  K: [B, G, M, E]
partition: {M: [M1, M0]}
init: ["RM[0,p] = -inf"]
body:
  - QK[m1,m0,p] = Q[p,e] * K[m1,m0,e]
  - LM[m1,p]    = QK[m1,m0,p] :: max(m0)
  - RM[m1+1,p]  = max(RM[m1,p], LM[m1,p])
finally: ["Z[p] = exp(RM[M1,p])"]
"""


def problems(text: str, folder: Path) -> list[str]:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        load_cascade(path)
    return [line.removeprefix(f"{folder}/") for line in str(caught.value).splitlines()]


def test_the_good_file_is_good(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(GOOD, encoding="utf-8")
    cascade = load_cascade(tmp_path / "mine.yaml")
    assert cascade.outputs == ("Z",) and cascade.pass_counts() == {"M": 1, "E": 1}
    assert dict(cascade.groups) == {"G": "H"}  # an input with G, and no groups written


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("K[m1,m0,e]\n", "KK[m1,m0,e]\n", "mine.yaml:11:5: body.0: 'KK' is neither an input nor defined by an equation; did you mean 'K'?"),
        (
            "max(RM[m1",
            "maxx(RM[m1",
            "mine.yaml:13:5: body.2: unknown function 'maxx'; did you mean 'max'? (column 15 of 'RM[m1+1,p]  = maxx(",
        ),
        (
            "max(m0)",
            "max(m9)",
            "12:5: body.1: max(m9) reduces over a rank that is not on the right side (column 30 of 'LM[m1,p]    = QK[m1,m0,p] :: max(m9)')",
        ),
        ("exp(RM[M1,p])", "exp(RM[M1,p)", "mine.yaml:14:11: finally.0: expected ']' but found ')' (column 19 of 'Z[p] = exp(RM[M1,p)')"),
        (
            "K[m1,m0,e]\n",
            "K[m1,m0,p]\n",
            "body.0: index 'p' walks rank P, but K has rank E there: a rank used with two meanings (column 32",
        ),
        ("K[m1,m0,e]\n", "K[m0,m1,e]\n", "body.0: index 'm0' walks rank M0, but K has rank M there: a rank used with two meanings"),
        ("K[m1,m0,e]\n", "K[m1,e]\n", "body.0: index 'm1' walks rank M1, but K has rank M there: a rank used with two meanings"),
        ("K[m1,m0,e]\n", "K[m1,m0,e,e]\n", "body.0: K[m1,m0,e,e] has 4 indices, but K is K[m,e]"),
        ("Q[p,e] *", "Q[e] *", "body.0: index 'e' walks rank E, but Q has rank P there: a rank used with two meanings"),
        ("Q[p,e] *", "Q *", "body.0: Q has 0 indices, but Q is Q[p,e]"),
        ("Q[p,e] *", "Q[p,x] *", "body.0: index 'x' has no rank X"),
        ("Q[p,e] *", "Q[b,p,e] *", "body.0: 'b' walks a batch rank; batch ranks are left out of the equations"),
        ("exp(RM[M1,p])", "exp(RM[M,p])", "finally.0: RM is iterative over M1, not over M"),
        ("exp(RM[M1,p])", "exp(RM[0,p])", "finally.0: RM is iterative over M1: read it at m1, m1+1 or M1, not at '0'"),
        ("exp(RM[M1,p])", "exp(LM[M1,p])", "finally.0: LM[M1,p] reads a final coordinate, but LM is not iterative over M1"),
        ("RM[m1+1,p]  =", "RM[m1+2,p] =", "body.2: 'm1+2' cannot stand on the left side"),
        ("RM[m1+1,p]  =", "RM[M1,p] =", "body.2: 'M1' cannot stand on the left side"),
        ("RM[m1+1,p]  =", "RM[m1,m1,p] =", "body.2: rank M1 is twice on the left side"),
        ("RM[m1+1,p]  =", "RM[m1+1,p+1] =", "body.2: RM is iterative over two ranks, M1 and P"),
        ("LM[m1,p]    =", "QK[m1,p] =", "mine.yaml:12:5: body.1: QK is defined twice; first by 'QK[m1,m0,p] = Q[p,e] * K[m1,m0,e]'"),
        ("LM[m1,p]    =", "Q[m1,p] =", "body.1: Q is an input and cannot be defined by an equation"),
        ("QK[m1,m0,p] :: max", "QK[m1,m0,p] + Q[p,e] * K[m,e] :: max", "body.1: rank M is walked whole and in parts by one equation"),
        ("  K: [B", "  W: [H, E]\n  K: [B", "mine.yaml:7:3: inputs.W: input W is never used"),
        ("  K: [B, G, M, E]", "  K: [B, G, M, D]", "mine.yaml:7:16: inputs.K.3: unknown rank 'D'; the ranks are B, H, P, M, E, G, M1, M0"),
        ("  K: [B, G, M, E]", "  K: [B, G, M, E, E]", "inputs.K: K has twice the rank 'E'"),
        ("  K: [B, G, M, E]", "  K: [B, G, H, M, E]", "inputs.K: K has twice the rank 'H'"),
        ("[M1, M0]", "[M0]", "mine.yaml:8:13: partition.M: a partition splits a rank of the equations into two or more"),
        ("{M: [M1, M0]}", "{N: [M1, M0]}", "partition.N: unknown rank 'N'"),
        ("RM[0,p] = -inf", "RM[0,e] = -inf", "mine.yaml:9:8: init.0: write RM[0,p], not RM[0,e]"),
        ("RM[0,p] = -inf", "LM[0,p] = -inf", "init.0: LM is not iterative: no equation defines it at a coordinate such as m1+1"),
        ("RM[0,p] = -inf", "RM[0,p] = exp(0)", "init.0: RM must start from a number, -inf, or an input tensor"),
        ('"RM[0,p] = -inf"', '"RM[0,p] = -inf", "RM[0,p] = 0"', "init.1: RM is initialised twice"),
        ('["RM[0,p] = -inf"]', "[]", "mine.yaml:13:5: body.2: RM reads RM at its previous coordinate, but init does not start RM"),
        ("body:", "outputs: [z]\nbody:", "outputs.0: output 'z' is not defined by an equation; did you mean 'Z'?"),
        ("body:", "outputs: [LM]\nbody:", "finally.0: Z is computed, but neither read nor an output"),
        ("body:", "positions: [P, P]\nbody:", "positions: positions takes a query rank and a key rank"),
        ("body:", "positions: [P, N]\nbody:", "positions.1: unknown rank 'N'"),
        ("body:", "groups: {G: P}\nbody:", "groups.G: G groups P, which is not a batch rank"),
        ("body:", "shared: {Q: G}\nbody:", "shared.Q: shared gives a computed tensor its group rank"),
        ("body:", "batch: [B, X]\nbody:", "batch.1: unknown rank 'X'"),
        ("M: key", "m: key", "ranks.m: 'm' cannot be a rank; a rank starts with an upper-case letter"),
        ("E: qk dim}", "E: qk dim, Kv: x, KV: y}", "two ranks have the variable 'kv'"),
        ("  - QK[m1", "  - 3\n  - QK[m1", "body.0: write an equation such as"),
        ("  - QK[m1", "  - {a: b, c: d}\n  - QK[m1", "body.0: write an equation such as"),
        ("body:", "boddy: []\nbody:", "boddy: unknown field; did you mean 'body'?"),
    ],
)
def test_mistakes_name_the_line_and_the_remedy(old: str, new: str, wanted: str, tmp_path: Path) -> None:
    assert old in GOOD
    found = problems(GOOD.replace(old, new), tmp_path)
    assert any(wanted in line and line.startswith("mine.yaml:") for line in found), found


def test_all_mistakes_of_a_file_are_told_in_one_run(tmp_path: Path) -> None:
    found = problems(GOOD.replace("* K[m1,m0,e]", "* KK[m1,m0,e]").replace("LM[m1,p])", "LL[m1,p])"), tmp_path)
    assert [line.split(" ")[0] for line in found] == ["mine.yaml:11:5:", "mine.yaml:13:5:"]


@pytest.mark.parametrize(
    ("body", "chain"),
    [
        (["X[p] = Y[p] + A[p]", "Y[p] = exp(X[p])"], "X needs Y needs X"),
        (["X[p] = exp(X[p]) + A[p]"], "X needs X"),
        (["X[p] = Y[p] + A[p]", "Y[p] = exp(Z[p])", "Z[p] = neg(X[p])"], "X needs Y needs Z needs X"),
    ],
)
def test_a_cycle_is_shown_as_a_chain(body: list[str], chain: str) -> None:
    ring = {
        "attnsim": 1,
        "kind": "cascade",
        "name": "ring",
        "ranks": {"P": ""},
        "batch": [],
        "positions": [],
        "inputs": {"A": ["P"]},
        "body": body,
    }
    with pytest.raises(SpecError, match=f"body.0: cyclic cascade: {chain}$"):
        load_cascade(ring)


@pytest.mark.parametrize(
    "body",
    [
        # the step needs its own final value
        ["X[m+1] = X[m] + A[m] * X[M]"],
        # the step needs a total over all steps
        ["S = X[m+1] * A[m]", "X[m+1] = X[m] * S"],
        # two recurrences, one waiting for the end of the other and feeding it
        ["X[m+1] = X[m] + Y[M] * A[m]", "Y[m+1] = Y[m] + X[m]"],
    ],
)
def test_an_iteration_that_waits_for_its_own_end_is_a_cycle(body: list[str]) -> None:
    spec = {
        "attnsim": 1,
        "kind": "cascade",
        "name": "loop",
        "ranks": {"M": ""},
        "batch": [],
        "positions": [],
        "inputs": {"A": ["M"]},
        "body": body,
    }
    start = [f"{name}[0] = 0" for name in "XY" if any(line.startswith(f"{name}[m+1]") for line in body)]
    with pytest.raises(SpecError, match="cyclic cascade"):
        load_cascade({**spec, "init": start})


def test_recurrences_that_feed_each_other_step_by_step_are_fine() -> None:
    body = ["X[m+1] = X[m] + Y[m] * A[m]", "Y[m+1] = Y[m] + X[m+1]"]
    spec = {
        "attnsim": 1,
        "kind": "cascade",
        "name": "pair",
        "ranks": {"M": ""},
        "batch": [],
        "positions": [],
        "inputs": {"A": ["M"]},
        "body": body,
    }
    cascade = load_cascade({**spec, "init": ["X[0] = 0", "Y[0] = 1"], "finally": ["Z = X[M] / Y[M]"]})
    assert cascade.passes("M").count == 1


def test_order_of_writing_does_not_matter() -> None:
    ring = {"attnsim": 1, "kind": "cascade", "name": "late", "ranks": {"P": ""}, "batch": [], "positions": [], "inputs": {"A": ["P"]}}
    cascade = load_cascade({**ring, "body": ["Z = Y[p]", "Y[p] = exp(X[p])", "X[p] = A[p] + 1"]})
    assert [einsum.label for einsum in cascade.einsums] == ["X", "Y", "Z"]


def test_an_inline_cascade_is_located_in_the_file_that_holds_it() -> None:
    inline = "cascade:\n" + "".join(f"  {line}\n" for line in GOOD.replace("max(RM", "maxx(RM").splitlines())
    doc = parse_yaml(inline, "workload.yaml")
    with pytest.raises(SpecError) as caught:
        load_cascade(doc.data["cascade"], doc, ("cascade",))
    assert str(caught.value).startswith("workload.yaml:14:7: cascade.body.2: unknown function 'maxx'")


def test_an_unknown_name_is_located_where_it_was_written() -> None:
    doc = parse_yaml("name: x\ncascade: attention-9pass\n", "workload.yaml")
    with pytest.raises(SpecError, match=r"workload.yaml:2:1: cascade: unknown cascade 'attention-9pass'; did you mean 'attention-\dpass'"):
        load_cascade("attention-9pass", doc, ("cascade",))


def test_affine_indices_reach_into_their_rank() -> None:
    conv = {
        "attnsim": 1,
        "kind": "cascade",
        "name": "conv",
        "ranks": dict.fromkeys("WPS", ""),
        "batch": [],
        "positions": [],
        "inputs": {"X": ["W"], "K": ["S"]},
    }
    cascade = load_cascade({**conv, "body": ["Y[p] = X[2*p+s] * K[s]"]})
    sizes = cascade.resolve_sizes({"W": 11, "P": 5, "S": 3})
    assert cascade.counts(sizes) == {"Y": {"mac": 15}} and cascade.passes("S").count == 1
    with pytest.raises(SpecError, match="sizes.W: an index reaches coordinate 10 of rank W, whose size is 10"):
        cascade.resolve_sizes({"W": 10, "P": 5, "S": 3})


def test_cascades_are_cached_by_content_and_survive_pickling() -> None:
    one, other = load_cascade("attention-1pass"), load_cascade("attention_1pass")
    assert one is other is Cascade.from_spec(one.spec)
    changed = Cascade.from_spec(one.spec.model_copy(update={"title": "another"}))
    assert changed != one and changed.content_key != one.content_key
    assert pickle.loads(pickle.dumps(one)) == one
