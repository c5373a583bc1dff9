"""Truth and predictions of recordings enter; how many physical signs were found, named and invented leaves.

Predictions are a JSON object {"fps", "frames": [{"video", "frame_index", "boxes": [[x1, y1, x2, y2, score], ...]}, ...],
"signs": [{"video", "class_id", "confidence", "boxes": [[frame_index, x1, y1, x2, y2], ...]}, ...]}: `frames` are raw boxes of the
detector, `signs` all physical signs that a person would be shown, class_id null for one of no known class. Frames 0, step, 2 step, ...
of a recording count, where step makes `fps` of the recording's own rate.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import Field, FiniteFloat

from signloop.core.boxes import area, intersection, iou
from signloop.core.errors import DataError
from signloop.measure.matching import Detections, Floats, Ints, TruthFrame
from signloop.measure.truth import Annotation, Frame, Index, Row, Size, TruthRecordings, check_model, to_frame

COUNTS = ("frames", "boxes", "signs", "found", "right", "belonging", "owned", "false", "seconds")
Track = int | str


class _FrameBoxes(Row):
    video: str
    frame_index: Index
    boxes: list[Annotated[list[FiniteFloat], Field(min_length=5, max_length=5)]]


class PredictedSign(Row):
    """One physical sign that would be shown to a person; each box is frame index, x1, y1, x2, y2."""

    video: str
    class_id: int | None
    boxes: list[Annotated[list[FiniteFloat], Field(min_length=5, max_length=5)]]


class Predictions(Row):
    """What was predicted for recordings."""

    fps: Size
    frames: list[_FrameBoxes]
    signs: list[PredictedSign]


@dataclass(frozen=True)
class Sampled:
    """The frames that count.

    Attributes:
        steps: recording -> every how many frames one counts.
        frames: recording -> frame index -> frame, by rising id.
    """

    steps: dict[str, int]
    frames: dict[str, dict[int, Frame]]


@dataclass(frozen=True, eq=False)
class SignError:
    """A sign that was missed, misnamed, or is none.

    Attributes:
        kind: "missed", "misnamed" or "false".
        video: its recording.
        frame_index: the frame in which it is largest, of those that count; 0 if it is in none of them.
        xyxy: there, px, (4,).
        frames: in which it is, of those that count.
        class_id: what it is; None for a false one.
        said: what was predicted; None for no known class, and for a missed one.
    """

    kind: str
    video: str
    frame_index: int
    xyxy: Floats
    frames: int
    class_id: int | None
    said: int | None

    @classmethod
    def at(cls, kind: str, video: str, boxes: Sequence[tuple[int, Floats]], class_id: int | None, said: int | None) -> "SignError":
        """Show it where it is largest."""
        index, xyxy = max(boxes, key=lambda place: float(area(place[1])[0]), default=(0, np.zeros(4)))
        return cls(kind, video, index, xyxy, len(boxes), class_id, said)


def parse_predictions(value: Mapping[str, Any], truth: TruthRecordings) -> Predictions:
    """Check predictions.

    Raises:
        DataError: a key is missing or of a wrong type, a recording is not in the truth, a frame is there twice, or a box ends before
            it begins.
    """
    predictions = check_model(Predictions, value, "predictions")
    known = {v.file_name for v in truth.videos}
    strangers = sorted(({f.video for f in predictions.frames} | {s.video for s in predictions.signs}) - known)
    if strangers:
        raise DataError(
            "predictions speak of recordings that the truth does not have",
            expected=sorted(known)[:5],
            found=strangers[:5],
            todo="Predict only what the truth lists.",
        )
    twice = [key for key, n in Counter((f.video, f.frame_index) for f in predictions.frames).items() if n > 1]
    if twice:
        raise DataError("a frame is there twice in the predictions", found=twice[:5])
    turned = [(f.video, f.frame_index) for f in predictions.frames if any(b[2] < b[0] or b[3] < b[1] for b in f.boxes)]
    turned += [(s.video, int(b[0])) for s in predictions.signs for b in s.boxes if b[3] < b[1] or b[4] < b[2]]
    if turned:
        raise DataError("boxes of the predictions are turned round", expected="x1 <= x2 and y1 <= y2", found=turned[:5])
    return predictions


def sample(truth: TruthRecordings, fps: float) -> Sampled:
    """Choose the frames that count at a sampling rate; a rate over a recording's own takes all of its frames."""
    names = {v.id: v.file_name for v in truth.videos}
    steps = {v.file_name: max(1, round(v.fps / fps)) for v in truth.videos}
    frames: dict[str, dict[int, Frame]] = {name: {} for name in steps}
    for frame in truth.frames:
        name = names[frame.video_id]
        if frame.frame_index % steps[name] == 0:
            frames[name][frame.frame_index] = frame
    return Sampled(steps, frames)


