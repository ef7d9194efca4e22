"""Renderers of results: plain text, JSON, CSV and figures. Nothing here computes a new number about a kernel.

In a notebook, `attnsim.report.figures` has every figure as something that shows itself; `attnsim.report.show` does so for your own.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attnsim.report.figures import Shown, show

__all__ = ["Shown", "show"]


def __getattr__(name: str) -> Any:
    # Loaded when asked for: rendering text needs none of it.
    if name not in __all__:
        raise AttributeError(f"module 'attnsim.report' has no attribute '{name}'")
    return getattr(import_module("attnsim.report.figures"), name)
