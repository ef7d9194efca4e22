"""Collectives: formulas by hand, laws for any size, and no answer below the bytes over the wire."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnsim.api.collective import SIZES, run_collective
from attnsim.errors import AttnsimError, InfeasibleError, SpecError, UsageError
from attnsim.evaluate.collectives import (
    BF16,
    FP8_BLOCKS,
    Collective,
    TokenFormat,
    all_gather,
    all_reduce,
    all_to_all,
    broadcast,
    many_to_many,
    moe_combine,
    moe_dispatch,
    reduce_scatter,
    send,
)
from attnsim.machine import Fabric, Link, Machine, fabric_of, load_machine
from attnsim.machine.link import Protocol
from attnsim.spec.collective import CollectiveSpec

ALPHA, BETA = 2e-6, 1e-11  # 2 us and 100 GB/s
NODE = Link("node", 100e9, 100e9, ALPHA, "node", 8)
WIDE = Link("wide", 100e9, 100e9, ALPHA)  # no one-shot kernels over a network
SLOW = Link("slow", 25e9, 20e9, 5e-6)
TWO = Fabric(NODE, 8, SLOW)
CHOOSING = {"all-gather": all_gather, "reduce-scatter": reduce_scatter, "all-reduce": all_reduce, "broadcast": broadcast}
ANY: dict[str, Callable[..., Collective]] = {**CHOOSING, "all-to-all": all_to_all}
N = 1e6


def machine(name: str) -> Machine:
    found = load_machine(name)
    assert isinstance(found, Machine)
    return found


@pytest.mark.parametrize(
    ("made", "alphas", "sent"),
    [
        (send(N, WIDE), 1, N),
        (all_gather(N, 5, WIDE, "ring"), 4, 0.8 * N),
        (all_gather(N, 5, WIDE, "bruck"), 3, 0.8 * N),
        (all_gather(N, 8, NODE, "direct"), 1, 0.875 * N),
        (reduce_scatter(N, 4, WIDE, "ring"), 3, 0.75 * N),
        (all_reduce(N, 4, WIDE, "ring"), 6, 1.5 * N),
        (all_reduce(N, 5, WIDE, "tree"), 6, 2 * N),
        (all_reduce(N, 2, WIDE, "tree"), 2, N),
        (all_reduce(N, 8, NODE, "one-shot"), 1, 7 * N),
        (all_reduce(N, 8, NODE, "two-shot"), 2, 1.75 * N),
        (broadcast(N, 8, WIDE, "binomial"), 3, 3 * N),
        (broadcast(N, 8, WIDE, "scatter-all-gather"), 10, 1.75 * N),
        (all_to_all(N, 8, WIDE), 1, 0.875 * N),
    ],
    ids=lambda value: f"{value.name} {value.algorithm}" if isinstance(value, Collective) else "",
)
def test_one_level_by_hand(made: Collective, alphas: int, sent: float) -> None:
    assert made.steps == alphas
    (bytes_sent,) = made.sent.values()
    assert bytes_sent == pytest.approx(sent)
    assert made.time_s == pytest.approx(alphas * ALPHA + sent * BETA)


@pytest.mark.parametrize(
    ("made", "algorithm"),
    [
        (all_reduce(1e3, 8, NODE), "one-shot"),
        (all_reduce(1e8, 8, NODE), "two-shot"),
        (all_reduce(1e3, 8, WIDE), "tree"),
        (all_reduce(1e8, 8, WIDE), "ring"),
        (all_gather(1e3, 8, WIDE), "bruck"),
        (all_gather(1e3, 8, NODE), "direct"),
        (broadcast(1e2, 8, WIDE), "binomial"),
        (broadcast(1e8, 8, WIDE), "ring"),
        (all_reduce(1e6, 1, NODE), "none"),
    ],
)
def test_the_size_chooses_the_algorithm(made: Collective, algorithm: str) -> None:
    assert made.algorithm == algorithm


@pytest.mark.parametrize(("devices", "kib"), [(4, 512), (8, 256)])
def test_one_shot_ends_about_where_vllm_ends_it(devices: int, kib: int) -> None:
    """vllm-project/vllm, csrc/custom_all_reduce.cuh: one stage below 512 KiB for up to 4 GPUs and below 256 KiB for 8."""
    nvlink = machine("a100").link("nvlink")
    last = max(size for size in range(16, 4096, 8) if all_reduce(size * 1024, devices, nvlink).algorithm == "one-shot")
    assert kib / 4 < last < kib * 2


def test_two_levels_by_hand() -> None:
    made = all_reduce(N, 16, TWO)
    inside = 2 * (ALPHA + 7 / 8 * N * BETA)
    between = 2 * 5e-6 + (N / 8) / 20e9  # ring of two: half a shard, twice
    assert made.time_s == pytest.approx(inside + between)
    assert made.algorithm == "direct on node, ring on slow, direct on node" and made.steps == 4
    assert made.sent == {"node": pytest.approx(1.75 * N), "slow": pytest.approx(N / 8)}
    ring = all_reduce(N, 32, TWO, "ring")
    assert "ring on slow" in ring.algorithm and ring.sent["slow"] == pytest.approx(2 * 3 / 4 * N / 8)
    gathered, scattered = all_gather(N, 16, TWO), reduce_scatter(N, 16, TWO)
    assert gathered.time_s == pytest.approx(5e-6 + N / 16 / 20e9 + ALPHA + 7 / 8 * N * BETA)
    assert scattered.time_s == gathered.time_s and scattered.sent == gathered.sent


def test_all_to_all_sends_inside_and_outside_at_once() -> None:
    made = all_to_all(N, 16, TWO)
    assert made.sent == {"node": pytest.approx(7 / 16 * N), "slow": pytest.approx(N / 2)}
    assert made.time_s == pytest.approx(5e-6 + N / 2 / 20e9)
    assert all_to_all(N, 8, TWO).time_s == pytest.approx(ALPHA + 7 / 8 * N * BETA)


def test_deepep_payloads() -> None:
    """DeepEP README: T k (H + 4 H/128) bytes dispatched in FP8, T k 2 H combined in BF16."""
    assert FP8_BLOCKS.token_bytes(7168) == 7168 + 4 * 56 and BF16.token_bytes(7168) == 14336
    assert TokenFormat(1, 4, 128).token_bytes(129) == 129 + 8  # a block that is not full has a scale too
    nic = machine("h800").link("nic")
    made = moe_dispatch(128, 7168, 8, 16, nic)
    assert made.payload_bytes == 128 * 8 * 7392 == 7569408
    assert made.sent == {"nic": pytest.approx(7569408 * 15 / 16)}  # one in sixteen stays
    assert moe_combine(128, 7168, 8, 16, nic).payload_bytes == 14680064


def test_the_busiest_device_sets_the_time() -> None:
    even, uneven = (moe_dispatch(128, 7168, 8, 16, SLOW, imbalance=factor) for factor in (1.0, 1.5))
    assert uneven.payload_bytes == even.payload_bytes
    assert uneven.time_s - SLOW.latency_s == pytest.approx(1.5 * (even.time_s - SLOW.latency_s))
    with pytest.raises(UsageError, match="at least 1, not 0.5"):
        moe_combine(1, 1, 1, 2, SLOW, imbalance=0.5)


def test_the_busier_side_of_many_to_many_sets_the_time() -> None:
    """MegaScale-Infer: T_c = max(sent / W_a, received / W_e). Four senders and two receivers: these take in twice as much."""
    assert many_to_many(N, 4, 2, WIDE).time_s == pytest.approx(ALPHA + 2 * N * BETA)
    assert many_to_many(N, 2, 4, WIDE).time_s == pytest.approx(ALPHA + N * BETA)


def test_stepmesh_line_rate() -> None:
    """stepfun-ai/StepMesh: 896 KB and 1.75 MB take 18 and 37 us at 400 Gb/s."""
    nic = machine("h800").link("nic")
    assert [round(send(amount, nic).lower_bound_s * 1e6) for amount in (128 * 7168, 2 * 128 * 7168)] == [18, 37]


bytes_ = st.floats(0, 1e10, allow_subnormal=False)
devices_ = st.integers(1, 8) | st.integers(1, 32).map(lambda nodes: 8 * nodes)
places = st.sampled_from([TWO, *(fabric_of(machine(name)) for name in ("h100_sxm", "h800", "a100", "b200", "mi300x"))])
LL, SIMPLE = Protocol("ll", 1e-6, 0.5, 50e9), Protocol("simple", 10e-6, 0.8, 120e9)
BUFFERED = replace(NODE, protocols=(LL, SIMPLE), messages_s=3e-6, loads=40e9, call_s=5e-6, memory=1e12)


@pytest.mark.parametrize(
    ("made", "seconds"),
    [
        # two turns of half the bytes; LL: 1e3 B through the channels at 50 GB/s, more than 500 B over half the link
        (all_gather(1e3, 2, BUFFERED, "ring"), 5e-6 + 2e-6 + 1e3 / 50e9),
        (all_reduce(1e9, 2, BUFFERED, "ring"), 5e-6 + 30e-6 + 1.5e9 / 120e9),
        (all_reduce(1e9, 8, BUFFERED, "ring"), 5e-6 + 150e-6 + 1.75e9 / 80e9),  # eight are bound by the link
        (all_reduce(1e6, 2, BUFFERED, "one-shot"), 5e-6 + ALPHA + 1e6 / 40e9),
        (all_reduce(1e6, 2, BUFFERED, "two-shot"), 5e-6 + ALPHA + 5e5 / 40e9),
        (all_reduce(1e6, 8, BUFFERED, "one-shot"), 5e-6 + ALPHA + 7e6 / 100e9),  # loads from seven at once
        (send(1e9, BUFFERED), 5e-6 + 3e-6 + 10e-6 + 1e9 / 80e9),
        (all_to_all(1e9, 2, BUFFERED), 5e-6 + 3e-6 + 20e-6 + 5e8 / 80e9 + 1e9 / 1e12),  # its own half is read and written
        (moe_combine(1e3, 5000, 1, 2, BUFFERED), 5e-6 + ALPHA + 5e6 / 100e9),  # no library's sends
    ],
)
def test_a_library_works_in_turns_and_kernels_load(made: Collective, seconds: float) -> None:
    assert made.time_s == pytest.approx(seconds)


kinds = st.sampled_from(sorted(ANY))


@pytest.mark.parametrize("kind", ANY)
def test_a_call_costs_once_whatever_its_steps(kind: str) -> None:
    """`call_s` is of the kernel, not of a message, and not of any where there is nobody to talk to."""
    calling = replace(NODE, call_s=8e-6)
    assert ANY[kind](N, 8, calling).time_s == pytest.approx(ANY[kind](N, 8, NODE).time_s + 8e-6)
    assert ANY[kind](N, 1, calling).time_s == 0
    assert ANY[kind](N, 8, calling).lower_bound_s == ANY[kind](N, 8, NODE).lower_bound_s


def test_an_exchange_over_two_links_starts_with_the_slower_and_lasts_as_the_longer() -> None:
    inner, outer = replace(NODE, call_s=8e-6), replace(SLOW, latency_s=5e-6)
    made = all_to_all(N, 16, Fabric(inner, 8, outer))
    assert made.time_s == pytest.approx(8e-6 + ALPHA + N / 2 / 20e9)


@given(kinds, bytes_, bytes_, devices_, places)
def test_more_bytes_never_take_less_time(kind: str, one: float, other: float, devices: int, where: Fabric) -> None:
    small, large = sorted((one, other))
    assert ANY[kind](small, devices, where).time_s <= ANY[kind](large, devices, where).time_s * (1 + 1e-12)


@given(kinds, bytes_, devices_, devices_)
def test_more_devices_never_take_less_time(kind: str, amount: float, one: int, other: int) -> None:
    few, many = sorted((one, other))
    for where in (TWO, fabric_of(machine("h800")), WIDE):  # not a mesh: there, more devices bring more wires
        assert ANY[kind](amount, few, where).time_s <= ANY[kind](amount, many, where).time_s * (1 + 1e-12)


@given(kinds, bytes_, devices_, places)
def test_no_answer_beats_the_wire(kind: str, amount: float, devices: int, where: Fabric) -> None:
    made = ANY[kind](amount, devices, where)
    assert made.time_s >= made.lower_bound_s * (1 - 1e-12)
    for link in {where.inner, where.outer} - {None}:
        assert link is not None
        assert made.time_s >= made.sent.get(link.name, 0.0) / link.bandwidth * (1 - 1e-12)
    assert (made.time_s > 0) == (devices > 1 and amount > 0) or kind != "all-gather"
    json.dumps(made.to_dict(), allow_nan=False)


@given(st.sampled_from(sorted(CHOOSING)), bytes_, st.integers(1, 8), st.sampled_from([NODE, WIDE]))
def test_the_chosen_algorithm_is_the_fastest_of_all(kind: str, amount: float, devices: int, link: Link) -> None:
    best = CHOOSING[kind](amount, devices, link)
    for name in ("ring", "bruck", "direct", "tree", "one-shot", "two-shot", "binomial", "scatter-all-gather"):
        try:
            assert CHOOSING[kind](amount, devices, link, name).time_s >= best.time_s
        except UsageError as error:
            assert name in str(error)  # not one of this collective, or not on this link


@given(st.floats(1, 1e10), st.integers(2, 8))
def test_all_reduce_is_reduce_scatter_and_all_gather_by_ring(amount: float, devices: int) -> None:
    parts = reduce_scatter(amount, devices, WIDE, "ring").time_s + all_gather(amount, devices, WIDE, "ring").time_s
    assert all_reduce(amount, devices, WIDE, "ring").time_s == pytest.approx(parts)


@pytest.mark.parametrize(
    ("ask", "error", "words"),
    [
        (lambda: all_reduce(N, 4, WIDE, "rign"), UsageError, "no algorithm 'rign' on the wide link; did you mean 'ring'?"),
        (lambda: all_reduce(N, 4, WIDE, "one-shot"), UsageError, "no algorithm 'one-shot' on the wide link"),
        (lambda: all_reduce(-1, 4, WIDE), UsageError, "at least 0, not -1"),
        (lambda: all_to_all(float("nan"), 4, WIDE), UsageError, "not nan"),
        (lambda: all_gather(N, 0, WIDE), UsageError, "at least one device is needed, not 0"),
        (lambda: all_gather(N, 12, TWO), InfeasibleError, "do not fill nodes of 8"),
        (lambda: all_gather(N, 16, NODE), InfeasibleError, "joins 8 devices, not 16"),
    ],
)
def test_refusals(ask: Callable[[], Any], error: type[AttnsimError], words: str) -> None:
    with pytest.raises(error) as caught:
        ask()
    assert words in str(caught.value)


# --- asked by a spec


VALUES = {"bytes": 1e6, "devices": 16, "senders": 2, "receivers": 4, "tokens": 128, "hidden": 7168, "top_k": 8}


@pytest.mark.parametrize("kind", SIZES)
def test_every_kind_can_be_asked_for(kind: Any) -> None:
    link = "nic" if kind in ("send", "many-to-many") else ""
    made = run_collective(CollectiveSpec(kind=kind, link=link), machine("h800"), {name: VALUES[name] for name in SIZES[kind]})
    assert made.name == kind and made.time_s > 0


def test_a_spec_names_links_transport_and_algorithm() -> None:
    sizes = {"bytes": 1e6, "devices": 16}
    spec = CollectiveSpec(kind="all-reduce", inner="nvlink", outer="nic", node=8, transport="nccl", algorithm="tree")
    made = run_collective(spec, machine("h100"), sizes)
    assert "tree on nic" in made.algorithm
    assert made.time_s > run_collective(CollectiveSpec(kind="all-reduce"), machine("h100"), sizes).time_s


@pytest.mark.parametrize(
    ("spec", "sizes", "arch", "error", "words"),
    [
        ({"kind": "all-reduce"}, {"bytes": 1}, "h100", SpecError, "all-reduce needs the size 'devices'; it takes bytes, devices"),
        ({"kind": "all-reduce"}, {"bytes": 1, "devices": 2, "byte": 1}, "h100", SpecError, "no size 'byte'; did you mean 'bytes'?"),
        ({"kind": "all-reduce"}, {"bytes": 1, "devices": 2}, "fusemax_cloud", InfeasibleError, "has no links"),
    ],
)
def test_what_a_spec_cannot_ask(spec: Any, sizes: Any, arch: str, error: type[AttnsimError], words: str) -> None:
    with pytest.raises(error) as caught:
        run_collective(CollectiveSpec(**spec), load_machine(arch), sizes)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"kind": "send"}, "send goes over one link: name it"),
        ({"kind": "all-reduce", "link": "nic", "outer": "nic"}, "leave inner, outer and node out"),
        ({"kind": "all-to-all", "algorithm": "ring"}, "all-to-all has one algorithm only"),
        ({"kind": "all-reduc"}, "all-reduce"),
    ],
)
def test_specs_that_make_no_sense(spec: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        CollectiveSpec(**spec)
