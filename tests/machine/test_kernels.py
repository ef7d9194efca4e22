"""`kernels:` of an arch file: constants of schedules measured on the machine come before the schedule's own."""

import pickle
from pathlib import Path

import pytest

import attnsim
from attnsim.errors import SpecError
from attnsim.machine.load import load_machine

LAYER = {"attnsim": 1, "kind": "kernel", "name": "k", "cascade": "attention-1pass", "dtype": "bf16", "mask": {"kind": "causal"}}
SIZES = {"B": 1, "H": 32, "G": 8, "P": 4096, "M": 4096, "E": 128, "F": 128}


def machine(**kernels: object) -> dict[str, object]:
    return {"attnsim": 1, "kind": "gpu", "extends": "h100_sxm", "name": "mine", "kernels": kernels}


def fitted(value: object, **more: object) -> dict[str, object]:
    return {"value": value, "source": "fitted", "rows": "mine.csv: lines 2, 3", **more}


def kernel(schedule: object = "flash-attention-2", **more: object) -> dict[str, object]:
    return {**LAYER, "sizes": SIZES, "schedule": schedule, **more}


def seconds(workload: object, arch: object) -> float:
    return float(attnsim.run(workload, arch).results[0].latency_s)


SLOW = {"constants": {"tensor_efficiency": fitted(0.3)}}


@pytest.mark.parametrize("name", ["flash-attention-2", "fa2", "Flash_Attention_2"])
@pytest.mark.parametrize("asked", ["flash-attention-2", "sdpa-flash", {"extends": "flash-attention-2", "tile_rule": "first"}])
def test_entries_hold_under_every_name_of_the_schedule(name: str, asked: object) -> None:
    assert seconds(kernel(asked), machine(**{name: SLOW})) > 1.5 * seconds(kernel(asked), "h100_sxm")


def test_other_schedules_and_machines_keep_their_constants() -> None:
    assert seconds(kernel("flash-attention-3"), machine(fa2=SLOW)) == seconds(kernel("flash-attention-3"), "h100_sxm")
    before = seconds(kernel(), "h100_sxm")
    seconds(kernel(), machine(fa2=SLOW))
    assert seconds(kernel(), "h100_sxm") == before


def test_an_entry_whose_condition_fails_leaves_the_schedules_own() -> None:
    entry = {"overlap": {"exposed": {"sfu": [fitted(1.0, when="E <= 64")]}}}
    assert seconds(kernel(), machine(fa2=entry)) == seconds(kernel(), "h100_sxm")
    narrow = {**SIZES, "E": 64, "F": 64}
    assert seconds(kernel(sizes=narrow), machine(fa2=entry)) > seconds(kernel(sizes=narrow), "h100_sxm")


def test_the_backward_schedule_has_an_entry_of_its_own() -> None:
    back = kernel(direction="backward")
    assert seconds(back, machine(fa2=SLOW)) == seconds(back, "h100_sxm")
    assert seconds(back, machine(**{"flash-attention-2-backward": SLOW})) > 1.5 * seconds(back, "h100_sxm")


def test_a_default_schedule_and_a_model_take_them_too() -> None:
    slow = machine(**{"flash-attention-3": SLOW, "cudnn": SLOW, "flash-attention-2": SLOW, "matmul": SLOW})
    unnamed = {key: value for key, value in kernel().items() if key != "schedule"}
    assert seconds(unnamed, slow) > 1.5 * seconds(unnamed, "h100_sxm")
    model = {"attnsim": 1, "kind": "model", "name": "m", "model": "llama3-8b", "phase": "prefill", "context": 2048, "batch": 1}
    assert seconds(model, slow) > 1.5 * seconds(model, "h100_sxm")


def test_the_report_says_which_constants_are_of_the_machine() -> None:
    notes = attnsim.run(kernel(), machine(fa2=SLOW)).results[0].assumptions
    assert "constants of flash-attention-2 as calibrated on this machine: mine.csv: lines 2, 3" in notes
    assert any(note.startswith("constants of flash-attention-2 fitted on fa2-h100-forward") for note in notes)
    assert not any("calibrated" in note for note in attnsim.run(kernel(), "h100_sxm").results[0].assumptions)


def test_a_calibrated_machine_travels_between_processes() -> None:
    found = load_machine(machine(fa2=SLOW))
    assert pickle.loads(pickle.dumps(found)) == found


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("  fa22: {}", "5:3", "unknown schedule 'fa22'; did you mean 'fa2'?"),
        ("  fa2: {}\n  flash-attention-2: {}", "6:3", "are names of one schedule"),
        ("  fa2: {constants: {speed: 1}}", "5:21", "unknown field"),
        ("  fa2: {constants: {alone: {value: 0.9, source: fitted}}}", "5:41", "names the rows"),
        ("  fa2: {constants: {alone: {when: Q < 1, value: 0.9, source: s}}}", "5:29", "asks for 'Q'"),
        ("  fa2: {constants: {alone: {when: E <, value: 0.9, source: s}}}", "5:29", "E <"),
        ("  fa2: {constants: {executed: {XX: {value: 0.9, source: s}}}}", "5:32", "no Einsum 'XX'"),
        ("  fusemax: {}", "5:3", "PE arrays"),
    ],
)
def test_mistakes_have_a_place(tmp_path: Path, text: str, place: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"attnsim: 1\nextends: h100_sxm\nname: mine\nkernels:\n{text}\n")
    with pytest.raises(SpecError) as caught:
        load_machine(str(path))
    (issue,) = caught.value.issues
    assert (f"{issue.line}:{issue.column}", message in issue.message) == (place, True), str(issue)
