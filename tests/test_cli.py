"""The `signloop` command as a person meets it: help, errors of one line, and the promised files and keys."""

import csv
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import typer

from signloop import cli
from signloop.core import tables
from signloop.core.files import read_json, write_json
from signloop.core.params import Params, load
from signloop.measure.score import score_recordings
from signloop.measure.truth import read_truth
from signloop.models.bundle import write_bundle, write_network
from signloop.models.classifier import Classifier
from signloop.models.detector import build_detector
from signloop.prelabel.proposal import Runtime
from signloop.registry import store, versions
from signloop.stages import _edge
from signloop.studies.score import table_rows

ROOT = Path(__file__).parents[1]
MakeFilms = Callable[..., dict[str, Any]]
EASY = ["+experiment=fast", "prelabel.start_score=0.01", "prelabel.keep_score=0.01", "prelabel.min_boxes=1"]
RECORDINGS = {
    *("frames", "boxes", "ap", "ap50", "ap75", "signs", "sign_recall", "sign_class_accuracy", "sign_precision", "tracks_per_sign"),
    *("false_signs", "false_signs_per_minute", "minutes", "frames_per_second"),
}
IMAGES = {
    *("images", "boxes", "ap", "ap50", "ap75", "ap50_by_height_px", "recall_at_1_fp_per_image", "end_to_end_ap50", "class_accuracy"),
}
CROPS = {"crops", "tracks", "top1", "macro_f1", "track_accuracy", "ece"}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run `signloop ...` in this process; returns exit code, output and errors."""
    monkeypatch.setattr(cli, "set_up_logging", lambda: None)  # it would take the log away from pytest

    def act(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["signloop", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out, said.err

    return act


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout without DVC, in which the shell stands."""
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT", "DVC_EXP_NAME"):
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "project"
    shutil.copytree(ROOT / "conf", root / "conf")
    shutil.copy(ROOT / "dvc.yaml", root)
    (root / "data" / "recordings").mkdir(parents=True)
    monkeypatch.chdir(root)
    _edge.write_params(_edge.find_project(), EASY)
    return root


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of two networks that have learnt nothing, quick and with few boxes."""
    folder = tmp_path_factory.mktemp("bundle")
    value = _edge.compose(ROOT / "conf", [*EASY, "detector.weights=none", "classifier.weights=none"])
    params = Params.model_validate_json(json.dumps(value))
    detector = params.detector.model_copy(update={"input_scale": 0.25, "max_boxes": 3, "min_score": 0.001, "nms_iou": 0.1})
    torch.manual_seed(0)
    write_network(folder, "detector", build_detector(detector), {"params": detector.model_dump()})
    card = {"params": params.classifier.model_dump(), "taxonomy": params.taxonomy.model_dump()}
    write_network(folder, "classifier", Classifier(params.classifier, len(params.taxonomy)), card)
    write_bundle(folder, folder, {"temperature": 1.0}, folder / "bundle")
    return folder / "bundle"


@pytest.fixture(scope="module")
def test_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A freshly drawn recording of the demo's world with its truth."""
    from signloop.demo.write import draw_test

    return draw_test(tmp_path_factory.mktemp("test set"), signs=1, seed=3).parent


def commands(group: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield words, group
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*words, name))


ALL = dict(commands(typer.main.get_command(cli.app)))


