"""Stage: candidate and data/truth in, data/scores out: the candidate alone, on the frozen test recordings."""

from signloop.core.params import Params
from signloop.models.runtime import load_runtime
from signloop.prelabel.evaluate import evaluate
from signloop.stages._edge import Project, log, progress, run_stage


def act(project: Project, params: Params) -> None:
    """Score the candidate."""
    runtime = load_runtime(project.data / "candidate", params.trainer.accelerator, params.prelabel)
    result = evaluate(runtime, project.data / "truth", params.prelabel, project.data / "scores", progress)
    log.info(
        "%s on %d test frames: %s",
        result["model_id"],
        result["frames"],
        ", ".join(f"{key} {value:.3f}" for key, value in result["metrics"].items()) or "no test data yet",
    )
    if result["left_out"]:
        log.warning("%d test recordings do not count for signs: too few of their frames are completely verified", len(result["left_out"]))


if __name__ == "__main__":
    run_stage("evaluate", act)
