"""Simple models beside the engine on the same rows: rooflines, and the attention formulas of two published tools.

Each answers as `attnsim.validate.predict.engine` does, and may be scored in its place. A shape that a tool has no formula for is a
MissingDataError.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from attnsim.cascade.cascade import load_cascade
from attnsim.errors import AttnsimError, MissingDataError
from attnsim.machine.load import load_machine
from attnsim.machine.machine import Machine
from attnsim.spec.dtype import element_bytes
from attnsim.validate.predict import ArchRef, Predict, Prediction
from attnsim.validate.stats import ErrorStats

GIB = 2.0**30

GENZ_MEMORY = {"a100_sxm_40gb": 1600.0, "a100_sxm_80gb": 2039.0, "h100_sxm": 3400.0, "mi300x": 5300.0}
"""`Memory_BW` of GenZ's Systems/system_configs.py, written as GB/s; other machines are given their nominal bandwidth."""
GENZ_ON_CHIP = 18000.0
"""GenZ's default `onchip_mem_bw` (GenZ/system.py), which no GPU of its list overrides."""

LLM_VIEWER_MEMORY = {"a100_sxm_40gb": 1555e9, "a100_sxm_80gb": 2039e9, "h100_sxm": 3072e9, "rtx_a6000": 768e9}
"""`bandwith` of LLM-Viewer's hardwares/hardware_params.py, B/s; other machines are given their nominal bandwidth."""

ATTENTION = "attention-1pass"
LINEAR = ("linear", "grouped-linear")


@dataclass(frozen=True, slots=True)
class Work:
    """What a kernel must do: FLOPs of its products over the attended pairs, and bytes of inputs and outputs, each once."""

    flops: float
    bytes: float


def work_of(workload: Mapping[str, Any]) -> Work:
    """The work of a kernel workload. Raises MissingDataError for a model."""
    if workload.get("kind") != "kernel":
        raise MissingDataError("only kernels have a roofline here")
    return _work(json.dumps({name: workload.get(name) for name in ("cascade", "sizes", "dtype", "direction", "mask")}, sort_keys=True))


@lru_cache(maxsize=8192)
def _work(text: str) -> Work:
    from attnsim.api.documents import mask_of
    from attnsim.spec.workload import KernelWorkload
    from attnsim.spec.yaml import from_dict, validate

    asked = {name: value for name, value in json.loads(text).items() if value is not None}
    document = from_dict({"attnsim": 1, "kind": "kernel", "name": "work", **asked})
    spec = validate(KernelWorkload, document)
    cascade = load_cascade(spec.cascade)
    sizes = cascade.resolve_sizes(spec.sizes)
    pairs, share, key = None, 1.0, ""
    if len(cascade.positions) == 2:
        query, key = cascade.positions
        mask = mask_of(spec, document, cascade)
        pairs = float(mask.pairs(sizes[query], sizes[key]))
        share = float(mask.keys(sizes[query], sizes[key])) / sizes[key]
    flops = float(cascade.matmul_flops(cascade.counts(sizes, pairs=pairs)))
    each = cascade.compulsory_bytes(sizes, element_bytes(spec.dtype))
    amount = sum(float(count) * (share if key in cascade.tensor_ranks(name) else 1.0) for name, count in each.items())
    return Work(flops, amount)


def _machine(arch: ArchRef) -> Machine:
    machine = load_machine(arch)
    if not isinstance(machine, Machine):
        raise MissingDataError(f"{machine.name} is a machine of PE arrays; these formulas are about processors")
    return machine


def roofline(workload: Mapping[str, Any], arch: ArchRef) -> Prediction:
    """The longer of FLOPs over the peak and bytes over the nominal bandwidth (Williams, Waterman and Patterson, 2009)."""
    work, machine = work_of(workload), _machine(arch)
    compute = work.flops / machine.peak_flops(workload["dtype"]) if work.flops else 0.0
    memory = work.bytes / machine.memory.bandwidth
    return Prediction(max(compute, memory), 0.0, "compute" if compute > memory else "memory")


@dataclass(frozen=True, slots=True)
class _Attention:
    """Sizes of a forward softmax attention, and bytes of an element."""

    batch: int
    heads: int
    groups: int
    queries: int
    keys: int
    width: int
    value_width: int
    element: float

    @classmethod
    def of(cls, workload: Mapping[str, Any], tool: str) -> _Attention:
        if workload.get("cascade") != ATTENTION or workload.get("direction", "forward") != "forward":
            raise MissingDataError(f"{tool} has a formula for softmax attention forward only")
        s = workload["sizes"]
        return cls(s["B"], s["H"], s.get("G", s["H"]), s["P"], s["M"], s["E"], s["F"], element_bytes(workload["dtype"]))

    @property
    def scores(self) -> int:
        """Query-key pairs, masked or not."""
        return self.batch * self.heads * self.queries * self.keys


