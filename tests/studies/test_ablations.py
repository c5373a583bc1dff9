"""The ablations: what is compared with what, and all of it on a few drawn stills with networks that learn next to nothing."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from signloop.core import tables
from signloop.core.errors import ConfigError
from signloop.core.params import Params
from signloop.models.datasets import CropTruth, crop_truths
from signloop.registry import runs, store
from signloop.studies import ablations
from signloop.studies.ablations import BASE, CHOICES, Choice
from signloop.studies.cycles import Bench
from signloop.studies.roads import Store

ROOT = Path(__file__).parents[2]
FEW = (
    Choice("detector", BASE),
    Choice("detector", "no random light", ("detector.exposure=0.0",)),
    Choice("classifier", BASE),
    Choice("classifier", "no mistakes", ("data.mistakes_per_frame=0",)),
    Choice("open-set", BASE),
)


def silent(what: str, done: int, total: int) -> None:
    """No progress bar."""


def test_every_choice_changes_something_and_has_a_folder_of_its_own(tmp_path: Path) -> None:
    assert len({choice.folder for choice in CHOICES}) == len(CHOICES)
    bench = Bench(ROOT, tmp_path, tmp_path, ["+experiment=roads"], print)
    whole = {choice: ablations._params(bench, choice, 3) for choice in CHOICES}
    base = {choice.network: params for choice, params in whole.items() if not choice.overrides}
    for choice, params in whole.items():
        assert params.seed == 3
        same = params.model_copy(update={"overrides": base[choice.network].overrides}) == base[choice.network]
        assert same == (choice.name == BASE)


def test_gains_are_paired_by_track() -> None:
    """Of three tracks one is named rightly only by the second model; the two mistakes are seen through by the first only."""
    base = {"right": [1, 1, 0, 0, 1, 1, 1], "tracks": list("aabbcde"), "nothing": [False] * 5 + [True] * 2}
    found = {**base, "right": [1, 1, 1, 1, 1, 0, 0]}
    gains = ablations._gains_in_crops(base, found, ("top1", "mistakes seen through"))
    before, gain = gains["top1"]
    assert [before, gain.value] == pytest.approx([3 / 5, 2 / 5])
    assert gain.low == 0
    before, gain = gains["mistakes seen through"]
    assert (before, gain.value, gain.low, gain.high) == (1, -1, -1, -1)


def test_choices_of_some_networks_come_with_the_detector_whose_mistakes_they_see() -> None:
    assert ablations.of_networks(list(ablations.LEARNT_AS)) == list(CHOICES)
    few = ablations.of_networks(["open-set"])
    assert few[0] == Choice("detector", BASE)
    assert few[1:] == [choice for choice in CHOICES if choice.network == "open-set"]
    with pytest.raises(ConfigError, match=r"no choices of this network \(--network\); expected .*open-set.*found \['sign'\]"):
        ablations.of_networks(["sign"])


def test_without_a_mistake_only_the_signs_are_compared() -> None:
    base = {"right": [1, 0], "tracks": list("ab"), "nothing": [False] * 2}
    assert list(ablations._gains_in_crops(base, {**base, "right": [1, 1]}, ("top1", "mistakes"))) == ["top1"]


def test_strange_classes_are_asked_about_and_not_learnt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In each split one crop of the first class, one of the fourth, which is strange, and one of nothing; all are called the first."""
    params = ablations._params(Bench(ROOT, tmp_path, tmp_path, [], print), Choice("open-set", BASE), 0)
    rows = []
    truth = tmp_path / "data"
    (truth / "crops").mkdir(parents=True)
    for split in ("train", "val", "test"):
        for class_id in (0, 3, None):
            name = f"{split}-{class_id}"
            cv2.imwrite(str(truth / "crops" / f"{name}.png"), np.full((20, 20, 3), 90, np.uint8))
            row = {"crop_id": name, "path": f"crops/{name}.png", "class_id": class_id, "track_id": name, "split": split}
            rows.append({**row, "origin": "imported", "margin": 0.1})
    tables.write(truth / "crops.parquet", "crops", tables.from_rows("crops", rows))
    for _ in range(2):  # cut, and begun again
        learnt = ablations._without_strangers(truth, params.taxonomy, tmp_path / "truth")
    assert crop_truths([learnt], params.taxonomy, "train").labels.tolist() == [0, len(params.taxonomy)]

    def always_the_first(home: Path, params: Params, folder: Path, split: str) -> tuple[CropTruth, NDArray[Any], NDArray[Any]]:
        """What is known is as near as can be, what is strange is far."""
        crops, classes = crop_truths([folder], params.taxonomy, split), len(params.taxonomy)
        raw, distances = np.zeros((len(crops), classes + 1)), np.full((len(crops), classes), 9.0)
        raw[:, 0], distances[:, 0] = 9, np.where(crops.labels == 3, 5, 1)
        return crops, raw, distances

    monkeypatch.setattr(ablations, "_observed", always_the_first)
    strict = params.model_copy(update={"prelabel": params.prelabel.model_copy(update={"strange": 0.01})})
    seen = ablations._look_at_strangers(tmp_path, strict, truth, tmp_path)
    assert all(right for right, strange in zip(seen["right"], seen["nothing"], strict=True) if strange)
    found = ablations._look_at_strangers(tmp_path, params, truth, tmp_path)
    assert dict(zip(found["tracks"], zip(found["right"], found["nothing"], strict=True), strict=True)) == {
        "train-3": (False, True),
        "val-0": (True, False),
        "val-3": (False, True),
        "val-None": (False, False),
        "test-0": (True, False),
        "test-3": (False, True),
        "test-None": (False, False),
    }


