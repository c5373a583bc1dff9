from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from signloop.core import tables
from signloop.core.boxes import Boxes
from signloop.core.files import read_json, write_json
from signloop.core.params import Params
from signloop.core.taxonomy import Taxonomy
from signloop.frames import truth as truths
from signloop.frames.extract import extract
from signloop.prelabel.evaluate import evaluate
from signloop.prelabel.predict import sign_truth
from signloop.prelabel.proposal import Image, Opinions, Runtime
from signloop.prelabel.verified import split_truth

MakeFilms = Callable[..., dict[str, Any]]
Publish = Callable[[Path, dict[str, Any], Params], Path]


def silent(what: str, done: int, total: int) -> None:
    """No progress bar."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, make_films: MakeFilms, publish_truth: Publish, shape_params: Params) -> Path:
    """data/truth of three films and a film without a shape, all of them for testing, at 5 of their 10 frames a second."""
    params = shape_params.model_copy(update={"data": shape_params.data.model_copy(update={"test_share": 1.0, "val_share": 0.0})})
    data = tmp_path_factory.mktemp("project") / "data"
    truth = make_films(data / "recordings", {"a.avi": [4, 30], "b.avi": [11], "c.avi": [4, 4, 11], "none.avi": []})
    publish_truth(data, truth, params)
    extract(data / "recordings", data / "frames", params.extract, 0.0)
    truths.assemble(data / "frames", data / "verified", data / "truth", params.data, params.taxonomy, silent)
    return data


class Spoilt:
    """A model that is right but for what is asked: it misses green, sees a ghost, and calls blue red."""

    streams = 1

    def __init__(self, runtime: Runtime) -> None:
        self.runtime, self.taxonomy, self.model_id = runtime, runtime.taxonomy, "mspoilt"

    def detect(self, images: Sequence[Image]) -> list[Boxes]:
        out = []
        for image, boxes in zip(images, self.runtime.detect(images), strict=True):
            middles = ((boxes.xyxy[:, :2] + boxes.xyxy[:, 2:]) / 2).astype(int)
            green = np.array([image[y, x].argmax() == 1 for x, y in middles], bool)
            ghost = np.array([[0, 0, 20, 20]], np.float32)
            out.append(Boxes(np.concatenate([boxes.xyxy[~green], ghost]), np.append(boxes.scores[~green], np.float32(0.95))))
        return out

    def cut(self, image: Image, xyxy: Any) -> Image:
        return self.runtime.cut(image, xyxy)

    def classify(self, crops: Sequence[Image]) -> Opinions:
        probs, strange = self.runtime.classify(crops)
        blue = probs.argmax(axis=1) == 2
        probs[blue] = probs[blue][:, [2, 1, 0, 3]]
        probs[:, 0] = np.where(probs[:, 3] > 0.5, 0.9, probs[:, 0])  # and takes the ghost for a red ball
        return np.asarray(probs / probs.sum(axis=1, keepdims=True), np.float32), strange


def test_a_perfect_model_scores_one_everywhere(data: Path, seer: Runtime, shape_params: Params, tmp_path: Path) -> None:
    (tmp_path / "scores").mkdir()
    (tmp_path / "scores" / "old.txt").write_text("of the model before")
    result = evaluate(seer, data / "truth", shape_params.prelabel, tmp_path / "scores", silent)
    assert result == read_json(tmp_path / "scores" / "scores.json")
    assert (result["model_id"], result["frames"], result["test_version"]) == ("mseer", 24, truths.test_version(data / "truth"))
    metrics = result["metrics"]
    for name in ("ap50", "recall_at_1_fp_per_image", "end_to_end_ap50", "class_accuracy", "sign_recall", "sign_class_accuracy"):
        assert metrics[name] == pytest.approx(1), name
    assert (metrics["signs"], metrics["false_signs"], metrics["tracks_per_sign"], metrics["sign_precision"]) == (6, 0, 1, 1)
    assert result["intervals"]["sign_recall"] == result["intervals"]["ap50"] == [1, 1]
    assert sorted(row["signs"] for row in result["recordings"].values()) == [0, 1, 2, 3]
    assert {path.name for path in (tmp_path / "scores").rglob("*") if path.is_file()} >= {
        "scores.json",
        "confusion.png",
        "precision_recall.png",
    }
    assert not (tmp_path / "scores" / "old.txt").exists()


def test_progress_ends_with_the_last_recording_and_frame(data: Path, seer: Runtime, shape_params: Params, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    evaluate(seer, data / "truth", shape_params.prelabel, tmp_path / "scores", lambda *now: told.append(now))
    assert told == [*(("test recordings", n, 4) for n in range(1, 5)), *(("test frames", n, 24) for n in range(1, 25))]


def test_what_a_model_gets_wrong_shows_where_it_should(data: Path, seer: Runtime, shape_params: Params, tmp_path: Path) -> None:
    result = evaluate(Spoilt(seer), data / "truth", shape_params.prelabel, tmp_path / "scores", silent)
    metrics = result["metrics"]
    assert metrics["sign_recall"] == pytest.approx(4 / 6)  # two green ones missed
    assert metrics["sign_class_accuracy"] == pytest.approx(3 / 4)  # the blue one misnamed
    assert metrics["class_accuracy"] == pytest.approx(3 / 4)
    assert metrics["false_signs"] == 4  # the ghost, once in each recording
    assert metrics["ap50"] < 0.7
    low, high = result["intervals"]["ap50"]
    assert low < metrics["ap50"] < high
    assert (tmp_path / "scores" / "report" / "worst.png").stat().st_size > 1000


class Older:
    """A model of before blue became a class."""

    streams = 1

    def __init__(self, runtime: Runtime) -> None:
        self.runtime, self.model_id = runtime, "molder"
        known = runtime.taxonomy.model_dump()
        self.taxonomy = Taxonomy.model_validate({**known, "classes": known["classes"][:2]})

    def detect(self, images: Sequence[Image]) -> list[Boxes]:
        return self.runtime.detect(images)

    def cut(self, image: Image, xyxy: Any) -> Image:
        return self.runtime.cut(image, xyxy)

    def classify(self, crops: Sequence[Image]) -> Opinions:
        probs, strange = self.runtime.classify(crops)
        probs[:, 0] += probs[:, 2]  # what is blue, it calls red
        return np.asarray(probs[:, [0, 1, 3]], np.float32), strange[:, :2]


def test_a_class_that_the_model_does_not_know_yet_is_misnamed(data: Path, seer: Runtime, shape_params: Params, tmp_path: Path) -> None:
    metrics = evaluate(Older(seer), data / "truth", shape_params.prelabel, tmp_path / "scores", silent)["metrics"]
    assert metrics["ap50"] == pytest.approx(1)
    assert 0 < metrics["class_accuracy"] < 1


def test_frames_that_are_not_complete_do_not_count(data: Path, seer: Runtime, shape_params: Params, tmp_path: Path) -> None:
    frames = tables.read(data / "truth" / "frames.parquet", "truth_frames").to_pylist()
    for name in ("truth", "crops"):
        (tmp_path / f"{name}.parquet").write_bytes((data / "truth" / f"{name}.parquet").read_bytes())
    (tmp_path / "frames").symlink_to(data / "truth" / "frames")

    def score(rows: list[dict[str, Any]], max_gap_s: float = 1.1) -> dict[str, Any]:
        tables.write(tmp_path / "frames.parquet", "truth_frames", tables.from_rows("truth_frames", rows))
        return evaluate(seer, tmp_path, shape_params.prelabel.model_copy(update={"max_gap_s": max_gap_s}), tmp_path / "scores", silent)

    fewer = score([{**row, "complete": row["index"] != 4} for row in frames])
    assert (fewer["frames"], fewer["metrics"]["sign_recall"]) == (20, 1)
    assert fewer["left_out"] == []
    first = frames[0]["recording_id"]
    for kept, max_gap_s in (((0, 2, 10), 0.7), ((4,), 1.1)):  # a track would not survive 0.8 s; of one frame there is none
        sparse = score([{**row, "complete": row["recording_id"] != first or row["index"] in kept} for row in frames], max_gap_s)
        assert sparse["left_out"] == [first] == [r for r in fewer["recordings"] if r not in sparse["recordings"]]
        assert sparse["metrics"]["sign_recall"] == 1  # of the others
        assert sparse["frames"] == 24 - 6 + len(kept)
    stills = score([{**row, "kind": "stills"} for row in frames])
    assert (stills["frames"], stills["metrics"]["ap50"]) == (24, pytest.approx(1))
    assert "sign_recall" not in stills["metrics"]
    assert stills["recordings"] == {}
    nothing = score([{**row, "split": "train"} for row in frames])
    assert (nothing["frames"], nothing["metrics"]) == (0, {})
    write_json(tmp_path / "again.json", nothing)  # no NaN in it


def test_the_truth_of_signs_keeps_regions_to_ignore_and_leaves_negatives_out(data: Path) -> None:
    frames, truth = tables.read(data / "truth" / "frames.parquet", "truth_frames"), tables.read(data / "truth" / "truth.parquet", "truth")
    rows = truth.to_pylist()
    rows[0]["role"], rows[1]["role"], rows[1]["class_id"] = "negative", "ignore", None
    real, chosen = split_truth(frames, tables.from_rows("truth", rows), "test")
    assert sum(len(frame.class_ids) for frame in real.values()) == len(rows) - 1
    assert sum(int(frame.ignore.sum()) for frame in real.values()) == 1
    recordings, numbers = sign_truth(chosen, tables.from_rows("truth", rows))
    annotations = [a for group in recordings.annotations.values() for a in group]
    assert (len(annotations), sum(a.iscrowd for a in annotations)) == (len(rows) - 1, 1)
    assert all(number == {0: 0, 2: 1, 4: 2, 6: 3, 8: 4, 10: 5} for number in numbers.values())
