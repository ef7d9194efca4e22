"""What the importers share: the file that is read with its mistakes and notes, the documents that come out, and the one entry."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from attnsim.errors import Issue, SpecError
from attnsim.spec.quantity import show
from attnsim.spec.scan import Loc, read_text
from attnsim.spec.yaml import Document, existing_path, scan_yaml

Form = Literal["teaal", "accelforge"]
"""The formats that can be read."""

_TITLES: Final[dict[Form, str]] = {"teaal": "TeAAL", "accelforge": "accelforge"}
_JINJA: Final = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{[{%].*")


@dataclass(frozen=True, slots=True)
class Imported:
    """The documents an import gives, checked, and what the user should know about them.

    `schedule` is None where the file says nothing about a mapping, `workload` where it says no sizes. The documents name one another by the
    names in `documents`, so that they work from one folder.
    """

    cascade: dict[str, Any]
    schedule: dict[str, Any] | None
    workload: dict[str, Any] | None
    notes: tuple[str, ...]

    @property
    def documents(self) -> dict[str, dict[str, Any]]:
        """File name to document: NAME.cascade.yaml, and NAME.schedule.yaml and NAME.workload.yaml where there are."""
        parts = {"cascade": self.cascade, "schedule": self.schedule, "workload": self.workload}
        return {file_name(self.cascade["name"], kind): data for kind, data in parts.items() if data is not None}


@dataclass
class Source:
    """A file being imported, and the name of what comes out. Everything wrong with it is collected, for one run to show all."""

    doc: Document
    name: str
    origin: str
    issues: list[Issue] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def fail(self, loc: Loc, message: str) -> None:
        """Remember a mistake at a place of the file."""
        self.issues.append(self.doc.issue(loc, message))

    def note(self, text: str) -> None:
        """Remember something that was read otherwise than written, or not at all."""
        if text not in self.notes:
            self.notes.append(text)

    def value(self, loc: Loc) -> Any:
        """What stands at a place; None where nothing does."""
        data = self.doc.data
        if len(existing_path(data, loc)) < len(loc):
            return None
        for step in loc:
            data = data[step]
        return data

    def mapping(self, loc: Loc) -> dict[str, Any]:
        """The mapping at a place; an empty one where nothing stands, or after a mistake."""
        found = self.value(loc)
        if found is None or isinstance(found, dict):
            return found or {}
        self.fail(loc, f"must be a mapping, not {show(found)}")
        return {}

    def sequence(self, loc: Loc) -> list[Any]:
        """The list at a place; an empty one where nothing stands, or after a mistake."""
        found = self.value(loc)
        if found is None or isinstance(found, list):
            return found or []
        self.fail(loc, f"must be a list, not {show(found)}")
        return []

    def words(self, loc: Loc) -> list[str]:
        """The list of names at a place."""
        found = self.sequence(loc)
        for index, item in enumerate(found):
            if not isinstance(item, str):
                self.fail((*loc, index), f"must be a name, not {show(item)}")
        return [item for item in found if isinstance(item, str)]

    def sizes(self, loc: Loc) -> dict[str, int]:
        """Rank to size at a place; a mistake stands as 1, to be told once."""
        found = self.mapping(loc)
        good = {rank: size for rank, size in found.items() if isinstance(size, int) and not isinstance(size, bool) and size > 0}
        for rank in found:
            if rank not in good:
                self.fail((*loc, rank), f"the size of rank {rank} must be a whole number of at least 1, not {show(found[rank])}")
        return {rank: good.get(rank, 1) for rank in found}


def file_name(name: str, kind: str) -> str:
    """The file that an imported document of a kind goes to."""
    return f"{name}.{kind}.yaml"


def import_file(path: Path, form: Form | None = None) -> Imported:
    """Read a TeAAL or accelforge file; what comes out is named after it.

    form: the format of the file; None: told from its content.

    Raises:
        SpecError: with file, line and column of everything that is wrong, or that attnsim cannot express.
    """
    if templates := _templates(read_text(path, str(path)), str(path)):
        raise SpecError(templates)
    doc, flaws = scan_yaml(path)
    chosen = form or _form(doc)
    if chosen is None:
        own = "; attnsim's own files need no import" if "attnsim" in doc.data else ""
        wanted = (
            "TeAAL (einsum: with declaration: and expressions:) nor accelforge (rank_sizes: and einsums:, at the top or under workload:)"
        )
        raise SpecError([*flaws, doc.issue((), f"is neither {wanted}{own}")])
    name = re.sub(r"[^\w.-]+", "-", path.stem.removesuffix(".workload")).strip(".-") or "imported"
    source = Source(doc, name, f"imported from {path.name} ({_TITLES[chosen]})")
    if chosen == "teaal":
        from attnsim.importers import teaal

        found = teaal.read(source)
    else:
        from attnsim.importers import accelforge

        found = accelforge.read(source)
    broken = [flaw.path for flaw in flaws if flaw.path]  # a value that YAML could not read is empty now: no news
    issues = [issue for issue in source.issues if not any(f"{issue.path}.".startswith(f"{place}.") for place in broken)]
    if flaws or issues or found is None:
        raise SpecError(sorted(dict.fromkeys([*flaws, *issues]), key=lambda issue: (issue.line or 0, issue.column or 0)))
    return found


def _templates(text: str, file: str) -> list[Issue]:
    """Jinja in a file; lines of comment are left alone."""
    return [
        Issue(f"Jinja '{match[0].strip()}' is not read; write out what it gives", file, number, match.start() + 1)
        for number, line in enumerate(text.splitlines(), 1)
        if not line.lstrip().startswith("#")
        for match in _JINJA.finditer(line)
    ]


def _form(doc: Document) -> Form | None:
    einsum = doc.data.get("einsum")
    if isinstance(einsum, dict) and "declaration" in einsum:
        return "teaal"
    workload = doc.data.get("workload", doc.data)
    return "accelforge" if isinstance(workload, dict) and {"rank_sizes", "einsums"} & set(workload) else None
