"""A model and labelled data that the pipeline never saw in, the promised keys of `signloop score` out, and how they are printed."""

import csv
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from signloop.core.errors import DataError
from signloop.core.files import read_json, write_json
from signloop.core.params import Prelabel
from signloop.core.taxonomy import Taxonomy
from signloop.frames.video import open_recording, read_frames
from signloop.measure.score import score_crops, score_images, score_recordings
from signloop.measure.sheets import contact_sheet
from signloop.measure.signs import parse_predictions, sample, sign_errors
from signloop.measure.truth import TruthRecordings, read_images, read_truth
from signloop.models.classifier import cut
from signloop.prelabel.predict import Progress, predict_crops, predict_images, predict_recordings
from signloop.prelabel.proposal import Runtime

WORST = 40  # errors on a sheet
SIDE_PX = 192
AROUND = 1.5  # of an error that is shown around it, as a share of its box, on each side


def images(runtime: Runtime, folder: Path, truth: Path, progress: Progress) -> dict[str, Any]:
    """Score stills; the keys are those of `measure.score.score_images`.

    Raises:
        DataError: the truth is wrong, or numbers classes otherwise than the model's taxonomy.
    """
    require_class_ids(truth, runtime.taxonomy)
    return score_images(truth, predict_images(runtime, folder, list(read_images(truth)), progress))


def recordings(
    runtime: Runtime,
    folder: Path,
    truth: Path,
    prelabel: Prelabel,
    fps: float | None,
    progress: Progress,
    *,
    predictions: Path | None = None,
    errors: Path | None = None,
) -> dict[str, Any]:
    """Score recordings; the keys are those of `measure.score.score_recordings`, and frames_per_second (decoding included).

    Args:
        runtime: the model.
        folder: of the recordings.
        truth: their truth.
        prelabel: what is a sign, and how it is followed.
        fps: frames a second that are labelled; None: all.
        progress: called with a word, recordings done and in all.
        predictions: gets what was scored, JSON.
        errors: gets the picture of `draw_errors`, PNG.

    Raises:
        DataError: the truth is wrong, or numbers classes otherwise than the model's taxonomy; a recording is missing or unreadable.
    """
    require_class_ids(truth, runtime.taxonomy)
    real = read_truth(truth)
    found, speed = predict_recordings(runtime, folder, real, prelabel, fps, progress)
    if predictions is not None:
        write_json(predictions, found)
    if errors is not None:
        draw_errors(folder, real, found, runtime.taxonomy, errors)
    return {**score_recordings(real, found), "frames_per_second": speed}


def require_class_ids(truth: Path, taxonomy: Taxonomy) -> None:
    """See to it that categories that are named like classes have their ids; a file without categories is taken as it is.

    Raises:
        DataError: one has another id, so that right answers would count as wrong ones.
    """
    content = read_json(truth)
    named = content.get("categories") if isinstance(content, dict) else None
    pairs = [(one.get("name"), one.get("id")) for one in named or [] if isinstance(one, dict)]
    wrong = {name: number for name, number in pairs if name in taxonomy.id_of and number != taxonomy.id_of[name]}
    if wrong:
        raise DataError(
            "categories of the truth are not numbered like the classes of the taxonomy",
            where=truth,
            expected=dict(list({name: taxonomy.id_of[name] for name in wrong}.items())[:5]),
            found=dict(list(wrong.items())[:5]),
            todo="Give categories and annotations the ids of the classes.",
        )


def draw_errors(folder: Path, truth: TruthRecordings, predictions: Mapping[str, Any], taxonomy: Taxonomy, out: Path) -> None:
    """Draw the signs that were missed, misnamed or invented, at most 40, those first that are in most frames.

    Args:
        folder: of the recordings.
        truth: their truth.
        predictions: in the format of `measure.signs`.
        taxonomy: names of classes.
        out: PNG; without an error an empty row.

    Raises:
        DataError: the predictions do not fit the truth, or a recording is missing, unreadable or shorter than the truth.
    """
    checked = parse_predictions(predictions, truth)
    worst = [one for one in sign_errors(truth, checked, sample(truth, checked.fps)) if one.frames][:WORST]
    names = {c.id: c.name for c in taxonomy.classes}
    wanted: dict[str, set[int]] = defaultdict(set)
    for one in worst:
        wanted[one.video].add(one.frame_index)
    rates = {video.file_name: video.fps for video in truth.videos}
    pictures = {
        (name, frame.index): frame.image
        for name, indices in wanted.items()
        for frame in read_frames(open_recording(folder / name, rates[name]))
        if frame.index in indices
    }
    absent = sorted((one.video, one.frame_index) for one in worst if (one.video, one.frame_index) not in pictures)
    if absent:
        raise DataError("the truth speaks of frames that the recordings do not have", where=folder, found=absent[:5])
    images, captions = [], []
    for one in worst:
        said = "unknown" if one.said is None else names.get(one.said, str(one.said))
        is_true = "" if one.class_id is None else names.get(one.class_id, str(one.class_id))
        images.append(cut(pictures[one.video, one.frame_index], one.xyxy, AROUND, SIDE_PX))
        captions.append(f"{one.kind}: {' as '.join(word for word in (is_true, '' if one.kind == 'missed' else said) if word)}")
    contact_sheet(images, captions, out, side_px=SIDE_PX)


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
