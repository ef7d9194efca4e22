"""One collective on whatever machine it is asked about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from attnsim.errors import InfeasibleError, SpecError, suggest
from attnsim.evaluate import collectives as c
from attnsim.machine.fabric import fabric_of
from attnsim.machine.machine import Machine
from attnsim.machine.spatial import SpatialMachine
from attnsim.spec.collective import CollectiveSpec

Sizes = Mapping[str, float]

SIZES: Final[Mapping[str, tuple[str, ...]]] = {
    "send": ("bytes",),
    "many-to-many": ("bytes", "senders", "receivers"),
    "all-gather": ("bytes", "devices"),
    "reduce-scatter": ("bytes", "devices"),
    "all-reduce": ("bytes", "devices"),
    "broadcast": ("bytes", "devices"),
    "all-to-all": ("bytes", "devices"),
    "moe-dispatch": ("tokens", "hidden", "top_k", "devices"),
    "moe-combine": ("tokens", "hidden", "top_k", "devices"),
}
"""Collective -> the sizes it needs; what each means stands at its function in `attnsim.evaluate.collectives`."""

_CHOOSING: Final[Mapping[str, Callable[[float, int, c.Where, str], c.Collective]]] = {
    "all-gather": c.all_gather,
    "reduce-scatter": c.reduce_scatter,
    "all-reduce": c.all_reduce,
    "broadcast": c.broadcast,
}


def run_collective(spec: CollectiveSpec, machine: Machine | SpatialMachine, sizes: Sizes) -> c.Collective:
    """The collective `spec` describes with its `sizes`, on a machine.

    Raises SpecError for missing or unknown sizes, InfeasibleError for links, transports and devices the machine does not have.
    """
    if isinstance(machine, SpatialMachine):
        raise InfeasibleError(f"{machine.name} has no links to other devices")
    wanted = SIZES[spec.kind]
    for name in wanted:
        if name not in sizes:
            raise SpecError(f"{spec.kind} needs the size '{name}'; it takes {', '.join(wanted)}")
    for name in sizes:
        if name not in wanted:
            raise SpecError(f"{spec.kind} has no size '{name}'{suggest(name, wanted)}; it takes {', '.join(wanted)}")
    where: c.Where
    if spec.link:
        where = machine.link(spec.link, spec.transport)
        if spec.kind == "send":
            return c.send(sizes["bytes"], where)
        if spec.kind == "many-to-many":
            return c.many_to_many(sizes["bytes"], int(sizes["senders"]), int(sizes["receivers"]), where)
    else:
        where = fabric_of(machine, spec.inner, spec.outer, spec.node, spec.transport)
    devices = int(sizes["devices"])
    if spec.kind in _CHOOSING:
        return _CHOOSING[spec.kind](sizes["bytes"], devices, where, spec.algorithm)
    if spec.kind == "all-to-all":
        return c.all_to_all(sizes["bytes"], devices, where)
    experts = c.moe_dispatch if spec.kind == "moe-dispatch" else c.moe_combine
    return experts(sizes["tokens"], int(sizes["hidden"]), int(sizes["top_k"]), devices, where)
