"""Latency, DRAM bytes, utilization and buffer traffic against the closed forms of FuseMax (arXiv 2406.10491, MICRO 2024, and its artifact).

The forms are typed in again here with other letters for what the paper fixes: R the side of the 2-D array, length of the 1-D array and of
a tile (256), x the cycles of an exponential (6), L the bytes of the buffer (16 MiB). All sizes are multiples of the tile. Arithmetic is
exact until the last division.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import product
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnsim.errors import InfeasibleError

Ask = Callable[..., Any]
MakeMachine = Callable[..., dict[str, Any]]

CLOCK = 940 * 10**6
BANDWIDTH = 400 * 2**30
MIB, KI = 2**20, 1024
EXACT = 1e-12

SIDES = (128, 256, 512)
EXPS = (1, 4, 6, 12)
BUFFERS = (16, 8, 4, 2)
DIMS = ((64, 64), (128, 128), (64, 128), (192, 128), (32, 96))
LENGTHS = tuple(4**n * KI for n in range(6))  # 1K to 1M


class Form(NamedTuple):
    """Cycles of the arrays, what the memory moves in bytes."""

    compute: Fraction
    moved: Fraction
    busy_2d: Fraction = Fraction(0)
    busy_1d: Fraction = Fraction(0)

    @property
    def latency(self) -> float:
        return float(max(self.compute / CLOCK, self.moved / BANDWIDTH))


class Sizes(NamedTuple):
    B: int
    H: int
    P: int
    M: int
    E: int
    F: int

    def tiles(self, R: int) -> Fraction:
        """U: score tiles of R x R, all heads."""
        return Fraction(self.B * self.H * self.M * self.P, R * R)


def resident_tiles(n: int, most: int) -> int:
    """P1: the largest divisor of n row tiles that is not above `most`."""
    return max(divisor for divisor in range(1, min(n, most) + 1) if n % divisor == 0)


def row_blocks(s: Sizes, R: int, L: int, row: int) -> int:
    """P2, for `row` words a query row beside a tile of K and of V; 0 where not one row tile fits."""
    most = (L - 2 * R * (s.E + s.F)) // (2 * R * row)
    return s.P // R // resident_tiles(s.P // R, most) if most >= 1 else 0


def fused_bytes(s: Sizes, P2: int) -> Fraction:
    return Fraction(2 * s.B * s.H * (s.P * s.E + s.P * s.F + (s.E + s.F) * s.M * P2))


def binding(s: Sizes, R: int, x: int, L: int) -> Form | None:
    """+Binding: QK, LM | RD, RNV, AV; then RM; then SLN, SLD | PRM, SPD; then SLNV | SPNV."""
    if not (P2 := row_blocks(s, R, L, s.E + s.F + 2)):
        return None
    U, last = s.tiles(R), Fraction(s.F * R, s.M)
    compute = (max(Fraction(s.E + 1), 1 + s.F + last) + 1 + (1 + x + 1) + s.F) * U
    busy_2d = (s.E + 1 + (1 + x) + 1 + s.F) * U
    busy_1d = (1 + (1 + x) + 1 + s.F + s.F + 1 + last) * U
    return Form(compute, fused_bytes(s, P2), busy_2d, busy_1d)


def architecture(s: Sizes, R: int, x: int, L: int) -> Form | None:
    """+Architecture: RNV moves to the last stage, and every tile waits R cycles until the maxima have drained."""
    if not (P2 := row_blocks(s, R, L, s.E + s.F + 2)):
        return None
    U, last = s.tiles(R), Fraction(s.F * R, s.M)
    compute = (max(Fraction(s.E + 1), 1 + last) + R + 1 + (1 + x + 1) + 2 * s.F) * U
    busy_2d = (s.E + 1 + (1 + x) + 1 + s.F) * U
    busy_1d = (1 + (1 + x) + 1 + s.F + s.F + 1 + last) * U
    return Form(compute, fused_bytes(s, P2), busy_2d, busy_1d)


def cascade(s: Sizes, R: int, x: int, L: int) -> Form | None:
    """+Cascade: only QK and SLNV on the 2-D array; tiles of QK and SLN are staged, in no more than 16 MiB."""
    if not (P2 := row_blocks(s, R, min(L, 16 * MIB), s.E + s.F + 2 + 2 * R)):
        return None
    U, last = s.tiles(R), Fraction(s.F * R, s.M)
    busy_2d = (s.E + s.F) * U
    busy_1d = (R * (1 + (1 + x) + 1) + 1 + (1 + x) + 1 + s.F + 1 + s.F + last) * U
    return Form(max(busy_2d, busy_1d), fused_bytes(s, P2), busy_2d, busy_1d)


FORMS = {
    "fusemax": ("fusemax_cloud", binding),
    "fusemax-architecture": ("fusemax_cloud", architecture),
    "fusemax-cascade": ("flat_cloud", cascade),
}


def check(e: Any, form: Form, where: Any) -> None:
    assert e.latency_s == pytest.approx(form.latency, rel=EXACT, abs=0), where
    assert e.bytes["dram"] == form.moved, where
    seconds = Fraction(form.latency) * CLOCK
    assert e.utilization["pe2d"] == pytest.approx(float(form.busy_2d / seconds), rel=EXACT, abs=0), where
    assert e.utilization["pe1d"] == pytest.approx(float(form.busy_1d / seconds), rel=EXACT, abs=0), where


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("buffer", BUFFERS)
@pytest.mark.parametrize("name", FORMS)
def test_fusemax_on_a_grid(ask: Ask, machine: MakeMachine, name: str, buffer: int, side: int) -> None:
    base, form = FORMS[name]
    for x, (E, F), length in product(EXPS, DIMS, LENGTHS):
        sizes = Sizes(2, 3, length, length, E, F)
        wanted = form(sizes, side, x, buffer * MIB)
        assert wanted is not None
        arch = machine(base, side, exp=x, buffer=buffer * MIB)
        check(ask(arch, name, sizes._asdict()), wanted, (x, sizes))


@st.composite
def tiled(draw: st.DrawFn) -> tuple[Sizes, int]:
    """Sizes in whole tiles of a side, P and M apart."""
    side = draw(st.sampled_from((16, 48, 128, 256, 512)))
    rows, keys = draw(st.integers(1, 400)), draw(st.integers(1, 400))
    dims = st.sampled_from((1, 16, 32, 64, 96, 128, 192, 256, 320))
    return Sizes(draw(st.integers(1, 64)), draw(st.integers(1, 16)), rows * side, keys * side, draw(dims), draw(dims)), side


@given(st.sampled_from(sorted(FORMS)), tiled(), st.integers(1, 20), st.integers(17, 26), st.integers(0, 1000))
def test_fusemax_at_any_size(ask: Ask, machine: MakeMachine, name: str, question: tuple[Sizes, int], x: int, power: int, more: int) -> None:
    base, form = FORMS[name]
    (sizes, side), buffer = question, 2**power + 2 * more
    wanted = form(sizes, side, x, buffer)
    arch = machine(base, side, exp=x, buffer=buffer)
    if wanted is None:
        with pytest.raises(InfeasibleError, match="one tile of schedule"):
            ask(arch, name, sizes._asdict())
    else:
        check(ask(arch, name, sizes._asdict()), wanted, (sizes, side, x, buffer))


@pytest.mark.parametrize(
    ("dim", "resident", "blocks"), [(64, 128, {64 * KI: 2, 256 * KI: 8, KI * KI: 32}), (128, 64, {64 * KI: 4, KI * KI: 64})]
)
def test_rows_that_16_mib_hold(ask: Ask, dim: int, resident: int, blocks: dict[int, int]) -> None:
    """128 row tiles of 256 at E = F = 64 (32768 query rows), 64 at 128; 32 for both where tiles of scores are staged."""
    for length, times in blocks.items():
        sizes = {"P": length, "M": length, "E": dim, "F": dim}
        (phase,) = ask("fusemax_cloud", "fusemax", sizes).phases
        assert (phase.row_block, phase.blocks) == (256 * resident, times)
        (phase,) = ask("flat_cloud", "fusemax-cascade", sizes).phases
        assert (phase.row_block, phase.blocks) == (256 * 32, length // (256 * 32))


@given(tiled(), st.integers(20, 26))
def test_words_between_buffer_and_arrays(ask: Ask, machine: MakeMachine, question: tuple[Sizes, int], power: int) -> None:
    """Of one head: reads (2E + 2F + 2) M1 P + (F + 1) P, writes (F + 2) M1 P + P E + (E + F) M P2; M0 = R."""
    s, side = question
    P2, M1, heads = row_blocks(s, side, 2**power, s.E + s.F + 2), s.M // side, s.B * s.H
    if not P2:
        return
    moved = ask(machine(side=side, buffer=2**power), "fusemax", s._asdict()).bytes_by_tensor["buffer"].values()
    reads = (2 * s.E + 2 * s.F + 2) * M1 * s.P + (s.F + 1) * s.P
    writes = (s.F + 2) * M1 * s.P + s.P * s.E + (s.E + s.F) * s.M * P2
    assert sum(by.get("read", 0) for by in moved) == 2 * heads * reads
    assert sum(by.get("write", 0) for by in moved) == 2 * heads * writes


# --- the unfused baseline and FLAT --------------------------------------------------------------------------------------------------


def unfused(s: Sizes, R: int, x: int) -> tuple[float, int]:
    """Three phases, every tensor once: seconds and bytes. The subtraction is part of the exponential."""
    U, heads = s.tiles(R), s.B * s.H
    words = (s.M * s.P + s.P * s.E + s.M * s.E, 2 * s.M * s.P, s.M * s.P + s.P * s.F + s.M * s.F)
    cycles = (s.E * U, (3 + x) * R * U, s.F * U)
    seconds = sum(max(Fraction(2 * heads * w, BANDWIDTH), c / CLOCK) for w, c in zip(words, cycles, strict=True))
    return float(seconds), 2 * heads * sum(words)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("length", [length for length in LENGTHS if length <= 64 * KI])
def test_unfused(ask: Ask, machine: MakeMachine, length: int, side: int) -> None:
    for x, (E, F) in product(EXPS, DIMS):
        sizes = Sizes(2, 3, length, length, E, F)
        e = ask(machine("flat_cloud", side, exp=x), "unfused", sizes._asdict())
        seconds, moved = unfused(sizes, side, x)
        assert e.latency_s == pytest.approx(seconds, rel=EXACT, abs=0), (x, sizes)
        assert e.bytes["dram"] == moved, (x, sizes)


class Flat(NamedTuple):
    """A schedule that FLAT's search chose: tensors kept whole on the chip, share spilled; or rows of a block with the scores off chip."""

    kept: str = ""
    spilled: Fraction = Fraction(0)
    off_chip: bool = False


