"""A project after its first cycle and drives with their truth enter; what verified signs are worth leaves, by how many and in which order.

One half of the drives is verified in part, the other half is scored. Each training goes on from the champion, as in the loop.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from signloop.core import tables
from signloop.core.files import write_json
from signloop.core.params import load
from signloop.measure.score import compare_recordings, score_recordings
from signloop.measure.truth import read_truth
from signloop.prelabel.predict import Progress
from signloop.registry import runs
from signloop.review.simulate import ORDERS
from signloop.studies.cycles import Bench, after_answers, claim, first_cycle
from signloop.studies.roads import HALVES, RATES, Store, halves, predict

EXPERIMENT = "bench-curve"
SHARES = (0.25, 0.5)  # of the questions; then all of them, where the order means nothing
COLUMNS = ("order", "signs", "ap50", "right_signs", "errors", "difference", "low", "high")


@dataclass(frozen=True)
class Point:
    """Some signs of one half are verified: the first `signs` in an order."""

    order: str
    signs: int

    def answers(self, seed: int) -> tuple[str, ...]:
        """Return options of `signloop simulate-review`."""
        return ("--signs", str(self.signs), "--order", self.order, "--seed", str(seed))


def points(asked: int) -> Iterator[Point]:
    """Divide the questions: none, a share of them in either order, all."""
    yield Point("none", 0)
    for share in SHARES:
        yield from (Point(order, max(1, round(share * asked))) for order in ORDERS)
    yield Point("queue", asked)


def run(bench: Bench, seed: int, store: Store, progress: Progress) -> list[dict[str, Any]]:
    """Train what is missing, and compare each point with the first one, where nothing of the drives is verified.

    Args:
        bench: its `out` may be that of `bench roads`, whose first cycle is then used.
        seed: of the trainings and of the random order.
        store: of MLflow.
        progress: called with a word, done and total.

    Returns:
        A row for each point with the `COLUMNS`: AP50, signs found and rightly named (a share), errors (missed, false and misnamed
        signs, a number) and the errors of the first point subtracted from them, with its interval at 95 % (None: undefined).

    Raises:
        ConfigError: `bench.out` belongs to other code, parameters or data.
        DataError: the data is incomplete, or a command failed.
    """
    commit = claim(bench)
    home = bench.out / f"seed-{seed}"
    first_cycle(bench, home / "first", seed)
    truth = halves(read_truth(bench.drives / "truth.json"))
    learnt, scored = (truth[half] for half in HALVES)
    names = [video.file_name for video in learnt.videos]
    rows: list[dict[str, Any]] = []
    base: dict[str, Any] = {}
    for point in points(_asked(home / "first" / "data", names)):
        project = home / (f"curve-{point.order}-{point.signs}" if point.signs else "first")
        if point.signs:
            bench.say(f"{point.signs} signs verified, order: {point.order}")
            after_answers(bench, home / "first", project, names, point.answers(seed))
        settings, labels = load(project / "params.yaml"), home / f"curve-{point.order}-{point.signs}.json"
        found = predict(bench, project / "data" / "candidate", settings, scored, RATES[0], labels, progress)
        base = base or found
        compared = compare_recordings(scored, base, found)
        low, high = compared["errors"]["interval"] or (None, None)
        row = {
            "order": point.order,
            "signs": point.signs,
            "ap50": score_recordings(scored, found)["ap50"],
            "right_signs": compared["right_signs"]["b"],
            "errors": compared["errors"]["b"],
            "difference": compared["errors"]["difference"],
            "low": low,
            "high": high,
        }
        _log(store, commit, seed, row, labels.with_suffix(".logged.json"))
        rows.append(row)
    return rows


def _asked(data: Path, names: Sequence[str]) -> int:
    """Count the questions about signs of some recordings."""
    recordings = tables.read(data / "frames" / "recordings.parquet", "recordings").to_pylist()
    mine = {row["recording_id"] for row in recordings if row["name"] in names}
    queue = tables.read(data / "queue" / "queue.parquet", "queue").to_pylist()
    return sum(row["kind"] == "sign" and row["recording_id"] in mine for row in queue)


def _log(store: Store, commit: str, seed: int, row: Mapping[str, Any], done: Path) -> None:
    """Make an MLflow run of a point, once."""
    if done.exists():
        return
    tags = {"git_commit": commit, "kind": "bench curve"}
    params = {"seed": seed, "order": row["order"], "signs": row["signs"]}
    with runs.start_run(
        store.uri, EXPERIMENT, f"{row['signs']} signs, {row['order']}", tags, params, artifact_root=store.artifact_root
    ) as opened:
        opened.log_metrics({name: row[name] for name in COLUMNS[2:] if row[name] is not None})
    write_json(done, {"run_id": opened.run_id})
