"""Whole models on deployments: prices, batches that fit, stages, laws, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import attnsim
from attnsim.errors import AttnsimError, InfeasibleError, SpecError
from attnsim.machine import load_machine
from attnsim.machine.spatial import SpatialMachine
from attnsim.serving import offload
from attnsim.serving.model import Model
from attnsim.spec.library import entries, load
from attnsim.spec.model import TransformerSpec
from attnsim.spec.serving import OffloadDeployment
from attnsim.spec.yaml import validate

PAPER = {"kind": "ideal", "mla_value": "latent_and_rope", "linear_core": "block"}


def question(model: str, deployment: Any, context: int = 4096, **fields: Any) -> dict[str, Any]:
    return {"attnsim": 1, "kind": "model", "name": "asked", "model": model, "context": context, "deployment": deployment, **fields}


def ask(model: str, deployment: Any, arch: str = "h100_sxm", **fields: Any) -> Any:
    return attnsim.run(question(model, deployment, **fields), arch).results[0]


# --- ideal ----------------------------------------------------------------------------------------


def test_the_ideal_is_the_formula_of_the_paper():
    found = ask("step3", PAPER, "h800", context=8192, prices="stepfun-2025")
    keys, peak, memory = 61 * 8192 * 512, 1.979e15, 3.35e12
    core, linear = 61 * 8192 * 64 * 4 * 256, 2 * 61 * (7168 * 2048 + 2048 * 64 * 256 + 2 * 7168 * 256 + 64 * 256 * 7168)
    seconds = max(core / peak, keys / memory) + linear / peak
    assert found.parts["attention"]["kv_bytes"] == keys
    assert found.parts["attention"]["usd_per_mtok"] == pytest.approx(seconds * 2 / 3600 * 1e6, rel=1e-3)
    assert found.cost["prices"] == "stepfun-2025"


def test_each_part_goes_where_it_costs_least():
    both = ask("step3", {**PAPER, "hardware": ["h20"]}, "h800", context=8192, prices="stepfun-2025")
    assert [both.parts[part]["machine"] for part in ("attention", "ffn")] == ["h20", "h800"]
    one = ask("step3", {**PAPER, "hardware": ["h20"], "disaggregated": False}, "h800", context=8192, prices="stepfun-2025")
    assert one.parts["attention"]["machine"] == one.parts["ffn"]["machine"]
    assert both.cost["usd_per_mtok"] < one.cost["usd_per_mtok"]


# --- colocated ------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(["llama3-8b", "mistral-7b", "gpt-oss-20b"]), st.integers(1, 24), st.sampled_from([512, 2048, 4096]))
def test_no_step_beats_its_bound_and_more_requests_take_longer(model, batch, context):
    one, more = (ask(model, {"kind": "colocated"}, context=context, batch=count) for count in (batch, 2 * batch))
    assert one.lower_bound_s <= one.latency_s
    assert one.latency_s <= more.latency_s * 1.05, "twice the requests may get a better tile, as libraries choose them"
    assert one.tpot_s == one.latency_s and one.ttft_s is None
    assert sum(part["time_s"] for part in one.parts.values()) == pytest.approx(one.latency_s)


def test_the_largest_batch_meets_the_target_and_the_next_does_not():
    found = ask("llama3-8b", {"kind": "colocated"}, slo={"tpot": "20 ms"})
    assert found.tpot_s <= 0.020
    assert found.batch <= found.conditions["largest_batch"]
    next_ = ask("llama3-8b", {"kind": "colocated"}, batch=found.batch + 1)
    assert next_.tpot_s > 0.020 or found.batch == found.conditions["largest_batch"]


def test_tensor_parallel_devices_share_the_work_and_talk():
    alone, shared = (ask("llama3-8b", {"kind": "colocated", "tp": tp}, batch=32) for tp in (1, 4))
    assert shared.latency_s < alone.latency_s < 4 * shared.latency_s
    assert shared.gpus == 4 and "all-reduce" in shared.parts
    assert shared.memory_bytes["weights"] == pytest.approx(alone.memory_bytes["weights"] / 4, rel=0.01)
    assert shared.memory_bytes["cache"] == alone.memory_bytes["cache"] / 4


def test_norms_and_activations_are_kernels_of_their_own():
    """Two norms a layer read two tensors and write two, SwiGLU's activation reads two and writes one (validation/gemm-h100)."""
    dense = ask("llama3-70b", {"kind": "colocated", "tp": 4}, batch=32).parts
    assert dense["norms"]["memory_bytes"] == pytest.approx(80 * 2 * (4 * 32 * 8192 + 8192) * 2)
    assert dense["activations"]["memory_bytes"] == pytest.approx(80 * 3 * 32 * 28672 / 4 * 2)
    routed = ask("mixtral-8x7b", {"kind": "colocated", "tp": 4}, batch=32).parts
    assert routed["activations"]["memory_bytes"] == pytest.approx(32 * 3 * 32 * 2 * 14336 / 4 * 2)


