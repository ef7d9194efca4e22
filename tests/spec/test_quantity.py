"""Field types: quantities need a unit, sizes are whole, shares lie in their limits; each refusal says what to write."""

import math
from typing import Annotated, Any

import pytest
from pydantic import TypeAdapter

from attnsim.errors import SpecError
from attnsim.spec import quantity as q
from attnsim.spec.base import Spec
from attnsim.spec.yaml import from_dict, validate
from attnsim.units import UNITS, example_quantity


class Box(Spec):
    bandwidth: q.BytesPerSecond = 1.0
    latency: q.Seconds = 0.0
    size: q.Size = 1
    count: q.Count = 0
    share: q.Share = 0.0
    factor: q.Factor = 1.0
    ratio: Annotated[float, q.Between(0.5, 2.0)] = 1.0


def refusal(field: str, value: Any) -> str:
    with pytest.raises(SpecError) as caught:
        validate(Box, from_dict({field: value}))
    (issue,) = caught.value.issues
    assert issue.path == field
    return issue.message


@pytest.mark.parametrize(
    ("field", "written", "value"),
    [
        ("bandwidth", "3.35 TB/s", 3.35e12),
        ("bandwidth", "400 Gb/s", 50e9),
        ("latency", "0 s", 0.0),
        ("latency", "2.4 us", 2.4e-6),
        ("size", 8192, 8192),
        ("size", 1e6, 1000000),
        ("size", 2**70, 2**70),
        ("count", 0, 0),
        ("share", 0, 0.0),
        ("share", 1, 1.0),
        ("share", 0.95, 0.95),
        ("factor", 1e-9, 1e-9),
        ("factor", 1e9, 1e9),
        ("ratio", 2, 2.0),
    ],
)
def test_what_is_accepted(field: str, written: Any, value: float) -> None:
    got = getattr(validate(Box, from_dict({field: written})), field)
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    ("field", "written", "message"),
    [
        ("bandwidth", 3.35e12, "'3350000000000' has no unit; write for example '3.35 TB/s'"),
        ("bandwidth", 3.35, "'3.35' has no unit; write for example '3.35 TB/s'"),
        ("bandwidth", 1e30, "'1e30' has no unit; write for example '1000000000000 EB/s'"),
        ("bandwidth", "3.35 TBs", "cannot read '3.35 TBs' as B/s; write for example '3.35 TB/s'"),
        ("bandwidth", "0 B/s", "must be more than 0 B/s, not '0 B/s'"),
        ("bandwidth", "-1 TB/s", "must be more than 0 B/s, not '-1 TB/s'"),
        ("latency", "-1 us", "must be at least 0 s, not '-1 us'"),
        ("bandwidth", True, "must be a quantity in B/s such as '1.5 TB/s', not true"),
        ("bandwidth", None, "must be a quantity in B/s such as '1.5 TB/s', not nothing"),
        ("bandwidth", [1], "must be a quantity in B/s such as '1.5 TB/s', not a list"),
        ("bandwidth", {"value": 1}, "must be a quantity in B/s such as '1.5 TB/s', not a mapping"),
        ("bandwidth", math.nan, "must be a quantity in B/s such as '1.5 TB/s', not nan"),
        ("bandwidth", math.inf, "must be a quantity in B/s such as '1.5 TB/s', not inf"),
        ("size", 0, "must be a whole number of at least 1, not 0"),
        ("size", -128, "must be a whole number of at least 1, not -128"),
        ("size", 1.5, "must be a whole number of at least 1, not 1.5"),
        ("size", True, "must be a whole number of at least 1, not true"),
        ("size", "8", "must be a whole number of at least 1, not '8'"),
        ("size", None, "must be a whole number of at least 1, not nothing"),
        ("size", math.nan, "must be a whole number of at least 1, not nan"),
        ("size", math.inf, "must be a whole number of at least 1, not inf"),
        ("count", -1, "must be a whole number of at least 0, not -1"),
        ("share", 1.01, "must be a number of at least 0 and at most 1, not 1.01"),
        ("share", -0.1, "must be a number of at least 0 and at most 1, not -0.1"),
        ("share", "0.5", "must be a number of at least 0 and at most 1, not '0.5'"),
        ("share", True, "must be a number of at least 0 and at most 1, not true"),
        ("share", math.nan, "must be a number of at least 0 and at most 1, not nan"),
        ("factor", 0, "must be a number of more than 0, not 0"),
        ("factor", math.inf, "must be a number of more than 0, not inf"),
        ("factor", [1.0], "must be a number of more than 0, not a list"),
        ("factor", 10**400, f"must be a number of more than 0, not 1{'0' * 56}..."),
        ("bandwidth", 10**400, f"'1{'0' * 56}...' has no unit; write for example '1{'0' * 400} TB/s'"),
        ("ratio", 2.5, "must be a number of at least 0.5 and at most 2, not 2.5"),
    ],
)
def test_what_is_refused_and_what_is_said(field: str, written: Any, message: str) -> None:
    assert refusal(field, written) == message


def test_numpy_numbers_are_numbers() -> None:
    numpy = pytest.importorskip("numpy")
    box = validate(Box, from_dict({"size": numpy.int64(8), "share": numpy.float64(0.5)}))
    assert (box.size, type(box.size), box.share) == (8, int, 0.5)
    assert refusal("size", numpy.bool_(True)) == "must be a whole number of at least 1, not True"


@pytest.mark.parametrize("unit", UNITS)
def test_every_unit_makes_a_field_type(unit: str) -> None:
    adapter: TypeAdapter[float] = TypeAdapter(q.quantity(unit))
    assert adapter.validate_python(example_quantity(unit)) > 0
    schema = adapter.json_schema()
    assert schema["type"] == "string"
    assert unit in schema["description"]
    assert [adapter.validate_python(example) > 0 for example in schema["examples"]] == [True]


def test_schemas_of_plain_numbers_carry_their_limits() -> None:
    fields = Box.model_json_schema()["properties"]
    assert fields["size"] == {"type": "integer", "minimum": 1, "default": 1, "title": "Size"}
    assert fields["share"] == {"type": "number", "minimum": 0.0, "maximum": 1.0, "default": 0.0, "title": "Share"}
    assert fields["factor"] == {"type": "number", "exclusiveMinimum": 0.0, "default": 1.0, "title": "Factor"}


def test_named_types_have_the_unit_of_their_name() -> None:
    notes = {name: kind.__metadata__[0] for name, kind in vars(q).items() if hasattr(kind, "__metadata__")}
    units = {name: note.unit for name, note in notes.items() if isinstance(note, q.Quantity)}
    assert units == {
        "Bytes": "B",
        "BytesPerSecond": "B/s",
        "BytesPerCycle": "B/cycle",
        "Flop": "FLOP",
        "FlopPerSecond": "FLOP/s",
        "FlopPerCycle": "FLOP/cycle",
        "OpPerSecond": "OP/s",
        "OpPerCycle": "OP/cycle",
        "Hertz": "Hz",
        "Seconds": "s",
        "Cycles": "cycle",
        "Watts": "W",
        "Joules": "J",
        "JoulePerByte": "J/B",
        "JoulePerOp": "J/OP",
        "JoulePerFlop": "J/FLOP",
        "UsdPerHour": "USD/h",
        "SquareMetres": "m^2",
    }
