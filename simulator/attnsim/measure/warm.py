"""Compiles what rows need side by side, in processes of their own, so that a run does not wait for one compiler after another."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import islice
from multiprocessing import get_context

MOST_PROCESSES = 12


def compile_all(suite: str, device: str, small: bool, indices: Sequence[int], told: Callable[[str], None]) -> None:
    """Make the rows with these numbers of a suite and call each once. A row that fails here fails again, and is told, when it is run."""
    count = min(MOST_PROCESSES, max(1, (os.cpu_count() or 2) // 2), len(indices))
    if count < 2:
        return
    told(f"{suite}: compiling for {len(indices)} rows in {count} processes")
    try:
        with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
            for future in as_completed([pool.submit(_compile, suite, device, small, index) for index in indices]):
                future.exception()
    except (OSError, RuntimeError) as error:  # too little memory for so many: the run compiles what is missing itself
        told(f"{suite}: {error}")


def _compile(suite: str, device: str, small: bool, index: int) -> None:
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
    from attnsim.measure.suites import load

    case = next(islice(load(suite).cases(device, small), index, None))
    case.make().calls[0]()
    if device == "cuda":
        import torch

        torch.cuda.synchronize()
        torch.cuda.empty_cache()
