import contextlib
import io
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from signloop.core.bounds import resample
from signloop.core.boxes import Boxes
from signloop.core.errors import DataError
from signloop.measure.detection import (
    HEIGHT_BANDS_PX,
    ap50_by_height_px,
    average_precision,
    end_to_end_ap50,
    precision_by_threshold,
    precision_recall_curve,
    recall_at_1_fp_per_image,
    resampled_precision,
)
from signloop.measure.matching import Matches, TruthFrame, match

Case = tuple[dict[str, TruthFrame], dict[str, Boxes], dict[str, np.ndarray[Any, np.dtype[np.int64]]]]


def draw(seed: int) -> Case:
    """Draw frames with signs, ignore regions and predictions; whole pixels make overlaps that are exactly on a threshold."""
    rng = np.random.default_rng(seed)
    truth, boxes, classes = {}, {}, {}
    whole = bool(rng.integers(0, 2))
    for i in range(rng.integers(1, 8)):
        n, extra = int(rng.integers(0, 6)), int(rng.choice([0, 2, 120], p=[0.45, 0.5, 0.05]))
        corner, size = rng.uniform(0, 200, (n, 2)), rng.uniform(6, 200, (n, 2))
        real = np.round(np.hstack([corner, corner + size])) if whole else np.hstack([corner, corner + size])
        ids = rng.integers(0, 3, n)
        near = real + rng.normal(0, 0.1, (n, 4)) * np.hstack([size, size])
        noise = rng.uniform(0, 200, (extra, 2))
        found = np.vstack([near, near + rng.normal(0, 4, (n, 4)), np.hstack([noise, noise + rng.uniform(5, 90, (extra, 2))])])
        found = np.round(found) if whole else found
        keep = (found[:, 2] > found[:, 0]) & (found[:, 3] > found[:, 1])
        scores = np.round(rng.random(len(found)), 1).astype(np.float32)
        truth[f"f{i}"] = TruthFrame.from_xyxy(real, ids, rng.random(n) < 0.3)
        if rng.random() < 0.9:
            boxes[f"f{i}"] = Boxes(found[keep].astype(np.float32), scores[keep])
            named = np.concatenate([ids, np.where(rng.random(n) < 0.5, ids, -1), rng.integers(0, 3, extra)])
            classes[f"f{i}"] = named[keep]
    return truth, boxes, classes


def coco(case: Case, *, by_class: bool = False, band: tuple[float, float] | None = None) -> list[float]:
    """Ask pycocotools for ap, ap50, ap75; `band` gives heights in place of areas."""
    truth, boxes, classes = case
    names = list(truth)
    categories = [0, 1, 2] if by_class else [0]
    annotations: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for i, name in enumerate(names):
        frame = truth[name]
        for xywh, c, crowd in zip(frame.xywh.tolist(), frame.class_ids.tolist(), frame.ignore.tolist(), strict=True):
            for category in categories if crowd else [c if by_class else 0]:
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": i,
                        "category_id": category,
                        "bbox": xywh,
                        "iscrowd": int(crowd),
                        "area": xywh[3] if band else xywh[2] * xywh[3],
                    }
                )
        if name in boxes:
            for (x1, y1, x2, y2), s, c in zip(boxes[name].xyxy.tolist(), boxes[name].scores.tolist(), classes[name].tolist(), strict=True):
                if not by_class or c >= 0:
                    found.append({"image_id": i, "category_id": c if by_class else 0, "bbox": [x1, y1, x2 - x1, y2 - y1], "score": s})
    if not found:
        return [0.0, 0.0, 0.0]
    with contextlib.redirect_stdout(io.StringIO()):
        real = COCO()
        real.dataset = {
            "images": [{"id": i} for i in range(len(names))],
            "categories": [{"id": c} for c in categories],
            "annotations": annotations,
        }
        real.createIndex()
        guess = real.loadRes(found)
        run = COCOeval(real, guess, "bbox")
        if band:
            for a in guess.anns.values():
                a["area"] = a["bbox"][3]
            run.params.areaRng = [[band[0], float(np.nextafter(band[1], 0))]]
            run.params.areaRngLbl = ["all"]
        run.evaluate()
        run.accumulate()
        if not band:
            run.summarize()
            return [float(v) for v in run.stats[:3]]
    precision = run.eval["precision"][0, :, :, 0, -1]
    return [float(precision.mean())]


@pytest.mark.parametrize("seed", range(60))
def test_average_precision_equals_pycocotools(seed: int) -> None:
    case = draw(seed)
    own = average_precision(case[0], case[1])
    assert list(own) == ["ap", "ap50", "ap75"]
    assert list(own.values()) == pytest.approx(coco(case), abs=1e-12)


@pytest.mark.parametrize("seed", range(25))
def test_average_precision_by_height_equals_pycocotools(seed: int) -> None:
    case = draw(seed)
    for name, value in ap50_by_height_px(case[0], case[1]).items():
        low, high = HEIGHT_BANDS_PX[name]
        has = any(((f.xywh[:, 3] >= low) & (f.xywh[:, 3] < high) & ~f.ignore).any() for f in case[0].values())
        assert (value is not None) == has
        if value is not None and any(len(b) for b in case[1].values()):
            assert value == pytest.approx(coco(case, band=(low, min(high, 1e6)))[0], abs=1e-12)


