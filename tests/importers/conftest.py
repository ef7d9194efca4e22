"""What the tests of every importer do: import a text, run what came out, count its cycles, collect its errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import attnsim
from attnsim.errors import SpecError
from attnsim.importers.common import Imported, import_file

CLOCK = 940e6  # of fusemax_cloud, whose wide array is 256 x 256


@pytest.fixture
def take(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[..., Imported]:
    """Import a text; the module's FORM says in which words it is unless the test does."""

    def read(text: str, form: Any = request.module.FORM) -> Imported:
        path = tmp_path / "case.yaml"
        path.write_text(text)
        return import_file(path, form)

    return read


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Any]:
    """Written as the command does, the workload runs on PE arrays."""

    def runs(imported: Imported, schedule: str | None = None) -> Any:
        for name, data in imported.documents.items():
            (tmp_path / name).write_text(yaml.safe_dump(data, sort_keys=False))
        (result,) = attnsim.run(tmp_path / "case.workload.yaml", "fusemax_cloud", schedule).results
        return result

    return runs


@pytest.fixture
def cycles() -> Callable[[Any, str], float]:
    """Cycles of a phase."""

    def count(result: Any, phase: str) -> float:
        (found,) = (part for part in result.phases if part.name == phase)
        return float(found.compute_s * CLOCK)

    return count


@pytest.fixture
def errors() -> Callable[..., list[str]]:
    """line:column: message of every mistake in a text."""

    def collect(take: Any, text: str) -> list[str]:
        with pytest.raises(SpecError) as caught:
            take(text)
        return [str(issue).partition("case.yaml:")[2] for issue in caught.value.issues]

    return collect
