"""The sign measures are held against a second, slow implementation here, and against the scorer that defines them where it lies at hand."""

import importlib.util
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from signloop.core.errors import DataError
from signloop.measure.score import score_recordings
from signloop.measure.signs import COUNTS, count_signs, parse_predictions, sample, sign_errors, sign_measures
from signloop.measure.truth import parse_truth

REFERENCES = [p for p in [Path(__file__).parents[3] / "shared" / "tools" / "score_reference.py"] if p.exists()]
World = tuple[dict[str, Any], dict[str, Any]]


def shared_area(a: list[float], b: list[float]) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def same(a: list[float], b: list[float]) -> bool:
    both = shared_area(a, b)
    return both > 0 and both / (shared_area(a, a) + shared_area(b, b) - both) >= 0.5


def slow(truth: dict[str, Any], predictions: dict[str, Any]) -> dict[str, float]:
    """Count one pair of a real and a predicted sign at a time, straight from the definitions."""
    step = {v["id"]: max(1, round(v["fps"] / predictions["fps"])) for v in truth["videos"]}
    video = {v["id"]: v for v in truth["videos"]}
    images = {i["id"]: i for i in truth["images"] if i["frame_index"] % step[i["video_id"]] == 0}
    real: dict[tuple[str, int], dict[int, list[float]]] = {}
    ignore: dict[tuple[str, int], list[list[float]]] = {}
    named = {}
    for a in truth["annotations"]:
        if a["image_id"] not in images:
            continue
        image, (x, y, w, h) = images[a["image_id"]], a["bbox"]
        name = video[image["video_id"]]["file_name"]
        if a["iscrowd"]:
            ignore.setdefault((name, image["frame_index"]), []).append([x, y, x + w, y + h])
        else:
            real.setdefault((name, a["track_id"]), {})[image["frame_index"]] = [x, y, x + w, y + h]
            named[name, a["track_id"]] = a["category_id"]
    signs = predictions["signs"]
    covered = {
        (r, p): sum(i in real[r] and same(box, real[r][i]) for i, *box in s["boxes"]) if s["video"] == r[0] else 0
        for r, (p, s) in itertools.product(real, enumerate(signs))
    }
    belongs, false = {}, 0
    for p, s in enumerate(signs):
        on = sorted((-covered[r, p], r) for r in real if covered[r, p])
        seen = {i["frame_index"] for i in images.values() if video[i["video_id"]]["file_name"] == s["video"]}
        touches = any(
            shared_area(box, region) >= 0.5 * shared_area(box, box)
            for i, *box in s["boxes"]
            if i in seen
            for region in ignore.get((s["video"], i), [])
        )
        if on:
            belongs[p] = on[0][1]
        else:
            false += not touches
    found = right = 0
    for r, boxes in real.items():
        n, p = max(((covered[r, p], -p) for p in range(len(signs))), default=(0, 0))
        if n and 3 * n >= len(boxes):
            found += 1
            right += signs[-p]["class_id"] == named[r]
    minutes = sum(step[i["video_id"]] / video[i["video_id"]]["fps"] / 60 for i in images.values())
    owners = len(set(belongs.values()))
    return {
        "frames": len(images),
        "boxes": sum(map(len, real.values())),
        "signs": len(real),
        "sign_recall": found / max(1, len(real)),
        "sign_class_accuracy": right / max(1, found),
        "sign_precision": len(belongs) / max(1, len(belongs) + false),
        "tracks_per_sign": len(belongs) / max(1, owners),
        "false_signs": false,
        "false_signs_per_minute": false / minutes,
    }


@pytest.mark.parametrize("seed", range(80))
def test_signs_equal_the_slow_count(make_world: Callable[[int], World], seed: int) -> None:
    truth, predictions = make_world(seed)
    own = score_recordings(parse_truth(truth), predictions, n=2)
    expected = slow(truth, predictions)
    assert {k: own[k] for k in expected} == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("reference", REFERENCES, ids=lambda path: path.name)
def test_all_numbers_equal_the_reference_scorer(make_world: Callable[[int], World], reference: Path) -> None:
    spec = importlib.util.spec_from_file_location("score_reference", reference)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for seed in range(150):
        truth, predictions = make_world(seed)
        own = score_recordings(parse_truth(truth), predictions, n=2)
        expected = module.score(truth, predictions)
        del own["intervals"]
        assert list(own) == list(expected)
        assert own == pytest.approx(expected, abs=1e-9), seed


SIZE = 20


def world(signs: list[dict[str, Any]], ignored: tuple[int, ...] = ()) -> World:
    """Six frames at 10 a second; sign 1 of class 5 stands at x = 0 in all, sign 2 of class 6 at x = 100 in the last three."""
    truth: dict[str, Any] = {
        "videos": [{"id": 0, "file_name": "a.mp4", "fps": 10}],
        "annotations": [],
        "images": [{"id": i, "video_id": 0, "frame_index": i} for i in range(6)],
    }
    for track, x, frames in ((1, 0, range(6)), (2, 100, range(3, 6))):
        truth["annotations"] += [
            {
                "id": 10 * track + i,
                "image_id": i,
                "track_id": track,
                "category_id": 4 + track,
                "iscrowd": int(i in ignored),
                "bbox": [x, 0, SIZE, SIZE],
            }
            for i in frames
        ]
    return truth, {"fps": 10, "frames": [], "signs": signs}


def sign(x: float, frames: range, class_id: int | None = 5) -> dict[str, Any]:
    return {"video": "a.mp4", "class_id": class_id, "confidence": 1, "boxes": [[i, x, 0, x + SIZE, SIZE] for i in frames]}


