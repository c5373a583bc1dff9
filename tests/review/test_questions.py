"""What is asked is fixed once a review has begun: whatever is computed anew afterwards takes nothing from the person."""

import re
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from signloop.core import tables
from signloop.core.errors import DataError
from signloop.core.files import read_json
from signloop.core.rounds import Verified
from signloop.review import questions, views
from signloop.review.desk import Desk
from signloop.review.log import Answer, Decide, Entry, Merge, Split, Undo
from signloop.review.pictures import Pictures
from signloop.review.plant import Planted
from signloop.review.questions import Questions, begin, item_id_of

DRIVE, PHOTOS = "d" * 16, "f" * 16
CIRCLE, SQUARE = 3, 8
OpenDesk = Callable[..., Desk]
Do = Callable[..., Entry]


def ids_of(review: Questions, kind: str) -> list[str]:
    return [question.item_id for question in review.items.values() if question.kind == kind]


def sign(review: Questions, recording_id: str, number: int) -> str:
    return item_id_of(review.review_id, f"{recording_id}/mtest/{number:04d}")


def again(review: Questions, recording_id: str, number: int) -> str:
    return item_id_of(review.review_id, f"repeat:{recording_id}/mtest/{number:04d}")


def said(item_id: str, class_id: int = CIRCLE) -> Decide:
    return Decide(view="single", answers=(Answer(item_id=item_id, verdict="sign", class_id=class_id),))


def test_the_same_queue_is_the_same_review(queued: Path, planted: list[Planted]) -> None:
    first = begin(queued, queued / "review", Verified(), planted, 0.5, 1)
    before = {path: path.read_bytes() for path in first.rglob("*") if path.is_file()}
    assert begin(queued, queued / "review", Verified(), [], 0.0, 2) == first  # as it was begun, so it stays
    assert {path: path.read_bytes() for path in first.rglob("*") if path.is_file()} == before
    assert list(Questions(first).items) == list(Questions(first).items)
    assert first == queued / "review" / "reviews" / first.name


def test_another_queue_is_another_review(queued: Path) -> None:
    first = begin(queued, queued / "review", Verified(), [], 0.0, 0)
    path = queued / "queue" / "queue.parquet"
    tables.write(path, "queue", tables.read(path, "queue").slice(0, 3))
    second = begin(queued, queued / "review", Verified(), [], 0.0, 0)
    assert first != second
    assert not set(Questions(first).items) & set(Questions(second).items)


def test_everything_in_the_queue_is_asked_in_its_order(desk: Desk) -> None:
    asked = list(desk.questions.items.values())
    assert [q.source_id for q in asked if q.kind == "sign"] == [f"{DRIVE}/mtest/{n:04d}" for n in (3, 2, 1, 0)] + [f"{PHOTOS}/mtest/0000"]
    assert sorted(q.source_id for q in asked if q.kind == "frame") == [
        *(f"{DRIVE}/{i:06d}" for i in (0, 2, 4)),
        *(f"{PHOTOS}/{i:06d}" for i in (0, 1)),
    ]
    assert [q.rank for q in asked] == list(range(1, 11))
    assert [(q.class_id, round(q.confidence, 6)) for q in asked[:2]] == [(None, 0.2), (CIRCLE, 0.3)]


def test_an_id_says_nothing_of_what_is_asked(open_desk: OpenDesk, planted: list[Planted]) -> None:
    review = open_desk(planted, repeats=1.0).questions
    assert {q.kind for q in review.items.values()} == {"sign", "frame", "planted", "repeat"}
    assert len(ids_of(review, "planted")) == 2
    assert len(ids_of(review, "repeat")) == 5
    assert all(re.fullmatch(r"[0-9a-f]{16}", item_id) for item_id in review.items)


