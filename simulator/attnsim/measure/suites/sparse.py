"""FlexAttention, PyTorch's compiled attention under masks: causal, windows, and neighborhoods of one to three axes.

Kernel `flex-attention`: masks in blocks of 128 x 128, tokens in row-major order. `flex-attention-64`: blocks and tiles of 64 x 64, the
tokens of two and three axes permuted into boxes. Block masks are made before anything is timed; every row is compiled for its own shape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from math import prod
from typing import Any

from attnsim.measure.attention import TOLERANCE
from attnsim.measure.inputs import LARGE, normal, set_count
from attnsim.measure.reference import forward_error
from attnsim.measure.suite import Case, Prepared, Suite, Value
from attnsim.measure.suites.flexmask import Mask, block_mask, both_sides, causal, dense, neighborhood, window

SMALL_TILES = {"BLOCK_M": 64, "BLOCK_N": 64, "num_warps": 4, "num_stages": 3}
"""Options of the Triton kernel that go with blocks of 64: its tiles have to divide them."""

LENGTHS = ((4, 2048), (2, 4096), (1, 8192), (1, 16384), (1, 32768))
"""(batch, tokens)."""

Axes = tuple[tuple[int, ...], tuple[int, ...]]

PLANES: Sequence[Axes] = (
    ((64, 64), (13, 13)),
    ((64, 64), (20, 20)),
    ((128, 128), (20, 20)),
    ((128, 128), (48, 48)),
    ((128, 256), (32, 32)),
)
"""Two axes: shape, window."""

VOLUMES: Sequence[Axes] = (((8, 16, 32), (4, 8, 8)), ((16, 32, 32), (8, 12, 12)), ((16, 32, 32), (8, 16, 16)))
"""Three axes."""

FLAT_BOX, DEEP_BOX = (8, 8), (4, 4, 4)


@dataclass(frozen=True)
class Flex:
    """One row: batch, query and key heads, tokens, head dim, mask, side of the mask's blocks."""

    b: int
    h: int
    g: int
    s: int
    d: int
    mask: Mask
    block: int = 128

    def values(self) -> dict[str, Value]:
        """The columns that say what the row is."""
        return {
            "kernel": "flex-attention" if self.block == 128 else "flex-attention-64", "backend": "torch-flex", "direction": "forward",
            "dtype": "bf16", "batch": self.b, "heads_q": self.h, "heads_kv": self.g, "seqlen_q": self.s, "seqlen_kv": self.s,
            "head_dim": self.d, "head_dim_v": self.d, **self.mask.columns, "lengths": "",
        }  # fmt: skip

    @property
    def build(self) -> str:
        """Every shape and mask is a kernel of its own."""
        return f"{self.b} {self.h}/{self.g} {self.s} {self.d} {self.block} {self.mask.text}"


def rows(small: bool) -> Iterator[Flex]:
    """Everything that is measured on a GPU."""
    if small:
        yield Flex(4, 16, 16, 2048, 64, causal())
        yield Flex(1, 16, 16, 4096, 128, neighborhood((64, 64), (20, 20)))
        yield Flex(1, 16, 16, 4096, 128, neighborhood((64, 64), (20, 20), (), FLAT_BOX), 64)
        return
    for d, (b, s), mask in product((64, 128), LENGTHS, (dense(), causal())):
        yield Flex(b, 16, 16, s, d, mask)
    for b, s in ((1, 2048), (4, 8192)):
        yield Flex(b, 16, 16, s, 128, causal())
    for mask in (dense(), causal()):
        yield Flex(4, 32, 8, 4096, 128, mask)
    for d in (64, 128):
        for s, size in product((8192, 32768), (256, 1024, 4096)):
            yield Flex(1, 16, 16, s, d, window(size))
        yield Flex(2, 16, 16, 16384, d, window(1024))
        for s, reach in product((8192, 32768), (256, 1024)):
            yield Flex(1, 16, 16, s, d, both_sides(reach))
        yield Flex(1, 16, 16, 8192, d, neighborhood((8192,), (1024,)))
        yield Flex(1, 16, 16, 8192, d, causal(), 64)
        yield Flex(1, 16, 16, 8192, d, window(1024), 64)
        yield from _neighborhoods(d)


def _neighborhoods(d: int) -> Iterator[Flex]:
    """Of two and three axes, row-major and in boxes."""
    for shape, reach in PLANES:
        b = 4 if prod(shape) == 4096 else 1
        yield Flex(b, 16, 16, prod(shape), d, neighborhood(shape, reach))
        yield Flex(b, 16, 16, prod(shape), d, neighborhood(shape, reach, (), FLAT_BOX), 64)
    yield Flex(1, 16, 16, 16384, d, neighborhood((128, 128), (48, 48), (16, 16)))
    yield Flex(1, 16, 16, 16384, d, neighborhood((128, 128), (48, 48), (16, 16), FLAT_BOX), 64)
    for shape, reach in VOLUMES:
        yield Flex(1, 16, 16, prod(shape), d, neighborhood(shape, reach, (), DEEP_BOX), 64)
        if d == 128:
            yield Flex(1, 16, 16, prod(shape), d, neighborhood(shape, reach))
    yield Flex(1, 16, 16, 16384, d, neighborhood((16, 32, 32), (8, 16, 16), (4, 8, 8), DEEP_BOX), 64)


def prepare(row: Flex, device: str = "cuda", compiled: bool = True) -> Prepared:
    """A row ready to be timed; tensors are (batch, heads, tokens, dim)."""
    import torch
    from torch.nn.attention.flex_attention import flex_attention

    blocks = None if row.mask.mod is None else block_mask(row.mask.mod, row.s, row.block, device)
    attention: Callable[..., Any] = flex_attention
    if compiled:
        torch._dynamo.reset()
        torch._dynamo.config.recompile_limit = 10_000  # past it rows would run uncompiled
        attention = torch.compile(flex_attention, dynamic=False)
    options = dict(SMALL_TILES) if row.block == 64 else {}

    def call(q: Any, k: Any, v: Any) -> Any:
        return attention(q, k, v, block_mask=blocks, enable_gqa=row.g != row.h, kernel_options=options)

    size = 2 * row.b * 2 * (row.h + row.g) * row.s * row.d
    count = set_count(device, size)
    sets = [
        tuple(normal(device, "bf16", row.b, heads, row.s, row.d) for heads in (row.h, row.g, row.g))
        for _ in range(1 if size > LARGE else count)
    ]
    calls = [partial(call, *each) for each in sets]

    def visible(query: Any, key: Any) -> Any:
        assert row.mask.mod is not None
        return row.mask.mod(0, 0, query, key)

    def check() -> float:
        q, k, v, out = (x.transpose(1, 2) for x in (*sets[-1], calls[-1]()))
        return forward_error(q, k, v, out, None if row.mask.mod is None else visible, float(row.d**-0.5))

    return Prepared([calls[i % len(calls)] for i in range(count)], check, TOLERANCE["bf16"])


def cases(device: str, small: bool) -> Iterator[Case]:
    """Every row once."""
    for row in rows(small):
        yield Case(row.values(), partial(prepare, row), row.build)


SUITE = Suite("sparse", frozenset({"cuda"}), ("torch",), cases)
