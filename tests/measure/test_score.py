import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from signloop.core.boxes import Boxes
from signloop.core.errors import DataError
from signloop.measure.score import compare_recordings, score_crops, score_images, score_recordings
from signloop.measure.truth import parse_truth

World = tuple[dict[str, Any], dict[str, Any]]
IMAGE_KEYS = [
    *("images", "boxes", "ap", "ap50", "ap75", "ap50_by_height_px", "recall_at_1_fp_per_image", "end_to_end_ap50", "class_accuracy"),
    "intervals",
]
RECORDING_KEYS = [
    "frames",
    "boxes",
    "ap",
    "ap50",
    "ap75",
    "signs",
    "sign_recall",
    "sign_class_accuracy",
    "sign_precision",
    "tracks_per_sign",
    "false_signs",
    "false_signs_per_minute",
    "minutes",
    "intervals",
]
ONE = {"id": 0, "image_id": 0, "category_id": 4, "iscrowd": 0, "bbox": [0, 0, 20, 20]}


def stills(tmp_path: Path, annotations: list[dict[str, Any]]) -> Path:
    path = tmp_path / "truth.json"
    path.write_text(json.dumps({"images": [{"id": 0, "file_name": "a.jpg"}, {"id": 1, "file_name": "b.jpg"}], "annotations": annotations}))
    return path


def boxes(*rows: list[float]) -> Boxes:
    table = np.array(rows, np.float32)
    return Boxes(table[:, :4], table[:, 4])


def test_stills(tmp_path: Path) -> None:
    truth = stills(
        tmp_path,
        [
            ONE,
            {**ONE, "id": 1, "category_id": 7, "bbox": [50, 50, 40, 70]},
            {**ONE, "id": 2, "category_id": 99, "iscrowd": 1, "bbox": [200, 0, 50, 50]},
        ],
    )
    found = boxes([0, 0, 20, 20, 0.9], [50, 50, 90, 120, 0.8], [210, 10, 220, 20, 0.99])
    scores = score_images(truth, {"a.jpg": (found, np.array([4, 4, -1])), "other.jpg": (found, np.array([1, 1, 1]))})
    assert list(scores) == IMAGE_KEYS
    assert (scores["images"], scores["boxes"]) == (2, 2)
    assert scores["ap50"] == pytest.approx(1)
    assert scores["end_to_end_ap50"] == pytest.approx(0.5)
    assert (scores["class_accuracy"], scores["recall_at_1_fp_per_image"]) == (0.5, 1)
    assert scores["intervals"] == {"ap50": [1, 1], "ap75": [1, 1]}
    assert scores["ap50_by_height_px"] == {"0-16": None, "16-32": pytest.approx(1), "32-64": None, "64-128": pytest.approx(1), "128+": None}
    json.dumps(scores, allow_nan=False)


def test_stills_with_nothing_predicted_or_nothing_to_find(tmp_path: Path) -> None:
    nothing = score_images(stills(tmp_path, [ONE]), {})
    assert {nothing[k] for k in IMAGE_KEYS if k.startswith(("ap", "recall", "end", "class")) and "height" not in k} == {0.0}
    empty = score_images(stills(tmp_path, []), {"a.jpg": (boxes([0, 0, 20, 20, 0.9]), np.array([4]))})
    assert (empty["boxes"], empty["ap50"], empty["end_to_end_ap50"], empty["class_accuracy"]) == (0, -1, -1, 0)
    blank = score_images(stills(tmp_path, []), {"a.jpg": (Boxes.empty(), np.zeros(0, int))})
    assert (blank["ap"], blank["end_to_end_ap50"]) == (0, 0)
    assert blank["intervals"] == {"ap50": None, "ap75": None}


def test_stills_whose_boxes_have_no_class(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="boxes and classes differ"):
        score_images(stills(tmp_path, [ONE]), {"a.jpg": (boxes([0, 0, 20, 20, 0.9]), np.zeros(0, int))})


