"""What people do on the page: who comes second is told, nothing is overwritten, and what is left is counted right."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signloop.core import tables
from signloop.core.errors import DataError
from signloop.core.rounds import Verified
from signloop.core.taxonomy import SignClass, Taxonomy
from signloop.measure.effort import Effort, Rate
from signloop.review import questions
from signloop.review.desk import Desk, Progress
from signloop.review.log import Act, Add, Answer, Decide, Drop, Entry, Fix, Merge, Placed, Split, Sweep, Undo, read
from signloop.review.plant import Planted
from signloop.review.questions import item_id_of
from signloop.review.state import ConflictError, Span

DRIVE, PHOTOS, MODEL = "d" * 16, "f" * 16, "mtest"
CIRCLE, SQUARE = 3, 8
NEW, NEWER = "c" * 16, "e" * 16
BOX = (5.0, 5.0, 25.0, 25.0)
OpenDesk = Callable[..., Desk]
Do = Callable[..., Entry]


def sign(desk: Desk, number: int, recording_id: str = DRIVE) -> str:
    return item_id_of(desk.questions.review_id, f"{recording_id}/{MODEL}/{number:04d}")


def frame(desk: Desk, index: int, recording_id: str = DRIVE) -> str:
    return item_id_of(desk.questions.review_id, f"frame:{recording_id}/{index:06d}")


def said(*item_ids: str, class_id: int | None = CIRCLE, verdict: str = "sign", view: Literal["sheet", "single"] = "sheet") -> Decide:
    answers = [{"item_id": i, "verdict": verdict, "class_id": class_id if verdict == "sign" else None} for i in item_ids]
    return Decide(view=view, answers=tuple(Answer.model_validate(a) for a in answers))


def drawn(*boxes: tuple[int, tuple[float, float, float, float]], item_id: str = NEW, recording_id: str = DRIVE) -> Add:
    placed = tuple(Placed(index=i, xyxy=xyxy, seen=True) for i, xyxy in boxes)
    return Add(item_id=item_id, recording_id=recording_id, class_id=SQUARE, boxes=placed)


def looks(desk: Desk) -> tuple[object, ...]:
    """All that a page would show."""
    sheets = [(row, desk.sheet(row[0], 100)) for row in desk.sheets()]
    return desk.progress(), sheets, desk.single(100), desk.frames(100), desk.effort(), [desk.state.version(i) for i in desk.single(100)]


def test_who_comes_second_is_told_and_changes_nothing(desk: Desk) -> None:
    item_id = sign(desk, 1)
    desk.act("ann", 2.0, {item_id: 0}, said(item_id))
    before, stored = looks(desk), read(desk.questions.folder / "log.jsonl")
    for based_on, message in (({item_id: 0}, "expected 0; found 1"), ({}, "expected 0; found 1"), ({item_id: 7}, "expected 7; found 1")):
        with pytest.raises(ConflictError, match=rf"somebody has decided about this meanwhile \({item_id}\); {message}"):
            desk.act("bob", 2.0, based_on, said(item_id, class_id=SQUARE))
    assert looks(desk) == before
    assert read(desk.questions.folder / "log.jsonl") == stored
    desk.act("bob", 2.0, {item_id: 1}, said(item_id, class_id=SQUARE))
    assert [given.answer.class_id for given in desk.answers(item_id)] == [CIRCLE, SQUARE]


def test_a_sheet_of_which_one_sign_was_decided_meanwhile_is_refused_as_a_whole(desk: Desk, do: Do) -> None:
    one, other = sign(desk, 0), sign(desk, 2)
    do(desk, said(other, verdict="nothing"), "bob")
    with pytest.raises(ConflictError, match=other):
        desk.act("ann", 2.0, {one: 0, other: 0}, said(one, other))
    assert desk.is_open(one)


@pytest.mark.parametrize("what", ["fix", "split", "merge", "sweep", "undone"])
def test_every_act_is_refused_on_what_is_another_by_now(desk: Desk, do: Do, what: str) -> None:
    item_id, other = sign(desk, 0), sign(desk, 1)
    do(desk, Fix(item_id=item_id, index=0, xyxy=BOX), "bob")
    do(desk, Sweep(item_id=frame(desk, 0), complete=True), "bob")
    old = {item_id: 0, frame(desk, 0): 0}
    if what == "undone":  # the answer is still number 3, but the box that was seen with it is gone
        do(desk, said(item_id), "bob")
        do(desk, Undo(number=1), "bob")
        old = {item_id: 3}
    acts: dict[str, Act] = {
        "fix": Fix(item_id=item_id, index=0, xyxy=BOX),
        "split": Split(item_id=item_id, index=2, new_id=NEW),
        "merge": Merge(item_id=other, other_id=item_id),
        "sweep": Sweep(item_id=frame(desk, 0), complete=False),
        "undone": said(item_id),
    }
    before = looks(desk)
    with pytest.raises(ConflictError, match="somebody has decided about this meanwhile"):
        desk.act("ann", 1.0, old, acts[what])
    assert looks(desk) == before


def test_of_many_at_once_one_is_first(desk: Desk) -> None:
    item_id, won, start = sign(desk, 0), list[str](), threading.Barrier(8)

    def try_it(who: str) -> None:
        start.wait()
        try:
            desk.act(who, 1.0, {item_id: 0}, said(item_id))
        except ConflictError:
            return
        won.append(who)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(try_it, [f"person {n}" for n in range(8)]))
    assert len(won) == 1
    assert [entry.annotator for entry in desk.entries] == won
    assert read(desk.questions.folder / "log.jsonl") == list(desk.entries)


def test_progress_is_counted(open_desk: OpenDesk, planted: list[Planted], do: Do) -> None:
    desk = open_desk(planted)
    assert desk.progress() == Progress(signs=7, signs_open=7, waiting=7, frames=5, frames_open=5, odd=0, seconds=0.0, seconds_left=None)
    do(desk, said(sign(desk, 0), sign(desk, 1)), seconds=3.0)
    do(desk, said(sign(desk, 2), verdict="odd"), seconds=1.0)
    do(desk, Sweep(item_id=frame(desk, 2), complete=False), seconds=4.0)
    assert desk.progress() == Progress(signs=7, signs_open=5, waiting=4, frames=5, frames_open=4, odd=1, seconds=8.0, seconds_left=None)
    do(desk, said(sign(desk, 2), verdict="nothing"))
    do(desk, Split(item_id=sign(desk, 0), index=2, new_id=NEW))
    assert desk.progress() == Progress(signs=8, signs_open=6, waiting=4, frames=5, frames_open=4, odd=0, seconds=12.0, seconds_left=None)
    do(desk, Merge(item_id=sign(desk, 0), other_id=NEW))
    do(desk, drawn((4, BOX), item_id=NEWER))
    assert desk.progress() == Progress(signs=8, signs_open=5, waiting=4, frames=5, frames_open=4, odd=0, seconds=16.0, seconds_left=None)


def test_the_total_is_the_same_from_the_start_and_what_is_done_never_less(open_desk: OpenDesk, planted: list[Planted], do: Do) -> None:
    desk = open_desk(planted, repeats=1.0)
    assert (desk.progress().signs, desk.progress().signs_open) == (12, 12)  # 5 signs, each again, and 2 planted ones
    left = []
    while waiting := desk.single(1):
        do(desk, said(*waiting))
        assert desk.progress().signs == 12
        left.append(desk.progress().signs_open)
    assert left == list(range(11, -1, -1))


@pytest.mark.parametrize("is_answered", [False, True])
def test_a_repeat_that_is_not_asked_any_more_is_not_counted(open_desk: OpenDesk, do: Do, is_answered: bool) -> None:
    desk = open_desk(repeats=1.0)
    if is_answered:
        do(desk, said(sign(desk, 0)))
    do(desk, Split(item_id=sign(desk, 0), index=2, new_id=NEW))
    assert (desk.progress().signs, desk.progress().signs_open) == (10, 10)  # both parts, and four that are each asked again
    desk.undo("ann", 1.0)
    assert (desk.progress().signs, desk.progress().signs_open) == (10, 9 if is_answered else 10)


def test_time_left_is_told_from_what_each_kind_of_work_took(desk: Desk, do: Do) -> None:
    do(desk, said(sign(desk, 0), sign(desk, 1)), seconds=62.0)
    assert desk.progress().seconds_left == pytest.approx(3 * (62 + 30) / 32 + 5 * 10)
    do(desk, said(sign(desk, 2), verdict="odd"), seconds=1.0)
    do(desk, Fix(item_id=sign(desk, 0), index=0, xyxy=BOX), seconds=5.0)
    do(desk, said(sign(desk, 3), view="single"), seconds=5.0)
    do(desk, drawn((4, BOX), item_id=NEW), seconds=20.0)
    do(desk, Sweep(item_id=frame(desk, 2), complete=True), seconds=10.0)
    sheet, single, a_frame = (63 + 30) / 33, (10 + 20) / 6, (30 + 30) / 4
    assert desk.progress().seconds_left == pytest.approx(sheet + single + 4 * a_frame)
    for number in range(6):
        do(desk, Undo(number=6 - number), seconds=0.0)
    assert desk.progress().seconds_left == pytest.approx(5 * sheet + 5 * a_frame)  # what was taken back took its time too


def test_one_slow_act_hardly_moves_the_time_left(desk: Desk, do: Do) -> None:
    do(desk, Sweep(item_id=frame(desk, 0), complete=True), seconds=60.0)
    before = desk.progress().seconds_left
    do(desk, said(sign(desk, 0)), seconds=30.0)
    after = desk.progress().seconds_left
    assert before is not None
    assert after is not None
    assert abs(after - before) < 10


def test_no_act_takes_longer_than_an_hour(desk: Desk, do: Do) -> None:
    do(desk, said(sign(desk, 0)), seconds=86400.0)
    assert desk.progress().seconds == 3600.0


def test_a_sheet_has_the_open_signs_of_a_class_the_most_doubtful_first(open_desk: OpenDesk, planted: list[Planted], do: Do) -> None:
    desk = open_desk(planted)
    wrong_square, no_circle = (item_id_of(desk.questions.review_id, f"planted/{n:04d}") for n in (0, 1))
    assert desk.sheet(str(CIRCLE), 10) == [sign(desk, 2), no_circle, sign(desk, 0)]  # 0.3, 0.4, 0.9 sure
    assert desk.sheet(str(SQUARE), 10) == [sign(desk, 1), wrong_square, sign(desk, 0, PHOTOS)]  # 0.6, 0.7, 0.99
    assert desk.sheet("none", 10) == [sign(desk, 3)]
    assert desk.sheet("99", 10) == []
    assert desk.sheet(str(CIRCLE), 1) == [sign(desk, 2)]
    assert desk.sheet(str(CIRCLE), 5, after=sign(desk, 2)) == [no_circle, sign(desk, 0)]
    assert list(desk.upcoming()) == [i for name in (str(CIRCLE), str(SQUARE), "none") for i in desk.sheet(name, 10)]
    assert desk.sheets() == [(str(CIRCLE), 3, 0, 3), (str(SQUARE), 3, 0, 3), ("none", 1, 0, 1)]
    do(desk, said(no_circle, verdict="nothing"))
    do(desk, said(sign(desk, 2), verdict="odd"))
    assert desk.sheet(str(CIRCLE), 10) == [sign(desk, 0)]
    assert desk.sheet(str(CIRCLE), 10, after=no_circle) == [sign(desk, 0)]  # though it is decided by now
    assert desk.sheets() == [(str(SQUARE), 3, 0, 3), (str(CIRCLE), 2, 1, 3), ("none", 1, 0, 1)]


@pytest.mark.parametrize("classes", [3, 2])
def test_classes_with_few_signs_share_a_sheet_if_there_are_several(queued: Path, classes: int) -> None:
    path = queued / "queue" / "queue.parquet"
    before = tables.read(path, "queue").to_pylist()
    like, frames = next(row for row in before if row["kind"] == "sign"), [row for row in before if row["kind"] != "sign"]
    asked = [*(c for c in range(classes) for _ in range(4)), *[3] * 5]
    rows = [{**like, "queue_id": f"q{n:02d}", "class_id": c, "confidence": 0.9 - n / 100, "rank": n + 1} for n, c in enumerate(asked)]
    rows += [{**row, "rank": len(rows) + n} for n, row in enumerate(frames, start=1)]
    tables.write(path, "queue", tables.from_rows("queue", rows))
    several = Taxonomy(name="t", object_name="thing", classes=tuple(SignClass(id=c, name=f"c{c}", group="g") for c in range(4)))
    desk = Desk(questions.begin(queued, queued / "review", Verified(), [], 0.0, 0), several)
    sheets, order = desk.sheets(), [desk.question(i).class_id for i in desk.sheet("mixed", 100)]
    sure = [desk.question(i).confidence for i in desk.sheet("mixed", 100)]
    desk.close()
    if classes == 3:
        assert sheets == [("3", 5, 0, 5), ("mixed", 12, 0, 12)]
        assert order == [0] * 4 + [1] * 4 + [2] * 4
        assert [min(sure[k : k + 4]) for k in (0, 4, 8)] == [sure[0], sure[4], sure[8]]
    else:
        assert sheets == [("3", 5, 0, 5), ("0", 4, 0, 4), ("1", 4, 0, 4)]


def test_one_by_one_the_odd_come_first_and_then_the_queue(desk: Desk, do: Do) -> None:
    queue = [*(sign(desk, n) for n in (3, 2, 1, 0)), sign(desk, 0, PHOTOS)]
    assert desk.single(10) == queue
    assert desk.single(2) == queue[:2]
    assert desk.single(3, after=queue[3]) == [queue[4], queue[0], queue[1]]
    do(desk, said(queue[3], verdict="odd"))
    assert desk.single(10) == [queue[3], *queue[:3], queue[4]]
    do(desk, said(queue[0]))
    assert desk.single(10, after=queue[0]) == [queue[3], *queue[1:3], queue[4]]
    do(desk, Split(item_id=queue[2], index=2, new_id=NEW))
    assert desk.single(10) == [queue[2], queue[3], NEW, queue[1], queue[4]]  # its parts are on no sheet any more


def test_what_a_person_called_a_part_is_proposed_for_the_whole(desk: Desk, do: Do) -> None:
    one, other = sign(desk, 0), sign(desk, 1)
    do(desk, Merge(item_id=one, other_id=other))
    assert desk.question(one).class_id == CIRCLE  # of which the models are surer
    desk.undo("ann", 1.0)
    do(desk, said(other, class_id=9))
    do(desk, said(one, verdict="unsure"))
    do(desk, Merge(item_id=one, other_id=other))
    asked = desk.question(one)
    assert (asked.class_id, asked.confidence, asked.reason, desk.is_open(one)) == (9, 1.0, "a part of it was called this", True)
    do(desk, Split(item_id=one, index=2, new_id=NEW))
    do(desk, said(NEW, class_id=SQUARE))
    do(desk, Merge(item_id=one, other_id=NEW))
    assert desk.question(one).class_id == SQUARE  # what was said last


def test_frames_are_searched_in_the_order_of_the_queue(desk: Desk, do: Do) -> None:
    waiting = desk.frames(10)
    assert len(waiting) == 5
    do(desk, Sweep(item_id=waiting[0], complete=True))
    assert desk.frames(2) == waiting[1:3]
    desk.undo("ann", 1.0)
    assert desk.frames(10) == waiting


def test_signs_in_a_frame_without_those_that_are_nothing(desk: Desk, do: Do) -> None:
    def known(index: int) -> list[tuple[str, int | None, bool]]:
        return [(item_id, class_id, decided) for item_id, class_id, _, decided in desk.signs_in(DRIVE, index)]

    assert sorted(known(2)) == sorted([(sign(desk, 0), CIRCLE, False), (sign(desk, 1), SQUARE, False), (sign(desk, 3), None, False)])
    do(desk, said(sign(desk, 0), verdict="nothing"))
    do(desk, said(sign(desk, 1)))
    do(desk, said(sign(desk, 1), class_id=SQUARE), "bob")
    do(desk, said(sign(desk, 1), class_id=9))  # newer than bob's
    do(desk, drawn((2, BOX)))
    assert sorted(known(2)) == sorted([(sign(desk, 1), 9, True), (sign(desk, 3), None, False), (NEW, SQUARE, True)])
    do(desk, Merge(item_id=sign(desk, 1), other_id=NEW))
    assert sorted(known(2)) == sorted([(sign(desk, 1), SQUARE, False), (sign(desk, 3), None, False)])
    assert desk.signs_in(PHOTOS, 1) == []


def test_labels_come_from_asked_split_and_added_signs_only(open_desk: OpenDesk, planted: list[Planted], do: Do) -> None:
    desk = open_desk(planted, repeats=1.0)
    do(desk, Split(item_id=sign(desk, 0), index=2, new_id=NEW))
    do(desk, drawn((2, BOX), item_id=NEWER))
    assert sorted(desk.real()) == sorted([*(sign(desk, n) for n in range(4)), sign(desk, 0, PHOTOS), NEW, NEWER])


@pytest.mark.parametrize("kind", ["planted", "repeat"])
def test_what_no_label_may_come_from_is_not_mixed_with_what_they_come_from(
    open_desk: OpenDesk, planted: list[Planted], do: Do, kind: str
) -> None:
    desk = open_desk(planted, repeats=1.0)
    do(desk, said(sign(desk, 0)))
    own = next(q.item_id for q in desk.questions.items.values() if q.kind == kind and q.recording_id == DRIVE)
    message = r"this sign can be neither split nor merged .*Decide it as it is"
    for act in (Split(item_id=own, index=2, new_id=NEW), Merge(item_id=sign(desk, 1), other_id=own), Merge(item_id=own, other_id=own)):
        with pytest.raises(ConflictError, match=message):
            do(desk, act)
    assert len(desk.entries) == 1


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda desk: said(sign(desk, 0), class_id=77), r"there is no such class; expected an id of shapes; found \[77\]"),
        (lambda desk: said(frame(desk, 0)), "a frame is searched, and only a sign is decided"),
        (lambda desk: Sweep(item_id=sign(desk, 0), complete=True), "a frame is searched, and only a sign is decided"),
        (lambda desk: Sweep(item_id=NEW, complete=True), "a frame is searched, and only a sign is decided"),
        (lambda desk: Merge(item_id=sign(desk, 0), other_id=sign(desk, 0, PHOTOS)), "signs of two recordings cannot be one"),
        (lambda desk: Merge(item_id=sign(desk, 0), other_id=NEW), "there is no such sign in this review"),
        (lambda desk: Fix(item_id=sign(desk, 3), index=0, xyxy=BOX), r"the sign has no box in this frame .*found 0"),
        (lambda desk: Fix(item_id=sign(desk, 0), index=0, xyxy=(100.0, 5.0, 130.0, 20.0)), "lies outside of its frame"),
        (lambda desk: Fix(item_id=sign(desk, 0), index=0, xyxy=(5.0, 5.0, 5.5, 20.0)), "smaller than a pixel"),
        (lambda desk: Fix(item_id=NEW, index=0, xyxy=BOX), "there is no such sign in this review"),
        (
            lambda desk: Drop(item_id=sign(desk, 0), first=0, end=5),
            r"some of the models' boxes must go, and some stay .*found 5 of 5 boxes",
        ),
        (lambda desk: Drop(item_id=sign(desk, 0), first=5, end=9), "some of the models' boxes must go, and some stay .*found 0 of 5 boxes"),
        (lambda desk: Drop(item_id=NEW, first=0, end=9), "there is no such sign in this review"),
        (lambda desk: Split(item_id=sign(desk, 0), index=0, new_id=NEW), r"a split needs boxes on both sides .*found 0"),
        (lambda desk: Split(item_id=sign(desk, 0), index=5, new_id=NEW), "a split needs boxes on both sides"),
        (lambda desk: Split(item_id=sign(desk, 0), index=2, new_id=sign(desk, 1)), "the new sign exists already"),
        (lambda desk: Split(item_id=sign(desk, 0), index=2, new_id=frame(desk, 0)), "the new sign exists already"),
        (lambda desk: drawn((5, BOX)), "there is no such frame in this review"),
        (lambda desk: drawn((0, BOX), recording_id="nowhere"), "there is no such frame in this review"),
        (lambda desk: drawn((0, BOX), (2, (-30.0, -30.0, -10.0, -10.0))), "lies outside of its frame"),
        (lambda desk: drawn((0, BOX), item_id=sign(desk, 0)), "the new sign exists already"),
        (lambda desk: Undo(number=1), "there is no such entry; found 1"),
    ],
)
def test_what_does_not_fit_is_refused_and_not_written(desk: Desk, act: Callable[[Desk], Act], message: str) -> None:
    before = looks(desk)
    with pytest.raises(ConflictError, match=message):
        desk.act("ann", 1.0, {}, act(desk))
    assert looks(desk) == before
    assert read(desk.questions.folder / "log.jsonl") == []


def test_a_sign_may_be_drawn_in_a_frame_beyond_the_estimated_number(desk: Desk, do: Do) -> None:
    desk.questions.recordings[DRIVE]["frames"] = 0  # a container that does not say how many there are
    do(desk, drawn((4, BOX)))
    with pytest.raises(ConflictError, match="there is no such frame"):
        do(desk, drawn((5, BOX), item_id=NEWER))


def test_undo_takes_back_the_own_last_act_and_redo_does_it_again(desk: Desk, do: Do) -> None:
    views = [looks(desk)[1:4]]
    for item_id in (sign(desk, 0), sign(desk, 1), sign(desk, 2)):
        do(desk, said(item_id))
        views.append(looks(desk)[1:4])
    do(desk, said(sign(desk, 3)), "bob")
    do(desk, Undo(number=4), "bob")
    for n in (2, 1, 0):
        desk.undo("ann", 1.0)
        assert looks(desk)[1:4] == views[n]
    with pytest.raises(ConflictError, match="there is nothing to undo"):
        desk.undo("ann", 1.0)
    for n in (1, 2, 3):
        desk.undo("ann", 1.0, again=True)
        assert looks(desk)[1:4] == views[n]
    with pytest.raises(ConflictError, match="there is nothing to do again"):
        desk.undo("ann", 1.0, again=True)
    desk.undo("ann", 1.0)
    desk.undo("ann", 1.0)
    desk.undo("ann", 1.0, again=True)
    assert looks(desk)[1:4] == views[2]
    do(desk, said(sign(desk, 2), verdict="nothing"))
    with pytest.raises(ConflictError, match="there is nothing to do again"):  # something else was done since
        desk.undo("ann", 1.0, again=True)


def test_undo_of_what_others_build_on_is_refused_with_its_number(desk: Desk, do: Do) -> None:
    do(desk, Split(item_id=sign(desk, 0), index=2, new_id=NEW))
    do(desk, said(NEW), "bob")
    before = looks(desk)
    with pytest.raises(ConflictError, match=r"a later decision builds on it \(entry 2\)"):
        desk.undo("ann", 1.0)
    assert looks(desk) == before
    assert len(desk.entries) == 2


def test_all_is_there_after_a_restart(queued: Path, open_desk: OpenDesk, do: Do) -> None:
    desk = open_desk(repeats=1.0)
    do(desk, said(sign(desk, 0)))
    do(desk, Split(item_id=sign(desk, 1), index=2, new_id=NEW))
    do(desk, Sweep(item_id=frame(desk, 0), complete=True))
    desk.undo("ann", 1.0)
    before, entries, frames = looks(desk), desk.entries, desk.frames(10)
    with pytest.raises(DataError, match="this review is open already"):
        open_desk()
    desk.close()
    again = open_desk()
    assert looks(again) == before
    assert again.entries == entries
    again.undo("ann", 1.0, again=True)
    assert again.frames(10) == [i for i in frames if i != frame(again, 0)]


def test_boxes_are_taken_off_a_drawn_sign_too_but_not_all(desk: Desk, do: Do) -> None:
    do(desk, drawn((0, BOX), (2, BOX), (4, BOX)))
    do(desk, Drop(item_id=NEW, first=2, end=3))
    assert desk.track(NEW).indices.tolist() == [0, 4]
    with pytest.raises(ConflictError, match="some of the models' boxes must go, and some stay"):
        do(desk, Drop(item_id=NEW, first=0, end=5))


def test_the_drawn_part_of_a_merged_sign_alone_cannot_stay(desk: Desk, do: Do) -> None:
    do(desk, drawn((4, BOX)))
    do(desk, Merge(item_id=sign(desk, 2), other_id=NEW))  # which has boxes in frames 0 and 1
    with pytest.raises(ConflictError, match=r"some stay .*found 2 of 3 boxes go"):
        do(desk, Drop(item_id=sign(desk, 2), first=0, end=2))
    do(desk, Drop(item_id=sign(desk, 2), first=1, end=2))
    assert desk.track(sign(desk, 2)).indices.tolist() == [0, 4]


def test_of_a_sign_that_is_not_there_nothing_is_asked(desk: Desk, do: Do) -> None:
    for _ in range(2):
        with pytest.raises(ConflictError, match="there is no such sign in this review"):
            desk.question(NEW)
        do(desk, Split(item_id=sign(desk, 0), index=2, new_id=NEW))
        assert desk.question(NEW).kind == "split"
        desk.undo("ann", 1.0)


def test_of_merged_signs_the_class_of_the_surest_is_proposed(desk: Desk, do: Do) -> None:
    unknown, doubtful, sure = sign(desk, 3), sign(desk, 2), sign(desk, 1)  # none, 0.3 a circle, 0.6 a square
    do(desk, Merge(item_id=unknown, other_id=doubtful))
    assert desk.question(unknown).class_id == CIRCLE
    assert desk.question(unknown).confidence == pytest.approx(0.3)
    do(desk, Merge(item_id=unknown, other_id=sure))
    assert (desk.question(unknown).class_id, desk.surest(unknown)) == (SQUARE, sure)
    assert desk.question(unknown).confidence == pytest.approx(0.6)
    assert desk.question(unknown).item_id == unknown
    desk.undo("ann", 1.0)
    desk.undo("ann", 1.0)
    assert desk.question(unknown).class_id is None


def test_a_box_that_was_split_off_is_found_where_it_was_proposed(desk: Desk, do: Do) -> None:
    whole = sign(desk, 0)
    do(desk, Fix(item_id=whole, index=0, xyxy=(11.0, 12.0, 31.0, 32.0)))
    do(desk, Split(item_id=whole, index=2, new_id=NEW))
    found = {index: None if (box := desk.box(whole, index)) is None else box.tolist() for index in (0, 4, 5)}
    assert found == {0: [11, 12, 31, 32], 4: [14, 10, 34, 30], 5: None}
    with pytest.raises(ConflictError, match="there is no such sign"):
        desk.box("0" * 16, 0)


def test_a_damaged_review_does_not_stay_locked(desk: Desk, taxonomy: Taxonomy, do: Do) -> None:
    do(desk, said(sign(desk, 0)))
    desk.close()
    path = desk.questions.folder / "log.jsonl"
    whole = path.read_text()
    path.write_text(whole.replace(sign(desk, 0), NEW))
    with pytest.raises(ConflictError, match=r"does not fit the review \(entry 1\)"):
        Desk(desk.questions.folder, taxonomy)
    path.write_text(whole)
    Desk(desk.questions.folder, taxonomy).close()


def test_how_well_a_person_looks_is_counted(open_desk: OpenDesk, planted: list[Planted], do: Do) -> None:
    desk = open_desk(planted, repeats=1.0)
    wrong_square, no_circle = (item_id_of(desk.questions.review_id, f"planted/{n:04d}") for n in (0, 1))
    repeats = [item_id_of(desk.questions.review_id, f"repeat:{DRIVE}/{MODEL}/{n:04d}") for n in range(3)]
    assert desk.effort() == Effort(0, 0, 0.0, Rate(0, 0), Rate(0, 0))
    do(desk, said(sign(desk, 0), sign(desk, 1), class_id=CIRCLE), seconds=6.0)  # the second was called a square
    do(desk, said(sign(desk, 2), verdict="nothing"), seconds=2.0)
    assert desk.effort() == Effort(3, 2, 8.0, Rate(0, 0), Rate(0, 0))
    do(desk, said(wrong_square, class_id=SQUARE), seconds=1.0)  # as proposed: not found
    do(desk, said(no_circle, verdict="unsure"), seconds=1.0)
    assert desk.effort() == Effort(3, 2, 10.0, Rate(1, 2), Rate(0, 0))
    do(desk, said(repeats[0]), seconds=1.0)
    do(desk, said(repeats[1], class_id=SQUARE), seconds=1.0)
    do(desk, said(repeats[2], verdict="nothing"), "bob", seconds=1.0)  # another one's answer is no repeat
    assert desk.effort() == Effort(3, 2, 13.0, Rate(1, 2), Rate(1, 2))
    do(desk, said(sign(desk, 3), verdict="odd"), seconds=1.0)
    do(desk, drawn((2, BOX)), seconds=2.0)
    assert desk.effort() == Effort(3, 2, 15.0, Rate(1, 2), Rate(1, 2))


def test_a_question_about_what_a_person_made_tells_where_it_came_from(desk: Desk, do: Do) -> None:
    do(desk, Split(item_id=sign(desk, 1), index=2, new_id=NEW))
    do(desk, drawn((2, BOX), item_id=NEWER))
    split, added = desk.question(NEW), desk.question(NEWER)
    assert (split.kind, split.class_id, split.reason, split.recording_id) == ("split", SQUARE, "split off by a person", DRIVE)
    assert (added.kind, added.class_id, added.reason, added.recording_id) == ("added", SQUARE, "added by a person", DRIVE)
    assert desk.track(NEW).indices.tolist() == [2, 3, 4]
    assert desk.track(NEWER).indices.tolist() == [2]
    with pytest.raises(ConflictError, match="there is no such sign"):
        desk.track("0" * 16)


def recount(desk: Desk) -> tuple[Progress, list[tuple[str, int, int, int]]]:
    """What is open, worked out from the state alone."""
    items, made = desk.questions.items, [i for i in desk.state.items if i not in desk.questions.items]

    def is_closed(item_id: str) -> bool:
        item = desk.state.item(item_id)
        return item.merged_into is not None or bool(desk.answers(item_id))

    def is_whole(item_id: str) -> bool:
        first = desk.state.item(item_id_of(desk.questions.review_id, items[item_id].source_id))
        return first.merged_into is None and [(s.first, s.end) for s in first.spans] == [(0, 2**31)]

    def is_asked(item_id: str) -> bool:
        if item_id in made or items[item_id].kind != "repeat":
            return True
        return is_closed(item_id_of(desk.questions.review_id, items[item_id].source_id)) and is_whole(item_id)

    signs = [*(q.item_id for q in items.values() if q.kind != "frame"), *made]
    asked = [i for i in signs if is_asked(i) and desk.state.item(i).merged_into is None]
    waiting = [i for i in asked if not is_closed(i)]
    odd = [i for i in waiting if desk.state.item(i).answers]
    frames = [q.item_id for q in items.values() if q.kind == "frame"]
    unsearched = [i for i in frames if not (i in desk.state.swept and desk.state.swept[i].complete)]
    seconds = float(sum(entry.seconds for entry in desk.entries))  # whole ones here
    later = [i for i in signs if not is_asked(i) and is_whole(i)]

    def sheet(item_id: str) -> str | None:
        if item_id not in items or items[item_id].kind == "frame" or desk.state.item(item_id).spans != (Span(item_id),):
            return None  # what was split or merged is looked at by itself
        class_id = items[item_id].class_id
        return "none" if class_id is None else "mixed" if items[item_id].kind == "repeat" else str(class_id)

    def of(name: str, group: list[str]) -> int:
        return sum(sheet(i) == name for i in group)

    left = desk.progress().seconds_left  # the only thing that is no count
    behind = sum(desk._first_of[again] in odd for again in later)  # come up once what was put aside is answered
    here = sum(sheet(i) is not None and i not in odd for i in waiting) + len(later) - behind
    progress = Progress(len(asked) + len(later), len(waiting) + len(later), here, len(frames), len(unsearched), len(odd), seconds, left)
    names = {sheet for sheet, *_ in desk.sheets()}
    return progress, sorted((name, of(name, waiting), of(name, odd), of(name, asked)) for name in names)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(seed=st.integers(0, 2**32 - 1))
def test_what_is_counted_along_the_way_is_what_is_there(queued: Path, taxonomy: Taxonomy, planted: list[Planted], seed: int) -> None:
    rng = np.random.default_rng(seed)
    folder = questions.begin(queued, queued / "review", Verified(), planted, 1.0, 0)
    (folder / "log.jsonl").unlink(missing_ok=True)
    desk = Desk(folder, taxonomy)

    def any_sign() -> str:
        own = [NEW, NEWER]
        real = [q.item_id for q in desk.questions.items.values() if q.kind != "frame"]
        return str(rng.choice([*real, *own]))

    def any_act() -> Act:
        verdict, class_id = [("sign", CIRCLE), ("sign", SQUARE), ("nothing", None), ("unsure", None), ("odd", None)][int(rng.integers(5))]
        new, index = str(rng.choice([NEW, NEWER])), int(rng.integers(0, 5))
        choices: list[Act] = [
            said(any_sign(), verdict=verdict, class_id=class_id),
            said(any_sign(), any_sign(), verdict=verdict, class_id=class_id),
            Split(item_id=any_sign(), index=index, new_id=new),
            Merge(item_id=any_sign(), other_id=any_sign()),
            drawn((index, BOX), item_id=new),
            Sweep(item_id=str(rng.choice(desk._frames)), complete=bool(rng.integers(2))),
            *[Undo(number=int(rng.integers(1, 2 + len(desk.entries))))] * 3,
        ]
        return choices[int(rng.integers(len(choices)))]

    try:
        for _ in range(25):
            act = any_act()
            known = [*desk.questions.items, *desk.state.items]
            try:
                desk.act(str(rng.choice(["ann", "bob"])), float(rng.integers(5)), {i: desk.state.version(i) for i in known}, act)
            except ConflictError:
                continue
            expected, counts = recount(desk)
            assert desk.progress() == expected
            assert sorted(desk.sheets()) == counts
        shown = (desk.progress(), desk.sheets(), set(desk.single(100)), desk.effort())
    finally:
        desk.close()
    again = Desk(folder, taxonomy)
    again.close()
    assert (again.progress(), again.sheets(), set(again.single(100)), again.effort()) == shown


def test_what_may_be_the_same_sign_is_near_in_time_and_place(desk: Desk, do: Callable[..., Entry]) -> None:
    # all are beside 0000 in some frame; it comes as near as 36 px to 0001, 40 px to 0002 and 68 px to 0003
    assert desk.near(sign(desk, 0), 9) == [sign(desk, 1), sign(desk, 2), sign(desk, 3)]
    assert desk.near(sign(desk, 0), 1) == [sign(desk, 1)]
    assert desk.near(sign(desk, 0, PHOTOS), 9) == []
    do(desk, Merge(item_id=sign(desk, 0), other_id=sign(desk, 1)))
    assert sign(desk, 1) not in desk.near(sign(desk, 0), 9)
    with pytest.raises(ConflictError, match="there is no such sign"):
        desk.near("0" * 16, 9)
