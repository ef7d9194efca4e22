"""Small cascades for the tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from attnsim.cascade.cascade import Cascade, load_cascade


def build(*body: str, inputs: dict[str, list[str]], **fields: Any) -> Cascade:
    """A cascade without batch ranks; its ranks are those of the inputs unless `ranks` says more."""
    ranks = fields.pop("ranks", None) or {rank: "" for shape in inputs.values() for rank in shape}
    base = {
        "attnsim": 1,
        "kind": "cascade",
        "name": "small",
        "ranks": ranks,
        "batch": [],
        "positions": [],
        "inputs": inputs,
        "body": list(body),
    }
    return load_cascade({**base, **fields})


@pytest.fixture(scope="session")
def small() -> Callable[..., Cascade]:
    return build
