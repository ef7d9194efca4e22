"""One attention call of PyTorch: what it is, its columns, and the kernel that computes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Any

from attnsim.measure.inputs import LARGE, calls_by_name, normal, set_count
from attnsim.measure.reference import band, forward_error, gradients, relative
from attnsim.measure.suite import Prepared, Value
from attnsim.schedule.split import split_count
from attnsim.spec.schedule import Split

TOLERANCE = {"bf16": 1.5e-2, "fp16": 3e-3, "fp32": 1e-4}
BACKWARD_TOLERANCE = {"bf16": 3e-2, "fp16": 1e-2, "fp32": 1e-3}
BYTES = {"bf16": 2, "fp16": 2, "fp32": 4}
MOST_BACKWARD_SETS = 64
FLASH_SPLIT = Split(rank="M", rule="wave-efficiency", slots_per_processor=2)
"""num_splits_heuristic of pytorch aten/src/ATen/native/transformers/cuda/flash_attn/flash_api.cpp; the defaults are its constants."""

Calls = list[Callable[[], Any]]


@dataclass(frozen=True, slots=True)
class Call:
    """Sizes: batch, query and key heads, queries, keys, head dims. window: keys seen to the left; lengths: of a ragged batch."""

    backend: str
    b: int
    h: int
    g: int
    p: int
    m: int
    d: int
    dv: int
    causal: bool = False
    window: int | None = None
    lengths: tuple[int, ...] = ()
    dtype: str = "bf16"
    backward: bool = False

    def values(self, kernel: str) -> dict[str, Value]:
        """The columns that say what the row is."""
        return {
            "kernel": kernel, "backend": self.backend, "direction": "backward" if self.backward else "forward", "dtype": self.dtype,
            "batch": self.b, "heads_q": self.h, "heads_kv": self.g, "seqlen_q": self.p, "seqlen_kv": self.m, "head_dim": self.d,
            "head_dim_v": self.dv, "causal": int(self.causal), "window": "" if self.window is None else self.window,
            "lengths": ";".join(map(str, self.lengths)),
        }  # fmt: skip

    @property
    def scale(self) -> float:
        """Of the scores."""
        return float(self.d**-0.5)

    @property
    def bytes(self) -> int:
        """Of queries, keys, values and output."""
        queries, keys = self.b * self.h * self.p, self.b * self.g * self.m
        return BYTES[self.dtype] * (queries + keys) * (self.d + self.dv) * (2 if self.backward else 1)

    def flash_kernel(self, processors: int) -> str:
        """Which of its two kernels FlashAttention-2 takes: a small grid has its keys split, in tiles of other sizes."""
        if self.lengths or self.backward:  # ragged batches are never split
            return "flash-attention-2"
        packed = self.p == 1 and self.window is None  # the heads of a group are rows of a tile
        rows, heads = (1, self.g) if packed else (self.p, self.h)
        tile = 256 if self.d <= 64 else 128 if self.d <= 128 else 64
        splits = split_count(FLASH_SPLIT, self.b * heads * ceil(rows / 64), ceil(self.m / tile), processors)
        return "flash-decoding" if splits > 1 else "flash-attention-2"

    def inputs(self, device: str) -> list[tuple[Any, Any, Any]]:
        """Sets of queries, keys and values, (batch, tokens, heads, dim)."""
        count = set_count(device, self.bytes)
        count = min(count, MOST_BACKWARD_SETS) if self.backward else count
        distinct = 1 if self.bytes > LARGE else count
        shapes = ((self.p, self.h, self.d), (self.m, self.g, self.d), (self.m, self.g, self.dv))
        stores = [normal(device, self.dtype, distinct, self.b, *shape) for shape in shapes]
        return [(stores[0][i % distinct], stores[1][i % distinct], stores[2][i % distinct]) for i in range(count)]


def forward(call: Call, device: str, bind: Callable[[Call, Any, Any, Any], Callable[[], Any]]) -> Prepared:
    """A forward call ready to be timed; `bind` makes the call of one set of inputs, which returns (batch, tokens, heads, dim)."""
    sets = call.inputs(device)
    calls = [bind(call, *each) for each in sets]
    visible = band(call.p, call.m, call.causal, call.window)
    return Prepared(calls, lambda: forward_error(*sets[-1], calls[-1](), visible, call.scale), TOLERANCE[call.dtype])


def bind_flash(call: Call, q: Any, k: Any, v: Any) -> Callable[[], Any]:
    """FlashAttention-2 as PyTorch builds it; its causal mask is aligned at the bottom right."""
    import torch

    op = torch.ops.aten._flash_attention_forward
    left, right = (None, None) if call.window is None else (call.window, 0 if call.causal else call.window)
    args, named = calls_by_name(
        op, query=q, key=k, value=v, cum_seq_q=None, cum_seq_k=None, max_q=call.p, max_k=call.m, dropout_p=0.0, is_causal=call.causal,
        return_debug_mask=False, scale=call.scale, window_size_left=left, window_size_right=right,
    )  # fmt: skip
    return lambda: op(*args, **named)[0]


def bind_cudnn(call: Call, q: Any, k: Any, v: Any) -> Callable[[], Any]:
    """cuDNN's fused attention; its causal mask is aligned at the top left."""
    import torch

    op = torch.ops.aten._scaled_dot_product_cudnn_attention
    args, named = calls_by_name(
        op, query=q.transpose(1, 2), key=k.transpose(1, 2), value=v.transpose(1, 2), attn_bias=None, compute_log_sumexp=False,
        dropout_p=0.0, is_causal=call.causal, return_debug_mask=False, scale=call.scale,
    )  # fmt: skip
    return lambda: op(*args, **named)[0].transpose(1, 2)