def test_recordings_have_the_keys_and_intervals_around_the_values(make_world: Callable[[int], World]) -> None:
    within = 0
    for seed in range(12):
        truth, predictions = make_world(seed)
        scores = score_recordings(parse_truth(truth), predictions, n=200)
        assert list(scores) == RECORDING_KEYS
        assert scores == score_recordings(parse_truth(truth), predictions, n=200)
        json.dumps(scores, allow_nan=False)
        for name, bounds in scores["intervals"].items():
            if bounds is not None:
                assert bounds[0] <= bounds[1]
                within += bounds[0] - 1e-9 <= scores[name] <= bounds[1] + 1e-9
    assert within > 40


def test_recordings_with_nothing() -> None:
    empty = {"fps": 10, "frames": [], "signs": []}
    scores = score_recordings(parse_truth({"videos": [], "images": [], "annotations": []}), empty)
    assert set(scores["intervals"].values()) == {None}
    assert {scores[k] for k in RECORDING_KEYS[:-1]} == {0}
    truth = parse_truth(
        {"videos": [{"id": 0, "file_name": "a", "fps": 10}], "images": [{"id": 3, "video_id": 0, "frame_index": 0}], "annotations": []}
    )
    scores = score_recordings(truth, {**empty, "frames": [{"video": "a", "frame_index": 0, "boxes": [[0, 0, 9, 9, 0.5]]}]})
    assert (scores["ap50"], scores["sign_recall"], scores["false_signs_per_minute"], scores["frames"]) == (-1, 0, 0, 1)
    assert scores["intervals"]["ap50"] is None
    json.dumps(scores, allow_nan=False)


def test_a_match_with_annotation_0_counts_as_false_as_the_reference_has_it() -> None:
    truth = many(2)
    frames = [{"video": f"{i}.mp4", "frame_index": 0, "boxes": [[0, 0, 20, 20, 0.9], [100, 0, 120, 20, 0.8]]} for i in range(2)]
    predictions = {**perfect(truth), "frames": frames}
    assert 0.5 < score_recordings(parse_truth(truth), predictions, n=2)["ap50"] < 0.8
    for a in truth["annotations"]:
        a["id"] += 1
    assert score_recordings(parse_truth(truth), predictions, n=2)["ap50"] == pytest.approx(1)


def perfect(truth: dict[str, Any]) -> dict[str, Any]:
    names = {v["id"]: v["file_name"] for v in truth["videos"]}
    at = {i["id"]: (names[i["video_id"]], i["frame_index"]) for i in truth["images"]}
    signs: dict[tuple[str, int], dict[str, Any]] = {}
    for a in truth["annotations"]:
        (video, index), (x, y, w, h) = at[a["image_id"]], a["bbox"]
        sign = signs.setdefault((video, a["track_id"]), {"video": video, "class_id": a["category_id"], "confidence": 1.0, "boxes": []})
        sign["boxes"].append([index, x, y, x + w, y + h])
    return {"fps": 10, "frames": [], "signs": list(signs.values())}


def many(recordings: int) -> dict[str, Any]:
    videos = [{"id": i, "file_name": f"{i}.mp4", "fps": 10} for i in range(recordings)]
    images = [{"id": i, "video_id": i, "frame_index": 0} for i in range(recordings)]
    annotations = [
        {"id": 2 * i + t, "image_id": i, "track_id": t, "category_id": t, "iscrowd": 0, "bbox": [100 * t, 0, 20, 20]}
        for i in range(recordings)
        for t in range(2)
    ]
    return {"videos": videos, "images": images, "annotations": annotations}


def test_a_better_prediction_is_seen_to_be_better() -> None:
    truth = many(30)
    good = perfect(truth)
    bad = copy.deepcopy(good)
    for i in range(0, 30, 3):
        bad["signs"][i]["class_id"] = None
    bad["signs"] = bad["signs"][:-4]
    bad["signs"].append({"video": "0.mp4", "class_id": 1, "confidence": 1.0, "boxes": [[0, 500, 0, 520, 20]]})
    result = compare_recordings(parse_truth(truth), bad, good, n=500)
    assert (result["recordings"], result["signs"]) == (30, 60)
    assert result["errors"] == {"a": 15, "b": 0, "difference": -15, "interval": result["errors"]["interval"]}
    assert result["right_signs"]["difference"] == pytest.approx(14 / 60)
    assert result["right_signs"]["interval"][0] > 0
    assert result["errors"]["interval"][1] < 0
    same = compare_recordings(parse_truth(truth), good, good, n=50)
    assert same["errors"]["interval"] == [0, 0]


