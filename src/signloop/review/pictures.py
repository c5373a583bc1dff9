"""Stored frames of a review enter; pictures for the page leave: whole frames, and crops of signs, as JPEG.

The frames are hard-linked into the review's folder, so that a `dvc repro` that deletes one takes none from the person; the frames that
show a sign and were not kept for training are decoded once more from their recordings. Both happens beside the person's work, and so
does the cutting of what sheets will ask for: a frame takes far longer to decode than a person needs for a card.
"""

import math
import os
import threading
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cached_property, lru_cache
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
BEST_HELD = 256  # recordings of which is known what each frame shows best
HELD_BYTES = 8_000_000  # of crops that somebody asked for
AHEAD_BYTES = 56_000_000  # of crops that sheets will ask for: some 10,000
QUALITY = 82  # of the JPEGs
SHEET_SIDE = 160  # px of a crop on a sheet, unless the page wants another
BOXES_HELD = 4096  # signs of which is known where they are seen best
MAKERS = 4  # crops that are made at a time: to decode frees the interpreter
LOOK_S = 0.5  # between two looks whether the end has come
CONTEXT = 0.35  # around a sign, as a share of its longer side
Image = NDArray[np.uint8]
Corners = tuple[float, ...]
Key = tuple[str, int, Corners, int]  # recording, frame, sign and side of a crop
Sign = tuple[str, int, Iterable[float]]


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
        self._turn = threading.Condition(self._lock)
        self._frames: OrderedDict[Path, Image] = OrderedDict()
        self._held, self._ahead = _Crops(HELD_BYTES), _Crops(AHEAD_BYTES)
        self._soon: deque[str] = deque()
        self._side = SHEET_SIDE
        self._asked = 0  # answers that somebody waits for
        self._makers = ThreadPoolExecutor(MAKERS)
        self._best_in = lru_cache(maxsize=BEST_HELD)(self._find_best)
        self._best_of = lru_cache(maxsize=BOXES_HELD)(self._find_best_of)

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
        key = (recording_id, index, _rounded(xyxy), side)
        content = self._there(key)
        if content is None:
            with self._answering():
                content = self._make(key)
        return content

    def crops(self, wanted: Sequence[Sign | None], side: int) -> list[bytes]:
        """Return the crops of several signs (recording, frame, px); b"" of None, and of one whose picture is not there or damaged."""
        keys = [None if sign is None else (sign[0], sign[1], _rounded(sign[2]), side) for sign in wanted]

        def make(key: Key) -> bytes:
            with suppress(MissingPictureError, DataError):
                return self._make(key)
            return b""

        with self._answering():
            found = {key: content for key in keys if key is not None and (content := self._there(key)) is not None}
            missing = [key for key in dict.fromkeys(keys) if key is not None and key not in found]
            found |= zip(missing, self._makers.map(make, missing), strict=True)
        return [b"" if key is None else found[key] for key in keys]

    def expect(self, item_ids: Sequence[str], side: int) -> None:
        """Take in which signs sheets will show next, and how large: `cut_ahead` turns to them first."""
        with self._lock:
            if side != self._side:
                self._side, self._ahead = side, _Crops(AHEAD_BYTES)
            self._soon = deque(item_ids)
            self._turn.notify()

    def cut_ahead(self, stop: threading.Event, order: Iterable[str]) -> None:
        """Make the crops of signs before sheets ask for them, in the order in which they will, as long as there is room for more.

        It rests while somebody waits for crops. To be run in a thread of its own.
        """
        later: Iterator[str] | None = iter(order)
        while not stop.is_set():
            with self._lock:
                wanted = later is not None and self._ahead.has_room
                if self._asked or not (self._soon or wanted):
                    self._turn.wait(LOOK_S)
                    continue
                item_id = self._soon.popleft() if self._soon else None
            if item_id is None and later is not None:
                item_id = next(later, None)
                later = None if item_id is None else later
            if item_id is not None:
                with suppress(MissingPictureError, DataError):  # it is told to whoever asks for the picture
                    self._cut_with_others(item_id)

    def keep(self, stop: threading.Event) -> None:
        """Link the stored frames, decode the best frame of each sign that has none.

        To be run in a thread.
        """
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
                write_bytes(target, source.read_bytes())  # whole or not at all: what is here is taken as it is

    def _decode(self, recording_id: str, indices: set[int], stop: threading.Event) -> None:
        about = self._questions.recordings[recording_id]
        recording = open_recording(self._recordings_folder / about["name"], about["fps"] or 1.0)
        if recording.recording_id != recording_id:
            return  # another film has its name now
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

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Let nothing be made ahead meanwhile."""
        with self._lock:
            self._asked += 1
        try:
            yield
        finally:
            with self._lock:
                self._asked -= 1
                self._turn.notify()

    def _there(self, key: Key) -> bytes | None:
        """Return a crop that was made already; what was made ahead makes room for another one."""
        with self._lock:
            content = self._held.get(key) or self._ahead.pop(key)
            if content is not None:
                self._held.put(key, content)
                self._turn.notify()
            return content

    def _make(self, key: Key) -> bytes:
        recording_id, index, _, side = key
        image = self.frame(recording_id, index)
        content = _encoded(image, key)
        with self._lock:
            self._held.put(key, content)
        if side == self._side:
            self._cut_best(image, recording_id, index)
        return content

    def _cut_with_others(self, item_id: str) -> None:
        """Make the crop of a sign, and of all others that its frame shows best, unless it is there."""
        best = self._best_of(item_id)
        if best is None:
            return
        recording_id, index, corners = best
        key = (recording_id, index, corners, self._side)
        with self._lock:
            if key in self._ahead or key in self._held:
                return
        path = self.path(recording_id, index)
        with self._lock:
            image = self._frames.get(path)
        self._cut_best(read_image(path) if image is None else image, recording_id, index)

    def _cut_best(self, image: Image, recording_id: str, index: int) -> None:
        """Make the crops of all signs that a frame shows best: to cut one takes no time beside decoding the frame."""
        for corners in self._best_in(recording_id).get(index, ()):
            key = (recording_id, index, corners, self._side)
            with self._lock:
                if key in self._ahead or key in self._held:
                    continue
            content = _encoded(image, key)
            with self._lock:
                self._ahead.put(key, content)

    def _find_best(self, recording_id: str) -> Mapping[int, set[Corners]]:
        """Return the boxes of those signs that each frame of a recording shows best."""
        found: dict[int, set[Corners]] = defaultdict(set)
        for item_id in self._signs_of.get(recording_id, ()):
            best = self._find_best_of(item_id)
            if best is not None:
                found[best[1]].add(best[2])
        return found

    def _find_best_of(self, item_id: str) -> tuple[str, int, Corners] | None:
        """Return where a sign is seen best; None if it has no box."""
        question, shown = self._questions.items[item_id], self._questions.shown(item_id)
        box = shown.at(shown.clearest)
        return None if box is None else (question.recording_id, shown.clearest, _rounded(box))

    @cached_property
    def _signs_of(self) -> Mapping[str, Sequence[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for question in self._questions.items.values():
            if question.kind != "frame":
                found[question.recording_id].append(question.item_id)
        return found


class _Crops:
    """Crops of at most so many bytes in all; the oldest make room for new ones."""

    def __init__(self, most: int) -> None:
        self._most, self.bytes = most, 0
        self._crops: OrderedDict[Key, bytes] = OrderedDict()

    def __contains__(self, key: Key) -> bool:
        return key in self._crops

    @property
    def has_room(self) -> bool:
        """Whether those of some more frames fit."""
        return self.bytes < 0.95 * self._most

    def get(self, key: Key) -> bytes | None:
        """Return a crop."""
        return self._crops.get(key)

    def pop(self, key: Key) -> bytes | None:
        """Take a crop out."""
        content = self._crops.pop(key, None)
        self.bytes -= len(content or b"")
        return content

    def put(self, key: Key, content: bytes) -> None:
        """Put a crop in, as the newest."""
        self.pop(key)
        self._crops[key] = content
        self.bytes += len(content)
        while self.bytes > self._most:
            self.pop(next(iter(self._crops)))


def _rounded(xyxy: Iterable[float]) -> Corners:
    return tuple(round(float(v), 1) for v in xyxy)


def _encoded(image: Image, key: Key) -> bytes:
    _, _, corners, side = key
    _, content = cv2.imencode(".jpg", _cut(image, corners, side), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return bytes(content)


def _cut(image: Image, xyxy: Corners, side: int) -> Image:
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
