"""Rewrite the parts of README.md that come from the library: the answer of the first command, the machines, the schedules.

python tools/readme_tables.py            # with the Python that has attnsim installed; `--check` only compares (exit 1 if stale)
"""

import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import attnsim
from attnsim.machine import Machine, load_machine
from attnsim.machine.spatial import SpatialMachine
from attnsim.spec import library
from attnsim.units import format_quantity

README = Path(__file__).resolve().parents[1] / "README.md"
DTYPES = ("bf16", "fp8", "fp4")


def markdown(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    head = list(header)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows))


def answer() -> str:
    """What `attnsim run` prints for the first example."""
    return f"```text\n{attnsim.run('llama3-8b-prefill', 'h100_sxm')!r}\n```"


def machines() -> list[Machine | SpatialMachine]:
    """Every machine of the library."""
    return [load_machine(entry.name) for entry in library.entries("arch")]


def arrays() -> str:
    """One row a machine of PE arrays."""

    def row(machine: SpatialMachine) -> list[str]:
        shapes = ", ".join(
            f"{f'{array.copies} x ' if array.copies > 1 else ''}{'x'.join(map(str, array.shape))}" for array in machine.arrays.values()
        )
        dtype = min(machine.dtypes)
        return [
            f"`{machine.name}`", machine.title, shapes, format_quantity(machine.buffer.capacity_bytes, "B"),
            format_quantity(machine.dram.bandwidth, "B/s"), format_quantity(machine.clock_hz, "Hz"),
            f"{format_quantity(machine.peak_flops(dtype), 'FLOP/s')} {dtype}",
        ]  # fmt: skip

    rows = map(row, (machine for machine in machines() if isinstance(machine, SpatialMachine)))
    return markdown(["Name", "Machine", "PE arrays", "Buffer", "Memory", "Clock", "Peak"], rows)


def published() -> str:
    """One row a table, column and configuration of the published models, then their averages."""
    from attnsim.validate import run_cases
    from attnsim.validate.render_published import share

    lines = []
    for score in run_cases(["fusemax"]).tables:
        by_column: dict[tuple[str, str, str], list[float]] = {}
        names: dict[tuple[str, str, str], list[str]] = {}
        for check in score.checks:
            within = check.check.within
            limit = "the same" if check.check.words else "-" if within is None else share(within) if within else "equal"
            key = check.table, check.check.column, limit
            by_column.setdefault(key, []).append(check.worst() or 0.0)
            names.setdefault(key, []).append(check.configuration)
        rows = [
            [table, ", ".join(names[key]), column, "all the same" if limit == "the same" and not max(worst) else share(max(worst)), limit]
            for key, worst in by_column.items()
            for table, column, limit in [key]
        ]
        lines.append(markdown(["Table", "Configurations", "Column", "Largest difference", "Required"], rows))
        means = [
            [m.mean.name, str(m.n), f"{m.arithmetic:.4f}", f"{m.geometric:.4f}", f"{m.mean.published:g}", share(m.mean.within)]
            for m in score.means
        ]
        lines.append(
            markdown(["Average over the points", "Points", "Arithmetic (the paper's)", "Geometric", "Published", "Required"], means)
        )
    return "\n\n".join(lines)


def by_check(*names: str) -> str:
    """One row a column of published tables."""
    from attnsim.validate import run_cases
    from attnsim.validate.render_published import required, share

    rows = [
        [
            *([score.name] if len(names) > 1 else []), check.table, check.configuration, check.check.label or check.check.column,
            str(len(check.values)), share(check.mean), share(check.worst() or 0.0), required(check),
        ]
        for score in run_cases(list(names)).tables
        for check in score.checks
    ]  # fmt: skip
    header = ["Table", "Configuration", "Column", "Rows", "Mean difference", "Largest", "Required"]
    return markdown([*(["Case"] if len(names) > 1 else []), *header], rows)


def neighborhood() -> str:
    """The tables of neighborhood attention."""
    return by_check("gna")


def models() -> str:
    """The tables of whole models."""
    return by_check("step3", "lamina", "moa-decode", "vattention", "hired", "streamingllm", "snapkv")


def sparse() -> str:
    """The tables of other sparse attention."""
    return by_check("s2-attention", "moa", "vmoba")


def communication() -> str:
    """The tables of collectives."""
    return by_check("deepep", "collectives-h100")


def products() -> str:
    """The measured products and streaming kernels."""
    return by_check("gemm-h100")


