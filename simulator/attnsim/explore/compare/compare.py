"""`attnsim.compare`: two answers side by side, what changed between them, and which resource or part explains the difference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isclose
from typing import Any

from attnsim.errors import UsageError
from attnsim.evaluate.estimate import Report
from attnsim.explore.compare.machinefacts import facts, known_machine
from attnsim.explore.shown import unit
from attnsim.machine.machine import Machine
from attnsim.machine.spatial import SpatialMachine

Result = Mapping[str, Any]

FIGURES = (
    "latency_s",
    "lower_bound_s",
    "headroom",
    "speedup_upper_bound",
    "flops_per_s",
    "clock_hz",
    "energy_j",
    "footprint_bytes",
    "flops",
)
MODEL_FIGURES = ("cost.usd_per_mtok", "ttft_s", "tpot_s", "latency_s", "lower_bound_s", "headroom", "tokens_per_s", "tokens_per_s_per_gpu",
                 "energy_j_per_token", "energy_j", "flops", "bytes.hbm")  # fmt: skip
INPUTS = ("model", "phase", "context", "batch", "gpus", "cascade", "direction", "dtype", "schedule", "layers", "cost.prices")
MASK = ("description", "attended_pairs", "density", "tile_pairs_kernel", "tile_pairs_all", "tile_pairs_partial", "q_tiles", "max_kv_tiles")
OF_KERNEL = ("latency_s", "bound", "tile", "ctas", "ctas_per_processor", "limiter", "waves", "splits", "smem_per_cta_bytes", "dtype")
ALIKE = 1e-9


@dataclass(frozen=True, slots=True)
class Pair:
    """A number on both sides, in SI units; None where a side has none. share: of the difference in latency."""

    name: str
    a: float | None
    b: float | None
    unit: str = ""
    share: float | None = None

    @property
    def ratio(self) -> float | None:
        """b / a."""
        return self.b / self.a if self.a and self.b is not None else None


@dataclass(frozen=True, slots=True)
class Busy(Pair):
    """Busy time of a resource. work: ratio of the useful operations or bytes it handles; rate: of work to time. None where unknown."""

    work: float | None = None
    rate: float | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """Something that is not the same on both sides: a text, a count or a number in `unit`; None where a side lacks it."""

    name: str
    a: Any
    b: Any
    unit: str = ""


@dataclass(frozen=True, slots=True)
class KernelPair:
    """Launched kernels that stand for each other; None where a side launches none. Each as in the JSON of ``attnsim run``."""

    a: Result | None
    b: Result | None


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two answers. title: workload, machine and schedule."""

    workload: str
    arch: str
    schedule: str
    bound: str
    attnsim: str

    @property
    def title(self) -> str:
        """In one line."""
        return f"{self.workload} on {self.arch}, {self.schedule}"


@dataclass(frozen=True, slots=True, repr=False)
class Comparison:
    """Two answers; its repr is the table, ratios are b / a.

    figures: latency, bound, energy and so on. resources: busy times, which overlap, so that their shares of the difference need not add up.
    parts: of a model or the steps of a layer. kernels: of a kernel. bytes by level, work by unit. inputs, machine, mask: what differs.
    assumptions: those of one side only. summary: the ratio and what explains it, in a sentence.
    """

    kind: str
    a: Side
    b: Side
    figures: tuple[Pair, ...]
    resources: tuple[Busy, ...]
    parts: tuple[Pair, ...]
    kernels: tuple[KernelPair, ...]
    bytes: tuple[Pair, ...]
    work: tuple[Pair, ...]
    inputs: tuple[Change, ...]
    machine: tuple[Change, ...]
    mask: tuple[Change, ...]
    assumptions: tuple[Change, ...]
    notes: tuple[str, ...]

    @property
    def summary(self) -> str:
        """How much faster or slower B is, and what explains it."""
        from attnsim.explore.compare.explained import summary

        return summary(self)

    def figure(self, name: str) -> Pair | None:
        """One of the figures."""
        return next((pair for pair in self.figures if pair.name == name), None)

    def to_dict(self) -> dict[str, Any]:
        """The JSON of ``attnsim compare``."""
        from attnsim.explore.compare.render import to_dict

        return to_dict(self)

    def rows(self) -> list[dict[str, Any]]:
        """One flat row a number or change: section, name, a, b, ratio, share_of_difference."""
        from attnsim.explore.compare.render import rows

        return rows(self)

    def __repr__(self) -> str:
        from attnsim.explore.compare.render import text

        return text(self)


