"""Verified signs enter, signs with a planted mistake leave: whoever looks well finds them, and how many were found tells how well.

Planted signs are questions of a review, never labels: no part of them can be published.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from signloop.core.errors import DataError
from signloop.core.files import read_json, write_bytes
from signloop.core.rounds import Verified
from signloop.core.taxonomy import Taxonomy

Row = Mapping[str, Any]
IS_SIGN = ("accepted", "relabelled", "moved", "added")
ENOUGH = 500  # answers tell a share to within 4.5 points for sure, and 2 where 95 % are right: more would only be more work
USED = ["frame_id", "sign_id", "box_id", "verdict", "class_id", "seen", "x1", "y1", "x2", "y2"]  # of what is verified


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PlantedBox(_Model):
    """Where the sign is in one frame: index, seconds, px."""

    index: int
    time_s: float
    xyxy: tuple[float, float, float, float]


class Planted(_Model):
    """One planted mistake.

    Attributes:
        planted_id: unique in a review.
        recording_id: where the sign is.
        class_id: what is proposed; wrong.
        right_class_id: what people verified; None: it is no sign at all.
        confidence, classes, reason, rank: as if a model had proposed it.
        boxes: at least one, ascending by index.
    """

    planted_id: str
    recording_id: str
    class_id: int
    right_class_id: int | None
    confidence: float
    classes: tuple[tuple[int, float], ...]
    reason: str
    rank: int
    boxes: tuple[PlantedBox, ...]


def choose(
    verified: Verified, frames: Mapping[str, Row], asked: Sequence[Row], taxonomy: Taxonomy, share: float, seed: int
) -> list[Planted]:
    """Choose verified signs and give them a wrong class, and verified non-signs and give them one at all.

    A wrong class is of the right one's group where that has another: it is what a tired eye takes for it.

    Args:
        verified: all rounds; only what a person looked at, and nobody disputes, is used.
        frames: rows of the stored frames by id; a sign is planted only where it can be shown.
        asked: rows of the queue about signs, whose confidences and ranks the planted ones take on.
        taxonomy: the classes; with a single class only non-signs are planted.
        share: of the signs asked, in [0, 1]; rounded up, and at most `ENOUGH`.
        seed: of the choice.

    Returns:
        None if nothing fitting is verified or nothing is asked.
    """
    rng = np.random.default_rng(seed)
    signs, nothings = _verified_signs(verified, frames)
    wanted = min(int(np.ceil(share * len(asked))), ENOUGH)
    pools = [sorted(pool.items()) for pool in ((signs if len(taxonomy) > 1 else {}), nothings) if pool]
    shuffled = [[pool[int(i)] for i in rng.permutation(len(pool))] for pool in pools]
    picks = [pick for turn in zip_longest(*shuffled) for pick in turn if pick is not None]  # one of each in turn, as far as they go
    confident = [row for row in asked if row["class_id"] is not None]
    if not confident:
        return []
    return [_plant(number, boxes, frames, confident, taxonomy, rng) for number, (_, boxes) in enumerate(picks[:wanted])]


def _verified_signs(verified: Verified, frames: Mapping[str, Row]) -> tuple[dict[str, list[Row]], dict[str, list[Row]]]:
    """Return boxes that people saw, by physical sign: real ones, and rejected ones."""
    signs: dict[str, list[Row]] = defaultdict(list)
    nothings: dict[str, list[Row]] = defaultdict(list)
    for row in verified.boxes.select(USED).to_pylist():
        if row["seen"] and row["frame_id"] in frames:
            if row["verdict"] in IS_SIGN:
                signs[row["sign_id"] or row["box_id"]].append(row)
            elif row["verdict"] == "rejected":
                nothings[row["sign_id"] or row["box_id"]].append(row)
    alike = {key: boxes for key, boxes in signs.items() if len({box["class_id"] for box in boxes}) == 1 and key not in nothings}
    return alike, {key: boxes for key, boxes in nothings.items() if key not in signs}


def _plant(
    number: int, boxes: Sequence[Row], frames: Mapping[str, Row], asked: Sequence[Row], taxonomy: Taxonomy, rng: np.random.Generator
) -> Planted:
    like = asked[int(rng.integers(len(asked)))]
    right = boxes[0]["class_id"] if boxes[0]["verdict"] in IS_SIGN else None
    shown = _wrong_class(right, like["class_id"], taxonomy, rng)
    confidence = float(like["confidence"])
    others = [c for c in (right, *rng.permutation(taxonomy.ids).tolist()) if c is not None and c != shown]
    rest = np.minimum(-np.sort(-rng.dirichlet(np.ones(4))) * (1 - confidence), 0.99 * confidence).tolist()
    placed = {
        frames[box["frame_id"]]["index"]: PlantedBox(
            index=frames[box["frame_id"]]["index"],
            time_s=frames[box["frame_id"]]["time_s"],
            xyxy=(box["x1"], box["y1"], box["x2"], box["y2"]),
        )
        for box in boxes
    }
    return Planted(
        planted_id=f"planted/{number:04d}",
        recording_id=boxes[0]["frame_id"].split("/")[0],
        class_id=shown,
        right_class_id=right,
        confidence=confidence,
        classes=((shown, confidence), *zip(list(dict.fromkeys(others)), rest, strict=False)),
        reason=like["reason"],
        rank=int(like["rank"]),
        boxes=tuple(placed[index] for index in sorted(placed)),
    )


def _wrong_class(right: int | None, proposed: int, taxonomy: Taxonomy, rng: np.random.Generator) -> int:
    if right is None:
        return proposed
    others = [c.id for c in taxonomy.classes if c.id != right]
    alike = [c for c in others if right in taxonomy.by_id and taxonomy.by_id[c].group == taxonomy.by_id[right].group]
    return int(rng.choice(alike or others))


def write_planted(path: Path, planted: Sequence[Planted]) -> None:
    """Write them beside the questions of a review."""
    write_bytes(path, json.dumps([sign.model_dump() for sign in planted], allow_nan=False).encode())  # thousands: no indent, it is slow


def read_planted(path: Path) -> dict[str, Planted]:
    """Read them, by planted_id.

    Raises:
        DataError: the file is missing or damaged.
    """
    try:
        signs = [Planted.model_validate(value) for value in read_json(path)]
    except (ValidationError, TypeError) as error:
        raise DataError("the planted questions of the review are damaged", where=path, found=str(error).splitlines()[0]) from error
    return {sign.planted_id: sign for sign in signs}
