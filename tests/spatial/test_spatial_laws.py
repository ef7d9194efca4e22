"""Laws no estimate of PE arrays may break, whatever the sizes, the schedule and the machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from attnsim.errors import InfeasibleError
from attnsim.machine import load_machine
from attnsim.schedule.spatial import is_spatial, load_spatial_schedule
from attnsim.spec import library

Ask = Callable[..., Any]
MakeMachine = Callable[..., dict[str, Any]]

ROUNDING = 1 + 1e-12  # the same sum taken in another order

SCHEDULES = {
    entry.name: load_spatial_schedule(entry.name).spec.cascade
    for entry in library.entries("schedule")
    if is_spatial(library.load("schedule", entry.name))
}
MACHINES = tuple(entry.name for entry in library.entries("arch") if library.load("arch", entry.name).data.get("kind") == "spatial")
FUSED = ("fusemax", "fusemax-architecture", "fusemax-cascade")
RUN = {("fusemax_cloud", schedule) for schedule in (*FUSED, "flat", "unfused")} | {  # FLAT's 2-D array multiplies and adds only
    (arch, schedule) for arch in ("flat_cloud", "flat_edge") for schedule in ("fusemax-cascade", "flat", "unfused")
}
pairs = pytest.mark.parametrize(("arch", "schedule"), [(arch, schedule) for arch in MACHINES for schedule in SCHEDULES])


lengths = st.integers(1, 200).flatmap(lambda n: st.sampled_from((n, 16 * n, 256 * n)))  # ragged, and whole tiles, up to 51200
dims = st.sampled_from((16, 64, 100, 128, 256))
batches, heads = st.sampled_from((1, 2, 3, 8, 64)), st.sampled_from((1, 2, 12, 16))


@st.composite
def sizes(draw: st.DrawFn) -> dict[str, int]:
    """Sizes of attention, G a divisor of H."""
    count = draw(heads)
    groups = draw(st.sampled_from([n for n in range(1, count + 1) if count % n == 0]))
    return {"B": draw(batches), "H": count, "G": groups, "P": draw(lengths), "M": draw(lengths), "E": draw(dims), "F": draw(dims)}


@pairs
def test_what_runs_where(ask: Ask, arch: str, schedule: str) -> None:
    assert {pair[0] for pair in RUN} <= set(MACHINES) and {pair[1] for pair in RUN} <= SCHEDULES.keys()
    small = {"P": 16, "M": 16, "E": 16, "F": 16}
    if (arch, schedule) in RUN:
        assert ask(arch, schedule, small).latency_s > 0
    elif not runs(ask, arch, schedule):
        with pytest.raises(InfeasibleError, match="does not execute|has no array") as caught:
            asking(ask, arch, schedule, small)
        assert len(str(caught.value).splitlines()) == 1


def asking(ask: Ask, arch: str, schedule: str, sizes: Any, **fields: Any) -> Any:
    """The estimate of the schedule's own cascade, in the first number format of the machine."""
    return ask(arch, schedule, sizes, cascade=SCHEDULES[schedule], dtype=sorted(load_machine(arch).dtypes)[0], **fields)


def runs(ask: Ask, arch: str, schedule: str) -> bool:
    """Whether the arrays of a machine execute what a schedule puts on them."""
    try:
        return bool(asking(ask, arch, schedule, {"P": 16, "M": 16, "E": 16, "F": 16}))
    except InfeasibleError:
        return False


def fits(ask: Ask, *asked: Any, **fields: Any) -> Any:
    """The estimate; what is larger than the buffer or the memory is no question."""
    try:
        return asking(ask, *asked, **fields)
    except InfeasibleError as error:
        assume("of buffer" not in str(error) and "the memory of" not in str(error))
        raise


