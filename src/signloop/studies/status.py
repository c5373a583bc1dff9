"""A project's folders in, a few lines out: what is there, what waits for a person, and which command comes next."""

from collections import Counter
from pathlib import Path

from signloop.core import tables
from signloop.core.files import read_json
from signloop.core.params import Queue
from signloop.core.rounds import read_rounds, round_folders
from signloop.prelabel.write import read_boxes, read_signs
from signloop.review.queue import build

MOST_LEFT_OUT = 10  # of one stage


def describe(data: Path, uri: str | None, queue: Queue) -> list[str]:
    """Describe a project.

    Args:
        data: its data folder.
        uri: of the registry; None if there is none yet.
        queue: how the questions are chosen.
    """
    lines = []
    frames, recordings, waiting = (
        data / "frames" / "frames.parquet",
        data / "frames" / "recordings.parquet",
        data / "queue" / "queue.parquet",
    )
    if recordings.is_file():
        kinds = Counter(tables.read(recordings, "recordings").column("kind").to_pylist())
        found = ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items()))
        lines.append(f"recordings  {sum(kinds.values())} ({found}), {tables.read(frames, 'frames').num_rows} frames extracted")
    else:
        lines.append("recordings  none extracted yet")
    lines += _left_out(data)
    verified = read_rounds(data / "verified")
    rounds = round_folders(data / "verified")
    complete = sum(verified.frames.column("complete").to_pylist())
    lines.append(
        f"verified    {len(rounds)} rounds: {verified.boxes.num_rows} boxes, {complete} complete frames, {verified.crops.num_rows} crops, "
        f"{len(verified.conflicts)} conflicts"
    )
    lines += _champion(uri)
    if (data / "scores" / "scores.json").is_file():
        scores = read_json(data / "scores" / "scores.json")
        shown = ", ".join(f"{key} {value:.3f}" for key, value in scores["metrics"].items() if isinstance(value, float))
        lines.append(f"candidate   {scores['model_id']} on {scores['frames']} test frames: {shown or 'no test data yet'}")
    questions, stale = 0, False
    if waiting.is_file() and frames.is_file():
        now = build(read_signs(data / "prelabels"), read_boxes(data / "prelabels"), verified, queue, tables.read(frames, "frames"))
        questions, stale = now.num_rows, not now.sort_by("queue_id").equals(tables.read(waiting, "queue").sort_by("queue_id"))
    lines.append(f"waiting     {questions} questions for the person" + (", the queue is older than the newest round" if stale else ""))
    if not rounds:
        lines.append("next        signloop demo   (or signloop import coco IMAGES LABELS)")
    elif not recordings.is_file() or not waiting.is_file() or stale:
        lines.append("next        dvc repro")
    elif questions:
        lines.append("next        signloop review   (or signloop export coco --out FOLDER, and signloop publish coco after correcting it)")
    else:
        lines.append("next        put new recordings into data/recordings, then dvc repro")
    return lines


def _left_out(data: Path) -> list[str]:
    """Say which items each stage left out, and why."""
    lines = []
    for name, stage in (("frames", "extract"), ("truth", "assemble"), ("prelabels", "prelabel")):
        path = data / name / "skipped.parquet"
        rows = [row for row in tables.read(path, "skipped").to_pylist() if row["stage"] == stage] if path.is_file() else []
        lines += [f"left out    by {stage}: {row['item']!r}, {row['reason']}" for row in rows[:MOST_LEFT_OUT]]
        if len(rows) > MOST_LEFT_OUT:
            lines.append(f"left out    by {stage}: {len(rows) - MOST_LEFT_OUT} more, in {path.relative_to(data.parent)}")
    return lines


def _champion(uri: str | None) -> list[str]:
    if uri is None:
        return ["champion    none yet"]
    from signloop.registry import versions

    champion = versions.champion(uri)
    if champion is None:
        return ["champion    none yet"]
    shown = ", ".join(f"{key} {champion.tags[key]}" for key in ("ap50", "class_accuracy", "sign_recall") if key in champion.tags)
    return [f"champion    version {champion.version}, {champion.model_id}: {shown}"]
