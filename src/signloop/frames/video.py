"""A video file or a folder of images in, its description and its frames out; what everyone else reads recordings by."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from signloop.core.errors import DataError
from signloop.core.files import read_json, sha256_file
from signloop.frames.decode import USUAL_RATE, open_film
from signloop.frames.images import (
    check_size,
    folder_id,
    list_images,
    printable,
    read_header,
    read_image,
    refuse_strange_file,
)
from signloop.frames.sampling import Pace

VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts"})
NOT_A_RECORDING = "not a recording"
SAME_CONTENT = "the same content as another recording"
DESCRIPTION = "recording.json"


@dataclass(frozen=True)
class Recording:
    """What is known of a recording before its frames are read.

    Attributes:
        recording_id: 16 hex digits of its content; a video's name is no part of it.
        name: of the file (with suffix) or folder; bytes that are no UTF-8 are escaped.
        path: where it lies.
        kind: video, sequence (images ordered in time) or stills (independent images).
        fps: mean frames a second; None for stills and where a video does not say.
        frames: how many there are; of a video an estimate from its container, 0 if unknown.
        width: px, upright; of stills that of the first readable one (each may differ).
        height: px, as width.
        duration_s: seconds; 0 for stills and where a video does not say.
        rotation: degrees counter-clockwise by which stored frames are turned to stand upright: 0, 90, 180 or 270.
    """

    recording_id: str
    name: str
    path: Path
    kind: str
    fps: float | None
    frames: int
    width: int
    height: int
    duration_s: float
    rotation: int


@dataclass(frozen=True, eq=False)
class Frame:
    """One decoded frame.

    Attributes:
        index: 0-based, in the order shown; of a folder the place in `images.list_images`.
        time_s: seconds since the first frame, increasing; 0.0 for every still.
        image: RGB, (H, W, 3), upright.
    """

    index: int
    time_s: float
    image: NDArray[np.uint8]


def find_recordings(folder: Path, sequence_fps: float) -> tuple[list[Recording], list[dict[str, str]]]:
    """Open everything that lies in a folder.

    Args:
        folder: a missing one counts as empty. Dot files, README.md, *.dvc and demo-*.json are no recordings and not mentioned.
        sequence_fps: rate of a folder of images that states none.

    Returns:
        The recordings, sorted by name, and a row of table skipped for each entry that is none, is damaged, or holds the same
        content as one before it.
    """
    recordings: list[Recording] = []
    skipped: list[dict[str, str]] = []
    first: dict[str, str] = {}
    entries = sorted(folder.iterdir(), key=lambda path: path.name) if folder.is_dir() else []
    for path in entries:
        if _is_silent(path.name):
            continue
        name = printable(path.name)
        try:
            refuse_strange_file(path)
            if path.is_file() and path.suffix.lower() not in VIDEO_SUFFIXES:
                raise DataError(NOT_A_RECORDING, where=name, expected=f"a folder of images or a file {', '.join(sorted(VIDEO_SUFFIXES))}")
            recording = open_recording(path, sequence_fps)
            if recording.recording_id in first:
                raise DataError(SAME_CONTENT, where=name, found=f"the content of {first[recording.recording_id]}")
        except DataError as error:
            skipped.append({"stage": "extract", "item": name, "reason": error.what, "detail": str(error)})
            continue
        first[recording.recording_id] = name
        recordings.append(recording)
    return recordings, skipped


def _is_silent(name: str) -> bool:
    return name.startswith(".") or name == "README.md" or name.endswith(".dvc") or (name.startswith("demo-") and name.endswith(".json"))


def open_recording(path: Path, sequence_fps: float) -> Recording:
    """Describe a video file or a folder of images, after looking at its content.

    Args:
        path: a video, or a folder of images with an optional recording.json, such as {"kind": "stills"} or
            {"kind": "sequence", "fps": 10}; a folder without one is a sequence.
        sequence_fps: rate of a folder that states none.

    Raises:
        DataError: missing, empty, not readable, no video, no picture in it, too large, or a sequence whose images differ in size.
    """
    name = printable(path.name)
    try:
        if path.is_dir():
            return _open_folder(path, sequence_fps)
        if path.stat().st_size == 0:
            raise DataError("the file is empty (0 bytes)", where=name)
        recording_id = sha256_file(path)[:16]
    except OSError as error:
        raise DataError("the recording cannot be read", where=name, found=error.strerror or type(error).__name__) from error
    with open_film(path) as film:
        _, first = next(film.frames())
        check_size(first.width, first.height, name)
        rotation = round(first.rotation / 90) % 4 * 90
        width, height = (first.height, first.width) if rotation in (90, 270) else (first.width, first.height)
        frames = film.stated_frames or round(film.stated_s * (film.rate or USUAL_RATE))
        return Recording(recording_id, name, path, "video", film.rate, frames, width, height, film.stated_s, rotation)


def refuse_changed(recording: Recording) -> None:
    """Look whether a recording is still what it was when it was opened.

    Raises:
        DataError: it was replaced, went on growing, or is gone.
    """
    try:
        if recording.kind == "video":
            now = sha256_file(recording.path)[:16]
        else:
            now = folder_id(list_images(recording.path, ordered=recording.kind == "sequence"))
    except OSError as error:
        raise DataError("the recording is gone", where=recording.name, found=error.strerror, todo="Run it again.") from error
    if now != recording.recording_id:
        raise DataError("the recording changed while it was read", where=recording.name, todo="Run it again once it rests.")


def read_frames(
    recording: Recording,
    *,
    fps: float | None = None,
    on_bad: Callable[[Path, DataError], None] | None = None,
) -> Iterator[Frame]:
    """Decode a recording from its first frame to its last, without seeking.

    Args:
        recording: from `open_recording`.
        fps: frames a second that are wanted, as in `sampling.Pace`; the others are decoded and dropped. None yields all, and
            stills are always all yielded.
        on_bad: told of each still that cannot be read; such a still is left out and its index stays free.

    Raises:
        DataError: after the good frames, if the recording is damaged or ends before its time; of stills without `on_bad`, if
            some could not be read.
    """
    if recording.kind == "video":
        return _read_video(recording, Pace(fps, recording.fps))
    if recording.kind == "sequence":
        return _read_sequence(recording, Pace(fps, recording.fps))
    return _read_stills(recording, on_bad)


def turn_upright(image: NDArray[np.uint8], rotation: int) -> NDArray[np.uint8]:
    """Turn an image by `rotation` degrees counter-clockwise, a multiple of 90."""
    return np.ascontiguousarray(np.rot90(image, k=rotation // 90)) if rotation else image


def _read_video(recording: Recording, pace: Pace) -> Iterator[Frame]:
    with open_film(recording.path) as film:
        for index, (time_s, frame) in enumerate(film.frames()):
            if pace.due(time_s):
                yield Frame(index, time_s, turn_upright(frame.to_ndarray(format="rgb24"), recording.rotation))


def _read_sequence(recording: Recording, pace: Pace) -> Iterator[Frame]:
    rate = recording.fps or USUAL_RATE
    for index, path in enumerate(list_images(recording.path, ordered=True)):
        time_s = index / rate
        if pace.due(time_s):
            yield Frame(index, time_s, read_image(path))


def _read_stills(recording: Recording, on_bad: Callable[[Path, DataError], None] | None) -> Iterator[Frame]:
    bad: list[str] = []
    for index, path in enumerate(list_images(recording.path, ordered=False)):
        try:
            image = read_image(path)
        except DataError as error:
            bad.append(str(error))
            if on_bad is not None:
                on_bad(path, error)
            continue
        yield Frame(index, 0.0, image)
    if bad and on_bad is None:
        raise DataError("some images cannot be read", where=recording.name, found=f"{len(bad)}, the first: {bad[0]}")


def _open_folder(folder: Path, sequence_fps: float) -> Recording:
    name = printable(folder.name)
    kind, fps = _describe(folder, sequence_fps)
    files = list_images(folder, ordered=kind == "sequence")
    if not files:
        raise DataError("no image in the folder", where=name, todo="Videos belong into the folder above, images into this one.")
    width = height = 0
    problem: DataError | None = None
    for path in files:
        try:
            header = read_header(path)
        except DataError as error:
            problem = error
            if kind == "sequence":
                raise DataError("an image of the sequence cannot be read", where=name, found=str(error)) from error
            continue
        if not width:
            width, height = header.width, header.height
        elif kind == "sequence" and (header.width, header.height) != (width, height):
            raise DataError(
                "the images of a sequence differ in size",
                where=f"{name}/{printable(path.name)}",
                expected=f"{width}x{height}",
                found=f"{header.width}x{header.height}",
                todo=f'Independent images need {DESCRIPTION} with {{"kind": "stills"}}.',
            )
    if not width:
        raise DataError("no image in the folder can be read", where=name, found=str(problem))
    duration_s = len(files) / fps if fps else 0.0
    return Recording(folder_id(files), name, folder, kind, fps, len(files), width, height, duration_s, 0)


def _describe(folder: Path, sequence_fps: float) -> tuple[str, float | None]:
    """Return kind and rate of a folder of images."""
    path = folder / DESCRIPTION
    if not path.exists() and not path.is_symlink():  # a broken link was meant to say something
        return "sequence", sequence_fps
    where = f"{printable(folder.name)}/{DESCRIPTION}"
    refuse_strange_file(path)
    try:
        value = read_json(path)
    except DataError as error:  # its place is the whole path, which a table cannot hold where it is no UTF-8
        raise DataError(error.what, where=where, found=error.found) from error
    if not isinstance(value, dict) or set(value) - {"kind", "fps"} or value.get("kind", "sequence") not in ("sequence", "stills"):
        raise DataError(
            "the description of the folder is wrong",
            where=where,
            found=repr(value)[:200],
            expected='{"kind": "sequence" or "stills", "fps": a number}',
        )
    if value.get("kind") == "stills":
        return "stills", None
    fps = value.get("fps", sequence_fps)
    if isinstance(fps, bool) or not isinstance(fps, int | float) or not 0 < fps <= 1000:
        raise DataError("the rate of the sequence is wrong", where=where, expected="0 < fps <= 1000", found=repr(fps)[:50])
    return "sequence", float(fps)
