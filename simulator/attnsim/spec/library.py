"""Names to files: where a shipped or user-written spec is found, and what it says once `extends:` is followed.

A reference is a path (it holds a slash, ends in .yaml, .yml or .json, or names an existing file), a mapping, or a library name. Names are
looked up in the folders of the environment variable ATTNSIM_PATH, then in the checkout this package runs from, then in the data packed into
the wheel; the first one wins. Upper and lower case, `-` and `_` are the same in a name. A name stays bound to the file it was first found
in for as long as that file exists; whether the file has changed is looked at every time.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal

from attnsim.errors import SpecError, UsageError, suggest
from attnsim.spec.closed import are_files_closed, looks_like_path, refusal
from attnsim.spec.quantity import show
from attnsim.spec.scan import TABLES, Loc, Position
from attnsim.spec.yaml import Document, from_dict, scan_yaml, validate

Kind = Literal["arch", "workload", "cascade", "schedule", "model", "prices", "sweep"]

_FOLDERS: Final[Mapping[str, str]] = {
    "arch": "arch_specs",
    "workload": "workloads/examples",
    "cascade": "workloads/cascades",
    "schedule": "workloads/schedules",
    "model": "workloads/models",
    "prices": "arch_specs",
    "sweep": "workloads/sweeps",
}
# what a name on the command line may be; the names of price lists are those of the profiles inside
KINDS: Final[tuple[Kind, ...]] = ("arch", "workload", "cascade", "schedule", "model", "sweep")
_SUFFIXES: Final = (".yaml", ".yml", ".json")
_PACKAGE: Final = Path(__file__).resolve().parents[1]
# what the `kind:` line of a file says -> what the library calls it; used for files that lie loose in a folder of ATTNSIM_PATH, and to leave
# out price lists
_WRITTEN_KINDS: Final = {"gpu": "arch", "cpu": "arch", "spatial": "arch", "kernel": "workload", "layer": "workload",
    "model": "workload", "transformer": "model",
}  # fmt: skip

Ref = str | Path | Mapping[str, Any] | Document
"""A library name, a path, or the content: as a mapping, or as a document that knows where everything in it was written."""

_Stat = tuple[int, int]
_Read = tuple[Document, tuple[tuple[str, _Stat], ...]]
"""A document, and every file that went into it with the state it was read in."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One library file: `origin` says which of the searched places it came from ("checkout", "package" or a folder of ATTNSIM_PATH)."""

    kind: str
    name: str
    aliases: tuple[str, ...]
    path: Path
    origin: str
    title: str


def entries(kind: Kind) -> tuple[Entry, ...]:
    """Every library file of a kind, by name; a file hides the ones of the same name further down the search order. Reads headers only."""
    found: dict[str, Entry] = {}
    for root, origin in _roots():
        for folded, path in _files(root, origin, kind).items():
            if folded not in found:
                found[folded] = _entry(kind, path, origin)
    return tuple(found[folded] for folded in sorted(found))


def search_path() -> str:
    """The folders searched before those of attnsim, as ATTNSIM_PATH has them at the moment."""
    return os.environ.get("ATTNSIM_PATH", "")


def find(kind: Kind, name: str) -> Entry:
    """The library file called `name`, by its name or an alias; raises SpecError with a suggestion when there is none."""
    key = (kind, _fold(name), search_path())
    known = _found.get(key)
    if known is None or not known.path.is_file():
        known = _found[key] = _search(kind, name)
    return known


_found: dict[tuple[str, str, str], Entry] = {}