def test_a_planted_mistake_stands_among_the_others(open_desk: OpenDesk, planted: list[Planted]) -> None:
    review = open_desk(planted).questions
    kinds = [q.kind for q in review.items.values() if q.kind != "frame"]
    assert kinds.index("planted") in (1, 2)  # beside the sign of rank 2 that it is like
    assert kinds[-1] == "sign"
    shown = review.shown(ids_of(review, "planted")[0])
    assert (shown.indices.tolist(), shown.stored.tolist(), shown.model_id) == ([0, 2], [True, True], None)
    assert shown.xyxy.tolist() == [[20, 40, 40, 60]] * 2
    assert shown.at(2) is not None
    assert shown.at(1) is None


def test_what_is_shown_of_a_sign_is_what_was_proposed_inside_the_frame(desk: Desk) -> None:
    shown = desk.questions.shown(sign(desk.questions, DRIVE, 0))
    assert shown.indices.tolist() == [0, 1, 2, 3, 4]
    assert shown.stored.tolist() == [True, False, True, False, True]
    assert shown.xyxy[4].tolist() == [14, 10, 34, 30]
    assert shown.model_id == "mtest"
    assert shown.box_ids[1] == f"{DRIVE}/mtest/0000/000001"
    assert shown.clearest in (0, 2, 4)
    assert desk.questions.frames_of(DRIVE) == [0, 2, 4]
    assert desk.questions.frames_of("0" * 16) == []
    assert desk.questions.frame(f"{DRIVE}/000001") is None


@pytest.mark.parametrize(
    ("boxes", "place"),
    [
        ([(10, 20, 0.8, "s"), (10, 25, 0.6, "s")], 1),  # both are seen well
        ([(10, 20, 0.8, "s"), (10, 25, 0.41, "s")], 0),  # hardly
        ([(10, 20, 0.8, "s"), (10, 40, 0.41, "s")], 1),  # but it is far larger
        ([(10, 20, 0.8, "s"), (10, 20, 0.8, "s")], 0),  # the first of equal ones
        ([(10, 20, 0.8, "s"), (0, 40, 0.8, "s"), (60, 40, 0.8, "s")], 0),  # cut at the left, or at the right
        ([(10, 20, 0.8, "s"), (10, 40, 0.8, "sg")], 0),
        ([(0, 20, 0.8, "s"), (10, 40, 0.8, "sg")], 0),  # what is cut is at least the sign
        ([(10, 20, 0.8, ""), (0, 20, 0.8, "sg")], 1),  # what cannot be shown shows nothing
        ([(10, 20, 0.8, ""), (0, 40, 0.8, "g"), (10, 30, 0.8, "")], 2),
    ],
)
def test_the_clearest_box_is_the_largest_of_those_that_can_be_told_well(boxes: list[tuple[float, float, float, str]], place: int) -> None:
    xyxy = np.array([(x, 10, x + side, 10 + side) for x, side, _, _ in boxes], np.float32)
    scores = np.array([score for _, _, score, _ in boxes], np.float32)
    doubtful, stored = (np.array([flag in said for *_, said in boxes]) for flag in "gs")
    assert questions.clearest(xyxy, scores, doubtful, stored, (100, 80)) == place


def test_a_box_that_sticks_out_is_cut_to_its_frame(queued: Path) -> None:
    path = next((queued / "prelabels" / "boxes").glob(f"{PHOTOS}*"))
    rows = tables.read(path, "prelabel_boxes").to_pylist()
    tables.write(path, "prelabel_boxes", tables.from_rows("prelabel_boxes", [{**rows[0], "x1": -5.0, "y2": 99.0}]))
    review = Questions(begin(queued, queued / "review", Verified(), [], 0.0, 0))
    assert review.shown(sign(review, PHOTOS, 0)).xyxy.tolist() == [[0, 10, 40, 80]]