@pairs
def test_an_estimate_is_sound(ask: Ask, arch: str, schedule: str) -> None:
    """No schedule beats its lower bound, no array works more than all the time, and sums are the sums of their parts."""
    if not runs(ask, arch, schedule):
        return
    machine = load_machine(arch)

    @settings(max_examples=60)
    @given(sizes(), st.sampled_from(("dense", "causal")))
    @example({"B": 1, "H": 1, "G": 1, "P": 480, "M": 176, "E": 64, "F": 64}, "causal")  # 304 rows that attend nothing
    def check(asked: dict[str, int], mask: str) -> None:
        assume(mask == "dense" or schedule != "flat")
        e = fits(ask, arch, schedule, asked, mask=mask)
        assert 0 < e.lower_bound_s <= e.latency_s * ROUNDING
        assert e.lower_bound_s == max(e.lower_bound_by_resource_s.values())
        assert all(0 <= share <= ROUNDING for share in e.utilization.values()), e.utilization
        for array, by_einsum in e.utilization_by_einsum.items():
            assert sum(by_einsum.values()) == pytest.approx(e.utilization[array], rel=1e-12)
        assert sum(phase.latency_s for phase in e.phases) == pytest.approx(e.latency_s, rel=1e-12)
        assert all(phase.latency_s == max(phase.compute_s, phase.memory_s, phase.buffer_s) for phase in e.phases)
        assert sum(phase.memory_s for phase in e.phases) == pytest.approx(e.bytes["dram"] / machine.dram.bandwidth, rel=1e-12)
        if machine.buffer.bandwidth is not None:
            assert sum(phase.buffer_s for phase in e.phases) == pytest.approx(e.bytes["buffer"] / machine.buffer.bandwidth, rel=1e-12)
        assert e.energy_by_part_j.get("leakage", 0) == pytest.approx(machine.leakage_w * e.latency_s, rel=1e-12)
        for level, tensors in e.bytes_by_tensor.items():
            assert sum(sum(by.values()) for by in tensors.values()) == pytest.approx(e.bytes[level], rel=1e-12), level
            assert all(count > 0 for by in tensors.values() for count in by.values())
        assert sum(e.energy_by_part_j.values()) == pytest.approx(e.energy_j, rel=1e-12)
        assert all(joule >= 0 for joule in e.energy_by_part_j.values())
        assert sum(e.flops_by_unit.values()) >= e.flops > 0

    check()


@pairs
def test_registers_only_add_energy(ask: Ask, arch: str, schedule: str) -> None:
    if not runs(ask, arch, schedule):
        return

    @settings(max_examples=20)
    @given(sizes())
    def check(asked: dict[str, int]) -> None:
        counted, left_out = (fits(ask, arch, schedule, asked, conditions={"count_register_files": count}) for count in (True, False))
        assert left_out.energy_j <= counted.energy_j
        assert left_out.latency_s == counted.latency_s and left_out.bytes == counted.bytes
        registers = {name: joule for name, joule in counted.energy_by_part_j.items() if name.endswith("registers")}
        assert len(registers) == sum(array.registers is not None for array in load_machine(arch).arrays.values())
        assert {**left_out.energy_by_part_j, **registers} == counted.energy_by_part_j

    check()


@pairs
def test_more_keys_more_rows_more_batch(ask: Ask, arch: str, schedule: str) -> None:
    """Latency and bytes of whole tiles do not shrink when a size grows. Rows grow by a factor: a block is a divisor of all row tiles, so
    131 of them, a prime, stream the keys 131 times, and 132 only twice."""
    if schedule == "flat" or not runs(ask, arch, schedule):
        return
    arrays = load_machine(arch).arrays.values()
    tile, alone = max(side for array in arrays for side in array.shape), all(array.copies == 1 for array in arrays)

    @settings(max_examples=30)
    @given(st.data(), st.integers(1, 60), st.integers(1, 60), dims, dims, batches, st.integers(2, 5))
    def check(data: st.DataObject, rows: int, keys: int, E: int, F: int, B: int, times: int) -> None:
        less = {"B": B, "H": 2, "P": tile * rows, "M": tile * keys, "E": E, "F": F}
        rank = data.draw(st.sampled_from("BPM"))
        more = {**less, rank: less[rank] * times if rank != "M" else less["M"] + tile * times}
        before, after = (fits(ask, arch, schedule, asked) for asked in (less, more))
        assert before.latency_s <= after.latency_s * ROUNDING
        assert before.bytes["dram"] <= after.bytes["dram"]
        assert before.bytes["buffer"] <= after.bytes["buffer"]
        assert before.energy_j <= after.energy_j * ROUNDING
        assert before.lower_bound_s <= after.lower_bound_s * ROUNDING
        if rank == "B":
            assert after.bytes["dram"] == pytest.approx(times * before.bytes["dram"], rel=1e-12)
            assert after.latency_s <= times * before.latency_s * ROUNDING
            if alone:  # where arrays share the work, a small batch leaves some of them idle
                assert after.latency_s == pytest.approx(times * before.latency_s, rel=1e-12)

    check()


@pytest.mark.parametrize("arch", [arch for arch, schedule in sorted(RUN) if schedule == "flat"])
def test_flat_takes_longer_for_more(ask: Ask, arch: str) -> None:
    """Latency only. FLAT's search sees the two products alone, and it may keep a block whose scores spill where with more rows it does not;
    what it adds for the first and last tile does not grow with the batch, so more heads may be placed in another way than few."""
    tile = 32 if arch == "flat_edge" else 256

    @settings(max_examples=40)
    @given(st.sampled_from("BPM"), st.integers(1, 30), st.integers(1, 30), dims, dims, batches, st.integers(2, 4))
    def check(rank: str, rows: int, keys: int, E: int, F: int, B: int, times: int) -> None:
        less = {"B": B, "H": 2, "P": tile * rows, "M": tile * keys, "E": E, "F": F}
        before, after = (fits(ask, arch, "flat", asked) for asked in (less, {**less, rank: less[rank] * times}))
        assert before.latency_s <= after.latency_s * ROUNDING

    check()


