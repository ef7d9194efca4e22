"""When each part of a deployment works on what: nothing at two things at a time, and in all as long as the answer says."""

from __future__ import annotations

from typing import Any

import pytest

import attnsim
from attnsim.serving.timeline import Timeline, timeline

# Deployments of every kind, with more and fewer micro-batches than hide the network, and layers of several kinds.
STACK = ("overhead=2 ms", "efficiency=0.8", "cache_copies=1", "source=a test")
ASKED: list[tuple[str, str, dict[str, Any], tuple[str, ...]]] = [
    ("step3-afd", "h800", {}, ()),
    ("step3-afd", "h800", {}, ("deployment.micro_batches=1", "batch=2048")),
    ("step3-afd", "h800", {}, ("deployment.micro_batches=2", "deployment.sync=0 us", "batch=4096")),
    ("step3-afd", "h800", {}, ("deployment.micro_batches=4", "context=512")),
    ("lamina-llama3-70b", "h100_sxm", {}, ()),
    ("lamina-llama3-70b", "h100_sxm", {}, ("deployment.batches=3", "deployment.replicas=2")),
    ("lamina-llama3-70b", "h100_sxm", {}, ("deployment.batches=1", "context=16384")),
    ("llama3-70b-serving", "h200", {}, ()),
    ("vicuna-7b-decode", "a100_sxm_80gb", {}, ("phase=prefill", "batch=1")),
    ("llama3-70b-serving", "h200", {}, ("deployment.pp=2", "batch=32", "slo.tpot=200 ms")),
    ("deepseek-v3-ep128", "h800", {}, ()),
    ("vicuna-7b-decode", "a100_sxm_80gb", {}, (*(f"deployment.stack.{text}" for text in STACK),)),
    ("step3-decode-ideal", "h800", {}, ()),
]  # fmt: skip


def told(workload: str, arch: str, overrides: dict[str, Any], sets: tuple[str, ...]) -> tuple[Timeline, Any]:
    report = attnsim.run(workload, arch, sets=sets, **overrides)
    return timeline(report.resolved()[0], report.results[0]), report.results[0]


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: " ".join((asked[0], *asked[3])))
def test_a_step_is_as_long_as_the_answer_and_no_row_does_two_things(asked: Any) -> None:
    line, answer = told(*asked)
    busy = line.busy_s
    assert set(busy) == {name for name, seconds in answer.time_by_resource_s.items() if seconds > 0}
    for name, seconds in busy.items():
        assert seconds == pytest.approx(float(answer.time_by_resource_s[name]), rel=1e-9), name
    free = [0.0] * len(line.rows)
    for work in line.work:
        assert work.start >= free[work.row] - 1e-12, work
        free[work.row] = work.start + work.seconds
    if asked[0] not in ("step3-afd", "lamina-llama3-70b"):  # there the last micro-batch is still on its way when the next round begins
        assert max(free) == pytest.approx(float(answer.latency_s), rel=1e-9)


@pytest.mark.parametrize("asked", [ASKED[number] for number in (0, 3, 4, 5, 6)], ids=lambda asked: " ".join((asked[0], *asked[3])))
def test_a_micro_batch_is_in_one_place_at_a_time(asked: Any) -> None:
    """With as many micro-batches as stages, or batches that take turns, each passes its layers one stage after another."""
    line, _ = told(*asked)
    for batch in {work.batch for work in line.work}:
        own = sorted((work for work in line.work if work.batch == batch), key=lambda work: (work.layer, work.start))
        for before, after in zip(own, own[1:], strict=False):
            assert before.start + before.seconds <= after.start + 1e-9, (before, after)


def test_kernels_of_a_layer_stand_in_their_order() -> None:
    line, _ = told(*ASKED[7])
    names = [work.name for work in line.work if work.layer == 3]
    assert names == [
        "norms", "projections", "rotary", "attention", "projections", "all-reduce", "norms", "ffn", "activations", "ffn", "all-reduce",
    ]  # fmt: skip
    assert line.work[-1].name == "head" and [work.layer for work in line.work[:-1]] == sorted(work.layer for work in line.work[:-1])
