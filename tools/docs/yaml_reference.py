"""The pages of the YAML files, made from the pydantic models that read them: fields, types, defaults, units, meanings, examples."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from attnsim.spec.prices import PriceUnit
from attnsim.spec.quantity import Between, Quantity, Whole
from attnsim.spec.schema import MODELS
from attnsim.spec.sourced import PeakUnit, Provenance

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class PageOf:
    """One page: the model of the file, its title, and the library file shown as an example."""

    name: str
    model: str
    title: str
    example: str


#: In the order in which models that several pages need find the page that describes them.
PAGES = (
    PageOf("mask", "attnsim.spec.mask:PerHeadMask", "Mask", "workloads/examples/hunyuanvideo-gna.yaml"),
    PageOf("kernel", "attnsim.spec.workload:KernelWorkload", "Workload: a kernel", "workloads/examples/llama3-8b-prefill.yaml"),
    PageOf("layer", "attnsim.spec.workload:LayerWorkload", "Workload: a layer", "workloads/examples/fusemax-bert-encoder.yaml"),
    PageOf("model-workload", "attnsim.spec.serving:ModelWorkload", "Workload: a model", "workloads/examples/llama3-70b-serving.yaml"),
    PageOf("cascade", "attnsim.spec.cascade:CascadeSpec", "Cascade", "workloads/cascades/attention-1pass.yaml"),
    PageOf("schedule", "attnsim.spec.schedule:ScheduleSpec", "Schedule of a GPU or CPU", "workloads/schedules/flash-attention-2.yaml"),
    PageOf("array-schedule", "attnsim.spec.mapping:SpatialScheduleSpec", "Schedule of PE arrays", "workloads/schedules/fusemax.yaml"),
    PageOf("machine", "attnsim.spec.arch:ArchSpec", "Machine: a GPU or CPU", "arch_specs/gpu/h100_pcie.yaml"),
    PageOf("array-machine", "attnsim.spec.spatial:SpatialArchSpec", "Machine: PE arrays", "arch_specs/spatial/fusemax_cloud.yaml"),
    PageOf("model", "attnsim.spec.model:TransformerSpec", "Model", "workloads/models/deepseek-v3.yaml"),
    PageOf("prices", "attnsim.spec.prices:PricesSpec", "Price list", "arch_specs/prices.yaml"),
    PageOf("sweep", "attnsim.spec.sweep:SweepSpec", "Sweep", "workloads/sweeps/prefill-lengths.yaml"),
)
#: What a unit measures, for fields whose quantity has one.
NO_UNIT = "-"


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Every model that a type mentions, in order."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from models_in(part)


def _load(name: str) -> type[BaseModel]:
    from attnsim.spec.schema import _model

    found: type[BaseModel] = _model(name)
    return found


@cache
def placed() -> Mapping[str, tuple[type[BaseModel], ...]]:
    """Page -> the models it describes: that of its file, then those which that needs and no page before described."""
    files = {_load(page.model) for page in PAGES}
    seen: set[type[BaseModel]] = set()
    pages: dict[str, tuple[type[BaseModel], ...]] = {}
    for page in PAGES:
        here: list[type[BaseModel]] = []
        waiting = [_load(page.model)]
        while waiting:
            model = waiting.pop(0)
            if model in seen or (model in files and here):
                continue
            seen.add(model)
            here.append(model)
            waiting[:0] = [found for field in model.model_fields.values() for found in models_in(_whole(field))]
        pages[page.name] = tuple(here)
    return pages


def _whole(field: FieldInfo) -> Any:
    """A field's type together with what stands around it."""
    return Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation


def heading(model: type[BaseModel]) -> str:
    """How a model is called on its page: by its `kind` where it has one, else in words."""
    kind = model.model_fields.get("kind")
    names = [f"`{name}`" for name in get_args(kind.annotation)] if kind is not None and get_origin(kind.annotation) is Literal else []
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", model.__name__.removesuffix("Spec").removesuffix("Constant")).capitalize()
    return f"{words}: kind {' or '.join(names)}" if names else words


def link(model: type[BaseModel], here: str) -> str:
    """A link to where a model is described."""
    page = next(name for name, models in placed().items() if model in models)
    kind = heading(model).partition(": kind ")[2]
    return f"[{kind or heading(model)}]({'' if page == here else page + '.md'}#{model.__name__.lower()})"


