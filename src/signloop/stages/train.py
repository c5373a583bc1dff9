"""Stage: data/truth and data/start/<name> in, one trained network in data/models/<name> out; one MLflow run each.

With several devices, Lightning starts this command again for each. On several nodes, start it on each, with MASTER_ADDR, MASTER_PORT and
NODE_RANK in the environment. However many train together, the first writes and the others assist.
"""

import shutil
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from signloop.core import tables
from signloop.core.errors import ConfigError
from signloop.core.files import read_json, sha256_file, sha256_json
from signloop.core.params import Params
from signloop.frames.truth import counts, data_hash
from signloop.models.learn import LEARN
from signloop.registry import runs, store
from signloop.stages._edge import RANKS, Project, git_commit, log, progress, run_stage

EXPERIMENT = "signloop"


def act(project: Project, params: Params, name: str) -> None:
    """Train one network."""
    truth, start, out = project.data / "truth", project.data / "start" / name, project.data / "models" / name
    shutil.rmtree(out, ignore_errors=True)
    store.prepare(project.mlflow_uri, project.artifact_root)
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
        "data_hash": data_hash(truth),
        "params_hash": sha256_json(own),
        "overrides": " ".join(params.overrides),
        "start": read_json(start / "start.json")["model_id"] or "pretrained",
    }
    with runs.start_run(project.mlflow_uri, EXPERIMENT, f"train {name}", tags, own, artifact_root=project.artifact_root) as run:
        logger = runs.lightning_logger(project.mlflow_uri, run.run_id, EXPERIMENT)
        metrics = LEARN[name](truth, params, out, project.mistakes, progress, logger, start)
        run.log_metrics({f"kept_{key}": value for key, value in metrics.items()}, step=0)  # val_* are the curve, to the last step
        run.set_tags({"weights_sha256": sha256_file(out / f"{name}.safetensors")})
        if (out / "report").is_dir():
            run.log_artifact(out / "report", "report")
    log.info("%s: %s", name, ", ".join(f"{key} {value:.3f}" for key, value in metrics.items()) or "not validated: no validation data")


def assist(project: Project, params: Params, name: str) -> None:
    """Help another process to train one network, and leave nothing.

    Raises:
        ConfigError: there was none to help.
    """
    with TemporaryDirectory() as folder:
        LEARN[name](project.data / "truth", params, Path(folder), project.mistakes, progress, start=project.data / "start" / name)
        if any(Path(folder).iterdir()):
            raise ConfigError(
                "the environment calls this process a helper, but it has trained alone",
                where=", ".join(RANKS),
                todo="Unset them, or set trainer.devices and trainer.num_nodes to all that train together.",
            )


if __name__ == "__main__":
    run_stage(f"train-{sys.argv[1]}", partial(act, name=sys.argv[1]), partial(assist, name=sys.argv[1]))
