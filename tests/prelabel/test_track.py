from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from signloop.core.boxes import Boxes, iou
from signloop.core.errors import DataError
from signloop.core.params import Prelabel
from signloop.prelabel.track import Stills, Track, Tracker

WIDTH, HEIGHT, FOCAL = 1280, 720, 1100.0
PARAMS = Prelabel(
    fps=None,
    start_score=0.4,
    keep_score=0.15,
    min_boxes=2,
    sure_score=0.7,
    max_gap_s=1.1,
    end_share=0.5,
    crops_per_sign=8,
    nothing=0.9,
    strange=0.01,
    backend="auto",
    precision="f32",
    batch=2,
)
Sign = tuple[float, float, float, float]  # right of the camera, below it, ahead at time 0, side; metres
POLE: tuple[Sign, ...] = ((4.0, -1.5, 50.0, 0.7), (4.0, -0.75, 50.0, 0.7))


def see(sign: Sign, time_s: float, speed: float = 14.0, shift: Sequence[float] = (0.0, 0.0)) -> NDArray[np.float64] | None:
    """Project a sign into the frame; None once it has left."""
    ahead = sign[2] - speed * time_s
    if ahead < 1:
        return None
    x, y = (FOCAL * sign[i] / ahead + (WIDTH, HEIGHT)[i] / 2 + shift[i] for i in (0, 1))
    half = FOCAL * sign[3] / ahead / 2
    whole = np.array([x - half, y - half, x + half, y + half])
    cut = np.clip(whole, 0, [WIDTH, HEIGHT, WIDTH, HEIGHT])
    return cut if np.prod(cut[2:] - cut[:2]) > 0.6 * (2 * half) ** 2 else None


def drive(
    signs: Sequence[Sign],
    fps: float,
    *,
    seconds: float = 3.0,
    speed: float = 14.0,
    noise: float = 0.05,
    miss: float = 0.0,
    shake: float = 0.0,
    turn: float = 0.0,
    seed: int = 0,
) -> tuple[list[tuple[float, Boxes]], list[list[int]]]:
    """Return (time, shuffled boxes) per frame and which sign each box shows."""
    rng = np.random.default_rng(seed)
    frames, owners = [], []
    for time_s in np.arange(0, seconds, 1 / fps):
        jump = rng.normal(0, shake, 2)
        shift = (float(jump[0] + turn * time_s), float(jump[1]))
        rows: list[tuple[int, NDArray[np.float64]]] = []
        for number, sign in enumerate(signs):
            box = see(sign, float(time_s), speed, shift)
            if box is not None and rng.random() >= miss:
                rows.append((number, box + rng.normal(0, noise, 4) * (box[2] - box[0])))
        rng.shuffle(rows)
        corners = np.array([box for _, box in rows], np.float32).reshape(-1, 4)
        frames.append((float(time_s), Boxes(corners, np.full(len(rows), 0.8, np.float32))))
        owners.append([number for number, _ in rows])
    return frames, owners


def follow(frames: Sequence[tuple[float, Boxes]], params: Prelabel = PARAMS) -> tuple[list[Track], list[list[int]]]:
    tracker = Tracker(params, WIDTH, HEIGHT)
    numbers = [tracker.update(index, time_s, boxes).tolist() for index, (time_s, boxes) in enumerate(frames)]
    return tracker.finish(), numbers


def ids_of(owners: list[list[int]], numbers: list[list[int]]) -> dict[int, set[int]]:
    """Return which track numbers each sign got."""
    found: dict[int, set[int]] = {}
    for signs, tracks in zip(owners, numbers, strict=True):
        for sign, track in zip(signs, tracks, strict=True):
            found.setdefault(sign, set()).add(track)
    return found


@pytest.mark.parametrize("fps", [2, 5, 10, 30])
@pytest.mark.parametrize("speed", [5.0, 14.0, 25.0])
@pytest.mark.parametrize("sign", [(4.0, -1.5, 50.0, 0.7), (-5.0, -2.0, 50.0, 0.9), (0.5, -4.5, 50.0, 0.7)])
def test_an_approaching_sign_keeps_one_id(fps: float, speed: float, sign: Sign) -> None:
    frames, owners = drive([sign], fps, speed=speed)
    tracks, numbers = follow(frames)
    assert ids_of(owners, numbers) == {0: {tracks[0].number}}
    assert len(tracks) == 1
    assert len(tracks[0]) == sum(len(o) for o in owners)
    assert not tracks[0].interpolated.any()


