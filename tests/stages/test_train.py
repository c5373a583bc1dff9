"""The stage in processes of its own: with two that train together it leaves what it leaves with one."""

import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from signloop.core import tables
from signloop.core.errors import ConfigError
from signloop.core.files import read_json, write_json
from signloop.core.params import Params
from signloop.frames.extract import extract
from signloop.frames.truth import assemble
from signloop.models.bundle import read_classifier, read_detector
from signloop.models.learn import LEARN
from signloop.registry import store
from signloop.stages import _edge, train
from signloop.stages._edge import Project

ROOT = Path(__file__).parents[2]
FILMS = {f"{n}.avi": [4, 11, 30] for n in range(6)}
STILL = "{steps: 8, validate_every: 1, patience: 1}"  # with next to no learning rate, most validations are no better than the last
OVERRIDES = [
    "+experiment=fast", "trainer.accelerator=cpu", "trainer.devices=2", "data.val_share=0.3",
    f"train.classifier={STILL}", "classifier.lr=1e-9", "classifier.backbone_lr=1e-9",
]  # fmt: skip


def silent(what: str, done: int, total: int) -> None:
    """No progress bar."""


@pytest.fixture(scope="module")
def project(
    tmp_path_factory: pytest.TempPathFactory,
    make_films: Callable[..., dict[str, Any]],
    publish_truth: Callable[..., Path],
    shape_params: Params,
) -> Project:
    """A checkout with the truth of a few films, ready to train."""
    root = tmp_path_factory.mktemp("check out")
    shutil.copytree(ROOT / "conf", root / "conf")
    shutil.copy(ROOT / "dvc.yaml", root)
    project = Project(root, root)
    params = _edge.write_params(project, OVERRIDES)
    truth = make_films(project.recordings, FILMS, frames=6)
    publish_truth(project.data, truth, shape_params.model_copy(update={"data": params.data}))
    extract(project.recordings, project.data / "frames", params.extract, params.data.max_skipped)
    assemble(project.data / "frames", project.data / "verified", project.data / "truth", params.data, params.taxonomy, silent)
    tables.write(project.mistakes / "crops.parquet", "crops", tables.from_rows("crops", []))  # for a classifier without a detector
    for name in LEARN:
        write_json(project.data / "start" / name / "start.json", {"model_id": None})
    return project


def run(project: Project, name: str) -> tuple[int, str]:
    """Run the stage; returns its exit code and what all its processes said."""
    strange = ("MLFLOW_TRACKING_URI", "DVC_ROOT", "DVC_EXP_NAME", *_edge.RANKS)
    environment = {key: value for key, value in os.environ.items() if key not in strange}
    environment |= {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "signloop.stages.train", name]
    done = subprocess.run(
        command, cwd=project.root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=240
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("name", ["detector", "classifier"])
def test_two_processes_leave_what_one_leaves(name: str, project: Project) -> None:
    code, said = run(project, name)
    assert code == 0, said
    assert "Traceback" not in said  # of the second process, whose exit code nobody sees
    budget = getattr(_edge.read_params(project).train, name)
    steps = re.findall(rf"steps (\d+) of {budget.steps}\n", said)
    assert steps == [str(step) for step in range(1, len(steps) + 1)]  # each said once
    assert said.count(f"{name}: val_") == 1

    out = project.data / "models" / name
    kept = {path.name for path in out.iterdir()}
    assert kept == {f"{name}.safetensors", f"{name}.json", "history.json", "report"} | ({"mistakes"} if name == "detector" else set())
    (read_detector if name == "detector" else read_classifier)(out)
    rows = [row["step"] for row in read_json(out / "history.json")["rows"]]
    assert rows == list(range(budget.validate_every, len(steps) + 1, budget.validate_every))
    assert (len(steps) < budget.steps) == (budget.patience is not None)  # patience ended all processes at the same step

    link = store.client(project.mlflow_uri, project.artifact_root)
    found = [r for e in link.search_experiments() for r in link.search_runs([e.experiment_id]) if r.data.tags["network"] == name]
    assert [r.info.status for r in found] == ["FINISHED"]
    assert len(link.get_metric_history(found[0].info.run_id, "val_score")) == len(rows)


def test_a_helper_without_anybody_to_help_leaves_nothing(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def alone(truth: Path, params: Params, out: Path, *_: object, start: Path) -> dict[str, float]:
        assert start == project.data / "start" / "detector"
        (out / "detector.safetensors").touch()
        return {}

    before = sorted(project.data.rglob("*"))
    monkeypatch.setitem(LEARN, "detector", alone)
    with pytest.raises(ConfigError, match=r"trained alone \(LOCAL_RANK, NODE_RANK"):
        train.assist(project, _edge.read_params(project), "detector")
    assert sorted(project.data.rglob("*")) == before


@pytest.mark.parametrize(
    ("numbers", "helps"),
    [
        ({}, False),
        ({"LOCAL_RANK": "0", "NODE_RANK": "0"}, False),
        ({"LOCAL_RANK": "1"}, True),
        ({"LOCAL_RANK": "0", "NODE_RANK": "1"}, True),
    ],
)
def test_only_the_first_process_takes_the_lock(
    numbers: dict[str, str], helps: bool, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in _edge.RANKS:
        monkeypatch.delenv(name, raising=False)
    for name, value in numbers.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(project.root)
    monkeypatch.setattr(logging, "disable", lambda level: None)
    did = []
    with _edge.lock(project, "train-x"), pytest.raises(SystemExit) as end:
        _edge.run_stage("train-x", lambda *_: did.append("act"), lambda *_: did.append("assist"))
    assert (did, end.value.code) == ((["assist"], 0) if helps else ([], 1))
