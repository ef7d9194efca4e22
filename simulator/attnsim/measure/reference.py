"""Attention and products in float64, of so few rows that it costs neither memory nor time, and how far an output is from it.

Tensors lie as (batch, tokens, heads, head dim), as models hold them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

QUERIES, ELEMENTS, CHECKED = 64, 2**24, 64
Visible = Callable[[Any, Any], Any]
"""(query, key) -> whether the query sees the key, for tensors of positions."""


def band(queries: int, keys: int, causal: bool, window: int | None) -> Visible | None:
    """FlashAttention's mask: aligned at the bottom right; a window reaches back `window` keys and, without causal, as far ahead.

    None where every query sees every key.
    """
    if not causal and window is None:
        return None
    offset = keys - queries

    def visible(query: Any, key: Any) -> Any:
        place = query + offset
        seen = key <= place if causal else key <= place + window
        return seen if window is None else seen & (key >= place - window)

    return visible


def relative(out: Any, expected: Any) -> float:
    """|out - expected| / |expected|."""
    return float((out.double() - expected).norm() / expected.norm())


def product_error(out: Any, x: Any, w: Any) -> float:
    """Error of `out` = x w^T on some rows and columns."""
    import torch

    rows, columns = (torch.randperm(each.shape[0], device=each.device)[:CHECKED] for each in (x, w))
    return relative(out[rows][:, columns], x[rows].float().double() @ w[columns].float().double().T)


def forward_error(q: Any, k: Any, v: Any, out: Any, visible: Visible | None, scale: float) -> float:
    """The worse of two heads, the first and the last, over some queries of each."""
    import torch

    batch, queries, heads, _ = q.shape
    picked = torch.randperm(queries, device=q.device)[:QUERIES].sort().values
    keys = torch.arange(k.shape[1], device=q.device)
    worst = 0.0
    for b, head in {(0, 0), (batch - 1, heads - 1)}:
        key, value = (x[b, :, head * x.shape[2] // heads].double() for x in (k, v))
        scores = q[b, picked, head].double() @ key.T * scale
        if visible is not None:
            scores = scores.masked_fill(~visible(picked[:, None], keys[None, :]), float("-inf"))
        worst = max(worst, relative(out[b, picked, head], scores.softmax(-1) @ value))
    return worst


def gradients(q: Any, k: Any, v: Any, grad: Any, causal: bool, scale: float) -> tuple[Any, Any, Any]:
    """dQ, dK and dV of the query heads (heads, tokens, dim) that share one head of keys (tokens, dim), as many queries as keys."""
    import torch

    q, k, v, grad = (x.double() for x in (q, k, v, grad))
    dq, dk, dv = (torch.zeros_like(x) for x in (q, k, v))
    tokens = k.shape[0]
    keys = torch.arange(tokens, device=k.device)
    rows = max(1, ELEMENTS // tokens)
    for head in range(q.shape[0]):
        for first in range(0, tokens, rows):
            part = slice(first, min(first + rows, tokens))
            scores = q[head, part] @ k.T * scale
            if causal:
                scores = scores.masked_fill(keys[None, :] > keys[part, None], float("-inf"))
            weights = scores.softmax(-1)
            seen = grad[head, part] @ v.T
            inner = weights * (seen - (weights * seen).sum(-1, keepdim=True)) * scale
            dq[head, part] = inner @ k
            dk += inner.T @ q[head, part]
            dv += weights.T @ grad[head, part]
    return dq, dk, dv
