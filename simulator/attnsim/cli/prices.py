"""`attnsim prices`: what a price profile makes of memory, bandwidth and FLOP/s."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from attnsim.cli.common import FORMATS, check_writable, cli_command, deliver, format_option, output_option, pick_format

if TYPE_CHECKING:
    from attnsim.machine.prices import PriceProfile
    from attnsim.machine.value import Value


@cli_command("prices", "attnsim prices stepfun-2025", "attnsim prices megascale-rel --dtype fp8 --format csv")
@click.argument("profile")
@click.option("--dtype", default="bf16", metavar="DTYPE", help="Precision of the FLOP/s.")
@format_option(*FORMATS)
@output_option
def command(profile: str, dtype: str, format_: str | None, output: str | None) -> None:
    """What a unit of price buys of each machine of a price profile.

    Memory, bandwidth and dense FLOP/s, over the price of an hour. PROFILE: a name (attnsim list prices) or the path of a price list
    with one profile. Machines that cannot compute in DTYPE are left out.
    """
    check_writable(output)
    from attnsim.machine.prices import load_prices
    from attnsim.machine.value import values

    prices = load_prices(profile)
    found = values(prices, dtype)
    format_ = pick_format(format_, output)
    if format_ == "json":
        from attnsim.report.export import to_json

        head = {"prices": prices.name, "source": prices.source, "date": prices.date, "unit": prices.unit}
        deliver(to_json({"schema": 1, **head, "machines": [asdict(one) for one in found]}), output)
    elif format_ == "csv":
        from attnsim.report.export import to_csv

        deliver(to_csv([asdict(one) for one in found], first=("machine", "price", "dtype")), output)
    else:
        deliver(_text(prices, found, dtype), output)


def _text(prices: PriceProfile, found: list[Value], dtype: str) -> str:
    from attnsim.report.text import table
    from attnsim.units import format_quantity

    unit = "USD/h" if prices.unit == "USD/h" else "price"
    rows = [
        [
            one.machine,
            f"{one.price:.4g}",
            format_quantity(one.capacity_bytes, "B"),
            format_quantity(one.bandwidth, "B/s"),
            format_quantity(one.flops, "FLOP/s"),
        ]
        for one in found
    ]
    header = ["machine", f"price ({prices.unit})", f"memory per {unit}", f"bandwidth per {unit}", f"{dtype} per {unit}"]
    return f"{prices.name}: {prices.title}, {prices.date}; {prices.source}\n{table(header, rows)}\n"
