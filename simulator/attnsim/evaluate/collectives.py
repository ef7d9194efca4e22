"""Time of communication among devices by the alpha-beta model: every step costs the latency of a link once, every byte its bandwidth;
and a call what its kernel takes to start and its devices to find each other (`Link.call_s`).

Where the machine says how a library and kernels use the link, their own terms take the place of alpha and beta (`_parts`). A library moves
bytes through buffers in turns: with n devices in a ring, a device handles n parts of an all-gather and 2n-1 of an all-reduce, one after
another, though it sends only n-1 and 2(n-1) of them, so that few devices leave the link idle for part of the time. A kernel that reads
other devices by plain loads has a fixed number of bytes under way with each of them.

A function takes bytes, devices and where they are: a `Link` (all of them on it) or a `Fabric` (nodes of devices). Without `algorithm` the
fastest one that the link allows is taken and named in the answer. Sources: Thakur, Rabenseifner and Gropp, "Optimization of collective
communication operations in MPICH", 2005 (ring, Bruck, binomial tree, van de Geijn); Hu et al., "Demystifying NCCL", arXiv 2507.04786
(ring and double binary tree); vLLM's and TensorRT-LLM's all-reduce kernels (one-shot, two-shot). Reduction itself is counted as free.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from attnsim.errors import UsageError, suggest
from attnsim.machine.fabric import Fabric
from attnsim.machine.link import Link

Where = Link | Fabric


class Plan(NamedTuple):
    """steps: one after another; sent: bytes a device sends; peers: others it sends to at once.

    turns, handled: parts that a device of a library's algorithm works through one after another, and their bytes, 0 for a kernel that needs
    no buffers. loaded: bytes such a kernel reads of each other device.
    """

    steps: int
    sent: float
    peers: int
    turns: int = 0
    handled: float = 0.0
    loaded: float = 0.0


@dataclass(frozen=True, slots=True)
class Collective:
    """One communication among `devices`. Bytes and seconds are those of the busiest device.

    `payload_bytes`: what was asked for, see the function. `sent`: bytes a device sends, by link. `time_s`: with latency, at sustained
    bandwidth. `lower_bound_s`: the bytes no algorithm can do without, at nominal bandwidth, without latency. `steps`: messages that wait
    for each other.
    """

    name: str
    algorithm: str
    devices: int
    payload_bytes: float
    time_s: float
    lower_bound_s: float
    steps: int
    sent: Mapping[str, float] = field(default_factory=dict)

    @property
    def bandwidth(self) -> float:
        """Payload per second, the "algorithm bandwidth" of nccl-tests; 0 for no time."""
        return self.payload_bytes / self.time_s if self.time_s else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers under the names of a kernel's result where it has the same."""
        return {
            "name": self.name, "kind": "collective", "algorithm": self.algorithm, "devices": self.devices,
            "payload_bytes": self.payload_bytes, "latency_s": self.time_s, "lower_bound_s": self.lower_bound_s, "steps": self.steps,
            "bytes": dict(self.sent), "bandwidth": self.bandwidth,
        }  # fmt: skip


def send(amount: float, link: Link, pairs: int = 1) -> Collective:
    """One device sends `amount` bytes to another; `pairs` of such messages share the link (alpha + n beta)."""
    _checked(amount, max(1, pairs) + 1)
    time = link.call_s + sum(_parts(Plan(1, pairs * amount, 1, 1, pairs * amount), link)) + (link.messages_s if link.protocols else 0.0)
    return Collective("send", "direct", 2, amount, time, pairs * amount / link.nominal(), 1, {link.name: amount})


def many_to_many(amount: float, senders: int, receivers: int, link: Link) -> Collective:
    """Each of `senders` spreads `amount` bytes evenly over `receivers`, other devices: attention to experts and back (M2N).

    The busier side sets the time: arXiv 2504.02263 (MegaScale-Infer), T_c = max(bytes sent / W_a, bytes received / W_e).
    """
    _checked(amount, senders)
    _checked(amount, receivers)
    outgoing, incoming = amount / link.rate(receivers), amount * senders / receivers / link.rate(senders)
    bound = max(amount / link.nominal(receivers), amount * senders / receivers / link.nominal(senders))
    time = link.call_s + link.latency_s + max(outgoing, incoming) if amount else 0.0
    return Collective("many-to-many", "direct", senders + receivers, amount, time, bound, 1, {link.name: amount})


