"""Stage plans: how far Einsums run behind, what a tile waits for, and what is refused, with the place in the schedule's file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import attnsim
from attnsim.errors import AttnsimError, InfeasibleError, SpecError

Ask = Callable[..., Any]
MakeMachine = Callable[..., dict[str, Any]]

SIZES = {"P": 1024, "M": 2048, "E": 64, "F": 64}
TILES = 4 * 8


def plan(stages: Any, cascade: str = "attention-1pass", **fields: Any) -> dict[str, Any]:
    """A schedule with FuseMax's mapping."""
    mapping = {
        "partitioning": {"M": ["uniform_shape(pe2d.rows)"], "P": ["capacity(buffer)", "uniform_shape(pe2d.columns)"]},
        "loop-order": ["P2", "M1", "P1"],
        "spacetime": {"pe2d": {"space": ["M0", "P0"]}, "pe1d": {"space": ["P0"]}},
    }
    return {
        "attnsim": 1, "kind": "schedule", "target": "spatial", "name": "mine", "cascade": cascade, "mapping": mapping,
        "stages": stages, **fields,
    }  # fmt: skip


def stages(*texts: str) -> list[dict[str, list[str]]]:
    """`QK LM | RD AV` is a stage: on the 2-D array, on the 1-D array."""
    found = []
    for text in texts:
        both = zip(("pe2d", "pe1d"), text.split("|"), strict=True)
        found.append({array: names.split() for array, names in both if names.strip()})
    return found


# --- lags ---------------------------------------------------------------------------------------------------------------------------

LAGS = {
    # What stage 1 adds up comes from stages 3 and 4 of the tile before.
    ("fusemax_cloud", "fusemax"): {"RD": 1, "RNV": 1},
    ("fusemax_cloud", "fusemax-architecture"): {"RD": 1},
    # One stage: an operand of the other array is that of the tile before, one of the own array the same tile's if it is listed before.
    ("flat_cloud", "fusemax-cascade"): {
        "LM": 1, "RM": 1, "SLN": 1, "SLD": 1, "PRM": 1, "SPD": 1, "RD": 1, "SLNV": 2, "RNV": 3, "SPNV": 3,
    },
    ("flat_cloud", "flat"): {"GM": 1, "SN": 1, "SD": 1, "A": 1, "AV": 2},
    ("flat_cloud", "unfused"): {},
}  # fmt: skip


@pytest.mark.parametrize(("arch", "schedule"), LAGS)
def test_lags_of_the_shipped_schedules(ask: Ask, arch: str, schedule: str) -> None:
    lags = ask(arch, schedule, SIZES).lag
    assert {label: lag for label, lag in lags.items() if lag} == LAGS[arch, schedule]
    assert len(lags) == (6 if schedule in ("flat", "unfused") else 12)


#: Operands that the same tile makes; with a dash, that the tile before has made. AV reads what the last tile leaves.
READS = {
    "QK": "", "LM": "QK", "RM": "LM -RM", "SLN": "QK RM", "SLD": "SLN", "SLNV": "SLN", "PRM": "RM -RM", "SPD": "-RD PRM", "RD": "SLD SPD",
    "SPNV": "-RNV PRM", "RNV": "SLNV SPNV", "AV": "",
}  # fmt: skip


@st.composite
def any_plan(draw: st.DrawFn) -> list[dict[str, list[str]]]:
    """All Einsums in any order, on any array that executes them, in one to five stages."""
    drawn: list[dict[str, list[str]]] = [{} for _ in range(draw(st.integers(1, 5)))]
    for label in draw(st.permutations(list(READS))):
        array = "pe1d" if label == "AV" else draw(st.sampled_from(("pe1d", "pe2d")))
        drawn[draw(st.integers(0, len(drawn) - 1))].setdefault(array, []).append(label)
    return [stage for stage in drawn if stage]


def least_lags(drawn: list[dict[str, list[str]]]) -> Mapping[str, int] | None:
    """Raise every Einsum that an operand is not ready for, until all are; None where that has no end.

    In epoch n an Einsum works on tile n - lag. An operand is ready if its tile was made in an epoch before, or in this one in an earlier
    stage, or in this stage before it on the same array.
    """
    slot = {
        label: (number, array, labels.index(label))
        for number, stage in enumerate(drawn)
        for array, labels in stage.items()
        for label in labels
    }
    lags = dict.fromkeys(READS, 0)

    def ready(label: str, operand: str) -> bool:
        name = operand.lstrip("-")
        made = lags[name] - lags[label] - (1 if operand.startswith("-") else 0)  # epochs after this one in which it is made
        mine, theirs = slot[label], slot[name]
        earlier = theirs[0] < mine[0] or (theirs[:2] == mine[:2] and theirs[2] < mine[2])
        return made < 0 or (made == 0 and earlier)

    while max(lags.values()) <= 3 * len(READS):
        late = [label for label, operands in READS.items() if not all(ready(label, operand) for operand in operands.split())]
        if not late:
            return lags
        for label in late:
            lags[label] += 1
    return None


