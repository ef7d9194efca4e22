"""A YAML file as a Document that knows where everything in it was written, and a Document as a frozen model, each mistake at its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final, TypeVar, overload

import pydantic

from attnsim.errors import Issue, SpecError, UsageError
from attnsim.spec.scan import Loc, Position, Reading, read_text, read_value

T = TypeVar("T")

# fields whose plain text is a library name, so that setting something below them means "that one, with this changed"
_REFERENCES: Final = ("cascade", "schedule", "baseline")


@dataclass(frozen=True)
class Document:
    """What one file (or dictionary) says, as dicts, lists and scalars, and where it says it.

    `positions` maps the path of a key or list item to file, line and column, counted from 1; it is empty for a dictionary from Python. A
    value that came from `extends:` keeps the file it was written in. `prefix` is the path of this document inside the one it was taken
    from. Treat `data` as read-only: documents are cached and shared.
    """

    data: Any
    file: str
    positions: Mapping[Loc, Position] = field(default_factory=dict, repr=False)
    prefix: Loc = ()

    @cached_property
    def sha256(self) -> str:
        """Hash of the canonical JSON of `data`: the same for any layout, comments or order of keys."""
        import hashlib
        import json

        text = json.dumps(self.data, sort_keys=True, separators=(",", ":"), default=_plain)
        return hashlib.sha256(text.encode()).hexdigest()

    def locate(self, loc: Loc) -> tuple[str, int | None, int | None]:
        """File, line and column of the nearest thing to `loc` that was written; steps that are not in the data are skipped."""
        path = existing_path(self.data, loc)
        for length in range(len(path), -1, -1):
            if (position := self.positions.get(path[:length])) is not None:
                file, line, column = position
                return file, line or None, column or None
        return self.file, None, None

    def issue(self, loc: Loc, message: str) -> Issue:
        """The issue `message` about `loc`."""
        file, line, column = self.locate(loc)
        return Issue(message, file, line, column, ".".join(map(str, (*self.prefix, *loc))))

    def at(self, loc: Loc) -> Document:
        """The part of this document below `loc`, with its positions; raises KeyError or IndexError where there is none."""
        data = self.data
        for step in loc:
            data = data[step]
        size = len(loc)
        positions = {path[size:]: position for path, position in self.positions.items() if path[:size] == loc}
        return Document(data, self.file, positions, (*self.prefix, *loc))

    def with_set(self, path: str, value: Any) -> Document:
        """This document with one value changed: `with_set("sizes.M", "32768")`.

        A string value is read as YAML, anything else is taken as it is. Missing parents become mappings; a number addresses an existing
        list item; under `schedule`, `cascade` or `baseline`, a library name X becomes `{extends: X}` first. Raises UsageError for a path
        that cannot be followed, SpecError for bad YAML.
        """
        steps = path.split(".")
        origin = f"--set {path}={value}" if isinstance(value, str) else path
        if not all(steps):
            raise UsageError(f"{origin}: '{path}' is not a dotted path; write for example sizes.M=4096")
        if isinstance(value, str):
            reading = read_value(value, origin)
            if reading.issues:
                raise SpecError(Issue(issue.message, origin) for issue in reading.issues)
            value = reading.value
        data, loc = _replaced(self.data, steps, value, origin, ())
        positions = {old: position for old, position in self.positions.items() if old[: len(loc)] != loc}
        for length in range(len(loc), 0, -1):  # the value, and the parents that came into being with it
            if length == len(loc) or len(existing_path(self.data, loc[:length])) < length:
                positions[loc[:length]] = (origin, 0, 0)
        return replace(self, data=data, positions=positions)


def existing_path(data: Any, loc: Loc) -> Loc:
    """The steps of `loc` that lead somewhere in `data`."""
    path: list[str | int] = []
    for step in loc:
        if is_step(data, step):
            data = data[step]
            path.append(step)
    return tuple(path)


def is_step(data: Any, step: str | int) -> bool:
    """Whether `step` is a key or an item of `data`."""
    if isinstance(data, dict):
        return step in data
    return isinstance(data, list | tuple) and isinstance(step, int) and 0 <= step < len(data)


def load_yaml(path: str | Path) -> Document:
    """Read a YAML file; raises SpecError with everything wrong in it."""
    document, issues = scan_yaml(path)
    if issues:
        raise SpecError(issues)
    return document


def parse_yaml(text: str, file: str) -> Document:
    """Read YAML text as if it stood in `file`; raises SpecError with everything wrong in it."""
    document, issues = _mapping(read_value(text, file), file)
    if issues:
        raise SpecError(issues)
    return document


def from_dict(data: Mapping[str, Any], file: str = "<dict>") -> Document:
    """A Document of a dictionary built in Python: cheap, without positions. The dictionary is not copied."""
    if not isinstance(data, Mapping):
        raise SpecError(Issue(f"must be a mapping, not {type(data).__name__}", file))
    return Document(data if isinstance(data, dict) else dict(data), file)


def scan_yaml(path: str | Path) -> tuple[Document, tuple[Issue, ...]]:
    """Read a YAML file as far as it can be read: the document, and what is wrong in it that still left one.

    Raises SpecError when there is no mapping to return.
    """
    file = str(path)
    text = read_text(Path(path), file)
    return _mapping(read_value(text, file), file)


@overload
def validate(model: type[T], doc: Document) -> T: ...
@overload
def validate(model: Any, doc: Document) -> Any: ...
def validate(model: Any, doc: Document) -> Any:
    """The frozen `model` (a class or a union of classes) of a document.

    Raises SpecError with one issue per mistake, in the order of the file.
    """
    try:
        return _validator(model)(doc.data)
    except pydantic.ValidationError as error:
        from attnsim.spec.diagnose import explain  # only a failing run pays for it

        raise SpecError(explain(model, doc, error)) from error


# by id, since an Annotated union need not be hashable; an entry keeps its model alive, so that no id is used twice
_adapters: dict[int, tuple[Any, pydantic.TypeAdapter[Any]]] = {}


def _validator(model: Any) -> Any:
    if isinstance(model, type) and issubclass(model, pydantic.BaseModel):
        return model.model_validate
    if id(model) not in _adapters:
        _adapters[id(model)] = (model, pydantic.TypeAdapter(model))
    return _adapters[id(model)][1].validate_python


def _mapping(reading: Reading, file: str) -> tuple[Document, tuple[Issue, ...]]:
    issues = reading.issues
    if not reading.fatal and not isinstance(reading.value, dict):
        if reading.empty or reading.value is None:
            issues.append(Issue("is empty; a spec is a mapping such as 'attnsim: 1'", file, 1, 1))
        elif not issues:
            what = "a list" if isinstance(reading.value, list) else "a single value"
            issues.append(Issue(f"holds {what}; a spec is a mapping such as 'attnsim: 1'", *reading.positions.get((), (file, 1, 1))))
        reading.fatal = True
    if reading.fatal:
        raise SpecError(issues)
    return Document(reading.value, file, reading.positions), tuple(issues)


def _replaced(data: Any, steps: list[str], value: Any, origin: str, done: Loc) -> tuple[Any, Loc]:
    """`data` with the value at `steps` replaced, sharing what did not change; and the path that was followed."""
    if not steps:
        return value, done
    name = steps[0]
    if isinstance(data, str) and done and done[-1] in _REFERENCES:
        data = {"extends": data}
    if isinstance(data, list | tuple):
        if not name.isdecimal() or int(name) >= len(data):
            last = f"0 to {len(data) - 1}" if data else "none: it is empty"
            raise UsageError(f"{origin}: {'.'.join(map(str, done))} has no item '{name}'; its items are {last}")
        index = int(name)
        inner, loc = _replaced(data[index], steps[1:], value, origin, (*done, index))
        return [*data[:index], inner, *data[index + 1 :]], loc
    if data is not None and not isinstance(data, dict):
        raise UsageError(f"{origin}: {'.'.join(map(str, done))} is {data!r}, which has nothing below it to set")
    inner, loc = _replaced((data or {}).get(name), steps[1:], value, origin, (*done, name))
    return {**(data or {}), name: inner}, loc


def _plain(value: Any) -> Any:
    """What JSON should hold for a value that only a dictionary from Python can carry: a numpy number, a path."""
    if isinstance(value, Mapping):
        return dict(value)
    return value.tolist() if hasattr(value, "tolist") else str(value)
