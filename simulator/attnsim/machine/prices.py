"""Price profiles: what an hour of a machine costs according to one named source."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from attnsim.errors import MissingDataError, SpecError, suggest
from attnsim.spec import library
from attnsim.spec.prices import PricesSpec, ProfileSpec, check_prices, fold
from attnsim.spec.scan import Loc
from attnsim.spec.yaml import Document, validate


@dataclass(frozen=True, slots=True)
class PriceProfile:
    """Prices of one source. `prices`: library name of a machine (or the name of one the library lacks) -> price of an hour in `unit`."""

    name: str
    title: str
    source: str
    date: str
    unit: Literal["USD/h", "relative"]
    prices: Mapping[str, float]
    note: str = ""
    file: str = field(default="", compare=False)

    def price(self, machine: str) -> float:
        """Price of an hour of `machine` (a library name or alias) in `unit`; raises MissingDataError when the profile has none."""
        by_name = {fold(key): value for key, value in self.prices.items()}
        found = by_name.get(fold(machine))
        name = None if found is not None else known_machines().get(fold(machine))  # looking for aliases reads every machine's header
        if name is not None:
            found = by_name.get(fold(name))
        if found is None:
            hint = "" if name else suggest(machine, self.prices)  # a machine that exists is no slip
            raise MissingDataError(f"price profile '{self.name}' has no price for '{machine}'{hint}; it has {', '.join(self.prices)}")
        return found

    def usd_per_hour(self, machine: str) -> float:
        """USD for an hour of one `machine`, a library name or alias.

        Raises MissingDataError when the profile has no price for it, or only relative ones.
        """
        found = self.price(machine)
        if self.unit != "USD/h":
            raise MissingDataError(
                f"price profile '{self.name}' gives relative prices, not USD; choose one of {', '.join(_in_usd()) or 'your own'}"
            )
        return found

    def usd_per_second(self, machine: str) -> float:
        """As `usd_per_hour`, for a second."""
        return self.usd_per_hour(machine) / 3600.0


def load_prices(ref: str | Path, doc: Document | None = None, loc: Loc = ()) -> PriceProfile:
    """The profile called `ref`, or the only profile of the price list at the path `ref`.

    `doc` and `loc` say where `ref` was written, so that an unknown name is reported there. Raises SpecError for an unknown profile (with
    the known ones) and for everything wrong in a price list.
    """
    text = str(ref)
    if os.sep in text or text.endswith((".yaml", ".yml", ".json")):
        found = build_prices(library.load("prices", ref, doc=doc, loc=loc))
        if len(found) == 1:
            return found[0]
        message = f"'{text}' holds {len(found)} profiles: {', '.join(one.name for one in found)}; give a file with one"
    else:
        profiles = price_profiles()
        known = {fold(profile.name): profile for profile in reversed(profiles)}
        if (profile := known.get(fold(text))) is not None:
            return profile
        names = [profile.name for profile in profiles]
        message = f"unknown price profile '{text}'{suggest(text, names)}; there are {', '.join(names) or 'none'}"
    raise SpecError(message if doc is None else doc.issue(loc, message))


def price_profiles() -> tuple[PriceProfile, ...]:
    """Every profile of the library, those of the user's own folders first. Raises SpecError for everything wrong in a price list."""
    files = sorted(library.entries("prices"), key=lambda entry: entry.origin in ("checkout", "package"))
    found: dict[str, PriceProfile] = {}
    for entry in files:
        for profile in build_prices(library.load("prices", entry.path)):
            found.setdefault(fold(profile.name), profile)
    return tuple(found.values())


_built: dict[str, tuple[str, tuple[PriceProfile, ...]]] = {}


def build_prices(document: Document) -> tuple[PriceProfile, ...]:
    """The profiles of one price list. Raises SpecError with every issue found."""
    sha256, profiles = _built.get(document.file, ("", ()))
    if sha256 != document.sha256:
        spec = validate(PricesSpec, document)
        known = known_machines()
        issues = check_prices(spec, document, known)
        if issues:
            raise SpecError(issues)
        profiles = tuple(_profile(name, entry, known, document.file) for name, entry in spec.profiles.items())
        _built[document.file] = document.sha256, profiles
    return profiles


def known_machines() -> dict[str, str]:
    """Folded name or alias -> name of every machine of the library."""
    return {fold(word): entry.name for entry in library.entries("arch") for word in (entry.name, *entry.aliases)}


def _profile(name: str, entry: ProfileSpec, known: Mapping[str, str], file: str) -> PriceProfile:
    prices = {known[fold(machine)]: entry.value(price) for machine, price in entry.machines.items()}
    prices |= {machine: entry.value(price) for machine, price in entry.elsewhere.items()}
    return PriceProfile(name, entry.title, entry.source, entry.date, entry.unit, prices, entry.note, file)


def _in_usd() -> list[str]:
    return [profile.name for profile in price_profiles() if profile.unit == "USD/h"]
