"""The YAML reader: 1.2 scalars, positions, everything that is refused, `--set`, and documents as values."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml as pyyaml
from hypothesis import given
from hypothesis import strategies as st

from attnsim.errors import SpecError, UsageError
from attnsim.spec import scan
from attnsim.spec.yaml import Document, from_dict, load_yaml, parse_yaml


def lines(text: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        parse_yaml(text, "w.yaml")
    return str(caught.value).splitlines()


@pytest.fixture(params=["installed", "pure"], autouse=True)
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every test runs on the parser this machine has (libyaml in every PyYAML wheel) and on the pure one: both must say the same."""
    if request.param == "pure":
        monkeypatch.setattr(scan, "_LOADER", pyyaml.SafeLoader)
    return str(request.param)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3.35e12", 3.35e12),
        ("80e9", 80e9),
        ("1e12", 1e12),
        ("-1.5E-3", -1.5e-3),
        (".5", 0.5),
        ("1.", 1.0),
        ("0", 0),
        ("-0", 0),
        ("+12", 12),
        ("8192", 8192),
        ("9223372036854775808", 2**63),
        ("0x1F", 31),
        ("0o17", 15),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("", None),
        # YAML 1.1 would read each of these as something else
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("no", "no"),
        ("y", "y"),
        ("N", "N"),
        ("12:30", "12:30"),
        ("2025-01-01", "2025-01-01"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("=", "="),
        # and these are text in both
        ("3.35 TB/s", "3.35 TB/s"),
        ("1e", "1e"),
        ("e5", "e5"),
        (".", "."),
        ("-", None),
        ("01x", "01x"),
        ("'8'", "8"),
        ('"010"', "010"),
        ("'null'", "null"),
        ("|\n  8\n", "8\n"),
        ("causal", "causal"),
    ],
)
def test_plain_scalars_follow_yaml_1_2(text: str, value: Any) -> None:
    if text == "-":
        assert parse_yaml("a:\n  -\n", "f").data == {"a": [None]}
        return
    read = parse_yaml(f"a: {text}", "f").data["a"]
    assert read == value
    assert type(read) is type(value)


def test_keys_are_text() -> None:
    assert parse_yaml("on: 1\n2: b\nnull: c\n'x y': d\nN: e\n", "f").data == {"on": 1, "2": "b", "null": "c", "x y": "d", "N": "e"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 010", "w.yaml:1:4: a: '010' starts with a zero; write 10 for the number, or quote it for text"),
        ("a: -00.5", "w.yaml:1:4: a: '-00.5' starts with a zero; write -0.5 for the number, or quote it for text"),
        ("a: 00", "w.yaml:1:4: a: '00' starts with a zero; write 0 for the number, or quote it for text"),
        ("a: .nan", "w.yaml:1:4: a: '.nan' is not a finite number"),
        ("a: [1, -.inf]", "w.yaml:1:8: a.1: '-.inf' is not a finite number"),
        ("a: 1e999", "w.yaml:1:4: a: '1e999' is too large for a number"),
        ("a: " + "9" * 101, "w.yaml:1:4: a: a whole number of 101 digits is too large"),
        ("a: 1\nb: {c: 2, c: 3}\n", "w.yaml:2:11: b.c: duplicate key; 'c' is already at w.yaml:2:5; keep one of the two"),
        ("1: a\n'1': b\n", "w.yaml:2:1: 1: duplicate key; '1' is already at w.yaml:1:1; keep one of the two"),
        ("a: *b", "w.yaml:1:4: a: alias '*b' is not supported; write the value out, or use 'extends:'"),
        ("a: &b 1", "w.yaml:1:4: a: anchor '&b' is not supported; write values out, or use 'extends:'"),
        ("a: !!python/name:os.system x", "w.yaml:1:4: a: tag 'tag:yaml.org,2002:python/name:os.system' is not supported; remove it"),
        ("a: !x 1", "w.yaml:1:4: a: tag '!x' is not supported; remove it"),
        ("a: !!str 1", "w.yaml:1:4: a: tag 'tag:yaml.org,2002:str' is not supported; remove it"),
        ("&k a: 1", "w.yaml:1:1: a: anchors and tags are not supported; remove them"),
        ("<<: {a: 1}", "w.yaml:1:1: merge key '<<' is not supported; use 'extends:'"),
        ("? [a, b]\n: 1\n", "w.yaml:1:3: a key must be plain text"),
        ("'': 1", "w.yaml:1:1: a key is missing before ':'"),
        ("", "w.yaml:1:1: is empty; a spec is a mapping such as 'attnsim: 1'"),
        ("# only a comment\n", "w.yaml:1:1: is empty; a spec is a mapping such as 'attnsim: 1'"),
        ("---\n", "w.yaml:1:1: is empty; a spec is a mapping such as 'attnsim: 1'"),
        ("- a\n", "w.yaml:1:1: holds a list; a spec is a mapping such as 'attnsim: 1'"),
        ("\n  hello\n", "w.yaml:2:3: holds a single value; a spec is a mapping such as 'attnsim: 1'"),
        ("42", "w.yaml:1:1: holds a single value; a spec is a mapping such as 'attnsim: 1'"),
        ("a: 1\n---\nb: 2\n", "w.yaml:2:1: a second document starts here; give it a file of its own"),
        ("%YAML 1.1\n---\na: 1\n", "w.yaml:1:1: directives such as %YAML and %TAG have no place in a spec; remove them"),
        ("a:\n\tb: 1\n", "w.yaml:2:1: a tab cannot indent YAML; use spaces"),
        ("a: \x01", "w.yaml:1:4: character U+0001 has no place in text; is the file binary?"),
        ("a: 1\nb: \ud800", "w.yaml:2:4: character U+D800 has no place in text; is the file binary?"),
        ('a: ["x", "x\\x1b[2J"]', "w.yaml:1:10: a.1: character U+001B has no place in text; is the file binary?"),
        ('"a\\0": 1', "w.yaml:1:1: character U+0000 has no place in text; is the file binary?"),
        ("a: " + "[" * 70 + "]" * 70, "w.yaml:1:67: nested more than 64 levels deep"),
    ],
)
def test_what_is_refused_is_one_line(text: str, message: str) -> None:
    assert lines(text) == [message]


