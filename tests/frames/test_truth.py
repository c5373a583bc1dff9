import errno
import hashlib
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from signloop.core import tables
from signloop.core.boxes import intersection
from signloop.core.errors import DataError
from signloop.core.files import sha256_json
from signloop.core.params import Data
from signloop.core.rounds import publish_round, read_rounds
from signloop.core.taxonomy import Taxonomy
from signloop.frames import truth

WIDTH, HEIGHT = 80, 60
AT = datetime(2024, 5, 1, tzinfo=UTC)
DATA = Data(
    val_share=0.3,
    test_share=0.3,
    crop_margin=0.25,
    import_margin=0.1,
    min_side_px=6.0,
    background_per_frame=2,
    mistakes_per_frame=0,
    frames_per_sign=2,
    max_skipped=0.5,
)
TAXONOMY = Taxonomy.model_validate(
    {
        "name": "hostile",
        "object_name": "thing",
        "classes": (
            {"id": 3, "name": "../../etc/passwd", "group": "a"},
            {"id": 7, "name": "A/B\\C\n" + "x" * 100, "group": "a"},
            {"id": 1000, "name": "Überholverbot", "group": "b"},
        ),
    }
)
Box = dict[str, Any]


def read(path: Path) -> NDArray[np.uint8]:
    return np.asarray(cv2.imread(str(path)), np.uint8)


