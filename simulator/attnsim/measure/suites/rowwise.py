"""Norms and activations as plain PyTorch, to be compiled; imported with the first row that needs them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
import torch.nn.functional as functional

EPSILON = 1e-6


def rms_norm(x: Any, gain: Any) -> Any:
    """Root mean square norm of every row, with a gain."""
    return functional.rms_norm(x, (x.shape[-1],), gain, EPSILON)


def add_rms_norm(x: Any, residual: Any, gain: Any) -> tuple[Any, Any]:
    """Norm of the residual sum, and that sum."""
    total = x + residual
    return rms_norm(total, gain), total


def silu_mul(x: Any) -> Any:
    """SwiGLU: silu of the first half of every row times the second."""
    gate, up = x.chunk(2, -1)
    return functional.silu(gate) * up


OPERATIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "rms-norm": rms_norm, "add-rms-norm": add_rms_norm, "silu-mul": silu_mul, "residual-add": torch.add,
}  # fmt: skip
"""By the name of the cascade."""
