"""attnsim: how fast an attention kernel can be on a machine, what stops it, and what it costs.

`attnsim.run(workload, arch)` answers; everything else is reachable from its Report. `attnsim.recommend(workload, arch)` chooses the
parameters of a neighborhood mask; `attnsim.sweep(workload, arch, vary={...})` answers many points as a DataFrame.

Importing this package loads nothing but this file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attnsim.api import run
    from attnsim.api.recommend import recommend
    from attnsim.evaluate.estimate import Report
    from attnsim.explore.sweep import sweep

__version__ = "0.1.0"
__all__ = ["Report", "__version__", "recommend", "run", "sweep"]


def __getattr__(name: str) -> Any:
    if name in ("Report", "run"):
        from attnsim import api

        return getattr(api, name)
    if name == "recommend":
        from attnsim.api import recommend

        return recommend.recommend
    if name == "sweep":
        from attnsim.explore import sweep as sweeps

        return sweeps.sweep
    raise AttributeError(f"module 'attnsim' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
