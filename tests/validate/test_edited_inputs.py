"""The scores are computed from the files: a number or an equation edited in any of them moves the predictions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from attnsim.spec import library
from attnsim.validate import run_cases

CASE = "fa2-a100-forward"
FA2 = "workloads/schedules/flash-attention-2.yaml"
A100 = "arch_specs/gpu/a100_sxm_80gb.yaml"
CASCADE = "workloads/cascades/attention-1pass.yaml"
EDITS = {  # file, pattern, what takes its place
    "tensor efficiency": (FA2, r"(tensor_efficiency:\s+- \{when: isa == sm_80, value: )[\d.]+", r"\g<1>0.5"),
    "exposed exponentials": (FA2, r"(sfu:\s+- \{when: isa == sm_80, value: )[\d.]+", r"\g<1>0.25"),
    "tile": (FA2, r"(when: E <= 128 and F <= 128, P: 128, M: )64", r"\g<1>16"),
    "rate of a unit": (A100, r"(uniform: \{rate: )16( OP/cycle, ops: \[exp)", r"\g<1>4\g<2>"),
    "processors": (A100, r"(name: SM, count: )108", r"\g<1>107"),
    "equation": (CASCADE, r"exp\((QK\[m1,m0,p\] - RM\[m1\+1,p\])\)", r"exp(exp(\g<1>))"),
}


def predictions() -> list[float]:
    """Latency of every row of the case, in the order of its file."""
    (case,) = run_cases([CASE]).cases
    return [p.prediction.latency_s for p in sorted(case.points, key=lambda p: p.point.record.line)]


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_file_moves_the_predictions(edit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    relative, pattern, replacement = EDITS[edit]
    text = library.data_file(relative).read_text(encoding="utf-8")
    edited, places = re.subn(pattern, replacement, text)
    assert places == 1
    before = predictions()
    copy = tmp_path / relative
    copy.parent.mkdir(parents=True)
    monkeypatch.setenv("ATTNSIM_PATH", str(tmp_path))
    copy.write_text(text, encoding="utf-8")
    assert predictions() == before  # an unchanged copy changes nothing
    copy.write_text(edited, encoding="utf-8")
    after = predictions()
    changed = sum(a != b for a, b in zip(after, before, strict=True))
    assert changed >= len(before) / 2  # a tile row serves one head width of two