def test_different_rates_are_not_compared() -> None:
    truth = many(2)
    with pytest.raises(DataError, match="different rates"):
        compare_recordings(parse_truth(truth), perfect(truth), {**perfect(truth), "fps": 5})


def crop(class_id: int, track_id: str | None) -> dict[str, Any]:
    return {"path": "x.png", "class_id": class_id, "track_id": track_id}


def test_crops() -> None:
    rows = [crop(14, "a"), crop(14, "a"), crop(2, "b"), crop(2, None), crop(14, "")]
    probs = [[0.8, 0.1, 0.1], [0.3, 0.4, 0.3], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6], [0.9, 0.05, 0.05]]
    scores = score_crops(rows, probs, class_ids=[14, 2])
    assert list(scores) == ["crops", "tracks", "top1", "macro_f1", "track_accuracy", "ece", "intervals"]
    assert (scores["crops"], scores["tracks"], scores["top1"], scores["track_accuracy"]) == (5, 4, 0.6, 0.75)
    assert scores["macro_f1"] == pytest.approx((2 * 2 / (3 + 2) + 2 * 1 / (2 + 2)) / 2)
    assert scores == score_crops([{**r, "class_id": {14: 0, 2: 1}[r["class_id"]]} for r in rows], probs)
    assert score_crops([], []) == {
        **{"crops": 0, "tracks": 0, "top1": 0, "macro_f1": 0, "track_accuracy": 0, "ece": 0},
        "intervals": {"top1": None, "track_accuracy": None},
    }


def test_intervals_of_crops_draw_whole_tracks() -> None:
    """Of 40 tracks with 8 crops every fourth is wrong throughout: drawn by track the share is as uncertain as with 40 crops, not 320."""
    rows = [crop(0, f"t{track}") for track in range(40) for _ in range(8)]
    probs = np.array([[0.1, 0.9] if track % 4 == 0 else [0.9, 0.1] for track in range(40) for _ in range(8)])
    scores = score_crops(rows, probs)
    low, high = scores["intervals"]["top1"]
    assert scores["intervals"]["track_accuracy"] == pytest.approx([low, high])
    assert low < scores["top1"] == scores["track_accuracy"] == 0.75 < high
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.75 * 0.25 / 40), rel=0.15)


def test_ap75_has_an_interval_of_its_own() -> None:
    """Boxes of half of the recordings are shifted to an IoU of 0.6: AP50 is certain, AP75 depends on which recordings are drawn."""
    truth = many(20)
    for annotation in truth["annotations"]:
        annotation["id"] += 1  # a match with annotation 0 counts as false
    frames = [
        {"video": f"{i}.mp4", "frame_index": 0, "boxes": [[x + 5 * (i % 2), 0, x + 20 + 5 * (i % 2), 20, 0.9] for x in (0, 100)]}
        for i in range(20)
    ]
    predictions = {**perfect(truth), "frames": frames}
    scores = score_recordings(parse_truth(truth), predictions, n=200)
    assert scores["intervals"]["ap50"] == [1, 1]
    low, high = scores["intervals"]["ap75"]
    assert low < scores["ap75"] < high


def test_crops_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match="does not know"):
        score_crops([crop(3, "a")], [[0.5, 0.5]], class_ids=[0, 1])
    with pytest.raises(DataError, match="probabilities and classes do not fit"):
        score_crops([crop(0, "a")], [[0.5, 0.5]], class_ids=[0, 1, 2])
    with pytest.raises(DataError, match="two classes"):
        score_crops([crop(0, "a"), crop(1, "a")], [[0.5, 0.5]] * 2)
