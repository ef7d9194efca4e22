"""Steps of whole decoders on one GPU: the layers of a model one after another in one CUDA graph, with random weights.

A layer is what a serving engine runs: residual sum and RMS norm, fused projections of queries, keys and values, rotary embedding and the
write to the cache, attention, output projection, residual sum and norm, gate and up in one product, SiLU times up, down. Sizes come from
`workloads/models`; the embedding, the last norm and the head are left out, and as few layers (column `layers`) as make their weights come
from memory. The cache is one bf16 tensor for each sequence, without pages. decode: `context` cached tokens, the new one the last of them;
prefill: prompts of `context` tokens. Attention is PyTorch's: torch-flash (FlashAttention-2, splitting the keys for few queries) or
torch-cudnn (prefill). Norms, activation and rotary embedding are compiled.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from attnsim.measure.suite import Case, Prepared, Suite, Unsupported
from attnsim.spec.model import DenseFfn, GroupedAttention

MOST_LAYERS, FEWEST_LAYERS = 8, 2
HELD_BYTES = 40e9
"""Of weights and cache together; as many layers as fit."""

TOLERANCE = 2e-2

PREFILL = {
    "llama3-8b": ((1, 512), (1, 2048), (1, 8192), (4, 512), (4, 4096)),
    "llama3-70b": ((1, 512), (1, 2048), (2, 4096)),
    "qwen3-32b": ((1, 1024), (1, 4096), (4, 1024)),
    "llama2-7b": ((1, 1024), (2, 4096)),
}
"""(batch, context) of prompts, by the name of the model."""

DECODE = {
    "llama3-8b": ((1, 1024), (1, 16384), (8, 4096), (16, 1024), (32, 8192), (64, 4096), (128, 1024), (128, 4096)),
    "llama3-70b": ((1, 1024), (1, 16384), (8, 4096), (32, 4096), (64, 8192), (128, 2048)),
    "qwen3-32b": ((1, 4096), (16, 4096), (64, 2048), (128, 4096)),
    "llama2-7b": ((1, 1024), (8, 4096), (32, 2048), (128, 1024)),
}

CUDNN = ("llama3-8b", "llama3-70b")
"""Models whose prompts run with cuDNN's attention, too."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of one layer, in elements: hidden, query heads, key heads, head dimension, width of the FFN."""

    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    width: int

    @property
    def qkv(self) -> int:
        """Columns of the fused projections."""
        return (self.heads + 2 * self.kv_heads) * self.head_dim

    @property
    def weight_bytes(self) -> int:
        """Of a layer in bf16."""
        return 2 * (self.hidden * (self.qkv + self.heads * self.head_dim) + 3 * self.hidden * self.width)

    def cache_bytes(self, tokens: int) -> int:
        """Keys and values of that many tokens in a layer, in bf16."""
        return 2 * 2 * self.kv_heads * self.head_dim * tokens

    def layers(self, tokens: int) -> int:
        """Layers that are run with so many cached tokens in all."""
        return min(MOST_LAYERS, int(HELD_BYTES / (self.weight_bytes + self.cache_bytes(tokens))))


def sizes_of(name: str) -> Sizes:
    """Of a model of the library whose layers are all alike: grouped attention without a window, a gated dense FFN."""
    from attnsim.api.model import load_model

    spec = load_model(name).spec
    attention, ffn = spec.attention[spec.layers[0].attention], spec.ffn[spec.layers[0].ffn]
    if not isinstance(attention, GroupedAttention) or not isinstance(ffn, DenseFfn) or not ffn.gated or attention.window is not None:
        raise ValueError(f"{name}: only grouped attention without a window and a gated dense FFN can be built here")
    return Sizes(spec.hidden, attention.heads, attention.kv_heads, attention.head_dim, ffn.width)


def cases(device: str, small: bool) -> Iterator[Case]:
    """All rows; small: one of each phase."""
    for name in list(PREFILL)[:1] if small else PREFILL:
        sizes = sizes_of(name)
        for batch, context in PREFILL[name][:1] if small else PREFILL[name]:
            for backend in ("torch-flash", "torch-cudnn") if name in CUDNN else ("torch-flash",):
                yield _case(name, sizes, "prefill", batch, context, backend)
        for batch, context in DECODE[name][:1] if small else DECODE[name]:
            yield _case(name, sizes, "decode", batch, context, "torch-flash")


def _case(name: str, sizes: Sizes, phase: str, batch: int, context: int, backend: str) -> Case:
    layers = sizes.layers(batch * context)
    return Case(
        dict(
            suite="model", kernel="model", backend=backend, model=name, phase=phase, dtype="bf16", batch=batch, context=context,
            devices=1, layers=layers,
        ),
        partial(_make, name, sizes, phase, batch, context, layers, backend),
    )  # fmt: skip


def _make(name: str, sizes: Sizes, phase: str, batch: int, context: int, layers: int, backend: str) -> Prepared:
    import torch

    from attnsim.measure.suites.decoder import Decoder, compiled

    if layers < FEWEST_LAYERS:
        raise Unsupported(f"{FEWEST_LAYERS} layers with {batch} x {context} cached tokens take more than {HELD_BYTES / 1e9:.0f} GB")
    try:
        step = Decoder(sizes, layers, batch, context, 1 if phase == "decode" else context, backend.removeprefix("torch-"), compiled(name))
    except torch.OutOfMemoryError as error:
        raise Unsupported(str(error).splitlines()[0]) from None
    return Prepared([step.run, step.run], step.off, TOLERANCE)


SUITE = Suite("model", frozenset({"cuda"}), ("torch",), cases)
