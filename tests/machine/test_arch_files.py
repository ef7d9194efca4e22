"""Every shipped arch file: it loads, each number has a source, and the arithmetic gives the published figures."""

from __future__ import annotations

import pytest

from attnsim.machine import Machine, load_machine, sustained_gemm
from attnsim.machine.machine import Path
from attnsim.spec import library
from attnsim.spec.arch import RESERVED_SOURCES, ArchSpec, check
from attnsim.spec.yaml import validate

AMPERE_ADA = ["a100_sxm_40gb", "a100_sxm_80gb", "a800", "l20", "l40s", "rtx_4090", "rtx_a6000"]
HOPPER_ON = ["h100_sxm", "h100_pcie", "h800", "h200", "h20", "b200", "gb200"]
GPUS = [*AMPERE_ADA, *HOPPER_ON, "mi300x"]  # the names users will type
CPUS = ["epyc_7763", "epyc_turin_2core", "xeon_8480"]
NAMES = [entry.name for entry in library.entries("arch") if "spatial" not in entry.path.parts]

# Published dense peaks that SM arithmetic does not reproduce within 1 %, with the reason in the file's peak_note.
PEAK_EXCEPTIONS = {("b200", "fp32"), ("gb200", "fp32"), ("h20", "fp32"), ("l40s", "bf16"), ("l40s", "fp16")}


def spec_of(name: str) -> ArchSpec:
    return validate(ArchSpec, library.load("arch", name))


@pytest.fixture(params=NAMES)
def machine(request: pytest.FixtureRequest) -> Machine:
    return load_machine(request.param)


def test_every_promised_machine_is_there() -> None:
    assert set(NAMES) >= {*GPUS, *CPUS}


@pytest.mark.parametrize("name", NAMES)
def test_file_is_sound(name: str) -> None:
    document = library.load("arch", name)
    spec = validate(ArchSpec, document)
    assert check(spec, document) == ()
    assert spec.name == name
    assert spec.title
    assert spec.aliases
    assert spec.assumptions


@pytest.mark.parametrize("name", NAMES)
def test_every_citation_is_used_somewhere_in_its_family(name: str) -> None:
    """A source that no file of the family cites is a leftover; a base may carry one that only a child needs."""
    text = "\n".join(entry.path.read_text(encoding="utf-8") for entry in library.entries("arch"))
    for source in spec_of(name).sources:
        assert f"source: {source}" in text or f"({source}" in text, source


@pytest.mark.parametrize("name", NAMES)
def test_published_peaks_follow_from_the_rates(name: str) -> None:
    spec = spec_of(name)
    assert spec.peak
    for dtype, published in spec.peak.items():
        computed = spec.computed_peak(dtype)
        assert computed is not None
        off = abs(computed / published.value - 1)
        if (name, dtype) in PEAK_EXCEPTIONS:
            assert off > 0.01, f"{dtype} is within 1 % and needs no exception"
            assert spec.peak_note and spec.peak_note[dtype]
        else:
            assert off < 0.01, f"{dtype}: {computed:.4g} against {published.value:.4g}"
    assert set(spec.peak_note or {}) == {dtype for exempt, dtype in PEAK_EXCEPTIONS if exempt == name}


@pytest.mark.parametrize("name", NAMES)
def test_bf16_peak_is_dense(name: str) -> None:
    """A row whose bf16 peak is off by more than 2 % is a 2:4-sparse or otherwise foreign figure."""
    spec = spec_of(name)
    if "bf16" in spec.peak:
        assert abs((spec.computed_peak("bf16") or 0) / spec.peak["bf16"].value - 1) <= 0.02


@pytest.mark.parametrize(
    ("name", "dtype", "tera"),
    [
        ("a100_sxm_80gb", "bf16", 312),
        ("a100_sxm_40gb", "tf32", 156),
        ("a800", "bf16", 312),
        ("h100_sxm", "bf16", 989.4),
        ("h100_sxm", "fp8", 1979),
        ("h100_sxm", "fp32", 66.9),
        ("h100_pcie", "bf16", 756),
        ("h800", "fp8", 1980),
        ("h200", "bf16", 989),
        ("h20", "bf16", 148),
        ("h20", "fp8", 296),
        ("l20", "fp16", 119.5),
        ("rtx_4090", "bf16", 165.2),
        ("rtx_a6000", "fp16", 154.8),
        ("rtx_a6000", "fp32", 38.7),
        ("tesla_p40", "fp32", 11.76),
        ("tesla_p40", "fp16", 11.76),
        ("b200", "bf16", 2250),
        ("b200", "fp4", 9000),
        ("gb200", "bf16", 2500),
        ("mi300x", "bf16", 1307.4),
        ("epyc_7763", "fp32", 5.02),
        ("epyc_turin_2core", "fp32", 0.538),
        ("xeon_8480", "bf16", 114.7),
    ],
)
def test_headline_peaks(name: str, dtype: str, tera: float) -> None:
    """Typed in again from the data sheets, so that a slip in a file cannot hide behind its own `peak`."""
    assert load_machine(name).peak_flops(dtype) == pytest.approx(tera * 1e12, rel=0.01)