class World:
    """A project's data folder whose frames are grey and carry boxes of known colours."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.recordings: dict[str, tuple[str, int]] = {}

    def record(self, recording_id: str, frames: int = 2, kind: str = "video") -> str:
        """Extract a recording of so many frames."""
        self.recordings[recording_id] = (kind, frames)
        rows, about = [], []
        for name, (sort, number) in self.recordings.items():
            for index in range(number):
                path = self.data / "frames" / "images" / name / f"{index:06d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                if not path.exists():
                    cv2.imwrite(str(path), np.full((HEIGHT, WIDTH, 3), 100, np.uint8))
                rows.append(self._frame(name, index, path))
            about.append(
                {"recording_id": name, "name": f"{name}.mp4", "kind": sort, "fps": 10.0, "frames": number, "width": WIDTH, "height": HEIGHT}
                | {"duration_s": 1.0, "rotation": 0}
            )
        tables.write(self.data / "frames" / "frames.parquet", "frames", tables.from_rows("frames", rows))
        tables.write(self.data / "frames" / "recordings.parquet", "recordings", tables.from_rows("recordings", about))
        return recording_id

    def _frame(self, name: str, index: int, path: Path) -> dict[str, Any]:
        digest = hashlib.sha256(f"{name} {index}".encode()).hexdigest()
        place = str(path.relative_to(self.data / "frames"))
        size = {"width": WIDTH, "height": HEIGHT}
        return {"frame_id": f"{name}/{index:06d}", "recording_id": name, "index": index, "time_s": index / 10, "path": place, **size} | {
            "sha256": digest
        }

    def paint(self, frame_id: str, xyxy: tuple[int, int, int, int], colour: tuple[int, int, int]) -> None:
        """Fill a box with a colour, BGR."""
        path = self.data / "frames" / "images" / f"{frame_id}.png"
        image = read(path)
        cv2.rectangle(image, xyxy[:2], (xyxy[2] - 1, xyxy[3] - 1), colour, -1)
        cv2.imwrite(str(path), image)

    def publish(
        self, boxes: list[Box], frame_ids: list[str], *, complete: bool = True, crops: list[Box] | None = None, shown: bool = False
    ) -> Path:
        """Publish a round."""
        frames = [{"round": -1, "frame_id": f, "annotator": "ann", "complete": complete} for f in frame_ids]
        ids = {frame_id.split("/")[0] for frame_id in frame_ids}
        units = {r: self.recordings[r][0] for r in ids if self.recordings[r][0] != "stills"}
        units |= {f: "stills" for f in frame_ids if self.recordings[f.split("/")[0]][0] == "stills"}
        units |= {f"crops:{row['track_id']}": "crops" for row in crops or []}
        return publish_round(
            self.data / "verified",
            label="",
            boxes=tables.from_rows("verified_boxes", boxes),
            frames=tables.from_rows("verified_frames", frames),
            crops=tables.from_rows("verified_crops", crops) if crops else None,
            units=units,
            val_share=DATA.val_share,
            test_share=DATA.test_share,
            meta={"snapshot_id": "5aeef8c45e39d7d2"} if shown else {},
        )

    def assemble(self, out: str = "truth", data: Data = DATA, taxonomy: Taxonomy = TAXONOMY) -> truth.TruthReport:
        """Run the act."""
        self.told: list[tuple[str, int, int]] = []
        folder = self.data / "frames", self.data / "verified", self.data / out
        return truth.assemble(*folder, data, taxonomy, lambda *told: self.told.append(told))

    def rows(self, name: str) -> list[dict[str, Any]]:
        """Return the rows of a table in data/truth."""
        rows: list[dict[str, Any]] = tables.read(
            self.data / "truth" / f"{name}.parquet", "truth_frames" if name == "frames" else name
        ).to_pylist()
        return rows


def box(frame_id: str, name: str, xyxy: tuple[float, float, float, float], verdict: str, class_id: int | None, **more: Any) -> Box:
    corners = dict(zip(("x1", "y1", "x2", "y2"), xyxy, strict=True))
    about = {"round": -1, "box_id": f"{frame_id}/{name}", "annotator": "ann", "frame_id": frame_id, "sign_id": f"sign {name}", **corners}
    return about | {"class_id": class_id, "verdict": verdict, "seen": True, "model_id": None, "seconds": None, "verified_at": AT} | more


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "data")


PLACES: dict[str, tuple[tuple[int, int, int, int], int | None]] = {
    "accepted": ((2, 2, 14, 14), 3),
    "relabelled": ((20, 2, 32, 14), 7),
    "moved": ((40, 2, 52, 14), 1000),
    "added": ((60, 2, 72, 14), 3),
    "rejected": ((2, 30, 14, 42), None),
    "unsure": ((20, 30, 32, 42), None),
}


def test_a_verdict_becomes_a_training_row_and_a_crop_of_the_right_class(world: World) -> None:
    frame_id = world.record("a" * 16) + "/000001"
    for n, (xyxy, _) in enumerate(PLACES.values()):
        world.paint(frame_id, xyxy, (0, 40 * n, 255))
    world.publish([box(frame_id, verdict, xyxy, verdict, class_id) for verdict, (xyxy, class_id) in PLACES.items()], [frame_id])
    report = world.assemble()
    rows = {row["origin"]: row for row in world.rows("truth")}
    assert {verdict: (row["role"], row["class_id"]) for verdict, row in rows.items()} == {
        "accepted": ("positive", 3),
        "relabelled": ("positive", 7),
        "moved": ("positive", 1000),
        "added": ("positive", 3),
        "rejected": ("negative", None),
        "unsure": ("ignore", None),
    }
    assert [(r["frame_id"], r["recording_id"], r["sign_id"], r["round"]) for r in rows.values()] == [
        (frame_id, "a" * 16, f"sign {verdict}", 1) for verdict in rows
    ]
    assert [row["frame_id"] for row in world.rows("frames")] == [frame_id]  # the other frame was not verified
    crops = {row["origin"]: row for row in world.rows("crops")}
    assert crops.keys() - {"background"} == PLACES.keys() - {"unsure"}
    for n, (verdict, (_, class_id)) in enumerate(PLACES.items()):
        if verdict != "unsure":
            crop = crops[verdict]
            assert (crop["class_id"], crop["track_id"], crop["crop_id"]) == (class_id, f"sign {verdict}", f"{frame_id}/{verdict}")
            image = read(world.data / "truth" / crop["path"])
            assert set(image.shape[:2]) <= {17, 18}  # 12 px, and 3 px of margin where the frame does not end
            assert image[8, 8].tolist() == [0, 40 * n, 255]
            assert image[-1, -1].tolist() == [100, 100, 100]
    assert (report.frames, report.boxes, report.crops, report.skipped) == (1, 6, len(world.rows("crops")), 0)


def test_a_rejected_box_becomes_a_negative_unless_it_lies_on_a_sign_or_outside(world: World) -> None:
    frame_id = world.record("a" * 16) + "/000000"
    boxes = [
        box(frame_id, "sign", (10, 10, 30, 30), "accepted", 3),
        box(frame_id, "ignored", (50, 10, 70, 30), "unsure", None),
        box(frame_id, "double", (14, 10, 34, 30), "rejected", 7),
        box(frame_id, "on the ignored", (50, 12, 70, 32), "rejected", 7),
        box(frame_id, "nothing there", (10, 38, 30, 58), "rejected", 7),
        box(frame_id, "small", (40, 40, 45, 45), "rejected", 7),
        box(frame_id, "outside", (WIDTH + 5, 10, WIDTH + 25, 30), "rejected", 7),
        box(frame_id, "below", (10, HEIGHT, 30, HEIGHT + 9), "added", 7),
        box(frame_id, "half outside", (WIDTH - 6, 35, WIDTH + 6, 47), "rejected", None),
    ]
    world.publish(boxes, [frame_id])
    world.assemble(data=DATA.model_copy(update={"background_per_frame": 0}))
    crops = {row["crop_id"].split("/")[-1]: row for row in world.rows("crops")}
    assert {name: row["class_id"] for name, row in crops.items()} == {"sign": 3, "nothing there": None, "half outside": None}
    assert crops["nothing there"]["path"].startswith("crops/not-an-object/")
    assert [row["role"] for row in world.rows("truth")].count("negative") == 6


def test_a_later_verdict_wins_and_an_incomplete_frame_gives_no_background(world: World) -> None:
    recording = world.record("a" * 16, 12)
    frame_ids = [f"{recording}/{i:06d}" for i in range(12)]
    world.publish([box(frame_ids[0], "one", (10, 10, 30, 30), "accepted", 3)], frame_ids, complete=False)
    world.assemble()
    assert {row["complete"] for row in world.rows("frames")} == {False}
    assert [row["origin"] for row in world.rows("crops")] == ["accepted"]
    world.publish([box(frame_ids[0], "one", (10, 10, 30, 30), "relabelled", 7)], frame_ids)
    world.assemble()
    (row,) = world.rows("truth")
    assert (row["class_id"], row["origin"], row["round"]) == (7, "relabelled", 2)
    assert {frame["complete"] for frame in world.rows("frames")} == {True}


def test_a_verified_sign_teaches_in_some_training_frames_that_nobody_searched(world: World) -> None:
    recordings = [world.record(f"{n:016x}", 9) for n in range(14)]
    boxes = [
        box(f"{r}/{i:06d}", name, xyxy, verdict, class_id, sign_id=f"{r} {name}", seen=False)
        for r in recordings
        for name, xyxy, verdict, class_id in (("sign", (10, 10, 30, 30), "accepted", 3), ("none", (40, 10, 60, 30), "rejected", None))
        for i in (range(9) if name == "sign" else range(2, 4))
    ]
    boxes += [box(f"{r}/000008", "unknown", (10, 40, 20, 50), "unsure", None, seen=False) for r in recordings]
    world.publish(boxes, [f"{r}/000004" for r in recordings])
    world.assemble(data=DATA.model_copy(update={"frames_per_sign": 3, "background_per_frame": 0}))
    split_of = {row["unit_id"]: row["split"] for row in read_rounds(world.data / "verified").splits.to_pylist()}
    got: dict[str, dict[int, bool]] = defaultdict(dict)
    for row in world.rows("frames"):
        got[row["recording_id"]][int(row["frame_id"].split("/")[1])] = row["complete"]
    spread = {0: False, 2: False, 3: False, 4: True, 5: False, 8: False}  # 0, 5 and 8 for the sign: 0-3 and 5-8 were not searched
    assert {r: got[r] for r in recordings} == {r: spread if split_of[r] == "train" else {4: True} for r in recordings}
    assert set(split_of.values()) == {"train", "val", "test"}
    crops = [row for row in world.rows("crops") if row["split"] == "train"]
    assert {(row["class_id"], row["origin"]) for row in crops} == {(3, "accepted"), (None, "rejected")}
    assert len(crops) == sum(split == "train" for split in split_of.values()) * (6 + 2)
    world.assemble(data=DATA.model_copy(update={"frames_per_sign": 0}))
    assert {row["complete"] for row in world.rows("frames")} == {True}


def test_backgrounds_are_drawn_on_complete_training_frames_only(world: World) -> None:
    recordings = [world.record(f"{n:016x}", 1) for n in range(14)]
    frame_ids = [f"{r}/000000" for r in recordings]
    world.publish([box(f, "one", (20, 10, 50, 40), "accepted", 3) for f in frame_ids], frame_ids)
    world.assemble()
    split_of = {row["frame_id"]: row["split"] for row in world.rows("frames")}
    drawn = [row for row in world.rows("crops") if row["origin"] == "background"]
    assert drawn
    assert {row["split"] for row in drawn} == {"train"}
    assert {row["class_id"] for row in drawn} == {None}
    assert {split_of[row["crop_id"].rpartition("/background/")[0]] for row in drawn} == {"train"}
    for row in drawn:
        assert np.unique(read(world.data / "truth" / row["path"])).tolist() == [100]


def test_a_recording_never_spans_two_splits(world: World) -> None:
    rng = np.random.default_rng(0)
    kinds = [str(kind) for kind in rng.choice(["video", "sequence", "stills"], 40)]
    for n, kind in enumerate(kinds):
        world.record(f"{n:016x}", 3, kind)
    before: dict[str, str] = {}
    for _ in range(4):  # rounds that name old and new recordings, and old and new frames of them
        frame_ids = sorted({f"{n:016x}/{i:06d}" for n, i in zip(rng.integers(0, 40, 40), rng.integers(0, 3, 40), strict=True)})
        world.publish([box(f, f"b{rng.integers(9)}", (20, 10, 50, 40), "added", 3) for f in frame_ids], frame_ids)
        world.assemble()
        splits: dict[str, set[str]] = defaultdict(set)
        for name in ("frames", "truth"):
            for row in world.rows(name):
                still = kinds[int(row["recording_id"], 16)] == "stills"
                splits[row["frame_id"] if still else row["recording_id"]].add(row["split"])
        for row in world.rows("crops"):
            recording, index = row["crop_id"].split("/")[:2]
            splits[f"{recording}/{index}" if kinds[int(recording, 16)] == "stills" else recording].add(row["split"])
        assert all(len(found) == 1 for found in splits.values())
        after = {unit: next(iter(found)) for unit, found in splits.items()}
        assert before.items() <= after.items()  # and no split ever changes
        before = after
    assert set(before.values()) == {"train", "val", "test"}


def digest(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_equal_rounds_give_equal_bytes_also_beside_a_new_unlabelled_recording(world: World) -> None:
    recordings = [world.record(f"{n:016x}") for n in range(5)]
    frame_ids = [f"{r}/{i:06d}" for r in recordings for i in range(2)]
    world.publish([box(f, "one", (20, 10, 50, 40), "accepted", 3) for f in frame_ids], frame_ids)
    world.assemble()
    first = digest(world.data / "truth")
    world.assemble("again")
    world.record("f" * 16, 5)
    (world.data / "truth" / "stranger.txt").write_text("left by hand")
    world.assemble()
    assert digest(world.data / "again") == digest(world.data / "truth") == first


def test_labels_of_a_missing_recording_rest_until_it_comes_back(world: World) -> None:
    for n in range(3):
        world.record(f"{n:016x}")
    frame_ids = [f"{n:016x}/000000" for n in range(3)]
    world.publish([box(f, "one", (20, 10, 50, 40), "accepted", 3) for f in frame_ids], frame_ids)
    world.recordings.pop(f"{0:016x}")
    world.record(f"{1:016x}")
    assert world.assemble().skipped == 1
    (row,) = world.rows("skipped")
    assert (row["stage"], row["item"], row["reason"]) == ("assemble", f"{0:016x}", "recording missing")
    assert {row["recording_id"] for row in world.rows("truth")} == {f"{1:016x}", f"{2:016x}"}
    world.recordings.pop(f"{1:016x}")
    world.record(f"{2:016x}")
    with pytest.raises(DataError, match=r"missing from data/recordings; expected at most 50% missing; found 2 of 3.*Put the files back"):
        world.assemble()
    for n in range(3):
        world.record(f"{n:016x}")
    assert world.assemble().skipped == 0


def test_labels_of_frames_that_are_no_longer_extracted_rest_and_are_counted(world: World) -> None:
    fewer, whole, gone = (world.record(f"{n:016x}", 5) for n in range(3))
    frame_ids = [f"{r}/{i:06d}" for r in (fewer, whole, gone) for i in range(4)]  # the fifth is extracted and not verified
    world.publish([box(f, "one", (20, 10, 50, 40), "accepted", 3) for f in frame_ids], frame_ids, shown=True)
    report = world.assemble()
    assert (report.frames, report.skipped, report.not_extracted) == (12, 0, 0)
    world.recordings.pop(gone)
    world.recordings[fewer] = ("video", 1)  # as with another extract.fps
    world.record("f" * 16)
    report = world.assemble()
    assert (report.frames, report.skipped, report.not_extracted) == (5, 2, 3)  # what is missing as a whole is counted as a recording
    rows = {row["item"]: (row["stage"], row["reason"], row["detail"]) for row in world.rows("skipped")}
    assert rows.keys() == {gone, f"{fewer}.mp4"}
    detail = "3 of 4 frames; their labels rest; extract.fps, sequence_fps, blur, duplicate or max_frames have changed"
    assert rows[f"{fewer}.mp4"] == ("assemble", "verified frames not extracted", detail)
    world.record(fewer, 5)
    assert world.assemble().not_extracted == 0


def test_a_film_that_came_verified_on_all_frames_is_no_loss_where_fewer_are_extracted(world: World) -> None:
    frame_ids = [f"{world.record('a' * 16, 2)}/{i:06d}" for i in range(5)]
    world.publish([box(f, "one", (20, 10, 50, 40), "added", 3) for f in frame_ids], frame_ids)
    report = world.assemble()
    assert (report.frames, report.skipped, report.not_extracted) == (2, 0, 0)


def test_progress_ends_with_the_last_frame(world: World) -> None:
    frame_ids = [f"{world.record('a' * 16, 3)}/{i:06d}" for i in range(3)]
    world.publish([], frame_ids)
    world.assemble()
    assert world.told == [("frames", 1, 3), ("frames", 2, 3), ("frames", 3, 3)]


def test_class_names_cannot_leave_the_folder(world: World) -> None:
    frame_id = world.record("a" * 16) + "/000000"
    places = ((2, 2, 14, 14), (20, 2, 32, 14), (40, 2, 52, 14))
    world.publish(
        [box(frame_id, f"../../{c}", xyxy, "added", c, sign_id="/abs") for c, xyxy in zip(TAXONOMY.ids, places, strict=True)], [frame_id]
    )
    world.assemble(data=DATA.model_copy(update={"background_per_frame": 0}))
    assert sorted(path.name for path in (world.data / "truth" / "crops").iterdir()) == [
        "003-etc-passwd",
        "007-a-b-c-" + "x" * 34,
        "1000-berholverbot",
    ]
    assert all((world.data / "truth" / row["path"]).is_file() for row in world.rows("crops"))
    assert {path.name for path in world.data.iterdir()} == {"frames", "verified", "truth", ".verified.lock"}


def test_imported_crops_are_split_by_their_track(world: World) -> None:
    world.record("a" * 16)
    done, content = cv2.imencode(".png", np.full((9, 9, 3), 50, np.uint8))
    assert done
    crops = [
        {"round": -1, "crop_id": f"{t}/{n}", "class_id": 7, "track_id": f"t{t}", "file_name": "x.PNG", "image": content.tobytes()}
        for t in range(12)
        for n in range(2)
    ]
    world.publish([], [], crops=crops)
    assert world.assemble().crops == 24
    by_track = defaultdict(set)
    for row in world.rows("crops"):
        by_track[row["track_id"]].add(row["split"])
        assert (row["class_id"], row["origin"], row["margin"]) == (7, "imported", pytest.approx(0.1))
        assert (world.data / "truth" / row["path"]).read_bytes() == content.tobytes()
    assert all(len(splits) == 1 for splits in by_track.values())
    assert set().union(*by_track.values()) == {"train", "val", "test"}
    with pytest.raises(DataError, match="imported crop has a class outside the taxonomy"):
        world.assemble(taxonomy=Taxonomy(name="one", object_name="thing", classes=TAXONOMY.classes[:1]))


def test_what_cannot_become_truth_is_refused(world: World) -> None:
    frame_id = world.record("a" * 16) + "/000000"
    with pytest.raises(DataError, match=r"nothing is verified yet.*signloop demo"):
        world.assemble()
    world.publish([box(frame_id, "one", (20, 10, 50, 40), "accepted", 44)], [frame_id])
    with pytest.raises(DataError, match=r"class outside the taxonomy \(round 1, box a{16}/000000/one\).*found 44"):
        world.assemble()
    world.publish([box(frame_id, "one", (20, 10, 50, 40), "accepted", 3)], [frame_id])
    (world.data / "frames" / "images" / f"{frame_id}.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"the image cannot be read \(000000\.png\)"):
        world.assemble()
    world.record("a" * 16, kind="stills")  # somebody changed its recording.json after it was verified as a film
    with pytest.raises(DataError, match=r"has changed its kind.*stills"):
        world.assemble()


def test_a_crop_that_cannot_be_written_is_an_error(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    frame_id = world.record("a" * 16) + "/000000"
    world.publish([box(frame_id, "one", (20, 10, 50, 40), "accepted", 3)], [frame_id])

    def full(path: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DataError, match=r"crop cannot be written .*No space left.*Is the disk full"):
        world.assemble()


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(20, 400), st.integers(20, 400)),
    places=st.lists(st.tuples(st.floats(-20, 380), st.floats(-20, 380), st.floats(1, 150), st.floats(1, 150)), max_size=6),
    name=st.text(max_size=8),
    wanted=st.integers(0, 4),
)
def test_backgrounds_touch_no_label(size: tuple[int, int], places: list[tuple[float, float, float, float]], name: str, wanted: int) -> None:
    width, height = size
    boxes = np.array([[x, y, x + w, y + h] for x, y, w, h in places], np.float32).reshape(-1, 4)
    frame = {"frame_id": name, "width": width, "height": height}
    data = DATA.model_copy(update={"background_per_frame": wanted})
    found = truth.background(frame, boxes, data)
    assert truth.background(frame, boxes, data) == found
    assert len(found) <= wanted
    assert not intersection(found, boxes).any()
    for x1, y1, x2, y2 in found:
        assert 0 <= x1 < x2 <= width
        assert 0 <= y1 < y2 <= height
        assert x2 - x1 <= max(height / 6, 2 * data.min_side_px + 1) + 1e-6
    if not places:
        assert len(found) == wanted


def test_learnt_objects_are_those_that_training_sees_each_once(world: World) -> None:
    recordings = [world.record(f"{n:016x}", 2) for n in range(14)]
    boxes = [
        box(f"{r}/{index:06d}", name, xyxy, verdict, 3 if verdict == "accepted" else None, sign_id=f"{r} {name}")
        for r in recordings for index in range(2)
        for name, xyxy, verdict in (("one", (20, 10, 50, 40), "accepted"), ("two", (2, 2, 14, 14), "rejected"))
    ]  # fmt: skip
    world.publish(boxes, [f"{r}/{index:06d}" for r in recordings for index in range(2)])
    world.assemble()
    seen = {row["recording_id"] for row in world.rows("frames") if row["split"] == "train"}
    expected = {sha256_json(f"{r} one")[:8] for r in seen}
    assert 0 < len(expected) < 14
    for network in ("detector", "classifier"):
        assert truth.learnt_objects(world.data / "truth", network) == expected


def test_the_test_version_follows_the_test_split_alone(world: World) -> None:
    recordings = [world.record(f"{n:016x}", 1) for n in range(14)]
    frame_ids = [f"{r}/000000" for r in recordings]
    world.publish([box(f, "one", (20, 10, 50, 40), "accepted", 3) for f in frame_ids], frame_ids)
    world.assemble()
    split_of = {row["frame_id"]: row["split"] for row in world.rows("frames")}
    first = truth.test_version(world.data / "truth")
    assert truth.counts(tables.read(world.data / "truth" / "frames.parquet", "truth_frames")) == {
        split: list(split_of.values()).count(split) for split in ("test", "train", "val")
    }
    seen = {"train": set[str](), "val": set[str](), "test": set[str]()}
    for frame_id, split in split_of.items():
        world.publish([box(frame_id, "one", (20, 10, 50, 41), "relabelled", 7)], [frame_id])
        world.assemble()
        version = truth.test_version(world.data / "truth")
        assert (version != first) == (split == "test")
        seen[split].add(frame_id)
        first = version
    assert all(seen.values())
