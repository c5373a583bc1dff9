from collections import defaultdict
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signloop.demo import weather
from signloop.demo.camera import CANVAS_HEIGHT, CANVAS_WIDTH, HEIGHT, WIDTH, Camera, Light
from signloop.demo.paint import Painter
from signloop.demo.pen import Pen, Sprite, arc
from signloop.demo.render import MIN_PX, Drawn, SignView, frames
from signloop.demo.signs import face, outline
from signloop.demo.things import Plate, Pole, Standing, Thing, View
from signloop.demo.world import World, build

CLASSES = (2, 13, 12, 18, 33)


def make(seed: int, weather_name: str = "clear", classes: tuple[int, ...] = CLASSES, lookalikes: int = 3) -> World:
    return build(np.random.default_rng(seed), classes, 100, weather_name, lookalikes=lookalikes)


@pytest.fixture(scope="module")
def drawn() -> list[Drawn]:
    return list(frames(make(3)))


def tracks(film: list[Drawn]) -> dict[int, list[tuple[int, SignView]]]:
    found: dict[int, list[tuple[int, SignView]]] = defaultdict(list)
    for frame in film:
        for sign in frame.signs:
            found[sign.track_id].append((frame.index, sign))
    return found


@pytest.mark.parametrize("name", weather.NAMES)
def test_every_weather_gives_whole_frames_and_the_same_ones_again(name: str) -> None:
    first, second = frames(make(5, name)), frames(make(5, name))
    for _ in range(2):
        a, b = next(first), next(second)
        assert a.image.shape == (HEIGHT, WIDTH, 3)
        assert a.image.dtype == np.uint8
        assert a.image.std() > 3, "something is to be seen"
        assert (a.image == b.image).all()
        assert a.signs == b.signs


def test_another_seed_gives_another_road() -> None:
    assert (next(frames(make(5))).image != next(frames(make(6))).image).any()


def test_ids_stay_with_physical_signs(drawn: list[Drawn]) -> None:
    found = tracks(drawn)
    assert set(found) <= {100, 101, 102, 103, 104}
    for track_id, views in found.items():
        assert {view.class_id for _, view in views} == {CLASSES[track_id - 100]}
        assert len({index for index, _ in views}) == len(views)


def test_signs_grow_until_they_leave(drawn: list[Drawn]) -> None:
    for views in tracks(drawn).values():
        whole = [view.xyxy for _, view in views if view.xyxy[0] > 1 and view.xyxy[2] < WIDTH - 1 and view.xyxy[1] > 1]
        heights = [box[3] - box[1] for box in whole]
        assert all(later > earlier * 0.97 for earlier, later in pairwise(heights))
        if len(heights) > 8:
            assert heights[-1] > 1.2 * heights[0]


def test_boxes_lie_in_the_frame_and_ignored_ones_follow_the_rule() -> None:
    kinds = set()
    for seed in (1, 2, 3, 4):
        for frame in frames(make(seed, "overcast")):
            for sign in frame.signs:
                x1, y1, x2, y2 = sign.xyxy
                assert 0 <= x1 < x2 <= WIDTH
                assert 0 <= y1 < y2 <= HEIGHT
                assert sign.ignored == (sign.visible < 0.6 or min(x2 - x1, y2 - y1) < MIN_PX)
                kinds.add((sign.ignored, sign.visible < 0.6))
    assert kinds == {(False, False), (True, True), (True, False)}


def test_no_sign_no_box() -> None:
    assert all(frame.signs == () for frame in frames(make(9, classes=(), lookalikes=6)))


def bright_light() -> Light:
    return Light((1.0, 1.0, 1.0), 0.0, (0, 0, 0), 1e9, False)


