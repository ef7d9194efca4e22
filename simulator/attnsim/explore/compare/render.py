"""A comparison as text, as JSON and as flat rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attnsim.evaluate.render import digits3, percent, table, tile_text
from attnsim.explore.compare.compare import OF_KERNEL, Busy, Change, Comparison, KernelPair, Pair
from attnsim.explore.compare.explained import SAME
from attnsim.explore.shown import label, shown
from attnsim.units import format_quantity

_KERNEL_LABELS = {"ctas": "CTAs", "ctas_per_processor": "CTAs a processor", "smem_per_cta_bytes": "shared memory a CTA"}


def text(found: Comparison) -> str:
    """Both answers, the summary, figures, times, kernels, bytes, work, and what changed."""
    lines = [f"A  {found.a.title}", f"B  {found.b.title}", "", found.summary]
    headroom = found.figure("headroom")
    figures = [
        [label(pair.name), *_cells(pair)]
        for pair in found.figures
        if pair.name != "speedup_upper_bound" or headroom is None or (pair.a, pair.b) != (headroom.a, headroom.b)
    ]
    figures.insert(1, ["bound", found.a.bound, found.b.bound, ""])
    lines += _block(["", "A", "B", "B / A"], figures)
    if found.parts:
        lines += _block(
            ["time by part", "A", "B", "B / A", "of difference"], [[pair.name, *_cells(pair), _share(pair)] for pair in found.parts]
        )
    if found.resources:
        rows = [[pair.name, *_cells(pair), _share(pair), _ratio(pair.work), _ratio(pair.rate)] for pair in found.resources]
        lines += _block(["time by resource", "A", "B", "B / A", "of difference", "work", "rate"], rows)
    for pairs, title in ((found.bytes, "bytes by level"), (found.work, "work by unit")):
        if pairs:
            lines += _block([title, "A", "B", "B / A"], [[pair.name, *_cells(pair)] for pair in pairs])
    for pair in found.kernels:
        lines += _kernel(pair)
    for changes, title in ((found.mask, "mask"), (found.inputs, "changed"), (found.machine, "machine")):
        if changes:
            lines += _block([title, "A", "B", "B / A"], [_change(change) for change in changes])
    only = [("A", one.a) for one in found.assumptions if one.a] + [("B", one.b) for one in found.assumptions if one.b]
    if only:
        lines += ["", "assumptions of one side", *(f"  {side}  {told}" for side, told in only)]
    return "\n".join([*lines, *([""] if found.notes else []), *(f"note: {note}" for note in found.notes)])


def to_dict(found: Comparison) -> dict[str, Any]:
    """The JSON of ``attnsim compare``: SI base units, ratios b / a; what a side lacks is left out."""
    from attnsim import __version__

    sides = {
        name: {"workload": side.workload, "arch": side.arch, "schedule": side.schedule, "bound": side.bound, "attnsim": side.attnsim}
        for name, side in (("a", found.a), ("b", found.b))
    }
    pairs = {"figures": found.figures, "time_by_resource_s": found.resources, "time_by_part_s": found.parts, "bytes": found.bytes}
    changes = {"changed": found.inputs, "machine": found.machine, "mask": found.mask}
    return {
        "schema": 1,
        "attnsim": __version__,
        "kind": found.kind,
        **sides,
        "summary": found.summary,
        **{name: {pair.name: _plain(_pair(pair)) for pair in some} for name, some in (pairs | {"flops_by_unit": found.work}).items()},
        "kernels": [{side: dict(kernel) for side, kernel in (("a", pair.a), ("b", pair.b)) if kernel} for pair in found.kernels],
        **{name: {one.name: _plain({"a": one.a, "b": one.b}) for one in some} for name, some in changes.items()},
        "assumptions": {
            "a": [one.a for one in found.assumptions if one.a],
            "b": [one.b for one in found.assumptions if one.b],
        },
        "notes": list(found.notes),
    }


def rows(found: Comparison) -> list[dict[str, Any]]:
    """Section, name, a, b, ratio, share_of_difference, work_ratio, rate_ratio: one row a number or change."""
    sections: dict[str, Sequence[Pair]] = {
        "figure": found.figures, "time_by_part_s": found.parts, "time_by_resource_s": found.resources, "bytes": found.bytes,
        "flops_by_unit": found.work,
    }  # fmt: skip
    listed = [{"section": name, "name": pair.name, **_pair(pair)} for name, pairs in sections.items() for pair in pairs]
    listed.insert(1, {"section": "figure", "name": "bound", "a": found.a.bound, "b": found.b.bound})
    for name, changes in (("mask", found.mask), ("changed", found.inputs), ("machine", found.machine)):
        listed += [{"section": name, "name": one.name, "a": one.a, "b": one.b, "ratio": _quotient(one)} for one in changes]
    for index, pair in enumerate(found.kernels):
        for name in ("name", *OF_KERNEL):
            a, b = (_of_kernel(kernel, name) for kernel in (pair.a, pair.b))
            listed.append({"section": f"kernel {index + 1}", "name": name, "a": a, "b": b, "ratio": _quotient(Change(name, a, b))})
    return [{key: "" if value is None else value for key, value in row.items()} for row in listed]


def _pair(pair: Pair) -> dict[str, float | None]:
    found = {"a": pair.a, "b": pair.b, "ratio": pair.ratio, "share_of_difference": pair.share}
    return found | {"work_ratio": pair.work, "rate_ratio": pair.rate} if isinstance(pair, Busy) else found


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _block(header: Sequence[str], lines: Iterable[Sequence[str]]) -> list[str]:
    return ["", *table(header, list(lines), right=range(1, len(header))).split("\n")]


def _cells(pair: Pair) -> list[str]:
    return [*(_number(value, pair.unit, pair.name) for value in (pair.a, pair.b)), _ratio(pair.ratio)]


def _number(value: float | None, of: str, name: str) -> str:
    if value is None:
        return "-"
    if name in ("headroom", "speedup_upper_bound"):
        return f"{digits3(value)} x"
    return format_quantity(value, of) if of else shown(name, value)


def _ratio(ratio: float | None) -> str:
    if ratio is None:
        return ""
    return "same" if abs(ratio - 1) <= SAME else digits3(ratio)


def _share(pair: Pair) -> str:
    return "" if pair.share is None else percent(pair.share)


def _change(change: Change) -> list[str]:
    return [change.name.replace("_", " ") if "." not in change.name else change.name, *_values(change), _ratio(_quotient(change))]


def _values(change: Change) -> list[str]:
    return ["-" if value is None else _number(value, change.unit, change.name) for value in (change.a, change.b)]


def _quotient(change: Change) -> float | None:
    a, b = change.a, change.b
    return b / a if isinstance(a, int | float) and isinstance(b, int | float) and a else None


def _kernel(pair: KernelPair) -> list[str]:
    kernels = (pair.a, pair.b)
    names = [kernel["name"] if kernel else "-" for kernel in kernels]
    lines = []
    for name in OF_KERNEL:
        a, b = (_of_kernel(kernel, name) for kernel in kernels)
        if name in ("smem_per_cta_bytes", "dtype", "limiter") and a == b:
            continue
        cells = _values(Change(name, a, b, {"latency_s": "s", "smem_per_cta_bytes": "B"}.get(name, "")))
        lines.append([_KERNEL_LABELS.get(name, label(name)), *cells, _ratio(_quotient(Change(name, a, b)))])
    return _block(["kernel", *names, ""], lines)


def _of_kernel(kernel: Mapping[str, Any] | None, name: str) -> Any:
    if kernel is None:
        return None
    value = kernel.get(name)
    return tile_text(value) if isinstance(value, Mapping) else value