@pytest.mark.parametrize("seed", range(25))
def test_end_to_end_equals_pycocotools_with_classes(seed: int) -> None:
    case = draw(seed)
    assert end_to_end_ap50(*case) == pytest.approx(coco(case, by_class=True)[1], abs=1e-12)


def test_a_wrong_name_costs_end_to_end_only() -> None:
    boxes = {"a": Boxes(np.array([[0, 0, 10, 10], [20, 20, 40, 40]], np.float32), np.array([0.9, 0.8], np.float32))}
    truth = {"a": TruthFrame.from_xyxy(boxes["a"].xyxy, [4, 7])}
    assert average_precision(truth, boxes) == {"ap": 1.0, "ap50": 1.0, "ap75": 1.0}
    assert end_to_end_ap50(truth, boxes, {"a": np.array([4, 7])}) == pytest.approx(1)
    assert end_to_end_ap50(truth, boxes, {"a": np.array([4, 4])}) == pytest.approx(0.5)
    assert end_to_end_ap50(truth, boxes, {"a": np.array([-1, -1])}) == 0.0
    with pytest.raises(DataError, match="boxes and classes differ"):
        end_to_end_ap50(truth, boxes, {"a": np.array([4])})


def test_nothing_predicted_is_zero_and_nothing_to_find_is_undefined() -> None:
    one = Boxes(np.array([[0, 0, 10, 10]], np.float32), np.array([0.9], np.float32))
    some, none = {"a": TruthFrame.from_xyxy(one.xyxy, [1])}, {"a": TruthFrame.from_xyxy([], [])}
    assert set(average_precision(some, {}).values()) == {0.0}
    assert set(average_precision(none, {"a": one}).values()) == {-1.0}
    assert set(average_precision({}, {}).values()) == {0.0}
    assert end_to_end_ap50(none, {"a": one}, {"a": np.array([1])}) == -1.0
    assert end_to_end_ap50(none, {}, {}) == 0.0
    assert set(ap50_by_height_px(none, {"a": one}).values()) == {None}
    assert recall_at_1_fp_per_image(match(none, {"a": one})) == 0.0
    assert recall_at_1_fp_per_image(match(some, {})) == 0.0


def flags(kinds: str, scores: list[float], truth: list[int]) -> Matches:
    hits = np.array([[k == "t" for k in kinds]], bool)
    return Matches(np.zeros(len(kinds), np.int64), np.array(scores), hits, ~hits, np.array(truth))


def test_the_curve_takes_equal_scores_together() -> None:
    curve = precision_recall_curve(flags("tfft", [0.9, 0.5, 0.5, 0.5], [4, 0]))
    assert curve.scores.tolist() == [0.9, 0.5]
    assert curve.recall.tolist() == [0.25, 0.5]
    assert curve.precision.tolist() == [1.0, 0.5]
    assert curve.false_per_frame.tolist() == [0.0, 1.0]
    assert not len(precision_recall_curve(flags("", [], [1])).scores)


def test_recall_at_one_false_alarm_per_image() -> None:
    assert recall_at_1_fp_per_image(flags("tftft", [0.9, 0.8, 0.7, 0.6, 0.5], [3])) == pytest.approx(2 / 3)
    assert recall_at_1_fp_per_image(flags("tftft", [0.9, 0.8, 0.7, 0.6, 0.5], [3, 0])) == 1.0
    assert recall_at_1_fp_per_image(flags("fft", [0.9, 0.9, 0.9], [1])) == 0.0


@pytest.mark.parametrize("seed", range(8))
def test_a_bootstrap_sample_equals_scoring_the_drawn_frames(seed: int) -> None:
    truth, boxes, _ = draw(100 + seed)
    rng = np.random.default_rng(seed)
    boxes = {k: Boxes(b.xyxy, rng.random(len(b)).astype(np.float32)) for k, b in boxes.items()}  # equal scores would leave the order open
    names = list(truth)
    clusters = np.arange(len(names)) // 2
    counts = resample(int(clusters.max()) + 1, 12, seed)
    quick = resampled_precision(match(truth, boxes), clusters, counts)
    for row, value in zip(counts, quick.tolist(), strict=True):
        drawn = [(n, k) for n, c in zip(names, clusters, strict=True) for k in range(row[c])]
        again = match({f"{n}{k}": truth[n] for n, k in drawn}, {f"{n}{k}": boxes[n] for n, k in drawn if n in boxes})
        if again.truth.any():
            assert value == pytest.approx(float(precision_by_threshold(again)[0]), abs=1e-9)
        else:
            assert np.isnan(value)
    once = resampled_precision(match(truth, boxes), clusters, np.ones((1, counts.shape[1]), np.int64))
    if match(truth, boxes).truth.any():
        assert once[0] == pytest.approx(float(precision_by_threshold(match(truth, boxes))[0]), abs=1e-12)
