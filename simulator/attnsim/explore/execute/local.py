"""A sweep in this process: points in ascending order, chunk by chunk, into one sink."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from attnsim.explore.answer.points import evaluate_settings
from attnsim.explore.output.sinks import Sink
from attnsim.explore.plan.plan import Plan

Progress = Callable[[int, int], None]
"""Told after each chunk: points done, and those of them found done at the start (none here)."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Rows written; those of them without an answer, and why the first of these has none."""

    rows: int
    refused: int
    why: str


FIRST_CHUNK: Final = 256
MOST_IN_CHUNK: Final = 1 << 16
SECONDS: Final = 0.5
"""Chunks grow until one takes about so long: news of the progress stays fresh, and groups get large."""


def run_local(plan: Plan, sink: Sink, progress: Progress | None = None, chunk: int | None = None) -> Outcome:
    """Answer all points of a plan into a sink, and close it. What goes wrong leaves the sink aborted.

    chunk: points answered at a time; left out, as many as take half a second.
    """
    size = chunk or FIRST_CHUNK
    start = rows = refused = 0
    why = ""
    try:
        while start < plan.count or start == 0:
            began = time.perf_counter()
            table = evaluate_settings(plan, plan.settings(start, start + size))
            sink.write(table)
            rows += table.num_rows
            errors = table["error"].drop_null()
            refused, why = refused + len(errors), why or (errors[0].as_py() if len(errors) else "")
            start += size
            if progress is not None:
                progress(min(start, plan.count), 0)
            if chunk is None:
                took = max(time.perf_counter() - began, 1e-6)
                size = max(FIRST_CHUNK, min(2 * size, MOST_IN_CHUNK, int(size * SECONDS / took)))
        sink.close()
    except BaseException:
        sink.abort()
        raise
    return Outcome(rows, refused, why)
