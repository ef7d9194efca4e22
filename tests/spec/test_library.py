"""Names to files: search order, aliases, extends, caching, and the shipped library itself."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from attnsim.errors import AttnsimError, SpecError, UsageError
from attnsim.spec import library
from attnsim.spec.library import KINDS, Kind, entries, find, load
from attnsim.spec.yaml import from_dict, load_yaml, parse_yaml

ROOT = Path(__file__).resolve().parents[2]
FAST = """\
attnsim: 1
kind: schedule
name: fast-one
aliases: [quick, "f-1"]  # short
title: 'A fast one'
tiles: {P: 128, M: 64}
loops: [a, b]
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the user's own specs, in the environment and with the same layout as the shipped ones."""
    schedules = tmp_path / "mine" / "workloads" / "schedules"
    schedules.mkdir(parents=True)
    (schedules / "fast-one.yaml").write_text(FAST)
    monkeypatch.setenv("ATTNSIM_PATH", str(tmp_path / "mine"))
    monkeypatch.chdir(tmp_path)
    return schedules


def message(error: pytest.ExceptionInfo[AttnsimError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("name", ["fast-one", "fast_one", "FAST-ONE", "quick", "f_1"])
def test_names_and_aliases(mine: Path, name: str) -> None:
    entry = find("schedule", name)
    assert (entry.name, entry.aliases, entry.title) == ("fast-one", ("quick", "f-1"), "A fast one")
    assert (entry.path, entry.origin, entry.kind) == (mine / "fast-one.yaml", str(mine.parents[1]), "schedule")
    assert load("schedule", name).data["tiles"] == {"P": 128, "M": 64}


def test_a_block_list_of_aliases(mine: Path) -> None:
    (mine / "slow.yaml").write_text("name: slow\naliases:\n  - lazy\n  - 's l'  # odd\ntitle: Slow # not fast\n")
    entry = find("schedule", "lazy")
    assert (entry.name, entry.aliases, entry.title) == ("slow", ("lazy", "s l"), "Slow")


def test_the_file_name_is_the_name(mine: Path) -> None:
    (mine / "other.yaml").write_text("name: something-else\n")
    assert find("schedule", "other").name == "other"
    with pytest.raises(SpecError):
        find("schedule", "something-else")


@pytest.mark.parametrize(
    ("name", "tail"),
    [
        ("fast-on", "; did you mean 'fast-one'?"),
        ("quik", "; did you mean 'quick'?"),
        ("zzzzzz", "; attnsim list schedule shows the names"),
        ("", "; attnsim list schedule shows the names"),
    ],
)
def test_an_unknown_name(mine: Path, name: str, tail: str) -> None:
    with pytest.raises(SpecError) as caught:
        load("schedule", name)
    assert message(caught) == f"unknown schedule '{name}'{tail}"
    doc = parse_yaml(f"a: 1\nschedule: '{name}'\n", "w.yaml")
    with pytest.raises(SpecError) as caught:
        load("schedule", name, doc=doc, loc=("schedule",))
    assert message(caught) == f"w.yaml:2:1: schedule: unknown schedule '{name}'{tail}"


def test_loose_files_of_a_users_folder_count_as_what_they_say(mine: Path) -> None:
    top = mine.parents[1]
    (top / "my-gpu.yaml").write_text("kind: gpu\nname: my-gpu\n")
    (top / "my-kernel.yaml").write_text("kind: kernel\nname: my-kernel\n")
    (top / "notes.yaml").write_text("hello: 1\n")
    assert find("arch", "my_gpu").path == top / "my-gpu.yaml"
    assert find("workload", "my-kernel").path == top / "my-kernel.yaml"
    assert {"my-gpu", "notes"} & {entry.name for kind in KINDS for entry in entries(kind)} == {"my-gpu"}


def test_price_lists_are_no_machines(mine: Path) -> None:
    specs = mine.parents[1] / "arch_specs"
    specs.mkdir()
    (specs / "prices.yaml").write_text("kind: prices\n")
    (specs / "sub").mkdir()
    (specs / "sub" / "chip-x.yaml").write_text("kind: spatial\nname: chip-x\n")
    names = {entry.name for entry in entries("arch")}
    assert "chip-x" in names
    assert "prices" not in names


def test_the_first_folder_wins(mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other" / "workloads" / "schedules"
    other.mkdir(parents=True)
    (other / "fast-one.yaml").write_text("name: fast-one\ntitle: another\n")
    (other / "only-here.yaml").write_text("name: only-here\n")
    both = [str(mine.parents[1]), str(tmp_path / "other")]
    monkeypatch.setenv("ATTNSIM_PATH", os.pathsep.join(both))
    assert find("schedule", "fast-one").origin == both[0]
    assert {"fast-one", "only-here"} <= {entry.name for entry in entries("schedule")}
    assert [entry.title for entry in entries("schedule") if entry.name == "fast-one"] == ["A fast one"]
    monkeypatch.setenv("ATTNSIM_PATH", os.pathsep.join(reversed(both)))
    assert find("schedule", "fast-one").title == "another"


def test_a_missing_folder_is_no_secret(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTNSIM_PATH", str(mine / "nothing"))
    with pytest.raises(UsageError, match="ATTNSIM_PATH names '.*nothing', which is not a folder"):
        find("schedule", "naive-but-unheard-of")


@pytest.mark.parametrize("spelling", ["./local.yaml", "local.yaml", "local", "sub/../local.yaml"])
def test_paths(mine: Path, tmp_path: Path, spelling: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "local.yaml").write_text("name: local\n")
    (tmp_path / "local").write_text("name: bare\n")
    assert load("schedule", spelling).data["name"] == ("bare" if spelling == "local" else "local")
    assert load("schedule", Path(spelling)).file == str(Path(spelling))


def test_a_path_in_a_file_starts_at_that_file(mine: Path, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "mine.yaml").write_text("name: beside\n")
    (folder / "w.yaml").write_text("schedule: ./mine.yaml\nother: gone/x.yaml\n")
    doc = load_yaml(folder / "w.yaml")
    assert load("schedule", "./mine.yaml", doc=doc, loc=("schedule",)).data == {"name": "beside"}
    with pytest.raises(SpecError) as caught:
        load("schedule", "gone/x.yaml", doc=doc, loc=("other",))
    assert message(caught) == f"{folder}/w.yaml:2:1: other: no such file 'gone/x.yaml'"
    (tmp_path / "here.yaml").write_text("name: here\n")
    doc = doc.with_set("schedule", "here.yaml")
    assert load("schedule", "here.yaml", doc=doc, loc=("schedule",)).data == {"name": "here"}


def test_a_missing_path() -> None:
    with pytest.raises(SpecError) as caught:
        load("arch", "no/such.yaml")
    assert message(caught) == "no/such.yaml: no such file"


@pytest.mark.parametrize(("ref", "shown"), [(3, "3"), (None, "nothing"), (["a"], "a list")])
def test_what_is_no_reference(ref: object, shown: str) -> None:
    with pytest.raises(SpecError) as caught:
        load("arch", ref, doc=from_dict({"arch": ref}), loc=("arch",))  # type: ignore[arg-type]
    assert message(caught) == f"<dict>: arch: must be the name of a library arch, a path or a mapping, not {shown}"


# --- extends -----------------------------------------------------------------------------------------------------------------------------


def test_extends_merges_mappings_and_replaces_the_rest(mine: Path) -> None:
    (mine / "child.yaml").write_text("extends: fast_one\nname: child\ntiles: {M: 32}\nloops: [c]\n")
    doc = load("schedule", "child")
    assert doc.data == {
        "attnsim": 1, "kind": "schedule", "name": "child", "title": "A fast one", "tiles": {"P": 128, "M": 32}, "loops": ["c"],
    }  # fmt: skip
    assert doc.file == str(mine / "child.yaml")
    assert str(doc.issue(("tiles", "P"), "x")) == f"{mine}/fast-one.yaml:6:9: tiles.P: x"
    assert str(doc.issue(("tiles", "M"), "x")) == f"{mine}/child.yaml:3:9: tiles.M: x"
    assert str(doc.issue(("loops", 1), "x")) == f"{mine}/child.yaml:4:1: loops.1: x"
    assert load("schedule", "fast-one").data["tiles"] == {"P": 128, "M": 64}, "the base is shared and must not change"


def test_another_kind_replaces(mine: Path) -> None:
    (mine / "a.yaml").write_text("mask: {kind: window, left: 3}\nsplit: {kind: x, n: 1}\n")
    (mine / "b.yaml").write_text("extends: a\nmask: {kind: dense}\nsplit: {n: 2}\n")
    assert load("schedule", "b").data == {"mask": {"kind": "dense"}, "split": {"kind": "x", "n": 2}}


def test_extends_of_a_mapping(mine: Path) -> None:
    doc = parse_yaml("name: w\nschedule:\n  extends: quick\n  tiles: {M: 16}\n", "w.yaml")
    inline = load("schedule", doc.data["schedule"], doc=doc, loc=("schedule",))
    assert inline.data["tiles"] == {"P": 128, "M": 16}
    assert inline.data["name"] == "fast-one"
    assert str(inline.issue(("tiles", "M"), "x")) == "w.yaml:4:11: schedule.tiles.M: x"
    assert load("schedule", {"extends": "quick", "tiles": {"M": 16}}).data == inline.data
    assert load("schedule", {"name": "plain"}).data == {"name": "plain"}


@pytest.mark.parametrize(
    ("text", "tail"),
    [
        ("extends: fast-on\n", "a.yaml:1:1: extends: unknown schedule 'fast-on'; did you mean 'fast-one'?"),
        ("name: a\nextends: 3\n", "a.yaml:2:1: extends: must be the name of a library schedule or a path, not 3"),
        ("extends: ''\n", "a.yaml:1:1: extends: must be the name of a library schedule or a path, not ''"),
        ("extends: [x]\n", "a.yaml:1:1: extends: must be the name of a library schedule or a path, not a list"),
        ("extends: ./none.yaml\n", "a.yaml:1:1: extends: no such file '{mine}/none.yaml'"),
    ],
)
def test_a_bad_extends(mine: Path, text: str, tail: str) -> None:
    (mine / "a.yaml").write_text(text)
    with pytest.raises(SpecError) as caught:
        load("schedule", "a")
    assert message(caught) == f"{mine}/" + tail.format(mine=mine)


def test_a_circle_is_named(mine: Path) -> None:
    (mine / "a.yaml").write_text("extends: b\n")
    (mine / "b.yaml").write_text("name: b\nextends: ./a.yaml\n")
    with pytest.raises(SpecError) as caught:
        load("schedule", "a")
    a, b = mine / "a.yaml", mine / "b.yaml"
    assert message(caught) == f"{b}:2:1: extends: runs in a circle: {a} -> {b} -> {a}; extend something else"
    (mine / "self.yaml").write_text("extends: self\n")
    with pytest.raises(SpecError, match="runs in a circle"):
        load("schedule", "self")


def test_a_relative_extends_starts_at_its_own_file(mine: Path, tmp_path: Path) -> None:
    (mine / "c.yaml").write_text("extends: ../base.yaml\n")
    (mine.parent / "base.yaml").write_text("title: base\n")
    assert load("schedule", "c").data == {"title": "base"}


# --- caching -----------------------------------------------------------------------------------------------------------------------------


def test_files_are_read_again_only_when_they_change(mine: Path) -> None:
    (mine / "child.yaml").write_text("extends: fast-one\nname: child\n")
    first = load("schedule", "child")
    assert load("schedule", "child") is first
    (mine / "fast-one.yaml").write_text(FAST.replace("M: 64", "M: 128"))
    assert load("schedule", "child").data["tiles"] == {"P": 128, "M": 128}, "a change of the base counts"
    (mine / "child.yaml").unlink()
    with pytest.raises(SpecError, match="unknown schedule 'child'"):
        load("schedule", "child")


def test_yaml_mistakes_and_model_mistakes_come_in_one_run(mine: Path, tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text("attnsim: 1\nkind: kernel\nname: x\nname: y\ncascade: c\nsizes: {M: 010, P: 0}\ndtype: bf17\n")
    with pytest.raises(SpecError) as caught:
        load("workload", path)
    assert [(issue.line, issue.column, issue.path) for issue in caught.value.issues] == [
        (4, 1, "name"),
        (6, 12, "sizes.M"),
        (6, 17, "sizes.P"),
        (7, 1, "dtype"),
    ]


# --- the shipped library -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", get_args(Kind))
def test_shipped_names_are_unambiguous(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATTNSIM_PATH", raising=False)
    words: dict[str, str] = {}
    for entry in entries(kind):
        for word in {library._fold(word) for word in (entry.name, *entry.aliases)}:
            assert words.setdefault(word, entry.name) == entry.name, f"'{word}' is both {words[word]} and {entry.name}"
            assert find(kind, word).path == entry.path
        raw = load_yaml(entry.path).data
        assert raw.get("name") == entry.name, f"{entry.path}: the name in the file is not the name of the file"
        assert tuple(raw.get("aliases", ())) == entry.aliases
        assert raw.get("title", "") == entry.title


def test_packed_data_is_found_without_a_checkout(tmp_path: Path) -> None:
    package = tmp_path / "site" / "attnsim"
    shutil.copytree(ROOT / "simulator" / "attnsim", package, ignore=shutil.ignore_patterns("__pycache__"))
    specs = package / "data" / "arch_specs" / "gpu"
    specs.mkdir(parents=True)
    (specs / "chip_y.yaml").write_text("kind: gpu\nname: chip_y\n")
    code = "from attnsim.spec.library import find; e = find('arch', 'chip-y'); print(e.origin, e.path)"
    environment = {key: value for key, value in os.environ.items() if key != "ATTNSIM_PATH"} | {"PYTHONPATH": str(tmp_path / "site")}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert (run.returncode, run.stdout.strip()) == (0, f"package {specs / 'chip_y.yaml'}"), run.stderr
