"""Truth rows in, tensors out: crops of frames for the detector, augmented views of sign crops for the classifier."""

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # read at import: it would ask the web for a newer version

import albumentations as A  # noqa: N812 - as its own documentation does
import cv2
import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from signloop.core import tables
from signloop.core.boxes import CORNERS, clip, inside_share
from signloop.core.errors import DataError
from signloop.core.params import Classifier, Detector
from signloop.core.taxonomy import Taxonomy
from signloop.frames.images import read_image
from signloop.models.classifier import cut
from signloop.models.detector import to_tensor
from signloop.models.strangers import CENTRE, PAINTED, any_colour, is_another, painted, with_centre

Image = NDArray[np.uint8]
MIN_VISIBLE = 0.5  # a box of which less is left by a crop is hidden, not learnt
KNOWN_AROUND = 0.5  # of a box's longer side: so much beside a verified box is known, too, in a frame that nobody searched
GREY = 128  # what a crop shows outside of the frame
CACHED_BYTES = 1_000_000_000  # of decoded frames, kept by each process that reads them: a few hundred stills
EPSILON = 1e-9  # instead of 0 below a fraction
MIN_SIDE_PX = 5.0  # a smaller box in a scaled crop is hidden, not learnt


@dataclass(frozen=True)
class FrameTruth:
    """One labelled frame.

    Attributes:
        path: of the picture.
        scene: what it is one of several looks at: its recording; a still is the only look at itself.
        positives: boxes to find, (n, 4) px.
        positive_ids: the physical sign of each, (n,).
        ignored: regions that are neither a sign nor "no sign", (m, 4) px.
        rejected: boxes that a model once proposed and a person rejected, (k, 4) px.
        rejected_ids: the thing that each shows, (k,).
        is_complete: whether all signs of the frame are among the positives; if not, what is beside the boxes says nothing.
    """

    path: Path
    scene: str
    positives: NDArray[np.float32]
    positive_ids: tuple[str, ...]
    ignored: NDArray[np.float32]
    rejected: NDArray[np.float32]
    rejected_ids: tuple[str, ...]
    is_complete: bool = True


def frame_truths(folder: Path, frames: pa.Table, truth: pa.Table, split: str) -> list[FrameTruth]:
    """Join tables `truth_frames` and `truth` to the labelled frames of one split, in the order of their ids.

    Only for training there are frames that are not completely labelled: nothing can be measured on them.
    """
    labelled: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in truth.to_pylist():
        labelled[row["frame_id"], row["role"]].append(row)

    def boxes(frame_id: str, role: str) -> NDArray[np.float32]:
        return np.array([[row[c] for c in CORNERS] for row in labelled[frame_id, role]], np.float32).reshape(-1, 4)

    def ids(frame_id: str, role: str) -> tuple[str, ...]:
        return tuple(row["sign_id"] or row["box_id"] for row in labelled[frame_id, role])

    return [
        FrameTruth(
            path=folder / row["path"],
            scene=row["frame_id"] if row["kind"] == "stills" else row["recording_id"],
            positives=boxes(row["frame_id"], "positive"),
            positive_ids=ids(row["frame_id"], "positive"),
            ignored=boxes(row["frame_id"], "ignore"),
            rejected=boxes(row["frame_id"], "negative"),
            rejected_ids=ids(row["frame_id"], "negative"),
            is_complete=row["complete"],
        )
        for row in sorted(frames.to_pylist(), key=lambda row: str(row["frame_id"]))
        if row["split"] == split and (row["complete"] or split == "train")
    ]


def chances(looks_at: Sequence[str]) -> NDArray[np.float64]:
    """Return the chance of each look, so that all things are as likely as each other, however many looks there are at one: 1 / looks."""
    _, thing, looks = np.unique(np.array(looks_at, np.str_), return_inverse=True, return_counts=True)
    return np.asarray(1 / looks[thing], np.float64)


def cap(weights: NDArray[np.float64], these: NDArray[np.bool_], share: float) -> NDArray[np.float64]:
    """Lower the weights of `these` until they are at most this share of the sum, in [0, 1]; where there are no others, nothing changes."""
    mine, others = weights[these].sum(), weights[~these].sum()
    if not others or mine * (1 - share) <= others * share:
        return weights
    return np.where(these, weights * (others * share / (mine * (1 - share))), weights)


