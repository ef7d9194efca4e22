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
        return _spread(data, {"stride": 1, "dilation": 1, "causal": False}, _BY_AXIS)

    @model_validator(mode="after")
    def _one_entry_an_axis(self) -> NeighborhoodMask:
        _check_axes(self, _BY_AXIS)
        for number, (extent, window, stride, dilation, _) in enumerate(self.axes()):
            fault = illegal_axis(extent, window, stride, dilation)
            if fault is not None:
                raise FieldError(fault[1], fault[0], number)
        return self

    def axes(self) -> list[tuple[int, int, int, int, bool]]:
        """(extent, window, stride, dilation, causal) of every axis, the whole axis as a number."""
        rows = zip(self.shape, self.window, self.stride, self.dilation, self.causal, strict=True)
        return [(extent, extent // max(1, d) if w == -1 else w, s, d, causal) for extent, w, s, d, causal in rows]


class WindowsMask(Spec):
    """Tokens in cells of 1 to 3 axes, each attending its own cell: block attention of Swin (arXiv 2103.14030, shifted or not) and MaxViT,
    with `causal` the groups of LongLoRA (arXiv 2309.12307).
    """

    kind: Literal["windows"]
    shape: _Axes = Field(description="tokens along each axis, for example [56, 56]")
    window: _Axes = Field(description="tokens of a cell along each axis")
    shift: _Axes = Field(default=[], description="tokens of the first cell along each axis, below the window; 0: a whole one")
    causal: _Flags = Field(default=[], description="along which axes a query attends no key after it")

    @model_validator(mode="before")
    @classmethod
    def _one_for_all(cls, data: Any) -> Any:
        return _spread(data, {"shift": 0, "causal": False}, ("window", "shift", "causal"))

    @model_validator(mode="after")
    def _one_entry_an_axis(self) -> WindowsMask:
        _check_axes(self, ("window", "shift", "causal"))
        for number, (extent, window, shift) in enumerate(zip(self.shape, self.window, self.shift, strict=True)):
            if not 1 <= window <= extent:
                raise FieldError(f"must be 1 to {extent}, the extent, not {window}", "window", number)
            if not 0 <= shift < window:
                raise FieldError(f"must be 0 to {window - 1}, below the window, not {shift}", "shift", number)
        return self


class GridMask(Spec):
    """Grid attention (MaxViT, arXiv 2204.01697): a token attends `grid` tokens along each axis, as far apart as they can be."""

    kind: Literal["grid"]
    shape: _Axes = Field(description="tokens along each axis, for example [56, 56]")
    grid: _Axes = Field(description="tokens that attend one another along each axis; divides the extent")

    @model_validator(mode="before")
    @classmethod
    def _one_for_all(cls, data: Any) -> Any:
        return _spread(data, {}, ("grid",))

    @model_validator(mode="after")
    def _one_entry_an_axis(self) -> GridMask:
        _check_axes(self, ("grid",))
        for number, (extent, grid) in enumerate(zip(self.shape, self.grid, strict=True)):
            if grid < 2 or extent % grid:
                raise FieldError(f"must be at least 2 and divide {extent}, the extent, not {grid}", "grid", number)
        return self


_Count = Annotated[int, Field(strict=True, ge=0)]
_Positive = Annotated[int, Field(strict=True, ge=1)]


class StridedMask(Spec):
    """Local blocks and, in every `stride`-th block, columns that all later queries see (S2-Attention, arXiv 2407.17678)."""

    kind: Literal["strided"]
    block: _Positive = Field(description="keys (and queries) of a block")
    local: _Count = Field(description="blocks up to the query's own that it attends")
    stride: _Positive = Field(description="distance of the columns, in blocks")
    offset: _Count | Literal["per_head"] = Field(
        default=0, description="first column, in blocks, below the stride; per_head: one after another from head to head"
    )
    sinks: _Count = Field(default=0, description="blocks at the start of the sequence that stay visible")
    causal: Annotated[bool, Field(strict=True)] = Field(default=True, description="hide keys after the aligned position besides")

    @model_validator(mode="after")
    def _offset_below_stride(self) -> StridedMask:
        if self.offset != "per_head" and self.offset >= self.stride:
            raise FieldError(f"must be 0 to {self.stride - 1}, below the stride, not {self.offset}", "offset")
        return self


class SpanMask(Spec):
    """The last keys and the sinks, alpha + beta * M keys together, in whole blocks, causal (MoA, arXiv 2406.14909)."""

    kind: Literal["span"]
    alpha: Annotated[int, Field(strict=True)] = Field(default=0, description="keys of the span at any length; may be negative")
    beta: Annotated[float, Field(ge=0, le=1)] = Field(default=0.0, description="share of the sequence that the span grows with")
    block: _Positive = Field(default=64, description="keys of a block")
    sinks: _Count = Field(default=1, description="blocks of the span that lie at the start of the sequence")


class PackedMask(Spec):
    """Sequences of their own lengths laid end to end, each attending itself, as ragged batches run: one batch element whose P and M are the
    tokens of all.
    """

    kind: Literal["packed"]
    lengths: list[_Positive] = Field(min_length=1, description="tokens of each sequence; together P, and M")
    causal: Annotated[bool, Field(strict=True)] = Field(default=False, description="each sequence is causal in itself")


class BlocksMask(Spec):
    """Which blocks of keys each block of queries attends, from a file or written here."""

    kind: Literal["blocks"]
    file: str | None = Field(
        default=None,
        description=".npy or .npz with an array of 0 and 1, [query blocks, key blocks] or [heads, query blocks, key blocks]; "
        "or a matrix saved by scipy.sparse.save_npz",
    )
    array: str | None = Field(default=None, description="name of the array in an .npz that holds several")
    blocks: list[list[Literal[0, 1]]] | None = Field(default=None, description="the array itself, row by row, in place of a file")
    block: _Positive | Annotated[list[_Positive], Field(min_length=2, max_length=2)] = Field(
        description="positions of a block: one number, or [queries, keys]"
    )
    causal: Annotated[bool, Field(strict=True)] = Field(default=False, description="hide keys after the aligned position besides")

    @model_validator(mode="after")
    def _file_or_blocks(self) -> BlocksMask:
        if (self.file is None) == (self.blocks is None):
            raise FieldError("a mask of blocks names a `file`, or lists its `blocks`")
        if self.blocks is not None and (not self.blocks or len({len(row) for row in self.blocks}) != 1 or not self.blocks[0]):
            raise FieldError("lists at least one row, all rows as long", "blocks")
        return self

    @property
    def sides(self) -> tuple[int, int]:
        """Queries and keys of a block."""
        q, k = self.block if isinstance(self.block, list) else (self.block, self.block)
        return q, k


class TopkMask(Spec):
    """Blocks that are chosen while the kernel runs: how many are known, not which (VMoBA, arXiv 2506.23858; SALE, arXiv 2505.24179)."""

    kind: Literal["topk"]
    block: _Positive = Field(description="keys of a block")
    keep: _Positive | None = Field(default=None, description="blocks that a query attends; causal: its own is one of them")
    density: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None, description="share of the pairs attended, on average, instead"
    )
    queries: _Positive = Field(default=1, description="queries that choose together")
    causal: Annotated[bool, Field(strict=True)] = Field(default=False, description="hide keys after the aligned position besides")

    @model_validator(mode="after")
    def _keep_or_density(self) -> TopkMask:
        if (self.keep is None) == (self.density is None):
            raise FieldError("give either `keep`, blocks of a query, or `density`, a share of the pairs")
        return self


def _spread(data: Any, defaults: dict[str, Any], by_axis: tuple[str, ...]) -> Any:
    """A single number or flag stands for every axis, and so do the defaults."""
    if not isinstance(data, dict):
        return data
    shape = data.get("shape")
    count = len(shape) if isinstance(shape, list) else 1
    every = defaults | data | ({"shape": [shape]} if isinstance(shape, int) else {})
    return {name: [value] * count if name in by_axis and isinstance(value, int) else value for name, value in every.items()}


def _check_axes(mask: Any, by_axis: tuple[str, ...]) -> None:
    """1 to 3 axes, and one entry for each of them in every field."""
    count = len(mask.shape)
    if not 1 <= count <= 3:
        raise FieldError(f"a layout has 1 to 3 axes, not {count}", "shape")
    for number, extent in enumerate(mask.shape):
        if extent < 1:
            raise FieldError(f"an axis has at least 1 token, not {extent}", "shape", number)
    for name in by_axis:
        if len(getattr(mask, name)) != count:
            raise FieldError(
                f"one entry for each of the {count} axes of shape (or one number for all), not {len(getattr(mask, name))}", name
            )


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


OneMask = (
    DenseMask
    | CausalMask
    | WindowMask
    | SinksMask
    | NeighborhoodMask
    | WindowsMask
    | GridMask
    | StridedMask
    | SpanMask
    | PackedMask
    | BlocksMask
    | TopkMask
)
HeadMaskSpec = Annotated[OneMask, Field(discriminator="kind")]
"""A mask of one head."""


class HeadMasks(Spec):
    """A run of heads with one mask."""

    heads: _Positive = Field(default=1, description="how many heads have this mask")
    mask: HeadMaskSpec = Field(description="any mask but another per_head")


class PerHeadMask(Spec):
    """A mask for each head, in the order of the query heads; a list of fewer heads is taken again from its start."""

    kind: Literal["per_head"]
    masks: Annotated[list[HeadMasks], Field(min_length=1)] = Field(
        description="runs of heads, in the order of the query heads; fewer heads than the workload has are taken again from the start"
    )


MaskSpec = Annotated[OneMask | PerHeadMask, Field(discriminator="kind")]
