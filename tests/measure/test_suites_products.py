"""Suites micro, gemm, collective and model: rows are legal everywhere; what runs on a CPU is run."""

from __future__ import annotations

import itertools
import socket
from collections import Counter

import pytest

from attnsim.measure.suite import Suite
from attnsim.measure.suites import collective, gemm, micro, model
from attnsim.spec.measurement import COLUMNS_OF, FILE, MEASURED, kind_of

SUITES = [(gemm.SUITE, "cuda"), (gemm.SUITE, "cpu"), (micro.SUITE, "cuda"), (micro.SUITE, "cpu"), (model.SUITE, "cuda")]
IDS = [f"{suite.name}-{device}" for suite, device in SUITES]
KINDS = {"gemm": {"product", "rowwise"}, "micro": {"micro", "product"}, "model": {"model"}}


@pytest.mark.parametrize(("suite", "device"), SUITES, ids=IDS)
@pytest.mark.parametrize("small", [True, False])
def test_rows_fill_their_columns_and_no_others(suite: Suite, device: str, small: bool) -> None:
    for case in suite.cases(device, small):
        kind = kind_of(str(case.values["kernel"]))
        assert kind in KINDS[suite.name]
        assert set(COLUMNS_OF[kind]) - {"time_us"} <= set(case.values) <= set(FILE) - (set(MEASURED) - {"suite", "backend"})
        assert case.values["suite"] == suite.name and case.values["backend"]


@pytest.mark.parametrize(("suite", "device"), SUITES, ids=IDS)
@pytest.mark.parametrize("small", [True, False])
def test_no_row_stands_twice(suite: Suite, device: str, small: bool) -> None:
    counts = Counter(tuple(sorted(case.values.items())) for case in suite.cases(device, small))
    assert set(counts.values()) == {1}


@pytest.mark.parametrize(("suite", "device"), SUITES, ids=IDS)
def test_small_runs_are_part_of_whole_ones(suite: Suite, device: str) -> None:
    small, whole = ([case.values for case in suite.cases(device, size)] for size in (True, False))
    assert 0 < len(small) < len(whole)
    assert all(values in whole for values in small)


def test_a_whole_run_is_as_long_as_was_promised() -> None:
    counts = {f"{suite.name}-{device}": sum(1 for _ in suite.cases(device, False)) for suite, device in SUITES}
    assert 200 <= counts["gemm-cuda"] <= 260
    assert counts["micro-cuda"] <= 110
    assert 35 <= counts["model-cuda"] <= 50


def test_models_have_the_layers_of_the_library() -> None:
    sizes = model.sizes_of("llama3-8b")
    assert (sizes.hidden, sizes.qkv, sizes.width) == (4096, 6144, 14336)
    assert sizes.weight_bytes == 2 * 218103808
    assert all(case.values["layers"] >= model.FEWEST_LAYERS for case in model.cases("cuda", False))  # type: ignore[operator]


def test_models_of_another_kind_are_refused() -> None:
    with pytest.raises(ValueError, match="deepseek-v3"):
        model.sizes_of("deepseek-v3")


def test_collectives_run_on_two_and_four_of_eight() -> None:
    assert [collective.worlds(count) for count in (1, 2, 3, 4, 8)] == [[], [2], [2, 3], [2, 4], [2, 4, 8]]


@pytest.mark.parametrize("suite", [gemm.SUITE, micro.SUITE], ids=["gemm", "micro"])
def test_small_rows_are_right_on_a_cpu(suite: Suite) -> None:
    pytest.importorskip("torch")
    for case in suite.cases("cpu", True):
        prepared = case.make()
        assert len(prepared.calls) >= 2
        for call in prepared.calls[:2]:
            call()
        assert prepared.check() <= prepared.tolerance, case.values


@pytest.mark.parametrize(("context", "tokens"), [(64, 64), (100, 1), (33, 33)])
@pytest.mark.parametrize("kv_heads", [2, 8])
def test_a_decoder_agrees_with_float64(context: int, tokens: int, kv_heads: int) -> None:
    pytest.importorskip("torch")
    from attnsim.measure.suites.decoder import PLAIN, Decoder

    step = Decoder(model.Sizes(256, 8, kv_heads, 64, 512), 2, 3, context, tokens, "flash", PLAIN, "cpu")
    assert step.off() < model.TOLERANCE
    assert tuple(step.run().shape) == (3 * tokens, 256)


def test_a_decoder_that_is_wrong_is_seen() -> None:
    pytest.importorskip("torch")
    from attnsim.measure.suites.decoder import PLAIN, Decoder

    step = Decoder(model.Sizes(256, 8, 2, 64, 512), 1, 2, 40, 40, "flash", PLAIN, "cpu")
    step.cos = step.cos.roll(1, 0)
    assert step.off() > model.TOLERANCE


def _gloo(rank: int, world: int, port: int) -> None:
    import torch.distributed as dist

    from attnsim.measure.suites.collective_work import checked, operations

    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world)
    found = {operation.kernel: checked(operation) for operation in operations(4096, rank, world, "cpu")}
    expected = {"all-reduce", "all-gather", "reduce-scatter", "all-to-all", "broadcast"} | ({"send"} if world == 2 else set())
    assert found == dict.fromkeys(expected, 0), found
    for operation in itertools.islice(operations(4096, rank, world, "cpu"), 1):  # what is checked is not what was there before
        operation.clear()
        assert operation.wrong()
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.parametrize("world", [2, 3])
def test_collectives_give_exact_sums(world: int) -> None:
    torch = pytest.importorskip("torch")
    if not torch.distributed.is_available():
        pytest.skip("this PyTorch has no distributed part")
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    torch.multiprocessing.spawn(_gloo, args=(world, port), nprocs=world)
