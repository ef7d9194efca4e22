"""Which constants of a schedule are fitted, within which bounds, and a schedule with some of them changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from attnsim.schedule.schedule import Schedule, constant_lists
from attnsim.spec.calibration import KernelConstants
from attnsim.spec.constants import CyclesConstant, EfficiencyConstant, SecondsConstant, ShareConstant

Place = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """A constant: its bounds, what a schedule without an entry has, its unit, and the step that is small for it."""

    low: float
    high: float
    default: float
    unit: str
    step: float
    entry: type[Any]


SHARE = Kind(0.0, 1.0, 0.0, "", 0.02, ShareConstant)
EFFICIENCY = Kind(0.05, 1.0, 1.0, "", 0.02, EfficiencyConstant)
CYCLES = Kind(0.0, 50_000.0, 0.0, "cycle", 50.0, CyclesConstant)
SECONDS = Kind(0.0, 1e-4, 0.0, "s", 1e-7, SecondsConstant)

KINDS: Mapping[Place, Kind] = {
    ("constants", "tensor_efficiency"): EFFICIENCY,
    ("constants", "memory_efficiency"): EFFICIENCY,
    ("constants", "kernel_overhead"): SECONDS,
    ("constants", "cta_overhead"): CYCLES,
    ("overlap", "exposed", "sfu"): SHARE,
    ("overlap", "exposed", "memory"): SHARE,
    ("constants", "merge"): CYCLES,
    ("constants", "combine_overhead"): SECONDS,
}
"""The constants that are fitted, those that matter first."""

SPLIT = (("constants", "merge"), ("constants", "combine_overhead"))
MOST = 8


@dataclass(frozen=True, slots=True)
class Parameter:
    """An entry of a list of constants. index None: an entry that the schedule lacks, for all that none of its own holds for."""

    place: Place
    index: int | None
    when: str | None
    first: float

    @property
    def kind(self) -> Kind:
        """Bounds and unit."""
        return KINDS[self.place]


def parameters_of(schedule: Schedule) -> Iterator[Parameter]:
    """Everything that could be fitted, whether or not any row depends on it."""
    spec = schedule.spec
    lists = constant_lists(spec.constants, spec.overlap)
    for place, kind in KINDS.items():
        if place in SPLIT and (spec.split is None or (place[-1] == "merge") != (spec.split.combine == "in-kernel")):
            continue
        entries = lists.get(place, ())
        for index, entry in enumerate(entries):
            yield Parameter(place, index, entry.when, float(entry.value))
        if not entries or entries[-1].when is not None:
            default = kind.default
            if place == ("constants", "combine_overhead") and not entries:
                overheads = lists["constants", "kernel_overhead"]  # what the engine takes where nothing is said
                default = float(overheads[-1].value) if overheads else 0.0
            yield Parameter(place, None, None, default)


def changed_lists(schedule: Schedule, values: Mapping[Parameter, float], source: str, rows: str) -> dict[Place, list[Any]]:
    """The lists that hold a changed entry, whole and in their order, so that entries which were not fitted go on to hold where they did."""
    lists = constant_lists(schedule.spec.constants, schedule.spec.overlap)
    made: dict[Place, list[Any]] = {}
    for parameter, value in values.items():
        entries = made.setdefault(parameter.place, list(lists.get(parameter.place, ())))
        entry = parameter.kind.entry(when=parameter.when, value=_text(value, parameter.kind.unit), source=source, rows=rows)
        if parameter.index is None:
            entries.append(entry)
        else:
            entries[parameter.index] = entry
    return made


def _text(value: float, unit: str) -> str | float:
    return f"{value:.12g} {unit}".replace("e+", "e") if unit else value


def with_lists(schedule: Schedule, lists: Mapping[Place, Sequence[Any]]) -> Schedule:
    """The schedule with these lists in place of its own."""
    spec = schedule.spec
    constants = {place[1]: list(entries) for place, entries in lists.items() if place[0] == "constants"}
    exposed = {place[2]: list(entries) for place, entries in lists.items() if place[0] == "overlap"}
    update = {
        "constants": spec.constants.model_copy(update=constants),
        "overlap": spec.overlap.model_copy(update={"exposed": {**spec.overlap.exposed, **exposed}}),
    }
    # `measured` keeps the machine's constants, which are in these lists already, from being put before them again.
    return replace(schedule, spec=spec.model_copy(update=update), measured=schedule.measured or KernelConstants())
