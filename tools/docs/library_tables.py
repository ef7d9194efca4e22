"""Tables of what the library holds, made from its files."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import readme_tables

from attnsim.spec import library


def _cell(text: object) -> str:
    return str(text).replace("|", "\\|").replace("\n", " ")


def cascades() -> str:
    """One row a cascade: passes over the keys, ranks, what it is and where it is from."""
    from attnsim.cascade.cascade import load_cascade
    from attnsim.evaluate.accounts import reported_passes

    rows = []
    for entry in library.entries("cascade"):
        cascade = load_cascade(entry.name)
        passes = ", ".join(f"{count} over {rank}" for rank, count in reported_passes(cascade).items())
        ranks = ", ".join(f"{rank} {meaning}" for rank, meaning in cascade.spec.ranks.items())
        rows.append([f"`{entry.name}`", _cell(entry.title), passes or "-", _cell(ranks), _cell(cascade.spec.source or "-")])
    return readme_tables.markdown(["Name", "What it is", "Passes", "Ranks", "Source"], rows)


def models() -> str:
    """One row a model: layers, width, attention, experts, source."""
    rows = []
    for entry in library.entries("model"):
        data = library.load("model", entry.name).data
        kinds = ", ".join(dict.fromkeys(str(part["kind"]) for part in data["attention"].values()))
        experts = ", ".join(f"{part['experts']}, {part['top_k']} chosen" for part in data["ffn"].values() if part["kind"] == "moe")
        layers = sum(int(group["count"]) for group in data["layers"])
        rows.append(
            [f"`{entry.name}`", _cell(entry.title), str(layers), str(data["hidden"]), kinds, experts or "dense", str(data["weights"]),
             str(data["kv"]), _cell(data["source"])]
        )  # fmt: skip
    return readme_tables.markdown(["Name", "Model", "Layers", "Width", "Attention", "Experts", "Weights", "Cache", "Source"], rows)


def workloads() -> str:
    """One row an example."""
    rows = []
    for entry in library.entries("workload"):
        data = library.load("workload", entry.name).data
        what = data.get("cascade") or data.get("model") or "several"
        rows.append([f"`{entry.name}`", str(data["kind"]), f"`{what}`" if isinstance(what, str) else "inline", _cell(entry.title)])
    return readme_tables.markdown(["Name", "Kind", "Cascade or model", "What it asks"], rows)


def prices() -> str:
    """One row a price profile."""
    from attnsim.machine.prices import load_prices
    from attnsim.spec.library import load

    rows = []
    for name, profile in load("prices", "prices").data["profiles"].items():
        load_prices(name)  # a profile of the table is one that answers
        listed = ", ".join(f"`{machine}` {price}" for machine, price in profile["machines"].items())
        rows.append([f"`{name}`", _cell(profile["title"]), str(profile["date"]), listed, _cell(profile["source"])])
    return readme_tables.markdown(["Name", "Profile", "Date", "Prices", "Source"], rows)


def sweeps() -> str:
    """One row a sweep file."""
    return readme_tables.markdown(
        ["Name", "What it sweeps"], [[f"`{entry.name}`", _cell(entry.title)] for entry in library.entries("sweep")]
    )


TABLES: Mapping[str, Callable[[], str]] = {
    "machines": readme_tables.archs,
    "arrays": readme_tables.arrays,
    "schedules": readme_tables.schedules,
    "cascades": cascades,
    "models": models,
    "workloads": workloads,
    "prices": prices,
    "sweeps": sweeps,
}
