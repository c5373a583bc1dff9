"""data/truth in, one trained network with its card, history and pictures out: the whole act of training, for each of both models."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from signloop.core import tables
from signloop.core.boxes import Boxes
from signloop.core.errors import ConfigError
from signloop.core.files import read_json, write_json
from signloop.core.params import Budget, Detector, Params
from signloop.core.params import Classifier as ClassifierParams
from signloop.core.taxonomy import Taxonomy
from signloop.frames.images import read_image
from signloop.frames.truth import learnt_objects
from signloop.measure import plots
from signloop.measure.classification import confusion_matrix, macro_f1, top1
from signloop.measure.detection import precision_recall_curve, summarise
from signloop.measure.matching import TruthFrame, match, match_boxes
from signloop.measure.sheets import contact_sheet
from signloop.models.bundle import fill, write_network
from signloop.models.classifier import Classifier, cut, logits, probabilities
from signloop.models.datasets import (
    ClassificationCrops,
    CropTruth,
    DetectionCrops,
    FrameTruth,
    Image,
    collate_detection,
    crop_truths,
    frame_truths,
)
from signloop.models.detector import NETWORKS, build_detector, detect, eager
from signloop.models.familiar import remember
from signloop.models.fit import History, Progress, fit, seed_everything
from signloop.models.mistakes import save_mistakes
from signloop.models.runtime import fast_detector
from signloop.models.tasks import ClassifierTask, DetectorTask

VALIDATION_FRAMES = 32  # whole frames are slow on a CPU; see `spread`
SHEET = 24  # pictures of best and worst


@dataclass(frozen=True)
class Start:
    """What a training starts from.

    Attributes:
        weights: of a network that was built alike; None for the pretrained weights that the parameters name.
        budget: steps, and validations.
        lr: share of the learning rates.
        card: what the trained network says of it: the model that it goes on from (None: of none), and the objects that it has learnt from.
    """

    weights: Path | None
    budget: Budget
    lr: float
    card: dict[str, Any]


def _start(network: str, budget: Budget, truth: Path, folder: Path | None) -> Start:
    """Look into what the stage `start` leaves for a network; None starts from pretrained weights."""
    learnt = " ".join(sorted(learnt_objects(truth, network)))
    model_id = None if folder is None else read_json(folder / "start.json")["model_id"]
    if folder is None or model_id is None:
        return Start(None, budget, 1.0, {"start": None, "learnt": learnt})
    again = budget.model_copy(update={"steps": budget.again.steps})
    return Start(folder / f"{network}.safetensors", again, budget.again.lr, {"start": model_id, "learnt": learnt})


def learn_detector(
    truth: Path, params: Params, out: Path, mistakes: Path, progress: Progress, logger: Any = False, start: Path | None = None
) -> dict[str, float]:
    """Train the detector on verified training frames, keep its best weights by AP on completely verified validation frames.

    Args:
        truth: data/truth.
        params: its detector, train.detector, trainer, seed and data.mistakes_per_frame count.
        out: gets detector.safetensors, detector.json, history.json and report/*.png.
        mistakes: gets crops of what it takes for objects where none is, see `mistakes.save_mistakes`.
        progress: called with a word, steps done and in all.
        logger: a Lightning logger, or False.
        start: what the stage `start` left for this network; None starts from pretrained weights.

    Returns:
        Validation metrics of the kept weights; none without a validation frame. A process that only helps another to train
        writes nothing and returns none.

    Raises:
        ConfigError: blocks without pretrained weights are to stay as they are, or the trainer cannot be had.
    """
    cfg, begun = params.detector, _start("detector", params.train.detector, truth, start)
    _require_weights("detector", cfg.weights, cfg.frozen_blocks)
    frames, boxes = tables.read(truth / "frames.parquet", "truth_frames"), tables.read(truth / "truth.parquet", "truth")
    training, validation = (frame_truths(truth, frames, boxes, split) for split in ("train", "val"))
    validation = spread(validation, VALIDATION_FRAMES)
    seed_everything(params.seed)
    network = build_detector(cfg if begun.weights is None else cfg.model_copy(update={"weights": "none"}))
    if begun.weights is not None:
        fill(network, begun.weights)
    task = DetectorTask(
        network.to(memory_format=torch.channels_last),
        is_pretrained=lambda name: name.startswith(("backbone.body", "backbone.features")),
        lr=begun.lr * cfg.lr,
        backbone_lr=begun.lr * cfg.backbone_lr,
        weight_decay=cfg.weight_decay,
        steps=begun.budget.steps,
        validate=(lambda model: _detection_score(model, validation, cfg)) if validation else None,
    )
    data = DetectionCrops(training, cfg, begun.budget.steps * cfg.batch, NETWORKS[cfg.network].label, params.seed)
    history = fit(
        task,
        data,
        cfg.batch,
        begun.budget,
        params.trainer,
        folder=out,
        ema=cfg.ema,
        collate=collate_detection,
        logger=logger,
        progress=progress,
    )
    if history is None:  # the first process writes
        return {}
    network.eval()
    write_network(out, "detector", network, {"params": cfg.model_dump(), **begun.card})
    fast = fast_detector(network, cfg, _device(network), "f32")
    save_mistakes(lambda image: detect(fast, [image], cfg)[0], truth, mistakes, params.data, params.taxonomy, progress)
    return _report_detector(network.cpu(), validation, cfg, history, out)


def learn_classifier(
    truth: Path, params: Params, out: Path, mistakes: Path, progress: Progress, logger: Any = False, start: Path | None = None
) -> dict[str, float]:
    """Train the classifier on saved crops and on the detector's mistakes, keep its best weights by accuracy on validation crops.

    Args and result are as for `learn_detector`, with classifier.safetensors and classifier.json; `mistakes` is read.
    """
    cfg, taxonomy = params.classifier, params.taxonomy
    begun = _start("classifier", params.train.classifier, truth, start)
    _require_weights("classifier", cfg.weights, cfg.frozen_blocks)
    training, validation = (crop_truths([truth, mistakes], taxonomy, split) for split in ("train", "val"))
    seed_everything(params.seed)
    network = Classifier(cfg if begun.weights is None else cfg.model_copy(update={"weights": "none"}), len(taxonomy))
    if begun.weights is not None:
        fill(network, begun.weights)
    head = network.head_name
    views = [view(validation, i, cfg.margin, cfg.size_px) for i in range(len(validation))]
    task = ClassifierTask(
        network.to(memory_format=torch.channels_last),
        smoothing=cfg.label_smoothing,
        is_pretrained=lambda name: not name.startswith(head),
        lr=begun.lr * cfg.lr,
        backbone_lr=begun.lr * cfg.backbone_lr,
        weight_decay=cfg.weight_decay,
        steps=begun.budget.steps,
        validate=(lambda model: _class_score(model, views, validation)) if views else None,
    )
    data = ClassificationCrops(training, cfg, taxonomy, begun.budget.steps * cfg.batch, params.seed)
    history = fit(task, data, cfg.batch, begun.budget, params.trainer, folder=out, ema=cfg.ema, logger=logger, progress=progress)
    if history is None:  # the first process writes
        return {}
    network.eval()
    _remember(network, training, taxonomy, cfg)
    write_network(out, "classifier", network, {"params": cfg.model_dump(), "taxonomy": taxonomy.card(), **begun.card})
    return _report_classifier(network.cpu(), views, validation, taxonomy, history, out)


LEARN = {"detector": learn_detector, "classifier": learn_classifier}


def _require_weights(network: str, weights: str, frozen_blocks: int) -> None:
    """Raise ConfigError if blocks are frozen that nothing was learnt by."""
    if weights == "none" and frozen_blocks:
        raise ConfigError(
            "blocks that are frozen without weights stay random",
            where=f"{network}.frozen_blocks",
            expected=f"0 with {network}.weights=none",
            found=frozen_blocks,
            todo=f"Set {network}.frozen_blocks=0, or choose weights.",
        )


def spread(frames: Sequence[FrameTruth], most: int) -> list[FrameTruth]:
    """Choose at most `most` frames, about as many of each scene, for those of one show much the same; evenly over each, in order."""
    scenes: dict[str, list[FrameTruth]] = defaultdict(list)
    for frame in frames:
        scenes[frame.scene].append(frame)
    each = 1
    while each < max(map(len, scenes.values()), default=0) and sum(min(each + 1, len(scene)) for scene in scenes.values()) <= most:
        each += 1
    return _evenly([frame for scene in scenes.values() for frame in _evenly(scene, each)], most)


def _evenly(frames: list[FrameTruth], most: int) -> list[FrameTruth]:
    """Choose the middles of `most` equal parts of a list; all of a shorter one."""
    parts = min(most, len(frames))
    return [frames[(2 * part + 1) * len(frames) // (2 * parts)] for part in range(parts)]


def view(crops: CropTruth, item: int, margin: float, size_px: int) -> Image:
    """Return what the classifier sees of a labelled crop, not augmented, uint8 (size, size, 3)."""
    return cut(crops.images[item], crops.box(item), margin, size_px)


def _remember(network: Classifier, crops: CropTruth, taxonomy: Taxonomy, cfg: ClassifierParams) -> None:
    """Show a trained network what each class looks like: all its training crops, and those that are made of others by mirroring."""
    views = [view(crops, i, cfg.margin, cfg.size_px) for i in range(len(crops))]
    mirrors = {i: taxonomy.index_of[c.mirror] for i, c in enumerate(taxonomy.classes) if c.mirror is not None and cfg.mirror}
    mirrored = [i for i, label in enumerate(crops.labels) if int(label) in mirrors]
    labels = [*crops.labels.tolist(), *(mirrors[int(crops.labels[i])] for i in mirrored)]
    views += [np.ascontiguousarray(views[i][:, ::-1]) for i in mirrored]
    remember(network, np.stack(views), labels, _device(network))


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters()).device


def _find(network: nn.Module, frames: Sequence[FrameTruth], cfg: Detector) -> list[Boxes]:
    find = eager(network, _device(network))
    return [detect(find, [read_image(frame.path)], cfg)[0] for frame in frames]


def as_truth(frames: Sequence[FrameTruth]) -> dict[str, TruthFrame]:
    """Return frames as `measure` takes them, by path, in their order."""
    out = {}
    for frame in frames:
        corners = np.concatenate([frame.positives, frame.ignored])
        ignored = np.arange(len(corners)) >= len(frame.positives)
        out[str(frame.path)] = TruthFrame.from_xyxy(corners, np.zeros(len(corners), np.int64), ignored)
    return out


def _detection_score(network: nn.Module, frames: Sequence[FrameTruth], cfg: Detector) -> dict[str, float]:
    truth = as_truth(frames)
    found = dict(zip(truth, _find(network, frames, cfg), strict=True))
    measures = {name: max(0.0, value) for name, value in summarise(match(truth, found)).items()}
    return {**measures, "score": measures["ap"]}  # AP50 saturates on so few frames and says nothing of loose boxes


def _class_score(network: nn.Module, views: list[Image], crops: CropTruth) -> dict[str, float]:
    answers = logits(network, np.stack(views), _device(network)).argmax(axis=1)
    accuracy = top1(answers, crops.labels)
    return {"top1": accuracy, "macro_f1": macro_f1(answers, crops.labels), "score": accuracy}


def _write_history(history: History, metrics: dict[str, float], out: Path) -> None:
    finite = {**asdict(history), "best_score": history.best_score if history.rows else None}
    write_json(out / "history.json", {"metrics": metrics, **finite})


def _report_detector(network: nn.Module, frames: Sequence[FrameTruth], cfg: Detector, history: History, out: Path) -> dict[str, float]:
    """Measure the kept weights once more and draw the precision-recall curve and the frames where they fail most and least."""
    if not frames:
        _write_history(history, {}, out)
        return {}
    truth = as_truth(frames)
    found = dict(zip(truth, _find(network, frames, cfg), strict=True))
    metrics = {f"val_{name}": max(0.0, value) for name, value in summarise(match(truth, found)).items()}
    _write_history(history, metrics, out)
    plots.plot_precision_recall(precision_recall_curve(match(truth, found)), out / "report" / "precision_recall.png")
    pieces = []
    for frame, (real, boxes) in zip(frames, zip(truth.values(), found.values(), strict=True), strict=True):
        target = match_boxes(real, boxes)
        image = read_image(frame.path)
        for box, score, hit in zip(boxes.xyxy, boxes.scores, target, strict=True):
            if score >= 0.2:
                badness, word = (float(score), "false") if hit < 0 else (-float(score), "found")
                pieces.append((badness, cut(image, box, 0.5, 96), f"{word} {score:.2f}"))
        for missed in set(range(len(frame.positives))) - {int(t) for t, s in zip(target, boxes.scores, strict=True) if s >= 0.2}:
            pieces.append((1.0, cut(image, frame.positives[missed], 0.5, 96), "missed"))
    _sheet(pieces, out / "report" / "worst_and_best.png")
    return metrics


def _report_classifier(
    network: Classifier, views: list[Image], crops: CropTruth, taxonomy: Taxonomy, history: History, out: Path
) -> dict[str, float]:
    """Measure the kept weights once more and draw the confusion matrix and the crops where they fail most and least."""
    if not views:
        _write_history(history, {}, out)
        return {}
    raw = logits(network, np.stack(views), torch.device("cpu"))
    answers = raw.argmax(axis=1)
    metrics = {"val_top1": top1(answers, crops.labels), "val_macro_f1": macro_f1(answers, crops.labels)}
    _write_history(history, metrics, out)
    names = [*(c.name for c in taxonomy.classes), f"not a {taxonomy.object_name}"]
    plots.plot_confusion(confusion_matrix(answers, crops.labels, len(names)), names, out / "report" / "confusion.png")
    own = probabilities(raw, 1.0)[np.arange(len(raw)), crops.labels]
    captions = [f"{names[label][:14]} {p:.2f}" for label, p in zip(crops.labels, own, strict=True)]
    pieces = [(1 - float(p), image, text) for p, image, text in zip(own, views, captions, strict=True)]
    _sheet(pieces, out / "report" / "worst_and_best.png")
    return metrics


def _sheet(pieces: list[tuple[float, Image, str]], path: Path) -> None:
    """Draw the pieces with the largest badness, then those with the smallest."""
    ordered = sorted(pieces, key=lambda piece: -piece[0])
    chosen = ordered if len(ordered) <= 2 * SHEET else [*ordered[:SHEET], *ordered[-SHEET:]]
    if chosen:
        contact_sheet([image for _, image, _ in chosen], [text for _, _, text in chosen], path)