NONE, OFF = Flat(), Flat("Q", off_chip=True)
CHOSEN = {  # E = F and K tokens of flat_validation.csv (artifact, cloud); BERT, TrXL and T5 have 64, XLM 128
    (64, 1): NONE,
    (64, 2): NONE,
    (64, 4): Flat("", Fraction(1, 129)),
    (64, 8): NONE,
    (64, 16): Flat("", Fraction(1, 129)),
    (64, 32): Flat("", Fraction(1, 129)),
    (64, 64): Flat("", Fraction(1, 129)),
    (64, 128): Flat("Q", Fraction(129, 257)),
    (64, 256): OFF,
    (64, 512): OFF,
    (64, 1024): OFF,
    (128, 1): Flat("V"),
    (128, 2): Flat("V"),
    (128, 4): Flat("V", Fraction(19, 275)),
    (128, 8): Flat("Q"),
    (128, 16): Flat("Q", Fraction(7, 263)),
    (128, 32): Flat("Q", Fraction(5, 261)),
    (128, 64): Flat("Q", Fraction(1, 65)),
    (128, 128): OFF,
    (128, 256): OFF,
    (128, 512): OFF,
    (128, 1024): OFF,
}


def flat(s: Sizes, chosen: Flat, x: int) -> Form:
    R, U = 256, s.tiles(256)
    if chosen.off_chip:  # weight stationary, blocks of 1024 rows
        words = Fraction(s.P * s.E + s.P * s.F + 4 * s.M * s.P) + Fraction((s.E + s.F) * s.M * s.P, 1024)
        walked = 2 * R * U
    else:
        spilled = chosen.spilled
        again = {"Q": Fraction(s.P * s.E * s.M, R), "K": Fraction(s.M * s.E * s.P, R), "V": Fraction(s.M * s.F * s.P, R)}
        once = {"Q": s.P * s.E, "K": s.M * s.E, "V": s.M * s.F}
        words = s.P * s.F + 7 * spilled * s.M * s.P
        words += sum((1 - spilled) * once[name] + spilled * again[name] if name in chosen.kept else again[name] for name in "QKV")
        walked = (s.E + s.F) * U
    softmax = (3 + x) * R * U
    return Form(max(walked, softmax), 2 * s.B * s.H * words, (s.E + s.F) * U, softmax)


