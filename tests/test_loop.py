"""The loop from recordings to the next model's truth, without DVC and with three classes that are no signs: nothing but taxonomy and demo
knows what a road sign is.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from signloop.core import tables
from signloop.core.boxes import Boxes, iou
from signloop.core.files import write_json
from signloop.core.params import Params
from signloop.core.rounds import read_rounds
from signloop.frames.extract import extract
from signloop.frames.truth import TruthReport, assemble
from signloop.frames.video import find_recordings
from signloop.measure.score import score_recordings
from signloop.measure.truth import parse_truth
from signloop.models.bundle import read_bundle, write_bundle
from signloop.models.learn import learn_classifier, learn_detector
from signloop.models.runtime import Runtime as TorchRuntime
from signloop.prelabel.crew import Alone, prelabel_all
from signloop.prelabel.predict import predict_recordings
from signloop.prelabel.proposal import Image, Opinions, Runtime
from signloop.prelabel.write import Job, read_boxes, read_signs
from signloop.review import snapshot
from signloop.review.queue import build
from signloop.review.simulate import SimulateReport, simulate_review

MakeFilms = Callable[..., dict[str, Any]]
Publish = Callable[[Path, dict[str, Any], Params], Path]
SEED = {f"seed-{n:02d}.avi": [(4, 11, 30)[(n + k) % 3] for k in range(1 + n % 3)] for n in range(12)}
NEW = {"new-0.avi": [4, 11], "new-1.avi": [30, 30, 4], "new-2.avi": []}


def silent(what: str, done: int, total: int) -> None:
    """No progress bar."""


class Loop:
    """A project's data folder and its acts in their order."""

    def __init__(self, data: Path, params: Params) -> None:
        self.data, self.params = data, params

    def assemble(self) -> TruthReport:
        extract(self.data / "recordings", self.data / "frames", self.params.extract, self.params.data.max_skipped)
        folders = (self.data / "frames", self.data / "verified", self.data / "truth")
        return assemble(*folders, self.params.data, self.params.taxonomy, silent)

    def prelabel(self, runtime: Runtime) -> list[dict[str, Any]]:
        """Propose, and return the signs that a person is asked about."""
        found, skipped = find_recordings(self.data / "recordings", self.params.extract.sequence_fps)
        prelabel_all(found, skipped, Alone(runtime), Job(self.params.prelabel, self.data / "prelabels", "0" * 64), 0.0, silent)
        frames = tables.read(self.data / "frames" / "frames.parquet", "frames")
        verified = read_rounds(self.data / "verified")
        rows: list[dict[str, Any]] = build(
            read_signs(self.data / "prelabels"), read_boxes(self.data / "prelabels"), verified, self.params.queue, frames
        ).to_pylist()
        return [row for row in rows if row["kind"] == "sign"]

    def review(self, truth: dict[str, Any]) -> SimulateReport:
        write_json(self.data / "new-truth.json", truth)
        ids = [recording_id for name, recording_id in self.ids().items() if name in NEW]
        shown = snapshot.take(self.data / "prelabels", self.data / "frames", self.data / "review", ids)
        folders = (shown, self.data / "new-truth.json", self.data / "verified")
        return simulate_review(*folders, self.params.taxonomy, self.params.data, error_rate=0.0, seed=0)

    def ids(self) -> dict[str, str]:
        return {r.name: r.recording_id for r in find_recordings(self.data / "recordings", 10.0)[0]}

    def rows(self, name: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = tables.read(self.data / "truth" / f"{name}.parquet", name).to_pylist()
        return rows


@pytest.fixture
def loop(tmp_path: Path, shape_params: Params, make_films: MakeFilms, publish_truth: Publish) -> tuple[Loop, dict[str, Any]]:
    """Twelve films with labels and three without, and the truth of these."""
    data = tmp_path / "data"
    publish_truth(data, make_films(data / "recordings", SEED), shape_params)
    return Loop(data, shape_params), make_films(data / "recordings", NEW, seed=100)


class Dull:
    """A model that takes blue for red, and its own ghost at the upper left for something."""

    streams = 1

    def __init__(self, runtime: Runtime) -> None:
        self.runtime, self.taxonomy, self.model_id = runtime, runtime.taxonomy, "mdull"

    def detect(self, images: Sequence[Image]) -> list[Boxes]:
        ghost = np.array([[2, 120, 22, 140]], np.float32)
        found = self.runtime.detect(images)
        return [Boxes(np.concatenate([boxes.xyxy, ghost]), np.append(boxes.scores, np.float32(0.8))) for boxes in found]

    def cut(self, image: Image, xyxy: Any) -> Image:
        return self.runtime.cut(image, xyxy)

    def classify(self, crops: Sequence[Image]) -> Opinions:
        probs, strange = self.runtime.classify(crops)
        red, green, blue, nothing = probs.T
        few = np.full(len(probs), 0.02, np.float32)
        return np.asarray(np.stack([red + blue + nothing - 0.04, green, few, few], axis=1), np.float32), strange


def test_a_persons_verdicts_on_new_films_become_the_next_models_truth(loop: tuple[Loop, dict[str, Any]], seer: Runtime) -> None:
    world, truth = loop
    first = world.assemble()
    asked = world.prelabel(Dull(seer))
    ids = world.ids()
    per_recording = Counter(row["recording_id"] for row in asked)
    assert per_recording == {ids["new-0.avi"]: 3, ids["new-1.avi"]: 4, ids["new-2.avi"]: 1}  # what is there, and a ghost in each
    counts = world.review(truth).published.counts
    assert counts == {"accepted": 18, "relabelled": 12, "moved": 0, "rejected": 18, "added": 0, "unsure": 0}
    second = world.assemble()
    assert second.frames == first.frames + 18
    names = {recording_id: name for name, recording_id in ids.items()}
    new = [row for row in world.rows("truth") if names[row["recording_id"]] in NEW]
    said = Counter((names[row["recording_id"]], row["origin"], row["role"], row["class_id"]) for row in new)
    frames = 6  # of twelve, at half their rate
    expected: dict[tuple[str, str, str, int | None], int] = {
        ("new-0.avi", "accepted", "positive", 4): frames,
        ("new-0.avi", "accepted", "positive", 11): frames,
        ("new-1.avi", "relabelled", "positive", 30): 2 * frames,
        ("new-1.avi", "accepted", "positive", 4): frames,
        **{(name, "rejected", "negative", None): frames for name in NEW},
    }
    assert said == expected
    crops = [row for row in world.rows("crops") if names[row["crop_id"].split("/")[0]] in NEW and row["origin"] != "background"]
    assert Counter(row["class_id"] for row in crops) == {4: 12, 11: 6, 30: 12, None: 18}
    splits = defaultdict(set)
    for row in world.rows("truth"):
        splits[row["recording_id"]].add(row["split"])
    assert all(len(found) == 1 for found in splits.values())
    assert world.prelabel(seer) == []  # all of it is answered, whichever model looks at it next


def test_a_track_keeps_its_id(loop: tuple[Loop, dict[str, Any]], seer: Runtime) -> None:
    world, truth = loop
    world.assemble()
    world.prelabel(seer)
    ids = {recording_id: name for name, recording_id in world.ids().items()}
    videos = {video["id"]: video["file_name"] for video in truth["videos"]}
    images = {image["id"]: (videos[image["video_id"]], image["frame_index"]) for image in truth["images"]}
    real = defaultdict(list)
    for a in truth["annotations"]:
        x, y, w, h = a["bbox"]
        real[images[a["image_id"]]].append((a["track_id"], a["category_id"], [x, y, x + w, y + h]))
    class_of = {row["sign_id"]: row["class_id"] for row in read_signs(world.data / "prelabels").to_pylist()}
    tracks = defaultdict(list)
    for row in read_boxes(world.data / "prelabels").to_pylist():
        for track_id, class_id, xyxy in real.get((ids[row["frame_id"].split("/")[0]], row["index"]), []):
            if iou([[row["x1"], row["y1"], row["x2"], row["y2"]]], [xyxy])[0, 0] > 0.6:
                tracks[row["sign_id"]].append(track_id)
                assert class_of[row["sign_id"]] == class_id
    assert sorted(Counter(found).most_common() for found in tracks.values()) == [[(track, 12)] for track in (0, 1, 100, 101, 102)]


def test_trained_on_shapes_the_networks_find_and_name_shapes(loop: tuple[Loop, dict[str, Any]]) -> None:
    world, truth = loop
    easy = {"batch": 4, "crop_px": 96, "scale_min": 0.9, "scale_max": 1.2, "exposure": 0.1, "ema": 0.8}
    detector = world.params.detector.model_copy(update=easy)
    classifier = world.params.classifier.model_copy(update={"batch": 16, "exposure": 0.1, "blur": 0.0})
    budgets = {name: {"steps": n, "validate_every": n, "patience": None} for name, n in (("detector", 140), ("classifier", 80))}
    train = world.params.train.model_copy(
        update={name: getattr(world.params.train, name).model_copy(update=budget) for name, budget in budgets.items()}
    )
    params = world.params.model_copy(update={"detector": detector, "classifier": classifier, "train": train})
    world.assemble()
    models = world.data / "models"
    learn_detector(world.data / "truth", params, models / "detector", models / "mistakes", silent)
    learn_classifier(world.data / "truth", params, models / "classifier", models / "mistakes", silent)
    write_bundle(models / "detector", models / "classifier", {"temperature": 1.0}, world.data / "candidate")
    runtime = TorchRuntime(read_bundle(world.data / "candidate"), torch.device("cpu"))
    found, _ = predict_recordings(runtime, world.data / "recordings", parse_truth(truth), params.prelabel, None, silent)
    scores = score_recordings(parse_truth(truth), found)
    assert scores["ap50"] > 0.7
    assert scores["sign_recall"] >= 0.8
    assert scores["sign_class_accuracy"] >= 0.8