@pytest.mark.parametrize(("fps", "right"), [(2, 17), (5, 20), (10, 20), (30, 20)])
def test_two_signs_on_one_pole_stay_two(fps: float, right: int) -> None:
    kept = 0
    for seed in range(20):
        frames, owners = drive(POLE, fps, seconds=2.5, noise=0.06, shake=2.0, seed=seed)
        tracks, numbers = follow(frames)
        assert len(tracks) == 2
        kept += all(len(ids) == 1 for ids in ids_of(owners, numbers).values())
    assert kept >= right  # at 2 frames a second boxes this small jump by more than the distance of the signs


@pytest.mark.parametrize("fps", [2, 5, 10, 30])
def test_a_parked_car_sees_one_sign_for_long(fps: float) -> None:
    frames, _ = drive(POLE[:1], fps, seconds=20, speed=0.0)
    tracks, _ = follow(frames)
    assert [len(track) for track in tracks] == [20 * fps]


@pytest.mark.parametrize("fps", [5, 10, 30])
def test_a_turning_and_shaking_camera_keeps_the_ids(fps: float) -> None:
    signs = (*POLE, (-6.0, -2.0, 60.0, 0.7))
    frames, owners = drive(signs, fps, shake=3.0, turn=-150.0, seconds=2.5)
    tracks, numbers = follow(frames)
    assert len(tracks) == 3
    assert all(len(ids) == 1 for ids in ids_of(owners, numbers).values())


def test_uneven_frame_times_are_followed() -> None:
    rng = np.random.default_rng(3)
    times = np.cumsum(rng.uniform(0.03, 0.4, 14))
    boxes = [(float(t), see(POLE[0], float(t))) for t in times]
    frames = [(t, Boxes(box[None].astype(np.float32), np.full(1, 0.8, np.float32))) for t, box in boxes if box is not None]
    tracks, _ = follow(frames)
    assert [len(track) for track in tracks] == [len(frames)]


@pytest.mark.parametrize("fps", [2, 10])
def test_a_gap_is_bridged_and_marked(fps: float) -> None:
    frames, _ = drive(POLE[:1], fps, noise=0.0)
    gone = [3] if fps == 2 else [8, 9, 10]
    holed = [(t, Boxes.empty() if i in gone else boxes) for i, (t, boxes) in enumerate(frames)]
    tracks, _ = follow(holed)
    assert len(tracks) == 1
    assert tracks[0].indices[tracks[0].interpolated].tolist() == gone
    for index in gone:  # steady speed: the bridge lies where the sign really is
        at = tracks[0].indices.tolist().index(index)
        assert iou(tracks[0].xyxy[at], frames[index][1].xyxy)[0, 0] > 0.9
        assert tracks[0].times_s[at] == frames[index][0]


def test_a_long_absence_ends_a_sign() -> None:
    frames, _ = drive(POLE[:1], 10, speed=0.0, seconds=5)
    holed = [(t, Boxes.empty() if 10 <= i < 25 else boxes) for i, (t, boxes) in enumerate(frames)]
    tracks, _ = follow(holed)
    assert [(track.indices[0], track.indices[-1]) for track in tracks] == [(0, 9), (25, 49)]
    assert not any(track.interpolated.any() for track in tracks)


def test_empty_frames_give_no_sign() -> None:
    tracks, numbers = follow([(i / 10, Boxes.empty()) for i in range(30)])
    assert tracks == []
    assert numbers == [[]] * 30
    assert Tracker(PARAMS, WIDTH, HEIGHT).finish() == []


def flash(score: float, *, at: int, fps: float = 10) -> list[tuple[float, Boxes]]:
    one = Boxes(np.array([[300, 200, 330, 230]], np.float32), np.array([score], np.float32))
    return [(i / fps, one if i == at else Boxes.empty()) for i in range(20)]


def test_a_flash_is_dropped_unless_it_is_sure() -> None:
    assert follow(flash(0.6, at=5))[0] == []
    assert follow(flash(0.2, at=5))[0] == []
    (sure,) = follow(flash(0.9, at=5))[0]
    assert sure.indices.tolist() == [5]


