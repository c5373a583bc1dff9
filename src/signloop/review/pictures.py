"""Stored frames of a review enter; pictures for the page leave: whole frames, and crops of signs, as JPEG.

The frames are hard-linked into the review's folder, so that a `dvc repro` that deletes one takes none from the person; the frames that
show a sign and were not kept for training are decoded once more from their recordings. Both happens beside the person's work.
"""

import math
import os
import shutil
import threading
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from signloop.core.boxes import clip
from signloop.core.errors import DataError
from signloop.core.files import write_bytes
from signloop.frames.images import read_image
from signloop.frames.video import open_recording, read_frames
from signloop.review.questions import Questions

HELD_FRAMES = 24
HELD_BYTES = 64_000_000  # of crops
SHEET_SIDE = 160  # px of a crop on a sheet
CONTEXT = 0.35  # around a sign, as a share of its longer side
Image = NDArray[np.uint8]


class MissingPictureError(Exception):
    """The picture of a frame is not there (yet)."""


class Pictures:
    """Pictures of one review.

    Args:
        questions: the review.
        frames_folder: data/frames, where pictures lie as long as no stage deletes them.
        recordings_folder: data/recordings, for frames that are not stored.
    """

    def __init__(self, questions: Questions, frames_folder: Path, recordings_folder: Path) -> None:
        self._questions, self._frames_folder, self._recordings_folder = questions, frames_folder, recordings_folder
        self._own = questions.folder / "images"
        self._lock = threading.Lock()
        self._frames: OrderedDict[Path, Image] = OrderedDict()
        self._crops: OrderedDict[tuple[str, int, tuple[float, ...], int], bytes] = OrderedDict()
        self._crop_bytes = 0

    def path(self, recording_id: str, index: int) -> Path:
        """Return the file with the picture of a frame.

        Raises:
            MissingPictureError: it is not stored, or not decoded yet.
        """
        for path in self._candidates(recording_id, index):
            if path.is_file():
                return path
        raise MissingPictureError(f"{recording_id}/{index:06d}")

    def frame(self, recording_id: str, index: int) -> Image:
        """Return a frame as RGB.

        Raises:
            MissingPictureError: it is not stored, or not decoded yet.
        """
        return self._image(self.path(recording_id, index))

    def crop(self, recording_id: str, index: int, xyxy: Iterable[float], side: int) -> bytes:
        """Return a square JPEG of a sign with some context.

        Args:
            recording_id: the recording.
            index: of the frame.
            xyxy: the sign, px.
            side: of the picture, px.

        Raises:
            MissingPictureError: the frame's picture is not there.
        """
        corners = tuple(round(float(v), 1) for v in xyxy)
        key = (recording_id, index, corners, side)
        with self._lock:
            if key in self._crops:
                self._crops.move_to_end(key)
                return self._crops[key]
        done, content = cv2.imencode(".jpg", _cut(self.frame(recording_id, index), corners, side), [cv2.IMWRITE_JPEG_QUALITY, 88])
        if not done:
            raise MissingPictureError(f"{recording_id}/{index:06d}")
        self._hold(key, bytes(content))
        return bytes(content)

    def keep(self, stop: threading.Event, first: Iterable[str] = ()) -> None:
        """Make the crops of the signs that come first, link the stored frames, decode the best frame of each sign that has none.

        To be run in a thread.
        """
        for item_id in first:
            question, shown = self._questions.items[item_id], self._questions.shown(item_id)
            box = shown.at(shown.clearest)
            with suppress(MissingPictureError, DataError):  # it is told to whoever asks for the picture
                if box is not None and not stop.is_set():
                    self.crop(question.recording_id, shown.clearest, box, SHEET_SIDE)
        without: dict[str, set[int]] = {}
        for recording_id in dict.fromkeys(question.recording_id for question in self._questions.items.values()):
            for index in self._questions.frames_of(recording_id):
                if stop.is_set():
                    return
                self._link(recording_id, index)
        for question in sorted(self._questions.items.values(), key=lambda question: question.recording_id):
            if stop.is_set():
                return
            if question.kind == "sign":
                shown = self._questions.shown(question.item_id)
                if not shown.stored.any() and not self.has(question.recording_id, shown.clearest):
                    without.setdefault(question.recording_id, set()).add(shown.clearest)
        for recording_id, indices in without.items():
            with suppress(DataError, OSError):  # a recording that is gone by now: its signs are shown without a picture
                self._decode(recording_id, indices, stop)

    def has(self, recording_id: str, index: int) -> bool:
        """Whether the picture of a frame is there."""
        return any(path.is_file() for path in self._candidates(recording_id, index))

    def _candidates(self, recording_id: str, index: int) -> list[Path]:
        found = [self._own / recording_id / f"{index:06d}{suffix}" for suffix in (".jpg", ".png", ".jpeg")]
        row = self._questions.frame(f"{recording_id}/{index:06d}")
        return found if row is None else [*found, self._frames_folder / row["path"]]

    def _link(self, recording_id: str, index: int) -> None:
        row = self._questions.frame(f"{recording_id}/{index:06d}")
        if row is None:
            return
        source = self._frames_folder / row["path"]
        target = self._own / recording_id / f"{index:06d}{source.suffix.lower()}"
        if not target.exists() and source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(source, target)
            except OSError:  # another disk, or one that has no links
                shutil.copyfile(source, target)

    def _decode(self, recording_id: str, indices: set[int], stop: threading.Event) -> None:
        about = self._questions.recordings[recording_id]
        recording = open_recording(self._recordings_folder / about["name"], about["fps"] or 1.0)
        for frame in read_frames(recording, on_bad=lambda path, error: None):
            if stop.is_set() or frame.index > max(indices):
                return
            if frame.index in indices:
                _, content = cv2.imencode(".jpg", cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 95])
                write_bytes(self._own / recording_id / f"{frame.index:06d}.jpg", bytes(content))

    def _image(self, path: Path) -> Image:
        with self._lock:
            if path in self._frames:
                self._frames.move_to_end(path)
                return self._frames[path]
        image = read_image(path)
        with self._lock:
            self._frames[path] = image
            while len(self._frames) > HELD_FRAMES:
                self._frames.popitem(last=False)
        return image

    def _hold(self, key: tuple[str, int, tuple[float, ...], int], content: bytes) -> None:
        with self._lock:
            if key not in self._crops:
                self._crops[key] = content
                self._crop_bytes += len(content)
            while self._crop_bytes > HELD_BYTES:
                _, old = self._crops.popitem(last=False)
                self._crop_bytes -= len(old)


def _cut(image: Image, xyxy: tuple[float, ...], side: int) -> Image:
    """Return a square around a box as BGR; what lies outside the frame is grey."""
    x1, y1, x2, y2 = (float(v) for v in clip(xyxy, image.shape[1], image.shape[0])[0])
    half = max(x2 - x1, y2 - y1) * (0.5 + CONTEXT)
    left, top = math.floor((x1 + x2) / 2 - half), math.floor((y1 + y2) / 2 - half)
    size = max(2, math.ceil(2 * half))
    height, width = image.shape[:2]
    view = np.full((size, size, 3), 128, np.uint8)
    part = image[max(0, top) : max(0, min(height, top + size)), max(0, left) : max(0, min(width, left + size))]
    view[max(0, -top) : max(0, -top) + part.shape[0], max(0, -left) : max(0, -left) + part.shape[1]] = part
    resized = cv2.resize(view, (side, side), interpolation=cv2.INTER_AREA if size > side else cv2.INTER_CUBIC)
    return np.asarray(cv2.cvtColor(resized, cv2.COLOR_RGB2BGR), np.uint8)