def detection_frames(
    truth: TruthRecordings,
    predictions: Predictions,
    sampled: Sampled,
) -> tuple[dict[str, TruthFrame], dict[str, Detections], Ints]:
    """Return what the detector is measured on: truth and boxes per frame (keyed by image id), and each frame's recording, (frames,).

    The annotation with id 0 is void, since the scorer that defines these numbers counts by pycocotools, where a match with it is none.
    """
    place = {v.file_name: i for i, v in enumerate(truth.videos)}
    frames = sorted(((f, name) for name, group in sampled.frames.items() for f in group.values()), key=lambda item: item[0].id)
    raw = {(f.video, f.frame_index): np.array(f.boxes, np.float64).reshape(-1, 5) for f in predictions.frames}
    real = {str(f.id): to_frame(truth.annotations.get(f.id, ()), void_id=0) for f, _ in frames}
    boxes = {str(f.id): raw[name, f.frame_index] for f, name in frames if (name, f.frame_index) in raw}
    return real, {k: Detections(b[:, :4], b[:, 4]) for k, b in boxes.items()}, np.array([place[name] for _, name in frames], np.int64)


def count_signs(truth: TruthRecordings, predictions: Predictions, sampled: Sampled) -> Floats:
    """Count each recording's signs for itself.

    Returns:
        One row per recording in the order of `truth.videos`, the columns of COUNTS, (recordings, 9): frames that count; real boxes and
        physical signs in them; signs found (one predicted sign covers them at IoU >= 0.5 in a third of those frames); found and
        rightly named; predicted signs that belong to a real one; real ones to which some belong; false ones; seconds.
    """
    mine = _by_recording(predictions)
    rows = []
    for video in truth.videos:
        frames = sampled.frames[video.file_name]
        seconds = len(frames) * sampled.steps[video.file_name] / video.fps
        boxes = {i: truth.annotations.get(frame.id, ()) for i, frame in frames.items()}
        rows.append([len(frames), *_count(boxes, mine[video.file_name]), seconds])
    return np.array(rows, np.float64).reshape(-1, len(COUNTS))


def _corners(annotations: Sequence[Annotation]) -> Floats:
    return np.array([[x, y, x + w, y + h] for x, y, w, h in (a.bbox for a in annotations)], np.float64).reshape(-1, 4)


def sign_errors(truth: TruthRecordings, predictions: Predictions, sampled: Sampled) -> list[SignError]:
    """List what `count_signs` counts as missed, false or misnamed, what lasts longest first; as many as the measure `errors` says."""
    mine = _by_recording(predictions)
    errors = []
    for video in truth.videos:
        frames = {i: truth.annotations.get(frame.id, ()) for i, frame in sampled.frames[video.file_name].items()}
        signs = mine[video.file_name]
        judged = _judge(frames, signs)
        boxes: dict[Track, list[tuple[int, Floats]]] = defaultdict(list)
        for index, group in frames.items():
            for a in group:
                if not a.iscrowd:
                    boxes[_track(a)].append((index, _corners([a])[0]))
        for track, class_id in judged.class_of.items():
            said = signs[judged.best[track]].class_id if track in judged.best else None
            if track not in judged.best or said != class_id:
                kind = "misnamed" if track in judged.best else "missed"
                errors.append(SignError.at(kind, video.file_name, boxes[track], class_id, said))
        for p in judged.false:
            places = [(int(index), np.array(xyxy)) for index, *xyxy in signs[p].boxes if index in frames]
            errors.append(SignError.at("false", video.file_name, places, None, signs[p].class_id))
    return sorted(errors, key=lambda error: -error.frames)


