"""Price profiles: what the papers print, how they are found, and one line for what is not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from attnsim.errors import InfeasibleError, MissingDataError, SpecError
from attnsim.machine import load_machine
from attnsim.machine.machine import Machine
from attnsim.machine.prices import load_prices, price_profiles
from attnsim.machine.value import value, values
from attnsim.spec import library
from attnsim.spec.yaml import from_dict

LIST = """\
attnsim: 1
kind: prices
name: mine
profiles:
  ours:
    title: our cluster
    source: accounting
    date: 2026-11
    unit: USD/h
    machines: {h100: 1.5 USD/h}
"""


@pytest.mark.parametrize(
    ("profile", "machine", "usd"),
    [
        ("stepfun-2025", "h800", 2.0),
        ("stepfun-2025", "h20", 0.8),
        ("stepfun-2025", "a800", 0.75),
        ("stepfun-2025", "ascend_910b", 0.67),
        ("stepfun-2025", "910B", 0.67),
        ("lamina-2025", "h100_sxm", 11.06),
        ("Lamina_2025", "H100", 11.06),
        ("lamina-2025", "h20", 4.63),
        ("lamina-2025", "TPU-v6e", 2.70),
        ("deepseek-2025", "h800", 2.0),
        ("list-2026-09", "h100", 3.49),
        ("list-2026-09", "b200", 6.79),
    ],
)
def test_published_prices(profile: str, machine: str, usd: float) -> None:
    found = load_prices(profile)
    assert found.usd_per_hour(machine) == usd
    assert found.usd_per_second(machine) == pytest.approx(usd / 3600)
    assert found.price(machine) == usd


def test_relative_prices() -> None:
    """arXiv 2504.02263, Table 3."""
    profile = load_prices("megascale-rel")
    assert {name: profile.price(name) for name in ("l20", "h800", "a800", "h20", "l40s")} == {
        "l20": 1.0, "h800": 5.28, "a800": 2.26, "h20": 1.85, "l40s": 1.08,
    }  # fmt: skip
    with pytest.raises(MissingDataError, match=r"^price profile 'megascale-rel' gives relative prices, not USD; choose one of stepfun"):
        profile.usd_per_hour("h800")


@pytest.mark.parametrize(
    ("name", "bandwidth", "gigabytes", "gigabytes_per_s", "tflops"),
    [
        ("l20", None, 48.0, 864.0, 119.5), ("h800", "3430.4 GB/s", 15.2, 649.7, 187.3), ("a800", None, 35.4, 902.2, 138.1),
        ("h20", "4096 GB/s", 51.9, 2214.1, 80.0), ("l40s", None, 44.4, 800.0, 335.2),
    ],
)  # fmt: skip
def test_what_a_relative_price_buys(name: str, bandwidth: str | None, gigabytes: float, gigabytes_per_s: float, tflops: float) -> None:
    """arXiv 2504.02263, Table 3: its 15 cells follow from its prices; two bandwidths are other than those the library has a source for."""
    machine = load_machine(name, sets=[f"levels.hbm.bandwidth={bandwidth}"] if bandwidth else [])
    assert isinstance(machine, Machine)
    found = value(machine, load_prices("megascale-rel"))
    assert found.capacity_bytes / 1e9 == pytest.approx(gigabytes, abs=0.05)
    assert found.bandwidth / 1e9 == pytest.approx(gigabytes_per_s, abs=0.05)
    assert found.flops / 1e12 == pytest.approx(tflops, abs=0.06)


def test_what_a_price_buys_of_every_machine() -> None:
    found = values(load_prices("stepfun-2025"))
    assert [one.machine for one in found] == ["h800", "ascend_910b", "a800", "h20"]
    assert [one.machine for one in values(load_prices("stepfun-2025"), "fp8")] == ["h800", "h20"]
    with pytest.raises(InfeasibleError, match=r"^no machine of price profile 'stepfun-2025' computes in int4; they compute in bf16, "):
        values(load_prices("stepfun-2025"), "int4")


def test_step3_unit_costs_follow() -> None:
    """arXiv 2507.19427, Table 5: USD per FLOP and per byte, as printed (H800's 2.80e-19 is cut off, not rounded)."""
    profile = load_prices("stepfun-2025")
    for name, dtype, per_flop, per_byte in (
        ("h800", "fp8", 2.81e-19, 1.66e-16), ("h20", "fp8", 7.51e-19, 5.56e-17), ("a800", "bf16", 6.68e-19, 1.04e-16),
        ("ascend_910b", "bf16", 6.65e-19, 1.16e-16),
    ):  # fmt: skip
        machine = load_machine(name, sets=["levels.hbm.bandwidth={value: 2000 GB/s, source: step3}"] if name == "a800" else [])
        assert isinstance(machine, Machine)
        assert profile.usd_per_second(name) / machine.published_peak[dtype] == pytest.approx(per_flop, rel=0.002)
        assert profile.usd_per_second(name) / machine.memory.bandwidth == pytest.approx(per_byte, rel=0.003)


def test_lamina_equal_cost_configurations() -> None:
    """arXiv 2405.01814, Table 5: DOP(1,2) and DOP(2,4) of H100 and H20 beside 2 and 4 H100."""
    profile = load_prices("lamina-2025")
    h100, h20 = profile.usd_per_hour("h100"), profile.usd_per_hour("h20")
    assert [round(value, 2) for value in (h100 + 2 * h20, 2 * h100, 2 * h100 + 4 * h20, 4 * h100)] == [20.32, 22.12, 40.64, 44.24]


def test_every_profile_says_where_it_comes_from() -> None:
    profiles = price_profiles()
    assert {profile.name for profile in profiles} >= {"stepfun-2025", "lamina-2025", "megascale-rel", "deepseek-2025"}
    machines = {entry.name for entry in library.entries("arch")}
    for profile in profiles:
        assert profile.source and profile.title and profile.date[:2] == "20" and Path(profile.file).is_file()
        assert set(profile.prices) - machines <= {"tpu_v6e"}


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: load_prices("stepfun"), "unknown price profile 'stepfun'; did you mean 'stepfun-2025'?; there are stepfun-2025, l"),
        (lambda: load_prices("zzz"), "unknown price profile 'zzz'; there are stepfun-2025, "),
        (
            lambda: load_prices("stepfun-2025").usd_per_hour("h100"),
            "profile 'stepfun-2025' has no price for 'h100'; it has h800, h20",
        ),
        (lambda: load_prices("stepfun-2025").usd_per_hour("h80"), "no price for 'h80'; did you mean 'h800'?; it has"),
    ],
)
def test_what_is_not_there(ask: Any, message: str) -> None:
    with pytest.raises((SpecError, MissingDataError)) as caught:
        ask()
    assert message in str(caught.value) and len(str(caught.value).splitlines()) == 1


