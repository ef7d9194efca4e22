"""The 2-pass cascade on FuseMax's arrays: its cycles, the rows the buffer keeps, and what it spills, derived by hand.

One head, tiles of R x R, U = M P / R^2 of them, M1 = M / R key tiles, x cycles an exponential. Operations of the 2-pass cascade, and what
they cost: one a (query, key) pair on the 2-D array is U cycles, one a (query, key tile) on the 1-D array is U, one a pair on the 1-D array
is R U.
    pass 1   2-D: QK E, LM 1, SLN 1 + x, SLD 1       GM 1 (a maximum over key tiles), on either array
    between  1-D: PLM 1 + x, SD 1 (a multiply-add)
    pass 2   2-D: SN 1, AV F                         1-D: A R, as only the 1-D array divides
Stages follow one another, arrays of a stage work side by side; latency is the longer of this and the bytes.

Words a query row: Q E, AV F, GM and SD 1 each, and fibers, which a later pass reads once the whole row is there: SLN M (SN makes the second
pass from it), SLD M1, LM M1 and PLM M1. PLM = exp(LM - GM) goes element by element where LM was, so the two count once.
Fixed: a tile of K and of V. Where one row tile does not fit with its fibers, the share that does not fit is spilled: it is written once and
read once by everything that takes it from the buffer, that is by the other array or by the second pass. SLN: SN. SLD: SD. LM: PLM, and GM
where that is on the 1-D array. PLM: SN; SD is on the array that has made it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnsim.errors import InfeasibleError

Ask = Callable[..., Any]
MakeMachine = Callable[..., dict[str, Any]]

CLOCK = 940 * 10**6
BANDWIDTH = 400 * 2**30


def two_pass(gm: str) -> dict[str, Any] | str:
    """A plan with GM on `gm`, the array that makes the local maxima (pe2d) or the one that corrects with them; or the shipped one."""
    if gm == "shipped":  # GM on the 1-D array, AV in a stage of its own
        return "fusemax-2pass"
    first = {"pe2d": ["QK", "LM", "SLN", "SLD"], "pe1d": ["GM"]} if gm == "pe1d" else {"pe2d": ["QK", "LM", "SLN", "SLD", "GM"]}
    return {
        "attnsim": 1, "kind": "schedule", "target": "spatial", "name": "two-pass", "cascade": "attention-2pass",
        "mapping": {
            "partitioning": {"M": ["uniform_shape(pe2d.rows)"], "P": ["capacity(buffer)", "uniform_shape(pe2d.columns)"]},
            "loop-order": ["P2", "M1", "P1"],
            "spacetime": {"pe2d": {"space": ["M0", "P0"]}, "pe1d": {"space": ["P0"]}},
        },
        "stages": [first, {"pe1d": ["PLM", "SD"]}, {"pe2d": ["SN", "AV"], "pe1d": ["A"]}],
        "pipelined": True,
    }  # fmt: skip


class Question(NamedTuple):
    P: int
    M: int
    E: int
    F: int
    R: int
    x: int
    gm: str
    heads: int = 1

    def ask(self, ask: Ask, machine: MakeMachine, buffer_words: int) -> Any:
        sizes = {"H": self.heads, "P": self.P, "M": self.M, "E": self.E, "F": self.F}
        arch = machine(side=self.R, exp=self.x, buffer=2 * buffer_words)
        return ask(arch, two_pass(self.gm), sizes, cascade="attention-2pass")

    @property
    def chunks(self) -> int:
        return self.M // self.R

    @property
    def stages(self) -> tuple[dict[str, int], ...]:
        """Busy cycles of the arrays, stage by stage."""
        U = self.heads * self.chunks * (self.P // self.R)
        first = {"pe2d": (self.E + 1 + (1 + self.x) + 1) * U, "pe1d": 0}
        first["pe2d" if self.gm == "pe2d" else "pe1d"] += U
        between, division = {"pe1d": (1 + self.x + 1) * U}, self.R * U
        if self.gm == "shipped":
            return first, between, {"pe2d": U, "pe1d": division}, {"pe2d": self.F * U}
        return first, between, {"pe2d": (1 + self.F) * U, "pe1d": division}

    @property
    def tile_words(self) -> int:
        return self.R * (self.E + self.F)

    @property
    def state(self) -> int:
        """Words of a row that no pass makes longer."""
        return self.E + self.F + 2

    @property
    def fibers(self) -> int:
        """Words of a row that grow with the keys."""
        return self.M + 2 * self.chunks

    def row_tiles(self, buffer_words: int) -> int:
        """Row tiles kept at a time with their fibers whole, 0 where not one fits."""
        n, most = self.P // self.R, (buffer_words - self.tile_words) // (self.R * (self.state + self.fibers))
        return max((kept for kept in range(1, n + 1) if n % kept == 0 and kept <= most), default=0)

    def spilled(self, buffer_words: int) -> Fraction:
        free = buffer_words - self.tile_words - self.R * self.state
        return max(Fraction(0), 1 - Fraction(free, self.R * self.fibers))

    def words(self, buffer_words: int) -> dict[str, Mapping[str, Fraction]]:
        """At the memory, by tensor and direction."""
        s, kept = self.spilled(buffer_words), max(1, self.row_tiles(buffer_words))
        times = self.P // (self.R * kept)
        fiber, few = self.heads * s * self.M * self.P, self.heads * s * self.chunks * self.P
        plain = {"Q": self.P * self.E, "K": self.M * self.E * times, "V": self.M * self.F * times}
        found: dict[str, Mapping[str, Fraction]] = {name: {"read": Fraction(self.heads * words)} for name, words in plain.items()}
        found["AV"] = {"write": Fraction(self.heads * self.P * self.F)}
        if s:
            readers = {"SLN": 1, "SLD": 1, "LM": 1 if self.gm == "pe2d" else 2, "PLM": 1}
            for name, times in readers.items():
                size = fiber if name == "SLN" else few
                found[name] = {"write": size, "read": times * size}
        return found


def check(e: Any, q: Question, buffer_words: int) -> None:
    (phase,) = e.phases
    assert [{array: sum(busy.values()) for array, busy in stage.busy.items()} for stage in phase.stages] == [
        {array: cycles for array, cycles in stage.items() if cycles} for stage in q.stages
    ]
    assert phase.row_block == q.R * max(1, q.row_tiles(buffer_words))
    assert phase.spilled == pytest.approx(float(q.spilled(buffer_words)), rel=1e-9, abs=0)
    wanted = q.words(buffer_words)
    assert e.bytes_by_tensor["dram"].keys() == wanted.keys()
    for name, moved in wanted.items():
        assert e.bytes_by_tensor["dram"][name] == pytest.approx({to: 2 * float(words) for to, words in moved.items()}, rel=1e-9, abs=0)
    total = 2 * sum(words for moved in wanted.values() for words in moved.values())
    assert e.bytes["dram"] == pytest.approx(float(total), rel=1e-12, abs=0)
    cycles = sum(max(stage.values()) for stage in q.stages)
    assert e.latency_s == pytest.approx(float(max(Fraction(cycles, CLOCK), total / BANDWIDTH)), rel=1e-12, abs=0)
    assert e.passes["M"] == 2


PLANS = ("pe1d", "pe2d", "shipped")
GM = pytest.mark.parametrize("gm", PLANS)
MIB = 2**19  # in words


@GM
@pytest.mark.parametrize("words", [8 * MIB, 2 * MIB, MIB, MIB // 2, 200_000])
@pytest.mark.parametrize("length", [1024, 4096, 65536])
@pytest.mark.parametrize(("E", "F", "R", "x"), [(64, 64, 256, 6), (128, 128, 256, 1), (192, 96, 128, 12), (64, 300, 256, 6)])
def test_published_sizes(ask: Ask, machine: MakeMachine, E: int, F: int, R: int, x: int, length: int, words: int, gm: str) -> None:
    q = Question(length, length, E, F, R, x, gm, heads=12)
    check(q.ask(ask, machine, words), q, words)


@st.composite
def questions(draw: st.DrawFn) -> tuple[Question, int]:
    """A question and a buffer that holds a row tile with none, some or all of its fibers."""
    R, dims = draw(st.sampled_from((16, 48, 128, 256))), st.integers(1, 300)
    tiles = st.integers(1, 100)
    q = Question(
        R * draw(tiles), R * draw(tiles), draw(dims), draw(dims), R, draw(st.integers(1, 12)), draw(st.sampled_from(PLANS)),
        draw(st.integers(1, 5)),
    )  # fmt: skip
    least = q.tile_words + R * q.state
    return q, max(256, least) + draw(st.one_of(st.integers(0, R * q.fibers), st.integers(0, 20 * R * (q.state + q.fibers))))


@settings(max_examples=150)
@given(questions())
def test_any_whole_tiles(ask: Ask, machine: MakeMachine, question: tuple[Question, int]) -> None:
    q, words = question
    check(q.ask(ask, machine, words), q, words)


@GM
def test_the_last_word_that_fits(ask: Ask, machine: MakeMachine, gm: str) -> None:
    """Nothing is spilled while one row tile fits with its fibers; one word less, and one word in R * fibers is."""
    q = Question(256, 8192, 64, 64, 256, 6, gm)
    enough = 256 * (64 + 64) + 256 * (64 + 64 + 2 + 8192 + 2 * 32)
    whole = q.ask(ask, machine, enough)
    assert whole.phases[0].spilled == 0
    assert whole.bytes["dram"] == 2 * (2 * 256 * 64 + 2 * 8192 * 64) == q.ask(ask, machine, 10 * enough).bytes["dram"]
    less = q.ask(ask, machine, enough - 1)
    assert less.phases[0].spilled == pytest.approx(1 / (256 * (8192 + 64)), rel=1e-9)
    pairs, small = 8192 * 256, 32 * 256
    again = 2 * pairs + small * (2 + 2 + (2 if gm == "pe2d" else 3))  # SLN; SLD, PLM, LM
    assert less.bytes["dram"] - whole.bytes["dram"] == pytest.approx(2 * again / (256 * (8192 + 64)), rel=1e-6)
    assert less.bytes_by_tensor["dram"].keys() - whole.bytes_by_tensor["dram"].keys() == {"SLN", "SLD", "LM", "PLM"}


@GM
def test_spilling_grows_with_what_is_missing(ask: Ask, machine: MakeMachine, gm: str) -> None:
    """Bytes are those of a large buffer plus the words of the fibers that the buffer lacks, times their trips."""
    q = Question(256, 8192, 64, 64, 256, 6, gm)
    enough = 256 * (64 + 64) + 256 * (64 + 64 + 2 + 8192 + 2 * 32)
    least = enough - 256 * (8192 + 64)
    base = q.ask(ask, machine, enough).bytes["dram"]
    trips = Fraction(2 * 8192 + 32 * (6 if gm == "pe2d" else 7), 8192 + 64)  # words moved for a word that is missing
    for missing in range(0, enough - least + 1, 256 * 129):
        assert q.ask(ask, machine, enough - missing).bytes["dram"] == pytest.approx(float(base + 2 * missing * trips), rel=1e-12)
    with pytest.raises(InfeasibleError, match="one tile of schedule (two-pass|fusemax-2pass) needs"):
        q.ask(ask, machine, least - 1)


@settings(max_examples=60)
@given(
    st.integers(1, 200), st.integers(1, 300), st.integers(1, 200), st.integers(0, 30), st.sampled_from(("fusemax", "fusemax-architecture"))
)
def test_the_one_pass_cascade_never_spills(
    ask: Ask, machine: MakeMachine, rows: int, keys: int, dim: int, more: int, schedule: str
) -> None:
    """However long the keys are, one row tile with 2 dim + 2 words a row, and a tile of K and V, are all that must fit."""
    least = 64 * 2 * dim + 64 * (2 * dim + 2)
    sizes = {"P": 64 * rows, "M": 64 * keys, "E": dim, "F": dim}
    e = ask(machine(side=64, buffer=2 * max(256, least + 64 * more)), schedule, sizes)
    assert e.phases[0].spilled == 0
    assert e.bytes_by_tensor["dram"].keys() == {"Q", "K", "V", "AV"}
    with pytest.raises(InfeasibleError, match="one tile of schedule"):
        ask(machine(side=64, buffer=2 * (least - 1)), schedule, sizes)