def load(kind: Kind, ref: Ref, *, doc: Document | None = None, loc: Loc = ()) -> Document:
    """The document a reference stands for, with `extends:` followed and each value keeping the file it was written in.

    `doc` and `loc` say where the reference was written: errors point there, relative paths start there, and a mapping takes its positions
    from there. Mappings merge field by field, and a mapping over the tile table with each of its rows; lists, scalars and mappings of
    another `kind` replace. Files are read again only when they change.

    Raises SpecError for an unknown name, an unreadable file, a circle of `extends:`, everything wrong in the YAML (together with what
    validation finds), and for a path while files are closed (`spec/closed.py`).
    """
    if isinstance(ref, Mapping | Document):
        inline = ref if isinstance(ref, Document) else _inline(ref, doc, loc)
        _check_kind(kind, inline)
        return _extended(kind, inline, ())[0]
    if not isinstance(ref, str | Path):
        raise SpecError(_issue(doc, loc, f"must be the name of a library {kind}, a path or a mapping, not {show(ref)}"))
    key = (kind, str(ref), search_path())
    known = _named.get(key)
    if known is None or not _unchanged(known):
        known = _load_file(kind, _resolve(kind, ref, doc, loc), ())
        if not _is_path(ref):
            _named[key] = known
    return known[0]


def _inline(ref: Mapping[str, Any], doc: Document | None, loc: Loc) -> Document:
    if doc is not None:
        try:
            inner = doc.at(loc)
        except (KeyError, IndexError, TypeError):
            return from_dict(ref, doc.file)
        if inner.data == ref:
            return inner
    return from_dict(ref)


def _is_path(ref: str | Path) -> bool:
    if are_files_closed():  # then only the library itself knows paths, as Path; whether a file of that name exists is not looked at
        return isinstance(ref, Path)
    text = str(ref)
    return isinstance(ref, Path) or "/" in text or os.sep in text or text.lower().endswith(_SUFFIXES) or os.path.isfile(text)


def _resolve(kind: Kind, ref: str | Path, doc: Document | None, loc: Loc) -> Path:
    """The file of a path or name; not checked to exist where it is a path."""
    text = str(ref)
    if _is_path(ref):
        path = Path(text).expanduser()
        if doc is not None and not path.is_absolute():
            beside = Path(doc.locate(loc)[0]).parent / path
            if os.path.isfile(beside) or not os.path.isfile(path):
                path = beside if beside.parent.is_dir() else path
        if doc is not None and not os.path.exists(path):
            raise SpecError(_issue(doc, loc, f"no such file '{path}'"))
        return path
    if are_files_closed() and looks_like_path(text):
        raise SpecError(_issue(doc, loc, refusal(text)))
    try:
        return find(kind, text).path
    except SpecError as error:
        raise (SpecError(_issue(doc, loc, error.issues[0].message)) if doc is not None else error) from None


def _issue(doc: Document | None, loc: Loc, message: str) -> Any:
    return message if doc is None else doc.issue(loc, message)


# --- files, read once per (path, mtime, size) ----------------------------------------

_documents: dict[tuple[str, str], _Read] = {}  # by kind and path
_named: dict[tuple[str, str, str], _Read] = {}  # by kind, name and search path


def _unchanged(read: _Read) -> bool:
    for file, state in read[1]:  # noqa: SIM110 - at every question; a generator takes twice as long
        if _stat(file) != state:
            return False
    return True


def _load_file(kind: Kind, path: Path, chain: tuple[Path, ...]) -> _Read:
    """A file with `extends:` followed, and every file that went into it with the state it was read in."""
    key = (kind, str(path))
    cached = _documents.get(key)
    if cached is not None and _unchanged(cached):
        return cached
    state = _stat(path)
    raw, issues = scan_yaml(path)
    _check_kind(kind, raw)
    extended, bases = _extended(kind, raw, (*chain, path))
    if issues:
        raise SpecError(_everything(kind, extended, issues))
    _documents[key] = result = (extended, ((str(path), state), *bases))
    return result


def _check_kind(kind: Kind, doc: Document) -> None:
    """Refuse a file of another kind at its `kind:` line; every field of it would be unknown here."""
    written = doc.data.get("kind") if isinstance(doc.data, dict) else None
    other = _WRITTEN_KINDS.get(written, written if written in _FOLDERS else None) if isinstance(written, str) else None
    if other is not None and other != kind:
        wanted = " or ".join(f"'{word}'" for word, meant in _WRITTEN_KINDS.items() if meant == kind) or f"'{kind}'"
        raise SpecError(
            doc.issue(("kind",), f"this is {_article(other)}, but {_article(kind)} is needed here: kind {wanted}, not '{written}'")
        )


