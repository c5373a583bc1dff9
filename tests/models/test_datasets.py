from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import albumentations as A  # noqa: N812 - as its own documentation does
import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from signloop.core import tables
from signloop.core.errors import DataError
from signloop.core.params import Params
from signloop.core.taxonomy import SignClass, Taxonomy
from signloop.frames.images import read_image
from signloop.models import datasets
from signloop.models.datasets import (
    ClassificationCrops,
    CropTruth,
    DetectionCrops,
    FrameTruth,
    Image,
    cap,
    collate_detection,
    crop_truths,
    frame_truths,
    hide,
    mirrored,
)

NONE = np.empty((0, 4), np.float32)


def _frame(
    path: Path,
    positives: NDArray[np.float32] = NONE,
    rejected: NDArray[np.float32] = NONE,
    is_complete: bool = True,
    scene: str | None = None,
    signs: Sequence[str] | None = None,
) -> FrameTruth:
    """Label a frame; where nothing else is said it is a still, and each of its boxes a sign of its own."""
    positive_ids = [f"{path}/{i}" for i in range(len(positives))] if signs is None else signs
    rejected_ids = [f"{path}/rejected/{i}" for i in range(len(rejected))]
    return FrameTruth(path, scene or str(path), positives, tuple(positive_ids), NONE, rejected, tuple(rejected_ids), is_complete)


def _frames(folder: Path, split: str = "train") -> list[FrameTruth]:
    frames, truth = tables.read(folder / "frames.parquet", "truth_frames"), tables.read(folder / "truth.parquet", "truth")
    return frame_truths(folder, frames, truth, split)


def test_frames_of_one_split_only(truth_folder: Path) -> None:
    assert [len(_frames(truth_folder, split)) for split in ("train", "val", "test")] == [6, 3, 3]


def test_the_box_of_a_crop_lies_on_the_drawn_shape(truth_folder: Path, fast: Params) -> None:
    cfg = fast.detector.model_copy(update={"background_share": 0.0, "exposure": 0.0, "crop_px": 96})
    data = DetectionCrops(_frames(truth_folder), cfg, 30, 1, seed=0)
    seen = 0
    for i in range(30):
        image, target = data[i]
        assert image.shape == (3, 96, 96)
        assert target["labels"].tolist() == [1] * len(target["boxes"])
        for x1, y1, x2, y2 in target["boxes"].round().int().tolist():
            spread = image[:, y1 + 1 : y2 - 1, x1 + 1 : x2 - 1].amax(0) - image[:, y1 + 1 : y2 - 1, x1 + 1 : x2 - 1].amin(0)
            assert float(spread.median()) > 0.3  # coloured shape on grey ground
            seen += 1
    assert seen >= 25


def test_a_mirrored_picture_keeps_its_boxes_on_the_same_things() -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    image[10:20, 5:25] = 255
    swapped, boxes = mirrored(image, np.array([[5, 10, 25, 20]], np.float32))
    x1, y1, x2, y2 = boxes[0].astype(int)
    assert (x1, y1, x2, y2) == (35, 10, 55, 20)
    assert swapped[y1:y2, x1:x2].min() == 255
    assert swapped.sum() == image.sum()
    assert mirrored(image, np.zeros((0, 4), np.float32))[1].shape == (0, 4)


def test_as_many_crops_are_mirrored_as_asked(truth_folder: Path, fast: Params) -> None:
    def items(share: float) -> list[torch.Tensor]:
        data = DetectionCrops(_frames(truth_folder), fast.detector.model_copy(update={"mirror": share}), 200, 0, seed=1)
        return [data[i][0] for i in range(200)]

    plain, half, all_of_them = items(0.0), items(0.5), items(1.0)
    for image, swapped in zip(plain, all_of_them, strict=True):
        assert torch.equal(image.flip(2), swapped)
    assert 80 <= sum(not torch.equal(a, b) for a, b in zip(plain, half, strict=True)) <= 120


