"""What is compared with the measurements: the engine's answer for a kernel, and a machine's sustained matrix rate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from attnsim.errors import AttnsimError, MissingDataError

ArchRef = str | Mapping[str, Any]


class Prediction(NamedTuple):
    """Seconds the schedule takes, seconds no implementation can beat, and the resource that bounds it."""

    latency_s: float
    lower_bound_s: float
    bound: str = ""


Predict = Callable[[Mapping[str, Any], ArchRef], tuple[float, float] | Prediction]
"""A workload dict and a machine -> seconds. Anything with this shape can be scored in the engine's place, for example a baseline."""

Ceiling = Callable[[ArchRef, str], tuple[float, float]]
"""A machine and a dtype -> (sustained, highest possible) matrix FLOP/s."""


def engine(workload: Mapping[str, Any], arch: ArchRef) -> Prediction:
    """attnsim's own prediction for a kernel or a model; layers of a model with a vocabulary of one word come without their head."""
    from attnsim.api import run

    (estimate,) = run(dict(workload), arch).results
    seconds, least = estimate.latency_s, estimate.lower_bound_s
    model = workload.get("model")
    if isinstance(model, Mapping) and model.get("vocabulary") == 1:
        head = estimate.parts["head"]
        seconds, least = seconds - head["time_s"], least - head["lower_bound_s"]
    return Prediction(seconds, least, estimate.bound)


def reason(error: AttnsimError) -> str:
    """Why there is no prediction, on one line. The place is left out: the workload was made here, the user never saw it."""
    return "; ".join(f"{issue.path}: {issue.message}" if issue.path else issue.message for issue in error.issues)


def machine_ceiling(arch: ArchRef, dtype: str) -> tuple[float, float]:
    """Matrix FLOP/s of `dtype` that the power limit lets a machine sustain, and its peak at the highest clock.

    Raises MissingDataError where the arch file has no measured matrix product to know the energy of an operation from.
    """
    from attnsim.machine.load import load_machine
    from attnsim.machine.machine import Machine
    from attnsim.machine.power import sustained_gemm

    machine = load_machine(arch)
    if not isinstance(machine, Machine):
        raise MissingDataError(f"{machine.name} is a machine of PE arrays; nothing was measured on it")
    settled = sustained_gemm(machine, dtype)
    if settled is None:
        raise MissingDataError(f"{machine.name} gives no measured matrix product for {dtype} under power.gemm")
    return settled[0], machine.peak_flops(dtype, "boost")


def cascade_for(schedule: str | None, direction: str) -> str:
    """Library name of the cascade a schedule is written for. Raises SpecError for an unknown schedule."""
    if direction == "backward":
        return "attention-backward"
    if schedule is None:
        return "attention-1pass"
    from attnsim.spec.library import load

    return str(load("schedule", schedule).data.get("cascade", "attention-1pass"))
