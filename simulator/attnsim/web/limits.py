"""How large a question may be: texts, the things in them, and numbers. Whatever passes is answered or refused in a few seconds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from attnsim.errors import Issue, SpecError
from attnsim.spec.scan import Loc
from attnsim.spec.yaml import Document, parse_yaml

MOST_BODY: Final = 256 * 1024  #: bytes of a request
MOST_TEXT: Final = 64 * 1024  #: characters of a spec written out; the largest file of the library has less than half of that
MOST_NAME: Final = 100  #: characters of a library name
MOST_SET: Final = 4096  #: characters of one FIELD=VALUE
MOST_SETS: Final = 64
MOST_THINGS: Final = 4000  #: keys and list items of a spec
MOST_CHARACTERS: Final = 2000  #: of one string in a spec
MOST_NUMBER: Final = 10**15  #: in a spec, without its unit
MOST_SIZE: Final = 10**12  #: of a rank; sizes of kernels that exist are far below
MOST_MASKS: Final = 4096  #: in a list, one a head
MOST_COUNTED: Final = 2**28  #: positions, times the masks of a list, of a mask that is counted row by row
_ROW_BY_ROW: Final = ("strided", "span", "packed", "blocks", "topk", "per_head")
MOST_ISSUES: Final = 25  #: that are sent back
MOST_MESSAGE: Final = 600  #: characters of one of them


def document_of(text: str, file: str) -> Document:
    """The document a text is, as the loader of files reads it. Raises SpecError: a mistake in it, or more in it than is read here."""
    document = parse_yaml(text, file)
    check_document(document)
    return document


def check_document(document: Document) -> None:
    """Raises SpecError for a document with too many or too large things in it."""
    for count, (loc, value) in enumerate(_things(document.data, ())):
        if count >= MOST_THINGS:
            raise SpecError(Issue(f"holds more than {MOST_THINGS} keys and items, the most that are read here", document.file))
        if isinstance(value, str) and len(value) > MOST_CHARACTERS:
            raise SpecError(document.issue(loc, f"is a text of {len(value)} characters; at most {MOST_CHARACTERS} are read here"))
        if isinstance(value, int | float) and abs(value) > MOST_NUMBER:
            raise SpecError(document.issue(loc, f"is larger than {MOST_NUMBER:.0e}, the largest number that is read here"))


def check_workload(document: Document) -> None:
    """Raises SpecError for sizes of a workload, or of a step of it, with which an answer would take long."""
    steps = document.data.get("steps")
    parts: list[tuple[Loc, Any]] = [((), document.data)]
    parts += [(("steps", index), step) for index, step in enumerate(steps if isinstance(steps, list) else ())]
    for place, part in parts:
        if isinstance(part, dict) and isinstance(sizes := part.get("sizes"), dict):
            counted = _counted(part.get("mask", document.data.get("mask")))
            if counted > MOST_MASKS:
                raise SpecError(document.issue((*place, "mask"), f"differs from head to head {counted} times; at most {MOST_MASKS} here"))
            for rank, size in sizes.items():
                if isinstance(size, int) and size > (most := min(MOST_SIZE, MOST_COUNTED // counted if counted else MOST_SIZE)):
                    under = " under a mask that is counted row by row" if most < MOST_SIZE else ""
                    raise SpecError(document.issue((*place, "sizes", rank), f"must be at most {most} here{under}, not {size}"))


def _counted(mask: Any) -> int:
    """How many masks of a specification are counted row by row, not by a formula."""
    if not isinstance(mask, dict) or mask.get("kind") not in _ROW_BY_ROW:
        return 0
    listed, stride = mask.get("masks"), mask.get("stride")
    if isinstance(listed, list):
        return max(1, len(listed))
    return max(1, stride) if mask.get("offset") == "per_head" and isinstance(stride, int) else 1


def _things(value: Any, loc: Loc) -> Iterator[tuple[Loc, Any]]:
    """Everything in a value with its place; keys count as text there."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield (*loc, key), key
            yield from _things(item, (*loc, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _things(item, (*loc, index))
    else:
        yield loc, value
