"""Workers that are killed, stand still, or cannot begin: only the recording that did it is lost, and nothing is left running."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from signloop.core import params
from signloop.core.boxes import Boxes
from signloop.core.errors import ModelError
from signloop.core.params import Params
from signloop.core.taxonomy import SignClass, Taxonomy
from signloop.frames.video import find_recordings
from signloop.prelabel.crew import Alone
from signloop.prelabel.proposal import Opinions
from signloop.prelabel.workers import Load, Workers, how_many
from signloop.prelabel.write import Ended, Job, Looked

MakeFilms = Callable[..., dict[str, Any]]
Image = NDArray[np.uint8]
ROOT = Path(__file__).parents[2]
GREEN, BLUE = (30, 200, 40), (40, 50, 230)  # of the shapes of classes 11 and 30


class Moody:
    """Finds one box in every frame; what it does when it sees green or blue is up to the test."""

    model_id = "mmoody"
    streams = 1
    taxonomy = Taxonomy(name="one", object_name="thing", classes=(SignClass(id=0, name="thing", group="all"),))

    def __init__(self, on_green: Callable[[], None], on_blue: Callable[[], None]) -> None:
        self.on = {GREEN: on_green, BLUE: on_blue}

    def __str__(self) -> str:
        return "moody"

    def detect(self, images: Sequence[Image]) -> list[Boxes]:
        for image in images:
            for colour, act in self.on.items():
                if (np.abs(image.astype(int) - colour).max(axis=2) < 60).sum() > 50:
                    act()
        return [Boxes(np.array([[10, 10, 40, 40]], np.float32), np.array([0.9], np.float32)) for _ in images]

    def cut(self, image: Image, xyxy: ArrayLike) -> Image:
        return image[:8, :8]

    def classify(self, crops: Sequence[Image]) -> Opinions:
        return np.tile(np.array([0.9, 0.1], np.float32), (len(crops), 1)), np.full((len(crops), 1), -50, np.float32)


def nothing() -> None:
    """Be well."""


def die() -> None:
    """Be killed, as by the system when the memory is used up."""
    os.kill(os.getpid(), signal.SIGKILL)


def break_down() -> None:
    """Fail in a way that nobody foresaw."""
    raise RuntimeError("out of cheese")


def die_once(mark: Path) -> None:
    """Be killed, the first time."""
    if not mark.exists():
        mark.touch()
        die()


def stand_still(mark: Path) -> None:
    """Tell who one is, and do not come back."""
    mark.write_text(str(os.getpid()))
    time.sleep(600)


def load(on_green: Callable[[], None] = nothing, on_blue: Callable[[], None] = nothing) -> Moody:
    """Make a model, in a worker."""
    return Moody(on_green, on_blue)


def refuse() -> Moody:
    """Find no model."""
    raise ModelError("weights are missing", where="here", todo="Train.")


def fail_to_load() -> Moody:
    """Be killed before there is a model."""
    die()
    raise AssertionError


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let workers find what is defined here."""
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.fixture
def job(tmp_path: Path, shape_params: Params, make_films: MakeFilms) -> Job:
    make_films(tmp_path / "recordings", {"blue.avi": [30], "green.avi": [11], "red.avi": [4], "red too.avi": [4, 4]}, frames=4)
    return Job(shape_params.prelabel, tmp_path / "prelabels", "0" * 64)


def run(job: Job, make: Load, count: int = 1, stall_s: float = 60.0) -> tuple[dict[str, Ended], list[str]]:
    """Label the films; returns how each ended, by name, and what was said."""
    found, _ = find_recordings(job.out_folder.parent / "recordings", 10.0)
    names = {recording.recording_id: recording.name for recording in found}
    news: list[Looked | Ended] = []
    said: list[str] = []
    Workers(make, "mmoody", count, stall_s, said.append).label(found, job, news.append)
    ends = [told for told in news if isinstance(told, Ended)]
    assert sorted(end.recording_id for end in ends) == sorted(names)  # each once
    assert {told.recording_id for told in news if isinstance(told, Looked)} <= set(names)
    return {names[end.recording_id]: end for end in ends}, said


