"""Sweeps on disk: refused, resumed, concatenated; every file whole or not there."""

import json
import os
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sweep_fakes import FakePlan, evaluate, expected, stamps

from attnsim import __version__
from attnsim.errors import SpecError, UsageError
from attnsim.explore.execute.executors import Outcome, run_plan
from attnsim.explore.output.dataset import Chunk, Header, changes, encode, open_dataset

PLAN = FakePlan(1000)
ABOUT = {"axes": [{"fields": ["sizes.M"], "count": 1000, "values": "1..1000:+1"}], "filters": []}


def sweep(output: Path, plan: FakePlan = PLAN, **options: Any) -> Outcome:
    return run_plan(plan, "local", output, evaluate=evaluate, **{"chunk": 100, "about": ABOUT, **options})


def test_a_folder_holds_a_plan_and_a_file_a_chunk(tmp_path: Path) -> None:
    out = tmp_path / "out"
    told: list[tuple[int, int]] = []
    done = sweep(out, progress=lambda points, kept: told.append((points, kept)))
    table = expected(PLAN)
    assert done == Outcome(out, table.num_rows, 78, "no 11", computed=10, kept=0)
    assert sorted(path.name for path in out.iterdir()) == ["_plan.json", *(f"part-{number:06d}.parquet" for number in range(10))]
    assert json.loads((out / "_plan.json").read_text()) == {
        "schema": 1, "attnsim": __version__, "digest": "d1", "count": 1000, "chunk": 100, "chunks": 10, "complete": True, "plan": ABOUT,
    }  # fmt: skip
    assert pyarrow.parquet.read_table(out).equals(table)
    assert told == [(points, 0) for points in range(0, 1001, 100)]
    part = pyarrow.parquet.read_schema(out / "part-000003.parquet")
    assert json.loads(part.metadata[b"attnsim"]) == {"digest": "d1", "start": 300, "stop": 400}


@settings(max_examples=30)  # each writes files
@given(count=st.integers(1, 300), chunk=st.integers(1, 120))
def test_every_point_is_there_once_whatever_the_chunk(tmp_path_factory: pytest.TempPathFactory, count: int, chunk: int) -> None:
    folder = tmp_path_factory.mktemp("sweep") / "out"
    header = Header("d1", __version__, count, chunk, {})
    with open_dataset(folder, header, resume=False) as dataset:
        covered = [point for chunk in dataset.missing for point in range(chunk.start, chunk.stop)]
    assert covered == list(range(count))


def test_what_is_there_is_not_computed_again(tmp_path: Path) -> None:
    out = tmp_path / "out"
    sweep(out)
    gone = out / "part-000002.parquet"
    gone.unlink()
    (out / "part-000004.parquet").write_bytes((out / "part-000005.parquet").read_bytes())  # another chunk's points
    torn = out / "part-000007.parquet"
    torn.write_bytes(torn.read_bytes()[:-20])
    (out / ".part-000002.parquet.abc.tmp").touch()
    (out / "._plan.json.abc.tmp").touch()
    before = stamps(out)
    told: list[tuple[int, int]] = []
    done = sweep(out, resume=True, progress=lambda points, kept: told.append((points, kept)))
    assert (done.computed, done.kept) == (3, 7)
    assert told == [(700, 700), (800, 700), (900, 700), (1000, 700)]
    changed = {name for name, stamp in stamps(out).items() if before.get(name) != stamp}
    assert changed == {"part-000002.parquet", "part-000004.parquet", "part-000007.parquet"}
    assert not list(out.glob(".*"))
    assert pyarrow.parquet.read_table(out).equals(expected(PLAN))
    assert json.loads((out / "_plan.json").read_text())["complete"] is True
    assert sweep(out, resume=True).computed == 0


def test_an_error_keeps_what_is_done_and_can_be_resumed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(SpecError, match="^point 555 is wrong$"):
        sweep(out, FakePlan(1000, wrong=555))
    assert json.loads((out / "_plan.json").read_text())["complete"] is False
    before = stamps(out)
    assert len(before) == 5
    assert sweep(out, resume=True).computed == 5
    assert before.items() <= stamps(out).items()
    assert pyarrow.parquet.read_table(out).equals(expected(PLAN))


