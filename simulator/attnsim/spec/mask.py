"""Which (query, key) pairs attend, as a user writes it: `mask: {kind: window, left: 1023, right: 0}`.

Positions are aligned at the bottom right, as FlashAttention does since version 2.1: query p of P sees keys around the aligned
position q = p + M - P of M, so the last query stands at the last key whatever P is. Sizes come from the workload, not from here.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from attnsim.spec.base import FieldError, Spec

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


_Axes = list[Annotated[int, Field(strict=True)]]
_Flags = list[Annotated[bool, Field(strict=True)]]
_BY_AXIS = ("window", "stride", "dilation", "causal")


class NeighborhoodMask(Spec):
    """Generalized neighborhood attention on 1 to 3 axes (arXiv 2504.16922): a token attends the window around its stride group."""

    kind: Literal["neighborhood"]
    shape: _Axes = Field(description="tokens along each axis, for example [30, 48, 80]; P is their product, M that or more (extra keys)")
    window: _Axes = Field(description="keys attended along each axis; -1: the whole axis")
    stride: _Axes = Field(default=[], description="neighbouring queries that share one window; as large as the window: blocked attention")
    dilation: _Axes = Field(default=[], description="distance of neighbouring keys")
    causal: _Flags = Field(default=[], description="along which axes a query attends no key after it")

    @model_validator(mode="before")
    @classmethod
    def _one_for_all(cls, data: Any) -> Any:
        """A single number or flag stands for every axis, and so do the defaults."""
        if not isinstance(data, dict):
            return data
        shape = data.get("shape")
        count = len(shape) if isinstance(shape, list) else 1
        every = {"stride": 1, "dilation": 1, "causal": False} | data | ({"shape": [shape]} if isinstance(shape, int) else {})
        return {name: [value] * count if name in _BY_AXIS and isinstance(value, int) else value for name, value in every.items()}

    @model_validator(mode="after")
    def _one_entry_an_axis(self) -> NeighborhoodMask:
        count = len(self.shape)
        if not 1 <= count <= 3:
            raise FieldError(f"a layout has 1 to 3 axes, not {count}", "shape")
        for name in _BY_AXIS:
            given = getattr(self, name)
            if len(given) != count:
                raise FieldError(f"one entry for each of the {count} axes of shape (or one number for all), not {len(given)}", name)
        for number, (extent, window, stride, dilation, _) in enumerate(self.axes()):
            fault = illegal_axis(extent, window, stride, dilation)
            if fault is not None:
                raise FieldError(fault[1], fault[0], number)
        return self

    def axes(self) -> list[tuple[int, int, int, int, bool]]:
        """(extent, window, stride, dilation, causal) of every axis, the whole axis as a number."""
        rows = zip(self.shape, self.window, self.stride, self.dilation, self.causal, strict=True)
        return [(extent, extent // max(1, d) if w == -1 else w, s, d, causal) for extent, w, s, d, causal in rows]


def illegal_axis(extent: int, window: int, stride: int, dilation: int) -> tuple[str, str] | None:
    """The field of an axis that is not legal, and why; None for a legal one (NATTEN src/natten/utils/checks.py)."""
    if extent < 1:
        return "shape", f"an axis has at least 1 token, not {extent}"
    if dilation < 1:
        return "dilation", f"must be at least 1, not {dilation}"
    if window < 2:
        return "window", f"must be at least 2 (or -1 for the whole axis), not {window}"
    if window * dilation > extent:
        return "window", f"must be at most {extent // dilation} (extent {extent} / dilation {dilation}), not {window}"
    if not 1 <= stride <= window:
        return "stride", f"must be 1 to {window}, the window, not {stride}"
    return None


MaskSpec = Annotated[DenseMask | CausalMask | WindowMask | SinksMask | NeighborhoodMask, Field(discriminator="kind")]
