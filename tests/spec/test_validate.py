"""Documents against models: every mistake at its place, tags of unions skipped, and suggestions."""

from typing import Annotated, Literal

import pytest
from pydantic import Field, field_validator, model_validator

from attnsim.errors import SpecError
from attnsim.spec.base import FieldError, Spec
from attnsim.spec.quantity import Bytes, BytesPerSecond, Size
from attnsim.spec.yaml import from_dict, parse_yaml, validate


class Dense(Spec):
    kind: Literal["dense"] = "dense"


class Window(Spec):
    kind: Literal["window", "band"]
    left: Size | None
    window: int = 0
    shape: tuple[int, int] = (0, 0)

    @model_validator(mode="after")
    def _reach(self) -> "Window":
        if self.left is not None and self.left > 1000:
            raise FieldError("must be 1000 at most", "left")
        return self


Mask = Annotated[Dense | Window, Field(discriminator="kind")]


class Value(Spec):
    value: BytesPerSecond
    source: str


class Level(Spec):
    name: str
    bandwidth: BytesPerSecond | Value
    capacity: Bytes


class Kernel(Spec):
    attnsim: Literal[1] = 1
    kind: Literal["kernel"]
    name: str
    sizes: dict[str, Size] = Field(default_factory=dict)
    dtype: Literal["bf16", "fp16", "fp8"] = "bf16"
    mask: Mask = Field(default_factory=Dense)
    masks: list[Mask] = Field(default_factory=list)
    levels: tuple[Level, ...] = ()
    schedule: str | Level | None = None
    last: int = Field(default=1, alias="finally")
    rows: dict[int, str] = Field(default_factory=dict)
    names: list[str] = Field(default_factory=list, max_length=2)
    share: float = Field(default=0.5, gt=0, le=1)
    flag: bool = False
    title: str = Field(default="x", min_length=1)

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str) -> str:
        if " " in name:
            raise ValueError("must not hold\na space")
        return name


class Model(Spec):
    kind: Literal["model"]
    model: str
    batch: Size = 1


Work = Annotated[Kernel | Model, Field(discriminator="kind")]
HEAD = "kind: kernel\nname: x\n"


def complaints(text: str, model: object = Work) -> list[str]:
    with pytest.raises(SpecError) as caught:
        validate(model, parse_yaml(text, "w"))
    return str(caught.value).splitlines()


