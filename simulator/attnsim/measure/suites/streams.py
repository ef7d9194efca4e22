"""Triton kernels that only move bytes; imported with the first row that needs them."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

BLOCK = 8192
"""Elements of one program, 32 KiB of fp32; buffers are multiples of it."""


def _copy(source, target, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]  # Triton reads annotations
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    tl.store(target + at, tl.load(source + at))


def _read(source, sums, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    program = tl.program_id(0).to(tl.int64)
    tl.store(sums + program, tl.sum(tl.load(source + program * BLOCK + tl.arange(0, BLOCK)), 0))


_COPY, _READ = triton.jit(_copy), triton.jit(_read)


def copy(source: Any, target: Any) -> None:
    """Every element of `source` to `target`, both fp32 and of one length."""
    _COPY[(source.numel() // BLOCK,)](source, target, BLOCK, num_warps=8)


def read(source: Any, sums: Any) -> None:
    """The sum of every BLOCK elements of `source` (fp32): reads all, writes 1/8192 of it."""
    _READ[(source.numel() // BLOCK,)](source, sums, BLOCK, num_warps=8)


def partial_sums(source: Any) -> Any:
    """Room for the sums of `read`."""
    return torch.empty(source.numel() // BLOCK, device=source.device, dtype=torch.float32)
