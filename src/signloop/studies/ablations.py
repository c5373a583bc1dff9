"""Labelled stills and crops enter; what each choice of the road experiment is worth leaves: trainings with and without it, of equal budget.

Stills and crops of the splits val and test are scored together. Nothing is chosen by them: each training is measured once, at its end.
Recordings are not looked at. Each training is an MLflow run, and happens once.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signloop.core import tables
from signloop.core.bounds import Interval, paired_bootstrap, percentiles, resample
from signloop.core.boxes import Boxes
from signloop.core.errors import ConfigError
from signloop.core.files import read_json, sha256_json, write_json
from signloop.core.params import Params, parse
from signloop.core.taxonomy import Taxonomy
from signloop.frames.images import read_image
from signloop.measure.detection import AP50, AP75, precision_by_threshold, resampled_precision
from signloop.measure.matching import Matches, match
from signloop.models.bundle import pick_device, read_classifier, read_detector
from signloop.models.classifier import probabilities
from signloop.models.datasets import CropTruth, crop_truths, frame_truths
from signloop.models.detector import detect
from signloop.models.familiar import Observer, as_it_is, observe
from signloop.models.learn import LEARN, as_truth, view
from signloop.models.runtime import fast_detector
from signloop.prelabel.calibrate import fit_familiarity
from signloop.prelabel.predict import Progress
from signloop.prelabel.vote import vote
from signloop.registry import runs
from signloop.stages import _edge
from signloop.studies.cycles import Bench, assembled, claim
from signloop.studies.roads import Store

EXPERIMENT = "bench-ablations"
BASE = "as it is"
SAMPLES = 2000
HELD = ("val", "test")
STRANGE = slice(3, None, 9)  # of the classes in their order: some of each kind, whatever the taxonomy
LEARNT_AS = {"detector": "detector", "classifier": "classifier", "open-set": "classifier"}
SHARES = {  # what being right is called, on what is of a class and on what is of none
    "classifier": ("top1", "mistakes seen through"),
    "open-set": ("signs rightly named", "strangers not named"),
}
COLUMNS = ("network", "choice", "overrides", "measure", "base", "value", "gain", "low", "high", "minutes", "base_minutes")


@dataclass(frozen=True)
class Choice:
    """One training that differs from the road experiment in one respect.

    Attributes:
        network: "detector", "classifier", or "open-set": a classifier that `STRANGE` classes are kept from, to be asked about them.
        name: what differs, in words.
        overrides: what is changed; none for the experiment itself, to which the others of its network are compared.
    """

    network: str
    name: str
    overrides: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """A name for its folder that no other choice has."""
        return f"{self.network}-{sha256_json(self.overrides)[:8] if self.overrides else 'base'}"


BUDGET = (  # trainings that are only compared with one another are shorter, and alike
    "train.detector.steps=600",
    "train.classifier.steps=400",
    "train.detector.validate_every=1000000",  # only at the end
    "train.classifier.validate_every=1000000",
)
CHOICES = (
    Choice("detector", BASE),
    Choice("detector", "crops of 512 px, fewer of them (as many pixels)", ("detector.crop_px=512", "train.detector.steps=340")),
    Choice("detector", "crops of 256 px, more of them (as many pixels)", ("detector.crop_px=256", "train.detector.steps=1350")),
    Choice("detector", "no random zoom", ("detector.scale_min=1.0", "detector.scale_max=1.0")),
    Choice("detector", "nothing is mirrored", ("detector.mirror=0.0",)),
    Choice("detector", "no random light", ("detector.exposure=0.0",)),
    Choice("detector", "no crops of background", ("detector.background_share=0.0",)),
    Choice("detector", "last weights, not averaged ones", ("detector.ema=0.0",)),
    Choice("detector", "all blocks learn", ("detector.frozen_blocks=0",)),
    Choice("detector", "boxes weighed by centreness", ("detector.quality=centreness",)),
    Choice("detector", "boxes as single places propose them", ("detector.vote_iou=null",)),
    Choice("detector", "96 channels, four layers in the heads", ("detector.channels=96", "detector.head_convs=4")),
    Choice("classifier", BASE),
    Choice("classifier", "the detector's mistakes are not shown", ("data.mistakes_per_frame=0",)),
    Choice("classifier", "no centres of other crops", ("classifier.hybrid_share=0.0",)),
    Choice("classifier", "nothing in one colour", ("classifier.painted_share=0.0",)),
    Choice("classifier", "three blocks do not learn", ("classifier.frozen_blocks=3",)),
    Choice("classifier", "64 px", ("classifier.size_px=64",)),
    Choice("classifier", "contrast as it is", ("classifier.contrast=false",)),
    Choice("classifier", "no random light and blur", ("classifier.exposure=0.0", "classifier.blur=0.0")),
    Choice("classifier", "classes as frequent as they are", ("classifier.balance=0.0",)),
    Choice("classifier", "nothing is mirrored", ("classifier.mirror=0.0",)),
    Choice("classifier", "last weights, not averaged ones", ("classifier.ema=0.0",)),
    Choice("open-set", BASE),
    Choice("open-set", "what is far from its class has none", ("prelabel.strange=0.01",)),
    Choice("open-set", "no centres of other crops", ("classifier.hybrid_share=0.0",)),
    Choice("open-set", "nothing in one colour", ("classifier.painted_share=0.0",)),
    Choice("open-set", "the detector's mistakes are not shown", ("data.mistakes_per_frame=0",)),
)  # fmt: skip


def of_networks(networks: Sequence[str]) -> list[Choice]:
    """Return the choices of some networks, and first the detector whose mistakes the others are shown.

    Raises:
        ConfigError: a name is none of theirs.
    """
    unknown = sorted(set(networks) - LEARNT_AS.keys())
    if unknown:
        raise ConfigError("there are no choices of this network", where="--network", expected=list(LEARNT_AS), found=unknown)
    return [choice for choice in CHOICES if choice.network in networks or choice == CHOICES[0]]


def run(bench: Bench, choices: Sequence[Choice], seed: int, store: Store, progress: Progress) -> list[dict[str, Any]]:
    """Train what is missing, and compare.

    Args:
        bench: its overrides come before `BUDGET` and those of a choice.
        choices: for each of their networks one without overrides; a classifier and an open set need that of the detector.
        seed: of all trainings.
        store: of MLflow.
        progress: called with a word, done and total.

    Returns:
        A row for each choice and measure, with the `COLUMNS`.

    Raises:
        ConfigError: `bench.out` belongs to other code, parameters or data.
        DataError: the data is incomplete.
    """
    commit = claim(bench)
    root = bench.out / f"seed-{seed}"
    truth = assembled(bench, root / "project", seed) / "data" / "truth"
    rows = []
    base: dict[str, dict[str, Any]] = {}
    for choice in choices:
        home = root / choice.folder
        if not (home / "found.json").exists():
            bench.say(f"{choice.network}: {choice.name}")
            _train(bench, choice, seed, truth, home, progress)
        found = read_json(home / "found.json")
        if not choice.overrides:
            base[choice.network] = found
        mine = _compare(choice, base[choice.network], found, truth)
        if not (home / "logged.json").exists():
            _log(store, commit, choice, seed, mine, home)
        rows += mine
    return rows


def _params(bench: Bench, choice: Choice, seed: int) -> Params:
    """Compose what a choice means; a later override of the same value wins."""
    merged = dict(word.split("=", 1) for word in (*bench.overrides, *BUDGET, *choice.overrides))
    return parse(_edge.compose(bench.checkout / "conf", [*(f"{k}={v}" for k, v in merged.items()), f"seed={seed}"]), choice.name)


def _train(bench: Bench, choice: Choice, seed: int, truth: Path, home: Path, progress: Progress) -> None:
    params = _params(bench, choice, seed)
    of_base = home.parent / "detector-base" / "mistakes"
    mistakes, learnt = of_base, truth
    if choice.network == "detector":
        mistakes = home / "mistakes"
    elif not params.data.mistakes_per_frame:
        mistakes = home / "no-mistakes"
        tables.write(mistakes / "crops.parquet", "crops", tables.from_rows("crops", []))
    if choice.network == "open-set":
        learnt = _without_strangers(truth, params.taxonomy, home / "truth")
    start = time.monotonic()
    LEARN[LEARNT_AS[choice.network]](learnt, params, home, mistakes, progress)
    minutes = (time.monotonic() - start) / 60
    look = LOOK[choice.network]
    write_json(home / "found.json", {"minutes": minutes, **look(home, params, truth, of_base)})


def _without_strangers(truth: Path, taxonomy: Taxonomy, out: Path) -> Path:
    """List the crops of a truth but those of `STRANGE` classes, whose pictures stay where they are."""
    strange = set(taxonomy.ids[STRANGE])
    crops = tables.read(truth / "crops.parquet", "crops").to_pylist()
    out.mkdir(parents=True, exist_ok=True)
    (out / "crops").unlink(missing_ok=True)
    (out / "crops").symlink_to((truth / "crops").resolve(), target_is_directory=True)
    tables.write(out / "crops.parquet", "crops", tables.from_rows("crops", [row for row in crops if row["class_id"] not in strange]))
    return out


def _look_at_stills(home: Path, params: Params, truth: Path, _: Path) -> dict[str, Any]:
    device = pick_device(params.trainer.accelerator)
    network, cfg = read_detector(home)
    fast = fast_detector(network, cfg, device, "f32")
    boxes = [detect(fast, [read_image(frame.path)], cfg)[0] for frame in _held(truth)]
    return {"boxes": [np.column_stack([one.xyxy, one.scores]).astype(float).round(4).tolist() for one in boxes]}


def _look_at_crops(home: Path, params: Params, truth: Path, mistakes: Path) -> dict[str, Any]:
    """Name held out crops and, as what should be named nothing, the mistakes of the detector on validation stills."""
    right, tracks, nothing = [], [], []
    for folder in (truth, mistakes):
        for split in HELD:
            crops, answers, none = _answers(home, params, folder, split)
            right += (answers == crops.labels).tolist()
            tracks += crops.tracks
            nothing += (crops.labels == none).tolist()
    return {"right": right, "tracks": tracks, "nothing": nothing}


def _look_at_strangers(home: Path, params: Params, truth: Path, _: Path) -> dict[str, Any]:
    """Name held out objects of the classes that were learnt and, as what should be named nothing, all of the `STRANGE` ones."""
    right, tracks, nothing = [], [], []
    validation, _logits, distances = _observed(home, params, home / "truth", "val")
    familiarity = fit_familiarity(distances, validation.labels, validation.tracks, params.prelabel.strange)
    for split in ("train", *HELD):
        crops, raw, distances = _observed(home, params, truth, split)
        none, probs = distances.shape[1], probabilities(raw, 1.0)
        strange = np.isin(crops.labels, np.arange(none)[STRANGE])
        of = np.array(crops.tracks, np.str_)
        for track in np.unique(of[strange | (split in HELD)]):
            mine = np.flatnonzero(of == track)
            odds = None if familiarity is None else familiarity.odds(distances[mine])
            said = vote(probs[mine], np.ones(len(mine)), odds).class_index
            is_strange, label = bool(strange[mine[0]]), int(crops.labels[mine[0]])
            right.append((none if said is None else said) == (none if is_strange else label))
            tracks.append(str(track))
            nothing.append(is_strange)
    return {"right": right, "tracks": tracks, "nothing": nothing}


def _answers(home: Path, params: Params, folder: Path, split: str) -> tuple[CropTruth, NDArray[np.int64], int]:
    """Return the crops of a split, the output that wins for each, (crops,), and which output is "not an object"."""
    crops, raw, distances = _observed(home, params, folder, split)
    return crops, raw.argmax(axis=1), distances.shape[1]


def _observed(home: Path, params: Params, folder: Path, split: str) -> tuple[CropTruth, NDArray[np.float32], NDArray[np.float32]]:
    """Return the crops of a split, logits of each, and its distances to the classes."""
    network, cfg, taxonomy = read_classifier(home)
    device = pick_device(params.trainer.accelerator)
    crops = crop_truths([folder], taxonomy, split)
    views = [view(crops, i, cfg.margin, cfg.size_px) for i in range(len(crops))]
    stack = np.stack(views) if views else np.zeros((0, cfg.size_px, cfg.size_px, 3), np.uint8)
    raw, distances = observe(as_it_is(Observer(network).to(device), device), stack, len(taxonomy))
    return crops, raw, distances


LOOK = {"detector": _look_at_stills, "classifier": _look_at_crops, "open-set": _look_at_strangers}


def _held(truth: Path) -> list[Any]:
    frames, boxes = tables.read(truth / "frames.parquet", "truth_frames"), tables.read(truth / "truth.parquet", "truth")
    return [frame for split in HELD for frame in frame_truths(truth, frames, boxes, split)]


def _compare(choice: Choice, base: Mapping[str, Any], found: Mapping[str, Any], truth: Path) -> list[dict[str, Any]]:
    names = SHARES.get(choice.network)
    measured = _gains_in_boxes(base, found, truth) if names is None else _gains_in_crops(base, found, names)
    return [
        {
            "network": choice.network,
            "choice": choice.name,
            "overrides": " ".join(choice.overrides),
            "measure": measure,
            "base": before,
            "value": before + gain.value,
            "gain": gain.value,
            "low": gain.low,
            "high": gain.high,
            "minutes": found["minutes"],
            "base_minutes": base["minutes"],
        }
        for measure, (before, gain) in measured.items()
    ]


def _gains_in_boxes(base: Mapping[str, Any], found: Mapping[str, Any], truth: Path) -> dict[str, tuple[float, Interval]]:
    """Compare two detectors on the same stills, drawn with replacement."""
    real = as_truth(_held(truth))
    a, b = (_match(real, one["boxes"]) for one in (base, found))
    frames, drawn = np.arange(len(real)), resample(len(real), SAMPLES, 0)
    out = {}
    for name, at in (("ap50", AP50), ("ap75", AP75)):
        before, after = (float(precision_by_threshold(one)[at]) for one in (a, b))
        samples = resampled_precision(b, frames, drawn, at) - resampled_precision(a, frames, drawn, at)
        out[name] = before, percentiles(after - before, samples) or Interval(after - before, np.nan, np.nan)
    return out


def _match(real: Mapping[str, Any], boxes: Sequence[Sequence[Sequence[float]]]) -> Matches:
    values = [np.array(rows, np.float32).reshape(-1, 5) for rows in boxes]
    return match(real, {name: Boxes(rows[:, :4], rows[:, 4]) for name, rows in zip(real, values, strict=True)})


def _gains_in_crops(base: Mapping[str, Any], found: Mapping[str, Any], names: tuple[str, str]) -> dict[str, tuple[float, Interval]]:
    """Compare two classifiers on the same crops, of tracks drawn with replacement; `names` are as in `SHARES`."""
    out = {}
    nothing = np.array(base["nothing"], bool)
    for name, kind in zip(names, (~nothing, nothing), strict=True):
        if not kind.any():
            continue
        of = np.unique(np.array(base["tracks"])[kind], return_inverse=True)[1]
        a, b = (np.column_stack([np.bincount(of, np.array(one["right"], float)[kind]), np.bincount(of)]) for one in (base, found))
        gain = paired_bootstrap(a, b, lambda s: s[..., 0] / s[..., 1], SAMPLES)
        if gain is not None:
            out[name] = float(a[:, 0].sum() / a[:, 1].sum()), gain
    return out


def _log(store: Store, commit: str, choice: Choice, seed: int, rows: Sequence[Mapping[str, Any]], home: Path) -> None:
    name, tags = f"{choice.network}: {choice.name}", {"git_commit": commit, "kind": "bench ablations", "network": choice.network}
    params = {"seed": seed, "overrides": " ".join(choice.overrides)}
    with runs.start_run(store.uri, EXPERIMENT, name, tags, params, artifact_root=store.artifact_root) as opened:
        for row in rows:
            measure = row["measure"].replace(" ", "_")
            opened.log_metrics({measure: row["value"], **{f"{measure}.{key}": row[key] for key in ("gain", "low", "high")}})
        opened.log_metrics({"minutes": rows[0]["minutes"]})
    write_json(home / "logged.json", {"run_id": opened.run_id})
