"""A model as a list of operators, and what it stores, reads and computes for a token.

Weights are counted matrix by matrix; norms are two vectors a layer and one at the end; biases are left out. FLOPs are two per multiply-add.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, assert_never

from attnsim.lanes import Number, minimum
from attnsim.spec.dtype import Dtype, element_bytes, narrower
from attnsim.spec.model import AttentionSpec, DenseFfn, FfnSpec, GroupedAttention, LatentAttention, LinearAttention, MoeFfn, TransformerSpec

Part = Literal["attention", "ffn", "router"]
MlaValue = Literal["latent", "latent_and_rope"]
LinearCore = Literal["recurrent", "block"]


@dataclass(frozen=True, slots=True)
class Conventions:
    """What authors count differently.

    mla_value: width of the product of probabilities and latents in absorbed MLA, the latent alone or, as arXiv 2507.19427 counts it, with
    its rotary part. linear_core: FLOPs of linear attention for a decoded token, of the state alone or in blocks (4 block d + 2 d^2 a head).
    """

    mla_value: MlaValue = "latent"
    linear_core: LinearCore = "recurrent"


@dataclass(frozen=True, slots=True)
class Matrix:
    """A weight matrix that every token of its operator is multiplied with: depth x cols, `copies` times (heads, or matrices side by side).

    experts: of how many such it is one (1: not routed); active: how many of these a token goes through; shard: which side tensor
    parallelism cuts (`cols`: its heads or features, `depth`: its input), or neither (`none`: kept whole on every device); format: of its
    weights in memory.
    """

    name: str
    part: Part
    depth: int
    cols: int
    copies: int = 1
    experts: int = 1
    active: int = 1
    shard: Literal["cols", "depth", "none"] = "cols"
    format: str = "bf16"

    @property
    def gated(self) -> bool:
        """Whether these are the two matrices side by side whose products an FFN's activation joins."""
        return self.part == "ffn" and self.copies == 2

    @property
    def weights(self) -> int:
        """Parameters, of all experts."""
        return self.depth * self.cols * self.copies * self.experts

    @property
    def bytes(self) -> float:
        """Of all its weights."""
        return self.weights * element_bytes(self.format)

    @property
    def active_weights(self) -> int:
        """Parameters that one token meets."""
        return self.depth * self.cols * self.copies * self.active

    @property
    def flops(self) -> int:
        """FLOPs of one token."""
        return 2 * self.active_weights


@dataclass(frozen=True, slots=True)
class Core:
    """Attention itself, between the projections: scores and the product with the values, or a state in their place."""

    spec: AttentionSpec
    kv: str

    def keys(self, context: Number) -> Number:
        """Cached tokens that one token attends; 0 for a state."""
        match self.spec:
            case GroupedAttention(window=window):
                return context if window is None else minimum(context, window)
            case LatentAttention():
                return context
            case LinearAttention():
                return 0

    @property
    def bytes_per_key(self) -> float:
        """Bytes cached for a token."""
        each = element_bytes(self.kv)
        match self.spec:
            case GroupedAttention():
                return self.spec.kv_heads * (self.spec.head_dim + (self.spec.value_dim or self.spec.head_dim)) * each
            case LatentAttention():
                return (self.spec.kv_rank + self.spec.rope_dim) * each
            case LinearAttention():
                return 0.0

    @property
    def tensors(self) -> int:
        """Tensors of the cache of a layer: keys and values, or one of latents."""
        return 2 if isinstance(self.spec, GroupedAttention) else 1

    @property
    def state_bytes(self) -> float:
        """Bytes of a sequence that do not grow with it."""
        if isinstance(self.spec, LinearAttention):
            return self.spec.heads * self.spec.head_dim**2 * element_bytes(self.spec.state)
        return 0.0

    def stored(self, context: Number) -> Number:
        """Bytes cached for a sequence."""
        return self.keys(context) * self.bytes_per_key + self.state_bytes

    def read(self, context: Number) -> Number:
        """Bytes that decoding one token moves: its keys and values read, a state read and written."""
        return self.keys(context) * self.bytes_per_key + 2 * self.state_bytes

    def flops(self, context: Number, conventions: Conventions) -> Number:
        """Of decoding one token, absorbed in the latent where there is one."""
        keys = self.keys(context)
        match self.spec:
            case GroupedAttention():
                return 2 * self.spec.heads * (self.spec.head_dim + (self.spec.value_dim or self.spec.head_dim)) * keys
            case LatentAttention():
                latent = self.spec.kv_rank + self.spec.rope_dim
                value = latent if conventions.mla_value == "latent_and_rope" else self.spec.kv_rank
                return 2 * self.spec.heads * (latent + value) * keys
            case LinearAttention():
                d = self.spec.head_dim
                each = 4 * d * d if conventions.linear_core == "recurrent" else 4 * self.spec.block * d + 2 * d * d
                return self.spec.heads * each
            case _ as never:
                assert_never(never)


