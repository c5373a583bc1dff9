"""Rounds are immutable and numbered, the newest verdict wins, people who disagree win nothing, and a split never changes."""

import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signloop.core import tables
from signloop.core.errors import DataError
from signloop.core.files import read_json
from signloop.core.rounds import Verified, draw_splits, publish_round, read_rounds

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
UNITS = {"r1": "video"}


def boxes(*rows: dict[str, Any]) -> pa.Table:
    plain = {
        "round": -1,
        "box_id": "r1/m/0000/000000",
        "annotator": "ann",
        "frame_id": "r1/000000",
        "sign_id": "r1/m/0000",
        "x1": 0.0,
        "y1": 0.0,
        "x2": 5.0,
        "y2": 5.0,
        "class_id": 3,
        "verdict": "accepted",
        "seen": True,
        "model_id": "m",
        "seconds": None,
        "verified_at": NOON,
    }
    return tables.from_rows("verified_boxes", [{**plain, **row} for row in rows])


def frames(complete: Mapping[str, bool], annotator: str = "ann") -> pa.Table:
    return tables.from_rows(
        "verified_frames", [{"round": -1, "frame_id": f, "annotator": annotator, "complete": c} for f, c in complete.items()]
    )


def crops(*crop_ids: str) -> pa.Table:
    return tables.from_rows(
        "verified_crops",
        [{"round": -1, "crop_id": c, "class_id": 1, "track_id": f"t{c}", "file_name": "a.png", "image": b"bytes"} for c in crop_ids],
    )


def publish(
    folder: Path, verdicts: pa.Table, looked_at: pa.Table, units: Mapping[str, str] = UNITS, label: str = "", images: pa.Table | None = None
) -> Path:
    return publish_round(
        folder, label=label, boxes=verdicts, frames=looked_at, units=units, crops=images, val_share=0.2, test_share=0.2, meta={"by": "test"}
    )


def says(verified: Verified) -> dict[str, tuple[str, int | None, int]]:
    return {row["box_id"]: (row["verdict"], row["class_id"], row["round"]) for row in verified.boxes.to_pylist()}


def test_no_folder_and_an_empty_folder_have_no_rows(tmp_path: Path) -> None:
    for folder in (tmp_path / "absent", tmp_path):
        verified = read_rounds(folder)
        assert [t.num_rows for t in (verified.boxes, verified.frames, verified.splits, verified.crops, verified.disputed)] == [0] * 5
        assert verified.conflicts == ()


def test_a_round_gets_the_next_number_and_comes_back(tmp_path: Path) -> None:
    first = publish(tmp_path / "v", boxes({}), frames({"r1/000000": True}), label="seed")
    second = publish(tmp_path / "v", boxes({"box_id": "r1/m/0001/000000"}), frames({}))
    assert [first.name, second.name] == ["round_001-seed", "round_002"]
    assert sorted(p.name for p in (tmp_path / "v").iterdir()) == ["round_001-seed", "round_002"]
    assert read_json(first / "round.json")["meta"] == {"by": "test"}
    verified = read_rounds(tmp_path / "v")
    assert says(verified) == {"r1/m/0000/000000": ("accepted", 3, 1), "r1/m/0001/000000": ("accepted", 3, 2)}
    assert verified.frames.to_pylist() == [{"round": 1, "frame_id": "r1/000000", "annotator": "ann", "complete": True}]
    assert verified.splits["unit_id"].to_pylist() == ["r1"]
    assert tables.read(second / "splits.parquet", "splits")["unit_id"].to_pylist() == ["r1"]


def test_a_split_survives_the_removal_of_the_round_that_drew_it(tmp_path: Path) -> None:
    units = {f"r{i}": "video" for i in range(12)}
    rows = [{"box_id": name, "frame_id": f"{name}/000000"} for name in units]
    first = publish(tmp_path, boxes(*rows), frames({}), units)
    publish(tmp_path, boxes(*({**row, "class_id": 4} for row in rows)), frames({}), units)
    before = read_rounds(tmp_path).splits.select(["unit_id", "split"])
    shutil.rmtree(first)
    assert read_rounds(tmp_path).splits.select(["unit_id", "split"]) == before


