"""FlexAttention: masks stored in blocks, blocks skipped and masked as PyTorch does it, and the times measured on an H100."""

from __future__ import annotations

import csv
from math import ceil
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import attnsim
from attnsim import mask as masks
from attnsim.errors import InfeasibleError, SpecError
from attnsim.evaluate.estimate import KernelEstimate
from attnsim.spec.mask import WindowMask
from attnsim.validate import run_cases
from attnsim.validate.cases import find, load_case

CASE = "flex-attention-h100"


def ask(mask: dict[str, Any], *, schedule: Any = "flex-attention", arch: str = "h100_sxm", tokens: int = 8192, width: int = 128) -> Any:
    workload = {
        "attnsim": 1, "kind": "kernel", "name": "asked", "cascade": "attention-1pass", "dtype": "bf16", "schedule": schedule, "mask": mask,
        "sizes": {"B": 1, "H": 16, "G": 16, "P": tokens, "M": tokens, "E": width, "F": width},
        "conditions": {"power_limit": False, "launch": "none"},
    }  # fmt: skip
    return attnsim.run(workload, arch).results[0]


def kernel(mask: dict[str, Any], **fields: Any) -> KernelEstimate:
    """The kernel behind `ask`."""
    return ask(mask, **fields).kernels[0]


# --- a mask in blocks -----------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    left=st.integers(0, 90), right=st.integers(0, 90), tokens=st.integers(1, 150), rows=st.integers(1, 3), across=st.integers(1, 3),
    tile=st.sampled_from([(4, 8), (8, 4), (16, 16)]),
)  # fmt: skip
def test_tiles_are_visited_and_masked_with_their_block(
    left: int, right: int, tokens: int, rows: int, across: int, tile: tuple[int, int]
) -> None:
    mask = masks.from_spec(WindowMask(kind="window", left=left, right=right))
    sides = tile[0] * rows, tile[1] * across
    walk = mask.walk(tokens, tokens, *tile).within(mask.walk(tokens, tokens, *sides), rows, across)
    seen = mask.attends(tokens, tokens)
    for index in range(ceil(tokens / tile[0])):
        block = index // rows * sides[0]
        found = [seen[block : block + sides[0], key : key + sides[1]] for key in range(0, tokens, sides[1])]
        short = [tokens - key < sides[1] for key in range(0, tokens, sides[1])]  # keys out of range are masked
        run = walk.at(index)
        everything = ceil(tokens / tile[1])  # a short last block is computed whole, but never more tiles than there are
        assert run.visited == min(across * sum(bool(part.any()) for part in found), everything)
        partial = sum(bool(part.any() and (end or not part.all())) for part, end in zip(found, short, strict=True))
        assert run.partial == min(across * partial, run.visited)
    assert walk.tile_count == ceil(tokens / tile[0]) and walk.extent == tokens


def test_blocks_count_as_pytorch_counts_them() -> None:
    """Every mask measured: the blocks of PyTorch's own BlockMask, visited and partial."""
    folder = find(CASE)
    with (folder / "reference.csv").open(newline="") as file:
        written = list(csv.DictReader(file))
    points = load_case(folder).points
    assert len(points) == len(written) == 116
    for row, point in zip(written, points, strict=True):
        record = attnsim.run(point.workload("row"), "h100_sxm").to_dict()["results"][0]["mask"]
        tile = {"64": 64 * 64, "128": 128 * (128 if row["head_dim"] == "64" else 64)}[row["block"]]
        per_block = int(row["block"]) ** 2 // tile
        counted = [record[name] * int(row["heads_q"]) for name in ("tile_pairs_kernel", "tile_pairs_partial")]
        assert counted == [int(row[name]) * per_block for name in ("blocks", "partial_blocks")], row


def test_smaller_blocks_skip_more() -> None:
    window = {"kind": "window", "left": 300}
    pairs = [
        ask(window, schedule=schedule).to_dict()["mask"]["tile_pairs_kernel"] * size
        for schedule, size in (
            ({"extends": "flex-attention", "block_mask": {"P": 256, "M": 256}}, 128 * 64),
            ("flex-attention", 128 * 64),
            ({"extends": "flex-attention", "block_mask": None}, 128 * 64),
            ("flex-attention-64", 64 * 64),
        )
    ]
    assert pairs == sorted(pairs, reverse=True) and len(set(pairs)) == 4