def test_crops_show_what_was_rejected_as_often_as_asked_and_call_it_nothing(fast: Params, tmp_path: Path) -> None:
    image = np.full((200, 400, 3), 90, np.uint8)
    image[20:40, 340:360] = (0, 0, 255)  # what a person rejected
    image[150:170, 30:50] = (0, 255, 0)  # a sign
    cv2.imwrite(str(tmp_path / "frame.png"), image[..., ::-1])
    frame = _frame(tmp_path / "frame.png", np.array([[30, 150, 50, 170]], np.float32), np.array([[340, 20, 360, 40]], np.float32))
    cfg = fast.detector.model_copy(
        update={"background_share": 0.0, "rejected_share": 0.3, "exposure": 0.0, "crop_px": 96, "scale_min": 1.0, "scale_max": 1.0}
    )
    data = DetectionCrops([frame], cfg, 200, 1, seed=0)
    rejected = signs = 0
    for i in range(200):
        picture, target = data[i]
        shows_rejected = bool((picture[2] - picture[:2].amax(0) > 0.5).sum() > 300)
        assert len(target["boxes"]) == (not shows_rejected)  # they are too far apart for one crop
        rejected, signs = rejected + shows_rejected, signs + (not shows_rejected)
    assert 45 <= rejected <= 75
    assert signs == 200 - rejected
    nothing_rejected = DetectionCrops([replace(frame, rejected=NONE, rejected_ids=())], cfg, 20, 1, seed=0)
    assert all(len(nothing_rejected[i][1]["boxes"]) == 1 for i in range(20))


def test_a_rejected_box_of_the_truth_reaches_the_detector(truth_folder: Path) -> None:
    frames, truth = tables.read(truth_folder / "frames.parquet", "truth_frames"), tables.read(truth_folder / "truth.parquet", "truth")
    rows = truth.to_pylist()
    box = next(row for row in rows if row["split"] == "train" and row["role"] == "positive")
    box.update(role="negative", origin="rejected", class_id=None)
    found = frame_truths(truth_folder, frames, tables.from_rows("truth", rows), "train")
    assert [frame.rejected.tolist() for frame in found if len(frame.rejected)] == [[[box["x1"], box["y1"], box["x2"], box["y2"]]]]


def test_of_a_frame_that_nobody_searched_only_what_is_known_is_learnt(fast: Params, tmp_path: Path) -> None:
    image = np.full((200, 400, 3), 90, np.uint8)
    image[20:40, 340:360] = (0, 0, 255)  # what a person rejected
    image[150:170, 30:50] = (0, 255, 0)  # a sign
    image[80:100, 200:220] = (255, 0, 0)  # what nobody has looked at
    cv2.imwrite(str(tmp_path / "frame.png"), image[..., ::-1])
    cv2.imwrite(str(tmp_path / "other.png"), np.full((200, 400, 3), 60, np.uint8))
    sign, rejected = np.array([[30, 150, 50, 170]], np.float32), np.array([[340, 20, 360, 40]], np.float32)
    partial = _frame(tmp_path / "frame.png", sign, rejected, is_complete=False)
    empty = _frame(tmp_path / "other.png")
    searched = _frame(tmp_path / "other.png", sign)
    changes = {"background_share": 0.3, "rejected_share": 0.2, "partial_share": 0.25, "exposure": 0.0, "crop_px": 400}
    cfg = fast.detector.model_copy(update={**changes, "scale_min": 1.0, "scale_max": 1.0})
    data = DetectionCrops([partial, empty, searched], cfg, 400, 1, seed=0)
    kinds = {"partial": 0, "rejected": 0, "searched": 0, "background": 0}
    for i in range(400):
        frame, box = data._aim(np.random.default_rng((0, i)))
        assert box is not None or frame.is_complete  # a place that nobody has looked at is no background
        kind = "background" if box is None else "rejected" if box[0] == 340 else "searched" if frame is searched else "partial"
        kinds[kind] += 1
    assert kinds["rejected"] / 400 == pytest.approx(0.2, abs=0.05)
    assert kinds["partial"] / (kinds["partial"] + kinds["searched"]) == pytest.approx(0.25, abs=0.08)
    view, visible = data._cut(image, partial, 0, 0, 400)
    assert visible.tolist() == sign.tolist()
    assert view[160, 40].tolist() == [0, 255, 0]
    assert view[141, 21].tolist() == view[30, 335].tolist() == [90, 90, 90]  # a little around is known, too
    assert view[30, 350].tolist() == [0, 0, 255]
    assert (view[80:100, 200:220] == 128).all()
    assert (data._cut(image, searched, 0, 0, 400)[0][80:100, 200:220] == (255, 0, 0)).all()
    with pytest.raises(DataError, match="no completely verified training frame"):
        DetectionCrops([partial], cfg, 1, 1, seed=0)
    with pytest.raises(DataError, match="no verified box in the training frames"):
        DetectionCrops([empty], cfg, 1, 1, seed=0)


