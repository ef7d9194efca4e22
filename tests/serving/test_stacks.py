"""Caches cut short and in pages, and what serving stacks add to a step."""

from __future__ import annotations

from statistics import fmean
from typing import Any

import pytest

import attnsim
from attnsim.errors import InfeasibleError, SpecError
from attnsim.spec.serving import CachePolicy
from attnsim.validate import run_cases

GB, MIB = 1e9, 2**20


def ask(model: str = "llama2-7b", arch: str = "a100_sxm_80gb", context: int = 4096, batch: int | None = 8, **fields: Any) -> Any:
    deployment = {"kind": "colocated", **fields.pop("deployment", {})}
    asked = {"attnsim": 1, "kind": "model", "name": "asked", "model": model, "context": context, "deployment": deployment, **fields}
    return attnsim.run(asked if batch is None else {**asked, "batch": batch}, arch).results[0]


def cached(**policy: Any) -> dict[str, Any]:
    return {"deployment": {"cache": policy}}


def stacked(**stack: Any) -> dict[str, Any]:
    return {"deployment": {"stack": {"source": "a test", **stack}}}


# --- what is kept ---------------------------------------------------------------------------------


def test_a_cache_cut_to_half_is_a_cache_of_half_the_context():
    half, short = ask(**cached(kept=0.5)), ask(context=2048)
    assert half.latency_s == short.latency_s and half.memory_bytes["cache"] == short.memory_bytes["cache"]
    assert half.lower_bound_s == short.lower_bound_s < ask().lower_bound_s
    assert half.conditions["cached_tokens"] == 2048
    assert any("2048 tokens of a request stay" in line for line in half.assumptions)


def test_a_budget_ends_the_growth_of_the_cache():
    short, long = (ask(context=context, **cached(budget=1024)) for context in (8192, 1_000_000))
    assert short.latency_s == long.latency_s
    assert "longest_context" not in long.conditions
    assert ask(context=512, **cached(budget=1024)).conditions.get("cached_tokens") is None, "nothing is cut below the budget"


@pytest.mark.parametrize(
    ("policy", "context", "tokens"), [({"kept": 0.25}, 1000, 250), ({"kept": 0.5, "budget": 100}, 1000, 100), ({"kept": 0.001}, 10, 1)]
)
def test_tokens_that_stay(policy, context, tokens):
    assert CachePolicy(**policy).tokens(context) == tokens


def test_a_prompt_is_attended_in_full_and_one_layer_of_it_held_in_full():
    whole, cut = (ask(phase="prefill", context=16384, batch=1, **cached(**policy)) for policy in ({}, {"budget": 1024}))
    assert whole.latency_s == cut.latency_s
    assert cut.memory_bytes["cache"] == whole.memory_bytes["cache"] / 16
    assert cut.memory_bytes["prompt of a layer"] == whole.memory_bytes["cache"] / 32
    assert "prompt of a layer" not in whole.memory_bytes


# --- pages ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "tp", "page", "tokens", "waste"),
    [
        ("yi-6b", 1, "64 KiB", 64, 2 * MIB),
        ("yi-6b", 1, "2 MiB", 2048, 64 * MIB),
        ("llama3-8b", 2, "2 MiB", 2048, 64 * MIB),
        ("yi-34b", 2, "64 KiB", 64, 3.75 * MIB),
        ("deepseek-v3", 8, "64 KiB", 113, 61 / 2 * 65536),
    ],
)
def test_a_page_holds_tokens_and_half_of_the_last_is_empty(model, tp, page, tokens, waste):
    """waste: half a page for keys and values (or the latent) of every layer, a request (arXiv 2405.04437)."""
    found = ask(model, "h200", batch=3, deployment={"tp": tp, "cache": {"page": page}, "memory": 1})
    assert found.conditions["tokens_per_page"] == tokens
    assert found.memory_bytes["paging waste"] == pytest.approx(3 * waste)


def test_blocks_of_tokens_waste_what_pages_of_as_many_bytes_do():
    block, page = ask(**cached(block=16)), ask(**cached(page="128 KiB"))
    assert block.memory_bytes == page.memory_bytes and block.conditions == page.conditions
    assert ask().memory_bytes.get("paging waste") is None


def test_larger_pages_leave_room_for_fewer_requests():
    rooms = [ask(batch=None, **cached(page=page)).batch for page in ("64 KiB", "2 MiB", "8 MiB")]
    assert sorted(rooms, reverse=True) == rooms and len(set(rooms)) == 3


