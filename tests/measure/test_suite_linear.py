"""Suite linear: what its rows say, and its recurrences against forms that have no loop."""

from __future__ import annotations

import sys
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from attnsim.measure.suites import linear
from attnsim.spec.measurement import ATTENTION, FILE, MEASURED

ROW = linear.Linear("linear-attn", 2, 3, 20, 8, 4)


def test_counts_and_columns() -> None:
    rows = [case.values for case in linear.cases("cuda", False)]
    assert 30 <= len(rows) <= 40
    assert set(Counter(tuple(sorted(row.items())) for row in rows).values()) == {1}
    for row in rows:
        assert set(ATTENTION) - {"time_us"} <= set(row) <= set(FILE) - (set(MEASURED) - {"suite", "backend"})
        assert (row["seqlen_q"] == 1) == str(row["kernel"]).startswith("fused-recurrent-")


def _quadratic(rule: str, given: dict[str, Any]) -> Any:
    """Every token from all before it, without a state; no delta rule."""
    import torch

    q, k, v = (given[name].double() for name in "qkv")
    places = torch.arange(q.shape[1])
    if rule == "gla":
        total = given["g"].double().cumsum(1)
        q, k = q * total.exp(), k * (-total).exp()
    scores = torch.einsum("bphk,bmhk->bhpm", q, k) * q.shape[-1] ** -0.5
    if rule == "retention":
        gamma = 1 - 2.0 ** (-5.0 - torch.arange(q.shape[2]).double())
        scores = scores * gamma[:, None, None] ** (places[:, None] - places)
    if rule == "simple-gla":
        total = given["g"].double().cumsum(1).transpose(1, 2)
        scores = scores * (total[..., :, None] - total[..., None, :]).exp()
    return torch.einsum("bhpm,bmhv->bphv", scores.masked_fill(places[:, None] < places, 0), v)


@pytest.mark.parametrize("rule", ["linear-attn", "retention", "simple-gla", "gla"])
def test_a_recurrence_is_its_quadratic_form(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    seen: list[dict[str, Any]] = []

    def operator(**given: Any) -> tuple[Any, None]:
        seen.append(given)
        return _quadratic(rule, given), None

    row = linear.Linear(rule, 2, 3, 20, 8, 4)
    module = linear.RULES[rule][0]
    fake = SimpleNamespace(**{row.kernel.replace("-", "_"): operator})
    for name, content in (("fla", SimpleNamespace()), ("fla.ops", SimpleNamespace()), (f"fla.ops.{module}", fake)):
        monkeypatch.setitem(sys.modules, name, content)
    prepared = linear.prepare(row, "cpu")
    assert prepared.check() < 1e-9
    assert len(prepared.calls) >= 2 and seen


def test_the_delta_rule_replaces_what_a_key_held() -> None:
    torch = pytest.importorskip("torch")
    row = linear.Linear("delta-rule", 1, 1, 3, 4, 4)
    key = torch.zeros(1, 3, 1, 4)
    key[..., 0] = 1
    given = {"q": key * 2, "k": key, "v": torch.arange(12.0).view(1, 3, 1, 4), "beta": torch.ones(1, 3, 1)}
    out = linear.expected(row, given, torch.tensor([(0, 0)]))
    assert torch.allclose(out[0], given["v"][0, :, 0].double())  # 2 of the query, 4^-0.5 of the scale


@pytest.mark.parametrize("rule", linear.RULES)
def test_a_step_goes_on_from_the_state(rule: str) -> None:
    torch = pytest.importorskip("torch")
    row = linear.Linear(rule, 2, 2, 1, 8, 4)
    given = linear.inputs(row, "cpu")
    places = torch.tensor([(0, 0), (1, 1)])
    held = linear.expected(row, given, places)
    given["initial_state"] = given["initial_state"] * 0
    assert not torch.allclose(held, linear.expected(row, given, places))
