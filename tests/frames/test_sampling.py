import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signloop.frames.sampling import Pace, Selection, sharpness, thumbnail


def kept(times_s: list[float], fps: float | None, rate: float | None) -> list[int]:
    pace = Pace(fps, rate)
    return [index for index, time_s in enumerate(times_s) if pace.due(time_s)]


@given(rate=st.floats(2, 60), fps=st.floats(0.5, 60), jitter=st.floats(-0.3, 0.3))
def test_constant_rate_keeps_every_step_th_frame(rate: float, fps: float, jitter: float) -> None:
    step = max(1, round(rate / fps))  # as shared scoring of recordings defines it
    times = [0.0, *(max(0.0, (k + jitter * (k % 3 - 1)) / rate) for k in range(1, 100))]
    assert kept(times, fps, rate) == list(range(0, 100, step))


def test_ten_a_second_at_five_and_unlimited() -> None:
    times = [k / 10 for k in range(9)]
    assert kept(times, 5, 10) == [0, 2, 4, 6, 8]
    assert kept(times, None, 10) == list(range(9))
    assert kept(times, 25, 10) == list(range(9))


@pytest.mark.parametrize(("fps", "rate", "kept_rate"), [(10, 25, 12.5), (20, 30, 15), (None, 25, 25), (50, 25, 25), (5, None, None)])
def test_the_rate_is_divided_by_a_whole_number(fps: float | None, rate: float | None, kept_rate: float | None) -> None:
    assert Pace(fps, rate).rate == kept_rate


def test_variable_rate_follows_time_not_count() -> None:
    dense_then_sparse = [k / 20 for k in range(20)] + [1 + k / 5 for k in range(5)]  # 25 frames in 2 s
    indices = kept(dense_then_sparse, 4, 12.5)
    gaps = np.diff([dense_then_sparse[i] for i in indices])
    assert indices[0] == 0
    assert gaps.min() >= 0.15
    assert gaps.max() <= 0.41
    assert kept([0.0, 0.1, 5.0, 5.05, 5.3], 5, None) == [0, 2, 4]  # after a gap nothing is made up for


def test_near_duplicates_are_told_from_the_last_kept_one() -> None:
    images = [np.full((40, 60, 3), value, np.uint8) for value in (100, 100, 103, 106, 106, 112)]
    selection = Selection(duplicate=5, blur=0)
    assert [selection.keep(image) for image in images] == [True, False, False, True, False, True]
    assert all(Selection(0, 0).keep(image) for image in images)
    assert thumbnail(images[0]).shape == (32, 32)


def test_blur_is_left_out() -> None:
    sharp = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    flat = np.full((64, 64, 3), 90, np.uint8)
    assert sharpness(flat) == pytest.approx(0)
    assert sharpness(sharp) > 1000
    selection = Selection(duplicate=0, blur=50)
    assert [selection.keep(flat), selection.keep(sharp)] == [False, True]
