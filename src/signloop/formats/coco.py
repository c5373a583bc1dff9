"""COCO files of boxes enter and leave; class names are mapped to the taxonomy by exact name, "ignore" and iscrowd=1 to no class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from signloop.core.boxes import xywh_to_xyxy
from signloop.core.errors import DataError
from signloop.core.files import read_json, write_json
from signloop.core.taxonomy import Taxonomy
from signloop.formats.problems import Problems

IGNORE = "ignore"
DIGITS = 3  # decimals of a px in what is written
Corners = tuple[float, float, float, float]
_TODO = "Correct the file and try again."


@dataclass(frozen=True)
class CocoImage:
    """One image of the file; `extra` holds the keys that COCO does not know."""

    id: int
    file_name: str
    width: int | None = None
    height: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CocoBox:
    """One annotation.

    Attributes:
        row: how to find it in the file.
        image_id: of an image of the same file.
        xyxy: corners in px, x1 < x2 and y1 < y2; may leave the image.
        class_id: of the taxonomy; None is an ignore region.
        crowd: iscrowd, which ignore regions may have.
        extra: keys that COCO does not know, also those that tools put into `attributes`.
    """

    row: str
    image_id: int
    xyxy: Corners
    class_id: int | None
    crowd: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Coco:
    """A checked file: ids are unique and every box lies in a known image."""

    info: Mapping[str, Any]
    images: tuple[CocoImage, ...]
    boxes: tuple[CocoBox, ...]


class _Row(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")


class _Image(_Row):
    id: int
    file_name: Annotated[str, Field(min_length=1)]
    width: Annotated[int, Field(ge=1)] | None = None
    height: Annotated[int, Field(ge=1)] | None = None


class _Category(_Row):
    id: int
    name: str


class _Annotation(_Row):
    id: int
    image_id: int
    category_id: int
    bbox: Annotated[list[FiniteFloat], Field(min_length=4, max_length=4)]
    iscrowd: Literal[0, 1] = 0
    attributes: dict[str, Any] | None = None


T = TypeVar("T", bound=_Row)
_KNOWN = frozenset({"segmentation", "area", "keypoints", "num_keypoints", "license", "flickr_url", "coco_url", "date_captured"})


def _rows(value: Mapping[str, Any], key: str, model: type[T], problems: Problems) -> list[tuple[str, T]]:
    """Return the well-formed rows of one list, each with its name, and note the others; ids that occur twice are noted."""
    rows: list[tuple[str, T]] = []
    seen: dict[Any, str] = {}
    items = value.get(key)
    if not isinstance(items, list):
        problems.add(key, "expected a list" + ("" if key in value else ", but it is missing"))
        return rows
    for number, item in enumerate(items):
        ident = item.get("id") if isinstance(item, dict) else None
        row = f"{key}[{number}]" + (f" (id {ident})" if isinstance(ident, int) else "")
        try:
            parsed = model.model_validate(item)
        except ValidationError as error:
            for e in error.errors(include_url=False):
                problems.add(row, f"{'.'.join(map(str, e['loc'])) or 'row'}: {e['msg']} (found {e['input']!r:.60})")
            continue
        if ident in seen:
            problems.add(row, f"the id is that of {seen[ident]} already")
        seen.setdefault(ident, row)
        rows.append((row, parsed))
    return rows


def _class_of(row: str, annotation: _Annotation, names: Mapping[int, str], taxonomy: Taxonomy, problems: Problems) -> int | None:
    name = names.get(annotation.category_id)
    if annotation.iscrowd or name == IGNORE:
        return None
    if name is None:
        problems.add(row, f"there is no category {annotation.category_id}")
    elif name not in taxonomy.id_of:
        problems.add(row, f"class {name!r} is not in the taxonomy ({taxonomy.name}) and is not {IGNORE!r}")
    else:
        return taxonomy.id_of[name]
    return None


def _boxes(
    annotations: Sequence[tuple[str, _Annotation]],
    image_ids: set[int],
    names: Mapping[int, str],
    taxonomy: Taxonomy,
    problems: Problems,
) -> list[CocoBox]:
    boxes = []
    seen: dict[tuple[object, ...], str] = {}
    for row, a in annotations:
        class_id = _class_of(row, a, names, taxonomy, problems)
        extra = {**(a.attributes or {}), **{k: v for k, v in (a.model_extra or {}).items() if k not in _KNOWN}}
        key = (a.image_id, *a.bbox, str(extra.get("box_id")))
        if a.image_id not in image_ids:
            problems.add(row, f"there is no image {a.image_id}")
        if min(a.bbox[2:]) <= 0 or not _has_area(a.bbox):
            problems.add(row, f"the box {a.bbox} has no area")
        elif key in seen:
            problems.add(row, f"the same box as {seen[key]}")
        else:
            x1, y1, x2, y2 = (float(v) for v in xywh_to_xyxy(a.bbox)[0])
            boxes.append(CocoBox(row, a.image_id, (x1, y1, x2, y2), class_id, bool(a.iscrowd), extra))
        seen.setdefault(key, row)
    return boxes


def _has_area(bbox: Sequence[float]) -> bool:
    """Say whether the box survives float32, in which boxes are kept."""
    with np.errstate(over="ignore", invalid="ignore"):
        x1, y1, x2, y2 = xywh_to_xyxy(bbox)[0]
    return bool(np.isfinite([x1, y1, x2, y2]).all() and x2 > x1 and y2 > y1)


def read_coco(path: Path, taxonomy: Taxonomy) -> Coco:
    """Read a COCO file of boxes strictly; the images that it names are not opened.

    Args:
        path: JSON with images, annotations and categories; other keys are left alone.
        taxonomy: category names are its class names; category ids are the file's own affair.

    Returns:
        Images and boxes in the order of the file; empty lists are allowed.

    Raises:
        DataError: no JSON (NaN included), or a list of all rows that are wrong: ill-formed, an id twice, an unknown image or
            class, a box without area, the same box twice.
    """
    value = read_json(path)
    if not isinstance(value, dict):
        raise DataError(
            "the file is no COCO file", where=path, expected="an object with images, annotations, categories", found=type(value).__name__
        )
    problems = Problems(path)
    images = _rows(value, "images", _Image, problems)
    names = {c.id: c.name for _, c in _rows(value, "categories", _Category, problems)}
    annotations = _rows(value, "annotations", _Annotation, problems)
    boxes = _boxes(annotations, {image.id for _, image in images}, names, taxonomy, problems)
    files: dict[str, str] = {}
    for row, image in images:
        if image.file_name in files:
            problems.add(row, f"the file {image.file_name!r} is that of {files[image.file_name]} already")
        files.setdefault(image.file_name, row)
    problems.raise_if_any(_TODO)
    info = value.get("info")
    return Coco(
        info if isinstance(info, dict) else {},
        tuple(CocoImage(i.id, i.file_name, i.width, i.height, dict(i.model_extra or {})) for _, i in images),
        tuple(boxes),
    )


def categories(taxonomy: Taxonomy) -> list[dict[str, Any]]:
    """Return the categories that we write: class ids as they are, and "ignore" behind the highest."""
    named = [{"id": c.id, "name": c.name, "supercategory": c.group} for c in taxonomy.classes]
    return [*named, {"id": max(taxonomy.ids) + 1, "name": IGNORE, "supercategory": IGNORE}]


def write_coco(path: Path, images: Sequence[CocoImage], boxes: Sequence[CocoBox], taxonomy: Taxonomy, info: Mapping[str, Any]) -> None:
    """Write a COCO file; what `read_coco` reads back is equal up to a thousandth of a px (`row` aside).

    Args:
        path: written atomically.
        images: with unique ids.
        boxes: annotation ids are their order, from 1, as tools expect.
        taxonomy: gives the categories.
        info: JSON values.
    """
    ignore_id = max(taxonomy.ids) + 1
    rows = []
    for number, box in enumerate(boxes, start=1):
        x1, y1, x2, y2 = box.xyxy
        bbox = [round(v, DIGITS) for v in (x1, y1, x2 - x1, y2 - y1)]
        rows.append(
            {
                "id": number,
                "image_id": box.image_id,
                "category_id": ignore_id if box.class_id is None else box.class_id,
                "bbox": bbox,
                "area": round(bbox[2] * bbox[3], DIGITS),
                "iscrowd": int(box.crowd),
                **box.extra,
            }
        )
    write_json(
        path,
        {
            "info": dict(info),
            "categories": categories(taxonomy),
            "annotations": rows,
            "images": [{"id": i.id, "file_name": i.file_name, "width": i.width, "height": i.height, **i.extra} for i in images],
        },
    )
