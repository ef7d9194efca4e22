from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from sympy import Integer, Symbol, ceiling, sympify

import attnsim
from attnsim.cascade.cascade import load_cascade
from attnsim.report.explain import Question, explanation, explanation_text
from attnsim.spec.library import entries, load

PASSES = {
    "attention-3pass": 3,
    "attention-3pass-deferred": 2,
    "attention-2pass": 2,
    "attention-1pass": 1,
}
PEDAGOGICAL = {"product-2pass": 2, "product-deferred": 1, "product-iterative": 1}


@pytest.mark.parametrize(
    ("name", "rank", "count"), [*((n, "M", c) for n, c in PASSES.items()), *((n, "K", c) for n, c in PEDAGOGICAL.items())]
)
def test_passes_of_the_library_cascades(name: str, rank: str, count: int, call: Any) -> None:
    data = json.loads(call("explain", name, "--format", "json").out)
    (plan,) = (plan for plan in data["passes"] if plan["rank"] == rank)
    assert plan["count"] == count and len(plan["reasons"]) == count - 1
    assert f"  {count} over {rank}\n" in call("explain", name).out


def test_changing_an_equation_changes_the_passes(call: Any, tmp_path: Path) -> None:
    text = next(entry.path for entry in entries("cascade") if entry.name == "attention-3pass").read_text()
    path = tmp_path / "edited.yaml"
    path.write_text(text)
    assert "  3 over M\n" in call("explain", str(path)).out
    # Without the maximum under the exponent nothing waits for the first pass any more.
    assert "exp(QK[m,p] - GM[p])" in text
    path.write_text(text.replace("exp(QK[m,p] - GM[p])", "exp(QK[m,p])"))
    assert "  2 over M\n" in call("explain", str(path)).out


def test_each_new_pass_has_its_reason(call: Any) -> None:
    out = call("explain", "attention-3pass").out
    assert "pass 2 over M starts at SN" in out and "needs GM" in out and "pass 3 over M starts at A" in out and "needs SD" in out


def evaluate(formula: str, values: dict[str, int]) -> int:
    symbols = {name: Symbol(name, integer=True, positive=True) for name in values}
    expression = sympify(formula, locals={**symbols, "ceiling": ceiling})
    return int(expression.subs({symbols[name]: Integer(value) for name, value in values.items()}))


def random_workload(seed: int, cascade: str, mask: dict[str, Any]) -> dict[str, Any]:
    chance = random.Random(seed)
    group, heads = chance.choice([1, 2, 4]), chance.choice([1, 2, 3])
    sizes = {
        "B": chance.randint(1, 9),
        "H": group * heads,
        "G": group,
        "P": chance.randint(1, 3000),
        "E": chance.randint(1, 300),
        "F": chance.randint(1, 300),
    }
    sizes["M"] = sizes["P"] + chance.randint(0, 2000)
    return {"attnsim": 1, "kind": "kernel", "name": "w", "cascade": cascade, "sizes": sizes, "dtype": "bf16", "mask": mask}


@pytest.mark.parametrize(
    "mask",
    [
        {"kind": "dense"},
        {"kind": "causal"},
        {"kind": "window", "left": 100, "right": 0},
        {"kind": "sinks", "sinks": 4, "left": 50, "right": 0},
    ],
)
@pytest.mark.parametrize("cascade", PASSES)
@pytest.mark.parametrize("seed", range(3))
def test_formulas_with_sizes_put_in_equal_the_integers(seed: int, cascade: str, mask: dict[str, Any], call: Any, tmp_path: Path) -> None:
    workload = random_workload(seed, cascade, mask)
    path = tmp_path / "w.yaml"
    path.write_text(json.dumps(workload))
    done = call("explain", str(path), "--format", "json")
    assert done.code == 0, done.err
    data = json.loads(done.out)
    values = {
        **workload["sizes"],
        "M0": workload["sizes"]["M"],
        "pairs": data["mask"]["pairs"],
        "row_blocks": data["mask"]["row_blocks"] or 0,
    }
    for row in [*data["operations"], *data["totals"]]:
        assert evaluate(row["formula"], values) == row["count"], row
    for row in data["footprint"]:
        assert evaluate(row["formula"], values) == row["words"], row
    for row in data["traffic"]:
        assert evaluate(row["formula"], values) == row["amount"], row
    assert evaluate(data["mask"]["formula"], values) == data["mask"]["pairs"]


