"""Bad input, as a user makes it: one clear line a mistake, its place, the right exit code, no traceback, and nothing written."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from attnsim.cli.main import main

WORKLOAD = """\
attnsim: 1
kind: kernel
name: small
cascade: attention-1pass
sizes: {B: 1, H: 8, G: 8, P: 1024, M: 1024, E: 64, F: 64}
dtype: bf16
mask: {kind: causal}
schedule: flash-attention-2
"""
CASCADE = """\
attnsim: 1
kind: cascade
name: mine
ranks: {B: batch, H: query head, P: query, M: key, E: qk dim, F: v dim}
groups: {G: H}
inputs: {Q: [B, H, P, E], K: [B, G, M, E], V: [B, G, M, F]}
body:
  - QK[m,p] = Q[p,e] * K[m,e]
  - S[m,p] = sigmoid(QK[m,p])
  - AV[p,f] = S[m,p] * V[m,f]
"""
SCHEDULE = """\
attnsim: 1
kind: schedule
name: mine
extends: flash-attention-2
tiles:
  - {P: 64, M: 64, warps: 4}
"""
ARCH = """\
attnsim: 1
kind: gpu
name: mine
extends: h100_sxm
power:
  tdp: {value: 500 W, source: estimate, note: less cooling}
"""
OWN_CASCADE = WORKLOAD.replace("cascade: attention-1pass", "cascade: ./c.yaml").replace("flash-attention-2", "naive")
OWN_SCHEDULE = WORKLOAD.replace("schedule: flash-attention-2", "schedule: ./s.yaml")
LONG = " + ".join(["QK[m,p]"] * 3000)


@dataclass(frozen=True)
class Done:
    """One call: its exit code, the lines on stderr, what it printed, and the files it left that were not there before."""

    code: int
    errors: list[str]
    out: str
    written: set[str]


Attempt = Callable[..., Done]


@pytest.fixture
def attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Attempt:
    """Write files into an empty folder, run a command there, and see what it did."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, **files: str | bytes) -> Done:
        for name, content in files.items():
            (tmp_path / f"{name}.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
        before = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
        code = main(list(arguments))
        said = capfd.readouterr()
        after = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
        return Done(code, said.err.splitlines(), said.out, after - before)

    return run


def edited(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1
    return text.replace(old, new)


def check(done: Done, code: int, start: str, *words: str) -> None:
    assert done.code == code, done
    assert len(done.errors) == 1, done.errors
    line = done.errors[0]
    assert line.startswith(start) and all(word in line for word in words), line
    assert "Traceback" not in line and "internal error" not in line
    assert done.out == "" and done.written == set()


# name: (the workload, where the line points to, words that say what is wrong or what would be right)
IN_WORKLOAD: dict[str, tuple[str | bytes, str, tuple[str, ...]]] = {
    "unknown field": (WORKLOAD + "sises: 3\n", "w.yaml:9:1: sises: ", ("unknown field", "did you mean 'sizes'")),
    "unknown field below": (edited(WORKLOAD, "kind: causal", "kind: causal, lefft: 3"), "w.yaml:7:22: mask.lefft: ", ("unknown field",)),
    "wrong unit": (WORKLOAD + "conditions: {tensor_clock: 3 GB}\n", "w.yaml:9:14: conditions.tensor_clock: ", ("3 GB", "3 GHz")),
    "no unit": (WORKLOAD + "conditions: {tensor_clock: 1830}\n", "w.yaml:9:14: conditions.tensor_clock: ", ("no unit",)),
    "duplicate key": (WORKLOAD + "dtype: fp16\n", "w.yaml:9:1: dtype: ", ("duplicate key", "w.yaml:6:1")),
    "duplicate key in braces": (edited(WORKLOAD, "B: 1,", "B: 1, B: 2,"), "w.yaml:5:15: sizes.B: ", ("duplicate key", "w.yaml:5:9")),
    "negative size": (edited(WORKLOAD, "P: 1024", "P: -1"), "w.yaml:5:27: sizes.P: ", ("at least 1, not -1",)),
    "zero size": (edited(WORKLOAD, "P: 1024", "P: 0"), "w.yaml:5:27: sizes.P: ", ("at least 1, not 0",)),
    "fractional size": (edited(WORKLOAD, "P: 1024", "P: 10.5"), "w.yaml:5:27: sizes.P: ", ("whole number", "10.5")),
    "size in words": (edited(WORKLOAD, "P: 1024", "P: 1k"), "w.yaml:5:27: sizes.P: ", ("whole number", "'1k'")),
    "infinite size": (edited(WORKLOAD, "P: 1024", "P: .inf"), "w.yaml:5:30: sizes.P: ", ("finite",)),
    "missing size": (edited(WORKLOAD, "E: 64, ", ""), "w.yaml:5:1: sizes.E: ", ("missing",)),
    "size of no rank": (edited(WORKLOAD, "E: 64", "Z: 3, E: 64"), "w.yaml:5:45: sizes.Z: ", ("no rank 'Z'",)),
    "groups that do not divide": (edited(WORKLOAD, "G: 8", "G: 3"), "w.yaml:5:21: sizes.G: ", ("must divide",)),
    "unknown dtype": (edited(WORKLOAD, "bf16", "bf17"), "w.yaml:6:1: dtype: ", ("did you mean 'bf16'",)),
    "unknown mask": (edited(WORKLOAD, "causal", "casual"), "w.yaml:7:8: mask.kind: ", ("did you mean 'causal'",)),
    "mask as a word": (edited(WORKLOAD, "{kind: causal}", "causal"), "w.yaml:7:1: mask: ", ("write {kind: causal}",)),
    "mask as a list": (edited(WORKLOAD, "{kind: causal}", "[causal]"), "w.yaml:7:1: mask: ", ("a mapping, not a list",)),
    "negative window": (edited(WORKLOAD, "kind: causal", "kind: window, left: -3"), "w.yaml:7:22: mask.left: ", ("-3",)),
    "unknown cascade": (
        edited(WORKLOAD, "attention-1pass", "atention-1pass"),
        "w.yaml:4:1: cascade: ",
        ("did you mean 'attention-1pass'",),
    ),
    "unknown schedule": (edited(WORKLOAD, "flash-attention-2", "fa22"), "w.yaml:8:1: schedule: ", ("did you mean",)),
    "name of another kind": (edited(WORKLOAD, "flash-attention-2", "h100_sxm"), "w.yaml:8:1: schedule: ", ("name of an arch",)),
    "schedule as a number": (edited(WORKLOAD, "flash-attention-2", "3"), "w.yaml:8:1: schedule: ", ("text or a mapping, not 3",)),
    "extends a stranger": (WORKLOAD + "extends: stranger\n", "w.yaml:9:1: extends: ", ("unknown workload",)),
    "extends itself": (WORKLOAD + "extends: ./w.yaml\n", "w.yaml:9:1: extends: ", ("circle",)),
    "a cascade": (CASCADE, "w.yaml:2:1: kind: ", ("this is a cascade, but a workload is needed",)),
    "a schedule": (SCHEDULE, "w.yaml:2:1: kind: ", ("this is a schedule, but a workload is needed",)),
    "an arch": (ARCH, "w.yaml:2:1: kind: ", ("this is an arch, but a workload is needed",)),
    "empty": ("", "w.yaml:1:1: ", ("empty",)),
    "only a comment": ("# nothing yet\n", "w.yaml:1:1: ", ("empty",)),
    "a list": ("- a\n- b\n", "w.yaml:1:1: ", ("holds a list",)),
    "binary": (b"attnsim: 1\nname: \x00\x01\x02\n", "w.yaml:2:7: ", ("binary",)),
    "an image": (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "w.yaml:1:1: ", ("in UTF-8",)),
    "UTF-16": (WORKLOAD.encode("utf-16"), "w.yaml:1:1: ", ("binary",)),
    "Latin-1": (b"attnsim: 1\nname: caf\xe9\n", "w.yaml:2:10: ", ("not UTF-8",)),
    "two documents": (WORKLOAD + "---\n" + WORKLOAD, "w.yaml:9:1: ", ("second document",)),
    "a tab": (edited(WORKLOAD, "sizes: {", "sizes:\n\t{"), "w.yaml:6:1: ", ("tab",)),
    "an open brace": (edited(WORKLOAD, "F: 64}", "F: 64"), "w.yaml:6:6: ", ("not YAML",)),
    "deep nesting": ("a: " + "[" * 5000 + "]" * 5000, "w.yaml:1:", ("nested more than",)),
    "a number of 5000 digits": (edited(WORKLOAD, "P: 1024", "P: " + "9" * 5000), "w.yaml:5:30: sizes.P: ", ("too large",)),
}


@pytest.mark.parametrize("case", IN_WORKLOAD)
def test_a_mistake_in_a_workload_is_one_line_at_its_place(attempt: Attempt, case: str) -> None:
    text, place, words = IN_WORKLOAD[case]
    check(attempt("run", "w.yaml", "a100_sxm_80gb", "-o", "out.json", w=text), 3, place, *words)


IN_CASCADE: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "undefined tensor": (edited(CASCADE, "* K[", "* KK["), "c.yaml:8:5: ", ("'KK' is neither", "did you mean 'K'", "column 20")),
    "cyclic": (edited(CASCADE, "* K[m,e]", "* K[m,e] * S[m,p]"), "c.yaml:8:5: ", ("cyclic", "QK needs S needs QK")),
    "a rank used with two sizes": (edited(CASCADE, "V[m,f]", "V[p,f]"), "c.yaml:10:5: ", ("rank P", "rank M", "two meanings")),
    "index of no rank": (edited(CASCADE, "Q[p,e]", "Q[p,z]"), "c.yaml:8:5: ", ("no rank Z",)),
    "too few indices": (edited(CASCADE, "Q[p,e]", "Q[p]"), "c.yaml:8:5: ", ("Q is Q[p,e]",)),
    "unknown function": (edited(CASCADE, "sigmoid(", "sigmod("), "c.yaml:9:5: ", ("did you mean 'sigmoid'",)),
    "unclosed bracket": (edited(CASCADE, "Q[p,e] *", "Q[p,e *"), "c.yaml:8:5: ", ("expected ']'",)),
    "defined twice": (CASCADE + "  - S[m,p] = exp(QK[m,p])\n", "c.yaml:11:5: ", ("defined twice",)),
    "unknown field": (edited(CASCADE, "body:", "bodi:"), "c.yaml:7:1: bodi: ", ("did you mean 'body'",)),
    "an endless equation": (edited(CASCADE, "sigmoid(QK[m,p])", LONG), "c.yaml:9:5: ", ("too long",)),
    "endless parentheses": (edited(CASCADE, "QK[m,p])", "(" * 99 + "QK[m,p]" + ")" * 100), "c.yaml:9:5: ", ("nested too deeply",)),
    "a workload": (WORKLOAD, "c.yaml:2:1: kind: ", ("this is a workload, but a cascade is needed",)),
    "empty": ("", "c.yaml:1:1: ", ("empty",)),
}


@pytest.mark.parametrize("case", IN_CASCADE)
@pytest.mark.parametrize("command", ["run", "explain"])
def test_a_mistake_in_a_cascade_is_one_line_at_its_place(attempt: Attempt, command: str, case: str) -> None:
    text, place, words = IN_CASCADE[case]
    done = attempt(command, "w.yaml", "a100_sxm_80gb", "-o", "out.json", w=OWN_CASCADE, c=text)
    check(done, 3, place, *words)
    assert len(done.errors[0]) < 400


IN_SCHEDULE: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "unknown field": (SCHEDULE + "foo: 1\n", "s.yaml:7:1: foo: ", ("unknown field",)),
    "negative tile": (edited(SCHEDULE, "P: 64", "P: -64"), "s.yaml:6:6: tiles.0.P: ", ("-64",)),
    "efficiency of nothing": (
        SCHEDULE + "constants: {tensor_efficiency: {value: 0, source: mine}}\n",
        "s.yaml:7:33: constants.tensor_efficiency.0.value: ",
        ("more than 0",),
    ),
    "a cost in the wrong unit": (
        SCHEDULE + "constants: {cta_overhead: {value: 800 ns, source: mine}}\n",
        "s.yaml:7:28: constants.cta_overhead.0.value: ",
        ("800 cycle",),
    ),
    "a resource that is none": (SCHEDULE + "overlap: {exposed: {sfuu: 0.3}}\n", "s.yaml:7:21: overlap.exposed.sfuu: ", ("'sfu'",)),
    "half a condition": (edited(SCHEDULE, "{P: 64", "{when: E <=, P: 64"), "s.yaml:6:6: tiles.0.when: ", ("ends too early",)),
    "code for a condition": (
        edited(SCHEDULE, "{P: 64", "{when: \"__import__('os')\", P: 64"),
        "s.yaml:6:6: tiles.0.when: ",
        ("cannot read",),
    ),
    "a cascade": (CASCADE, "s.yaml:2:1: kind: ", ("this is a cascade, but a schedule is needed",)),
}


