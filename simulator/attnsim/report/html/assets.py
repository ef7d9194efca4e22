"""Style and script of the pages: plain files under `assets/`, joined. Nothing is loaded from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "assets"
VENDORED = ("vendor/d3.min.js",)
STYLES = ("attnsim.css", "parts.css", "charts.css", "narrow_print.css")
"""Files of the style sheet in the order they are joined; later ones may override."""
SCRIPTS = (
    "dom.js",
    "format.js",
    "tip.js",
    "table.js",
    "bars.js",
    "chart.js",
    "roofline.js",
    "cascade.js",
    "mask.js",
    "curves.js",
    "answer.js",
    "report.js",
)
"""Files of the script in the order they are joined; each adds to the global `attnsim`."""


@cache
def style() -> str:
    """The style sheet of both pages."""
    return "\n".join(_read(name) for name in STYLES)


@cache
def script() -> str:
    """The vendored libraries and attnsim's own script as one text."""
    return "\n".join(_read(name) for name in (*VENDORED, *SCRIPTS))


def digest(text: str) -> str:
    """`'sha256-...'` of an inline script or style, as a Content-Security-Policy names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}'"


def _read(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")