@pytest.mark.parametrize(
    ("name", "gigabytes_per_s", "gigabytes"),
    [
        ("a100_sxm_40gb", 1555, 40),
        ("a100_sxm_80gb", 2039, 80),
        ("h100_sxm", 3350, 80),
        ("h200", 4800, 141),
        ("h20", 4000, 96),
        ("l40s", 864, 48),
        ("rtx_4090", 1008, 24),
        ("rtx_a6000", 768, 48),
        ("tesla_p40", 346, 24),
        ("b200", 8000, 180),
        ("gb200", 8000, 186),
        ("mi300x", 5300, 192),
    ],
)
def test_headline_memory(name: str, gigabytes_per_s: float, gigabytes: float) -> None:
    memory = load_machine(name).memory
    assert memory.name == "hbm"
    assert memory.bandwidth == gigabytes_per_s * 1e9
    assert memory.capacity_bytes == gigabytes * 1e9


def test_levels_get_faster_inwards(machine: Machine) -> None:
    outer, *inner = machine.levels
    assert outer.capacity_bytes > sum(level.capacity_bytes * copies(machine, level.name) for level in inner)
    for above, below in zip(machine.levels, machine.levels[1:], strict=False):
        assert above.bandwidth <= below.bandwidth, below.name
        assert above.latency_s >= below.latency_s, below.name


def copies(machine: Machine, level: str) -> int:
    return machine.processors if machine.level(level).per == "processor" else 1


def test_measured_is_not_above_nominal(machine: Machine) -> None:
    for level in machine.levels:
        assert 0 < level.sustained <= level.bandwidth
        assert level.latency_far_s >= level.latency_s >= 0
        assert level.energy_j_per_byte >= 0
    for link in machine.links.values():
        assert 0 < link.sustained <= link.bandwidth
        assert link.bandwidth < machine.memory.bandwidth


def test_energy_of_a_byte_falls_inwards(machine: Machine) -> None:
    energies = [level.energy_j_per_byte for level in machine.levels]
    assert energies == sorted(energies, reverse=True)
    assert energies[0] > 0


def test_power_is_plausible(machine: Machine) -> None:
    power = machine.power
    assert 0 < power.idle_w < power.tdp_w <= 1500
    assert 0.3 <= power.clock_exponent <= 3  # 0.57 fitted on H100; 2 where the voltage follows the clock
    for unit in machine.units.values():
        for op, by_dtype in unit.rates.items():
            for dtype in by_dtype:
                energy = power.energy(unit.name, dtype)
                assert energy is not None and energy > 0, (unit.name, op, dtype)


def test_clocks_and_launch(machine: Machine) -> None:
    for clock in machine.clocks.values():
        assert 1e9 < clock.nominal_hz <= clock.boost_hz < 5e9
    assert 0 < machine.launch.graph_s < machine.launch.stream_s < machine.launch.floor_s < 20e-6


def test_limits_fit_the_levels(machine: Machine) -> None:
    limits = machine.limits
    store = machine.level("smem" if machine.has_level("smem") else "l2")
    assert 0 < limits.smem_per_cta_bytes + limits.smem_reserved_per_cta_bytes <= store.capacity_bytes
    assert limits.registers_per_thread <= limits.registers
    assert machine.level("register").capacity_bytes >= limits.registers * 4


@pytest.mark.parametrize("name", GPUS)
def test_gpus_have_what_kernels_ask_for(name: str) -> None:
    machine = load_machine(name)
    assert machine.kind == "gpu"
    assert {"tensor", "vector", "sfu"} <= set(machine.units)
    assert {"hbm", "l2", "smem", "register"} <= {level.name for level in machine.levels}
    assert {"bf16", "fp16", "tf32", "int8", "fp32"} <= machine.dtypes
    assert machine.rate("sfu", "exp", "fp32") == 16
    assert machine.matmul_unit("bf16") == "tensor"
    assert machine.matmul_unit("fp32") == "vector"
    exp = machine.emulation("exp")
    assert exp["mac"] == 3  # the degree of the polynomial
    assert all(machine.rate("vector", op, "fp32") for op in exp)


