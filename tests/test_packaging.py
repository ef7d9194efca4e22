"""What a user installs: the wheel and the sdist hold the code, the typing marker and the YAML and CSV data, and work from any folder."""

import email
import json
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import attnsim

ROOT = Path(__file__).resolve().parents[1]
DATA = ("arch_specs", "workloads", "validation", "schema")
DATA_SUFFIXES = {".yaml", ".csv", ".json"}


def hatchling(folder: Path, output: Path, *targets: str) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(output), *(word for target in targets for word in ("-t", target))]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist of this checkout."""
    output = tmp_path_factory.mktemp("dist")
    hatchling(ROOT, output, "sdist", "wheel")
    return output


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    return next(built.glob("*.whl"))


def test_the_wheel_holds_the_package_and_all_data(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    source = ROOT / "simulator"
    code = {str(path.relative_to(source)) for path in (source / "attnsim").rglob("*.py")}
    data = {
        f"attnsim/data/{path.relative_to(ROOT)}" for folder in DATA for path in (ROOT / folder).rglob("*") if path.suffix in DATA_SUFFIXES
    }
    assert len(code) > 10
    assert {Path(name).suffix for name in data} == DATA_SUFFIXES
    assert code | data | {"attnsim/py.typed"} <= names
    assert {name.split("/")[0] for name in names} == {"attnsim", f"attnsim-{attnsim.__version__}.dist-info"}


def test_the_metadata_agrees_with_the_project(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    info = f"attnsim-{attnsim.__version__}.dist-info"
    metadata = email.message_from_bytes(archive.read(f"{info}/METADATA"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert metadata["Version"] == attnsim.__version__
    assert metadata["Requires-Python"] == project["requires-python"]
    assert metadata["License-Expression"] == "MIT"
    runtime = {line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line}
    assert runtime == {line.lower() for line in project["dependencies"]}
    assert b"attnsim = attnsim.cli.main:main" in archive.read(f"{info}/entry_points.txt")
    assert f"{info}/licenses/LICENSE" in archive.namelist()


def test_the_changelog_speaks_of_this_version() -> None:
    assert attnsim.__version__ in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_sdist_builds_the_same_wheel(built: Path, wheel: Path, tmp_path: Path) -> None:
    shutil.unpack_archive(next(built.glob("*.tar.gz")), tmp_path)
    unpacked = next(tmp_path.iterdir())
    assert {"README.md", "LICENSE", "CHANGELOG.md", "tests", "benchmarks"} <= {path.name for path in unpacked.iterdir()}
    hatchling(unpacked, tmp_path / "dist", "wheel")
    again = next((tmp_path / "dist").glob("*.whl"))
    assert again.name == wheel.name
    assert set(zipfile.ZipFile(again).namelist()) == set(zipfile.ZipFile(wheel).namelist())


ELSEWHERE = """
import attnsim, json, sys
from attnsim.spec import library
path = library.find("arch", "h100_sxm").path
result = attnsim.run("llama3-8b-prefill", "h100_sxm").to_dict()["results"][0]
print(json.dumps([attnsim.__file__, str(path), result["latency_s"]]))
"""


def test_the_wheel_answers_far_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE], cwd=tmp_path, env={"PYTHONPATH": str(site)}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    package, arch, latency = json.loads(done.stdout)
    assert Path(package) == site / "attnsim" / "__init__.py"
    assert Path(arch).is_relative_to(site / "attnsim" / "data" / "arch_specs")
    assert latency == pytest.approx(attnsim.run("llama3-8b-prefill", "h100_sxm").results[0].latency_s, rel=1e-12)