def test_a_sign_is_drawn_as_often_as_each_other_however_many_frames_show_it(fast: Params) -> None:
    """A recording of 60 frames with one sign, a still with three, and one thing that was rejected."""
    sign, three = np.array([[30, 150, 50, 170]], np.float32), np.array([[10 * i, 20, 10 * i + 8, 28] for i in range(3)], np.float32)
    film = [_frame(Path(f"{i}.png"), sign, scene="film", signs=["sign of the film"]) for i in range(60)]
    still = _frame(Path("still.png"), three, np.array([[90, 90, 99, 99]], np.float32))
    cfg = fast.detector.model_copy(update={"background_share": 0.2, "rejected_share": 0.5})
    data = DetectionCrops([*film, still], cfg, 1, 1, seed=0)
    drawn = [data._aim(np.random.default_rng((0, i))) for i in range(2000)]
    things = Counter("film" if frame is not still else str(box) for frame, box in drawn if box is not None)
    assert len(things) == 5  # the sign of the film, three of the still, the rejected thing
    assert all(n / sum(things.values()) == pytest.approx(1 / 5, abs=0.04) for n in things.values())
    assert len({frame.path for frame, box in drawn if box is not None and frame is not still}) > 55
    backgrounds = [frame.scene for frame, box in drawn if box is None]
    assert len(backgrounds) / 2000 == pytest.approx(0.2, abs=0.03)
    assert backgrounds.count("film") / len(backgrounds) == pytest.approx(1 / 2, abs=0.1)


def test_a_few_rejected_things_are_not_seen_all_the_time(fast: Params) -> None:
    signs = np.array([[10 * i, 20, 10 * i + 8, 28] for i in range(9)], np.float32)
    frame = _frame(Path("still.png"), signs, np.array([[90, 90, 99, 99]], np.float32))
    cfg = fast.detector.model_copy(update={"background_share": 0.0, "rejected_share": 0.5})
    data = DetectionCrops([frame], cfg, 1, 1, seed=0)
    rejected = sum(box is not None and box[0] == 90 for _, box in (data._aim(np.random.default_rng((0, i))) for i in range(1000)))
    assert rejected / 1000 == pytest.approx(0.1, abs=0.03)


@given(st.lists(st.floats(0.01, 10), min_size=1, max_size=20), st.floats(0, 1), st.data())
def test_a_cap_holds_and_changes_nothing_else(values: list[float], share: float, draw: st.DataObject) -> None:
    weights = np.array(values)
    these = np.array(draw.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values))))
    capped = cap(weights, these, share)
    assert (capped[~these] == weights[~these]).all()
    if these.all():
        assert (capped == weights).all()
    elif capped.sum():
        was, now = (one[these].sum() / one.sum() for one in (weights, capped))
        assert now == pytest.approx(min(was, share))


def test_signs_of_frames_that_nobody_searched_are_learnt_though_the_searched_ones_show_none(fast: Params, tmp_path: Path) -> None:
    partial = _frame(tmp_path / "a.png", np.array([[30, 150, 50, 170]], np.float32), is_complete=False)
    empty = _frame(tmp_path / "b.png")
    data = DetectionCrops([partial, empty], fast.detector.model_copy(update={"background_share": 0.3}), 100, 1, seed=0)
    signs = sum(data._aim(np.random.default_rng((0, i)))[0] is partial for i in range(100))
    assert 55 <= signs <= 85


