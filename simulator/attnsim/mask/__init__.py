"""Which (query, key) pairs exist: exact counts of pairs and of the tiles a kernel visits, by closed form.

`from_spec` turns what the user wrote into a `Mask`; a new kind of mask is a class beside `Banded` and a case here.
"""

from __future__ import annotations

from pathlib import Path

from attnsim.mask.banded import CAUSAL, DENSE, Banded
from attnsim.mask.base import Mask, Run, TileShape, TileWalk
from attnsim.mask.neighborhood import Neighborhood
from attnsim.mask.packed import Packed
from attnsim.mask.perhead import MOST_HEADS, PerHead
from attnsim.mask.strided import Strided
from attnsim.spec.base import FieldError
from attnsim.spec.mask import (
    BlocksMask,
    CausalMask,
    DenseMask,
    GridMask,
    MaskSpec,
    NeighborhoodMask,
    PackedMask,
    PerHeadMask,
    SinksMask,
    SpanMask,
    StridedMask,
    TopkMask,
    WindowMask,
    WindowsMask,
)

__all__ = [
    "CAUSAL", "DENSE", "Banded", "Mask", "Neighborhood", "Packed", "PerHead", "Run", "Strided", "TileShape", "TileWalk", "dense_like",
    "from_spec",
]  # fmt: skip


def dense_like(mask: Mask) -> Mask:
    """The mask without its sparsity: all pairs over the same layout of tokens; of a sparse causal mask the causal one."""
    if isinstance(mask, PerHead) and mask.dimensions > 1:
        return dense_like(mask.parts[0][1])
    if not isinstance(mask, Neighborhood):
        return CAUSAL if mask.within_causal and mask.kind != "causal" else DENSE
    shape = tuple(axis.extent for axis in mask.axes)
    return Neighborhood.of(shape, shape)


def from_spec(spec: MaskSpec, folder: Path | None = None) -> Mask:
    """The mask a specification describes; specifications of the same pairs give equal masks (a window without ends is dense).

    folder: where the files that it names lie; left out, the current one. Raises FieldError: a file that is no mask.
    """
    match spec:
        case DenseMask():
            return DENSE
        case CausalMask():
            return CAUSAL
        case WindowMask(left=left, right=right):
            return Banded.of(left, right)
        case SinksMask(left=left, right=right, sinks=sinks):
            return Banded.of(left, right, sinks)
        case NeighborhoodMask():
            return Neighborhood.of(*zip(*spec.axes(), strict=True))
        case WindowsMask():
            return Neighborhood.windows(spec.shape, spec.window, spec.shift, spec.causal)
        case GridMask():
            return Neighborhood.of(
                spec.shape, spec.grid, None, [extent // grid for extent, grid in zip(spec.shape, spec.grid, strict=True)]
            )
        case StridedMask(offset="per_head"):
            if spec.stride > MOST_HEADS:
                raise FieldError(f"must be at most {MOST_HEADS}, the most heads that a mask by head is counted for", "stride")
            return PerHead.of([(1, _strided(spec, offset)) for offset in range(spec.stride)])
        case StridedMask(offset=offset):
            return _strided(spec, int(offset))
        case SpanMask():
            return Strided(spec.block, spec.alpha, spec.beta, sinks=spec.sinks, within=True)
        case PackedMask(lengths=lengths, causal=causal):
            return Packed.of(lengths, causal)
        case TopkMask():
            from attnsim.mask.topk import Topk

            return Topk(spec.block, spec.keep, spec.density, spec.queries, spec.causal)
        case BlocksMask():
            from attnsim.mask.file import blocks_of

            return blocks_of(spec, folder)
        case PerHeadMask():
            return _per_head(spec, folder)


def _strided(spec: StridedMask, offset: int) -> Mask:
    return Strided.of(spec.block, spec.local, spec.stride, offset, spec.sinks, spec.causal)


def _per_head(spec: PerHeadMask, folder: Path | None) -> Mask:
    """An entry that differs from head to head itself lists its heads one after another."""
    parts: list[tuple[int, Mask]] = []
    for number, entry in enumerate(spec.masks):
        try:
            mask = from_spec(entry.mask, folder)
            parts += mask.by_head(entry.heads)
        except FieldError as error:
            raise FieldError(str(error), "masks", number, "mask", *error.loc) from None
        except ValueError as error:
            raise FieldError(str(error), "masks", number, "heads") from None
    return PerHead.of(parts)
