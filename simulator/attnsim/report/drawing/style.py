"""What all figures share: colours, the endings they may have, and bytes that are the same for the same input."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from attnsim.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LineStyle: TypeAlias = Literal["-", "--", "-.", ":"]
ENDINGS = (".svg", ".pdf", ".png")

# Okabe and Ito's palette, told apart by readers with any colour vision; every use has a number, marker or hatch beside it.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES: tuple[LineStyle, ...] = ("-", "--", "-.", ":")
INK, FAINT = "#222222", "#888888"
# Bars that compare with one another, and the one that binds.
BAR, BOUND_BAR = "#B8C4CE", "#D55E00"
FONT = 8.5


def check_ending(path: Path) -> None:
    """Raises UsageError for a name that is no figure's."""
    if path.suffix.lower() not in ENDINGS:
        raise UsageError(f"cannot draw {str(path)!r}: end the name in {', '.join(ENDINGS)}")


def figure_bytes(make: Callable[[], Figure], format_: str, dpi: int = 150) -> bytes:
    """A figure as bytes of an SVG, PDF or PNG file: no dates, no random ids. dpi: pixels an inch of PNG."""
    import matplotlib

    silent: dict[str, dict[str, Any]] = {
        "svg": {"Date": None, "Creator": "attnsim"},
        "pdf": {"CreationDate": None, "ModDate": None, "Creator": "attnsim", "Producer": "attnsim"},
        "png": {"Software": "attnsim"},
    }
    # A dollar sign in a name is a dollar sign; no figure has formulas.
    with matplotlib.rc_context({"svg.hashsalt": "attnsim", "font.size": FONT, "pdf.fonttype": 42, "text.parse_math": False}):
        buffer = io.BytesIO()
        make().savefig(buffer, format=format_, dpi=dpi, metadata=silent[format_])
    return buffer.getvalue()
