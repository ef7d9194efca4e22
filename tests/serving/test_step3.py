"""Measured attention of Step-3's Table 9, and arithmetic that DeepSeek's and Step-3's reports print."""

from __future__ import annotations

from statistics import fmean

import pytest

import attnsim
from attnsim.api.model import load_model
from attnsim.machine.prices import load_prices
from attnsim.serving.model import expansion_pays_from
from attnsim.spec import library
from attnsim.spec.model import LatentAttention
from attnsim.validate import run_cases


def test_attention_of_a_layer_is_met_and_never_below_its_bound():
    """16 rows on three GPUs, nothing fitted to them: mean below 15 %; the bound is below what was measured in every row."""
    (score,) = run_cases(["step3"]).tables
    values = [(check, value) for check in score.checks if check.table.startswith("Table 9") for value in check.values]
    assert len(values) == 16
    assert fmean(abs(value.error) for _, value in values) < 0.15
    for check, value in values:
        configuration = score.spec.configurations[check.configuration]
        row = value.record.values
        base = library.load("workload", configuration.base).data
        workload = {**base, **configuration.workload, "model": row["model"], "context": int(row["context"])}
        sets = [f"arch.{place}={text}" for place, text in configuration.arch_overrides.items()]
        found = attnsim.run(workload, configuration.arch, sets=sets).results[0].conditions
        assert found["attention_layer_bound_s"] <= found["attention_layer_s"]
        assert found["attention_layer_bound_s"] <= float(row["latency_us"]) * 1e-6, row


def test_day_six_of_deepseek():
    """226.75 nodes of 8 H800: what decoding and prefill need for their published rates, and 0.300 USD for a million tokens."""
    price = load_prices("deepseek-2025").usd_per_hour("h800")
    decode, prefill = 168e9 / 86400 / 14.8e3, 608e9 / 86400 / 73.7e3
    assert decode + prefill == pytest.approx(226.9, abs=0.05)
    assert 8 * price / 3600 / 14.8e3 * 1e6 == pytest.approx(0.300, abs=0.0005)
    assert 226.75 * 8 * 24 * price == pytest.approx(87072)


def test_where_expanded_latent_attention_overtakes_absorbed():
    (spec,) = load_model("deepseek-v3").spec.attention.values()
    assert isinstance(spec, LatentAttention)
    assert round(expansion_pays_from(spec)) == 171