def test_all_commands_of_the_readme_are_there() -> None:
    assert {" ".join(words) for words in ALL} >= {
        *("params", "demo", "import coco", "import crops", "export coco", "publish coco", "simulate-review", "score", "label", "status"),
        *("review", "review-password", "publish review"),
    }


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_every_command_explains_itself_anywhere(words: tuple[str, ...], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, said, _ = run(*words, "--help")
    assert code == 0
    assert "Usage: signloop" in said
    assert ALL[words].help
    for option in ALL[words].params:
        assert getattr(option, "help", None) or option.name == "help", option.name


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["score", "--images", "."], r"--truth is missing"),
        (["score", "--truth", "t.json"], "choose one of --images, --recordings and --crops"),
        (["score", "--images", ".", "--crops", "a.csv"], "choose one of"),
        (["score", "--images", ".", "--truth", "t.json", "--fps", "5"], "--fps, --predictions and --errors go with --recordings only"),
        (["score", "--images", ".", "--truth", "t.json", "--model", "nowhere"], r"card cannot be read \(nowhere"),
        (["score", "--crops", "a.csv"], "champion"),
        (["score", "--crops", "a.csv", "--model", "models:/signloop-labeller@chmpion"], "chmpion"),
        (["score", "--crops", "a.csv", "--model", "models:/"], "models:/"),
        (["label", "nothing.mp4", "--out", "new"], "champion"),
        (["export", "coco", "--out", "new"], "Run `dvc repro`"),
        (["export", "coco", "--out", "new", "--recording", "nope.mp4"], "Run `dvc repro`"),
        (["export", "coco", "--out", "new", "--labels", "last"], "expected proposals or final; found last"),
        (["export", "coco", "--out", "new", "--labels", "final", "--recording", "a"], "--recording goes with the proposals only"),
        (["export", "coco", "--out", "new", "--labels", "final"], "nothing is verified|Run `dvc repro`"),
        (["publish", "coco", "a.json"], r"does not exist \(a\.json\)"),
        (["publish", "review"], "nothing was reviewed yet .*Run `signloop review`"),
        (["review", "--share", "labels.example.org"], "none was set .*Run `signloop review-password`"),
        (["review", "--no-browser"], "table queue does not exist .*Run `dvc repro`"),
        (["import", "coco", ".", "a.json"], r"does not exist \(a\.json\)"),
        (["import", "crops", "a.csv"], r"a\.csv"),
        (["simulate-review", "--truth", "a.json"], "a.json|dvc repro"),
        (["simulate-review", "--truth", "a.json", "--order", "random"], "--order goes with --signs only"),
        (["compare", "a.json", "b.json", "--truth", "t.json"], "t.json"),
        (["params", "detector.lrr=1"], r"detector\.lrr"),
        (["params", "seed=-1"], r"seed: .*greater than or equal to 0"),
        (["params", "detector.vote_iou=0"], r"vote_iou.*greater than 0"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_told_in_a_line(words: list[str], expected: str, project: Path, run: Run) -> None:
    before = {path for path in project.rglob("*") if "mlflow" not in path.name}
    code, _, said = run(*words)
    assert code == 1
    assert said.startswith("signloop: ")
    assert "Traceback" not in said
    assert len(said.splitlines()) <= 6  # one, but for lists of wrong keys
    with pytest.raises(AssertionError, match=rf"(?s){expected}"):
        raise AssertionError(said)
    assert {path for path in project.rglob("*") if "mlflow" not in path.name} == before


def test_outside_a_project_and_with_a_wrong_option(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, said = run("status")
    assert (code, said.count("\n")) == (1, 1)
    assert "this is no Signloop project" in said
    assert run("status", "--colour")[0] == 2
    assert run("lable")[0] == 2
    for option in (("--port", 80), ("--planted", 0.6), ("--repeats", -0.1)):
        assert run("review", *option)[0] == 2


def test_the_installed_command_ends_with_the_exit_code(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from signloop.cli import main; main()", "status"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("signloop: this is no Signloop project")
    assert done.stderr.count("\n") == 1


def test_params_are_composed_and_an_old_one_is_told(project: Path, run: Run, caplog: pytest.LogCaptureFixture) -> None:
    code, said, _ = run("params", "+experiment=fast", "detector.lr=1e-4")
    assert (code, said) == (0, "params.yaml written, overrides: +experiment=fast detector.lr=1e-4\n")
    assert load(project / "params.yaml").detector.lr == 0.0001
    (project / "conf" / "queue" / "default.yaml").write_text("frame_share: 0.5\n")
    assert run("status")[0] == 0
    assert "params.yaml is stale" in caplog.text


def test_a_new_project_says_what_to_do_first(project: Path, run: Run) -> None:
    code, said, _ = run("status")
    assert code == 0
    assert "recordings  none extracted yet" in said
    assert "champion    none yet" in said
    assert "next        signloop demo" in said


def test_the_demo_comes_and_goes(project: Path, run: Run) -> None:
    mine = project / "data" / "recordings" / "mine.mp4"
    mine.write_bytes(b"mine")
    code, said, _ = run("demo", "--seeded", "1", "--unlabelled", "1")
    assert code == 0
    assert "drawing 2 recordings: about 2 MB" in said
    assert {path.name for path in (project / "data").iterdir()} >= {"demo-truth.json", "verified"}
    code, said, _ = run("status")
    assert "next        dvc repro" in said
    assert run("demo", "--remove")[0] == 0
    assert list((project / "data" / "recordings").iterdir()) == [mine]
    assert not (project / "data" / "demo-truth.json").exists()


def test_a_test_set_is_drawn_without_the_rounds(project: Path, run: Run, tmp_path: Path) -> None:
    (project / "data" / "verified.dvc").write_text("outs: []\n")  # as after a `git clone`
    code, said, _ = run("demo", "--test", tmp_path / "fresh", "--signs", "1")
    assert code == 0
    assert f"recordings and truth drawn: {tmp_path / 'fresh' / 'truth.json'}" in said
    for words in (["demo"], ["demo", "--remove"], ["demo", "--remove", "--test", tmp_path / "fresh"]):
        code, _, said = run(*words)
        assert code == 1
        assert "only the pointer" in said


def picture(path: Path, colour: tuple[int, int, int]) -> None:
    image = np.full((120, 160, 3), 90, np.uint8)
    cv2.rectangle(image, (40, 30), (79, 69), colour, -1)
    cv2.imwrite(str(path), image)


def test_labels_that_are_there_are_imported_whole_or_not_at_all(project: Path, tmp_path: Path, run: Run) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    picture(pictures / "a.png", (0, 0, 200))
    coco: dict[str, Any] = {
        "images": [{"id": 1, "file_name": "a.png", "width": 160, "height": 120}],
        "categories": [{"id": 5, "name": "stop"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 5, "bbox": [40, 30, 40, 40], "iscrowd": 0}],
    }
    write_json(tmp_path / "bad.json", {**coco, "categories": [{"id": 5, "name": "halt"}]})
    code, _, said = run("import", "coco", pictures, tmp_path / "bad.json", "--name", "client")
    assert code == 1
    assert "halt" in said
    assert not any((project / "data" / "recordings").iterdir())
    write_json(tmp_path / "good.json", coco)
    code, said, _ = run("import", "coco", pictures, tmp_path / "good.json", "--name", "client")
    assert code == 0
    assert (project / "data" / "recordings" / "client" / "a.png").is_file()
    with (pictures / "index.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "class_id", "track_id"], ["a.png", 14, "t1"]])
    assert run("import", "crops", pictures / "index.csv")[0] == 0
    assert len(list((project / "data" / "verified").glob("round_*"))) == 2


def test_a_film_is_labelled_with_any_bundle(project: Path, bundle: Path, test_set: Path, tmp_path: Path, run: Run) -> None:
    film = next(test_set.glob("*.mp4"))
    out = tmp_path / "labelled"
    code, said, error = run("label", film, "--out", out, "--model", bundle)
    assert (code, error) == (0, "")
    assert f"{film.name}: " in said.splitlines()[0]
    assert "written to" in said
    frames = cv2.VideoCapture(str(film)).get(cv2.CAP_PROP_FRAME_COUNT)
    drawn = cv2.VideoCapture(str(out / "film.mp4"))
    count = 0
    while drawn.read()[0]:
        count += 1
    assert count == frames > 20
    signs = tables.read(out / "signs.parquet", "prelabel_signs").to_pylist()
    assert signs
    assert tables.read(out / "boxes.parquet", "prelabel_boxes").num_rows >= len(signs)
    assert {a["track_id"] for a in read_json(out / "labels.json")["annotations"]} == set(range(len(signs)))
    assert len({path.name[:4] for path in (out / "crops").rglob("*.png")}) == len(signs)
    code, _, said = run("label", film, "--out", out, "--model", bundle)
    assert code == 1
    assert "the output folder exists" in said


def test_the_champion_of_the_registry_is_the_default_model(
    project: Path, bundle: Path, tmp_path: Path, run: Run, make_films: MakeFilms
) -> None:
    make_films(tmp_path, {"short.avi": [4]}, frames=3)
    found = _edge.find_project()
    store.prepare(found.mlflow_uri, found.artifact_root)
    model_id = read_json(bundle / "bundle.json")["model_id"]
    tags = {"ap50": "0.9000", "class_accuracy": "0.8000"}
    version = versions.register(found.mlflow_uri, bundle, model_id, tags, artifact_root=found.artifact_root)
    versions.set_alias(found.mlflow_uri, "champion", version.version)
    code, _, error = run("label", tmp_path / "short.avi", "--out", tmp_path / "out")
    assert (code, error) == (0, "")
    assert (tmp_path / "out" / "film.mp4").is_file()
    assert [path.name for path in (project / ".dvc" / "tmp" / "models").iterdir()] == [model_id]
    code, said, _ = run("status")
    assert f"champion    version 1, {model_id}: ap50 0.9000, class_accuracy 0.8000" in said


@pytest.fixture
def always_right(monkeypatch: pytest.MonkeyPatch, seer: Runtime) -> None:
    monkeypatch.setattr(cli, "_runtime", lambda *_: seer)


@pytest.mark.usefixtures("always_right")
def test_recordings_are_scored_with_the_promised_keys(project: Path, run: Run, tmp_path: Path, make_films: MakeFilms) -> None:
    write_json(tmp_path / "truth.json", make_films(tmp_path, {"a.avi": [4, 30], "b c.avi": [11], "none.avi": []}))
    files = ["--json", tmp_path / "scores.json", "--predictions", tmp_path / "predictions.json"]
    code, said, _ = run("score", "--recordings", tmp_path, "--truth", tmp_path / "truth.json", *files)
    assert code == 0
    scores = read_json(tmp_path / "scores.json")
    assert scores.keys() >= RECORDINGS
    assert (scores["frames"], scores["boxes"], scores["signs"]) == (36, 36, 3)
    assert (scores["ap50"], scores["sign_recall"], scores["sign_class_accuracy"]) == (pytest.approx(1), 1, 1)
    assert scores["frames_per_second"] > 0
    assert all(key in said for key in RECORDINGS)
    predictions = read_json(tmp_path / "predictions.json")
    assert predictions.keys() == {"fps", "frames", "signs"}
    assert predictions["signs"][0].keys() == {"video", "class_id", "confidence", "boxes"}
    again = score_recordings(read_truth(tmp_path / "truth.json"), predictions)
    assert again == {key: value for key, value in scores.items() if key != "frames_per_second"}
    code, _, _ = run("score", "--recordings", tmp_path, "--truth", tmp_path / "truth.json", "--fps", "5", *files)
    half = read_json(tmp_path / "scores.json")
    assert (half["frames"], half["sign_recall"], half["minutes"]) == (18, 1, scores["minutes"])
    code, said, _ = run("compare", tmp_path / "predictions.json", tmp_path / "predictions.json", "--truth", tmp_path / "truth.json")
    assert code == 0
    assert re.search(r"right_signs\.difference \W+\+0\.0000 \W+\+0\.0000 to \+0\.0000", said)
    assert "{" not in said


@pytest.mark.usefixtures("always_right")
def test_stills_are_scored_with_the_promised_keys(project: Path, run: Run, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        picture(tmp_path / name, (30, 30, 220))
    write_json(
        tmp_path / "truth.json",
        {
            "images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}],
            "annotations": [{"id": i, "image_id": i, "category_id": (4, 11)[i - 1], "bbox": [40, 30, 40, 40]} for i in (1, 2)],
        },
    )
    code, said, _ = run("score", "--images", tmp_path, "--truth", tmp_path / "truth.json", "--json", tmp_path / "scores.json")
    assert code == 0
    scores = read_json(tmp_path / "scores.json")
    assert scores.keys() >= IMAGES
    assert (scores["images"], scores["boxes"], scores["ap50"]) == (2, 2, pytest.approx(1))
    assert (scores["class_accuracy"], scores["recall_at_1_fp_per_image"]) == (0.5, 1)  # both are red, one should be green
    assert all(key in said for key in IMAGES)
    assert "{" not in said


@pytest.mark.usefixtures("always_right")
def test_crops_are_scored_with_the_promised_keys(project: Path, run: Run, tmp_path: Path) -> None:
    rows = [["path", "class_id", "class_name", "track_id", "frame_no", "width", "height"]]
    for n, class_id in enumerate((4, 4, 11)):
        cv2.imwrite(str(tmp_path / f"{n}.png"), np.full((20, 20, 3), (30, 30, 220), np.uint8))
        rows.append([f"{n}.png", str(class_id), "-", f"t{class_id}", str(n), "20", "20"])
    with (tmp_path / "index.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    code, said, _ = run("score", "--crops", tmp_path / "index.csv", "--json", tmp_path / "scores.json")
    assert code == 0
    scores = read_json(tmp_path / "scores.json")
    assert scores.keys() >= CROPS
    assert (scores["crops"], scores["tracks"], scores["top1"], scores["track_accuracy"]) == (3, 2, pytest.approx(2 / 3), 0.5)
    assert all(key in said for key in CROPS)
    (tmp_path / "index.csv").write_text("path,class_id\n0.png,stop\n")
    code, _, said = run("score", "--crops", tmp_path / "index.csv")
    assert code == 1
    assert "index.csv, line 2" in said


def test_scores_are_laid_out_a_number_a_row() -> None:
    scores = {
        "images": 3,
        "ap50": 0.87654,
        "ap50_by_height_px": {"12-24": 0.5, "24-48": None},
        "minutes": 1.5,
        "intervals": {"ap50": [0.8, 0.9], "minutes": None},
    }
    assert table_rows(scores) == [
        ("images", "3", ""),
        ("ap50", "0.8765", "0.8000 to 0.9000"),
        ("ap50_by_height_px.12-24", "0.5000", ""),
        ("ap50_by_height_px.24-48", "-", ""),
        ("minutes", "1.5000", ""),
    ]


def test_a_difference_and_its_interval_have_a_sign() -> None:
    right = {"a": 0.942, "b": 0.934, "difference": -0.008, "interval": [-0.038, 0.018]}
    assert table_rows({"signs": 121, "right_signs": right, "errors": {**right, "interval": None}}) == [
        ("signs", "121", ""),
        ("right_signs.a", "0.9420", ""),
        ("right_signs.b", "0.9340", ""),
        ("right_signs.difference", "-0.0080", "-0.0380 to +0.0180"),
        ("errors.a", "0.9420", ""),
        ("errors.b", "0.9340", ""),
        ("errors.difference", "-0.0080", ""),
    ]


def test_networks_are_scored_as_their_own_predictions_say(project: Path, bundle: Path, test_set: Path, tmp_path: Path, run: Run) -> None:
    files = ["--json", tmp_path / "scores.json", "--predictions", tmp_path / "predictions.json"]
    code, _, error = run("score", "--model", bundle, "--recordings", test_set, "--truth", test_set / "truth.json", "--fps", 2, *files)
    assert (code, error) == (0, "")
    scores, predictions = read_json(tmp_path / "scores.json"), read_json(tmp_path / "predictions.json")
    assert any(frame["boxes"] for frame in predictions["frames"])
    assert score_recordings(read_truth(test_set / "truth.json"), predictions).items() <= scores.items()


def test_the_password_is_asked_twice_without_an_echo(project: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from signloop.review.password import read_password

    typed = iter(["correct horse", "correct hose", "correct horse", "correct horse"])
    monkeypatch.setattr("getpass.getpass", lambda *_, **__: next(typed))
    code, said, _ = run("review-password")
    assert code == 0
    assert "do not match" in said.replace("\n", " ")
    assert "correct" not in said
    assert read_password(project / "data" / "review" / "password.json").fits("correct horse")
    assert next(typed, None) is None


def test_a_short_password_is_told(project: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getpass", lambda *_, **__: "hush")
    code, _, said = run("review-password")
    assert code == 1
    assert said.startswith("signloop: the password is too short; expected 10 to 200 characters; found 4")
    assert not (project / "data" / "review").exists()