def test_an_error_before_the_first_chunk_leaves_nothing(tmp_path: Path) -> None:
    for output in (tmp_path / "out", tmp_path / "out.parquet"):
        with pytest.raises(SpecError):
            sweep(output, FakePlan(1000, wrong=0))
    assert not list(tmp_path.iterdir())


def test_a_sweep_without_chunk_takes_a_size_by_its_points_and_keeps_that_of_the_one_resumed(tmp_path: Path) -> None:
    assert sweep(tmp_path / "own", chunk=None).computed == 1
    with pytest.raises(SpecError):
        sweep(tmp_path / "out", FakePlan(1000, wrong=555))
    assert sweep(tmp_path / "out", chunk=None, resume=True).kept == 5


REFUSED = {
    "a folder in use": (
        {}, {},
        "'{out}' exists; add --resume to go on with the sweep in it, or choose another output",
    ),
    "another chunk": (
        {}, {"resume": True, "chunk": 50},
        "cannot resume '{out}' with --chunk 50: it was begun with --chunk 100",
    ),
    "other axes": (
        {}, {"resume": True, "plan": FakePlan(1000, "d2"),
             "about": {"axes": [{"fields": ["sizes.M"], "count": 500, "values": "1..999:+2"}], "filters": ["sizes.M > 3"]}},
        "cannot resume '{out}': it holds another sweep: axes.sizes.M.count was 1000, is 500; axes.sizes.M.values was 1..1000:+1, is "
        '1..999:+2; filters was [], is ["sizes.M > 3"]',
    ),
    "another order": (
        {"about": {"axes": [{"fields": ["a"], "n": 1}, {"fields": ["b"], "n": 1}]}},
        {"resume": True, "plan": FakePlan(1000, "d2"), "about": {"axes": [{"fields": ["b"], "n": 1}, {"fields": ["a"], "n": 1}]}},
        "cannot resume '{out}': it holds another sweep: axes came in the order a, b, now b, a",
    ),
    "a file that changed": (
        {}, {"resume": True, "plan": FakePlan(1000, "d2")},
        "cannot resume '{out}': it holds another sweep: a file that it uses has changed since",
    ),
    "many changes": (
        {}, {"resume": True, "plan": FakePlan(1000, "d2"), "about": dict.fromkeys("abcd", 1) | {"command": "x"}},
        "cannot resume '{out}': it holds another sweep: "
        'axes was {{"sizes.M": {{"count": 1000, "values": "1..1000:+1"}}}}, is not given; filters was [], is not given; '
        "a was not given, is 1; and 3 more",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_there_is_not_mixed_with_something_else(tmp_path: Path, name: str) -> None:
    first, second, text = REFUSED[name]
    out = tmp_path / "out"
    sweep(out, **first)
    before = stamps(out), (out / "_plan.json").read_bytes()
    with pytest.raises(UsageError) as caught:
        sweep(out, **second)
    assert str(caught.value) == text.format(out=out)
    assert (stamps(out), (out / "_plan.json").read_bytes()) == before


def test_another_version_is_another_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep(tmp_path / "out")
    monkeypatch.setattr("attnsim.explore.execute.executors.__version__", "9.9")
    with pytest.raises(UsageError, match=rf"it holds another sweep: attnsim was {__version__}, is 9\.9$"):
        sweep(tmp_path / "out", FakePlan(1000, "d2"), resume=True)


def test_a_folder_that_is_no_sweep_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "letter").write_text("dear")
    with pytest.raises(UsageError, match="it holds no sweep, there is no _plan.json in it$"):
        sweep(out, resume=True)
    (out / "_plan.json").write_text("[]")
    with pytest.raises(SpecError) as caught:
        sweep(out, resume=True)
    assert str(caught.value) == f"{out / '_plan.json'}: is no plan that `attnsim sweep` wrote; choose another output"
    assert sorted(path.name for path in out.iterdir()) == ["_plan.json", "letter"]


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="it is a file; name a folder, or a file that ends in .parquet$"):
        sweep(tmp_path / "file")
    with pytest.raises(UsageError, match=f"there is no folder '{tmp_path / 'none'}'; make it first$"):
        sweep(tmp_path / "none" / "out")
    with pytest.raises(UsageError, match="a chunk has 1 point or more, not 0$"):
        sweep(tmp_path / "out", chunk=0)


