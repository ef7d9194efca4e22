"""What `attnsim.recommend` returns: the settings found, the fastest first, with the baseline they are compared with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

from attnsim.evaluate.estimate import SCHEMA, plain
from attnsim.evaluate.recommend.space import Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """One mask in one tile shape; windows, strides, dilations and tiles have one entry an axis.

    sparsity: share of the pairs skipped. flop_speedup: all pairs / attended pairs. block_sparse: no visited tile holds a masked pair;
    block_sparse_natten: the kernel's own test finds it so (missed: the first without the second); masked: the kernel computes masks.
    latency_s: by the engine; lower_bound_s as of `attnsim.run`. op_speedup, end_to_end: over the dense baseline, of the operation and of
    the model around it (None where the workload describes none). sets: `--set` texts that make the workload this one.
    """

    window: Shape
    stride: Shape
    dilation: Shape
    q_tile: Shape
    kv_tile: Shape
    sparsity: float
    density: float
    flop_speedup: float
    block_sparse: bool
    block_sparse_natten: bool
    masked: bool
    latency_s: float
    lower_bound_s: float
    op_speedup: float
    end_to_end: float | None
    sets: tuple[str, ...]

    @property
    def missed(self) -> bool:
        """Whether the kernel masks tiles that need no mask, because its test is only sufficient."""
        return self.block_sparse and not self.block_sparse_natten

    def to_dict(self) -> dict[str, Any]:
        """The entry of ``results`` in the JSON of ``attnsim recommend``; no ``end_to_end`` where there is none."""
        out = {entry.name: plain(getattr(self, entry.name)) for entry in fields(self)}
        return {name: value for name, value in out.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """Dense attention as the workload's own schedule and tile shape run it."""

    schedule: str
    q_tile: Shape
    kv_tile: Shape
    latency_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendations:
    """What was asked, searched and found; its repr is the table the command line prints.

    shape: tokens by axis; windows: how many were searched; considered: windows x dilations x strides x tile shapes; evaluated: how many of
    them the engine timed, the rest being slower for sure or dominated; command: runs the best one (what a Python call overrides aside);
    notes: what was left out of the search, and what the times hold.
    """

    workload_name: str
    arch_name: str
    shape: Shape
    causal: tuple[bool, ...]
    baseline: Baseline
    windows: int
    tiles: int
    considered: int
    evaluated: int
    results: tuple[Recommendation, ...]
    command: str
    notes: tuple[str, ...]
    digests: Callable[[], tuple[str, str]] = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of ``attnsim recommend``: SI base units, no NaN."""
        from attnsim import __version__

        workload, arch = self.digests()
        return {
            "schema": SCHEMA,
            "attnsim": __version__,
            "workload": {"name": self.workload_name, "sha256": workload},
            "arch": {"name": self.arch_name, "sha256": arch},
            "shape": list(self.shape),
            "causal": list(self.causal),
            "baseline": plain(self.baseline),
            "considered": self.considered,
            "evaluated": self.evaluated,
            "notes": list(self.notes),
            "command": self.command,
            "results": [one.to_dict() for one in self.results],
        }

    def __repr__(self) -> str:
        from attnsim.evaluate.recommend.render import render

        return render(self)
