"""Stage: frames and verified rounds in, data/truth out."""

from signloop.core.params import Params
from signloop.frames.truth import CHOOSES_FRAMES, assemble
from signloop.stages._edge import Project, log, progress, run_stage


def act(project: Project, params: Params) -> None:
    """Write data/truth anew."""
    data = project.data
    report = assemble(data / "frames", data / "verified", data / "truth", params.data, params.taxonomy, progress)
    log.info("%d labelled frames, %d boxes, %d crops, %d skipped", report.frames, report.boxes, report.crops, report.skipped)
    if report.not_extracted:
        log.warning(
            "%d verified frames are not extracted any more, and nothing is learned from their labels: %s have changed since; "
            "set them back and run `dvc repro`. data/truth/skipped.parquet lists the recordings.",
            report.not_extracted,
            CHOOSES_FRAMES,
        )


if __name__ == "__main__":
    run_stage("assemble", act)
