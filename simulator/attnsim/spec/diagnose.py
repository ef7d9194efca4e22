"""Pydantic's errors in the user's terms: one issue per mistake, at its line, with what would be right."""

from __future__ import annotations

import re
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import pydantic

from attnsim.errors import Issue, suggest
from attnsim.spec.base import FieldError
from attnsim.spec.quantity import show
from attnsim.spec.scan import TABLES, Loc
from attnsim.spec.yaml import Document, is_step

_BAD_KEY: Final = "bad_key"
_MANY: Final = 16  # a list of known fields longer than this is no help on one line
# pydantic's error type -> what the value must be
_SHAPES: Final = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "sequence_type": "a list",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "none_required": "left empty",
}


@dataclass(frozen=True, slots=True)
class _Place:
    """The types that may stand at a place, and the tags that choose between them where a union has a discriminator."""

    options: tuple[Any, ...]
    tags: Mapping[str, Any]

    def field_names(self) -> list[str]:
        return [field.alias or name for option in self.options if _is_model(option) for name, field in option.model_fields.items()]


@dataclass(frozen=True, slots=True)
class _Finding:
    """One pydantic error after the walk: its path in the data, the union branch it came from, and its text."""

    path: Loc
    kind: str
    message: str
    union: Loc | None = None
    branch: str = ""


def explain(model: Any, doc: Document, error: pydantic.ValidationError) -> list[Issue]:
    """The issues of a failed validation of `doc` against `model`, in the order of the file."""
    top = _expand(model)
    findings = [_finding(top, doc.data, item) for item in error.errors(include_url=False)]
    findings = _without_echoes(_one_branch(findings, doc))
    found = [doc.issue(finding.path, finding.message) for finding in findings]
    # A field written once over a table stands in each of its rows; the mistake is one all the same.
    once: dict[tuple[object, ...], Issue] = {}
    for issue in found:
        once.setdefault((issue.file, issue.line, issue.column, issue.message, _of_any_row(issue.path)), issue)
    issues = list(once.values())
    return sorted(issues, key=lambda issue: (issue.file, issue.line or 0, issue.column or 0))


def _of_any_row(path: str) -> str:
    return re.sub(rf"(^|\.)({'|'.join(TABLES)})\.\d+\.", r"\1\2.", path)


def _finding(top: _Place, data: Any, item: Any) -> _Finding:
    kind, loc, context = item["type"], tuple(item["loc"]), item.get("ctx", {})
    cause = context.get("error")
    if isinstance(cause, FieldError):
        loc += cause.loc
    is_key = bool(loc) and loc[-1] == "[key]"
    if is_key:
        loc = loc[:-1]
    parent = kind in ("missing", "extra_forbidden") and bool(loc)
    path, place, union, branch = _walk(top, data, loc[:-1] if parent else loc)
    if parent:
        path = (*path, loc[-1])
    names = place.field_names()
    if kind == "extra_forbidden":
        hint = suggest(str(loc[-1]), names)
        message = "unknown field" + (hint or (f"; the fields here are {', '.join(names)}" if 0 < len(names) <= _MANY else ""))
    elif kind == "missing":
        message = "missing; this field is required"
    elif kind in ("union_tag_invalid", "union_tag_not_found"):
        tag = context["discriminator"].strip("'")
        tags = sorted(place.tags) or re.findall(r"'([^']*)'", context.get("expected_tags", ""))
        path = (*path, tag)
        message = _choice(str(context["tag"]), tags) if kind == "union_tag_invalid" else f"missing; write one of {', '.join(tags)}"
    elif kind in ("literal_error", "enum"):
        expected = context["expected"]
        choices = re.findall(r"'([^']*)'", expected)
        message = _choice(item["input"], choices) if choices else f"must be {expected}, not {show(item['input'])}"
    elif kind in ("value_error", "assertion_error"):
        message = " ".join(str(cause).split())
    elif kind in _SHAPES:
        message = f"must be {_SHAPES[kind]}, not {show(item['input'])}"
    else:
        message = re.sub(r"^(Input|String|List|Tuple|Set|Dictionary) should", "must", item["msg"]).replace(" after validation", "")
        if not isinstance(item["input"], dict | list) and ", not " not in message:
            message += f", not {show(item['input'])}"
    if is_key:
        return _Finding(path, _BAD_KEY, f"key {show(loc[-1])} {message}", union, branch)
    if kind in _SHAPES and isinstance(item["input"], str) and item["input"] in place.tags:
        message += f"; write {{{_tag_field(place)}: {item['input']}}}"
    return _Finding(path, kind, message, union, branch)


def _tag_field(place: _Place) -> str:
    """The field whose value chooses between the models of a discriminated union."""
    fields = (item for option in place.options if _is_model(option) for item in option.model_fields.items())
    return next((str(name) for name, field in fields if get_origin(field.annotation) is Literal), "kind")


def _choice(value: Any, choices: Sequence[str]) -> str:
    hint = suggest(value, choices) if isinstance(value, str) else ""
    known = f"'{choices[0]}'" if len(choices) == 1 else "one of " + ", ".join(choices)
    return f"must be {known}, not {show(value)}{hint}"


