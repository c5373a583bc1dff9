"""What the page is told: plain numbers and plain text, whatever the names of recordings and classes are."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from signloop.core import tables
from signloop.core.rounds import Verified
from signloop.core.taxonomy import Taxonomy
from signloop.demo.signs import CLASSES
from signloop.review import questions, views
from signloop.review.desk import Desk
from signloop.review.log import Act, Add, Answer, Decide, Entry, Fix, Merge, Placed, Split, Sweep
from signloop.review.pictures import MissingPictureError, Pictures
from signloop.review.plant import Planted
from signloop.review.questions import item_id_of, mark_published

DRIVE, PHOTOS, MODEL = "d" * 16, "f" * 16, "mtest"
CIRCLE, SQUARE = 3, 8
NEW = "c" * 16
BOX = (5.0, 5.0, 25.0, 25.0)
HOSTILE = "</script><img src=x onerror=alert(1)>\u202e\u0000'\"&"
OpenDesk = Callable[..., Desk]
Do = Callable[..., Entry]


def sign(desk: Desk, number: int, recording_id: str = DRIVE) -> str:
    return item_id_of(desk.questions.review_id, f"{recording_id}/{MODEL}/{number:04d}")


def frame(desk: Desk, index: int, recording_id: str = DRIVE) -> str:
    return item_id_of(desk.questions.review_id, f"frame:{recording_id}/{index:06d}")


def said(*item_ids: str, class_id: int | None = CIRCLE, verdict: str = "sign") -> Decide:
    answers = [{"item_id": i, "verdict": verdict, "class_id": class_id if verdict == "sign" else None} for i in item_ids]
    return Decide(view="sheet", answers=tuple(Answer.model_validate(a) for a in answers))


def drawn(index: int) -> Add:
    return Add(item_id=NEW, recording_id=DRIVE, class_id=SQUARE, boxes=(Placed(index=index, xyxy=BOX, seen=True),))


@pytest.fixture
def pictures(queued: Path, desk: Desk) -> Pictures:
    return Pictures(desk.questions, queued / "frames", queued / "recordings")


def test_a_card_tells_a_sign_in_short(desk: Desk, pictures: Pictures, do: Do) -> None:
    item_id = sign(desk, 1)
    card = views.card(desk, pictures, item_id)
    assert (card.item_id, card.version, card.recording, card.recording_id) == (item_id, 0, "drive one.mp4", DRIVE)
    assert (card.class_id, round(card.confidence, 6), card.reason) == (SQUARE, 0.6, "the models are 60% sure of the class")
    assert (card.index, card.time_s, card.is_odd, card.answers) == (0, 0.0, False, [])
    do(desk, said(item_id, verdict="odd"))
    do(desk, said(item_id), "bob")
    card = views.card(desk, pictures, item_id)
    assert (card.version, card.is_odd) == (2, True)
    assert [(g.annotator, g.verdict, g.class_id) for g in card.answers] == [("ann", "odd", None), ("bob", "sign", CIRCLE)]


def test_a_sign_without_a_picture_has_none(queued: Path, desk: Desk, pictures: Pictures) -> None:
    for path in (queued / "frames" / "images").rglob("*.jpg"):
        path.unlink()
    assert views.card(desk, pictures, sign(desk, 1)).index is None


def test_a_sign_in_detail(desk: Desk, pictures: Pictures, do: Do) -> None:
    do(desk, Fix(item_id=sign(desk, 1), index=4, xyxy=(50.0, 16.0, 70.0, 36.0)))
    detail = views.detail(desk, pictures, sign(desk, 1))
    assert (detail.width, detail.height, detail.merged_into) == (100, 80, None)
    assert [(box.index, box.time_s, box.stored, box.moved) for box in detail.boxes] == [(i, i / 10, i % 2 == 0, True) for i in range(5)]
    assert detail.boxes[2].xyxy == (50, 14, 70, 34)
    assert detail.boxes[4].xyxy == (50, 16, 70, 36)
    assert detail.card.version == 1


def test_planted_and_real_signs_are_told_alike(open_desk: OpenDesk, queued: Path, planted: list[Planted]) -> None:
    desk = open_desk(planted, repeats=1.0)
    pictures = Pictures(desk.questions, queued / "frames", queued / "recordings")
    for item_id in desk.single(100):
        said_of = views.detail(desk, pictures, item_id).model_dump_json()
        assert not any(word in said_of.lower() for word in ("plant", "repeat", MODEL))


def test_the_five_likeliest_classes(queued: Path, taxonomy: Taxonomy) -> None:
    path = next((queued / "prelabels" / "signs").glob(f"{PHOTOS}*"))
    rows = [{**r, "top_ids": list(range(8)), "top_confidences": [0.3] * 8} for r in tables.read(path, "prelabel_signs").to_pylist()]
    tables.write(path, "prelabel_signs", tables.from_rows("prelabel_signs", rows))
    desk = Desk(questions.begin(queued, queued / "review", Verified(), [], 0.0, 0), taxonomy)
    detail = views.detail(desk, Pictures(desk.questions, queued / "frames", queued / "recordings"), sign(desk, 0, PHOTOS))
    desk.close()
    assert [likely.class_id for likely in detail.classes] == [0, 1, 2, 3, 4]


def test_a_card_tells_the_few_classes_that_are_likeliest_after_the_proposed_one(queued: Path, taxonomy: Taxonomy) -> None:
    path = next((queued / "prelabels" / "signs").glob(f"{DRIVE}*"))
    sure = {"top_ids": [SQUARE, CIRCLE, 9, 4, 5, 6], "top_confidences": [0.5, 0.20004, 0.1, 0.06, 0.05, 0.02]}
    rows = [{**r, **sure} for r in tables.read(path, "prelabel_signs").to_pylist()]
    rows[0]["top_confidences"] = [0.04, 0.9, 0.03, 0.01, 0.01, 0.01]
    tables.write(path, "prelabel_signs", tables.from_rows("prelabel_signs", rows))
    desk = Desk(questions.begin(queued, queued / "review", Verified(), [], 0.0, 0), taxonomy)
    pictures = Pictures(desk.questions, queued / "frames", queued / "recordings")
    others = [[(o.class_id, o.confidence) for o in views.card(desk, pictures, sign(desk, n)).others] for n in (0, 1, 3)]
    desk.close()
    assert others == [[], [(CIRCLE, 0.2), (9, 0.1), (4, 0.06)], [(SQUARE, 0.5), (CIRCLE, 0.2), (9, 0.1)]]


@pytest.mark.parametrize(
    ("contrary", "shown", "later"), [(None, None, None), (0, 2, None), (1, 2, None), (3, 2, 4), (4, 4, 4), (9, None, None)]
)
def test_a_card_tells_where_the_models_see_something_else(
    queued: Path, taxonomy: Taxonomy, contrary: int | None, shown: int | None, later: int | None
) -> None:
    path = next((queued / "prelabels" / "signs").glob(f"{DRIVE}*"))
    rows = [{**row, "contrary_index": contrary} for row in tables.read(path, "prelabel_signs").to_pylist()]
    tables.write(path, "prelabel_signs", tables.from_rows("prelabel_signs", rows))
    desk = Desk(questions.begin(queued, queued / "review", Verified(), [], 0.0, 0), taxonomy)
    pictures = Pictures(desk.questions, queued / "frames", queued / "recordings")
    card = views.card(desk, pictures, sign(desk, 1))  # in frames 0 to 4, of which 0, 2 and 4 are stored
    desk.act("ann", 1.0, {sign(desk, 1): 0}, Split(item_id=sign(desk, 1), index=2, new_id=NEW))
    parts = [views.card(desk, pictures, item_id) for item_id in (sign(desk, 1), NEW)]
    desk.close()
    assert (card.index, card.contrary) == (0, shown)  # it is shown by a stored frame near it, but not by the card's own
    assert [(part.index, part.contrary) for part in parts] == [(0, None), (2, later)]


def test_what_people_made_is_told_too(desk: Desk, pictures: Pictures, do: Do) -> None:
    do(desk, drawn(1))
    card = views.card(desk, pictures, NEW)
    assert (card.class_id, card.reason, card.index, card.time_s, card.others) == (SQUARE, "added by a person", None, None, [])
    assert views.detail(desk, pictures, NEW).classes == []
    do(desk, Merge(item_id=sign(desk, 1), other_id=NEW))
    assert views.detail(desk, pictures, NEW).merged_into == sign(desk, 1)


def test_a_frame_with_the_signs_in_it(desk: Desk, pictures: Pictures, do: Do) -> None:
    do(desk, said(sign(desk, 1)))
    do(desk, drawn(2))
    detail = views.frame_detail(desk, pictures, frame(desk, 2))
    assert (detail.recording, detail.index, detail.time_s, detail.width, detail.height) == ("drive one.mp4", 2, 0.2, 100, 80)
    assert (detail.version, detail.has_picture) == (0, True)
    known = {s.item_id: (s.class_id, s.xyxy, s.decided) for s in detail.signs}
    assert known == {
        sign(desk, 0): (CIRCLE, (12, 10, 32, 30), False),
        sign(desk, 1): (CIRCLE, (50, 10, 70, 30), True),
        sign(desk, 3): (None, (80, 60, 95, 75), False),
        NEW: (SQUARE, BOX, True),
    }
    assert all(s.is_asked for s in detail.signs)
    assert detail.searched == []
    do(desk, Sweep(item_id=frame(desk, 2), complete=True))
    do(desk, Sweep(item_id=frame(desk, 2), complete=False), "bob")
    detail = views.frame_detail(desk, pictures, frame(desk, 2))
    assert detail.version == 4
    assert [(s.annotator, s.complete) for s in detail.searched] == [("ann", True), ("bob", False)]


def test_a_still_has_no_frames_around(desk: Desk, pictures: Pictures) -> None:
    alone = {i: views.frame_detail(desk, pictures, frame(desk, i, recording_id)).is_alone for recording_id, i in ((DRIVE, 2), (PHOTOS, 0))}
    assert alone == {2: False, 0: True}


def test_what_only_an_older_round_knows_is_not_asked(desk: Desk, pictures: Pictures) -> None:
    corners = {"x1": 40.0, "y1": 60.0, "x2": 48.0, "y2": 70.0}
    desk.questions.known[f"{DRIVE}/000002"] = [{"box_id": "older", "class_id": SQUARE, **corners}]
    signs = views.frame_detail(desk, pictures, frame(desk, 2)).signs
    assert [(s.item_id, s.decided) for s in signs if not s.is_asked] == [("older", True)]


def test_a_box_is_followed_over_the_stored_frames(desk: Desk, pictures: Pictures) -> None:
    alone = views.followed(desk, pictures, PHOTOS, 0, BOX)
    assert [(box.index, box.xyxy, box.time_s) for box in alone] == [(0, BOX, 0.0)]
    assert views.followed(desk, pictures, DRIVE, 2, BOX)[0].index in (0, 2)
    with pytest.raises(MissingPictureError):
        views.followed(desk, pictures, DRIVE, 1, BOX)


def test_progress_is_told_as_it_is_counted(desk: Desk, do: Do) -> None:
    do(desk, said(sign(desk, 0), sign(desk, 1)), seconds=70.0)
    now = views.progress(desk)
    assert now.model_dump() == asdict(desk.progress())
    assert (now.signs_open, now.frames_open, now.seconds) == (3, 5, 70.0)


def test_how_well_somebody_looks_is_told_in_numbers(open_desk: OpenDesk, planted: list[Planted], do: Do) -> None:
    desk = open_desk(planted, repeats=1.0)
    none = views.quality(desk)
    assert (none.decided, none.signs_per_minute, none.catch_interval, none.mistakes_left, none.mistakes_left_bounds) == (0, *[None] * 4)
    do(desk, said(sign(desk, 1)), seconds=3.0)
    for number, class_id in ((0, SQUARE), (1, SQUARE)):  # the first as proposed, the second not
        do(desk, said(item_id_of(desk.questions.review_id, f"planted/{number:04d}"), class_id=class_id), seconds=1.0)
    do(desk, said(item_id_of(desk.questions.review_id, f"repeat:{DRIVE}/{MODEL}/0001")), seconds=1.0)
    found = views.quality(desk)
    assert (found.decided, found.corrected, found.caught, found.planted, found.agreed, found.repeats) == (1, 1, 1, 2, 1, 1)
    assert (found.seconds_per_sign, found.signs_per_minute) == (6.0, 10.0)
    assert list(found.catch_interval or ()) == pytest.approx([0.0126, 0.9874], abs=1e-4)
    assert list(found.agree_interval or ()) == pytest.approx([0.025, 1.0])
    assert found.mistakes_left == 0.0  # the only sign was corrected: none was accepted wrongly


@pytest.mark.parametrize("is_aside_first", [False, True])
def test_a_planted_mistake_that_is_named_on_its_sheet_is_caught_as_one_that_is_put_aside_and_named_then(
    open_desk: OpenDesk, planted: list[Planted], do: Do, is_aside_first: bool
) -> None:
    desk = open_desk(planted)
    wrong = item_id_of(desk.questions.review_id, "planted/0000")  # a circle that is called a square
    if is_aside_first:
        do(desk, Decide(view="sheet", answers=(*said(sign(desk, 1), class_id=SQUARE).answers, *said(wrong, verdict="odd").answers)))
        do(desk, Decide(view="single", answers=said(wrong).answers))
    else:
        do(desk, Decide(view="sheet", answers=(*said(sign(desk, 1), class_id=SQUARE).answers, *said(wrong).answers)))
    found = views.quality(desk)
    assert (found.decided, found.corrected, found.caught, found.planted) == (1, 0, 1, 1)


def test_what_is_published_is_told(desk: Desk, do: Do) -> None:
    do(desk, said(sign(desk, 1)))
    assert views.quality(desk).published == 0
    mark_published(desk.questions.folder, 1)
    do(desk, said(sign(desk, 2)))
    assert views.quality(desk).published == 1


def test_the_history_says_what_was_done_in_words(desk: Desk, do: Do) -> None:
    acts: list[tuple[Act, str]] = [
        (said(sign(desk, 0), sign(desk, 1)), "2 x circle"),
        (said(sign(desk, 2), verdict="nothing"), "not a shape"),
        (said(sign(desk, 2), verdict="unsure"), "cannot tell"),
        (said(sign(desk, 2), verdict="odd"), "put aside"),
        (Fix(item_id=sign(desk, 0), index=0, xyxy=BOX), "box corrected"),
        (Split(item_id=sign(desk, 0), index=2, new_id=NEW), "split in two"),
        (Merge(item_id=sign(desk, 0), other_id=NEW), "two merged"),
        (Sweep(item_id=frame(desk, 0), complete=True), "frame searched"),
    ]
    others: list[tuple[Act, str]] = [
        (Add(item_id="a" * 16, recording_id=DRIVE, class_id=SQUARE, boxes=(Placed(index=0, xyxy=BOX, seen=True),)), "square added"),
        (
            Add(item_id="b" * 16, recording_id=DRIVE, class_id=SQUARE, boxes=tuple(Placed(index=i, xyxy=BOX, seen=True) for i in (0, 2))),
            "square added in 2 frames",
        ),
        (
            Add(item_id="d" * 16, recording_id=DRIVE, class_id=None, boxes=(Placed(index=0, xyxy=BOX, seen=True),)),
            "shape added: cannot tell which",
        ),
        (Sweep(item_id=frame(desk, 2), complete=False), "frame searched: cannot tell"),
    ]
    for act, _ in acts:
        do(desk, act)
    desk.undo("ann", 1.0)
    rows = views.history(desk, None, 100)
    assert [row.text for row in rows] == ["took back number 8", *[text for _, text in reversed(acts)]]
    assert [row.number for row in rows] == list(range(9, 0, -1))
    assert [row.number for row in rows if row.is_undone] == [8]
    assert rows[2].items == [sign(desk, 0), NEW]
    assert rows[-1].items == [sign(desk, 0), sign(desk, 1)]
    assert (rows[0].act, rows[0].annotator, rows[0].items) == ("undo", "ann", [])
    assert [row.number for row in views.history(desk, 4, 2)] == [3, 2]
    assert views.history(desk, 1, 5) == []
    for act, text in others:
        do(desk, act)
        assert views.history(desk, None, 1)[0].text == text


def test_hostile_names_are_plain_text(queued: Path) -> None:
    path = queued / "frames" / "recordings.parquet"
    rows = [{**row, "name": HOSTILE} for row in tables.read(path, "recordings").to_pylist()]
    tables.write(path, "recordings", tables.from_rows("recordings", rows))
    taxonomy = Taxonomy.model_validate(
        {"name": HOSTILE, "object_name": HOSTILE, "classes": ({"id": 3, "name": HOSTILE, "group": HOSTILE},)}
    )
    desk = Desk(questions.begin(queued, queued / "review", Verified(), [], 0.0, 0), taxonomy)
    pictures = Pictures(desk.questions, queued / "frames", queued / "recordings")
    desk.act(HOSTILE, 1.0, {}, said(sign(desk, 0)))
    card, row = views.card(desk, pictures, sign(desk, 0)), views.history(desk, None, 1)[0]
    desk.close()
    assert (card.recording, card.answers[0].annotator, row.annotator, row.text) == (HOSTILE,) * 4
    assert json.loads(card.model_dump_json())["recording"] == HOSTILE


def test_only_what_the_demo_draws_has_a_face() -> None:
    class_id, about = next(iter(CLASSES.items()))
    assert views.has_face(class_id, about[0])
    assert not views.has_face(class_id, "another name")
    assert not views.has_face(-1, about[0])
