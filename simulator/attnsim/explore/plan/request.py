"""What a sweep file asks for: its axes, filters and overrides, each mistake at its line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from attnsim.api.documents import Ref
from attnsim.errors import Issue, SpecError, UsageError
from attnsim.explore.plan.axes import Axis, listed, vary, zipped
from attnsim.explore.plan.plan import Only, SweepError, set_text
from attnsim.spec import library
from attnsim.spec.scan import Loc
from attnsim.spec.sweep import SweepSpec
from attnsim.spec.yaml import Document, validate

ONLY: Mapping[str, Only] = {"all": "all", "lower-bound": "lower_bound"}


@dataclass(frozen=True)
class Request:
    """A sweep as a file has it. `document` is the file; `places` says where each varied field stands in it."""

    name: str
    workload: Document
    arch: Document | None
    axes: tuple[Axis, ...]
    filters: tuple[str, ...]
    schedule: Ref | None
    sets: tuple[str, ...]
    only: Only
    columns: tuple[str, ...]
    document: Document
    places: Mapping[str, Loc] = field(default_factory=dict)

    @contextmanager
    def placed(self) -> Iterator[None]:
        """Errors about the sweep itself, at their line of the file."""
        try:
            yield
        except SweepError as error:
            loc, own = self.places.get(error.field, ()), f"{error.field}: "
            texts = [issue.message.removeprefix("filter: ").removeprefix(own) for issue in error.issues]
            raise SpecError(self.document.issue(loc, text) for text in texts) from None
        except SpecError as error:
            raise SpecError(self._at_set(issue) for issue in error.issues) from None

    def _at_set(self, issue: Issue) -> Issue:
        """An issue of a field under `set:`, at its line; any other as it is."""
        field, of_set, _ = issue.file.removeprefix("--set ").partition("=")
        loc = self.places.get(f"set.{field}", self.places.get(f"set.arch.{field}"))
        return self.document.issue(loc, issue.message) if of_set and loc is not None else issue


def read_request(document: Document) -> Request:
    """The sweep of a document. Raises: SpecError with every mistake at its place."""
    spec = validate(SweepSpec, document)
    workload = library.load("workload", spec.workload, doc=document, loc=("workload",))
    arch = None if spec.arch is None else library.load("arch", spec.arch, doc=document, loc=("arch",))
    axes: list[Axis] = []
    places: dict[str, Loc] = {"columns": ("columns",)}
    issues: list[Issue] = []

    def attempt(make: Callable[[], Axis], loc: Loc, strip: str = "") -> None:
        try:
            axes.append(make())
        except UsageError as error:
            issues.extend(document.issue(loc, issue.message.removeprefix(strip)) for issue in error.issues)

    for part, columns in (("grid", spec.grid), ("zip", spec.zipped)):
        places |= {name.strip(): (part, fields) for fields in columns for name in fields.split(",")}
    for fields, values in spec.grid.items():
        attempt(lambda fields=fields, values=values: vary(fields, values), ("grid", fields), f"{fields}: ")  # type: ignore[misc]
    if spec.zipped:
        attempt(lambda: zipped(spec.zipped), ("zip",))
    if spec.points:
        places |= {name: ("list", 0, name) for name in spec.points[0]}
        attempt(lambda: listed(spec.points), ("list",))
    if issues:
        raise SpecError(issues)
    places |= {f"filters.{number}": ("filters", number) for number in range(len(spec.filters))}
    places |= {f"set.{name}": ("set", name) for name in spec.sets}
    sets = tuple(f"{name}={set_text(value)}" for name, value in spec.sets.items())
    return Request(
        spec.name, workload, arch, tuple(axes), tuple(spec.filters), _schedule(spec, document), sets, ONLY[spec.only],
        tuple(spec.columns), document, places,
    )  # fmt: skip


def _schedule(spec: SweepSpec, document: Document) -> Ref | None:
    """The schedule, a path beside the file made one from here. Raises: SpecError for a name nobody knows."""
    if not isinstance(spec.schedule, str):
        return spec.schedule
    library.load("schedule", spec.schedule, doc=document, loc=("schedule",))
    beside = Path(document.file).parent / spec.schedule
    return str(beside) if "/" in spec.schedule and beside.is_file() else spec.schedule
