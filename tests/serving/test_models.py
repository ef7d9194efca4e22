"""The shipped models: all load, and count what their makers and arXiv 2507.19427 say they do."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from attnsim.machine import Machine, load_machine
from attnsim.serving import colocated
from attnsim.serving.kernels import NOTHING
from attnsim.serving.model import Conventions, Model
from attnsim.spec.library import entries, find, load
from attnsim.spec.model import LinearAttention, TransformerSpec
from attnsim.spec.yaml import validate

ROOT = Path(__file__).resolve().parents[2]
STEP3 = Conventions(mla_value="latent_and_rope", linear_core="block")
NAMES = (
    "deepseek-v3", "ernie-4.5-300b", "gpt-oss-120b", "gpt-oss-20b", "kimi-k2", "llama-33b", "llama-65b", "llama2-13b", "llama2-7b",
    "llama3-70b", "llama3-8b", "llama4-maverick", "minimax-m1", "mistral-7b", "mixtral-8x7b", "pangu-pro", "qwen2-7b", "qwen3-235b",
    "qwen3-32b", "step3", "yi-34b", "yi-6b",
)  # fmt: skip


def model(name: str) -> Model:
    return Model(validate(TransformerSpec, load("model", name)))


def cells() -> list[tuple[str, int, str, float]]:
    """(model, context, column, printed value) of Tables 2 and 3."""
    with (ROOT / "validation/step3/models.csv").open() as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    columns = ("kv_bytes", "core_flops", "linear_flops", "ffn_flops")
    return [(row["model"], int(row["context"]), column, float(row[column])) for row in rows for column in columns]


def test_the_library_holds_the_models_and_each_bears_the_name_of_its_file() -> None:
    assert sorted(entry.name for entry in entries("model")) == list(NAMES)
    assert [model(name).name for name in NAMES] == list(NAMES)


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("k2", "kimi-k2"),
        ("qwen3-moe", "qwen3-235b"),
        ("vicuna-7b", "llama2-7b"),
        ("vicuna-13b", "llama2-13b"),
        ("vicuna-33b", "llama-33b"),
        ("deepseek-r1", "deepseek-v3"),
        ("Llama_3_8B", "llama3-8b"),
    ],
)
def test_models_go_by_other_names_too(alias: str, name: str) -> None:
    assert find("model", alias).name == name


def test_no_two_models_share_a_name() -> None:
    names = [word.lower().replace("_", "-") for entry in entries("model") for word in (entry.name, *entry.aliases)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_those_published(name: str) -> None:
    """Two or three digits are printed, and biases are not counted. Kimi K2: its paper prints 1.04 T, its config.json makes 1.026 T."""
    found = model(name)
    published = found.spec.published
    assert published.parameters is not None and published.source
    assert found.parameters == pytest.approx(published.parameters, rel=0.015 if name == "kimi-k2" else 0.005)


@pytest.mark.parametrize(
    ("name", "exact"),
    [
        ("llama2-7b", 6_738_415_616),
        ("llama2-13b", 13_015_864_320),
        ("llama3-8b", 8_030_261_248),
        ("llama3-70b", 70_553_706_496),
        ("mistral-7b", 7_241_732_096),
        ("mixtral-8x7b", 46_702_792_704),
    ],
)
def test_without_biases_the_parameters_are_exact(name: str, exact: int) -> None:
    """Elements of the published checkpoints of models that have nothing but matrices and two norms a layer."""
    assert model(name).parameters == exact


@pytest.mark.parametrize("name", [name for name in NAMES if model(name).spec.published.activated])
def test_activated_parameters_are_those_published(name: str) -> None:
    found = model(name)
    published = found.spec.published
    left_out = {"both": 0, "head": found.embedding_weights - found.head_weights, "none": found.embedding_weights}
    assert published.activated is not None
    assert found.activated - left_out[published.activated_embeddings] == pytest.approx(published.activated, rel=0.025)


def test_a_mixture_of_experts_says_how_many_parameters_are_activated() -> None:
    for name in NAMES:
        assert (model(name).spec.published.activated is None) == (model(name).sparsity is None)


def test_both_tables_have_all_their_cells() -> None:
    assert len(cells()) == 72 and len({name for name, *_ in cells()}) == 9


@pytest.mark.parametrize(("name", "context", "column", "printed"), cells())
def test_the_cells_of_tables_2_and_3_of_step_3(name: str, context: int, column: str, printed: float) -> None:
    """arXiv 2507.19427: three digits, so that half a unit of the last is up to 0.5 %."""
    found = model(name)
    counted = {
        "kv_bytes": found.kv_read(context),
        "core_flops": found.core_flops(context, STEP3),
        "linear_flops": found.flops("attention"),
        "ffn_flops": found.flops("ffn"),
    }[column]
    assert float(f"{counted:.2e}") == printed
    assert counted == pytest.approx(printed, rel=0.0035)


def test_a_window_ends_the_growth_of_the_cache() -> None:
    """Layers of gpt-oss with a window of 128 keep 128 tokens of 8 heads x 64 keys and values in bf16."""
    found = model("gpt-oss-20b")
    a_token = 2 * 8 * 64 * 2
    assert found.kv_stored(100) == 24 * 100 * a_token
    assert found.kv_stored(10_000) == 12 * (10_000 + 128) * a_token


def test_published_weights_in_fp16() -> None:
    """arXiv 2405.01814, Table 3: two bytes a parameter; of LLaMA3-70B it prints 2.6 % less than the checkpoint holds."""
    for name, gigabytes in (("llama-33b", 64.7), ("llama-65b", 130.1), ("llama3-70b", 137.5)):
        assert model(name).weight_bytes() / 1e9 == pytest.approx(gigabytes, rel=0.027)


def test_queries_keys_and_values_are_placed_by_a_kernel_each() -> None:
    machine = load_machine("h100_sxm")
    assert isinstance(machine, Machine)
    placed = {name: colocated.placed(machine, model(name).layers[0], 4096, 1) for name in ("llama3-8b", "deepseek-v3")}
    assert placed["llama3-8b"].bytes == pytest.approx(2 * 2 * 4096 * (32 + 8 + 8) * 128, rel=0.01)  # read and written, in 16 bits
    assert placed["deepseek-v3"].bytes == pytest.approx(2 * 2 * 4096 * (128 * 64 + 512 + 64), rel=0.01)
    linear = next(layer for layer in model("minimax-m1").layers if isinstance(layer.core.spec, LinearAttention))
    assert colocated.placed(machine, linear, 4096, 1) == NOTHING  # a state, no cache
    halves = colocated.placed(machine, model("llama3-8b").layers[0], 4096, 2)
    assert halves.bytes == pytest.approx(placed["llama3-8b"].bytes / 2, rel=0.01)
