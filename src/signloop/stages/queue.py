"""Stage: prelabels, frames and verified rounds in, data/queue out: what a person is asked, most useful first."""

from signloop.core import tables
from signloop.core.params import Params
from signloop.core.rounds import read_rounds
from signloop.prelabel.write import read_boxes, read_signs
from signloop.review.queue import build
from signloop.stages._edge import Project, log, run_stage


def act(project: Project, params: Params) -> None:
    """Order the questions."""
    frames = tables.read(project.data / "frames" / "frames.parquet", "frames")
    prelabels = project.data / "prelabels"
    queue = build(read_signs(prelabels), read_boxes(prelabels), read_rounds(project.data / "verified"), params.queue, frames)
    tables.write(project.data / "queue" / "queue.parquet", "queue", queue)
    log.info("%d questions wait for the person", queue.num_rows)


if __name__ == "__main__":
    run_stage("queue", act)
