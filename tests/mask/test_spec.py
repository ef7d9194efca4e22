"""What users may write under `mask:`, and what they read back."""

import pytest
from pydantic import TypeAdapter, ValidationError

from attnsim.mask import CAUSAL, DENSE, Banded, from_spec
from attnsim.spec.mask import MaskSpec

ADAPTER = TypeAdapter(MaskSpec)


ALIGNED = "(bottom-right aligned)"


@pytest.mark.parametrize(
    "written, mask, kind, description",
    [
        ({"kind": "dense"}, DENSE, "dense", "dense"),
        ({"kind": "causal"}, CAUSAL, "causal", f"causal {ALIGNED}"),
        ({"kind": "window", "left": 1023}, Banded(1023, 0), "window", f"causal window of 1024 keys {ALIGNED}"),
        ({"kind": "window", "left": 0, "right": 0}, Banded(0, 0), "window", f"causal window of 1 key {ALIGNED}"),
        ({"kind": "window", "left": 128, "right": 1}, Banded(128, 1), "window", f"window of 128 keys back and 1 key ahead {ALIGNED}"),
        ({"kind": "window", "left": 9, "right": None}, Banded(9, None), "window", f"window of 9 keys back and all keys ahead {ALIGNED}"),
        (
            {"kind": "sinks", "sinks": 4, "left": 1023, "right": 0},
            Banded(1023, 0, 4),
            "sinks",
            f"causal window of 1024 keys and 4 sink keys {ALIGNED}",
        ),
        (
            {"kind": "sinks", "sinks": 1, "left": 8, "right": 8},
            Banded(8, 8, 1),
            "sinks",
            f"window of 8 keys back and 8 keys ahead and 1 sink key {ALIGNED}",
        ),
        ({"kind": "window", "left": None, "right": None}, DENSE, "dense", "dense"),
        ({"kind": "window", "left": None, "right": 0}, CAUSAL, "causal", f"causal {ALIGNED}"),
        ({"kind": "sinks", "sinks": 4, "left": None, "right": 0}, CAUSAL, "causal", f"causal {ALIGNED}"),
    ],
)
def test_written_masks(written, mask, kind, description):
    made = from_spec(ADAPTER.validate_python(written))
    assert (made, made.kind, made.describe()) == (mask, kind, description)
    assert made.by_head(32) == ((32, mask),)


@pytest.mark.parametrize(
    "written, where",
    [
        ({}, ()),
        ({"kind": "triangular"}, ()),
        ({"kind": "causal", "left": 3}, ("causal", "left")),
        ({"kind": "window"}, ("window", "left")),
        ({"kind": "window", "left": -1}, ("window", "left")),
        ({"kind": "window", "left": True}, ("window", "left")),
        ({"kind": "window", "left": 1.5}, ("window", "left")),
        ({"kind": "window", "left": "4"}, ("window", "left")),
        ({"kind": "sinks", "sinks": 0, "left": 3}, ("sinks", "sinks")),
        ({"kind": "sinks", "left": 3}, ("sinks", "sinks")),
    ],
)
def test_impossible_masks_are_one_error_each(written, where):
    with pytest.raises(ValidationError) as caught:
        ADAPTER.validate_python(written)
    assert [error["loc"] for error in caught.value.errors()] == [where]
