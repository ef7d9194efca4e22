"""Points: a question with its cascade, machine, mask and schedule, as `attnsim.run` resolves it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from attnsim import mask as masks
from attnsim.cascade.cascade import load_cascade
from attnsim.evaluate.point import Point
from attnsim.machine import Machine, load_machine
from attnsim.schedule.schedule import load_schedule
from attnsim.spec.mask import CausalMask, DenseMask, SinksMask, WindowMask
from attnsim.spec.workload import Conditions

KINDS = {"dense": DenseMask, "causal": CausalMask, "window": WindowMask, "sinks": SinksMask}


def make_point(
    arch: str | Machine,
    schedule: str | Mapping[str, Any],
    sizes: Mapping[str, int],
    *,
    mask: Mapping[str, Any] | None = None,
    dtype: str = "bf16",
    cascade: str | Mapping[str, Any] = "attention-1pass",
    **conditions: Any,
) -> Point:
    """sizes: P, M and E at least; one head of one batch, F = E and G = H unless they are given."""
    loaded = load_cascade(cascade)
    full = {"B": 1, "H": 1, "G": sizes.get("H", 1), "F": sizes.get("E", 1), **sizes}
    known = {rank: size for rank, size in full.items() if rank in loaded.ranks or rank in loaded.groups}
    written = {"kind": "dense"} if mask is None else dict(mask)
    return Point(
        loaded,
        known,
        masks.from_spec(KINDS[written["kind"]](**written)),
        dtype,
        load_machine(arch) if isinstance(arch, str) else arch,
        load_schedule(schedule),
        Conditions(**conditions),
        "backward" if "dO" in loaded.inputs else "forward",
    )


@pytest.fixture(scope="session")
def point() -> Callable[..., Point]:
    """The builder of a Point."""
    return make_point
