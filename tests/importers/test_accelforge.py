from __future__ import annotations

from typing import Any

import pytest

from attnsim.errors import SpecError

FORM = "accelforge"

CHAIN = """\
workload:
  rank_sizes: {B: 4, M: 512, D: 512, C: 2048, J: 512}
  bits_per_value: {All: 16}
  einsums:
    - "Y[b, m, c] = X[b, m, d] * W1[d, c]"
    - name: second
      tensor_accesses:
        - {name: Y, projection: [b, m, c]}
        - {name: W2, projection: {C: c, J: j}}
        - {name: Z, projection: [b, m, j], output: True}
"""
ATTENTION = """\
rank_sizes: {B: 2, H: 3, M: 600, P: 1000, E: 64, F: 48}
bits_per_value: {All: 16}
einsums:
  - {einsum: "Q[b, m, h, e] = Q_in[b, m, h, e]", is_copy_operation: True}
  - einsum: "QK[b, m, p, h] = Q[b, m, h, e] * K_cache[b, P: p, h, e]"
    renames: {input: Q}
  - GM[b, m, h] = QK[b, m, p, h] :: max(p)
  - "SN[b, m, p, h] = exp(QK[b, m, p, h] - GM[b, m, h])"
  - "SD[b, m, h] = SN[b, m, p, h]"
  - "A[b, m, p, h] = SN[b, m, p, h] / SD[b, m, h]"
  - "AV[b, m, h, f] = A[b, m, p, h] * V_cache[b, h, P: p, f]"
"""


# --- what both can say


