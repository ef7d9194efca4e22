"""The columns of a sweep, fixed before it starts: a few points of every combination are tried, and what they answer decides.

Columns are the scalars of an answer as `attnsim run --format csv` names them. `point` and the varied fields come first, `error` last. Left
out, unless asked for by name: texts and lists (`DETAILS`). Counts that outgrow 64 bits (FLOPs, bytes, pairs) are float64; sizes, passes,
contexts, batches and devices are int64.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import fields as dataclass_fields
from dataclasses import replace
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any, Final

from attnsim.errors import AttnsimError, InfeasibleError, suggest
from attnsim.explore.answer.points import group
from attnsim.explore.answer.scalar import Group, answer_point
from attnsim.explore.plan.axes import Axis
from attnsim.explore.plan.plan import Combination, Plan, SweepError
from attnsim.machine.machine import Machine

if TYPE_CHECKING:
    import numpy as np
    import pyarrow

DETAILS: Final = (
    "assumptions", "kernels", "phases", "bytes_by_tensor", "ops_by_kind", "utilization_by_einsum", "lag", "interleave", "once_a_row",
    "mask.description",
)  # fmt: skip
"""Columns that are there only where they are asked for, with all below them."""
BOUNDS: Final = ("name", "kind", "dtype", "sizes", "model", "phase", "context", "batch", "gpus", "flops", "lower_bound_s",
                 "lower_bound_by_resource_s")  # fmt: skip
"""Entries of an answer where only the lower bound is asked for."""

_WHOLE: Final = ("sizes", "passes", "context", "batch", "gpus", "layers")
_TILED: Final = ("attended_pairs", "density", "flop_speedup", "q_tiles", "tile_pairs_needed", "tile_pairs_kernel", "tile_pairs_partial",
                 "tile_pairs_dense", "tile_pairs_all", "max_kv_tiles", "speedup_worst_tile", "speedup_mean_tile")  # fmt: skip
_SCALARS: Final = {"int": "number", "float": "number", "str": "text", "int | None": "number", "float | None": "number"}
_OPTIONAL: Final = ("ttft_s", "tpot_s", "energy_j", "energy_j_per_token")  # of a model: as phase and deployment have it
_COMBINATIONS: Final = 128
_TRIED: Final = 32


def prepared(plan: Plan) -> Plan:
    """The plan with its schema.

    Raises: SweepError for a column that no answer has; as `attnsim.run` where a combination has no point that can be asked.
    """
    known = _known(plan)
    plan = _by_end(plan, known)
    chosen = [name for name in sorted(known) if is_chosen(plan, name)]
    names = [name for name in chosen if name not in (*plan.fields, "point", "arch", "error")]
    chosen_by_answer = [name for name in plan.fields if name in known]  # what a null stands for
    entries = tuple(dict.fromkeys(name.partition(".")[0] for name in (*names, *chosen_by_answer)))
    return plan.with_schema(_schema(plan, {name: known[name] for name in names}), entries)


def is_chosen(plan: Plan, name: str) -> bool:
    """Whether a column of the answers is in the table."""
    if plan.columns:
        return any(name == word or name.startswith(f"{word}.") for word in plan.columns)
    if plan.only == "lower_bound" and name.partition(".")[0] not in BOUNDS:
        return False
    return not any(name == word or name.startswith(f"{word}.") for word in DETAILS)


def _by_end(plan: Plan, known: Iterable[str]) -> Plan:
    """The plan, with columns asked for by their end (`usd_per_mtok`) as whole names. Raises: SweepError for a column nobody knows."""
    known, found = list(known), list[str]()
    always = ("point", "arch", "error", *plan.fields)
    for word in plan.columns:
        if word in always or any(name == word or name.startswith(f"{word}.") for name in known):
            found.append(word)
            continue
        ends = [name for name in known if name.endswith(f".{word}")]
        if not ends:
            tops = [name.partition(".")[0] for name in known]
            near = suggest(word, [*known, *tops, *always]) or f"; the columns are {', '.join(sorted(set(tops)))} and what is below them"
            raise SweepError(f"there is no column {word!r}{near}", "columns")
        found += ends
    return replace(plan, columns=tuple(found))


def _schema(plan: Plan, names: dict[str, str]) -> pyarrow.Schema:
    import numpy as np
    import pyarrow as pa

    kinds = {"number": pa.float64(), "text": pa.string(), "flag": pa.bool_()}
    entries = [pa.field("point", pa.int64(), nullable=False)]
    for axis in plan.axes:
        for name, series in zip(axis.fields, axis.series, strict=True):
            of = str(series.take(np.zeros(1, dtype=np.int64)).dtype.kind)
            of = "i" if of == "f" and name.partition(".")[0] in _WHOLE else of  # whole numbers, and null
            entries.append(pa.field(name, {"i": pa.int64(), "f": pa.float64(), "b": pa.bool_()}.get(of, pa.string())))
    if "arch" not in plan.fields:
        entries.append(pa.field("arch", pa.string()))
    for name, kind in names.items():
        entries.append(pa.field(name, pa.int64() if kind == "number" and name.partition(".")[0] in _WHOLE else kinds[kind]))
    return pa.schema([*entries, pa.field("error", pa.string())])


# --- what the answers hold -----------------------------------------------------------


def _known(plan: Plan) -> dict[str, str]:
    """Column -> number, text or flag: of all points tried, and of every unit and level of their machines."""
    known: dict[str, str] = {}
    for numbers in _tried(plan):
        failures: list[AttnsimError] = []
        answered = False
        for index in numbers:
            try:
                settings = plan.settings_of(index)
                one = group(plan, settings, _first(), int(plan.groups(index)[0]))
                _add_machine(known, one)
                row = answer_point(_whole(one), 0)
            except InfeasibleError:
                answered = True
            except AttnsimError as error:
                failures.append(error)
            else:
                answered = True
                for name, value in row.items():
                    if value is not None:
                        kind = "flag" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"
                        known[name] = kind if known.get(name, kind) == kind else "text"
        if failures and not answered:
            raise located(plan, failures[0], plan.values(int(plan.groups(numbers[0])[0])))
    if not known:  # the filters leave nothing to try
        known = _static(plan.combination(0))
    if any(name.startswith("mask.") for name in known):
        known = {f"mask.{name}": "number" for name in _TILED} | known
    return known


def _first() -> np.ndarray:
    import numpy as np

    return np.zeros(1, dtype=np.int64)


def _whole(one: Group) -> Group:
    return replace(one, fields=None)


def _add_machine(known: dict[str, str], one: Group) -> None:
    for name, kind in _static(one).items():
        known.setdefault(name, kind)


def _static(one: Group | Combination) -> dict[str, str]:
    """Columns that are there whatever the sizes: scalars of the answer's type, and entries by unit and level of the machine."""
    from attnsim.evaluate.estimate import Estimate
    from attnsim.evaluate.layer import LayerEstimate
    from attnsim.evaluate.spatial.estimate import SpatialEstimate
    from attnsim.serving.answer import ModelEstimate

    kind = one.document.data.get("kind")
    processor = isinstance(one.machine, Machine)
    answer: type = {"layer": LayerEstimate, "model": ModelEstimate}.get(str(kind), Estimate if processor else SpatialEstimate)
    found = {entry.name: _SCALARS[str(entry.type)] for entry in dataclass_fields(answer) if str(entry.type) in _SCALARS}
    if kind == "model":
        return {name: told for name, told in found.items() if name not in _OPTIONAL}
    if isinstance(one.machine, Machine):
        units, levels, memory = list(one.machine.units), [level.name for level in one.machine.levels], one.machine.memory.name
    else:
        units, levels, memory = list(one.machine.arrays), ["dram", "buffer"], "dram"
    timed = [*units, *levels, "launch"] if processor else [*units, *levels]
    by = {"bytes": levels, "flops_by_unit": units, "lower_bound_by_resource_s": [*units, memory]}
    by |= {"time_by_resource_s": timed, "utilization": timed}
    return found | {f"{entry}.{name}": "number" for entry, names in by.items() for name in names}