def test_the_newest_verdict_wins(tmp_path: Path) -> None:
    publish(tmp_path, boxes({}), frames({"r1/000000": True}))
    publish(tmp_path, boxes({"class_id": 5, "verdict": "relabelled", "annotator": "bob"}), frames({}))
    publish(tmp_path, boxes({"class_id": None, "verdict": "rejected"}), frames({}))
    assert says(read_rounds(tmp_path)) == {"r1/m/0000/000000": ("rejected", None, 3)}


def test_equal_content_is_not_written_twice(tmp_path: Path) -> None:
    first = publish(tmp_path / "v", boxes({}), frames({"r1/000000": True}))
    publish(tmp_path / "v", boxes({"box_id": "other"}), frames({}))
    later = {"verified_at": datetime(2025, 1, 1, tzinfo=UTC), "seconds": 2.0}
    again = publish(tmp_path / "v", boxes(later), frames({"r1/000000": True}), label="other-name")
    assert again == first
    assert len(list((tmp_path / "v").iterdir())) == 2


def test_a_verdict_that_returns_to_an_earlier_one_is_written_again(tmp_path: Path) -> None:
    first = publish(tmp_path, boxes({"class_id": 3}), frames({"r1/000000": True}))
    publish(tmp_path, boxes({"class_id": 7}), frames({"r1/000000": True}))
    back = publish(tmp_path, boxes({"class_id": 3}), frames({"r1/000000": True}))
    assert back != first
    assert says(read_rounds(tmp_path)) == {"r1/m/0000/000000": ("accepted", 3, 3)}
    publish(tmp_path, boxes({"box_id": "other", "frame_id": "r1/000004"}), frames({"r1/000004": True}))
    assert publish(tmp_path, boxes({"class_id": 3}), frames({"r1/000000": True})) == back  # nothing else was said of it since


def test_a_complete_frame_replaces_older_rounds_and_is_not_added_to_unseen(tmp_path: Path) -> None:
    old = {"box_id": "old", "frame_id": "r1/000000"}
    publish(tmp_path, boxes(old, {"box_id": "elsewhere", "frame_id": "r1/000004"}), frames({"r1/000000": True, "r1/000004": True}))
    publish(tmp_path, boxes({"box_id": "new"}), frames({"r1/000000": True}))
    publish(
        tmp_path,
        boxes({"box_id": "carried", "seen": False}, {"box_id": "looked at"}, {"box_id": "free", "frame_id": "r1/000009", "seen": False}),
        frames({}),
    )
    assert sorted(says(read_rounds(tmp_path))) == ["elsewhere", "free", "looked at", "new"]


def test_a_frame_that_is_left_open_later_brings_nothing_replaced_back(tmp_path: Path) -> None:
    publish(tmp_path, boxes({"box_id": "old"}), frames({"r1/000000": True}))
    publish(tmp_path, boxes({"box_id": "new"}), frames({"r1/000000": True}))
    publish(tmp_path, boxes({"box_id": "later", "seen": False}), frames({"r1/000000": False}))
    verified = read_rounds(tmp_path)
    assert sorted(says(verified)) == ["later", "new"]
    assert verified.frames["complete"].to_pylist() == [False]


