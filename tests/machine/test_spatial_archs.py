"""Every shipped machine of PE arrays: it loads, each number has a source, the arithmetic gives the published figures; and what is wrong in
such a file is said where it stands.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from attnsim.cascade.functions import OPERATIONS
from attnsim.errors import InfeasibleError, SpecError
from attnsim.machine.load import load_machine
from attnsim.machine.spatial import SpatialMachine
from attnsim.spec import library
from attnsim.spec.arch import RESERVED_SOURCES
from attnsim.spec.spatial import SpatialArchSpec, check_spatial
from attnsim.spec.yaml import validate

PAPERS = ["flat_cloud", "flat_edge", "fusemax_cloud"]  # machines as a paper models them
CHIPS = ["tpu_v1", "tpu_v4i", "eyeriss", "gemmini"]  # machines that were built
NAMES = [entry.name for entry in library.entries("arch") if "spatial" in entry.path.parts]
SOFTMAX = {"max", "sub", "exp", "add", "mul", "div"}
KI, MI, GI = 2**10, 2**20, 2**30
PICO = 1e-12


def spatial(name: str | Path) -> SpatialMachine:
    machine = load_machine(name)
    assert isinstance(machine, SpatialMachine)
    return machine


def spec_of(name: str) -> SpatialArchSpec:
    return validate(SpatialArchSpec, library.load("arch", name))


@pytest.fixture(params=NAMES)
def machine(request: pytest.FixtureRequest) -> SpatialMachine:
    return spatial(request.param)


# --- shipped files -----------------------------------------------------------------------------------------------------------------


def test_every_promised_machine_is_there() -> None:
    assert set(NAMES) >= {*PAPERS, *CHIPS}


@pytest.mark.parametrize("name", NAMES)
def test_file_is_sound(name: str) -> None:
    document = library.load("arch", name)
    spec = validate(SpatialArchSpec, document)
    assert check_spatial(spec, document) == ()
    assert spec.name == name
    assert spec.title and spec.aliases and spec.technology and spec.assumptions
    assert not set(RESERVED_SOURCES) & set(spec.sources)


@pytest.mark.parametrize("name", NAMES)
def test_every_citation_is_used(name: str) -> None:
    """A source that no file of the folder cites is a leftover; a base may carry one that only a child needs."""
    text = "\n".join(entry.path.read_text(encoding="utf-8") for entry in library.entries("arch") if entry.name in NAMES)
    for source in spec_of(name).sources:
        assert f"source: {source}" in text or f"({source}" in text, source


@pytest.mark.parametrize(
    ("name", "dtype", "giga", "word_bytes", "technology"),
    [
        ("flat_cloud", "fp16", 123_691, 2, "45 nm"),  # (256 x 256 + 256) x 2 x 940 MHz: both arrays multiply and add
        ("flat_edge", "bf16", 1_985, 2, "45 nm"),
        ("fusemax_cloud", "fp16", 123_691, 2, "45 nm"),
        ("tpu_v1", "int8", 92_000, 1, "28 nm"),
        ("tpu_v4i", "bf16", 138_000, 2, "7 nm"),
        ("eyeriss", "fp16", 67.2, 2, "65 nm"),  # 168 PEs x 2 x 200 MHz
        ("gemmini", "int8", 512, 1, "22 nm"),  # 256 PEs x 2 x 1 GHz
    ],
)
def test_headline_peaks(name: str, dtype: str, giga: float, word_bytes: float, technology: str) -> None:
    """Typed in again from the data sheets and papers."""
    machine = spatial(name)
    assert machine.peak_flops(dtype) == pytest.approx(giga * 1e9, rel=0.005)
    assert machine.word_bytes == word_bytes
    assert machine.technology == technology


@pytest.mark.parametrize(
    ("name", "megahertz", "buffer_bytes", "row_bytes", "gigabytes_per_s", "capacity"),
    [
        ("flat_cloud", 940, 32 * MI, 512, 429.5, None),
        ("flat_edge", 940, 512 * KI, 512, 53.69, None),
        ("fusemax_cloud", 940, 16 * MI, 512, 429.5, None),
        ("tpu_v1", 700, 24 * MI, 256, 34, 8 * GI),
        ("tpu_v4i", 1050, 128 * MI, 512, 614, 8 * GI),
        ("eyeriss", 200, 128 * KI, 8, 25.6, None),
        ("gemmini", 1000, 256 * KI, 16, 16, None),
    ],
)
def test_headline_memory(
    name: str, megahertz: float, buffer_bytes: int, row_bytes: int, gigabytes_per_s: float, capacity: float | None
) -> None:
    machine = spatial(name)
    assert machine.clock_hz == megahertz * 1e6
    assert machine.buffer.capacity_bytes == buffer_bytes
    assert machine.buffer.row_bytes == row_bytes
    assert machine.dram.bandwidth == pytest.approx(gigabytes_per_s * 1e9, rel=1e-4)
    assert machine.dram.capacity_bytes == capacity


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("flat_cloud", {"pe2d": (256, 256), "pe1d": (256,)}),
        ("flat_edge", {"pe2d": (32, 32), "pe1d": (32,)}),
        ("fusemax_cloud", {"pe2d": (256, 256), "pe1d": (256,)}),
        ("tpu_v1", {"pe2d": (256, 256), "pe1d": (256,)}),
        ("tpu_v4i", {"pe2d": (128, 128), "pe1d": (128,)}),
        ("eyeriss", {"pe2d": (14, 12)}),
        ("gemmini", {"pe2d": (16, 16), "pe1d": (16,)}),
    ],
)
def test_shapes(name: str, shapes: dict[str, tuple[int, ...]]) -> None:
    assert {array.name: array.shape for array in spatial(name).arrays.values()} == shapes


@pytest.mark.parametrize(
    ("name", "gigabytes_per_s"),
    [
        ("tpu_v1", 2 * 167 * GI / 1e9),  # 167 GiB/s to the matrix unit, as much back
        ("tpu_v4i", 2048 + 1024),
        ("eyeriss", 32 * 8 * 0.2),  # accesses a cycle x bytes x GHz
        ("gemmini", 4 * 16 * 1.0),  # banks x bytes x GHz
    ],
)
def test_the_buffer_streams_no_faster(name: str, gigabytes_per_s: float) -> None:
    assert spatial(name).buffer.bandwidth == pytest.approx(gigabytes_per_s * 1e9, rel=0.001)


def test_copies_share_the_work() -> None:
    arrays = spatial("tpu_v4i").arrays
    assert (arrays["pe2d"].copies, arrays["pe2d"].pes) == (4, 4 * 128 * 128)
    assert (arrays["pe1d"].copies, arrays["pe1d"].pes) == (16, 2 * 8 * 128)  # 2 ALUs, 8 sublanes, 128 lanes
    assert arrays["pe2d"].area_m2 == pytest.approx(4 * 128 * 128 * 90e-12)


def test_energies_of_the_reference() -> None:
    """7.03, 1.88 and 2.36 pJ/bit and 0.084 pJ a multiply-add of TPU v4i; 1, 6 and 200 multiply-adds a word of Eyeriss at 65 nm."""
    tpu, eyeriss = spatial("tpu_v4i"), spatial("eyeriss")
    bits = 8 * tpu.buffer.row_bytes
    assert tpu.dram.energy_j_per_byte == pytest.approx(8 * 7.03 * PICO)
    assert tpu.buffer.read_j == pytest.approx(bits * 1.88 * PICO, rel=0.001)
    assert tpu.buffer.write_j == pytest.approx(bits * 2.36 * PICO, rel=0.001)
    assert tpu.arrays["pe2d"].units["mac"].energy_j == pytest.approx(0.084 * PICO)
    registers, mac = eyeriss.arrays["pe2d"].registers, eyeriss.arrays["pe2d"].units["mac"].energy_j
    assert registers is not None and registers.words == 12 + 192 + 16
    assert registers.read_j == registers.write_j == mac
    assert eyeriss.buffer.read_j / (eyeriss.buffer.row_bytes / 2) == pytest.approx(6 * mac)
    assert 50 * mac < 2 * eyeriss.dram.energy_j_per_byte < 200 * mac  # LPDDR4, less than the memory of 2016


@pytest.mark.parametrize("name", CHIPS)
def test_energy_of_a_byte_falls_inwards(name: str) -> None:
    machine = spatial(name)
    buffer = machine.buffer.read_j / machine.buffer.row_bytes
    assert 0 < buffer <= machine.buffer.write_j / machine.buffer.row_bytes < machine.dram.energy_j_per_byte
    assert 0 < machine.arrays["pe2d"].units["mac"].energy_j < machine.dram.energy_j_per_byte


@pytest.mark.parametrize("name", CHIPS)
def test_power_is_plausible(name: str) -> None:
    """All multiply-adders, the memory and one row of the buffer a cycle and port at work, on top of idle power."""
    machine = spatial(name)
    macs = machine.arrays["pe2d"].pes * machine.clock_hz * machine.arrays["pe2d"].units["mac"].energy_j
    rows = (machine.buffer.bandwidth or 0) / machine.buffer.row_bytes * machine.buffer.read_j
    watts = machine.leakage_w + macs + rows + machine.dram.bandwidth * machine.dram.energy_j_per_byte
    most = {"tpu_v1": 75, "tpu_v4i": 175, "eyeriss": 3, "gemmini": 2}[name]  # thermal design power of the two data center chips
    assert machine.leakage_w < watts < most


def test_who_runs_softmax() -> None:
    running = {name for name in NAMES if any(array.executes(SOFTMAX) for array in spatial(name).arrays.values())}
    assert running == set(NAMES) - {"eyeriss"}
    assert all(spatial(name).arrays["pe2d"].executes(["mac"]) for name in NAMES)


def test_operations_are_those_of_einsums(machine: SpatialMachine) -> None:
    for array in machine.arrays.values():
        assert set(array.cycles) == set(array.actions) <= OPERATIONS
        assert all(cycles >= 1 for cycles in array.cycles.values())
        for parts in array.actions.values():
            assert all(unit in array.units and times > 0 for unit, times in parts)


def test_formats_the_chips_lack() -> None:
    for name, dtype in (("tpu_v1", "bf16"), ("tpu_v4i", "fp16"), ("tpu_v4i", "int8"), ("eyeriss", "int8"), ("gemmini", "fp32")):
        assert not spatial(name).supports(dtype)
        with pytest.raises(InfeasibleError, match=f"{name} computes in .*, not in {dtype}"):
            spatial(name).peak_flops(dtype)


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("tpuv1", "tpu_v1"),
        ("TPU-v1", "tpu_v1"),
        ("tpuv4i", "tpu_v4i"),
        ("TPU-v4-lite", "tpu_v4i"),
        ("eyeriss-like", "eyeriss"),
        ("Gemmini", "gemmini"),
        ("fusemax-accelerator", "fusemax_cloud"),
    ],
)
def test_aliases(alias: str, name: str) -> None:
    assert spatial(alias).name == name


# --- what an operation costs -------------------------------------------------------------------------------------------------------

HEAD = "attnsim: 1\nkind: spatial\nextends: flat_cloud\nname: mine\n"


def mine(tmp_path: Path, body: str) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(HEAD + body, encoding="utf-8")
    return path


def joules(machine: SpatialMachine, array: str, op: str) -> float:
    units = machine.arrays[array].units
    return sum(times * units[unit].energy_j for unit, times in machine.arrays[array].actions[op])


def test_the_base_alone_is_fine(tmp_path: Path) -> None:
    machine, base = spatial(mine(tmp_path, "")), spatial("flat_cloud")
    assert machine.name == "mine"
    assert machine != base and machine.arrays == base.arrays


def test_an_exponential_is_six_multiply_adds() -> None:
    for array in ("pe2d", "pe1d"):
        machine = spatial("fusemax_cloud")
        assert machine.arrays[array].cycles["exp"] == 6
        assert joules(machine, array, "exp") == pytest.approx(6 * 17.1645 * PICO)
        assert machine.arrays[array].cycles["sub"] == machine.arrays[array].cycles["mul"] == 1
        assert joules(machine, array, "sub") == pytest.approx(8.3395 * PICO)
        assert joules(machine, array, "mul") == pytest.approx(17.1645 * PICO)


def test_an_expansion_costs_the_sum_of_its_parts(tmp_path: Path) -> None:
    machine = spatial(mine(tmp_path, "arrays: {pe1d: {ops: {add: 2, max: 3, exp: {expand: {mac: 2, add: 4, max: 0.5}}}}}\n"))
    assert machine.arrays["pe1d"].cycles["exp"] == 2 * 1 + 4 * 2 + 0.5 * 3
    assert joules(machine, "pe1d", "exp") == pytest.approx((2 * 17.1645 + 4 * 8.3395 + 0.5 * 0.028036) * PICO)


def test_an_operation_on_the_unit_of_another(tmp_path: Path) -> None:
    machine = spatial(mine(tmp_path, "arrays: {pe1d: {ops: {add: {cycles: 3, unit: mac}, sub: {expand: {add: 2}}}}}\n"))
    assert machine.arrays["pe1d"].actions["add"] == (("mac", 1),)
    assert machine.arrays["pe1d"].cycles["sub"] == 6
    assert joules(machine, "pe1d", "sub") == pytest.approx(2 * 17.1645 * PICO)
    scaled = spatial("gemmini").arrays["pe1d"]  # 4 scale units for 16 lanes, which also divide
    assert scaled.cycles["mul"] == scaled.cycles["div"] == 4
    assert scaled.actions["mul"] == scaled.actions["div"] == (("scale", 1),)


def test_a_plain_number_is_cycles(tmp_path: Path) -> None:
    short = spatial(mine(tmp_path, "arrays: {pe1d: {ops: {exp: 5}}}\n"))
    long = spatial(mine(tmp_path, "arrays: {pe1d: {ops: {exp: {cycles: 5}}}}\n"))
    assert short.arrays == long.arrays
    assert short.arrays["pe1d"].cycles["exp"] == 5


def test_a_number_takes_the_source_of_its_group(tmp_path: Path) -> None:
    assert spatial(mine(tmp_path, "dram: {bandwidth: 1 TB/s}\n")).dram.bandwidth == 1e12
    assert spatial(mine(tmp_path, "leakage: {value: 5 W, source: estimate, note: a guess}\n")).leakage_w == 5


def test_one_format_or_several_of_one_width(tmp_path: Path) -> None:
    assert spatial(mine(tmp_path, "dtypes: [int8, fp8]\n")).word_bytes == 1
    assert spatial(mine(tmp_path, "dtypes: [fp32]\n")).word_bytes == 4


# --- mistakes ----------------------------------------------------------------------------------------------------------------------


def errors_of(path: Path) -> list[str]:
    with pytest.raises(SpecError) as caught:
        load_machine(path)
    return [str(issue).replace(f"{path.parent}/", "") for issue in caught.value.issues]


@pytest.mark.parametrize(
    ("body", "place", "words"),
    [
        # operations
        ("arrays: {pe1d: {ops: {ex: {expand: {mac: 6}}}}}\n", "mine.yaml:5:23: arrays.pe1d.ops.ex", ("'ex'; did you mean 'exp'?",)),
        ("arrays: {pe1d: {ops: {exp2: {expand: {mac: 6}}}}}\n", "mine.yaml:5:23", ("no Einsum has an operation 'exp2'", "add, div, exp")),
        ("arrays: {pe2d: {ops: {exp: {expand: {add: 6}}}}}\n", "mine.yaml:5:38", ("'add', which the PE does not execute itself", "mac")),
        ("arrays: {pe1d: {ops: {exp: {expand: {mul: 6}}}}}\n", "mine.yaml:5:38", ("'mul', which the PE does not", "mac, add, max, div")),
        ("arrays: {pe1d: {ops: {exp: {expand: {exp: 6}}}}}\n", "mine.yaml:5:38", ("expands into 'exp', which the PE does not",)),
        ("arrays: {pe2d: {ops: {max: 1}}}\n", "mine.yaml:5:23", ("no energy is given for unit 'max'", "arrays.pe2d.units")),
        ("arrays: {pe1d: {ops: {exp: {cycles: 1, unit: epx}}}}\n", "mine.yaml:5:23", ("unit 'epx'", "did you mean 'exp'?")),
        ("arrays: {pe1d: {ops: {exp: {cycles: 1, expand: {mac: 6}}}}}\n", "mine.yaml:5:23", ("either its cycles", "or an expansion")),
        ("arrays: {pe1d: {ops: {exp: {}}}}\n", "mine.yaml:5:23", ("either its cycles", "or an expansion")),
        ("arrays: {pe1d: {ops: {exp: {expand: {mac: 6}, unit: mac}}}}\n", "mine.yaml:5:47", ("runs on the units of its parts",)),
        ("arrays: {pe2d: {ops: {mac: 1.5}}}\n", "mine.yaml:5:23", ("whole number of at least 1", "1.5")),
        ("arrays: {pe2d: {ops: {mac: 0}}}\n", "mine.yaml:5:23", ("whole number of at least 1",)),
        # sources
        ("leakage: 5 W\n", "mine.yaml:5:1: leakage", ("this number has no source",)),
        ("clock: 1 GHz\n", "mine.yaml:5:1: clock", ("this number has no source",)),
        (
            "buffer: {capacity: {value: 1 MiB, source: artifat}}\n",
            "mine.yaml:5:10",
            ("'artifat' is not listed", "did you mean 'artifact'?"),
        ),
        ("buffer: {read: {value: 1 nJ, source: estimate}}\n", "mine.yaml:5:10", ("'estimate' needs a note",)),
        ("buffer: {read: {value: 1 nJ, source: derived}}\n", "mine.yaml:5:10", ("'derived' needs a note",)),
        ("sources: {derived: me}\n", "mine.yaml:5:11", ("'derived' is a reserved word",)),
        # widths
        ("dtypes: [fp16, int8]\n", "mine.yaml:5:1: dtypes", ("formats of one width", "8, 16 bits")),
        ("dtypes: [fp17]\n", "mine.yaml:5:10: dtypes.0", ("'fp17'; did you mean 'fp16'?",)),
        ("dtypes: []\n", "mine.yaml:5:1: dtypes", ("at least 1 item",)),
        ("buffer: {row: 3 B}\n", "mine.yaml:5:10: buffer.row", ("3 B holds no whole number of 2-byte words",)),
        ("buffer: {row: 64 MiB}\n", "mine.yaml:5:10: buffer.row", ("larger than the buffer",)),
        # shapes and units
        ("arrays: {pe2d: {shape: [2, 2, 2]}}\n", "mine.yaml:5:17: arrays.pe2d.shape", ("at most 2 items",)),
        ("arrays: {pe2d: {shape: [0, 2]}}\n", "mine.yaml:5:25: arrays.pe2d.shape.0", ("at least 1",)),
        ("arrays: {pe2d: {count: 0}}\n", "mine.yaml:5:17: arrays.pe2d.count", ("at least 1",)),
        ("arrays: {pe2d: {registers: {words: 0}}}\n", "mine.yaml:5:29", ("at least 1",)),
        ("buffer: {capasity: 1 MiB}\n", "mine.yaml:5:10", ("did you mean 'capacity'?",)),
        ("clock: {value: 940 MB, source: artifact}\n", "mine.yaml:5:1: clock", ("'940 MB' as Hz", "940 MHz")),
        ("dram: {energy: 31 pJ}\n", "mine.yaml:5:8: dram.energy", ("as J/B", "31 pJ/B")),
        ("leakage: {value: -1 W, source: artifact}\n", "mine.yaml:5:1: leakage", ("at least 0 W",)),
    ],
)
def test_one_mistake_one_line(tmp_path: Path, body: str, place: str, words: tuple[str, ...]) -> None:
    errors = errors_of(mine(tmp_path, body))
    assert len(errors) == 1, errors
    assert errors[0].startswith(place), errors[0]
    assert "\n" not in errors[0]
    for word in words:
        assert word in errors[0], errors[0]


def test_all_mistakes_in_one_run(tmp_path: Path) -> None:
    body = "dtypes: [fp16, int8]\narrays: {pe1d: {ops: {ex: {expand: {mac: 6}}, exp: {expand: {mul: 2}}}}}\nleakage: 5 W\n"
    errors = errors_of(mine(tmp_path, body))
    assert len(errors) == 4
    assert {error.split(": ")[1] for error in errors} == {"dtypes", "arrays.pe1d.ops.ex", "arrays.pe1d.ops.exp.expand.mul", "leakage"}


def test_a_new_array_needs_a_source_for_each_number(tmp_path: Path) -> None:
    body = "arrays: {pe3: {shape: [4], ops: {mac: 1}, units: {mac: {energy: 1 pJ}}}}\n"
    errors = errors_of(mine(tmp_path, body))
    assert [error.split(": ")[1] for error in errors] == ["arrays.pe3.shape.0", "arrays.pe3.ops.mac.cycles", "arrays.pe3.units.mac.energy"]
    assert spatial(mine(tmp_path, body.replace("pe3: {", "pe3: {source: artifact, "))).arrays["pe3"].pes == 4
