"""A stack of decoder layers with random weights, and one layer of it in float64; imported with the first row that is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from attnsim.measure.inputs import normal
from attnsim.measure.reference import relative
from attnsim.measure.suites.rowwise import add_rms_norm, silu_mul

if TYPE_CHECKING:
    from attnsim.measure.suites.model import Sizes

BASE = 500000.0
CHECKED_TOKENS = 4
BACKENDS = {"flash": SDPBackend.FLASH_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION}


@dataclass(frozen=True, slots=True)
class Kernels:
    """The row-wise kernels of a layer, compiled or not."""

    norm: Callable[..., tuple[Any, Any]]
    rotate: Callable[..., Any]
    activate: Callable[[Any], Any]


PLAIN = Kernels(add_rms_norm, lambda *args: rotate(*args), silu_mul)


@lru_cache(maxsize=1)
def compiled(name: str) -> Kernels:
    """Compiled for the widths of one model, whatever its number of tokens; those of the model before are dropped."""
    torch._dynamo.reset()
    torch._dynamo.config.recompile_limit = 64  # one request, one token, many of both; past the limit kernels would not be compiled
    return Kernels(*(torch.compile(function) for function in (add_rms_norm, rotate, silu_mul)))


@dataclass(frozen=True, slots=True)
class Layer:
    """Weights (out, in), gains, and the cache: keys and values of (batch, tokens, heads, dimension)."""

    norm: Any
    qkv: Any
    out: Any
    norm2: Any
    gate_up: Any
    down: Any
    keys: Any
    values: Any


def rotate(qkv: Any, heads: int, cos: Any, sin: Any, keys: Any, values: Any) -> Any:
    """Queries (batch, tokens, heads, dimension), rotated; rotated keys and values go to the places of the cache given."""
    groups = keys.shape[2]
    q, k, v = qkv.split((heads, groups, groups), 2)
    keys.copy_(_turned(k, cos, sin))
    values.copy_(v)
    return _turned(q, cos, sin)


def _turned(x: Any, cos: Any, sin: Any) -> Any:
    a, b = x.to(cos.dtype).chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1).to(x.dtype)


class Decoder:
    """One step of `layers` layers for `batch` requests of `context` tokens, of which the last `tokens` are new."""

    def __init__(
        self, sizes: Sizes, layers: int, batch: int, context: int, tokens: int, attention: str, kernels: Kernels, device: str = "cuda"
    ) -> None:
        self.sizes, self.batch, self.context, self.tokens, self.kernels = sizes, batch, context, tokens, kernels
        self.attention = attention if device == "cuda" else ""
        self.layers = [_layer(sizes, batch, context, device) for _ in range(layers)]
        self.x, self.residual = (normal(device, "bf16", batch * tokens, sizes.hidden) for _ in range(2))
        place = torch.arange(context - tokens, context, device=device, dtype=torch.float64)
        half = sizes.head_dim // 2
        angle = place[:, None] * BASE ** (-torch.arange(half, device=device, dtype=torch.float64) / half)
        self.angle = angle[:, None]
        self.cos, self.sin = self.angle.cos().float(), self.angle.sin().float()

    def run(self) -> Any:
        """All layers; the output of the last, before its residual sum."""
        with torch.no_grad():
            x, residual = self.x, self.residual
            for layer in self.layers:
                attended, residual = self.attended(layer, x, residual)
                x, residual = self.fed(layer, attended, residual)
            return x

    def attended(self, layer: Layer, x: Any, residual: Any) -> tuple[Any, Any]:
        """What attention hands to the output projection, (rows, heads x dimension); and the residual sum."""
        s = self.sizes
        h, residual = self.kernels.norm(x, residual, layer.norm)
        qkv = functional.linear(h, layer.qkv).view(self.batch, self.tokens, -1, s.head_dim)
        first = self.context - self.tokens
        q = self.kernels.rotate(qkv, s.heads, self.cos, self.sin, layer.keys[:, first:], layer.values[:, first:])
        with sdpa_kernel(BACKENDS[self.attention]) if self.attention else nullcontext():
            out = functional.scaled_dot_product_attention(
                q.transpose(1, 2), layer.keys.transpose(1, 2), layer.values.transpose(1, 2),
                is_causal=self.tokens > 1, enable_gqa=s.heads != s.kv_heads,
            )  # fmt: skip
        return out.transpose(1, 2).reshape(self.batch * self.tokens, -1), residual

    def fed(self, layer: Layer, attended: Any, residual: Any) -> tuple[Any, Any]:
        """Output projection and FFN."""
        h, residual = self.kernels.norm(functional.linear(attended, layer.out), residual, layer.norm2)
        return functional.linear(self.kernels.activate(functional.linear(h, layer.gate_up)), layer.down), residual

    def off(self) -> float:
        """The larger error of the first layer's attention and of its output, on the last tokens of the first request, in float64."""
        with torch.no_grad():
            layer = self.layers[0]
            attended, residual = self.attended(layer, self.x, self.residual)
            got, _ = self.fed(layer, attended, residual)
            shown = slice(max(0, self.tokens - CHECKED_TOKENS), self.tokens)
            expected = self._exact(layer, shown)
            return max(relative(mine[shown], theirs) for mine, theirs in zip((attended, got), expected, strict=True))

    def _exact(self, layer: Layer, shown: slice) -> tuple[Any, Any]:
        """Attention and output of the tokens `shown` of the first request, keys of this step computed again."""
        s = self.sizes
        x, residual = (part[: self.tokens].double() for part in (self.x, self.residual))
        h, residual = add_rms_norm(x, residual, layer.norm.double())
        keys, values = (cache[0].double().clone() for cache in (layer.keys, layer.values))
        first = self.context - self.tokens
        qkv = functional.linear(h, layer.qkv.double()).view(1, self.tokens, -1, s.head_dim)
        q = rotate(qkv, s.heads, self.angle.cos(), self.angle.sin(), keys[None, first:], values[None, first:])[0, shown]
        scores = torch.einsum("pghd,mgd->ghpm", q.unflatten(1, (s.kv_heads, -1)), keys) * s.head_dim**-0.5
        last = torch.arange(first, self.context, device=q.device)[shown]
        scores.masked_fill_(torch.arange(self.context, device=q.device) > last[:, None], float("-inf"))
        attended = torch.einsum("ghpm,mgd->pghd", scores.softmax(-1), values).flatten(1)
        h, _ = add_rms_norm(functional.linear(attended, layer.out.double()), residual[shown], layer.norm2.double())
        return attended, functional.linear(silu_mul(functional.linear(h, layer.gate_up.double())), layer.down.double())


def _layer(sizes: Sizes, batch: int, context: int, device: str) -> Layer:
    """Random, scaled so that every product keeps the variance of its input."""
    s = sizes

    def weight(cols: int, depth: int) -> Any:
        return normal(device, "bf16", cols, depth, scale=depth**-0.5)

    def gain() -> Any:
        return 1 + normal(device, "bf16", s.hidden, scale=0.1)

    cache: Sequence[Any] = [normal(device, "bf16", batch, context, s.kv_heads, s.head_dim) for _ in range(2)]
    return Layer(
        gain(), weight(s.qkv, s.hidden), weight(s.hidden, s.heads * s.head_dim), gain(),
        weight(2 * s.width, s.hidden), weight(s.hidden, s.width), *cache,
    )  # fmt: skip
