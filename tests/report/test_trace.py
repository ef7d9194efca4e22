"""Traces: valid Chrome traces, nothing overlaps on a thread, and what is busy adds up to the answer."""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import attnsim
from attnsim.errors import AttnsimError, UsageError
from attnsim.evaluate.estimate import Estimate, Report
from attnsim.evaluate.layer import LayerEstimate
from attnsim.report.timeline.events import Events, busy_s
from attnsim.report.timeline.trace import save, trace
from attnsim.spec import library

SCHEMA = json.loads((Path(__file__).resolve().parents[2] / "schema" / "chrome-trace.schema.json").read_text(encoding="utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA)
FITTING = {
    "deepseek-v3-ep128": "h800", "fusemax-bert-attention": "fusemax_cloud", "fusemax-bert-encoder": "fusemax_cloud",
    "hunyuanvideo-gna": "b200", "lamina-llama3-70b": "h100_sxm", "llama3-70b-serving": "h200", "llama3-8b-decode": "mi300x",
    "llama3-8b-prefill": "h100_sxm", "moa-vicuna-7b-decode": "a100_sxm_80gb", "s2-attention-128k": "h100_sxm", "sale-64k": "rtx_4090",
    "step3-afd": "h800", "step3-decode-ideal": "h800", "vicuna-7b-decode": "a100_sxm_80gb", "wan2.1-1.3b": "h100_sxm",
    "wan2.1-1.3b-vmoba": "b200",
}  # fmt: skip
FEW = 300  # pieces of CTAs: three a slot, so that the schema is checked in little time


@cache
def report(workload: str, arch: str) -> Report:
    return attnsim.run(workload, arch)


@cache
def small(workload: str) -> dict[str, Any]:
    return trace(report(workload, FITTING[workload]), most=FEW)


def events(made: dict[str, Any], phase: str = "X") -> list[dict[str, Any]]:
    return [event for event in made["traceEvents"] if event["ph"] == phase]


def test_every_workload_that_ships_has_a_machine_here() -> None:
    assert set(FITTING) == {entry.name for entry in library.entries("workload")}


@pytest.mark.parametrize("workload", FITTING)
def test_every_trace_has_the_format(workload: str) -> None:
    made = small(workload)
    assert [error.message for error in VALIDATOR.iter_errors(json.loads(json.dumps(made, allow_nan=False)))] == []
    named = {(event["pid"], event.get("tid")) for event in events(made, "M") if event["name"] == "thread_name"}
    assert {(event["pid"], event["tid"]) for event in events(made)} == named  # every thread has a name, and something on it
    assert len({tid for _, tid in named}) == len(named)
    assert {event["pid"] for event in made["traceEvents"]} == {
        event["pid"] for event in events(made, "M") if event["name"] == "process_name"
    }


@pytest.mark.parametrize("workload", FITTING)
def test_the_busy_time_is_the_engines(workload: str) -> None:
    """To a picosecond an event, which is as fine as a trace is."""
    made, answer = small(workload), report(workload, FITTING[workload]).results[0]
    busy = busy_s(made)
    assert set(busy) == {name for name, seconds in answer.time_by_resource_s.items() if seconds > 0}
    for name, seconds in busy.items():
        assert seconds == pytest.approx(float(answer.time_by_resource_s[name]), rel=1e-9, abs=1e-12 * len(made["traceEvents"])), name


@pytest.mark.parametrize("workload", FITTING)
def test_nothing_overlaps_on_a_thread(workload: str) -> None:
    """However a viewer brings start and length to whole nanoseconds: Perfetto rounds both, and drops what overlaps then."""
    for whole in (lambda us: int(us * 1e3), lambda us: round(us * 1e3), lambda us: us * 1e3):
        free: dict[int, float] = {}
        for event in events(small(workload)):
            start, length = whole(event["ts"]), whole(event["dur"])
            assert start >= free.get(event["tid"], 0) - 1e-6, event
            free[event["tid"]] = start + length


@pytest.mark.parametrize("workload", [name for name in FITTING if name not in ("step3-afd", "lamina-llama3-70b")])
def test_it_ends_with_the_answer(workload: str) -> None:
    made, answer = small(workload), report(workload, FITTING[workload]).results[0]
    ends = {event["cat"]: 0.0 for event in events(made)}
    for event in events(made):
        ends[event["cat"]] = max(ends[event["cat"]], event["ts"] + event["dur"])
    assert ends["answer"] == pytest.approx(answer.latency_s * 1e6, rel=1e-9, abs=1e-3)
    assert all(end <= ends["answer"] + 20e-3 + 1e-9 * ends["answer"] for end in ends.values())  # a nanosecond an event at most
    assert made["otherData"]["latency_s"] == answer.latency_s


@pytest.mark.parametrize(
    ("workload", "arch"),
    [("llama3-8b-prefill", "a100_sxm_80gb"), ("llama3-8b-prefill", "h100_sxm"), ("llama3-8b-decode", "a100_sxm_80gb"),
     ("llama3-8b-prefill", "epyc_7763"), ("hunyuanvideo-gna", "h100_sxm"), ("moa-vicuna-7b-decode", "h100_sxm")],
)  # fmt: skip
def test_the_ctas_do_the_engines_work(workload: str, arch: str) -> None:
    """Cycles of each unit, over all CTAs, are what the unit is busy; the last CTA ends when the makespan says."""
    other = "natten-hopper" if workload == "hunyuanvideo-gna" else None
    answered = attnsim.run(workload, arch, schedule=other)
    made, machine, answer = trace(answered), answered.machine, answered.results[0]
    assert isinstance(answer, Estimate)
    for number, kernel in enumerate(answer.kernels):
        own = [event for event in events(made) if event["pid"] == number + 2]
        ctas = [event for event in own if event["cat"] == "cta" and "ctas" in event["args"]]
        if kernel.compute_s == 0:
            assert not ctas
            continue
        assert sum(event["args"]["ctas"] for event in ctas) == kernel.ctas
        for unit in {name.removesuffix("_cycles") for event in ctas for name in event["args"] if name.endswith("_cycles")}:
            cycles = sum(event["args"][f"{unit}_cycles"] for event in ctas)
            assert cycles / machine.processors / answer.clock_hz == pytest.approx(kernel.time_by_resource_s[unit], rel=1e-6), unit  # type: ignore[union-attr]
        body = min(event["ts"] for event in ctas)
        end = max(event["ts"] + event["dur"] for event in own if event["cat"] == "cta")
        assert end - body == pytest.approx(kernel.compute_s * 1e6, rel=1e-6, abs=3e-3)


FORWARD = {"sizes": {"P": 2048, "M": 2048}}
BACKWARD = {"sizes": {"P": 1024, "M": 1024}, "direction": "backward"}
WINDOW = {"sizes": {"P": 4096, "M": 4096}, "mask": {"kind": "window", "left": 512, "right": 0}}
DECODE = {"sizes": {"B": 1, "P": 1, "M": 65536}}


@pytest.mark.parametrize(
    ("arch", "asked"),
    [("h100_sxm", FORWARD), ("h100_sxm", BACKWARD), ("h100_sxm", DECODE), ("a100_sxm_80gb", WINDOW), ("fusemax_cloud", FORWARD)],
    ids=["forward", "backward", "decode", "window", "arrays"],
)
def test_every_schedule_that_runs_can_be_traced(arch: str, asked: dict[str, Any]) -> None:
    traced = 0
    for schedule in [entry.name for entry in library.entries("schedule")]:
        try:
            answered = attnsim.run("llama3-8b-prefill", arch, schedule, **asked)
        except AttnsimError:  # not for this machine, direction or mask
            continue
        made, answer = trace(answered, most=FEW), answered.results[0]
        for name, seconds in answer.time_by_resource_s.items():
            found = busy_s(made).get(name, 0.0)
            assert found == pytest.approx(seconds, rel=1e-9, abs=1e-12 * len(made["traceEvents"])), (schedule, name)
        for number, kernel in enumerate(getattr(answer, "kernels", ())):
            ctas = [event for event in events(made) if event["pid"] == number + 2 and event["cat"] == "cta"]
            span = max((event["ts"] + event["dur"] for event in ctas), default=0) - min((event["ts"] for event in ctas), default=0)
            assert span == pytest.approx(kernel.compute_s * 1e6, rel=1e-6, abs=3e-3), (schedule, kernel.name)
        traced += 1
    assert traced >= 3


def test_a_cta_says_what_it_is() -> None:
    made = trace(report("llama3-8b-prefill", "h100_sxm"))
    first = next(event for event in events(made) if event["cat"] == "cta")
    # longest first: the last query tile, which a causal mask lets see all 64 key tiles, the last of them masked
    assert first["name"] == "P 63, H 0: 64 tiles, 1 masked" and first["args"]["tiles"] == 64 and first["args"]["masked_tiles"] == 1
    names = [event["name"] for event in events(made) if event["cat"] == "cta"]
    assert len(names) == len(set(names)) == 2048
    threads = [event["args"]["name"] for event in events(made, "M") if event["name"] == "thread_name"]
    assert [name for name in threads if name.startswith("SM")] == [f"SM {number}" for number in range(132)]
    running = [event["args"]["CTAs"] for event in events(made, "C") if event["name"] == "CTAs running"]
    assert running[0] == 132 and running[-1] == 0 and running == sorted(running, reverse=True)


def test_splits_and_packed_heads_have_their_names() -> None:
    made = trace(attnsim.run("llama3-8b-decode", "a100_sxm_80gb", schedule="flash-decoding", sizes={"B": 2}))
    names = {event["name"].split(":")[0] for event in events(made) if event["cat"] == "cta"}
    assert {"H 0-3, B 0, split 0", "H 28-31, B 1, split 1"} <= names or {"B 0, H 0-3, split 0", "B 1, H 28-31, split 1"} <= names


def test_a_huge_grid_stays_small() -> None:
    """4096 requests of 32 heads with 4 tiles each: half a million CTAs, and a window that makes the first tiles shorter."""
    answered = attnsim.run("llama3-8b-prefill", "a100_sxm_80gb", sizes={"B": 4096, "P": 512, "M": 512, "E": 64, "F": 64})
    made = trace(answered)
    assert len(made["traceEvents"]) < 100_000
    ctas = [event for event in events(made) if event["cat"] == "cta"]
    assert sum(event["args"]["ctas"] for event in ctas) == pytest.approx(answered.results[0].kernels[0].ctas, rel=1e-9)
    assert any("waves not placed one by one" in event["name"] for event in ctas)
    assert busy_s(made)["tensor"] == pytest.approx(answered.results[0].time_by_resource_s["tensor"], rel=1e-9)


def test_layers_that_are_alike_are_one_piece() -> None:
    layer = report("wan2.1-1.3b", "h100_sxm").results[0]
    assert isinstance(layer, LayerEstimate)
    rest = next(event for event in events(small("wan2.1-1.3b")) if event["name"].startswith("layers 2"))
    assert rest["name"] == "layers 2 to 30, each as the first" and rest["dur"] == pytest.approx(layer.latency_s * 29 / 30 * 1e6)


def test_micro_batches_pass_attention_network_and_ffn_in_turn() -> None:
    made = small("step3-afd")
    rows = {event["tid"]: event["args"]["name"] for event in events(made, "M") if event["name"] == "thread_name"}
    own = [event for event in events(made) if event["args"].get("layer") == 30 and event["args"]["micro_batch"] == 1]
    own.sort(key=lambda event: event["ts"])
    assert [rows[event["tid"]] for event in own] == ["attention", "network", "ffn", "network"]
    for before, after in zip(own, own[1:], strict=False):
        assert before["ts"] + before["dur"] <= after["ts"] + 1e-3
    following = next(e for e in events(made) if e["args"].get("layer") == 31 and e["args"]["micro_batch"] == 1)
    assert own[-1]["ts"] + own[-1]["dur"] <= following["ts"] + 1e-3


def test_an_epoch_of_the_arrays_is_shown_einsum_by_einsum() -> None:
    made = small("fusemax-bert-attention")
    rows = {event["tid"]: event["args"]["name"] for event in events(made, "M") if event["name"] == "thread_name"}
    first = [event for event in events(made) if event["args"].get("epoch") == 0]
    assert {rows[event["tid"]] for event in first} == {"pe2d", "pe1d"}
    assert [event["name"] for event in first if rows[event["tid"]] == "pe2d"] == ["QK", "LM", "SLN", "SLD", "SLNV"]
    epochs = sum(event["args"]["epochs"] for event in events(made) if event["name"].split(" ")[0] == "QK")
    assert epochs == report("fusemax-bert-attention", "fusemax_cloud").results[0].phases[0].tiles


def test_a_pipeline_of_stages_adds_up_too() -> None:
    answered = attnsim.run("llama3-70b-serving", "h200", sets=["deployment.pp=2", "deployment.tp=2"])
    busy = busy_s(trace(answered))
    for name, seconds in answered.results[0].time_by_resource_s.items():
        assert busy[name] == pytest.approx(seconds, rel=1e-6)


def test_the_same_report_gives_the_same_bytes(tmp_path: Path) -> None:
    answered = report("llama3-8b-decode", "h100_sxm")
    for name in ("a.json", "b.json", "a.json.gz", "b.json.gz"):
        save(answered, tmp_path / name, "attnsim run it")
    for ending in ("json", "json.gz"):
        assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()
    plain = (tmp_path / "a.json").read_bytes()
    assert gzip.decompress((tmp_path / "a.json.gz").read_bytes()) == plain
    assert json.loads(plain) == json.loads(json.dumps(trace(answered, "attnsim run it")))
    assert json.loads(plain)["otherData"]["workload_sha256"] == answered.workload_sha256


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot write a trace to .*: end the name in .json or .json.gz"):
        save(report("llama3-8b-decode", "h100_sxm"), tmp_path / "a.txt")


def test_times_survive_being_cut_to_nanoseconds() -> None:
    thread = Events().thread(Events().process("p"), "t")
    for nanoseconds in range(1, 3000):
        thread.add("x", "cta", nanoseconds / 1e9, (nanoseconds + 1) / 1e9, {})
    starts = [event["ts"] for event in thread.trace.events if event["ph"] == "X"]
    assert [int(start * 1e3) for start in starts] == [round(start * 1e3) for start in starts] == list(range(1, 3000))


# --- the schema can fail -----------------------------------------------------------------------------------------------------------

WRONG: dict[str, Any] = {
    "another phase": {"ph": "B"},
    "no length": {"dur": None},
    "a negative length": {"dur": -1},
    "a negative start": {"ts": -0.5},
    "a time in words": {"ts": "0"},
    "no thread": {"tid": None},
    "thread 0": {"tid": 0},
    "no name": {"name": ""},
    "an unknown field": {"duration": 3},
    "arguments that are a list": {"args": []},
    "a resource without a name": {"cat": "resource", "args": {}},
    "more than all of a resource": {"cat": "resource", "args": {"resource": "hbm", "share": 2}},
}


def faults(event: dict[str, Any]) -> list[str]:
    made = {**small("llama3-8b-decode"), "traceEvents": [{key: value for key, value in event.items() if value is not None}]}
    return [error.message for error in VALIDATOR.iter_errors(made)]


@pytest.mark.parametrize("wrong", WRONG)
def test_the_schema_refuses(wrong: str) -> None:
    right = {"ph": "X", "name": "a", "cat": "cta", "pid": 1, "tid": 1, "ts": 0, "dur": 1.5, "args": {}}
    assert faults(right) == []
    assert faults({**right, **WRONG[wrong]})


def test_the_schema_refuses_other_metadata_and_counters() -> None:
    name = {"ph": "M", "name": "thread_name", "pid": 1, "tid": 1, "args": {"name": "a"}}
    assert faults(name) == []
    assert faults({**name, "args": {}}) and faults({**name, "name": "thread_color"}) and faults({**name, "tid": None})
    assert faults({**name, "name": "process_name"}) and faults({**name, "name": "thread_sort_index"})
    counter = {"ph": "C", "name": "hbm", "pid": 1, "ts": 0, "args": {"GB/s": 1.0}}
    assert faults(counter) == []
    assert faults({**counter, "args": {"GB/s": "many"}}) and faults({**counter, "args": {}}) and faults({**counter, "dur": 1})


@pytest.mark.parametrize("missing", ["traceEvents", "displayTimeUnit", "otherData"])
def test_the_schema_wants_all_parts(missing: str) -> None:
    made = {name: value for name, value in small("step3-decode-ideal").items() if name != missing}
    assert not VALIDATOR.is_valid(made) and not VALIDATOR.is_valid([])


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)
