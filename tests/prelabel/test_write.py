"""One result: whole or absent, made once, and only of a recording that stayed what it was."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from signloop.core.params import Params
from signloop.frames.video import Frame, Recording, find_recordings
from signloop.prelabel import write
from signloop.prelabel.proposal import Runtime
from signloop.prelabel.write import Ended, Job, Looked, is_finished, label_recording, read_boxes, read_signs, result_key

MakeFilms = Callable[..., dict[str, Any]]


@pytest.fixture
def job(tmp_path: Path, shape_params: Params) -> Job:
    return Job(shape_params.prelabel, tmp_path / "prelabels", "0" * 64)


@pytest.fixture
def film(tmp_path: Path, make_films: MakeFilms) -> Recording:
    make_films(tmp_path / "recordings", {"film.avi": [4, 11]}, frames=6)
    return find_recordings(tmp_path / "recordings", 10.0)[0][0]


def test_a_recording_is_labelled_once_and_news_tell_of_each_frame(film: Recording, seer: Runtime, job: Job) -> None:
    for frames in (6, 0):
        news: list[Looked | Ended] = []
        label_recording(film, seer, job, news.append)
        looks = [Looked(film.recording_id, index, 1) for index in range(frames)]
        assert news == [*looks, Ended(film.recording_id, signs=2)]
    assert is_finished(job.out_folder, result_key(film, seer.model_id, job.params_hash))
    assert (read_signs(job.out_folder).num_rows, read_boxes(job.out_folder).num_rows) == (2, 12)


@pytest.mark.parametrize(
    ("change", "reason", "detail"),
    [
        (lambda path: path.write_bytes(path.read_bytes() + b"more"), "the recording changed while it was read", "once it rests"),
        (lambda path: path.unlink(), "the recording is gone", "No such file"),
    ],
    ids=["it grew", "it was deleted"],
)
def test_a_recording_that_is_another_by_now_leaves_nothing(
    film: Recording, seer: Runtime, job: Job, change: Callable[[Path], None], reason: str, detail: str
) -> None:
    news: list[Looked | Ended] = []

    def hear(told: Looked | Ended) -> None:
        if told == Looked(film.recording_id, 3, 1):
            change(film.path)
        news.append(told)

    label_recording(film, seer, job, hear)
    end = news[-1]
    assert isinstance(end, Ended)
    assert end.reason == reason
    assert detail in end.detail
    assert "film.avi" in end.detail
    assert not list(job.out_folder.rglob("*.parquet"))


def test_a_full_disk_leaves_nothing_half_written(film: Recording, seer: Runtime, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", full)
        with pytest.raises(OSError, match="No space left"):
            label_recording(film, seer, job, lambda news: None)
    assert not [path for path in job.out_folder.rglob("*") if path.is_file()]
    label_recording(film, seer, job, lambda news: None)
    assert read_signs(job.out_folder).num_rows == 2


def test_frames_out_of_order_are_a_fault_of_the_recording(
    film: Recording, seer: Runtime, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def twice(recording: Recording, **options: object) -> Iterator[Frame]:
        for _ in range(2):
            yield Frame(0, 0.0, np.zeros((recording.height, recording.width, 3), np.uint8))

    monkeypatch.setattr(write, "read_frames", twice)
    news: list[Looked | Ended] = []
    label_recording(film, seer, job, news.append)
    assert isinstance(news[-1], Ended)
    assert news[-1].reason == "frames are out of order"