@settings(max_examples=300)
@given(any_plan())
def test_lags_of_any_pipelined_plan(ask: Ask, drawn: list[dict[str, list[str]]]) -> None:
    wanted = least_lags(drawn)
    if wanted is not None:
        assert ask("fusemax_cloud", plan(drawn), SIZES).lag == wanted
        return
    with pytest.raises(InfeasibleError, match="breaks a dependency") as caught:
        ask("fusemax_cloud", plan(drawn), SIZES)
    assert len(str(caught.value).splitlines()) == 1


# --- waiting for an array to drain ----------------------------------------------------------------------------------------------------


def waits(ask: Ask, arch: Any, schedule: Any, **fields: Any) -> float:
    """Cycles a tile."""
    (phase,) = ask(arch, schedule, SIZES, **fields).phases
    return float(phase.stall_cycles / phase.tiles)


ARCHITECTURE = ("QK LM | RD AV", " | RM", "SLN SLD | PRM SPD", "SLNV | SPNV RNV")
ON_2D = "QK LM RM SLN SLD PRM SPD RD SLNV SPNV RNV | AV"
NOT_PIPELINED = {
    "the maxima leave through the last row": (1, ARCHITECTURE),
    "numerators on the 1-D array, which gives them back": (1, ("QK LM | RD AV", " | RM SLN SLD PRM SPD", "SLNV | SPNV RNV")),
    "maxima on the 1-D array": (0, ("QK | LM RD AV", " | RM", "SLN SLD | PRM SPD", "SLNV | SPNV RNV")),
    "all softmax on the 1-D array": (0, ("QK | AV", " | LM RM SLN SLD PRM SPD RD", "SLNV | SPNV RNV")),
    "a maximum, then a sum, both come back": (2, (ON_2D,)),
}


@pytest.mark.parametrize("side", [128, 256, 512])
@pytest.mark.parametrize(("times", "texts"), NOT_PIPELINED.values(), ids=NOT_PIPELINED)
def test_a_tile_waits_for_what_comes_back_to_the_array(
    ask: Ask, machine: MakeMachine, side: int, times: int, texts: tuple[str, ...]
) -> None:
    """R cycles for every result that R rows pass on and the same array needs; what only feeds the other array is waited for by none."""
    drawn, arch = stages(*texts), machine(side=side)
    assert waits(ask, arch, plan(drawn, pipelined=False)) == times * side
    assert waits(ask, arch, plan(drawn, pipelined=True)) == 0


def test_the_shipped_schedules_wait(ask: Ask) -> None:
    assert waits(ask, "fusemax_cloud", "fusemax-architecture") == 256
    assert waits(ask, "fusemax_cloud", "fusemax") == waits(ask, "flat_cloud", "fusemax-cascade") == 0
    for schedule in ("flat", "unfused"):
        assert all(phase.stall_cycles == 0 for phase in ask("flat_cloud", schedule, SIZES).phases)


TWO_PASS = {
    "QK LM SLN SLD | GM": 256,  # SLN of a tile waits for its LM
    "QK | LM GM": 0,  # the 1-D array makes the maxima
}


@pytest.mark.parametrize(("first", "cycles"), TWO_PASS.items())
def test_waiting_in_two_passes(ask: Ask, first: str, cycles: int) -> None:
    """The second pass starts when all of the first is done: at most the first of its tiles in a row waits for a tile of the first pass."""
    drawn = stages(first, *([] if "SLN" in first else ["SLN SLD |"]), " | PLM SD", "SN |", " | A", "AV |")
    two_pass = plan(drawn, "attention-2pass", pipelined=False)
    (phase,) = ask("fusemax_cloud", two_pass, SIZES, cascade="attention-2pass").phases
    rows = SIZES["P"] // 256
    assert phase.tiles == TILES
    assert cycles * TILES <= phase.stall_cycles <= cycles * TILES + 256 * rows
    assert waits(ask, "fusemax_cloud", plan(drawn, "attention-2pass"), cascade="attention-2pass") == 0


# --- what is refused: one line that says where; ^ stands before the place -----------------------------------------------------------------

