"""Live footprints: the table of fusemax (arXiv 2406.10491, section III-B), derived and not looked up."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnsim.cascade.cascade import Cascade, load_cascade
from attnsim.cascade.footprint import footprint_words, live_footprints

Small = Callable[..., Cascade]

# Words per live query row. A role of stream means that the tensor needs a tile at most, whatever the length.
TABLE = {
    "attention-3pass": {"QK": "fiber M", "SN": "fiber M", "A": "stream 1", "GM": "state 1", "SD": "state 1", "AV": "state F"},
    "attention-3pass-deferred": {"QK": "fiber M", "SN": "stream 1", "GM": "state 1", "SD": "state 1", "SNV": "state F", "AV": "state F"},
    "attention-2pass": {
        "QK": "stream M0", "SLN": "fiber M", "LM": "fiber M1", "SLD": "fiber M1", "PLM": "fiber M1", "GM": "state 1", "SD": "state 1",
        "AV": "state F",
    },
    "attention-1pass": {
        "QK": "stream M0", "SLN": "stream 1", "LM": "stream 1", "SLD": "stream 1", "PRM": "stream 1", "RM": "state 1",
        "RD": "state 1", "RNV": "state F", "AV": "state F",
    },
}  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
def test_the_published_table(name: str) -> None:
    lives = live_footprints(load_cascade(name))
    assert {tensor: f"{lives[tensor].role} {lives[tensor].formula}" for tensor in TABLE[name]} == TABLE[name]
    assert (lives["Q"].role, lives["Q"].formula, lives["Q"].shared) == ("state", "E", False)
    for tensor, width in (("K", "E"), ("V", "F")):  # a tile that all rows share
        assert (lives[tensor].role, lives[tensor].formula, lives[tensor].shared) == ("stream", width, True)


@given(M=st.integers(1, 10**6), M0=st.integers(1, 512), E=st.integers(1, 256), F=st.integers(1, 256), rows=st.integers(1, 64))
def test_totals_per_row(M: int, M0: int, E: int, F: int, rows: int) -> None:
    M1 = -(-M // M0)
    # PLM = exp(LM - GM) takes the place of LM, so the 2-pass cascade holds M1 words twice, for PLM and SLD.
    wanted = {
        "attention-3pass": M + F + E + 2,
        "attention-3pass-deferred": M + F + E + 2,
        "attention-2pass": M + 2 * M1 + F + E + 2,
        "attention-1pass": E + F + 2,
    }
    for name, words in wanted.items():
        cascade = load_cascade(name)
        sizes = cascade.resolve_sizes({"B": 1, "H": 1, "P": 7, "M": M, "E": E, "F": F}, {"M": M0})
        assert footprint_words(cascade, sizes) == words
        assert footprint_words(cascade, sizes, rows=rows) == rows * words


def test_a_tensor_counts_once_when_another_takes_its_place() -> None:
    lives = live_footprints(load_cascade("attention-3pass"))
    assert lives["SN"].replaces == "QK" and not lives["QK"].replaces
    assert live_footprints(load_cascade("attention-1pass"))["AV"].replaces == "RNV"
    # RZ reads RY, but the next step reads RY again.
    assert not live_footprints(load_cascade("product-iterative"))["RZ"].replaces


def test_an_input_read_twice_is_kept_or_read_again() -> None:
    cascade = load_cascade("product-2pass")
    lives = live_footprints(cascade)
    assert (lives["A"].role, lives["A"].formula, lives["B"].role) == ("fiber", "K", "stream")
    assert footprint_words(cascade, {"K": 1000}) == 1001  # A, and Y whose place Z takes
    assert footprint_words(load_cascade("product-deferred"), {"K": 1000}) == 2


def test_independent_fibers_need_not_be_kept(small: Small) -> None:
    lives = live_footprints(small("S = A[m]", "Y[m] = exp(B[m])", "Z = Y[m] * S", inputs={"A": ["M"], "B": ["M"]}))
    assert {lives[name].role for name in "ABY"} == {"stream"}


def test_rows_follow_the_rank_that_is_traversed() -> None:
    cascade = load_cascade("attention-backward")
    over_keys, over_queries = live_footprints(cascade, "M"), live_footprints(cascade, "P")
    assert (over_keys["dQ"].role, over_keys["dQ"].formula, over_keys["dK"].role) == ("state", "E", "stream")
    assert (over_queries["dK"].role, over_queries["dK"].formula, over_queries["dQ"].role) == ("state", "E", "stream")
    sizes = cascade.resolve_sizes({"B": 1, "H": 1, "P": 70, "M": 90, "E": 16, "F": 32})
    # per query: rows of Q, dQ (E), O, dO (F), LSE and D; per key: rows of K, dK (E), V, dV (F)
    assert footprint_words(cascade, sizes, "M") == 2 * 16 + 2 * 32 + 2
    assert footprint_words(cascade, sizes, "P") == 2 * 16 + 2 * 32


def test_shared_tensors_count_once_for_all_rows() -> None:
    cascade = load_cascade("mla-expanded")
    sizes = cascade.resolve_sizes({"B": 1, "H": 1, "P": 70, "M": 90, "C": 32, "R": 8, "N": 16, "F": 24})
    row, weights = 16 + 8 + 24 + 2, 32 * (16 + 24)  # QN, QR, RNV, RM, RD; WUK and WUV
    assert footprint_words(cascade, sizes, rows=10) == 10 * row + weights
    assert live_footprints(load_cascade("mla-absorbed"))["CKV"].formula == "C*M0"  # the key tile is read again as values