# --- which points are tried ------------------------------------------------------------


def _tried(plan: Plan) -> Iterator[list[np.ndarray]]:
    """For each combination that is tried, up to three of its points that pass the filters, each the number of one point in an array."""
    import numpy as np

    lengths = [len(axis) for axis in plan.axes]
    strides = [prod(lengths[at + 1 :]) for at in range(len(lengths))]
    shuffled = random.Random(0)  # the same points whenever the same sweep starts
    for groups in _combinations(plan.axes, shuffled):
        candidates = []
        for number in range(_TRIED):
            positions = []
            for axis, chosen in zip(plan.axes, groups, strict=True):
                if axis.is_counted:
                    place = (0, len(axis) - 1, len(axis) // 2)[number] if number < 3 else shuffled.randrange(len(axis))
                else:
                    place = _place(axis, chosen, number, shuffled)
                positions.append(place)
            candidates.append(sum(place * stride for place, stride in zip(positions, strides, strict=True)))
        index = np.array(list(dict.fromkeys(candidates)), dtype=np.int64)
        kept = plan.settings_of(index).index[:3]
        if len(kept):
            yield [kept[at : at + 1] for at in range(len(kept))]


def _place(axis: Axis, chosen: int, number: int, shuffled: random.Random) -> int:
    """A position of a group of an axis on which counts may vary too."""
    import numpy as np

    if axis.categories is None:
        return chosen
    of = np.flatnonzero(axis.categories[0] == chosen)
    return int(of[0] if number == 0 else of[-1] if number == 1 else of[shuffled.randrange(len(of))])


def _combinations(axes: tuple[Axis, ...], shuffled: random.Random) -> Iterator[tuple[int, ...]]:
    """The group on every axis: all combinations where they are few, else every group of a few with others, and some at random."""
    counts = [1 if axis.is_counted else axis.group_count for axis in axes]
    if prod(counts) <= _COMBINATIONS:
        yield from product(*map(range, counts))
        return
    seen: set[tuple[int, ...]] = set()
    for at, count in enumerate(counts):
        spread = range(count) if count <= _COMBINATIONS // 2 else [count * step // 64 for step in range(64)] + [count - 1]
        seen.update(tuple(chosen if at == other else 0 for other in range(len(counts))) for chosen in spread)
    seen.update(tuple(shuffled.randrange(count) for count in counts) for _ in range(_COMBINATIONS // 2))
    yield from sorted(seen)


def located(plan: Plan, error: AttnsimError, values: dict[str, Any]) -> AttnsimError:
    """An error of a combination, told of the varied field it is about where it is about one; else where it is, with the values."""
    for issue in error.issues:
        for field in plan.fields:
            path = f"arch.{issue.path}" if field.startswith("arch.") else issue.path
            if path and (path == field or path.startswith(f"{field}.") or field.startswith(f"{path}.")):
                others = ", ".join(f"{name}={value}" for name, value in values.items() if name != field)
                at = f" (with {others})" if others else ""
                return SweepError(f"{path}: {issue.message}{at}", field)
    if not values or isinstance(error, SweepError):
        return error
    at = ", ".join(f"{name}={value}" for name, value in values.items())
    return type(error)(replace(issue, message=f"{issue.message} (with {at})") for issue in error.issues)
