"""Masks of FlexAttention: what a query sees as tensor arithmetic, the columns that say so, and block masks made a few rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from attnsim.measure.suite import Value

CHUNK = 1024
"""Queries whose pairs with all keys are looked at together."""

Mod = Callable[[Any, Any, Any, Any], Any]
"""(batch, head, query, key) -> whether the query sees the key; tensors of positions."""


@dataclass(frozen=True)
class Mask:
    """mod None: no mask. columns: causal, window and mask of the row; box: sides of the boxes that tokens are permuted into."""

    mod: Mod | None
    columns: Mapping[str, Value]
    text: str


def dense() -> Mask:
    """Every key."""
    return Mask(None, {"causal": 0, "window": "", "mask": ""}, "dense")


def causal() -> Mask:
    """Keys up to the query."""
    return Mask(lambda b, h, q, k: q >= k, {"causal": 1, "window": "", "mask": ""}, "causal")


def window(size: int) -> Mask:
    """The last `size` keys up to the query."""
    return Mask(lambda b, h, q, k: (q >= k) & (q - k < size), {"causal": 1, "window": size - 1, "mask": ""}, f"window {size}")


def both_sides(reach: int) -> Mask:
    """`reach` keys before the query and after it."""
    return Mask(lambda b, h, q, k: (q - k <= reach) & (k - q <= reach), {"causal": 0, "window": reach, "mask": ""}, f"both sides {reach}")


def neighborhood(shape: tuple[int, ...], reach: tuple[int, ...], strides: tuple[int, ...] = (), box: tuple[int, ...] = ()) -> Mask:
    """Generalized neighborhood attention (arXiv 2504.16922) of tokens in row-major order, or permuted into boxes one after another.

    shape, reach, strides, box: one entry an axis; strides (): 1; the box divides the shape.
    """
    strides = strides or (1,) * len(shape)
    grid = tuple(extent // side for extent, side in zip(shape, box, strict=True)) if box else ()

    def located(token: Any) -> list[Any]:
        if not box:
            return _coordinates(token, shape)
        outer, inner = _coordinates(token // prod(box), grid), _coordinates(token % prod(box), box)
        return [o * side + i for o, side, i in zip(outer, box, inner, strict=True)]

    def mod(b: Any, h: Any, q: Any, k: Any) -> Any:
        seen = None
        for here, there, extent, width, group in zip(located(q), located(k), shape, reach, strides, strict=True):
            leader = here if group == 1 else (here // group * group + group // 2).clamp(max=extent - 1)
            start = (leader - width // 2).clamp(0, extent - width)
            inside = (there >= start) & (there < start + width)
            seen = inside if seen is None else seen & inside
        return seen

    named = {"shape": shape, "window": reach} | ({"stride": strides} if set(strides) != {1} else {})
    text = "{kind: neighborhood, " + ", ".join(f"{name}: {list(sides)}" for name, sides in named.items()) + "}"
    return Mask(mod, {"causal": 0, "window": "", "mask": text}, text + (f" in boxes {box}" if box else ""))


def _coordinates(token: Any, extents: tuple[int, ...]) -> list[Any]:
    found = []
    for axis, extent in enumerate(extents):
        inner = prod(extents[axis + 1 :])
        found.append(token // inner % extent if axis else token // inner)
    return found


def block_mask(mod: Mod, tokens: int, block: int, device: str) -> Any:
    """What create_block_mask makes (which would hold tokens x tokens integers): one mask for all heads, `block` divides `tokens`."""
    import torch
    from torch.nn.attention.flex_attention import BlockMask

    partial, full = [], []
    keys = torch.arange(tokens, device=device, dtype=torch.int32)
    rows = CHUNK // block * block
    for first in range(0, tokens, rows):
        queries = keys[first : first + rows]
        seen = mod(0, 0, queries[:, None], keys[None, :])
        counts = seen.view(len(queries) // block, block, tokens // block, block).sum((1, 3), dtype=torch.int32)
        partial.append((counts > 0) & (counts < block * block))
        full.append(counts == block * block)
    lists = []
    for part in (torch.cat(partial)[None, None], torch.cat(full)[None, None]):
        order = part.to(torch.int32).argsort(dim=-1, descending=True, stable=True)
        lists += [part.sum(-1, dtype=torch.int32), order.to(torch.int32)]
    return BlockMask.from_kv_blocks(*lists, BLOCK_SIZE=block, mask_mod=mod, seq_lengths=(tokens, tokens), compute_q_blocks=False)
