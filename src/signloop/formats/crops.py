"""An index of labelled sign crops (CSV) enters, checked rows leave; the images themselves are not opened here."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from signloop.core.errors import DataError
from signloop.core.taxonomy import Taxonomy
from signloop.formats.problems import Problems, is_plain

REQUIRED = ("path", "class_id", "track_id")
NUMBERS = ("frame_no", "width", "height")
_TODO = "Correct the index and try again."


@dataclass(frozen=True)
class CropRow:
    """One crop of the index.

    Attributes:
        line: in the file, the header is 1.
        path: relative to the folder of the index, without "..".
        class_id: of the taxonomy.
        track_id: all crops of one physical sign share it.
        frame_no: order within the track; None if not told.
        width, height: px; None if not told.
    """

    line: int
    path: str
    class_id: int
    track_id: str
    frame_no: int | None
    width: int | None
    height: int | None


def _is_inside(path: str) -> bool:
    """Say whether a relative path stays inside its folder, whatever the system's separator."""
    parts = PurePosixPath(path).parts
    return bool(parts) and "/".join(parts) == path and all(is_plain(part) for part in parts)


def _number(row: Mapping[str, str], key: str, least: int) -> int | None:
    """Return a number of at least `least`; None for a column that is missing or empty.

    Raises:
        ValueError: it is neither.
    """
    text = row.get(key) or ""
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) < least:
        raise ValueError(f"{key}: expected a whole number from {least}, found {text!r:.40}")
    return int(text)


def _parse(line: int, row: Mapping[str, str], taxonomy: Taxonomy) -> CropRow:
    """Turn one line into a row.

    Raises:
        ValueError: says what is wrong with it.
    """
    class_id = _number(row, "class_id", 0)
    if class_id not in taxonomy.by_id or class_id is None:
        raise ValueError(f"class_id {row['class_id']!r:.40} is not in the taxonomy ({taxonomy.name})")
    name = row.get("class_name")
    if name and name != taxonomy.name_of(class_id):
        raise ValueError(f"class {class_id} is {taxonomy.name_of(class_id)!r}, but class_name says {name!r:.60}")
    if not row["track_id"].strip() or not row["track_id"].isprintable() or len(row["track_id"]) > 200:
        raise ValueError("track_id is empty, not printable or too long")
    if not _is_inside(row["path"]):
        raise ValueError(f"path {row['path']!r:.60} is no plain path inside the folder of the index")
    return CropRow(
        line, row["path"], class_id, row["track_id"], _number(row, "frame_no", 0), _number(row, "width", 1), _number(row, "height", 1)
    )


def _check_together(rows: list[CropRow], problems: Problems) -> None:
    """Note what is wrong between rows: a file or a frame of a track twice, a track of two classes."""
    paths: dict[str, int] = {}
    frames: dict[tuple[str, int], int] = {}
    classes: dict[str, CropRow] = {}
    for row in rows:
        here = f"line {row.line}"
        if row.path in paths:
            problems.add(here, f"the file of line {paths[row.path]} again, {row.path}")
        elif row.frame_no is not None and (row.track_id, row.frame_no) in frames:
            problems.add(here, f"frame {row.frame_no} of track {row.track_id} was in line {frames[row.track_id, row.frame_no]} already")
        first = classes.setdefault(row.track_id, row)
        if first.class_id != row.class_id:
            problems.add(here, f"track {row.track_id} has class {row.class_id}, but {first.class_id} in line {first.line}")
        paths.setdefault(row.path, row.line)
        if row.frame_no is not None:
            frames.setdefault((row.track_id, row.frame_no), row.line)


def _read_lines(path: Path) -> list[tuple[int, dict[str, str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True, restval="")
            missing = [key for key in REQUIRED if key not in (reader.fieldnames or ())]
            if missing:
                raise DataError("columns are missing in the index", where=path, expected=list(REQUIRED), found=reader.fieldnames)
            lines = [(reader.line_num, row) for row in reader]
            problems = Problems(path)
            for line, row in lines:
                if None in row:
                    problems.add(f"line {line}", f"has more cells than the header: {row[None]!r:.80}")
            problems.raise_if_any("Quote cells that hold a comma.")
            return lines
    except FileNotFoundError:
        raise DataError("the file does not exist", where=path) from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError("the index cannot be read as CSV", where=path, found=str(error)[:200]) from error


def read_crops(path: Path, taxonomy: Taxonomy) -> list[CropRow]:
    """Read an index of crops strictly.

    Args:
        path: CSV with a header; columns path, class_id, track_id; class_name (must be the taxonomy's), frame_no, width and
            height may be there; others are left alone.
        taxonomy: classes are mapped by id.

    Returns:
        Rows in the order of the file; none for a header alone.

    Raises:
        DataError: no CSV, a column is missing, or a list of all lines that are wrong.
    """
    problems = Problems(path)
    rows = []
    for line, values in _read_lines(path):
        try:
            rows.append(_parse(line, values, taxonomy))
        except ValueError as error:
            problems.add(f"line {line}", str(error))
    _check_together(rows, problems)
    problems.raise_if_any(_TODO)
    return rows