@pytest.mark.parametrize(("dim", "kilo"), CHOSEN)
def test_flat(ask: Ask, machine: MakeMachine, dim: int, kilo: int) -> None:
    sizes = Sizes(64, 16, kilo * KI, kilo * KI, dim, dim)
    for x in (1, 2, 5):  # the search weighs the two products only, so it chooses the same
        e = ask(machine("flat_cloud", exp=x), "flat", sizes._asdict())
        wanted = flat(sizes, CHOSEN[dim, kilo], x)
        assert e.latency_s == pytest.approx(wanted.latency, rel=EXACT, abs=0)
        assert e.bytes["dram"] == pytest.approx(float(wanted.moved), rel=EXACT, abs=0)
        seconds = Fraction(wanted.latency) * CLOCK
        assert e.utilization["pe2d"] == pytest.approx(float(wanted.busy_2d / seconds), rel=EXACT, abs=0)
        assert e.utilization["pe1d"] == pytest.approx(float(wanted.busy_1d / seconds), rel=EXACT, abs=0)


# --- energy ---------------------------------------------------------------------------------------------------------------------------

PJ = 1e-12
MACC, ADD, MAX, EXP, DIV, DRAM_BYTE = 17.1645, 8.3395, 0.028036, 94.6475, 36.251153, 31.2
ROW = 512
NO_REGISTERS = {"count_register_files": False}


