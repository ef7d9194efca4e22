"""Formulas as inline SVG: matplotlib sets the type, the text colour of the page is theirs, and a reader hears the source of the formula."""

from __future__ import annotations

import html
from functools import cache

POINTS = 17.0
"""Size of the type in pixels of the page."""


@cache
def svg(source: str) -> str:
    """One formula, written as TeX: an `<svg>` on one line."""
    from matplotlib import rc_context
    from matplotlib.path import Path
    from matplotlib.textpath import TextPath

    with rc_context({"mathtext.fontset": "cm"}):
        path = TextPath((0, 0), f"${source}$", size=POINTS)
    box = path.get_extents()
    left, right, top, bottom = box.x0 - 1, box.x1 + 1, -box.y1 - 1, -box.y0 + 1
    letters = {Path.MOVETO: "M", Path.LINETO: "L", Path.CURVE3: "Q", Path.CURVE4: "C", Path.CLOSEPOLY: "Z"}
    parts: list[str] = []
    for points, code in path.iter_segments(simplify=False):
        numbers = " ".join(f"{sign * value:.2f}".rstrip("0").rstrip(".") for value, sign in zip(points, (1, -1) * 3, strict=False))
        parts.append("Z" if code == Path.CLOSEPOLY else letters[code] + numbers)
    size = f'width="{right - left:.1f}" height="{bottom - top:.1f}" viewBox="{left:.1f} {top:.1f} {right - left:.1f} {bottom - top:.1f}"'
    return f'<svg {size} role="img" aria-label="{html.escape(source)}"><path d="{"".join(parts)}"/></svg>'


def block(body: str, indent: str = "") -> str:
    """A block of formulas, one a line, as one line of HTML."""
    lines = [line.strip() for line in body.splitlines() if line.strip()]
    return f'{indent}<div class="formula">{"".join(f"<div>{svg(line)}</div>" for line in lines)}</div>'
