"""A snapshot and the truth about its recordings enter, a round like a person's leaves: with it the loop runs in tests and benchmarks."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from signloop.core.boxes import SAME_IOU, clip, inside_share, iou, xywh_to_xyxy
from signloop.core.errors import ConfigError, DataError
from signloop.core.files import read_json, sha256_json
from signloop.core.params import Data
from signloop.core.taxonomy import Taxonomy
from signloop.measure.truth import parse_truth
from signloop.review import snapshot as snapshots
from signloop.review.publish import PublishReport, publish_corrected
from signloop.review.snapshot import NO_PROPOSALS, Proposals, Snapshot
from signloop.review.verdicts import Corners, CorrectedBox, match_pairs

ANNOTATOR = "simulated"
ORDERS = ("queue", "random")
GOOD_IOU = 0.75  # under it, the person draws the box anew
IGNORED_SHARE = 0.5  # of a proposal inside an ignore region


@dataclass(frozen=True)
class TruthBox:
    """One real box, or an ignore region (class_id None), of one frame; track_id names the physical sign."""

    xyxy: Corners
    class_id: int | None
    track_id: str | None


@dataclass(frozen=True)
class SimulateReport:
    """What the simulated person did: the round, and their slips by kind (signs, not boxes)."""

    published: PublishReport
    slips: Mapping[str, int]

    def __str__(self) -> str:
        return f"{self.published}; slips on signs: {', '.join(f'{n} {kind}' for kind, n in self.slips.items())}"


@dataclass
class _Person:
    """Draws slips: one for each physical sign and kind, the same whatever else is reviewed."""

    error_rate: float
    seed: int
    class_ids: tuple[int, ...]
    slips: dict[str, set[str]] = field(default_factory=lambda: {"misnamed": set(), "kept": set(), "missed": set()})

    def slip(self, kind: str, key: str) -> bool:
        """Say whether the person errs here."""
        if self._rng(kind, key).random() >= self.error_rate:
            return False
        self.slips[kind].add(key)
        return True

    def wrong_class(self, key: str, right: int, proposed: int | None) -> int:
        """Return what a careless person leaves: the model's answer if it is wrong, otherwise any other class."""
        others = [c for c in self.class_ids if c != right]
        if proposed is not None and proposed != right:
            return proposed
        return int(self._rng("class", key).choice(others)) if others else right

    def _rng(self, kind: str, key: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, int(sha256_json([kind, key])[:12], 16)])


def read_frames_truth(value: Any, names: Mapping[str, str], taxonomy: Taxonomy, where: Path) -> dict[str, list[TruthBox]]:
    """Return frame_id -> real boxes of every frame that the truth knows, also of those without a box.

    Args:
        value: parsed truth.json; class names of its categories (without categories: its ids) are the taxonomy's.
        names: recording name -> recording_id; other recordings are left out.
        taxonomy: the classes.
        where: for messages.

    Raises:
        DataError: the truth is ill-formed, or a real box has an unknown class.
    """
    truth = parse_truth(value, where)
    named = {c.get("id"): c.get("name") for c in value.get("categories") or [] if isinstance(c, dict)}
    class_of = {i: taxonomy.id_of[n] for i, n in named.items() if n in taxonomy.id_of} if named else {i: i for i in taxonomy.ids}
    videos = {v.id: names[v.file_name] for v in truth.videos if v.file_name in names}
    result: dict[str, list[TruthBox]] = {}
    for image in truth.frames:
        if image.video_id not in videos:
            continue
        boxes = result[f"{videos[image.video_id]}/{image.frame_index:06d}"] = []
        for a in truth.annotations.get(image.id, ()):
            if not a.iscrowd and a.category_id not in class_of:
                raise DataError(
                    "the truth has an unknown class",
                    where=f"{where}, annotation {a.id}",
                    expected=taxonomy.name,
                    found=named.get(a.category_id, a.category_id),
                )
            x1, y1, x2, y2 = (float(v) for v in xywh_to_xyxy(a.bbox)[0])
            track_id = None if a.track_id is None else str(a.track_id)
            boxes.append(TruthBox((x1, y1, x2, y2), None if a.iscrowd else class_of[a.category_id], track_id))
    return result


