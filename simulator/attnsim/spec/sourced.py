"""Numbers that carry their provenance: `3.35 TB/s`, or `{value: 3.35 TB/s, source: nv-ds, note: ...}`.

A plain number takes the `source` of the group it stands in, so that one line can cite a data sheet for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from attnsim.errors import suggest
from attnsim.spec.base import Spec
from attnsim.spec.quantity import Between, Quantity, show

_FIELDS: Final = ("value", "source", "note")


class Group(Spec):
    """A set of numbers that may share one `source` and one `note`."""

    source: str = Field(default="", description="id of `sources` that plain numbers of this group cite; or `estimate`, `derived`")
    note: str = Field(default="", description="what else a reader has to know; with `estimate` and `derived`, how the numbers came about")


@dataclass(frozen=True, slots=True)
class Sourced:
    """One number in SI units with its provenance; empty where the group around it speaks for it."""

    value: float
    source: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class PeakUnit:
    """A published dense peak: FLOP/s for floats, OP/s for integers (a multiply-add is two of either)."""

    def read(self, value: Any) -> float:
        """The number in FLOP/s or OP/s; raises UnitError with a full sentence."""
        integer = isinstance(value, str) and "OP" in value and "FLOP" not in value
        return Quantity("OP/s" if integer else "FLOP/s").read(value)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """A string with examples, as an editor shows it."""
        return {"type": "string", "description": "a dense peak in FLOP/s or OP/s", "examples": ["989.4 TFLOP/s", "1979 TOP/s"]}


@dataclass(frozen=True, slots=True)
class Provenance:
    """Annotation of a `Sourced` field: reads the plain form and the mapping, the number itself as `unit` reads it."""

    unit: Quantity | Between | PeakUnit

    def read(self, data: Any) -> Sourced:
        """The number with what was written beside it; raises ValueError with a full sentence."""
        if isinstance(data, Sourced):
            return data
        if not isinstance(data, Mapping):
            return Sourced(self.unit.read(data))
        for key, value in data.items():
            if key not in _FIELDS:
                raise ValueError(f"unknown field '{key}'{suggest(str(key), _FIELDS) or '; the fields here are ' + ', '.join(_FIELDS)}")
            if key != "value" and not isinstance(value, str):
                raise ValueError(f"{key} must be text, not {show(value)}")
        if "value" not in data:
            raise ValueError("value is missing; write {value: ..., source: ID}")
        return Sourced(self.unit.read(data["value"]), data.get("source", ""), data.get("note", ""))

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate with `read`."""
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """The plain form or the mapping."""
        plain = self.unit.__get_pydantic_json_schema__(schema, handler)
        fields = {"value": plain, "source": {"type": "string"}, "note": {"type": "string"}}
        return {"anyOf": [plain, {"type": "object", "properties": fields, "required": ["value"], "additionalProperties": False}]}


SourcedBytes = Annotated[Sourced, Provenance(Quantity("B"))]
SourcedBytesOrNone = Annotated[Sourced, Provenance(Quantity("B", zero=True))]
SourcedBandwidth = Annotated[Sourced, Provenance(Quantity("B/s"))]
SourcedBytesPerCycle = Annotated[Sourced, Provenance(Quantity("B/cycle"))]
SourcedOpPerCycle = Annotated[Sourced, Provenance(Quantity("OP/cycle"))]
SourcedFlops = Annotated[Sourced, Provenance(Quantity("FLOP/s"))]
SourcedPeak = Annotated[Sourced, Provenance(PeakUnit())]
SourcedHertz = Annotated[Sourced, Provenance(Quantity("Hz"))]
SourcedSeconds = Annotated[Sourced, Provenance(Quantity("s", zero=True))]
SourcedWatts = Annotated[Sourced, Provenance(Quantity("W", zero=True))]
SourcedJoulePerByte = Annotated[Sourced, Provenance(Quantity("J/B", zero=True))]
SourcedJoulePerOp = Annotated[Sourced, Provenance(Quantity("J/OP", zero=True))]
SourcedShare = Annotated[Sourced, Provenance(Between(0.0, 1.0, open_low=True))]
SourcedExponent = Annotated[Sourced, Provenance(Between(0.0))]
SourcedJoules = Annotated[Sourced, Provenance(Quantity("J", zero=True))]
SourcedArea = Annotated[Sourced, Provenance(Quantity("m^2", zero=True))]
