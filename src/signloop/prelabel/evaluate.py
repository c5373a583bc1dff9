"""A runtime and data/truth in, data/scores out: what one model reaches on the frozen test recordings, with nothing to compare it to."""

import math
import shutil
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from signloop.core import tables
from signloop.core.boxes import Boxes
from signloop.core.files import write_json
from signloop.core.params import Prelabel
from signloop.frames.images import read_image
from signloop.frames.truth import test_version
from signloop.measure import plots
from signloop.measure.classification import confusion_matrix
from signloop.measure.detection import end_to_end_ap50, precision_recall_curve, recall_at_1_fp_per_image, summarise
from signloop.measure.matching import UNMATCHED, TruthFrame, match, match_boxes
from signloop.measure.score import box_intervals, score_recordings
from signloop.measure.sheets import contact_sheet
from signloop.measure.signs import COUNTS, count_signs, parse_predictions, sample
from signloop.prelabel.named import NO_CLASS, NamedBoxes, name_boxes
from signloop.prelabel.predict import Progress, boxes_with_scores, propose_stored, sign_entries, sign_truth, stored_recordings
from signloop.prelabel.proposal import Proposal, Runtime
from signloop.prelabel.verified import split_truth

SHEET = 40
SIGN_MEASURES = ("signs", "sign_recall", "sign_class_accuracy", "sign_precision", "tracks_per_sign", "false_signs")


def evaluate(runtime: Runtime, truth_folder: Path, prelabel: Prelabel, out: Path, progress: Progress) -> dict[str, Any]:
    """Score a model on the test split and write scores.json, curves and a sheet of its worst boxes.

    Args:
        runtime: the model.
        truth_folder: data/truth; frames that are not completely verified do not count.
        prelabel: how boxes become signs.
        out: folder that is written; what is in it is replaced.
        progress: called with a word, done and total.

    Returns:
        What scores.json holds: model_id, test_version, prelabel (the parameters), frames, metrics, intervals, recordings, left_out.
        Boxes count in all test frames, their intervals are by bootstrap over recordings and stills. Signs count in recordings
        that are followed through; `left_out` are those with longer gaps between complete frames than a track survives. Without a test
        frame metrics is empty.
    """
    frames, truth = tables.read(truth_folder / "frames.parquet", "truth_frames"), tables.read(truth_folder / "truth.parquet", "truth")
    real, chosen = split_truth(frames, truth, "test")
    stored = stored_recordings(chosen, truth_folder)
    videos = {name: one for name, one in stored.items() if longest_gap_s(row for row, _ in one[1]) <= prelabel.max_gap_s}
    proposals = {}
    for number, (recording_id, (recording, rows)) in enumerate(videos.items(), start=1):
        proposals[recording_id] = propose_stored(runtime, recording, rows, prelabel)
        progress("test recordings", number, len(videos))
    found = {f"{name}/{index:06d}": boxes for name, (_, looked) in proposals.items() for index, boxes in looked.items()}
    named: dict[str, NamedBoxes] = {}
    for number, (frame_id, row) in enumerate(chosen.items(), start=1):
        image = read_image(truth_folder / row["path"])
        boxes = found[frame_id] if frame_id in found else runtime.detect([image])[0]
        named[frame_id] = name_boxes(runtime, image, boxes)
        progress("test frames", number, len(chosen))
    shutil.rmtree(out, ignore_errors=True)
    metrics, of_boxes = _boxes(runtime, real, named, chosen, truth_folder, out) if real else ({}, {})
    followed = {frame_id: row for frame_id, row in chosen.items() if row["recording_id"] in videos}
    signs, of_signs, recordings = _signs(proposals, followed, truth) if videos else ({}, {}, {})
    result = {
        "model_id": runtime.model_id,
        "test_version": test_version(truth_folder),
        "prelabel": prelabel.model_dump(),
        "frames": len(real),
        "metrics": {**metrics, **signs},
        "intervals": {**of_boxes, **of_signs},
        "recordings": recordings,
        "left_out": sorted(set(stored) - set(videos)),
    }
    write_json(out / "scores.json", result)
    return result


