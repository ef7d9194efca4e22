from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnsim.errors import UsageError
from attnsim.spec.span import count_text, read_counts


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("8192", (8192,)),
        ("8k,32K", (8192, 32768)),
        ("1k..128k:log2", (1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072)),
        ("1k..5k:log2", (1024, 2048, 4096)),
        ("3..20:log2", (3, 6, 12)),
        ("16..64:+16", (16, 32, 48, 64)),
        ("16..63:+16", (16, 32, 48)),
        ("1M, 4k..8k:+2k, 4k", (4096, 6144, 8192, 1048576)),
        ("7..7:log2", (7,)),
    ],
)
def test_series_of_counts(text: str, counts: tuple[int, ...]) -> None:
    assert read_counts(text) == counts


@pytest.mark.parametrize(
    "text", ["", "8q", "0", "-1", "1.5k", "1k..4k", "1k..4k:log3", "4k..1k:log2", "1..4:+0", "1..4:+", "1:log2", "8k,", "1..1M:+1"]
)
def test_what_cannot_be_read_is_one_line(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_counts(text)
    assert len(str(caught.value).splitlines()) == 1


@given(st.integers(1, 10**9))
def test_a_count_survives_its_text(count: int) -> None:
    assert read_counts(count_text(count)) == (count,)
