"""While files are closed, specs name library entries and nothing else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import attnsim
from attnsim.errors import SpecError
from attnsim.spec import library
from attnsim.spec.closed import are_files_closed, files_closed, looks_like_path

REFUSED = "files are not read here, so {!r} must be the name of a library entry, or be written out in its place"


@pytest.mark.parametrize("ref", ["a/b", "a\\b", "x.yaml", "x.YML", "x.json", "/etc/passwd", "../x"])
def test_a_path_is_refused_whether_there_is_a_file_or_not(ref: str) -> None:
    assert looks_like_path(ref)
    with files_closed(), pytest.raises(SpecError) as caught:
        library.load("arch", ref)
    assert str(caught.value) == REFUSED.format(ref)


def test_a_file_named_as_a_library_entry_is_not_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "h100_sxm").write_text("not: an arch\n")
    (tmp_path / "mine").write_text("not: an arch\n")
    monkeypatch.chdir(tmp_path)
    with files_closed():
        assert library.load("arch", "h100_sxm").data["name"] == "h100_sxm"
        with pytest.raises(SpecError, match="unknown arch 'mine'"):
            library.load("arch", "mine")


def test_names_of_folders_the_user_chose_stay_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.yaml").write_text("attnsim: 1\nkind: gpu\nextends: h100_sxm\nname: mine\n")
    (tmp_path / "other.yaml").write_text(f"attnsim: 1\nkind: gpu\nextends: {tmp_path}/mine.yaml\nname: other\n")
    monkeypatch.setenv("ATTNSIM_PATH", str(tmp_path))
    with files_closed():
        assert attnsim.run("llama3-8b-prefill", "mine").arch_name == "mine"
        with pytest.raises(SpecError, match="files are not read here"):
            attnsim.run("llama3-8b-prefill", "other")
    assert attnsim.run("llama3-8b-prefill", "other").arch_name == "other"


def test_masks_models_and_prices_name_no_files_either(tmp_path: Path) -> None:
    kernel = {
        "attnsim": 1, "kind": "kernel", "name": "x", "cascade": "attention-1pass", "dtype": "bf16",
        "sizes": {"B": 1, "H": 1, "P": 64, "M": 64, "E": 64, "F": 64},
        "mask": {"kind": "blocks", "file": str(tmp_path / "m.npy"), "block": 64},
    }  # fmt: skip
    model = {"attnsim": 1, "kind": "model", "name": "x", "model": str(tmp_path / "config.json"), "context": 64, "batch": 1}
    with files_closed():
        with pytest.raises(SpecError, match="mask.file: files are not read here; list the `blocks` themselves"):
            attnsim.run(kernel, "h100_sxm")
        for changed in ({}, {"model": "llama3-8b", "prices": "x.yaml"}, {"model": "llama3-8b", "attention_schedule": "./x"}):
            with pytest.raises(SpecError, match="files are not read here"):
                attnsim.run({**model, **changed}, "h100_sxm")


def test_the_switch_holds_for_its_own_block_and_thread() -> None:
    with files_closed():
        assert are_files_closed()
        with ThreadPoolExecutor(1) as pool:
            assert not pool.submit(are_files_closed).result()
    assert not are_files_closed()
