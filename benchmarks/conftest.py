"""Prints what a benchmark says of itself beside its times: points a second, megabytes."""

from __future__ import annotations

from typing import Any


def pytest_terminal_summary(terminalreporter: Any, config: Any) -> None:
    session = getattr(config, "_benchmarksession", None)
    rows = [(each.name, each.extra_info) for each in getattr(session, "benchmarks", ()) if each.extra_info]
    if not rows:
        return
    terminalreporter.section("rates")
    for name, info in rows:
        terminalreporter.write_line(f"{name:<58} " + "  ".join(f"{key} {value:,}" for key, value in info.items()))
