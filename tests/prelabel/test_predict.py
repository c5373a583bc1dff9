from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from signloop.core.errors import DataError
from signloop.core.params import Params
from signloop.measure.score import score_recordings
from signloop.measure.truth import parse_truth
from signloop.prelabel.predict import predict_crops, predict_images, predict_recordings
from signloop.prelabel.proposal import Runtime

MakeFilms = Callable[..., dict[str, Any]]
RED, GREY = (30, 30, 220), (100, 100, 100)  # BGR


def silent(what: str, done: int, total: int) -> None:
    """No progress bar."""


def still(path: Path, *boxes: tuple[int, int, int, int]) -> None:
    image = np.full((80, 120, 3), GREY, np.uint8)
    for x1, y1, x2, y2 in boxes:
        cv2.rectangle(image, (x1, y1), (x2 - 1, y2 - 1), RED, -1)
    cv2.imwrite(str(path), image)


def test_stills_are_labelled_by_name(seer: Runtime, tmp_path: Path) -> None:
    still(tmp_path / "a.png", (10, 10, 30, 30), (60, 40, 80, 60))
    still(tmp_path / "ü b.png")
    found = predict_images(seer, tmp_path, ["a.png", "ü b.png"], silent)
    assert [(len(boxes), ids.tolist()) for boxes, ids in found.values()] == [(2, [4, 4]), (0, [])]
    assert sorted(map(tuple, found["a.png"][0].xyxy.tolist())) == [(10, 10, 30, 30), (60, 40, 80, 60)]
    with pytest.raises(DataError, match=r"cannot be opened .*missing\.png"):
        predict_images(seer, tmp_path, ["missing.png"], silent)


@pytest.mark.parametrize(("fps", "expected"), [(None, range(12)), (5.0, range(0, 12, 2)), (100.0, range(12)), (2.0, (0, 5, 10))])
def test_all_frames_count_at_the_own_rate_or_at_the_one_asked_for(
    fps: float | None, expected: range, seer: Runtime, shape_params: Params, make_films: MakeFilms, tmp_path: Path
) -> None:
    truth = parse_truth(make_films(tmp_path, {"a.avi": [4, 30], "b.avi": [11], "none.avi": []}))
    found, speed = predict_recordings(seer, tmp_path, truth, shape_params.prelabel, fps, silent)
    assert speed > 0
    for name in ("a.avi", "b.avi", "none.avi"):
        assert [frame["frame_index"] for frame in found["frames"] if frame["video"] == name] == list(expected)
    scores = score_recordings(truth, found)
    assert scores["frames"] == 3 * len(expected)
    assert (scores["ap50"], scores["sign_class_accuracy"], scores["sign_precision"]) == (pytest.approx(1), 1, 1)
    assert (scores["sign_recall"], scores["tracks_per_sign"], scores["false_signs"]) == (1, 1, 0)


def test_a_still_film_loses_no_frame_as_a_duplicate(seer: Runtime, shape_params: Params, make_films: MakeFilms, tmp_path: Path) -> None:
    value = make_films(tmp_path, {"a.avi": [4]}, frames=1)
    first = cv2.VideoCapture(str(tmp_path / "a.avi")).read()[1]
    writer = cv2.VideoWriter(str(tmp_path / "a.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (192, 144))
    for _ in range(7):
        writer.write(first)
    writer.release()
    found, _ = predict_recordings(seer, tmp_path, parse_truth(value), shape_params.prelabel, None, silent)
    assert [frame["frame_index"] for frame in found["frames"]] == list(range(7))


def test_recordings_of_different_rates_all_count_whole(seer: Runtime, shape_params: Params, make_films: MakeFilms, tmp_path: Path) -> None:
    value = make_films(tmp_path, {"fast.avi": [4], "slow.avi": [11]})
    frames = tmp_path / "slow.avi"
    film = cv2.VideoCapture(str(frames))
    images = [film.read()[1] for _ in range(12)]
    writer = cv2.VideoWriter(str(frames), cv2.VideoWriter.fourcc(*"MJPG"), 4, (192, 144))
    for image in images:
        writer.write(image)
    writer.release()
    value["videos"][1]["fps"] = 4
    truth = parse_truth(value)
    found, _ = predict_recordings(seer, tmp_path, truth, shape_params.prelabel, None, silent)
    assert len(found["frames"]) == 24
    scores = score_recordings(truth, found)
    assert (scores["frames"], scores["sign_recall"]) == (24, 1)


def test_a_missing_recording_is_named(seer: Runtime, shape_params: Params, make_films: MakeFilms, tmp_path: Path) -> None:
    truth = parse_truth(make_films(tmp_path, {"a.avi": [4]}))
    (tmp_path / "a.avi").unlink()
    with pytest.raises(DataError, match=r"a\.avi"):
        predict_recordings(seer, tmp_path, truth, shape_params.prelabel, None, silent)


def test_saved_crops_are_classified_in_their_order(seer: Runtime, tmp_path: Path) -> None:
    still(tmp_path / "red.png", (0, 0, 120, 80))
    still(tmp_path / "grey.png")
    probs = predict_crops(seer, tmp_path, ["red.png", "grey.png"] * 150, silent)
    assert probs.shape == (300, 4)
    assert probs.argmax(axis=1).tolist() == [0, 3] * 150
    assert predict_crops(seer, tmp_path, [], silent).shape == (0, 4)
