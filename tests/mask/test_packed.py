"""Sequences laid end to end: counts against the mask itself, tiles against those of each sequence, a batch of equal lengths."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

import attnsim
from attnsim.errors import SpecError
from attnsim.mask import CAUSAL, DENSE, Packed, from_spec
from attnsim.spec.mask import MaskSpec

lengths = st.lists(st.integers(1, 40), min_size=1, max_size=5)


@given(lengths, st.booleans())
def test_counts_are_those_of_the_mask_itself(sequences: list[int], causal: bool) -> None:
    mask, n = Packed.of(sequences, causal), sum(sequences)
    seen = mask.attends(n, n)
    assert mask.pairs(n, n) == int(seen.sum())
    assert mask.queries(n, n) == int(seen.any(axis=1).sum())
    assert mask.keys(n, n) == int(seen.any(axis=0).sum())
    assert mask.row_blocks(n, n, 1) == mask.pairs(n, n)
    assert np.array_equal(seen, seen & CAUSAL.attends(n, n)) or not causal


@given(lengths, st.booleans(), st.integers(1, 9), st.integers(1, 9), st.integers(1, 3))
def test_tiles_start_with_each_sequence(sequences: list[int], causal: bool, q_tile: int, k_tile: int, pack: int) -> None:
    mask, n, each = Packed.of(sequences, causal), sum(sequences), CAUSAL if causal else DENSE
    walk, by_key = mask.walk(n, n, q_tile, k_tile, pack), mask.walk_keys(n, n, k_tile, q_tile, pack)
    apart = [each.walk(one, one, q_tile, k_tile, pack) for one in sequences]
    assert walk.tile_count == sum(one.tile_count for one in apart)
    assert walk.visited_total == sum(one.visited_total for one in apart) == by_key.visited_total
    assert walk.partial_total == sum(one.partial_total for one in apart)


def test_refusals() -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(MaskSpec).validate_python({"kind": "packed", "lengths": []})
    with pytest.raises(ValueError, match="at least one length"):
        Packed.of([])
    with pytest.raises(ValueError, match="10 tokens together"):
        Packed.of([4, 6]).pairs(8, 8)
    assert from_spec(TypeAdapter(MaskSpec).validate_python({"kind": "packed", "lengths": [4, 6]})) == Packed((4, 6))
    assert Packed.of([4, 6], causal=True).describe() == "2 causal sequences of 4 to 6 tokens"
    with pytest.raises(SpecError, match="300 tokens together"):
        ask(200, {"kind": "packed", "lengths": [100, 200]})


def ask(n: int, mask: Any, batch: int = 1) -> Any:
    sizes = {"B": batch, "H": 16, "P": n, "M": n, "E": 128, "F": 128}
    asked = {"attnsim": 1, "kind": "kernel", "name": "asked", "cascade": "attention-1pass", "dtype": "bf16", "schedule": "fa2"}
    return attnsim.run(asked | {"sizes": sizes, "mask": mask}, "a100_sxm_80gb").results[0]


@pytest.mark.parametrize("kind", ["dense", "causal"])
def test_sequences_of_one_length_are_a_batch(kind: str) -> None:
    batch = ask(1024, {"kind": kind}, 8)
    packed = ask(8192, {"kind": "packed", "lengths": [1024] * 8, "causal": kind == "causal"})
    assert packed.flops == batch.flops
    assert packed.lower_bound_s == batch.lower_bound_s
    assert packed.bytes["l2"] == batch.bytes["l2"]
    assert packed.kernels[0].ctas == batch.kernels[0].ctas
    assert packed.latency_s == pytest.approx(batch.latency_s, rel=0.02)
