"""Scores of a measured machine as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from attnsim.evaluate.render import table
from attnsim.spec.machinecase import MachineTarget
from attnsim.validate.machinecase import MISFIT, FileRow, MachineGroupScore, MachineScore
from attnsim.validate.measurements import WORST_SHOWN, baselines_dict
from attnsim.validate.render_measurements import ROWS, baseline_lines, row_cells
from attnsim.validate.stats import percent

GROUPS = (
    "group", "held out: n", "mean", "median", "p90", "worst", "signed mean", "fitted: n", "mean", "median", "p90", "worst", "target",
    "floor", "",
)  # fmt: skip
GROUP_NUMBERS = range(1, 12)
LISTED = ("file", *ROWS)
LISTED_NUMBERS = (1, 4, 5, 6, 7)


def machine_lines(score: MachineScore, detailed: bool) -> Iterator[str]:
    """The groups, baselines, misfits and what else needs explaining; with `detailed` every row."""
    spec = score.spec
    yield f"{score.name}: {spec.title}"
    yield f"  source     {spec.source}"
    yield f"  machine    {spec.arch}; {len(spec.files)} files, {len(score.rows)} rows scored; fitted and held out as case.yaml and "\
          "the machine's calibration record say"  # fmt: skip
    yield from table(GROUPS, group_rows(score), right=GROUP_NUMBERS, indent="  ").split("\n")
    yield from (f"  {group.group.name}: {group.group.note}" for group in score.groups if group.group.note)
    yield from baseline_lines(score.baselines, "  ")
    held = score.stats(False)
    misfits, unexplained = score.misfits, score.unexplained
    yield ""
    yield f"  more than {MISFIT * 100:.0f} % off: {len(misfits)} of {held.n} held-out rows, {len(unexplained)} of them unexplained"
    for reason, rows in _by_reason(misfits).items():
        yield f"    {len(rows)}: {reason}"
    yield from _listed("unexplained", unexplained, detailed)
    yield from _listed("measured below the certified lower bound, no reason known", score.broken, detailed)
    for one in score.rows:
        if one.row.below_floor and one.floor_reason:
            share = one.row.call.measured_s / one.row.prediction.lower_bound_s
            yield f"  {one.file}:{one.row.line}: measured at {share:.2f} of the lower bound: {one.floor_reason}"
    for file, row in score.skipped:
        yield f"  {file}:{row.line}: no prediction: {row.reason}"
    for reason, count in _excluded(score).items():
        yield f"  left out   {count} rows: {reason}"
    if detailed:
        for group in score.groups:
            yield from _listed(group.group.name, group.rows, True)


def _listed(title: str, rows: Sequence[FileRow], every: bool) -> Iterator[str]:
    if rows:
        shown = rows if every else rows[:WORST_SHOWN]
        yield ""
        yield f"  {title}" + (f", the worst {len(shown)} of {len(rows)}" if len(shown) < len(rows) else "")
        yield from table(LISTED, [listed_cells(one) for one in shown], right=LISTED_NUMBERS, indent="    ").split("\n")


def listed_cells(one: FileRow) -> list[str]:
    """A row under `LISTED`."""
    return [one.file, *row_cells(one.row)]


def group_rows(score: MachineScore) -> list[list[str]]:
    """Cells under `GROUPS`: a group a row, then all."""
    rows = [_group(group) for group in score.groups]
    if len(score.groups) > 1:
        whole = MachineGroupScore(score.groups[0].group.model_copy(update={"name": "all", "targets": None}), score.rows)
        rows.append(_group(whole))
    return rows


def _group(score: MachineGroupScore) -> list[str]:
    held, fitted = score.stats(False), score.stats(True)
    below = held.below_floor + fitted.below_floor
    return [
        score.group.name,
        str(held.n), percent(held.mape), percent(held.median), percent(held.p90), percent(held.max), percent(held.bias, signed=True),
        str(fitted.n), percent(fitted.mape), percent(fitted.median), percent(fitted.p90), percent(fitted.max),
        target_words(score.target), f"{below} below" if below else "kept", {None: "", True: "ok", False: "FAILS"}[score.target_met],
    ]  # fmt: skip


def target_words(target: MachineTarget | None) -> str:
    """A target in words: mean <= 8 %, p90 <= 15 %."""
    if target is None:
        return "-"
    pairs = (("mean", target.mape), ("p90", target.p90), ("worst", target.worst))
    return ", ".join(f"{name} <= {limit * 100:g} %" for name, limit in pairs if limit is not None)


def _by_reason(rows: Sequence[FileRow]) -> dict[str, list[FileRow]]:
    found: dict[str, list[FileRow]] = {}
    for one in rows:
        if one.explanation:
            found.setdefault(one.explanation, []).append(one)
    return found


def _excluded(score: MachineScore) -> dict[str, int]:
    found: dict[str, int] = {}
    for _, _, reason in score.excluded:
        found[reason] = found.get(reason, 0) + 1
    return found


def machine_dict(score: MachineScore, detailed: bool) -> dict[str, Any]:
    """JSON form."""
    made: dict[str, Any] = {
        "name": score.name, "title": score.spec.title, "source": score.spec.source, "arch": score.spec.arch, "ok": score.ok,
        "all": score.stats().to_dict(), "fitted": score.stats(True).to_dict(), "held_out": score.stats(False).to_dict(),
        "groups": [
            {
                "name": group.group.name, "note": group.group.note or None,
                "all": group.stats().to_dict(), "fitted": group.stats(True).to_dict(), "held_out": group.stats(False).to_dict(),
                "target": group.target.model_dump(exclude_none=True) if group.target else None, "target_met": group.target_met,
            }
            for group in score.groups
        ],
        "baselines": baselines_dict(score.baselines),
        "misfits": [{**_row(one), "explanation": one.explanation or None} for one in score.misfits],
        "unexplained": len(score.unexplained),
        "below_floor": [{**_row(one), "reason": one.floor_reason or None} for one in score.rows if one.row.below_floor],
        "skipped": [{"file": file, **row.to_dict()} for file, row in score.skipped],
        "excluded": [{"file": file, "line": record.line, "reason": reason} for file, record, reason in score.excluded],
    }  # fmt: skip
    if detailed:
        made["rows"] = [{**_row(one), "group": group.group.name} for group in score.groups for one in group.rows]
    return made


def _row(one: FileRow) -> dict[str, Any]:
    return {"file": one.file, **one.row.to_dict()}
