"""Labels that a client already has enter (images with boxes, or crops), a verified round leaves; all of it or nothing."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from signloop.core import tables
from signloop.core.boxes import clip
from signloop.core.errors import DataError
from signloop.core.files import atomic_folder, require_free_space, sha256_file, write_json
from signloop.core.params import Data
from signloop.core.rounds import CROPS_PREFIX, publish_round, read_rounds
from signloop.core.taxonomy import Taxonomy
from signloop.formats.coco import Coco, CocoBox, CocoImage, read_coco
from signloop.formats.crops import CropRow, read_crops
from signloop.formats.problems import Problems, is_plain
from signloop.frames.images import SUFFIXES, folder_id, list_images, read_image
from signloop.review.verdicts import added_id

ANNOTATOR = "import"
OUTSIDE_PX = 1.0  # a box may leave its image by so much: corners are counted in several ways
_TODO = "Correct them and import again."
Progress = Callable[[str, int, int], None]
Say = Callable[[str], None]


@dataclass(frozen=True)
class ImportReport:
    """What came in.

    Attributes:
        items: images or crops.
        boxes: signs with a class, of images.
        ignored: regions that are not learned from.
        unlisted: image files in the folder that the labels do not name; they stay out.
        path: the round; an older one if it holds the same labels.
    """

    items: int
    boxes: int
    ignored: int
    unlisted: int
    path: Path

    def __str__(self) -> str:
        parts = [f"{self.path.name}: {self.items} taken in"]
        parts += [f"{self.boxes} boxes, {self.ignored} ignore regions"] if self.boxes or self.ignored else []
        return "; ".join(parts + ([f"{self.unlisted} images without labels left out"] if self.unlisted else []))


def _check_name(name: str) -> None:
    if not is_plain(name) or not name.isascii() or " " in name or len(name) > 60:
        raise DataError(
            "the name cannot be that of a folder",
            expected="at most 60 letters, digits, '.', '_', '-'",
            found=repr(name)[:80],
            todo="Choose another with --name.",
        )


def _match_images(coco: Coco, folder: Path, problems: Problems, progress: Progress) -> dict[int, tuple[Path, int, int]]:
    """Return image id -> file, width and height of every image that can be taken; names are looked up in the folder's own listing."""
    there = {path.name: path for path in folder.iterdir()}
    found: dict[int, tuple[Path, int, int]] = {}
    content: dict[str, str] = {}
    for number, image in enumerate(coco.images, start=1):
        progress("images checked", number, len(coco.images))
        row, path = f"image {image.id} ({image.file_name!r:.80})", there.get(image.file_name)
        if not is_plain(image.file_name) or Path(image.file_name).suffix.lower() not in SUFFIXES:
            problems.add(row, f"is no plain name of an image file ({', '.join(sorted(SUFFIXES))}) without a folder")
        elif path is None:
            problems.add(row, "is not in the folder of the images")
        else:
            try:
                height, width = read_image(path).shape[:2]
            except DataError as error:
                problems.add(row, str(error))
                continue
            _check_image(row, image, (width, height), problems)
            digest = sha256_file(path)
            if digest in content:
                problems.add(row, f"has the same content as {content[digest]}")
            content.setdefault(digest, image.file_name)
            found[image.id] = (path, width, height)
    return found


def _check_image(row: str, image: CocoImage, size: tuple[int, int], problems: Problems) -> None:
    if any(told is not None and told != real for told, real in zip((image.width, image.height), size, strict=True)):
        problems.add(row, f"is {size[0]}x{size[1]}, but the labels say {image.width}x{image.height}")


def _check_boxes(boxes: Sequence[CocoBox], files: Mapping[int, tuple[Path, int, int]], problems: Problems) -> None:
    for box in boxes:
        if box.image_id in files:
            _, width, height = files[box.image_id]
            x1, y1, x2, y2 = box.xyxy
            inside = clip(box.xyxy, width, height)[0]
            if min(x1, y1) < -OUTSIDE_PX or x2 > width + OUTSIDE_PX or y2 > height + OUTSIDE_PX or (inside[2:] <= inside[:2]).any():
                problems.add(box.row, f"the box leaves its image of {width}x{height}: {[x1, y1, x2, y2]}")


