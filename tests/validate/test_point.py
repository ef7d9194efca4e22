"""Shapes, the published FLOP convention, and the workload the engine gets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnsim.spec.workload import Conditions
from attnsim.validate.point import RowError, Shape, direction_of, positive, workload

GOOD = {"batch": "4", "heads_q": "16", "heads_kv": "4", "seqlen_q": "512", "seqlen_kv": "1024", "head_dim": "128", "causal": "1"}


def test_a_row_becomes_sizes() -> None:
    assert Shape.from_values(GOOD).sizes() == {"B": 4, "H": 16, "G": 4, "P": 512, "M": 1024, "E": 128, "F": 128}


def test_two_widths_are_read_from_a_slash_or_a_column_of_their_own() -> None:
    both = Shape.from_values(GOOD | {"head_dim": "192/128"})
    assert (both.head_dim, both.head_dim_v) == (192, 128)
    assert Shape.from_values(GOOD | {"head_dim": "192", "head_dim_v": "128"}).head_dim_v == 128
    assert Shape.from_values(GOOD | {"head_dim_v": ""}).head_dim_v == 128


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": "0"}, "batch is '0'"),
        ({"batch": "-4"}, "batch is '-4'"),
        ({"seqlen_q": "1.5"}, "seqlen_q is '1.5'"),
        ({"seqlen_kv": ""}, "seqlen_kv is ''"),
        ({"head_dim": "1_28"}, "head_dim is '1_28'"),
        ({"head_dim": "128/x"}, "head_dim_v is 'x'"),
        ({"heads_kv": "3"}, "16 is not a multiple of heads_kv 3"),
        ({"causal": "maybe"}, "causal is 'maybe'"),
    ],
)
def test_illegal_sizes_are_named(change: dict[str, str], message: str) -> None:
    with pytest.raises(RowError, match=message):
        Shape.from_values(GOOD | change)


def test_published_flops_are_those_of_the_papers() -> None:
    # FlashAttention-2, d 128, 16k tokens, 16 heads: 4 * 16 * 16384^2 * 128
    shape = Shape(1, 16, 16, 16384, 16384, 128, 128, causal=False)
    assert shape.published_flops("forward") == 4 * 16 * 16384**2 * 128
    assert shape.published_flops("backward") == 2.5 * shape.published_flops("forward")


@given(st.integers(1, 64), st.integers(1, 4096), st.sampled_from([64, 128, 192, 256]), st.sampled_from(["forward", "backward"]))
def test_causal_is_exactly_half(batch: int, tokens: int, width: int, direction: str) -> None:
    full, half = (Shape(batch, 8, 2, tokens, tokens, width, 128, causal=c).published_flops(direction) for c in (False, True))
    assert half * 2 == full


@pytest.mark.parametrize("text", ["0", "-3", "nan", "inf", "-inf", "", "12 us", "1e400"])
def test_a_time_is_a_finite_number_above_zero(text: str) -> None:
    with pytest.raises(RowError, match="time_us is"):
        positive("time_us", text)


def test_directions_have_the_names_papers_use() -> None:
    read = {text: direction_of(text) for text in ("fwd", "bwd", "decode", "forward", "backward")}
    assert read == {"fwd": "forward", "bwd": "backward", "decode": "forward", "forward": "forward", "backward": "backward"}
    with pytest.raises(RowError, match="sideways"):
        direction_of("sideways")


def test_the_workload_follows_the_contract() -> None:
    shape = Shape.from_values(GOOD)
    locked = Conditions.model_validate({"tensor_clock": "1830 MHz"})
    made = workload(shape, name="n", dtype="fp16", direction="forward", cascade="c", mask=None, schedule="s", conditions=locked)
    assert made == {
        "attnsim": 1, "kind": "kernel", "name": "n", "cascade": "c", "sizes": shape.sizes(), "dtype": "fp16", "direction": "forward",
        "mask": {"kind": "causal"}, "schedule": "s",
        "conditions": {"tensor_clock": "1830000000.0 Hz", "power_limit": True, "launch": "graph"},
    }  # fmt: skip
    assert Conditions.model_validate(made["conditions"]).tensor_clock == 1.83e9


def test_a_mask_of_the_case_replaces_the_row_and_defaults_are_left_to_the_engine() -> None:
    window = {"kind": "window", "left": 127, "right": 0}
    shape = Shape.from_values(GOOD)
    made = workload(shape, name="n", dtype="fp16", direction="forward", cascade="c", mask=window, schedule=None, conditions=None)
    assert made["mask"] == window and "schedule" not in made and "conditions" not in made
