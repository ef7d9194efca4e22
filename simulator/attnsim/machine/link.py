"""A link between devices, with what the alpha-beta model needs: a message of `n` bytes takes `latency_s + n / rate`.

The model is that of Hockney (1994), used for collectives by Thakur, Rabenseifner and Gropp (2005).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from attnsim.errors import InfeasibleError, suggest

Scope = Literal["node", "cluster", "host"]


@dataclass(frozen=True, slots=True)
class Transport:
    """A communication library on a link: seconds a message costs before its first byte, and the share of the bandwidth it sustains."""

    name: str
    latency_s: float
    share: float


@dataclass(frozen=True, slots=True)
class Protocol:
    """How a library moves bytes through buffers: seconds of a turn before its first byte, the share of the link it sustains, and B/s at
    which the channels of a device work through what they send, receive and sum, one after another.
    """

    name: str
    latency_s: float
    share: float
    copies: float


@dataclass(frozen=True, slots=True)
class Link:
    """A link out of the device, one direction, B/s; `sustained` is measured, or nominal where nothing is known.

    `latency_s`: what one message costs beside its bytes (alpha). `call_s`: what a collective costs beside its messages, the launch of its
    kernel in a graph and its devices waiting for each other. `scope`: what it reaches. `peers`: the devices it joins, this one included;
    None for any number. `shared_by`: devices that use it together. `per_peer`: nominal B/s of one pair of devices where every pair has
    wires of its own (a full mesh), None behind a switch. `transport`: the library the numbers hold for, "" for the usual one.

    Of a link whose kernels were measured: `protocols` of the library, which takes the fastest; `messages_s`, what a call of sends and
    receives costs beyond one of a collective; `loads`, B/s that a kernel reads of one other device by plain loads; `memory`, sustained B/s
    of the device's own memory. Empty and 0: alpha and beta are all that is known.
    """

    name: str
    bandwidth: float
    sustained: float
    latency_s: float
    scope: Scope = "cluster"
    peers: int | None = None
    shared_by: int = 1
    per_peer: float | None = None
    transports: Mapping[str, Transport] = field(default_factory=dict, hash=False)
    transport: str = ""
    call_s: float = 0.0
    protocols: tuple[Protocol, ...] = ()
    messages_s: float = 0.0
    loads: float = 0.0
    memory: float = 0.0

    @property
    def half_size_bytes(self) -> float:
        """Bytes of the message that runs at half of the sustained rate (n_1/2 of Hockney)."""
        return self.latency_s * self.rate()

    def nominal(self, peers: int = 1) -> float:
        """Nominal B/s of one device that sends to `peers` others at once, its share of a link that several use."""
        whole = self.bandwidth if self.per_peer is None else min(self.bandwidth, peers * self.per_peer)
        return whole / self.shared_by

    def rate(self, peers: int = 1) -> float:
        """Sustained B/s of one device that sends to `peers` others at once; the share that is sustained is the same for few and many."""
        return self.nominal(peers) * (self.sustained / self.bandwidth)

    def time_s(self, amount: float, peers: int = 1) -> float:
        """Seconds until a message of `amount` bytes has arrived."""
        return self.latency_s + amount / self.rate(peers)

    def through(self, transport: str) -> Link:
        """This link as the library `transport` uses it; raises InfeasibleError when its file says nothing about that library."""
        found = self.transports.get(transport)
        if found is None:
            known = ", ".join(self.transports) or "none"
            hint = suggest(transport, self.transports)
            raise InfeasibleError(f"the {self.name} link has no transport {transport!r}{hint}; its transports are {known}")
        return replace(self, latency_s=found.latency_s, sustained=self.bandwidth * found.share, transport=transport)
