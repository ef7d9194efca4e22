"""YAML 1.2 text to dicts, lists and scalars, with a position for every key and every mistake.

PyYAML only splits the text into events; what a plain scalar means is decided here by the YAML 1.2 core schema (yaml.org/spec/1.2.2, section
10.3.2), since YAML 1.1 reads `3.35e12` as text and `off` as false. Tags, anchors, aliases, merge keys, directives and second documents are
refused: a spec says what it says.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from attnsim.errors import Issue, SpecError, suggest

Loc = tuple[str | int, ...]
Position = tuple[str, int, int]
TABLES: Final = ("tiles", "tile_choices")  #: lists of rows: a mapping that extends one is laid over each row

_MAX_DEPTH: Final = 64  # deeper nesting is an attack or an accident, and the builder recurses
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NUMBER: Final = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?")
_LEADING_ZERO: Final = re.compile(r"[-+]?0\d")
_OTHER_BASE: Final = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_NOT_FINITE: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_WORDS: Final[dict[str, bool | None]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_UNPRINTABLE: Final = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


@dataclass
class Reading:
    """A value read from text, whether there was one, its positions and its issues."""

    value: Any = None
    empty: bool = True
    positions: dict[Loc, Position] = field(default_factory=dict)
    issues: list[Issue] = field(default_factory=list)
    fatal: bool = False


def read_text(path: Path, file: str) -> str:
    """The text of a file; raises SpecError when it is missing, a folder, binary or not UTF-8."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        near = suggest(path.name, [entry.name for entry in path.parent.iterdir()]) if path.parent.is_dir() else ""
        raise SpecError(Issue(f"no such file{near}", file)) from None
    except IsADirectoryError:
        raise SpecError(Issue("is a folder; name a YAML file in it", file)) from None
    except (OSError, ValueError) as error:
        raise SpecError(Issue(f"cannot be read: {getattr(error, 'strerror', None) or error}", file)) from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        what = "is binary" if b"\0" in raw else f"byte 0x{raw[error.start]:02x} is not UTF-8"
        raise SpecError(Issue(f"{what}; a spec is a YAML text file in UTF-8", file, line, column)) from None
    return text


def read_value(text: str, file: str) -> Reading:
    """The one value in `text`, as far as it could be read, beside what is wrong in it."""
    reading = Reading()
    if (odd := _UNPRINTABLE.search(text)) is not None:
        line, column = text.count("\n", 0, odd.start()) + 1, odd.start() - text.rfind("\n", 0, odd.start())
        reading.issues.append(Issue(_odd(odd[0]), file, line, column))
        reading.fatal = True
    else:
        _Builder(text, file, reading).build()
    return reading


