"""The pipeline is the folder listing: data flows downwards, and `attnsim run` pays for no heavy library."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "simulator" / "attnsim"

# Outermost data first. A name may import from itself and from those above it. "" is the package itself: `attnsim.run` and its types.
ORDER = (
    "errors",
    "tape",
    "lanes",
    "units",
    "spec",
    "cascade",
    "mask",
    "schedule",
    "importers",
    "machine",
    "evaluate",
    "serving",
    "api",
    "explore",
    "",
    "validate",
    "measure",
    "calibrate",
    "report",
    "web",
    "cli",
    "__main__",
)
HEAVY = (
    "numpy",
    "sympy",
    "networkx",
    "pandas",
    "matplotlib",
    "rich",
    "pyarrow",
    "numba",
    "dask",
    "distributed",
    "optuna",
    "fastapi",
    "uvicorn",
)


def stage(module: str) -> str:
    """`attnsim.cascade.einsum` -> `cascade`; `attnsim` -> ``."""
    return module.split(".")[1] if "." in module else ""


def is_stage(name: str) -> bool:
    return (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").exists()


def imports(path: Path, module: str) -> Iterator[tuple[int, str]]:
    """Line and full name of every attnsim module a file imports, wherever in the file the import stands."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
            source = ".".join(filter(None, (base, node.module)))
            names = [source]
            if source == "attnsim":  # may name a stage; `__version__` stands above every import of the package, so all may read it
                names = [f"attnsim.{a.name}" if is_stage(a.name) else source for a in node.names if a.name != "__version__"]
        else:
            continue
        yield from ((node.lineno, name) for name in names if name.split(".")[0] == "attnsim")


def violations(files: list[tuple[Path, str]]) -> list[str]:
    """One line for each import that runs against `ORDER`."""
    wrong = []
    for path, module in files:
        for line, name in imports(path, module):
            if stage(name) not in ORDER or ORDER.index(stage(name)) > ORDER.index(stage(module)):
                wrong.append(f"{path.name}:{line}: {module} imports {name}")
    return wrong


def package_files() -> list[tuple[Path, str]]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found.append((path, ".".join(parts[:-1] if parts[-1] == "__init__" else parts)))
    return found


def test_every_module_has_its_place_in_the_order() -> None:
    unplaced = sorted({stage(module) for _, module in package_files()} - set(ORDER))
    assert not unplaced, f"say in ORDER where {unplaced} stands in the pipeline"


def test_imports_point_upwards() -> None:
    files = [(path, module) for path, module in package_files() if module != "attnsim"]
    assert len(files) > 10
    assert not (wrong := violations(files)), "\n".join(wrong)


@pytest.mark.parametrize(
    ("module", "source", "count"),
    [
        ("attnsim.cascade.einsum", "from attnsim.machine.machine import Machine", 1),
        ("attnsim.cascade.einsum", "from ..machine import Machine", 1),
        ("attnsim.cascade.einsum", "def f():\n    from attnsim import machine", 1),
        ("attnsim.evaluate.time", "import attnsim", 1),
        ("attnsim.spec.yaml", "import attnsim.api", 1),
        ("attnsim.spec.yaml", "from attnsim.serving import thing", 1),
        ("attnsim.cascade.einsum", "from .cascade import Cascade\nfrom ..spec.base import Spec\nfrom attnsim.errors import SpecError", 0),
        ("attnsim.evaluate.time", "from attnsim import __version__", 0),
        ("attnsim.cli.run", "import attnsim\nfrom attnsim import run\nfrom attnsim.report import export", 0),
    ],
)
def test_the_check_itself_tells_right_from_wrong(tmp_path: Path, module: str, source: str, count: int) -> None:
    path = tmp_path / "probe.py"
    path.write_text(source, encoding="utf-8")
    assert len(violations([(path, module)])) == count


PROBE = """
import json, sys
sys.argv = ["attnsim", *{arguments!r}]
from attnsim.cli.main import main
try:
    code = main()
except SystemExit as exit:
    code = exit.code
loaded = sorted({{name.partition(".")[0] for name in sys.modules}} & set({heavy!r}))
print(json.dumps([code or 0, loaded]), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("run", "workloads/examples/llama3-8b-prefill.yaml", "h100_sxm"),
        ("run", "workloads/examples/llama3-8b-decode.yaml", "h100_sxm", "--format", "json"),
        ("run", "workloads/examples/fusemax-bert-encoder.yaml", "fusemax_cloud"),
    ],
    ids=lambda arguments: " ".join(arguments),
)
def test_the_first_answer_imports_nothing_heavy(arguments: tuple[str, ...]) -> None:
    code = PROBE.format(arguments=arguments, heavy=HEAVY)
    environment = {"PYTHONPATH": str(PACKAGE.parent), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stderr.splitlines()[-1]) == [0, []], done.stderr
    assert done.stdout.strip()
