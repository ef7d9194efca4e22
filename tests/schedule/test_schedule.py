"""Schedule files: mistakes are located, conditions choose rows, and machines get the schedule that suits them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import attnsim
from attnsim.errors import AttnsimError, InfeasibleError, SpecError
from attnsim.machine import load_machine
from attnsim.schedule import defaults
from attnsim.schedule.condition import compile_condition
from attnsim.schedule.defaults import default_rules, default_schedule
from attnsim.schedule.schedule import Schedule, build, load_schedule
from attnsim.schedule.spatial import is_spatial, load_any_schedule
from attnsim.spec import library
from attnsim.spec.yaml import parse_yaml

GOOD = """\
attnsim: 1
kind: schedule
name: mine
cascade: attention-1pass
requires: kind == gpu and dtype in [fp16, bf16]
loops:
  - {ranks: [P, B, H], parallel: cta}
  - {rank: M, sequential: last-to-first}
tiles:
  - {when: E <= 64, P: 128, M: 128, warps: 4, registers: 255}
  - {P: 64, M: 64, warps: 4}
resident: {Q: smem, K: smem, V: smem, QK: register}
bindings: {mac: tensor, exp: sfu, default: vector}
tensor_path:
  - {when: isa == sm_90, value: wgmma}
  - {value: mma_sync}
overlap:
  exposed:
    sfu: {value: 0.9, source: fitted, rows: some}
    fill:
      - {when: mask == dense, value: 0, source: derived}
      - {value: 1, source: derived}
constants:
  tensor_efficiency: {value: 0.9, source: a paper}
  cta_overhead: {value: 800 cycle, source: a paper}
  masked_ops: {value: 3, source: a paper}
