"""Quantities: every prefix of every unit, bits against bytes, and what is refused."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnsim.units import UNITS, UnitError, example_quantity, format_quantity, parse_quantity

# Written out by hand, not computed: a wrong power of ten in the code must not be able to hide in the test.
LARGE = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
SMALL = {"": 1.0, "m": 1e-3, "u": 1e-6, "µ": 1e-6, "μ": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15}
BINARY = {"Ki": 1024.0, "Mi": 1048576.0, "Gi": 1073741824.0, "Ti": 1099511627776.0}
AREA = {"": 1.0, "m": 1e-6, "u": 1e-12, "µ": 1e-12, "μ": 1e-12, "n": 1e-18, "p": 1e-24, "f": 1e-30}

# (canonical unit, what follows the prefix, value of one of it, prefixes it takes)
FAMILIES = [
    ("B", "B", 1.0, LARGE | BINARY),
    ("B", "b", 0.125, LARGE | BINARY),
    ("B", "bit", 0.125, LARGE | BINARY),
    ("B/s", "B/s", 1.0, LARGE | BINARY),
    ("B/s", "b/s", 0.125, LARGE | BINARY),
    ("B/s", "bit/s", 0.125, LARGE | BINARY),
    ("B/cycle", "B/cycle", 1.0, LARGE | BINARY),
    ("B/cycle", "b/cycle", 0.125, LARGE | BINARY),
    ("FLOP", "FLOP", 1.0, LARGE),
    ("FLOP/s", "FLOP/s", 1.0, LARGE),
    ("FLOP/cycle", "FLOP/cycle", 1.0, LARGE),
    ("OP", "OP", 1.0, LARGE),
    ("OP/s", "OP/s", 1.0, LARGE),
    ("OP/cycle", "OP/cycle", 1.0, LARGE),
    ("Hz", "Hz", 1.0, LARGE),
    ("s", "s", 1.0, SMALL),
    ("J", "J", 1.0, LARGE | SMALL),
    ("J/B", "J/B", 1.0, LARGE | SMALL),
    ("J/B", "J/bit", 8.0, LARGE | SMALL),
    ("J/B", "J/b", 8.0, LARGE | SMALL),
    ("J/OP", "J/OP", 1.0, LARGE | SMALL),
    ("J/FLOP", "J/FLOP", 1.0, LARGE | SMALL),
    ("W", "W", 1.0, LARGE | SMALL),
    ("cycle", "cycle", 1.0, LARGE),
    ("m^2", "m^2", 1.0, AREA),
    ("USD", "USD", 1.0, {"": 1.0}),
    ("USD/h", "USD/h", 1.0, {"": 1.0}),
]
ALL_PREFIXES = ["", *"kMGTPEmuµμnpf", *BINARY, "K", "c", "d", "da", "Pi"]


@pytest.mark.parametrize(("unit", "tail", "one", "prefixes"), FAMILIES)
@pytest.mark.parametrize("prefix", ALL_PREFIXES)
def test_every_prefix_of_every_unit(unit: str, tail: str, one: float, prefixes: dict[str, float], prefix: str) -> None:
    text = f"3 {prefix}{tail}"
    if prefix in prefixes:
        assert math.isclose(parse_quantity(text, unit), 3 * one * prefixes[prefix], rel_tol=1e-15)
    else:
        with pytest.raises(UnitError, match="write for example"):
            parse_quantity(text, unit)


def test_the_table_above_covers_every_unit() -> None:
    assert {unit for unit, *_ in FAMILIES} == set(UNITS)


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("3.35 TB/s", "B/s", 3.35e12),
        ("400 Gb/s", "B/s", 50e9),
        ("50 MiB", "B", 52428800.0),
        ("80 GB", "B", 80e9),
        ("16 OP/cycle", "OP/cycle", 16.0),
        ("7 pJ/bit", "J/B", 56e-12),
        ("1.98 GHz", "Hz", 1.98e9),
        ("2.4 us", "s", 2.4e-6),
        ("700 W", "W", 700.0),
        ("989 TFLOP/s", "FLOP/s", 989e12),
        ("800 cycle", "cycle", 800.0),
        ("800 cycles", "cycle", 800.0),
        ("814 mm^2", "m^2", 814e-6),
        ("2 h", "s", 7200.0),
        ("3 min", "s", 180.0),
        ("1 USD/min", "USD/h", 60.0),
        ("1 B/ns", "B/s", 1e9),
        ("1.5e3 GB", "B", 1.5e12),
        ("  4  kB / s ", "B/s", 4e3),
        ("3.35TB/s", "B/s", 3.35e12),
        ("-5 ms", "s", -5e-3),
        (".5 ms", "s", 5e-4),
        ("1. ms", "s", 1e-3),
        ("0 s", "s", 0.0),
    ],
)
def test_what_people_write(text: str, unit: str, value: float) -> None:
    assert parse_quantity(text, unit) == value  # exactly: a decimal prefix goes into the exponent before the one rounding


def test_bits_are_not_bytes() -> None:
    assert parse_quantity("8 Gb", "B") == parse_quantity("1 GB", "B")
    assert parse_quantity("8 pJ/B", "J/B") == parse_quantity("1 pJ/b", "J/B")


@pytest.mark.parametrize(
    ("text", "unit", "message"),
    [
        ("3.35 TBs", "B/s", "cannot read '3.35 TBs' as B/s; write for example '3.35 TB/s'"),
        ("900 GBps", "B/s", "cannot read '900 GBps' as B/s; write for example '900 GB/s'"),
        ("989 TFLOPS", "FLOP/s", "cannot read '989 TFLOPS' as FLOP/s; write for example '989 TFLOP/s'"),
        ("3.35 TB", "B/s", "cannot read '3.35 TB' as B/s; write for example '3.35 TB/s'"),
        ("3.35", "B/s", "'3.35' has no unit; write for example '3.35 TB/s'"),
        ("3.35e12", "B/s", "'3.35e12' has no unit; write for example '3.35 TB/s'"),
        ("50 KB", "B", "cannot read '50 KB' as B ('KB' could be 'kB', 1000, or 'KiB', 1024); write for example '50 kB'"),
        ("5 mB", "B", "cannot read '5 mB' as B; write for example '5 GB'"),
        ("2 TOP/s", "FLOP/s", "cannot read '2 TOP/s' as FLOP/s; write for example '2 TFLOP/s'"),
        ("fast", "s", "cannot read 'fast' as s; write for example '1.5 us'"),
        ("", "s", "cannot read '' as s; write for example '1.5 us'"),
        ("inf s", "s", "cannot read 'inf s' as s; write for example '1.5 us'"),
        ("nan s", "s", "cannot read 'nan s' as s; write for example '1.5 us'"),
        ("1e999 s", "s", "'1e999 s' is too large for a number"),
        ("1 2 s", "s", "cannot read '1 2 s' as s; write for example '1 us'"),
        ("1_000 B", "B", "cannot read '1_000 B' as B; write for example '1 GB'"),
        ("1 GB\n", "s", "cannot read '1 GB' as s; write for example '1 us'"),
        ("1 " + "x" * 100, "s", f"cannot read '1 {'x' * 55}...' as s; write for example '1 us'"),
    ],
)
def test_a_refusal_is_one_line_that_says_what_to_write(text: str, unit: str, message: str) -> None:
    with pytest.raises(UnitError) as caught:
        parse_quantity(text, unit)
    assert str(caught.value) == message


def test_an_unknown_unit_is_named() -> None:
    with pytest.raises(UnitError, match="unknown unit 'furlong'; the units are B, B/s"):
        parse_quantity("1 furlong", "furlong")
    with pytest.raises(UnitError, match="unknown unit 'TB/s'"):
        format_quantity(1.0, "TB/s")


@pytest.mark.parametrize("unit", UNITS)
def test_the_examples_in_messages_are_right(unit: str) -> None:
    assert parse_quantity(example_quantity(unit), unit) > 0


@pytest.mark.parametrize(
    ("value", "unit", "digits", "text"),
    [
        (1.02e-3, "s", 3, "1.02 ms"),
        (3.35e12, "B/s", 3, "3.35 TB/s"),
        (5.5e11, "FLOP", 3, "550 GFLOP"),
        (80e9, "B", 3, "80.0 GB"),
        (999.6e-6, "s", 3, "1.00 ms"),
        (999.4e-6, "s", 3, "999 us"),
        (999.6e-6, "s", 4, "999.6 us"),
        (123.4, "W", 2, "123 W"),
        (3600.0, "s", 3, "3600 s"),
        (12345.0, "s", 3, "12345 s"),
        (0.0, "s", 3, "0 s"),
        (-5e-3, "s", 3, "-5.00 ms"),
        (7e-12, "J/B", 3, "7.00 pJ/B"),
        (8.14e-4, "m^2", 3, "814 mm^2"),
        (3.5, "USD/h", 3, "3.50 USD/h"),
        (0.0034, "USD", 3, "0.00340 USD"),
        (1e-20, "J", 3, "1.00e-05 fJ"),
        (2e33, "B", 2, "2.0e+15 EB"),
        (math.inf, "s", 3, "inf s"),
    ],
)
def test_format(value: float, unit: str, digits: int, text: str) -> None:
    assert format_quantity(value, unit, digits) == text


FINITE = st.floats(min_value=1e-18, max_value=1e30, allow_nan=False, allow_infinity=False)


@given(FINITE, st.sampled_from([-1.0, 1.0]), st.sampled_from(UNITS), st.integers(1, 15))
def test_what_is_formatted_reads_back(size: float, sign: float, unit: str, digits: int) -> None:
    value = sign * size
    text = format_quantity(value, unit, digits)
    assert math.isclose(parse_quantity(text, unit), value, rel_tol=0.5001 * 10.0 ** (1 - digits))


@given(FINITE, st.sampled_from(UNITS))
def test_seventeen_digits_lose_nothing_worth_a_name(value: float, unit: str) -> None:
    assert math.isclose(parse_quantity(format_quantity(value, unit, 17), unit), value, rel_tol=5e-16)


@given(st.text(max_size=30), st.sampled_from(UNITS))
def test_any_text_gives_a_finite_number_or_a_unit_error(text: str, unit: str) -> None:
    try:
        assert math.isfinite(parse_quantity(text, unit))
    except UnitError as error:
        assert str(error)
