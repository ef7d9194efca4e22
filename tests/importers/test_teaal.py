from __future__ import annotations

from typing import Any

import pytest

from attnsim.cascade.cascade import load_cascade

FORM = "teaal"

GEMM = """\
einsum:
  declaration:
    A: [K, M]
    B: [K, N]
    Z: [M, N]
  expressions:
    - Z[m, n] = A[k, m] * B[k, n]
"""
ATTENTION = """\
einsum:
  declaration: {Q: [E, P], K: [E, M], V: [F, M], QK: [M, P], GM: [P], SN: [M, P], SD: [P], A: [M, P], AV: [F, P]}
  expressions:
    - QK[m,p] = Q[e,p] * K[e,m]
    - GM[p] = QK[m,p] :: max(m)
    - SN[m,p] = exp(QK[m,p] - GM[p])
    - SD[p] = SN[m,p]
    - A[m,p] = SN[m,p] / SD[p]
    - AV[f,p] = A[m,p] * V[f,m]
rank-sizes: {B: 2, H: 3, E: 64, F: 48, M: 1000, P: 600}
mapping:
  partitioning: {QK: {M: [uniform_shape(256)], P: [uniform_shape(256)]}}
  loop-order: {QK: [P1, M1, E, M0, P0]}
  spacetime:
    QK: {space: [M0, P0], time: [P1, M1, E]}
    AV: {space: [P0, F], time: [P1, M1, M0]}
"""
CHAIN = """\
einsum:
  declaration: {A: [K, M], B: [K, N], T: [M, N], C: [N, O], Z: [M, O]}
  expressions:
    - T[m, n] = A[k, m] * B[k, n]
    - Z[m, o] = T[m, n] * C[n, o]
"""


# --- what both can say


def test_a_matrix_product_with_a_mapping_runs_and_counts_by_hand(take: Any, run: Any, cycles: Any) -> None:
    mapping = """\
mapping:
  partitioning:
    Z:
      M: [uniform_shape(512), uniform_shape(128)]
  spacetime:
    Z: {space: [M0, N], time: [M2, M1, K]}
rank-sizes: {M: 1000, N: 600, K: 300}
"""
    imported = take(GEMM + mapping)
    assert imported.cascade["inputs"] == {"A": ["K", "M"], "B": ["K", "N"]} and imported.cascade["body"] == ["Z[m,n] = A[k,m] * B[k,n]"]
    assert imported.cascade["batch"] == imported.cascade["positions"] == []
    assert imported.schedule["fusion"] == "none" and imported.schedule["target"] == "spatial"
    assert imported.schedule["mapping"] == {
        "partitioning": {"M": ["uniform_shape(512)", "uniform_shape(128)"]},
        "spacetime": {"Z": {"space": ["M0", "N"]}},
    }
    result = run(imported)
    assert result.ops_by_kind == {"mac": 1000 * 600 * 300}
    assert cycles(result, "Z") == pytest.approx(8 * 3 * 300)  # ceil(1000/128) tiles of M, ceil(600/256) of N, K in time


def test_attention_in_three_passes_runs_and_counts_by_hand(take: Any, run: Any, cycles: Any) -> None:
    imported = take(ATTENTION)
    assert load_cascade(imported.cascade).pass_counts()["M"] == 3
    assert imported.cascade["batch"] == ["B", "H"] and imported.cascade["positions"] == ["P", "M"]
    assert imported.cascade["inputs"]["Q"] == ["B", "H", "E", "P"]
    assert imported.schedule["mapping"]["loop-order"] == ["P1", "M1"]
    result = run(imported)
    heads, pairs = 6, 600 * 1000
    assert result.ops_by_kind["mac"] == heads * pairs * (64 + 48)
    assert result.ops_by_kind["exp"] == result.ops_by_kind["max"] == result.ops_by_kind["div"] == heads * pairs
    assert cycles(result, "QK") == pytest.approx(heads * 4 * 3 * 64)  # ceil(1000/256) and ceil(600/256) tiles, E in time
    assert cycles(result, "AV") == pytest.approx(heads * 3 * 1 * 1000)  # F fits the columns, M in time


def test_a_file_without_sizes_and_mapping_is_a_cascade_alone(take: Any) -> None:
    imported = take(GEMM, None)
    assert imported.schedule is None and imported.workload is None and imported.notes == ()
    assert list(imported.documents) == ["case.cascade.yaml"]