def test_gains_in_boxes_are_paired_by_still(truth_of_two_stills: Path) -> None:
    right, wrong = [[10.0, 10.0, 30.0, 30.0, 0.9]], [[50.0, 50.0, 60.0, 60.0, 0.9]]
    gains = ablations._gains_in_boxes({"boxes": [right, wrong]}, {"boxes": [right, right]}, truth_of_two_stills)
    before, gain = gains["ap50"]
    assert [before, before + gain.value] == pytest.approx([0.5, 1.0], abs=0.01)
    assert gain.low == 0


@pytest.fixture
def truth_of_two_stills(tmp_path: Path) -> Path:
    """data/truth of a validation and a test still, each with one object."""
    corners = {"x1": 10.0, "y1": 10.0, "x2": 30.0, "y2": 30.0}
    frames, boxes = [], []
    for n, split in enumerate(("val", "test")):
        frame = {"frame_id": f"r/{n}", "recording_id": "r", "kind": "stills", "index": n, "time_s": 0.0, "width": 100, "height": 80}
        frames.append({**frame, "path": f"{n}.png", "sha256": str(n), "split": split, "complete": True})
        box = {"box_id": f"b{n}", "frame_id": f"r/{n}", "recording_id": "r", "sign_id": None, "split": split, **corners, "class_id": 1}
        boxes.append({**box, "role": "positive", "origin": "added", "round": 0})
    for name, table, rows in (("frames", "truth_frames", frames), ("truth", "truth", boxes)):
        tables.write(tmp_path / f"{name}.parquet", table, tables.from_rows(table, rows))
    return tmp_path


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_each_training_happens_once_and_is_a_run(
    checkout: Path, road_data: Path, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ablations, "BUDGET", ())
    said: list[str] = []
    bench = Bench(checkout, road_data, tmp_path / "out", tiny, said.append)
    mlflow = Store(store.sqlite_uri(tmp_path), tmp_path / "artifacts")
    rows = ablations.run(bench, FEW, 0, mlflow, silent)
    assert {(row["network"], row["choice"]) for row in rows} == {(choice.network, choice.name) for choice in FEW}
    assert {row["gain"] for row in rows if row["choice"] == BASE} == {0.0}
    assert all(0 <= row["value"] <= 1 for row in rows)
    logged = runs.find(mlflow.uri, {"kind": "bench ablations"}, artifact_root=mlflow.artifact_root)
    assert len(logged) == len(FEW)
    said.clear()
    assert ablations.run(bench, FEW, 0, mlflow, silent) == rows
    assert said == []
