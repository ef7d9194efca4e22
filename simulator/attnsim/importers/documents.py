"""From equations to documents that validate: the cascade with its batch ranks and positions, the schedule, the workload."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from attnsim.cascade.build import build
from attnsim.cascade.cascade import Cascade, load_cascade
from attnsim.cascade.grammar import Access, Call, Equation, ExpressionError, accesses, parse_equation
from attnsim.errors import Issue, SpecError
from attnsim.importers.common import Source, file_name
from attnsim.schedule.spatial import SpatialSchedule, check_spatial_names, product_of
from attnsim.spec.cascade import CascadeSpec
from attnsim.spec.mapping import SpatialScheduleSpec
from attnsim.spec.scan import Loc
from attnsim.spec.workload import KernelWorkload
from attnsim.spec.yaml import from_dict, validate

_TENSOR: Final = re.compile(r"([A-Za-z_]\w*)\s*\[([^\]]*)\]", re.ASCII)


@dataclass(frozen=True, slots=True)
class Line:
    """An equation in attnsim's grammar, and the place of the file it came from."""

    loc: Loc
    text: str
    equation: Equation

    @property
    def label(self) -> str:
        """Name of the tensor it computes."""
        return self.equation.output.name

    @property
    def reads(self) -> list[Access]:
        """The tensors on its right side, repetitions kept."""
        return accesses(self.equation.expression)

    @property
    def variables(self) -> list[str]:
        """Every index variable, in the order of writing."""
        return list(dict.fromkeys(name for access in (self.equation.output, *self.reads) for name in variables(access)))

    @property
    def is_product(self) -> bool:
        """Whether it is one tensor times another."""
        node = self.equation.expression
        if not isinstance(node, Call) or node.function != "mul" or len(node.arguments) != 2:
            return False
        return all(isinstance(argument, Access) for argument in node.arguments)


def variables(access: Access) -> list[str]:
    """The variables in the indices of a tensor."""
    return [name for index in access.indices for _, name in index.terms]


def joined(item: Any) -> Any:
    """The text of an equation that YAML took for a one-pair mapping: it ends a key at a colon before a space, as in `:: max(m)`."""
    if isinstance(item, dict) and len(item) == 1:
        (key, value), *_ = item.items()
        if isinstance(value, str) and "=" in key:
            return f"{key}: {value}"
    return item


def rewritten(text: str, indices: Callable[[str, list[str]], Iterable[str]]) -> str:
    """An equation with the index list of every tensor replaced by what `indices(tensor, list)` gives; no brackets around none."""

    def replace(match: re.Match[str]) -> str:
        kept = list(indices(match[1], [part.strip() for part in match[2].split(",")] if match[2].strip() else []))
        return f"{match[1]}[{','.join(kept)}]" if kept else match[1]

    return " ".join(_TENSOR.sub(replace, text).split())


def parsed(source: Source, loc: Loc, text: str) -> Line | None:
    """The equation of a text; None after a mistake."""
    try:
        return Line(loc, text, parse_equation(text))
    except ExpressionError as error:
        source.fail(loc, error.within(text))
        return None


def batch_variables(lines: Sequence[Line]) -> list[str]:
    """Variables of batch ranks: on both operands and the result of a matrix product, and handed on as they are by every equation.

    PE arrays run a product head by head, so its operands may share no rank that it keeps.
    """
    wanted: dict[str, None] = {}
    for line in lines:
        if line.is_product:
            first, second = (set(variables(access)) for access in line.reads)
            kept = set(variables(line.equation.output))
            if first & kept - second and second & kept - first:
                wanted |= dict.fromkeys(name for name in line.variables if name in first & second & kept)
    return [name for name in wanted if all(_hands_on(line, name) for line in lines)]


def _hands_on(line: Line, name: str) -> bool:
    """Whether an equation keeps a variable, if it has it, and never shifts it or adds it to another."""
    found = [
        index for access in (line.equation.output, *line.reads) for index in access.indices if name in [term for _, term in index.terms]
    ]
    return not found or (name in variables(line.equation.output) and all(index.variable == name and not index.offset for index in found))


def positions(lines: Sequence[Line], batch: Iterable[str]) -> tuple[str, str] | None:
    """(query, key) variables by the maximum of a softmax: `GM[p] = QK[m,p] :: max(m)` takes it over the keys of a query."""
    for line in lines:
        reductions = line.equation.reductions
        if len(reductions) == 1 and reductions[0].operator == "max" and isinstance(line.equation.expression, Access):
            left = [name for name in variables(line.equation.output) if name not in set(batch)]
            if len(left) == 1 and len(reductions[0].variables) == 1:
                return left[0], reductions[0].variables[0]
    return None


