"""Alpha and beta of a machine's link from collective rows, through the model that predicts them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from attnsim.calibrate.found import Field, spread_of
from attnsim.calibrate.lines import minimise
from attnsim.calibrate.rows import Row
from attnsim.errors import AttnsimError
from attnsim.machine.fabric import fabric_of
from attnsim.machine.link import Link
from attnsim.machine.machine import Machine
from attnsim.validate.answer import collective

LONGEST_S = 1e-3
"""Bound of alpha and of a call."""


def link_fields(machine: Machine, rows: Sequence[Row]) -> Iterator[Field]:
    """sustained, latency and call of the link inside the node. Latency is told from call only where messages wait for each other."""
    if not rows or not machine.links:
        return
    link = fabric_of(machine).inner
    usable = []
    for row in rows:
        try:
            collective(row.call, machine)
        except AttnsimError:
            continue  # more devices than the link joins: not about this link
        usable.append(row)
    if not usable:
        return
    steps = _steps(machine, usable)

    def changed(x: Any) -> Machine:
        made: Link = replace(link, sustained=link.bandwidth * float(x[0]), call_s=float(x[1]) * 1e-6)
        if steps:
            made = replace(made, latency_s=float(x[2]) * 1e-6)
        return replace(machine, links={**machine.links, link.name: made})

    def ratios(x: Any) -> list[float]:
        made = changed(x)
        return [collective(row.call, made).latency_s / row.seconds for row in usable]

    first = [link.sustained / link.bandwidth, max(link.call_s, 1e-7) * 1e6]
    low, high = [0.02, 0.0], [1.0, LONGEST_S * 1e6]
    if steps:
        first, low, high = [*first, max(link.latency_s, 1e-7) * 1e6], [*low, 0.0], [*high, LONGEST_S * 1e6]
    x = minimise(lambda x: [math.log(ratio) for ratio in ratios(x)], first, low, high)
    place, spread, taken = ("links", link.name), spread_of(ratios(x)), tuple(usable)
    kinds = ", ".join(sorted({row.call.kernel for row in usable}))
    note = f"alpha-beta fit to {kinds}"
    before = {"sustained": link.sustained / link.bandwidth, "call": link.call_s, "latency": link.latency_s}
    for (name, was), value, least, most in zip(before.items(), x, low, high, strict=False):
        at = "lower" if value - least < 1e-4 else "upper" if value > 0.9999 * most else ""
        after = (least if at == "lower" else float(value)) * (1e-6 if name != "sustained" else 1.0)
        told = f"{note}; at the {at} bound of the fit" if at else note
        yield Field((*place, name), was, after, "" if name == "sustained" else "s", told, taken, spread)


def _steps(machine: Machine, rows: Sequence[Row]) -> bool:
    """Whether calls of different numbers of steps are among the rows."""
    link = fabric_of(machine).inner
    slower = replace(machine, links={**machine.links, link.name: replace(link, latency_s=link.latency_s + 1e-6)})
    added = {round((collective(row.call, slower).latency_s - collective(row.call, machine).latency_s) * 1e6) for row in rows}
    return len(added) > 1