@pytest.mark.parametrize("key", ["rank-sizes", "rank_sizes"])
def test_sizes_alone_make_a_workload_without_schedule(key: str, take: Any) -> None:
    imported = take(f"{GEMM}{key}: {{K: 8, M: 8, N: 8}}\n")
    assert imported.schedule is None and "schedule" not in imported.workload
    assert imported.workload["sizes"] == {"K": 8, "M": 8, "N": 8} and imported.workload["dtype"] == "fp16"


def test_the_notation_of_reductions_with_the_operator_last_is_read(take: Any) -> None:
    assert "GM[p] = QK[m,p] :: max(m)" in take(ATTENTION.replace(":: max(m)", ":: reduce(m, max)")).cascade["body"]


def test_ranks_on_both_operands_and_the_result_become_batch_ranks(take: Any) -> None:
    text = """\
einsum:
  declaration: {Q: [B, H, E, P], K: [B, H, E, M], QK: [B, H, M, P]}
  expressions: ["QK[b,h,m,p] = Q[b,h,e,p] * K[b,h,e,m]"]
mapping: {loop-order: {QK: [B, H, P, M, E]}}
"""
    imported = take(text)
    assert imported.cascade["batch"] == ["B", "H"] and imported.cascade["body"] == ["QK[m,p] = Q[e,p] * K[e,m]"]
    assert imported.cascade["inputs"]["K"] == ["B", "H", "E", "M"]


def test_a_rank_that_is_summed_over_elsewhere_is_no_batch_rank(take: Any) -> None:
    text = """\
einsum:
  declaration: {Q: [H, E, P], K: [H, E, M], QK: [H, M, P], Z: [M, P]}
  expressions: ["QK[h,m,p] = Q[h,e,p] * K[h,e,m]", "Z[m,p] = QK[h,m,p]"]
"""
    imported = take(text)
    assert imported.cascade["batch"] == [] and any("PE arrays" in note for note in imported.notes)


def test_sums_of_indices_and_scalars_are_kept(take: Any, errors: Any) -> None:
    text = """\
einsum:
  declaration: {I: [W, V], F: [R, S], O: [X, Y], Z: []}
  expressions: ["O[x, y] = I[x + r, 2*y + s] * F[r, s]", "Z[] = a * O[x, y] * O[x, y]"]
rank-sizes: {W: 10, V: 17, R: 3, S: 3, X: 8, Y: 8}
"""
    imported = take(text)
    assert imported.cascade["body"] == ["O[x,y] = I[x + r,2*y + s] * F[r,s]", "Z = a * O[x,y] * O[x,y]"]
    assert imported.cascade["inputs"]["a"] == [] and any(note.startswith("a is declared nowhere") for note in imported.notes)
    assert errors(take, text.replace("W: 10", "W: 9")) == ["4:14: rank-sizes.W: an index reaches coordinate 9 of rank W, whose size is 9"]


def test_a_layout_and_an_empty_space_are_told_not_refused(take: Any) -> None:
    imported = take(GEMM + "mapping:\n  rank-order: {A: [M, K]}\n  spacetime: {Z: {space: [], time: [M.pos, N, K.coord]}}\n")
    assert imported.schedule is None
    assert [note.split()[0] for note in imported.notes] == ["rank-order", "Z"]


def test_the_loops_of_products_without_positions_are_left_to_the_engine(take: Any, run: Any, cycles: Any) -> None:
    imported = take(
        GEMM + "mapping: {loop-order: {Z: [M, N, K]}, spacetime: {Z: {space: [M, N], time: [K]}}}\nrank-sizes: {M: 9, N: 9, K: 9}\n"
    )
    assert "loop-order" not in imported.schedule["mapping"] and any("loop-order is left out" in note for note in imported.notes)
    assert cycles(run(imported), "Z") == pytest.approx(9)


def test_loops_of_keys_may_run_outside_those_of_queries(take: Any, run: Any, cycles: Any) -> None:
    swapped = ATTENTION.replace("[P1, M1, E, M0, P0]", "[M1, P1, E, M0, P0]").replace("time: [P1, M1, E]", "time: [M1, P1, E]")
    imported = take(swapped)
    assert imported.schedule["mapping"]["loop-order"] == ["M1", "P1"]
    assert cycles(run(imported), "QK") == pytest.approx(6 * 4 * 3 * 64)


