"""Stage: recordings in data/recordings in, the frames kept for people and training in data/frames out."""

from signloop.core.params import Params
from signloop.frames.extract import extract
from signloop.stages._edge import Project, log, progress, run_stage


def act(project: Project, params: Params) -> None:
    """Extract what is new."""
    (project.data / "verified").mkdir(exist_ok=True)  # a later stage depends on it, and DVC wants it to exist
    report = extract(project.data / "recordings", project.data / "frames", params.extract, params.data.max_skipped, progress)
    log.info("%s", report)


if __name__ == "__main__":
    run_stage("extract", act)
