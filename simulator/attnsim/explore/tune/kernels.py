"""The search of a kernel's schedule on processors: what is asked of the engine, and what is told of its answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from attnsim.errors import InfeasibleError
from attnsim.evaluate.estimate import Estimate, KernelEstimate
from attnsim.evaluate.evaluate import evaluate
from attnsim.evaluate.point import Point
from attnsim.explore.tune.answer import Tried
from attnsim.explore.tune.limits import Limits, limits_of
from attnsim.explore.tune.search import Place, Problem, Refusal
from attnsim.explore.tune.space import Candidate, Space, named_tile, space_of
from attnsim.schedule.schedule import build


class KernelSearch:
    """A point on processors, its space and its limits. Raises as `attnsim.tune`."""

    def __init__(self, point: Point, name: str, vary: Sequence[str]) -> None:
        # The schedule as its file has it: constants of the machine's file are put before its own again whenever a candidate is made.
        self.point = replace(point, schedule=build(point.schedule.doc))
        self.name = name
        self.space: Space = space_of(self.point, vary)
        evaluate(self.point, name)  # what no schedule could run is told as `attnsim.run` tells it
        self.limits: Limits = limits_of(self.point, self.space.own)

    def problem(self) -> Problem[Candidate]:
        """What is searched."""
        axes = {axis.name: len(axis.choices) for axis in self.space.axes}
        return Problem(axes, self._fit, self._seconds, self.space.changed)

    def _fit(self, place: Place) -> Candidate | Refusal | None:
        candidate = self.space.candidate(place)
        if candidate is None or not any(place):
            return candidate  # the schedule's own is what its library runs
        return self.limits.fit(candidate)

    def _seconds(self, candidate: Candidate) -> float:
        return evaluate(self._under(candidate), self.name).latency_s

    def _under(self, candidate: Candidate) -> Point:
        return self.point if candidate == self.space.own else candidate.on(self.point)

    def named(self, sizes: Mapping[str, int]) -> Candidate:
        """The fastest candidate of a tile somebody names. Raises InfeasibleError naming the limit where it does not fit."""
        fitting, refusals = [], []
        for candidate in named_tile(self.space, sizes):
            fitted = self.limits.fit(candidate)
            if isinstance(fitted, Refusal):
                refusals.append(fitted)
            else:
                fitting.append(fitted)
        if not fitting:
            raise InfeasibleError([_refused(refusal) for refusal in refusals][0])
        return min(fitting, key=self._seconds)

    def same(self, candidate: Candidate) -> Any:
        """What tells candidates apart where the rest changes nothing."""
        return (tuple(candidate.sizes.items()), candidate.warps)

    def changes(self, candidate: Candidate) -> dict[str, Any]:
        """The fields of the schedule's file that a candidate changes."""
        return candidate.changes(self.point.schedule)

    def tried(self, candidate: Candidate) -> Tried:
        """A candidate's answer."""
        point = self._under(candidate)
        estimate = evaluate(point, self.name)
        row = candidate.row
        choice: dict[str, Any] = {"tile": {rank: row.shape(rank) for rank in row.sizes()}}
        if row.warps:
            choice["warps"] = int(row.warps)
        for axis in self.space.axes:
            if axis.name == "order" and len(axis.choices) > 1:
                choice["order"] = candidate.order or point.schedule.order(point.context)
            elif axis.name == "ctas":
                choice["ctas"] = int(row.ctas or 1)
            elif axis.name == "stages":
                choice["stages"] = {**self.point.schedule.spec.buffers, **dict(candidate.stages)}
            elif axis.name == "split":
                choice["split"] = "by its rule" if candidate.split is None else f"in {candidate.split[0]}"
        return Tried(
            choice=choice,
            own=candidate == self.space.own,
            latency_s=estimate.latency_s,
            lower_bound_s=estimate.lower_bound_s,
            bound=estimate.bound,
            time_by_resource_s=estimate.time_by_resource_s,
            facts=self._facts(candidate, estimate),
        )

    def _facts(self, candidate: Candidate, estimate: Estimate) -> dict[str, Any]:
        main = _main(estimate)
        issued = 2.0 * main.issued_ops.get("tensor", {}).get("mac", 0.0)
        facts: dict[str, Any] = {
            "ctas": main.ctas,
            "waves": main.waves,
            "ctas_per_processor": main.ctas_per_processor,
            "limiter": main.limiter,
            "splits": main.splits,
            "padding": issued / estimate.flops - 1.0 if issued and estimate.flops else None,
        }
        if candidate.warps and self.point.machine.kind == "gpu" and self.point.machine.limits.registers:
            facts["registers"] = self.limits.registers(candidate)
        return {name: value for name, value in facts.items() if value is not None}

    def notes(self) -> list[str]:
        """What the search leaves out."""
        notes, limits, spec = [], self.limits, self.point.schedule.spec
        if limits.spilled:
            names = ", ".join(limits.spilled)
            notes.append(
                f"{names}: the registers do not hold the schedule's own tile beside the others; every candidate has it in shared memory"
            )
        if limits.warps:
            notes.append(
                f"the schedule's constants hold for {limits.warps} warps per processor, its own; candidates with fewer are not ranked"
            )
        if spec.registers is None and self.point.machine.kind == "gpu":
            notes.append("the schedule does not say what registers it needs beside its tiles: none may need more than its own")
        if spec.buffers:
            notes.append("fewer stages than the schedule's own are not tried: nothing here charges a load that a step waits for")
        return notes


def _refused(refusal: Refusal) -> str:
    return f"limited by {refusal.limit}: {refusal.message}"


def _main(estimate: Estimate) -> KernelEstimate:
    """The kernel that takes longest."""
    return max(estimate.kernels, key=lambda kernel: kernel.latency_s)
