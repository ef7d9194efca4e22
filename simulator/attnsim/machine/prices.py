"""TEMP"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Prices:
    name: str
    usd: dict

    def usd_per_hour(self, m):
        return self.usd[m]


def load_prices(name, doc=None, loc=()):
    return Prices(name, {"h800": 2.0, "h20": 0.8, "a800": 0.75, "ascend_910b": 0.67, "l20": 1.0})
