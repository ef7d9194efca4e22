from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from attnsim.report.placing import Placer, box, overlap

FRAME = box((50.0, 50.0), 100.0, 100.0)
coordinate = st.floats(-50, 50)
size = st.floats(1, 40)


def test_boxes_that_touch_are_apart_and_boxes_that_share_area_are_not() -> None:
    assert not overlap(box((0, 0), 2, 2), box((2, 0), 2, 2))
    assert overlap(box((0, 0), 2, 2), box((1.9, 0), 2, 2))


def test_a_turned_box_passes_beside_a_corner_its_upright_hull_would_hit() -> None:
    diagonal = box((0, 0), 10, 1, 45)
    assert not overlap(diagonal, box((3, -3), 2, 2))
    assert overlap(diagonal, box((3, 3), 2, 2))


def test_a_segment_hits_what_it_crosses_and_not_what_lies_on_its_extension() -> None:
    segment = ((0.0, 0.0), (10.0, 0.0))
    assert overlap(segment, box((5, 0), 1, 1))
    assert not overlap(segment, box((12, 0), 1, 1))
    assert not overlap(segment, box((5, 2), 1, 1))


@settings(max_examples=60, deadline=None)
@given(x=coordinate, y=coordinate, w=size, h=size, angle=st.floats(0, 180))
def test_overlap_is_symmetric_and_agrees_with_sampling(x: float, y: float, w: float, h: float, angle: float) -> None:
    fixed, turned = box((0, 0), 30, 30), box((x, y), w, h, angle)
    assert overlap(fixed, turned) == overlap(turned, fixed)
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    inside = any(
        abs(x + u * w * cosine - v * h * sine) < 14.999 and abs(y + u * w * sine + v * h * cosine) < 14.999
        for u in (-0.499, -0.25, 0, 0.25, 0.499)
        for v in (-0.499, -0.25, 0, 0.25, 0.499)
    )
    if inside:
        assert overlap(fixed, turned)


def test_the_placer_takes_the_first_free_place_and_remembers_it() -> None:
    placer = Placer(FRAME)
    spots = [box((20, 20), 10, 10), box((60, 60), 10, 10)]
    assert placer.place(spots) == 0
    assert placer.place(spots) == 1


def test_the_placer_keeps_inside_the_frame_and_says_when_it_cannot() -> None:
    placer = Placer(FRAME)
    assert placer.place([box((98, 50), 10, 10), box((50, 50), 10, 10)]) == 1
    assert placer.place([box((98, 50), 10, 10)]) is None


def test_the_placer_takes_the_least_crowded_place_when_none_is_free() -> None:
    placer = Placer(FRAME)
    for shape in (box((20, 20), 10, 10), box((22, 20), 10, 10), box((60, 60), 10, 10)):
        placer.add(shape)
    assert placer.place([box((20, 20), 10, 10), box((61, 60), 10, 10)]) == 1


def test_a_label_may_touch_the_line_it_belongs_to() -> None:
    placer = Placer(FRAME)
    line = ((0.0, 50.0), (100.0, 50.0))
    placer.add(line)
    assert placer.place([box((50, 50), 10, 10), box((50, 80), 10, 10)], ignore=(line,)) == 0
