from collections.abc import Callable
from pathlib import Path

import pytest

from signloop.core import tables
from signloop.core.files import read_json, sha256_file, sha256_json, write_json
from signloop.core.params import Params
from signloop.core.taxonomy import Taxonomy
from signloop.frames.truth import data_hash, learnt_objects
from signloop.registry import versions
from signloop.stages._edge import Project
from signloop.stages.start import act

Champion = Callable[..., str]


@pytest.fixture
def project(bare: Project) -> Project:
    """A project with ten labelled objects, in which nothing was trained yet."""
    label(bare.root, 10)
    return bare


def label(root: Path, objects: int) -> None:
    """Write a truth of crops of so many objects, each shown twice, beside as many that are not trained on."""
    crops = [
        {
            "crop_id": f"{split} {number} {look}", "path": "crops/a.png", "class_id": 14, "track_id": f"{split} {number}",
            "split": split, "origin": "imported", "margin": 0.1,
        }
        for number in range(objects) for split in ("train", "test") for look in "ab"
    ]  # fmt: skip
    boxes = [
        {
            "box_id": crop["crop_id"], "frame_id": "f", "recording_id": "r", "sign_id": crop["track_id"], "split": crop["split"],
            "x1": 0.0, "y1": 0.0, "x2": 9.0, "y2": 9.0, "class_id": 14, "role": "positive", "origin": "accepted", "round": 1,
        }
        for crop in crops
    ]  # fmt: skip
    truth = root / "data" / "truth"
    tables.write(truth / "crops.parquet", "crops", tables.from_rows("crops", crops))
    tables.write(truth / "truth.parquet", "truth", tables.from_rows("truth", boxes))
    tables.write(truth / "frames.parquet", "truth_frames", tables.from_rows("truth_frames", []))


@pytest.fixture
def champion(project: Project, shape_params: Params) -> Champion:
    """A function that makes a champion of what is labelled now; returns its model id."""

    def make(weights: str, start: str | None = None, learnt: str | None = None, anew: str = "none") -> str:
        folder = project.root / f"bundle {weights}"
        for network in ("detector", "classifier"):
            params, mine = getattr(shape_params, network).model_dump(mode="json"), learnt_objects(project.data / "truth", network)
            card = {"params": params, "taxonomy": shape_params.taxonomy.card(), "start": None if network == anew else start}
            write_json(folder / f"{network}.json", card | {"learnt": " ".join(mine) if learnt is None else learnt})
            (folder / f"{network}.safetensors").write_text(f"{network} {weights}")
        files = {path.name: sha256_file(path) for path in sorted(folder.iterdir())}
        model_id = f"m{sha256_json(files)[:12]}"
        write_json(folder / "bundle.json", {"model_id": model_id, "files": files})
        tags = {"data_hash": data_hash(project.data / "truth")}
        version = versions.register(project.mlflow_uri, folder, model_id, tags, artifact_root=project.artifact_root).version
        versions.set_alias(project.mlflow_uri, versions.CHAMPION, version)
        return model_id

    return make


def found(project: Project, name: str) -> tuple[str | None, str | None]:
    """Return the model and the weights that the stage left."""
    folder = project.data / "start" / name
    weights = folder / f"{name}.safetensors"
    assert {path.name for path in folder.iterdir()} <= {"start.json", weights.name}
    return read_json(folder / "start.json")["model_id"], weights.read_text() if weights.exists() else None


def test_a_first_training_starts_from_pretrained_weights(project: Project, shape_params: Params, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "signloop"):
        act(project, shape_params, "detector")
    assert found(project, "detector") == (None, None)
    assert "the detector starts from pretrained weights: there is no champion of other labels" in caplog.text


@pytest.mark.parametrize("name", ["detector", "classifier"])
def test_with_new_labels_a_training_goes_on_from_the_champion(
    name: str, project: Project, champion: Champion, shape_params: Params, caplog: pytest.LogCaptureFixture
) -> None:
    first = champion("one")
    label(project.root, 20)
    with caplog.at_level("INFO", "signloop"):
        act(project, shape_params, name)
    assert found(project, name) == (first, f"{name} one")
    assert f"the {name} starts from the champion, {first}" in caplog.text
    second = champion("two")
    label(project.root, 19)
    act(project, shape_params, name)  # what was there is replaced
    assert found(project, name) == (second, f"{name} two")


def test_on_the_same_labels_it_starts_where_the_champion_did(project: Project, champion: Champion, shape_params: Params) -> None:
    first = champion("one")
    act(project, shape_params, "classifier")
    assert found(project, "classifier") == (None, None)
    label(project.root, 12)
    champion("two", start=first, anew="detector")
    act(project, shape_params, "classifier")
    assert found(project, "classifier") == (first, "classifier one")
    act(project, shape_params, "detector")
    assert found(project, "detector") == (None, None)
    champion("three", start="m of a version that was deleted")
    act(project, shape_params, "classifier")
    assert found(project, "classifier") == (None, None)


def change(params: Params, name: str, **values: object) -> Params:
    return params.model_copy(update={name: getattr(params, name).model_copy(update=values)})


def test_what_does_not_fit_is_said_and_not_gone_on_from(
    project: Project, champion: Champion, shape_params: Params, caplog: pytest.LogCaptureFixture
) -> None:
    champion("one")
    label(project.root, 20)
    taxonomy = shape_params.taxonomy
    turned = Taxonomy(name=taxonomy.name, object_name=taxonomy.object_name, classes=taxonomy.classes[::-1])
    other = shape_params.model_copy(update={"taxonomy": turned})
    cases = [
        ("detector", change(shape_params, "detector", channels=65, quality="overlap"), "with other detector.channels, detector.quality"),
        ("classifier", change(shape_params, "classifier", backbone="resnet18"), "with other classifier.backbone"),
        ("classifier", other, "the champion has other classes"),
        ("detector", change(shape_params, "train", start="pretrained"), "train.start asks for them"),
    ]
    for name, params, reason in cases:
        caplog.clear()
        with caplog.at_level("INFO", "signloop"):
            act(project, params, name)
        assert found(project, name) == (None, None)
        assert f"the {name} starts from pretrained weights: " in caplog.text
        assert reason in caplog.text
    act(project, other, "detector")  # which knows no classes
    assert found(project, "detector")[1] == "detector one"


@pytest.mark.parametrize("name", ["detector", "classifier"])
def test_a_champion_that_knows_less_than_half_of_the_objects_is_left(
    name: str, project: Project, champion: Champion, shape_params: Params, caplog: pytest.LogCaptureFixture
) -> None:
    champion("one")
    label(project.root, 21)
    with caplog.at_level("INFO", "signloop"):
        act(project, shape_params, name)
    assert found(project, name) == (None, None)
    assert "has learnt from 10 of the 21 objects that are labelled now, less than half" in caplog.text
    champion("two", learnt="")  # as one of before cards told it
    label(project.root, 22)
    act(project, shape_params, name)
    assert found(project, name) == (None, None)


def test_a_champion_of_another_world_is_left_however_much_it_knows(
    project: Project, champion: Champion, shape_params: Params, caplog: pytest.LogCaptureFixture
) -> None:
    champion("one", learnt=" ".join(f"{number:08x}" for number in range(1000)))
    label(project.root, 20)
    with caplog.at_level("INFO", "signloop"):
        act(project, shape_params, "classifier")
    assert "from 0 of the 20 objects" in caplog.text