@settings(max_examples=40, deadline=None)
@given(
    class_id=st.sampled_from([2, 12, 13, 14, 18]),
    yaw=st.floats(-0.6, 0.6),
    roll=st.floats(-0.4, 0.4),
    tilt=st.floats(-0.3, 0.3),
    d=st.floats(7, 40),
    x=st.floats(-2, 2),
)
def test_a_sign_s_box_is_tight_around_its_pixels(class_id: int, yaw: float, roll: float, tilt: float, d: float, x: float) -> None:
    canvas = np.zeros((CANVAS_HEIGHT, CANVAS_WIDTH, 3), np.uint8)
    painter = Painter(canvas)
    camera = Camera(560.0, 1.4, 0.0, 0.001, 200.0)
    white = Sprite.of(np.repeat(face(class_id, 128)[..., 3:], 4, axis=2))
    plate = Plate(track_id=1, class_id=class_id, sprite=white, outline=outline(class_id), y=2.0, size=0.9, yaw=yaw, roll=roll, tilt=tilt)
    painter.sprite(plate.sprite, plate.corners(camera, x, d), np.eye(4), 1, plate.outline)
    (seen,) = painter.seen
    expected = np.array([*seen.outline.min(axis=0), *seen.outline.max(axis=0)])
    ys, xs = np.nonzero(canvas[..., 0] > 100)
    found = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
    # A corner covers little of its pixel: up to a pixel may stay under the threshold.
    assert np.abs(found - expected).max() < 1.3
    assert (seen.mask == canvas[seen.top : seen.top + seen.mask.shape[0], seen.left : seen.left + seen.mask.shape[1], 0]).all()
    area = cv2.contourArea(seen.outline.astype(np.float32))
    assert abs(seen.mask.sum() / 255 / area - 1) < 0.05


def test_what_is_nearer_hides() -> None:
    canvas = np.zeros((CANVAS_HEIGHT, CANVAS_WIDTH, 3), np.uint8)
    view = View(Painter(canvas), Camera(560.0, 1.4, 0.0, 0.0, 200.0), bright_light(), 0.0)
    plate = Plate(track_id=7, class_id=2, sprite=Sprite.of(face(2, 128)), outline=outline(2), y=2.0, size=0.9)
    Pole(x=1.0, z=20, plates=(plate,)).paint(view, 20.0)
    (seen,) = view.painter.seen
    before = seen.mask.sum()
    pen = Pen(64)
    pen.fill([(0, 0), (1, 0), (1, 1), (0, 1)], (10, 10, 10))
    Standing(x=0.5, z=20, y=1.0, sprite=Sprite.of(pen.image()), width=1.0, height=2.0).paint(view, 20.0)
    assert abs(seen.mask.sum() / before - 0.5) < 0.05, "its left half is behind the board"
    view.poly([0.0, 2.0, 2.0, 0.0], [0.0, 0.0, 3.0, 3.0], [19.0] * 4, (5, 5, 5))
    assert seen.mask.max() == 0


def test_boxes_follow_the_pixels_of_the_final_frame() -> None:
    """After shake, roll and blur the red ring of a sign still fills its box, to half a pixel on average."""
    errors = []
    for frame in frames(make(15, classes=(15,), lookalikes=0)):
        for sign in frame.signs:
            x1, y1, x2, y2 = sign.xyxy
            if sign.visible > 0.98 and y2 - y1 > 16:
                left, top = max(int(x1) - 2, 0), max(int(y1) - 2, 0)
                part = frame.image[top : int(y2) + 3, left : int(x2) + 3].astype(float)
                red = part[..., 0] - part[..., 1:].max(axis=2) - 20
                ys, xs = np.nonzero(red > 0.35 * red.max())
                errors.append([left + xs.min() - x1, top + ys.min() - y1, left + xs.max() + 1 - x2, top + ys.max() + 1 - y2])
    assert len(errors) > 10
    assert np.abs(np.mean(errors, axis=0)).max() < 0.5


def test_the_pen_draws_where_it_is_told() -> None:
    pen = Pen(100)
    pen.fill(arc(0.3, 0.6, 0.2, 0.1), (255, 255, 255))
    ys, xs = np.nonzero(pen.image()[..., 3] > 127)
    assert (xs.min(), xs.max() + 1, ys.min(), ys.max() + 1) == pytest.approx((10, 50, 50, 70), abs=1)


def test_a_thing_that_cannot_paint_itself_is_not_made() -> None:
    class Bench(Thing):
        pass

    with pytest.raises(TypeError, match="paint"):
        Bench(x=3.0, z=10.0)  # type: ignore[abstract]
