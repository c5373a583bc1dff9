"""Pictures by ids: crops around signs, frames that outlive a stage, and frames decoded once more where none was kept."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from signloop.core import tables
from signloop.core.errors import DataError
from signloop.frames.images import read_image
from signloop.frames.video import open_recording
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
    monkeypatch.setattr(module, "HELD_FRAMES", 1)
    pictures._held = module._Crops(4000)
    crops = [pictures.crop(recording, index, (40, 30, 60 + k, 50), 96) for recording, index in ((DRIVE, 2), (PHOTOS, 0)) for k in range(8)]
    assert sum(map(len, pictures._held._crops.values())) == pictures._held.bytes <= 4000
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


def sign(desk: Desk, number: int, recording_id: str = DRIVE) -> str:
    return item_id_of(desk.questions.review_id, f"{recording_id}/mtest/{number:04d}")


def crop_of(pictures: Pictures, desk: Desk, item_id: str, side: int = module.SHEET_SIDE) -> bytes:
    shown = desk.questions.shown(item_id)
    box = shown.at(shown.clearest)
    assert box is not None
    return pictures.crop(desk.questions.items[item_id].recording_id, shown.clearest, box, side)


def cut(pictures: Pictures, order: list[str]) -> None:
    """Let the crops of these signs be made ahead, until no more is to do."""
    stop = threading.Event()

    def run_out() -> Iterator[str]:
        yield from order
        stop.set()

    pictures.cut_ahead(stop, run_out())


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Frames that were decoded."""
    found: list[Path] = []

    def act(path: Path) -> Image:
        found.append(path)
        return read_image(path)

    monkeypatch.setattr(module, "read_image", act)
    return found


def test_crops_are_made_before_anybody_asks(pictures: Pictures, desk: Desk, read: list[Path]) -> None:
    waiting = list(desk.upcoming())
    cut(pictures, waiting)
    assert len(read) == len(set(read)) > 0  # each frame once, however many signs it shows
    read.clear()
    ahead = [crop_of(pictures, desk, item_id) for item_id in waiting]
    assert read == []
    assert [crop_of(pictures, desk, item_id) for item_id in waiting] == ahead
    assert pictures._ahead.bytes == 0  # what was asked for makes room
    anew = Pictures(desk.questions, pictures._frames_folder, pictures._recordings_folder)
    assert [crop_of(anew, desk, item_id) for item_id in waiting] == ahead


def test_who_asks_for_one_crop_has_those_of_its_frame_made(pictures: Pictures, desk: Desk, read: list[Path]) -> None:
    together = [i for i in desk.upcoming() if desk.questions.items[i].recording_id == DRIVE and desk.questions.shown(i).clearest == 0]
    assert len(together) > 1
    for item_id in together:
        crop_of(pictures, desk, item_id)
    assert len(read) == 1


def test_several_crops_come_together(pictures: Pictures, queued: Path, read: list[Path]) -> None:
    (queued / "frames" / "images" / DRIVE / "000004.jpg").write_bytes(b"no picture")
    box, other = (40, 30, 60, 50), (10, 10, 30, 30)
    found = pictures.crops(
        [(DRIVE, 2, box), None, (DRIVE, 1, box), (DRIVE, 4, box), (PHOTOS, 0, box), (DRIVE, 2, box), (DRIVE, 2, other)], 96
    )
    assert found == [
        pictures.crop(DRIVE, 2, box, 96), b"", b"", b"", pictures.crop(PHOTOS, 0, box, 96),
        pictures.crop(DRIVE, 2, box, 96), pictures.crop(DRIVE, 2, other, 96),
    ]  # fmt: skip
    assert found[0] != found[4] != b""
    read.clear()
    assert pictures.crops([(DRIVE, 2, box)], 96) == found[:1]
    assert read == []


def _end_once_read(cutting: threading.Thread, stop: threading.Event, read: list[Path]) -> None:
    for _ in range(100):
        cutting.join(0.02)
        if read:
            break
    stop.set()
    cutting.join()


def test_nothing_is_made_ahead_while_somebody_waits(pictures: Pictures, desk: Desk, read: list[Path]) -> None:
    stop = threading.Event()
    cutting = threading.Thread(target=pictures.cut_ahead, args=(stop, desk.upcoming()))
    with pictures._answering():
        cutting.start()
        cutting.join(0.1)
        assert read == []
    _end_once_read(cutting, stop, read)
    assert read


def test_only_so_many_crops_are_made_ahead(pictures: Pictures, desk: Desk, read: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    pictures._ahead = module._Crops(1)
    stop, waiting = threading.Event(), list(desk.upcoming())
    pictures._ahead.bytes = 1  # full
    cutting = threading.Thread(target=pictures.cut_ahead, args=(stop, iter(waiting)))
    cutting.start()
    cutting.join(0.1)
    assert read == []
    pictures.expect([waiting[0]], module.SHEET_SIDE)  # what comes next is made anyhow
    _end_once_read(cutting, stop, read)
    assert len(read) == 1


def test_crops_are_made_as_large_as_the_sheets_want_them(pictures: Pictures, desk: Desk, read: list[Path]) -> None:
    waiting = list(desk.upcoming())
    pictures.expect(waiting, 320)
    cut(pictures, [])
    read.clear()
    assert {seen(crop_of(pictures, desk, item_id, 320)).shape for item_id in waiting} == {(320, 320, 3)}
    assert read == []


def test_a_frame_that_cannot_be_read_stops_nothing(pictures: Pictures, desk: Desk, queued: Path, read: list[Path]) -> None:
    waiting = list(desk.upcoming())
    for path in (queued / "frames" / "images" / DRIVE).glob("*.jpg"):
        path.write_bytes(b"no picture")
    cut(pictures, waiting)
    read.clear()
    crop_of(pictures, desk, next(i for i in waiting if desk.questions.items[i].recording_id == PHOTOS))
    assert read == []


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
def unseen(queued: Path, make_films: MakeFilms, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project with a film, in which sign 1 is only in frames that were not kept."""
    monkeypatch.setattr(module, "open_recording", lambda path, fps: replace(open_recording(path, fps), recording_id=DRIVE))
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
    shown = desk.questions.shown(sign(desk, 1))
    pictures = Pictures(desk.questions, unseen / "frames", unseen / "recordings")
    assert not pictures.has(DRIVE, shown.clearest)
    pictures.keep(threading.Event())
    assert pictures.frame(DRIVE, shown.clearest).shape == (144, 192, 3)
    assert not pictures.has(DRIVE, 4 - shown.clearest)


def test_another_film_of_the_same_name_is_not_shown(unseen: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "open_recording", open_recording)  # its content has another id
    pictures = Pictures(desk.questions, unseen / "frames", unseen / "recordings")
    pictures.keep(threading.Event())
    assert not pictures.has(DRIVE, desk.questions.shown(sign(desk, 1)).clearest)


def test_a_recording_that_is_gone_takes_only_its_own_pictures_away(unseen: Path, desk: Desk) -> None:
    (unseen / "recordings" / "drive.avi").unlink()
    pictures = Pictures(desk.questions, unseen / "frames", unseen / "recordings")
    pictures.keep(threading.Event())
    assert not pictures.has(DRIVE, 1)
    assert pictures.has(DRIVE, 0)
