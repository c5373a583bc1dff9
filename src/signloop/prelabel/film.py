"""A film and a runtime in; a folder with the labels, the crops by class and the film with its labels drawn on it out."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from signloop.core import tables
from signloop.core.boxes import Boxes, area, clip, expand
from signloop.core.errors import DataError
from signloop.core.files import atomic_folder, require_free_space, write_json
from signloop.core.params import Prelabel
from signloop.core.taxonomy import Taxonomy
from signloop.frames.decode import USUAL_RATE
from signloop.frames.sampling import Pace
from signloop.frames.truth import class_folder
from signloop.frames.video import Frame, Recording, open_recording, read_frames
from signloop.prelabel.predict import Progress
from signloop.prelabel.proposal import Proposal, Runtime
from signloop.prelabel.propose import propose

CROPS_PER_SIGN = 4
CROP_MARGIN = 0.1
BYTES_PER_PIXEL = 0.15  # of the drawn film, generously
Image = NDArray[np.uint8]


def label_film(
    film: Path, folder: Path, runtime: Runtime, prelabel: Prelabel, sequence_fps: float, progress: Progress, say: Callable[[str], None]
) -> str:
    """Label one film.

    Args:
        film: a video, or a folder of ordered frames.
        folder: must not exist; gets boxes.parquet, signs.parquet, labels.json (COCO with videos), crops/CLASS/*.png and film.mp4.
        runtime: the model.
        prelabel: how boxes become signs.
        sequence_fps: rate of a folder of frames that states none.
        progress: called with a word, done and total.
        say: told what time and disk it will take.

    Returns:
        What was found, in words.

    Raises:
        DataError: the film cannot be read or is a folder of independent stills, the folder exists, or the disk is too full.
    """
    recording = open_recording(film, sequence_fps)
    if recording.kind == "stills":
        raise DataError("independent stills are no film", where=film, todo="Put the folder into data/recordings and run `dvc repro`.")
    if folder.exists():
        raise DataError("the output folder exists", where=folder, todo="Choose a new one with --out.")
    needed = _announce(recording, runtime, prelabel, say)
    require_free_space(folder.parent, needed)
    total = max(1, recording.frames)
    frames = _counted(read_frames(recording, fps=prelabel.fps), total, progress)
    looked = 0

    def count(frame: Frame, boxes: Boxes) -> None:
        nonlocal looked
        looked += 1

    proposal = propose(frames, runtime, prelabel, recording, count)
    progress("frames", total, total)
    with atomic_folder(folder) as target:
        tables.write(target / "boxes.parquet", "prelabel_boxes", tables.from_rows("prelabel_boxes", proposal.boxes))
        tables.write(target / "signs.parquet", "prelabel_signs", tables.from_rows("prelabel_signs", proposal.signs))
        write_json(target / "labels.json", as_coco(proposal.boxes, proposal.signs, recording, runtime.taxonomy))
        _draw(recording, proposal, prelabel.fps, runtime.taxonomy, target)
    names = Counter(runtime.taxonomy.name_of(sign["class_id"]) for sign in proposal.signs)
    found = ", ".join(f"{n} x {name}" for name, n in sorted(names.items())) or "none"
    return f"{len(proposal.signs)} {runtime.taxonomy.object_name}s in {looked} frames: {found}\nwritten to {folder}"


def _announce(recording: Recording, runtime: Runtime, prelabel: Prelabel, say: Callable[[str], None]) -> int:
    """Say what it will take, from one frame's time; returns the bytes that the output may need."""
    first = next(iter(read_frames(recording)))
    runtime.detect([first.image])
    start = time.monotonic()
    runtime.detect([first.image])
    per_frame = time.monotonic() - start
    frames = recording.frames if prelabel.fps is None else min(recording.frames, int(recording.duration_s * prelabel.fps) + 1)
    needed = int(recording.frames * recording.width * recording.height * BYTES_PER_PIXEL) + 20_000_000
    say(
        f"{recording.name}: {frames} frames of {recording.width}x{recording.height}, about {frames * per_frame * 1.2:.0f} s and "
        f"at most {needed / 1e6:.0f} MB"
    )
    return needed


def _counted(frames: Iterable[Frame], total: int, progress: Progress) -> Iterator[Frame]:
    """Pass frames on and tell how far they are, but not that all is done: `total` is an estimate, and a batch is still on its way."""
    for frame in frames:
        yield frame
        if frame.index + 1 < total:
            progress("frames", frame.index + 1, total)


def as_coco(boxes: list[dict[str, Any]], signs: list[dict[str, Any]], recording: Recording, taxonomy: Taxonomy) -> dict[str, Any]:
    """Return boxes and signs as COCO with `videos`, track ids and confidences; class None is category "unknown"."""
    sign_of = {sign["sign_id"]: (number, sign) for number, sign in enumerate(signs)}
    unknown = max(taxonomy.ids) + 1
    indices = sorted({box["index"] for box in boxes})
    return {
        "videos": [{"id": 0, "file_name": recording.name, "fps": _rate(recording), "width": recording.width, "height": recording.height}],
        "images": [
            {
                "id": i,
                "video_id": 0,
                "frame_index": i,
                "width": recording.width,
                "height": recording.height,
                "file_name": f"{recording.name}#{i}",
            }
            for i in indices
        ],
        "categories": [{"id": c.id, "name": c.name, "supercategory": c.group} for c in taxonomy.classes]
        + [{"id": unknown, "name": "unknown", "supercategory": "unknown"}],
        "annotations": [
            {
                "id": n,
                "image_id": box["index"],
                "track_id": sign_of[box["sign_id"]][0],
                "category_id": unknown if (class_id := sign_of[box["sign_id"]][1]["class_id"]) is None else class_id,
                "bbox": [float(box["x1"]), float(box["y1"]), float(box["x2"] - box["x1"]), float(box["y2"] - box["y1"])],
                "area": float((box["x2"] - box["x1"]) * (box["y2"] - box["y1"])),
                "iscrowd": 0,
                "score": float(box["score"]),
                "confidence": float(sign_of[box["sign_id"]][1]["confidence"]),
                "interpolated": bool(box["interpolated"]),
            }
            for n, box in enumerate(boxes)
        ],
    }


def _rate(recording: Recording) -> float:
    return recording.fps or USUAL_RATE


def _draw(recording: Recording, proposal: Proposal, fps: float | None, taxonomy: Taxonomy, target: Path) -> None:
    """Read the frames that were looked at again, save the largest crops of each sign and write the film with boxes and names."""
    sign_of = {sign["sign_id"]: sign for sign in proposal.signs}
    by_frame, by_sign = defaultdict(list), defaultdict(list)
    for box in proposal.boxes:
        by_frame[box["index"]].append(box)
        if not box["interpolated"]:
            by_sign[box["sign_id"]].append(box)
    saved = {box["box_id"] for group in by_sign.values() for box in sorted(group, key=_size)[-CROPS_PER_SIGN:]}
    rate = Pace(fps, recording.fps).rate or fps or USUAL_RATE
    writer = cv2.VideoWriter(str(target / "film.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), rate, (recording.width, recording.height))
    if not writer.isOpened():
        raise DataError("the film cannot be written", where=target, expected="an OpenCV with the MPEG-4 encoder")
    written = 0
    try:
        for frame in read_frames(recording, fps=fps):
            image = frame.image.copy()
            for box in by_frame[frame.index]:
                sign = sign_of[box["sign_id"]]
                if box["box_id"] in saved:
                    _save_crop(frame, box, sign, taxonomy, target)
                _mark(image, box, f"{taxonomy.name_of(sign['class_id'])} {sign['confidence']:.0%}")
            writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
            written += 1
    finally:
        writer.release()
    check_film(target / "film.mp4", written)


def check_film(path: Path, frames: int) -> None:
    """Read a film's frame count back: OpenCV does not tell that a disk was full.

    Raises:
        DataError: it is another.
    """
    film = cv2.VideoCapture(str(path))
    found = int(film.get(cv2.CAP_PROP_FRAME_COUNT)) if film.isOpened() else 0
    film.release()
    if found != frames:
        raise DataError("the film was not written whole", where=path, expected=f"{frames} frames", found=found, todo="Is the disk full?")


def _size(box: dict[str, Any]) -> float:
    return float(area([[box["x1"], box["y1"], box["x2"], box["y2"]]])[0])


def _save_crop(frame: Frame, box: dict[str, Any], sign: dict[str, Any], taxonomy: Taxonomy, target: Path) -> None:
    height, width = frame.image.shape[:2]
    corners = clip(expand([box["x1"], box["y1"], box["x2"], box["y2"]], CROP_MARGIN), width, height)[0]
    x1, y1, x2, y2 = np.rint(corners).astype(int)
    folder = "unknown" if sign["class_id"] is None else class_folder(taxonomy, sign["class_id"])
    path = target / "crops" / folder / f"{box['sign_id'].rpartition('/')[2]}_{frame.index:06d}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    _, content = cv2.imencode(".png", cv2.cvtColor(frame.image[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)], cv2.COLOR_RGB2BGR))
    path.write_bytes(content.tobytes())


def _mark(image: Image, box: dict[str, Any], text: str) -> None:
    """Draw a box and a readable name above it (below it at the upper edge), in place; interpolated boxes are thin."""
    x1, y1, x2, y2 = (round(box[k]) for k in ("x1", "y1", "x2", "y2"))
    cv2.rectangle(image, (x1 - 1, y1 - 1), (x2 + 1, y2 + 1), (0, 255, 80), 1 if box["interpolated"] else 2)
    shown = text.encode("ascii", "replace").decode()
    (width, height), _ = cv2.getTextSize(shown, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)
    left = int(np.clip(x1, 0, max(image.shape[1] - width - 4, 0)))
    bottom = y1 - 4 if y1 - height - 8 >= 0 else y2 + height + 6
    cv2.rectangle(image, (left, bottom - height - 3), (left + width + 4, bottom + 3), (0, 0, 0), -1)
    cv2.putText(image, shown, (left + 2, bottom), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