@pytest.mark.parametrize("text", ["a: [1", "a: b: c", "a: 'x", "a: 1\n b: 2\n", "{a: 1", "a: @x", "%FOO\n---\na: 1\n@"])
def test_a_syntax_error_is_one_line_at_a_place(text: str) -> None:
    (line,) = lines(text)
    assert line.startswith("w.yaml:")
    assert ": not YAML: " in line


def test_every_mistake_of_a_file_is_told_in_one_run() -> None:
    text = "a: 010\na: 2\nb: .inf\nc: *d\ne: !x {f: &g 1}\n<<: {h: 1}\n"
    assert [line.split(": ")[0] for line in lines(text)] == [f"w.yaml:{n}" for n in ("1:4", "2:1", "3:4", "4:4", "5:4", "5:11", "6:1")]


def test_a_duplicate_keeps_the_first_value_and_its_places() -> None:
    reading = scan.read_value("a: {b: 1}\na: {b: 2, c: 3}\n", "f")
    assert reading.value == {"a": {"b": 1}}
    assert reading.positions == {(): ("f", 1, 1), ("a",): ("f", 1, 1), ("a", "b"): ("f", 1, 5)}


def test_positions_count_characters_from_one() -> None:
    doc = parse_yaml("# ä comment\na: 1\nlevels:\n  - {name: x, 'größe': 2, size: 3}\n  - - 5\n", "f")
    assert doc.positions == {
        (): ("f", 2, 1),
        ("a",): ("f", 2, 1),
        ("levels",): ("f", 3, 1),
        ("levels", 0): ("f", 4, 5),
        ("levels", 0, "name"): ("f", 4, 6),
        ("levels", 0, "größe"): ("f", 4, 15),
        ("levels", 0, "size"): ("f", 4, 27),
        ("levels", 1): ("f", 5, 5),
        ("levels", 1, 0): ("f", 5, 7),
    }


def test_locate_skips_what_was_not_written() -> None:
    doc = parse_yaml("mask:\n  kind: window\n  left: 3\n", "f")
    assert doc.locate(("mask", "window", "left")) == ("f", 3, 3)  # a union tag in between
    assert doc.locate(("mask", "right")) == ("f", 1, 1)  # a missing field: its parent
    assert doc.locate(("sizes", "M")) == ("f", 1, 1)
    assert str(doc.issue(("mask", "right"), "missing")) == "f:1:1: mask.right: missing"


