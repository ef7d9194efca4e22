"""Re-expressed formulas of other tools against what the tools themselves printed, and the fair comparison on rows of a file."""

from __future__ import annotations

from typing import Any

import pytest

from attnsim.errors import MissingDataError
from attnsim.validate.baselines import (
    FITTED,
    OURS,
    FittedRoofline,
    Sample,
    compare,
    genz,
    llm_viewer,
    llm_viewer_unfused,
    roofline,
    work_of,
)
from attnsim.validate.predict import Prediction


def attention(B: int, H: int, G: int, P: int, M: int, mask: str = "causal", **fields: Any) -> dict[str, Any]:
    sizes = {"B": B, "H": H, "G": G, "P": P, "M": M, "E": 128, "F": 128}
    made = {"attnsim": 1, "kind": "kernel", "name": "x", "cascade": "attention-1pass", "sizes": sizes, "dtype": "bf16"}
    return {**made, "mask": {"kind": mask}, "schedule": "flash-attention-3", **fields}


PREFILL = attention(1, 32, 32, 8192, 8192)
DECODE = attention(64, 32, 8, 1, 8192)


@pytest.mark.parametrize(
    ("model", "workload", "arch", "printed_ms"),
    [  # the tools themselves: GenZ 0.0.16 and LLM-Viewer 472f71f, called for these three points
        (genz, PREFILL, "h100_sxm", 1.112),
        (genz, PREFILL, "a100_sxm_80gb", 3.524),
        (genz, DECODE, "h100_sxm", 0.592),
        (llm_viewer, PREFILL, "h100_sxm", 5.614),
        (llm_viewer, PREFILL, "a100_sxm_80gb", 8.459),
        (llm_viewer, DECODE, "h100_sxm", 2.818),
        (llm_viewer_unfused, PREFILL, "h100_sxm", 5.680),
        (llm_viewer_unfused, PREFILL, "a100_sxm_80gb", 8.56),
        (llm_viewer_unfused, DECODE, "h100_sxm", 0.743),
        (roofline, PREFILL, "h100_sxm", 0.556),
        (roofline, PREFILL, "a100_sxm_80gb", 1.762),
        (roofline, DECODE, "h100_sxm", 0.641),
    ],
)
def test_formulas_give_back_what_the_tools_print(model: Any, workload: dict[str, Any], arch: str, printed_ms: float) -> None:
    assert model(workload, arch).latency_s * 1e3 == pytest.approx(printed_ms, rel=1e-3)


def test_work_follows_the_mask() -> None:
    dense, causal = work_of(attention(1, 32, 8, 4096, 4096, "dense")), work_of(attention(1, 32, 8, 4096, 4096))
    assert causal.flops == pytest.approx(dense.flops * 4097 / 8192) and causal.bytes == dense.bytes
    window = work_of(DECODE | {"mask": {"kind": "window", "left": 1023, "right": 0}})
    assert window.bytes == pytest.approx(work_of(attention(64, 32, 8, 1, 1024)).bytes)


def test_shapes_without_a_formula_are_refused() -> None:
    backward = PREFILL | {"direction": "backward", "cascade": "attention-backward"}
    for model in (genz, llm_viewer, llm_viewer_unfused):
        with pytest.raises(MissingDataError, match="softmax attention forward only"):
            model(backward, "h100_sxm")
    with pytest.raises(MissingDataError):
        roofline({"kind": "model"}, "h100_sxm")
    with pytest.raises(MissingDataError, match="PE arrays"):
        roofline(PREFILL, "fusemax_cloud")


def points() -> list[dict[str, Any]]:
    return [attention(B, 32, 8, tokens, tokens) for tokens in (512, 1024, 4096) for B in (1, 4)]


def test_two_parameters_are_found_again() -> None:
    rows = [(w, roofline(w, "h100_sxm").latency_s / 0.6 + 8e-6) for w in points()]
    fitted = FittedRoofline.fit(rows, "h100_sxm")
    ((slope, overhead),) = fitted.parameters.values()
    assert slope == pytest.approx(1 / 0.6) and overhead == pytest.approx(8e-6)
    assert all(fitted(w, "h100_sxm").latency_s == pytest.approx(seconds) for w, seconds in rows)
    with pytest.raises(MissingDataError, match="no rows to fit"):
        fitted(points()[0] | {"schedule": "flash-attention-2"}, "h100_sxm")


def test_neither_parameter_goes_below_zero() -> None:
    falling = [(w, 1e-3 - roofline(w, "h100_sxm").latency_s) for w in points()[:4]]
    quick = [(w, roofline(w, "h100_sxm").latency_s - 1e-6) for w in points()]
    for rows in (falling, quick):
        ((slope, overhead),) = FittedRoofline.fit(rows, "h100_sxm").parameters.values()
        assert slope >= 0 and overhead >= 0 and slope + overhead > 0


def samples(fitted: tuple[bool, ...]) -> list[Sample]:
    group = "flash-attention-3", "forward"
    return [Sample(group, w, 1e-3, Prediction(1.1e-3, 2e-3), flag) for w, flag in zip(points(), fitted, strict=True)]


@pytest.mark.parametrize(
    ("fitted", "n"), [((True, True, False, False, False, False), 4), ((False,) * 6, 3), ((True,) * 6, 0)]
)  # fmt: skip
def test_all_models_are_scored_on_the_same_rows_that_nothing_was_fitted_to(fitted: tuple[bool, ...], n: int) -> None:
    scores = compare(samples(fitted), "h100_sxm")
    assert {len(score.errors) for score in scores} == ({n} if n else set())
    if n:
        names = [score.name for score in scores]
        assert names[:3] == [OURS, "roofline", FITTED] and any(name.startswith("GenZ") for name in names)
        assert scores[0].errors == pytest.approx((0.1,) * n) and scores[0].impossible == n