@pytest.mark.parametrize(
    ("other", "is_conflict"),
    [
        ({"class_id": 4, "verdict": "relabelled"}, True),
        ({"class_id": None, "verdict": "rejected"}, True),
        ({"class_id": None, "verdict": "unsure"}, True),
        ({"verdict": "moved", "x1": 0.5}, False),
        ({"class_id": None, "verdict": "rejected", "seen": False}, False),
    ],
)
def test_people_who_disagree_within_a_round(tmp_path: Path, other: dict[str, Any], is_conflict: bool) -> None:
    publish(tmp_path, boxes({"annotator": "ann"}, {"annotator": "bob", **other}, {"box_id": "b2"}), frames({"r1/000000": True}))
    verified = read_rounds(tmp_path)
    assert verified.conflicts == (("r1/m/0000/000000",) if is_conflict else ())
    assert verified.disputed.num_rows == 2 * is_conflict
    assert says(verified).get("r1/m/0000/000000") == (None if is_conflict else ("accepted", 3, 1))
    assert "b2" in says(verified)
    assert verified.frames["complete"].to_pylist() == [not is_conflict]  # a hole must not teach "no sign"


def test_a_later_round_settles_a_conflict(tmp_path: Path) -> None:
    publish(tmp_path, boxes({}, {"annotator": "bob", "class_id": 4}), frames({"r1/000000": True}))
    publish(tmp_path, boxes({"class_id": 4}), frames({"r1/000000": True}))
    verified = read_rounds(tmp_path)
    assert verified.conflicts == ()
    assert says(verified) == {"r1/m/0000/000000": ("accepted", 4, 2)}
    assert verified.frames["complete"].to_pylist() == [True]


def test_a_frame_is_complete_if_all_people_of_the_newest_round_say_so(tmp_path: Path) -> None:
    both = pa.concat_tables([frames({"r1/000000": True, "r1/000001": True}), frames({"r1/000000": False, "r1/000001": True}, "bob")])
    publish(tmp_path, boxes({}), both)
    verified = read_rounds(tmp_path)
    assert dict(zip(verified.frames["frame_id"].to_pylist(), verified.frames["complete"].to_pylist(), strict=True)) == {
        "r1/000000": False,
        "r1/000001": True,
    }


def test_crops_keep_their_bytes_and_the_newest_label(tmp_path: Path) -> None:
    units = {"crops:ta": "crops", "crops:tb": "crops"}
    publish(tmp_path, tables.empty("verified_boxes"), frames({}), units, images=crops("a", "b"))
    changed = crops("a").set_column(2, crops("a").schema.field(2), pa.array([7], pa.int32()))
    publish(tmp_path, tables.empty("verified_boxes"), frames({}), units, images=changed)
    rows = read_rounds(tmp_path).crops.to_pylist()
    assert [(r["crop_id"], r["class_id"], r["round"], r["image"]) for r in rows] == [("a", 7, 2, b"bytes"), ("b", 1, 1, b"bytes")]


def test_an_empty_round_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="without a verdict"):
        publish(tmp_path / "v", tables.empty("verified_boxes"), frames({}))
    assert not (tmp_path / "v").exists()


@pytest.mark.parametrize(
    ("change", "units", "label", "message"),
    [
        ({}, {}, "", "outside the units"),
        ({}, {"r1": "film"}, "", "unknown kinds"),
        ({"class_id": None}, UNITS, "", "has no class"),
        ({}, UNITS, "../up", "plain name"),
    ],
)
def test_wrong_rounds_are_refused(tmp_path: Path, change: dict[str, Any], units: dict[str, str], label: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        publish(tmp_path / "v", boxes(change), frames({"r1/000000": True}), units, label)
    assert not (tmp_path / "v").exists()


def test_crops_outside_the_units_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="outside the units"):
        publish(tmp_path, tables.empty("verified_boxes"), frames({}), {"crops:other": "crops"}, images=crops("a"))


def test_what_a_killed_process_left_is_ignored_and_removed(tmp_path: Path) -> None:
    (tmp_path / ".round_001.abc.tmp").mkdir()
    assert read_rounds(tmp_path).boxes.num_rows == 0
    publish(tmp_path, boxes({}), frames({}))
    assert [p.name for p in tmp_path.iterdir()] == ["round_001"]