def test_a_repeat_appears_once_its_first_time_is_answered(open_desk: OpenDesk, do: Do) -> None:
    desk = open_desk(repeats=1.0)
    first, repeat = sign(desk.questions, DRIVE, 1), again(desk.questions, DRIVE, 1)
    assert (desk.progress().signs, desk.progress().signs_open) == (10, 10)
    assert repeat not in desk.single(100) + desk.sheet(str(SQUARE), 100) + desk.sheet("mixed", 100)
    do(desk, Decide(view="sheet", answers=(Answer(item_id=first, verdict="odd"),)))
    assert not desk.is_open(repeat)
    do(desk, said(first))
    assert repeat in desk.single(100)
    assert desk.sheet("mixed", 100) == [repeat]
    assert (desk.progress().signs, desk.progress().signs_open) == (10, 9)
    assert (desk.questions.shown(repeat).box_ids, desk.question(repeat).class_id) == (desk.questions.shown(first).box_ids, SQUARE)
    desk.undo("ann", 1.0)
    assert not desk.is_open(repeat)
    assert (desk.progress().signs, desk.progress().signs_open) == (10, 10)


@pytest.mark.parametrize("way", ["split", "merge", "merged"])
def test_a_sign_that_is_another_now_is_not_asked_again(open_desk: OpenDesk, do: Do, way: str) -> None:
    desk = open_desk(repeats=1.0)
    first, other = sign(desk.questions, DRIVE, 0), sign(desk.questions, DRIVE, 1)
    do(desk, said(first))
    assert desk.is_open(again(desk.questions, DRIVE, 0))
    if way == "split":
        do(desk, Split(item_id=first, index=2, new_id="c" * 16))
    else:
        do(desk, Merge(item_id=first, other_id=other) if way == "merge" else Merge(item_id=other, other_id=first))
    do(desk, said(first if way != "merged" else other))
    assert not desk.is_open(again(desk.questions, DRIVE, 0))
    desk.act("ann", 1.0, {}, Undo(number=3))
    desk.act("ann", 1.0, {}, Undo(number=2))
    assert desk.is_open(again(desk.questions, DRIVE, 0))


@pytest.mark.parametrize(("share", "seed", "number"), [(0.0, 0, 0), (1.0, 0, 5)])
def test_the_share_of_repeats(open_desk: OpenDesk, share: float, seed: int, number: int) -> None:
    assert len(ids_of(open_desk(repeats=share, seed=seed).questions, "repeat")) == number


def everything(desk: Desk, pictures: Pictures) -> list[str]:
    signs = [views.detail(desk, pictures, i) for i in desk.single(100)]
    frames = [views.frame_detail(desk, pictures, i) for i in desk.frames(100)]
    return [message.model_dump_json() for message in [*signs, *frames]]


def test_what_is_computed_anew_changes_nothing_in_a_review(queued: Path, desk: Desk, do: Do) -> None:
    """What a stage does: it replaces each file by a new one, and deletes what it does not write again."""
    do(desk, said(sign(desk.questions, DRIVE, 0)))
    pictures = Pictures(desk.questions, queued / "frames", queued / "recordings")
    pictures.keep(threading.Event())
    before, crop = everything(desk, pictures), pictures.crop(DRIVE, 2, (10, 10, 30, 30), 96)
    frame = pictures.path(DRIVE, 0).read_bytes()
    for folder, name in (("queue", "queue"), ("frames", "frames"), ("frames", "recordings")):
        tables.write(queued / folder / f"{name}.parquet", name, tables.empty(name))
    for path in (queued / "prelabels").rglob("*.parquet"):
        name = f"prelabel_{path.parent.name}"
        tables.write(path, name, tables.empty(name))
    shutil.rmtree(queued / "prelabels" / "boxes")
    for path in (queued / "frames" / "images").rglob("*.jpg"):
        path.unlink()
        cv2.imwrite(str(path), np.zeros((80, 100, 3), np.uint8))
    shutil.rmtree(queued / "frames" / "images" / DRIVE)
    for reader in (desk, None):
        if reader is None:
            desk.close()
        opened = desk if reader is not None else Desk(desk.questions.folder, desk.taxonomy)
        fresh = Pictures(opened.questions, queued / "frames", queued / "recordings")
        assert everything(opened, fresh) == before
        assert fresh.crop(DRIVE, 2, (10, 10, 30, 30), 96) == crop
        assert fresh.path(DRIVE, 0).read_bytes() == frame
        opened.close()


