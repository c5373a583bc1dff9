"""A model and labelled data that the pipeline never saw in, the promised keys of `signloop score` out, and how they are printed."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from signloop.core.errors import DataError
from signloop.core.files import write_json
from signloop.core.params import Prelabel
from signloop.measure.score import score_crops, score_images, score_recordings
from signloop.measure.truth import read_images, read_truth
from signloop.prelabel.predict import Progress, predict_crops, predict_images, predict_recordings
from signloop.prelabel.proposal import Runtime


def images(runtime: Runtime, folder: Path, truth: Path, progress: Progress) -> dict[str, Any]:
    """Score stills; the keys are those of `measure.score.score_images`."""
    return score_images(truth, predict_images(runtime, folder, list(read_images(truth)), progress))


def recordings(
    runtime: Runtime, folder: Path, truth: Path, prelabel: Prelabel, fps: float | None, predictions: Path | None, progress: Progress
) -> dict[str, Any]:
    """Score recordings; the keys are those of `measure.score.score_recordings`, and frames_per_second (decoding included)."""
    real = read_truth(truth)
    found, speed = predict_recordings(runtime, folder, real, prelabel, fps, progress)
    if predictions is not None:
        write_json(predictions, found)
    return {**score_recordings(real, found), "frames_per_second": speed}


def crops(runtime: Runtime, index: Path, progress: Progress) -> dict[str, Any]:
    """Score labelled crops; the keys are those of `measure.score.score_crops`.

    Raises:
        DataError: the index cannot be read, lacks a column, or names a class that is no number.
    """
    try:
        with index.open(encoding="utf-8", newline="") as file:
            rows: list[dict[str, Any]] = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError("the index of crops cannot be read", where=index, found=str(error)) from error
    for number, row in enumerate(rows, start=2):
        if not row.get("path") or not str(row.get("class_id", "")).isdecimal():
            raise DataError(
                "a row of the index is wrong", where=f"{index}, line {number}", expected="path and a class_id that is a number", found=row
            )
        row["class_id"] = int(row["class_id"])
    probs = predict_crops(runtime, index.parent, [row["path"] for row in rows], progress)
    return score_crops(rows, probs, runtime.taxonomy.ids)


def table_rows(result: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Lay out scores, or a comparison of two, for reading.

    Args:
        result: names and numbers; a mapping within it is laid out too, under `name.key`. Intervals stand under `intervals` by name, or
            as `interval` beside the difference that they belong to.

    Returns:
        Name, value and 95 % interval of each number; a difference and its interval have a sign; "-" is a value that is not defined.
    """
    rows = []
    intervals = {"difference": result.get("interval"), **result.get("intervals", {})}
    for name, value in result.items():
        if name in ("interval", "intervals"):
            continue
        if isinstance(value, Mapping):
            rows += [(f"{name}.{inner}", shown, bounds) for inner, shown, bounds in table_rows(value)]
            continue
        sign = "+" if name == "difference" else ""
        shown = "-" if value is None else f"{value:{sign}.4f}" if isinstance(value, float) else str(value)
        bounds = intervals.get(name)
        rows.append((name, shown, f"{bounds[0]:{sign}.4f} to {bounds[1]:{sign}.4f}" if bounds else ""))
    return rows
