import hashlib
import json
from collections import Counter
from itertools import islice, pairwise
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest
import yaml

from signloop.core import tables
from signloop.core.errors import DataError
from signloop.core.files import read_json, sha256_file
from signloop.core.params import Data
from signloop.core.rounds import publish_round, read_rounds
from signloop.core.taxonomy import Taxonomy
from signloop.demo import record
from signloop.demo.plan import deck, plan, plan_test
from signloop.demo.render import frames
from signloop.demo.signs import CLASSES
from signloop.demo.write import draw, draw_test, estimate, remove

CONF = Path(__file__).parents[2] / "conf"


def read_conf(name: str) -> str:
    return json.dumps(yaml.safe_load((CONF / name).read_text(encoding="utf-8")))


TAXONOMY = Taxonomy.model_validate_json(read_conf("taxonomy/german.yaml"))
DATA = Data.model_validate_json(read_conf("data/default.yaml"))


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first five frames of each recording are enough here, in a fraction of the time."""
    monkeypatch.setattr(record, "frames", lambda world: islice(frames(world), 5))


def snapshot(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): sha256_file(path) for path in sorted(root.rglob("*")) if path.is_file()}


def test_draw_writes_recordings_truth_and_a_round_and_again_changes_nothing(tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    first = draw(tmp_path, TAXONOMY, DATA, seeded=2, unlabelled=2, progress=lambda done, total: steps.append((done, total)))
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert (first.recordings, first.drawn, first.frames) == (4, 4, 20)
    assert sorted(path.name for path in (tmp_path / "data/recordings").iterdir()) == [f"demo-00{k}.mp4" for k in range(4)]
    before = snapshot(tmp_path)
    again = draw(tmp_path, TAXONOMY, DATA, seeded=2, unlabelled=2)
    assert again.drawn == 0
    assert again.round == first.round
    assert snapshot(tmp_path) == before

    other = tmp_path / "other"
    draw(other, TAXONOMY, DATA, seeded=2, unlabelled=2)
    assert snapshot(other) == before, "the same seed gives the same bytes"


def test_again_does_not_undo_what_a_person_corrected(tmp_path: Path) -> None:
    first = draw(tmp_path, TAXONOMY, DATA, seeded=2, unlabelled=1)
    verified = tmp_path / "data/verified"
    box = read_rounds(verified).boxes.slice(0, 1)
    place = box.schema.get_field_index("verdict")
    rejected = box.set_column(place, box.schema.field(place), pa.array(["rejected"], box.schema.field(place).type))
    unit = {box["frame_id"][0].as_py().split("/")[0]: "video"}
    none = tables.empty("verified_frames")
    publish_round(verified, label="later", boxes=rejected, frames=none, units=unit, val_share=0, test_share=0, meta={})
    after = snapshot(tmp_path)
    assert draw(tmp_path, TAXONOMY, DATA, seeded=2, unlabelled=1).round == first.round
    assert snapshot(tmp_path) == after


def test_an_interrupted_demo_goes_on_and_a_damaged_video_is_drawn_again(tmp_path: Path) -> None:
    draw(tmp_path, TAXONOMY, DATA, seeded=1, unlabelled=2)
    before = snapshot(tmp_path)
    video = tmp_path / "data/recordings/demo-001.mp4"
    video.write_bytes(video.read_bytes()[:1000])
    (tmp_path / "data/demo-parts/demo-002.json").unlink()
    assert draw(tmp_path, TAXONOMY, DATA, seeded=1, unlabelled=2).drawn == 2
    assert snapshot(tmp_path) == before


def test_the_round_is_what_a_person_would_have_verified(tmp_path: Path) -> None:
    report = draw(tmp_path, TAXONOMY, DATA, seeded=3, unlabelled=0)
    assert report.round is not None
    assert report.round.name.endswith("-demo-seed")
    verified = read_rounds(tmp_path / "data/verified")
    ids = {sha256_file(path)[:16] for path in (tmp_path / "data/recordings").glob("*.mp4")}
    assert set(verified.splits["unit_id"].to_pylist()) == ids
    rows = verified.frames.to_pylist()
    assert {row["frame_id"] for row in rows} == {f"{i}/{k:06d}" for i in ids for k in range(5)}
    assert all(row["complete"] for row in rows)
    for row in verified.boxes.to_pylist():
        assert row["seen"]
        assert row["annotator"] == "demo"
        assert (row["verdict"], row["class_id"] is None) in {("added", False), ("unsure", True)}
        assert row["sign_id"].startswith(row["frame_id"].split("/")[0] + "/truth/")
    parts = [read_json(path) for path in sorted((tmp_path / "data/demo-parts").glob("demo-*.json"))]
    truth = [box for part in parts for box in part["boxes"]]
    assert Counter(box["class_id"] for box in truth if not box["iscrowd"]) == Counter(
        row["class_id"] for row in verified.boxes.to_pylist() if row["verdict"] == "added"
    )


def test_the_truth_speaks_of_the_unlabelled_ones_and_one_of_them_has_no_sign(tmp_path: Path) -> None:
    report = draw(tmp_path, TAXONOMY, DATA, seeded=1, unlabelled=3)
    truth = read_json(report.truth)
    assert [video["file_name"] for video in truth["videos"]] == ["demo-001.mp4", "demo-002.mp4", "demo-003.mp4"]
    assert all((v["fps"], v["width"], v["height"]) == (10, 640, 360) for v in truth["videos"])
    assert {c["id"]: (c["name"], c["supercategory"]) for c in truth["categories"]} == CLASSES
    video_of = {image["id"]: image["video_id"] for image in truth["images"]}
    assert [image["frame_index"] for image in truth["images"]] == [0, 1, 2, 3, 4] * 3
    assert {video_of[a["image_id"]] for a in truth["annotations"]} == {0, 1}, "the last one shows no sign"
    assert len({a["id"] for a in truth["annotations"]}) == len(truth["annotations"])
    sign: dict[int, tuple[int, int]] = {}
    for a in truth["annotations"]:
        assert sign.setdefault(a["track_id"], (video_of[a["image_id"]], a["category_id"])) == (video_of[a["image_id"]], a["category_id"])
        assert a["iscrowd"] == 1 or (a["visible"] >= 0.6 and min(a["bbox"][2:]) >= 8)


def test_a_video_holds_all_frames_at_its_rate(tmp_path: Path) -> None:
    draw(tmp_path, TAXONOMY, DATA, seeded=0, unlabelled=1)
    video = cv2.VideoCapture(str(tmp_path / "data/recordings/demo-000.mp4"))
    assert (video.get(cv2.CAP_PROP_FPS), video.get(cv2.CAP_PROP_FRAME_WIDTH), video.get(cv2.CAP_PROP_FRAME_HEIGHT)) == (10, 640, 360)
    assert sum(1 for _ in iter(lambda: video.read()[0], False)) == 5


def test_remove_takes_out_the_demo_and_nothing_of_the_user(tmp_path: Path) -> None:
    folder, verified = tmp_path / "data/recordings", tmp_path / "data/verified"
    folder.mkdir(parents=True)
    for name in ("holiday.mp4", "demo-day.mp4", "demo-00x.mp4", "README.md"):
        (folder / name).write_bytes(b"mine")
    (folder / "demo-trip").mkdir()
    (folder / "demo-trip" / "0.jpg").write_bytes(b"mine")
    _publish_own(verified, "mine", ["a" * 16])
    before = snapshot(tmp_path)
    report = draw(tmp_path, TAXONOMY, DATA, seeded=1, unlabelled=1)
    demo = [sha256_file(path)[:16] for path in sorted(folder.glob("demo-0??.mp4")) if path.stat().st_size > 10]
    person = _publish_own(verified, "second", demo[1:])
    mixed = _publish_own(verified, "mixed", [demo[0], "b" * 16])
    gone = remove(tmp_path)
    assert report.round is not None
    assert {report.round, person, report.truth, tmp_path / "data/demo-parts", folder / "demo-000.mp4", folder / "demo-001.mp4"} == set(gone)
    mine = {name: digest for name, digest in snapshot(tmp_path).items() if not name.startswith(f"data/verified/{mixed.name}/")}
    assert mixed.is_dir()
    assert mine == before
    assert remove(tmp_path) == []


def _publish_own(verified: Path, label: str, recordings: list[str]) -> Path:
    rows = [{"round": -1, "frame_id": f"{r}/000000", "annotator": "me", "complete": True} for r in recordings]
    return publish_round(
        verified,
        label=label,
        boxes=tables.empty("verified_boxes"),
        frames=tables.from_rows("verified_frames", rows),
        units=dict.fromkeys(recordings, "video"),
        val_share=0.15,
        test_share=0.15,
        meta={},
    )


def test_remove_of_an_empty_project_does_nothing(tmp_path: Path) -> None:
    assert remove(tmp_path) == []


def test_remove_deletes_nothing_when_a_round_cannot_be_read(tmp_path: Path) -> None:
    draw(tmp_path, TAXONOMY, DATA, seeded=1, unlabelled=1)
    broken = tmp_path / "data/verified/round_002"
    broken.mkdir()
    (broken / "frames.parquet").write_bytes(b"broken")
    before = snapshot(tmp_path)
    with pytest.raises(DataError, match="damaged"):
        remove(tmp_path)
    assert snapshot(tmp_path) == before


def test_another_demo_is_refused_until_the_first_is_removed(tmp_path: Path) -> None:
    draw(tmp_path, TAXONOMY, DATA, seeded=0, unlabelled=1)
    with pytest.raises(DataError, match="another demo is here"):
        draw(tmp_path, TAXONOMY, DATA, seeded=0, unlabelled=1, seed=2)
    remove(tmp_path)
    assert draw(tmp_path, TAXONOMY, DATA, seeded=0, unlabelled=1, seed=2).drawn == 1


def test_a_file_of_the_user_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "data/recordings").mkdir(parents=True)
    (tmp_path / "data/recordings/demo-001.mp4").write_bytes(b"mine")
    verdicts = _publish_own(tmp_path / "data/verified", "mine", [hashlib.sha256(b"mine").hexdigest()[:16]])
    with pytest.raises(DataError, match="names of demo recordings"):
        draw(tmp_path, TAXONOMY, DATA, seeded=1, unlabelled=1)
    assert remove(tmp_path) == []  # nor deleted, nor what was said about it
    assert (tmp_path / "data/recordings/demo-001.mp4").read_bytes() == b"mine"
    assert verdicts.is_dir()


def test_another_taxonomy_is_refused(tmp_path: Path) -> None:
    fruit = Taxonomy.model_validate({"name": "fruit", "object_name": "fruit", "classes": ({"id": 0, "name": "apple", "group": "x"},)})
    with pytest.raises(DataError, match="taxonomy has other classes"):
        draw(tmp_path, fruit, DATA, seeded=1, unlabelled=1)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(("seeded", "unlabelled", "density"), [(0, 0, 5.0), (-1, 3, 5.0), (1, 1, 0.0), (1, 1, 99.0)])
def test_impossible_sizes_are_refused(tmp_path: Path, seeded: int, unlabelled: int, density: float) -> None:
    with pytest.raises(DataError, match=r"demo needs recordings|do not fit"):
        draw(tmp_path, TAXONOMY, DATA, seeded=seeded, unlabelled=unlabelled, signs_per_recording=density)


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signloop.core.files.shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(DataError, match="not enough disk space"):
        draw(tmp_path, TAXONOMY, DATA, seeded=1, unlabelled=0)


def test_test_recordings_hold_enough_scored_signs_and_are_fresh(tmp_path: Path) -> None:
    truth = read_json(draw_test(tmp_path / "test", signs=6, seed=0))
    assert len({a["track_id"] for a in truth["annotations"] if not a["iscrowd"]}) >= 6
    assert all(video["file_name"].startswith("demo-test-") for video in truth["videos"])
    before = snapshot(tmp_path)
    draw_test(tmp_path / "test", signs=6, seed=0)
    assert snapshot(tmp_path) == before
    with pytest.raises(DataError, match="another demo"):
        draw_test(tmp_path / "test", signs=7, seed=0)
    with pytest.raises(DataError, match="needs signs"):
        draw_test(tmp_path / "none", signs=0, seed=0)


def test_no_two_plans_share_random_numbers() -> None:
    stream = plan_test(0)
    tests = [next(stream) for _ in range(90)]
    drawn = [p for seed in range(3) for p in plan(24, 40, seed)]
    entropies = [p.entropy for p in tests + drawn]
    assert len(set(entropies)) == len(entropies)
    first_tracks = [(p.first_track, len(p.classes)) for p in tests]
    assert all(a + n == b for (a, n), (b, _) in pairwise(first_tracks))


def test_a_default_demo_shows_every_class_but_not_among_the_seeded_ones() -> None:
    planned = plan(24, 40, 0)
    seeded, open_ones = ([k for p in planned if p.seeded is flag for k in p.classes] for flag in (True, False))
    assert set(open_ones) == set(CLASSES)
    assert 30 <= len(set(seeded)) < 43
    assert max(Counter(seeded).values()) >= 8, "a long tail"
    assert sum(1 for p in planned if not p.classes) == 1
    assert planned[-1].classes == ()
    assert 4 <= len(seeded + open_ones) / 64 <= 6


def test_a_deck_has_the_size_that_was_asked_for() -> None:
    for count in (0, 1, 42, 43, 200):
        assert len(deck(np.random.default_rng(0), count, whole=True)) == count


def test_estimates_grow_with_the_demo() -> None:
    assert estimate(0) == (0, 0)
    assert estimate(64)[0] > 20e6


def test_tables_of_the_round_are_sorted_and_checked(tmp_path: Path) -> None:
    report = draw(tmp_path, TAXONOMY, DATA, seeded=1, unlabelled=0)
    assert report.round is not None
    table: pa.Table = tables.read(report.round / "boxes.parquet", "verified_boxes")
    assert set(table["round"].to_pylist()) == {1}
