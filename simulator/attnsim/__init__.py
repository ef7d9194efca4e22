"""attnsim: how fast an attention kernel can be on a machine, what stops it, and what it costs.

`attnsim.run(workload, arch)` answers; everything else is reachable from its Report. `recommend` chooses the parameters of a neighborhood
mask, `tune` the schedule; `sweep` answers many points as a DataFrame, `pareto` picks those that none dominates, `compare` sets two answers
side by side. Importing this package loads nothing but this file.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attnsim.api import run
    from attnsim.api.recommend import recommend
    from attnsim.evaluate.estimate import Report
    from attnsim.explore.compare.compare import compare
    from attnsim.explore.pareto.front import pareto
    from attnsim.explore.sweep import sweep
    from attnsim.explore.tune.tuning import tune

__version__ = "0.1.0"
__all__ = ["Report", "__version__", "compare", "pareto", "recommend", "run", "sweep", "tune"]

_HOMES = {
    "Report": "attnsim.api",
    "run": "attnsim.api",
    "recommend": "attnsim.api.recommend",
    "compare": "attnsim.explore.compare.compare",
    "pareto": "attnsim.explore.pareto.front",
    "sweep": "attnsim.explore.sweep",
    "tune": "attnsim.explore.tune.tuning",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'attnsim' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