def test_a_part_keeps_its_places_and_its_path() -> None:
    part = parse_yaml("a:\n  - b: {c: 1}\n", "f").at(("a", 0, "b"))
    assert part.data == {"c": 1}
    assert str(part.issue(("c",), "wrong")) == "f:2:9: a.0.b.c: wrong"
    assert str(part.issue(("d",), "missing")) == "f:2:5: a.0.b.d: missing"
    assert str(part.at(("c",)).issue((), "wrong")) == "f:2:9: a.0.b.c: wrong"


def test_a_dictionary_has_no_places() -> None:
    doc = from_dict({"sizes": {"M": 0}})
    assert str(doc.issue(("sizes", "M"), "wrong")) == "<dict>: sizes.M: wrong"
    with pytest.raises(SpecError, match="<dict>: must be a mapping, not list"):
        from_dict([1])  # type: ignore[arg-type]


def test_the_hash_is_of_what_is_said_not_how() -> None:
    one = parse_yaml("a: 1\nb: [x, 2.0]  # comment\n", "f")
    two = parse_yaml('{"b": ["x", 2.0], "a": 1}', "other.json")
    assert one.sha256 == two.sha256 == from_dict({"b": ["x", 2.0], "a": 1}).sha256
    assert one.sha256 != parse_yaml("a: 1\nb: [x, 3.0]\n", "f").sha256
    assert len(one.sha256) == 64


def test_the_hash_takes_numpy_numbers() -> None:
    numpy = pytest.importorskip("numpy")
    assert from_dict({"M": numpy.int64(8)}).sha256 == from_dict({"M": 8}).sha256
    assert from_dict({"p": Path("x")}).sha256 == from_dict({"p": "x"}).sha256


BASE = "cascade: attention-1pass\nsizes: {B: 1, M: 8192}\nloops:\n  - {rank: M, order: up}\n"


@pytest.mark.parametrize(
    ("path", "text", "loc", "value"),
    [
        ("sizes.M", "32768", ("sizes", "M"), 32768),
        ("sizes.E", "64", ("sizes", "E"), 64),
        ("dtype", "fp8", ("dtype",), "fp8"),
        ("mask", "{kind: window, left: 1024}", ("mask",), {"kind": "window", "left": 1024}),
        ("tiles", "[1, 2]", ("tiles",), [1, 2]),
        ("tensor_clock", "1830 MHz", ("tensor_clock",), "1830 MHz"),
        ("a.b.c", "off", ("a", "b", "c"), "off"),
        ("loops.0.order", "down", ("loops", 0, "order"), "down"),
        ("a", "", ("a",), None),
        ("cascade.name", "mine", ("cascade",), {"extends": "attention-1pass", "name": "mine"}),
        ("schedule.tiles.P", "64", ("schedule",), {"tiles": {"P": 64}}),
        ("sizes.M", 4096, ("sizes", "M"), 4096),
        ("note", None, ("note",), None),
    ],
)
def test_set_changes_one_value(path: str, text: Any, loc: tuple[str | int, ...], value: Any) -> None:
    doc = parse_yaml(BASE, "f")
    before = json.dumps(doc.data)
    changed = doc.with_set(path, text)
    assert changed.at(loc).data == value
    assert json.dumps(doc.data) == before, "the original is shared and must not change"
    assert changed.sha256 != doc.sha256


def test_set_is_where_later_errors_point() -> None:
    doc = parse_yaml(BASE, "f").with_set("sizes.M", "-1")
    assert str(doc.issue(("sizes", "M"), "too small")) == "--set sizes.M=-1: sizes.M: too small"
    assert str(doc.issue(("sizes", "B"), "too small")) == "f:2:9: sizes.B: too small"
    doc = parse_yaml("mask:\n  left: 1\n", "f").with_set("mask", "{left: 0}")
    assert str(doc.issue(("mask", "left"), "too small")) == "--set mask={left: 0}: mask.left: too small"
    doc = doc.with_set("a.b.c", "1").with_set("a.b.d", "2")
    assert str(doc.issue(("a", "x"), "missing")) == "--set a.b.c=1: a.x: missing"
    assert str(doc.issue(("a", "b", "d"), "wrong")) == "--set a.b.d=2: a.b.d: wrong"
    assert str(from_dict({}).with_set("M", 3).issue(("M",), "too small")) == "M: M: too small"