def _article(kind: str) -> str:
    if kind == "prices":
        return "a price list"
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def _everything(kind: Kind, doc: Document, issues: tuple[Any, ...]) -> list[Any]:
    """The YAML mistakes of a file and the mistakes validation finds in what is left of it, so that one run shows all."""
    from attnsim.spec.schema import MODELS, model_for

    found = list(issues)
    if kind in MODELS:
        try:
            validate(model_for(kind, doc.data), doc)
        except SpecError as error:
            broken = {issue.path for issue in issues}  # a value that could not be read is empty now: no news
            found += [issue for issue in error.issues if issue.path not in broken]
    return sorted(found, key=lambda issue: (issue.file, issue.line or 0, issue.column or 0))


def _stat(path: str | Path) -> _Stat:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return (-1, -1)
    return status.st_mtime_ns, status.st_size


def _extended(kind: Kind, doc: Document, chain: tuple[Path, ...]) -> _Read:
    """The document merged over the one its `extends:` names, and the files that were read for it."""
    if "extends" not in doc.data:
        return doc, ()
    name = doc.data["extends"]
    if not isinstance(name, str) or not name:
        raise SpecError(doc.issue(("extends",), f"must be the name of a library {kind} or a path, not {show(name)}"))
    path = _resolve(kind, name, doc, ("extends",))
    if any(_same(path, seen) for seen in chain):
        circle = " -> ".join(str(seen) for seen in (*chain, path))
        raise SpecError(doc.issue(("extends",), f"runs in a circle: {circle}; extend something else"))
    base, files = _load_file(kind, path, chain)
    return _merged(base, doc), files


def _same(one: Path, other: Path) -> bool:
    return one == other or (os.path.exists(one) and os.path.exists(other) and os.path.samefile(one, other))


def _merged(base: Document, child: Document) -> Document:
    over = {key: value for key, value in child.data.items() if key != "extends"}
    under = {key: value for key, value in base.data.items() if key != "aliases"}  # other names of the base are not names of its child
    replaced: set[Loc] = set()
    data = _merge(under, over, (), replaced)
    positions: dict[Loc, Position] = {}
    for path, position in base.positions.items():
        if not any(path[:length] in replaced for length in range(1, len(path) + 1)):
            positions[path] = position
    positions.update(child.positions)
    for path in [path for path in child.positions if len(path) == 2 and path[0] in TABLES]:  # such a field stands in every row
        rows = data.get(str(path[0]))
        if isinstance(rows, list) and isinstance(path[1], str):
            positions.update({(path[0], number, path[1]): child.positions[path] for number in range(len(rows))})
    return Document(data, child.file, positions, child.prefix)


def _merge(under: Mapping[str, Any], over: Mapping[str, Any], loc: Loc, replaced: set[Loc]) -> dict[str, Any]:
    out = dict(under)
    for key, value in over.items():
        old = out.get(key)
        if isinstance(old, dict) and isinstance(value, dict) and old.get("kind") == value.get("kind", old.get("kind")):
            out[key] = _merge(old, value, (*loc, key), replaced)
        elif key in TABLES and isinstance(old, list) and isinstance(value, dict) and all(isinstance(row, dict) for row in old):
            out[key] = [_merge(row, value, (*loc, key, number), replaced) for number, row in enumerate(old)]
        else:
            out[key] = value
            replaced.add((*loc, key))
    return out


# --- the search ----------------------------------------


def _roots() -> Iterator[tuple[Path, str]]:
    """The places to search, first one first."""
    for folder in filter(None, search_path().split(os.pathsep)):
        path = Path(folder).expanduser()
        if not path.is_dir():
            raise UsageError(f"ATTNSIM_PATH names '{folder}', which is not a folder; correct it or unset it")
        yield path, folder
    root = _PACKAGE.parents[1]
    if (root / "arch_specs").is_dir() and root / "simulator" / "attnsim" == _PACKAGE:
        yield root, "checkout"
    if (_PACKAGE / "data").is_dir():
        yield _PACKAGE / "data", "package"


