"""Links between devices, as an arch file writes them."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from attnsim.spec.base import FieldError
from attnsim.spec.quantity import Size
from attnsim.spec.sourced import Group, SourcedBandwidth, SourcedSeconds, SourcedShare


class TransportSpec(Group):
    """A communication library on a link: time a message costs before its first byte, and the share of the bandwidth it sustains."""

    latency: SourcedSeconds
    sustained: SourcedShare


class ProtocolSpec(Group):
    """How a library moves bytes through buffers: time of a turn before its first byte, the share of the link it sustains, and the bandwidth
    at which a device's channels work through what they send, receive and sum, one after another (``copies``).
    """

    latency: SourcedSeconds
    sustained: SourcedShare
    copies: SourcedBandwidth


class LinkSpec(Group):
    """A link out of the device: nominal bytes per second in one direction, and the ``sustained`` share of it; ``latency`` of one message.

    ``call``: what a collective takes beside its messages: the launch of its kernel in a graph, and its devices waiting for each other.
    ``scope``: node (to the devices of one node), cluster (to any device) or host (to the processor and its memory). ``peers``: the devices
    it joins, this one included; left out: any number. ``shared_by``: devices that use one such link together. ``per_peer``: what a pair
    of devices reaches where every pair has wires of its own. ``transports``: latency and share under named libraries.

    ``protocols``: of the library that runs collectives over this link; the fastest for the bytes is taken. ``messages``: what a call of
    sends and receives costs beyond ``call``. ``loads``: what a kernel reads of one other device by plain loads.
    """

    bandwidth: SourcedBandwidth
    sustained: SourcedShare | None = None
    latency: SourcedSeconds | None = None
    call: SourcedSeconds | None = None
    protocols: dict[str, ProtocolSpec | None] = {}  # none: the protocol of the base is not used
    messages: SourcedSeconds | None = None
    loads: SourcedBandwidth | None = None
    scope: Literal["node", "cluster", "host"] = "cluster"
    peers: Size | None = None
    shared_by: Size = 1
    per_peer: SourcedBandwidth | None = None
    transports: dict[str, TransportSpec] = {}

    @model_validator(mode="after")
    def _joins_two(self) -> LinkSpec:
        if self.peers is not None and self.peers < 2:
            raise FieldError("counts the devices the link joins, this one included: at least 2", "peers")
        if self.per_peer is not None and self.per_peer.value > self.bandwidth.value:
            raise FieldError("one pair of devices cannot have more than the whole bandwidth", "per_peer")
        return self
