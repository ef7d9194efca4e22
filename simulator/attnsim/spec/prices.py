"""A price list as written in `arch_specs/prices.yaml`: named profiles of what an hour of each machine costs.

Prices are never part of a machine: for one GPU they differ by more than four times between sources, so every cost names its profile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema, core_schema

from attnsim.errors import Issue, suggest
from attnsim.spec.base import FieldError, FormatVersion, Name, Spec, Title
from attnsim.spec.quantity import Quantity, show
from attnsim.spec.yaml import Document

_USD = Quantity("USD/h")


@dataclass(frozen=True, slots=True)
class PriceUnit:
    """Annotation of a price: `2 USD/h`, or a bare number in a profile whose unit is relative."""

    def read(self, value: Any) -> float | str:
        """A number for a bare one, the text itself for a quantity (checked); raises ValueError with a full sentence."""
        if isinstance(value, int | float) and not isinstance(value, bool):
            if not 0 < value < float("inf"):
                raise ValueError(f"must be more than 0, not {show(value)}")
            return float(value)
        _USD.read(value)
        return str(value)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate with `read`."""
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """A quantity, or a number."""
        return {"anyOf": [_USD.__get_pydantic_json_schema__(schema, handler), {"type": "number", "exclusiveMinimum": 0}]}


Price = Annotated[float | str, PriceUnit()]


class ProfileSpec(Spec):
    """One source's prices. `machines` are names of the library, `elsewhere` machines it does not hold."""

    title: str = Field(min_length=1, description="one line for lists")
    source: str = Field(min_length=1, description="who publishes the prices")
    date: str = Field(min_length=4, description="when the prices held: 2025, 2025-07 or 2025-07-25")
    unit: Literal["USD/h", "relative"] = Field(description="of every price; relative: to one of the machines")
    note: str = Field(default="", description="what else a reader has to know")
    machines: dict[str, Price] = Field(description="library name -> price of an hour")
    elsewhere: dict[str, Price] = Field(default={}, description="machines that the library does not hold -> price of an hour")

    @model_validator(mode="after")
    def _one_unit(self) -> ProfileSpec:
        if not self.machines and not self.elsewhere:
            raise FieldError("at least one price is needed", "machines")
        for group, prices in (("machines", self.machines), ("elsewhere", self.elsewhere)):
            for name, price in prices.items():
                if self.unit == "relative" and isinstance(price, str):
                    raise FieldError(f"the unit of this profile is relative: a bare number, not {show(price)}", group, name)
                if self.unit != "relative" and not isinstance(price, str):
                    raise FieldError(f"write the unit: {price:g} {self.unit}", group, name)
        return self

    def value(self, price: float | str) -> float:
        """A price as a number in `unit`."""
        return price if isinstance(price, float) else _USD.read(price)


class PricesSpec(Spec):
    """A price list: profiles by name."""

    attnsim: FormatVersion
    kind: Literal["prices"]
    name: Name
    title: Title = ""
    profiles: dict[str, ProfileSpec] = Field(min_length=1, description="price profiles by name")


def check_prices(spec: PricesSpec, doc: Document, known: Mapping[str, str]) -> tuple[Issue, ...]:
    """Prices of machines nobody knows, and one machine priced twice, each at its place. `known`: folded name or alias -> name."""
    issues = []
    for profile, entry in spec.profiles.items():
        seen: dict[str, str] = {}
        for machine in entry.machines:
            loc = ("profiles", profile, "machines", machine)
            name = known.get(fold(machine))
            if name is None:
                issues.append(
                    doc.issue(loc, f"the library has no machine '{machine}'{suggest(machine, known)}; put others under `elsewhere`")
                )
            elif name in seen:
                issues.append(doc.issue(loc, f"is {name}, which '{seen[name]}' has priced already"))
            else:
                seen[name] = machine
    return tuple(issues)


def fold(name: str) -> str:
    """The spelling names are compared in: lower case, `_` for `-`."""
    return name.lower().replace("-", "_")
