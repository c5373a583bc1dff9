import io
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from signloop.core.errors import ConfigError, DataError
from signloop.core.params import load
from signloop.stages import _edge
from signloop.stages._edge import Project, compose, dump, find_project, git_commit, guarded, lock, read_params, run_stage, write_params

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A checkout with conf/ and the params.yaml of the experiment for tests, and the shell standing in one of its folders."""
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT", "DVC_EXP_NAME"):
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "check out"
    shutil.copytree(ROOT / "conf", root / "conf")
    shutil.copy(ROOT / "dvc.yaml", root)
    (root / "data").mkdir()
    monkeypatch.chdir(root / "data")
    write_params(find_project(), ["+experiment=fast"])
    return find_project()


def test_the_committed_params_are_what_conf_composes_with_their_own_overrides() -> None:
    overrides = list(load(ROOT / "params.yaml").overrides)
    assert dump(compose(ROOT / "conf", overrides)) == (ROOT / "params.yaml").read_bytes()


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml")))
def test_every_experiment_composes(name: str) -> None:
    assert compose(ROOT / "conf", [f"+experiment={name}"])["train"]["detector"]["steps"] > 0


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "conf" / "detector").glob("*.yaml")))
def test_every_detector_composes_with_an_experiment_and_a_value(name: str) -> None:
    value = compose(ROOT / "conf", ["+experiment=fast", f"detector={name}", "detector.lr=1e-4"])
    assert value["detector"]["lr"] == 0.0001
    assert value["overrides"] == ["+experiment=fast", f"detector={name}", "detector.lr=1e-4"]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("detector.lrr=1", r"detector\.lrr"),
        ("detector.lr=fast", r"detector\.lr: .*number"),
        ("detector.batch=0", r"detector\.batch: .*greater than or equal to 1"),
        ("detector=fcos_large", "fcos_large"),
        ("+experiment=raods", "raods"),
        ("detector.lr==", r"detector\.lr=="),
        ("detector.lr=???", r"detector\.lr"),
        ("seed=${nothing}", "nothing"),
        ("+new.key=1", r"new: Extra inputs"),
    ],
)
def test_a_wrong_override_is_named(override: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=rf"(?s){expected}"):
        compose(ROOT / "conf", [override])


def test_params_are_written_with_their_overrides_and_are_fresh(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    text = (project.root / "params.yaml").read_text()
    assert text.startswith("# Made by `signloop params`")
    assert yaml.safe_load(text)["overrides"] == ["+experiment=fast"]
    with caplog.at_level(logging.WARNING, "signloop"):
        assert read_params(project).train.detector.steps == 4
    assert caplog.text == ""


def test_stale_params_are_announced_with_the_command(
    project: Project, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = project.root / "conf" / "queue" / "default.yaml"
    conf.write_text("frame_share: 0.5\n")
    with caplog.at_level(logging.WARNING, "signloop"):
        assert read_params(project).queue.frame_share == 0.05  # what is written counts
        assert "params.yaml is stale" in caplog.text
        assert "Run `signloop params +experiment=fast`" in caplog.text
        caplog.clear()
        conf.write_text("frame_sharee: 0.5\n")
        read_params(project)
        assert "queue.frame_sharee" in caplog.text
        caplog.clear()
        monkeypatch.setenv("DVC_EXP_NAME", "red-sweep")  # an experiment composes with overrides of its own
        read_params(project)
    assert caplog.text == ""


def test_a_project_is_found_from_within_and_only_there(project: Project, tmp_path: Path) -> None:
    assert project.root == (tmp_path / "check out").resolve()
    assert find_project(project.data) == project
    with pytest.raises(ConfigError, match=r"no Signloop project.*dvc\.yaml and conf/.*Go to your checkout"):
        find_project(tmp_path)


def test_the_environment_names_the_store_the_checkout_and_the_experiment(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert project.mlflow_uri == f"sqlite:///{project.root}/mlflow.db"
    assert project.artifact_root == project.root / "mlruns"
    assert not project.is_experiment
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "main"))  # a queued experiment runs in a copy
    monkeypatch.setenv("DVC_EXP_NAME", "blue-sweep")
    queued = find_project()
    assert (queued.root, queued.store_root) == (project.root, tmp_path / "main")
    assert (queued.data, queued.recordings) == (project.root / "data", tmp_path / "main" / "data" / "recordings")
    assert queued.mlflow_uri == f"sqlite:///{tmp_path}/main/mlflow.db"
    assert queued.is_experiment
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert queued.mlflow_uri == "http://127.0.0.1:5000"
    assert queued.artifact_root is None


HOLD = """
import sys
from pathlib import Path
from signloop.stages._edge import Project, lock
root = Path(sys.argv[1])
with lock(Project(root, root), "train-detector"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_stage_runs_once_at_a_time_and_a_killed_one_leaves_no_lock(project: Project) -> None:
    command = [sys.executable, "-c", HOLD, str(project.root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(ConfigError, match=r"train-detector is running already.*Wait for it"), lock(project, "train-detector"):
            pass
        with lock(project, "train-classifier"):
            pass
        other.kill()
    with lock(project, "train-detector"):
        pass


def fail(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    ("error", "code", "expected"),
    [
        (DataError("a [red] film is broken", where="a.mp4", todo="Repair it."), 1, "signloop: a [red] film is broken (a.mp4). Repair it."),
        (OSError(28, "No space left on device"), 1, "signloop: the system refused: [Errno 28] No space left on device"),
        (KeyboardInterrupt(), 130, "signloop: interrupted"),
        (ImportError("libGL.so.1: cannot open shared object file"), 1, "apt-get install libgl1 libglib2.0-0"),
    ],
)
def test_known_errors_become_one_line_and_an_exit_code(
    error: BaseException, code: int, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(lambda: fail(error)) == code
    printed = capsys.readouterr().err
    assert expected in printed
    assert printed.count("\n") == 1
    assert "Traceback" not in printed


def test_a_fault_of_ours_is_not_hidden() -> None:
    assert guarded(lambda: None) == 0
    for error in (ImportError("no module named x"), ZeroDivisionError("ours")):
        with pytest.raises(type(error)):
            guarded(lambda e=error: fail(e))  # type: ignore[misc]


def test_a_stage_ends_with_its_exit_code(project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(_edge, "set_up_logging", lambda: None)
    seen = []
    with pytest.raises(SystemExit, match="0"):
        run_stage("extract", lambda found, params: seen.append((found, params.train.detector.steps)))
    assert seen == [(project, 4)]
    with pytest.raises(SystemExit, match="1"), lock(project, "extract"):
        run_stage("extract", lambda found, params: None)
    assert "stage extract is running already" in capsys.readouterr().err
    (project.root / "params.yaml").unlink()
    with pytest.raises(SystemExit, match="1"):
        run_stage("extract", lambda found, params: None)
    assert "Run `signloop params`" in capsys.readouterr().err


NO_LIBRARY = "raise ImportError('libGL.so.1: cannot open shared object file: No such file or directory')\n"


@pytest.mark.parametrize("stage", ["extract", "prelabel", "train"])
def test_a_stage_on_a_slim_machine_says_first_what_to_install(stage: str, project: Project, tmp_path: Path) -> None:
    (tmp_path / "slim" / "cv2").mkdir(parents=True)
    (tmp_path / "slim" / "cv2" / "__init__.py").write_text(NO_LIBRARY)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "slim"), str(ROOT / "src")])}
    command = [sys.executable, "-m", f"signloop.stages.{stage}", "detector"]
    done = subprocess.run(command, cwd=project.root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "apt-get install libgl1" in done.stderr.splitlines()[0]
    assert "Traceback" not in done.stderr


def test_the_commit_is_told_with_a_mark_if_files_differ(project: Project) -> None:
    assert git_commit(project) == "unknown"

    def git(*words: str) -> None:
        who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *who, *words], cwd=project.root, check=True, capture_output=True)

    git("init", "-q")
    git("add", "dvc.yaml")
    git("commit", "-q", "-m", "first")
    commit = git_commit(project)
    assert len(commit) == 40
    (project.root / "dvc.yaml").write_text("stages: {}\n")
    assert git_commit(project) == commit + "+"


