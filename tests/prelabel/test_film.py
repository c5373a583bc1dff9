from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from signloop.core import tables
from signloop.core.errors import DataError
from signloop.core.files import read_json, write_json
from signloop.core.params import Params
from signloop.measure.score import score_recordings
from signloop.measure.truth import parse_truth
from signloop.prelabel.film import check_film, label_film
from signloop.prelabel.proposal import Runtime

MakeFilms = Callable[..., dict[str, Any]]


@pytest.fixture
def label(seer: Runtime, shape_params: Params, tmp_path: Path) -> Callable[[Path], tuple[str, list[str]]]:
    """Label a film into tmp_path/out; returns the report and what was said before."""

    def act(film: Path) -> tuple[str, list[str]]:
        said: list[str] = []
        return label_film(film, tmp_path / "out", seer, shape_params.prelabel, 10.0, lambda *_: None, said.append), said

    return act


def frames_of(path: Path) -> list[Any]:
    film = cv2.VideoCapture(str(path))
    frames = []
    while (got := film.read())[0]:
        frames.append(got[1])
    film.release()
    return frames


def test_a_film_gets_labels_crops_and_a_film_with_the_labels_drawn(
    make_films: MakeFilms, label: Callable[[Path], tuple[str, list[str]]], tmp_path: Path
) -> None:
    truth = make_films(tmp_path, {"my drive.avi": [4, 30, 4]})
    report, said = label(tmp_path / "my drive.avi")
    out = tmp_path / "out"
    assert "3 shapes in 12 frames: 1 x blue ../cone, 2 x red ball" in report
    assert "my drive.avi: 12 frames of 192x144, about" in said[0]
    assert "MB" in said[0]
    assert {path.name for path in out.iterdir()} == {"boxes.parquet", "signs.parquet", "labels.json", "crops", "film.mp4"}
    assert tables.read(out / "boxes.parquet", "prelabel_boxes").num_rows == 36
    assert sorted(tables.read(out / "signs.parquet", "prelabel_signs")["class_id"].to_pylist()) == [4, 4, 30]
    drawn, plain = frames_of(out / "film.mp4"), frames_of(tmp_path / "my drive.avi")
    assert len(drawn) == len(plain) == 12
    assert drawn[0].shape == plain[0].shape
    x, y, _, height = truth["annotations"][-1]["bbox"]
    blue, green, red = drawn[-1][y + height // 2, x - 1].astype(int).tolist()
    assert green > max(red, blue) + 60  # the edge of the box
    crops = sorted(path.relative_to(out / "crops").parent.name for path in (out / "crops").rglob("*.png"))
    assert crops == ["004-red-ball"] * 8 + ["030-blue-cone"] * 4  # the four largest of each
    ball = cv2.imread(str(next((out / "crops" / "004-red-ball").glob("*_000011.png"))))
    assert ball is not None
    assert ball[ball.shape[0] // 2, ball.shape[1] // 2, 2] > 180


@pytest.mark.parametrize(("fps", "expected"), [(None, [*range(1, 13)]), (5.0, [1, 3, 5, 7, 9, 11, 12])])
def test_progress_counts_the_films_frames_and_ends_once(
    fps: float | None, expected: list[int], make_films: MakeFilms, seer: Runtime, shape_params: Params, tmp_path: Path
) -> None:
    make_films(tmp_path, {"film.avi": [4]})
    told: list[tuple[str, int, int]] = []
    prelabel = shape_params.prelabel.model_copy(update={"fps": fps})
    label_film(tmp_path / "film.avi", tmp_path / "out", seer, prelabel, 10.0, lambda *now: told.append(now), lambda _: None)
    assert told == [("frames", n, 12) for n in expected]


def test_its_coco_file_is_the_truth_when_scored(
    make_films: MakeFilms, label: Callable[[Path], tuple[str, list[str]]], tmp_path: Path
) -> None:
    truth = make_films(tmp_path, {"film.avi": [4, 11]})
    label(tmp_path / "film.avi")
    coco = read_json(tmp_path / "out" / "labels.json")
    assert {c["name"] for c in coco["categories"]} == {"red ball", "green crate", "blue ../cone", "unknown"}
    assert parse_truth(coco).videos[0].fps == pytest.approx(10)
    boxes: dict[tuple[int, int], list[list[float]]] = {}
    for a in coco["annotations"]:
        x, y, w, h = a["bbox"]
        boxes.setdefault((a["track_id"], a["category_id"]), []).append([a["image_id"], x, y, x + w, y + h])
    signs = [{"video": "film.avi", "class_id": c, "confidence": 1.0, "boxes": b} for (_, c), b in boxes.items()]
    scores = score_recordings(parse_truth(truth), {"fps": 10.0, "frames": [], "signs": signs})
    assert (scores["sign_recall"], scores["sign_class_accuracy"], scores["sign_precision"]) == (1, 1, 1)


def test_a_film_without_shapes_and_a_folder_of_odd_frames(label: Callable[[Path], tuple[str, list[str]]], tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    for n in range(5):
        cv2.imwrite(str(tmp_path / "frames" / f"{n}.png"), np.full((101, 133, 3), 90 + n, np.uint8))
    write_json(tmp_path / "frames" / "recording.json", {"kind": "sequence", "fps": 5})
    report, _ = label(tmp_path / "frames")
    assert "0 shapes in 5 frames: none" in report
    film = cv2.VideoCapture(str(tmp_path / "out" / "film.mp4"))
    assert film.get(cv2.CAP_PROP_FPS) == pytest.approx(5)
    assert len(frames_of(tmp_path / "out" / "film.mp4")) == 5


def test_nothing_is_left_of_a_failure_and_nothing_overwritten(
    make_films: MakeFilms, label: Callable[[Path], tuple[str, list[str]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_films(tmp_path, {"film.avi": [4]}, frames=30)
    whole = (tmp_path / "film.avi").read_bytes()
    (tmp_path / "cut.avi").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError):
        label(tmp_path / "cut.avi")
    (tmp_path / "text.mp4").write_text("no film")
    with pytest.raises(DataError, match=r"text\.mp4"):
        label(tmp_path / "text.mp4")
    monkeypatch.setattr("signloop.prelabel.film.require_free_space", _full)
    with pytest.raises(DataError, match="not enough"):
        label(tmp_path / "film.avi")
    assert {path.name for path in tmp_path.iterdir()} == {"film.avi", "cut.avi", "text.mp4"}
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match=r"the output folder exists .*out\).*--out"):
        label(tmp_path / "film.avi")


def test_a_film_that_the_disk_cut_short_is_noticed(make_films: MakeFilms, tmp_path: Path) -> None:
    make_films(tmp_path, {"film.avi": [4]}, frames=6)
    check_film(tmp_path / "film.avi", 6)
    with pytest.raises(DataError, match=r"not written whole .*expected 7 frames; found 6.*Is the disk full"):
        check_film(tmp_path / "film.avi", 7)
    (tmp_path / "film.avi").write_bytes(b"")
    with pytest.raises(DataError, match="found 0"):
        check_film(tmp_path / "film.avi", 6)


def _full(folder: Path, needed: int) -> None:
    raise DataError("not enough space", where=folder, found=needed)


def test_a_film_of_which_fewer_frames_are_looked_at_shows_these_as_long(
    make_films: MakeFilms, seer: Runtime, shape_params: Params, tmp_path: Path
) -> None:
    make_films(tmp_path, {"a.avi": [4]})
    prelabel = shape_params.prelabel.model_copy(update={"fps": 5.0})
    label_film(tmp_path / "a.avi", tmp_path / "out", seer, prelabel, 10.0, lambda *_: None, lambda _: None)
    film = cv2.VideoCapture(str(tmp_path / "out" / "film.mp4"))
    assert (film.get(cv2.CAP_PROP_FPS), film.get(cv2.CAP_PROP_FRAME_COUNT)) == (5, 6)
    film.release()
    green = [(frame[..., 1].astype(int) - frame[..., 2] > 100).sum() for frame in frames_of(tmp_path / "out" / "film.mp4")]
    assert min(green) > 20  # each has the box


def test_stills_are_no_film(label: Callable[[Path], tuple[str, list[str]]], tmp_path: Path) -> None:
    (tmp_path / "stills").mkdir()
    write_json(tmp_path / "stills" / "recording.json", {"kind": "stills"})
    cv2.imwrite(str(tmp_path / "stills" / "a.png"), np.zeros((40, 40, 3), np.uint8))
    with pytest.raises(DataError, match=r"independent stills are no film.*data/recordings"):
        label(tmp_path / "stills")