def cascade_of(
    source: Source,
    lines: Sequence[Line],
    ranks: Sequence[str],
    inputs: Mapping[str, Sequence[str]],
    place: Callable[[str], Loc],
    batch: Sequence[str],
    outer: Sequence[str] = (),
) -> tuple[dict[str, Any], Cascade] | None:
    """The document of a cascade, and the cascade; None after mistakes.

    ranks: of all tensors. inputs: ranks of each input; place: where the file says them. batch: ranks that the equations name and attnsim
    leaves out. outer: batch ranks that the equations leave out too.
    """
    if not inputs:
        source.fail(lines[0].loc, "every tensor is computed from others; a cascade starts from at least one input")
        return None
    rank_of = {rank.lower(): rank for rank in ranks}
    hidden = {rank.lower() for rank in batch}
    data: dict[str, Any] = {"attnsim": 1, "kind": "cascade", "name": source.name, "source": source.origin}
    data["ranks"] = {rank: f"rank {rank}" for rank in (*outer, *ranks)}
    data["batch"] = [*outer, *batch]
    data["positions"] = [rank_of.get(name, name.upper()) for name in positions(lines, hidden) or ()]
    data["inputs"] = {name: [*outer, *own] if own else [] for name, own in inputs.items()}
    data["body"] = [rewritten(line.text, lambda _, names: [name for name in names if name not in hidden]) for line in lines]

    def issue(loc: Loc, message: str) -> Issue:
        return source.doc.issue(lines[int(loc[1])].loc if loc[0] == "body" else place(str(loc[1])) if loc[0] == "inputs" else (), message)

    try:
        build(validate(CascadeSpec, from_dict(data)), issue)
        cascade = load_cascade(data)
    except SpecError as error:
        source.issues += error.issues
        return None
    _tell(source, cascade, batch, outer)
    return data, cascade


def _tell(source: Source, cascade: Cascade, batch: Sequence[str], outer: Sequence[str]) -> None:
    """Notes on what the file does not say of the cascade."""
    if outer:
        source.note(f"batch ranks {', '.join(outer)}: they have a size and stand on no tensor, so every tensor has them")
    if batch:
        source.note(f"batch ranks {', '.join(batch)}: on both operands and the result of a matrix product")
    if cascade.positions:
        query, key = cascade.positions
        source.note(f"query rank {query} and key rank {key}: the maximum of the softmax is taken over {key}")
    elif others := [einsum.label for einsum in cascade.einsums if product_of(cascade, einsum) is None]:
        source.note(f"no query and key rank found: PE arrays run no Einsum but matrix products of two tensors, so not {', '.join(others)}")


def schedule_of(source: Source, cascade: Cascade, mapping: dict[str, Any], loc: Loc) -> dict[str, Any]:
    """The document of a schedule that runs Einsum by Einsum on PE arrays with this `mapping`; `loc`: where the file says it."""
    data: dict[str, Any] = {"attnsim": 1, "kind": "schedule", "target": "spatial", "name": source.name, "source": source.origin}
    data |= {"cascade": file_name(source.name, "cascade"), "fusion": "none", "mapping": mapping}
    document = from_dict(data)
    try:
        check_spatial_names(SpatialSchedule(validate(SpatialScheduleSpec, document), document), cascade)
    except SpecError as error:
        for found in error.issues:
            source.fail(loc, found.message)
    return data


def workload_of(
    source: Source, cascade: Cascade, sizes: Mapping[str, int], loc: Loc, dtype: str = "fp16", scheduled: bool = False
) -> dict[str, Any]:
    """The document of a workload; sizes that are missing or do not fit the cascade are mistakes at `loc`."""
    data: dict[str, Any] = {"attnsim": 1, "kind": "kernel", "name": source.name, "title": source.origin}
    data |= {"cascade": file_name(source.name, "cascade"), "sizes": dict(sizes), "dtype": dtype}
    if scheduled:
        data["schedule"] = file_name(source.name, "schedule")
    try:
        cascade.resolve_sizes(sizes, doc=source.doc, loc=loc)
        validate(KernelWorkload, from_dict(data))
    except SpecError as error:
        source.issues += error.issues
    return data