def _linear(workload: Mapping[str, Any], machine: Machine, bandwidth: float, tool: str) -> Prediction:
    """A matrix product, which both tools charge as a roofline at their own bandwidth."""
    if workload.get("cascade") not in LINEAR:
        raise MissingDataError(f"{tool} has no formula for {workload.get('cascade')}")
    work = work_of(workload)
    return Prediction(max(work.flops / machine.peak_flops(workload["dtype"]), work.bytes / bandwidth), 0.0)


def genz(workload: Mapping[str, Any], arch: ArchRef) -> Prediction:
    """Attention as GenZ charges it (abhibambhaniya/GenZ-LLM-Analyzer, genz_llm 0.0.16; arXiv 2406.01698), its operators Logit and Attend.

    Each takes the longer of its products at the full peak and its tensors at their bandwidth, scores on the chip. The whole square of
    queries and keys is charged whatever the mask; "GB/s" are read as 2^30 B/s (GenZ/unit.py), so an H100 has 3.65 TB/s.
    """
    machine = _machine(arch)
    bandwidth = GENZ_MEMORY.get(machine.name, machine.memory.bandwidth / 1e9) * GIB
    if workload.get("cascade") in LINEAR:
        return _linear(workload, machine, bandwidth, "GenZ")
    a = _Attention.of(workload, "GenZ")
    peak, cached = machine.peak_flops(workload["dtype"]), a.batch * a.groups * a.keys
    on_chip = a.scores * a.element / (GENZ_ON_CHIP * GIB)
    seconds = 0.0
    for width in (a.width, a.value_width):
        tensors = (a.batch * a.heads * a.queries + cached) * width * a.element
        seconds += max(2 * a.scores * width / peak, tensors / bandwidth + on_chip)
    return Prediction(seconds, 0.0)


def llm_viewer(workload: Mapping[str, Any], arch: ArchRef) -> Prediction:
    """Attention as LLM-Viewer charges it with `use_flashattention` (hahnyuan/LLM-Viewer, commit 472f71f; arXiv 2402.16363).

    model_analyzer.py, "fused_attention": no mask; keys and values read once for each block of head_dim queries and for each *query*
    head, so that shared keys gain nothing; and an output of queries x keys in place of queries x head_dim, twice.
    """
    machine = _machine(arch)
    bandwidth = LLM_VIEWER_MEMORY.get(machine.name, machine.memory.bandwidth)
    if workload.get("cascade") in LINEAR:
        return _linear(workload, machine, bandwidth, "LLM-Viewer")
    a = _Attention.of(workload, "LLM-Viewer")
    blocks = math.ceil(a.queries / a.width)  # its on-chip buffer never binds
    rows = a.batch * a.heads
    moved = a.queries * a.width * rows + 2 * a.scores + blocks * a.keys * (a.width + a.value_width) * rows
    flops = 2 * a.scores * (a.width + a.value_width) + 5 * a.scores
    return Prediction(max(flops / machine.peak_flops(workload["dtype"]), moved * a.element / bandwidth), 0.0)


def llm_viewer_unfused(workload: Mapping[str, Any], arch: ArchRef) -> Prediction:
    """As `llm_viewer`, without `use_flashattention`: "qk_matmul", "softmax" and "sv_matmul" one after another, scores in memory."""
    machine = _machine(arch)
    bandwidth = LLM_VIEWER_MEMORY.get(machine.name, machine.memory.bandwidth)
    if workload.get("cascade") in LINEAR:
        return _linear(workload, machine, bandwidth, "LLM-Viewer")
    a = _Attention.of(workload, "LLM-Viewer")
    peak = machine.peak_flops(workload["dtype"])
    query, cached = a.batch * a.heads * a.queries, a.batch * a.groups * a.keys
    parts = (
        (2 * a.scores * a.width, (query + cached) * a.width + a.scores),
        (5 * a.scores, 2 * a.scores),
        (2 * a.scores * a.value_width, (query + cached) * a.value_width + a.scores),
    )
    return Prediction(sum(max(flops / peak, moved * a.element / bandwidth) for flops, moved in parts), 0.0)


def key_of(workload: Mapping[str, Any]) -> tuple[str, str]:
    """Schedule and direction: what the two parameters of `FittedRoofline` are fitted for."""
    schedule = workload.get("schedule")
    name = schedule.get("extends", schedule.get("name", "")) if isinstance(schedule, Mapping) else schedule
    return str(name), str(workload.get("direction", "forward"))


