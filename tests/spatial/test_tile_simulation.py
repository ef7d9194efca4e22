"""The fused schedules against a machine that is walked tile by tile: every tile costs its cycles and moves its words, nothing is a formula.

Loops as in the schedule files: batch, head, P2, M1, P1. Cycles are those of padded tiles, words those of rows and keys that exist. What an
array does once a row (the division) overlaps with all tiles, so cycles are added up by stage and array before the slower array counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

Ask = Callable[..., Any]
MakeMachine = Callable[..., dict[str, Any]]

CLOCK = 940e6
BANDWIDTH = 400 * 2**30

# stage -> array -> Einsums of the shipped files, and words a row beside Q, AV or RNV, RM and RD
PLANS: dict[str, list[dict[str, str]]] = {
    "fusemax": [
        {"2d": "QK LM", "1d": "RD RNV AV"}, {"1d": "RM"}, {"2d": "SLN SLD", "1d": "PRM SPD"}, {"2d": "SLNV", "1d": "SPNV"},
    ],
    "fusemax-architecture": [
        {"2d": "QK LM", "1d": "RD AV"}, {"1d": "RM"}, {"2d": "SLN SLD", "1d": "PRM SPD"}, {"2d": "SLNV", "1d": "SPNV RNV"},
    ],
    "fusemax-cascade": [{"2d": "QK SLNV", "1d": "LM RM SLN SLD PRM SPD RD SPNV RNV AV"}],
}  # fmt: skip
MACHINES = {"fusemax": "fusemax_cloud", "fusemax-architecture": "fusemax_cloud", "fusemax-cascade": "flat_cloud"}


@dataclass
class Question:
    """Sizes, G query heads a key head, side of the arrays, words of buffer, cycles of an exponential."""

    B: int
    H: int
    G: int
    P: int
    M: int
    E: int
    F: int
    side: int
    buffer: int
    exp: int
    mask: str = "dense"

    @property
    def sizes(self) -> dict[str, int]:
        return {rank: getattr(self, rank) for rank in "BHGPMEF"}

    def attends(self, row: int, key: int) -> bool:
        return self.mask == "dense" or key <= row + self.M - self.P


@dataclass
class Walk:
    """What a walk has counted: cycles by (stage, array), cycles of waiting, words at the memory and at the buffer by tensor."""

    tiles: int = 0
    blocks: int = 0
    busy: Counter[tuple[int, str]] = field(default_factory=Counter)
    waits: int = 0
    memory: Counter[tuple[str, str]] = field(default_factory=Counter)
    buffer: Counter[tuple[str, str]] = field(default_factory=Counter)

    def load(self, name: str, words: int) -> None:
        """From the memory into the buffer."""
        self.memory[name, "read"] += words
        self.buffer[name, "write"] += words

    @property
    def cycles(self) -> int:
        stages = {stage for stage, _ in self.busy}
        return self.waits + sum(max(self.busy[stage, array] for array in ("1d", "2d")) for stage in stages)

    def latency(self) -> float:
        return max(self.cycles / CLOCK, 2 * sum(self.memory.values()) / BANDWIDTH)


def pieces(size: int, length: int) -> list[range]:
    return [range(start, min(start + length, size)) for start in range(0, size, length)]


def kept_row_tiles(q: Question, schedule: str, row_tiles: int) -> int:
    """P1: buffers hold Q, RNV, RM and RD of whole row tiles, a tile of K and V, and the scores twice where they are staged."""
    rows, keys = min(q.side, q.P), min(q.side, q.M)
    budget = min(q.buffer, 2**23) if schedule == "fusemax-cascade" else q.buffer
    row = q.E + q.F + 2 + (2 * keys if schedule == "fusemax-cascade" else 0)
    fitting = [n for n in range(1, row_tiles + 1) if row_tiles % n == 0 and keys * (q.E + q.F) + n * rows * row <= budget]
    return max(fitting, default=0)


def tile_cycles(q: Question, label: str, array: str) -> int:
    """One Einsum on one tile: its operations in turn, all PEs of a row, or of all rows, at the same time."""
    keys = min(q.side, q.M)
    on_every_score = keys if array == "1d" else 1  # the 1-D array takes the keys of a tile one by one
    return {
        "QK": q.E, "LM": on_every_score, "RM": 1, "SLN": (1 + q.exp) * on_every_score, "SLD": on_every_score, "SLNV": q.F,
        "PRM": 1 + q.exp, "SPD": 1, "RD": 1, "SPNV": q.F, "RNV": q.F, "AV": q.F,
    }[label]  # fmt: skip


def walk(q: Question, schedule: str) -> Walk | None:
    rows, keys = pieces(q.P, q.side), pieces(q.M, q.side)
    kept = kept_row_tiles(q, schedule, len(rows))
    if not kept:
        return None
    stages = [[(array, label) for array, labels in stage.items() for label in labels.split()] for stage in PLANS[schedule]]
    done = Walk(blocks=len(rows) // kept)
    for _head in range(q.B * q.H):  # heads of a group come one after another and load their keys again
        for first in range(0, len(rows), kept):
            _block(q, schedule, stages, done, rows[first : first + kept], keys)
    return done


def _block(q: Question, schedule: str, stages: list[list[tuple[str, str]]], done: Walk, block: list[range], keys: list[range]) -> None:
    for rows in block:
        done.load("Q", len(rows) * q.E)
    for columns in keys:
        seen = [rows for rows in block if any(q.attends(row, key) for row in (rows[0], rows[-1]) for key in (columns[0], columns[-1]))]
        if not seen:
            continue
        done.load("K", len(columns) * q.E)
        done.load("V", len(columns) * q.F)
        for rows in seen:
            _tile(q, schedule, stages, done, rows, columns)
    for rows in block:
        for stage, einsums in enumerate(stages):
            for array, label in einsums:
                if label == "AV":
                    done.busy[stage, array] += tile_cycles(q, "AV", array)
        done.buffer["RNV", "read"] += len(rows) * q.F
        done.buffer["RD", "read"] += len(rows)
        done.memory["AV", "write"] += len(rows) * q.F


def _tile(q: Question, schedule: str, stages: list[list[tuple[str, str]]], done: Walk, rows: range, columns: range) -> None:
    done.tiles += 1
    for stage, einsums in enumerate(stages):
        for array, label in einsums:
            if label != "AV":
                done.busy[stage, array] += tile_cycles(q, label, array)
    if schedule == "fusemax-architecture":
        done.waits += q.side  # maxima come out of the last row of the array
    done.buffer["Q", "read"] += len(rows) * q.E
    done.buffer["K", "read"] += len(columns) * q.E
    done.buffer["V", "read"] += len(columns) * q.F
    for state, words in (("RM", 1), ("RD", 1), ("RNV", q.F)):  # of the rows, swapped in and out
        done.buffer[state, "read"] += len(rows) * words
        done.buffer[state, "write"] += len(rows) * words


def in_bytes(words: Counter[tuple[str, str]]) -> dict[tuple[str, str], int]:
    return {key: 2 * count for key, count in words.items() if count}


def moved(e: Any, level: str) -> Iterator[tuple[tuple[str, str], float]]:
    for name, by_direction in e.bytes_by_tensor[level].items():
        for direction, count in by_direction.items():
            yield (name, direction), count


def compare(ask: Ask, machine: MakeMachine, schedule: str, q: Question, levels: tuple[str, ...] = ("dram", "buffer")) -> None:
    """Cycles by stage and array, words by tensor, and latency of the engine are those of the walk."""
    wanted = walk(q, schedule)
    assert wanted is not None, "choose a larger buffer"
    e = ask(machine(MACHINES[schedule], q.side, exp=q.exp, buffer=2 * q.buffer), schedule, q.sizes, mask=q.mask)
    (phase,) = e.phases
    rounding = 0 if q.mask == "dense" else 1e-12  # a mask leaves a share of the tiles, a fraction

    def near(value: Any) -> Any:
        return pytest.approx(value, rel=rounding, abs=0)

    assert (phase.tiles, phase.blocks, phase.stall_cycles) == (wanted.tiles, wanted.blocks, wanted.waits)
    for number, stage in enumerate(phase.stages):
        for array in ("1d", "2d"):
            assert sum(stage.busy.get(f"pe{array}", {}).values()) == near(wanted.busy[number, array]), (number, array)
    if "dram" in levels:
        assert dict(moved(e, "dram")) == near(in_bytes(wanted.memory))
        assert e.latency_s == near(wanted.latency())
    if "buffer" in levels and schedule != "fusemax-cascade":  # its staged scores are not walked here
        assert dict(moved(e, "buffer")) == near(in_bytes(wanted.buffer))


EXAMPLES = {
    "whole tiles": Question(1, 1, 1, 1024, 512, 64, 64, 128, 10**6, 6),
    "ragged": Question(1, 1, 1, 300, 520, 64, 64, 128, 10**6, 6),
    "ragged, keys again for every row tile": Question(2, 3, 3, 300, 520, 64, 64, 128, 35000, 6),
    "seven row tiles, of which six would fit": Question(1, 2, 2, 7 * 16, 100, 8, 8, 16, 2200, 6),
    "twelve row tiles, of which seven would fit": Question(1, 2, 2, 12 * 16 - 3, 100, 8, 8, 16, 2300, 6),
    "fewer rows and keys than the array has": Question(3, 2, 2, 5, 9, 16, 24, 16, 10**4, 6),
    "one row, many keys": Question(2, 4, 4, 1, 1000, 64, 64, 32, 10**4, 6),
    "wide values": Question(1, 2, 2, 130, 70, 16, 96, 32, 10**4, 6),
    "wide keys": Question(1, 2, 2, 130, 70, 200, 16, 32, 20000, 6),
    "division in the slower array of a stage": Question(1, 1, 1, 256, 64, 80, 64, 32, 10**5, 6),
    "an exponential of 1 cycle": Question(1, 2, 2, 130, 70, 32, 32, 32, 10**4, 1),
    "an exponential of 20 cycles": Question(1, 2, 2, 130, 70, 32, 32, 32, 10**4, 20),
    "grouped heads": Question(2, 8, 2, 100, 130, 16, 16, 32, 4000, 6),
    "bound by memory": Question(1, 1, 1, 512, 1000, 64, 64, 512, 10**6, 1),
}


@pytest.mark.parametrize("schedule", PLANS)
@pytest.mark.parametrize("q", EXAMPLES.values(), ids=EXAMPLES)
def test_a_walk_over_all_tiles(ask: Ask, machine: MakeMachine, schedule: str, q: Question) -> None:
    if schedule == "fusemax-cascade":  # its scores take more
        q = replace(q, buffer=max(q.buffer, 5 * q.side**2 + 10 * q.side * (q.E + q.F)))
    compare(ask, machine, schedule, q)


@st.composite
def questions(draw: st.DrawFn, mask: str, longest: int) -> Question:
    dims, lengths = st.integers(1, 70), st.integers(1, longest)
    P, M, H = draw(lengths), draw(lengths), draw(st.integers(1, 3))
    side, buffer, exp = draw(st.integers(2, 40)), draw(st.integers(2000, 40000)), draw(st.integers(1, 9))
    return Question(draw(st.integers(1, 3)), H, H, min(P, M) if mask == "causal" else P, M, draw(dims), draw(dims), side, buffer, exp, mask)


@settings(max_examples=60)
@given(st.sampled_from(sorted(PLANS)), questions("dense", 300))
def test_any_sizes(ask: Ask, machine: MakeMachine, schedule: str, q: Question) -> None:
    if walk(q, schedule) is not None:
        compare(ask, machine, schedule, q)


@pytest.mark.parametrize("keys", [40, 16, 5])
def test_key_tiles_of_another_size_than_the_array(ask: Ask, machine: MakeMachine, keys: int) -> None:
    """40 keys on 16 rows take the array three times a tile, 5 take it once and leave rows idle; the 1-D array has one maximum a tile."""
    plan = {"extends": "fusemax", "name": "other tiles", "mapping": {"partitioning": {"M": [f"uniform_shape({keys})"]}}}
    e = ask(machine(side=16), plan, {"H": 2, "P": 100, "M": 333, "E": 24, "F": 40})
    tiles, times = 2 * 7 * -(-333 // keys), -(-keys // 16)
    first, second, third, last = (stage.busy for stage in e.phases[0].stages)
    assert e.phases[0].tiles == tiles
    assert first["pe2d"] == {"QK": tiles * times * 24, "LM": tiles * times}
    assert second["pe1d"] == {"RM": tiles}
    assert third["pe2d"] == {"SLN": tiles * times * 7, "SLD": tiles * times} and third["pe1d"] == {"PRM": tiles * 7, "SPD": tiles}
    assert last["pe2d"] == {"SLNV": tiles * times * 40} and last["pe1d"] == {"SPNV": tiles * 40}


CAUSAL = {
    "square": Question(1, 2, 2, 256, 256, 16, 16, 32, 10**5, 6, "causal"),
    "fewer rows than keys": Question(1, 2, 2, 64, 512, 16, 16, 32, 5000, 6, "causal"),
    "blocks of two row tiles": Question(2, 2, 2, 320, 512, 16, 24, 32, 4000, 6, "causal"),
    "ragged rows": Question(1, 2, 2, 250, 512, 16, 24, 32, 4000, 6, "causal"),
    "ragged rows and keys": Question(1, 1, 1, 150, 150, 16, 16, 100, 7000, 6, "causal"),
}


@pytest.mark.parametrize("schedule", ["fusemax", "fusemax-architecture"])
@pytest.mark.parametrize("q", CAUSAL.values(), ids=CAUSAL)
def test_a_causal_mask_skips_tiles(ask: Ask, machine: MakeMachine, schedule: str, q: Question) -> None:
    """A tile without an attended pair takes no cycles, and a block of rows loads only the key tiles that one of its rows sees."""
    compare(ask, machine, schedule, q, levels=("dram",))


@pytest.mark.parametrize("q", CAUSAL.values(), ids=CAUSAL)
def test_a_skipped_tile_moves_no_words_at_the_buffer(ask: Ask, machine: MakeMachine, q: Question) -> None:
    compare(ask, machine, "fusemax", q, levels=("buffer",))


@settings(max_examples=100)
@given(st.sampled_from(sorted(PLANS)), questions("causal", 200))
def test_any_sizes_under_a_causal_mask(ask: Ask, machine: MakeMachine, schedule: str, q: Question) -> None:
    if walk(q, schedule) is not None:
        compare(ask, machine, schedule, q)
