"""Models asked of many batches and contexts at once have the answers they have one by one: every number to 1e-9, and every word."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnsim.api.documents import workload_document
from attnsim.explore.answer.scalar import Group, answer_one_by_one
from attnsim.explore.answer.vector import answer_together, answers_together
from attnsim.lanes import Lanes, OneByOne, Refused, quotient, refusal
from attnsim.machine.load import load_machine
from attnsim.serving.answer import ModelEstimate
from attnsim.serving.cost import Cost, remembered

FIELDS = tuple(entry.name for entry in dataclasses.fields(ModelEstimate) if entry.name != "assumptions")
MODELS = ("llama3-8b", "llama3-70b", "mistral-7b", "qwen3-235b", "deepseek-v3", "step3", "minimax-m1", "gpt-oss-20b")
MACHINES = ("h200", "h800", "b200", "a100_sxm_80gb", "mi300x")
CACHE = {"budget": 4096, "kept": 0.7, "page": "2 MiB"}
STACK = {"efficiency": 0.8, "overhead": "1 ms", "cache_copies": 1, "prompt_logits": True, "source": "drawn"}


@st.composite
def deployments(draw: st.DrawFn, phase: str) -> dict[str, Any]:
    kind = draw(st.sampled_from(("colocated",) * 6 + ("ideal",) + (("afd", "offload") if phase == "decode" else ())))
    if kind == "afd":
        return {"kind": kind, "attention": draw(st.integers(1, 3)), "ffn": draw(st.integers(1, 3))}
    if kind == "offload":
        return {"kind": kind, "compute": draw(st.sampled_from((2, 4))), "memory": 4, "memory_machine": "h20"}
    if kind == "ideal":
        return {"kind": kind}
    tp, dp = draw(st.sampled_from((1, 4, 8))), draw(st.sampled_from((1, 1, 4)))
    deployment: dict[str, Any] = {"kind": kind, "tp": tp, "dp": dp, "ep": draw(st.sampled_from((1, tp * dp)))}
    if draw(st.integers(0, 3)) == 0:
        deployment |= {"cache": CACHE, "stack": STACK, "pp": 2}
    return deployment


@st.composite
def groups(draw: st.DrawFn) -> Group:
    phase = draw(st.sampled_from(("decode", "decode", "prefill")))
    workload: dict[str, Any] = {
        "attnsim": 1, "kind": "model", "name": "drawn", "phase": phase, "model": draw(st.sampled_from(MODELS)), "context": 1024,
        "deployment": draw(deployments(phase)), "kv": draw(st.sampled_from((None, "bf16", "fp8"))),
    }  # fmt: skip
    count = draw(st.integers(4, 8))
    longest = 131072 if phase == "decode" else 16384
    contexts = st.integers(1, 64) | st.integers(64, longest) | st.sampled_from((1024, 4096, 8192))
    sizes = {"context": [draw(contexts) for _ in range(count)]}
    if draw(st.integers(0, 5)) and workload["deployment"]["kind"] != "ideal" or phase == "prefill":
        sizes["batch"] = [draw(st.integers(1, 8) | st.integers(1, 512)) for _ in range(count)]
        workload["batch"] = 1
    if draw(st.integers(0, 3)) == 0 or "batch" not in sizes:
        workload["slo"] = {"tpot": "50 ms"} if phase == "decode" else {"ttft": "2 s"}
    columns = {name: np.array(column) for name, column in sizes.items()}
    latent = workload["model"] == "deepseek-v3"  # no schedule of the library runs the cores of MLA on other machines
    machine = load_machine(draw(st.sampled_from(MACHINES[:2] if latent else MACHINES)))
    document = workload_document({name: value for name, value in workload.items() if value is not None})
    return Group(document, machine, None, columns, "all", FIELDS, count)


def same(alone: dict[str, Any], together: dict[str, Any], count: int) -> None:
    for name in {*alone, *together}:
        one, many = alone.get(name, [None] * count), together.get(name, [None] * count)
        for index in range(count):
            a, b = one[index], many[index]
            if isinstance(a, str) or isinstance(b, str):
                assert a == b, (name, index)
            elif a is None or b is None:
                assert a is None and (b is None or math.isnan(b)), (name, index, a, b)
            else:
                assert math.isclose(a, b, rel_tol=1e-9), (name, index, a, b)


@settings(max_examples=25, deadline=None)
@given(groups())
def test_points_at_once_are_those_one_by_one(group: Group) -> None:
    assert answers_together(group)
    same(answer_one_by_one(group, range(group.count)), answer_together(group), group.count)


def grid(batches: list[int], contexts: list[int], **workload: Any) -> Group:
    data = {"attnsim": 1, "kind": "model", "name": "grid", "context": 1024, "batch": 1, **workload}
    sizes = {"batch": np.repeat(batches, len(contexts)), "context": np.tile(contexts, len(batches))}
    return Group(workload_document(data), load_machine("h200"), None, sizes, "all", FIELDS, len(sizes["batch"]))


def test_a_refused_point_is_told_of_its_own_numbers() -> None:
    group = grid([1, 40, 512], [1024, 100_000, 131_072], model="llama3-70b", deployment={"kind": "colocated", "tp": 2})
    errors = answer_together(group)["error"]
    assert list(errors) == answer_one_by_one(group, range(group.count))["error"]
    assert errors[0] is None and errors[3] is None
    assert "40 requests of 100000 tokens" in errors[4] and "512 requests of 131072 tokens" in errors[8]


def test_a_batch_below_one_is_refused_alone() -> None:
    group = grid([0, 1, 2, 4], [1024, 2048], model="llama3-8b")
    answers = answer_together(group)
    assert [error is None for error in answers["error"]] == [False] * 2 + [True] * 6
    assert "at least 1" in answers["error"][0]


def test_a_question_of_words_is_answered_one_by_one() -> None:
    group = grid([1, 2], [1024, 2048], model="llama3-8b")
    assert answers_together(group)
    assert not answers_together(dataclasses.replace(group, fields=(*FIELDS, "assumptions")))
    assert not answers_together(dataclasses.replace(group, fields=None))


def test_costs_are_computed_once_for_each_number() -> None:
    asked: list[list[float]] = []

    @remembered
    def cost(name: str, rows: Any, cols: Any) -> Cost:
        asked.append(rows.values.tolist() if type(rows) is Lanes else [rows])
        return Cost(seconds=rows * cols, bytes=7.0)

    rows, cols = Lanes(np.array([5.0, 1, 5, 2, 3, 4, 4])), Lanes(np.array([2.0, 2, 2, 2, 3, 3, 3]))
    assert cost("a", rows, cols).seconds.values.tolist() == [10, 2, 10, 4, 9, 12, 12]
    assert asked == [[1, 2, 3, 4, 5]]
    found = cost("a", Lanes(np.array([9.0, 5, 8, 7, 6, 9])), Lanes(np.full(6, 2.0)))
    assert found.seconds.values.tolist() == [18, 10, 16, 14, 12, 18] and found.bytes.values.tolist() == [7] * 6
    assert asked[1:] == [[6, 7, 8, 9]]
    assert cost("a", 5, 2).seconds == 10


def test_costs_of_three_numbers_at_once_are_asked_one_by_one() -> None:
    @remembered
    def cost(first: Any, second: Any, third: Any) -> Cost:
        return Cost(first + second + third)

    numbers = [Lanes(np.arange(4.0) * factor) for factor in (1, 2, 3)]
    with pytest.raises(OneByOne):
        cost(*numbers)
    assert cost(numbers[0], numbers[1], numbers[0]).seconds.values.tolist() == [0, 4, 8, 12]


@given(st.floats(1e-3, 1e15), st.floats(1e-3, 1e6))
def test_quotients_of_lanes_are_those_of_numbers(first: float, second: float) -> None:
    assert quotient(Lanes(np.array([first])), second).values[0] == first // second == quotient(first, second)


def test_powers_and_rounding_of_lanes_are_those_of_numbers() -> None:
    exponents = list(range(1, 400))
    assert (0.96875 ** Lanes(np.array(exponents, dtype=float))).values.tolist() == [0.96875**one for one in exponents]
    halves = [0.5, 1.5, 2.5, -0.5, 2.4]
    assert round(Lanes(np.array(halves))).values.tolist() == [round(one) for one in halves]


def test_a_refusal_of_lanes_holds_one_error_each() -> None:
    def told(batch: float, limit: float) -> ValueError:
        return ValueError(f"{batch:.0f} of {limit:.0f}")

    assert str(refusal(told, 3, 2)) == "3 of 2"
    refused = refusal(told, Lanes(np.array([3.0, 4])), 2)
    assert isinstance(refused, Refused) and [str(error) for error in refused.errors] == ["3 of 2", "4 of 2"]
