"""Which kind of spec a file or a name is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnsim.errors import Issue, SpecError, UsageError, suggest

if TYPE_CHECKING:
    from attnsim.spec.library import Kind
    from attnsim.spec.yaml import Document

# What a file's own `kind:` says -> the kind of library entry it is.
KIND_OF: dict[str, Kind] = {
    "kernel": "workload", "cascade": "cascade", "schedule": "schedule", "layer": "workload", "gpu": "arch", "cpu": "arch",
    "spatial": "arch", "model": "workload", "transformer": "model", "prices": "prices",
    "sweep": "sweep",
}  # fmt: skip

# What commands that compare take.
ROLES: tuple[Kind, ...] = ("arch", "workload")


def is_path(name: str) -> bool:
    """Whether a word on the command line is meant as a file: it has a slash, a YAML ending, or such a file exists."""
    return "/" in name or name.lower().endswith((".yaml", ".yml", ".json")) or Path(name).is_file()


def kind_of_document(doc: Document) -> Kind:
    """The library kind that a document's top-level `kind:` names.

    Raises: SpecError at the line of `kind:` when it is missing or unknown.
    """
    value: Any = doc.data.get("kind")
    if isinstance(value, str) and value in KIND_OF:
        return KIND_OF[value]
    legal = ", ".join(KIND_OF)
    if value is None:
        raise SpecError(Issue(f"missing; say what the file is: one of {legal}", file=doc.file, line=1, column=1, path="kind"))
    raise SpecError(doc.issue(("kind",), f"{value!r} is not a kind of spec{suggest(str(value), list(KIND_OF))}; one of {legal}"))


def kind_of_file(path: Path) -> Kind:
    """As `kind_of_document`, of a file; one that leaves `kind:` to what it extends has that one's kind."""
    from attnsim.spec.yaml import scan_yaml

    doc, _ = scan_yaml(path)
    if "kind" in doc.data or "extends" not in doc.data:
        return kind_of_document(doc)
    return kind_of_base(doc)


def kind_of_base(doc: Document) -> Kind:
    """The kind of the library entry or file that a document extends.

    Raises: SpecError at `extends:` for a name nobody knows or that several kinds share.
    """
    name = str(doc.data["extends"])
    if is_path(name):
        beside = Path(doc.file).parent / name
        return kind_of_file(beside if beside.is_file() else Path(name))
    found = named(name)
    if len(found) == 1:
        return found[0][0]
    if found:
        raise SpecError(doc.issue(("extends",), f"names {_kinds_text(found)}; add a `kind:` line"))
    raise SpecError(doc.issue(("extends",), f"unknown name {name!r}{suggest(name, known_names())}"))


def locate(name: str, kind: Kind | None = None) -> tuple[Kind, Path]:
    """The kind and file of a library name or a path.

    Raises: SpecError for a name nobody knows (with the nearest known one), UsageError when it names several things.
    """
    if is_path(name):
        return kind or kind_of_file(Path(name)), Path(name)
    found = named(name, kind)
    if not found:
        raise SpecError(f"the library has no {kind or 'entry'} {name!r}{suggest(name, known_names(kind))}")
    if len(found) > 1:
        raise UsageError(f"{name!r} is the name of {_kinds_text(found)}; add --kind {found[0][0]}")
    return found[0]


def named(name: str, kind: Kind | None = None) -> list[tuple[Kind, Path]]:
    """Every library entry of that name or alias, of one kind or of all."""
    from attnsim.spec.library import KINDS, find

    found: list[tuple[Kind, Path]] = []
    for wanted in KINDS if kind is None else (kind,):
        try:
            found.append((wanted, find(wanted, name).path))
        except SpecError:
            continue
    return found


def known_names(*kinds: Kind | None) -> list[str]:
    """Names and aliases of the library, for suggestions; of all kinds when none is given."""
    from attnsim.spec.library import KINDS, entries

    wanted = [kind for kind in kinds if kind] or list(KINDS)
    return [word for kind in wanted for entry in entries(kind) for word in (entry.name, *entry.aliases)]


def split(names: Sequence[str], example: str, *, workload: bool = True) -> tuple[list[str], list[str]]:
    """The words of the command line as workloads and machines, each in the order given.

    example: a command line that is right; workload: whether there has to be one.

    Raises: SpecError for a name that is neither, UsageError when one of the two is missing.
    """
    workloads: list[str] = []
    archs: list[str] = []
    for name in names:
        kinds = {kind_of_file(Path(name))} if is_path(name) else {kind for wanted in ROLES for kind, _ in named(name, wanted)}
        if not kinds:
            raise SpecError(f"{name!r} is neither a workload nor a machine of the library{suggest(name, known_names(*ROLES))}")
        if not kinds & set(ROLES):
            raise UsageError(f"{name!r} is a {min(kinds)}; {example.split()[1]} takes workloads and machines")
        (archs if "arch" in kinds else workloads).append(name)
    if (workload and not workloads) or not archs:
        raise UsageError(f"{'a machine' if workloads else 'a workload'} is missing; write for example {example}")
    return workloads, archs


def _kinds_text(found: list[tuple[Kind, Path]]) -> str:
    return " and ".join(f"a{'n' if kind == 'arch' else ''} {kind}" for kind, _ in found)