def compare(a: Report | Mapping[str, Any], b: Report | Mapping[str, Any]) -> Comparison:
    """Set two answers side by side: Reports of `attnsim.run`, or the dicts of its JSON.

    Of a layer its sum is compared, and its steps as parts. The numbers of machines are compared where both are known: those of Reports, and
    those the library still has as the JSON saw them.

    Raises: UsageError for a dict that is no answer of `attnsim run`, or for a model beside a kernel.
    """
    first, second = _answer(a, "the first"), _answer(b, "the second")
    x, y = first["results"][0], second["results"][0]
    if (x["kind"] == "model") != (y["kind"] == "model"):
        raise UsageError(f"a {x['kind']} and a {y['kind']} have nothing to compare: a step of a model is no kernel")
    machines = [_machine(given, data) for given, data in ((a, first), (b, second))]
    known, notes = _machine_changes(machines, (first, second), (x, y))
    difference = y["latency_s"] - x["latency_s"]
    inputs, mask = tuple(_inputs(first, second)), tuple(_changes(*({name: r.get("mask", {}).get(name) for name in MASK} for r in (x, y))))
    if not inputs and not mask and first["workload"] != second["workload"]:
        notes = (*notes, "the workloads differ in something that answers do not tell, such as conditions")
    return Comparison(
        kind=x["kind"] if x["kind"] == y["kind"] else f"{x['kind']} and {y['kind']}",
        a=_side(first),
        b=_side(second),
        figures=tuple(_figures(x, y)),
        resources=tuple(_busy(x, y, difference)) if x["kind"] != "model" else (),
        parts=tuple(_parts(x, y, difference)),
        kernels=tuple(_kernels(x.get("kernels", ()), y.get("kernels", ()))),
        bytes=tuple(_pairs(x["bytes"], y["bytes"], "B")),
        work=tuple(reversed([*_pairs(x.get("flops_by_unit", {}), y.get("flops_by_unit", {}), "FLOP")])),
        inputs=inputs,
        machine=known,
        mask=mask,
        assumptions=tuple(_assumptions(first["assumptions"], second["assumptions"])),
        notes=notes,
    )


def _answer(given: Report | Mapping[str, Any], which: str) -> Mapping[str, Any]:
    data: Any = given.to_dict() if isinstance(given, Report) else given
    if not is_answer(data):
        raise UsageError(f"{which} is no answer of attnsim run; write one with: attnsim run WORKLOAD ARCH --format json")
    return {"assumptions": (), "attnsim": "", **_in_order(data)}


def _in_order(data: Any) -> Any:
    """With keys sorted, as JSON has them: tiles and sizes read the same from a Report and from a file."""
    if isinstance(data, Mapping):
        return {key: _in_order(data[key]) for key in sorted(data)}
    return [_in_order(item) for item in data] if isinstance(data, list | tuple) else data


def is_answer(data: Any) -> bool:
    """Whether this is the JSON of ``attnsim run``."""
    if not isinstance(data, Mapping) or not {"workload", "arch", "results"} <= data.keys():
        return False
    results = data["results"]
    first = results[0] if isinstance(results, list | tuple) and results else None
    return isinstance(first, Mapping) and {"kind", "latency_s", "lower_bound_s", "bound", "bytes", "time_by_resource_s"} <= first.keys()


def _side(data: Mapping[str, Any]) -> Side:
    result = data["results"][0]
    return Side(data["workload"]["name"], data["arch"]["name"], result["schedule"], result["bound"], data["attnsim"])


def _value(result: Result, name: str) -> float | None:
    if name == "headroom":
        return float(result["latency_s"] / result["lower_bound_s"]) if result["lower_bound_s"] else None
    if name == "flops_per_s":
        return float(result["flops"] / result["latency_s"])
    found: Any = result
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found if isinstance(found, int | float) else None


def _figures(x: Result, y: Result) -> Iterable[Pair]:
    for name in MODEL_FIGURES if x["kind"] == "model" else FIGURES:
        a, b = _value(x, name), _value(y, name)
        if a is not None or b is not None:
            yield Pair(name, a, b, unit(name))


def _pairs(x: Mapping[str, float], y: Mapping[str, float], of: str) -> Iterable[Pair]:
    """Least first, as memory levels go from the outermost in."""
    for name in _ordered(x, y):
        yield Pair(name, x.get(name), y.get(name), of)


def _ordered(x: Mapping[str, float], y: Mapping[str, float]) -> list[str]:
    """By the larger of both sides, then by name: the JSON of an answer keeps no order."""
    return sorted({*x, *y}, key=lambda name: (max(x.get(name, 0.0), y.get(name, 0.0)), name))


def _share(a: float | None, b: float | None, difference: float, latency: float) -> float | None:
    return ((b or 0.0) - (a or 0.0)) / difference if abs(difference) > ALIKE * latency else None


