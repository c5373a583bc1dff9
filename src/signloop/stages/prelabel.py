"""Stage: champion and recordings in, data/prelabels out: one result per recording, kept across runs."""

from signloop.core.files import sha256_json
from signloop.core.params import Params
from signloop.frames.video import find_recordings
from signloop.models.bundle import pick_device, read_bundle
from signloop.models.runtime import Runtime
from signloop.prelabel.write import prelabel_all
from signloop.stages._edge import Project, code_hash, log, progress, run_stage


def act(project: Project, params: Params) -> None:
    """Label what is not labelled yet by this champion with these parameters."""
    recordings, skipped = find_recordings(project.recordings, params.extract.sequence_fps)
    runtime = Runtime(read_bundle(project.data / "champion" / "bundle"), pick_device(params.trainer.accelerator), params.prelabel.precision)
    report = prelabel_all(
        recordings,
        skipped,
        runtime,
        params.prelabel,
        project.data / "prelabels",
        sha256_json([params.prelabel.model_dump(), code_hash("core", "frames", "models", "prelabel")]),
        params.data.max_skipped,
        progress,
    )
    log.info("%s", report)


if __name__ == "__main__":
    run_stage("prelabel", act)
