"""A page of tables and figures as one HTML file: nothing is loaded from elsewhere, every text is escaped, it prints and fits a phone."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from html import escape

STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.45 system-ui, sans-serif; color: #222; margin: 1.5rem auto; padding: 0 1rem; max-width: 75rem; }
h1 { font-size: 1.35rem; } h2 { font-size: 1.05rem; margin: 2rem 0 .4rem; }
p { margin: .3rem 0; overflow-wrap: anywhere; } .note { color: #555; font-size: .9rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { padding: .18rem .6rem .18rem 0; text-align: left; border-bottom: 1px solid #e3e3e3; white-space: nowrap; vertical-align: top; }
th { border-bottom: 1px solid #888; font-weight: 600; } .n { text-align: right; } td.long { white-space: normal; min-width: 16rem; }
svg { max-width: 100%; height: auto; }
@media print {
  body { margin: 0; max-width: none; font-size: 10pt; } .wide { overflow: visible; }
  table { font-size: 7.5pt; } tr { break-inside: avoid; } th, td { white-space: normal; }
}
"""
LONG = 60
"""Characters from which a cell may break into lines."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under a header; right: columns of numbers."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: Collection[int] = ()

    def html(self) -> str:
        """The element."""
        head = "".join(self._cell("th", number, text) for number, text in enumerate(self.header))
        body = "\n".join(f"<tr>{''.join(self._cell('td', i, text) for i, text in enumerate(row))}</tr>" for row in self.rows)
        return f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>'

    def _cell(self, tag: str, number: int, text: str) -> str:
        kind = ' class="n"' if number in self.right else ' class="long"' if len(text) > LONG else ""
        return f"<{tag}{kind}>{escape(text)}</{tag}>"


@dataclass(frozen=True, slots=True)
class Drawing:
    """An `<svg>` element made here, and what it shows for those who cannot see it."""

    svg: str
    label: str

    def html(self) -> str:
        """The element."""
        return f'<div role="img" aria-label="{escape(self.label)}">{self.svg}</div>'


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, lines of text, and what stands under them."""

    title: str
    body: Table | Drawing | None = None
    notes: Sequence[str] = ()

    def html(self) -> str:
        """The elements."""
        notes = "\n".join(f'<p class="note">{escape(note)}</p>' for note in self.notes)
        return "\n".join(part for part in (f"<h2>{escape(self.title)}</h2>", notes, self.body.html() if self.body else "") if part)


def html_page(title: str, lines: Sequence[str], sections: Sequence[Section], footer: str) -> str:
    """The whole file."""
    intro = "\n".join(f"<p>{escape(line)}</p>" for line in lines)
    content = "\n".join(section.html() for section in sections)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{escape(title)}</title>\n<style>{STYLE}</style>\n'
        f'</head>\n<body>\n<h1>{escape(title)}</h1>\n{intro}\n{content}\n<p class="note">{escape(footer)}</p>\n</body>\n</html>\n'
    )
