"""Suite decode: what its rows say, and that page tables, references and calls agree with each other, over a stand-in for FlashInfer."""

from __future__ import annotations

import sys
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from attnsim.measure.attention import Call
from attnsim.measure.suites import decode
from attnsim.spec.measurement import ATTENTION, FILE, MEASURED


def test_counts_and_columns() -> None:
    rows = [case.values for case in decode.cases("cuda", False)]
    counts = Counter(str(row["kernel"]) for row in rows)
    assert counts["flashinfer-decode"] + counts["flashinfer-decode-cuda"] >= 130 and counts["flashinfer-mla"] >= 40
    assert counts["flash-decoding"] + counts["flash-attention-2"] >= 60
    for row in rows:
        assert set(ATTENTION) - {"time_us"} <= set(row) <= set(FILE) - (set(MEASURED) - {"suite", "backend"})
        assert row["seqlen_q"] == 1 and int(str(row["seqlen_kv"])) > 0


def test_no_row_stands_twice_and_no_cache_is_too_large() -> None:
    whole = [call for call in decode.rows(False) if decode.cache_bytes(call) <= decode.CACHE_BYTES]
    assert len(whole) == len(list(decode.cases("cuda", False)))
    counts = Counter(tuple(sorted(case.values.items())) for case in decode.cases("cuda", False))
    assert set(counts.values()) == {1}
    assert all(decode.cache_bytes(call) > 0 for call in whole)


def test_ragged_rows_say_all_their_lengths() -> None:
    ragged = [case.values for case in decode.cases("cuda", False) if case.values["lengths"]]
    assert len(ragged) >= 6
    for row in ragged:
        lengths = [int(part) for part in str(row["lengths"]).split(";")]
        assert len(lengths) == row["batch"] and max(lengths) == row["seqlen_kv"] and min(lengths) > 0


def test_small_groups_are_left_to_cuda_cores() -> None:
    for case in decode.cases("cuda", False):
        if str(case.values["kernel"]).startswith("flashinfer-decode"):
            group = int(str(case.values["heads_q"])) // int(str(case.values["heads_kv"]))
            assert (case.values["backend"] == "flashinfer-cuda-core") == (group < 4) == (case.values["kernel"] == "flashinfer-decode-cuda")
            assert case.needs == ("flashinfer",) and case.build


class _Paged:
    """Reads a page table as FlashInfer does: indptr, indices, tokens of the last page."""

    def __init__(self, workspace: Any, layout: str, use_tensor_cores: bool) -> None:
        assert layout == "NHD" and not workspace.any()

    def plan(self, indptr: Any, indices: Any, last: Any, *sizes: int, sm_scale: float, **named: Any) -> None:
        self.table, self.scale = (indptr, indices, last), sm_scale

    def run(self, q: Any, cache: tuple[Any, Any]) -> Any:
        import torch

        indptr, indices, last = self.table
        found = []
        for i in range(len(last)):
            pages = indices[indptr[i] : indptr[i + 1]].long()
            tokens = (len(pages) - 1) * cache[0].shape[1] + int(last[i])
            k, v = (x[pages].flatten(0, 1)[:tokens].double().repeat_interleave(q.shape[1] // x.shape[2], 1) for x in cache)
            weights = (torch.einsum("hd,mhd->hm", q[i].double(), k) * self.scale).softmax(-1)
            found.append(torch.einsum("hm,mhd->hd", weights, v))
        return torch.stack(found).to(q.dtype)


class _Latent:
    def __init__(self, workspace: Any, backend: str) -> None:
        pass

    def plan(self, queries: Any, indptr: Any, indices: Any, lengths: Any, *rest: Any) -> None:
        assert queries.tolist() == list(range(len(lengths) + 1)) and rest[:4] == (16, 512, 64, decode.PAGE)
        page = rest[3]
        self.inner = _Paged(SimpleNamespace(any=lambda: False), "NHD", True)
        self.inner.plan(indptr, indices, (lengths - 1) % page + 1, sm_scale=rest[5])

    def run(self, q: Any, rotary: Any, latents: Any, keys: Any) -> Any:
        import torch

        values = latents[:, :, None]
        return self.inner.run(torch.cat((q, rotary), -1), (torch.cat((values, keys[:, :, None]), -1), values))


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    fake = SimpleNamespace(BatchDecodeWithPagedKVCacheWrapper=_Paged, mla=SimpleNamespace(BatchMLAPagedAttentionWrapper=_Latent))
    monkeypatch.setitem(sys.modules, "flashinfer", fake)
    monkeypatch.setattr(decode, "WORKSPACE", 1024)
    decode.workspace.cache_clear()


@pytest.mark.parametrize("lengths", [(), (33, 16, 100)])
def test_paged_calls_read_what_the_check_reads(library: None, lengths: tuple[int, ...]) -> None:
    call = Call("flashinfer", 3, 8, 2, 1, 100, 64, 64, lengths=lengths)
    prepared = decode.paged(call, True, "cpu")
    assert len(prepared.calls) >= 2
    assert prepared.check() <= prepared.tolerance


def test_latent_calls_read_what_the_check_reads(library: None) -> None:
    prepared = decode.latent(Call("flashinfer", 2, 16, 1, 1, 50, 576, 512), "cpu")
    assert prepared.check() <= prepared.tolerance


def test_a_wrong_page_is_seen(library: None) -> None:
    prepared = decode.paged(Call("flashinfer", 2, 8, 2, 1, 64, 64, 64), True, "cpu")
    wrapper = prepared.calls[0].func.__self__  # type: ignore[attr-defined]
    indptr, indices, last = wrapper.table
    wrapper.table = indptr, indices.roll(1), last
    assert prepared.check() > prepared.tolerance