@dataclass(frozen=True, slots=True)
class FittedRoofline:
    """The roofline over an efficiency, and an overhead: two parameters for each kernel and direction, (1 / efficiency, seconds)."""

    parameters: Mapping[tuple[str, str], tuple[float, float]]

    @classmethod
    def fit(cls, rows: Iterable[tuple[Mapping[str, Any], float]], arch: ArchRef) -> FittedRoofline:
        """Least squares of the relative error over (workload, measured seconds)."""
        points: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for workload, measured in rows:
            try:
                ideal = roofline(workload, arch).latency_s
            except AttnsimError:
                continue
            points.setdefault(key_of(workload), []).append((ideal / measured, 1 / measured))
        return cls({key: _least_squares(found) for key, found in points.items() if len(found) > 1})

    def __call__(self, workload: Mapping[str, Any], arch: ArchRef) -> Prediction:
        """As any prediction; MissingDataError for a kernel it was not fitted to."""
        found = self.parameters.get(key_of(workload))
        if found is None:
            raise MissingDataError(f"{key_of(workload)[0]} has no rows to fit")
        slope, overhead = found
        return Prediction(slope * roofline(workload, arch).latency_s + overhead, 0.0)


def _least_squares(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """(a, b) that minimize the sum of (a x + b y - 1)^2, neither below 0."""
    xx, xy, yy = (math.fsum(p[i] * p[j] for p in points) for i, j in ((0, 0), (0, 1), (1, 1)))
    x, y = math.fsum(p[0] for p in points), math.fsum(p[1] for p in points)
    determinant = xx * yy - xy * xy
    if determinant > 1e-12 * xx * yy:
        a, b = (x * yy - y * xy) / determinant, (y * xx - x * xy) / determinant
        if a >= 0 and b >= 0:
            return a, b
        if a < 0:
            return 0.0, y / yy
    return x / xx, 0.0


BASELINES: Mapping[str, Predict] = {
    "roofline": roofline, "GenZ 0.0.16": genz, "LLM-Viewer 472f71f": llm_viewer, "LLM-Viewer 472f71f, unfused": llm_viewer_unfused,
}  # fmt: skip
FITTED = "roofline/efficiency + overhead"
OURS = "attnsim"


@dataclass(frozen=True, slots=True)
class Sample:
    """A row as baselines see it: what it is grouped by, the question, the measured seconds, attnsim's answer, and whether it was fitted."""

    group: tuple[str, str]
    workload: Mapping[str, Any]
    measured_s: float
    ours: Prediction
    fitted: bool


@dataclass(frozen=True, slots=True)
class BaselineScore:
    """A model's errors on the rows of a group. impossible: predictions below the certified lower bound."""

    name: str
    group: tuple[str, str]
    errors: tuple[float, ...]
    impossible: int

    @property
    def stats(self) -> ErrorStats:
        """Statistics of its errors."""
        return ErrorStats.of(self.errors)


def compare(samples: Sequence[Sample], arch: ArchRef) -> tuple[BaselineScore, ...]:
    """attnsim and every baseline on the rows that nothing was fitted to: those not fitted; where a group has no fitted row, every second.

    The other half of such a group is what the two parameters of the fitted roofline come from, as the fitted rows are elsewhere.
    """
    groups: dict[tuple[str, str], list[Sample]] = {}
    for sample in samples:
        groups.setdefault(sample.group, []).append(sample)
    known: list[Sample] = []
    held: dict[tuple[str, str], list[Sample]] = {}
    for group, rows in sorted(groups.items()):
        chosen = [row.fitted for row in rows] if any(row.fitted for row in rows) else [i % 2 == 0 for i in range(len(rows))]
        known += [row for row, fit in zip(rows, chosen, strict=True) if fit]
        held[group] = [row for row, fit in zip(rows, chosen, strict=True) if not fit]
    fitted = FittedRoofline.fit(((row.workload, row.measured_s) for row in known), arch)
    models: dict[str, Callable[[Sample], Prediction]] = {OURS: lambda sample: sample.ours}
    for name, predict in {"roofline": roofline, FITTED: fitted, **BASELINES}.items():
        models[name] = lambda sample, predict=predict: Prediction(*predict(sample.workload, arch))  # type: ignore[misc]
    return tuple(_score(name, model, group, rows) for group, rows in held.items() for name, model in models.items() if rows)


def _score(name: str, model: Callable[[Sample], Prediction], group: tuple[str, str], rows: Sequence[Sample]) -> BaselineScore:
    errors, impossible = [], 0
    for row in rows:
        try:
            seconds = model(row).latency_s
        except AttnsimError:
            continue
        errors.append(seconds / row.measured_s - 1)
        impossible += seconds < row.ours.lower_bound_s
    return BaselineScore(name, group, tuple(errors), impossible)