@pytest.mark.parametrize("case", IN_SCHEDULE)
def test_a_mistake_in_a_schedule_is_one_line_at_its_place(attempt: Attempt, case: str) -> None:
    text, place, words = IN_SCHEDULE[case]
    check(attempt("run", "w.yaml", "a100_sxm_80gb", "-o", "out.json", w=OWN_SCHEDULE, s=text), 3, place, *words)


IN_ARCH: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "unknown field": (ARCH + "foo: 1\n", "a.yaml:7:1: foo: ", ("unknown field",)),
    "wrong unit": (edited(ARCH, "500 W", "500 V"), "a.yaml:6:3: power.tdp: ", ("'500 V'", "'500 W'")),
    "unknown source": (edited(ARCH, "source: estimate", "source: rumour"), "a.yaml:6:3: power.tdp: ", ("rumour",)),
    "less power than idle": (edited(ARCH, "500 W", "5 W"), "a.yaml:6:3: power.tdp: ", ("idle",)),
    "boost below nominal": (
        ARCH + "clocks: {tensor: {boost: {value: 1 GHz, source: estimate, note: slow}}}\n",
        "a.yaml:7:19: clocks.tensor.boost: ",
        ("cannot be below nominal",),
    ),
    "extends a stranger": (edited(ARCH, "h100_sxm", "h1000_sxm"), "a.yaml:4:1: extends: ", ("did you mean 'h100_sxm'",)),
    "a workload": (WORKLOAD, "a.yaml:2:1: kind: ", ("this is a workload, but an arch is needed",)),
}


