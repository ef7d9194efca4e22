"""Points of a plan to a table: grouped by all that is no count, each group answered at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attnsim.errors import AttnsimError
from attnsim.explore.answer.scalar import Group, answer_group, reason
from attnsim.explore.answer.vector import answer_together, answers_together
from attnsim.explore.plan.plan import Plan, Settings

if TYPE_CHECKING:
    import numpy as np
    import pyarrow


def evaluate_settings(plan: Plan, settings: Settings) -> pyarrow.Table:
    """One row a point, in the order of their numbers, with the columns of the plan's schema.

    Points that cannot be had keep their row, with the reason in `error`. Raises: RuntimeError, a bug, for a column the schema lacks.
    """
    import numpy as np
    import pyarrow as pa

    assert plan.schema is not None, "a plan is prepared by attnsim.explore.answer.columns.prepared"
    table = _Table(plan, settings)
    numbers = plan.groups(settings.index)
    order = np.argsort(numbers, kind="stable")
    starts = np.flatnonzero(np.diff(numbers[order], prepend=-1))
    for rows in np.split(order, starts[1:]) if len(order) else []:
        table.put(rows, _answers(plan, settings, rows, int(numbers[rows[0]])))
    return pa.Table.from_arrays(table.arrays(), schema=plan.schema)


def _answers(plan: Plan, settings: Settings, rows: np.ndarray, number: int) -> dict[str, Any]:
    try:
        asked = group(plan, settings, rows, number)
        if answers_together(asked):
            return answer_together(asked)
        return answer_group(asked)
    except AttnsimError as error:  # a value that this combination cannot take, and which was not among those tried before
        return {"error": [reason(error)] * len(rows)}


def group(plan: Plan, settings: Settings, rows: np.ndarray, number: int) -> Group:
    """The points at `rows` of the settings, all of combination `number`."""
    common = plan.combination(number)
    counted = [name for axis in plan.axes for name in axis.fields if name in axis.counted]
    sizes = {name.removeprefix("sizes."): settings.columns[name][rows] for name in counted}
    return Group(common.document, common.machine, common.schedule, sizes, plan.only, plan.answers or None, len(rows))


class _Table:
    """Columns of a plan's schema, filled group by group."""

    def __init__(self, plan: Plan, settings: Settings) -> None:
        import numpy as np

        self._plan, self._settings = plan, settings
        self._schema: Any = plan.schema
        self._values: dict[str, np.ndarray] = {}
        self._valid: dict[str, np.ndarray] = {}
        self._own = {"point": settings.index, **settings.columns}
        if "arch" not in settings.columns:
            self._own["arch"] = np.full(len(settings), plan.arch, dtype=object)

    def put(self, rows: np.ndarray, answers: dict[str, Any]) -> None:
        """The answers of some rows."""
        import numpy as np
        import pyarrow as pa

        for name, column in answers.items():
            if name in self._own:
                self._fill(name, column, rows)
                continue
            at = self._schema.get_field_index(name)
            if at < 0:
                self._check_left_out(name, rows)
                continue
            if name not in self._values:
                kind = self._schema.field(at).type
                plain = np.int64 if pa.types.is_int64(kind) else np.float64 if pa.types.is_float64(kind) else object
                self._values[name] = np.zeros(len(self._settings), dtype=plain)
                self._valid[name] = np.zeros(len(self._settings), dtype=bool)
            kept, valid = _filled(column, len(rows), self._values[name].dtype)
            self._values[name][rows] = kept
            self._valid[name][rows] = valid

    def _fill(self, name: str, column: Any, rows: np.ndarray) -> None:
        """Where a varied field is null, what the answer has in its place: the batch or the schedule that was chosen."""
        own = self._own[name]
        if own.dtype.kind not in "fO":
            return
        missing = own[rows] != own[rows] if own.dtype.kind == "f" else own[rows] == None  # noqa: E711 - elementwise
        if missing.any():
            self._own[name] = own = own.copy()
            kept, valid = _filled(column, len(rows), own.dtype)
            own[rows[missing & valid]] = kept[missing & valid]

    def _check_left_out(self, name: str, rows: np.ndarray) -> None:
        from attnsim.explore.answer.columns import is_chosen

        if is_chosen(self._plan, name):
            point = self._settings.index[rows[0]]
            raise RuntimeError(f"column {name} of point {point} or one beside it was not foreseen; leave it out with --columns")

    def arrays(self) -> list[pyarrow.Array]:
        """The columns in the order of the schema."""
        import pyarrow as pa

        arrays = []
        for entry in self._schema:
            if entry.name in self._own:
                arrays.append(pa.array(self._own[entry.name], type=entry.type, from_pandas=True))
            elif entry.name in self._values:
                arrays.append(pa.array(self._values[entry.name], type=entry.type, mask=~self._valid[entry.name]))
            else:
                arrays.append(pa.nulls(len(self._settings), type=entry.type))
        return arrays


def _filled(column: Any, count: int, dtype: np.dtype[Any]) -> tuple[np.ndarray, np.ndarray]:
    """A column without gaps, and where it has values."""
    import numpy as np

    if isinstance(column, str | int | float):  # the same for all points of the group
        return np.full(count, column, dtype=dtype), np.full(count, column == column)
    if isinstance(column, np.ndarray) and column.dtype.kind != "O":
        valid = ~np.isnan(column) if column.dtype.kind == "f" else np.ones(len(column), dtype=bool)
        return np.where(valid, column, 0).astype(dtype), valid
    valid = np.array([value is not None for value in column], dtype=bool)
    if dtype.kind == "O":
        kept = np.empty(len(valid), dtype=object)
        kept[:] = list(column)
        return kept, valid
    return np.array([0 if value is None else value for value in column], dtype=dtype), valid
