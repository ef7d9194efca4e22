"""The measured tables of NVIDIA's AIConfigurator: where they lie, what there is, and their rows as timed calls.

The tables are Parquet files `<system>/<folder>/<framework>/<version>/<op>_perf.parquet` of the package aiconfigurator-core (Apache-2.0), a
row a mean latency in ms. Nothing of that package is imported, and nothing is fetched or kept.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import Any, Final, get_args

from attnsim.errors import MissingDataError, UsageError, suggest
from attnsim.spec.library import data_file
from attnsim.spec.tables import KernelMap, Op
from attnsim.spec.yaml import load_yaml, validate

VARIABLE: Final = "ATTNSIM_AICONFIGURATOR"
"""Environment variable that names the folder of the tables."""

GET: Final = "pip install --no-deps aiconfigurator-core==0.12.0, and pip install pyarrow to read them; or name their folder with --data DIR"
_PLACES: Final = ("", "data", "systems/data", "aiconfigurator_core/systems/data", "aic-core/src/aiconfigurator_core/systems/data")
_SUFFIX: Final = "_perf.parquet"
_FRAMEWORKS: Final = ("sglang", "vllm", "trtllm")  # which one is meant when none is named


@dataclass(frozen=True, slots=True)
class TableFile:
    """One Parquet file and what it is about."""

    system: str
    op: str
    framework: str
    version: str
    path: Path

    @property
    def title(self) -> str:
        """`h100_sxm gemm, vllm 0.24.0`."""
        return f"{self.system} {self.op}, {self.framework} {self.version}"


@dataclass(frozen=True, slots=True)
class Call:
    """A timed attention call. window: keys a query sees, its own included, 0 for all; kv_dtype: format of K and V in memory; times: rows of
    the table that say so, whose median `time_s` is."""

    source: str
    batch: int
    heads_q: int
    heads_kv: int
    queries: int
    keys: int
    head_dim: int
    head_dim_v: int
    window: int
    dtype: str
    kv_dtype: str
    time_s: float
    times: int = 1

    @property
    def left(self) -> int | None:
        """Keys seen to the left of a query's own, as measurement files say it; None for all."""
        return self.window - 1 if 0 < self.window < self.keys else None


@dataclass(frozen=True, slots=True)
class Product:
    """A timed matrix product of m x k by k x n."""

    source: str
    dtype: str
    m: int
    n: int
    k: int
    time_s: float
    times: int = 1


@dataclass(frozen=True, slots=True)
class ExpertLayer:
    """A timed expert layer on one device of tp x ep; distribution: of tokens over experts."""

    source: str
    dtype: str
    tokens: int
    hidden: int
    inter: int
    top_k: int
    experts: int
    tp: int
    ep: int
    distribution: str
    time_s: float
    times: int = 1


Row = Call | Product | ExpertLayer


def find_data(folder: str | os.PathLike[str] | None = None) -> Path:
    """Folder whose subfolders are systems: that of the caller, else of the environment, else of the installed package.

    Raises MissingDataError that says how to get it.
    """
    named = folder if folder is not None else os.environ.get(VARIABLE) or None
    if named is not None:
        for place in _PLACES:
            if next((Path(named) / place).glob(f"*/*/*/*/*{_SUFFIX}"), None) is not None:
                return Path(named) / place
        raise MissingDataError(f"no tables of AIConfigurator in '{named}': a folder that holds SYSTEM/…/*{_SUFFIX} is wanted")
    spec = importlib.util.find_spec("aiconfigurator_core")
    for place in (spec.submodule_search_locations or []) if spec is not None else []:
        if (Path(place) / "systems/data").is_dir():
            return Path(place) / "systems/data"
    raise MissingDataError(f"the tables of AIConfigurator are not here; {GET}")


def tables(data: Path, system: str | None = None) -> list[TableFile]:
    """Every table, or those of one system; by system, op, framework, and version from old to new."""
    found = []
    for path in data.glob(f"{system or '*'}/*/*/*/*{_SUFFIX}"):
        name, _, framework, version, file = path.parts[-5:]
        found.append(TableFile(name, file.removesuffix(_SUFFIX), framework, version, path))
    return sorted(found, key=lambda t: (t.system, t.op, t.framework, version_key(t.version)))


def version_key(version: str) -> tuple[tuple[int, Any], ...]:
    """Sorts 0.5.6.post2 < 0.5.10 and 1.3.0rc9 < 1.3.0rc20 < 1.3.0."""
    parts: list[tuple[int, Any]] = [(1, int(part)) if part.isdigit() else (-1 if part == "rc" else 2, part)
                                    for part in re.findall(r"\d+|[a-z]+", version.lower())]  # fmt: skip
    return (*parts, (0, 0))