@pytest.mark.parametrize("case", IN_ARCH)
def test_a_mistake_in_an_arch_is_one_line_at_its_place(attempt: Attempt, case: str) -> None:
    text, place, words = IN_ARCH[case]
    check(attempt("run", "w.yaml", "a.yaml", "-o", "out.json", w=WORKLOAD, a=text), 3, place, *words)


INFEASIBLE: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    "a dtype the machine lacks": (edited(WORKLOAD, "bf16", "fp8"), SCHEDULE, "a100_sxm_80gb", ("cannot compute in fp8", "bf16")),
    "a tile that does not fit": (
        OWN_SCHEDULE,
        edited(SCHEDULE, "P: 64, M: 64", "P: 1024, M: 1024"),
        "a100_sxm_80gb",
        ("P 1024 x M 1024", "per CTA", "a100_sxm_80gb has"),
    ),
    "more warps than a processor holds": (OWN_SCHEDULE, edited(SCHEDULE, "warps: 4", "warps: 100"), "a100_sxm_80gb", ("100 warps",)),
    "a tile without queries": (OWN_SCHEDULE, edited(SCHEDULE, "P: 64, M: 64", "M: 64"), "a100_sxm_80gb", ("gives no size",)),
    "a GPU's schedule on a CPU": (WORKLOAD, SCHEDULE, "epyc_7763", ("requires kind == gpu",)),
    "no tile for the head": (edited(WORKLOAD, "E: 64, F: 64", "E: 512, F: 512"), SCHEDULE, "a100_sxm_80gb", ("no tile for E=512",)),
    "three passes in one walk": (edited(WORKLOAD, "attention-1pass", "attention-3pass"), SCHEDULE, "a100_sxm_80gb", ("3 passes",)),
}


