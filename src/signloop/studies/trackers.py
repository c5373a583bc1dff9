"""A detector's boxes on recordings with truth enter; what Signloop's tracker and those of the `trackers` package make of them leaves.

Each peer gets the setting that scores best on this very truth, which favours it; Signloop's tracker runs with the project's parameters.
No classifier drops anything here: every track counts as a sign.
"""

import inspect
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from signloop.core.boxes import Boxes
from signloop.core.errors import ConfigError
from signloop.core.params import Prelabel
from signloop.frames.video import open_recording
from signloop.measure.score import score_recordings
from signloop.measure.signs import parse_predictions
from signloop.measure.truth import TruthRecordings, Video
from signloop.prelabel.predict import Progress
from signloop.prelabel.track import Tracker

OWN = "Signloop"
MEASURES = ("sign_recall", "tracks_per_sign", "false_signs_per_minute")
LEAST_SCORE = 0.15  # boxes below it go to no tracker
GRID = {
    "track_activation_threshold": (0.3, 0.4, 0.5),
    "minimum_consecutive_frames": (1, 2),
    "minimum_iou_threshold": (0.01, 0.1, 0.3),
    "high_conf_det_threshold": (0.3, 0.5),
}

Looks = Sequence[tuple[int, Boxes]]
Sign = list[tuple[int, list[float]]]


class Peer(Protocol):
    """What the trackers of the package have in common."""

    def update(self, detections: Any) -> Any:
        """Take the boxes of the next frame, and return those that belong to a track, with its number."""


@dataclass(frozen=True)
class Result:
    """What one tracker reached at one rate.

    Attributes:
        tracker: its name.
        settings: what it was given, in words.
        scores: as of `measure.score_recordings`.
    """

    tracker: str
    settings: str
    scores: Mapping[str, Any]


def compare(folder: Path, truth: TruthRecordings, predictions: Mapping[str, Any], params: Prelabel, progress: Progress) -> list[Result]:
    """Follow the boxes of stored predictions with each tracker and score the tracks.

    Args:
        folder: of the recordings; only the size of their frames is read.
        truth: of the recordings.
        predictions: as `signloop score --predictions` writes them; only `fps` and `frames` are used.
        params: of Signloop's own tracker.
        progress: called with a word, peers done and in all.

    Returns:
        One result for each tracker, Signloop's first; of a peer the setting that finds most signs, of these the one with the fewest
        false ones.

    Raises:
        ConfigError: the package is not installed.
        DataError: a recording cannot be read, or the predictions are malformed.
    """
    fps = parse_predictions(predictions, truth).fps
    looks = {video.file_name: list(_looks(video, predictions)) for video in truth.videos}

    def score(name: str, settings: str, follow: Callable[[Video, Looks], list[Sign]]) -> Result:
        signs = [
            {"video": v.file_name, "class_id": None, "confidence": 1.0, "boxes": [[index, *xyxy] for index, xyxy in sign]}
            for v in truth.videos
            for sign in follow(v, looks[v.file_name])
        ]
        return Result(name, settings, score_recordings(truth, {"fps": fps, "frames": [], "signs": signs}, n=1))

    results = [score(OWN, "conf/prelabel", lambda video, seen: _follow_own(folder, video, seen, params))]
    peers = _peers()
    for done, (name, build) in enumerate(peers.items(), start=1):
        tried = [
            score(name, _words(settings), lambda _, seen, build=build, settings=settings: _follow(build(frame_rate=fps, **settings), seen))  # type: ignore[misc]
            for settings in _settings(build)
        ]
        results.append(max(tried, key=lambda one: (one.scores["sign_recall"], -one.scores["false_signs_per_minute"])))
        progress("trackers", done, len(peers))
    return results


def _looks(video: Video, predictions: Mapping[str, Any]) -> Iterator[tuple[int, Boxes]]:
    """Yield the frames that were looked at, in order, with their boxes; those without an entry were not looked at."""
    found = {int(f["frame_index"]): f["boxes"] for f in predictions["frames"] if f["video"] == video.file_name}
    for index in sorted(found):
        rows = np.array(found[index], np.float32).reshape(-1, 5)
        rows = rows[rows[:, 4] >= LEAST_SCORE]
        yield index, Boxes(rows[:, :4], rows[:, 4])


def _follow_own(folder: Path, video: Video, looks: Looks, params: Prelabel) -> list[Sign]:
    recording = open_recording(folder / video.file_name, video.fps)
    tracker = Tracker(params, recording.width, recording.height)
    for index, boxes in looks:
        tracker.update(index, index / video.fps, boxes)
    return [list(zip(track.indices.tolist(), track.xyxy.tolist(), strict=True)) for track in tracker.finish()]


def _follow(tracker: Peer, looks: Looks) -> list[Sign]:
    from supervision import Detections

    signs: dict[int, Sign] = defaultdict(list)
    for index, boxes in looks:
        found = tracker.update(Detections(xyxy=boxes.xyxy.astype(np.float64), confidence=boxes.scores.astype(np.float64)))
        for number, xyxy in zip(() if found.tracker_id is None else found.tracker_id.tolist(), found.xyxy.tolist(), strict=True):
            if number >= 0:  # a track that is not confirmed has none
                signs[number].append((index, xyxy))
    return list(signs.values())


def _peers() -> dict[str, Callable[..., Peer]]:
    try:
        from trackers import ByteTrackTracker, OCSORTTracker, SORTTracker
    except ImportError as error:
        raise ConfigError(
            "the trackers to compare with are not installed", found=str(error), todo="Install them: `pip install -e '.[bench]'`."
        ) from error
    return {"ByteTrack": ByteTrackTracker, "SORT": SORTTracker, "OC-SORT": OCSORTTracker}


def _settings(build: Callable[..., Peer]) -> Iterator[dict[str, float]]:
    """Yield every combination of the values of `GRID` that this tracker knows."""
    known = {name: values for name, values in GRID.items() if name in inspect.signature(build).parameters}
    for values in product(*known.values()):
        yield dict(zip(known, values, strict=True))


def _words(settings: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in settings.items())