def counted(signs: list[dict[str, Any]], ignored: tuple[int, ...] = (), fps: float = 10) -> dict[str, float]:
    truth, predictions = world(signs, ignored)
    parsed = parse_truth(truth)
    checked = parse_predictions({**predictions, "fps": fps}, parsed)
    return dict(zip(COUNTS, count_signs(parsed, checked, sample(parsed, fps))[0].tolist(), strict=True))


@pytest.mark.parametrize(
    ("signs", "expected"),
    [
        ([], {"found": 0, "false": 0}),
        ([sign(0, range(2))], {"found": 1, "right": 1, "belonging": 1}),
        ([sign(0, range(1))], {"found": 0, "belonging": 1, "owned": 1, "false": 0}),
        ([sign(0, range(2), None)], {"found": 1, "right": 0}),
        ([sign(0, range(3)), sign(0, range(3, 6))], {"found": 1, "right": 1, "belonging": 2, "owned": 1}),
        ([sign(0, range(2), 6), sign(0, range(2, 6))], {"found": 1, "right": 1}),
        ([sign(0, range(2), 6), sign(0, range(2, 4))], {"found": 1, "right": 0}),
        ([sign(10, range(6))], {"found": 0, "false": 1}),
        ([sign(100, range(3, 6), 6), sign(0, range(6))], {"found": 2, "right": 2, "belonging": 2, "owned": 2}),
        ([sign(500, range(1)), sign(0, range(8, 9))], {"found": 0, "false": 2}),
    ],
)
def test_what_found_named_and_false_mean(signs: list[dict[str, Any]], expected: dict[str, int]) -> None:
    counts = counted(signs)
    assert [counts[k] for k in ("frames", "boxes", "signs", "seconds")] == pytest.approx([6, 9, 2, 0.6])
    assert {k: counts[k] for k in expected} == expected


def test_a_predicted_sign_on_an_ignore_region_only_is_neither_found_nor_false() -> None:
    counts = counted([sign(5, range(2))], ignored=(0, 1, 2))
    assert (counts["found"], counts["belonging"], counts["false"], counts["boxes"]) == (0, 0, 0, 6)


def errors(signs: list[dict[str, Any]], ignored: tuple[int, ...] = ()) -> list[tuple[Any, ...]]:
    truth, predictions = world(signs, ignored)
    parsed = parse_truth(truth)
    found = sign_errors(parsed, parse_predictions(predictions, parsed), sample(parsed, 10))
    return [(one.kind, one.frame_index, one.xyxy.tolist(), one.frames, one.class_id, one.said) for one in found]


def test_errors_are_listed_with_where_they_are_largest_and_the_longest_first() -> None:
    large = {**sign(500, range(1, 3), 9), "boxes": [[1, 500, 0, 520, 20], [2, 500, 0, 530, 30]]}
    assert errors([sign(0, range(6), None), large]) == [
        ("misnamed", 0, [0, 0, 20, 20], 6, 5, None),
        ("missed", 3, [100, 0, 120, 20], 3, 6, None),
        ("false", 2, [500, 0, 530, 30], 2, None, 9),
    ]
    assert errors([sign(0, range(6)), sign(100, range(3, 6), 6)]) == []
    assert errors([sign(5, range(2)), sign(0, range(3, 6)), sign(100, range(3, 6), 6)], ignored=(0, 1)) == []


def test_as_many_errors_are_listed_as_are_counted(make_world: Callable[[int], World]) -> None:
    listed = 0
    for seed in range(60):
        truth, predictions = make_world(seed)
        parsed = parse_truth(truth)
        checked = parse_predictions(predictions, parsed)
        sampled = sample(parsed, checked.fps)
        found = sign_errors(parsed, checked, sampled)
        assert len(found) == sign_measures(count_signs(parsed, checked, sampled).sum(axis=0))["errors"]
        listed += len(found)
    assert listed > 60


def test_sparse_frames_keep_the_length_of_the_recording() -> None:
    counts = counted([sign(0, range(0, 6, 2))], fps=5)
    assert [counts[k] for k in ("frames", "boxes", "found", "seconds")] == pytest.approx([3, 4, 1, 0.6])
    assert counted([], fps=1000)["frames"] == 6


def test_signs_whose_tracks_are_named_by_text() -> None:
    truth, predictions = world([sign(0, range(6)), sign(100, range(3, 6), 6)])
    for a in truth["annotations"]:
        a["track_id"] = f"t{a['track_id']}"
    assert score_recordings(parse_truth(truth), predictions, n=2)["sign_class_accuracy"] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"signs": [{**sign(0, range(1)), "video": "b.mp4"}]}, "recordings that the truth does not have"),
        ({"frames": [{"video": "a.mp4", "frame_index": 0, "boxes": []}] * 2}, "twice in the predictions"),
        ({"frames": [{"video": "a.mp4", "frame_index": 0, "boxes": [[1, 2, 3, 4]]}]}, "frames.0.boxes.0"),
        ({"frames": [{"video": "a.mp4", "frame_index": 0, "boxes": [[9, 2, 3, 4, 0.5]]}]}, r"turned round.*\('a.mp4', 0\)"),
        ({"signs": [{"video": "a.mp4", "class_id": 1, "boxes": [[7, 1, 9, 3, 4]]}]}, r"turned round.*\('a.mp4', 7\)"),
        ({"signs": [{"video": "a.mp4", "boxes": []}]}, "signs.0.class_id: Field required"),
        ({"fps": 0}, "fps"),
    ],
)
def test_malformed_predictions_are_refused(change: dict[str, Any], message: str) -> None:
    truth, predictions = world([])
    with pytest.raises(DataError, match=message):
        parse_predictions({**predictions, **change}, parse_truth(truth))