def test_a_page_holds_at_least_one_token():
    with pytest.raises(InfeasibleError, match="holds less than a token of llama2-7b"):
        ask(**cached(page="4 KiB"))
    with pytest.raises(SpecError, match="its tokens"):
        ask(**cached(page="4 KiB", block=16))


@pytest.mark.parametrize("phase", ["decode", "prefill"])
def test_the_longest_context_fits_and_the_next_does_not(phase):
    longest = int(ask(phase=phase, batch=2).conditions["longest_context"])
    assert ask(phase=phase, context=longest, batch=2).context == longest
    with pytest.raises(InfeasibleError):
        ask(phase=phase, context=longest + 1, batch=2)


# --- stacks ---------------------------------------------------------------------------------------


def test_host_time_is_added_to_a_step():
    plain, late = ask(), ask(**stacked(overhead="10 ms"))
    assert late.latency_s == pytest.approx(plain.latency_s + 0.01)
    assert late.parts["host"]["time_s"] == 0.01
    assert late.energy_j == pytest.approx(plain.energy_j + 0.01 * 70), "idle power of an A100"
    assert any("10.0 ms of host time a step (a test)" in line for line in late.assumptions)
    staged = ask(deployment={"pp": 2, "stack": {"overhead": "10 ms", "source": "a test"}})
    assert staged.latency_s == pytest.approx(ask(deployment={"pp": 2}).latency_s + 0.01)


def test_slower_kernels_take_longer_and_leave_the_bound_alone():
    plain, slow = ask(), ask(**stacked(efficiency=0.5))
    assert slow.latency_s == pytest.approx(2 * plain.latency_s)
    assert slow.lower_bound_s == plain.lower_bound_s
    assert slow.energy_j == pytest.approx(plain.energy_j + plain.latency_s * 70)


def test_copies_of_the_cache_are_read_and_written_while_decoding_alone():
    plain, copied = ask(), ask(**stacked(cache_copies=2))
    cache = plain.memory_bytes["cache"]
    assert copied.parts["cache copies"]["memory_bytes"] == 4 * cache
    assert copied.latency_s - plain.latency_s == pytest.approx(4 * cache / (2039 * GB * 0.88), rel=1e-3)
    prompts = [ask(phase="prefill", batch=1, **fields).latency_s for fields in ({}, stacked(cache_copies=2))]
    assert prompts[0] == prompts[1]


def test_logits_of_a_whole_prompt():
    last, every = (ask(phase="prefill", batch=2, deployment={"stack": {"prompt_logits": whole}}) for whole in (False, True))
    assert every.memory_bytes["logits"] == 2 * 4096 * 32000 * 6
    assert every.flops - last.flops == 2 * (2 * 4095) * 4096 * 32000
    decoding = [ask(deployment={"stack": {"prompt_logits": whole}}) for whole in (False, True)]
    assert decoding[0].latency_s == decoding[1].latency_s and "logits" not in decoding[1].memory_bytes


def test_constants_need_a_source():
    with pytest.raises(SpecError, match="where the constants come from"):
        ask(deployment={"stack": {"overhead": "1 ms"}})
    with pytest.raises(SpecError, match="rows that the constants were fitted on"):
        ask(deployment={"stack": {"overhead": "1 ms", "source": "fitted"}})


# --- the cases ------------------------------------------------------------------------------------


def test_serving_stacks_of_moa_on_rows_nothing_was_fitted_to():
    """Nine stacks, 54 rows, 9 of them fitted (arXiv 2406.14909v3, Table 5)."""
    (score,) = run_cases(["moa-decode"]).tables
    values = [value for check in score.checks for value in check.values]
    held = [abs(value.error) for value in values if not value.fitted]
    assert len(values) == 54 and len(held) == 45
    assert fmean(held) < 0.06
    for check in score.checks:
        assert fmean(abs(value.error) for value in check.values if not value.fitted) < 0.15, check.check.label


def test_the_bound_is_never_above_what_was_measured():
    for score in run_cases(["hired"]).tables:
        for check in score.checks:
            for value in check.values:
                row = value.record.values
                found = ask(arch="tesla_p40", phase="prefill", context=int(row["tokens"]), batch=int(row["batch"]))
                assert found.lower_bound_s < float(row["ttft_s"])
