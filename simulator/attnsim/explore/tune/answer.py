"""What `attnsim.tune` returns: the schedules tried, the fastest first, and why the first of them is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from attnsim.evaluate.estimate import SCHEMA, plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One schedule.

    choice: what it chooses, by what is varied; own: the schedule as its file has it; facts: CTAs, waves, registers and the like of its
    longest kernel. Times in s; time_by_resource_s as of `attnsim.run`.
    """

    choice: Mapping[str, Any]
    own: bool
    latency_s: float
    lower_bound_s: float
    bound: str
    time_by_resource_s: Mapping[str, float]
    facts: Mapping[str, Any]

    @property
    def over_bound(self) -> float:
        """Latency / lower bound: 1 is as fast as any schedule can be."""
        return self.latency_s / self.lower_bound_s

    def to_dict(self) -> dict[str, Any]:
        """The entry of ``results`` in the JSON of ``attnsim tune``."""
        return {
            "choice": plain(self.choice),
            "own": self.own,
            "latency_s": self.latency_s,
            "lower_bound_s": self.lower_bound_s,
            "over_bound": self.over_bound,
            "bound": self.bound,
            "time_by_resource_s": plain(self.time_by_resource_s),
            **plain(self.facts),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """What was asked, tried and found; its repr is the text the command line prints.

    varied: number of choices by what is varied; method: exhaustive, or optuna where more fit than could be tried; candidates: looked at;
    evaluated: timed by the engine; refused: by limit, examples: a message of each. results: the fastest first; own: the schedule as its
    file has it; asked: the tile that was named, if any. reasons: why the best beats the runner-up, and the schedule's own. document: the
    winning schedule as a file that extends the schedule; notes: what the search leaves out.
    """

    workload_name: str
    arch_name: str
    schedule: str
    varied: Mapping[str, int]
    method: str
    candidates: int
    evaluated: int
    refused: Mapping[str, int]
    examples: Mapping[str, str]
    results: tuple[Tried, ...]
    own: Tried
    asked: Tried | None
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    document: Mapping[str, Any]
    digests: Callable[[], tuple[str, str]] = field(repr=False)

    @property
    def best(self) -> Tried:
        """The fastest."""
        return self.results[0]

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of ``attnsim tune``: SI base units, no NaN."""
        from attnsim import __version__

        workload, arch = self.digests()
        out = {
            "schema": SCHEMA,
            "attnsim": __version__,
            "workload": {"name": self.workload_name, "sha256": workload},
            "arch": {"name": self.arch_name, "sha256": arch},
            "schedule": self.schedule,
            "varied": dict(self.varied),
            "method": self.method,
            "candidates": self.candidates,
            "evaluated": self.evaluated,
            "refused": dict(self.refused),
            "refused_examples": dict(self.examples),
            "own": self.own.to_dict(),
            "reasons": list(self.reasons),
            "notes": list(self.notes),
            "best_schedule": plain(self.document),
            "results": [one.to_dict() for one in self.results],
        }
        return out if self.asked is None else {**out, "asked": self.asked.to_dict()}

    def schedule_yaml(self) -> str:
        """The winning schedule as a file for `attnsim run --schedule FILE`."""
        import yaml

        head = (
            f"# attnsim tune: {self.workload_name} on {self.arch_name}, {self.evaluated} of {self.candidates} candidates timed "
            f"({self.method}); {self.best.latency_s:.6g} s, {self.own.latency_s:.6g} s under {self.schedule}\n"
        )
        return head + yaml.safe_dump(plain(self.document), sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)

    def __repr__(self) -> str:
        from attnsim.explore.tune.render import render

        return render(self)
