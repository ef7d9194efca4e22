"""How many devices are joined: the devices of a node by one link, the nodes by another."""

from __future__ import annotations

from dataclasses import dataclass

from attnsim.errors import InfeasibleError
from attnsim.machine.link import Link
from attnsim.machine.machine import Machine


@dataclass(frozen=True, slots=True)
class Fabric:
    """`node` devices joined by `inner`, and any number of nodes joined by `outer`, one such link for each device; None: one node only."""

    inner: Link
    node: int
    outer: Link | None = None

    def shape(self, devices: int) -> tuple[int, int]:
        """Devices of a node and nodes, for `devices` in all.

        Raises InfeasibleError when they do not fit one node and there is no outer link, or do not fill whole nodes.
        """
        if devices <= self.node:
            return devices, 1
        if self.outer is None:
            raise InfeasibleError(f"the {self.inner.name} link joins {self.node} devices, not {devices}; name an outer link between nodes")
        if devices % self.node:
            raise InfeasibleError(
                f"{devices} devices do not fill nodes of {self.node}; use a multiple of {self.node}, or at most {self.node}"
            )
        return self.node, devices // self.node


def fabric_of(machine: Machine, inner: str = "", outer: str = "", node: int | None = None, transport: str = "") -> Fabric:
    """The fabric of a machine: `inner` and `outer` by name, left out by scope (the fastest of scope node, else host; of scope cluster).

    `node`: devices of one node, left out as many as the inner link joins. `transport`: the library that drives the outer link. Raises
    InfeasibleError for a link or transport the machine lacks, and for more devices in a node than the link joins.
    """
    within = machine.link(inner) if inner else _fastest(machine, "node", "host")
    between = machine.link(outer) if outer else _fastest(machine, "cluster")
    if within is None and between is None:
        raise InfeasibleError(f"{machine.name} has no link to other devices; add `links` to its file")
    if within is None:
        within, size = between, 1
    else:
        size = within.peers or node or 0
    assert within is not None
    if size == 0:
        raise InfeasibleError(f"how many devices the {within.name} link of {machine.name} joins is not said; give the devices of a node")
    if node is not None and node > size:
        raise InfeasibleError(f"the {within.name} link of {machine.name} joins {size} devices, not {node}")
    if between is not None and transport:
        between = between.through(transport)
    return Fabric(within, node or size, between)


def _fastest(machine: Machine, *scopes: str) -> Link | None:
    """The link with the highest bandwidth of the first scope that has any."""
    for scope in scopes:
        found = [link for link in machine.links.values() if link.scope == scope]
        if found:
            return max(found, key=lambda link: link.bandwidth)
    return None