@pytest.mark.parametrize("name", CPUS)
def test_cpus_run_everything_on_their_vector_unit(name: str) -> None:
    machine = load_machine(name)
    assert machine.kind == "cpu"
    assert "sfu" not in machine.units
    for op in ("exp", "log", "sigmoid", "tanh", "silu", "rsqrt", "sqrt", "div", "max", "mac"):
        assert all(machine.rate("vector", kind, "fp32") for kind in machine.expansion(op))
    assert machine.memory.name == "dram"


def test_hopper_and_blackwell_paths() -> None:
    h100, b200 = load_machine("h100_sxm"), load_machine("b200")
    assert h100.rate("tensor", "mac", "bf16", "mma_sync") == pytest.approx(0.629 * 2048)
    assert h100.path("tensor", "wgmma").rows == 64
    assert b200.path("tensor", "tcgen05").rows == 128
    for name in GPUS:
        for path in load_machine(name).units["tensor"].paths.values():
            assert path.rows or path.warp_rows == 16  # mma.m16n8k16 and mfma 16x16x16, one instruction of one warp


@pytest.mark.parametrize(("path", "tile_rows", "warps", "covered"), [
    (Path("wgmma", 1.0, 64), 128, 8, 64),
    (Path("mma_sync", 1.0, None, 16), 128, 4, 32),
    (Path("mma_sync", 1.0, None, 16), 16, 4, 16),
    (Path("other", 1.0, None), 2, 4, 1),
    (Path("other", 1.0, None), 64, 0, 64),
])  # fmt: skip
def test_rows_that_share_one_read_of_the_other_operand(path: Path, tile_rows: int, warps: int, covered: int) -> None:
    assert path.covered(tile_rows, warps) == covered


def test_blackwell_keeps_the_old_instruction() -> None:
    h100, b200 = load_machine("h100_sxm"), load_machine("b200")
    # Blackwell runs the old instruction about as fast per SM as Hopper does
    assert b200.rate("tensor", "mac", "bf16", "mma_sync") == pytest.approx(0.629 * 2048, rel=0.01)
    assert b200.has_level("tmem") and not h100.has_level("tmem")


def test_dtypes_the_chips_lack() -> None:
    assert not load_machine("a100_sxm_80gb").supports("fp8")
    assert not load_machine("h100_sxm").supports("fp4")
    assert load_machine("b200").supports("fp4")
    assert not load_machine("epyc_7763").supports("fp8")


@pytest.mark.parametrize("name", ["a100_sxm_80gb", "h100_sxm", "h200", "b200", "gb200"])
def test_tensor_energy_gives_back_the_measured_gemm(name: str) -> None:
    """The energy per operation was fitted to the best GEMM under the board's power limit; here it is read the other way round."""
    machine = load_machine(name)
    assert "bf16" in machine.power.gemm
    for dtype, point in machine.power.gemm.items():
        found = sustained_gemm(machine, dtype)
        assert found is not None
        rate, clock = found
        assert rate == pytest.approx(point.rate, rel=0.005)
        assert clock < machine.clock("tensor")


def test_sustained_gemms_are_the_measured_ones() -> None:
    """TFLOP/s the tensor energies are fitted to, typed in again: A100 and H100 on normal inputs, B200 and GB200 their best
    published GEMM.
    """
    table = {"a100_sxm_80gb": 257, "h100_sxm": 713, "h200": 678, "b200": 1745, "gb200": 1822}
    for name, tera in table.items():
        assert load_machine(name).power.gemm["bf16"].rate == tera * 1e12


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("h100", "h100_sxm"),
        ("H100-SXM", "h100_sxm"),
        ("a100", "a100_sxm_80gb"),
        ("a100-40gb", "a100_sxm_40gb"),
        ("b200-sxm", "b200"),
        ("4090", "rtx_4090"),
        ("rtx4090", "rtx_4090"),
        ("xeon_8480+", "xeon_8480"),
        ("Xeon-8480+", "xeon_8480"),
        ("epyc-7763", "epyc_7763"),
        ("mi300", "mi300x"),
    ],
)
def test_aliases(alias: str, name: str) -> None:
    assert load_machine(alias).name == name


def test_no_alias_is_given_twice() -> None:
    seen: dict[str, str] = {}
    for entry in library.entries("arch"):
        for word in (entry.name, *entry.aliases):
            folded = word.lower().replace("-", "_")
            assert seen.setdefault(folded, entry.name) == entry.name, word


def test_reserved_words_are_not_citations() -> None:
    for name in NAMES:
        assert not set(RESERVED_SOURCES) & set(load_machine(name).sources)
