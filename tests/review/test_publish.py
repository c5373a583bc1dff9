"""From a tool's file or the page's log to a round: nothing the person did is lost, and nothing they did not say is in it."""

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from signloop.core import tables
from signloop.core.errors import DataError
from signloop.core.params import Data, Queue
from signloop.core.rounds import Verified, publish_round, read_rounds
from signloop.core.taxonomy import Taxonomy
from signloop.frames.truth import ROLE_OF
from signloop.review import questions, queue, snapshot
from signloop.review.desk import Desk
from signloop.review.export import export_coco
from signloop.review.log import Act, Add, Answer, Decide, Drop, Entry, Fix, Merge, Placed, Split, Sweep
from signloop.review.plant import Planted
from signloop.review.publish import PublishReport, publish_coco, publish_review
from signloop.review.questions import item_id_of
from signloop.review.state import ConflictError

DRIVE, PHOTOS, MODEL = "d" * 16, "f" * 16, "mtest"
CIRCLE, SQUARE = 3, 8
NEW, NEWER = "c" * 16, "e" * 16
BOX = (60.0, 50.0, 75.0, 65.0)
OpenDesk = Callable[..., Desk]
Do = Callable[..., Entry]
Rows = list[dict[str, Any]]
Edit = Callable[[dict[str, Any]], None]
Publish = Callable[[Edit], PublishReport]


def keep(value: dict[str, Any]) -> None:
    """Change nothing."""


@pytest.fixture
def publish(project: Path, taxonomy: Taxonomy, data: Data) -> Publish:
    """Export everything, let `dvc repro` delete what it was made of, edit the file and publish it."""
    shown = snapshot.take(project / "prelabels", project / "frames", project / "review", None)
    file = export_coco(shown, project / "frames", project.parent / "out", taxonomy).path
    for folder in ("prelabels", "frames"):
        shutil.rmtree(project / folder)

    def act(edit: Edit) -> PublishReport:
        value = json.loads(file.read_text())
        edit(value)
        (project.parent / "edited.json").write_text(json.dumps(value))
        return publish_coco(project.parent / "edited.json", project / "review", project / "verified", taxonomy, data, "Ann B.")

    return act


def test_an_untouched_file_becomes_a_round(publish: Publish, project: Path) -> None:
    report = publish(keep)
    assert report.path.name == "round_001-Ann-B"
    assert report.frames == 5
    assert report.counts == {"accepted": 8, "relabelled": 0, "moved": 0, "rejected": 0, "added": 0, "unsure": 1}
    assert report.carried == 5
    assert "8 accepted" in str(report)
    verified = read_rounds(project / "verified")
    assert sorted(verified.splits["unit_id"].to_pylist()) == [DRIVE, f"{PHOTOS}/000000", f"{PHOTOS}/000001"]
    assert verified.frames["complete"].to_pylist() == [True] * 5
    assert {row["frame_id"] for row in verified.boxes.to_pylist() if not row["seen"]} == {f"{DRIVE}/000001", f"{DRIVE}/000003"}


def test_publishing_again_is_harmless(publish: Publish, project: Path) -> None:
    assert publish(keep).path == publish(keep).path
    assert len(list((project / "verified").iterdir())) == 1


def test_what_tools_forget_is_found_again(publish: Publish) -> None:
    def forget(value: dict[str, Any]) -> None:
        del value["info"]
        value["images"] = [{"id": i["id"] + 100, "file_name": f"upload/{i['file_name'].replace('.jpg', '.png')}"} for i in value["images"]]
        value["categories"] = [{"id": c["id"] + 1000, "name": c["name"]} for c in value["categories"]]
        value["annotations"] = [
            {"id": a["id"], "image_id": a["image_id"] + 100, "category_id": a["category_id"] + 1000, "bbox": [round(v) for v in a["bbox"]]}
            for a in reversed(value["annotations"])
        ]

    assert publish(forget).counts == {"accepted": 8, "relabelled": 0, "moved": 0, "rejected": 0, "added": 0, "unsure": 1}


def test_edits_become_verdicts(publish: Publish, project: Path) -> None:
    def correct(value: dict[str, Any]) -> None:
        rows = {a["box_id"]: a for a in value["annotations"]}
        rows[f"{DRIVE}/mtest/0000/000000"]["category_id"] = 9
        rows[f"{DRIVE}/mtest/0000/000002"]["bbox"] = [12, 10, 25, 25]
        value["annotations"].remove(rows[f"{DRIVE}/mtest/0002/000000"])
        value["annotations"].append({"id": 99, "image_id": 2, "category_id": 3, "bbox": [90, 70, 30, 30]})

    report = publish(correct)
    assert report.counts == {"accepted": 5, "relabelled": 1, "moved": 1, "rejected": 1, "added": 1, "unsure": 1}
    added = next(row for row in read_rounds(project / "verified").boxes.to_pylist() if row["verdict"] == "added")
    assert [added[k] for k in ("x1", "y1", "x2", "y2", "class_id", "annotator")] == [90, 70, 100, 80, 3, "Ann B."]  # cut to the frame