def _check_new(files: Mapping[int, tuple[Path, int, int]], recordings_folder: Path, name: str, problems: Problems) -> None:
    """Note images that lie in another folder of images already: the same still must not be in two splits."""
    sizes = {path.stat().st_size for path, _, _ in files.values()}
    known: dict[str, str] = {}
    for folder in sorted(recordings_folder.iterdir()) if recordings_folder.is_dir() else []:
        if folder.is_dir() and folder.name != name and not folder.name.startswith("."):
            for path in list_images(folder, ordered=False):
                with suppress(OSError):
                    if path.stat().st_size in sizes:
                        known[sha256_file(path)] = f"{folder.name}/{path.name}"
    for ident, (path, _, _) in files.items() if known else ():
        if (digest := sha256_file(path)) in known:
            problems.add(f"image {ident} ({path.name!r:.80})", f"is in data/recordings already, as {known[digest]}")


def _copy(files: Sequence[Path], target: Path, say: Say) -> bool:
    """Copy images into a new folder of stills; False if it is there already, with just this content.

    Raises:
        DataError: a recording of this name with other content exists.
    """
    if target.exists():
        same = target.is_dir() and folder_id(list_images(target, ordered=False)) == folder_id(files)
        if not same or not (target / "recording.json").is_file():
            raise DataError("a recording of this name is there already", where=target, todo="Choose another with --name.")
        return False
    size = sum(path.stat().st_size for path in files)
    say(f"copying {len(files)} images into {target.parent.name}/{target.name}: {size / 1e6:.0f} MB")
    require_free_space(target, size + 1_000_000)
    with atomic_folder(target) as temporary:
        for path in files:
            shutil.copyfile(path, temporary / path.name)
        write_json(temporary / "recording.json", {"kind": "stills"})
    return True


def _tables(coco: Coco, files: Mapping[int, tuple[Path, int, int]], stills: Sequence[Path]) -> tuple[pa.Table, pa.Table]:
    """Return verified boxes and frames; a still's number is its place among the sorted names, as the reader of recordings counts."""
    recording_id, place = folder_id(stills), {path.name: number for number, path in enumerate(stills)}
    frame_of = {i: f"{recording_id}/{place[path.name]:06d}" for i, (path, _, _) in files.items()}
    now, rows = datetime.now(UTC), []
    for box in coco.boxes:
        _, width, height = files[box.image_id]
        x1, y1, x2, y2 = (float(v) for v in clip(box.xyxy, width, height)[0])
        rows.append(
            {
                "round": -1,
                "box_id": added_id(frame_of[box.image_id], (x1, y1, x2, y2), ANNOTATOR),
                "annotator": ANNOTATOR,
                "frame_id": frame_of[box.image_id],
                "sign_id": None,
                "x1": x1,
                "y1": y1,
                "x2": x2,
                "y2": y2,
                "class_id": box.class_id,
                "verdict": "unsure" if box.class_id is None else "added",
                "seen": True,
                "model_id": None,
                "seconds": None,
                "verified_at": now,
            }
        )
    frames = [{"round": -1, "frame_id": f, "annotator": ANNOTATOR, "complete": True} for f in frame_of.values()]
    return tables.from_rows("verified_boxes", rows), tables.from_rows("verified_frames", frames)


def import_coco(
    images_folder: Path,
    coco_path: Path,
    recordings_folder: Path,
    verified_folder: Path,
    taxonomy: Taxonomy,
    data: Data,
    name: str,
    progress: Progress,
    say: Say,
) -> ImportReport:
    """Take images with boxes in as a new recording of stills with a verified round; each image counts as completely labelled.

    Everything is checked before anything is written: every image is decoded once. An import that was cut off can simply be
    repeated, and one that is repeated changes nothing.

    Args:
        images_folder: image files; subfolders are not looked at. What the labels do not name stays out.
        coco_path: COCO of boxes; class names as in the taxonomy, "ignore" or iscrowd=1 for what is not to be learned from.
        recordings_folder: gets the folder `name`.
        verified_folder: gets the round.
        taxonomy: the classes.
        data: shares of the splits; each still is drawn by itself.
        name: of the recording and label of the round; letters, digits, '.', '_', '-'.
        progress: called with a word, done and total.
        say: told how much disk the images will take.

    Raises:
        DataError: a list of all rows that are wrong (as in `read_coco`; images that are missing, damaged, of another size, there
            twice by name or content, or in data/recordings already; boxes outside of their image), no image at all, or the name is
            taken. Nothing was written.
    """
    _check_name(name)
    if not images_folder.is_dir():
        raise DataError("there is no folder of images", where=images_folder)
    coco = read_coco(coco_path, taxonomy)
    if not coco.images:
        raise DataError("the labels name no image", where=coco_path, todo=_TODO)
    problems = Problems(coco_path)
    files = _match_images(coco, images_folder, problems, progress)
    _check_boxes(coco.boxes, files, problems)
    _check_new(files, recordings_folder, name, problems)
    problems.raise_if_any(_TODO)
    sources = sorted((path for path, _, _ in files.values()), key=lambda path: path.name)
    target = recordings_folder / name
    boxes, frames = _tables(coco, files, sources)
    units = dict.fromkeys(frames["frame_id"].to_pylist(), "stills")
    is_new = _copy(sources, target, say)
    try:
        path = publish_round(
            verified_folder,
            label=name,
            boxes=boxes,
            frames=frames,
            units=units,
            val_share=data.val_share,
            test_share=data.test_share,
            meta={"source": "import coco", "recording": name},
        )
    except BaseException:
        if is_new:
            shutil.rmtree(target, ignore_errors=True)
        raise
    ignored = sum(box.class_id is None for box in coco.boxes)
    unlisted = len(list_images(images_folder, ordered=False)) - len(files)
    return ImportReport(len(files), len(coco.boxes) - ignored, ignored, unlisted, path)