def test_a_bar_gives_the_terminal_back_also_when_the_work_ends_early(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(_edge, "TERMINAL", Console(file=screen, force_terminal=True, width=80))

    def work() -> None:
        _edge.progress("frames [1]", 3, 10)
        raise DataError("it broke")

    assert guarded(work) == 1
    assert "frames [1]" in screen.getvalue()
    assert screen.getvalue().count("\x1b[?25l") == screen.getvalue().count("\x1b[?25h") == 1  # the cursor is hidden, and shown again


def test_rounds_that_were_not_fetched_are_not_written_beside(project: Project) -> None:
    _edge.require_rounds(project)
    (project.data / "verified.dvc").write_text("outs: []")
    with pytest.raises(DataError, match=r"only the pointer to them .*verified\.dvc.*Run `dvc pull`"):
        _edge.require_rounds(project)
    (project.data / "verified").mkdir()
    _edge.require_rounds(project)


def test_progress_is_a_line_per_tenth(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "signloop"):
        for done in range(101):
            _edge.progress("frames", done, 100)
    assert caplog.messages == [f"frames {done} of 100" for done in range(0, 101, 10)]


def test_the_time_left_is_told_at_the_rate_so_far_for_each_work_anew(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    with caplog.at_level(logging.INFO, "signloop"):
        for done in range(1, 11):
            _edge.progress("steps", done, 10)
            now[0] += 100
        _edge.progress("steps", 10, 10)  # said already
        _edge.progress("steps", 1, 10)
        now[0] += 5
        _edge.progress("steps", 2, 10)
    assert caplog.messages[:2] == ["steps 1 of 10", "steps 2 of 10, about 13 min left"]
    assert caplog.messages[8:] == ["steps 9 of 10, about 2 min left", "steps 10 of 10", "steps 1 of 10", "steps 2 of 10"]