def test_images_taken_out_stay_open(publish: Publish, project: Path) -> None:
    def only_photos(value: dict[str, Any]) -> None:
        value["images"] = [i for i in value["images"] if i["recording"] == "photos"]
        ids = {i["id"] for i in value["images"]}
        value["annotations"] = [a for a in value["annotations"] if a["image_id"] in ids]

    assert publish(only_photos).frames == 2
    assert set(read_rounds(project / "verified").frames["frame_id"].to_pylist()) == {f"{PHOTOS}/000000", f"{PHOTOS}/000001"}


def _strange_image(value: dict[str, Any]) -> None:
    value["images"].append({"id": 77, "file_name": "holiday.jpg"})


def _twice(value: dict[str, Any]) -> None:
    value["images"].append({"id": 77, "file_name": "copy/" + value["images"][0]["file_name"]})


def _scaled(value: dict[str, Any]) -> None:
    value["images"][0]["width"] = 50


def _outside(value: dict[str, Any]) -> None:
    value["annotations"][0]["bbox"] = [200, 10, 5, 5]


def _no_image(value: dict[str, Any]) -> None:
    value["images"], value["annotations"] = [], []


def _elsewhere(value: dict[str, Any]) -> None:
    value["info"]["snapshot_id"] = "0" * 16


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_strange_image, "image 77 .*holiday.*is not in the export"),
        (_twice, "is there twice"),
        (_scaled, "is 50x80 here, but 100x80"),
        (_outside, r"annotations\[0\].*outside of its image"),
        (_no_image, "without a verdict"),
        (_elsewhere, "snapshot .* is not here"),
    ],
)
def test_wrong_files_are_refused_as_a_whole(publish: Publish, project: Path, edit: Edit, message: str) -> None:
    with pytest.raises(DataError, match=message):
        publish(edit)
    assert not (project / "verified").exists()


def test_a_file_without_info_that_fits_no_export_is_refused(publish: Publish) -> None:
    def forget_and_add(value: dict[str, Any]) -> None:
        del value["info"]
        _strange_image(value)

    with pytest.raises(DataError, match="does not say which export"):
        publish(forget_and_add)


def sign(desk: Desk, number: int, recording_id: str = DRIVE) -> str:
    return item_id_of(desk.questions.review_id, f"{recording_id}/{MODEL}/{number:04d}")


def frame(desk: Desk, index: int, recording_id: str = DRIVE) -> str:
    return item_id_of(desk.questions.review_id, f"frame:{recording_id}/{index:06d}")


def said(item_id: str, class_id: int | None = CIRCLE, verdict: str = "sign", seen: tuple[int, ...] = (2,)) -> Decide:
    answer = {"item_id": item_id, "verdict": verdict, "class_id": class_id if verdict == "sign" else None, "seen": seen}
    return Decide(view="single", answers=(Answer.model_validate(answer),))


def drawn(*boxes: tuple[int, bool], item_id: str = NEW) -> Add:
    placed = tuple(Placed(index=i, xyxy=BOX, seen=seen) for i, seen in boxes)
    return Add(item_id=item_id, recording_id=DRIVE, class_id=SQUARE, boxes=placed)


@pytest.fixture
def publish_all(queued: Path, data: Data) -> Callable[[Desk], Rows]:
    """A function that publishes a review and returns the boxes of its round."""

    def act(desk: Desk) -> Rows:
        path = publish_review(desk, queued / "verified", data).path
        return sorted(tables.read(path / "boxes.parquet", "verified_boxes").to_pylist(), key=lambda r: (r["sign_id"], r["frame_id"]))

    return act


PublishAll = Callable[[Desk], Rows]


def in_short(rows: Rows) -> list[tuple[str, str, int | None, bool]]:
    return [(row["box_id"], row["verdict"], row["class_id"], row["seen"]) for row in rows]


