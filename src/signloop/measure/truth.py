"""A truth file enters, checked truth leaves: images with boxes, or recordings whose boxes belong to physical signs."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from signloop.core.errors import DataError
from signloop.core.files import read_json
from signloop.measure.matching import TruthFrame

Size = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Index = Annotated[int, Field(ge=0)]
Model = TypeVar("Model", bound=BaseModel)

_SHOWN = 20


class Row(BaseModel):
    """A part of a file; keys that we do not know are left alone."""

    model_config = ConfigDict(strict=True, frozen=True)


class Annotation(Row):
    """One box; `bbox` is left, top, width, height in px, `iscrowd` 1 a region in which nothing counts."""

    id: int
    image_id: int
    category_id: int
    bbox: Annotated[list[FiniteFloat], Field(min_length=4, max_length=4)]
    iscrowd: Literal[0, 1] = 0
    track_id: int | str | None = None


class Image(Row):
    """One still."""

    id: int
    file_name: str


class Frame(Row):
    """One frame of a recording; `frame_index` is 0-based in decode order."""

    id: int
    video_id: int
    frame_index: Index


class Video(Row):
    """One recording and the rate at which it was taken, frames a second."""

    id: int
    file_name: str
    fps: Size


class _Images(Row):
    images: list[Image]
    annotations: list[Annotation]


class _Recordings(Row):
    videos: list[Video]
    images: list[Frame]
    annotations: list[Annotation]


@dataclass(frozen=True)
class TruthRecordings:
    """Recordings with every sign in every frame.

    Attributes:
        videos: in the order of the file.
        frames: by rising id.
        annotations: image id -> its boxes, in the order of the file.
    """

    videos: tuple[Video, ...]
    frames: tuple[Frame, ...]
    annotations: dict[int, tuple[Annotation, ...]]


def check_model(model: type[Model], value: Any, where: object) -> Model:
    """Check JSON against a model.

    Raises:
        DataError: with the first problems, each with its place, and their number.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False, include_input=False)]
        raise _problems(problems, where) from None


def _problems(problems: Sequence[str], where: object) -> DataError:
    shown = "; ".join(problems[:_SHOWN]) + ("; ..." if len(problems) > _SHOWN else "")
    return DataError(f"{len(problems)} things are wrong in the file", where=where, found=shown)


def _twice(keys: Sequence[Hashable], what: str) -> list[str]:
    return [f"{what} {key} occurs {n} times" for key, n in Counter(keys).items() if n > 1]


def _group(annotations: Sequence[Annotation], image_ids: set[int]) -> tuple[dict[int, tuple[Annotation, ...]], list[str]]:
    problems = _twice([a.id for a in annotations], "annotation id")
    groups: dict[int, list[Annotation]] = defaultdict(list)
    for a in annotations:
        if a.image_id not in image_ids:
            problems.append(f"annotation {a.id}: there is no image {a.image_id}")
        if min(a.bbox[2:]) <= 0:
            problems.append(f"annotation {a.id}: bbox {a.bbox} has no area")
        groups[a.image_id].append(a)
    return {i: tuple(group) for i, group in groups.items()}, problems


def to_frame(annotations: Sequence[Annotation], void_id: int | None = None) -> TruthFrame:
    """Turn the boxes of one image into arrays; the annotation with id `void_id`, if any, is marked void."""
    return TruthFrame(
        np.array([a.bbox for a in annotations], np.float64).reshape(-1, 4),
        np.array([a.category_id for a in annotations], np.int64),
        np.array([a.iscrowd for a in annotations], bool),
        np.array([a.id == void_id for a in annotations], bool),
    )


def read_images(path: Path) -> dict[str, TruthFrame]:
    """Read a COCO file of stills: file name -> truth, by rising image id; category ids are class ids.

    Raises:
        DataError: no JSON, or rows that are wrong, with their ids.
    """
    file = check_model(_Images, read_json(path), path)
    groups, problems = _group(file.annotations, {i.id for i in file.images})
    problems += _twice([i.id for i in file.images], "image id") + _twice([i.file_name for i in file.images], "file name")
    if problems:
        raise _problems(problems, path)
    return {i.file_name: to_frame(groups.get(i.id, ())) for i in sorted(file.images, key=lambda i: i.id)}


def parse_truth(value: Any, where: object = "truth") -> TruthRecordings:
    """Check the truth of recordings: COCO with `videos`, and `track_id` for the physical sign that a box shows.

    Raises:
        DataError: rows that are wrong, with their ids.
    """
    file = check_model(_Recordings, value, where)
    groups, problems = _group(file.annotations, {i.id for i in file.images})
    videos = {v.id: v.file_name for v in file.videos}
    problems += _twice([v.id for v in file.videos], "video id") + _twice([v.file_name for v in file.videos], "video")
    problems += _twice([i.id for i in file.images], "image id")
    problems += _twice([(videos.get(i.video_id), i.frame_index) for i in file.images], "frame")
    problems += [f"image {i.id}: there is no video {i.video_id}" for i in file.images if i.video_id not in videos]
    real = [a for a in file.annotations if not a.iscrowd]
    problems += [f"annotation {a.id}: track_id is missing" for a in real if a.track_id is None]
    problems += _twice([(a.image_id, a.track_id) for a in real if a.track_id is not None], "image and track")
    if problems:
        raise _problems(problems, where)
    return TruthRecordings(tuple(file.videos), tuple(sorted(file.images, key=lambda i: i.id)), groups)


def read_truth(path: Path) -> TruthRecordings:
    """Read the truth of recordings.

    Raises:
        DataError: no JSON, or rows that are wrong, with their ids.
    """
    return parse_truth(read_json(path), path)