def _read_crop(row: CropRow, folder: Path, name: str) -> dict[str, Any]:
    """Read one crop as a row of verified_crops.

    Raises:
        DataError: missing, outside of the folder, no image, or of another size than told.
    """
    path = folder / row.path
    if not path.is_file() or not path.resolve().is_relative_to(folder.resolve()) or path.suffix.lower() not in SUFFIXES:
        raise DataError("no image file in the folder of the index", where=row.path)
    height, width = read_image(path).shape[:2]
    if any(told is not None and told != real for told, real in ((row.width, width), (row.height, height))):
        raise DataError("the size is another one", where=row.path, expected=f"{row.width}x{row.height}", found=f"{width}x{height}")
    return {
        "round": -1,
        "crop_id": sha256_file(path)[:16],
        "class_id": row.class_id,
        "track_id": f"{name}/{row.track_id}",
        "file_name": path.name,
        "image": path.read_bytes(),
    }


def import_crops(index_csv: Path, verified_folder: Path, taxonomy: Taxonomy, data: Data, name: str, progress: Progress) -> ImportReport:
    """Take labelled sign crops in; they train and test the classifier only, split by track.

    A crop's id is its content. Tracks get the name before them, so that those of two imports stay apart.

    Args:
        index_csv: as `read_crops`; the images lie beside it.
        verified_folder: gets the round.
        taxonomy: the classes.
        data: shares of the splits.
        name: label of the round; letters, digits, '.', '_', '-'.
        progress: called with a word, done and total.

    Raises:
        DataError: a list of all lines that are wrong (as in `read_crops`; images that are missing, damaged, of another size, there
            twice, or verified already in another track), or no crop at all. Nothing was written.
    """
    _check_name(name)
    index = read_crops(index_csv, taxonomy)
    known = read_rounds(verified_folder).crops
    tracks = dict(zip(known["crop_id"].to_pylist(), known["track_id"].to_pylist(), strict=True))
    problems = Problems(index_csv)
    crops: dict[str, dict[str, Any]] = {}
    for number, row in enumerate(index, start=1):
        progress("crops checked", number, len(index))
        line = f"line {row.line}"
        try:
            crop = _read_crop(row, index_csv.parent, name)
        except DataError as error:
            problems.add(line, str(error))
            continue
        if crop["crop_id"] in crops:
            problems.add(line, f"{row.path} has the same content as {crops[crop['crop_id']]['file_name']}")
        if tracks.get(crop["crop_id"], crop["track_id"]) != crop["track_id"]:
            problems.add(line, f"{row.path} is verified already, in track {tracks[crop['crop_id']]}")
        crops.setdefault(crop["crop_id"], crop)
    problems.raise_if_any(_TODO)
    units = {CROPS_PREFIX + crop["track_id"]: "crops" for crop in crops.values()}
    path = publish_round(
        verified_folder,
        label=name,
        boxes=tables.empty("verified_boxes"),
        frames=tables.empty("verified_frames"),
        units=units,
        crops=tables.from_rows("verified_crops", list(crops.values())),
        val_share=data.val_share,
        test_share=data.test_share,
        meta={"source": "import crops", "name": name},
    )
    return ImportReport(len(crops), 0, 0, 0, path)
