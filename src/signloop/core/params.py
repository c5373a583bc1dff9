"""params.yaml in memory: one frozen model per conf group. A typo, a wrong type and a missing key each fail with the full key."""

import json
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from signloop.core.errors import ConfigError
from signloop.core.taxonomy import Taxonomy

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
Some = Annotated[int, Field(ge=1)]
Quality = Literal["centreness", "overlap"]
Precision = Literal["auto", "f32", "bf16"]
Backend = Literal["auto", "pytorch"]


class Group(BaseModel):
    """Base of all groups: frozen, nothing converted silently, no unknown key."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Data(Group):
    """What becomes truth.

    Attributes:
        val_share, test_share: shares of recordings (or stills) whose hash puts them there.
        crop_margin: context around a saved crop, as a share of the box on each side.
        import_margin: the same, of crops that were imported.
        min_side_px: a box whose longer side is shorter gives no crop.
        background_per_frame: crops of background ("not a sign") drawn from each complete training frame.
        mistakes_per_frame: crops of what the trained detector takes for a sign where none is, for a complete frame.
        frames_per_sign: training frames that teach a verified sign though nobody searched them for others; the nearest are much alike.
        max_skipped: share of items a stage may leave out before it fails.
    """

    val_share: Share
    test_share: Share
    crop_margin: Share
    import_margin: Share
    min_side_px: Positive
    background_per_frame: Count
    mistakes_per_frame: Count
    frames_per_sign: Count
    max_skipped: Share

    @model_validator(mode="after")
    def _shares_of_one_whole(self) -> Self:
        if self.val_share + self.test_share > 1:
            raise ValueError("val_share and test_share together must not be above 1")
        return self


class Extract(Group):
    """Which frames of a recording are kept for people and for training.

    Attributes:
        fps: frames a second, about; the recording's rate is divided by a whole number. None keeps all.
        sequence_fps: rate assumed for a folder of ordered frames that states none.
        duplicate: mean absolute difference of 32x32 grey thumbnails (0-255) under which a frame counts as the one before; 0 keeps all.
        blur: variance of the Laplacian under which a frame is left out; 0 keeps all.
        jpeg_quality: of the stored frames, 1-100.
        max_frames: most frames kept of one recording; None for no limit.
    """

    fps: Positive | None
    sequence_fps: Positive
    duplicate: Annotated[float, Field(ge=0)]
    blur: Annotated[float, Field(ge=0)]
    jpeg_quality: Annotated[int, Field(ge=1, le=100)]
    max_frames: Some | None


class Detector(Group):
    """The detector's network and how it learns.

    Attributes:
        network: name in `models.detector.NETWORKS`.
        backbone: timm model name (light FCOS only; None for the torchvision detectors).
        weights: an entry of `models.pretrained`: imagenet-lite0, torchvision:<name>, timm:<model.tag>, file:<path>, none.
        frozen_blocks: early blocks of the backbone that keep their pretrained weights (light FCOS on an EfficientNet-like backbone).
        channels, head_convs: width of the feature pyramid and depth of the two heads (light FCOS only).
        quality: what a box's score is weighed by, its centreness or its overlap with the object (light FCOS only).
        crop_px: side of the square training crops, px of the scaled frame.
        scale_min, scale_max: range of the random zoom before a crop is cut.
        exposure: strength of the random brightness and contrast change.
        mirror: share of training crops that are mirrored left to right; their class is not looked at here.
        lr, backbone_lr, weight_decay: AdamW; the peak of a one-cycle schedule.
        batch: crops a step.
        partial_share: of the crops around signs, at most those from frames that nobody searched for others.
        background_share: share of training crops drawn anywhere; the others are drawn around a box.
        rejected_share: of all crops, at most those around boxes that a person rejected; each is drawn as often as a sign.
        ema: decay of the averaged weights that are kept; 0 keeps the last ones.
        input_scale: factor on the frame before detection; 1 keeps the camera's resolution.
        min_score, nms_iou, max_boxes: what leaves the detector.
        vote_iou: a box becomes the mean of the boxes that overlap it by this IoU; null: it stays as it is (light FCOS only).
    """

    network: str
    backbone: str | None
    weights: str
    frozen_blocks: Count
    channels: Some
    head_convs: Some
    quality: Quality
    crop_px: Some
    scale_min: Positive
    scale_max: Positive
    exposure: Share
    mirror: Share
    lr: Positive
    backbone_lr: Positive
    weight_decay: Annotated[float, Field(ge=0)]
    batch: Some
    background_share: Share
    rejected_share: Share
    partial_share: Share
    ema: Share
    input_scale: Positive
    min_score: Share
    nms_iou: Share
    vote_iou: Annotated[float, Field(gt=0, le=1)] | None  # at 0, boxes that do not touch would be averaged
    max_boxes: Some

    @model_validator(mode="after")
    def _zoom_is_a_range(self) -> Self:
        if self.scale_min > self.scale_max:
            raise ValueError("scale_min must not be above scale_max")
        return self

    @model_validator(mode="after")
    def _shares_of_one_whole(self) -> Self:
        if self.background_share + self.rejected_share > 1:
            raise ValueError("background_share and rejected_share together must not be above 1")
        return self


class Classifier(Group):
    """The classifier's network and how it learns.

    Attributes:
        backbone: any timm model name.
        weights, frozen_blocks: as for the detector.
        size_px: side of the square input.
        margin: context around the box that the network sees, as a share of the box on each side.
        contrast: normalise each crop's brightness and contrast.
        lr, backbone_lr, weight_decay: AdamW; the peak of a one-cycle schedule.
        batch: crops a step.
        label_smoothing: of the cross-entropy.
        mirror: probability of a mirrored crop, for classes with a mirrored class only.
        balance: 0 samples crops as they are, 1 every class equally.
        negative_share: of the crops, at most those of "not a sign"; what the next two make comes on top.
        hybrid_share: share of the crops of a class that get another centre: half of them their own from another view, half of them one of
            another group, which makes "not a sign" of them.
        painted_share: share of the crops of a class that are shown in one colour, which makes "not a sign" of them; 0 where objects of a
            class come in all colours.
        crops_per_track: most crops of one physical sign in an epoch.
        exposure, blur: strength of the random changes of light, and share of crops blurred.
        ema: decay of the averaged weights that are kept; 0 keeps the last ones.
        shift: random displacement and zoom of the box, as a share of its side: what a detector's boxes will be off by.
    """

    backbone: str
    weights: str
    frozen_blocks: Count
    size_px: Some
    margin: Share
    contrast: bool
    lr: Positive
    backbone_lr: Positive
    weight_decay: Annotated[float, Field(ge=0)]
    batch: Some
    label_smoothing: Share
    mirror: Share
    balance: Share
    negative_share: Share
    hybrid_share: Share
    painted_share: Share
    crops_per_track: Some
    exposure: Share
    blur: Share
    ema: Share
    shift: Share

    @model_validator(mode="after")
    def _shares_of_one_whole(self) -> Self:
        if self.hybrid_share + self.painted_share > 1:
            raise ValueError("hybrid_share and painted_share together must not be above 1")
        return self


class Again(Group):
    """How a network learns that goes on from the champion's weights.

    Attributes:
        steps: optimiser steps in all.
        lr: as a share of the learning rates with which it learns from pretrained weights.
    """

    steps: Some
    lr: Annotated[float, Field(gt=0, le=1)]


class Budget(Group):
    """How long one network trains.

    Attributes:
        steps: optimiser steps in all, from pretrained weights.
        again: the same where it goes on from the champion.
        validate_every: steps between validations.
        patience: validations without a better metric before it stops; None never stops early.
    """

    steps: Some
    again: Again
    validate_every: Some
    patience: Some | None


class Train(Group):
    """Where both networks start, and their budgets.

    Attributes:
        start: "champion" goes on from the champion's weights when there are new labels, as long as it has the same networks and classes
            and has learnt from at least half of the objects that are labelled now; "pretrained" never does.
        detector, classifier: how long each trains.
    """

    start: Literal["champion", "pretrained"]
    detector: Budget
    classifier: Budget


class Trainer(Group):
    """The machine: passed to Lightning's Trainer as it is.

    Attributes:
        accelerator, devices, num_nodes, precision: as in Lightning; "auto" uses a GPU if there is one.
        workers: data loader processes; 0 loads in the training process.
    """

    accelerator: str
    devices: str | int
    num_nodes: Some
    precision: str
    workers: Count


class Prelabel(Group):
    """From raw boxes to signs.

    Attributes:
        fps: frames a second, about, as of `Extract`; None looks at every frame.
        start_score: a box at least this good may begin a sign.
        keep_score: a box at least this good may continue one.
        min_boxes: signs with fewer detected boxes are dropped, unless `sure_score` is reached.
        sure_score: a sign whose best box reaches it is kept however short.
        max_gap_s: a sign unseen for longer has ended; so has one that missed more looks than it had boxes.
        end_share: a sign's first and last box score at least this share of its best one.
        crops_per_sign: most crops of one sign that the classifier sees.
        nothing: confidence in "not an object" from which on a sign is not proposed at all.
        strange: share of the validation objects that may be called of no class, so that foreign ones are; 0 calls none so. On recordings
            that look different from what was learnt, it is many times that share: raise it once some of them are verified.
        backend: what runs the networks; auto takes OpenVINO for a FCOS on a CPU, PyTorch otherwise.
        precision: f32 or bf16, of the networks; auto takes bf16 where the processor has it, unless that was seen to cost the model
            something when it was bundled.
        batch: frames a detector call.
    """

    fps: Positive | None
    start_score: Share
    keep_score: Share
    min_boxes: Some
    sure_score: Share
    max_gap_s: Positive
    end_share: Share
    crops_per_sign: Some
    nothing: Share
    strange: Share
    backend: Backend
    precision: Precision
    batch: Some


class Crew(Group):
    """The processes that label recordings.

    Attributes:
        workers: how many; None: one for every four cores, on a GPU one.
        stall_s: seconds without a frame after which a worker is ended; its recording is tried once more, then left out.
    """

    workers: Some | None
    stall_s: Positive


class Queue(Group):
    """What the person is asked.

    Attributes:
        frame_share: share of the frames of each recording put forward to look for missed signs.
    """

    frame_share: Share


class Gate(Group):
    """How much worse a challenger may be than the champion, absolute, and still replace it."""

    ap50_margin: Share
    class_accuracy_margin: Share
    sign_recall_margin: Share


class Params(Group):
    """All of params.yaml.

    Attributes:
        overrides: the Hydra overrides it was composed with.
        seed: of everything that is drawn at random.
    """

    overrides: tuple[str, ...]
    seed: Count
    taxonomy: Taxonomy
    data: Data
    extract: Extract
    detector: Detector
    classifier: Classifier
    train: Train
    trainer: Trainer
    prelabel: Prelabel
    crew: Crew
    queue: Queue
    gate: Gate


def parse(value: object, where: object) -> Params:
    """Check a nested mapping against the models.

    Raises:
        ConfigError: every wrong key with its full name, what was expected and what was found.
    """
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:  # YAML knows more than JSON: dates, .nan, nodes that hold themselves
        raise ConfigError(
            "wrong parameters", where=where, expected="texts, finite numbers, lists and mappings", found=str(error), todo="Correct conf/."
        ) from error
    try:
        return Params.model_validate_json(text)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc'])) or 'top level'}: {e['msg']} (found {e['input']!r:.80})" for e in error.errors()]
        raise ConfigError(
            "wrong parameters",
            where=where,
            found="\n  " + "\n  ".join(lines) + "\n",
            todo="Correct conf/ or the override and run `signloop params`.",
        ) from error


def load(path: Path) -> Params:
    """Read params.yaml.

    Raises:
        ConfigError: missing, no YAML, or a key, type or value is wrong.
    """
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError("params.yaml does not exist", where=path, todo="Run `signloop params`.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError("params.yaml is no valid YAML", where=path, found=str(error), todo="Run `signloop params`.") from error
    return parse(value, path)