@pytest.mark.parametrize(
    ("path", "text", "kind", "message"),
    [
        ("sizes..M", "1", UsageError, "--set sizes..M=1: 'sizes..M' is not a dotted path; write for example sizes.M=4096"),
        ("", "1", UsageError, "--set =1: '' is not a dotted path; write for example sizes.M=4096"),
        ("sizes.M.x", "1", UsageError, "--set sizes.M.x=1: sizes.M is 8192, which has nothing below it to set"),
        ("loops.1.order", "up", UsageError, "--set loops.1.order=up: loops has no item '1'; its items are 0 to 0"),
        ("loops.x", "up", UsageError, "--set loops.x=up: loops has no item 'x'; its items are 0 to 0"),
        (
            "a",
            "{b: 1, b: 2}",
            SpecError,
            "--set a={b: 1, b: 2}: duplicate key; 'b' is already at --set a={b: 1, b: 2}:1:2; keep one of the two",
        ),
        ("a", "010", SpecError, "--set a=010: '010' starts with a zero; write 10 for the number, or quote it for text"),
    ],
)
def test_a_bad_set_is_one_line(path: str, text: str, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as caught:
        parse_yaml(BASE, "f").with_set(path, text)
    assert str(caught.value) == message


def test_files(tmp_path: Path) -> None:
    good = tmp_path / "good.yaml"
    good.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: \xc3\xa4\r\n")  # a byte order mark and Windows line ends
    doc = load_yaml(good)
    assert doc.data == {"a": 1, "b": "ä"}
    assert doc.locate(("b",)) == (str(good), 2, 1)


@pytest.mark.parametrize(
    ("content", "tail"),
    [
        (b"a: 1\nb: \xff\n", ":2:4: byte 0xff is not UTF-8; a spec is a YAML text file in UTF-8"),
        (bytes(range(256)), ":2:118: is binary; a spec is a YAML text file in UTF-8"),
        (b"a: 1\n\0", ":2:1: character U+0000 has no place in text; is the file binary?"),
        (b"a: 1\n\x80\0", ":2:1: is binary; a spec is a YAML text file in UTF-8"),
        (b"", ":1:1: is empty; a spec is a mapping such as 'attnsim: 1'"),
    ],
)
def test_bad_files_are_one_line(tmp_path: Path, content: bytes, tail: str) -> None:
    path = tmp_path / "w.yaml"
    path.write_bytes(content)
    with pytest.raises(SpecError) as caught:
        load_yaml(path)
    assert str(caught.value) == f"{path}{tail}"


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    (tmp_path / "workload.yaml").write_text("a: 1\n")
    for path, message in (
        (tmp_path / "worklod.yaml", "no such file; did you mean 'workload.yaml'?"),
        (tmp_path / "none" / "x.yaml", "no such file"),
        (tmp_path, "is a folder; name a YAML file in it"),
        (tmp_path / "workload.yaml" / "x", "cannot be read: Not a directory"),
    ):
        with pytest.raises(SpecError) as caught:
            load_yaml(path)
        assert str(caught.value) == f"{path}: {message}"
    with pytest.raises(SpecError, match="cannot be read: embedded null byte"):
        load_yaml("a\0b")


# U+2028 and U+2029 (Zl, Zp) break lines in YAML 1.1, inside a quoted scalar too; JSON that holds them unescaped is not YAML.
NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn", "Co", "Zl", "Zp"), exclude_characters="\ufeff"),
    min_size=1,
    max_size=8,
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | NAMES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(NAMES, VALUES, min_size=1, max_size=4), st.sampled_from([None, 2]))
def test_json_reads_back_and_every_place_exists(data: dict[str, Any], indent: int | None) -> None:
    text = json.dumps(data, ensure_ascii=False, indent=indent)
    doc = parse_yaml(text, "f")
    assert doc.data == data
    for path in doc.positions:
        assert doc.at(path).data is not doc  # raises if the path leads nowhere
    assert _paths(data) == set(doc.positions)


def _paths(value: Any, path: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {path}.union(*(_paths(item, (*path, step)) for step, item in inner))


@given(st.text(max_size=60))
def test_any_text_is_a_document_or_a_spec_error(text: str) -> None:
    try:
        assert isinstance(parse_yaml(text, "f"), Document)
    except SpecError as error:
        assert all(issue.file == "f" and issue.message for issue in error.issues)