@pytest.mark.parametrize("case", INFEASIBLE)
def test_what_cannot_run_there_is_one_line_and_exit_4(attempt: Attempt, case: str) -> None:
    workload, schedule, arch, words = INFEASIBLE[case]
    done = attempt("run", "w.yaml", arch, "-o", "out.json", w=workload, s=schedule)
    check(done, 4, "", *words)
    assert re.match(r"[ws]\.yaml:\d+:\d+: ", done.errors[0])


def test_every_mistake_of_a_file_is_told_in_one_run(attempt: Attempt) -> None:
    text = edited(edited(edited(WORKLOAD, "bf16", "bf17"), "P: 1024", "P: -1"), "causal", "casual") + "foo: 1\n"
    done = attempt("run", "w.yaml", "a100_sxm_80gb", "-o", "out.json", w=text)
    assert done.code == 3 and done.written == set()
    assert [line[: line.index(": ")] for line in done.errors] == ["w.yaml:5:27", "w.yaml:6:1", "w.yaml:7:8", "w.yaml:9:1"]


# --- the command line ----------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "start", "word"),
    [
        (("none.yaml", "a100_sxm_80gb"), 3, "none.yaml: ", "no such file"),
        (("./", "a100_sxm_80gb"), 3, ".: ", "folder"),
        (("w.yaml", "none.yaml"), 3, "none.yaml: ", "no such file"),
        (("w.yaml", "h100sxm"), 3, "attnsim: ", "did you mean 'h100_sxm'"),
        (("h100_sxm", "llama3-8b-prefill"), 3, "attnsim: ", "name of an arch"),
        (("w.yaml", "a100_sxm_80gb", "--schedule", "none.yaml"), 3, "none.yaml: ", "no such file"),
        (("w.yaml", "a100_sxm_80gb", "--set", "sizes.M=abc"), 3, "--set sizes.M=abc: sizes.M: ", "whole number"),
        (("w.yaml", "a100_sxm_80gb", "--set", "sizes.Q=3"), 3, "--set sizes.Q=3: sizes.Q: ", "no rank 'Q'"),
        (("w.yaml", "a100_sxm_80gb", "--set", "foo=3"), 3, "--set foo=3: foo: ", "unknown field"),
        (("w.yaml", "a100_sxm_80gb", "--set", "mask=causal"), 3, "--set mask=causal: mask: ", "write {kind: causal}"),
        (("w.yaml", "a100_sxm_80gb", "--set", "sizes..M=3"), 2, "attnsim: ", "dotted path"),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_one_line(attempt: Attempt, arguments: tuple[str, ...], code: int, start: str, word: str) -> None:
    check(attempt("run", *arguments, "-o", "out.json", w=WORKLOAD), code, start, word)


@pytest.mark.parametrize("command", [("run", "w.yaml", "a100_sxm_80gb"), ("explain", "w.yaml"), ("schema", "arch")])
@pytest.mark.parametrize(
    ("output", "word"),
    [("nowhere/out.json", "no folder 'nowhere'"), (".", "folder"), ("w.yaml/out.json", "not a folder"), ("x" * 300, "too long")],
)
def test_an_output_that_cannot_be_is_refused_before_the_work(attempt: Attempt, command: tuple[str, ...], output: str, word: str) -> None:
    check(attempt(*command, "-o", output, w=WORKLOAD), 2, "attnsim: cannot write ", word)


def test_an_old_output_survives_a_mistake(attempt: Attempt, tmp_path: Path) -> None:
    (tmp_path / "out.json").write_text("the answer of yesterday")
    check(attempt("run", "w.yaml", "a100_sxm_80gb", "-o", "out.json", w=WORKLOAD + "foo: 1\n"), 3, "w.yaml:9:1: ")
    assert (tmp_path / "out.json").read_text() == "the answer of yesterday"


def test_a_link_stays_a_link(attempt: Attempt, tmp_path: Path) -> None:
    (tmp_path / "real.json").write_text("old")
    (tmp_path / "link.json").symlink_to("real.json")
    done = attempt("run", "w.yaml", "a100_sxm_80gb", "-o", "link.json", w=WORKLOAD)
    assert done.code == 0 and (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "real.json").read_text().startswith("{")


def test_a_pipe_is_written_to_and_not_replaced(attempt: Attempt, tmp_path: Path) -> None:
    # As /dev/null is, which a run with the rights to do so must not turn into a file.
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        done = attempt("run", "w.yaml", "a100_sxm_80gb", "--format", "csv", "-o", "pipe", w=WORKLOAD)
        assert done.code == 0 and (tmp_path / "pipe").is_fifo()
        assert b",latency_s," in os.read(reader, 1 << 16)
    finally:
        os.close(reader)
