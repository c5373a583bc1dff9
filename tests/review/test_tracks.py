"""A sign's boxes after what a person did to it: corrections are carried on, splits share the boxes out, merges join them."""

from collections.abc import Sequence
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signloop.review.questions import Shown
from signloop.review.state import Item, Span
from signloop.review.tracks import FADES_AFTER, Track, recording_of, track

DRIVE = "d" * 16
WIDTH, HEIGHT, SIDE = 1000, 500, 20.0
A, B = "a" * 16, "b" * 16


def shown(name: str, indices: list[int], stored: tuple[int, ...] = (), weak: Sequence[int] = (), bridged: Sequence[int] = ()) -> Shown:
    """A sign of 20 px that goes to the right by a pixel a frame, in the frames `indices`; in `weak` ones it is hardly seen."""
    at = np.array(indices, np.int64)
    corners = np.stack([at + 100, at * 0 + 50, at + 100 + SIDE, at * 0 + 50 + SIDE], axis=1).astype(np.float32)
    return Shown(
        at,
        at / 10,
        corners,
        np.where(np.isin(at, weak), 0.39, 0.8).astype(np.float32),
        np.isin(at, bridged),
        tuple(f"{name}/{i}" for i in indices),
        np.isin(at, stored),
        ((3, 0.9),),
        "m",
        None,
        (WIDTH, HEIGHT),
    )


def asked(**signs: Shown) -> Any:
    """A review of these signs, all in one recording, of which no frame is stored."""
    return SimpleNamespace(
        shown=signs.__getitem__,
        recordings={DRIVE: {"width": WIDTH, "height": HEIGHT}},
        items={name: SimpleNamespace(recording_id=DRIVE) for name in signs},
        frame=lambda frame_id: None,
    )


def boxes(**signs: list[int]) -> Any:
    return asked(**{name: shown(name, indices) for name, indices in signs.items()})


def moved_by(found: Track, like: Shown) -> list[list[float]]:
    changed: list[list[float]] = np.round(found.xyxy - like.xyxy, 3).tolist()
    return changed


def test_an_untouched_sign_is_what_was_proposed() -> None:
    sign = shown(A, [3, 4, 7], stored=(4,))
    found = track(asked(**{A: sign}), Item(A, (Span(A),)))
    assert (found.indices.tolist(), found.box_ids, len(found)) == ([3, 4, 7], (f"{A}/3", f"{A}/4", f"{A}/7"), 3)
    np.testing.assert_array_equal(found.xyxy, sign.xyxy)
    assert found.stored.tolist() == [False, True, False]
    assert not found.moved.any()
    assert found.clearest == 1  # the only one that can be shown


def test_the_clearest_box_is_neither_guessed_nor_cut_by_the_edge_as_long_as_there_is_another() -> None:
    indices = list(range(6))
    sign = shown(A, indices, stored=(0, 2, 4, 5), weak=(4,))
    sign.xyxy[3:] += [[-20, -20, 20, 20], [-30, -30, 30, 30], [0, -50, 0, 0]]  # not stored; guessed; cut
    assert (track(asked(**{A: sign}), Item(A, (Span(A),))).clearest, sign.clearest) == (0, 0)
    fixed = {4: ((74.0, 20.0, 154.0, 100.0), True)}
    assert track(asked(**{A: sign}), Item(A, (Span(A),), fixed)).clearest == 4  # a person set it


def test_between_two_corrections_the_boxes_go_over_from_one_to_the_other() -> None:
    sign = shown(A, list(range(5)))
    placed = {0: ((110.0, 50.0, 130.0, 70.0), True), 4: ((104.0, 50.0, 124.0, 90.0), True)}  # 10 px to the right; 20 px taller
    found = track(asked(**{A: sign}), Item(A, (Span(A),), placed))
    assert moved_by(found, sign) == [[10, 0, 10, 0], [7.5, 0, 7.5, 5], [5, 0, 5, 10], [2.5, 0, 2.5, 15], [0, 0, 0, 20]]
    assert found.moved.tolist() == [True] * 5
    assert found.box_ids == sign.box_ids


def test_beyond_the_last_correction_it_fades() -> None:
    sign = shown(A, list(range(20)))
    found = track(asked(**{A: sign}), Item(A, (Span(A),), {10: ((122.0, 50.0, 142.0, 70.0), True)}))  # 12 px to the right
    right = [row[0] for row in moved_by(found, sign)]
    assert right[10] == 12
    assert right[9] == right[11] == pytest.approx(10)
    assert right[8] == right[12] == pytest.approx(8)
    assert right[: 11 - FADES_AFTER] == [0] * (11 - FADES_AFTER)
    assert right[10 + FADES_AFTER :] == [0] * (10 - FADES_AFTER)
    assert found.moved.tolist() == [abs(i - 10) < FADES_AFTER for i in range(20)]


