import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signloop.core.boxes import Boxes
from signloop.prelabel.motion import Motion, View

FRAME = np.array([1280.0, 720.0])


def seen(side: float, x: float, y: float) -> View:
    box = np.array([[x - side / 2, y - side / 2, x + side / 2, y + side / 2]], np.float32)
    return View.of(Boxes(box, np.ones(1, np.float32)), FRAME)


@given(st.floats(5, 25), st.floats(-5, 5), st.floats(-3, -0.5), st.floats(0.1, 0.5))
def test_a_steady_approach_is_predicted_however_far_it_jumps(speed: float, right: float, below: float, dt: float) -> None:
    def at(time_s: float) -> View:
        ahead = 80 - speed * time_s
        return seen(1000 * 0.7 / ahead, 640 + 1000 * right / ahead, 360 + 1000 * below / ahead)

    motion = Motion.begin(0.0, at(0.0), 0, FRAME[0])
    for step in range(1, 5):
        motion.predict(step * dt)
        motion.correct(at(step * dt), 0)
    motion.predict(5 * dt)
    measured = at(5 * dt).measured[0]
    assert motion.state[2] == pytest.approx(measured[2], rel=0.1)
    off_px = np.hypot(*(motion.state[:2] - measured[:2])) / measured[2]
    assert off_px < 0.25 / measured[2] + 5  # a quarter of the sign


def test_what_is_known_grows_with_boxes_and_shrinks_with_time() -> None:
    motion = Motion.begin(0.0, seen(20, 900, 300), 0, FRAME[0])
    motion.predict(0.1)
    before = np.linalg.det(motion.covariance)
    motion.correct(seen(20.5, 905, 298), 0)
    assert np.linalg.det(motion.covariance) < before
    near = motion.covariance[0, 0]
    motion.predict(1.0)
    assert motion.covariance[0, 0] > near
    assert 0 < motion.common_px2 < 1280**2
    assert (np.linalg.eigvalsh(motion.covariance) > 0).all()


def test_a_sign_never_turns_inside_out() -> None:
    motion = Motion.begin(0.0, seen(40, 900, 300), 0, FRAME[0])
    motion.predict(0.1)
    motion.correct(seen(60, 1000, 280), 0)
    motion.predict(10.0)
    assert motion.state[2] > 0


def test_a_box_that_the_border_cuts_is_completed_and_trusted_less() -> None:
    whole = seen(40, 640, 25)
    cut = View.of(Boxes(np.array([[620, 0, 660, 30]], np.float32), np.ones(1, np.float32)), FRAME)
    middle = seen(40, 640, 10)
    np.testing.assert_allclose(cut.measured, middle.measured)  # 40 wide, so 40 high: from -10 to 30
    assert cut.noise[0, 2, 2] > 2 * whole.noise[0, 2, 2]
    assert cut.shape[0] == pytest.approx(0)


def test_no_boxes_give_an_empty_view() -> None:
    view = View.of(Boxes.empty(), FRAME)
    assert (view.measured.shape, view.noise.shape, view.shape.shape) == ((0, 3), (0, 3, 3), (0,))