def expansion_pays_from(spec: LatentAttention) -> float:
    """Query tokens over one cache from which MLA takes fewer FLOPs when keys and values of all heads are computed from the latent again.

    Absorbed, a token and key cost 2 h (2 r + p) FLOPs; expanded 2 h (nope + p + v), and 2 r h (nope + v) for a key once (arXiv 2412.19437,
    section 2.1.1; both paths stand in deepseek-ai/DeepSeek-V3 inference/model.py).
    """
    absorbed = spec.heads * (2 * spec.kv_rank + spec.rope_dim)
    expanded = spec.heads * (spec.nope_dim + spec.rope_dim + spec.value_dim)
    once = spec.kv_rank * spec.heads * (spec.nope_dim + spec.value_dim)
    return once / (absorbed - expanded)


@dataclass(frozen=True, slots=True)
class Layer:
    """Layers that are alike: how many, their matrices, and their attention core."""

    count: int
    matrices: tuple[Matrix, ...]
    core: Core

    def of(self, part: Part) -> tuple[Matrix, ...]:
        """The matrices of a part."""
        return tuple(matrix for matrix in self.matrices if matrix.part == part)


@dataclass(frozen=True)
class Model:
    """A model, ready to be asked."""

    spec: TransformerSpec

    @property
    def name(self) -> str:
        """Library name."""
        return self.spec.name

    def with_cache(self, kv: Dtype) -> Model:
        """The same model with all its keys and values cached in another format."""
        attention = {
            name: part if isinstance(part, LinearAttention) else part.model_copy(update={"kv": kv})
            for name, part in self.spec.attention.items()
        }
        return Model(self.spec.model_copy(update={"kv": kv, "attention": attention}))

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The groups of alike layers."""
        return tuple(
            Layer(
                group.count,
                tuple(self._kept(one) for one in _matrices(self.spec.hidden, attention, ffn)),
                Core(attention, _kv(self, attention)),
            )
            for group in self.spec.layers
            for attention, ffn in [(self.spec.attention[group.attention], self.spec.ffn[group.ffn])]
        )

    def _kept(self, matrix: Matrix) -> Matrix:
        """A matrix with the format of its weights."""
        return replace(matrix, format=(self.spec.expert_weights if matrix.experts > 1 else None) or self.spec.weights)

    @property
    def depth(self) -> int:
        """Layers in all."""
        return sum(layer.count for layer in self.layers)

    @property
    def embedding_weights(self) -> int:
        """Of the embedding and the head that predicts the next token."""
        return self.spec.hidden * self.spec.vocabulary * (1 if self.spec.tied_embeddings else 2)

    @property
    def head_weights(self) -> int:
        """Of the head alone: a matrix product; the embedding is a look-up."""
        return self.spec.hidden * self.spec.vocabulary

    @property
    def norm_weights(self) -> int:
        """Two vectors a layer, and one at the end."""
        return self.spec.hidden * (2 * self.depth + 1)

    @property
    def parameters(self) -> int:
        """All of them."""
        return self.embedding_weights + self.norm_weights + sum(n.count * sum(m.weights for m in n.matrices) for n in self.layers)

    @property
    def activated(self) -> int:
        """Those one token goes through."""
        return self.embedding_weights + self.norm_weights + sum(n.count * sum(m.active_weights for m in n.matrices) for n in self.layers)

    def weight_bytes(self, part: Part | None = None) -> float:
        """Bytes of the weights of a part of all layers; None: of the whole model."""
        if part is None:
            rest = (self.embedding_weights + self.norm_weights) * element_bytes(self.spec.weights)
            return rest + sum(layer.count * sum(matrix.bytes for matrix in layer.matrices) for layer in self.layers)
        return sum(layer.count * sum(matrix.bytes for matrix in layer.of(part)) for layer in self.layers)

    def widened(self, *dtypes: str) -> list[str]:
        """What is said of weights in formats narrower than those they are multiplied in."""
        kept = sorted({matrix.format for layer in self.layers for matrix in layer.matrices})
        pairs = {(one, dtype): None for one in kept for dtype in dtypes if narrower(one, dtype) != dtype}
        return [f"weights kept in {one} are widened to {dtype} inside the kernels, which takes no time here" for one, dtype in pairs]

    def flops(self, part: Part) -> int:
        """FLOPs of one token in the matrices of a part, of all layers."""
        return sum(layer.count * sum(matrix.flops for matrix in layer.of(part)) for layer in self.layers)

    def core_flops(self, context: Number, conventions: Conventions = Conventions()) -> Number:  # noqa: B008 - frozen
        """FLOPs of one decoded token in the attention cores."""
        return sum(layer.count * layer.core.flops(context, conventions) for layer in self.layers)

    def kv_read(self, context: Number) -> Number:
        """Bytes of cache that decoding one token moves."""
        return sum(layer.count * layer.core.read(context) for layer in self.layers)

    def kv_stored(self, context: Number) -> Number:
        """Bytes of cache that a sequence holds."""
        return sum(layer.count * layer.core.stored(context) for layer in self.layers)

    @property
    def sparsity(self) -> float | None:
        """Share of the experts, shared ones included, that a token goes through; None without routed experts."""
        routed = [self.spec.ffn[group.ffn] for group in self.spec.layers]
        moe = next((ffn for ffn in routed if isinstance(ffn, MoeFfn)), None)
        return None if moe is None else (moe.top_k + moe.shared) / (moe.experts + moe.shared)


def _kv(model: Model, attention: AttentionSpec) -> str:
    own = None if isinstance(attention, LinearAttention) else attention.kv
    return own or model.spec.kv


def _matrices(hidden: int, attention: AttentionSpec, ffn: FfnSpec) -> Iterator[Matrix]:
    yield from _attention(hidden, attention)
    yield from _ffn(hidden, ffn)


def _attention(hidden: int, spec: AttentionSpec) -> Iterator[Matrix]:
    """Projections before and after the core; those of absorbed MLA, which are the same weights as expanded."""
    match spec:
        case GroupedAttention():
            width, values = spec.heads * spec.head_dim, spec.heads * (spec.value_dim or spec.head_dim)
            yield from _query(hidden, spec.query_rank, width)
            yield Matrix("key", "attention", hidden, spec.kv_heads * spec.head_dim)
            yield Matrix("value", "attention", hidden, spec.kv_heads * (spec.value_dim or spec.head_dim))
            if spec.output_gate:
                yield Matrix("gate", "attention", hidden, values)
            yield Matrix("output", "attention", values, hidden, shard="depth")
        case LatentAttention():
            yield from _query(hidden, spec.query_rank, spec.heads * (spec.nope_dim + spec.rope_dim))
            yield Matrix("latent", "attention", hidden, spec.kv_rank + spec.rope_dim, shard="none")
            yield Matrix("key up", "attention", spec.nope_dim, spec.kv_rank, copies=spec.heads)
            yield Matrix("value up", "attention", spec.kv_rank, spec.value_dim, copies=spec.heads)
            yield Matrix("output", "attention", spec.heads * spec.value_dim, hidden, shard="depth")
        case LinearAttention():
            width = spec.heads * spec.head_dim
            for name in ("query", "key", "value", *(["gate"] if spec.output_gate else [])):
                yield Matrix(name, "attention", hidden, width)
            yield Matrix("output", "attention", width, hidden, shard="depth")


def _query(hidden: int, rank: int | None, width: int) -> Iterator[Matrix]:
    if rank is None:
        yield Matrix("query", "attention", hidden, width)
    else:
        yield Matrix("query down", "attention", hidden, rank, shard="none")
        yield Matrix("query up", "attention", rank, width)


def _ffn(hidden: int, spec: FfnSpec) -> Iterator[Matrix]:
    ups = 2 if spec.gated else 1
    if isinstance(spec, DenseFfn):
        yield Matrix("up", "ffn", hidden, spec.width, copies=ups)
        yield Matrix("down", "ffn", spec.width, hidden, shard="depth")
        return
    yield Matrix("router", "router", hidden, spec.experts, shard="none")
    yield Matrix("experts up", "ffn", hidden, spec.width, ups, spec.experts, spec.top_k)
    yield Matrix("experts down", "ffn", spec.width, hidden, 1, spec.experts, spec.top_k, "depth")
    if spec.shared:
        wide = (spec.shared_width or spec.width) * spec.shared
        yield Matrix("shared up", "ffn", hidden, wide, copies=ups)
        yield Matrix("shared down", "ffn", wide, hidden, shard="depth")
