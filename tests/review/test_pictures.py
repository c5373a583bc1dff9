"""Pictures by ids: crops around signs, frames that outlive a stage, and frames decoded once more where none was kept."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from signloop.core import tables
from signloop.core.errors import DataError
from signloop.review import pictures as module
from signloop.review.desk import Desk
from signloop.review.pictures import MissingPictureError, Pictures
from signloop.review.questions import item_id_of

DRIVE, PHOTOS = "d" * 16, "f" * 16
GREY, RED = 128, (200, 30, 30)
Image = NDArray[np.uint8]
MakeFilms = Callable[..., dict[str, Any]]


def paint(queued: Path, recording_id: str, index: int) -> None:
    """Draw a red sign at (40, 30)-(60, 50) on a black frame."""
    image = np.zeros((80, 100, 3), np.uint8)
    image[30:50, 40:60] = RED[::-1]
    cv2.imwrite(str(queued / "frames" / "images" / recording_id / f"{index:06d}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 100])


def seen(content: bytes) -> Image:
    return np.asarray(cv2.cvtColor(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB), np.uint8)


@pytest.fixture
def pictures(queued: Path, desk: Desk) -> Pictures:
    paint(queued, DRIVE, 2)
    return Pictures(desk.questions, queued / "frames", queued / "recordings")


def test_a_crop_is_a_square_around_the_sign(pictures: Pictures) -> None:
    crop = seen(pictures.crop(DRIVE, 2, (40, 30, 60, 50), 160))
    assert crop.shape == (160, 160, 3)
    np.testing.assert_allclose(crop[80, 80], RED, atol=25)
    side = 160 / (1 + 2 * module.CONTEXT)  # of the sign in the crop
    reds = (crop[80, :, 0] > 100).sum(), (crop[:, 80, 0] > 100).sum()
    assert reds == (pytest.approx(side, abs=6), pytest.approx(side, abs=6))


def test_what_lies_outside_of_the_frame_is_grey(pictures: Pictures) -> None:
    crop = seen(pictures.crop(DRIVE, 2, (0, 0, 20, 20), 96))
    np.testing.assert_allclose(crop[3, 3], [GREY] * 3, atol=12)
    np.testing.assert_allclose(crop[60, 60], [0] * 3, atol=12)


@pytest.mark.parametrize("xyxy", [(-1e5, -1e5, 1e5, 1e5), (500, 500, 600, 600), (10, 10, 10.2, 10.2)])
def test_a_box_of_any_size_gives_a_crop_of_the_frame(pictures: Pictures, xyxy: tuple[float, ...]) -> None:
    assert seen(pictures.crop(DRIVE, 2, xyxy, 96)).shape == (96, 96, 3)


def test_a_crop_is_made_once(pictures: Pictures, queued: Path) -> None:
    first = pictures.crop(DRIVE, 2, (40, 30, 60, 50), 96)
    (queued / "frames" / "images" / DRIVE / "000002.jpg").unlink()
    assert pictures.crop(DRIVE, 2, (40, 30, 60, 50), 96) == first


def test_old_crops_make_room(pictures: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HELD_BYTES", 4000)
    monkeypatch.setattr(module, "HELD_FRAMES", 1)
    crops = [pictures.crop(recording, index, (40, 30, 60 + k, 50), 96) for recording, index in ((DRIVE, 2), (PHOTOS, 0)) for k in range(8)]
    assert sum(map(len, pictures._crops.values())) == pictures._crop_bytes <= 4000
    assert len(pictures._frames) == 1
    assert pictures.crop(DRIVE, 2, (40, 30, 60, 50), 96) == crops[0]


def test_a_picture_that_is_not_there_is_told(pictures: Pictures, queued: Path) -> None:
    assert pictures.has(DRIVE, 2)
    assert pictures.frame(DRIVE, 2).shape == (80, 100, 3)
    for index in (1, 99):
        assert not pictures.has(DRIVE, index)
        with pytest.raises(MissingPictureError, match=f"{DRIVE}/0000"):
            pictures.path(DRIVE, index)
    with pytest.raises(MissingPictureError):
        pictures.crop(DRIVE, 1, (0, 0, 9, 9), 96)
    (queued / "frames" / "images" / DRIVE / "000004.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match="000004"):
        pictures.crop(DRIVE, 4, (0, 0, 9, 9), 96)


def test_stored_frames_are_kept_by_links(pictures: Pictures, queued: Path, desk: Desk) -> None:
    pictures.keep(threading.Event())
    pictures.keep(threading.Event())
    kept = sorted(path.relative_to(desk.questions.folder).as_posix() for path in (desk.questions.folder / "images").rglob("*.*"))
    assert kept == sorted([*(f"images/{DRIVE}/{i:06d}.jpg" for i in (0, 2, 4)), *(f"images/{PHOTOS}/{i:06d}.jpg" for i in (0, 1))])
    source = queued / "frames" / "images" / DRIVE / "000002.jpg"
    assert pictures.path(DRIVE, 2).samefile(source)
    source.unlink()
    assert pictures.path(DRIVE, 2).is_file()


def test_without_links_they_are_copied(pictures: Pictures, queued: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError("another disk")

    monkeypatch.setattr("os.link", refuse)
    pictures.keep(threading.Event())
    assert pictures.path(DRIVE, 2).read_bytes() == (queued / "frames" / "images" / DRIVE / "000002.jpg").read_bytes()


def test_keeping_ends_when_it_is_told_to(pictures: Pictures, desk: Desk) -> None:
    stop = threading.Event()
    stop.set()
    pictures.keep(stop)
    assert not (desk.questions.folder / "images").exists()


@pytest.fixture
def unseen(queued: Path, make_films: MakeFilms) -> Path:
    """The project with a film, in which sign 1 is only in frames that were not kept."""
    make_films(queued / "recordings", {"drive.avi": [4]}, frames=5)
    path = queued / "frames" / "recordings.parquet"
    rows = tables.read(path, "recordings").to_pylist()
    renamed = [{**r, "name": "drive.avi", "width": 192, "height": 144} if r["recording_id"] == DRIVE else r for r in rows]
    tables.write(path, "recordings", tables.from_rows("recordings", renamed))
    path = next((queued / "prelabels" / "boxes").glob(f"{DRIVE}*"))
    rows = tables.read(path, "prelabel_boxes").to_pylist()
    left = [r for r in rows if not r["sign_id"].endswith("/0001") or r["index"] in (1, 3)]
    tables.write(path, "prelabel_boxes", tables.from_rows("prelabel_boxes", left))
    return queued


def test_the_best_frame_of_a_sign_that_was_not_kept_is_decoded(unseen: Path, desk: Desk) -> None:
    shown = desk.questions.shown(item_id_of(desk.questions.review_id, f"{DRIVE}/mtest/0001"))
    pictures = Pictures(desk.questions, unseen / "frames", unseen / "recordings")
    assert not pictures.has(DRIVE, shown.clearest)
    pictures.keep(threading.Event())
    assert pictures.frame(DRIVE, shown.clearest).shape == (144, 192, 3)
    assert not pictures.has(DRIVE, 4 - shown.clearest)


def test_a_recording_that_is_gone_takes_only_its_own_pictures_away(unseen: Path, desk: Desk) -> None:
    (unseen / "recordings" / "drive.avi").unlink()
    pictures = Pictures(desk.questions, unseen / "frames", unseen / "recordings")
    pictures.keep(threading.Event())
    assert not pictures.has(DRIVE, 1)
    assert pictures.has(DRIVE, 0)
