"""Stage: data/truth in, one trained network in data/models/<name> out; one MLflow run each."""

import shutil
import sys

from signloop.core import tables
from signloop.core.files import sha256_file, sha256_json
from signloop.core.params import Params
from signloop.frames.truth import counts
from signloop.models.learn import LEARN
from signloop.registry import runs, store
from signloop.stages._edge import Project, git_commit, log, progress, run_stage

EXPERIMENT = "signloop"


def act(project: Project, params: Params, name: str) -> None:
    """Train one network."""
    truth, out = project.data / "truth", project.data / "models" / name
    shutil.rmtree(out, ignore_errors=True)
    store.prepare(project.mlflow_uri, project.artifact_root)
    data_hash = sha256_json([sha256_file(truth / file) for file in ("frames.parquet", "truth.parquet", "crops.parquet")])
    frames = counts(tables.read(truth / "frames.parquet", "truth_frames"))
    own = {
        "seed": params.seed,
        name: getattr(params, name).model_dump(),
        "train": getattr(params.train, name).model_dump(),
        "trainer": params.trainer.model_dump(),
        "frames": frames,
    }
    tags = {
        "stage": "train",
        "network": name,
        "git_commit": git_commit(project),
        "data_hash": data_hash,
        "params_hash": sha256_json(own),
        "overrides": " ".join(params.overrides),
    }
    with runs.start_run(project.mlflow_uri, EXPERIMENT, f"train {name}", tags, own, artifact_root=project.artifact_root) as run:
        logger = runs.lightning_logger(project.mlflow_uri, run.run_id, EXPERIMENT)
        metrics = LEARN[name](truth, params, out, progress, logger)
        run.log_metrics({f"kept_{key}": value for key, value in metrics.items()}, step=0)  # val_* are the curve, to the last step
        run.set_tags({"weights_sha256": sha256_file(out / f"{name}.safetensors")})
        if (out / "report").is_dir():
            run.log_artifact(out / "report", "report")
    log.info("%s: %s", name, ", ".join(f"{key} {value:.3f}" for key, value in metrics.items()) or "not validated: no validation data")


if __name__ == "__main__":
    run_stage(f"train-{sys.argv[1]}", lambda project, params: act(project, params, sys.argv[1]))