def test_two_rounds_of_one_number_are_refused(tmp_path: Path) -> None:
    publish(tmp_path, boxes({}), frames({}))
    (tmp_path / "round_001-other").mkdir()
    with pytest.raises(DataError, match="same number"):
        read_rounds(tmp_path)


def test_a_renamed_round_is_refused(tmp_path: Path) -> None:
    publish(tmp_path, boxes({}), frames({})).rename(tmp_path / "round_007")
    with pytest.raises(DataError, match="rows of another round"):
        read_rounds(tmp_path)


def test_lost_crops_are_not_taken_for_none(tmp_path: Path) -> None:
    path = publish(tmp_path, boxes(), frames({}), {"crops:ta": "crops"}, images=crops("a"))
    (path / "crops.parquet").unlink()
    with pytest.raises(DataError, match=r"table verified_crops does not exist .*dvc checkout"):
        read_rounds(tmp_path)


def test_a_damaged_round_is_named(tmp_path: Path) -> None:
    (publish(tmp_path, boxes({}), frames({})) / "frames.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"damaged .*round_001"):
        read_rounds(tmp_path)


def count(splits: Mapping[str, str], prefix: str = "") -> dict[str, int]:
    return {name: sum(s == name and u.startswith(prefix) for u, s in splits.items()) for name in tables.SPLITS}


@given(st.sets(st.text(max_size=6), min_size=10, max_size=40), st.integers(0, 40))
def test_a_known_split_never_changes_and_ten_units_give_two_each(units: set[str], cut: int) -> None:
    ordered = sorted(units)
    known = draw_splits(ordered[:cut], {}, 0.15, 0.15)
    new = draw_splits(reversed(ordered), known, 0.15, 0.15)
    assert set(new) == set(ordered[cut:])
    assert not set(new) & set(known)
    total = count({**known, **new})
    enough_new = len(new) >= 4
    assert not enough_new or (total["val"] >= 2 and total["test"] >= 2)
    assert draw_splits(ordered, {**known, **new}, 0.15, 0.15) == {}


def test_shares_are_kept_in_the_long_run_and_the_draw_is_by_unit() -> None:
    units = [f"unit {i}" for i in range(4000)]
    drawn = draw_splits(units, {}, 0.15, 0.25)
    total = count(drawn)
    assert total["val"] == pytest.approx(600, abs=80)
    assert total["test"] == pytest.approx(1000, abs=100)
    assert {u: drawn[u] for u in units[:2000]} == draw_splits(units[:2000], {}, 0.15, 0.25)


def test_fewer_than_ten_units_follow_the_hash_alone() -> None:
    assert draw_splits([str(i) for i in range(9)], {}, 1e-9, 1e-9) == {str(i): "train" for i in range(9)}
    assert count(draw_splits([str(i) for i in range(10)], {}, 1e-9, 1e-9)) == {"train": 6, "val": 2, "test": 2}
    assert count(draw_splits([str(i) for i in range(10)], {}, 0, 0)) == {"train": 10, "val": 0, "test": 0}


def test_crops_have_their_own_minimum() -> None:
    units = [f"crops:{i}" for i in range(10)] + [f"r{i}" for i in range(9)]
    drawn = draw_splits(units, {}, 1e-9, 1e-9)
    assert count(drawn, "crops:") == {"train": 6, "val": 2, "test": 2}
    assert count(drawn, "r") == {"train": 9, "val": 0, "test": 0}


def test_splits_survive_later_rounds(tmp_path: Path) -> None:
    names = [f"r{i}" for i in range(12)]
    for name in names:
        publish(
            tmp_path,
            boxes({"box_id": f"{name}/b", "frame_id": f"{name}/000000"}),
            frames({}),
            dict.fromkeys(names[:1], "video") | {name: "video"},
        )
    splits = read_rounds(tmp_path).splits
    assert sorted(splits["unit_id"].to_pylist()) == sorted(names)
    assert splits.num_rows == 12
