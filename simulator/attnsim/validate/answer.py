"""Predictions for the calls of a measurement file: the engine's for kernels and models; collectives and a machine's own speed here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attnsim.errors import InfeasibleError
from attnsim.machine.load import load_machine
from attnsim.machine.machine import Machine
from attnsim.validate.call import Call
from attnsim.validate.predict import ArchRef, Predict, Prediction, engine

LIBRARY = {("nccl", "all-reduce"): ("ring", "tree")}
"""A library that was timed, and a collective -> the algorithms it chooses from; else the fastest there is."""
WRITTEN = {"copy": 1 / 2, "triad": 1 / 3}
"""Of the bytes that a loop moves, those it writes."""
CHOOSING = ("all-reduce", "all-gather", "reduce-scatter", "broadcast")
"""Collectives with more than one algorithm."""


class Answers:
    """Predictions for one machine, which is loaded once. `predict` answers for kernels and models in the engine's place."""

    def __init__(self, arch: ArchRef, predict: Predict = engine) -> None:
        self.arch, self.predict = arch, predict
        self._machine: Machine | None = None

    def of(self, call: Call) -> Prediction:
        """The prediction for a call. Raises AttnsimError where there is none."""
        if call.workload is not None:
            return Prediction(*self.predict(call.workload, self.arch))
        return (collective if call.kind == "collective" else micro)(call, self._loaded())

    def _loaded(self) -> Machine:
        if self._machine is None:
            machine = load_machine(self.arch)
            if not isinstance(machine, Machine):
                raise InfeasibleError(f"{machine.name} is a machine of PE arrays, without memory levels or links to time")
            self._machine = machine
        return self._machine


def collective(call: Call, machine: Machine) -> Prediction:
    """A collective over the machine's links. The bound: bytes no algorithm can do without, at nominal bandwidth."""
    from attnsim.api.collective import SIZES, run_collective
    from attnsim.machine.fabric import fabric_of
    from attnsim.spec.collective import CollectiveSpec

    asked: dict[str, Any] = {"kind": call.kernel}
    if call.kernel == "send":
        asked["link"] = fabric_of(machine).inner.name
    named = call.columns.get("algorithm", "")
    choices: tuple[str, ...] = LIBRARY.get((named, call.kernel), ("" if named == "nccl" or call.kernel not in CHOOSING else named,))
    sizes = {name: call.columns[name] for name in SIZES[call.kernel]}
    answers = [run_collective(CollectiveSpec(**asked, algorithm=choice), machine, sizes) for choice in choices]
    answer = min(answers, key=lambda one: one.time_s)
    return Prediction(answer.time_s, answer.lower_bound_s, f"{answer.algorithm} on {' and '.join(answer.sent)}" if answer.sent else "")


def micro(call: Call, machine: Machine) -> Prediction:
    """Bytes over the sustained bandwidth of the level that holds them, behind a launch in a graph and a ramp; or a launch itself.

    The bytes of a copy are those read and those written. `sets` of inputs that take turns are all held.
    """
    launches: Mapping[str, Callable[[], float]] = {
        "launch-stream": lambda: machine.launch.stream_s, "launch-graph": lambda: machine.launch.graph_s,
        "launch-floor": lambda: machine.launch.floor_s,
    }  # fmt: skip
    if call.kernel in launches:
        return Prediction(launches[call.kernel](), 0.0, "launch")
    amount = float(call.columns["bytes"])
    shared = [level for level in machine.levels if level.per == "device"]  # outermost first
    held = amount * call.columns["sets"]
    level = machine.level("l2") if call.kernel == "l2-read" else [shared[0], *(one for one in shared if held <= one.capacity_bytes)][-1]
    written = amount * WRITTEN.get(call.kernel, 0.0)
    seconds = level.seconds(amount - written, written) + level.ramp_s
    return Prediction(machine.launch.graph_s + seconds, amount / level.bandwidth, level.name)