def test_a_good_document_becomes_a_frozen_model() -> None:
    kernel = validate(Kernel, parse_yaml(HEAD + "sizes: {M: 8}\nfinally: 3\nmask: {kind: band, left: null}\n", "w"))
    assert (kernel.sizes, kernel.last, kernel.mask) == ({"M": 8}, 3, Window(kind="band", left=None))
    with pytest.raises(ValueError, match="frozen"):
        kernel.name = "y"
    assert validate(Work, from_dict({"kind": "model", "model": "step3"})) == Model(kind="model", model="step3")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # unknown fields, at any depth
        ("sheduel: x", ["w:3:1: sheduel: unknown field; did you mean 'schedule'?"]),
        ("finaly: 2", ["w:3:1: finaly: unknown field; did you mean 'finally'?"]),
        ("mask: {kind: dense, lft: 1}", ["w:3:21: mask.lft: unknown field; the fields here are kind"]),
        ("mask: {kind: window, left: 1, lft: 1}", ["w:3:31: mask.lft: unknown field; did you mean 'left'?"]),
        ("masks: [{kind: dense}, {kind: band, left: 1, shap: 1}]", ["w:3:46: masks.1.shap: unknown field; did you mean 'shape'?"]),
        # a misspelt required field is one mistake, not two
        ("mask: {kind: window, lefft: 1}", ["w:3:22: mask.lefft: unknown field; did you mean 'left'?"]),
        # missing
        ("mask: {kind: window}", ["w:3:1: mask.left: missing; this field is required"]),
        (
            "levels:\n  - {name: a}",
            ["w:4:5: levels.0.bandwidth: missing; this field is required", "w:4:5: levels.0.capacity: missing; this field is required"],
        ),
        # choices
        ("dtype: bf17", ["w:3:1: dtype: must be one of bf16, fp16, fp8, not 'bf17'; did you mean 'bf16'?"]),
        ("dtype: 16", ["w:3:1: dtype: must be one of bf16, fp16, fp8, not 16"]),
        ("attnsim: 2", ["w:3:1: attnsim: must be 1, not 2"]),
        ("mask: {kind: widow, left: 1}", ["w:3:8: mask.kind: must be one of band, dense, window, not 'widow'; did you mean 'window'?"]),
        ("mask: {left: 1}", ["w:3:1: mask.kind: missing; write one of band, dense, window"]),
        ("mask: 7", ["w:3:1: mask: must be a mapping, not 7"]),
        # a field named like the tag of its own union
        ("mask: {kind: window, left: 1, window: x}", ["w:3:31: mask.window: must be a whole number, not 'x'"]),
        # wrong shapes
        ("sizes: {M: -8}", ["w:3:9: sizes.M: must be a whole number of at least 1, not -8"]),
        ("sizes: 8", ["w:3:1: sizes: must be a mapping, not 8"]),
        ("levels: {a: 1}", ["w:3:1: levels: must be a list, not a mapping"]),
        ("levels: [7]", ["w:3:10: levels.0: must be a mapping, not 7"]),
        ("names: [a, 3]", ["w:3:12: names.1: must be text, not 3"]),
        ("names: [a, b, c]", ["w:3:1: names: must have at most 2 items, not 3"]),
        ("title: ''", ["w:3:1: title: must have at least 1 character, not ''"]),
        ("rows: {a: x}", ["w:3:8: rows.a: key 'a' must be a whole number, not 'a'"]),
        ("rows: {7: 3}", ["w:3:8: rows.7: must be text, not 3"]),
        ("share: 0", ["w:3:1: share: must be greater than 0, not 0"]),
        ("share: 1.5", ["w:3:1: share: must be less than or equal to 1, not 1.5"]),
        ("flag: maybe", ["w:3:1: flag: must be true or false, not 'maybe'"]),
        ("finally: q", ["w:3:1: finally: must be a whole number, not 'q'"]),
        ("mask: {kind: window, left: 1, shape: [1]}", ["w:3:31: mask.shape.1: missing; this field is required"]),
        ("mask: {kind: window, left: 1, shape: [1, x]}", ["w:3:42: mask.shape.1: must be a whole number, not 'x'"]),
        # the models' own sentences
        ("mask: {kind: window, left: 2000}", ["w:3:22: mask.left: must be 1000 at most"]),
        # unions without a discriminator: the branch that was meant
        ("schedule: 5", ["w:3:1: schedule: must be text or a mapping, not 5"]),
        ("schedule: {name: a, capacity: 5 GB}", ["w:3:1: schedule.bandwidth: missing; this field is required"]),
        (
            "levels:\n  - {name: a, bandwidth: 5 TBs, capacity: 5 GB}",
            ["w:4:15: levels.0.bandwidth: cannot read '5 TBs' as B/s; write for example '5 TB/s'"],
        ),
        (
            "levels:\n  - {name: a, bandwidth: {value: 5 TB/s, sorce: x}, capacity: 5 GB}",
            ["w:4:42: levels.0.bandwidth.sorce: unknown field; did you mean 'source'?"],
        ),
        (
            "levels:\n  - {name: a, bandwidth: {value: 5}, capacity: 5 GB}",
            [
                "w:4:15: levels.0.bandwidth.source: missing; this field is required",
                "w:4:27: levels.0.bandwidth.value: '5' has no unit; write for example '5 TB/s'",
            ],
        ),
    ],
)
def test_each_mistake_is_told_at_its_place(text: str, expected: list[str]) -> None:
    assert complaints(HEAD + text + "\n") == expected
    assert complaints(HEAD + text + "\n", Kernel) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("kind: kernal\n", ["w:1:1: kind: must be one of kernel, model, not 'kernal'; did you mean 'kernel'?"]),
        ("name: x\n", ["w:1:1: kind: missing; write one of kernel, model"]),
        ("kind: model\nmodel: 3\n", ["w:2:1: model: must be text, not 3"]),
        ("kind: model\n", ["w:1:1: model: missing; this field is required"]),
        ("kind: kernel\nname: a b\n", ["w:2:1: name: must not hold a space"]),
    ],
)
def test_the_top_of_a_document(text: str, expected: list[str]) -> None:
    assert complaints(text) == expected


def test_all_mistakes_come_in_one_run_in_the_order_of_the_file() -> None:
    text = "zzz: 1\nkind: kernel\nsizes: {M: 0, P: x}\nmask: {kind: dense, q: 1}\nlevels: [{name: 1}]\n"
    assert [line.split(": ")[:2] for line in complaints(text)] == [
        ["w:1:1", "name"],
        ["w:1:1", "zzz"],
        ["w:3:9", "sizes.M"],
        ["w:3:15", "sizes.P"],
        ["w:4:21", "mask.q"],
        ["w:5:10", "levels.0.bandwidth"],
        ["w:5:10", "levels.0.capacity"],
        ["w:5:11", "levels.0.name"],
    ]


def test_a_dictionary_is_told_by_path_alone() -> None:
    with pytest.raises(SpecError) as caught:
        validate(Work, from_dict({"kind": "kernel", "name": "x", "sizes": {"M": 0}, "share": float("nan"), "names": ("a", 1)}))
    assert str(caught.value).splitlines() == [
        "<dict>: sizes.M: must be a whole number of at least 1, not 0",
        "<dict>: names.1: must be text, not 1",
        "<dict>: share: must be a finite number, not nan",
    ]


def test_a_value_from_the_command_line_is_told_as_such() -> None:
    doc = parse_yaml(HEAD, "w").with_set("sizes.M", "-4").with_set("mask", "{kind: window, left: 0}")
    with pytest.raises(SpecError) as caught:
        validate(Work, doc)
    assert str(caught.value).splitlines() == [
        "--set mask={kind: window, left: 0}: mask.left: must be a whole number of at least 1, not 0",
        "--set sizes.M=-4: sizes.M: must be a whole number of at least 1, not -4",
    ]


def test_an_inner_document_is_told_by_its_whole_path() -> None:
    doc = parse_yaml("a:\n  b:\n    kind: dense\n    x: 1\n", "w").at(("a", "b"))
    with pytest.raises(SpecError) as caught:
        validate(Dense, doc)
    assert str(caught.value) == "w:4:5: a.b.x: unknown field; the fields here are kind"
