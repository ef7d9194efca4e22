"""The best known schedule of a machine, for workloads that name none: ``workloads/default_schedules.yaml``, first match wins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from attnsim.errors import InfeasibleError, Issue, SpecError
from attnsim.schedule.choice import Choice
from attnsim.schedule.condition import ConditionError, Value, compile_condition
from attnsim.schedule.schedule import Schedule, load_schedule
from attnsim.schedule.spatial import SpatialSchedule, load_spatial_schedule
from attnsim.spec import library
from attnsim.spec.base import Spec
from attnsim.spec.yaml import load_yaml, validate


class DefaultRule(Spec):
    """One rule: the schedule to use where the condition holds."""

    when: str
    schedule: str
    why: str


class DefaultRules(Spec):
    """The file of rules."""

    attnsim: Literal[1]
    kind: Literal["default-schedules"]
    rules: list[DefaultRule]


_rules: dict[str, tuple[DefaultRules, Choice[DefaultRule]]] = {}  # by search path of the library


def default_rules() -> DefaultRules:
    """The shipped rules, read once a process.

    Raises:
        SpecError: with file, line and column of every mistake.
    """
    return _read()[0]


def _read() -> tuple[DefaultRules, Choice[DefaultRule]]:
    key = library.search_path()
    if key not in _rules:
        document = load_yaml(library.data_file("workloads/default_schedules.yaml"))
        rules = validate(DefaultRules, document)
        issues: list[Issue] = []
        for index, rule in enumerate(rules.rules):
            try:
                compile_condition(rule.when)
            except ConditionError as error:
                issues.append(document.issue(("rules", index, "when"), str(error)))
        if issues:
            raise SpecError(issues)
        _rules[key] = rules, Choice(rules.rules)
    return _rules[key]


def default_schedule(context: Mapping[str, Value]) -> Schedule:
    """The schedule of the first rule whose condition holds.

    context: what the conditions of schedules may ask (`evaluate.point.schedule_context`), and the name of the `cascade`.

    Raises:
        InfeasibleError: no rule covers the machine and sizes.
    """
    rule = _read()[1].first(context)
    if rule is not None:
        return load_schedule(rule.schedule)
    raise InfeasibleError(
        f"no default schedule for cascade {context['cascade']} in {context['dtype']} on {context['isa']}; "
        f"name one with `schedule:` (attnsim list schedule)"
    )


def default_spatial_schedule(context: Mapping[str, Value]) -> SpatialSchedule:
    """As `default_schedule`, for a machine of PE arrays.

    Raises:
        InfeasibleError: no rule covers the machine.
    """
    rule = _read()[1].first(context)
    if rule is not None:
        return load_spatial_schedule(rule.schedule)
    raise InfeasibleError(
        f"no default schedule for cascade {context['cascade']} on PE arrays; name one with `schedule:` (attnsim list schedule)"
    )
