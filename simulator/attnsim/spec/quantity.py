"""Field types for numbers: quantities that must carry a unit, and plain counts and shares.

Every type refuses booleans, NaN and infinity, and says in one sentence what to write instead. Values are SI floats (B, s, J, W, Hz) or
ints.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from attnsim.units import UnitError, example_quantity, parse_quantity


@dataclass(frozen=True, slots=True)
class Quantity:
    """Annotation of a float field whose text carries a unit: `Annotated[float, Quantity("B/s")]`.

    `unit` is one of `attnsim.units.UNITS`. Negative values are refused, and zero too unless `zero` is set.
    """

    unit: str
    zero: bool = False

    def read(self, value: Any) -> float:
        """The SI value of what was written; raises UnitError (a ValueError) with a full sentence."""
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf:
            # a bare number: parse_quantity says which unit to add
            value = str(value) if isinstance(value, int) else f"{value:.15g}".replace("e+", "e")
        if not isinstance(value, str):
            raise UnitError(f"must be a quantity in {self.unit} such as '{example_quantity(self.unit)}', not {show(value)}")
        number = parse_quantity(value, self.unit)
        if number < 0 or (number == 0 and not self.zero):
            raise UnitError(f"must be {'at least' if self.zero else 'more than'} 0 {self.unit}, not '{value}'")
        return number

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate with `read`."""
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """A string with an example, as an editor shows it."""
        return {"type": "string", "description": f"a quantity in {self.unit}", "examples": [example_quantity(self.unit)]}


@dataclass(frozen=True, slots=True)
class Whole:
    """Annotation of an int field: a whole number of at least `minimum`. `1e6` counts as whole, `true` and "8" do not."""

    minimum: int

    def read(self, value: Any) -> int:
        """The int; raises ValueError with a full sentence."""
        if type(value) is int and value >= self.minimum:
            return value
        number = None
        if isinstance(value, float):
            number = int(value) if value.is_integer() else None
        elif not isinstance(value, bool) and hasattr(value, "__index__"):
            number = int(value.__index__())
        if number is None or number < self.minimum:
            raise ValueError(f"must be a whole number of at least {self.minimum}, not {show(value)}")
        return number

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate with `read`."""
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """An integer with its minimum."""
        return {"type": "integer", "minimum": self.minimum}


@dataclass(frozen=True, slots=True)
class Between:
    """Annotation of a dimensionless float field within [`low`, `high`], or above `low` where `open_low` is set."""

    low: float
    high: float = math.inf
    open_low: bool = False

    def read(self, value: Any) -> float:
        """The float; raises ValueError with a full sentence."""
        try:
            number = math.nan if isinstance(value, bool | str) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        inside = self.low < number if self.open_low else self.low <= number
        if not (inside and number <= self.high and math.isfinite(number)):
            least = f"{'more than' if self.open_low else 'at least'} {self.low:g}"
            most = "" if self.high == math.inf else f" and at most {self.high:g}"
            raise ValueError(f"must be a number of {least}{most}, not {show(value)}")
        return number

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate with `read`."""
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """A number with its limits."""
        out: dict[str, Any] = {"type": "number", "exclusiveMinimum" if self.open_low else "minimum": self.low}
        return out if self.high == math.inf else {**out, "maximum": self.high}


Bytes = Annotated[float, Quantity("B")]
BytesPerSecond = Annotated[float, Quantity("B/s")]
BytesPerCycle = Annotated[float, Quantity("B/cycle")]
Flop = Annotated[float, Quantity("FLOP")]
FlopPerSecond = Annotated[float, Quantity("FLOP/s")]
FlopPerCycle = Annotated[float, Quantity("FLOP/cycle")]
OpPerSecond = Annotated[float, Quantity("OP/s")]
OpPerCycle = Annotated[float, Quantity("OP/cycle")]
Hertz = Annotated[float, Quantity("Hz")]
Seconds = Annotated[float, Quantity("s", zero=True)]
Cycles = Annotated[float, Quantity("cycle", zero=True)]
Watts = Annotated[float, Quantity("W", zero=True)]
Joules = Annotated[float, Quantity("J", zero=True)]
JoulePerByte = Annotated[float, Quantity("J/B", zero=True)]
JoulePerOp = Annotated[float, Quantity("J/OP", zero=True)]
JoulePerFlop = Annotated[float, Quantity("J/FLOP", zero=True)]
UsdPerHour = Annotated[float, Quantity("USD/h", zero=True)]
SquareMetres = Annotated[float, Quantity("m^2")]

Size = Annotated[int, Whole(1)]
Count = Annotated[int, Whole(0)]
Share = Annotated[float, Between(0.0, 1.0)]
PositiveShare = Annotated[float, Between(0.0, 1.0, open_low=True)]
Factor = Annotated[float, Between(0.0, open_low=True)]


def quantity(unit: str, zero: bool = False) -> Any:
    """The field type of a quantity in `unit`, where no name above fits.

    In annotations that a type checker reads, write `Annotated[float, Quantity(unit)]` instead.
    """
    return Annotated[float, Quantity(unit, zero)]


def show(value: Any) -> str:
    """What the user wrote, short enough for one line of an error."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    text = " ".join((repr(value) if isinstance(value, str) else str(value)).split())
    return text if len(text) <= 60 else text[:57] + "..."