def _cut(box: TruthBox, frame: Mapping[str, Any]) -> TruthBox | None:
    x1, y1, x2, y2 = (float(v) for v in clip(box.xyxy, frame["width"], frame["height"])[0])
    return TruthBox((x1, y1, x2, y2), box.class_id, box.track_id) if x2 > x1 and y2 > y1 else None


def _added(frame_id: str, box: TruthBox) -> CorrectedBox:
    sign_id = None if box.track_id is None else f"{frame_id.split('/', maxsplit=1)[0]}/truth/{box.track_id}"
    return CorrectedBox(frame_id, box.xyxy, box.class_id, None, sign_id)


def _correct_frame(frame_id: str, proposals: Proposals, truth: Sequence[TruthBox], person: _Person) -> list[CorrectedBox]:
    """Return the boxes that the person leaves in one frame."""
    real = [t for t in truth if t.class_id is not None]
    ignored = [t for t in truth if t.class_id is None]
    overlaps = iou(proposals.xyxy, [t.xyxy for t in real])
    matched = dict(match_pairs(overlaps, SAME_IOU))
    shares = inside_share(proposals.xyxy, [t.xyxy for t in ignored]) >= IGNORED_SHARE
    left, covered = [], np.zeros(len(ignored), bool)
    for j, (box_id, sign_id, proposed) in enumerate(zip(proposals.box_ids, proposals.sign_ids, proposals.class_ids, strict=True)):
        x1, y1, x2, y2 = proposals.xyxy[j].tolist()
        kept: Corners = (x1, y1, x2, y2)
        if j in matched:
            box = real[matched[j]]
            class_id = box.class_id
            if class_id is not None and person.slip("misnamed", sign_id):
                class_id = person.wrong_class(sign_id, class_id, proposed)
            is_good = overlaps[j, matched[j]] >= GOOD_IOU
            left.append(CorrectedBox(frame_id, kept if is_good else box.xyxy, class_id, box_id))
        elif shares[j].any():
            covered |= shares[j]
            left.append(CorrectedBox(frame_id, kept, None, box_id))
        elif person.slip("kept", sign_id):
            left.append(CorrectedBox(frame_id, kept, proposed, box_id))
    recording_id = frame_id.split("/", maxsplit=1)[0]
    found = set(matched.values())
    for i, box in enumerate(real):
        if i not in found and not person.slip("missed", f"{recording_id}/{frame_id if box.track_id is None else box.track_id}"):
            left.append(_added(frame_id, box))
    return left + [_added(frame_id, box) for box, done in zip(ignored, covered, strict=True) if not done]


def _frames_to_review(snapshot: Snapshot, truth: Mapping[str, object], recording_ids: set[str], where: Path) -> list[str]:
    frame_ids = [f for f in snapshot.frame_rows if f.split("/")[0] in recording_ids]
    unknown = [f for f in frame_ids if f not in truth]
    if unknown or not frame_ids:
        raise DataError(
            "the truth does not tell all frames that were asked about",
            where=where,
            found=unknown[:5] or "no frame",
            todo="Review only recordings whose truth is in the file.",
        )
    return frame_ids