def test_two_flashes_at_one_place_are_no_sign() -> None:
    one = flash(0.6, at=5)[5][1]
    frames = [(i / 10, one if i in (5, 9) else Boxes.empty()) for i in range(20)]
    assert follow(frames)[0] == []


def test_a_weak_box_continues_but_does_not_begin() -> None:
    frames, _ = drive(POLE[:1], 10, noise=0.02)
    scores = [0.2, 0.2, 0.2, 0.8, 0.8, 0.2, 0.1, 0.8]
    weak = [(t, Boxes(boxes.xyxy, np.full(len(boxes), s, np.float32))) for (t, boxes), s in zip(frames, scores, strict=False)]
    (track,) = follow(weak)[0]
    assert track.indices.tolist() == [3, 4, 5, 6, 7]
    assert track.interpolated.tolist() == [False, False, False, True, False]
    np.testing.assert_allclose(track.scores, [0.8, 0.8, 0.2, 0.2, 0.8])


@pytest.mark.parametrize("before", [[], [0.19], [0.39, 0.2]])
@pytest.mark.parametrize("behind", [[], [0.2], [0.3, 0.0, 0.39]])
def test_weak_boxes_before_and_behind_a_sign_are_no_part_of_it(before: list[float], behind: list[float]) -> None:
    scores = [*before, 0.6, 0.3, 0.8, 0.4, *behind]
    frames, _ = drive(POLE[:1], 10, speed=0.0)
    weak = [(t, Boxes(boxes.xyxy, np.full(len(boxes), s, np.float32))) for (t, boxes), s in zip(frames, scores, strict=False)]
    easy = PARAMS.model_copy(update={"start_score": 0.19})  # the weak ones before it may begin it
    (track,) = follow(weak, easy)[0]
    np.testing.assert_allclose(track.scores, [0.6, 0.3, 0.8, 0.4])
    assert track.indices.tolist() == list(range(len(before), len(before) + 4))
    whole = easy.model_copy(update={"end_share": 0.0})
    assert len(follow(weak, whole)[0][0]) == len(scores)


def test_a_second_box_on_the_same_sign_begins_none() -> None:
    frames, _ = drive(POLE[:1], 10, noise=0.02)
    doubled = []
    for t, boxes in frames:
        x1, y1, x2, y2 = boxes.xyxy[0]
        part = np.array([[x1, y1, x2, (y1 + y2) / 2]], np.float32)
        doubled.append((t, Boxes(np.vstack([boxes.xyxy, part]), np.array([0.9, 0.6], np.float32))))
    tracks, numbers = follow(doubled)
    assert len(tracks) == 1
    assert {tuple(n) for n in numbers} == {(0, -1)}


@pytest.mark.parametrize("fps", [2, 5, 10, 30])
def test_with_misses_and_false_boxes_signs_are_still_counted_right(fps: float) -> None:
    rng = np.random.default_rng(1)
    signs, right = (*POLE, (-5.0, -2.0, 45.0, 0.8)), 0
    for seed in range(10 if fps < 30 else 4):
        frames, _ = drive(signs, fps, noise=0.06, miss=0.05, shake=2.0, seed=seed)
        noisy = []
        for t, boxes in frames:
            n = int(rng.random() < 0.05)
            corner = rng.uniform([0, 0], [WIDTH - 60, HEIGHT - 60], (n, 2))
            false = np.hstack([corner, corner + rng.uniform(15, 60, (n, 1))])
            scores = np.concatenate([boxes.scores, rng.uniform(0.2, 0.6, n)])
            noisy.append((t, Boxes(np.vstack([boxes.xyxy, false]).astype(np.float32), scores.astype(np.float32))))
        right += len(follow(noisy)[0]) == 3
    assert right >= (9 if fps < 30 else 4)


def test_it_is_deterministic_and_independent_of_the_order_of_boxes() -> None:
    frames, _ = drive((*POLE, (-5.0, -2.0, 45.0, 0.8)), 5, noise=0.06, miss=0.1, shake=3.0)
    turned = [(t, boxes[np.arange(len(boxes))[::-1].copy()]) for t, boxes in frames]
    first, again, other = (follow(f)[0] for f in (frames, frames, turned))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.xyxy, b.xyxy)
        np.testing.assert_array_equal(a.indices, b.indices)
    assert sorted(t.xyxy.tolist() for t in first) == sorted(t.xyxy.tolist() for t in other)