def of_sign(number: int, verdict: str, class_id: int | None, seen: set[int], indices: range = range(5)) -> list[tuple[Any, ...]]:
    return [(f"{DRIVE}/{MODEL}/{number:04d}/{i:06d}", verdict, class_id, i in seen) for i in indices]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"class_id": CIRCLE}, ("accepted", CIRCLE)),
        ({"class_id": SQUARE}, ("relabelled", SQUARE)),
        ({"verdict": "nothing"}, ("rejected", None)),
        ({"verdict": "unsure"}, ("unsure", None)),
    ],
)
def test_an_answer_goes_to_all_boxes_of_its_sign(
    desk: Desk, do: Do, publish_all: PublishAll, answer: dict[str, Any], expected: tuple[str, int | None]
) -> None:
    entry = do(desk, said(sign(desk, 0), seen=(0, 2), **answer), "Ann B.", seconds=3.0)
    rows = publish_all(desk)
    assert in_short(rows) == of_sign(0, *expected, {0, 2})
    assert [(row["seconds"], row["annotator"], row["sign_id"], row["model_id"]) for row in rows] == [
        (1.5 if i in (0, 2) else None, "Ann B.", f"{DRIVE}/{MODEL}/0000", MODEL) for i in range(5)
    ]
    assert [row["x1"] for row in rows] == [10, 11, 12, 13, 14]
    assert abs((rows[0]["verified_at"] - entry.at).total_seconds()) < 0.01


def _weaken(queued: Path, *boxes: tuple[int, int], interpolated: bool) -> None:
    """Let (sign, frame) be boxes that were guessed; before a review is opened."""
    (path,) = (queued / "prelabels" / "boxes").glob(f"{DRIVE}-*.parquet")
    rows = tables.read(path, "prelabel_boxes").to_pylist()
    for row in rows:
        if (int(row["sign_id"][-4:]), row["index"]) in boxes:
            row.update({"interpolated": True} if interpolated else {"score": 0.39})
    tables.write(path, "prelabel_boxes", tables.from_rows("prelabel_boxes", rows))


@pytest.mark.parametrize("interpolated", [False, True])
def test_where_a_sign_was_only_guessed_nothing_is_said_unless_a_person_saw_it(
    queued: Path, open_desk: OpenDesk, do: Do, publish_all: PublishAll, interpolated: bool
) -> None:
    _weaken(queued, (0, 3), (0, 4), (2, 1), interpolated=interpolated)
    desk = open_desk()
    do(desk, said(sign(desk, 0), SQUARE, seen=(0, 4)))
    do(desk, said(sign(desk, 2), verdict="nothing", seen=(0,)))
    rows = publish_all(desk)
    told = [(f"{DRIVE}/{MODEL}/0000/{i:06d}", *(("unsure", None) if i == 3 else ("relabelled", SQUARE)), i in (0, 4)) for i in range(5)]
    assert in_short(rows) == [*told, *of_sign(2, "rejected", None, {0}, range(2))]


def test_boxes_that_were_taken_off_a_sign_are_nothing(desk: Desk, do: Do, publish_all: PublishAll) -> None:
    do(desk, said(sign(desk, 0), seen=(0, 2, 4)))
    do(desk, Drop(item_id=sign(desk, 0), first=3, end=99, seen=(4, 0)), "Bob")
    rows = publish_all(desk)
    assert in_short(rows) == [*of_sign(0, "accepted", CIRCLE, {0, 2}, range(3)), *of_sign(0, "rejected", None, {4}, range(3, 5))]
    assert [row["annotator"] for row in rows] == ["ann"] * 3 + ["Bob"] * 2
    assert [row["x1"] for row in rows] == [10, 11, 12, 13, 14]
    desk.undo("Bob", 1.0)
    assert in_short(publish_all(desk)) == of_sign(0, "accepted", CIRCLE, {0, 2, 4})


def test_boxes_taken_off_a_sign_that_is_not_answered_wait_with_it(desk: Desk, do: Do, publish_all: PublishAll) -> None:
    do(desk, Drop(item_id=sign(desk, 0), first=3, end=99))
    with pytest.raises(DataError, match="nothing is decided"):
        publish_all(desk)


def test_what_is_odd_or_open_is_not_published(desk: Desk, do: Do, publish_all: PublishAll) -> None:
    do(desk, said(sign(desk, 0), verdict="odd"))
    with pytest.raises(DataError, match="nothing is decided in this review yet"):
        publish_all(desk)
    do(desk, said(sign(desk, 2), seen=(0,)))
    assert in_short(publish_all(desk)) == of_sign(2, "accepted", CIRCLE, {0}, range(2))
    do(desk, said(sign(desk, 1), seen=()))
    desk.undo("ann", 1.0)
    assert in_short(publish_all(desk)) == of_sign(2, "accepted", CIRCLE, {0}, range(2))


def test_a_corrected_box_is_moved_and_so_are_those_that_followed(desk: Desk, do: Do, publish_all: PublishAll) -> None:
    do(desk, Fix(item_id=sign(desk, 1), index=4, xyxy=(50.0, 16.0, 70.0, 36.0)))  # 6 px down, a pixel less in each box before it
    do(desk, said(sign(desk, 1), SQUARE, seen=(2,)))
    rows = publish_all(desk)
    assert in_short(rows) == of_sign(1, "moved", SQUARE, {2, 4})
    assert [row["y1"] for row in rows] == pytest.approx([12, 13, 14, 15, 16])


