"""Collectives between the GPUs of one host, through NCCL and, for all-reduce, through PyTorch's symmetric memory.

One process a GPU. A graph holds several calls one after another, as a step of a model does, so that launches from the host do not count; a
replay starts after a barrier, and the slowest GPU's time is taken. `bytes`: as `attnsim.evaluate.collectives` counts them, the whole
buffer of one GPU (all-reduce: brought and received; reduce-scatter: brought; all-gather: received; all-to-all: both; broadcast, send: the
message). bf16. Results are held against exact sums of small integers before; zeros are moved while it is timed, since sums in place would
grow without end. NCCL's environment is left as it is.
"""

from __future__ import annotations

import json
import socket
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from attnsim.measure.suite import Case, Suite, Value

SIZES = [2**power for power in range(12, 30)]
"""4 KiB to 512 MiB."""

SMALL_SIZES = [2**12, 2**20]


def cases(device: str, small: bool) -> Iterator[Case]:
    """None: this suite times itself."""
    yield from ()


def run(device: str, small: bool) -> Iterable[Mapping[str, Value]]:
    """Rows of 2 GPUs, 4, 8 and all there are."""
    import torch
    import torch.multiprocessing as mp

    from attnsim.measure.suites.collective_work import work

    there = torch.cuda.device_count()
    for world in worlds(there):
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "rows.jsonl"
            target.touch()
            try:
                mp.spawn(work, args=(world, _free_port(), SMALL_SIZES if small else SIZES, str(target)), nprocs=world)
            finally:  # what was measured before a failure is kept
                rows: list[Mapping[str, Value]] = [json.loads(line) for line in target.read_text().splitlines()]
            yield from rows


def worlds(there: int) -> list[int]:
    """Numbers of GPUs that take part: powers of two, and all."""
    return sorted({count for count in (2, 4, 8, there) if 2 <= count <= there})


def _free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


SUITE = Suite("collective", frozenset({"cuda"}), ("torch",), cases, run)
