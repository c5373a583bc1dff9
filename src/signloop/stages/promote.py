"""Stage: candidate, its scores and the registry in, data/champion out: register, gate once, then obey the alias."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from signloop.core.files import read_json, write_json
from signloop.core.params import Params
from signloop.measure.gate import Decision, Scores, judge
from signloop.registry import store, versions
from signloop.registry.promote import promote
from signloop.registry.versions import VersionInfo
from signloop.stages._edge import Project, git_commit, log, progress, run_stage

NUMBERS = ("ap50", "ap75", "class_accuracy", "sign_recall", "sign_class_accuracy")


def act(project: Project, params: Params) -> None:
    """Register the candidate, let the gate act on it once, and fetch whatever is champion."""
    data, uri = project.data, project.mlflow_uri
    store.prepare(uri, project.artifact_root)
    scores = read_json(data / "scores" / "scores.json")
    numbers = {key: scores["metrics"][key] for key in NUMBERS if key in scores["metrics"]}
    tags = {
        **{key: f"{value:.4f}" for key, value in numbers.items()},
        "test_version": scores["test_version"],
        "git_commit": git_commit(project),
        "overrides": " ".join(params.overrides) or "none",
    }
    versions.register(
        uri, data / "candidate", scores["model_id"], tags, metrics=numbers, scores=data / "scores", artifact_root=project.artifact_root
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
        if any(theirs.get(key) != scores[key] for key in ("test_version", "prelabel")):
            log.info("the test set or the parameters of labelling have changed: scoring the champion again")
            theirs = score_again(project, params, versions.fetch(project.mlflow_uri, champion.version, Path(scratch) / "bundle"))
    return judge(as_scores(scores), as_scores(theirs), params.gate)


def score_again(project: Project, params: Params, bundle: Path) -> dict[str, Any]:
    """Score a bundle on the present test set."""
    from signloop.models.bundle import pick_device, read_bundle  # here, as this stage runs always and torch takes seconds to import
    from signloop.models.runtime import Runtime
    from signloop.prelabel.evaluate import evaluate

    runtime = Runtime(read_bundle(bundle), pick_device(params.trainer.accelerator), params.prelabel.precision)
    return evaluate(runtime, project.data / "truth", params.prelabel, bundle.parent / "again", progress)


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
