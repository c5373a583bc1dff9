"""Planted mistakes come from what people saw and agreed on, look like any other question, and their right answer is known."""

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from signloop.core import tables
from signloop.core.errors import DataError
from signloop.core.rounds import Verified
from signloop.core.taxonomy import Taxonomy
from signloop.review import plant
from signloop.review.plant import Planted, choose, read_planted, write_planted

DRIVE = "d" * 16
CIRCLE, SQUARE, STAR = 3, 8, 9  # the last two are of one group
ASKED: list[dict[str, Any]] = [
    {"class_id": None, "confidence": 0.1, "reason": "nameless", "rank": 1},
    *({"class_id": CIRCLE, "confidence": 0.5 + n / 100, "reason": f"reason {n}", "rank": 2 + n} for n in range(20)),
]
FRAMES = {f"{DRIVE}/{i:06d}": {"index": i, "time_s": i / 10} for i in range(5)}


def row(sign: str, index: int, verdict: str, class_id: int | None, *, seen: bool = True) -> dict[str, Any]:
    return {
        "round": 1,
        "box_id": f"{sign}/{index}",
        "annotator": "ann",
        "frame_id": f"{DRIVE}/{index:06d}",
        "sign_id": sign,
        **{"x1": 10.0, "y1": 10.0, "x2": 30.0, "y2": 30.0},
        "class_id": class_id,
        "verdict": verdict,
        "seen": seen,
        "model_id": None,
        "seconds": None,
        "verified_at": datetime(2024, 5, 1, tzinfo=UTC),
    }


def verified(*rows: dict[str, Any]) -> Verified:
    return Verified(boxes=tables.from_rows("verified_boxes", rows))


def many(signs: int, nothings: int) -> Verified:
    rows = [row(f"sign{n}", i, "accepted", (CIRCLE, SQUARE, STAR)[n % 3]) for n in range(signs) for i in (0, 2)]
    return verified(*rows, *(row(f"no{n}", 1, "rejected", None) for n in range(nothings)))


def test_a_sign_is_shown_where_it_was_seen_with_a_wrong_class(taxonomy: Taxonomy) -> None:
    signs = verified(row("a", 2, "moved", SQUARE), row("a", 0, "relabelled", SQUARE), row("a", 3, "accepted", SQUARE, seen=False))
    (sign,) = choose(signs, FRAMES, ASKED, taxonomy, 0.01, 0)
    assert (sign.right_class_id, sign.class_id) == (SQUARE, STAR)  # of the same group
    assert [(box.index, box.time_s, box.xyxy) for box in sign.boxes] == [(i, i / 10, (10, 10, 30, 30)) for i in (0, 2)]
    assert (sign.planted_id, sign.recording_id) == ("planted/0000", DRIVE)


def test_it_looks_like_any_other_question(taxonomy: Taxonomy) -> None:
    like = {(a["confidence"], a["reason"], a["rank"]) for a in ASKED[1:]}
    for sign in choose(many(10, 10), FRAMES, ASKED, taxonomy, 0.5, 3):
        assert (sign.confidence, sign.reason, sign.rank) in like
        assert sign.classes[0] == (sign.class_id, sign.confidence)
        classes = [class_id for class_id, _ in sign.classes]
        assert len(classes) == len(set(classes)) == 3
        assert sign.right_class_id is None or sign.right_class_id in classes
        assert sum(share for _, share in sign.classes) <= 1 + 1e-9


def test_what_is_no_sign_is_called_one(taxonomy: Taxonomy) -> None:
    (sign,) = choose(many(0, 1), FRAMES, ASKED, taxonomy, 0.01, 0)
    assert (sign.right_class_id, sign.class_id) == (None, CIRCLE)


def test_a_wrong_class_is_of_the_same_group_where_there_is_another(taxonomy: Taxonomy) -> None:
    for seed in range(5):
        for sign in choose(many(30, 0), FRAMES, ASKED, taxonomy, 1.0, seed):
            alike = {SQUARE: {STAR}, STAR: {SQUARE}, CIRCLE: {SQUARE, STAR}}[sign.right_class_id or 0]
            assert sign.class_id in alike