HEAD = """attnsim: 1
kind: schedule
target: spatial
name: mine
cascade: attention-1pass
mapping:
  partitioning:
    M: [KEYS]
    P: [capacity(buffer), uniform_shape(pe2d.columns)]
  loop-order: [P2, M1, P1]
  spacetime:
    pe2d: {space: [M0, P0]}
    pe1d: {space: [P0]}
"""
STAGES = """stages:
  - {pe2d: [QK, LM], pe1d: [RD, RNV, AV]}
  - {pe1d: [RM]}
  - {pe2d: [SLN, SLD], pe1d: [PRM, SPD]}
  - {pe2d: [SLNV], pe1d: [SPNV]}
"""


def text(*edits: tuple[str, str], tail: str = "", keys: str = "uniform_shape(pe2d.rows)") -> str:
    changed = HEAD.replace("KEYS", keys) + STAGES + tail
    for old, new in edits:
        assert changed.count(old) == 1, old
        changed = changed.replace(old, new)
    return changed


REFUSED: dict[str, tuple[type[AttnsimError], str, str]] = {
    "SLN before RM": (
        InfeasibleError,
        text(("[QK, LM]", "[QK, LM, ^SLN]"), ("[SLN, SLD]", "[SLD]"), tail="pipelined: false\n"),
        "SLN .*RM ",
    ),
    "SLNV before SLN on the same array": (
        InfeasibleError,
        text(("RD, RNV, AV", "RD, AV"), ("SLN, SLD", "^SLNV, SLN, SLD"), ("[SLNV], pe1d", "[RNV], pe1d"), tail="pipelined: false\n"),
        "SLNV .*SLN ",
    ),
    "a denominator that falls behind for ever": (
        InfeasibleError,
        text(("[RD, RNV, AV]", "[RNV, AV]"), ("[SLN, SLD]", "[SLN, SLD, ^RD]")),
        "(RD.* SPD|SPD.* RD).*behind",
    ),
    "left out": (SpecError, text(("[RD, RNV, AV]", "[RD, RNV]"), ("stages:", "^stages:")), r"leaves out AV\b"),
    "two left out": (SpecError, text(("[RD, RNV, AV]", "[RD]"), ("stages:", "^stages:")), r"leaves out RNV, AV\b"),
    "twice": (SpecError, text(("[RM]", "[^LM, RM]")), r"\bLM\b.*twice"),
    "unknown": (SpecError, text(("[RD, RNV, AV]", "[RD, RNV, AV, ^RX]")), "'RX'"),
    "on an array that cannot divide": (
        InfeasibleError,
        text(("[QK, LM], pe1d: [RD, RNV, AV]", "[QK, LM, ^AV], pe1d: [RD, RNV]")),
        r"\bAV needs div\b.*\bpe2d\b",
    ),
    "unknown array": (InfeasibleError, text(("{pe1d: [RM]}", "{^pe3d: [RM]}")), "'pe3d'.*pe2d, pe1d"),
    "alternating on two arrays": (
        InfeasibleError,
        text(tail="interleave:\n  - [QK, SLNV]\n  - ^[SPNV, SLD]\n"),
        "SPNV and SLD .*different arrays",
    ),
    "alternating with an unknown one": (SpecError, text(tail="interleave:\n  - [QK, ^SNV]\n"), "'SNV'"),
    "alternating without pipelining": (
        SpecError,
        text(("[RD, RNV, AV]", "[RD, AV]"), ("[SPNV]", "[SPNV, RNV]"), tail="pipelined: false\n^interleave: [[QK, SLNV]]\n"),
        "pipelined: true",
    ),
    "no partition": (SpecError, text(keys="^uniform_shape(nonsense)"), r"'uniform_shape\(nonsense\)'.*uniform_shape\(256\)"),
    "no array to be a partition": (InfeasibleError, text(keys="^uniform_shape(pe9.rows)"), "'pe9'.*pe2d, pe1d"),
    "no columns": (InfeasibleError, text(keys="^uniform_shape(pe1d.columns)"), "pe1d.*no columns"),
    "an empty partition": (SpecError, text(keys="^uniform_shape(0)"), r"'uniform_shape\(0\)'"),
    "a loop over no rank": (SpecError, text(("[P2, M1, P1]", "[P2, ^N1, P1]")), "'N1'"),
    "space over no rank": (SpecError, text(("[M0, P0]", "[M0, ^X0]")), "'X0'"),
    "no Einsum to stage": (SpecError, text(tail="staged: [^SN]\n"), "'SN'"),
    "a budget without a reason": (SpecError, text(tail="^budget: 1 MiB\n"), "budget_note"),
}  # fmt: skip


def marked(folder: Path, content: str) -> tuple[Path, str]:
    """Write a file without its mark; the file, and `file:line:column` of the mark."""
    before, mark, after = content.partition("^")
    path = folder / "mine.yaml"
    path.write_text(before + after)
    assert mark
    return path, f"{path}:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}: "