def test_an_unknown_profile_is_reported_where_it_was_written() -> None:
    document = from_dict({"prices": "lamina"}, "question.yaml")
    with pytest.raises(SpecError, match=r"^question.yaml: prices: unknown price profile 'lamina'; did you mean 'lamina-2025'\?"):
        load_prices("lamina", document, ("prices",))


def test_profiles_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.yaml").write_text(LIST)
    assert load_prices(tmp_path / "mine.yaml").usd_per_hour("h100_sxm") == 1.5
    monkeypatch.setenv("ATTNSIM_PATH", str(tmp_path))
    assert load_prices("ours").usd_per_hour("h100") == 1.5
    assert load_prices("lamina-2025").usd_per_hour("h100") == 11.06
    (tmp_path / "mine.yaml").write_text(LIST.replace("ours:", "lamina-2025:"))
    assert load_prices("lamina-2025").usd_per_hour("h100") == 1.5  # the user's own wins


def test_a_path_must_hold_one_profile() -> None:
    path = next(entry.path for entry in library.entries("prices"))
    with pytest.raises(SpecError, match="holds 5 profiles: stepfun-2025, .*; give a file with one"):
        load_prices(path)


@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        (
            "h100: 1.5 USD/h",
            "h10: 1.5 USD/h",
            "10:16: profiles.ours.machines.h10",
            "no machine 'h10'; did you mean 'h100'?; put others",
        ),
        ("h100: 1.5 USD/h", "h100: 1.5 USD/h, h100_sxm: 2 USD/h", "10:", "is h100_sxm, which 'h100' has priced already"),
        ("h100: 1.5 USD/h", "h100: 1.5", "10:16: profiles.ours.machines.h100", "write the unit: 1.5 USD/h"),
        ("h100: 1.5 USD/h", "h100: 1.5 EUR/h", "10:16", "1.5 EUR/h"),
        ("h100: 1.5 USD/h", "h100: 0 USD/h", "10:16", "more than 0"),
        ("h100: 1.5 USD/h", "", "10:", "at least one price is needed"),
        ("unit: USD/h", "unit: relative", "10:16", "relative: a bare number"),
        ("unit: USD/h", "unit: EUR/h", "9:", "unit"),
        ("    source: accounting\n", "", "5:", "source"),
    ],
)
def test_mistakes_in_a_price_list(old: str, new: str, place: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(LIST.replace(old, new))
    with pytest.raises(SpecError) as caught:
        load_prices(path)
    (issue,) = caught.value.issues
    assert str(issue).replace(f"{tmp_path}/mine.yaml:", "").startswith(place) and words in str(issue), str(issue)


def test_a_price_list_is_no_machine_and_a_machine_no_price_list() -> None:
    prices, h100 = library.find("prices", "prices").path, library.find("arch", "h100_sxm").path
    with pytest.raises(SpecError, match="this is a price list, but an arch is needed here"):
        load_machine(prices)
    with pytest.raises(SpecError, match="this is an arch, but a price list is needed here: kind 'prices', not 'gpu'"):
        load_prices(h100)