@given(st.sampled_from(("fusemax", "fusemax-architecture")), lengths, lengths, dims, dims, st.integers(1, 4))
def test_causal_is_no_more_than_dense(ask: Ask, schedule: str, rows: int, keys: int, E: int, F: int, buffer: int) -> None:
    asked = {"H": 2, "P": min(rows, keys), "M": keys, "E": E, "F": F}
    sets = [f"arch.buffer.capacity={buffer} MiB"]
    causal, dense = (ask("fusemax_cloud", schedule, asked, mask=mask, sets=sets) for mask in ("causal", "dense"))
    assert causal.latency_s <= dense.latency_s * ROUNDING
    assert causal.lower_bound_s <= dense.lower_bound_s * ROUNDING
    assert causal.flops <= dense.flops
    assert causal.energy_j <= dense.energy_j * ROUNDING
    for level in ("dram", "buffer"):
        assert causal.bytes[level] <= dense.bytes[level] * ROUNDING


@pytest.mark.parametrize("schedule", FUSED)
def test_causal_halves_a_long_square(ask: Ask, schedule: str) -> None:
    """With n tiles a side, (n + 1) / 2n of them are left: time, and energy all but for the rows that are moved in any case."""
    arch = "flat_cloud" if schedule == "fusemax-cascade" else "fusemax_cloud"
    asked = {"H": 2, "P": 64 * 256, "M": 64 * 256, "E": 64, "F": 64}
    causal, dense = (ask(arch, schedule, asked, mask=mask) for mask in ("causal", "dense"))
    division = 64 * 256 // 256 * 64 * 2 / 940e6  # once a row, whatever the mask
    assert (65 / 128 - 1e-9) * dense.latency_s <= causal.latency_s <= 65 / 128 * dense.latency_s + division
    assert causal.energy_j / dense.energy_j == pytest.approx(65 / 128, abs=0.02)


@given(
    st.sampled_from(FUSED), st.integers(0, 10), st.integers(1, 60), dims, dims, st.integers(1, 2**25), st.integers(0, 2**25)
)  # fmt: skip
def test_a_larger_buffer_moves_no_more(
    ask: Ask, machine: MakeMachine, schedule: str, power: int, keys: int, E: int, F: int, buffer: int, more: int
) -> None:
    base = "flat_cloud" if schedule == "fusemax-cascade" else "fusemax_cloud"
    asked = {"P": 256 * 2**power, "M": 256 * keys, "E": E, "F": F}
    try:
        small = ask(machine(base, buffer=512 + buffer), schedule, asked)
    except InfeasibleError:
        return
    large = ask(machine(base, buffer=512 + buffer + more), schedule, asked)
    assert large.bytes["dram"] <= small.bytes["dram"]
    assert large.bytes["buffer"] <= small.bytes["buffer"]
    assert large.latency_s <= small.latency_s
    for e in (small, large):
        assert e.phases[0].held_bytes <= 512 + buffer + (more if e is large else 0)


@given(st.sampled_from(FUSED[:2]), st.integers(1, 40), st.integers(1, 40), dims, dims, st.integers(2, 12))
def test_a_dearer_exponential_takes_no_less(
    ask: Ask, machine: MakeMachine, schedule: str, rows: int, keys: int, E: int, F: int, exp: int
) -> None:
    asked = {"P": 100 * rows, "M": 100 * keys, "E": E, "F": F}
    cheap, dear = (ask(machine(exp=cycles), schedule, asked) for cycles in (1, exp))
    assert cheap.latency_s <= dear.latency_s
    assert cheap.energy_j < dear.energy_j
    assert cheap.bytes == dear.bytes


@given(sizes())
def test_pipelining_is_never_slower(ask: Ask, asked: dict[str, int]) -> None:
    """+Architecture is +Binding without overlap: the same operations and words, and a wait a tile."""
    binding, architecture = (ask("fusemax_cloud", schedule, asked) for schedule in FUSED[:2])
    assert binding.latency_s <= architecture.latency_s
    assert binding.bytes == architecture.bytes
    assert binding.energy_by_part_j == architecture.energy_by_part_j
    assert binding.ops_by_kind == architecture.ops_by_kind
