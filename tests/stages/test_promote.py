import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from signloop.core.files import read_json, sha256_file, sha256_json, write_json
from signloop.core.params import Params
from signloop.registry import store, versions
from signloop.registry.runs import start_run
from signloop.stages._edge import Project
from signloop.stages.promote import act

GOOD = {"ap50": 0.5, "ap75": 0.4, "class_accuracy": 0.8, "sign_recall": 0.9, "sign_class_accuracy": 0.7}
PRELABEL = {"keep_score": 0.3}
Candidate = Callable[..., str]


@pytest.fixture
def project(bare: Project) -> Project:
    """A project with labels, in which nothing was trained yet."""
    label(bare.root, "first")
    return bare


@pytest.fixture
def candidate(project: Project) -> Candidate:
    """A function that puts a candidate and its scores where the stages before leave them, and returns its model id."""

    def put(weights: str, metrics: dict[str, float], test_version: str = "t1", prelabel: dict[str, Any] = PRELABEL) -> str:
        folder = project.data / "candidate"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for network in ("detector", "classifier"):
            (folder / f"{network}.safetensors").write_text(f"{network} {weights}")
        files = {path.name: sha256_file(path) for path in sorted(folder.iterdir())}
        model_id = f"m{sha256_json(files)[:12]}"
        write_json(folder / "bundle.json", {"model_id": model_id, "files": files})
        scores = {"model_id": model_id, "test_version": test_version, "prelabel": prelabel, "left_out": [], "frames": 7, "metrics": metrics}
        write_json(project.data / "scores" / "scores.json", scores)
        return model_id

    return put


def label(root: Path, content: str) -> str:
    """Write tables of truth; returns the hash that a training on them has as a tag."""
    paths = [root / "data" / "truth" / f"{name}.parquet" for name in ("frames", "truth", "crops")]
    paths[0].parent.mkdir(parents=True, exist_ok=True)
    for path in paths:
        path.write_text(f"{path.stem} {content}")
    return sha256_json([sha256_file(path) for path in paths])


def train(project: Project, network: str, weights: str, data_hash: str) -> str:
    """Leave the run of a training that gave these weights."""
    file = project.root / "weights"
    file.write_text(f"{network} {weights}")
    tags = {"network": network, "weights_sha256": sha256_file(file), "data_hash": data_hash}
    with start_run(project.mlflow_uri, "signloop", f"train {network}", tags, {}, artifact_root=project.artifact_root) as run:
        return run.run_id


def tags(project: Project, version: int) -> dict[str, str]:
    return dict(versions.info(project.mlflow_uri, version).tags)


def test_a_version_names_its_data_and_its_two_trainings(project: Project, candidate: Candidate, shape_params: Params) -> None:
    candidate("a", GOOD)
    now, other = label(project.root, "second"), label(project.root, "first")
    label(project.root, "second")
    ids = {f"{network}_run": train(project, network, "a", now) for network in ("detector", "classifier")}
    train(project, "detector", "b", now)
    train(project, "detector", "a", other)  # the same weights came out of other data, too
    act(project, shape_params)
    found = tags(project, 1)
    assert found["data_hash"] == now
    assert ids.items() <= found.items()
    assert {"git_commit", "overrides"} <= found.keys()
    page = store.client(project.mlflow_uri).get_model_version(versions.NAME, "1").description or ""
    assert all(f"#/runs/{run_id}" in page for run_id in ids.values())


def test_without_the_runs_a_version_still_names_its_data(
    project: Project, candidate: Candidate, shape_params: Params, caplog: pytest.LogCaptureFixture
) -> None:
    candidate("a", GOOD)  # as DVC restores it where it was not trained
    with caplog.at_level("INFO", "signloop"):
        act(project, shape_params)
    assert tags(project, 1)["data_hash"] == label(project.root, "first")
    assert not {"detector_run", "classifier_run"} & tags(project, 1).keys()
    assert "no run that trained this detector" in caplog.text
    found = train(project, "classifier", "a", label(project.root, "first"))
    act(project, shape_params)
    assert tags(project, 1)["classifier_run"] == found


def test_a_version_shows_what_its_scores_were_measured_on(project: Project, candidate: Candidate, shape_params: Params) -> None:
    candidate("a", GOOD)
    act(project, shape_params)
    before = tags(project, 1)
    assert (before["ap50"], before["test_version"], before["test_frames"], before["gate"]) == ("0.5000", "t1", "7", "passed")
    assert before["prelabel"] == '{"keep_score": 0.3}'
    candidate("a", {"ap50": 0.45, "class_accuracy": 0.75}, "t2", {"keep_score": 0.6})  # as after a new round without a video
    act(project, shape_params)
    after = tags(project, 1)
    assert (after["ap50"], after["class_accuracy"], after["test_version"]) == ("0.4500", "0.7500", "t2")
    assert after["prelabel"] == '{"keep_score": 0.6}'
    assert not {"ap75", "sign_recall", "sign_class_accuracy"} & after.keys()
    assert (after["gate"], after["gate_reasons"]) == (before["gate"], before["gate_reasons"])
    assert len(versions.versions(project.mlflow_uri)) == 1


def test_an_experiment_leaves_the_scores_of_a_version_as_they_are(
    project: Project, candidate: Candidate, shape_params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate("a", GOOD)
    act(project, shape_params)
    before = tags(project, 1)
    monkeypatch.setenv("DVC_EXP_NAME", "trial")
    candidate("a", {**GOOD, "ap50": 0.45}, prelabel={"keep_score": 0.6})
    act(project, shape_params)
    assert tags(project, 1) == before


@pytest.mark.parametrize("is_experiment", [False, True])
def test_scores_of_the_champion_follow_when_the_gate_measures_them_again(
    is_experiment: bool, project: Project, candidate: Candidate, shape_params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion = candidate("a", GOOD)
    act(project, shape_params)
    judged = []

    def evaluate(runtime: object, truth: Path, prelabel: object, out: Path, progress: object) -> dict[str, Any]:
        judged.append(out)
        scores = {"model_id": champion, "test_version": "t2", "prelabel": PRELABEL, "left_out": [], "frames": 9}
        scores["metrics"] = {**GOOD, "ap50": 0.3}
        write_json(out / "scores.json", scores)
        return scores

    monkeypatch.setattr("signloop.prelabel.evaluate.evaluate", evaluate)
    monkeypatch.setattr("signloop.models.runtime.load_runtime", lambda bundle, *_: read_json(bundle / "bundle.json"))
    if is_experiment:
        monkeypatch.setenv("DVC_EXP_NAME", "trial")
    for number, weights in enumerate("bc", start=1):
        candidate(weights, {**GOOD, "ap50": 0.1}, "t2")  # worse than the champion on either set
        act(project, shape_params)
        assert len(judged) == (number if is_experiment else 1)  # outside of an experiment, the next candidate finds them
    found = tags(project, 1)
    shown = (found["ap50"], found["test_version"], found["test_frames"])
    assert shown == (("0.5000", "t1", "7") if is_experiment else ("0.3000", "t2", "9"))
    assert read_json(project.data / "champion" / "champion.json")["version"] == 1
    assert "challenger" in versions.info(project.mlflow_uri, 3).aliases