@pytest.mark.skipif(os.name != "posix", reason="locks of folders are POSIX")
def test_two_sweeps_do_not_share_a_folder(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with open_dataset(out, Header("d1", __version__, 1000, 100, {}), resume=False), pytest.raises(UsageError) as caught:
        sweep(out, resume=True)
    assert str(caught.value) == f"'{out}' is being written by another sweep; wait for it, or choose another output"


def test_a_chunk_that_comes_twice_is_there_once(tmp_path: Path) -> None:
    chunk = Chunk(0, 0, 100)
    with open_dataset(tmp_path / "out", Header("d1", __version__, 100, 100, {}), resume=False) as dataset:
        for _ in range(2):
            dataset.write(chunk, encode(evaluate(PLAN, 0, 100), chunk, "d1"))
        dataset.finish()
    assert pyarrow.parquet.read_table(tmp_path / "out").equals(expected(FakePlan(100)))


def test_a_single_file_comes_from_parts_beside_it(tmp_path: Path) -> None:
    out, parts = tmp_path / "out.parquet", tmp_path / ".out.parquet.parts"
    with pytest.raises(SpecError):
        sweep(out, FakePlan(1000, wrong=555))
    assert [path.name for path in tmp_path.iterdir()] == [parts.name]
    with pytest.raises(UsageError) as caught:
        sweep(out)
    assert str(caught.value) == f"'{parts}' exists; add --resume to go on with the sweep in it, or choose another output"
    done = sweep(out, resume=True)
    table = expected(PLAN)
    assert (done.rows, done.computed, done.kept) == (table.num_rows, 5, 5)
    assert [path.name for path in tmp_path.iterdir()] == [out.name]
    written = pyarrow.parquet.read_table(out)
    assert written.equals(table)
    assert json.loads(written.schema.metadata[b"attnsim"]) == ABOUT | {"attnsim": __version__, "digest": "d1", "count": 1000}
    assert out.stat().st_mode & 0o777 == 0o666 & ~_umask()
    stamp = out.stat().st_mtime_ns
    assert sweep(out, resume=True) == Outcome(out, table.num_rows, 78, "no 11", computed=0, kept=10)
    assert out.stat().st_mtime_ns == stamp
    with pytest.raises(UsageError, match="it holds something else; leave --resume out to replace it$"):
        sweep(out, FakePlan(1000, "d2"), resume=True)
    sweep(out, FakePlan(500, "d2"))
    assert pyarrow.parquet.read_table(out).equals(expected(FakePlan(500)))


def test_a_disk_that_is_full_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UsageError, match=r"^cannot write '.*/out/_plan\.json': No space left on device$"):
        sweep(tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_changes_name_the_place() -> None:
    assert changes({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}) == ["a.c was 2, is 3"]
    assert changes({"a": "x" * 80}, {"a": None}) == [f"a was {'x' * 57}..., is not given"]
    assert changes({"a": [1]}, {"a": [1]}) == []


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.skipif(os.name != "posix", reason="locks of folders are POSIX")
def test_a_folder_is_free_after_a_sweep_though_a_process_born_during_it_lives(tmp_path: Path) -> None:
    """Workers that are started again while a sweep fails hold its descriptors for a moment."""
    header = Header("d1", __version__, 1000, 100, {})
    read, write = os.pipe()
    with open_dataset(tmp_path / "out", header, resume=False):
        child = os.fork()
        if child == 0:
            os.close(write)
            os.read(read, 1)  # until the other end is closed
            os._exit(0)
    try:
        with open_dataset(tmp_path / "out", header, resume=True):
            pass
    finally:
        os.close(write)
        os.close(read)
        os.waitpid(child, 0)