def test_a_chain_of_products_runs_and_counts_by_hand(take: Any, run: Any, cycles: Any) -> None:
    imported = take(CHAIN, None)
    assert imported.cascade["body"] == ["Y[b,m,c] = X[b,m,d] * W1[d,c]", "Z[b,m,j] = Y[b,m,c] * W2[c,j]"]
    assert imported.cascade["batch"] == imported.cascade["positions"] == [] and imported.schedule is None
    assert imported.workload["sizes"] == {"B": 4, "M": 512, "D": 512, "C": 2048, "J": 512} and imported.workload["dtype"] == "fp16"
    result = run(imported, "unfused")
    assert result.ops_by_kind == {"mac": 4 * 512 * (512 * 2048 + 2048 * 512)}
    assert cycles(result, "Y") == pytest.approx(2048 // 256 * (2048 // 256) * 512)  # everything divides: any stationarity takes as long
    assert cycles(result, "Z") == pytest.approx(2048 // 256 * (512 // 256) * 2048)


def test_attention_with_softmax_written_out_runs_and_counts_by_hand(take: Any, run: Any, cycles: Any) -> None:
    imported = take(ATTENTION, None)
    assert imported.cascade["batch"] == ["B", "H"] and imported.cascade["positions"] == ["M", "P"]
    assert imported.cascade["inputs"] == {"Q_in": ["B", "M", "H", "E"], "K_cache": ["B", "P", "H", "E"], "V_cache": ["B", "H", "P", "F"]}
    assert imported.cascade["body"][0] == "Q[m,e] = Q_in[m,e]" and "GM[m] = QK[m,p] :: max(p)" in imported.cascade["body"]
    result = run(imported, "unfused")
    heads, pairs = 6, 600 * 1000
    assert result.ops_by_kind["mac"] == heads * pairs * (64 + 48)
    assert result.ops_by_kind["exp"] == result.ops_by_kind["div"] == heads * pairs
    assert cycles(result, "QK") in [
        pytest.approx(heads * steps) for steps in (3 * 4 * 64, 1 * 4 * 600, 1 * 3 * 1000)
    ]  # output, weight or input stationary
    assert any(note.startswith("Q is a copy of Q_in") for note in imported.notes)


def test_the_order_of_ranks_is_that_of_the_first_access(take: Any) -> None:
    text = CHAIN.replace("projection: {C: c, J: j}", "projection: [c, j]") + '    - "U[j, b] = Z[j, m, b] * W2[j, c]"\n'
    assert take(text).cascade["body"][-1] == "U[j,b] = Z[b,m,j] * W2[c,j]"


def test_a_copy_function_is_a_copy(take: Any) -> None:
    imported = take(ATTENTION.replace("= Q_in[b, m, h, e]", "= copy(Q_in[b, m, h, e])"))
    assert imported.cascade["body"][0] == "Q[m,e] = Q_in[m,e]"


def test_what_is_left_out_is_told(take: Any) -> None:
    text = CHAIN.replace("M: 512", "M: 512, Q: 7").replace("  einsums:", "  persistent_tensors: weight\n  n_instances: 3\n  einsums:")
    notes = take(text + "variables: {x: 1}\n").notes
    assert any("rank Q has a size" in note for note in notes) and any("the 3 instances" in note for note in notes)
    assert any(note.endswith(": variables, persistent_tensors") for note in notes)


@pytest.mark.parametrize(
    ("bits", "dtype", "told"),
    [("{All: 16}", "fp16", ""), ("{All: 8}", "fp8", "fp8"), ("{All: 12}", "fp16", "(12)"), ("{A: 8, B: 16}", "fp16", "one number format")],
)
def test_bits_become_a_number_format(bits: str, dtype: str, told: str, take: Any) -> None:
    imported = take(CHAIN.replace("{All: 16}", bits))
    assert imported.workload["dtype"] == dtype
    assert any(told in note for note in imported.notes) if told else not imported.notes


def test_without_sizes_there_is_no_workload(take: Any) -> None:
    lines = [line for line in CHAIN.splitlines() if "rank_sizes" not in line]
    assert take("\n".join(lines), None).workload is None


# --- what attnsim cannot say


EINSUM = "rank_sizes: {M: 4, K: 4, N: 4}\neinsums:\n  - "


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        (EINSUM + '"A_softmax[m, k] = A[m, k]"\n', "3:5: einsums.0:", "attnsim show attention-3pass"),
        (EINSUM + '"B[m, k] = softmax(A[m, k])"\n', "3:5: einsums.0:", "write softmax out"),
        (
            EINSUM + "{name: softmax, tensor_accesses: [{name: A, projection: [m]}, {name: B, projection: [m], output: true}]}\n",
            "3:5: einsums.0:",
            "write softmax out",
        ),
        (EINSUM + '"Z[m, n] = A[m, k] * B[K: n, n]"\n', "3:5: einsums.0:", "rank K of B is walked by n"),
        (EINSUM + '"Z[m, n] = A[m, k] * B[K: k + n, n]"\n', "3:5: einsums.0:", "indexed by 'k + n'"),
        (EINSUM + '"Z[m, n] = A[M, k] * B[k, n]"\n', "3:5: einsums.0:", "indexed by 'M'"),
        (
            EINSUM + "{name: Z, tensor_accesses: [{name: A, projection: {M: m + k}}, {name: Z, projection: [m], output: true}]}\n",
            "3:5: einsums.0:",
            "indexed by 'm + k'",
        ),
        (EINSUM + "{name: Z, tensor_accesses: [{name: A, projection: [m]}]}\n", "3:15: einsums.0.tensor_accesses:", "0 outputs"),
        (EINSUM + "{name: Z, tensor_accesses: [{name: A}]}\n", "3:33: einsums.0.tensor_accesses.0:", "name and a projection"),
        (EINSUM + '{enisum: "Z[m] = A[m, k]"}\n', "3:5: einsums.0:", "did you mean 'einsum'?"),
        (EINSUM + '{einsum: "Z[m] = A[m, k]", n_instances: 2}\n', "3:32: einsums.0.n_instances:", "of that size"),
        (EINSUM + '{einsum: "Z[m] = A[m, k]", rank_sizes: {M: 2}}\n', "3:32: einsums.0.rank_sizes:", "one size"),
        (EINSUM + "7\n", "3:5: einsums.0:", "not 7"),
        (EINSUM + '"Z[m] = A[m, k]"\n  - "Y[m] = A[m, n] * Z[m]"\n', "4:5: einsums.1:", "first stands as A[m, k]"),
        (EINSUM + '"Z[m] = A[m, k] @ A[m, k]"\n', "3:5: einsums.0:", "unexpected character '@'"),
        (EINSUM + '"Z[m] = A[m, k]"\n  - "Z[m] = A[m, k]"\n', "4:5: einsums.1:", "defined twice"),
        (EINSUM + '"Z[m] = A[m, e]"\n', "1:1: rank_sizes.E:", "missing"),
        (EINSUM.replace("K: 4", "K: 4k") + '"Z[m] = A[m, k]"\n', "1:20: rank_sizes.K:", "whole number"),
        (EINSUM + '"Z[m] = A[m, k]"\niteration_space_shape: {m: 0 <= m < 4}\n', "4:1: iteration_space_shape:", "rank_sizes"),
        ("rank_sizes: {M: 4}\neinsums: []\n", "2:1: einsums:", "missing"),
        (EINSUM + '!Einsum "Z[m] = A[m, k]"\n', "3:5: einsums.0:", "tag '!Einsum'"),
    ],
)  # fmt: skip
def test_what_cannot_be_said_is_one_line_with_its_place(text: str, place: str, says: str, take: Any, errors: Any) -> None:
    found = errors(take, text)
    assert len(found) == 1, found
    assert found[0].startswith(place) and says in found[0]


def test_templates_are_named_one_by_one(take: Any, errors: Any) -> None:
    text = "workload:\n  rank_sizes:\n    {% set N = 4 %}\n    M: {{N}}  # {{N}}\n    # {{comment}}\n  einsums: []\n"
    found = errors(take, text)
    assert [line.split(" ")[0] for line in found] == ["3:5:", "4:8:", "4:17:"] and "Jinja '{% set N = 4 %}'" in found[0]


def test_every_mistake_of_a_file_is_shown_in_its_order(take: Any, errors: Any) -> None:
    found = errors(take, EINSUM.replace("N: 4", "N: 0") + '"Z[m] = A[m, K: n]"\n  - "S[m] = softmax(Z[m])"\n  - !X "Y[m] = Z[m]"\n')
    assert [line.split(":")[0] for line in found] == ["1", "3", "4", "5"]


@pytest.mark.parametrize(("text", "hint"), [("a: 1\n", ""), ("attnsim: 1\nkind: kernel\n", "need no import"), ("einsum: {}\n", "")])
def test_a_file_of_neither_format_is_told_what_is_expected(text: str, hint: str, take: Any) -> None:
    with pytest.raises(SpecError) as caught:
        take(text, None)
    (issue,) = caught.value.issues
    assert (issue.line, issue.column) == (1, 1) and "is neither TeAAL" in issue.message and "rank_sizes" in issue.message
    assert hint in issue.message