def pick(data: Path, system: str, op: str, framework: str | None = None, version: str | None = None) -> TableFile:
    """The table asked for: the newest version, of sglang, vllm or trtllm in this order, where they are left open.

    Raises UsageError with the nearest name.
    """
    check_system(data, system)
    every = tables(data, system)
    chosen = [table for table in every if table.op == op]
    if not chosen:
        raise UsageError(f"{system} has no table '{op}'{_known(op, sorted({table.op for table in every}))}")
    have = list(dict.fromkeys(table.framework for table in chosen))
    framework = framework if framework is not None else next((name for name in _FRAMEWORKS if name in have), have[0])
    chosen = [table for table in chosen if table.framework == framework]
    if not chosen:
        raise UsageError(f"{system} {op} has no framework '{framework}'{_known(framework, have)}")
    if version is None:
        return chosen[-1]
    versions = [table.version for table in chosen]
    if version not in versions:
        raise UsageError(f"{system} {op} of {framework} has no version '{version}'{_known(version, versions)}")
    return chosen[versions.index(version)]


def check_system(data: Path, system: str) -> None:
    """Raise UsageError with the nearest name for a system that has no tables."""
    systems = sorted(path.name for path in data.iterdir() if path.is_dir())
    if system not in systems:
        raise UsageError(f"AIConfigurator has no system '{system}'{_known(system, systems)}")


def _known(word: str, names: list[str]) -> str:
    return suggest(word, names) or f"; there is {', '.join(names)}"


@lru_cache(maxsize=1)
def kernel_map() -> KernelMap:
    """The shipped rules from tables to measurements, or those of a folder of ATTNSIM_PATH."""
    return validate(KernelMap, load_yaml(data_file("validation/aiconfigurator/kernels.yaml")))


def read(table: TableFile) -> tuple[Row, ...]:
    """Rows in the order of the table; of rows alike in all but the time there is one, with their median.

    Raises UsageError for an op that cannot be read, MissingDataError without pyarrow or for a file that is no such table.
    """
    if table.op not in _READERS:
        raise UsageError(f"tables '{table.op}' are not read{suggest(table.op, _READERS)}; those that are: {', '.join(_READERS)}")
    found: dict[Any, list[float]] = {}
    columns, build = _READERS[table.op]
    for values in _records(table, columns):
        found.setdefault(tuple(values[:-1]), []).append(values[-1] * 1e-3)
    return tuple(build(table, key, median(times), len(times)) for key, times in found.items())


def _records(table: TableFile, columns: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import read_table
    except ImportError:
        raise MissingDataError("reading the tables of AIConfigurator needs pyarrow; pip install pyarrow") from None
    try:
        read = read_table(table.path)
    except (ArrowException, OSError) as error:
        raise MissingDataError(f"{table.path}: is no readable Parquet file: {str(error).splitlines()[0]}") from None
    names = read.column_names
    missing = [name for name in columns if name not in names and name not in _LEFT_OUT]
    if missing:
        raise MissingDataError(f"{table.path}: has no column '{missing[0]}'{suggest(missing[0], names)}")
    lists = [read[name].to_pylist() if name in names else [_LEFT_OUT[name]] * read.num_rows for name in columns]
    return zip(*lists, strict=True)


_LEFT_OUT: Final = {"window_size": 0}  # older tables have no windows


def _dtype(name: str) -> str:
    return kernel_map().dtypes.get(name, name)


def _call(table: TableFile, key: tuple[Any, ...], time_s: float, times: int) -> Call:
    source, batch, isl, step, heads, groups, width, window, dtype, kept = key
    # generation: one new query, whose key and value were appended to `step` older ones before the call
    queries, keys = (isl, isl + step) if table.op == "generation_attention" else (isl, isl)
    said = (rule.head_dim_v for rule in kernel_map().widths if (rule.framework, rule.head_dim) == (table.framework, width))
    return Call(source, batch, heads, groups, queries, keys, width, next(said, width), window, _dtype(dtype), _dtype(kept), time_s, times)


def _product(_: TableFile, key: tuple[Any, ...], time_s: float, times: int) -> Product:
    source, dtype, m, n, k = key
    return Product(source, _dtype(dtype), m, n, k, time_s, times)


def _experts(_: TableFile, key: tuple[Any, ...], time_s: float, times: int) -> ExpertLayer:
    source, dtype, tokens, hidden, inter, top_k, experts, tp, ep, distribution = key
    return ExpertLayer(source, _dtype(dtype), tokens, hidden, inter, top_k, experts, tp, ep, distribution, time_s, times)


_ATTENTION: Final = ("kernel_source", "batch_size", "isl", "step", "num_heads", "num_key_value_heads", "head_dim", "window_size",
                     "attn_dtype", "kv_cache_dtype", "latency")  # fmt: skip
_EXPERTS: Final = ("kernel_source", "moe_dtype", "num_tokens", "hidden_size", "inter_size", "topk", "num_experts", "moe_tp_size",
                   "moe_ep_size", "distribution", "latency")  # fmt: skip
_READERS: Final[dict[str, tuple[tuple[str, ...], Callable[[TableFile, tuple[Any, ...], float, int], Row]]]] = {
    "context_attention": (_ATTENTION, _call),
    "generation_attention": (_ATTENTION, _call),
    "gemm": (("kernel_source", "gemm_dtype", "m", "n", "k", "latency"), _product),
    "moe": (_EXPERTS, _experts),
}
assert set(_READERS) == set(get_args(Op))


def repeated(rows: Iterable[Row]) -> int:
    """How many rows of the table repeat another one's key."""
    return sum(row.times - 1 for row in rows)