def test_a_sign_outside_of_a_window_shows_nothing_of_its_own_surroundings_in_it(fast: Params, tmp_path: Path) -> None:
    """The frame was not searched: the window right of the sign holds nothing that is known."""
    cv2.imwrite(str(tmp_path / "frame.png"), np.full((200, 400, 3), 90, np.uint8))
    frame = _frame(tmp_path / "frame.png", np.array([[10, 60, 40, 120]], np.float32), is_complete=False)
    searched = _frame(tmp_path / "frame.png")
    cfg = fast.detector.model_copy(update={"crop_px": 200})
    view, visible = DetectionCrops([frame, searched], cfg, 1, 1, seed=0)._cut(read_image(frame.path), frame, 200, 0, 200)
    assert len(visible) == 0
    assert (view == 128).all()


def test_frames_that_are_not_complete_are_for_training_only(truth_folder: Path) -> None:
    frames, truth = tables.read(truth_folder / "frames.parquet", "truth_frames"), tables.read(truth_folder / "truth.parquet", "truth")
    first = {row["split"]: row["frame_id"] for row in sorted(frames.to_pylist(), key=lambda row: str(row["frame_id"]), reverse=True)}
    rows = [{**row, "complete": row["frame_id"] not in first.values()} for row in frames.to_pylist()]
    found = {s: frame_truths(truth_folder, tables.from_rows("truth_frames", rows), truth, s) for s in ("train", "val", "test")}
    assert {split: [frame.is_complete for frame in of_split] for split, of_split in found.items()} == {
        "train": [False] + [True] * 5,
        "val": [True] * 2,
        "test": [True] * 2,
    }


def test_items_do_not_depend_on_order_or_process(truth_folder: Path, fast: Params) -> None:
    a, b = (DetectionCrops(_frames(truth_folder), fast.detector, 10, 0, seed=1) for _ in range(2))
    first, other = a[3], a[4]
    assert torch.equal(first[0], b[3][0])
    assert not torch.equal(first[0], other[0])
    images, targets = collate_detection([first, other])
    assert len(images) == len(targets) == 2


