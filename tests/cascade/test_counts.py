"""Counts of whole cascades: the published table, masks, ragged tiles, and one function for ints, arrays and symbols."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from attnsim.cascade.cascade import Cascade, load_cascade, totals
from attnsim.cascade.footprint import footprint_words, live_footprints
from attnsim.cascade.formulas import PAIRS, ROW_BLOCKS, formulas
from attnsim.errors import SpecError

ATTENTION = ("attention-unstable", "attention-3pass", "attention-3pass-deferred", "attention-2pass", "attention-1pass")
LIBRARY = (*ATTENTION, "attention-backward", "mla-absorbed", "mla-expanded", "product-2pass", "product-deferred", "product-iterative")
HEAD = {"B": 1, "H": 1, "G": 1}


def one_head(name: str, sizes: Mapping[str, Any]) -> tuple[Cascade, dict[str, dict[str, Any]], dict[str, Any]]:
    cascade = load_cascade(name)
    tiles = {"M0": sizes["M0"]} if cascade.partition else {}
    resolved = cascade.resolve_sizes({**HEAD, **{rank: sizes[rank] for rank in "PMEF"}}, tiles)
    counts = cascade.counts(resolved)
    return cascade, counts, totals(counts)


@given(
    st.fixed_dictionaries(
        {
            "P": st.integers(1, 5000),
            "M": st.integers(1, 100_000),
            "E": st.integers(1, 256),
            "F": st.integers(1, 256),
            "M0": st.integers(1, 512),
        }
    )
)
def test_the_published_table_of_operations(sizes: dict[str, int]) -> None:
    """Compute-cost accounting of arXiv 2406.10491 and its artifact, per head and batch element."""
    P, M, E, F = (sizes[rank] for rank in "PMEF")
    M1 = -(-M // sizes["M0"])
    MP = M * P
    softmax = {"max": MP, "sub": MP, "exp": MP, "add": MP}
    assert one_head("attention-3pass", sizes)[2] == {"mac": (E + F) * MP, **softmax, "div": MP}
    assert one_head("attention-3pass-deferred", sizes)[2] == {"mac": (E + F) * MP, **softmax, "div": F * P}
    tiled = {"max": MP + M1 * P, "sub": MP + M1 * P, "exp": MP + M1 * P}
    # SD = SLD * PLM is a contraction over M1: its mac is the table's one mul and one add.
    assert one_head("attention-2pass", sizes)[2] == {"mac": (E + F) * MP + M1 * P, **tiled, "add": MP, "mul": MP, "div": MP}
    assert one_head("attention-1pass", sizes)[2] == {
        "mac": (E + F) * MP, **tiled, "add": MP + M1 * P + F * M1 * P, "mul": M1 * P + F * M1 * P, "div": F * P,
    }  # fmt: skip


def test_operations_are_charged_to_the_einsum_that_does_them() -> None:
    sizes = {"P": 3, "M": 20, "E": 5, "F": 7, "M0": 8}
    _, counts, _ = one_head("attention-1pass", sizes)
    assert counts == {
        "QK": {"mac": 3 * 20 * 5}, "LM": {"max": 60}, "RM": {"max": 9}, "SLN": {"sub": 60, "exp": 60}, "SLD": {"add": 60},
        "SLNV": {"mac": 3 * 20 * 7}, "PRM": {"sub": 9, "exp": 9}, "SPD": {"mul": 9}, "RD": {"add": 9}, "SPNV": {"mul": 63},
        "RNV": {"add": 63}, "AV": {"div": 21},
    }  # fmt: skip


def test_backward_runs_five_matmuls_and_its_preprocess() -> None:
    cascade = load_cascade("attention-backward")
    assert set(cascade.matmuls) == {"QK", "dV", "dP", "dQ", "dK"} and set(cascade.outputs) == {"dQ", "dK", "dV"}
    B, H, G, P, M, E, F = 2, 8, 2, 30, 50, 16, 24
    sizes = cascade.resolve_sizes({"B": B, "H": H, "G": G, "P": P, "M": M, "E": E, "F": F})
    counts = cascade.counts(sizes)
    assert cascade.matmul_flops(counts) == 2 * B * H * P * M * (3 * E + 2 * F)
    assert counts["D"] == {"mac": B * H * P * F} and counts["SN"] == {"sub": B * H * P * M, "exp": B * H * P * M}
    assert cascade.compulsory(sizes)["write"] == {"dQ": B * H * P * E, "dK": B * G * M * E, "dV": B * G * M * F}


def test_latent_attention_counts() -> None:
    """DeepSeek-V3's core: absorbed 2*H*(2C + R) FLOPs a key, and one latent row of C + R elements read for all heads."""
    sizes = {"B": 4, "H": 128, "P": 1, "M": 8192, "C": 512, "R": 64}
    cascade = load_cascade("mla-absorbed")
    resolved = cascade.resolve_sizes(sizes, {"M0": 64})
    assert cascade.matmul_flops(cascade.counts(resolved)) == 4 * 8192 * 2 * 128 * (2 * 512 + 64)
    reads = cascade.compulsory(resolved)["read"]
    assert reads["CKV"] + reads["KR"] == 4 * 8192 * (512 + 64)
    expanded = load_cascade("mla-expanded")
    counts = expanded.counts(expanded.resolve_sizes({**sizes, "N": 128, "F": 128}))
    assert counts["KN"] == counts["V"] == {"mac": 4 * 128 * 8192 * 512 * 128}
    assert counts["QK"] == {"mac": 4 * 128 * 8192 * (128 + 64)} and counts["SLNV"] == {"mac": 4 * 128 * 8192 * 128}