def simulate_review(
    snapshot: Path,
    truth_json: Path,
    verified_folder: Path,
    taxonomy: Taxonomy,
    data: Data,
    *,
    recordings: Sequence[str] | None = None,
    signs: Collection[str] | None = None,
    error_rate: float,
    seed: int,
    annotator: str = ANNOTATOR,
    at: datetime | None = None,
) -> SimulateReport:
    """Play the person from truth on all frames of a snapshot and publish the round, by the same way as a real review.

    Proposals that match truth (IoU >= 0.5) get its class, and its box if IoU < 0.75; proposals half inside an ignore region are
    unsure; others are rejected; truth that nobody proposed is added, ignore regions as unsure.
    Slips are drawn once for each physical sign, as a person errs: a class left wrong, a false sign kept, a missed one not seen.

    Args:
        snapshot: folder from `snapshot.take`.
        truth_json: COCO with `videos` (their file_name is the recording's name) and one image per frame, iscrowd 1 = ignore.
        verified_folder: gets the round.
        taxonomy: class names of the truth are its names.
        data: shares of the splits.
        recordings: names; None reviews all of the snapshot.
        signs: answers these predicted signs only, and searches no frame for missed ones; None does all.
        error_rate: probability of each slip, in [0, 1].
        seed: of the slips.
        annotator: who the round says it was.
        at: time of the verdicts; None is now.

    Raises:
        DataError: the truth is wrong or does not tell all frames, a recording is not in the snapshot.
    """
    if not 0 <= error_rate <= 1:
        raise DataError("the error rate is no share", expected="[0, 1]", found=error_rate)
    shown = snapshots.load(snapshot)
    names = {about["name"]: recording_id for recording_id, about in shown.recordings.items()}
    strange = sorted(set(recordings or ()) - set(names))
    if strange:
        raise DataError("recordings that are not in the snapshot", where=snapshot, found=strange[:5])
    wanted = {n: r for n, r in names.items() if recordings is None or n in recordings}
    truth = read_frames_truth(read_json(truth_json), wanted, taxonomy, truth_json)
    frame_ids = _frames_to_review(shown, truth, set(wanted.values()), truth_json)
    if signs is not None:
        frame_ids = [f for f in frame_ids if not set(signs).isdisjoint(shown.proposals.get(f, NO_PROPOSALS).sign_ids)]
    person = _Person(error_rate, seed, taxonomy.ids)
    corrected = []
    for frame_id in frame_ids:
        real = [box for box in (_cut(t, shown.frame_rows[frame_id]) for t in truth[frame_id]) if box is not None]
        corrected += _correct_frame(frame_id, shown.proposals.get(frame_id, NO_PROPOSALS), _without_doubles(real), person)
    report = publish_corrected(
        shown,
        corrected,
        set(frame_ids),
        verified_folder,
        data,
        annotator=annotator,
        label="simulated",
        at=at or datetime.now(UTC),
        meta={"source": "simulated", "error_rate": error_rate, "seed": seed},
        signs=signs,
    )
    return SimulateReport(report, {kind: len(keys if signs is None else keys & set(signs)) for kind, keys in person.slips.items()})


def first_signs(queue: pa.Table, recording_ids: Collection[str], number: int, order: str, seed: int) -> list[str]:
    """Return the predicted signs that a person answers who stops after some.

    Args:
        queue: the questions, of which those about signs of these recordings count.
        recording_ids: what is reviewed.
        number: how many are answered; if fewer are asked, all of them.
        order: "queue" takes the most useful first, "random" draws them.
        seed: of the draw; with one seed the first ones are the same for every number.

    Raises:
        ConfigError: another order.
        DataError: no sign of these recordings is asked about.
    """
    if order not in ORDERS:
        raise ConfigError("unknown order of answers", expected=list(ORDERS), found=order)
    asked = [row for row in queue.to_pylist() if row["kind"] == "sign" and row["recording_id"] in recording_ids]
    if not asked:
        raise DataError("no sign of these recordings waits for an answer", todo="Run `dvc repro`, or review without --signs.")
    ranked = [row["sign_id"] for row in sorted(asked, key=lambda row: row["rank"])]
    if order == "random":
        ranked = np.random.default_rng(seed).permutation(sorted(ranked)).tolist()
    return ranked[:number]


def _without_doubles(boxes: Sequence[TruthBox]) -> list[TruthBox]:
    """Keep one of boxes that are equal (cut at the edge, two ignore regions can become one); real ones go before ignore regions."""
    first: dict[Corners, TruthBox] = {}
    for box in sorted(boxes, key=lambda b: b.class_id is None):
        first.setdefault(box.xyxy, box)
    return list(first.values())
