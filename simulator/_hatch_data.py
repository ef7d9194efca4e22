"""Build hook: put the data folders of the repository into `attnsim/data/` of a standard wheel."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

DATA = ("arch_specs", "workloads", "validation", "schema")


class DataHook(BuildHookInterface[Any]):
    """Editable installs are left alone: they read the checkout itself, where an edit counts at once."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add each folder of `DATA`; a missing one stops the build (hatchling names it)."""
        if version != "standard":
            return
        for folder in DATA:
            build_data["force_include"][str(Path(self.root) / folder)] = f"attnsim/data/{folder}"
