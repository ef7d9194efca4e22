"""An answer as one row of a table: nested entries under dotted names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def flatten(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one level with dotted names (`bytes.hbm`); a list becomes one cell: its scalars joined by `;`, else JSON."""
    row: dict[str, Any] = {}
    for key in sorted(data):
        value = data[key]
        if isinstance(value, Mapping):
            row.update(flatten(value, f"{prefix}{key}."))
        elif isinstance(value, list | tuple):
            plain = all(not isinstance(item, Mapping | list | tuple) for item in value)
            row[prefix + key] = ";".join(str(item) for item in value) if plain else json.dumps(value, sort_keys=True, allow_nan=False)
        else:
            row[prefix + key] = value
    return row
