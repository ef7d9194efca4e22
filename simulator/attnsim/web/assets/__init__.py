"""The files of the page, read once; those that draw an answer are the report's."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from typing import Final

_OWN: Final = {
    "explorer.html": "text/html; charset=utf-8",
    "explorer.css": "text/css; charset=utf-8",
    **dict.fromkeys(("question.js", "form.js", "explorer.js"), "text/javascript; charset=utf-8"),
}


def asset(name: str) -> tuple[str, bytes] | None:
    """Media type and content of a file of the page; None for any other name."""
    if name not in (*_OWN, "attnsim.css", "attnsim.js"):
        return None
    return _read(name)


@lru_cache(maxsize=8)
def _read(name: str) -> tuple[str, bytes]:
    from attnsim.report.html import assets

    if name == "attnsim.css":
        return _OWN["explorer.css"], assets.style().encode("utf-8")
    if name == "attnsim.js":
        return _OWN["explorer.js"], assets.script().encode("utf-8")
    return _OWN[name], resources.files(__package__).joinpath(name).read_bytes()