@pytest.mark.parametrize("name", ATTENTION)
def test_a_group_shares_keys_and_values_and_changes_no_operation(name: str) -> None:
    cascade = load_cascade(name)
    sizes = {"B": 2, "H": 12, "P": 7, "M": 9, "E": 4, "F": 5}
    grouped, single = cascade.resolve_sizes({**sizes, "G": 3}), cascade.resolve_sizes(sizes)
    assert single["G"] == 12
    assert cascade.counts(grouped) == cascade.counts(single)
    assert cascade.compulsory(grouped) == {
        "read": {"Q": 2 * 12 * 7 * 4, "K": 2 * 3 * 9 * 4, "V": 2 * 3 * 9 * 5},
        "write": {"AV": 2 * 12 * 7 * 5},
    }
    assert cascade.compulsory_bytes(grouped, 2)["K"] == 2 * 2 * 3 * 9 * 4
    widths = {"Q": 1, "K": 1, "V": 1, "AV": 2}
    assert sum(cascade.compulsory_bytes(grouped, widths).values()) == 2 * 12 * 7 * 4 + 2 * 3 * 9 * (4 + 5) + 2 * 2 * 12 * 7 * 5


def test_a_mask_scales_points_by_pairs_and_tile_rows_by_row_blocks() -> None:
    cascade = load_cascade("attention-1pass")
    sizes = cascade.resolve_sizes({"B": 2, "H": 3, "P": 8, "M": 16, "E": 4, "F": 5}, {"M0": 4})
    dense, masked = cascade.counts(sizes), cascade.counts(sizes, pairs=36, row_blocks=20)
    assert cascade.counts(sizes, pairs=8 * 16, row_blocks=8 * 4) == dense
    assert masked["QK"] == {"mac": 6 * 36 * 4} and masked["SLN"] == {"sub": 6 * 36, "exp": 6 * 36}
    assert masked["RM"] == {"max": 6 * 20} and masked["RNV"] == {"add": 6 * 20 * 5}
    assert masked["AV"] == dense["AV"] == {"div": 6 * 8 * 5}


