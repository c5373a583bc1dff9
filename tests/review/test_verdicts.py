"""Each thing that a person can do to a box becomes its verdict."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from signloop.core import tables
from signloop.core.errors import DataError
from signloop.review import snapshot
from signloop.review.snapshot import Snapshot
from signloop.review.verdicts import CorrectedBox, compare, match_pairs

DRIVE = "d" * 16
FRAMES = {f"{DRIVE}/{i:06d}" for i in (0, 2, 4)}
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
CIRCLE, SQUARE, STAR = 3, 8, 9


@pytest.fixture
def shown(project: Path) -> Snapshot:
    return snapshot.load(snapshot.take(project / "prelabels", project / "frames", project / "review", [DRIVE]))


def untouched(shown: Snapshot, with_ids: bool = True) -> dict[str, CorrectedBox]:
    """What a tool gives back if nothing was changed, by sign number and frame index ("0000/4")."""
    result = {}
    for frame_id, p in shown.proposals.items():
        for j, box_id in enumerate(p.box_ids):
            x1, y1, x2, y2 = (round(float(v), 1) for v in p.xyxy[j])
            key = f"{p.sign_ids[j][-4:]}/{int(frame_id[-6:])}"
            result[key] = CorrectedBox(frame_id, (x1, y1, x2, y2), p.class_ids[j], box_id if with_ids else None)
    return result


def judge(shown: Snapshot, boxes: dict[str, CorrectedBox], frames: set[str] | None = None) -> pa.Table:
    return compare(shown, list(boxes.values()), FRAMES if frames is None else frames, "ann", NOON)


def rows(table: pa.Table) -> dict[str, dict[str, Any]]:
    """Verdict rows of proposals by sign number and frame index."""
    return {f"{r['sign_id'][-4:]}/{int(r['frame_id'][-6:])}": r for r in table.to_pylist() if r["sign_id"] and "mtest" in r["sign_id"]}


def corners(row: dict[str, Any]) -> list[float]:
    return [row["x1"], row["y1"], row["x2"], row["y2"]]


@pytest.mark.parametrize("with_ids", [True, False])
def test_an_untouched_file_accepts_everything_and_carries_it_on(shown: Snapshot, with_ids: bool) -> None:
    found = rows(judge(shown, untouched(shown, with_ids)))
    said = {key: (row["verdict"], row["seen"]) for key, row in found.items()}
    assert said == {
        **{f"{sign}/{i}": ("accepted", i in (0, 2, 4)) for sign in ("0000", "0001") for i in range(5)},
        "0002/0": ("accepted", True),
        "0002/1": ("accepted", False),
        "0003/2": ("unsure", True),
    }
    assert corners(found["0000/2"]) == [12, 10, 32, 30]
    assert (found["0000/2"]["class_id"], found["0000/2"]["model_id"], found["0000/2"]["annotator"]) == (CIRCLE, "mtest", "ann")
    assert found["0003/2"]["class_id"] is None


@pytest.mark.parametrize("with_ids", [True, False])
def test_what_is_done_to_a_box_is_its_verdict(shown: Snapshot, with_ids: bool) -> None:
    boxes = untouched(shown, with_ids)
    boxes["0000/0"] = replace(boxes["0000/0"], xyxy=(12, 12, 30, 30))
    boxes["0000/2"] = replace(boxes["0000/2"], class_id=STAR)
    boxes["0000/4"] = replace(boxes["0000/4"], class_id=STAR, xyxy=(14, 10, 34, 34))
    boxes["0001/0"] = replace(boxes["0001/0"], class_id=None)
    del boxes["0001/2"]
    boxes["0003/2"] = replace(boxes["0003/2"], class_id=SQUARE)
    found = rows(judge(shown, boxes))
    assert {key: found[key]["verdict"] for key in boxes} | {"0001/2": found["0001/2"]["verdict"]} == {
        "0000/0": "moved",
        "0000/2": "relabelled",
        "0000/4": "relabelled",
        "0001/0": "unsure",
        "0001/2": "rejected",
        "0001/4": "accepted",
        "0002/0": "accepted",
        "0003/2": "relabelled",
    }
    assert corners(found["0000/0"]) == [12, 12, 30, 30]
    assert corners(found["0000/2"]) == [12, 10, 32, 30]
    assert corners(found["0000/4"]) == [14, 10, 34, 34]
    assert (found["0001/2"]["class_id"], corners(found["0001/2"])) == (None, [50, 10, 70, 30])
    assert "0000/1" not in found  # circle and star: the boxes seen do not agree
    assert "0001/1" not in found
    assert found["0002/1"]["verdict"] == "accepted"


def test_a_new_class_and_a_rejection_are_carried_to_frames_not_shown(shown: Snapshot) -> None:
    boxes = {k: replace(b, class_id=CIRCLE) for k, b in untouched(shown).items() if not k.startswith("0002")}
    found = rows(judge(shown, boxes))
    assert [(found[f"0001/{i}"]["verdict"], found[f"0001/{i}"]["class_id"], found[f"0001/{i}"]["seen"]) for i in (2, 3)] == [
        ("relabelled", CIRCLE, True),
        ("relabelled", CIRCLE, False),
    ]
    assert (found["0002/1"]["verdict"], found["0002/1"]["seen"]) == ("rejected", False)


@pytest.mark.parametrize("changes", [{"score": 0.39}, {"interpolated": True}])
def test_a_class_is_not_carried_to_where_the_sign_was_guessed_but_a_rejection_is(shown: Snapshot, changes: dict[str, Any]) -> None:
    boxes = [{**row, **(changes if row["index"] == 1 else {})} for row in shown.boxes.to_pylist()]
    doubtful = replace(shown, boxes=tables.from_rows("prelabel_boxes", boxes))
    left = {key: box for key, box in untouched(doubtful).items() if not key.startswith("0002")}
    said = {key: row["verdict"] for key, row in rows(judge(doubtful, left)).items() if key.endswith(("/1", "/3"))}
    assert said == {"0000/3": "accepted", "0001/3": "accepted", "0002/1": "rejected"}


def test_frames_that_were_left_out_are_carried_to_like_those_not_shown(shown: Snapshot) -> None:
    first = {k: b for k, b in untouched(shown).items() if b.frame_id.endswith("0")}
    found = rows(judge(shown, first, {f"{DRIVE}/000000"}))
    assert {key for key, row in found.items() if row["seen"]} == {"0000/0", "0001/0", "0002/0"}
    assert found["0000/4"]["verdict"] == "accepted"
    assert "0003/2" not in found


def test_a_drawn_box_is_added_and_a_drawn_region_unsure(shown: Snapshot) -> None:
    frame_id = f"{DRIVE}/000004"
    drawn = {"a": CorrectedBox(frame_id, (60, 50, 75, 65), SQUARE, sign_id="r/truth/9"), "b": CorrectedBox(frame_id, (0, 60, 9, 70), None)}
    table = judge(shown, untouched(shown) | drawn)
    new = [r for r in table.to_pylist() if "/added/" in r["box_id"]]
    assert {(r["verdict"], r["class_id"], r["sign_id"], r["model_id"], r["seen"]) for r in new} == {
        ("added", SQUARE, "r/truth/9", None, True),
        ("unsure", None, None, None, True),
    }
    assert all(r["box_id"].startswith(f"{frame_id}/added/") for r in new)


def test_a_copied_box_with_the_same_id_is_a_new_sign(shown: Snapshot) -> None:
    boxes = untouched(shown)
    boxes["copy"] = replace(boxes["0000/0"], xyxy=(60, 55, 80, 75))
    boxes["copy elsewhere"] = replace(boxes["0000/0"], frame_id=f"{DRIVE}/000004", xyxy=(1, 50, 21, 70))
    table = judge(shown, boxes)
    assert rows(table)["0000/0"]["verdict"] == "accepted"
    assert sum(r["verdict"] == "added" for r in table.to_pylist()) == 2


def test_an_id_leads_further_than_overlap(shown: Snapshot) -> None:
    boxes = untouched(shown)
    boxes["0000/0"] = replace(boxes["0000/0"], xyxy=(31, 31, 45, 45))
    row = rows(judge(shown, boxes))["0000/0"]
    assert (row["verdict"], corners(row)) == ("moved", [31, 31, 45, 45])


def test_seconds_are_shared_out_over_what_was_seen(shown: Snapshot) -> None:
    table = compare(shown, list(untouched(shown).values()), FRAMES, "ann", NOON, 16.0)
    assert {(r["seen"], r["seconds"]) for r in table.to_pylist()} == {(True, 2.0), (False, None)}


def test_boxes_and_frames_that_were_not_asked_about_are_refused(shown: Snapshot) -> None:
    with pytest.raises(DataError, match="not asked about"):
        compare(shown, [], {f"{DRIVE}/000001"}, "ann", NOON)
    with pytest.raises(DataError, match="not asked about"):
        compare(shown, [CorrectedBox(f"{DRIVE}/000002", (0, 0, 9, 9), CIRCLE)], {f"{DRIVE}/000000"}, "ann", NOON)


@given(arrays(np.float64, st.tuples(st.integers(0, 5), st.integers(0, 5)), elements=st.floats(0, 1)))
def test_pairs_are_one_to_one_and_no_better_pair_is_left(overlaps: np.ndarray[Any, Any]) -> None:
    pairs = match_pairs(overlaps, 0.5)
    left, right = {i for i, _ in pairs}, {j for _, j in pairs}
    assert len(left) == len(right) == len(pairs)
    assert all(overlaps[i, j] >= 0.5 for i, j in pairs)
    assert all(overlaps[i, j] < 0.5 or i in left or j in right for i in range(overlaps.shape[0]) for j in range(overlaps.shape[1]))