split: {rank: M, rule: fill}
"""

CONTEXT: dict[str, Any] = {"E": 128, "F": 128, "P": 1, "isa": "sm_90", "dtype": "bf16", "kind": "gpu", "mask": "dense"}


def made(text: str = GOOD) -> Schedule:
    return build(parse_yaml(text, "mine.yaml"))


def complaints(text: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        made(text)
    return str(caught.value).splitlines()


def test_the_good_file_is_good() -> None:
    schedule = made()
    assert schedule.name == "mine"
    assert repr(schedule) == "Schedule(mine: PxBxH over ctas, M last-to-first)"
    assert schedule.grid is not None and schedule.grid.ranks == ["P", "B", "H"]
    assert schedule.sequential == ("M",)


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("mac: tensor", "mac: tensr", "mine.yaml:13:12: bindings.mac: "),
        ("K: smem", "K: smen", "mine.yaml:12:21: resident.K: "),
        ("    sfu: {", "    mufu: {", "mine.yaml:19:5: overlap.exposed"),
        ("E <= 64", "E <= ", "mine.yaml:10:6: tiles.0.when: 'E <=' ends too early"),
        ("E <= 64", "E =< 64", "mine.yaml:10:6: tiles.0.when: cannot read 'E =< 64' at column 3"),
        ("dtype in [fp16, bf16]", "dtype in (fp16)", "mine.yaml:5:1: requires: expected '[' at column 26 of"),
        ("isa == sm_90", "isa sm_90", "mine.yaml:15:6: tensor_path.0.when: expected a comparison at column 5"),
        ("mask == dense", "mask dense", "mine.yaml:21:10: overlap.exposed.fill.0.when: expected a comparison at column 6"),
        ("source: fitted, rows: some", "source: fitted", "mine.yaml:19:23: overlap.exposed.sfu.0.source: a fitted constant names the rows"),
        ("value: 0.9, source: a paper", "value: 0.9", "mine.yaml:24:3: constants.tensor_efficiency.0.source: missing"),
        (
            "value: 0.9, source: a paper",
            "value: 1.1, source: a paper",
            "mine.yaml:24:23: constants.tensor_efficiency.0.value: must be a number of more than 0 and at most 1",
        ),
        (
            "value: 0.9, source: a paper",
            "value: 0, source: a paper",
            "constants.tensor_efficiency.0.value: must be a number of more than 0 and at most 1, not 0",
        ),
        ("800 cycle", "800", "mine.yaml:25:18: constants.cta_overhead.0.value: '800' has no unit"),
        (
            "value: 3, source: a paper",
            "value: 2.5, source: a paper",
            "mine.yaml:26:16: constants.masked_ops.0.value: must be a whole number",
        ),
        ("P: 64, M: 64, warps: 4", "P: 64, M: 64, warp: 4", "mine.yaml:11:20: tiles.1.warp: unknown field; a tile row holds"),
        ("P: 64, M: 64", "P: 0, M: 64", "mine.yaml:11:6: tiles.1.P: must be a whole number of at least 1, not 0"),
        ("P: 64, M: 64", "P: 64.5, M: 64", "mine.yaml:11:6: tiles.1.P: must be a whole number of at least 1, not 64.5"),
        ("  - {ranks: [P, B, H], parallel: cta}\n", "", "mine.yaml:6:1: loops: a fused schedule needs a parallel loop"),
        ("ranks: [P, B, H], parallel: cta", "parallel: cta", "loops.0"),
        ("rank: M, sequential: last-to-first", "rank: M", "mine.yaml:8:5: loops.1: a loop is either"),
        ("rank: M, sequential: last-to-first", "sequential: last-to-first", "a sequential loop names one `rank`"),
        ("rank: M, sequential: last-to-first", "rank: M, sequential: backwards", "mine.yaml:8:15: loops.1.sequential: "),
        ("parallel: cta}", "parallel: cta, order: lpt}", "mine.yaml:7:39: loops.0.order: "),
        ("rule: fill", "rule: full", "did you mean 'fill'?"),
        ("split: {rank: M, ", "split: {", "mine.yaml:27:1: split.rank: "),
        ("overlap:", "overlaps:", "mine.yaml:17:1: overlaps: unknown field; did you mean 'overlap'?"),
        ("attnsim: 1", "attnsim: 2", "mine.yaml:1:1: attnsim: "),
        ("cascade: attention-1pass\n", "", "cascade"),
    ],
)
def test_a_mistake_is_named_where_it_stands(old: str, new: str, wanted: str) -> None:
    assert GOOD.count(old) == 1
    lines = complaints(GOOD.replace(old, new))
    assert any(wanted in line for line in lines), lines
    assert all(line.startswith("mine.yaml:") for line in lines), lines


def test_every_bad_condition_of_a_file_comes_in_one_run() -> None:
    lines = complaints(GOOD.replace("E <= 64", "E <=").replace("isa == sm_90", "isa").replace("mask == dense", "mask"))
    assert [line.split(":")[1] for line in lines] == ["10", "15", "21"]


@pytest.mark.parametrize(
    "name", ["tensor_efficiency", "cta_overhead", "masked_ops", "exp_on_vector", "memory_efficiency", "kernel_overhead", "executed"]
)
def test_the_condition_of_any_constant_is_checked(name: str) -> None:
    value = {"cta_overhead": "1 cycle", "kernel_overhead": "1 us", "masked_ops": "1"}.get(name, "0.5")
    entry = f"{{when: E <=, value: {value}, source: x}}"
    text = f"  {name}: {{SN: {entry}}}" if name == "executed" else f"  {name}: {entry}"
    cut = GOOD[: GOOD.index("constants:")] + "constants:\n" + text + "\n"
    assert any("when: 'E <=' ends too early" in line for line in complaints(cut))


@pytest.mark.parametrize("field", ["pack_groups: E <", "split: {rank: M, rule: fill, when: E <}"])
def test_conditions_outside_lists_are_checked(field: str) -> None:
    cut = GOOD[: GOOD.index("split:")] + field + "\n"
    assert any("ends too early" in line and "mine.yaml:27" in line for line in complaints(cut))


@pytest.mark.parametrize("rule", ["never", "always", "efficient", "P == 1"])
def test_pack_rules(rule: str) -> None:
    assert made(GOOD + f"pack_groups: {rule}\n").spec.pack_groups == rule


def test_the_first_row_that_holds_is_used() -> None:
    schedule = made()
    assert schedule.tile({**CONTEXT, "E": 64}).sizes() == {"P": 128, "M": 128}
    assert schedule.tile(CONTEXT).sizes() == {"P": 64, "M": 64}
    assert schedule.tensor_path(CONTEXT) == "wgmma"
    assert schedule.tensor_path({**CONTEXT, "isa": "sm_80"}) == "mma_sync"
    assert schedule.exposed("fill", CONTEXT) == 0
    assert schedule.exposed("fill", {**CONTEXT, "mask": "causal"}) == 1
    assert schedule.exposed("smem", CONTEXT) == 0  # not mentioned: hidden


def test_a_size_without_a_row_is_infeasible() -> None:
    text = GOOD.replace("  - {P: 64, M: 64, warps: 4}\n", "")
    with pytest.raises(InfeasibleError, match=r"schedule mine has no tile for E=128, F=128, dtype=bf16, isa=sm_90; add a row to `tiles`"):
        made(text).tile(CONTEXT)


def test_a_machine_outside_requires_is_infeasible() -> None:
    made().require(CONTEXT, {"dense"})
    with pytest.raises(InfeasibleError, match=r"mine requires kind == gpu and .*; here kind = gpu, isa = sm_90, dtype = fp8"):
        made().require({**CONTEXT, "dtype": "fp8"}, {"dense"})
    with pytest.raises(InfeasibleError, match=r"mine knows no per_head or strided mask, only dense, causal"):
        made().require(CONTEXT, {"per_head", "strided", "causal"})


def test_extends_changes_fields_and_keeps_the_rest() -> None:
    changed = load_schedule({"extends": "fa2", "tiles": [{"P": 64, "M": 32, "warps": 4}]})
    original = load_schedule("flash-attention-2")
    assert changed.tile(CONTEXT).sizes() == {"P": 64, "M": 32}
    assert changed.spec.constants == original.spec.constants
    assert load_schedule("fa2") is original is load_schedule("flash_attention_2")


def test_an_unknown_name_is_reported_where_it_was_written() -> None:
    document = parse_yaml("schedule: flash-atention-2\n", "w.yaml")
    with pytest.raises(SpecError) as caught:
        load_schedule("flash-atention-2", doc=document, loc=("schedule",))
    assert str(caught.value) == "w.yaml:1:1: schedule: unknown schedule 'flash-atention-2'; did you mean 'flash-attention-2'?"


def test_a_file_edited_between_two_runs_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD)
    assert load_schedule(path).tile(CONTEXT).sizes() == {"P": 64, "M": 64}
    path.write_text(GOOD.replace("P: 64, M: 64", "P: 128, M: 256"))
    assert load_schedule(path).tile(CONTEXT).sizes() == {"P": 128, "M": 256}


@pytest.mark.parametrize("name", [e.name for e in library.entries("schedule") if not is_spatial(library.load("schedule", e.name))])
def test_every_shipped_schedule_builds_and_says_where_it_comes_from(name: str) -> None:
    schedule = load_schedule(name)
    assert schedule.name == name
    assert schedule.spec.source
    if schedule.spec.backward is not None:
        assert "dO" in library.load("cascade", load_schedule(schedule.spec.backward).spec.cascade).data["inputs"]
    if schedule.spec.fusion == "all":
        assert schedule.grid is not None and schedule.sequential
        # the table ends with a row of the widest heads the kernel has; each row sizes every rank the loops walk or spread
        for row in schedule.spec.tiles:
            assert {"P", "M"} <= set(row.sizes()), row


# --- the default of a machine ---------------------------------------------------------------------

ARCHS = [entry.name for entry in library.entries("arch") if "spatial" not in entry.path.parts]
QUESTIONS: dict[str, dict[str, Any]] = {
    "prefill": {"sizes": {"B": 1, "H": 32, "G": 8, "P": 4096, "M": 4096, "E": 128, "F": 128}},
    "decode": {"sizes": {"B": 16, "H": 32, "G": 8, "P": 1, "M": 4096, "E": 128, "F": 128}},
    "backward": {"sizes": {"B": 1, "H": 32, "G": 32, "P": 4096, "M": 4096, "E": 128, "F": 128}, "direction": "backward"},
}
WANTED = {
    ("x86", "prefill"): "cpu-flash",
    ("x86", "decode"): "cpu-flash",
    ("sm_80", "prefill"): "flash-attention-2",
    ("sm_86", "prefill"): "flash-attention-2",
    ("sm_89", "prefill"): "flash-attention-2",
    ("sm_61", "prefill"): "naive",
    ("sm_61", "decode"): "naive",
    ("gfx942", "prefill"): "flash-attention-2",
    ("sm_90", "prefill"): "flash-attention-3",
    ("sm_100", "prefill"): "flash-attention-4",
    ("davinci", "prefill"): "naive",
    ("davinci", "decode"): "naive",
    ("sm_80", "decode"): "flashinfer-decode",
    ("sm_86", "decode"): "flashinfer-decode",
    ("sm_89", "decode"): "flashinfer-decode",
    ("gfx942", "decode"): "flashinfer-decode",
    ("sm_90", "decode"): "flashinfer-decode",
    ("sm_100", "decode"): "flashinfer-decode",
    ("sm_80", "backward"): "flash-attention-2-backward",
    ("sm_86", "backward"): "flash-attention-2-backward",
    ("sm_89", "backward"): "flash-attention-2-backward",
    ("gfx942", "backward"): "flash-attention-2-backward",
    ("sm_90", "backward"): "flash-attention-3-backward",
    ("sm_100", "backward"): "flash-attention-4-backward",
}


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("arch", ARCHS)
def test_every_machine_has_one_sensible_default(arch: str, question: str) -> None:
    workload = {
        "attnsim": 1, "kind": "kernel", "name": "w", "cascade": "attention-1pass", "dtype": "bf16", "mask": {"kind": "causal"},
        **QUESTIONS[question],
    }  # fmt: skip
    wanted = WANTED.get((load_machine(arch).isa, question))
    if wanted is None:
        with pytest.raises(AttnsimError, match=r"backward"):
            attnsim.run(workload, arch)
    else:
        result = attnsim.run(workload, arch).results[0]
        assert result.schedule == wanted
        assert 0 < result.lower_bound_s <= result.latency_s


def test_each_rule_names_a_schedule_and_says_why() -> None:
    rules = default_rules().rules
    assert len({rule.when for rule in rules}) == len(rules)
    for rule in rules:
        assert rule.why
        assert load_any_schedule(rule.schedule).name == rule.schedule
        assert compile_condition(rule.when)({}) in (True, False)
    assert default_rules() is default_rules()


def asked(sizes: dict[str, int], **fields: str) -> dict[str, Any]:
    """What the rules may ask about a question."""
    known = {"kind": "gpu", "isa": "sm_90", "dtype": "bf16", "mask": "dense", "cascade": "attention-1pass", "direction": "forward"}
    return {**sizes, "group": 1, "processors": 132, "vendor": "NVIDIA", **known, **fields}


@pytest.mark.parametrize("dtype", ["fp8", "fp32"])
def test_a_format_no_fused_kernel_takes_runs_unfused(dtype: str) -> None:
    sizes = QUESTIONS["prefill"]["sizes"]
    assert default_schedule(asked(sizes, isa="sm_89", dtype=dtype, mask="causal")).name == "naive"


@pytest.mark.parametrize("cascade", ["attention-3pass", "attention-2pass", "mla-absorbed"])
def test_a_cascade_of_several_passes_runs_unfused(cascade: str) -> None:
    assert default_schedule(asked({"B": 1, "H": 8, "P": 64, "M": 64}, cascade=cascade)).name == "naive"


def test_a_machine_no_rule_covers_is_infeasible() -> None:
    with pytest.raises(InfeasibleError, match=r"no default schedule for cascade attention-1pass in bf16 on abacus; name one"):
        default_schedule(asked({"P": 1}, kind="abacus", isa="abacus"))


RULES = """\
attnsim: 1
kind: default-schedules
rules:
  - {when: isa == sm_90 and P > 1, schedule: naive, why: mine}
  - {when: kind == gpu, schedule: flash-attention-2, why: the rest}
