"""Which (query, key) pairs attend, as a user writes it: `mask: {kind: window, left: 1023, right: 0}`.

Positions are aligned at the bottom right, as FlashAttention does since version 2.1: query p of P sees keys around the aligned
position q = p + M - P of M, so the last query stands at the last key whatever P is. Sizes come from the workload, not from here.
"""

from typing import Annotated, Literal

from pydantic import Field

from attnsim.spec.base import Spec

_Reach = Annotated[int, Field(strict=True, ge=0)]
_Left = Annotated[
    _Reach | None,
    Field(description="keys seen before the aligned position, which is seen too (a causal window of W keys is left: W-1); null: all"),
]
_Right = Annotated[_Reach | None, Field(description="keys seen after the aligned position; null: all")]


class DenseMask(Spec):
    """Every query attends every key."""

    kind: Literal["dense"] = "dense"


class CausalMask(Spec):
    """A query attends the keys up to its own aligned position."""

    kind: Literal["causal"]


class WindowMask(Spec):
    """A query attends keys q-left ... q+right (FlashAttention's window_size)."""

    kind: Literal["window"]
    left: _Left
    right: _Right = 0


class SinksMask(Spec):
    """A window, and the first `sinks` keys of the sequence as far as they are not right of the window (StreamingLLM, arXiv 2309.17453)."""

    kind: Literal["sinks"]
    sinks: Annotated[int, Field(strict=True, ge=1, description="keys at the start of the sequence that stay visible")]
    left: _Left
    right: _Right = 0


MaskSpec = Annotated[DenseMask | CausalMask | WindowMask | SinksMask, Field(discriminator="kind")]
