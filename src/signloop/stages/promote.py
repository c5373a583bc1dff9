"""Stage: candidate, its scores and the registry in, data/champion out: register, gate once, then obey the alias."""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from signloop.core.files import read_json, write_json
from signloop.core.params import Params
from signloop.frames.truth import data_hash
from signloop.measure.gate import Decision, Scores, judge
from signloop.registry import runs, store, versions
from signloop.registry.promote import promote
from signloop.registry.versions import Measured, VersionInfo
from signloop.stages._edge import Project, git_commit, log, progress, run_stage

NUMBERS = ("ap50", "ap75", "class_accuracy", "sign_recall", "sign_class_accuracy")


def act(project: Project, params: Params) -> None:
    """Register the candidate, let the gate act on it once, and fetch whatever is champion."""
    data, uri = project.data, project.mlflow_uri
    store.prepare(uri, project.artifact_root)
    scores = read_json(data / "scores" / "scores.json")
    trained_on = data_hash(data / "truth")
    tags = {
        "data_hash": trained_on,
        **trainings(project, trained_on),
        "git_commit": git_commit(project),
        "overrides": " ".join(params.overrides) or "none",
    }
    versions.register(
        uri,
        data / "candidate",
        scores["model_id"],
        tags,
        measured=measured(scores, data / "scores"),
        follow=not project.is_experiment,  # which may label with other parameters
        artifact_root=project.artifact_root,
    )
    report = promote(
        uri,
        model_id=scores["model_id"],
        is_experiment=project.is_experiment,
        lock_path=project.store_root / ".dvc" / "tmp" / "promote.lock",
        judge=lambda champion: gate(project, params, scores, champion),
    )
    log.info("%s", report.action)
    for reason in report.reasons:
        log.info("  %s", reason)
    fetch_champion(uri, report.champion, data / "champion")


def trainings(project: Project, trained_on: str) -> dict[str, str | None]:
    """Find the runs that gave the weights of the candidate: tags of its version."""
    files, found = read_json(project.data / "candidate" / "bundle.json")["files"], dict[str, str | None]()
    for network in ("detector", "classifier"):
        tags = {"network": network, "weights_sha256": files[f"{network}.safetensors"], "data_hash": trained_on}
        same = runs.find(project.mlflow_uri, tags, artifact_root=project.artifact_root)
        found[f"{network}_run"] = same[0].run_id if same else None
        if not same:
            log.info("MLflow has no run that trained this %s on these data: DVC had it in its cache, or the run was deleted", network)
    return found


def measured(scores: dict[str, Any], folder: Path) -> Measured:
    """Pick from scores.json what a version shows."""
    on = {"test_version": scores["test_version"], "test_frames": scores["frames"], "prelabel": json.dumps(scores["prelabel"])}
    return Measured({key: scores["metrics"].get(key) for key in NUMBERS}, on, folder)


def gate(project: Project, params: Params, scores: dict[str, Any], champion: VersionInfo | None) -> Decision:
    """Judge the candidate against the champion on one test set, labelled with one set of parameters: else the champion is scored again."""
    if champion is None:
        return Decision(True, ("there is no champion yet",))
    with tempfile.TemporaryDirectory(dir=project.data) as scratch:
        folder = versions.fetch_scores(project.mlflow_uri, champion.version, Path(scratch) / "scores")
        theirs = read_json(folder / "scores.json") if folder else {"metrics": {}}
        if not scores["metrics"]:
            if theirs["metrics"]:
                return Decision(False, ("the champion was scored on test data, and there is none any more",))
            return Decision(True, ("there is no test data yet",))
        if any(theirs.get(key) != scores[key] for key in ("test_version", "prelabel", "left_out")):
            log.info("the test set or the parameters of labelling have changed: scoring the champion again")
            theirs = score_again(project, params, champion, Path(scratch))
    return judge(as_scores(scores), as_scores(theirs), params.gate)


def score_again(project: Project, params: Params, champion: VersionInfo, scratch: Path) -> dict[str, Any]:
    """Score a version on the present test set; outside of an experiment the scores stay with it."""
    from signloop.models.runtime import load_runtime
    from signloop.prelabel.evaluate import evaluate

    bundle = versions.fetch(project.mlflow_uri, champion.version, scratch / "bundle")
    runtime = load_runtime(bundle, params.trainer.accelerator, params.prelabel)
    scores = evaluate(runtime, project.data / "truth", params.prelabel, scratch / "again", progress)
    if not project.is_experiment:
        versions.keep_scores(project.mlflow_uri, champion.version, measured(scores, scratch / "again"))
    return scores


def as_scores(value: dict[str, Any]) -> Scores:
    """Pick from scores.json what the gate looks at."""
    metrics = value["metrics"]
    return Scores(value["test_version"], metrics["ap50"], metrics["class_accuracy"], metrics.get("sign_recall"))


def fetch_champion(uri: str, champion: VersionInfo, out: Path) -> None:
    """Put the champion's bundle into data/champion; equal champions give equal bytes."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    versions.fetch(uri, champion.version, out / "bundle")
    write_json(out / "champion.json", {"version": champion.version, "model_id": champion.model_id})


if __name__ == "__main__":
    run_stage("promote", act)
