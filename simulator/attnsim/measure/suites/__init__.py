"""The suites by name; a module is imported when its suite is asked for and has its suite as `SUITE`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Final

from attnsim.errors import UsageError, suggest
from attnsim.measure.suite import Suite

SUITES: Final[Mapping[str, str]] = {
    name: f"attnsim.measure.suites.{name}" for name in ("micro", "gemm", "attention", "decode", "sparse", "linear", "collective", "model")
}


def load(name: str) -> Suite:
    """A suite by its name. Raises UsageError for an unknown one."""
    if name not in SUITES:
        raise UsageError(f"no suite {name!r}{suggest(name, SUITES)} (suites: {', '.join(SUITES)})")
    suite: Suite = importlib.import_module(SUITES[name]).SUITE
    return suite