def test_frames_are_decoded_once_as_long_as_they_fit(truth_folder: Path, fast: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []

    def counted(path: Path) -> np.ndarray[Any, Any]:
        opened.append(path)
        return read_image(path)

    monkeypatch.setattr(datasets, "read_image", counted)
    frames = _frames(truth_folder)
    data = DetectionCrops(frames, fast.detector, 60, 0, seed=1)
    kept = [data[i][0] for i in range(60)]
    assert len(opened) == len(set(opened)) == len(frames)
    monkeypatch.setattr(datasets, "CACHED_BYTES", 2 * 160 * 120 * 3)
    opened.clear()
    data = DetectionCrops(frames, fast.detector, 60, 0, seed=1)
    assert all(torch.equal(data[i][0], image) for i, image in enumerate(kept))
    assert sum(opened.count(path) == 1 for path in set(opened)) == 2


def test_an_ignored_region_loses_its_content_and_a_kept_box_does_not() -> None:
    image = np.random.default_rng(0).integers(0, 255, (40, 40, 3)).astype(np.uint8)
    before = image.copy()
    hide(image, np.array([[5, 5, 25, 25], [50, 50, 60, 60]], np.float32), np.array([[20, 20, 30, 30]], np.float32))
    assert image[6:19, 6:19].std(axis=(0, 1)).max() == 0
    np.testing.assert_array_equal(image[20:30, 20:30], before[20:30, 20:30])
    np.testing.assert_array_equal(image[30:], before[30:])


def test_nothing_to_learn_from_is_said(fast: Params, taxonomy: Taxonomy) -> None:
    with pytest.raises(DataError, match="no completely verified training frame"):
        DetectionCrops([], fast.detector, 1, 0, 0)
    with pytest.raises(DataError, match="no labelled training crop"):
        ClassificationCrops(CropTruth([], np.zeros(0, np.float32), np.zeros(0, np.int64), []), fast.classifier, taxonomy, 1, 0)


def test_crops_carry_positions_in_the_taxonomy(truth_folder: Path, taxonomy: Taxonomy) -> None:
    crops = crop_truths([truth_folder], taxonomy, "train")
    assert sorted(set(crops.labels.tolist())) == [0, 1, 2, 3]  # 3 is "not an object"
    height, width = crops.images[0].shape[:2]
    x1, y1, x2, y2 = crops.box(0)
    assert (x2 - x1) * 1.3 == pytest.approx(width, rel=1e-5)
    assert (y1 + y2) / 2 == pytest.approx(height / 2)


def test_a_mirrored_crop_gets_the_mirrored_class(truth_folder: Path, fast: Params, taxonomy: Taxonomy) -> None:
    """Arrows point to the dark side after cutting, so the picture itself tells which class the label must be."""
    crops = crop_truths([truth_folder], taxonomy, "train")
    plain = fast.classifier.model_copy(update={"mirror": 1.0, "exposure": 0.0, "blur": 0.0, "shift": 0.0})
    data = ClassificationCrops(crops, plain, taxonomy, 200, seed=0)
    data.light = A.Compose([])
    checked = 0
    for i in range(200):
        image, label = data[i]
        if label in (1, 2):
            white = image.amin(0) > 0.7
            left, right = white[:, :16].sum(), white[:, 16:].sum()
            assert (label == 1) == bool(right > left)  # the broad side of a left arrow is right
            checked += 1
    assert checked > 50


def _shape(ring: tuple[int, int, int], centre: tuple[int, int, int]) -> Image:
    image = np.full((60, 60, 3), 120, np.uint8)
    image[10:50, 10:50] = ring
    image[20:40, 20:40] = centre
    return image


def test_an_object_with_the_centre_of_another_group_is_nothing_and_one_with_its_own_stays(fast: Params) -> None:
    """Two classes of one group that differ in the centre, and one of another group."""
    red, green, blue = (200, 40, 40), (40, 180, 40), (40, 40, 200)
    looks = [_shape(red, (250, 250, 250)), _shape(red, (0, 0, 0)), _shape(blue, green)]
    labels = np.arange(30) % 3
    crops = CropTruth([looks[label] for label in labels], np.full(30, 0.1, np.float32), labels, [str(i) for i in range(30)])
    groups = Taxonomy(
        name="shapes",
        object_name="shape",
        classes=tuple(SignClass(id=i, name=f"shape {i}", group="red" if i < 2 else "blue") for i in range(3)),
    )
    quiet = {"exposure": 0.0, "blur": 0.0, "mirror": 0.0, "shift": 0.0, "hybrid_share": 1.0, "painted_share": 0.0, "size_px": 60}
    cfg = fast.classifier.model_copy(update=quiet)
    data = ClassificationCrops(crops, cfg, groups, 1, 0)
    rng = np.random.default_rng(0)
    found: Counter[int] = Counter()
    for _ in range(100):
        image, label = data._strange(data._view(0, rng), 0, rng)  # red with a white centre
        assert label == 3 or (image == data._view(0, rng)).all()  # its own centre
        found[label] += 1
        middle = image[30, 30].astype(int)
        assert label == (3 if np.ptp(middle) > 20 else 0)  # green came from another group; black, of its own group, never did
        assert middle.sum() > 60
    assert set(found) == {0, 3}
    assert found[3] == pytest.approx(50, abs=15)
    assert Counter(ClassificationCrops(crops, cfg, groups, 300, 0)[i][1] for i in range(300))[3] == pytest.approx(150, abs=30)
    never = cfg.model_copy(update={"hybrid_share": 0.0})
    assert Counter(ClassificationCrops(crops, never, groups, 100, 0)[i][1] for i in range(100))[3] == 0
    single = groups.model_copy(update={"classes": tuple(one.model_copy(update={"group": "all"}) for one in groups.classes)})
    assert Counter(ClassificationCrops(crops, cfg, single, 100, 0)[i][1] for i in range(100))[3] == 0


def test_a_foreign_centre_that_looks_like_the_own_one_changes_nothing(fast: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = [_shape((200, 40, 40), (250, 250, 250)), _shape((40, 40, 200), (250, 250, 250))]
    crops = CropTruth(looks, np.full(2, 0.1, np.float32), np.array([0, 1]), ["a", "b"])
    classes = (SignClass(id=0, name="red", group="red"), SignClass(id=1, name="blue", group="blue"))
    cfg = fast.classifier.model_copy(update={"shift": 0.0, "hybrid_share": 1.0, "painted_share": 0.0, "size_px": 60})
    data = ClassificationCrops(crops, cfg, Taxonomy(name="shapes", object_name="shape", classes=classes), 1, 0)
    own = data._view(0, np.random.default_rng(0))
    monkeypatch.setattr(datasets, "CENTRE", (0.3, 0.3))  # only what is white on both
    for i in range(20):
        image, label = data._strange(own, 0, np.random.default_rng(i))
        assert (label, (image == own).all()) == (0, True)
    monkeypatch.setattr(datasets, "CENTRE", (0.9, 0.9))  # the coloured rings, too
    assert {data._strange(own, 0, np.random.default_rng(i))[1] for i in range(20)} == {0, 2}


def test_an_object_in_one_colour_is_nothing_unless_it_was_before(fast: Params) -> None:
    looks = [_shape((200, 40, 40), (250, 250, 250)), np.full((60, 60, 3), 120, np.uint8)]
    crops = CropTruth(looks, np.full(2, 0.1, np.float32), np.array([0, 1]), ["a", "b"])
    classes = (SignClass(id=0, name="red", group="all"), SignClass(id=1, name="bare", group="all"))
    quiet = {"exposure": 0.0, "blur": 0.0, "mirror": 0.0, "shift": 0.0, "hybrid_share": 0.0, "painted_share": 1.0, "size_px": 60}
    taxonomy = Taxonomy(name="shapes", object_name="shape", classes=classes)
    data = ClassificationCrops(crops, fast.classifier.model_copy(update=quiet), taxonomy, 1, 0)
    rng = np.random.default_rng(0)
    own = data._view(0, rng)
    for _ in range(30):
        image, label = data._strange(own, 0, rng)
        assert label == 2
        assert np.ptp(image[30, 30]) >= 90  # white took a colour
        assert (image[0] == own[0]).all()
        image, label = data._strange(looks[1], 1, rng)  # nothing is seen on it, in any colour
        assert (label, (image == looks[1]).all()) == (1, True)
    some = fast.classifier.model_copy(update={**quiet, "painted_share": 0.3, "hybrid_share": 0.3})
    drawn = Counter(ClassificationCrops(crops, some, taxonomy, 600, 0)[i][1] for i in range(600))
    assert drawn[2] == pytest.approx(600 * 0.5 * 0.3, abs=30)  # half of them show class 0; a single group has no foreign centres


def _weights(data: ClassificationCrops) -> NDArray[np.float64]:
    """Return the chance of each crop, (crops,)."""
    return np.asarray(np.diff(data.sums, prepend=0) / data.sums[-1])


def test_rare_classes_and_negatives_are_drawn_as_asked(fast: Params, taxonomy: Taxonomy) -> None:
    labels = np.array([0] * 90 + [1] * 10 + [3] * 100)
    crops = CropTruth([np.zeros((8, 8, 3), np.uint8)] * 200, np.full(200, 0.1, np.float32), labels, [str(i) for i in range(200)])
    for balance, share in ((0.0, 0.1), (1.0, 0.5)):
        cfg = fast.classifier.model_copy(update={"balance": balance, "negative_share": 0.2, "mirror": 0.0})
        weights = _weights(ClassificationCrops(crops, cfg, taxonomy, 1, 0))
        negative = weights[labels == 3].sum()
        assert weights[labels == 1].sum() / (1 - negative) == pytest.approx(share)
        assert negative == pytest.approx(0.2)
    no_negatives = fast.classifier.model_copy(update={"negative_share": 0.0})
    weights = _weights(ClassificationCrops(crops, no_negatives, taxonomy, 1, 0))
    assert weights[labels == 3].sum() == pytest.approx(0)