def _busy(x: Result, y: Result, difference: float) -> Iterable[Busy]:
    """Longest first, by the longer of the two sides."""
    times = [result["time_by_resource_s"] for result in (x, y)]
    work = [{**result.get("flops_by_unit", {}), **result["bytes"]} for result in (x, y)]
    for name in reversed(_ordered(*times)):
        a, b = times[0].get(name), times[1].get(name)
        done = work[1][name] / work[0][name] if work[0].get(name) and name in work[1] else None
        rate = done / (b / a) if done and a and b else None
        share = _share(a, b, difference, x["latency_s"]) if a is not None and b is not None else None
        yield Busy(name, a, b, "s", share, done, rate)


def _parts(x: Result, y: Result, difference: float) -> Iterable[Pair]:
    """Longest first, by the longer of the two sides."""
    times = [_part_times(result) for result in (x, y)]
    for name in reversed(_ordered(*times)):
        a, b = times[0].get(name), times[1].get(name)
        yield Pair(name, a, b, "s", _share(a, b, difference, x["latency_s"]))


def _part_times(result: Result) -> dict[str, float]:
    """Seconds of each part of a model, or of each step in all layers, without the name of the layer in front."""
    if result["kind"] == "model":
        return {name: part.get("time_s", part.get("seconds", 0.0)) for name, part in result["parts"].items()}
    prefix = f"{result['name']}: "
    return {name.removeprefix(prefix): seconds * result["layers"] for name, seconds in result.get("steps", {}).items()}


def _kernels(x: Sequence[Result], y: Sequence[Result]) -> Iterable[KernelPair]:
    """By name, else in the order of their launch."""
    names = {kernel["name"] for kernel in x} & {kernel["name"] for kernel in y}
    left, right = ([kernel for kernel in kernels if kernel["name"] not in names] for kernels in (x, y))
    for kernel in x:
        if kernel["name"] in names:
            yield KernelPair(kernel, next(other for other in y if other["name"] == kernel["name"]))
    for index in range(max(len(left), len(right))):
        yield KernelPair(left[index] if index < len(left) else None, right[index] if index < len(right) else None)


def _inputs(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterable[Change]:
    named = []
    for data in (first, second):
        result = data["results"][0]
        flat: dict[str, Any] = {"attnsim": data["attnsim"] or None, "workload": data["workload"]["name"], "arch": data["arch"]["name"]}
        for name in INPUTS:
            top, _, below = name.partition(".")
            flat[name] = result.get(top, {}).get(below) if below else result.get(top)
        named.append(flat | {f"sizes.{rank}": size for rank, size in result.get("sizes", {}).items()})
    yield from _changes(*named)


def _changes(x: Mapping[str, Any], y: Mapping[str, Any]) -> Iterable[Change]:
    for name in dict.fromkeys([*x, *y]):
        a, b = x.get(name), y.get(name)
        if a != b and not (isinstance(a, float) and isinstance(b, float) and isclose(a, b, rel_tol=ALIKE)):
            yield Change(name, a, b)


def _machine(given: Report | Mapping[str, Any], data: Mapping[str, Any]) -> Machine | SpatialMachine | None:
    if isinstance(given, Report):
        return given.machine
    return known_machine(data["arch"]["name"], data["arch"].get("sha256", ""))


def _machine_changes(
    machines: Sequence[Machine | SpatialMachine | None], answers: Sequence[Mapping[str, Any]], results: Sequence[Result]
) -> tuple[tuple[Change, ...], tuple[str, ...]]:
    """Numbers that differ; or a line that says why they cannot be told."""
    if answers[0]["arch"] == answers[1]["arch"]:
        return (), ()
    unknown = [data["arch"]["name"] for machine, data in zip(machines, answers, strict=True) if machine is None]
    if unknown:
        return (), (
            f"the numbers of {' and '.join(unknown)} are not in the answer, and the library has no such machine or another content",
        )
    dtypes = dict.fromkeys(result["dtype"] for result in results)
    x, y = (facts(machine, dtypes) for machine in machines if machine is not None)
    found = []
    for name in dict.fromkeys([*x, *y]):
        a, b = x.get(name), y.get(name)
        if a is None or b is None or not isclose(a.value, b.value, rel_tol=ALIKE):
            one = a or b
            assert one is not None
            found.append(Change(name, a and a.value, b and b.value, one.unit))
    return tuple(found), ()


def _assumptions(x: Sequence[str], y: Sequence[str]) -> Iterable[Change]:
    yield from (Change("", text, None) for text in x if text not in y)
    yield from (Change("", None, text) for text in y if text not in x)