@pytest.mark.parametrize("name", [entry.name for entry in entries("arch") if not isinstance(load_machine(entry.name), SpatialMachine)])
@pytest.mark.parametrize("phase", ["decode", "prefill"])
def test_every_processor_runs_a_model(name, phase):
    found = ask("qwen2-7b", {"kind": "colocated"}, name, batch=1, context=512, phase=phase)
    assert 0 < found.lower_bound_s <= found.latency_s and found.energy_j > 0


def test_a_prompt_has_a_first_token_and_a_price():
    found = ask("llama3-8b", {"kind": "colocated"}, phase="prefill", batch=1, prices="list-2026-09")
    assert found.tpot_s is None and found.ttft_s == found.latency_s
    assert found.cost["usd_per_mtok"] == pytest.approx(3.49 / 3600 / found.tokens_per_s * 1e6)
    flops = 2 * 8.03e9 * 4096  # the embedding is no product, and the head predicts one token
    assert 0.8 * flops < found.flops < 1.2 * flops


def test_experts_spread_over_devices_meet_tokens_of_all_of_them():
    found = ask("deepseek-v3", {"kind": "colocated", "dp": 128, "ep": 128}, "h800", batch=128 * 64)
    assert {"moe-dispatch", "moe-combine"} <= set(found.parts)
    assert found.memory_bytes["weights"] < 40e9


# --- disaggregated --------------------------------------------------------------------------------


def test_the_longest_stage_sets_the_pace():
    found = ask("step3", {"kind": "afd", "attention": 2, "ffn": 2}, "h800", batch=6144)
    stages = [found.conditions[f"{name}_stage_s"] for name in ("attention", "ffn", "network")]
    assert found.conditions["pace_s"] == max(stages)
    assert found.gpus == 32
    waiting = ask("step3", {"kind": "afd", "attention": 2, "ffn": 2, "sync": "50 us"}, "h800", batch=6144)
    assert waiting.tpot_s == pytest.approx(found.tpot_s + 3 * 61 * 50e-6)
    balanced = found.conditions["balanced_attention_servers"]
    assert (balanced > 2) == (stages[0] > stages[1])


def test_attention_and_ffn_on_other_machines():
    deployment = {"kind": "afd", "attention": 2, "ffn": 2, "attention_machine": "h20"}
    found = ask("step3", deployment, "h800", batch=3072, prices="stepfun-2025")
    assert found.parts["attention"]["machine"] == "h20" and found.parts["ffn"]["machine"] == "h800"
    assert found.cost["usd_per_hour"] == pytest.approx(16 * 0.8 + 16 * 2)


# --- offloaded ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "compute", "memory", "offloaded", "whole"),
    [("llama-33b", 1, 2, 20.32, 22.12), ("llama-65b", 2, 4, 40.64, 44.24), ("llama3-70b", 2, 4, 40.64, 44.24)],
)
def test_equal_costs_of_lamina(model, compute, memory, offloaded, whole):
    """arXiv 2405.01814v2, Table 5."""
    deployment = {"kind": "offload", "compute": compute, "memory": memory, "memory_machine": "h20"}
    assert ask(model, deployment, prices="lamina-2025", batch=8, context=1024).cost["usd_per_hour"] == pytest.approx(offloaded, abs=0.005)
    beside = ask(model, {"kind": "colocated", "tp": compute * 2}, prices="lamina-2025", batch=8, context=1024)
    assert beside.cost["usd_per_hour"] == pytest.approx(whole, abs=0.005)


@pytest.mark.parametrize("context", [4096, 8192, 16384])
def test_the_network_that_lamina_asks_for(context):
    """arXiv 2405.01814v2, section 3.1 and Figure 4: at most 30 GB/s up to 300 requests; one H100 and one H20, a fifth more time."""
    model = Model(validate(TransformerSpec, load("model", "llama3-70b")))
    deployment = OffloadDeployment(kind="offload", compute=1, memory=1, memory_machine="h20", batches=1)
    curve = []
    for batch in (1, 10, 100, 200, 300):
        asked = offload.Question(model, load_machine("h100_sxm"), load_machine("h20"), deployment, context, batch, "bf16")
        turn = offload.turn(asked)
        found = offload.conditions(asked, turn)["min_network_bytes_per_s"]
        sent = 2.25 * 2 * 8192 * batch * 80  # query, result, and new key and value of one of eight heads
        assert found == pytest.approx(sent / (0.2 * (turn.model_s + turn.attention.seconds)))
        curve.append(found)
    assert curve == sorted(curve) and curve[-1] <= 30e9


