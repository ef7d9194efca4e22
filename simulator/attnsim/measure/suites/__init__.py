"""The suites by name; a module is imported when its suite is asked for and has its suite as `SUITE`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

SUITES: Final[Mapping[str, str]] = {
    name: f"attnsim.measure.suites.{name}"
    for name in ("micro", "gemm", "attention", "decode", "sparse", "linear", "collective", "model")
}
