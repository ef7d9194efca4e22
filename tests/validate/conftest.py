"""A small case on disk, and predictions that are exactly known."""

from __future__ import annotations

from pathlib import Path

import pytest

HEADER = (
    "source,arch,kernel,direction,dtype,batch,heads_q,heads_kv,seqlen_q,seqlen_kv,head_dim,causal,metric,value,unit,provenance,verified"
)

CASE = """\
attnsim: 1
kind: case
name: small
title: A small case
source: a paper, Fig. 1
arch: h100_sxm
schedule: kernel-a
cascade: attention-1pass
dtype: fp16
direction: forward
metric: throughput
points: 3
targets: {mape: 0.10}
fitted:
  - {causal: false, head_dim: 64}
"""


def reference(*rows: str) -> str:
    """CSV text of rows written as "batch heads_q heads_kv seqlen head_dim causal value"."""
    lines = [HEADER]
    for row in rows:
        batch, heads, groups, tokens, width, causal, value = row.split()
        sizes = f"{batch},{heads},{groups},{tokens},{tokens},{width},{causal}"
        lines.append(f"paper,H100,A,fwd,fp16,{sizes},throughput,{value},TFLOP/s,Fig. 1,VERIFIED")
    return "\n".join(lines) + "\n"


ROWS = reference("1 2 2 512 64 False 400", "1 2 2 512 64 True 200", "1 2 2 512 128 False 500")


@pytest.fixture
def case_folder(tmp_path: Path) -> Path:
    """A valid case of three rows: one fitted, two held out."""
    folder = tmp_path / "small"
    folder.mkdir()
    (folder / "case.yaml").write_text(CASE)
    (folder / "reference.csv").write_text(ROWS)
    return folder