def files(folder: Path) -> dict[str, bytes]:
    """Read all that lies there."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_workers_leave_what_one_process_leaves(job: Job, tmp_path: Path) -> None:
    ends, said = run(job, load, count=2)
    assert {name: (end.signs, end.reason) for name, end in ends.items()} == dict.fromkeys(ends, (1, None))
    assert said == ["moody"]
    alone = Job(job.params, tmp_path / "alone", job.params_hash)
    found, _ = find_recordings(tmp_path / "recordings", 10.0)
    Alone(load()).label(found, alone, lambda news: None)
    assert len(files(job.out_folder)) == 8
    assert files(job.out_folder) == files(alone.out_folder)


def test_no_recordings_need_no_workers(job: Job) -> None:
    Workers(refuse, "mmoody", 2, 60.0, lambda text: None).label([], job, lambda news: None)


@pytest.mark.parametrize(
    ("act", "reason"), [(die, "the worker was ended by signal 9"), (break_down, "the worker ended with code 1")], ids=["killed", "broken"]
)
def test_a_recording_that_ends_its_worker_is_left_out(job: Job, act: Callable[[], None], reason: str) -> None:
    ends, _ = run(job, partial(load, on_green=act), count=2)
    assert {name for name, end in ends.items() if end.reason is None} == {"blue.avi", "red.avi", "red too.avi"}
    assert ends["green.avi"].reason == reason
    assert ends["green.avi"].detail == f"{reason} (green.avi), 2 times. Convert it, or leave it out."
    assert len(files(job.out_folder)) == 6
    again, _ = run(job, load)
    assert {name: end.reason for name, end in again.items()} == dict.fromkeys(ends)


def test_a_worker_that_was_killed_once_costs_nothing(job: Job, tmp_path: Path) -> None:
    ends, _ = run(job, partial(load, on_blue=partial(die_once, tmp_path / "died")))
    assert (tmp_path / "died").exists()
    assert {end.reason for end in ends.values()} == {None}
    assert list(ends)[-1] == "blue.avi"  # behind all others


def test_a_worker_that_stands_still_is_ended(job: Job, tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    ends, _ = run(job, partial(load, on_green=partial(stand_still, mark)), stall_s=8)
    assert {name: end.reason for name, end in ends.items() if end.reason} == {"green.avi": "the worker stood still for 8 s"}
    assert is_gone(int(mark.read_text()))


@pytest.mark.parametrize(
    ("make", "stall_s", "expected"),
    [
        (refuse, 60.0, r"weights are missing \(here\)\. Train\."),
        (fail_to_load, 60.0, r"a worker could not load the model; found the worker was ended by signal 9\. Is the memory .*crew\.workers"),
        (partial(time.sleep, 600), 2.0, r"a worker could not load the model; found the worker stood still for 2 s.*crew\.stall_s"),
    ],
    ids=["no weights", "killed", "stuck"],
)
def test_a_model_that_cannot_be_loaded_ends_the_run(job: Job, make: Load, stall_s: float, expected: str) -> None:
    with pytest.raises(ModelError, match=expected):
        run(job, make, stall_s=stall_s)


def test_results_that_cannot_be_written_end_the_run(job: Job) -> None:
    job.out_folder.touch()  # a file where a folder should be
    with pytest.raises(NotADirectoryError):
        run(job, load)


def stand_still_in_a_worker(folder: str) -> None:
    """Be a process whose worker stands still."""
    job = Job(params.load(ROOT / "params.yaml").prelabel, Path(folder) / "prelabels", "0" * 64)
    run(job, partial(load, on_blue=partial(stand_still, Path(folder) / "pid")))


def test_a_worker_does_not_outlive_who_started_it(job: Job, tmp_path: Path) -> None:
    code = "import sys; from tests.prelabel.test_workers import stand_still_in_a_worker; stand_still_in_a_worker(sys.argv[1])"
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], env={**os.environ, "PYTHONPATH": str(ROOT)})
    mark = tmp_path / "pid"
    wait_until(lambda: mark.exists() and mark.read_text() != "")
    pid = int(mark.read_text())
    assert not is_gone(pid)
    parent.kill()
    parent.wait()
    wait_until(lambda: is_gone(pid))
    assert {path.name[0] for path in tmp_path.glob("prelabels/*/*")} <= set("0123456789abcdef")  # no half file
    assert {end.reason for end in run(job, load)[0].values()} == {None}


@pytest.mark.parametrize(
    ("asked", "on_gpu", "cores", "expected"),
    [(None, False, 1, (1, 1)), (None, False, 2, (1, 2)), (None, False, 16, (4, 4)), (None, True, 16, (1, 16)), (3, True, 8, (3, 2))],
)
def test_how_many_workers_a_machine_feeds(
    asked: int | None, on_gpu: bool, cores: int, expected: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)))
    assert how_many(asked, on_gpu) == expected


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait, a minute at most."""
    for _ in range(600):
        if holds():
            return
        time.sleep(0.1)
    raise AssertionError("in vain")


def is_gone(pid: int) -> bool:
    """Tell whether a process has ended; one that nobody has asked about since has, too."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"
