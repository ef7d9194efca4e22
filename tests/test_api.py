"""`attnsim.run`: how a question may be written, what overrides what, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import attnsim
from attnsim.errors import InfeasibleError, SpecError, UsageError
from attnsim.spec import library

TEXT = """\
attnsim: 1
kind: kernel
name: small
cascade: attention-1pass
sizes: {B: 2, H: 16, G: 4, P: 2048, M: 2048, E: 128, F: 128}
dtype: bf16
mask: {kind: causal}
"""
SMALL: dict[str, Any] = {
    "attnsim": 1, "kind": "kernel", "name": "small", "cascade": "attention-1pass", "dtype": "bf16", "mask": {"kind": "causal"},
    "sizes": {"B": 2, "H": 16, "G": 4, "P": 2048, "M": 2048, "E": 128, "F": 128},
}  # fmt: skip
SIGMOID = {
    "attnsim": 1,
    "kind": "cascade",
    "name": "sigmoid-attention",
    "ranks": {"B": "batch", "H": "query head", "P": "query", "M": "key", "E": "qk dim", "F": "v dim"},
    "groups": {"G": "H"},
    "inputs": {"Q": ["B", "H", "P", "E"], "K": ["B", "G", "M", "E"], "V": ["B", "G", "M", "F"]},
    "body": ["QK[m,p] = Q[p,e] * K[m,e]", "S[m,p] = sigmoid(QK[m,p])", "AV[p,f] = S[m,p] * V[m,f]"],
}


def one(workload: Any = SMALL, arch: Any = "h100_sxm", schedule: Any = None, **overrides: Any) -> Any:
    """The single estimate of a run."""
    (estimate,) = attnsim.run(workload, arch, schedule, **overrides).results
    return estimate


# --- three ways to name each thing ----------------------------------------------------------------


def test_a_path_a_name_and_a_dict_are_the_same_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "workloads" / "examples" / "small.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(TEXT)
    monkeypatch.setenv("ATTNSIM_PATH", str(tmp_path))
    answers = [attnsim.run(workload, "h100_sxm") for workload in (str(path), path, "small", SMALL)]
    assert len({repr(answer) for answer in answers}) == 1
    assert len({answer.workload_sha256 for answer in answers}) == 1
    assert len({answer.arch_sha256 for answer in answers}) == 1
    assert len({json.dumps(answer.to_dict()) for answer in answers}) == 1


def test_a_machine_may_be_a_name_an_alias_a_path_or_a_dict(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("attnsim: 1\nkind: gpu\nname: mine\nextends: h100_sxm\n")
    names = ["h100_sxm", "H100-SXM", "h100", path, {"attnsim": 1, "kind": "gpu", "name": "mine", "extends": "h100_sxm"}]
    assert len({one(arch=arch).latency_s for arch in names}) == 1
    assert attnsim.run(SMALL, path).arch_name == "mine"
    assert attnsim.run(SMALL, "h100").arch_name == "h100_sxm"


def test_a_schedule_may_be_a_name_an_alias_a_path_or_a_dict(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("extends: flash-attention-2\nname: mine\n")
    assert len({one(schedule=schedule).latency_s for schedule in ("flash-attention-2", "fa2", path, {"extends": "fa2"})}) == 1
    assert one(schedule=path).schedule == "mine"


def test_the_default_schedule_goes_by_the_heads_of_a_group_whatever_the_rank_is_called() -> None:
    cascade = dict(library.load("cascade", "attention-1pass").data)
    del cascade["computes"]
    cascade |= {"name": "mine", "groups": {"N": "H"}, "inputs": {"Q": [*"BHPE"], "K": [*"BNME"], "V": [*"BNMF"]}}
    sizes = {"B": 8, "H": 32, "P": 1, "M": 8192, "E": 128, "F": 128}
    for kv_heads, schedule in ((1, "flash-attention-3"), (8, "flashinfer-decode")):
        shipped = one({**SMALL, "sizes": {**sizes, "G": kv_heads}})
        renamed = one({**SMALL, "cascade": cascade, "sizes": {**sizes, "N": kv_heads}})
        assert (shipped.schedule, renamed.schedule) == (schedule, schedule)
        assert renamed.latency_s == shipped.latency_s


def test_the_repr_is_the_text_of_the_command_line() -> None:
    from attnsim.evaluate.render import render_report

    report = attnsim.run(SMALL, "h100_sxm")
    assert repr(report) == str(report) == render_report(report)
    assert repr(report).startswith("small on h100_sxm\n")
    assert "flash-attention-3" in repr(report)


# --- overrides ------------------------------------------------------------------------------------


def test_sizes_merge_and_other_fields_replace() -> None:
    changed = one(sizes={"P": 1, "M": 8192}, dtype="fp16", mask={"kind": "window", "left": 127, "right": 0})
    assert changed.sizes == {**SMALL["sizes"], "P": 1, "M": 8192}
    assert (changed.dtype, changed.mask["kind"], changed.mask["attended_pairs"]) == ("fp16", "window", 128)
    assert SMALL["sizes"]["P"] == 2048  # what was given is left alone


def test_sets_say_the_same_as_overrides() -> None:
    by_sets = attnsim.run(SMALL, "h100_sxm", sets=("sizes.P=1", "sizes.M = 8192", "dtype=fp16", "conditions.launch=none"))
    by_fields = attnsim.run(SMALL, "h100_sxm", sizes={"P": 1, "M": 8192}, dtype="fp16", conditions={"launch": "none"})
    assert by_sets.to_dict() == by_fields.to_dict()


def test_an_override_comes_after_a_set() -> None:
    assert one(sets=("sizes.M=8192",), sizes={"M": 4096}).sizes["M"] == 4096


def test_a_set_may_change_the_machine() -> None:
    plain = attnsim.run(SMALL, "h100_sxm")
    changed = attnsim.run(SMALL, "h100_sxm", sets=("arch.levels.hbm.bandwidth=6.7 TB/s", " arch.processors.count = 264"))
    assert changed.arch_sha256 != plain.arch_sha256
    assert changed.workload_sha256 == plain.workload_sha256
    before, after = plain.results[0].lower_bound_by_resource_s, changed.results[0].lower_bound_by_resource_s
    assert after["hbm"] == pytest.approx(before["hbm"] / 2)
    assert after["tensor"] == pytest.approx(before["tensor"] / 2)
    assert changed.machine.processors == 264


def test_a_set_below_a_schedule_extends_it() -> None:
    named = {**SMALL, "schedule": "flash-attention-2"}
    slower = one(named, "a100", sets=("schedule.constants.masked_ops={value: 3000, source: test}",))
    assert slower.schedule == "flash-attention-2"
    assert slower.latency_s > 1.5 * one(named, "a100").latency_s


@pytest.mark.parametrize(
    "change",
    [
        {"constants": {"tensor_efficiency": {"value": 0.5, "source": "test"}}},
        {"constants": {"cta_overhead": {"value": "9000 cycle", "source": "test"}}},
        {"constants": {"masked_ops": {"value": 90, "source": "test"}}},
        {"constants": {"kernel_overhead": {"value": "50 us", "source": "test"}}},
        {"constants": {"executed": {"SPNV": {"value": 0.0, "source": "test"}}}},
        {"constants": {"exp_on_vector": {"value": 1.0, "source": "test"}}},
        {"overlap": {"exposed": {"sfu": {"value": 0.0, "source": "test"}}}},
        {"overlap": {"exposed": {"fill": {"value": 0.0, "source": "test"}}}},
        {"overlap": {"exposed": {"memory": {"value": 1.0, "source": "test"}}}},
        {"tiles": [{"P": 64, "M": 64, "warps": 4}]},
        {"bindings": {"exp": "vector"}},
        {"tensor_path": "mma_sync"},
        {"loops": [{"ranks": ["P", "H", "B"], "parallel": "cta"}, {"rank": "M", "sequential": "last-to-first"}]},
        {"resident": {"V": "register", "K": "register", "Q": "register"}},
        {"accumulator_dtype": "fp32", "buffers": {"K": 1, "V": 1}},
    ],
    ids=lambda change: str(change)[:60],
)
def test_each_part_of_a_schedule_matters(change: dict[str, Any]) -> None:
    """Nothing in a schedule file is decoration: an edited field changes the answer (buffers: the shared memory of a CTA)."""
    base, edited = one(schedule="flash-attention-3"), one(schedule={"extends": "flash-attention-3", **change})
    if "buffers" in change:
        assert edited.kernels[0].smem_per_cta_bytes < base.kernels[0].smem_per_cta_bytes
    elif "resident" in change:
        assert edited.energy_j < base.energy_j
    else:
        assert edited.latency_s != base.latency_s


@pytest.mark.parametrize("text", ["sizes.M", "=4", " = 4", ""])
def test_a_malformed_set_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match=r"KEY=VALUE"):
        attnsim.run(SMALL, "h100_sxm", sets=(text,))


@pytest.mark.parametrize(
    ("sets", "says"),
    [
        (("size.M=4",), "did you mean 'sizes'"),
        (("sizes.X=4",), "no rank 'X'"),
        (("sizes.M=many",), "--set sizes.M=many: sizes.M: must be a whole number"),
        (("arch.processors.cuont=4",), "did you mean 'count'"),
        (("dtype=bf61",), "did you mean 'bf16'"),
    ],
)
def test_a_set_that_is_no_field_is_named(sets: tuple[str, ...], says: str) -> None:
    with pytest.raises(SpecError) as caught:
        attnsim.run(SMALL, "h100_sxm", sets=sets)
    assert says in str(caught.value)


# --- which schedule -------------------------------------------------------------------------------


def test_the_argument_beats_the_workload_and_the_workload_the_default() -> None:
    named = {**SMALL, "schedule": "cudnn"}
    assert one().schedule == "flash-attention-3"
    assert one(named).schedule == "cudnn"
    assert one(named, schedule="flash-attention-2").schedule == "flash-attention-2"
    assert one(named, schedule={"extends": "flash-attention-2", "name": "mine"}).schedule == "mine"


def test_an_inline_schedule_in_the_workload() -> None:
    inline = {**SMALL, "schedule": {"extends": "flash-attention-2", "name": "narrow", "tiles": [{"P": 64, "M": 32, "warps": 4}]}}
    (kernel,) = one(inline).kernels
    assert (kernel.name, kernel.tile) == ("narrow", {"P": 64, "M": 32})


def test_the_baseline_sets_the_speedup_bound() -> None:
    own = one()
    assert own.baseline == "flash-attention-3"
    assert own.speedup_upper_bound == own.latency_s / own.lower_bound_s
    against = one({**SMALL, "baseline": "flash-attention-2"})
    assert against.baseline == "flash-attention-2"
    assert against.latency_s == own.latency_s
    assert against.speedup_upper_bound == one(schedule="flash-attention-2").latency_s / own.lower_bound_s
    inline = one({**SMALL, "baseline": {"extends": "flash-attention-2", "name": "old"}})
    assert (inline.baseline, inline.speedup_upper_bound) == ("old", against.speedup_upper_bound)


def test_an_unknown_baseline_is_reported_at_its_line(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(TEXT + "baseline: flash-atention-2\n")
    with pytest.raises(SpecError) as caught:
        attnsim.run(path, "h100_sxm")
    assert str(caught.value) == f"{path}:8:1: baseline: unknown schedule 'flash-atention-2'; did you mean 'flash-attention-2'?"


# --- backward -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arch", "schedule", "wanted"),
    [
        ("a100", "flash-attention-2", "flash-attention-2-backward"),
        ("h100", None, "flash-attention-3-backward"),
        ("h100", "fa2", "flash-attention-2-backward"),
        ("h100", "flash-attention-2-backward", "flash-attention-2-backward"),  # named itself
        ("h100", "cudnn", "cudnn-backward"),
        ("b200", None, "flash-attention-4-backward"),
    ],
)
def test_backward_takes_the_backward_schedule_and_cascade(arch: str, schedule: str | None, wanted: str) -> None:
    backward = one(arch=arch, schedule=schedule, direction="backward")
    assert (backward.schedule, backward.cascade, backward.direction) == (wanted, "attention-backward", "backward")
    assert [kernel.name for kernel in backward.kernels] == ["preprocess", wanted, "convert dQ"]
    assert backward.flops == 2.5 * one(arch=arch).flops  # five matmuls of the forward's two


def test_backward_without_a_backward_schedule_is_refused_at_the_direction(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(TEXT + "direction: backward\nschedule: flash-decoding\n")
    with pytest.raises(SpecError) as caught:
        attnsim.run(path, "h100_sxm")
    assert str(caught.value).startswith(f"{path}:8:1: direction: schedule flash-decoding has no backward pass")


# --- what cannot be ------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", ["flash-attention-2", "flash-attention-3", "flash-decoding"])
@pytest.mark.parametrize(("cascade", "passes"), [("attention-3pass", 3), ("attention-2pass", 2), ("attention-3pass-deferred", 2)])
def test_a_fused_walk_cannot_run_a_cascade_of_more_passes(schedule: str, cascade: str, passes: int, tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(TEXT.replace("attention-1pass", cascade) + f"schedule: {schedule}\n")
    with pytest.raises(InfeasibleError) as caught:
        attnsim.run(path, "h100_sxm")
    assert str(caught.value) == (
        f"{path}:8:1: schedule {schedule} walks M once, but cascade {cascade} takes {passes} passes over it; "
        "choose a 1-pass cascade (attention-1pass), or an unfused schedule (naive)"
    )


def test_a_format_the_machine_lacks_is_refused() -> None:
    with pytest.raises(InfeasibleError, match=r"a100_sxm_80gb cannot compute in fp8; it computes in bf16, fp16, fp32, int8, tf32"):
        one(arch="a100", dtype="fp8")
    with pytest.raises(InfeasibleError, match=r"did you mean 'fp8'\?"):
        one(arch="h100", dtype="fp4")


def test_a_format_the_kernel_lacks_is_refused() -> None:
    with pytest.raises(InfeasibleError, match=r"flash-attention-2 requires .*; here kind = gpu, isa = sm_90, dtype = fp8"):
        one(schedule="flash-attention-2", dtype="fp8")


@pytest.mark.parametrize(
    ("sizes", "says"),
    [
        ({"P": 0}, "must be a whole number of at least 1, not 0"),
        ({"P": -1}, "must be a whole number of at least 1, not -1"),
        ({"P": 1.5}, "must be a whole number of at least 1, not 1.5"),
        ({"P": True}, "must be a whole number of at least 1, not true"),
        ({"P": "2048x"}, "must be a whole number"),
        ({"G": 5}, "G = 5 must divide H = 16"),
        ({"X": 5}, "cascade attention-1pass has no rank 'X'"),
        ({"C": 512}, "no rank 'C'"),
    ],
)
def test_wrong_sizes_are_refused(sizes: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecError) as caught:
        one(sizes=sizes)
    assert says in str(caught.value) and "sizes." in str(caught.value)


def test_a_missing_size_is_refused_at_the_sizes(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(TEXT.replace(", E: 128", ""))
    with pytest.raises(SpecError) as caught:
        attnsim.run(path, "h100_sxm")
    assert str(caught.value) == f"{path}:5:1: sizes.E: the size of rank E (qk dim) is missing"


def test_a_group_left_out_is_one_head_each() -> None:
    sizes = {rank: size for rank, size in SMALL["sizes"].items() if rank != "G"}
    assert one({**SMALL, "sizes": sizes}).latency_s == one(sizes={"G": 16}).latency_s
    assert one({**SMALL, "sizes": sizes}).sizes["G"] == 16


def test_a_cascade_without_queries_and_keys_runs_einsum_by_einsum() -> None:
    workload = {**SMALL, "cascade": "product-2pass", "sizes": {"K": 64}}
    result = one({name: value for name, value in workload.items() if name != "schedule"})
    assert [kernel.name for kernel in result.kernels] == ["Y", "Z"]
    with pytest.raises(InfeasibleError, match=r"product-2pass has no query and key rank, which schedule flash-attention-2 walks"):
        one({**workload, "schedule": "flash-attention-2"})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"tiles": [{"M": 64}]}, "its tile row gives no size for it"),
        ({"tiles": [{"P": 64}]}, "its tile row gives no size for it"),
        ({"tiles": []}, "has no tile for E=128, F=128, dtype=bf16, isa=sm_90"),
        ({"tiles": [{"P": 4096, "M": 4096}]}, "needs"),
        ({"loops": [{"ranks": ["P", "B", "H"], "parallel": "cta"}]}, "tiles M, but none of its loops runs over it"),
        ({"loops": [{"ranks": ["B"], "parallel": "cta"}, {"rank": "M", "sequential": "first-to-last"}]}, "the grid leaves out H"),
        ({"loops": [{"ranks": ["B", "H"], "parallel": "cta"}, {"rank": "M", "sequential": "first-to-last"}]}, "tiles P, but none of its"),
        ({"loops": [{"ranks": ["P", "M", "B", "H"], "parallel": "cta"}]}, "spreads both P and M over CTAs"),
        ({"loops": [{"ranks": ["P", "H", "B"], "parallel": "cta"}, {"rank": "Z", "sequential": "first-to-last"}]}, "no rank 'Z'"),
        ({"before": [{"name": "prepare", "einsums": ["XY"]}]}, "no Einsum 'XY'"),
        ({"resident": {"Qq": "smem"}}, "no tensor 'Qq'"),
        ({"bindings": {"epx": "sfu"}}, "did you mean 'exp'"),
        ({"tensor_path": "tcgen05"}, "no path 'tcgen05'"),
    ],
    ids=lambda change: str(change)[:60],
)
def test_a_schedule_that_makes_no_sense_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises((InfeasibleError, SpecError)) as caught:
        one(schedule={"extends": "flash-attention-2", **change})
    assert says in str(caught.value)


# --- equations decide -----------------------------------------------------------------------------


def test_an_inline_cascade_runs() -> None:
    dense = {**SMALL, "mask": {"kind": "dense"}, "schedule": "flash-attention-2"}
    result = one({**dense, "cascade": SIGMOID}, "a100")
    assert result.cascade == "sigmoid-attention"
    assert result.passes["M"] == 1
    assert result.flops == one(dense, "a100").flops
    assert "max" not in result.ops_by_kind and result.ops_by_kind["sigmoid"] > 0
    # no running maximum and no correction of the output: less vector work than softmax
    assert result.latency_s < one(dense, "a100").latency_s


def test_an_edited_equation_changes_the_answer() -> None:
    edited = {**SIGMOID, "body": [*SIGMOID["body"][:1], "S[m,p] = sigmoid(QK[m,p]) * tanh(QK[m,p])", SIGMOID["body"][2]]}
    one_way, other = (one({**SMALL, "cascade": cascade, "schedule": "flash-attention-2"}, "a100") for cascade in (SIGMOID, edited))
    assert other.ops_by_kind["tanh"] == one_way.ops_by_kind["sigmoid"]
    assert other.latency_s > one_way.latency_s
    assert other.flops == one_way.flops
    assert other.footprint_bytes == one_way.footprint_bytes


def test_an_extended_cascade_inline() -> None:
    shipped = attnsim.spec.library.load("cascade", "attention-1pass").data
    cascade = {"extends": "attention-1pass", "name": "mine", "finally": ["AV[p,f] = RNV[M1,p,f] / RD[M1,p] + Q[p,e] * Q[p,e]"]}
    with_more = one({**SMALL, "cascade": cascade, "sizes": {**SMALL["sizes"]}}, "a100", schedule="flash-attention-2")
    assert with_more.cascade == "mine"
    assert with_more.ops_by_kind["mac"] > one(arch="a100").ops_by_kind["mac"]
    assert shipped["finally"] == ["AV[p,f] = RNV[M1,p,f] / RD[M1,p]"]


def test_a_mistake_in_an_inline_cascade_is_located(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(
        TEXT.replace("cascade: attention-1pass", "cascade:\n  extends: attention-1pass\n  finally: ['AV[p,f] = RNX[M1,p,f] / RD[M1,p]']")
    )
    with pytest.raises(SpecError) as caught:
        attnsim.run(path, "h100_sxm")
    assert str(caught.value).startswith(f"{path}:6:13: ") and "did you mean 'RNV'" in str(caught.value)


def test_a_set_reaches_into_a_named_schedule() -> None:
    """A library schedule is written out when a field of it is set, list entries included; without one there is nothing to change."""
    plain = attnsim.run(SMALL, "a100", "flash-attention-2").results[0]
    slow = attnsim.run(SMALL, "a100", "flash-attention-2", sets=("schedule.constants.cta_overhead.0.value=99999 cycle",)).results[0]
    assert slow.latency_s > plain.latency_s
    with pytest.raises(UsageError, match="--schedule NAME"):
        attnsim.run({key: value for key, value in SMALL.items() if key != "schedule"}, "a100", sets=("schedule.tiles.0.P=64",))


def test_a_sum_of_products_has_no_kernel_of_its_own() -> None:
    with pytest.raises(InfeasibleError, match="QK of mla-absorbed adds several: name a schedule that fuses them"):
        attnsim.run("deepseek-v3-ep128", "b200")