def shown(annotation: Any, here: str) -> tuple[str, str]:
    """A type in words, and its unit."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        for mark in arguments[1:]:
            if (found := _marked(mark)) is not None:
                return found
        text, unit = shown(arguments[0], here)
        limits = [limit for mark in arguments[1:] if (limit := _limit(mark))]
        return text + "".join(limits), unit
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments), NO_UNIT
    if origin in (Union, UnionType):
        parts = [shown(part, here) for part in arguments if part is not type(None)]
        return " or ".join(dict.fromkeys(text for text, _ in parts)), next((unit for _, unit in parts if unit != NO_UNIT), NO_UNIT)
    if origin in (list, tuple):
        text, unit = shown(arguments[0], here)
        return f"list of {text}", unit
    if origin is dict and arguments == (str, Any):
        return "inline content", NO_UNIT
    if origin is dict:
        text, unit = shown(arguments[1], here)
        key = shown(arguments[0], here)[0]
        return f"{'name' if key == 'text' else key} -> {text}", unit
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return link(annotation, here), NO_UNIT
    return {str: "text", bool: "`true` or `false`", int: "whole number", float: "number"}.get(annotation, "anything"), NO_UNIT


def _marked(mark: Any) -> tuple[str, str] | None:
    """What one of attnsim's own annotations says."""
    if isinstance(mark, Quantity):
        return "[quantity](index.md#quantities)", mark.unit
    if isinstance(mark, Whole):
        return f"whole number, at least {mark.minimum}", NO_UNIT
    if isinstance(mark, Between):
        least = f"{'above' if mark.open_low else 'at least'} {mark.low:g}"
        return f"number, {least}" + (f", at most {mark.high:g}" if mark.high != float("inf") else ""), NO_UNIT
    if isinstance(mark, Provenance):
        text, unit = _marked(mark.unit) or ("", NO_UNIT)
        return f"{text} [with its source](index.md#numbers-with-a-source)", unit
    if isinstance(mark, PeakUnit):
        return "[quantity](index.md#quantities)", "FLOP/s or OP/s"
    return ("[quantity](index.md#quantities), or a number", "USD/h, or relative") if isinstance(mark, PriceUnit) else None


def _limit(mark: Any) -> str:
    if isinstance(mark, FieldInfo):
        return "".join(_limit(inner) for inner in mark.metadata)
    for kind, name, text in (
        (annotated_types.Ge, "ge", "at least"), (annotated_types.Gt, "gt", "above"),
        (annotated_types.Le, "le", "at most"), (annotated_types.Lt, "lt", "below"),
    ):  # fmt: skip
        if isinstance(mark, kind):
            return f", {text} {getattr(mark, name):g}"
    return ""


def default(field: FieldInfo) -> str:
    """What holds where a field is left out."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        kind = getattr(value, "kind", None)
        return f"`{{kind: {kind}}}`" if kind else "its defaults"
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, list | dict) and not value:
        return "`[]`" if isinstance(value, list) else "`{}`"
    if isinstance(value, list):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def meaning(field: FieldInfo, name: str, model: type[BaseModel]) -> str:
    """What a field says: its description, else that of its type, else what its name means in every file."""
    text = field.description or next((mark.description for mark in field.metadata if getattr(mark, "description", None)), None)
    if text is None and name == "kind":
        text = "says what the file holds" if f"{model.__module__}:{model.__name__}" in files() else "tells the kinds apart"
    if text is None:
        raise KeyError(f"{model.__name__}.{name} has no description")
    return _cell(text)


def _cell(text: str) -> str:
    """Text for a cell: braces become code, since Markdown would take them for attributes."""
    parts = re.split(r"(`[^`]*`)", re.sub(r"\s+", " ", text))
    plain = [re.sub(r"\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}", r"`\g<0>`", part).replace("<", "&lt;") for part in parts[::2]]
    plain = [
        "`".join(piece.replace("*", "\\*") if index % 2 == 0 else piece for index, piece in enumerate(part.split("`"))) for part in plain
    ]
    parts[::2] = plain
    return "".join(parts).replace("|", "\\|")


def table(model: type[BaseModel], here: str) -> str:
    """The fields of a model."""
    lines = ["| Field | Type | Unit | Default | Meaning |", "|---|---|---|---|---|"]
    for name, field in model.model_fields.items():
        text, unit = shown(_whole(field), here)
        text += " or `null`" if field.is_required() and type(None) in get_args(field.annotation) else ""
        lines.append(f"| `{field.alias or name}` | {text} | {unit} | {default(field)} | {meaning(field, name, model)} |")
    return "\n".join(lines)


def _prose(model: type[BaseModel]) -> str:
    return re.sub(r"(?<!`)``(?!`)", "`", re.sub(r"\n(?!\n)", " ", (model.__doc__ or "").replace("\n    ", "\n")).strip())


def page_of(page: PageOf) -> str:
    """One page."""
    first, *others = placed()[page.name]
    parts = [f"# {page.title}", _prose(first)]
    if page.name == "mask":
        parts = [
            "# Mask",
            "Which (query, key) pairs attend: the `mask:` of a workload. What it means, in pictures: [Mask](../../concepts/mask.md).",
        ]
        others = [*others, first]
    else:
        parts += [table(first, page.name)]
    for model in others:
        parts += [f"## {heading(model)} {{ #{model.__name__.lower()} }}", _prose(model)]
        parts += [table(model, page.name)] if model.model_fields.keys() - {"kind"} else []
    example = (ROOT / page.example).read_text(encoding="utf-8")
    body = "".join(line for line in example.splitlines(keepends=True) if not line.startswith("# yaml-language-server"))
    parts += ["## Example", f"`{page.example}`:", f"```yaml\n{body.rstrip()}\n```"]
    return "\n\n".join(parts) + "\n"


def described() -> set[type[BaseModel]]:
    """All models that the pages describe."""
    return {model for models in placed().values() for model in models}


def files() -> set[str]:
    """The models of files that `attnsim schema` knows."""
    return {name for names in MODELS.values() for name in names}


def pages() -> dict[str, str | bytes]:
    """Page of the site -> its Markdown."""
    return {f"reference/yaml/{page.name}.md": page_of(page) for page in PAGES}