def test_blocks_hold_whole_tiles() -> None:
    with pytest.raises(InfeasibleError, match="blocks of 96 along P cannot be cut into its tiles of 128"):
        ask({"kind": "causal"}, schedule={"extends": "flex-attention", "block_mask": {"P": 96, "M": 128}})
    with pytest.raises(SpecError, match="no rank of positions 'E' in cascade"):
        ask({"kind": "causal"}, schedule={"extends": "flex-attention", "block_mask": {"P": 128, "E": 128}})


# --- what a mask costs ----------------------------------------------------------------------------


def test_only_partial_blocks_pay_for_the_mask() -> None:
    """Boxes that a stride fills wholly are computed without the mask; others pay its operations once a partial block."""
    shape = {"kind": "neighborhood", "shape": [64, 128], "window": [32, 32]}
    sparse, ragged = (kernel({**shape, "stride": stride}, schedule="flex-attention-64") for stride in (16, 1))
    assert "mask" not in sparse.issued_ops["vector"]
    record = ask({**shape, "stride": 1}, schedule="flex-attention-64").to_dict()["mask"]
    assert 0 < record["tile_pairs_partial"] < record["tile_pairs_kernel"]
    assert ragged.issued_ops["vector"]["mask"] == 56 * 64 * 64 * record["tile_pairs_partial"] * 16


def test_skipped_blocks_take_no_time() -> None:
    dense, causal, window = (ask(mask).latency_s for mask in ({"kind": "dense"}, {"kind": "causal"}, {"kind": "window", "left": 255}))
    assert window < 0.2 * dense < causal < 0.75 * dense


def test_a_block_mask_slows_the_wide_head_even_where_nothing_is_masked() -> None:
    """Measured: 16384 keys of one head take 18 % longer under a causal mask at d 128, although the longest CTA walks all of them."""
    assert ask({"kind": "causal"}, tokens=2048).latency_s > 0.6 * ask({"kind": "dense"}, tokens=2048).latency_s


@pytest.mark.parametrize(("arch", "width", "tile"), [
    ("h100_sxm", 64, (128, 128)), ("h100_sxm", 128, (128, 64)), ("h100_sxm", 256, (64, 32)), ("a100_sxm_80gb", 64, (128, 64)),
    ("a100_sxm_80gb", 128, (128, 64)), ("b200", 64, (128, 128)), ("b200", 32, (64, 64)),
])  # fmt: skip
def test_tiles_are_pytorchs_defaults(arch: str, width: int, tile: tuple[int, int]) -> None:
    found = kernel({"kind": "causal"}, arch=arch, width=width)
    assert (found.tile["P"], found.tile["M"]) == tile


@pytest.mark.parametrize(("width", "mask", "ctas"), [(64, "dense", 4), (64, "window", 3), (128, "causal", 2)])
def test_small_tiles_share_a_processor_as_compiled(width: int, mask: str, ctas: int) -> None:
    written = {"kind": mask} | ({"left": 255} if mask == "window" else {})
    assert kernel(written, schedule="flex-attention-64", width=width).ctas_per_processor == ctas


# --- the measured case ----------------------------------------------------------------------------


def test_held_out_rows_are_met() -> None:
    (case,) = run_cases([CASE]).cases
    errors = [abs(p.error) for p in case.points if not p.point.fitted]
    assert len(errors) == 89 and sum(errors) / len(errors) < 0.035 and max(errors) < 0.16
    assert all(group.ok for group in case.groups)
    assert sum(group.target_met is not None for group in case.groups) == 8


def test_two_runs_agree() -> None:
    """The noise the errors stand against: two loans of a card, every row of the script."""
    first, again = (
        list(csv.DictReader(line for line in (find(CASE) / name).read_text().splitlines() if not line.startswith("#")))
        for name in ("measured.csv", "measured-again.csv")
    )
    same = ("kernel", "batch", "heads_q", "seqlen_q", "head_dim", "reach", "block", "options", "registers", "blocks")
    assert [[row[name] for name in same] for row in first] == [[row[name] for name in same] for row in again]
    changes = [abs(float(b["time_us"]) / float(a["time_us"]) - 1) for a, b in zip(first, again, strict=True)]
    assert len(changes) == 136 and sum(changes) / len(changes) < 0.01 and max(changes) < 0.06
