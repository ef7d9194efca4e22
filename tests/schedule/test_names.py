"""Names in a schedule exist: a misspelt one would leave its tensor, its binding or its condition without effect."""

from __future__ import annotations

from typing import Any

import pytest

from attnsim.cascade.cascade import load_cascade
from attnsim.errors import SpecError
from attnsim.schedule.names import CONTEXT_NAMES, check_names
from attnsim.schedule.schedule import Schedule, build
from attnsim.schedule.spatial import SpatialSchedule, check_spatial_names, load_any_schedule
from attnsim.spec import library
from attnsim.spec.yaml import parse_yaml

GOOD = """\
attnsim: 1
kind: schedule
name: mine
cascade: attention-1pass
backward: flash-attention-2-backward
loops:
  - {ranks: [P, B, H], parallel: cta}
  - {rank: M, sequential: last-to-first}
tiles:
  - {when: E <= 64 and isa == sm_90, P: 128, M: 128, warps: 4}
resident: {Q: smem, SLN: register, AV: register}
buffers: {K: 2}
bindings: {mac: tensor, SLNV: tensor, exp: sfu, default: vector}
constants:
  executed: {SPNV: {value: 0.5, source: a paper}}
  masked_ops: {when: mask == causal, value: 3, source: a paper}
split: {rank: M, rule: fill}
before:
  - {name: prepare, einsums: [LM], reads: {Q: io}, writes: {AV: fp32}}
"""


def made(text: str = GOOD) -> Schedule:
    return build(parse_yaml(text, "mine.yaml"))


def test_the_good_file_is_good() -> None:
    check_names(made())
    check_names(made(), load_cascade("attention-1pass"))


@pytest.mark.parametrize("name", [entry.name for entry in library.entries("schedule")])
def test_every_shipped_schedule_names_what_exists(name: str) -> None:
    schedule = load_any_schedule(name)
    if isinstance(schedule, SpatialSchedule):
        check_spatial_names(schedule, load_cascade(schedule.spec.cascade))
    else:
        check_names(schedule)


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("ranks: [P, B, H]", "ranks: [P, B, H, Y]", "mine.yaml:7:23: loops.0.ranks.3: no rank 'Y' in cascade attention-1pass"),
        ("rank: M, sequential", "rank: N, sequential", "mine.yaml:8:6: loops.1.rank: no rank 'N'"),
        ("ranks: [P, B, H]", "ranks: [P, B]", "the grid leaves out H"),
        ("P: 128, M: 128", "P: 128, N: 128", "mine.yaml:10:46: tiles.0.N: no rank 'N'"),
        ("{Q: smem", "{Qs: smem", "mine.yaml:11:12: resident.Qs: no tensor 'Qs'"),
        ("{K: 2}", "{KV: 2}", "mine.yaml:12:11: buffers.KV: no tensor 'KV'"),
        ("exp: sfu", "epx: sfu", "mine.yaml:13:39: bindings.epx: no operation or Einsum 'epx' in cascade attention-1pass; did you mean"),
        ("{SPNV: {value", "{SPN: {value", "mine.yaml:15:14: constants.executed.SPN: no Einsum 'SPN'"),
        ("einsums: [LM]", "einsums: [LN]", "mine.yaml:19:31: before.0.einsums.0: no Einsum 'LN'"),
        ("reads: {Q", "reads: {X", "mine.yaml:19:44: before.0.reads.X: no tensor 'X'"),
        ("writes: {AV", "writes: {AW", "before.0.writes.AW: no tensor 'AW'"),
        ("isa == sm_90", "iso == sm_90", "mine.yaml:10:6: tiles.0.when: condition 'E <= 64 and iso == sm_90' asks for 'iso'"),
        ("mask == causal", "masks == causal", "asks for 'masks', which is no rank and none of kind, isa"),
        ("split: {rank: M", "split: {rank: P", "split.rank: P is not walked by a sequential loop"),
        ("backward: flash-attention-2-backward", "backward: fa2-bakward", "backward: unknown schedule 'fa2-bakward'"),
    ],
)  # fmt: skip
def test_an_unknown_name_is_refused_where_it_stands(old: str, new: str, wanted: str) -> None:
    assert GOOD.count(old) == 1
    with pytest.raises(SpecError) as caught:
        check_names(made(GOOD.replace(old, new)))
    assert any(wanted in line for line in str(caught.value).splitlines()), str(caught.value)
    assert all(line.startswith("mine.yaml:") for line in str(caught.value).splitlines())


def test_every_unknown_name_comes_in_one_run() -> None:
    text = GOOD.replace("{Q: smem", "{Qs: smem").replace("{K: 2}", "{KV: 2}").replace("einsums: [LM]", "einsums: [LN]")
    with pytest.raises(SpecError) as caught:
        check_names(made(text))
    assert [line.split(":")[1] for line in str(caught.value).splitlines()] == ["11", "12", "19"]


def test_a_name_of_the_cascade_that_is_run_is_known_too() -> None:
    schedule = made(GOOD.replace("SLN: register", "SN: register"))  # a tensor of the 3-pass cascade
    check_names(schedule, load_cascade("attention-3pass"))
    with pytest.raises(SpecError, match=r"no tensor 'SN' in cascade attention-1pass and mla-absorbed"):
        check_names(schedule, load_cascade("mla-absorbed"))


def test_conditions_may_ask_for_exactly_what_a_point_knows() -> None:
    import attnsim
    from attnsim import api
    from attnsim.machine import load_machine
    from attnsim.spec.workload import KernelWorkload
    from attnsim.spec.yaml import validate

    workload: dict[str, Any] = dict(attnsim.spec.library.load("workload", "llama3-8b-prefill").data)
    document = api.workload_document(workload)
    point = api.resolve(validate(KernelWorkload, document), document, load_machine("h100"))
    assert set(point.context) == {*CONTEXT_NAMES, *point.sizes}