def test_batches_rotate_among_replicas():
    """arXiv 2405.01814v2, section 4.3: n batches on n - 1 replicas; nobody waits where attention takes 1/(n-1) of the model's time."""

    def found(batches, replicas, batch, memory=4):
        deployment = {"kind": "offload", "compute": 2, "memory": memory, "memory_machine": "h20", "batches": batches, "replicas": replicas}
        return ask("llama3-70b", deployment, context=2048, batch=batch, prices="lamina-2025")

    one, two = found(2, 1, 128), found(3, 2, 192)
    parts = {name: two.conditions[f"{name}_s"] for name in ("model", "attention", "network")}
    assert parts["model"] == one.conditions["model_s"], "batches of 64 each"
    assert two.tpot_s == pytest.approx(max(1.5 * parts["model"], 3 * parts["attention"], sum(parts.values())))
    assert two.gpus == 8 and one.gpus == 6 and two.cost["usd_per_hour"] == pytest.approx(one.cost["usd_per_hour"] + 2 * 11.06)
    assert one.tokens_per_s < two.tokens_per_s <= 2 * one.tokens_per_s
    assert two.lower_bound_s <= two.latency_s and two.flops == pytest.approx(1.5 * one.flops)
    with pytest.raises(SpecError, match="3 replicas for 2 batches: one would always wait"):
        found(2, 3, 128)


def test_batches_of_lamina():
    """30 requests of 8K in the memory of one H100 (section 2.2.2); 800 of Azure-Conv on DOP(2, 4) (section 6.1)."""
    one = ask("llama3-70b", {"kind": "offload", "compute": 2, "memory": 1, "memory_machine": "h100_sxm"}, context=8192, batch=2)
    assert round(one.conditions["requests_per_device"]) == 30
    found = ask("llama3-70b", {"kind": "offload", "compute": 2, "memory": 4, "memory_machine": "h20"}, context=1260)
    assert found.batch == pytest.approx(800, rel=0.10)


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "kind", "message"),
    [
        (
            {"model": "llama3-70b", "batch": 1},
            InfeasibleError,
            r"llama3-70b with 1 requests .*; cut its weights .*tp: 4",
        ),
        ({"batch": 100000}, InfeasibleError, r"\d+ requests fit"),
        ({"slo": {"tpot": "1 ms"}}, InfeasibleError, "no batch meets tpot 1.00 ms: 1 already take"),
        ({"batch": 64, "slo": {"tpot": "1 ms"}}, InfeasibleError, "64 requests take .* more than tpot 1.00 ms; leave `batch` out"),
        ({"deployment": {"kind": "colocated", "tp": 3}, "batch": 1}, InfeasibleError, "tp = 3 does not divide the 32 attention heads"),
        ({"deployment": {"kind": "colocated", "pp": 64}, "batch": 1}, InfeasibleError, "pp = 64 stages for 32 layers"),
        ({"prices": "stepfun-2024", "batch": 1}, SpecError, "stepfun-2024.*stepfun-2025"),
        ({"prices": "stepfun-2025", "batch": 1}, AttnsimError, "stepfun-2025.*h100_sxm"),
        ({"model": "lama3-8b"}, SpecError, "unknown model 'lama3-8b'; did you mean"),
        ({"deployment": {"kind": "afd", "attention": 1, "ffn": 1}, "phase": "prefill"}, InfeasibleError, "a prompt runs colocated"),
        ({"model": "deepseek-v3", "deployment": {"kind": "offload", "compute": 8, "memory": 4}}, InfeasibleError, "add devices of compute"),
        ({"phase": "prefill", "slo": {"tpot": "20 ms"}}, SpecError, "no time per output token"),
    ],
)
def test_what_cannot_be_is_one_clear_line(fields, kind, message):
    base = {"model": "llama3-8b", "deployment": {"kind": "colocated"}}
    merged = {**base, **fields}
    with pytest.raises(kind, match=message) as caught:
        ask(merged.pop("model"), merged.pop("deployment"), **merged)
    assert len(str(caught.value).splitlines()) == 1


def test_offloading_is_for_heads_of_keys_and_values():
    with pytest.raises(InfeasibleError, match="this model has mla attention"):
        ask("deepseek-v3", {"kind": "offload", "compute": 8, "memory": 4}, "h200", batch=8)


def test_models_do_not_run_on_pe_arrays_or_under_one_schedule():
    with pytest.raises(InfeasibleError, match="models run on processors; fusemax_cloud is a machine of PE arrays"):
        ask("llama3-8b", {"kind": "colocated"}, "fusemax_cloud", batch=1)
    with pytest.raises(SpecError, match="leave --schedule out"):
        attnsim.run(question("llama3-8b", {"kind": "colocated"}, batch=1), "h100_sxm", schedule="flash-attention-3")