@given(st.sampled_from(("fusemax", "fusemax-architecture")), tiled(), st.integers(1, 9), st.integers(20, 26))
def test_energy_of_fusemax(ask: Ask, machine: MakeMachine, name: str, question: tuple[Sizes, int], x: int, power: int) -> None:
    """Actions times energy of each; a subtraction is an addition, an exponential x multiply-adds; buffer rows at 13 and 15 nJ."""
    s, side = question
    P2, M1, pairs = row_blocks(s, side, 2**power, s.E + s.F + 2), s.M // side, s.M * s.P
    if not P2:
        return
    arch = machine(side=side, exp=x, buffer=2**power)
    arch["buffer"] |= {"read": "13 nJ", "write": "15 nJ"}
    e = ask(arch, name, s._asdict(), conditions=NO_REGISTERS)
    macs = (s.E + s.F) * pairs + x * (pairs + M1 * s.P) + (1 + s.F) * M1 * s.P
    adds = (pairs + M1 * s.P) + pairs + (1 + s.F) * M1 * s.P
    read = (2 * s.E + 2 * s.F + 2) * M1 * s.P + (s.F + 1) * s.P
    written = (s.F + 2) * M1 * s.P + s.P * s.E + (s.E + s.F) * s.M * P2
    energy = macs * MACC + adds * ADD + (pairs + M1 * s.P) * MAX + s.F * s.P * DIV
    energy += 2 * read / ROW * 13000 + 2 * written / ROW * 15000
    wanted = s.B * s.H * energy * PJ + float(fused_bytes(s, P2)) * DRAM_BYTE * PJ
    assert e.energy_j == pytest.approx(wanted, rel=EXACT, abs=0)


@pytest.mark.parametrize("kilo", [1, 2, 8])
def test_energy_of_flat(ask: Ask, machine: MakeMachine, kilo: int) -> None:
    """Scores on the chip and nothing spilled: four reads and three writes of the buffer a pair."""
    s = Sizes(64, 12, kilo * KI, kilo * KI, 64, 64)
    arch = machine("flat_cloud")
    arch["buffer"] = {"read": "24 nJ", "write": "27 nJ"}
    e = ask(arch, "flat", s._asdict(), conditions=NO_REGISTERS)
    pair = (s.E + s.F) * MACC + MAX + ADD + EXP + ADD + DIV + 4 * 2 / ROW * 24000 + 3 * 2 / ROW * 27000
    wanted = s.B * s.H * s.M * s.P * pair * PJ + float(flat(s, NONE, 1).moved) * DRAM_BYTE * PJ
    assert e.energy_j == pytest.approx(wanted, rel=EXACT, abs=0)


# --- printed numbers, so that the forms above cannot be wrong together with the engine -------------------------------------------------

BERT = {  # kilo: FuseMax s, FLAT s, utilization of the 2-D array by FuseMax and by FLAT
    1: (0.00201314, 0.0133861, 0.8896, 0.1250),
    4: (0.0297004, 0.214177, 0.9648, 0.1250),
    16: (0.465166, 3.42684, 0.9856, 0.1250),
    64: (7.4025, 54.8294, 0.9910, 0.1250),
    256: (118.279, 1013.88, 0.9923, 0.1082),
    1024: (1891.83, 16220.6, 0.9926, 0.1082),
}


@pytest.mark.parametrize("kilo", BERT)
def test_bert_as_printed(ask: Ask, kilo: int) -> None:
    sizes = {"B": 64, "H": 12, "P": kilo * KI, "M": kilo * KI, "E": 64, "F": 64}
    ours, theirs = ask("fusemax_cloud", "fusemax", sizes), ask("flat_cloud", "flat", sizes)
    fusemax_s, flat_s, fusemax_share, flat_share = BERT[kilo]
    assert ours.latency_s == pytest.approx(fusemax_s, rel=5e-6)
    assert theirs.latency_s == pytest.approx(flat_s, rel=5e-6)
    assert ours.utilization["pe2d"] == pytest.approx(fusemax_share, abs=5e-5)
    assert theirs.utilization["pe2d"] == pytest.approx(flat_share, abs=5e-5)
