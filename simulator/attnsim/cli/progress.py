"""How far a sweep is, on stderr: a bar at a terminal, else a line every few seconds; nothing where it is quick."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

import click

from attnsim.cli.common import State, narrate

EVERY_S = 5.0


class PointsProgress:
    """Of `total` points: done, rate and time left."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._start = self._told = time.monotonic()
        self._bar: Any = None

    def __enter__(self) -> PointsProgress:
        context = click.get_current_context(silent=True)
        state = context.find_root().obj if context else None
        if sys.stderr.isatty() and not (isinstance(state, State) and state.quiet):
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task("points", total=self._total, rate="")
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return time.monotonic() - self._start

    def __call__(self, done: int, kept: int) -> None:
        """`done` points of the total, `kept` of them from an earlier run."""
        now = time.monotonic()
        rate = (done - kept) / max(now - self._start, 1e-9)
        if self._bar is not None:
            self._bar.update(self._task, completed=done, rate=f"{rate:,.0f} points/s")
        elif now - self._told >= EVERY_S and done < self._total:
            self._told = now
            left = f", {duration((self._total - done) / rate)} left" if rate else ""
            narrate(f"{done:,} of {self._total:,} points, {rate:,.0f} points/s{left}")


def duration(seconds: float) -> str:
    """Seconds as a person says them: 42 s, 3 min 5 s, 2 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
