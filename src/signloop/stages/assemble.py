"""Stage: frames and verified rounds in, data/truth out."""

from signloop.core.params import Params
from signloop.frames.truth import assemble
from signloop.stages._edge import Project, log, progress, run_stage


def act(project: Project, params: Params) -> None:
    """Write data/truth anew."""
    data = project.data
    report = assemble(data / "frames", data / "verified", data / "truth", params.data, params.taxonomy, progress)
    log.info("%d labelled frames, %d boxes, %d crops, %d skipped", report.frames, report.boxes, report.crops, report.skipped)


if __name__ == "__main__":
    run_stage("assemble", act)
