"""Which (query, key) pairs exist: exact counts of pairs and of the tiles a kernel visits, by closed form.

`from_spec` turns what the user wrote into a `Mask`; a new kind of mask is a class beside `Banded` and a case here.
"""

from attnsim.mask.banded import CAUSAL, DENSE, Banded
from attnsim.mask.base import Mask, Run, TileShape, TileWalk
from attnsim.mask.neighborhood import Neighborhood
from attnsim.spec.mask import CausalMask, DenseMask, MaskSpec, NeighborhoodMask, SinksMask, WindowMask

__all__ = ["CAUSAL", "DENSE", "Banded", "Mask", "Neighborhood", "Run", "TileShape", "TileWalk", "dense_like", "from_spec"]


def dense_like(mask: Mask) -> Mask:
    """The mask of all pairs over the same layout of tokens."""
    if not isinstance(mask, Neighborhood):
        return DENSE
    shape = tuple(axis.extent for axis in mask.axes)
    return Neighborhood.of(shape, shape)


def from_spec(spec: MaskSpec) -> Mask:
    """The mask a specification describes; specifications of the same pairs give equal masks (a window without ends is dense)."""
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