def test_an_added_sign_has_only_the_boxes_of_the_person(desk: Desk, do: Do, publish_all: PublishAll) -> None:
    do(desk, drawn((4, True), (3, False)))
    rows = publish_all(desk)
    assert in_short(rows) == [(f"{DRIVE}/00000{i}/added/{NEW}", "added", SQUARE, i == 4) for i in (3, 4)]
    assert [(row["x1"], row["y1"], row["x2"], row["y2"]) for row in rows] == [BOX, BOX]
    assert {(row["sign_id"], row["model_id"]) for row in rows} == {(f"{DRIVE}/{desk.questions.review_id}/{NEW}", None)}


def test_an_added_box_that_nobody_can_name_is_ignored_in_a_complete_frame(
    queued: Path, desk: Desk, do: Do, publish_all: PublishAll
) -> None:
    for number in range(2):
        do(desk, said(sign(desk, number)))
    do(desk, drawn((4, True)).model_copy(update={"class_id": None}))
    do(desk, Sweep(item_id=frame(desk, 4), complete=True))
    rows = [row for row in publish_all(desk) if row["sign_id"].endswith(NEW)]
    assert in_short(rows) == [(f"{DRIVE}/000004/added/{NEW}", "unsure", None, True)]
    assert ROLE_OF[rows[0]["verdict"]] == "ignore"
    verified = read_rounds(queued / "verified")
    assert [(row["frame_id"], row["complete"]) for row in verified.frames.to_pylist()] == [(f"{DRIVE}/000004", True)]
    do(desk, said(NEW, SQUARE, seen=(4,)))  # somebody can, later
    assert in_short([row for row in publish_all(desk) if row["sign_id"].endswith(NEW)]) == [
        (f"{DRIVE}/000004/added/{NEW}", "added", SQUARE, True)
    ]


def test_an_added_box_that_is_corrected_after_it_was_published_is_one_box(
    queued: Path, desk: Desk, do: Do, publish_all: PublishAll
) -> None:
    do(desk, drawn((4, True)))
    publish_all(desk)
    do(desk, Fix(item_id=NEW, index=4, xyxy=(62.0, 50.0, 77.0, 65.0)))
    publish_all(desk)
    assert [(row["round"], row["x1"]) for row in read_rounds(queued / "verified").boxes.to_pylist()] == [(2, 62.0)]
    do(desk, said(NEW, verdict="nothing"))
    publish_all(desk)
    assert [(row["round"], row["verdict"]) for row in read_rounds(queued / "verified").boxes.to_pylist()] == [(3, "rejected")]


def test_the_parts_of_a_split_sign_are_two_signs(desk: Desk, do: Do, publish_all: PublishAll) -> None:
    do(desk, Split(item_id=sign(desk, 0), index=3, new_id=NEW))
    do(desk, said(sign(desk, 0), seen=(0,)))
    do(desk, said(NEW, SQUARE, seen=(4,)))
    rows = publish_all(desk)
    first, second = of_sign(0, "accepted", CIRCLE, {0}, range(3)), of_sign(0, "relabelled", SQUARE, {4}, range(3, 5))
    assert sorted(in_short(rows)) == sorted([*first, *second])
    signs = {row["box_id"][-1]: row["sign_id"] for row in rows}
    assert signs == {i: f"{DRIVE}/{MODEL}/0000" if i in "012" else f"{DRIVE}/{desk.questions.review_id}/{NEW}" for i in "01234"}


def test_merged_signs_are_one(desk: Desk, do: Do, publish_all: PublishAll) -> None:
    do(desk, Merge(item_id=sign(desk, 2), other_id=sign(desk, 3)))  # frames 0 and 1, and frame 2
    do(desk, said(sign(desk, 2), seen=(1, 2)))
    rows = publish_all(desk)
    assert in_short(rows) == [*of_sign(2, "accepted", CIRCLE, {1}, range(2)), *of_sign(3, "accepted", CIRCLE, {2}, range(2, 3))]
    assert {row["sign_id"] for row in rows} == {f"{DRIVE}/{MODEL}/0002"}