def _signs(
    proposals: Mapping[str, tuple[Proposal, Mapping[int, Boxes]]], chosen: Mapping[str, Mapping[str, Any]], truth: pa.Table
) -> tuple[dict[str, Any], dict[str, Any], dict[str, dict[str, int]]]:
    """Score physical signs of videos and sequences: measures, their intervals, and counts per recording."""
    video_truth, numbers = sign_truth(chosen, truth)
    predictions: dict[str, Any] = {"fps": 1.0, "frames": [], "signs": []}
    for recording_id, (proposal, looked) in proposals.items():
        number_of = numbers[recording_id]
        for entry in sign_entries(proposal, recording_id):
            boxes = [[number_of[index], *box] for index, *box in entry["boxes"] if index in number_of]
            predictions["signs"] += [{**entry, "boxes": boxes}] if boxes else []
        predictions["frames"] += [
            {"video": recording_id, "frame_index": number_of[index], "boxes": boxes_with_scores(boxes)} for index, boxes in looked.items()
        ]
    scores = score_recordings(video_truth, predictions)
    counts = count_signs(video_truth, parse_predictions(predictions, video_truth), sample(video_truth, 1.0))
    names = [video.file_name for video in video_truth.videos]
    recordings = {name: dict(zip(COUNTS, map(int, row), strict=True)) for name, row in zip(names, counts, strict=True)}
    bounds = {key: value for key, value in scores["intervals"].items() if key in SIGN_MEASURES}
    return {key: scores[key] for key in SIGN_MEASURES}, bounds, recordings


def longest_gap_s(rows: Iterable[Mapping[str, Any]]) -> float:
    """Return the longest time between two frames of a recording that follow each other in it; infinite of fewer than two."""
    times = sorted(row["time_s"] for row in rows)
    return max((b - a for a, b in pairwise(times)), default=math.inf)


def _boxes(
    runtime: Runtime,
    real: Mapping[str, TruthFrame],
    named: Mapping[str, NamedBoxes],
    chosen: Mapping[str, Mapping[str, Any]],
    folder: Path,
    out: Path,
) -> tuple[dict[str, float], dict[str, list[float] | None]]:
    """Score single boxes, with intervals, and draw what went wrong with them."""
    boxes: dict[str, Boxes] = {frame_id: item[0] for frame_id, item in named.items()}
    class_ids = {frame_id: item[1] for frame_id, item in named.items()}
    matches = match(real, boxes)
    answers, labels, pieces = [], [], []
    for frame_id, target in real.items():
        hit = match_boxes(target, boxes[frame_id])
        for box, answer in zip(hit[hit >= 0], class_ids[frame_id][hit >= 0], strict=True):
            answers.append(int(answer))
            labels.append(int(target.class_ids[box]))
        pieces += _failures(runtime, target, boxes[frame_id], class_ids[frame_id], hit, folder / chosen[frame_id]["path"])
    lookup = {class_id: i for i, class_id in enumerate((*runtime.taxonomy.ids, NO_CLASS))}
    names = [*(c.name for c in runtime.taxonomy.classes), "no known class"]
    rows = [lookup.get(label, lookup[NO_CLASS]) for label in labels]  # an older model does not know a class that is new
    matrix = confusion_matrix([lookup[a] for a in answers], rows, len(names))
    plots.plot_confusion(matrix, names, out / "report" / "confusion.png", title="Boxes that were found")
    plots.plot_precision_recall(precision_recall_curve(matches), out / "report" / "precision_recall.png")
    worst = sorted(pieces, key=lambda piece: -piece[0])[:SHEET]
    contact_sheet(
        [runtime.cut(read_image(path), box) for _, path, box, _ in worst], [text for *_, text in worst], out / "report" / "worst.png"
    )
    known = [(a, label) for a, label in zip(answers, labels, strict=True) if label != NO_CLASS]
    measures = {name: max(0.0, value) for name, value in summarise(matches).items()}
    units = [row["frame_id"] if row["kind"] == "stills" else row["recording_id"] for row in (chosen[frame_id] for frame_id in real)]
    return {
        **measures,
        "recall_at_1_fp_per_image": recall_at_1_fp_per_image(matches),
        "end_to_end_ap50": max(0.0, end_to_end_ap50(real, boxes, class_ids)),
        "class_accuracy": sum(a == label for a, label in known) / max(1, len(known)),
    }, box_intervals(matches, np.unique(units, return_inverse=True)[1])


def _failures(
    runtime: Runtime, target: TruthFrame, boxes: Boxes, class_ids: np.ndarray[Any, Any], hit: np.ndarray[Any, Any], path: Path
) -> list[tuple[float, Path, Any, str]]:
    """List false, missed and misnamed boxes of a frame with how bad each is."""
    taxonomy = runtime.taxonomy
    out: list[tuple[float, Path, Any, str]] = []
    for i, score in enumerate(boxes.scores):
        if hit[i] == UNMATCHED and score >= 0.3:
            out.append((float(score), path, boxes.xyxy[i], f"false {score:.2f}"))
        elif hit[i] >= 0 and class_ids[i] != target.class_ids[hit[i]] and score >= 0.3:
            name = "none" if class_ids[i] == NO_CLASS else taxonomy.name_of(int(class_ids[i]))
            out.append((1 + float(score), path, boxes.xyxy[i], f"= {name[:16]}"))
    found = {int(h) for h, score in zip(hit, boxes.scores, strict=True) if score >= 0.3}
    out += [(0.9, path, target.xyxy[i], "missed") for i in range(len(target.class_ids)) if not target.ignore[i] and i not in found]
    return out
