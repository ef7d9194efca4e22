"""TeAAL (MICRO 2023): `einsum:` becomes a cascade, `mapping:` a schedule for PE arrays, `rank-sizes:` (attnsim's addition) a workload."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from attnsim.errors import suggest
from attnsim.importers.common import Imported, Source
from attnsim.importers.documents import Line, batch_variables, cascade_of, joined, parsed, rewritten, schedule_of, workload_of
from attnsim.importers.teaal_mapping import TeaalMapping
from attnsim.spec.quantity import show
from attnsim.spec.scan import Loc

_SIZES: Final = ("rank-sizes", "rank_sizes")
_ELSEWHERE: Final[Mapping[str, str]] = {
    "format": "attnsim computes on dense tensors and has no sparse formats; remove the section",
    "architecture": "write the machine as a file of kind spatial (attnsim show fusemax_cloud) and remove the section",
    "bindings": "the machine, a file of kind spatial (attnsim show fusemax_cloud), says what runs where; remove the section",
}


def read(source: Source) -> Imported | None:
    """The documents of a TeAAL file; None where mistakes (in `source`) leave none."""
    for key in source.mapping(()):
        if key in _ELSEWHERE:
            source.fail((key,), f"`{key}:` is not imported: {_ELSEWHERE[key]}")
        elif key not in ("einsum", "mapping", *_SIZES):
            source.fail((key,), f"TeAAL has no section '{key}'{suggest(key, ('einsum', 'mapping', *_SIZES))}")
    given = [key for key in _SIZES if source.value((key,)) is not None]
    for key in given[1:]:
        source.fail((key,), f"the sizes are in `{given[0]}:` already; keep one of the two")
    sizes = source.sizes((given[0],)) if given else {}
    before = len(source.issues)
    declared = _declared(source)
    lines = _lines(source, declared)
    complete = len(source.issues) == before
    rank_of = {rank.lower(): rank for ranks in declared.values() for rank in ranks}
    batch = [rank_of.get(name, name.upper()) for name in batch_variables(lines)]
    mapping = TeaalMapping(source, lines, rank_of, batch, unread=() if complete else tuple(declared))
    if not (complete and lines and declared):
        return None
    outer = [rank for rank in sizes if rank not in rank_of.values()]
    for rank in outer:
        if not (rank.isidentifier() and rank[0].isupper()) or rank.lower() in rank_of:
            source.fail((given[0], rank), f"no rank '{rank}'{suggest(rank, rank_of.values())}; the ranks are {', '.join(rank_of.values())}")
            return None
    computed = {line.label for line in lines}
    inputs = {name: ranks for name, ranks in declared.items() if name not in computed}
    for line in lines:
        for access in line.reads:
            if access.name not in declared:
                inputs[access.name] = []
                source.note(f"{access.name} is declared nowhere and has no index: an input of one element")
    made = cascade_of(source, lines, list(rank_of.values()), inputs, lambda name: ("einsum", "declaration", name), batch, outer)
    if made is None:
        return None
    data, cascade = made
    content = mapping.content(cascade.positions)
    schedule = schedule_of(source, cascade, content, ("mapping",)) if content else None
    workload = workload_of(source, cascade, sizes, (given[0],), scheduled=schedule is not None) if given else None
    return Imported(data, schedule, workload, tuple(source.notes))


def _declared(source: Source) -> dict[str, list[str]]:
    """Tensor to ranks."""
    root: Loc = ("einsum", "declaration")
    for key in source.mapping(("einsum",)):
        if key not in ("declaration", "expressions"):
            source.fail(("einsum", key), f"`einsum:` has no part '{key}'; it has declaration and expressions")
    found = {name: source.words((*root, name)) for name in source.mapping(root)}
    if not found and not set(source.mapping(("einsum",))) - {"declaration", "expressions"}:
        source.fail(root, "missing; declare every tensor with its ranks, as {A: [K, M]}")
    spelt: dict[str, str] = {}
    for name, ranks in found.items():
        for index, rank in enumerate(ranks):
            if not (rank.isidentifier() and rank[0].isupper()):
                source.fail((*root, name, index), f"'{rank}' cannot be a rank; a rank starts with an upper-case letter, as M")
            elif spelt.setdefault(rank.lower(), rank) != rank:
                source.fail((*root, name, index), f"ranks {spelt[rank.lower()]} and {rank} have one variable, {rank.lower()}; rename one")
    return found


def _lines(source: Source, declared: Mapping[str, Sequence[str]]) -> list[Line]:
    root: Loc = ("einsum", "expressions")
    found = []
    items = source.sequence(root)
    if not items and not set(source.mapping(("einsum",))) - {"declaration", "expressions"}:
        source.fail(root, "missing; list the Einsums, as Z[m,n] = A[k,m] * B[k,n]")
    for index, item in enumerate(items):
        text = joined(item)
        if not isinstance(text, str):
            source.fail((*root, index), f"must be an expression such as Z[m,n] = A[k,m] * B[k,n], not {show(item)}")
        elif (line := _line(source, (*root, index), text, declared)) is not None:
            found.append(line)
    return found


def _line(source: Source, loc: Loc, text: str, declared: Mapping[str, Sequence[str]]) -> Line | None:
    if re.search(r"\btake\s*\(", text):
        source.fail(
            loc, "take() picks an operand by the nonzeros of both, and attnsim computes on dense tensors; write the Einsum without it"
        )
        return None
    if re.search(r"\bsum\s*\(\s*[A-Z]", text):
        source.fail(loc, "sum(K).(...) is not read; ranks that are missing on the left are summed over: write Z[m,n] = A[k,m] * B[k,n]")
        return None
    text = re.sub(r"::\s*reduce\(\s*(\w+)\s*,\s*(\w+)\s*\)", r":: \2(\1)", text)
    bare = {name for name in re.findall(r"\b([A-Za-z_]\w*)\b(?!\s*[\[(\w])", re.sub(r"\[[^\]]*\]", "[]", text))}
    line = parsed(source, loc, rewritten(text, lambda _, names: names))
    if line is None:
        return None
    before = len(source.issues)
    for name in dict.fromkeys([line.label, *(access.name for access in line.reads)]):
        if name not in declared and (name not in bare or name == line.label):
            hint = suggest(name, declared) or "; add it to `declaration:` with its ranks"
            source.fail(loc, f"tensor {name} is not declared{hint}")
    ranks = declared.get(line.label, ())
    if line.label in declared and [str(index) for index in line.equation.output.indices] != [rank.lower() for rank in ranks]:
        right = f"{line.label}[{','.join(rank.lower() for rank in ranks)}]" if ranks else line.label
        source.fail(loc, f"{line.label} is declared with ranks [{', '.join(ranks)}]; write {right}, not {line.equation.output}")
    return line if len(source.issues) == before else None