def test_a_mask_leaves_the_expansion_of_keys_alone() -> None:
    cascade = load_cascade("mla-expanded")
    sizes = cascade.resolve_sizes({"B": 1, "H": 2, "P": 8, "M": 16, "C": 4, "R": 2, "N": 3, "F": 5}, {"M": 4})
    assert cascade.counts(sizes, pairs=36)["KN"] == cascade.counts(sizes)["KN"] == {"mac": 2 * 16 * 4 * 3}


def test_ragged_last_tile_is_not_padded() -> None:
    cascade = load_cascade("attention-1pass")
    sizes = cascade.resolve_sizes({"B": 1, "H": 1, "P": 10, "M": 100, "E": 4, "F": 4}, {"M0": 64})
    assert (sizes["M1"], sizes["M0"]) == (2, 64)
    assert cascade.counts(sizes)["QK"] == {"mac": 10 * 100 * 4}


def test_sizes_beyond_64_bits_stay_exact() -> None:
    cascade = load_cascade("attention-1pass")
    big = {"B": 128, "H": 128, "G": 128, "P": 2**20, "M": 2**20, "E": 128, "F": 128}
    exact = totals(cascade.counts(cascade.resolve_sizes(big)))["mac"]
    assert exact == 2**63 // 2  # B*H*P*M*(E + F): its FLOPs pass int64
    arrays = totals(cascade.counts(cascade.resolve_sizes({rank: np.array([size, size]) for rank, size in big.items()})))["mac"]
    assert arrays.dtype == np.float64 and arrays.tolist() == [float(exact)] * 2
    assert (2 * arrays > 0).all()


SIZES = st.fixed_dictionaries(
    {"B": st.integers(1, 9), "G": st.integers(1, 9), "P": st.integers(1, 9000), "M": st.integers(1, 9000), "M0": st.integers(1, 300)}
)


def random_sizes(cascade: Cascade, drawn: Mapping[str, int]) -> dict[str, int]:
    wide = {**drawn, "H": 3 * drawn["G"], "E": 64, "F": 48, "C": 32, "R": 8, "N": 24, "K": drawn["M"]}
    return {rank: wide[rank] for rank in (*cascade.ranks, *cascade.groups)}


@pytest.mark.parametrize("name", LIBRARY)
@settings(max_examples=20)
@given(drawn=SIZES, pairs=st.integers(0, 10**8), blocks=st.integers(0, 10**6))
def test_formulas_with_sizes_put_in_are_the_integer_counts(name: str, drawn: dict[str, int], pairs: int, blocks: int) -> None:
    cascade = load_cascade(name)
    sizes = random_sizes(cascade, drawn)
    tiles = {"M0": drawn["M0"]} if cascade.partition else {}
    resolved = cascade.resolve_sizes(sizes, tiles)
    for masked in (False, True) if cascade.positions else (False,):
        found = formulas(cascade, masked)
        values = {**sizes, **tiles, PAIRS: pairs, ROW_BLOCKS: blocks}
        counts = cascade.counts(resolved, *((pairs, blocks) if masked else ()))
        assert {label: {kind: found.value(e, values) for kind, e in kinds.items()} for label, kinds in found.operations.items()} == counts
        assert {kind: found.value(sympy.sympify(e), values) for kind, e in found.totals.items()} == totals(counts)
        assert found.value(found.flops, values) == cascade.matmul_flops(counts)
    assert found.value(found.bytes(2), values) == sum(cascade.compulsory_bytes(resolved, 2).values())
    assert found.value(found.footprint_total, values) == footprint_words(cascade, resolved)
    assert {tensor: found.value(e, values) for tensor, e in found.footprint.items()} == {
        tensor: live.words(resolved) for tensor, live in live_footprints(cascade).items()
    }


