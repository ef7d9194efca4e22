"""Number formats: their names in specs and their widths."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

Dtype = Literal["fp64", "fp32", "tf32", "bf16", "fp16", "fp8", "int8", "fp4", "int4", "mxfp4"]

#: Bits of one stored element. tf32 is a compute mode: its elements are stored as fp32. mxfp4 has a scale of 8 bits for each block of 32
#: (OCP Microscaling Formats 1.0, section 5.2).
BITS: Mapping[str, float] = MappingProxyType(
    {"fp64": 64, "fp32": 32, "tf32": 32, "bf16": 16, "fp16": 16, "fp8": 8, "int8": 8, "fp4": 4, "int4": 4, "mxfp4": 4.25}
)

#: What measured tables call the formats above.
ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "bfloat16": "bf16",
        "float16": "fp16",
        "half": "fp16",
        "float32": "fp32",
        "float": "fp32",
        "fp8_e4m3": "fp8",
        "fp8_e5m2": "fp8",
        "e4m3": "fp8",
    }
)


def canonical(name: str) -> str:
    """The spec name of a format: ``bfloat16`` -> ``bf16``; an unknown name comes back unchanged."""
    lowered = name.strip().lower()
    return ALIASES.get(lowered, lowered)


def element_bytes(dtype: str) -> float:
    """Bytes of one stored element."""
    return BITS[dtype] / 8


def narrower(stored: str, computed: str) -> str:
    """Format of operands in memory, kept as `stored` and multiplied as `computed`: they are not kept wider than they are used."""
    return stored if BITS[stored] < BITS[computed] else computed


def output_dtype(dtype: str) -> str:
    """Format in which a kernel writes its results: formats under 16 bits accumulate and store wider (FlashAttention-3, section 3.3)."""
    return dtype if BITS[dtype] >= 16 else "bf16"