def _among(weights: NDArray[np.float64], these: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return which ones these are, and the running sums of their weights, for `_draw`."""
    picks = np.flatnonzero(these)
    return picks, np.cumsum(weights[picks])


def _draw(sums: NDArray[np.float64], rng: np.random.Generator) -> int:
    """Choose at random by weights, whose running sums are given."""
    return min(int(np.searchsorted(sums, rng.random() * sums[-1], side="right")), len(sums) - 1)


def hide(image: Image, regions: NDArray[np.float32], keep: NDArray[np.float32]) -> None:
    """Fill regions with their own mean colour, in place, so that they teach neither "sign" nor "no sign"; `keep` stays visible."""
    height, width = image.shape[:2]
    kept = [(box, image[box[1] : box[3], box[0] : box[2]].copy()) for box in np.rint(clip(keep, width, height)).astype(int)]
    for x1, y1, x2, y2 in np.rint(clip(regions, width, height)).astype(int):
        if x2 > x1 and y2 > y1:
            image[y1:y2, x1:x2] = image[y1:y2, x1:x2].mean(axis=(0, 1)).astype(np.uint8)
    for (x1, y1, x2, y2), pixels in kept:
        image[y1:y2, x1:x2] = pixels


def show_only(image: Image, boxes: NDArray[np.float32]) -> None:
    """Grey out, in place, all but these boxes and a little around each: what else is there may be a sign, or not."""
    height, width = image.shape[:2]
    around = KNOWN_AROUND * (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True)
    known = np.zeros((height, width), np.bool_)
    for x1, y1, x2, y2 in np.rint(clip(boxes + around * [-1, -1, 1, 1], width, height)).astype(int):
        known[y1:y2, x1:x2] = True
    image[~known] = GREY


def mirrored(image: Image, boxes: NDArray[np.float32]) -> tuple[Image, NDArray[np.float32]]:
    """Swap left and right of a picture and of the boxes in it, (n, 4) px."""
    swapped = boxes.copy()
    swapped[:, [0, 2]] = image.shape[1] - boxes[:, [2, 0]]
    return np.ascontiguousarray(image[:, ::-1]), swapped


def _light(strength: float) -> list[Any]:
    """Changes of light that a camera makes: exposure, contrast, colour of the light, noise."""
    return [
        A.RandomBrightnessContrast(brightness_limit=strength, contrast_limit=strength, p=0.7),
        A.RandomGamma(gamma_limit=(int(100 - 70 * strength), int(100 + 150 * strength)), p=0.5),
        A.HueSaturationValue(hue_shift_limit=4, sat_shift_limit=int(60 * strength), val_shift_limit=0, p=0.4),
        A.GaussNoise(std_range=(0.01, 0.05), p=0.2),
    ]


class DetectionCrops(Dataset[tuple[Tensor, dict[str, Tensor]]]):
    """Square full-resolution crops of frames, most around a box, at a random zoom, some mirrored.

    Item i is the same in every epoch and process.

    Each physical sign is drawn as often as each other, at random in one of its frames, and so is each still and each recording for
    background: else what a recording shows for seconds would be most of what is learnt, and the many signs of stills hardly be seen.

    Some are drawn around what a person rejected: the mistakes of former models, which a random place would hardly ever show (hard
    negatives; Sung & Poggio 1998); each as often as a sign, for a few that are seen all the time teach that signs like them are none.
    Of a frame that is not completely labelled, only the labelled boxes and a little around them are shown.

    Args:
        frames: training frames, at least one of them completely labelled.
        cfg: crop size, zoom, exposure; shares of mirrored crops, of background, of rejected boxes, of frames not completely labelled.
        items: length of the data set: the crops that a training will see.
        label: what the network's loss calls an object.
        seed: of all that is drawn.

    Raises:
        DataError: no frame, or no object in any of them, to learn from.
    """

    def __init__(self, frames: list[FrameTruth], cfg: Detector, items: int, label: int, seed: int) -> None:
        self.backgrounds = [frame for frame in frames if frame.is_complete]
        if not self.backgrounds:
            raise DataError(
                "no completely verified training frame", todo="Bring labelled stills with `signloop import coco`, or run `signloop demo`."
            )
        self.cfg, self.items, self.label, self.seed = cfg, items, label, seed
        self.background_sums = np.cumsum(chances([frame.scene for frame in self.backgrounds]))
        signs = [(frame, box, name) for frame in frames for box, name in zip(frame.positives, frame.positive_ids, strict=True)]
        rejected = [(frame, box, name) for frame in frames for box, name in zip(frame.rejected, frame.rejected_ids, strict=True)]
        self.targets = [(frame, box) for frame, box, _ in signs + rejected]
        if not signs:
            raise DataError("no verified box in the training frames", todo="Bring labelled stills with `signloop import coco`.")
        weights = cap(chances([name for *_, name in signs]), np.array([not frame.is_complete for frame, *_ in signs]), cfg.partial_share)
        weights = np.concatenate([weights, chances([name for *_, name in rejected])])
        is_rejected = np.arange(len(weights)) >= len(signs)
        self.target_sums = np.cumsum(cap(weights, is_rejected, cfg.rejected_share / max(1 - cfg.background_share, EPSILON)))
        self.light = A.Compose(_light(cfg.exposure))
        self._decoded: dict[Path, Image] = {}
        self._decoded_bytes = 0

    def __len__(self) -> int:
        return self.items

    def __getitem__(self, item: int) -> tuple[Tensor, dict[str, Tensor]]:
        rng = np.random.default_rng((self.seed, item))
        frame, box = self._aim(rng)
        image = self._read(frame.path)
        scale = float(np.exp(rng.uniform(np.log(self.cfg.scale_min), np.log(self.cfg.scale_max)))) * self.cfg.input_scale
        left, top, side = self._window(image, box, scale, rng)
        crop, visible = self._cut(image, frame, left, top, side)
        self.light.set_random_seed(int(rng.integers(2**31)))
        crop = self.light(image=crop)["image"]
        if rng.random() < self.cfg.mirror:
            crop, visible = mirrored(crop, visible)
        labels = torch.full((len(visible),), self.label, dtype=torch.int64)
        return to_tensor(crop), {"boxes": torch.from_numpy(visible), "labels": labels}

    def _read(self, path: Path) -> Image:
        """Decode a frame, and keep the first ones that fit into `CACHED_BYTES`: each is cut many times."""
        if path in self._decoded:
            return self._decoded[path]
        image = read_image(path)
        if self._decoded_bytes + image.nbytes <= CACHED_BYTES:
            self._decoded[path] = image
            self._decoded_bytes += image.nbytes
        return image

    def _aim(self, rng: np.random.Generator) -> tuple[FrameTruth, NDArray[np.float32] | None]:
        """Choose a frame, and the box that shall be in the crop, (4,) px; None for a crop from anywhere."""
        if rng.random() < self.cfg.background_share:
            return self.backgrounds[_draw(self.background_sums, rng)], None
        return self.targets[_draw(self.target_sums, rng)]

    def _window(self, image: Image, box: NDArray[np.float32] | None, scale: float, rng: np.random.Generator) -> tuple[int, int, int]:
        """Choose the square of the frame (px) that is zoomed to the crop; it lies inside the frame where that is large enough."""
        height, width = image.shape[:2]
        side = round(self.cfg.crop_px / scale)
        if box is not None:
            x1, y1, x2, y2 = box
            free = np.maximum(side - np.array([x2 - x1, y2 - y1]), 0)
            left, top = np.array([x1, y1]) - rng.random(2) * free
        else:
            left, top = rng.random(2) * np.maximum([width - side, height - side], 0)
        return int(np.clip(left, 0, max(width - side, 0))), int(np.clip(top, 0, max(height - side, 0))), side

    def _cut(self, image: Image, frame: FrameTruth, left: int, top: int, side: int) -> tuple[Image, NDArray[np.float32]]:
        """Cut and zoom a window; boxes cut off or too small become hidden regions. Returns the crop and its boxes in crop px."""
        size = self.cfg.crop_px
        view = image[top : top + side, left : left + side].copy()
        offset = np.array([left, top, left, top], np.float32)
        inside = clip(frame.positives - offset, view.shape[1], view.shape[0])
        zoom = size / side
        visible = inside_share(frame.positives - offset, [[0, 0, view.shape[1], view.shape[0]]])[:, 0]
        large = (inside[:, 2:] - inside[:, :2]).max(axis=1, initial=0) * zoom >= MIN_SIDE_PX
        keep = (visible >= MIN_VISIBLE) & large
        hide(view, np.concatenate([frame.ignored - offset, inside[~keep]]), inside[keep])
        if not frame.is_complete:
            show_only(view, np.concatenate([frame.positives, frame.rejected]) - offset)
        interpolation = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
        zoomed = cv2.resize(view, (max(1, round(view.shape[1] * zoom)), max(1, round(view.shape[0] * zoom))), interpolation=interpolation)
        canvas = np.full((size, size, 3), GREY, np.uint8)
        canvas[: zoomed.shape[0], : zoomed.shape[1]] = zoomed[:size, :size]
        return canvas, (inside[keep] * zoom).astype(np.float32)


def collate_detection(batch: list[tuple[Tensor, dict[str, Tensor]]]) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """Keep pictures and targets as lists, as torchvision's detectors take them."""
    return [image for image, _ in batch], [target for _, target in batch]


@dataclass(frozen=True)
class CropTruth:
    """Labelled crops in memory.

    Attributes:
        images: uint8 (H, W, 3) each, with `margins` of context.
        margins: context that each shows, as a share of the box on each side.
        labels: position of the class in the taxonomy; the number of classes for "not an object".
        tracks: name of the physical sign (or of the crop itself).
    """

    images: list[Image]
    margins: NDArray[np.float32]
    labels: NDArray[np.int64]
    tracks: list[str]

    def __len__(self) -> int:
        return len(self.labels)

    def box(self, item: int) -> NDArray[np.float32]:
        """The labelled box inside a crop's picture, (4,) px; a margin that the frame's edge cut off moves it by as much."""
        height, width = self.images[item].shape[:2]
        edge = self.margins[item] / (1 + 2 * self.margins[item])
        return np.array([width * edge, height * edge, width * (1 - edge), height * (1 - edge)], np.float32)


def crop_truths(folders: Sequence[Path], taxonomy: Taxonomy, split: str, max_px: int = 256) -> CropTruth:
    """Read the crops of one split into memory, those larger than `max_px` shrunk; no crops give an empty set.

    Args:
        folders: each with a table `crops` in crops.parquet, whose paths are relative to it: data/truth, and the detector's mistakes.
        taxonomy: of the labels.
        split: "train", "val" or "test".
        max_px: longest side of a crop in memory.
    """
    tabled = [(folder, row) for folder in folders for row in tables.read(folder / "crops.parquet", "crops").to_pylist()]
    rows = [row for _, row in tabled if row["split"] == split]
    images = []
    for path in [folder / row["path"] for folder, row in tabled if row["split"] == split]:
        image = read_image(path)
        shrink = max_px / max(image.shape[:2])
        if shrink < 1:
            size = (max(1, round(image.shape[1] * shrink)), max(1, round(image.shape[0] * shrink)))
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        images.append(image)
    labels = [len(taxonomy) if row["class_id"] is None else taxonomy.index_of[row["class_id"]] for row in rows]
    return CropTruth(
        images,
        np.array([row["margin"] for row in rows], np.float32),
        np.array(labels, np.int64),
        [str(row["track_id"] or row["crop_id"]) for row in rows],
    )


class ClassificationCrops(Dataset[tuple[Tensor, int]]):
    """Augmented square views of crops; item i is the same in every epoch and process.

    Rare classes are drawn more often (`balance`), "not an object" at most as `negative_share`, and one physical sign at most as often
    as `crops_per_track` crops of others. A crop is mirrored only where its class has a mirrored class, whose label it then carries.

    Some become strangers, objects of no class (`signloop.models.strangers`): the centre of an object of one group in one of another, or an
    object all in one colour. As many crops as get a foreign centre get their own from another view and stay what they are, so that it is
    not the seam that tells. It is never that of another object of the class: two 3 that lie on each other are an 8.

    Raises:
        DataError: no crop of any class.
    """

    def __init__(self, crops: CropTruth, cfg: Classifier, taxonomy: Taxonomy, items: int, seed: int) -> None:
        if not (crops.labels < len(taxonomy)).any():
            raise DataError("no labelled training crop", todo="Verify recordings, import crops, or run `signloop demo`.")
        self.crops, self.cfg, self.items, self.seed = crops, cfg, items, seed
        self.mirrors = {i: taxonomy.index_of[c.mirror] for i, c in enumerate(taxonomy.classes) if c.mirror is not None}
        self.nothing = len(taxonomy)
        self.mirrors[self.nothing] = self.nothing
        weights = self._weights(len(taxonomy))
        self.sums = np.cumsum(weights)
        group = np.array([*(c.group for c in taxonomy.classes), ""])[crops.labels]
        known = crops.labels < len(taxonomy)
        present = np.unique(crops.labels[known]).tolist()
        self.unlike = {label: _among(weights, known & (group != taxonomy.classes[label].group)) for label in present}
        self.light = A.Compose(
            [
                *_light(cfg.exposure),
                A.OneOf(
                    [A.MotionBlur(blur_limit=(3, 7)), A.GaussianBlur(blur_limit=(3, 5)), A.Downscale(scale_range=(0.3, 0.7))], p=cfg.blur
                ),
                A.Affine(rotate=(-8, 8), shear=(-6, 6), border_mode=cv2.BORDER_REPLICATE, p=0.5),
            ]
        )

    def _weights(self, classes: int) -> NDArray[np.float64]:
        """Weight of each crop: long tracks capped inside a class, classes between their share and equality, negatives capped."""
        weights = np.minimum(1.0, self.cfg.crops_per_track * chances(self.crops.tracks))
        counts = np.bincount(self.crops.labels, weights, minlength=classes + 1)
        weights *= (1 / counts[self.crops.labels]) ** self.cfg.balance
        return cap(weights, self.crops.labels == classes, self.cfg.negative_share)

    def __len__(self) -> int:
        return self.items

    def __getitem__(self, item: int) -> tuple[Tensor, int]:
        rng = np.random.default_rng((self.seed, item))
        pick = _draw(self.sums, rng)
        crop, label = self._view(pick, rng), int(self.crops.labels[pick])
        if label != self.nothing:
            crop, label = self._strange(crop, pick, rng)
        if label in self.mirrors and rng.random() < self.cfg.mirror:
            crop, label = np.ascontiguousarray(crop[:, ::-1]), self.mirrors[label]
        self.light.set_random_seed(int(rng.integers(2**31)))
        return to_tensor(self.light(image=crop)["image"]), label

    def _view(self, pick: int, rng: np.random.Generator) -> Image:
        x1, y1, x2, y2 = self.crops.box(pick)
        sides = np.array([x2 - x1, y2 - y1, x2 - x1, y2 - y1])
        box = np.array([x1, y1, x2, y2]) + rng.uniform(-self.cfg.shift, self.cfg.shift, 4) * sides
        return cut(self.crops.images[pick], box, self.cfg.margin, self.cfg.size_px)

    def _strange(self, crop: Image, pick: int, rng: np.random.Generator) -> tuple[Image, int]:
        """Make a stranger of some views of crops; returns what is seen then, and what it is. What looks much as before stays as it is."""
        choice = rng.random()
        if choice < self.cfg.hybrid_share:
            return self._hybrid(crop, pick, rng)
        if choice < self.cfg.hybrid_share + self.cfg.painted_share:
            radius = rng.uniform(*PAINTED) / (1 + 2 * self.cfg.margin)
            return self._unless_alike(pick, crop, painted(crop, any_colour(rng), radius), radius)
        return crop, int(self.crops.labels[pick])

    def _hybrid(self, crop: Image, pick: int, rng: np.random.Generator) -> tuple[Image, int]:
        """Give a view of a crop another centre: its own or, if there is one, that of another group."""
        picks, sums = self.unlike[int(self.crops.labels[pick])]
        is_foreign = rng.random() < 0.5 and len(picks) > 0
        other = self._view(int(picks[_draw(sums, rng)]) if is_foreign else pick, rng)
        radius = rng.uniform(*CENTRE) / (1 + 2 * self.cfg.margin)
        if is_foreign:
            return self._unless_alike(pick, crop, with_centre(crop, other, radius, darken=bool(rng.random() < 0.5)), radius)
        return with_centre(crop, other, radius, darken=False), int(self.crops.labels[pick])

    def _unless_alike(self, pick: int, crop: Image, changed: Image, radius: float) -> tuple[Image, int]:
        if is_another(crop, changed, radius):
            return changed, self.nothing
        return crop, int(self.crops.labels[pick])