def test_a_frame_is_complete_once_it_is_searched_and_all_signs_in_it_are_decided(queued: Path, desk: Desk, do: Do, data: Data) -> None:
    def complete() -> dict[str, bool]:
        path = publish_review(desk, queued / "verified", data).path
        rows = tables.read(path / "frames.parquet", "verified_frames").to_pylist()
        return {row["frame_id"][-6:]: row["complete"] for row in rows if row["frame_id"].startswith(DRIVE)}

    do(desk, said(sign(desk, 0)))
    assert complete() == {}
    do(desk, Sweep(item_id=frame(desk, 2), complete=True))
    do(desk, Sweep(item_id=frame(desk, 4), complete=False))
    assert complete() == {"000002": False, "000004": False}  # signs 1 and 3 are open
    do(desk, said(sign(desk, 1), verdict="nothing"))
    do(desk, said(sign(desk, 3), verdict="odd"))
    assert complete() == {"000002": False, "000004": False}
    do(desk, said(sign(desk, 3), verdict="unsure"))
    assert complete() == {"000002": True, "000004": False}
    do(desk, Sweep(item_id=frame(desk, 4), complete=True))
    assert complete() == {"000002": True, "000004": True}
    assert frame(desk, 0) in desk.frames(10)


def test_publishing_the_same_decisions_again_is_the_same_round(queued: Path, desk: Desk, do: Do, data: Data) -> None:
    do(desk, said(sign(desk, 0)))
    do(desk, Sweep(item_id=frame(desk, 2), complete=True))
    first = publish_review(desk, queued / "verified", data)
    assert questions.unpublished(queued / "review") == []
    assert publish_review(desk, queued / "verified", data).path == first.path
    do(desk, said(sign(desk, 0)))  # the same answer once more
    assert publish_review(desk, queued / "verified", data).path == first.path
    assert first.path.name == "round_001-ann"
    searched = "1 frame searched, 0 of them complete (in the others something is open, or nobody can tell)"
    assert str(first) == f"round_001-ann: 1 answered; {searched}; boxes in all frames: 5 as proposed"
    do(desk, said(sign(desk, 1)))
    assert publish_review(desk, queued / "verified", data).path.name == "round_002-ann"


def test_what_older_rounds_know_of_a_frame_is_shown_there_and_stays_when_it_becomes_complete(
    queued: Path, open_desk: OpenDesk, desk: Desk, do: Do, publish_all: PublishAll
) -> None:
    for number, verdict in ((0, "sign"), (1, "sign"), (2, "nothing"), (3, "unsure")):
        do(desk, said(sign(desk, number), verdict=verdict, seen=(0, 2)))
    publish_all(desk)
    boxes, signs = snapshot.read_prelabels(queued / "prelabels", list(snapshot.finished(queued / "prelabels").values()))
    frames = tables.read(queued / "frames" / "frames.parquet", "frames")
    asked = queue.build(signs, boxes, read_rounds(queued / "verified"), Queue(frame_share=1.0), frames)
    assert set(asked["sign_id"].to_pylist()) == {None, f"{PHOTOS}/{MODEL}/0000"}  # the drive's signs are answered
    tables.write(queued / "queue" / "queue.parquet", "queue", asked)
    later = open_desk()
    known = [(class_id, decided) for _, class_id, _, decided in later.signs_in(DRIVE, 2)]
    assert sorted(known, key=str) == [(CIRCLE, True), (CIRCLE, True), (None, True)]  # not what was rejected
    do(later, Sweep(item_id=item_id_of(later.questions.review_id, f"frame:{DRIVE}/000002"), complete=True))
    do(later, Sweep(item_id=item_id_of(later.questions.review_id, f"frame:{DRIVE}/000004"), complete=False))
    publish_all(later)
    verified = read_rounds(queued / "verified")
    on_frame = [row for row in verified.boxes.to_pylist() if row["frame_id"] == f"{DRIVE}/000002" and row["verdict"] != "rejected"]
    assert sorted((row["class_id"], row["verdict"], row["seen"]) for row in on_frame if row["class_id"]) == [
        (CIRCLE, "accepted", True),
        (CIRCLE, "relabelled", True),
    ]
    assert [row["verdict"] for row in on_frame if row["class_id"] is None] == ["unsure"]
    complete = {row["frame_id"] for row in verified.frames.to_pylist() if row["complete"]}
    assert complete == {f"{DRIVE}/000002"}