def _one_branch(findings: list[_Finding], doc: Document) -> list[_Finding]:
    """A union without a discriminator reports every branch; keep the branch the user meant, or one line that names them all."""
    unions: dict[Loc, dict[str, list[_Finding]]] = {}
    for finding in findings:
        if finding.union is not None:
            unions.setdefault(finding.union, {}).setdefault(finding.branch, []).append(finding)
    kept: list[_Finding] = []
    done: set[Loc] = set()
    for finding in findings:
        if finding.union is None or len(unions[finding.union]) == 1:
            kept.append(finding)
        elif finding.union not in done:
            done.add(finding.union)
            kept += _meant(finding.union, list(unions[finding.union].values()))
    return kept


def _meant(union: Loc, branches: list[list[_Finding]]) -> list[_Finding]:
    deeper = [branch for branch in branches if any(len(finding.path) > len(union) for finding in branch)]
    shaped = [branch for branch in branches if not all(finding.kind in _SHAPES for finding in branch)]
    for group in (deeper, shaped):
        if group:
            return min(group, key=len)
    shapes = list(dict.fromkeys(_SHAPES[branch[0].kind] for branch in branches))
    given = branches[0][0].message.partition(", not ")[2]
    return [_Finding(union, "union", f"must be {' or '.join(shapes)}, not {given}")]


def _without_echoes(findings: list[_Finding]) -> list[_Finding]:
    """One mistake, one line: drop "missing" where an unknown field beside it was taken for it, and all below a key that is wrong."""
    wrong = {finding.path for finding in findings if finding.kind == _BAD_KEY}
    findings = [f for f in findings if f.kind == _BAD_KEY or not any(f.path[:end] in wrong for end in range(1, len(f.path) + 1))]
    meant = {
        (*finding.path[:-1], match[1])
        for finding in findings
        if finding.kind == "extra_forbidden" and (match := re.search(r"did you mean '(.*)'", finding.message))
    }
    return [finding for finding in findings if finding.kind != "missing" or finding.path not in meant]


class _Unwritten:
    """Stands for data that a validator added: a list around one entry, a default."""


def _walk(place: _Place, data: Any, loc: Iterable[str | int]) -> tuple[Loc, _Place, Loc | None, str]:
    """Follow pydantic's `loc` through types and data at once.

    Returns the steps that are really in the file (union tags and branch labels are not), the place reached, and the innermost
    undiscriminated union passed with the label of its branch.
    """
    path: list[str | int] = []
    union: Loc | None = None
    branch = ""
    for step in loc:
        if step in place.tags:
            place = _Place((place.tags[str(step)],), {})
            continue
        inner = _below(place, step)
        written = is_step(data, step)
        if not written and (inner is None or not isinstance(data, dict | list | _Unwritten)):  # below a scalar lies nothing: a branch label
            union, branch = tuple(path), str(step)
            named = tuple(option for option in place.options if getattr(option, "__name__", "") == step)
            place = _Place(named or place.options, {})
            continue
        path.append(step)
        data = data[step] if written else _Unwritten()
        place = inner or _Place((), {})
    return tuple(path), place, union, branch


def _below(place: _Place, step: str | int) -> _Place | None:
    found: list[_Place] = []
    for option in place.options:
        origin, args = get_origin(option), get_args(option)
        if _is_model(option):
            for name, field in option.model_fields.items():
                if step in (name, field.alias):
                    found.append(_expand(field.annotation, field.discriminator))
        elif not isinstance(origin, type):
            continue
        elif issubclass(origin, Mapping) and len(args) == 2:
            found.append(_expand(args[1]))
        elif origin is tuple and isinstance(step, int):
            item = args[0] if len(args) == 2 and args[1] is ... else args[step] if step < len(args) else Any
            found.append(_expand(item))
        elif issubclass(origin, Sequence | set | frozenset) and args and isinstance(step, int):
            found.append(_expand(args[0]))
    if not found:
        return None
    return _joined(found)


def _expand(annotation: Any, discriminator: Any = None) -> _Place:
    """The concrete types behind an annotation, and the tags of its discriminated union."""
    while get_origin(annotation) is Annotated:
        annotation, *metadata = get_args(annotation)
        discriminator = discriminator or next((note.discriminator for note in metadata if getattr(note, "discriminator", None)), None)
    if get_origin(annotation) not in (Union, types.UnionType):
        return _Place((annotation,), {})
    place = _joined([_expand(member) for member in get_args(annotation)])
    if not isinstance(discriminator, str):
        return place
    tags: dict[str, Any] = {}
    for option in place.options:
        field = option.model_fields.get(discriminator) if _is_model(option) else None
        if field is not None and get_origin(field.annotation) is Literal:
            tags.update(dict.fromkeys(map(str, get_args(field.annotation)), option))
    return _Place(place.options, {**place.tags, **tags})


def _joined(places: Iterable[_Place]) -> _Place:
    places = tuple(places)
    tags = {tag: model for place in places for tag, model in place.tags.items()}
    return _Place(tuple(option for place in places for option in place.options), tags)


def _is_model(option: Any) -> bool:
    return isinstance(option, type) and issubclass(option, pydantic.BaseModel)