@pytest.mark.parametrize("name", LIBRARY)
def test_a_sweep_in_arrays_is_the_same_as_point_by_point(name: str) -> None:
    cascade = load_cascade(name)
    points = [{"B": b, "G": 2, "P": 10 * b, "M": 77 * b, "M0": 16} for b in range(1, 6)]
    drawn = {rank: np.array([point[rank] for point in points]) for rank in points[0]}
    tiles = {"M0": drawn["M0"]} if cascade.partition else {}
    resolved = cascade.resolve_sizes(random_sizes(cascade, drawn), tiles)
    swept = cascade.counts(resolved, pairs=drawn["P"] * 5, row_blocks=drawn["P"] * 2)
    words = footprint_words(cascade, resolved)
    for i, point in enumerate(points):
        one = cascade.resolve_sizes(random_sizes(cascade, point), {"M0": 16} if cascade.partition else {})
        exact = cascade.counts(one, pairs=point["P"] * 5, row_blocks=point["P"] * 2)
        assert {label: {kind: np.broadcast_to(n, 5)[i] for kind, n in kinds.items()} for label, kinds in swept.items()} == exact
        assert np.broadcast_to(words, 5)[i] == footprint_words(cascade, one)


def test_formulas_read_like_the_paper() -> None:
    lines = formulas(load_cascade("attention-1pass")).lines()
    assert lines[0].split() == ["matmul", "FLOPs", "2*B*H*M*P*(E", "+", "F)"]
    assert any(line.endswith("B*H*M*P + B*H*P*ceiling(M/M0)") for line in lines)
    assert any(line.split() == ["read", "K,", "elements", "B*E*G*M"] for line in lines)


def test_part_sizes_come_from_the_tile() -> None:
    cascade = load_cascade("attention-1pass")
    base = {"B": 1, "H": 1, "P": 4, "M": 1000, "E": 8, "F": 8}
    whole = cascade.resolve_sizes(base)
    assert (whole["M0"], whole["M1"]) == (1000, 1)
    assert cascade.resolve_sizes(base, {"M0": 128}) == cascade.resolve_sizes(base, {"M": 128, "P": 64}) == {**whole, "M0": 128, "M1": 8}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"P": None}, "sizes.P: the size of rank P (query) is missing"),
        ({"L": 8}, "sizes.L: cascade attention-1pass has no rank 'L'; its ranks are B, H, P, M, E, F, G"),
        ({"M": 0}, "sizes.M: the size of rank M must be a whole number of at least 1, not 0"),
        ({"M": -4}, "not -4"),
        ({"M": 2.5}, "not 2.5"),
        ({"M": True}, "not True"),
        ({"M": "8"}, "not '8'"),
        ({"M": np.array([4, 0])}, "sizes.M: the size of rank M must be a whole number"),
        ({"G": 5}, "sizes.G: G = 5 must divide H = 8: a group holds H/G heads"),
    ],
)
def test_sizes_that_cannot_be(change: dict[str, Any], message: str) -> None:
    sizes = {"B": 1, "H": 8, "G": 2, "P": 4, "M": 16, "E": 8, "F": 8, **change}
    with pytest.raises(SpecError) as caught:
        load_cascade("attention-1pass").resolve_sizes({rank: size for rank, size in sizes.items() if size is not None})
    assert message in str(caught.value)


def test_every_wrong_size_is_reported_at_once() -> None:
    with pytest.raises(SpecError) as caught:
        load_cascade("attention-1pass").resolve_sizes({"B": 0, "H": 1, "P": 4, "M": -1, "E": 8})
    assert len(caught.value.issues) == 3


def test_counting_with_ints_loads_no_array_or_symbol_library() -> None:
    code = (
        "import sys; from attnsim.cascade.cascade import load_cascade; c = load_cascade('attention-1pass'); c.pass_counts();"
        "c.counts(c.resolve_sizes(dict(B=1, H=1, P=4, M=8, E=2, F=2)));"
        "print([m for m in ('numpy', 'sympy', 'networkx', 'pandas', 'matplotlib', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)})
    assert done.stdout.strip() == "[]"