def test_a_known_box_that_is_asked_about_anew_is_shown_once(queued: Path, open_desk: OpenDesk, desk: Desk, do: Do) -> None:
    row = {
        "round": 1,
        "box_id": "of an older model",
        "annotator": "ann",
        "frame_id": f"{DRIVE}/000002",
        "sign_id": None,
        **{"x1": 13.0, "y1": 10.0, "x2": 33.0, "y2": 30.0},
        "class_id": SQUARE,
        "verdict": "accepted",
        "seen": False,
        "model_id": None,
        "seconds": None,
        "verified_at": datetime(2024, 1, 1, tzinfo=UTC),
    }
    elsewhere = {**row, "box_id": "elsewhere", "x1": 40.0, "x2": 48.0, "y1": 60.0, "y2": 70.0}
    verified = Verified(boxes=tables.from_rows("verified_boxes", [row, elsewhere]))
    shutil.rmtree(queued / "review")
    again = Desk(questions.begin(queued, queued / "review", verified, [], 0.0, 0), desk.taxonomy)
    assert [known["box_id"] for known in again.known_in(DRIVE, 2)] == ["elsewhere"]
    assert len(again.signs_in(DRIVE, 2)) == 3 + 1
    again.close()


def test_a_changed_mind_wins(queued: Path, desk: Desk, do: Do, publish_all: PublishAll) -> None:
    do(desk, said(sign(desk, 0)))
    publish_all(desk)
    do(desk, said(sign(desk, 0), SQUARE))
    publish_all(desk)
    assert set(read_rounds(queued / "verified").boxes["class_id"].to_pylist()) == {SQUARE}


def asked_again(queued: Path) -> set[str]:
    """The signs that a queue built now asks."""
    boxes, signs = snapshot.read_prelabels(queued / "prelabels", list(snapshot.finished(queued / "prelabels").values()))
    frames = tables.read(queued / "frames" / "frames.parquet", "frames")
    return {
        str(i) for i in queue.build(signs, boxes, read_rounds(queued / "verified"), Queue(frame_share=0.0), frames)["sign_id"].to_pylist()
    }


def test_what_is_taken_back_after_it_was_published_is_no_truth_any_more(
    queued: Path, desk: Desk, do: Do, publish_all: PublishAll, data: Data
) -> None:
    do(desk, said(sign(desk, 1), SQUARE))
    do(desk, said(sign(desk, 0), CIRCLE))
    publish_all(desk)
    assert f"{DRIVE}/{MODEL}/0000" not in asked_again(queued)
    desk.undo("ann", 1.0)
    report = publish_review(desk, queued / "verified", data)
    assert (
        str(report)
        == "round_002-ann: 1 answered; 0 frames searched, 0 of them complete; boxes in all frames: 5 as proposed, and 5 taken back"
    )
    verified = read_rounds(queued / "verified")
    now = {(row["sign_id"][-4:], row["verdict"], row["class_id"], row["seen"]) for row in verified.boxes.to_pylist()}
    assert now == {("0000", "unsure", None, False), ("0001", "accepted", SQUARE, False), ("0001", "accepted", SQUARE, True)}
    assert f"{DRIVE}/{MODEL}/0000" in asked_again(queued)
    assert publish_review(desk, queued / "verified", data).path == report.path
    desk.undo("ann", 1.0, again=True)
    publish_all(desk)
    assert {(row["round"], row["class_id"]) for row in read_rounds(queued / "verified").boxes.to_pylist()} == {(3, CIRCLE), (3, SQUARE)}


def test_all_can_be_taken_back_after_it_was_published(queued: Path, desk: Desk, do: Do, publish_all: PublishAll, data: Data) -> None:
    do(desk, said(sign(desk, 0), CIRCLE), "ann")
    do(desk, said(sign(desk, 0), SQUARE), "bob")  # a disputed box, too
    do(desk, drawn((4, True), (3, False)), "bob")
    do(desk, Sweep(item_id=frame(desk, 2), complete=True), "ann")
    publish_all(desk)
    for who in ("ann", "ann", "bob", "bob"):
        desk.undo(who, 1.0)
    report = publish_review(desk, queued / "verified", data)
    assert (report.signs, report.frames, report.taken_back) == (0, 0, 7)
    verified = read_rounds(queued / "verified")
    assert {(row["verdict"], row["class_id"], row["seen"]) for row in verified.boxes.to_pylist()} == {("unsure", None, False)}
    assert (verified.boxes.num_rows, verified.disputed.num_rows) == (7, 0)
    assert questions.unpublished(queued / "review") == []
    assert publish_review(desk, queued / "verified", data).path == report.path