"""


@pytest.fixture
def own_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A rules file in a folder of ATTNSIM_PATH, which is searched before the shipped one."""
    monkeypatch.setenv("ATTNSIM_PATH", str(tmp_path))
    monkeypatch.setattr(defaults, "_rules", {})
    (tmp_path / "workloads").mkdir()
    path = tmp_path / "workloads" / "default_schedules.yaml"
    path.write_text(RULES)
    return path


def test_own_rules_come_first(own_rules: Path) -> None:
    def chosen(queries: int) -> str:
        return default_schedule(asked({"P": queries})).name

    assert (chosen(2), chosen(1)) == ("naive", "flash-attention-2")


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("isa == sm_90 and P > 1", "isa == sm_90 and", ":4:6: rules.0.when: 'isa == sm_90 and' ends too early"),
        ("why: mine", "wy: mine", ":4:53: rules.0.wy: unknown field; did you mean 'why'?"),
        ("kind: default-schedules", "kind: schedule", ":2:1: kind: "),
    ],
)
def test_a_mistake_in_the_rules_is_located(own_rules: Path, old: str, new: str, wanted: str) -> None:
    own_rules.write_text(RULES.replace(old, new))
    with pytest.raises(SpecError) as caught:
        default_rules()
    assert f"{own_rules}{wanted}" in str(caught.value)


def test_the_launch_order_may_depend_on_the_machine() -> None:
    schedule = load_schedule("cudnn")
    assert schedule.order({"isa": "sm_90"}) == "launch"
    assert schedule.order({"isa": "sm_100"}) == "longest-first"
    assert load_schedule("flash-attention-3").order({}) == "longest-first"
    assert load_schedule("flash-attention-2").order({}) == "launch"
    assert load_schedule("naive").order({}) == "launch"
