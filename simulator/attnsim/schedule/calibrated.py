"""A schedule on a machine whose arch file gives constants measured there (`kernels:`): these stand before the schedule's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from attnsim.cascade.cascade import load_cascade
from attnsim.errors import suggest
from attnsim.schedule.condition import ConditionError, compile_condition, condition_names
from attnsim.schedule.names import CONTEXT_NAMES, PRODUCT_NAMES
from attnsim.schedule.schedule import Schedule, constant_lists
from attnsim.spec.calibration import KernelConstants
from attnsim.spec.constants import Constants


def calibrated(schedule: Schedule, measured: KernelConstants) -> Schedule:
    """The schedule with the entries of a machine before its own."""
    own, spec = measured.constants, schedule.spec
    executed = {**spec.constants.executed}
    for label, entries in own.executed.items():
        executed[label] = [*entries, *executed.get(label, ())]
    lists = {name: [*getattr(own, name), *getattr(spec.constants, name)] for name in Constants.model_fields if name != "executed"}
    exposed = {**spec.overlap.exposed}
    for resource, shares in measured.overlap.exposed.items():
        exposed[resource] = [*shares, *exposed.get(resource, ())]
    update = {
        "constants": spec.constants.model_copy(update={**lists, "executed": executed}),
        "overlap": spec.overlap.model_copy(update={"exposed": exposed}),
    }
    return replace(schedule, spec=spec.model_copy(update=update), measured=measured)


def measured_faults(schedule: Schedule, measured: KernelConstants) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Conditions that cannot be read, and names in them or in `executed` that neither the schedule's cascade nor a condition knows."""
    cascade = load_cascade(schedule.spec.cascade)
    variables = {*cascade.ranks, *cascade.groups, *CONTEXT_NAMES, *(PRODUCT_NAMES if schedule.spec.fusion == "none" else ())}
    for label in measured.constants.executed:
        if label not in cascade.by_label:
            yield ("constants", "executed", label), f"no Einsum '{label}' in cascade {cascade.name}{suggest(label, cascade.by_label)}"
    for loc, entries in constant_lists(measured.constants, measured.overlap).items():
        for index, entry in enumerate(entries):
            if entry.when is None:
                continue
            try:
                compile_condition(entry.when)
            except ConditionError as error:
                yield (*loc, index, "when"), str(error)
                continue
            for name in sorted(condition_names(entry.when) - variables):
                text = f"condition {entry.when!r} asks for '{name}', which schedule {schedule.name} does not know{suggest(name, variables)}"
                yield (*loc, index, "when"), text
