"""A project's folders in, a few lines out: what is there, what waits for a person, and which command comes next."""

from collections import Counter
from pathlib import Path

from signloop.core import tables
from signloop.core.files import read_json
from signloop.core.rounds import read_rounds


def describe(data: Path, uri: str | None) -> list[str]:
    """Describe a project.

    Args:
        data: its data folder.
        uri: of the registry; None if there is none yet.
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
    for name in ("frames", "truth"):
        path = data / name / "skipped.parquet"
        if path.is_file() and (rows := tables.read(path, "skipped").to_pylist()):
            lines.append(f"left out    {len(rows)} by {rows[0]['stage']}, for instance {rows[0]['item']!r}: {rows[0]['reason']}")
    verified = read_rounds(data / "verified")
    rounds = len(set(verified.boxes.column("round").to_pylist()) | set(verified.crops.column("round").to_pylist()))
    complete = sum(verified.frames.column("complete").to_pylist())
    lines.append(
        f"verified    {rounds} rounds: {verified.boxes.num_rows} boxes, {complete} complete frames, {verified.crops.num_rows} crops, "
        f"{len(verified.conflicts)} conflicts"
    )
    lines += _champion(uri)
    if (data / "scores" / "scores.json").is_file():
        scores = read_json(data / "scores" / "scores.json")
        shown = ", ".join(f"{key} {value:.3f}" for key, value in scores["metrics"].items() if isinstance(value, float))
        lines.append(f"candidate   {scores['model_id']} on {scores['frames']} test frames: {shown or 'no test data yet'}")
    questions = tables.read(waiting, "queue").num_rows if waiting.is_file() else 0
    lines.append(f"waiting     {questions} questions for the person")
    lines.append(f"next        {_next(recordings.is_file(), rounds, questions, waiting.is_file())}")
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


def _next(extracted: bool, rounds: int, questions: int, queued: bool) -> str:
    if not rounds:
        return "signloop demo   (or signloop import coco IMAGES LABELS)"
    if not extracted or not queued:
        return "dvc repro"
    if questions:
        return "signloop export coco --out FOLDER, correct it in any tool, then signloop publish coco FOLDER/annotations.json"
    return "put new recordings into data/recordings, then dvc repro"
