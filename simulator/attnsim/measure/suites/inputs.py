"""Inputs of kernels and how outputs are held against float64; imported with the first row that is made, since it needs PyTorch."""

from __future__ import annotations

from typing import Any

import torch

CHECKED = 64
"""Rows and columns of a product that are computed again in float64."""


def normal(*shape: int, device: str = "cuda", dtype: Any = None, scale: float = 1.0) -> Any:
    """Normal random numbers, which draw more power than zeros; bf16 unless said."""
    return torch.randn(*shape, device=device, dtype=dtype or torch.bfloat16).mul_(scale)


def off(got: Any, expected: Any) -> float:
    """|got - expected| / |expected| in float64."""
    return float((got.double() - expected).norm() / expected.norm())


def picks(size: int, device: str = "cuda") -> Any:
    """Some of `size` indices, at random."""
    return torch.randperm(size, device=device)[:CHECKED]


def product_off(got: Any, x: Any, w: Any) -> float:
    """Error of `got` = x w^T on some rows and columns."""
    r, c = picks(x.shape[0], x.device.type), picks(w.shape[0], x.device.type)
    return off(got[r][:, c], x[r].float().double() @ w[c].float().double().T)