def test_a_correction_grows_with_the_sign() -> None:
    sign = shown(A, [0, 1])
    sign.xyxy[1] = [100, 50, 140, 90]  # twice as large
    found = track(asked(**{A: sign}), Item(A, (Span(A),), {0: ((106.0, 50.0, 126.0, 70.0), True)}))  # 6 px, 0.3 sides
    assert moved_by(found, sign)[1] == pytest.approx([10, 0, 10, 0])  # 0.3 sides of 40 px, faded by a sixth


def test_a_correction_that_would_turn_another_box_inside_out_is_not_carried_there() -> None:
    sign = shown(A, [0, 1])
    placed = {0: ((100.0, 50.0, 101.0, 51.0), True), 1: ((140.0, 50.0, 180.0, 90.0), True)}
    assert track(asked(**{A: sign}), Item(A, (Span(A),), placed)).xyxy.tolist() == [[100, 50, 101, 51], [140, 50, 180, 90]]
    narrow = shown(B, [0, 1])
    narrow.xyxy[1] = [100, 50, 102, 52]
    found = track(asked(**{B: narrow}), Item(B, (Span(B),), {0: ((109.0, 50.0, 111.0, 70.0), True)}))
    assert found.xyxy[1].tolist() == [100, 50, 102, 52]


def test_boxes_stay_in_the_frame() -> None:
    found = track(boxes(**{A: [0]}), Item(A, (Span(A),), {0: ((-10.0, 490.0, 30.0, 520.0), True)}))
    assert found.xyxy.tolist() == [[0, 490, 30, 500]]


def test_a_box_of_a_person_alone_has_no_proposal() -> None:
    corners = (5.0, 5.0, 25.0, 25.0)
    found = track(boxes(), Item(B, (), {4: (corners, True), 2: (corners, False)}, added=("ann", DRIVE)))
    assert (found.indices.tolist(), found.box_ids, found.scores.tolist()) == ([2, 4], ("", ""), [1, 1])
    assert found.xyxy.tolist() == [list(corners)] * 2
    assert np.isnan(found.times_s).all()
    assert not found.moved.any()
    assert recording_of(boxes(), Item(B, (), added=("ann", DRIVE))) == DRIVE


@given(st.sets(st.integers(0, 40), min_size=2, max_size=20), st.lists(st.integers(0, 41), max_size=5))
def test_every_box_is_in_exactly_one_part(indices: set[int], cuts: list[int]) -> None:
    review = boxes(**{A: sorted(indices)})
    edges = [0, *sorted(set(cuts)), 2**31]
    parts = [track(review, Item(f"{k:016x}", (Span(A, first, end),))) for k, (first, end) in enumerate(pairwise(edges))]
    assert [i for part in parts for i in part.indices.tolist()] == sorted(indices)
    assert [b for part in parts for b in part.box_ids] == [f"{A}/{i}" for i in sorted(indices)]


@given(st.sets(st.integers(0, 12), min_size=1), st.sets(st.integers(0, 12), min_size=1))
def test_a_merged_sign_has_the_frames_of_both_and_in_one_frame_one_box(first: set[int], other: set[int]) -> None:
    found = track(boxes(**{A: sorted(first), B: sorted(other)}), Item(A, (Span(A), Span(B))))
    assert found.indices.tolist() == sorted(first | other)
    assert found.box_ids == tuple(f"{A if i in first else B}/{i}" for i in sorted(first | other))


def test_what_bridges_a_gap_or_is_hardly_seen_is_guessed_unless_a_person_set_it() -> None:
    sign = shown(A, list(range(12)), weak=(1, 9), bridged=(2, 10))
    assert np.flatnonzero(track(asked(**{A: sign}), Item(A, (Span(A),))).guessed).tolist() == [1, 2, 9, 10]
    as_it_was = tuple(float(v) for v in sign.xyxy[1])
    fixed = {1: ((as_it_was[0], as_it_was[1], as_it_was[2], as_it_was[3]), True), 9: ((112.0, 50.0, 132.0, 70.0), True)}
    assert np.flatnonzero(track(asked(**{A: sign}), Item(A, (Span(A),), fixed)).guessed).tolist() == [2]  # 10 follows 9


def test_what_is_guessed_is_told_by_the_best_box_of_a_merged_sign_but_not_by_a_person_s() -> None:
    weak, good = shown(A, [0, 1], weak=(0, 1)), shown(B, [2])
    assert not track(asked(**{A: weak}), Item(A, (Span(A),))).guessed.any()
    assert track(asked(**{A: weak, B: good}), Item(A, (Span(A), Span(B)))).guessed.tolist() == [True, True, False]
    drawn = track(asked(**{A: weak}), Item(A, (Span(A),), {2: ((5.0, 5.0, 25.0, 25.0), True)}))
    assert drawn.guessed.tolist() == [False] * 3
