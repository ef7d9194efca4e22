"""A switch for callers who answer strangers: while it is on, a spec may name what is in the library, but no file.

`extends:`, `cascade:`, `schedule:`, `baseline:`, machines, price lists, models and masks can name files, which is what somebody at a
terminal wants, and what a page in a browser must not be able to do. Names are looked up as ever, in the folders of ATTNSIM_PATH too:
whoever started the process chose those.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

_CLOSED: Final[ContextVar[bool]] = ContextVar("attnsim_files_closed", default=False)
_ENDINGS: Final = (".yaml", ".yml", ".json")


@contextmanager
def files_closed() -> Iterator[None]:
    """Within the block, and in this thread or task alone, naming a file in a spec is an error and no file outside the library is opened."""
    token = _CLOSED.set(True)
    try:
        yield
    finally:
        _CLOSED.reset(token)


def are_files_closed() -> bool:
    """Whether the switch is on."""
    return _CLOSED.get()


def looks_like_path(text: str) -> bool:
    """Whether a reference is written as a path: it holds a slash or ends as a spec file does. Nothing on the disk is looked at."""
    return "/" in text or "\\" in text or os.sep in text or text.lower().endswith(_ENDINGS)


def refusal(text: str) -> str:
    """The message for a reference to a file while files are closed."""
    shown = text if len(text) <= 60 else text[:57] + "..."
    return f"files are not read here, so {shown!r} must be the name of a library entry, or be written out in its place"
