"""A benchmark's projects: each step once, over cuts and restarts; commands are recorded here, not run."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from signloop.core.errors import ConfigError, DataError
from signloop.studies.cycles import FILMS, NEEDED, Bench, after_answers, claim, first_cycle, second_cycle

Ran = list[list[str]]


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", "-c", "user.name=n", "-c", "user.email=e@example.org", *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    checkout, data = tmp_path / "checkout", tmp_path / "data"
    checkout.mkdir()
    (checkout / "dvc.yaml").write_text("stages: {}\n")
    git(checkout, "init", "-q")
    git(checkout, "add", ".")
    git(checkout, "commit", "-qm", "Begin")
    for name in NEEDED:
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_text("{}")
    for folder in FILMS:
        (data / folder / "a.mp4").write_bytes(b"film")
    return Bench(checkout, data, tmp_path / "out", ["+experiment=fast"], lambda text: None)


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Ran:
    """Commands of the projects, without the interpreter; one that has the word "broken" fails."""
    found: Ran = []
    real = subprocess.run

    def run(command: Sequence[str], **options: Any) -> Any:
        if command[0] == "git":
            return real(command, **options)
        found.append([word for word in command[1:] if word not in ("-c", "-m")])
        assert options["env"]["PYTHONPATH"] == str(options["cwd"] / "src")
        return subprocess.CompletedProcess(command, int("broken" in " ".join(command)))

    monkeypatch.setattr(subprocess, "run", run)
    return found


def test_the_first_cycle_goes_as_a_user_would(bench: Bench, ran: Ran) -> None:
    project = bench.out / "seed-0" / "first"
    minutes = first_cycle(bench, project, 0)
    assert minutes is not None
    assert minutes >= 0
    assert [words[1:3] for words in ran] == [["params", "+experiment=fast"], ["import", "coco"], ["import", "crops"], ["repro"]]
    assert ran[0][-1] == "seed=0"
    assert (project / "dvc.yaml").exists()
    assert (project / "data" / "recordings" / "a.mp4").read_bytes() == b"film"


def test_what_is_done_is_not_done_again(bench: Bench, ran: Ran) -> None:
    project = bench.out / "seed-0" / "first"
    minutes = first_cycle(bench, project, 0)
    ran.clear()
    assert first_cycle(bench, project, 0) == minutes
    assert ran == []


def test_a_step_that_failed_is_done_again_and_its_minutes_are_unknown(bench: Bench, ran: Ran) -> None:
    project = bench.out / "seed-0" / "first"
    broken = Bench(bench.checkout, bench.data, bench.out, ["broken"], bench.say)
    with pytest.raises(DataError, match=r"the step 'params' of the benchmark failed.*exit code 1"):
        first_cycle(broken, project, 0)
    assert first_cycle(bench, project, 0) is None
    assert [words[1] for words in ran] == ["params", "params", "import", "import", "repro"]


def test_the_second_cycle_goes_on_in_a_copy(bench: Bench, ran: Ran) -> None:
    first, project = bench.out / "seed-0" / "first", bench.out / "seed-0" / "even"
    first_cycle(bench, first, 0)
    (first / "data" / "learnt").write_text("weights")
    ran.clear()
    second_cycle(bench, first, project, ["a.mp4"])
    assert [words[1] for words in ran] == ["simulate-review", "repro"]
    assert ran[0][-2:] == ["--recording", "a.mp4"]
    assert (project / "data" / "learnt").read_text() == "weights"
    second_cycle(bench, first, project, ["a.mp4"])
    assert len(ran) == 2


def test_some_answers_are_given_in_a_copy(bench: Bench, ran: Ran) -> None:
    first = bench.out / "seed-0" / "first"
    first_cycle(bench, first, 0)
    ran.clear()
    after_answers(bench, first, bench.out / "seed-0" / "some", ["a.mp4"], ["--signs", "3"])
    assert [words[1] for words in ran] == ["simulate-review", "repro"]
    assert ran[0][-4:] == ["--signs", "3", "--recording", "a.mp4"]
    assert ran[1][-1] == "bundle"


def test_a_folder_belongs_to_one_commit_and_one_set_of_parameters(bench: Bench) -> None:
    commit = claim(bench)
    assert claim(bench) == commit
    with pytest.raises(ConfigError, match=r"this folder holds a benchmark of something else.*Choose a new --out"):
        claim(Bench(bench.checkout, bench.data, bench.out, ["seed=1"], bench.say))


def test_changes_that_are_not_committed_are_refused(bench: Bench) -> None:
    (bench.checkout / "dvc.yaml").write_text("stages: {a: {cmd: b}}\n")
    with pytest.raises(ConfigError, match=r"the checkout has changes .*M dvc\.yaml.*run in a clean clone"):
        claim(bench)


def test_a_folder_belongs_to_one_set_of_data(bench: Bench) -> None:
    claim(bench)
    (bench.data / "drives" / "b.mp4").write_bytes(b"another film")
    with pytest.raises(ConfigError, match=r"this folder holds a benchmark of something else"):
        claim(bench)


def test_data_must_be_complete(bench: Bench) -> None:
    (bench.data / "carnd" / "annotations.json").unlink()
    with pytest.raises(DataError, match=r"the data of the benchmark is incomplete.*no \['carnd/annotations.json'\]"):
        claim(bench)


def test_a_missing_film_is_told_before_hours_of_training(bench: Bench) -> None:
    (bench.data / "carnd" / "a.mp4").unlink()
    with pytest.raises(DataError, match=r"the data of the benchmark is incomplete.*no \['carnd/\*\.mp4'\]"):
        claim(bench)


def test_a_checkout_must_be_under_git(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    with pytest.raises(DataError, match=r"git cannot be used"):
        claim(Bench(tmp_path / "plain", bench.data, bench.out, [], bench.say))
