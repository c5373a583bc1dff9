"""Stage: recordings in data/recordings in, the frames kept for people and training in data/frames out."""

from signloop.core.errors import DataError
from signloop.core.params import Params
from signloop.frames.extract import extract
from signloop.stages._edge import Project, log, progress, run_stage


def act(project: Project, params: Params) -> None:
    """Extract what is new."""
    report = extract(project.recordings, project.data / "frames", params.extract, params.data.max_skipped, progress)
    log.info("%s", report)
    rounds, pointer = project.data / "verified", project.data / "verified.dvc"
    if pointer.exists() and not rounds.exists():  # an empty folder would be taken for the new content, and the pointer would be lost
        raise DataError(
            "the verified rounds are not here, only the pointer to them",
            where=pointer,
            todo="Run `dvc pull` or `dvc checkout`; to begin without them, delete data/verified.dvc.",
        )
    rounds.mkdir(exist_ok=True)  # a later stage depends on it, and DVC wants it to exist


if __name__ == "__main__":
    run_stage("extract", act)