def test_a_frame_that_is_no_longer_complete_is_published_as_such(queued: Path, desk: Desk, do: Do, publish_all: PublishAll) -> None:
    for number in (0, 1, 3):
        do(desk, said(sign(desk, number), seen=(2,)))
    do(desk, Sweep(item_id=frame(desk, 2), complete=True))
    do(desk, Sweep(item_id=frame(desk, 4), complete=True))
    publish_all(desk)

    def complete() -> set[str]:
        return {row["frame_id"] for row in read_rounds(queued / "verified").frames.to_pylist() if row["complete"]}

    assert complete() == {f"{DRIVE}/000002", f"{DRIVE}/000004"}
    desk.undo("ann", 1.0)  # the search of frame 4
    publish_all(desk)
    assert complete() == {f"{DRIVE}/000002"}
    do(desk, Split(item_id=sign(desk, 0), index=3, new_id=NEW))  # both parts have no answer any more
    publish_all(desk)
    assert complete() == set()
    verdicts = {
        row["box_id"][-11:]: row["verdict"] for row in read_rounds(queued / "verified").boxes.to_pylist() if "/0000/" in row["box_id"]
    }
    assert set(verdicts.values()) == {"unsure"}
    do(desk, said(sign(desk, 0), seen=(2,)))
    publish_all(desk)
    verdicts = {
        row["box_id"][-6:]: row["verdict"] for row in read_rounds(queued / "verified").boxes.to_pylist() if "/0000/" in row["box_id"]
    }
    assert verdicts == {f"00000{i}": "accepted" if i < 3 else "unsure" for i in range(5)}
    assert complete() == {f"{DRIVE}/000002"}


def test_what_others_have_said_since_is_not_taken_back_with_an_older_answer(
    queued: Path, desk: Desk, do: Do, publish_all: PublishAll, data: Data
) -> None:
    do(desk, said(sign(desk, 0), CIRCLE))
    do(desk, said(sign(desk, 2), CIRCLE, seen=(0,)))
    publish_all(desk)
    path = next((queued / "verified").glob("round_001*"))
    other = [row for row in tables.read(path / "boxes.parquet", "verified_boxes").to_pylist() if "/0000/" in row["box_id"]]
    publish_round(
        queued / "verified",
        label="bob",
        boxes=tables.from_rows("verified_boxes", [{**row, "annotator": "bob", "class_id": SQUARE} for row in other]),
        frames=tables.from_rows("verified_frames", [{"round": -1, "frame_id": f"{DRIVE}/000000", "annotator": "bob", "complete": True}]),
        units={DRIVE: "video"},
        val_share=data.val_share,
        test_share=data.test_share,
        meta={"source": "coco"},
    )
    for _ in range(2):
        desk.undo("ann", 1.0)
    report = publish_review(desk, queued / "verified", data)
    assert report.taken_back == 1  # sign 2 in frame 1: bob's complete frame 0 says nothing of it there
    verified = read_rounds(queued / "verified")
    assert {row["class_id"] for row in verified.boxes.to_pylist() if "/0000/" in row["box_id"]} == {SQUARE}
    assert [row["complete"] for row in verified.frames.to_pylist()] == [True]


def test_what_was_only_said_again_from_older_rounds_stays_when_the_search_is_taken_back(
    queued: Path, open_desk: OpenDesk, desk: Desk, do: Do, publish_all: PublishAll, data: Data
) -> None:
    for number in range(4):
        do(desk, said(sign(desk, number), seen=(0, 2)))
    publish_all(desk)
    boxes, signs = snapshot.read_prelabels(queued / "prelabels", list(snapshot.finished(queued / "prelabels").values()))
    frames = tables.read(queued / "frames" / "frames.parquet", "frames")
    asked = queue.build(signs, boxes, read_rounds(queued / "verified"), Queue(frame_share=1.0), frames)
    tables.write(queued / "queue" / "queue.parquet", "queue", asked)
    before = {row["box_id"]: row["class_id"] for row in read_rounds(queued / "verified").boxes.to_pylist()}
    later = open_desk()
    do(later, Sweep(item_id=item_id_of(later.questions.review_id, f"frame:{DRIVE}/000002"), complete=True))
    publish_all(later)
    later.undo("ann", 1.0)
    assert publish_review(later, queued / "verified", data).taken_back == 0
    verified = read_rounds(queued / "verified")
    assert {row["box_id"]: row["class_id"] for row in verified.boxes.to_pylist()} == before
    assert not any(verified.frames["complete"].to_pylist())