def archs() -> str:
    """One row a machine: processors, memory, dense peaks."""

    def row(machine: Machine) -> list[str]:
        memory = machine.memory
        peaks = [format_quantity(machine.peak_flops(dtype), "FLOP/s") if machine.supports(dtype) else "" for dtype in DTYPES]
        return [
            f"`{machine.name}`", machine.title, f"{machine.processors} {machine.processor_name}s",
            f"{format_quantity(memory.capacity_bytes, 'B')}, {format_quantity(memory.bandwidth, 'B/s')}", *peaks,
        ]  # fmt: skip

    known = [machine for machine in machines() if isinstance(machine, Machine)]
    ordered = sorted(known, key=lambda machine: (machine.kind != "gpu", machine.name))
    return markdown(["Name", "Machine", "Processors", "Memory", *DTYPES], map(row, ordered))


def schedules() -> str:
    """One row a schedule: what it is called, what it is, where it runs."""

    def row(entry: library.Entry) -> list[str]:
        data = library.load("schedule", entry.name).data
        requires = data.get("requires", "")
        where = "PE arrays" if data.get("target") == "spatial" else "anywhere"
        return [
            f"`{entry.name}`",
            ", ".join(f"`{alias}`" for alias in entry.aliases),
            entry.title,
            f"`{requires}`" if requires else where,
        ]

    return markdown(["Name", "Also called", "What it is", "Runs where"], map(row, library.entries("schedule")))


def accuracy() -> str:
    """One row a validation group: how far off, on the rows constants were fitted on and on all others."""
    from attnsim.validate import run_cases
    from attnsim.validate.render import percent, target_text

    report = run_cases()
    rows = []
    for case in report.cases:
        for score in case.groups:
            every, held, fitted = score.stats(), score.stats(False), score.stats(True)
            name = f"{case.name}: {score.group.name}" if score.group.name else case.name
            rows.append(
                [name, score.group.arch_name, str(every.n), percent(every.mape), percent(fitted.mape),
                 percent(held.mape), percent(held.max), target_text(score.target)]
            )  # fmt: skip
    return markdown(["Case", "Machine", "Rows", "Mean error", "of fitted rows", "of held-out rows", "worst held out", "Target"], rows)


def measured() -> str:
    """One row a group of a measured machine, then attnsim beside simpler models on the same held-out rows."""
    from attnsim.validate import run_cases
    from attnsim.validate.cases import machine_folders
    from attnsim.validate.measurements import merged
    from attnsim.validate.render_machinecase import target_words
    from attnsim.validate.stats import percent

    groups, models = [], []
    for score in run_cases(list(machine_folders())).machines:
        for group in score.groups:
            held, fitted = group.stats(False), group.stats(True)
            groups.append(
                [score.name, group.group.name, str(held.n), *(percent(x) for x in (held.mape, held.median, held.p90, held.max)),
                 str(fitted.n), target_words(group.target)]
            )  # fmt: skip
        for name, model in merged(score.baselines).items():
            stats = model.stats
            models.append([score.name, name, str(stats.n), percent(stats.mape), percent(stats.p90), str(model.impossible)])
    head = ["Machine", "Kernels", "Held-out rows", "Mean error", "Median", "p90", "Worst", "Fitted rows", "Target"]
    beside = ["Machine", "Model", "Rows", "Mean error", "p90", "Predictions faster than the certified bound"]
    return markdown(head, groups) + "\n\n" + markdown(beside, models)


BLOCKS: dict[str, Callable[[], str]] = {
    "answer": answer,
    "archs": archs,
    "arrays": arrays,
    "published": published,
    "neighborhood": neighborhood,
    "sparse": sparse,
    "models": models,
    "communication": communication,
    "products": products,
    "schedules": schedules,
    "accuracy": accuracy,
    "measured": measured,
}


def pattern(name: str) -> re.Pattern[str]:
    """Finds the lines between `<!-- name:begin -->` and `<!-- name:end -->`."""
    return re.compile(rf"(<!-- {name}:begin -->\n)(.*?)(\n?<!-- {name}:end -->)", re.S)


def block(text: str, name: str) -> str:
    """What stands in the block now."""
    found = pattern(name).search(text)
    if found is None:
        raise SystemExit(f"README.md has no block {name}")
    return found[2].strip("\n")


def main() -> int:
    """Rewrite the blocks, or with --check say which are stale."""
    text = README.read_text(encoding="utf-8")
    stale = [name for name, make in BLOCKS.items() if block(text, name) != make()]
    if "--check" in sys.argv[1:]:
        print("\n".join(f"README.md: block {name} is stale" for name in stale))
        return 1 if stale else 0
    for name in stale:
        body = BLOCKS[name]()
        text = pattern(name).sub(lambda found, body=body: f"{found[1]}\n{body}\n\n<!-- {name}:end -->", text)  # noqa: B023
    README.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
