"""Rows of AIConfigurator's tables as a measurement file (`attnsim.spec.measurement`), with where they are from in front."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from attnsim.importers.aiconfigurator import Call, ExpertLayer, Product, Row, TableFile, kernel_map, repeated
from attnsim.spec.dtype import BITS
from attnsim.spec.measurement import ATTENTION, PRODUCT

EXPERTS = ("kernel", "dtype", "tokens", "hidden", "inter", "top_k", "experts", "tp", "ep", "distribution", "time_us")
"""Columns of an expert layer, which no measurement file has: it can be read, and is not scored."""


@dataclass(frozen=True, slots=True)
class MeasurementFile:
    """A measurement file: its text, its number of rows, and what is to be said of it."""

    text: str
    rows: int
    notes: tuple[str, ...]


def schedule_of(row: Row, table: TableFile) -> tuple[str, str]:
    """The schedule of a row and "", or "" and why it has none that could be scored."""
    rules = kernel_map()
    if row.dtype not in BITS:
        return "", f"{row.dtype}, a format with scales of its own"
    if isinstance(row, Call) and row.kv_dtype != row.dtype:
        return "", f"{row.kv_dtype} keys and values under {row.dtype} queries, which a measurement file has no column for"
    rule = next((rule for rule in rules.kernels if rule.holds(table.op, row.source, table.system, table.framework)), None)
    return (rule.schedule, rule.reason) if rule is not None else ("", f"no rule for kernel {row.source}")


def measurements(table: TableFile, rows: Iterable[Row]) -> MeasurementFile:
    """The rows that a measurement file can say, and the reasons of those left out. Expert layers come in columns of their own."""
    every = tuple(rows)
    taken: list[tuple[str | int, ...]] = []
    left_out: Counter[str] = Counter()
    for row in every:
        schedule, why = schedule_of(row, table)
        if isinstance(row, ExpertLayer):
            taken.append(_line(row, "moe", table))
        elif why:
            left_out[why] += 1
        else:
            taken.append(_line(row, schedule, table))
    notes = [f"{count} rows are left out: {why}" for why, count in left_out.most_common()]
    if repeats := repeated(every):
        notes.append(f"{repeats} rows repeat the key of another one, and the median of their times is written")
    if table.op == "moe":
        notes += [f"not scored: {rule.reason}" for rule in kernel_map().kernels if rule.ops == ["moe"]]
    notes += [
        f"this table is known to be wrong: {faulty.reason}"
        for faulty in kernel_map().faulty
        if (faulty.system, faulty.op, faulty.framework) == (table.system, table.op, table.framework) and table.version in faulty.versions
    ]
    out = io.StringIO()
    arch = kernel_map().machines.get(table.system)
    for line in (table.title, f"source: {kernel_map().source}", f"licence: {kernel_map().licence}", f"arch: {arch or 'none'}", *notes):
        out.write(f"# {line}\n")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("backend", *(EXPERTS if table.op == "moe" else PRODUCT if table.op == "gemm" else ATTENTION)))
    writer.writerows(taken)
    return MeasurementFile(out.getvalue(), len(taken), tuple(notes))


def _line(row: Row, kernel: str, table: TableFile) -> tuple[str | int, ...]:
    backend, time_us = f"{table.framework} {row.source}", f"{row.time_s * 1e6:.7g}"
    if isinstance(row, Product):
        return backend, kernel, row.dtype, row.m, row.n, row.k, time_us
    if isinstance(row, ExpertLayer):
        sizes = row.tokens, row.hidden, row.inter, row.top_k, row.experts, row.tp, row.ep
        return backend, kernel, row.dtype, *sizes, row.distribution, time_us
    causal = int(row.queries > 1 or row.left is not None)  # one query sees every key, or a window that ends with its own
    sizes = row.batch, row.heads_q, row.heads_kv, row.queries, row.keys, row.head_dim, row.head_dim_v
    return backend, kernel, "forward", row.dtype, *sizes, causal, "" if row.left is None else row.left, time_us
