"""Links between devices, as an arch file writes them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from attnsim.spec.base import FieldError
from attnsim.spec.quantity import Size
from attnsim.spec.sourced import Group, SourcedBandwidth, SourcedSeconds, SourcedShare


class TransportSpec(Group):
    """A communication library on a link."""

    latency: SourcedSeconds = Field(description="of one message before its first byte")
    sustained: SourcedShare = Field(description="share of the link's bandwidth")


class ProtocolSpec(Group):
    """How a library moves bytes through buffers, in turns."""

    latency: SourcedSeconds = Field(description="of a turn before its first byte")
    sustained: SourcedShare = Field(description="share of the link's bandwidth")
    copies: SourcedBandwidth = Field(
        description="rate at which a device's channels work through what they send, receive and sum, one after another"
    )


class LinkSpec(Group):
    """A link out of the device."""

    bandwidth: SourcedBandwidth = Field(description="nominal, in one direction")
    sustained: SourcedShare | None = Field(default=None, description="share of it that was measured")
    latency: SourcedSeconds | None = Field(default=None, description="of one message before its first byte")
    call: SourcedSeconds | None = Field(
        default=None,
        description="what a collective takes beside its messages: the launch of its kernel in a graph, its devices waiting for each other",
    )
    protocols: dict[str, ProtocolSpec | None] = Field(
        default={},
        description="how the library of collectives moves bytes over this link; the fastest is taken; null: that of the base is not used",
    )
    messages: SourcedSeconds | None = Field(default=None, description="what a call of sends and receives costs beyond `call`")
    loads: SourcedBandwidth | None = Field(default=None, description="what a kernel reads of one other device by plain loads")
    scope: Literal["node", "cluster", "host"] = Field(
        default="cluster",
        description="which devices it leads to: those of one node, any device of the cluster, or the host processor and its memory",
    )
    peers: Size | None = Field(default=None, description="devices it joins, this one included; left out: any number")
    shared_by: Size = Field(default=1, description="devices that use one such link together")
    per_peer: SourcedBandwidth | None = Field(
        default=None, description="what a pair of devices reaches where every pair has wires of its own"
    )
    transports: dict[str, TransportSpec] = Field(default={}, description="latency and share under named libraries")

    @model_validator(mode="after")
    def _joins_two(self) -> LinkSpec:
        if self.peers is not None and self.peers < 2:
            raise FieldError("counts the devices the link joins, this one included: at least 2", "peers")
        if self.per_peer is not None and self.per_peer.value > self.bandwidth.value:
            raise FieldError("one pair of devices cannot have more than the whole bandwidth", "per_peer")
        return self
