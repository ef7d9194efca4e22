"""JSON Schema of the spec files, for editors: generated from the models, committed under schema/, and tested to be equal.

The YAML language server documents draft-07, so the 2020-12 schema that pydantic writes is brought back to that vocabulary. A file with
`extends:` may leave out what its base says, so required fields are required only without it.

    python -m attnsim.spec.schema        # rewrites schema/<kind>.schema.json of the checkout
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Union

from attnsim.errors import UsageError, suggest

MODELS: Final[Mapping[str, tuple[str, ...]]] = {
    "arch": ("attnsim.spec.arch:ArchSpec", "attnsim.spec.spatial:SpatialArchSpec"),
    "workload": ("attnsim.spec.workload:KernelWorkload", "attnsim.spec.workload:LayerWorkload", "attnsim.spec.serving:ModelWorkload"),
    "cascade": ("attnsim.spec.cascade:CascadeSpec",),
    "model": ("attnsim.spec.model:TransformerSpec",),
    "schedule": ("attnsim.spec.schedule:ScheduleSpec", "attnsim.spec.mapping:SpatialScheduleSpec"),
    "prices": ("attnsim.spec.prices:PricesSpec",),
    "sweep": ("attnsim.spec.sweep:SweepSpec",),
}
"""Kind of file -> the models one may be, told apart by `kind`, or for schedules by `target`."""
_DIALECT: Final = "http://json-schema.org/draft-07/schema#"
# OpenAPI's `discriminator` only repeats `const`, and pydantic's titles only repeat the names
_DROPPED: Final = ("discriminator", "title")


def model_of(kind: str) -> Any:
    """The model (a class or a union of classes) that files of a kind are validated against; raises UsageError for a kind without one."""
    if kind not in MODELS:
        raise UsageError(f"there is no schema for '{kind}'{suggest(kind, MODELS) or '; there is one for ' + ', '.join(MODELS)}")
    first, *others = (_model(name) for name in MODELS[kind])
    return Union[(first, *others)] if others else first  # noqa: UP007 - made of a tuple


def model_for(kind: str, data: Mapping[str, Any]) -> Any:
    """The one model a document of a kind is meant for, as its `kind:` or `target:` says."""
    models = [_model(name) for name in MODELS[kind]]
    if kind == "schedule":
        return models[data.get("target") == "spatial"]
    return models[{"spatial": 1, "layer": 1, "model": 2}.get(str(data.get("kind")), 0)] if len(models) > 1 else models[0]


def _model(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute)


@lru_cache(maxsize=len(MODELS))
def json_schema(kind: str) -> dict[str, Any]:
    """The draft-07 schema of a kind. Treat it as read-only."""
    from pydantic import TypeAdapter

    schema = TypeAdapter(model_of(kind)).json_schema(ref_template="#/definitions/{model}")
    definitions = schema.pop("$defs", {})
    for name in _top_models(schema):
        _allow_extends(definitions[name])
    if "properties" in schema:
        _allow_extends(schema)
    body = _draft_07({**schema, **({"definitions": definitions} if definitions else {})})
    return {"$schema": _DIALECT, "title": f"attnsim {kind}", **body}


def schema_text(kind: str) -> str:
    """The schema as it is committed: sorted keys, so that diffs are readable."""
    return json.dumps(json_schema(kind), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _top_models(schema: dict[str, Any]) -> list[str]:
    """The models a document may be: the one referred to, or the members of the union."""
    choices = [schema, *schema.get("oneOf", ()), *schema.get("anyOf", ())]
    return [choice["$ref"].rpartition("/")[2] for choice in choices if "$ref" in choice]


def _allow_extends(model: dict[str, Any]) -> None:
    extends = {"type": "string", "description": "a library name or path this file starts from; its own fields win"}
    model["properties"] = {"extends": extends, **model.get("properties", {})}
    if "required" in model:
        model["if"] = {"not": {"required": ["extends"]}}
        model["then"] = {"required": model.pop("required")}


def _draft_07(node: Any) -> Any:
    """The same schema without what came after draft-07 or says nothing."""
    if isinstance(node, list):
        return [_draft_07(item) for item in node]
    if not isinstance(node, dict):
        return node
    out: dict[str, Any] = {}
    for key, value in node.items():
        if key in ("properties", "definitions"):  # names of the user's fields and models, which may be any word
            out[key] = {name: _draft_07(schema) for name, schema in value.items()}
        elif key in ("default", "const", "enum", "examples"):  # values, not schemas
            out[key] = value
        elif key == "prefixItems":
            out["items"] = _draft_07(value)
            out["additionalItems"] = False
        elif key not in _DROPPED and not (key == "items" and "prefixItems" in node):
            out[key] = _draft_07(value)
    if "$ref" in out and len(out) > 1:  # draft-07 ignores whatever stands beside a reference
        out["allOf"] = [{"$ref": out.pop("$ref")}]
    return out


def main() -> None:
    """Rewrite the committed schemas of the checkout this package runs from."""
    folder = Path(__file__).resolve().parents[3] / "schema"
    folder.mkdir(exist_ok=True)
    for kind in MODELS:
        (folder / f"{kind}.schema.json").write_text(schema_text(kind), encoding="utf-8")


if __name__ == "__main__":
    main()