def test_live_and_kept_tell_where_a_sign_stands() -> None:
    tracker = Tracker(PARAMS, WIDTH, HEIGHT)
    frames, _ = drive(POLE[:1], 10, noise=0.0, seconds=0.5)
    for index, (time_s, boxes) in enumerate(frames):
        tracker.update(index, time_s, boxes)
    assert (tracker.live, set(tracker.kept)) == ({0}, set())
    for index in range(5, 30):
        tracker.update(index, index / 10, Boxes.empty())
    assert (tracker.live, set(tracker.kept)) == (set(), {0})


@pytest.mark.parametrize(("index", "time_s"), [(3, 0.5), (2, 0.5), (4, 0.3), (4, 0.2), (4, float("nan")), (4, float("inf"))])
def test_frames_out_of_order_are_refused(index: int, time_s: float) -> None:
    tracker = Tracker(PARAMS, WIDTH, HEIGHT)
    tracker.update(3, 0.3, Boxes.empty())
    with pytest.raises(DataError, match=r"out of order.*after frame 3"):
        tracker.update(index, time_s, Boxes.empty())


def test_in_stills_every_good_box_is_a_sign() -> None:
    boxes = Boxes(np.array([[0, 0, 20, 20], [50, 50, 80, 80], [52, 50, 80, 80]], np.float32), np.array([0.5, 0.39, 0.9], np.float32))
    stills = Stills(PARAMS)
    assert stills.update(0, 0.0, boxes).tolist() == [0, -1, 1]
    assert stills.update(2, 0.0, boxes).tolist() == [2, -1, 3]
    assert (set(stills.live), set(stills.kept)) == (set(), {0, 1, 2, 3})
    tracks = stills.finish()
    assert [track.indices.tolist() for track in tracks] == [[0], [0], [2], [2]]
    np.testing.assert_array_equal(tracks[3].xyxy, boxes.xyxy[2:])
    assert Stills(PARAMS).finish() == []


edge = st.floats(-50, 1400, width=32)
side = st.floats(0.0625, 900, width=32)
box = st.tuples(edge, edge, side, side, st.floats(0, 1, width=32))
film = st.lists(st.tuples(st.integers(1, 9), st.floats(1e-3, 3), st.lists(box, max_size=6)), max_size=12)


@settings(max_examples=150, deadline=None)
@given(film)
def test_whatever_comes_in_tracks_are_sound(frames: list[tuple[int, float, list[tuple[float, float, float, float, float]]]]) -> None:
    tracker = Tracker(PARAMS, WIDTH, HEIGHT)
    index, time_s, given_boxes = -1, 0.0, {}
    owners: dict[tuple[int, int], int] = {}
    for step, dt, rows in frames:
        index, time_s = index + step, time_s + dt
        values = np.array(rows, np.float64).reshape(-1, 5)
        boxes = Boxes(np.hstack([values[:, :2], values[:, :2] + values[:, 2:4]]).astype(np.float32), values[:, 4].astype(np.float32))
        given_boxes[index] = boxes
        numbers = tracker.update(index, time_s, boxes)
        taken = numbers[numbers >= 0].tolist()
        assert len(taken) == len(set(taken))  # a sign has at most one box in a frame
        assert (boxes.scores[numbers >= 0] >= PARAMS.keep_score).all()
        owners.update({(index, n): i for i, n in enumerate(numbers.tolist()) if n >= 0})
    tracks = tracker.finish()
    assert len({track.number for track in tracks}) == len(tracks)
    for track in tracks:
        Boxes(track.xyxy, track.scores)  # finite, with an area, scores in [0, 1]
        assert (np.diff(track.indices) > 0).all()
        assert (np.diff(track.times_s) > 0).all()
        assert not track.interpolated[[0, -1]].any()
        assert track.scores[[0, -1]].min() >= PARAMS.end_share * track.scores.max()
        for i in np.flatnonzero(~track.interpolated):
            at = int(track.indices[i])
            np.testing.assert_array_equal(track.xyxy[i], given_boxes[at].xyxy[owners[at, track.number]])