def test_signs_and_nothings_take_turns_and_the_share_is_rounded_up(taxonomy: Taxonomy) -> None:
    def kinds(signs: int, nothings: int, share: float) -> Counter[bool]:
        return Counter(s.right_class_id is None for s in choose(many(signs, nothings), FRAMES, ASKED, taxonomy, share, 1))

    assert kinds(20, 20, 0.25) == {False: 3, True: 3}  # of 21 asked
    assert kinds(20, 20, 0.01) == {False: 1}
    assert kinds(20, 1, 0.25) == {False: 5, True: 1}
    assert kinds(1, 20, 0.25) == {False: 1, True: 5}
    assert kinds(2, 1, 1.0) == {False: 2, True: 1}


def test_of_a_long_queue_no_more_is_planted_than_tells_enough(taxonomy: Taxonomy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plant, "ENOUGH", 4)
    assert len(choose(many(20, 20), FRAMES, ASKED, taxonomy, 1.0, 1)) == 4
    assert len(choose(many(20, 20), FRAMES, ASKED, taxonomy, 0.1, 1)) == 3


def test_the_same_seed_chooses_the_same(taxonomy: Taxonomy) -> None:
    first, again, other = (choose(many(20, 20), FRAMES, ASKED, taxonomy, 0.5, seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert len({sign.planted_id for sign in first}) == len(first)


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [row("a", 0, "accepted", CIRCLE, seen=False)],
        [row("a", 0, "unsure", None)],
        [row("a", 9, "accepted", CIRCLE)],
        [row("a", 0, "accepted", CIRCLE), row("a", 2, "accepted", SQUARE)],
    ],
    ids=["none", "unseen", "unsure", "not stored", "two classes"],
)
def test_nothing_that_fits_gives_none(rows: list[dict[str, Any]], taxonomy: Taxonomy) -> None:
    assert choose(verified(*rows), FRAMES, ASKED, taxonomy, 0.5, 0) == []


def test_a_sign_that_was_also_rejected_is_not_certain(taxonomy: Taxonomy) -> None:
    signs = verified(row("a", 0, "accepted", CIRCLE), row("a", 2, "rejected", None))
    assert [sign.right_class_id for sign in choose(signs, FRAMES, ASKED, taxonomy, 1.0, 0)] == []


def test_nothing_asked_or_no_share_gives_none(taxonomy: Taxonomy) -> None:
    assert choose(many(3, 3), FRAMES, [], taxonomy, 0.5, 0) == []
    assert choose(many(3, 3), FRAMES, ASKED[:1], taxonomy, 0.5, 0) == []  # nothing whose class could be doubted
    assert choose(many(3, 3), FRAMES, ASKED, taxonomy, 0.0, 0) == []


def test_with_one_class_only_nothings_are_planted(taxonomy: Taxonomy) -> None:
    single = taxonomy.model_copy(update={"classes": taxonomy.classes[:1]})
    assert {sign.right_class_id for sign in choose(many(5, 5), FRAMES, ASKED, single, 0.5, 0)} == {None}


def test_a_class_that_is_gone_from_the_taxonomy_is_still_a_wrong_one(taxonomy: Taxonomy) -> None:
    (sign,) = choose(verified(row("a", 0, "accepted", 77)), FRAMES, ASKED, taxonomy, 0.01, 0)
    assert sign.right_class_id == 77
    assert sign.class_id in taxonomy.by_id


def test_they_are_kept_beside_the_review(tmp_path: Path, planted: list[Planted]) -> None:
    path = tmp_path / "planted.json"
    write_planted(path, planted)
    assert read_planted(path) == {sign.planted_id: sign for sign in planted}


@pytest.mark.parametrize("text", ["[{}]", "7", '{"a": 1}', '[{"planted_id": 1}]'])
def test_a_damaged_file_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "planted.json"
    path.write_text(json.dumps(json.loads(text)))
    with pytest.raises(DataError, match="the planted questions of the review are damaged"):
        read_planted(path)
