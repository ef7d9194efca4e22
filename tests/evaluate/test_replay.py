"""Kernels asked about again with other sizes: what is played from the engine's own arithmetic is the engine's answer to the last bit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import attnsim
from attnsim.errors import InfeasibleError
from attnsim.evaluate import replay, spans

MASKS: dict[str, dict[str, Any]] = {
    "dense": {"kind": "dense"},
    "causal": {"kind": "causal"},
    "window": {"kind": "window", "left": 1023},
    "sinks": {"kind": "sinks", "left": 511, "sinks": 4},
    "strided": {"kind": "strided", "block": 64, "local": 4, "stride": 4},
}
MACHINES = ("a100_sxm_80gb", "h100_sxm", "b200", "mi300x", "epyc_7763")


def ask(arch: str, sizes: dict[str, int], mask: str = "causal", **more: Any) -> Any:
    full = {"B": 2, "H": 16, "G": 4, "P": 4096, "M": 4096, "E": 128, "F": 128, **sizes}
    workload = {"attnsim": 1, "kind": "kernel", "name": f"of {sizes}", "cascade": "attention-1pass", "dtype": "bf16", "sizes": full}
    return attnsim.run({**workload, "mask": MASKS[mask], **more}, arch)


def by_the_engine(*question: Any, **more: Any) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replay, "BEFORE", 10**9)
        return told(*question, **more)


def told(*question: Any, **more: Any) -> str:
    """The whole answer, or why there is none."""
    try:
        return repr(ask(*question, **more).to_dict())
    except InfeasibleError as error:
        return str(error)


@pytest.fixture(autouse=True)
def nothing_recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(replay, "_kinds", {})
    monkeypatch.setattr(replay, "BEFORE", 0)
    yield
    assert not any(kind.failures for kind in replay._kinds.values())


sizes = st.fixed_dictionaries(
    {
        "B": st.sampled_from((1, 2, 3, 64, 10**6)),
        "H": st.just(16),
        "G": st.sampled_from((1, 4, 5, 16)),
        "P": st.sampled_from((1, 2, 100, 1000, 4096)),
        "M": st.integers(1, 9000) | st.sampled_from((512, 4096, 65536)),
        "E": st.sampled_from((64, 128)),
    }
).map(lambda chosen: {**chosen, "F": chosen["E"]})


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(sizes, min_size=2, max_size=6), st.sampled_from(MACHINES), st.sampled_from(tuple(MASKS)), st.data())
def test_what_is_played_is_what_the_engine_answers(asked: list[dict[str, int]], arch: str, mask: str, data: st.DataObject) -> None:
    more = data.draw(
        st.sampled_from(
            ({}, {"direction": "backward"}, {"conditions": {"cache": "warm"}}, {"conditions": {"launch": "stream", "power_limit": False}})
        )
    )
    if "cache" in more.get("conditions", ()) and arch in ("mi300x", "epyc_7763"):
        more = {}
    for one in [*asked, *asked]:  # the second time every way is known
        try:
            engine = by_the_engine(arch, one, mask, **more)
        except attnsim.errors.SpecError:  # groups that do not divide
            continue
        assert told(arch, one, mask, **more) == engine


@pytest.mark.parametrize("arch", MACHINES[:3])
def test_other_sizes_are_played(arch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every way is recorded once, and then the engine does not run."""
    lengths = (512, 1000, 4096, 8192, 16384)
    answers = [told(arch, {"M": length, "P": phase}) for length in lengths for phase in (length, 1)]
    assert sum(kind.tree.runs for kind in replay._kinds.values()) < 12
    monkeypatch.setattr(replay, "evaluate", lambda *_: pytest.fail("the engine ran"))
    assert [told(arch, {"M": length, "P": phase}) for length in lengths for phase in (length, 1)] == answers


def test_a_few_questions_are_answered_without_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(replay, "_kinds", {})
    for count in range(replay.BEFORE):
        ask("h100_sxm", {"B": count + 1})
    (kind,) = replay._kinds.values()
    assert (kind.seen, kind.tree.runs) == (replay.BEFORE, 0)
    ask("h100_sxm", {"B": 7})
    assert kind.tree.runs == 1


def test_what_cannot_run_is_refused_in_the_same_words() -> None:
    for batch in (1, 2, 3):
        ask("a100_sxm_80gb", {"B": batch})
    with pytest.raises(InfeasibleError, match="inputs and outputs take .* of a100_sxm_80gb holds"):
        ask("a100_sxm_80gb", {"B": 10**6})


def test_a_schedule_that_changes_on_disk_is_another_kind(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"

    def answers(overhead: int) -> list[float]:
        text = "attnsim: 1\nkind: schedule\nname: mine\nextends: flash-attention-2\nconstants:\n"
        file.write_text(text + f"  kernel_overhead: [{{value: {overhead} us, source: a test}}]\n")
        return [ask("a100_sxm_80gb", {"B": batch}, schedule=str(file)).results[0].latency_s for batch in (1, 2, 3)]

    fast, slow = answers(10), answers(1000)
    assert [late - early for late, early in zip(slow, fast, strict=True)] == pytest.approx([990e-6] * 3)


def test_kinds_and_ways_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "_MOST_KINDS", 4)
    monkeypatch.setattr(replay, "_MOST_WAYS_OF_ALL", 6)
    monkeypatch.setattr(replay, "_MOST_WAYS", 1)
    for width in range(64, 74):
        for phase in (4096, 1):
            ask("h100_sxm", {"P": phase, "E": width, "F": width})
        assert len(replay._kinds) <= 4
        assert all(kind.tree.runs <= 1 for kind in replay._kinds.values())


rounds = st.lists(
    st.tuples(st.sampled_from((1, 1, 2, 9, 30)), st.integers(1, 200), st.integers(0, 2)), min_size=1, max_size=60
) | st.builds(lambda tiles, count: [(count, tile + 1, 1) for tile in range(tiles)], st.integers(2, 130), st.integers(1, 2))


orders = st.tuples(st.booleans(), st.booleans())
machines = st.tuples(st.sampled_from((1, 16, 108, 132)), st.integers(1, 3), st.sampled_from((1.0, 0.89, 0.5)))


def test_the_compiled_scheduler_gives_the_same_grid_times(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba")
    plain = spans.grid_times

    @settings(max_examples=150, deadline=None)
    @given(rounds, st.tuples(st.floats(1, 4000), st.floats(0, 500), st.floats(0, 9000)), st.integers(1, 90), orders, machines)
    def check(pattern: Any, each: Any, repeat: int, orders: Any, slots: Any) -> None:
        question = (spans.PlainRounds(pattern), each, repeat, orders, slots, spans.makespan)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(spans, "_compiled", lambda: None)
            expected = plain(*question)
        assert plain(*question) == expected

    monkeypatch.setattr(spans, "_compiled", spans._scheduler)
    check()