def _files(root: Path, origin: str, kind: str) -> dict[str, Path]:
    """Folded name -> file, for one place. In the user's own folders, loose files count as what their `kind:` line says."""
    found: dict[str, Path] = {}
    for folder, subfolders, names in os.walk(root / _FOLDERS[kind]):
        subfolders.sort()
        for name in sorted(names):
            stem, suffix = os.path.splitext(name)
            if suffix in _SUFFIXES and not stem.startswith("."):
                found.setdefault(_fold(stem), Path(folder, name))
    if kind in ("arch", "prices"):  # they share arch_specs/
        kinds = ("arch", "") if kind == "arch" else (kind,)
        found = {folded: path for folded, path in found.items() if _header(path).kind in kinds}
    if origin not in ("checkout", "package"):
        for path in sorted(root.iterdir()):
            if path.suffix in _SUFFIXES and path.is_file() and _header(path).kind == kind:
                found.setdefault(_fold(path.stem), path)
    return found


def _search(kind: Kind, name: str) -> Entry:
    wanted = _fold(name)
    for root, origin in _roots():
        files = _files(root, origin, kind)
        if (path := files.get(wanted)) is not None:
            return _entry(kind, path, origin)
        for path in files.values():
            if wanted in map(_fold, _header(path).aliases):
                return _entry(kind, path, origin)
    known = entries(kind)
    if not known:
        raise SpecError(f"unknown {kind} '{name}'; there is no {kind} library here, so give a path to a YAML file")
    hint = suggest(name, [word for entry in known for word in (entry.name, *entry.aliases)])
    for other in KINDS:  # arguments in the wrong order, or a name in the wrong field
        if any(wanted in map(_fold, (entry.name, *entry.aliases)) for entry in entries(other)):
            hint = f"; that is the name of {_article(other)}"
    raise SpecError(f"unknown {kind} '{name}'{hint or f'; attnsim list {kind} shows the names'}")


def _entry(kind: str, path: Path, origin: str) -> Entry:
    header = _header(path)
    name = header.name if _fold(header.name) == _fold(path.stem) else path.stem
    return Entry(kind, name, header.aliases, path, origin, header.title)


# --- headers: the few top-level lines a listing needs, without parsing YAML -----------------------


@dataclass(frozen=True, slots=True)
class _Header:
    name: str = ""
    title: str = ""
    kind: str = ""
    aliases: tuple[str, ...] = ()


_FIELD: Final = re.compile(r"^(name|title|kind):[ \t]+(.+)$", re.MULTILINE)
_ALIASES: Final = re.compile(r"^aliases:[ \t]*(?:\[([^\]]*)\]|((?:\n[ \t]*-[ \t]+.*)+))", re.MULTILINE)


def _header(path: Path) -> _Header:
    return _read_header(path, _stat(path))


@lru_cache(maxsize=1024)
def _read_header(path: Path, _state: _Stat) -> _Header:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return _Header()
    values = {match[1]: _scalar(match[2]) for match in _FIELD.finditer(text)}
    aliases: list[str] = []
    if (match := _ALIASES.search(text)) is not None:
        parts = match[1].split(",") if match[1] is not None else [line.partition("-")[2] for line in match[2].strip().splitlines()]
        aliases = [alias for part in parts if (alias := _scalar(part))]
    kind = _WRITTEN_KINDS.get(values.get("kind", ""), values.get("kind", ""))
    return _Header(values.get("name", ""), values.get("title", ""), kind, tuple(aliases))


def _scalar(text: str) -> str:
    text = text.strip()
    if text[:1] in ("'", '"') and text.find(text[0], 1) > 0:
        return text[1 : text.find(text[0], 1)]
    return re.split(r"\s+#", text, maxsplit=1)[0].strip()


@lru_cache(maxsize=4096)
def _fold(name: str) -> str:
    return name.lower().replace("-", "_")


def data_file(relative: str) -> Path:
    """A shipped file that is no library entry, for example ``workloads/default_schedules.yaml``; a folder of ATTNSIM_PATH may hold its own.

    Raises SpecError when it is nowhere.
    """
    for root, _ in _roots():
        path = root / relative
        if path.is_file():
            return path
    raise SpecError(f"'{relative}' is neither in the checkout nor in the installed package; reinstall attnsim")