def test_an_order_without_tiles_of_queries_and_keys_is_left_out(take: Any, run: Any, cycles: Any) -> None:
    whole = ATTENTION.replace("{M: [uniform_shape(256)], P: [uniform_shape(256)]}", "{P: [uniform_shape(256)]}")
    whole = whole.replace("[P1, M1, E, M0, P0]", "[P1, M, E, P0]").replace(
        "{space: [M0, P0], time: [P1, M1, E]}", "{space: [M, P0], time: [P1, E]}"
    )
    imported = take(whole.replace("time: [P1, M1, M0]", "time: [P1, M]"))
    assert "loop-order" not in imported.schedule["mapping"] and any("tiles of both P and M" in note for note in imported.notes)
    assert cycles(run(imported), "QK") == pytest.approx(6 * 4 * 3 * 64)


def test_loop_orders_that_agree_are_one(take: Any) -> None:
    more = ATTENTION.replace("loop-order: {QK: [P1, M1, E, M0, P0]}", "loop-order: {QK: [P1, M1, E, M0, P0], AV: [P1, F, M1, M0, P0]}")
    assert take(more).schedule["mapping"]["loop-order"] == ["P1", "M1"]


# --- what attnsim cannot say


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        (GEMM.replace("A[k, m] * B[k, n]", "take(A[k, m], B[k, n], 1)"), "7:7: einsum.expressions.0:", "take()"),
        (GEMM.replace("A[k, m] * B[k, n]", "sum(K).(A[k, m] * B[k, n])"), "7:7: einsum.expressions.0:", "sum(K)"),
        (GEMM.replace("B[k, n]\n", "Bb[k, n]\n"), "7:7: einsum.expressions.0:", "tensor Bb is not declared; did you mean 'B'?"),
        (GEMM.replace("Z[m, n] =", "Z[n, m] ="), "7:7: einsum.expressions.0:", "write Z[m,n], not Z[n,m]"),
        (GEMM.replace("A[k, m]", "A[m, k]"), "7:7: einsum.expressions.0:", "a rank used with two meanings"),
        (GEMM.replace("A[k, m]", "A[k]"), "7:7: einsum.expressions.0:", "A is A[k,m]"),
        (GEMM.replace("A[k, m] *", "A[k, m] **"), "7:7: einsum.expressions.0:", "column 18"),
        (GEMM.replace("- Z[m, n] = A[k, m] * B[k, n]", "- 7"), "7:7: einsum.expressions.0:", "not 7"),
        (GEMM.replace("A: [K, M]", "A: [k, M]"), "3:9: einsum.declaration.A.0:", "upper-case"),
        (GEMM.replace("Z: [M, N]", "Z: [M, N]\n    X: [M]"), "6:5: einsum.declaration.X:", "never used"),
        (GEMM.replace("  expressions:", "  equations:"), "6:3: einsum.equations:", "declaration and expressions"),
        (GEMM + "format: {A: {}}\n", "8:1: format:", "dense"),
        (GEMM + "architecture: {subtree: []}\n", "8:1: architecture:", "kind spatial"),
        (GEMM + "bindings: {Z: []}\n", "8:1: bindings:", "kind spatial"),
        (GEMM + "maping: {}\n", "8:1: maping:", "did you mean 'mapping'?"),
        (GEMM + "rank-sizes: {M: 4, N: 4}\n", "8:1: rank-sizes.K:", "missing"),
        (GEMM + "rank-sizes: {M: 4, N: 4, K: 0}\n", "8:26: rank-sizes.K:", "whole number"),
        (GEMM + "rank-sizes: {M: 4, N: 4, K: 4, m: 4}\n", "8:32: rank-sizes.m:", "did you mean 'M'?"),
        (GEMM + "rank-sizes: {M: 4, N: 4, K: 4}\nrank_sizes: {M: 4}\n", "9:1: rank_sizes:", "keep one"),
        (GEMM + "mapping: {display: {}}\n", "8:11: mapping.display:", "spacetime"),
        (GEMM + "mapping: {partitioning: {Z: {K: [uniform_occupancy(A.4)]}}}\n", "8:34: mapping.partitioning.Z.K.0:", "nonzeros"),
        (GEMM + "mapping: {partitioning: {Z: {\"(M, K)\": [flatten()]}}}\n", "8:30: mapping.partitioning.Z.(M, K):", "flatten()"),
        (GEMM + "mapping: {partitioning: {Z: {K: [nway_shape(4)]}}}\n", "8:34: mapping.partitioning.Z.K.0:", "nway_shape()"),
        (GEMM + "mapping: {partitioning: {Z: {K: [uniform_shape(K0)]}}}\n", "8:34: mapping.partitioning.Z.K.0:", "as a number"),
        (GEMM + "mapping: {partitioning: {Z: {P: [uniform_shape(4)]}}}\n", "8:30: mapping.partitioning.Z.P:", "no rank of Z"),
        (GEMM + "mapping: {partitioning: {Y: {K: [uniform_shape(4)]}}}\n", "8:26: mapping.partitioning.Y:", "no Einsum computes 'Y'"),
        (GEMM + "mapping: {loop-order: {Z: [M, N]}}\n", "8:24: mapping.loop-order.Z:", "once each, M, N, K; not M, N"),
        (GEMM + "mapping: {spacetime: {Z: {space: [M], time: [N]}}}\n", "8:23: mapping.spacetime.Z:", "space and time together"),
        (GEMM + "mapping: {spacetime: {Z: {space: [M, N, K], time: []}}}\n", "8:27: mapping.spacetime.Z.space:", "two dimensions"),
        (GEMM + "mapping: {spacetime: {Z: {space: [M, N], time: [K], opt: slip}}}\n", "8:53: mapping.spacetime.Z.opt:", "'opt'"),
        (
            GEMM + "mapping: {partitioning: {Z: {K: [uniform_shape(4)]}}, spacetime: {Z: {space: [K1], time: [M, N, K0]}}}\n",
            "8:79: mapping.spacetime.Z.space.0:",
            "write K0, not K1",
        ),
        (
            GEMM + "mapping: {loop-order: {Z: [M, N, K]}, spacetime: {Z: {space: [N], time: [K, M]}}}\n",
            "8:67: mapping.spacetime.Z.time:",
            "M, K in time",
        ),
        (
            CHAIN + "mapping: {partitioning: {T: {M: [uniform_shape(4)]}, Z: {M: [uniform_shape(8)]}}}\n",
            "6:58: mapping.partitioning.Z.M:",
            "T partitions M as [uniform_shape(4)]",
        ),
        (
            CHAIN + "mapping: {partitioning: {T: {M: [uniform_shape(4)]}}, loop-order: {Z: [M, N, O]}}\n",
            "6:68: mapping.loop-order.Z:",
            "M is partitioned, by T",
        ),
        (CHAIN + "mapping: {loop-order: {T: [M, N, K], Z: [N, M, O]}}\n", "6:38: mapping.loop-order.Z:", "T has M, N"),
        (
            CHAIN.replace("K", "M1").replace("[k, ", "[m1, ") + "mapping: {partitioning: {T: {M: [uniform_shape(4)]}}}\n",
            "6:30: mapping.partitioning.T.M:",
            "a rank of its own",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_said_is_one_line_with_its_place(text: str, place: str, says: str, take: Any, errors: Any) -> None:
    found = errors(take, text)
    assert len(found) == 1, found
    assert found[0].startswith(place) and says in found[0]


def test_every_mistake_of_a_file_is_shown_in_its_order(take: Any, errors: Any) -> None:
    text = GEMM.replace("A[k, m] *", "take(A[k, m]) *") + "mapping: {partitioning: {Z: {K: [uniform_occupancy(A.4)]}}}\nformat: {}\n"
    found = errors(take, text + "rank-sizes: {M: x}\n")
    assert [line.split(":")[0] for line in found] == ["7", "8", "9", "10"]


def test_a_mistake_in_the_yaml_stands_beside_the_others(take: Any, errors: Any) -> None:
    found = errors(take, GEMM.replace("A: [K, M]", "A: !Ranks [K, M]") + "format: {}\n")
    assert [line.split(":")[0] for line in found] == ["3", "8"] and "tag '!Ranks'" in found[0]
