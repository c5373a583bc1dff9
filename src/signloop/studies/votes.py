"""Stored boxes on recordings with truth, and a classifier, enter; how well simpler ways of naming a sign do than Signloop's vote leaves.

The signs and the crops that are asked are the same for every way, and so is what is left out as "not an object".
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signloop.core.bounds import Interval, paired_bootstrap
from signloop.core.boxes import Boxes
from signloop.core.params import Prelabel
from signloop.frames.video import open_recording, read_frames
from signloop.measure.signs import COUNTS, count_signs, parse_predictions, sample
from signloop.measure.truth import TruthRecordings
from signloop.prelabel.gallery import Gallery
from signloop.prelabel.predict import Progress
from signloop.prelabel.proposal import Runtime
from signloop.prelabel.track import Tracker
from signloop.prelabel.vote import Vote, vote

Probs = NDArray[np.float32]
Weights = NDArray[np.float64]
Way = Callable[[Probs, Weights, Probs], Vote]
OWN = "Signloop's vote"


def _alone(choose: Callable[[Weights], int]) -> Way:
    """Ask one crop only."""

    def decide(probs: Probs, weights: Weights, strange: Probs) -> Vote:
        at = choose(weights)
        return vote(probs[at : at + 1], np.ones(1), strange[at : at + 1])

    return decide


def _majority(probs: Probs, weights: Weights, strange: Probs) -> Vote:
    """Give each crop one voice for its likeliest class; of classes with as many voices the one with more trust wins."""
    answers = probs.argmax(axis=1)
    voices = np.bincount(answers, 1 + weights / (1 + weights.sum()), minlength=probs.shape[1])
    return vote((voices / voices.sum())[None], np.ones(1), strange.mean(axis=0, keepdims=True))


def _mean(probs: Probs, weights: Weights, strange: Probs) -> Vote:
    """Take the mean of the probabilities, each crop alike."""
    return vote(probs.mean(axis=0, keepdims=True), np.ones(1), strange.mean(axis=0, keepdims=True))


WAYS: dict[str, Way] = {
    OWN: vote,
    "last of the kept crops": _alone(lambda weights: len(weights) - 1),
    "most trusted crop": _alone(lambda weights: int(np.argmax(weights))),
    "majority": _majority,
    "mean of probabilities": _mean,
    "all crops trusted alike": lambda probs, weights, strange: vote(probs, np.ones(len(weights)), strange),
}


@dataclass(frozen=True)
class Result:
    """How one way of naming does.

    Attributes:
        way: its name.
        accuracy: share of the signs found that are named rightly.
        gain: accuracy minus that of Signloop's vote, paired by recording; None for the vote itself, or where nothing was found.
    """

    way: str
    accuracy: float
    gain: Interval | None


def compare(
    runtime: Runtime, folder: Path, truth: TruthRecordings, predictions: Mapping[str, Any], params: Prelabel, progress: Progress
) -> list[Result]:
    """Follow stored boxes, ask the classifier about the crops of each sign once, and name the signs in every way.

    Args:
        runtime: its `cut` and `classify` are used.
        folder: of the recordings.
        truth: of the recordings.
        predictions: as `signloop score --predictions` writes them; only `fps` and `frames` are used.
        params: of tracker and vote.
        progress: called with a word, recordings done and in all.

    Returns:
        One result for each of `WAYS`, Signloop's vote first.

    Raises:
        DataError: a recording cannot be read, or the predictions are malformed.
    """
    fps = parse_predictions(predictions, truth).fps
    signs: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for number, video in enumerate(truth.videos, start=1):
        boxes = {int(f["frame_index"]): f["boxes"] for f in predictions["frames"] if f["video"] == video.file_name}
        for entry, heard in _opinions(runtime, folder / video.file_name, video.fps, boxes, params):
            first = vote(*heard)
            if first.class_index is None and first.nothing >= params.nothing:
                continue
            for way, decide in WAYS.items():
                found = decide(*heard).class_index
                class_id = None if found is None else runtime.taxonomy.ids[found]
                signs[way].append({"video": video.file_name, "class_id": class_id, "confidence": 1.0, "boxes": entry})
        progress("recordings", number, len(truth.videos))
    counts = {way: _counts(truth, {"fps": fps, "frames": [], "signs": found}) for way, found in signs.items()}
    return [
        Result(way, float(_accuracy(c.sum(axis=0))), None if way == OWN else paired_bootstrap(counts[OWN], c, _accuracy))
        for way, c in counts.items()
    ]


def _opinions(
    runtime: Runtime, path: Path, fps: float, boxes: Mapping[int, Any], params: Prelabel
) -> list[tuple[list[list[float]], tuple[Probs, Weights, Probs]]]:
    """Return, for each sign of a recording, its boxes and what its crops say."""
    heard: list[tuple[Probs, Weights, Probs]] = []

    def listen(probs: Probs, weights: Weights, strange: Probs) -> Vote:
        heard.append((probs, weights, strange))
        return vote(probs, weights, strange)

    recording = open_recording(path, fps)
    tracker, gallery = Tracker(params, recording.width, recording.height), Gallery(runtime, params.crops_per_sign, listen)
    for frame in read_frames(recording):
        if frame.index in boxes:
            rows = np.array(boxes[frame.index], np.float32).reshape(-1, 5)
            found = Boxes(rows[:, :4], rows[:, 4])
            gallery.add(frame.index, frame.image, found, tracker.update(frame.index, frame.time_s, found))
            gallery.settle(tracker.live, tracker.kept)
    tracks = {track.number: track for track in tracker.finish()}
    gallery.settle(tracker.live, tracker.kept)
    out = []
    for number, opinions in zip(gallery.votes, heard, strict=True):
        track = tracks[number]
        out.append(([[int(i), *xyxy] for i, xyxy in zip(track.indices, track.xyxy.tolist(), strict=True)], opinions))
    return out


def _counts(truth: TruthRecordings, predictions: Mapping[str, Any]) -> NDArray[np.float64]:
    checked = parse_predictions(predictions, truth)
    return count_signs(truth, checked, sample(truth, checked.fps))


def _accuracy(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    found, right = sums[..., COUNTS.index("found")], sums[..., COUNTS.index("right")]
    return np.divide(right, found, out=np.full_like(right, np.nan), where=found > 0)
