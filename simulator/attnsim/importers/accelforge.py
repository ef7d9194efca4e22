"""accelforge: `einsums` become a cascade, `rank_sizes` a workload. Its mapper and arch files have no part in it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from attnsim.cascade.grammar import Access
from attnsim.errors import suggest
from attnsim.importers.common import Imported, Source
from attnsim.importers.documents import Line, batch_variables, cascade_of, joined, parsed, rewritten, variables, workload_of
from attnsim.spec.quantity import show
from attnsim.spec.scan import Loc

_VARIABLE: Final = re.compile(r"[a-z_]\w*", re.ASCII)
_NAMED: Final = re.compile(r"(\w+)\s*:\s*(.+)", re.ASCII)
_COPY: Final = re.compile(r"=\s*copy\s*\((.*)\)\s*$")
_SOFTMAX: Final = (
    "write softmax out, as exp, max and sum (attnsim show attention-3pass): as a copy it would cost nothing and hide its passes"
)
_EINSUM_KEYS: Final = ("name", "einsum", "tensor_accesses")
_ACCESS_KEYS: Final = ("name", "projection", "output")


@dataclass
class _Reader:
    """The Einsums of a file while they are read: tensors have their ranks by name, so the first access sets the order for all."""

    source: Source
    order: dict[str, list[str]] = field(default_factory=dict)
    place: dict[str, Loc] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    left_out: dict[str, None] = field(default_factory=dict)


def read(source: Source) -> Imported | None:
    """The documents of an accelforge file; None where mistakes (in `source`) leave none."""
    root: Loc = ("workload",) if "workload" in source.mapping(()) else ()
    reader = _Reader(source)
    if root:
        reader.left_out |= dict.fromkeys(key for key in source.mapping(()) if key != "workload")
    sizes = source.sizes((*root, "rank_sizes"))
    _other_keys(reader, root)
    before = len(source.issues)
    items = source.sequence((*root, "einsums"))
    if not items:
        source.fail((*root, "einsums"), 'missing; list the Einsums, as "Z[m, n] = A[m, k] * B[k, n]"')
    for index, item in enumerate(items):
        _einsum(reader, (*root, "einsums", index), joined(item))
    if reader.left_out:
        source.note(f"left out, since attnsim has no use for it: {', '.join(reader.left_out)}")
    if len(source.issues) > before or not reader.lines:
        return None
    computed = {line.label for line in reader.lines}
    inputs = {name: [variable.upper() for variable in order] for name, order in reader.order.items() if name not in computed}
    batch = [name.upper() for name in batch_variables(reader.lines)]
    ranks = dict.fromkeys(variable.upper() for line in reader.lines for variable in line.variables)
    made = cascade_of(source, reader.lines, list(ranks), inputs, lambda name: reader.place[name], batch)
    if made is None:
        return None
    data, cascade = made
    workload = None
    if source.value((*root, "rank_sizes")) is not None:
        for rank in [rank for rank in sizes if rank not in cascade.ranks]:
            del sizes[rank]
            source.note(f"rank {rank} has a size and stands on no tensor: left out")
        workload = workload_of(source, cascade, sizes, (*root, "rank_sizes"), _dtype(source, (*root, "bits_per_value")))
    return Imported(data, None, workload, tuple(source.notes))


def _other_keys(reader: _Reader, root: Loc) -> None:
    """What else a workload may say: told in a note, or refused where the answer would be another one."""
    source = reader.source
    for key, value in source.mapping(root).items():
        if key == "iteration_space_shape" and value:
            source.fail((*root, key), "iteration_space_shape is not imported; give the sizes as rank_sizes, such as {M: 128}")
        elif key == "n_instances" and value != 1:
            source.note(f"n_instances is left out: everything is for one of the {show(value)} instances")
        elif key in ("densities", "density_distributions") and value:
            source.note(f"{key} is left out: every tensor is dense")
        elif key not in ("rank_sizes", "einsums", "bits_per_value", "n_instances", "iteration_space_shape"):
            reader.left_out[key] = None


def _dtype(source: Source, loc: Loc) -> str:
    """The number format that the bits of the tensors stand for."""
    found = source.value(loc)
    bits = list(found.values()) if isinstance(found, dict) else [] if found is None else [found]
    if bits and all(value == 8 for value in bits):
        source.note("8 bits per value are taken as fp8")
        return "fp8"
    if any(value != 16 for value in bits):
        said = ", ".join(str(value) for value in bits)
        source.note(f"bits_per_value ({said}) is left out: attnsim has one number format for all tensors, here fp16")
    return "fp16"


def _einsum(reader: _Reader, loc: Loc, item: Any) -> None:
    """Read one Einsum, a text or a mapping, into `reader`."""
    source = reader.source
    name = ""
    if isinstance(item, dict):
        name = str(item.get("name", ""))
        if not _einsum_keys(reader, loc, item):
            return
        if "einsum" in item and "tensor_accesses" in item:
            reader.left_out["tensor_accesses"] = None
        text, where = (item["einsum"], (*loc, "einsum")) if "einsum" in item else (_from_accesses(reader, loc), loc)
        if text is None:
            return
    else:
        text, where = item, loc
    if not isinstance(text, str):
        source.fail(where, f'must be an Einsum such as "Z[m, n] = A[m, k] * B[k, n]", not {show(text)}')
        return
    if re.search(r"\bsoftmax\s*\(", text, re.IGNORECASE):
        source.fail(where, _SOFTMAX)
        return
    text = _COPY.sub(r"= \1", text)
    faults = len(source.issues)
    text = rewritten(text, lambda tensor, names: _indices(reader, where, tensor, names))
    if len(source.issues) > faults or (line := parsed(source, where, text)) is None:
        return
    read = line.equation.expression
    if isinstance(read, Access) and not line.equation.reductions and set(variables(read)) == set(variables(line.equation.output)):
        if any("softmax" in word.lower() for word in (name, line.label, read.name)):
            source.fail(where, f"{line.label} is a softmax of one Einsum; {_SOFTMAX}")
            return
        source.note(f"{line.label} is a copy of {read.name}: an Einsum without operations")
    reader.lines.append(line)


def _einsum_keys(reader: _Reader, loc: Loc, item: Mapping[str, Any]) -> bool:
    """Whether the keys of an Einsum are those of one that can be read."""
    source = reader.source
    faults = len(source.issues)
    for key, value in item.items():
        if key == "n_instances" and value != 1:
            source.fail((*loc, key), "n_instances of one Einsum is not imported; add a rank of that size to its tensors")
        elif key in ("rank_sizes", "iteration_space_shape") and value:
            source.fail((*loc, key), f"{key} of one Einsum is not imported; a rank has one size, in the workload's rank_sizes")
        elif key not in (*_EINSUM_KEYS, "n_instances"):
            reader.left_out[key] = None
    if "einsum" not in item and "tensor_accesses" not in item:
        hint = suggest(next(iter(item), ""), _EINSUM_KEYS)
        source.fail(loc, f"must have einsum, or name and tensor_accesses{hint}")
    return len(source.issues) == faults


def _from_accesses(reader: _Reader, loc: Loc) -> str | None:
    """The text of an Einsum that lists its tensors: the output is the product of the others. None after a mistake."""
    source = reader.source
    faults = len(source.issues)
    outputs: list[str] = []
    operands: list[str] = []
    for index, item in enumerate(source.sequence((*loc, "tensor_accesses"))):
        here = (*loc, "tensor_accesses", index)
        access = source.mapping(here)
        reader.left_out |= dict.fromkeys(key for key in access if key not in _ACCESS_KEYS)
        name, projection = access.get("name"), access.get("projection")
        if not isinstance(name, str) or not isinstance(projection, list | dict):
            if isinstance(item, dict):
                source.fail(here, "must have a name and a projection, as {name: A, projection: [m, k]}")
            continue
        names = [str(part) for part in projection] if isinstance(projection, list) else [f"{rank}: {of}" for rank, of in projection.items()]
        (outputs if access.get("output") else operands).append(f"{name}[{', '.join(names)}]")
    if len(source.issues) == faults and (len(outputs) != 1 or not operands):
        source.fail(
            (*loc, "tensor_accesses"),
            f"has {len(outputs)} outputs and {len(operands)} operands; an Einsum has one output and some operands",
        )
    return f"{outputs[0]} = {' * '.join(operands)}" if len(source.issues) == faults else None


def _indices(reader: _Reader, loc: Loc, tensor: str, names: Sequence[str]) -> list[str]:
    """The variables of an access, in the order of the tensor's first access."""
    found = []
    faults = len(reader.source.issues)
    for text in names:
        named = _NAMED.fullmatch(text)
        rank, variable = (named[1], named[2].strip()) if named else (text.upper(), text)
        if not _VARIABLE.fullmatch(variable):
            message = f"{tensor} is indexed by '{variable}'; only plain lower-case variables are imported"
            reader.source.fail(loc, message)
        elif rank != variable.upper():
            right = rank.lower()
            message = (
                f"rank {rank} of {tensor} is walked by {variable}, the variable of rank {variable.upper()}; in attnsim a variable belongs "
            )
            reader.source.fail(loc, f"{message}to one rank: write {right} for it, or give {tensor} the rank {variable.upper()}")
        found.append(variable)
    if len(reader.source.issues) > faults:
        return found
    reader.place.setdefault(tensor, loc)
    order = reader.order.setdefault(tensor, found)
    if sorted(order) != sorted(found):
        known = f"{tensor}[{', '.join(order)}]"
        reader.source.fail(
            loc, f"{tensor} has ranks {', '.join(found).upper() or 'none'} here, but first stands as {known}; write the same ranks"
        )
    return order
