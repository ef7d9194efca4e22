"""A report of twenty results: how long the page takes to make, and how large it is. Wanted: below 3 s and 3 MB."""

from __future__ import annotations

from typing import Any

import attnsim
from attnsim.evaluate.estimate import Report
from attnsim.report.html.page import report_page

MACHINES = ("h100_sxm", "a100_sxm_80gb", "h200", "b200")
OTHERS = (
    ("fusemax-bert-attention", "fusemax_cloud"),
    ("hunyuanvideo-gna", "b200"),
    ("step3-afd", "h800"),
    ("llama3-70b-serving", "h100_sxm"),
)


def asked() -> list[Report]:
    """Sixteen kernels on four machines, PE arrays, a neighborhood mask, two models."""
    kernels = [
        attnsim.run(workload, machine, sizes={"B": batch})
        for machine in MACHINES
        for workload in ("llama3-8b-prefill", "llama3-8b-decode")
        for batch in (1, 16)
    ]
    return kernels + [attnsim.run(workload, machine) for workload, machine in OTHERS]


def test_twenty_results(benchmark: Any) -> None:
    reports = asked()
    assert sum(len(report.results) for report in reports) == 20
    page = benchmark.pedantic(report_page, args=(reports,), rounds=3, iterations=1)
    benchmark.extra_info["page, MB"] = round(len(page.encode()) / 1e6, 2)


def test_twenty_results_asked_and_written_from_nothing(benchmark: Any, tmp_path: Any) -> None:
    """A process of its own, as `attnsim report` runs: imports, answers, page, file."""
    import subprocess
    import sys

    path = tmp_path / "report.html"
    lengths = [f"{workload}-{number}.yaml" for workload in ("prefill", "decode") for number in range(5)]
    for number, name in enumerate(lengths):
        base = f"llama3-8b-{name.split('-')[0]}"
        (tmp_path / name).write_text(f"attnsim: 1\nkind: kernel\nextends: {base}\nname: {name}\nsizes: {{M: {1024 * (1 + number % 5)}}}\n")
    words = [*(str(tmp_path / name) for name in lengths), "h100_sxm", "a100_sxm_80gb", "-o", str(path)]
    command = [sys.executable, "-m", "attnsim", "report", *words]
    benchmark.pedantic(subprocess.run, args=(command,), kwargs={"check": True, "capture_output": True}, rounds=3, iterations=1)
    benchmark.extra_info["page, MB"] = round(path.stat().st_size / 1e6, 2)
