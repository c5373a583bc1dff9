"""What labels fast, and PyTorch, and verified frames in; an error if they differ, and whether reduced arithmetic costs anything, out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from signloop.core import tables
from signloop.core.boxes import Boxes
from signloop.core.errors import ModelError
from signloop.core.params import Backend
from signloop.frames.images import read_image
from signloop.measure.detection import summarise
from signloop.measure.matching import TruthFrame, match
from signloop.measure.score import class_accuracy
from signloop.models import runtime as networks
from signloop.models.bundle import Bundle
from signloop.prelabel.named import Runtime, name_boxes
from signloop.prelabel.verified import split_truth

Progress = Callable[[str, int, int], None]
SAME_PX = 0.5  # most that a side of a box may be elsewhere
SAME_SCORE = 1e-3  # most that a score, or the probability of a class, may differ
AP50_MARGIN, CLASS_MARGIN = 0.003, 0.002  # most that reduced arithmetic may cost
EXACT_FRAMES, REDUCED_FRAMES = 8, 200  # on which both are compared


@dataclass(frozen=True)
class Cost:
    """What reduced arithmetic costs on verified frames.

    Attributes:
        frames: how many.
        ap50, class_accuracy: with it minus without it.
    """

    frames: int
    ap50: float
    class_accuracy: float

    @property
    def is_small(self) -> bool:
        """Whether both are within their margins."""
        return self.ap50 >= -AP50_MARGIN and self.class_accuracy >= -CLASS_MARGIN

    def as_json(self) -> dict[str, Any]:
        """Return it for the card of a bundle."""
        return {**asdict(self), "is_small": self.is_small}


def compare(
    bundle: Bundle, device: torch.device, backend: Backend, truth_folder: Path, say: Callable[[str], None], progress: Progress
) -> dict[str, Any]:
    """Compare what will label with PyTorch, and reduced arithmetic with float32; tells, and returns for the bundle's card, what came of it.

    Args:
        bundle: that shall label.
        device, backend: on which, and in what, it shall; PyTorch is not compared with itself.
        truth_folder: data/truth.
        say: told two sentences.
        progress: called with a word, done and total.

    Raises:
        ModelError: as in `check_exact`.
    """
    slow, exact = networks.Runtime(bundle, device, backend="pytorch"), networks.Runtime(bundle, device, backend=backend)
    limits = bundle.detector_params.min_score, bundle.detector_params.max_boxes
    frames = check_exact(slow, exact, truth_folder, *limits) if exact.backend != slow.backend else 0
    say(f"{exact}: the same as PyTorch on {frames} frames")
    if not networks.has_bf16(device):
        return {"frames": frames}
    found = cost(exact, networks.Runtime(bundle, device, "bf16", backend=backend), truth_folder, progress)
    words = "within the margins" if found.is_small else "too much: prelabel.precision=auto labels in float32"
    say(f"bfloat16 costs AP50 {found.ap50:+.4f} and class accuracy {found.class_accuracy:+.4f} on {found.frames} frames, {words}")
    return {"frames": frames, "bf16": found.as_json()}


def check_exact(slow: Runtime, fast: Runtime, truth_folder: Path, least: float, most: int) -> int:
    """Compare what two runtimes of one model find and say, on frames that a person has verified.

    Args:
        slow: PyTorch.
        fast: the other, in float32.
        truth_folder: data/truth.
        least, most: `min_score` and `max_boxes` of the detector: at these limits a box may be found by one alone.

    Returns:
        On how many frames they agree; 0 if there is none.

    Raises:
        ModelError: they differ; names the frame and the first difference.
    """
    frames = _verified(truth_folder, EXACT_FRAMES)
    for frame_id, (_, path) in frames.items():
        image = read_image(path)
        expected, found = slow.detect([image])[0], fast.detect([image])[0]
        problem = _only_in(expected, found, "PyTorch", least, most) or _only_in(found, expected, "the runtime", least, most)
        if problem is None:
            crops = [slow.cut(image, box) for box in expected.xyxy]
            apart = np.abs(slow.classify(crops)[0] - fast.classify(crops)[0]).max(initial=0)
            problem = f"probabilities of classes that are {apart:.4f} apart" if apart > SAME_SCORE else None
        if problem is not None:
            raise ModelError(
                "the runtime does not find what PyTorch finds",
                where=f"frame {frame_id}",
                expected=f"the same to {SAME_PX:g} px and {SAME_SCORE:g} in score",
                found=problem,
                todo="Set prelabel.backend=pytorch to label with PyTorch.",
            )
    return len(frames)


def _only_in(boxes: Boxes, others: Boxes, who: str, least: float, most: int) -> str | None:
    """Describe the first box that has no equal among the others; None if there is none."""
    limit = max(least, float(boxes.scores.min(initial=np.inf))) if len(boxes) >= most else least
    for xyxy, score in zip(boxes.xyxy, boxes.scores, strict=True):
        same = (np.abs(others.xyxy - xyxy) <= SAME_PX).all(axis=1) & (np.abs(others.scores - score) <= SAME_SCORE)
        if score > limit + SAME_SCORE and not same.any():
            return f"a box that only {who} has, at {', '.join(f'{v:.1f}' for v in xyxy)} with score {score:.4f}"
    return None


def cost(exact: Runtime, reduced: Runtime, truth_folder: Path, progress: Progress) -> Cost:
    """Score both on verified frames of train and val; without any it costs nothing."""
    frames = _verified(truth_folder, REDUCED_FRAMES)
    real = {frame_id: target for frame_id, (target, _) in frames.items()}
    if not frames:
        return Cost(0, 0.0, 0.0)
    scores = []
    for number, runtime in enumerate((exact, reduced)):
        boxes: dict[str, Boxes] = {}
        classes = {}
        for done, (frame_id, (_, path)) in enumerate(frames.items(), start=1):
            image = read_image(path)
            boxes[frame_id], classes[frame_id] = name_boxes(runtime, image, runtime.detect([image])[0])
            progress("frames compared", number * len(frames) + done, 2 * len(frames))
        scores.append((summarise(match(real, boxes))["ap50"], class_accuracy(real, boxes, classes)))
    (ap50, named), (less_ap50, less_named) = scores
    return Cost(len(frames), less_ap50 - ap50, less_named - named)


def _verified(folder: Path, most: int) -> Mapping[str, tuple[TruthFrame, Path]]:
    """Return completely verified frames of train and val with their pictures, evenly spread; test frames stay unseen."""
    frames, truth = tables.read(folder / "frames.parquet", "truth_frames"), tables.read(folder / "truth.parquet", "truth")
    found: dict[str, tuple[TruthFrame, Path]] = {}
    for split in ("train", "val"):
        real, chosen = split_truth(frames, truth, split)
        found |= {frame_id: (target, folder / chosen[frame_id]["path"]) for frame_id, target in real.items()}
    names: Sequence[str] = sorted(found)
    return {name: found[name] for name in names[:: max(1, -(-len(names) // most))]}
