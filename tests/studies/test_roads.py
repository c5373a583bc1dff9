"""The road benchmark: its halves, and the whole of it on a few drawn recordings with networks that learn next to nothing."""

import json
from pathlib import Path

import pytest

from signloop.measure.truth import read_truth
from signloop.registry import runs, store
from signloop.studies import roads
from signloop.studies.bars import BARS, Measured
from signloop.studies.cycles import Bench


def test_halves_are_every_second_recording(tmp_path: Path) -> None:
    videos = [{"id": n, "file_name": f"{n}.mp4", "fps": 10.0} for n in range(3)]
    images = [{"id": 10 + n, "video_id": n, "frame_index": 0} for n in range(3)]
    boxes = [{"id": n, "image_id": 10 + n, "category_id": 1, "bbox": [0, 0, 9, 9], "track_id": n} for n in range(3)]
    (tmp_path / "truth.json").write_text(json.dumps({"videos": videos, "images": images, "annotations": boxes}))
    found = roads.halves(read_truth(tmp_path / "truth.json"))
    assert {half: [video.file_name for video in truth.videos] for half, truth in found.items()} == {
        "even": ["0.mp4", "2.mp4"],
        "odd": ["1.mp4"],
    }
    assert [frame.id for frame in found["even"].frames] == [10, 12]
    assert set(found["odd"].annotations) == {11}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_whole_benchmark_runs_once_and_goes_on_where_it_was_cut(
    checkout: Path, road_data: Path, tiny: list[str], tmp_path: Path
) -> None:
    said: list[str] = []
    bench = Bench(checkout, road_data, tmp_path / "out", tiny, said.append)
    uri, artifacts = store.sqlite_uri(tmp_path), tmp_path / "artifacts"
    where, quiet = roads.Store(uri, artifacts), lambda what, done, total: None
    first = roads.run(bench, [0], 1, where, quiet)[0]
    assert "second_minus_first.errors" not in first
    found = roads.run(bench, [0], 2, where, quiet)[0]
    assert first.items() <= found.items()
    assert set(BARS) <= set(found)
    assert all(one.value is not None for one in found.values())
    assert found["detector.gflop"].value is not None
    assert found["detector.gflop"].value > 1
    steps = [text.split(": ")[1] for text in said if text.startswith("seed-0/")]
    assert steps == ["params", "stills", "crops", "first", "person", "second", "person", "second"]
    logged = runs.find(uri, {"kind": "bench roads", "cycle": "first"}, artifact_root=artifacts)
    assert [run.metrics["drives.ap50"] for run in logged] == [found["drives.ap50"].value]
    assert len(runs.find(uri, {"kind": "bench roads", "cycle": "second"}, artifact_root=artifacts)) == 1
    assert {path.name for path in artifacts.rglob("*.png")} == {"first-errors.png", "second-errors.png"}

    said.clear()
    for cycle in roads.MEASURED:
        (tmp_path / "out" / "seed-0" / f"{cycle}-result.json").unlink()
    again = roads.run(bench, [0], 2, where, quiet)[0]
    assert again == found
    assert [text for text in said if text.startswith("seed-0/")] == []
    assert isinstance(again["first_cycle.minutes"], Measured)
