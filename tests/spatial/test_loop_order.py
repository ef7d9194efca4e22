"""The order of the loops over tiles: rows outside keep state and read keys again, keys outside read keys once and swap state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import attnsim
from attnsim.errors import InfeasibleError

SIDE = 256


def run(length: int, order: list[str], capacity: str = "16 MiB", parts: list[str] | None = None) -> Any:
    partitioning = {"M": ["uniform_shape(pe2d.rows)"], "P": parts or ["uniform_shape(pe2d.columns)"]}
    schedule = {"extends": "fusemax", "name": "mine", "mapping": {"partitioning": partitioning, "loop-order": order}}
    sizes = {"B": 1, "H": 1, "P": length, "M": length, "E": 64, "F": 64}
    workload = {"attnsim": 1, "kind": "kernel", "name": "x", "cascade": "attention-1pass", "dtype": "fp16", "sizes": sizes}
    return attnsim.run(workload, {"extends": "fusemax_cloud", "name": "x", "buffer": {"capacity": capacity}}, schedule).results[0]


def test_rows_outside_one_tile_at_a_time_read_the_keys_for_every_row_tile() -> None:
    n = 4096
    result = run(n, ["P1", "M1"])
    assert result.bytes["dram"] == 2 * (2 * n * 64 + 2 * n * 64 * (n // SIDE))


def test_keys_outside_read_everything_once_while_the_rows_fit() -> None:
    n = 4096
    assert run(n, ["M1", "P1"]).bytes["dram"] == 2 * 4 * n * 64


def test_keys_outside_swap_the_share_of_the_rows_that_does_not_fit() -> None:
    n, capacity = 65536, 16 * 2**20 // 2
    row, fixed = 64 + 64 + 2, 2 * SIDE * 64  # Q, RNV, RM, RD; one tile of K and of V
    swapped = 1 - (capacity - fixed) / (n * row)
    tiles = n // SIDE
    state = 2 * swapped * n * 66 * tiles  # RNV, RM, RD go out and come back at every key tile
    queries = n * 64 * (1 + swapped * (tiles - 1))
    assert run(n, ["M1", "P1"]).bytes["dram"] == pytest.approx(2 * (3 * n * 64 + queries + state), rel=1e-12)


def test_keys_and_rows_outside_take_the_same_cycles() -> None:
    assert run(4096, ["M1", "P1"]).phases[0].compute_s == run(4096, ["P1", "M1"]).phases[0].compute_s


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (["P2", "P1", "M1"], "rows are kept in the buffer while keys stream by: the order is P2, M1, P1"),
        (["M1", "P2", "P1"], "rows are kept in the buffer while keys stream by: the order is P2, M1, P1"),
        (["P2", "M1"], "every loop over tiles stands in the order once; P1 does not"),
        (["P2", "M1", "P1", "P1"], "every loop over tiles stands in the order once; one does not"),
        (["P2", "M1", "P0"], "no loop over tiles is called 'P0'; the partitioning makes M1, P1, P2"),
    ],
)
def test_orders_that_do_not_exist_are_refused_in_one_line(order: list[str], message: str) -> None:
    with pytest.raises(InfeasibleError) as caught:
        run(4096, order, parts=["capacity(buffer)", "uniform_shape(pe2d.columns)"])
    assert str(caught.value).endswith(message) and len(str(caught.value).splitlines()) == 1


def test_the_line_of_the_loop_order_is_named(tmp_path: Path) -> None:
    source = Path(__file__).parents[2] / "workloads" / "schedules" / "fusemax.yaml"
    path = tmp_path / "mine.yaml"
    path.write_text(source.read_text().replace("loop-order: [P2, M1, P1]", "loop-order: [P2, P1, M1]"))
    with pytest.raises(InfeasibleError, match=r"mine\.yaml:14:3: mapping.loop-order: "):
        attnsim.run("fusemax-bert-attention", "fusemax_cloud", path)
