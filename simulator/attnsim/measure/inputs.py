"""Inputs that come from memory: several sets of them, together larger than the L2, that the calls of a replay take in turn."""

from __future__ import annotations

from math import ceil
from typing import Any

L2_SHARE, MOST_SETS, FEWEST_SETS = 3.2, 512, 2
CPU_BYTES, CPU_SETS, ROTATED_BYTES = 100e6, 8, 200e6
LARGE = 500e6
"""Bytes of a set from which on it passes through the L2 by itself, so that one set is enough."""


def dtype_of(name: str) -> Any:
    """PyTorch's type of a name of the `dtype` column."""
    import torch

    return {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[name]


def set_count(device: str, size: float) -> int:
    """Sets of `size` bytes that are more than three times the L2 of the device; two at least."""
    if device == "cpu":
        return max(FEWEST_SETS, min(CPU_SETS, ceil(CPU_BYTES / size)))
    import torch

    l2 = getattr(torch.cuda.get_device_properties(0), "L2_cache_size", 50 * 2**20)
    return max(FEWEST_SETS, min(MOST_SETS, ceil(L2_SHARE * l2 / size)))


def sets(each: float, most: int = 48) -> int:
    """Sets of `each` bytes whose sum is four times the L2 of an H100, for what is sized without a device: 2 to `most`."""
    return max(FEWEST_SETS, min(most, ceil(ROTATED_BYTES / each)))


def normal(device: str, dtype: str, *shape: int, scale: float = 1.0) -> Any:
    """Normal random numbers, which draw the power that activations draw."""
    import torch

    made = torch.randn(*shape, device=device, dtype=dtype_of(dtype))
    return made if scale == 1 else made.mul_(scale)


def calls_by_name(op: Any, **values: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments of an operator of PyTorch whose list of them differs between versions: those it has of `values`, in its order."""
    positional, named = [], {}
    for argument in op.default._schema.arguments:
        if argument.kwarg_only:
            if argument.name in values:
                named[argument.name] = values[argument.name]
        elif argument.name in values:
            positional.append(values[argument.name])
        elif argument.has_default_value():
            positional.append(argument.default_value)
        else:
            positional.append(None)
    return tuple(positional), named
