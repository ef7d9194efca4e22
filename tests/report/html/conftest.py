from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import attnsim
from attnsim.evaluate.estimate import Report
from attnsim.report.html.page import report_page

# Kernels of several precisions and masks on two machines, one that is not fused, PE arrays, models and a layer.
QUESTIONS: list[tuple[str, str, dict[str, Any]]] = [
    ("llama3-8b-prefill", "h100_sxm", {}),
    ("llama3-8b-decode", "h100_sxm", {}),
    ("llama3-8b-prefill", "a100_sxm_80gb", {"schedule": "naive", "sizes": {"P": 2048, "M": 2048}}),
    ("hunyuanvideo-gna", "b200", {}),
    ("fusemax-bert-attention", "fusemax_cloud", {}),
    ("step3-afd", "h800", {}),
    ("llama3-70b-serving", "h100_sxm", {}),
    ("wan2.1-1.3b-vmoba", "h100_sxm", {}),
]


@pytest.fixture(scope="session")
def reports() -> list[Report]:
    return [attnsim.run(workload, arch, **options) for workload, arch, options in QUESTIONS]


@pytest.fixture(scope="session")
def report_file(reports: list[Report], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(report_page(reports), encoding="utf-8")
    return path
