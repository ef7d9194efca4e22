"""The committed JSON Schemas are the generated ones, and hold only what draft-07 knows."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from attnsim.errors import UsageError
from attnsim.spec import schema as schemas
from attnsim.spec.base import Spec
from attnsim.spec.quantity import Bytes, Size
from attnsim.spec.schema import MODELS, json_schema, model_of, schema_text

FOLDER = Path(__file__).resolve().parents[2] / "schema"
# json-schema.org/draft-07/schema
DRAFT_07 = {
    "$schema", "$ref", "definitions", "title", "description", "default", "examples", "type", "enum", "const", "multipleOf", "maximum",
    "exclusiveMaximum", "minimum", "exclusiveMinimum", "maxLength", "minLength", "pattern", "items", "additionalItems", "maxItems",
    "minItems", "uniqueItems", "contains", "maxProperties", "minProperties", "required", "properties", "patternProperties",
    "additionalProperties", "dependencies", "propertyNames", "if", "then", "else", "allOf", "anyOf", "oneOf", "not", "format",
}  # fmt: skip
HOLD_NAMES = ("properties", "definitions", "patternProperties")
HOLD_VALUES = ("default", "const", "enum", "examples", "required")


def nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """Every schema inside a schema."""
    if isinstance(schema, list):
        for item in schema:
            yield from nodes(item)
    elif isinstance(schema, dict):
        yield schema
        for key, value in schema.items():
            if key not in HOLD_VALUES:
                yield from nodes(list(value.values()) if key in HOLD_NAMES else value)


@pytest.mark.parametrize("kind", MODELS)
def test_the_committed_schema_is_the_generated_one(kind: str) -> None:
    committed = (FOLDER / f"{kind}.schema.json").read_text(encoding="utf-8")
    assert committed == schema_text(kind), "run: python -m attnsim.spec.schema"


@pytest.mark.parametrize("kind", MODELS)
def test_only_draft_07_is_used_and_every_reference_leads_somewhere(kind: str) -> None:
    schema = json_schema(kind)
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    for node in nodes(schema):
        assert set(node) <= DRAFT_07
        if "$ref" in node:
            assert set(node) == {"$ref"}
            assert node["$ref"].removeprefix("#/definitions/") in schema["definitions"]


@pytest.mark.parametrize("kind", MODELS)
def test_a_file_that_extends_another_may_leave_fields_out(kind: str) -> None:
    schema = json_schema(kind)
    tops = [schema] if "properties" in schema else [schema["definitions"][name] for name in schemas._top_models(schema)]
    assert tops
    for top in tops:
        assert "extends" in top["properties"]
        assert "required" not in top
        assert {"attnsim", "kind"} <= set(top["then"]["required"])
    json.dumps(schema)  # holds nothing but JSON


def test_a_kind_without_a_schema() -> None:
    with pytest.raises(UsageError, match="there is no schema for 'arhc'; did you mean 'arch'?"):
        model_of("arhc")
    with pytest.raises(UsageError, match="there is no schema for 'zzz'; there is one for arch, workload, cascade, model, schedule"):
        model_of("zzz")


class _A(Spec):
    kind: Literal["a"]
    title: str
    size: tuple[int, str] = (1, "x")
    default: Bytes | None = None


class _B(Spec):
    kind: Literal["b"]
    discriminator: Size
    inner: _A | None = Field(default=None, description="an a")
    one: _A = Field(default=_A(kind="a", title="t"), description="beside a reference")


def test_unions_tuples_and_awkward_names(monkeypatch: pytest.MonkeyPatch) -> None:
    union = Annotated[_A | _B, Field(discriminator="kind")]
    monkeypatch.setattr(schemas, "model_of", lambda kind: union)
    json_schema.cache_clear()
    try:
        schema = json_schema("workload")
    finally:
        json_schema.cache_clear()
    assert schema["oneOf"] == [{"$ref": "#/definitions/_A"}, {"$ref": "#/definitions/_B"}]
    a, b = schema["definitions"]["_A"], schema["definitions"]["_B"]
    assert set(a["properties"]) == {"extends", "kind", "title", "size", "default"}
    assert a["properties"]["size"]["items"] == [{"type": "integer"}, {"type": "string"}]
    assert a["properties"]["size"]["additionalItems"] is False
    assert a["then"] == {"required": ["kind", "title"]}
    assert b["properties"]["discriminator"] == {"type": "integer", "minimum": 1}
    assert b["properties"]["one"]["allOf"] == [{"$ref": "#/definitions/_A"}]
    assert b["properties"]["one"]["description"] == "beside a reference"


def test_main_writes_one_file_a_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schemas, "__file__", str(tmp_path / "simulator" / "attnsim" / "spec" / "schema.py"))
    schemas.main()
    assert {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "schema").iterdir()} == {
        f"{kind}.schema.json": schema_text(kind) for kind in MODELS
    }
