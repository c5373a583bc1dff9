"""The desk enters, the messages that the page shows leave."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from signloop.demo.signs import CLASSES
from signloop.review.desk import Desk
from signloop.review.follow import follow
from signloop.review.log import Add, Decide, Entry, Sweep, Undo, taken_back
from signloop.review.pictures import MissingPictureError, Pictures
from signloop.review.questions import published_entries
from signloop.review.state import touches
from signloop.review.tracks import Track
from signloop.review.wire import BoxInFrame, Card, Detail, FrameDetail, Given, HistoryRow, Likely, Progress, Quality, Searched, SignInFrame

MOST_CLASSES = 5  # likeliest ones, on the keys 1 to 5
MOST_OTHERS, LEAST_OTHER = 3, 0.05  # classes of a card beside the proposed one, and confidence in each: a sheet must be told at once
FOLLOWED = 25  # frames
CLOSE = 3  # frames, in which a sign shows the same
WORDS = {
    "fix": "box corrected",
    "drop": "boxes taken off",
    "split": "split in two",
    "merge": "two merged",
}


def card(desk: Desk, pictures: Pictures, item_id: str) -> Card:
    """One sign in short."""
    with desk.at_rest():
        question, item, track = desk.question(item_id), desk.state.item(item_id), desk.track(item_id)
        best = track.clearest if len(track) else None
        index = None if best is None else int(track.indices[best])
        return Card(
            item_id=item_id,
            version=desk.state.version(item_id),
            sheet=desk.sheet_of(item_id),
            recording=str(desk.questions.recordings[question.recording_id]["name"]),
            recording_id=question.recording_id,
            time_s=None if best is None else _number(float(track.times_s[best])),
            index=index if index is not None and pictures.has(question.recording_id, index) else None,
            frames=len(track),
            contrary=_contrary(desk, pictures, item_id, track, index),
            class_id=question.class_id,
            confidence=float(question.confidence),
            others=[
                Likely(class_id=c, confidence=round(p, 3)) for c, p in _likely(desk, item_id) if c != question.class_id and p >= LEAST_OTHER
            ][:MOST_OTHERS],
            reason=question.reason,
            is_odd=any(given.answer.verdict == "odd" for given in item.answers.values()),
            answers=[
                Given(annotator=g.annotator, verdict=g.answer.verdict, class_id=g.answer.class_id, at=g.at.isoformat())
                for g in item.answers.values()
            ],
        )


def detail(desk: Desk, pictures: Pictures, item_id: str) -> Detail:
    """All of one sign."""
    with desk.at_rest():
        question, item, track = desk.question(item_id), desk.state.item(item_id), desk.track(item_id)
        about = desk.questions.recordings[question.recording_id]
        boxes = [
            BoxInFrame(
                index=int(track.indices[k]),
                time_s=_number(float(track.times_s[k])),
                xyxy=_four(track.xyxy[k]),
                score=float(track.scores[k]),
                stored=bool(track.stored[k]) or pictures.has(question.recording_id, int(track.indices[k])),
                moved=bool(track.moved[k]),
                guessed=bool(track.guessed[k]),
            )
            for k in range(len(track))
        ]
        return Detail(
            card=card(desk, pictures, item_id),
            width=about["width"],
            height=about["height"],
            classes=[Likely(class_id=c, confidence=p) for c, p in _likely(desk, item_id)[:MOST_CLASSES]],
            boxes=boxes,
            merged_into=item.merged_into,
        )


def frame_detail(desk: Desk, pictures: Pictures, item_id: str) -> FrameDetail:
    """One frame with the signs that are known in it.

    Raises:
        MissingPictureError: the frame is not stored.
    """
    with desk.at_rest():
        question = desk.questions.items[item_id]
        row = desk.questions.frame(question.source_id)
        if row is None:
            raise MissingPictureError(question.source_id)
        signs = [
            SignInFrame(item_id=i, class_id=class_id, xyxy=_four(xyxy), decided=decided, is_asked=_is_asked(desk, i))
            for i, class_id, xyxy, decided in desk.signs_in(question.recording_id, row["index"])
        ]
        swept = desk.state.swept.get(item_id)
        return FrameDetail(
            item_id=item_id,
            version=desk.state.version(item_id),
            recording=str(desk.questions.recordings[question.recording_id]["name"]),
            recording_id=question.recording_id,
            index=row["index"],
            time_s=row["time_s"],
            width=row["width"],
            height=row["height"],
            reason=question.reason,
            has_picture=pictures.has(question.recording_id, row["index"]),
            is_alone=len(_around(desk, question.recording_id, row["index"])) == 1,
            signs=signs,
            searched=[] if swept is None else [Searched(annotator=a, complete=c) for a, c in swept.complete.items()],
        )


def followed(desk: Desk, pictures: Pictures, recording_id: str, index: int, xyxy: tuple[float, float, float, float]) -> list[BoxInFrame]:
    """A drawn box and its likely places in the stored frames around; at most `FOLLOWED` frames each way, none of stills.

    Raises:
        MissingPictureError: the frame is not stored.
    """
    pictures.path(recording_id, index)
    near = _around(desk, recording_id, index)
    found = follow(lambda i: pictures.frame(recording_id, i) if pictures.has(recording_id, i) else None, near, index, xyxy)
    rows = {i: desk.questions.frame(f"{recording_id}/{i:06d}") for i in found}
    return [
        BoxInFrame(
            index=i,
            time_s=None if (row := rows[i]) is None else row["time_s"],
            xyxy=_four(box),
            score=1.0,
            stored=True,
            moved=False,
            guessed=False,
        )
        for i, box in found.items()
    ]


def progress(desk: Desk) -> Progress:
    """Count, and estimate the time left."""
    return Progress(**asdict(desk.progress()))


def quality(desk: Desk) -> Quality:
    """How well the review was done so far."""
    effort = desk.effort()
    left, caught, agreed = effort.mistakes_left, effort.caught, effort.agreed
    return Quality(
        decided=effort.decided,
        added=desk.added(),
        corrected=effort.corrected,
        signs_per_minute=effort.signs_per_minute,
        seconds_per_sign=effort.seconds / effort.decided if effort.decided else None,
        caught=caught.successes,
        planted=caught.trials,
        catch_interval=None if caught.interval is None else (caught.interval.low, caught.interval.high),
        agreed=agreed.successes,
        repeats=agreed.trials,
        agree_interval=None if agreed.interval is None else (agreed.interval.low, agreed.interval.high),
        mistakes_left=None if left is None else left[0],
        mistakes_left_bounds=None if left is None else left[1:],
        published=published_entries(desk.questions.folder),
    )


def history(desk: Desk, before: int | None, size: int) -> list[HistoryRow]:
    """Entries of the log in words, the newest first; those before number `before`."""
    undone = taken_back(desk.entries)
    chosen = [e for e in reversed(desk.entries) if before is None or e.number < before][:size]
    return [
        HistoryRow(
            number=e.number,
            at=e.at.isoformat(),
            annotator=e.annotator,
            seconds=e.seconds,
            act=e.act.act,
            text=in_words(desk, e),
            items=items_of(e),
            is_undone=e.number in undone and not isinstance(e.act, Undo),
            undone_by=undone.get(e.number),
        )
        for e in chosen
    ]


def items_of(entry: Entry) -> list[str]:
    """Signs and frames that an entry speaks of; none for an undo."""
    return touches(entry.act)


def has_face(class_id: int, name: str) -> bool:
    """Whether the demo can draw a class: its id and name are those that the demo knows."""
    return class_id in CLASSES and CLASSES[class_id][0] == name


def _around(desk: Desk, recording_id: str, index: int) -> list[int]:
    """Return a frame and the stored ones around it in which the same things can be seen."""
    indices = desk.questions.frames_of(recording_id)
    if desk.questions.recordings[recording_id]["kind"] == "stills" or index not in indices:
        return [index]
    at = indices.index(index)
    return indices[max(0, at - FOLLOWED) : at + FOLLOWED + 1]


def _is_asked(desk: Desk, item_id: str) -> bool:
    return item_id in desk.questions.items or item_id in desk.state.items


def in_words(desk: Desk, entry: Entry) -> str:
    """What an entry did, in words."""
    act = entry.act
    if isinstance(act, Undo):
        return f"took back number {act.number}"
    if isinstance(act, Add):
        frames = f" in {len(act.boxes)} frames" if len(act.boxes) > 1 else ""
        if act.class_id is None:
            return f"{desk.taxonomy.object_name} added{frames}: cannot tell which"
        return f"{desk.taxonomy.by_id[act.class_id].name} added{frames}"
    if isinstance(act, Sweep):
        return "frame searched" if act.complete else "frame searched: cannot tell"
    if not isinstance(act, Decide):
        return WORDS[act.act]
    said: Mapping[str, str] = {"nothing": f"not a {desk.taxonomy.object_name}", "odd": "put aside", "unsure": "cannot tell"}
    counts: dict[str, int] = {}
    for answer in act.answers:
        word = desk.taxonomy.by_id[answer.class_id].name if answer.class_id is not None else said[answer.verdict]
        counts[word] = counts.get(word, 0) + 1
    return ", ".join(f"{number} x {word}" if number > 1 else word for word, number in counts.items())


def _contrary(desk: Desk, pictures: Pictures, item_id: str, track: Track, best: int | None) -> int | None:
    """Return the stored frame of a sign nearest to the one in which the models see something else; None if none is near."""
    spans = desk.state.item(item_id).spans
    if not spans:
        return None
    at = desk.questions.shown(desk.surest(item_id)).contrary
    if at is None or best is None or not track.indices[0] <= at <= track.indices[-1]:
        return None
    recording_id = desk.question(item_id).recording_id
    near = sorted(track.indices[np.abs(track.indices - at) <= CLOSE].tolist(), key=lambda index: abs(index - at))
    return next((index for index in near if index != best and pictures.has(recording_id, index)), None)


def _likely(desk: Desk, item_id: str) -> tuple[tuple[int, float], ...]:
    """Return the likeliest classes of a sign, best first; none of one that a person drew."""
    spans = desk.state.item(item_id).spans
    return desk.questions.shown(desk.surest(item_id)).classes if spans else ()


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _four(values: Any) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = (round(float(v), 2) for v in values)
    return x1, y1, x2, y2