class _Builder:
    """Turns the events of one document into dicts, lists and scalars."""

    def __init__(self, text: str, file: str, reading: Reading) -> None:
        self.text = text
        self.file = file
        self.reading = reading
        self.loader = _LOADER(text)
        self.next = self.loader.get_event

    def build(self) -> None:
        reading = self.reading
        try:
            for event in self.documents():
                if not reading.empty:
                    reading.fatal = True
                    self.complain(event.start_mark, (), "a second document starts here; give it a file of its own")
                    return
                reading.empty = False
                if event.version or event.tags:
                    self.complain(event.start_mark, (), "directives such as %YAML and %TAG have no place in a spec; remove them")
                node = self.next()
                reading.positions[()] = (self.file, node.start_mark.line + 1, node.start_mark.column + 1)
                reading.value = self.node(node, ())
        except yaml.MarkedYAMLError as error:
            reading.fatal = True
            mark: Any = error.problem_mark or error.context_mark
            is_tab = self.text[mark.index : mark.index + 1] == "\t"
            self.complain(mark, (), "a tab cannot indent YAML; use spaces" if is_tab else _syntax(error))
        except _TooDeepError:
            reading.fatal = True
        finally:
            self.loader.dispose()

    def documents(self) -> Iterator[Any]:
        self.next()  # the start of the stream
        while not isinstance(event := self.next(), yaml.StreamEndEvent):
            yield event
            self.next()  # the end of the document

    def complain(self, mark: Any, loc: Loc, message: str) -> None:
        self.reading.issues.append(Issue(message, self.file, mark.line + 1, mark.column + 1, ".".join(map(str, loc))))

    def node(self, event: Any, loc: Loc) -> Any:
        if isinstance(event, yaml.AliasEvent):
            self.complain(event.start_mark, loc, f"alias '*{event.anchor}' is not supported; write the value out, or use 'extends:'")
            return None
        if event.anchor:
            self.complain(event.start_mark, loc, f"anchor '&{event.anchor}' is not supported; write values out, or use 'extends:'")
        if event.tag is not None:
            self.complain(event.start_mark, loc, f"tag '{event.tag}' is not supported; remove it")
        if isinstance(event, yaml.ScalarEvent):
            if event.style:  # quoted or block: text, whatever it looks like
                if (odd := _UNPRINTABLE.search(event.value)) is not None:  # written as an escape
                    self.complain(event.start_mark, loc, _odd(odd[0]))
                return event.value
            try:
                return resolve(event.value)
            except ValueError as error:
                self.complain(event.start_mark, loc, str(error))
                return None
        if len(loc) >= _MAX_DEPTH:
            self.complain(event.start_mark, (), f"nested more than {_MAX_DEPTH} levels deep")
            raise _TooDeepError
        return self.mapping(loc) if isinstance(event, yaml.MappingStartEvent) else self.sequence(loc)

    def sequence(self, loc: Loc) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := self.next(), yaml.SequenceEndEvent):
            here = (*loc, len(items))
            self.reading.positions[here] = (self.file, event.start_mark.line + 1, event.start_mark.column + 1)
            items.append(self.node(event, here))
        return items

    def mapping(self, loc: Loc) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        while not isinstance(event := self.next(), yaml.MappingEndEvent):
            mark = event.start_mark
            if not isinstance(event, yaml.ScalarEvent):
                self.complain(mark, loc, "a key must be plain text")
                self.node(event, (*loc, "?"))
                self.node(self.next(), (*loc, "?"))
                continue
            key = event.value  # keys are text: `1:` and `"1":` are the same key, as in JSON
            here = (*loc, key)
            if (odd := _UNPRINTABLE.search(key)) is not None:
                self.complain(mark, loc, _odd(odd[0]))
            if event.anchor or event.tag is not None:
                self.complain(mark, here, "anchors and tags are not supported; remove them")
            if not key or (key == "<<" and not event.style):
                self.complain(mark, loc, "merge key '<<' is not supported; use 'extends:'" if key else "a key is missing before ':'")
                self.node(self.next(), (*loc, "?"))
            elif key in fields:
                _, line, column = self.reading.positions[here]
                self.complain(mark, here, f"duplicate key; '{key}' is already at {self.file}:{line}:{column}; keep one of the two")
                kept, self.reading.positions = self.reading.positions, {}  # what is skipped has no place
                self.node(self.next(), here)
                self.reading.positions = kept
            else:
                self.reading.positions[here] = (self.file, mark.line + 1, mark.column + 1)
                fields[key] = None
                fields[key] = self.node(self.next(), here)
        return fields


class _TooDeepError(Exception):
    pass


def resolve(text: str) -> str | int | float | bool | None:
    """The value of a plain scalar by the YAML 1.2 core schema; raises ValueError for numbers that are not what they look like."""
    if text in _WORDS:
        return _WORDS[text]
    if _NUMBER.fullmatch(text):
        if _LEADING_ZERO.match(text):
            bare = re.sub(r"^([-+]?)0+(?=\d)", r"\1", text)
            raise ValueError(f"'{text}' starts with a zero; write {bare} for the number, or quote it for text")
        if text.lstrip("-+").isdigit():
            if len(text) > 100:
                raise ValueError(f"a whole number of {len(text)} digits is too large")
            return int(text)
        number = float(text)
        if math.isinf(number):
            raise ValueError(f"'{text}' is too large for a number")
        return number
    if _OTHER_BASE.fullmatch(text):
        return int(text, 0)
    if _NOT_FINITE.fullmatch(text):
        raise ValueError(f"'{text}' is not a finite number")
    return text


def _odd(character: str) -> str:
    return f"character U+{ord(character):04X} has no place in text; is the file binary?"


def _syntax(error: yaml.MarkedYAMLError) -> str:
    if "nesting depth" in (error.problem or ""):  # libyaml from 0.2.6 on has a limit of its own, met before ours
        return f"nested more than {_MAX_DEPTH} levels deep"
    start, end = error.context_mark, error.problem_mark
    since = f" that starts on line {start.line + 1}" if start is not None and end is not None and start.line != end.line else ""
    return f"not YAML: {error.problem or 'cannot be read'}" + (f" {error.context}{since}" if error.context else "")
