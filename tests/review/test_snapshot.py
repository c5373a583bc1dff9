"""A snapshot holds what was shown, whatever happens to the prelabels later."""

import shutil
from pathlib import Path

import pytest

from signloop.core.errors import DataError
from signloop.review import snapshot

DRIVE, PHOTOS = "d" * 16, "f" * 16


def take(project: Path, recordings: list[str] | None = None) -> Path:
    return snapshot.take(project / "prelabels", project / "frames", project / "review", recordings)


def test_it_holds_the_recordings_that_were_asked_for(project: Path) -> None:
    shown = snapshot.load(take(project, [DRIVE]))
    assert shown.recordings == {DRIVE: {"name": "drive one.mp4", "kind": "video"}}
    assert (shown.boxes.num_rows, shown.signs.num_rows, shown.frames.num_rows) == (13, 4, 3)
    assert set(snapshot.load(take(project)).recordings) == {DRIVE, PHOTOS}


def test_again_is_harmless_and_other_content_is_another_snapshot(project: Path) -> None:
    first = take(project)
    assert take(project) == first
    assert take(project, [DRIVE]) != first
    assert len(list((project / "review" / "snapshots").iterdir())) == 2


def test_it_outlives_a_repro(project: Path) -> None:
    path = take(project)
    shutil.rmtree(project / "prelabels")
    shutil.rmtree(project / "frames")
    assert snapshot.load(path).boxes.num_rows == 14


def test_proposals_are_those_of_extracted_frames_with_the_class_of_their_sign(project: Path) -> None:
    proposals = snapshot.load(take(project)).proposals
    assert sorted(proposals) == [f"{DRIVE}/000000", f"{DRIVE}/000002", f"{DRIVE}/000004", f"{PHOTOS}/000000"]
    second = proposals[f"{DRIVE}/000002"]
    assert second.class_ids == (3, 8, None)
    assert second.xyxy[0].tolist() == [12, 10, 32, 30]
    assert second.box_ids[0] == f"{DRIVE}/mtest/0000/000002"


def test_units_are_stills_or_recordings(project: Path) -> None:
    units = snapshot.load(take(project)).units({f"{DRIVE}/000000", f"{DRIVE}/000002", f"{PHOTOS}/000001"})
    assert units == {DRIVE: "video", f"{PHOTOS}/000001": "stills"}


def test_unfinished_prelabels_are_not_shown(project: Path) -> None:
    next((project / "prelabels" / "signs").glob(f"{DRIVE}*")).unlink()
    with pytest.raises(DataError, match=r"no prelabels to review.*drive one"):
        take(project, [DRIVE])
    assert list(snapshot.finished(project / "prelabels")) == [PHOTOS]


def test_results_of_two_models_are_refused(project: Path) -> None:
    signs = project / "prelabels" / "signs"
    shutil.copy(next(signs.glob(f"{DRIVE}*")), signs / f"{DRIVE}-mother-abcdef01.parquet")
    with pytest.raises(DataError, match="two results"):
        take(project)


def test_no_prelabels_at_all(project: Path) -> None:
    shutil.rmtree(project / "prelabels")
    with pytest.raises(DataError, match="dvc repro"):
        take(project)


def test_a_snapshot_is_found_by_id_or_by_its_frames(project: Path) -> None:
    path = take(project, [DRIVE])
    take(project, [PHOTOS])
    assert snapshot.find(project / "review", path.name, set()).snapshot_id == path.name
    assert snapshot.find(project / "review", None, {f"{DRIVE}_000002"}).snapshot_id == path.name


@pytest.mark.parametrize(
    ("snapshot_id", "message"), [("../../x", "not here"), (7, "not here"), ("0" * 16, "not here"), (None, "does not say")]
)
def test_an_unknown_snapshot_is_refused(project: Path, snapshot_id: object, message: str) -> None:
    take(project, [DRIVE])
    with pytest.raises(DataError, match=message):
        snapshot.find(project / "review", snapshot_id, {"strange_000001"})
