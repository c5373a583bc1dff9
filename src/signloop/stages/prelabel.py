"""Stage: champion and recordings in, data/prelabels out: one result per recording, kept across runs."""

from functools import partial

from signloop.core.files import sha256_json
from signloop.core.params import Params
from signloop.frames.video import find_recordings
from signloop.models.bundle import pick_device, read_model_id
from signloop.models.runtime import load_runtime
from signloop.prelabel.crew import prelabel_all
from signloop.prelabel.workers import Workers, how_many
from signloop.prelabel.write import Job
from signloop.stages._edge import Project, code_hash, log, progress, run_stage


def act(project: Project, params: Params) -> None:
    """Label what is not labelled yet by this champion with these parameters."""
    recordings, skipped = find_recordings(project.recordings, params.extract.sequence_fps)
    bundle, accelerator = project.data / "champion" / "bundle", params.trainer.accelerator
    workers, threads = how_many(params.crew.workers, pick_device(accelerator).type != "cpu")
    crew = Workers(
        partial(load_runtime, bundle, accelerator, params.prelabel, threads),
        read_model_id(bundle),
        workers,
        params.crew.stall_s,
        log.info,
    )
    code = code_hash("core", "frames", "models", "prelabel")
    job = Job(params.prelabel, project.data / "prelabels", sha256_json([params.prelabel.model_dump(), code]))
    log.info("%s", prelabel_all(recordings, skipped, crew, job, params.data.max_skipped, progress))


if __name__ == "__main__":
    run_stage("prelabel", act)
