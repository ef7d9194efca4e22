"""Masks by head: means that are exact, lists that repeat, and what is refused."""

from fractions import Fraction

import pytest
from pydantic import TypeAdapter

from attnsim.mask import CAUSAL, DENSE, Banded, PerHead, Strided, from_spec
from attnsim.spec.mask import MaskSpec

SPEC = TypeAdapter(MaskSpec)


def made(**written):
    return from_spec(SPEC.validate_python(written))


def test_neighbours_alike_are_one_entry_and_a_single_mask_is_itself():
    mask = made(
        kind="per_head", masks=[{"heads": 2, "mask": {"kind": "causal"}}, {"mask": {"kind": "causal"}}, {"mask": {"kind": "dense"}}]
    )
    assert mask == PerHead(((3, CAUSAL), (1, DENSE)))
    assert made(kind="per_head", masks=[{"heads": 2, "mask": {"kind": "causal"}}, {"mask": {"kind": "causal"}}]) is CAUSAL


def test_counts_are_exact_means():
    mask = PerHead(((1, CAUSAL), (2, DENSE)))
    assert mask.pairs(3, 3) == 8
    assert mask.pairs(2, 2) == Fraction(3 + 4 + 4, 3)
    assert mask.by_head(6) == ((1, CAUSAL), (2, DENSE), (1, CAUSAL), (2, DENSE))
    assert mask.kinds == {"per_head", "causal", "dense"}
    with pytest.raises(ValueError, match="3 heads, which must divide the 4 query heads"):
        mask.by_head(4)


def test_offsets_of_all_heads_in_one_word():
    mask = made(kind="strided", block=64, local=16, stride=4, offset="per_head")
    assert mask == PerHead(tuple((1, Strided.of(64, 16, 4, offset)) for offset in range(4)))
    nested = made(
        kind="per_head",
        masks=[
            {"heads": 4, "mask": {"kind": "causal"}},
            {"heads": 8, "mask": {"kind": "strided", "block": 64, "local": 1, "stride": 4, "offset": "per_head"}},
        ],
    )
    assert [heads for heads, _ in nested.by_head(12)] == [4, *[1] * 8]
    with pytest.raises(ValueError, match="4 heads, which must divide the 3 query heads"):
        made(kind="per_head", masks=[{"heads": 3, "mask": {"kind": "strided", "block": 64, "local": 1, "stride": 4, "offset": "per_head"}}])


def test_a_span_grows_with_the_sequence_and_holds_its_sinks():
    mask = made(kind="span", alpha=-1024, beta=0.5)
    assert [mask.keys(1, M) for M in (1024, 2048, 4096, 16384)] == [64, 64, 1024, 7168]
    assert made(kind="span", beta=1.0).pairs(4096, 4096) == CAUSAL.pairs(4096, 4096)
    assert made(kind="span", alpha=1024).pairs(1, 512) == 512


def test_windows_of_one_reach_equal_spans_of_blocks_of_one():
    assert Strided.of(1, 17).pairs(64, 100) == Banded.of(16, 0).pairs(64, 100)
    narrow, band = Strided.of(1, 17, sinks=4).walk(64, 100, 8, 16), Banded.of(16, 0, 4).walk(64, 100, 8, 16)
    assert narrow.runs == band.runs