def all_gather(amount: float, devices: int, where: Where, algorithm: str = "") -> Collective:
    """Every device ends with the same `amount` bytes, of which it held 1/devices.

    Ring: (n-1) alpha + (n-1)/n N beta. Bruck: ceil(lg n) alpha + the same (as NCCL's PAT). Direct: 1 alpha.
    """
    return _collective("all-gather", _gather_plans, amount, devices, where, algorithm, _gather_bound)


def reduce_scatter(amount: float, devices: int, where: Where, algorithm: str = "") -> Collective:
    """Every device brings `amount` bytes and ends with 1/devices of their sum: an all-gather run backwards, at the same cost."""
    return _collective("reduce-scatter", _gather_plans, amount, devices, where, algorithm, _gather_bound)


def all_reduce(amount: float, devices: int, where: Where, algorithm: str = "") -> Collective:
    """Every device brings `amount` bytes and ends with their sum.

    Ring: 2(n-1) alpha + 2(n-1)/n N beta. Tree (NCCL's two binary trees, pipelined): 2 ceil(lg n) alpha + 2N beta. On a link within the
    node also one-shot (each sends all to all): alpha + (n-1)N beta, and two-shot (reduce-scatter and all-gather, both direct): 2 alpha +
    2(n-1)/n N beta. Over nodes: reduce-scatter inside, all-reduce of the shards between, all-gather inside. The bound is that of
    reduction inside the switch, which sends N once.
    """
    return _collective("all-reduce", _reduce_plans, amount, devices, where, algorithm, lambda n: 1.0, lambda g, m: 1.0 / g)


def broadcast(amount: float, devices: int, where: Where, algorithm: str = "") -> Collective:
    """One device sends the same `amount` bytes to all others.

    Ring, in small parts: (n-1) alpha + N beta. Binomial: ceil(lg n) (alpha + N beta). Scatter and all-gather (van de Geijn):
    (ceil(lg n) + n - 1) alpha + 2(n-1)/n N beta. Direct, within the node: alpha + (n-1)N beta. Over nodes: between one device of each,
    then inside.
    """
    return _collective("broadcast", _broadcast_plans, amount, devices, where, algorithm, lambda n: 1.0, lambda g, m: 1.0 / g)


def all_to_all(amount: float, devices: int, where: Where, library: bool = True) -> Collective:
    """Every device holds `amount` bytes, 1/devices of them for each device; its own share stays.

    All messages are under way at once: alpha + (n-1)/n N beta. Over nodes, what stays inside and what leaves go at the same time, in one
    kernel: the larger of both fixed costs, then the longer of both transfers. `library`: built of its sends and receives, where the link
    has any: a turn to send and one to receive, and the own share is copied in memory before.
    """
    _checked(amount, devices)
    inner, outer, g, m = _levels(where, devices)
    inside, outside = amount * (g - 1) / devices, amount * (devices - g) / devices
    sent: dict[str, float] = {}
    moving, fixed, bounds, whole = [0.0], [0.0], [0.0], 0.0
    for link, part, peers in ((inner, inside, g - 1), (outer, outside, devices - g)):
        if link is not None and part > 0:
            sent[link.name] = sent.get(link.name, 0.0) + part
            buffered = library and bool(link.protocols)
            waited, moved = _parts(Plan(1, part, peers, 2, part) if buffered else Plan(1, part, peers), link)
            moving.append(moved + (2 * amount / devices / link.memory if buffered else 0.0))
            fixed.append(link.call_s + waited + (link.messages_s if buffered else 0.0))
            whole += link.nominal(peers)
    if whole:
        bounds.append((inside + outside) / whole)
    if outer is not None and outside:
        bounds.append(outside / outer.nominal(devices - g))
    return Collective(
        "all-to-all", "direct" if sent else "none", devices, amount, max(fixed) + max(moving), max(bounds), int(bool(sent)), sent
    )