def test_people_who_disagree_leave_the_truth_and_return_to_the_queue(
    queued: Path, desk: Desk, do: Do, publish_all: PublishAll, data: Data
) -> None:
    do(desk, said(sign(desk, 0), CIRCLE), "ann")
    do(desk, said(sign(desk, 0), SQUARE), "bob")
    do(desk, said(sign(desk, 1), CIRCLE), "ann")
    do(desk, said(sign(desk, 1), CIRCLE), "bob")
    do(desk, drawn((4, True)), "ann")
    do(desk, said(NEW, verdict="nothing"), "bob")
    for item_id in (sign(desk, 2), sign(desk, 3)):
        do(desk, said(item_id, verdict="unsure"), "ann")
    for index in (2, 4):
        do(desk, Sweep(item_id=frame(desk, index), complete=True), "ann")
    assert len(publish_all(desk)) == 10 + 10 + 2 + 3
    verified = read_rounds(queued / "verified")
    disputed = {f"{DRIVE}/{MODEL}/0000/00000{i}" for i in range(5)} | {f"{DRIVE}/000004/added/{NEW}"}
    assert set(verified.conflicts) == disputed
    assert not disputed & set(verified.boxes["box_id"].to_pylist())
    assert not any(verified.frames["complete"].to_pylist())
    boxes, signs = snapshot.read_prelabels(queued / "prelabels", list(snapshot.finished(queued / "prelabels").values()))
    frames = tables.read(queued / "frames" / "frames.parquet", "frames")
    asked = queue.build(signs, boxes, verified, Queue(frame_share=0.0), frames).to_pylist()
    again = [row["frame_id"] for row in asked if row["reason"].startswith("people disagree")]
    assert set(again) >= {f"{DRIVE}/00000{i}" for i in (0, 2, 4)}


ANSWERS = (("sign", CIRCLE), ("sign", SQUARE), ("nothing", None), ("unsure", None))


def anything(desk: Desk, item_id: str, rng: np.random.Generator) -> list[Act]:
    """What somebody might do with a sign, whatever it is."""
    verdict, class_id = ANSWERS[int(rng.integers(len(ANSWERS)))]
    signs = [q.item_id for q in desk.questions.items.values() if q.kind != "frame"]
    x, y = (float(v) for v in rng.uniform(0, 50, 2))
    wild: list[Act] = [
        Split(item_id=item_id, index=int(rng.integers(1, 4)), new_id=f"{int(rng.integers(2**60)):016x}"),
        Merge(item_id=item_id, other_id=str(rng.choice(signs))),
        Merge(item_id=str(rng.choice(signs)), other_id=item_id),
        Fix(item_id=item_id, index=int(rng.integers(5)), xyxy=(x, y, x + 20, y + 20)),
    ]
    return [*rng.choice(np.array(wild, object), 2), said(item_id, class_id, verdict, (0, 2))]


@pytest.mark.parametrize("seed", range(8))
def test_planted_mistakes_and_repeats_never_reach_the_truth(
    queued: Path, open_desk: OpenDesk, planted: list[Planted], do: Do, publish_all: PublishAll, seed: int
) -> None:
    """Everything that is asked is decided, and split, merged and corrected in every way that is let through."""
    rng = np.random.default_rng(seed)
    desk = open_desk(planted, repeats=1.0, seed=seed)
    touched = set()
    while waiting := desk.single(1000):
        item_id = str(rng.choice(waiting))
        for act in anything(desk, item_id, rng):
            try:
                do(desk, act, str(rng.choice(["ann", "bob"])))
                touched.add(item_id)
            except ConflictError:
                continue
    for item_id in desk.frames(100):
        do(desk, Sweep(item_id=item_id, complete=True))
    kinds = {question.kind for question in desk.questions.items.values() if question.item_id in touched}
    assert kinds >= {"sign", "planted"}
    rows = publish_all(desk)
    proposed = {
        row["box_id"]: row["frame_id"]
        for path in (queued / "prelabels" / "boxes").iterdir()
        for row in tables.read(path, "prelabel_boxes").to_pylist()
    }
    assert {(row["box_id"], row["frame_id"]) for row in rows} <= set(proposed.items())  # nothing was added here
    assert not [row for row in rows if "planted" in row["box_id"] + row["sign_id"]]
    answers = {(g.answer.verdict, g.answer.class_id, who) for i in desk.real() for who, g in desk.state.item(i).answers.items()}
    words = {"rejected": "nothing", "unsure": "unsure"}
    assert {(words.get(r["verdict"], "sign"), r["class_id"], r["annotator"]) for r in rows} <= answers
    verified = read_rounds(queued / "verified")
    assert set(verified.boxes["box_id"].to_pylist()) | set(verified.conflicts) <= set(proposed)


def test_the_answers_to_planted_mistakes_and_repeats_alone_are_no_round(
    queued: Path, open_desk: OpenDesk, planted: list[Planted], do: Do, publish_all: PublishAll
) -> None:
    desk = open_desk(planted, repeats=1.0)
    for question in list(desk.questions.items.values()):
        if question.kind in ("planted", "repeat"):
            do(desk, said(question.item_id))
    with pytest.raises(DataError, match="nothing is decided in this review yet"):
        publish_all(desk)
    assert not (queued / "verified").exists()
    do(desk, said(sign(desk, 0)))
    do(desk, said(item_id_of(desk.questions.review_id, f"repeat:{DRIVE}/{MODEL}/0000"), SQUARE))
    assert {row["class_id"] for row in publish_all(desk)} == {CIRCLE}