@pytest.mark.parametrize("cascade", ["attention-1pass", "attention-3pass"])
def test_flops_are_those_of_a_run(cascade: str, call: Any, tmp_path: Path) -> None:
    workload = random_workload(7, cascade, {"kind": "causal"})
    (tmp_path / "w.yaml").write_text(json.dumps(workload))
    data = json.loads(call("explain", str(tmp_path / "w.yaml"), "--format", "json").out)
    (flops,) = (row["count"] for row in data["totals"] if row["what"] == "matmul FLOPs")
    assert flops == attnsim.run(workload, "h100_sxm", schedule="naive").results[0].flops


def test_a_machine_adds_the_schedule_as_resolved(call: Any) -> None:
    data = json.loads(call("explain", "llama3-8b-prefill", "h100_sxm", "--format", "json").out)
    (result,) = attnsim.run("llama3-8b-prefill", "h100_sxm").results
    (schedule,) = data["schedules"]
    assert schedule["schedule"] == result.schedule and schedule["latency_s"] == result.latency_s
    assert [kernel["ctas"] for kernel in schedule["kernels"]] == [kernel.ctas for kernel in result.kernels]
    assert data["workload"]["tiles"]["M"] == result.kernels[0].tile["M"]
    out = call("explain", "llama3-8b-prefill", "h100_sxm").out
    assert f"schedule {result.schedule} on h100_sxm: " in out and "waves" in out


def test_backward_is_explained_with_its_own_cascade(call: Any) -> None:
    done = call("explain", "llama3-8b-prefill", "h100_sxm", "--set", "direction=backward")
    assert done.code == 0 and done.out.startswith("attention-backward")
    done = call("explain", "llama3-8b-prefill", "--set", "direction=backward")
    assert done.code == 2 and "name an ARCH" in done.err


def test_a_bare_cascade_prints_formulas_only_until_sizes_are_set(call: Any) -> None:
    data = json.loads(call("explain", "product-2pass", "--format", "json").out)
    assert "workload" not in data and all(row["count"] is None for row in data["operations"])
    data = json.loads(call("explain", "product-2pass", "--set", "sizes.K=1000", "--format", "json").out)
    assert all(row["count"] >= 1000 for row in data["operations"] if "K" in row["formula"])


@pytest.mark.parametrize("name", [entry.name for entry in entries("cascade")])
def test_every_cascade_that_ships_is_explained(name: str, call: Any) -> None:
    done = call("explain", name)
    assert done.code == 0 and done.out.startswith(name) and "matmul FLOPs" in done.out


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (("attention-3pas",), 3, "did you mean 'attention-3pass'?"),
        (("attention-3pass", "h100_sxm"), 2, "bare cascade"),
        (("attention-3pass", "--set", "dtype=bf16"), 2, "only sizes"),
        (("attention-3pass", "--set", "sizes.Q=4"), 3, "no rank 'Q'"),
        (("llama3-8b-prefill", "--set", "sizes.G=5"), 3, "divide"),
    ],
)
def test_what_cannot_be_explained_says_why(args: tuple[str, ...], code: int, says: str, call: Any) -> None:
    done = call("explain", *args)
    assert done.code == code and done.out == "" and says in done.err


def test_the_data_and_the_text_need_no_command_line() -> None:
    from attnsim.mask import CAUSAL

    cascade = load_cascade("attention-1pass")
    sizes = {"B": 1, "H": 2, "G": 1, "P": 8, "M": 8, "E": 4, "F": 4}
    text = explanation_text(explanation(cascade, Question("w", sizes, {"M": 4}, CAUSAL, "bf16")))
    assert text.endswith("\n") and "36 of 64 per head" in text and "row_blocks = 12:" in text
    assert load("cascade", "attention-1pass").data["name"] in text
