"""All that nobody has looked at is asked, the doubtful first; people who disagree before all else."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from signloop.core import tables
from signloop.core.params import Queue
from signloop.core.rounds import Verified
from signloop.review import snapshot
from signloop.review.queue import build

DRIVE, PHOTOS = "d" * 16, "f" * 16
NO_BOXES = tables.empty("prelabel_boxes")
SIGNS_ONLY = Queue(frame_share=0.0)


@pytest.fixture
def signs(project: Path) -> pa.Table:
    return snapshot.read_prelabels(project / "prelabels", list(snapshot.finished(project / "prelabels").values()))[1]


@pytest.fixture
def frames(project: Path) -> pa.Table:
    return tables.read(project / "frames" / "frames.parquet", "frames")


def looked_at(*frame_ids: str, complete: bool = True) -> Verified:
    rows = [{"round": 1, "frame_id": frame_id, "annotator": "ann", "complete": complete} for frame_id in frame_ids]
    return Verified(frames=tables.from_rows("verified_frames", rows))


def asked(table: pa.Table) -> list[dict[str, Any]]:
    return sorted(table.to_pylist(), key=lambda row: int(row["rank"]))


def test_every_sign_is_asked_the_most_doubtful_first(signs: pa.Table, frames: pa.Table) -> None:
    rows = asked(build(signs, NO_BOXES, Verified(), SIGNS_ONLY, frames))
    assert [row["sign_id"] for row in rows] == [f"{DRIVE}/mtest/{n:04d}" for n in (3, 2, 1, 0)] + [f"{PHOTOS}/mtest/0000"]
    assert [row["rank"] for row in rows] == [1, 2, 3, 4, 5]
    assert rows[0]["reason"] == "the models see a sign but cannot name it"
    assert rows[1]["reason"] == "the models are 30% sure of the class, and nearly as sure of another one"
    assert rows[2]["reason"] == "the models are 60% sure of the class"
    assert {row["kind"] for row in rows} == {"sign"}


def test_the_order_of_the_input_does_not_matter(signs: pa.Table, frames: pa.Table) -> None:
    backwards = signs.take(list(range(signs.num_rows))[::-1])
    assert build(backwards, NO_BOXES, Verified(), SIGNS_ONLY, frames).equals(build(signs, NO_BOXES, Verified(), SIGNS_ONLY, frames))


def test_a_sign_of_which_a_frame_was_verified_is_answered(signs: pa.Table, frames: pa.Table) -> None:
    rows = asked(build(signs, NO_BOXES, looked_at(f"{DRIVE}/000002"), SIGNS_ONLY, frames))
    assert [row["recording_id"] for row in rows] == [PHOTOS]
    assert build(signs, NO_BOXES, looked_at(f"{DRIVE}/000002", complete=False), SIGNS_ONLY, frames).num_rows == 5


def test_what_the_person_left_out_stays_open(signs: pa.Table, frames: pa.Table) -> None:
    def seen_only_at(index: int) -> pa.Table:
        return tables.from_rows("prelabel_signs", [{**row, "first_index": index, "last_index": index} for row in signs.to_pylist()])

    start, whole = looked_at(f"{DRIVE}/000002"), looked_at(*(f"{DRIVE}/{i:06d}" for i in (0, 2, 4)))
    assert build(seen_only_at(3), NO_BOXES, start, SIGNS_ONLY, frames).num_rows == 5  # one frame of a drive tells nothing of later signs
    assert build(seen_only_at(3), NO_BOXES, whole, SIGNS_ONLY, frames)["recording_id"].to_pylist() == [PHOTOS]
    other = build(seen_only_at(0), NO_BOXES, looked_at(f"{PHOTOS}/000001"), SIGNS_ONLY, frames)
    assert PHOTOS in other["recording_id"].to_pylist()  # another still of the folder is another still


def test_what_cannot_be_shown_is_not_asked(signs: pa.Table, frames: pa.Table) -> None:
    drive = frames.filter(pa.array([row == DRIVE for row in frames["recording_id"].to_pylist()]))
    assert {row["recording_id"] for row in asked(build(signs, NO_BOXES, Verified(), SIGNS_ONLY, drive))} == {DRIVE}


def test_people_who_disagree_are_asked_first(signs: pa.Table, frames: pa.Table) -> None:
    rows = [
        {
            "round": 1,
            "box_id": "b",
            "annotator": who,
            "frame_id": f"{PHOTOS}/000000",
            "sign_id": None,
            "x1": 0.0,
            "y1": 0.0,
            "x2": 2.0,
            "y2": 2.0,
            "class_id": class_id,
            "verdict": verdict,
            "seen": True,
            "model_id": None,
            "seconds": None,
            "verified_at": datetime(2024, 5, 1, tzinfo=UTC),
        }
        for who, class_id, verdict in (("ann", 3, "accepted"), ("bob", None, "rejected"))
    ]
    first = asked(
        build(signs, NO_BOXES, Verified(conflicts=("b",), disputed=tables.from_rows("verified_boxes", rows)), SIGNS_ONLY, frames)
    )[0]
    assert (first["kind"], first["frame_id"], first["sign_id"]) == ("frame", f"{PHOTOS}/000000", None)
    assert first["reason"] == "people disagree on 1 of its boxes (ann: accepted as class 3 / bob: rejected)"


def test_nothing_open_gives_an_empty_queue() -> None:
    assert build(tables.empty("prelabel_signs"), NO_BOXES, Verified(), SIGNS_ONLY, tables.empty("frames")).equals(tables.empty("queue"))


def test_a_share_of_the_open_frames_is_put_forward(signs: pa.Table, frames: pa.Table) -> None:
    rows = asked(build(signs, NO_BOXES, looked_at(f"{PHOTOS}/000000", f"{PHOTOS}/000001"), Queue(frame_share=0.5), frames))
    assert [row["kind"] for row in rows] == ["sign"] * 4 + ["frame", "audit"]
    assert {row["recording_id"] for row in rows} == {DRIVE}
    assert build(signs, NO_BOXES, Verified(), SIGNS_ONLY, frames).num_rows == 5


def test_every_second_frame_shows_the_least_certain_sign_and_the_others_are_drawn(signs: pa.Table, frames: pa.Table) -> None:
    doubtful = f"{DRIVE}/mtest/0003"
    rows = [{**row, "first_index": 4 if row["sign_id"] == doubtful else 0, "last_index": 4} for row in signs.to_pylist()]
    placed = tables.from_rows("prelabel_signs", rows)
    drive = frames.filter(pa.array([row == DRIVE for row in frames["recording_id"].to_pylist()]))

    def searched(share: float) -> list[tuple[str, str]]:
        asked_for = [row for row in asked(build(placed, NO_BOXES, Verified(), Queue(frame_share=share), drive)) if row["kind"] != "sign"]
        return [(row["kind"], row["frame_id"]) for row in asked_for]

    assert searched(0.5)[0] == ("frame", f"{DRIVE}/000004")
    assert [kind for kind, _ in searched(0.5)] == ["frame", "audit"]
    assert [kind for kind, _ in searched(0.01)] == ["audit"]
    assert sorted(frame_id for _, frame_id in searched(1.0)) == [f"{DRIVE}/{i:06d}" for i in (0, 2, 4)]
    assert searched(0.0) == []


def test_a_sign_that_a_person_answered_is_not_asked_again_not_even_of_another_model(project: Path, frames: pa.Table) -> None:
    boxes, signs = snapshot.read_prelabels(project / "prelabels", list(snapshot.finished(project / "prelabels").values()))

    def answered(seen: bool, moved_px: float) -> list[str]:
        row = {
            "round": 1,
            "box_id": "of an older model",
            "annotator": "ann",
            "frame_id": f"{DRIVE}/000002",
            "sign_id": "of an older model",
            **{"x1": 12 + moved_px, "y1": 10.0, "x2": 32 + moved_px, "y2": 30.0},
            "class_id": 3,
            "verdict": "accepted",
            "seen": seen,
            "model_id": None,
            "seconds": None,
            "verified_at": datetime(2024, 1, 1, tzinfo=UTC),
        }
        verified = Verified(boxes=tables.from_rows("verified_boxes", [row]))
        open_signs = {r["sign_id"] for r in asked(build(signs, boxes, verified, SIGNS_ONLY, frames))}
        return sorted(set(signs["sign_id"].to_pylist()) - open_signs)

    assert answered(seen=True, moved_px=3) == [f"{DRIVE}/mtest/0000"]  # its box is there in frame 2
    assert answered(seen=True, moved_px=15) == []  # another thing
    assert answered(seen=False, moved_px=0) == []  # nobody looked at it
