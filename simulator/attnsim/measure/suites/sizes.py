"""How many sets of inputs a row rotates over."""

from __future__ import annotations

from math import ceil
from typing import Final

ROTATED_BYTES: Final = 200e6
"""Bytes of all sets of inputs together: four times the L2 of an H100, so that inputs come from memory."""


def sets(each: float, most: int = 48) -> int:
    """How many sets of inputs of `each` bytes are rotated over: 2 to `most`."""
    return max(2, min(most, ceil(ROTATED_BYTES / each)))