@dataclass(frozen=True, slots=True)
class TokenFormat:
    """How a token's values travel: bytes of one value, and `scale_bytes` for every `scale_values` of them."""

    value_bytes: float
    scale_bytes: float = 0.0
    scale_values: int = 1

    def token_bytes(self, hidden: int) -> float:
        """Bytes of one token of `hidden` values."""
        return hidden * self.value_bytes + math.ceil(hidden / self.scale_values) * self.scale_bytes


FP8_BLOCKS = TokenFormat(1, 4, 128)
"""FP8 with one FP32 scale for 128 values: what DeepEP dispatches, H + 4 H/128 bytes."""
BF16 = TokenFormat(2)
"""What DeepEP combines, 2 H bytes."""


def moe_dispatch(
    tokens: float, hidden: int, top_k: int, devices: int, where: Where, token: TokenFormat = FP8_BLOCKS, imbalance: float = 1.0
) -> Collective:
    """Each device sends each of its `tokens` to `top_k` experts spread evenly over `devices`: T k (H + 4 H/128) bytes (DeepEP README).

    `payload_bytes` counts every copy, those that stay included, as DeepEP counts its bandwidth. `imbalance`: load of the busiest device
    over the mean.
    """
    return _moe("moe-dispatch", tokens * top_k * token.token_bytes(hidden), devices, where, imbalance)


def moe_combine(
    tokens: float, hidden: int, top_k: int, devices: int, where: Where, token: TokenFormat = BF16, imbalance: float = 1.0
) -> Collective:
    """The way back: `top_k` results for each of the `tokens` of a device, 2 H bytes each: T k 2H bytes (DeepEP README)."""
    return _moe("moe-combine", tokens * top_k * token.token_bytes(hidden), devices, where, imbalance)


def _moe(name: str, payload: float, devices: int, where: Where, imbalance: float) -> Collective:
    if not imbalance >= 1:
        raise UsageError(f"imbalance is the load of the busiest device over the mean, at least 1, not {imbalance:g}")
    busiest = all_to_all(payload * imbalance, devices, where, library=False)
    return Collective(name, busiest.algorithm, devices, payload, busiest.time_s, busiest.lower_bound_s, busiest.steps, busiest.sent)


# --- algorithms on one link -----------------------


def _doublings(devices: int) -> int:
    return (devices - 1).bit_length()  # ceil(lg n), exactly


def _gather_plans(amount: float, n: int, link: Link) -> dict[str, Plan]:
    sent = amount * (n - 1) / n
    plans = {
        "ring": Plan(n - 1, sent, n - 1, n, amount),
        "bruck": Plan(_doublings(n), sent, 1, _doublings(n) + 1, amount),
    }
    return plans | ({"direct": Plan(1, sent, n - 1, loaded=amount / n)} if link.scope == "node" else {})


def _reduce_plans(amount: float, n: int, link: Link) -> dict[str, Plan]:
    sent, lg = 2 * amount * (n - 1) / n, _doublings(n)
    plans = {
        "ring": Plan(2 * (n - 1), sent, n - 1, 2 * n - 1, amount * (2 * n - 1) / n),
        "tree": Plan(2 * lg, 2 * amount if n > 2 else amount, min(3, n - 1), 2 * lg + 1, 2 * amount),
    }
    # What two-shot has summed it writes to all, and only the barrier at the end waits for it.
    written = 2 if not link.loads else 1
    direct = {
        "one-shot": Plan(1, amount * (n - 1), n - 1, loaded=amount),
        "two-shot": Plan(written, sent, n - 1, loaded=amount / n),
    }
    return plans | (direct if link.scope == "node" else {})


def _broadcast_plans(amount: float, n: int, link: Link) -> dict[str, Plan]:
    lg = _doublings(n)
    plans = {
        "ring": Plan(n - 1, amount, 1, n - 1, amount),
        "binomial": Plan(lg, lg * amount, 1, lg, lg * amount),
        "scatter-all-gather": Plan(lg + n - 1, 2 * amount * (n - 1) / n, 1, lg + n - 1, 2 * amount),
    }
    return plans | ({"direct": Plan(1, amount * (n - 1), n - 1, loaded=amount)} if link.scope == "node" else {})