def bind_eager(call: Call, q: Any, k: Any, v: Any) -> Callable[[], Any]:
    """A product, a scaling, a softmax and a product, each a kernel of its own."""
    import torch

    queries, keys, values = (x.transpose(1, 2).contiguous() for x in (q, k, v))
    return lambda: (torch.softmax(queries @ keys.mT * call.scale, -1) @ values).transpose(1, 2)


def bind_cpu(call: Call, q: Any, k: Any, v: Any) -> Callable[[], Any]:
    """PyTorch's flash attention for CPUs."""
    import torch

    op = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    queries, keys, values = (x.transpose(1, 2) for x in (q, k, v))
    return lambda: op(queries, keys, values, 0.0, call.causal, scale=call.scale)[0].transpose(1, 2)


def ragged(call: Call, device: str) -> Prepared:
    """FlashAttention-2 over sequences of `lengths` tokens laid end to end, each with as many queries as keys."""
    import torch

    total = sum(call.lengths)
    size = BYTES[call.dtype] * total * 2 * (call.h + call.g) * call.d
    count = set_count(device, size)
    stores = [normal(device, call.dtype, count, total, heads, call.d) for heads in (call.h, call.g, call.g)]
    starts = torch.tensor([0, *call.lengths], device=device, dtype=torch.int32).cumsum(0, dtype=torch.int32)
    op = torch.ops.aten._flash_attention_forward

    def bind(q: Any, k: Any, v: Any) -> Callable[[], Any]:
        args, named = calls_by_name(
            op, query=q, key=k, value=v, cum_seq_q=starts, cum_seq_k=starts, max_q=call.p, max_k=call.m, dropout_p=0.0,
            is_causal=call.causal, return_debug_mask=False, scale=call.scale,
        )  # fmt: skip
        return lambda: op(*args, **named)[0]

    sets = [(stores[0][i], stores[1][i], stores[2][i]) for i in range(count)]
    calls = [bind(*each) for each in sets]

    def check() -> float:
        out, worst, first = calls[0](), 0.0, 0
        for number, length in enumerate(call.lengths):
            if number in (0, len(call.lengths) - 1):
                q, k, v, part = (x[None, first : first + length] for x in (*sets[0], out))
                worst = max(worst, forward_error(q, k, v, part, band(length, length, call.causal, None), call.scale))
            first += length
        return worst

    return Prepared(calls, check, TOLERANCE[call.dtype])


def backward(call: Call, device: str) -> Prepared:
    """The backward kernels alone, over what the forward kernel left; as many queries as keys."""
    import torch

    cudnn = call.backend == "torch-cudnn"
    aten = torch.ops.aten
    ahead = aten._scaled_dot_product_cudnn_attention if cudnn else aten._scaled_dot_product_flash_attention
    back = aten._scaled_dot_product_cudnn_attention_backward if cudnn else aten._scaled_dot_product_flash_attention_backward
    kept: list[tuple[Any, ...]] = []

    def bind(q: Any, k: Any, v: Any) -> Callable[[], Any]:
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        common = {"query": q, "key": k, "value": v, "dropout_p": 0.0, "is_causal": call.causal, "scale": call.scale, "attn_bias": None}
        args, named = calls_by_name(ahead, **common, compute_log_sumexp=True, return_debug_mask=False)
        out, lse, starts_q, starts_k, longest_q, longest_k, seed, offset, _ = ahead(*args, **named)
        grad = torch.randn_like(out)
        kept.append((q, k, v, grad))
        args, named = calls_by_name(
            back, **common, grad_out=grad, out=out, logsumexp=lse, cum_seq_q=starts_q, cum_seq_k=starts_k, max_q=longest_q,
            max_k=longest_k, philox_seed=seed, philox_offset=offset,
        )  # fmt: skip
        return lambda: back(*args, **named)

    calls = [bind(*each) for each in call.inputs(device)]

    def check() -> float:
        q, k, v, grad = kept[0]
        group, b = call.h // call.g, call.b - 1
        heads = slice(call.h - group, call.h)
        expected = gradients(q[b, heads], k[b, -1], v[b, -1], grad[b, heads], call.causal, call.scale)
        dq, dk, dv = calls[0]()
        return max(relative(a, e) for a, e in zip((dq[b, heads], dk[b, -1], dv[b, -1]), expected, strict=True))

    return Prepared(calls, check, BACKWARD_TOLERANCE[call.dtype])