@pytest.mark.parametrize(("kind", "content", "message"), REFUSED.values(), ids=REFUSED)
def test_one_line_says_where(ask: Ask, tmp_path: Path, kind: type[AttnsimError], content: str, message: str) -> None:
    path, place = marked(tmp_path, content)
    with pytest.raises(kind, match=message) as caught:
        ask("fusemax_cloud", str(path), SIZES)
    assert type(caught.value) is kind
    assert str(caught.value).startswith(place)
    assert len(str(caught.value).splitlines()) == 1


def test_the_plan_these_are_made_of_runs(ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text(tail="interleave: [[QK, SLNV], [SPNV, RNV]]\n"))
    assert ask("fusemax_cloud", str(path), SIZES).latency_s == ask("fusemax_cloud", "fusemax", SIZES).latency_s


def test_a_mistyped_einsum_is_said_first(ask: Ask, tmp_path: Path) -> None:
    path, place = marked(tmp_path, text(("[RD, RNV, AV]", "[RD, ^RVN, AV]")))
    with pytest.raises(SpecError, match="'RVN'.*did you mean 'RNV'") as caught:
        ask("fusemax_cloud", str(path), SIZES)
    assert str(caught.value).splitlines()[0].startswith(place)


def in_phases(content: str) -> str:
    """The stage plan as the only entry of `phases`."""
    head, rest = content.split("stages:\n")
    plan_lines = [line for line in rest.splitlines() if line.startswith("  - ")]
    tail = rest.splitlines()[len(plan_lines) :]
    return "\n".join([head + "phases:", "  - name: all", "    stages:", *(f"    {line}" for line in plan_lines), *tail, ""])


def test_phases_are_the_same_plan(ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(in_phases(text()))
    assert ask("fusemax_cloud", str(path), SIZES).latency_s == ask("fusemax_cloud", "fusemax", SIZES).latency_s


@pytest.mark.parametrize("case", ["SLN before RM", "a denominator that falls behind for ever", "twice", "on an array that cannot divide"])
def test_one_line_says_where_in_a_phase(ask: Ask, tmp_path: Path, case: str) -> None:
    kind, content, message = REFUSED[case]
    path, place = marked(tmp_path, in_phases(content))
    with pytest.raises(kind, match=message) as caught:
        ask("fusemax_cloud", str(path), SIZES)
    assert str(caught.value).startswith(place)
    assert len(str(caught.value).splitlines()) == 1


def test_phases_run_in_the_order_of_their_dependencies(ask: Ask) -> None:
    """AV in a phase before the one that makes its operand A breaks a dependency as much as in a stage before."""
    order = [{"stages": [{"pe2d": ["QK"]}]}, {"stages": [{"pe1d": ["GM", "SN", "SD", "A"]}]}, {"stages": [{"pe2d": ["AV"]}]}]
    phases = {**plan(None, "attention-3pass"), "phases": order}
    del phases["stages"]
    assert ask("flat_cloud", phases, SIZES, cascade="attention-3pass").latency_s > 0
    with pytest.raises(InfeasibleError, match=r"\bAV\b.*\bA\b"):
        ask("flat_cloud", {**phases, "phases": [order[0], order[2], order[1]]}, SIZES, cascade="attention-3pass")


@pytest.mark.parametrize("schedule", ["fusemax", "fusemax-architecture", "fusemax-cascade", "mine"])
def test_a_buffer_smaller_than_one_tile(tmp_path: Path, schedule: str) -> None:
    """What a tile of K, of V, of Q and the state of its rows take, said where the workload names the schedule."""
    path, place = marked(
        tmp_path,
        "attnsim: 1\nkind: kernel\nname: small\ncascade: attention-1pass\nsizes: {B: 1, H: 1, P: 1024, M: 2048, E: 64, F: 64}\n"
        f"dtype: fp16\n^schedule: {'plans/mine.yaml' if schedule == 'mine' else schedule}\n",
    )
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans" / "mine.yaml").write_text(text())
    arch = "flat_cloud" if schedule == "fusemax-cascade" else "fusemax_cloud"
    words = 256 * (64 + 64) + 256 * (64 + 64 + 2 + (512 if schedule == "fusemax-cascade" else 0))
    with pytest.raises(
        InfeasibleError, match=f"one tile of schedule {schedule} needs {2 * words} B of buffer.* {2 * words - 2} B"
    ) as caught:
        attnsim.run(str(path), arch, sets=[f"arch.buffer.capacity={2 * words - 2} B"])
    assert str(caught.value).startswith(place)
    assert len(str(caught.value).splitlines()) == 1
    (phase,) = attnsim.run(str(path), arch, sets=[f"arch.buffer.capacity={2 * words} B"]).results[0].phases
    assert (phase.row_block, phase.held_bytes) == (256, 2 * words)
