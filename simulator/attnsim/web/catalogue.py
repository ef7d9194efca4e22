"""What a page offers to choose from: entries of the library, and the fields of masks and deployments as their models declare them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, get_args

from pydantic import BaseModel

from attnsim.spec import library
from attnsim.spec.closed import files_closed

KINDS: Final[tuple[library.Kind, ...]] = ("workload", "arch", "schedule", "cascade", "model")
_FAMILIES: Final = {"gpu": "GPUs", "cpu": "CPUs", "spatial": "PE arrays"}
FIRST: Final = {"workload": "llama3-8b-prefill", "arch": "h100_sxm"}
"""What a page asks when it is opened without a question."""


def catalogue() -> dict[str, Any]:
    """The body of the response: names by kind, workloads with what they say, and the fields of forms."""
    from attnsim import __version__
    from attnsim.machine.prices import price_profiles
    from attnsim.spec.dtype import Dtype
    from attnsim.spec.mask import MaskSpec
    from attnsim.spec.serving import Deployment, ModelWorkload
    from attnsim.spec.workload import KernelWorkload

    with files_closed():
        found: dict[str, list[dict[str, Any]]] = {kind: [_entry(entry) for entry in library.entries(kind)] for kind in KINDS}
        for entry in found["workload"]:
            entry["content"] = library.load("workload", entry["name"]).data
        for entry, one in zip(found["arch"], library.entries("arch"), strict=True):
            entry["family"] = _FAMILIES.get(one.path.parent.name, one.origin)
        for entry in found["cascade"]:
            entry["ranks"] = library.load("cascade", entry["name"]).data.get("ranks", {})
        found["prices"] = [
            {"name": one.name, "title": one.title, "unit": one.unit, "machines": sorted(one.prices)} for one in price_profiles()
        ]
    return {
        "attnsim": __version__,
        "first": FIRST,
        "library": found,
        "dtypes": list(get_args(Dtype)),
        "masks": _forms(MaskSpec),
        "deployments": _forms(Deployment),
        "fields": {"kernel": _fields(KernelWorkload), "model": _fields(ModelWorkload)},
    }


def content_of(kind: library.Kind, name: str) -> str:
    """The file of a library entry, comments and all. Raises SpecError for a name there is none of."""
    with files_closed():
        return library.find(kind, name).path.read_text(encoding="utf-8")


def _entry(entry: library.Entry) -> dict[str, Any]:
    return {"name": entry.name, "title": entry.title, "aliases": list(entry.aliases), "origin": entry.origin}


def _forms(union: Any) -> dict[str, Sequence[dict[str, Any]]]:
    """The fields of every class of a union, by the `kind` that tells them apart."""
    found: dict[str, Sequence[dict[str, Any]]] = {}
    for model in _classes(get_args(union)[0]):
        found[get_args(model.model_fields["kind"].annotation)[0]] = [field for field in _fields(model) if field["name"] != "kind"]
    return found


def _classes(union: Any) -> list[type[BaseModel]]:
    if isinstance(union, type):
        return [union]
    return [model for part in get_args(union) for model in _classes(part)]


def _fields(model: type[BaseModel]) -> list[dict[str, Any]]:
    """Name, description and default of the fields of a model, nested models left out: those are set by their dotted names."""
    found = []
    for name, field in model.model_fields.items():
        if any(isinstance(part, type) and issubclass(part, BaseModel) for part in (field.annotation, *get_args(field.annotation))):
            continue
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        found.append({
            "name": name,
            "description": field.description or "",
            "required": field.is_required(),
            "default": default if isinstance(default, bool | int | float | str | list | None) else None,
            "choices": [word for word in get_args(field.annotation) if isinstance(word, str)],
        })  # fmt: skip
    return found