def _gather_bound(devices: int) -> float:
    return (devices - 1) / devices


def _parts(plan: Plan, link: Link) -> tuple[float, float]:
    """Seconds that a plan waits, and seconds its bytes take: under the fastest protocol of the library, by loads, or by alpha and beta."""
    if plan.turns and link.protocols:
        ways = [
            (
                plan.turns * way.latency_s,
                max(plan.handled / way.copies, plan.sent / (link.nominal(plan.peers) * way.share)),
            )
            for way in link.protocols
        ]
        return min(ways, key=sum)
    loading = plan.loaded / link.loads if link.loads else 0.0
    return plan.steps * link.latency_s, max(loading, plan.sent / link.rate(plan.peers))


def _one_level(plans: dict[str, Plan], link: Link, algorithm: str) -> tuple[str, Plan, float]:
    """The algorithm asked for, else the fastest, with its plan and time."""
    if algorithm and algorithm not in plans:
        raise UsageError(f"no algorithm {algorithm!r} on the {link.name} link{suggest(algorithm, plans)}; there are {', '.join(plans)}")
    times = {name: link.call_s + sum(_parts(plan, link)) for name, plan in plans.items()}
    name = algorithm or min(times, key=lambda key: times[key])
    return name, plans[name], times[name]


def _collective(
    name: str,
    plans: Callable[[float, int, Link], dict[str, Plan]],
    amount: float,
    devices: int,
    where: Where,
    algorithm: str,
    share: Callable[[int], float],
    outside: Callable[[int, int], float] = lambda g, m: (m - 1) / m / g,
) -> Collective:
    """A collective on one link or over nodes. `share`, `outside`: parts of `amount` a device receives at least, in all and by its NIC."""
    _checked(amount, devices)
    inner, outer, g, m = _levels(where, devices)
    stages: list[tuple[str, float, int, Link]] = []
    if g == devices:
        stages = [(name, amount, g, inner)]
    elif outer is not None:
        shard = amount / g
        around = {
            "all-gather": [("all-gather", shard, m, outer), ("all-gather", amount, g, inner)],
            "reduce-scatter": [("reduce-scatter", amount, g, inner), ("reduce-scatter", shard, m, outer)],
            "all-reduce": [
                ("reduce-scatter", amount, g, inner), ("all-reduce", shard, m, outer), ("all-gather", amount, g, inner)
            ],
            "broadcast": [("broadcast", amount, m, outer), ("broadcast", amount, g, inner)],
        }  # fmt: skip
        stages = around[name]
    names: list[str] = []
    sent: dict[str, float] = {}
    time, steps = 0.0, 0
    for kind, part, count, link in stages:
        if count == 1 or part == 0:
            continue
        build = plans if kind == name else _gather_plans
        # an algorithm asked for is that of the collective itself; the stages around it take their fastest
        chosen, plan, seconds = _one_level(build(part, count, link), link, algorithm if kind == name else "")
        names.append(chosen if len(stages) == 1 else f"{chosen} on {link.name}")
        sent[link.name] = sent.get(link.name, 0.0) + plan.sent
        time += seconds
        steps += plan.steps
    bounds = [0.0]
    if devices > 1:
        reach = inner.nominal(max(1, g - 1)) if g > 1 else 0.0
        if outer is not None and m > 1:
            bounds.append(amount * outside(g, m) / outer.nominal(m - 1))
            reach += outer.nominal(m - 1)
        bounds.append(amount * share(devices) / reach)
    return Collective(name, ", ".join(names) or "none", devices, amount, time, max(bounds), steps, sent)


def _levels(where: Where, devices: int) -> tuple[Link, Link | None, int, int]:
    """Inner and outer link, devices of a node, and nodes; a plain link is one node of as many devices as it joins."""
    fabric = Fabric(where, where.peers or devices) if isinstance(where, Link) else where
    return fabric.inner, fabric.outer, *fabric.shape(devices)


def _checked(amount: float, devices: int) -> None:
    if not 0 <= amount < math.inf:
        raise UsageError(f"bytes must be a number of at least 0, not {amount:g}")
    if devices < 1:
        raise UsageError(f"at least one device is needed, not {devices}")
