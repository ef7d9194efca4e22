"""Reading CSV rows with their lines, and row filters."""

from __future__ import annotations

from pathlib import Path

import pytest

from attnsim.errors import SpecError
from attnsim.validate.records import matches, parse_bool, read_csv


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "t.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_rows_keep_the_line_they_start_on(tmp_path: Path) -> None:
    table = read_csv(write(tmp_path, '# made by hand\n\na,b\n1,2\n\n# note\n"x\ny",3\n4,5\n'), ["a", "b"])
    assert table.columns == ("a", "b")
    assert [(r.line, r.values["a"]) for r in table.records] == [(4, "1"), (7, "xy"), (9, "4")]


def test_fields_are_stripped_and_a_byte_order_mark_is_no_column_name(tmp_path: Path) -> None:
    table = read_csv(write(tmp_path, b"\xef\xbb\xbfa, b\n 1 ,2\n"), ["a", "b"])
    assert table.records[0].values == {"a": "1", "b": "2"}


def test_a_row_of_the_wrong_length_is_kept_with_its_fault(tmp_path: Path) -> None:
    table = read_csv(write(tmp_path, "a,b\n1\n1,2,3\n"), ["a"])
    assert [r.fault for r in table.records] == ["1 fields where the header has 2", "3 fields where the header has 2"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty"),
        ("# only a comment\n", "the file is empty"),
        ("aa,c\n1,2\n", "column 'a' is missing"),
        ("a,a,b\n1,2,3\n", "column 'a' is given twice"),
        (bytes(range(256)), "not UTF-8"),
        (b"a,b\n\x00,1\n", "NUL"),
    ],
)
def test_an_unusable_file_says_why(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        read_csv(write(tmp_path, content), ["a", "b"])
    assert "t.csv" in str(caught.value)


def test_every_missing_column_is_named_in_one_go(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        read_csv(write(tmp_path, "x\n1\n"), ["a", "b"])
    assert len(caught.value.issues) == 2


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no such file"):
        read_csv(tmp_path / "none.csv", ["a"])
    with pytest.raises(SpecError, match="folder"):
        read_csv(tmp_path, ["a"])


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({}, True),
        ({"d": 64}, True),
        ({"d": [128, 64]}, True),
        ({"d": 128}, False),
        ({"d": "64"}, True),
        ({"causal": True}, True),
        ({"causal": False}, False),
        ({"causal": [True, False]}, True),
        ({"d": 64, "k": "A"}, True),
        ({"d": 64, "k": "a"}, False),
        ({"k": 1}, False),
        ({"missing": "A"}, False),
    ],
)
def test_filters(where: dict, expected: bool) -> None:
    assert matches({"d": "64", "causal": "True", "k": "A"}, where) is expected


def test_booleans_in_every_spelling() -> None:
    assert [parse_bool(t) for t in ("True", "true", "1", "False", "0", "", "yes")] == [True, True, True, False, False, None, None]