def test_a_frame_that_is_not_stored_any_more_is_not_asked(queued: Path) -> None:
    frames = tables.read(queued / "frames" / "frames.parquet", "frames")
    tables.write(queued / "frames" / "frames.parquet", "frames", frames.slice(1))
    review = Questions(begin(queued, queued / "review", Verified(), [], 0.0, 0))
    assert f"{DRIVE}/000000" not in [review.items[i].source_id for i in ids_of(review, "frame")]
    assert len(ids_of(review, "frame")) == 4


def test_prelabels_that_are_gone_are_told(queued: Path) -> None:
    next((queued / "prelabels" / "signs").glob(f"{DRIVE}*")).unlink()
    with pytest.raises(DataError, match=rf"the queue speaks of prelabels that are gone .*{DRIVE}.*Run `dvc repro`"):
        begin(queued, queued / "review", Verified(), [], 0.0, 0)
    assert not list((queued / "review").rglob("*.parquet"))


def test_an_empty_or_missing_queue_is_told(queued: Path) -> None:
    path = queued / "queue" / "queue.parquet"
    tables.write(path, "queue", tables.empty("queue"))
    with pytest.raises(DataError, match=r"nothing waits for a person .*Put recordings into data/recordings"):
        begin(queued, queued / "review", Verified(), [], 0.0, 0)
    path.unlink()
    with pytest.raises(DataError, match=r"table queue does not exist .*Run `dvc repro`"):
        begin(queued, queued / "review", Verified(), [], 0.0, 0)


def test_a_review_without_links_is_a_copy(queued: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError("another disk")

    monkeypatch.setattr("os.link", refuse)
    folder = begin(queued, queued / "review", Verified(), [], 0.0, 0)
    assert (folder / "queue.parquet").read_bytes() == (queued / "queue" / "queue.parquet").read_bytes()
    assert (folder / "queue.parquet").stat().st_nlink == 1


def test_the_review_worked_on_last_is_the_one_to_publish(queued: Path, open_desk: OpenDesk, do: Do) -> None:
    with pytest.raises(DataError, match=r"nothing was reviewed yet .*Run `signloop review`"):
        questions.newest(queued / "review")
    desk = open_desk()
    do(desk, said(sign(desk.questions, DRIVE, 0)))
    assert questions.newest(queued / "review") == desk.questions.folder
    assert questions.unpublished(queued / "review") == [desk.questions.folder]
    questions.mark_published(desk.questions.folder, 1)
    assert questions.unpublished(queued / "review") == []
    assert read_json(desk.questions.folder / "published.json") == {"entries": 1}
    do(desk, said(sign(desk.questions, DRIVE, 1)))
    assert questions.unpublished(queued / "review") == [desk.questions.folder]
    for _ in range(2):
        desk.undo("ann", 1.0)
    assert questions.unpublished(queued / "review") == [desk.questions.folder]  # a round says what was taken back
    questions.mark_published(desk.questions.folder, len(desk.entries))
    questions.mark_published(desk.questions.folder, 1)  # by a slower one that began before
    assert questions.unpublished(queued / "review") == []


def test_a_review_in_which_all_was_taken_back_waits_for_nothing(queued: Path, desk: Desk, do: Do) -> None:
    do(desk, said(sign(desk.questions, DRIVE, 0)))
    desk.undo("ann", 1.0)
    assert questions.unpublished(queued / "review") == []


def test_the_name_of_a_review_is_that_of_its_queue(queued: Path, desk: Desk) -> None:
    assert questions.review_id_of(queued / "queue" / "queue.parquet") == desk.questions.review_id
    assert questions.review_id_of(queued / "nowhere.parquet") is None
