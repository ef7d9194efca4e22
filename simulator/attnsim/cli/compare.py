"""`attnsim compare`: two answers side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from attnsim.cli.common import (
    FORMATS,
    check_writable,
    cli_command,
    deliver,
    format_option,
    output_option,
    pick_format,
    set_option,
    sets_read,
    written,
)
from attnsim.cli.kinds import split
from attnsim.errors import UsageError

if TYPE_CHECKING:
    from attnsim.evaluate.estimate import Report
    from attnsim.explore.compare.compare import Comparison

EXAMPLE = "attnsim compare llama3-8b-prefill h100_sxm b200"


@cli_command(
    "compare",
    EXAMPLE,
    "attnsim compare llama3-8b-prefill a100_sxm_80gb --schedule flash-attention-1 --schedule flash-attention-2",
    "attnsim compare llama3-70b-serving h100_sxm --set-b dtype=fp8",
    "attnsim compare before.json after.json --format csv",
)
@click.argument("words", nargs=-1, required=True, metavar="A B | WORKLOAD... ARCH...")
@click.option("--schedule", "schedules", multiple=True, metavar="NAME",
              help="Schedule in place of the workloads' own; given twice, that of A and that of B.")  # fmt: skip
@set_option
@click.option("--set-a", "sets_a", multiple=True, metavar="FIELD=VALUE", callback=sets_read, help="As --set, for A only.")
@click.option("--set-b", "sets_b", multiple=True, metavar="FIELD=VALUE", callback=sets_read, help="As --set, for B only.")
@format_option(*FORMATS)
@output_option
def command(
    words: tuple[str, ...],
    schedules: tuple[str, ...],
    sets: tuple[str, ...],
    sets_a: tuple[str, ...],
    sets_b: tuple[str, ...],
    format_: str | None,
    output: str | None,
) -> None:
    """Set two answers side by side: what changed, and which resource explains it.

    A and B are files of `attnsim run --format json`, or names: of workloads, machines and schedules one stands for both sides, two for A
    and B in this order. A workload and two machines compare the machines; a workload, a machine and --set-b what a change does.

    Prints the ratio B / A of latency, bound, energy, busy times, bytes, work and kernels, and the inputs and numbers of the machine that
    differ. "of difference": the change of a time as a share of the change in latency; busy times of one kernel overlap, so that theirs need
    not add up. "work" and "rate": the useful operations or bytes of a resource, and how fast it handles them.
    """
    check_writable(output)
    answers = {word: data for word in words if (data := _answer_in(word)) is not None}
    names = [word for word in words if word not in answers]
    import attnsim

    if not names:
        if schedules or sets or sets_a or sets_b:
            raise UsageError("--schedule and --set change what is run; these files hold answers")
        sides: Sequence[Report | Mapping[str, Any]] = [answers[word] for word in words]
    else:
        ran = _run(names, schedules, (*sets, *sets_a), (*sets, *sets_b), alone=bool(answers))
        sides = ran if not answers else [*answers.values(), *ran] if words[0] in answers else [*ran, *answers.values()]
    if len(sides) != 2:
        raise UsageError(
            f"compare sets two answers side by side, not {len(sides)}; write for example attnsim compare before.json after.json"
        )
    found = attnsim.compare(*sides)
    deliver(written(found, pick_format(format_, output), lambda: _csv(found)), output)


def _csv(found: Comparison) -> str:
    from attnsim.report.export import to_csv

    return to_csv(found.rows(), first=("section", "name", "a", "b", "ratio", "share_of_difference"))


def _answer_in(word: str) -> Mapping[str, Any] | None:
    """The answer that a file holds; None for a name, or a file that is a spec. Raises UsageError for JSON that is neither."""
    path = Path(word)
    if path.suffix.lower() != ".json":
        return None
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else " ".join(str(error).split())
        raise UsageError(f"cannot read {word!r}: {reason}") from None
    from attnsim.explore.compare.compare import is_answer

    if is_answer(data):
        return dict(data)
    if isinstance(data, dict) and "kind" in data and "results" not in data:  # a spec may be written as JSON, too
        return None
    raise UsageError(f"{word!r} is no answer of attnsim run; write one with: attnsim run WORKLOAD ARCH --format json -o {word}")


def _run(names: Sequence[str], schedules: Sequence[str], sets_a: Sequence[str], sets_b: Sequence[str], *, alone: bool) -> list[Report]:
    """The answers that names, schedules and sets ask for: two, or with `alone` the one beside a file."""
    import attnsim

    workloads, archs = split(names, EXAMPLE)
    for what, given in (("workloads", workloads), ("machines", archs), ("schedules", schedules)):
        if len(given) > (1 if alone else 2):
            limit = "one, beside a file" if alone else "two"
            raise UsageError(f"compare takes {limit}, not {len(given)} {what}; for more, see attnsim sweep")
    if alone:
        if list(sets_a) != list(sets_b):
            raise UsageError("one side is a file; change the other one with --set")
        return [attnsim.run(workloads[0], archs[0], schedules[0] if schedules else None, sets=sets_a)]
    if max(len(workloads), len(archs), len(schedules)) < 2 and list(sets_a) == list(sets_b):
        raise UsageError("A and B are the same; name two machines, two workloads, two --schedule, or add --set-b FIELD=VALUE")
    sides = []
    for side, sets in ((0, sets_a), (-1, sets_b)):
        sides.append(attnsim.run(workloads[side], archs[side], schedules[side] if schedules else None, sets=sets))
    return sides
