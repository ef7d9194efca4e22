"""Every count of 43 generalized neighborhood attention problems: sizes from 13 to 115200 tokens, compared exactly.

The counts come from NATTEN's definitions (arXiv 2504.16922), computed without this code; see validation/gna.
"""

import csv
from math import prod
from pathlib import Path

import pytest

from attnsim.mask.neighborhood import Neighborhood

ORACLE = Path(__file__).parents[2] / "validation/gna/oracle.csv"
ROWS = list(csv.DictReader(ORACLE.open(encoding="utf-8"))) if ORACLE.exists() else []
SMALL = [row for row in ROWS if row["tile_pairs_1d"]]


def numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("x"))


def problem(row: dict[str, str]) -> tuple[Neighborhood, tuple[int, ...], tuple[int, ...]]:
    shape, window, stride, dilation, causal = (numbers(row[name]) for name in ("shape", "window", "stride", "dilation", "causal"))
    return Neighborhood.of(shape, window, stride, dilation, tuple(map(bool, causal))), numbers(row["q_tile"]), numbers(row["kv_tile"])


def named(rows: list[dict[str, str]]) -> list:
    return [pytest.param(row, id=row["id"]) for row in rows]


def expect(row: dict[str, str], found: dict[str, int | bool | float]) -> None:
    """Counts and flags as they are; ratios to the six digits of the file."""
    wanted = {name: float(row[name]) if "." in row[name] else int(row[name]) for name in found}
    exact = {name: value for name, value in wanted.items() if "speedup" not in name}
    ratios = {name: value for name, value in wanted.items() if "speedup" in name}
    assert {name: found[name] for name in exact} == exact
    assert {name: found[name] for name in ratios} == pytest.approx(ratios, rel=0, abs=1e-6)


def test_the_file_is_whole():
    assert (len(ROWS), len(SMALL)) == (43, 22)
    assert len({row["id"] for row in ROWS}) == 43
    assert {int(row["ndim"]) for row in ROWS} == {1, 2, 3}


@pytest.mark.parametrize("row", named(ROWS))
def test_pairs(row):
    mask, _, _ = problem(row)
    n = prod(numbers(row["shape"]))
    pairs = mask.pairs(n, n)
    expect(row, {"tokens": n, "attended_pairs": pairs, "flop_speedup": n * n / pairs})
    assert mask.queries(n, n) == mask.keys(n, n) == n, "a query attends itself"


@pytest.mark.parametrize("row", named(ROWS))
def test_tiles_of_several_axes(row):
    mask, q_tile, k_tile = problem(row)
    n = int(row["tokens"])
    walk = mask.walk(n, n, q_tile, k_tile)
    expect(
        row,
        {
            "q_tiles": walk.tile_count,
            "sa_kv_tiles": walk.across,
            "tile_pairs_needed": walk.needed_total,
            "tile_pairs_kernel": walk.visited_total,
            "tile_pairs_dense": walk.visited_total - walk.partial_total,
            "tile_pairs_dense_ignoring_kv_padding": walk.full_total,
            "max_kv_tiles_static": walk.max_visited,
            "sim_speedup_worst_static": walk.across / walk.max_visited,
            "sim_speedup_mean_static": walk.tile_count * walk.across / walk.visited_total,
            "block_sparse_exact": walk.block_sparse,
            "block_sparse_natten_test": walk.block_sparse_test,
        },
    )


@pytest.mark.parametrize("row", named(ROWS))
def test_tiles_by_key(row):
    mask, q_tile, k_tile = problem(row)
    n = int(row["tokens"])
    walk = mask.walk_keys(n, n, k_tile, q_tile)
    groups = prod(numbers(row["dilation"]))
    expect(
        row,
        {
            "kv_tiles_per_group": walk.tile_count / groups,
            "tile_pairs_kernel": walk.visited_total,
            "tile_pairs_dense": walk.visited_total - walk.partial_total,
        },
    )


@pytest.mark.parametrize("row", named(ROWS))
def test_tiles_that_start_at_the_first_key(row):
    mask, q_tile, k_tile = problem(row)
    n = int(row["tokens"])
    walk = mask.walk(n, n, q_tile, k_tile, dynamic=True)
    expect(
        row,
        {
            "q_tiles": walk.tile_count,
            "sa_kv_tiles": walk.across,
            "tile_pairs_dynamic_kv": walk.visited_total,
            "max_kv_tiles_dynamic": walk.max_visited,
            "sim_speedup_worst_dynamic": walk.across / walk.max_visited,
            "sim_speedup_mean_dynamic": walk.tile_count * walk.across / walk.visited_total,
        },
    )


@pytest.mark.parametrize("row", named(SMALL))
def test_tiles_of_the_flattened_sequence(row):
    mask, q_tile, k_tile = problem(row)
    n = int(row["tokens"])
    walk = mask.walk(n, n, prod(q_tile), prod(k_tile))
    assert (walk.tile_count, walk.across) == (-(-n // prod(q_tile)), -(-n // prod(k_tile)))
    expect(
        row,
        {
            "tile_pairs_1d": walk.visited_total,
            "max_kv_tiles_1d": walk.max_visited,
            "sim_speedup_worst_1d": walk.across / walk.max_visited,
        },
    )


@pytest.mark.parametrize("row", named(ROWS))
def test_record(row):
    mask, q_tile, k_tile = problem(row)
    n = int(row["tokens"])
    record = mask.record(n, n, mask.walk(n, n, q_tile, k_tile))
    assert record["tile_pairs_partial"] == int(row["tile_pairs_kernel"]) - int(row["tile_pairs_dense"])
    same = ("attended_pairs", "flop_speedup", "q_tiles", "tile_pairs_needed", "tile_pairs_kernel", "tile_pairs_dense")
    expect(row, {name: record[name] for name in same})
    expect(
        row,
        {
            "max_kv_tiles_static": record["max_kv_tiles"],
            "sim_speedup_worst_static": record["speedup_worst_tile"],
            "sim_speedup_mean_static": record["speedup_mean_tile"],
            "block_sparse_exact": record["block_sparse"],
            "block_sparse_natten_test": record["block_sparse_natten"],
        },
    )


VIDEO, PICTURE = ((30, 48, 80), (18, 24, 24)), ((256, 256), (80, 80))


@pytest.mark.parametrize(
    "layout, stride, tiles, most, across",
    [
        (VIDEO, (1, 1, 1), ((4, 8, 8), (2, 8, 8)), 275, 900),
        (VIDEO, (16, 8, 8), ((4, 8, 8), (2, 8, 8)), 81, 900),
        (PICTURE, (1, 1), ((16, 16), (16, 8)), 84, 512),
        (PICTURE, (16, 16), ((16, 16), (16, 8)), 50, 512),
    ],
)
def test_published_worst_tiles(layout, stride, tiles, most, across):
    n, ones = prod(layout[0]), (1,) * len(stride)
    walk = Neighborhood.of(*layout, stride, ones, (False,) * len(stride)).walk(n, n, *tiles)
    assert (walk.max_visited, walk.across) == (most, across)
