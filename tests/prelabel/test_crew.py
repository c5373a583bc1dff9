"""All recordings of a folder: each labelled once, the bad ones listed, none taken for that of another model."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from signloop.core import tables
from signloop.core.boxes import Boxes
from signloop.core.errors import DataError
from signloop.core.files import write_json
from signloop.core.params import Params
from signloop.frames.video import Recording, find_recordings
from signloop.prelabel.crew import Alone, PrelabelReport, prelabel_all
from signloop.prelabel.proposal import Image, Runtime
from signloop.prelabel.write import Job, read_boxes, read_signs, result_key

MakeFilms = Callable[..., dict[str, Any]]
HASH = "0123456789abcdef"


class Project:
    """A folder of two films, with the model that always sees right; counts the frames it was shown."""

    streams = 1

    def __init__(self, folder: Path, runtime: Runtime, params: Params) -> None:
        self.sources, self.out, self.runtime, self.params, self.seen = folder / "recordings", folder / "prelabels", runtime, params, 0
        self.told: list[tuple[str, int, int]] = []
        self.model_id, self.taxonomy, self.cut, self.classify = runtime.model_id, runtime.taxonomy, runtime.cut, runtime.classify

    def detect(self, images: Sequence[Image]) -> list[Boxes]:
        self.seen += len(images)
        return self.runtime.detect(images)

    def found(self) -> list[Recording]:
        return find_recordings(self.sources, 10.0)[0]

    def run(self, params_hash: str = HASH, max_skipped: float = 0.5) -> PrelabelReport:
        recordings, skipped = find_recordings(self.sources, 10.0)
        job = Job(self.params.prelabel, self.out, params_hash)
        return prelabel_all(recordings, skipped, Alone(self), job, max_skipped, lambda *told: self.told.append(told))


@pytest.fixture
def project(tmp_path: Path, make_films: MakeFilms, seer: Runtime, shape_params: Params) -> Project:
    project = Project(tmp_path, seer, shape_params)
    make_films(project.sources, {"a b.avi": [4, 11], "ü\n.avi": [30]}, frames=6)
    return project


def test_every_recording_gets_its_signs_once(project: Project) -> None:
    report = project.run()
    assert (report.recordings, report.reused, report.signs, report.skipped) == (2, 0, 3, ())
    signs = read_signs(project.out).to_pylist()
    names = {r.recording_id: r.name for r in project.found()}
    found = sorted((names[row["recording_id"]][:3], row["class_id"], row["n_boxes"], row["decision"]) for row in signs)
    assert found == [("a b", 4, 6, "ask"), ("a b", 11, 6, "ask"), ("ü\n.", 30, 6, "ask")]
    boxes = read_boxes(project.out).to_pylist()
    assert len(boxes) == 18
    assert {row["sign_id"] for row in boxes} == {row["sign_id"] for row in signs}
    assert all(row["box_id"] == f"{row['sign_id']}/{row['index']:06d}" and row["model_id"] == "mseer" for row in boxes)
    again = project.run()
    assert (again.reused, again.signs, project.seen) == (2, 3, 12)
    assert "3 signs in 2 recordings, 2 of them labelled before" in str(again)


def test_a_killed_run_goes_on_where_it_was(project: Project) -> None:
    project.run()
    key = result_key(project.found()[0], "mseer", HASH)
    (project.out / "signs" / f"{key}.parquet").unlink()  # killed between the two files
    (project.out / "signs" / ".half.tmp.parquet").write_bytes(b"half")
    project.seen = 0
    assert (project.run().reused, project.seen) == (1, 6)
    assert not list((project.out / "signs").glob(".*"))
    boxes = project.out / "boxes" / f"{key}.parquet"
    boxes.write_bytes(boxes.read_bytes()[:100])
    assert (project.run().reused, project.seen) == (1, 12)
    assert read_boxes(project.out).num_rows == 18


def test_another_model_other_params_and_a_gone_recording_leave_nothing_behind(project: Project) -> None:
    project.run()
    assert project.run("fedcba98").reused == 0
    project.model_id = "mother"
    assert project.run("fedcba98").reused == 0
    assert set(read_signs(project.out)["model_id"].to_pylist()) == {"mother"}
    project.found()[0].path.unlink()
    assert project.run("fedcba98").signs == 1
    assert len(list(project.out.glob("*/*.parquet"))) == 2


def test_a_damaged_recording_is_listed_and_the_rest_goes_on(project: Project, make_films: MakeFilms) -> None:
    make_films(project.sources, {"cut.avi": [4]}, frames=40)
    whole = (project.sources / "cut.avi").read_bytes()
    (project.sources / "cut.avi").write_bytes(whole[: len(whole) // 2])
    (project.sources / "zero.mp4").touch()
    (project.sources / "copy of a b.avi").write_bytes((project.sources / "a b.avi").read_bytes())
    report = project.run()
    assert report.signs == 3
    rows = {row["item"]: row for row in tables.read(project.out / "skipped.parquet", "skipped").to_pylist()}
    assert rows.keys() == {"cut.avi", "zero.mp4", "copy of a b.avi"}
    assert (rows["cut.avi"]["stage"], rows["cut.avi"]["reason"]) == ("prelabel", "the recording is damaged")
    with pytest.raises(DataError, match=r"(?s)too many recordings were left out.*at most 10%.*found 2 of 4.*cut\.avi"):
        project.run(max_skipped=0.1)
    assert read_signs(project.out).num_rows == 3  # what is good was kept all the same


def test_stills_that_were_taken_for_a_sequence_are_labelled_again(project: Project) -> None:
    folder = project.sources / "pictures"
    folder.mkdir()
    image = np.full((80, 120, 3), 100, np.uint8)
    image[10:30, 10:30] = (30, 30, 220)
    for n in range(4):
        cv2.imwrite(str(folder / f"{n}.png"), image)
    signs = project.run().signs
    write_json(folder / "recording.json", {"kind": "stills"})
    report = project.run()
    assert (report.signs, report.reused) == (signs + 3, 2)  # one sign over four frames became four
    write_json(folder / "recording.json", {"kind": "sequence", "fps": 5})
    assert (project.run().signs, project.run().reused) == (signs, 3)


def test_progress_tells_of_recordings_signs_and_frames(project: Project) -> None:
    project.run()
    assert [done for _, done, _ in project.told] == [1, 2, 3, 4, 5, 6, 6, 7, 8, 9, 10, 11, 11, 12]
    assert {total for _, _, total in project.told} == {12}
    words = [what for what, _, _ in project.told]
    assert re.fullmatch(r"0 of 2 recordings, 0 signs, \d+ frames a second, frame", words[0])
    assert [word.split(", ")[:2] for word in words[-7:]] == 6 * [["1 of 2 recordings", "2 signs"]] + [["2 of 2 recordings", "3 signs"]]
    project.told.clear()
    project.run()
    assert project.told == []


def test_many_recordings_of_which_some_are_bad(project: Project, make_films: MakeFilms) -> None:
    make_films(project.sources, {"whole.avi": [4]}, frames=3)
    whole = (project.sources / "whole.avi").read_bytes()
    for n in range(500):  # bytes behind the end make it another recording and change nothing
        content = whole + n.to_bytes(4, "little") if n % 20 else whole[: 600 + n]
        (project.sources / f"film-{n:03d}.avi").write_bytes(content)
    report = project.run()
    assert (report.recordings, report.signs) == (478, 479)
    bad = {row["item"] for row in tables.read(project.out / "skipped.parquet", "skipped").to_pylist()}
    assert bad == {f"film-{n:03d}.avi" for n in range(0, 500, 20)}
    project.seen = 0
    assert (project.run().reused, project.seen) == (478, 0)


def test_nothing_was_labelled_yet(tmp_path: Path) -> None:
    assert read_signs(tmp_path).num_rows == 0
    assert read_boxes(tmp_path).num_rows == 0
