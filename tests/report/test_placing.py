from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from attnsim.report.drawing.placing import Placer, box, overlap, spread

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


def test_a_line_to_a_label_counts_as_part_of_it() -> None:
    placer = Placer(FRAME)
    placer.add(box((50, 50), 10, 10))
    labels = [box((80, 50), 10, 10), box((80, 80), 10, 10)]
    through, clear = ((20.0, 50.0), (75.0, 50.0)), ((20.0, 80.0), (75.0, 80.0))
    assert placer.place(labels, leaders=[through, clear]) == 1
    assert placer.place([box((30, 80), 4, 4), box((30, 20), 4, 4)]) == 1  # the line is in the way now


def test_names_that_want_one_place_stand_around_it() -> None:
    assert spread([10, 10, 10], 2, 0, 20) == [8, 10, 12]
    assert spread([5, 1], 2, 0, 20) == [5, 1]
    assert spread([0, 0, 9], 2, 0, 10) == [0, 2, 9]
    assert spread([10, 9.5], 2, 0, 10) == [10, 8]
    assert spread([], 2, 0, 10) == []


@given(st.lists(st.floats(-10, 110), min_size=1, max_size=30), st.floats(0.1, 10))
def test_spread_keeps_order_gap_and_room(wanted: list[float], gap: float) -> None:
    placed = spread(wanted, gap, 0.0, 100.0)
    if len(wanted) > 1:
        gap = min(gap, 100.0 / (len(wanted) - 1))
    assert all(-1e-6 <= place <= 100 + 1e-6 for place in placed)
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    steps = [placed[after] - placed[before] for before, after in zip(order, order[1:], strict=False)]
    assert all(step >= gap - 1e-6 for step in steps)
