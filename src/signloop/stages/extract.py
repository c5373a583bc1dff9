"""Stage: recordings in data/recordings in, the frames kept for people and training in data/frames out."""

from signloop.core.params import Params
from signloop.frames.extract import extract
from signloop.stages._edge import Project, log, progress, require_rounds, run_stage


def act(project: Project, params: Params) -> None:
    """Extract what is new."""
    report = extract(project.recordings, project.data / "frames", params.extract, params.data.max_skipped, progress)
    log.info("%s", report)
    require_rounds(project)  # an empty folder would be taken for the new content
    (project.data / "verified").mkdir(exist_ok=True)  # a later stage depends on it, and DVC wants it to exist


if __name__ == "__main__":
    run_stage("extract", act)