def _by_recording(predictions: Predictions) -> Mapping[str, list[PredictedSign]]:
    mine: dict[str, list[PredictedSign]] = defaultdict(list)
    for sign in predictions.signs:
        mine[sign.video].append(sign)
    return mine


@dataclass(frozen=True)
class _Judged:
    """What became of the real and of the predicted signs of one recording.

    Attributes:
        seen: real sign -> frames.
        class_of: real sign -> its class.
        best: real sign that was found -> the predicted sign that covers most of it.
        owners: the real sign that each predicted one belongs to.
        false: predicted signs that are none.
    """

    seen: Counter[Track]
    class_of: dict[Track, int]
    best: dict[Track, int]
    owners: list[Track]
    false: list[int]


def _judge(frames: Mapping[int, Sequence[Annotation]], signs: Sequence[PredictedSign]) -> _Judged:
    real = {i: [a for a in group if not a.iscrowd] for i, group in frames.items()}
    corners = {i: _corners(group) for i, group in real.items()}
    ignore = {i: _corners([a for a in group if a.iscrowd]) for i, group in frames.items()}
    seen = Counter(_track(a) for group in real.values() for a in group)
    class_of = {_track(a): a.category_id for group in real.values() for a in group}
    covers: dict[Track, dict[int, int]] = defaultdict(dict)  # real sign -> predicted sign -> frames
    owners, false = [], []
    for p, sign in enumerate(signs):
        hits: Counter[Track] = Counter()
        ignored = False
        for index, *xyxy in sign.boxes:
            if index not in real:
                continue
            hits.update(_track(a) for a, overlap in zip(real[int(index)], iou(xyxy, corners[int(index)])[0], strict=True) if overlap >= 0.5)
            ignored |= bool((intersection(xyxy, ignore[int(index)]) >= 0.5 * area(xyxy)).any())
        for track, n in hits.items():
            covers[track][p] = n
        if hits:
            owners.append(min(hits, key=lambda track: (-hits[track], isinstance(track, str), track)))
        elif not ignored:
            false.append(p)
    chosen = {track: max(by_sign, key=lambda p: (by_sign[p], -p)) for track, by_sign in covers.items()}
    best = {track: p for track, p in chosen.items() if covers[track][p] >= -(-seen[track] // 3)}
    return _Judged(seen, class_of, best, owners, false)


def _count(frames: Mapping[int, Sequence[Annotation]], signs: Sequence[PredictedSign]) -> tuple[int, ...]:
    """Count one recording: boxes, signs, found, right, belonging, owned, false."""
    judged = _judge(frames, signs)
    right = sum(signs[p].class_id == judged.class_of[track] for track, p in judged.best.items())
    found, owners = len(judged.best), judged.owners
    return sum(judged.seen.values()), len(judged.seen), found, right, len(owners), len(set(owners)), len(judged.false)


def _track(annotation: Annotation) -> Track:
    if annotation.track_id is None:
        raise DataError("a sign has no track_id", where=f"annotation {annotation.id}")
    return annotation.track_id


def sign_measures(counts: Floats) -> dict[str, Floats]:
    """Return the ratios of summed counts.

    Args:
        counts: sums of the columns of COUNTS, (..., 9).

    Returns:
        sign_recall, sign_class_accuracy (of the found), sign_precision, tracks_per_sign, false_signs_per_minute, right_signs (share found
        and rightly named) and errors (missed, false or misnamed, a number), (...) each; NaN where there is nothing to divide by.
    """
    _, _, signs, found, right, belonging, owned, false, seconds = np.moveaxis(counts, -1, 0)
    pairs = {
        "sign_recall": (found, signs),
        "sign_class_accuracy": (right, found),
        "sign_precision": (belonging, belonging + false),
        "tracks_per_sign": (belonging, owned),
        "false_signs_per_minute": (60 * false, seconds),
        "right_signs": (right, signs),
    }
    nan = {name: np.full(np.shape(above), np.nan) for name, (above, _) in pairs.items()}
    ratios = {name: np.divide(above, below, out=nan[name], where=below > 0) for name, (above, below) in pairs.items()}
    return {**ratios, "errors": (signs - found) + false + (found - right)}
