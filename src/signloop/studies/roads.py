"""Real stills, crops and drives enter; what two cycles learn from them leaves, measure by measure, for several seeds.

For each seed a clone of the checkout runs the pipeline as a user would: import, `dvc repro`, then, for either half of the drives, a
played person and `dvc repro` again. What is finished is not done again.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from signloop.core import tables
from signloop.core.boxes import CORNERS, SAME_IOU, iou
from signloop.core.files import read_json, require_free_space, write_json
from signloop.core.params import Params, load
from signloop.frames.video import open_recording, read_frames
from signloop.measure.score import compare_recordings, score_crops, score_recordings
from signloop.measure.truth import TruthRecordings, Video, read_truth
from signloop.models.bundle import read_bundle
from signloop.models.runtime import Runtime, load_runtime
from signloop.prelabel.predict import Progress, predict_crops, predict_recordings
from signloop.prelabel.propose import propose
from signloop.registry import runs
from signloop.studies.bars import Measured
from signloop.studies.cycles import Bench, claim, first_cycle, second_cycle
from signloop.studies.score import draw_errors
from signloop.studies.speed import gflop

RATES = (10, 5, 2)  # frames a second at which the drives are labelled
SIGN_MEASURES = ("sign_recall", "tracks_per_sign", "false_signs_per_minute", "sign_class_accuracy")
HALVES = ("even", "odd")
ROOM = {"first": 2_000_000_000, "second": 4_000_000_000}  # bytes that a seed takes: projects with their DVC caches
TIME = {"first": "forty minutes", "second": "fifty minutes"}


@dataclass(frozen=True)
class Store:
    """The MLflow store that gets a run per seed, as in `registry.store.prepare`."""

    uri: str
    artifact_root: Path | None


def run(bench: Bench, seeds: Sequence[int], cycles: int, store: Store, progress: Progress) -> dict[int, dict[str, Measured]]:
    """Run what is missing of one cycle or of both, the first of all seeds first, and return what each seed reached.

    Raises:
        ConfigError: `bench.out` belongs to other code, parameters or data.
        DataError: the data is incomplete, the disk too small, or a command failed.
    """
    commit = claim(bench)
    results: dict[int, dict[str, Measured]] = {seed: {} for seed in seeds}
    for cycle, measure in list(MEASURED.items())[:cycles]:
        for seed in seeds:
            home = bench.out / f"seed-{seed}"
            kept = home / f"{cycle}-result.json"
            if not kept.exists():
                bench.say(f"seed {seed}, {cycle} cycle: about {ROOM[cycle] / 1e9:.0f} GB, and {TIME[cycle]} on two cores")
                require_free_space(bench.out, ROOM[cycle])
                found = measure(bench, home, seed, progress)
                tags = {"git_commit": commit, "kind": "bench roads", "cycle": cycle}
                _log(store, tags, {"seed": seed, "overrides": " ".join(bench.overrides)}, found, _sheet(home, cycle))
                write_json(kept, {name: asdict(one) for name, one in found.items()})
            results[seed] |= {name: Measured(**one) for name, one in read_json(kept).items()}
    return results


def _first(bench: Bench, home: Path, seed: int, progress: Progress) -> dict[str, Measured]:
    truth = read_truth(bench.drives / "truth.json")
    minutes = first_cycle(bench, home / "first", seed)
    champion, settings = _champion(home)
    found = {fps: predict(bench, champion, settings, truth, fps, _labels(home, fps), progress) for fps in RATES}
    draw_errors(bench.drives, truth, found[RATES[0]], settings.taxonomy, _sheet(home, "first"))
    runtime = _runtime(champion, settings)
    return {
        **_stills(home / "first"),
        **_drives(truth, found),
        **_crops(home / "first", runtime, progress),
        "detector.gflop": Measured(gflop(read_bundle(champion).detector, 720, 1280)),
        "strangers.named": Measured(_strangers(bench, runtime, settings)),
        "first_cycle.minutes": Measured(minutes),
    }


def _second(bench: Bench, home: Path, seed: int, progress: Progress) -> dict[str, Measured]:
    """Compare the second cycle with the first on both halves together, each labelled by the model that did not learn from it."""
    truth, first = read_truth(bench.drives / "truth.json"), read_json(_labels(home, RATES[0]))
    second: dict[str, Any] = {"fps": first["fps"], "frames": [], "signs": []}
    for half, others in zip(HALVES, reversed(HALVES), strict=True):
        second_cycle(bench, home / "first", home / half, [video.file_name for video in halves(truth)[half].videos])
        candidate = home / half / "data" / "candidate"
        path = home / f"second-{half}.json"
        later = predict(bench, candidate, load(home / half / "params.yaml"), halves(truth)[others], RATES[0], path, progress)
        second |= {key: [*second[key], *later[key]] for key in ("frames", "signs")}
    draw_errors(bench.drives, truth, second, _champion(home)[1].taxonomy, _sheet(home, "second"))
    compared = compare_recordings(truth, first, second)
    names = ("errors", "right_signs")
    return {f"second_minus_first.{name}": Measured(compared[name]["difference"], compared[name]["interval"]) for name in names}


MEASURED = {"first": _first, "second": _second}


def _champion(home: Path) -> tuple[Path, Params]:
    return home / "first" / "data" / "champion" / "bundle", load(home / "first" / "params.yaml")


def _sheet(home: Path, cycle: str) -> Path:
    """What a cycle got wrong."""
    return home / f"{cycle}-errors.png"


def _labels(home: Path, fps: int) -> Path:
    return home / f"first-{fps}fps.json"


def halves(truth: TruthRecordings) -> dict[str, TruthRecordings]:
    """Divide recordings by their place in the truth: every second one from the first on is even, the others are odd."""
    return {half: _only(truth, truth.videos[start::2]) for start, half in enumerate(HALVES)}


def _only(truth: TruthRecordings, videos: Sequence[Video]) -> TruthRecordings:
    kept = {video.id for video in videos}
    frames = tuple(frame for frame in truth.frames if frame.video_id in kept)
    ids = {frame.id for frame in frames}
    return TruthRecordings(tuple(videos), frames, {i: boxes for i, boxes in truth.annotations.items() if i in ids})


def predict(
    bench: Bench, bundle: Path, settings: Params, truth: TruthRecordings, fps: int, path: Path, progress: Progress
) -> dict[str, Any]:
    """Label the drives of a truth with a bundle, unless `path` holds the labels already; returns them."""
    if not path.exists():
        runtime = _runtime(bundle, settings)
        found, _ = predict_recordings(runtime, bench.drives, truth, settings.prelabel, float(fps), progress)
        write_json(path, found)
    return dict(read_json(path))


def _runtime(bundle: Path, settings: Params) -> Runtime:
    return load_runtime(bundle, settings.trainer.accelerator, settings.prelabel)


def _stills(project: Path) -> dict[str, Measured]:
    """Return what the candidate reached on the stills that were kept for testing."""
    scores = read_json(project / "data" / "scores" / "scores.json")
    return {f"stills.{name}": Measured(scores["metrics"][name], scores["intervals"].get(name)) for name in ("ap50", "ap75")}


def _drives(truth: TruthRecordings, found: Mapping[int, Mapping[str, Any]]) -> dict[str, Measured]:
    result: dict[str, Measured] = {}
    for fps, predictions in found.items():
        scores = score_recordings(truth, predictions)
        names = {f"drives.{fps}fps.{name}": name for name in SIGN_MEASURES}
        if fps == RATES[0]:
            names = {"drives.ap50": "ap50", "drives.ap75": "ap75", **names}
        result |= {key: Measured(scores[name], scores["intervals"].get(name)) for key, name in names.items()}
    return result


def _crops(project: Path, runtime: Runtime, progress: Progress) -> dict[str, Measured]:
    """Score the classifier on the imported crops of the test split: no crop of their objects was learnt from."""
    folder = project / "data" / "truth"
    rows = tables.read(folder / "crops.parquet", "crops").to_pylist()
    mine = [row for row in rows if row["split"] == "test" and row["origin"] == "imported"]
    scores = score_crops(mine, predict_crops(runtime, folder, [row["path"] for row in mine], progress), runtime.taxonomy.ids)
    return {f"crops.{name}": Measured(scores[name], scores["intervals"].get(name)) for name in ("top1", "track_accuracy", "ece")}


def _strangers(bench: Bench, runtime: Runtime, settings: Params) -> int:
    """Count the signs of no known class that are called one: they must be unknown, or not proposed."""
    truth = read_json(bench.data / "carnd" / "annotations.json")
    place = {image["id"]: image["frame_index"] for image in truth["images"]}
    real: dict[int, list[list[float]]] = defaultdict(list)
    for a in truth["annotations"]:
        x, y, w, h = a["bbox"]
        if not a["iscrowd"]:
            real[place[a["image_id"]]].append([x, y, x + w, y + h])
    recording = open_recording(next((bench.data / "carnd").glob("*.mp4")), settings.extract.sequence_fps)
    found = propose(read_frames(recording), runtime, settings.prelabel, recording)
    named = {row["sign_id"] for row in found.signs if row["class_id"] is not None}
    on_stranger = {row["sign_id"] for row in found.boxes if iou([[row[c] for c in CORNERS]], real[row["index"]]).max(initial=0) >= SAME_IOU}
    return len(named & on_stranger)


def _log(store: Store, tags: Mapping[str, object], params: Mapping[str, object], result: Mapping[str, Measured], sheet: Path) -> None:
    """Make an MLflow run of what a seed reached, with the sheet of its errors."""
    name = f"seed {params['seed']}"
    with runs.start_run(store.uri, "bench-roads", name, tags, params, artifact_root=store.artifact_root) as opened:
        opened.log_metrics({name: found.value for name, found in result.items() if found.value is not None})
        opened.log_artifact(sheet)
