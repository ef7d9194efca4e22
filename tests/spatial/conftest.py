"""Questions about spatial machines: `ask` runs one, `machine` makes a machine of another size out of a shipped one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

import attnsim

Ask = Callable[..., Any]
MakeMachine = Callable[..., dict[str, Any]]


def ask_one(
    arch: str | Mapping[str, Any],
    schedule: str | Mapping[str, Any],
    sizes: Mapping[str, int],
    *,
    cascade: str | None = None,
    mask: str = "dense",
    sets: Sequence[str] = (),
    **fields: Any,
) -> Any:
    """The one estimate; left out, the cascade is that of the shipped schedule, and there is one head of one batch."""
    if cascade is None:
        cascade = "attention-3pass" if schedule in ("flat", "unfused") else "attention-1pass"
    workload = {
        "attnsim": 1, "kind": "kernel", "name": "asked", "cascade": cascade, "sizes": {"B": 1, "H": 1, **sizes}, "dtype": "fp16",
        "mask": {"kind": mask}, **fields,
    }  # fmt: skip
    return attnsim.run(workload, arch, schedule, sets=sets).results[0]


def make_machine(base: str = "fusemax_cloud", side: int = 256, *, exp: int | None = None, buffer: int | None = None) -> dict[str, Any]:
    """A shipped machine with side x side PEs, and `side` in the 1-D array. exp: cycles of an exponential; buffer: bytes, 512 at least."""
    arrays: dict[str, Any] = {"pe2d": {"shape": [side, side]}, "pe1d": {"shape": [side]}}
    if exp is not None and base == "fusemax_cloud":  # built from multiply-adds of one cycle
        for array in arrays.values():
            array["ops"] = {"exp": {"expand": {"mac": exp}}}
    elif exp is not None:  # a unit of its own
        arrays["pe1d"]["ops"] = {"exp": exp}
    changed: dict[str, Any] = {"extends": base, "name": "asked about", "arrays": arrays}
    if buffer is not None:
        changed["buffer"] = {"capacity": f"{buffer} B"}
    return changed


@pytest.fixture(scope="session")
def ask() -> Ask:
    """Run one question."""
    return ask_one


@pytest.fixture(scope="session")
def machine() -> MakeMachine:
    """Make a machine."""
    return make_machine
