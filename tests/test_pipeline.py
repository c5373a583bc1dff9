"""The real `dvc repro` in a small copy of the checkout: what runs and what does not, two cycles, and what may go wrong on the way.

The fixtures are one story, each the next turn of it; a test looks at what a turn left. The networks learn next to nothing.
"""

import ast
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from signloop.core import tables
from signloop.core.files import read_json, sha256_file, sha256_json, write_json
from signloop.core.rounds import read_rounds
from signloop.prelabel.write import read_signs
from signloop.registry import store, versions

pytestmark = pytest.mark.timeout(600)  # the first test of the story waits for a whole cycle

ROOT = Path(__file__).parents[1]
MakeFilms = Callable[..., dict[str, Any]]
ALL = [
    "extract", "assemble", "start-detector", "start-classifier", "train-detector", "train-classifier", "bundle", "evaluate", "promote",
    "prelabel", "queue",
]  # fmt: skip
BUDGET = ["train.detector.steps=20", "train.detector.validate_every=20", "train.classifier.steps=10", "train.classifier.validate_every=10"]
NETWORKS = ["detector.batch=4", "detector.input_scale=0.5", "detector.max_boxes=3", "detector.min_score=0.01", "classifier.weights=none"]
PROPOSE_ALL = ["detector.nms_iou=0.3", "prelabel.start_score=0.02", "prelabel.keep_score=0.02", "prelabel.min_boxes=1"]
PASS_ALL = [f"gate.{name}_margin=1.0" for name in ("ap50", "class_accuracy", "sign_recall")]
FAST = ["+experiment=fast", *BUDGET, *NETWORKS, *PROPOSE_ALL, "prelabel.fps=2", "extract.fps=2", *PASS_ALL]


@dataclass
class Checkout:
    """A copy of the project with git and DVC, and the environment that its commands run in."""

    root: Path
    environment: dict[str, str]
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.root}/mlflow.db"

    def run(self, *words: object, ok: bool = True) -> str:
        """Run a command; returns what it printed. A traceback is never right."""
        command = [str(word) for word in words]
        done = subprocess.run(
            command, cwd=self.root, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        assert (done.returncode == 0) == ok, done.stdout
        assert "Traceback" not in done.stdout
        return done.stdout

    def signloop(self, *words: object, ok: bool = True) -> str:
        return self.run(sys.executable, "-c", "from signloop.cli import main; main()", *words, ok=ok)

    def repro(self, *words: str, ok: bool = True) -> tuple[list[str], str]:
        """Run `dvc repro`; returns the stages that ran (with --dry: that would) and what was printed."""
        said = self.run("dvc", "repro", *words, ok=ok)
        return re.findall(r"^Running stage '(.*)':", said, re.MULTILINE), said

    def rows(self, path: str, name: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = tables.read(self.data / path, name).to_pylist()
        return rows

    def digest(self, folder: str) -> dict[str, str]:
        found = sorted(path for path in (self.data / folder).rglob("*") if path.is_file())
        return {str(path.relative_to(self.data)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}

    def pids(self, stage: str) -> list[int]:
        """Return the processes of a stage of this very checkout."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                    here = (entry / "cwd").resolve() == self.root
                except OSError:
                    continue
                if here and b"-m" in words and f"signloop.stages.{stage}".encode() in words:
                    found.append(int(entry.name))
        return found


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    folder = tmp_path_factory.mktemp("a checkout").resolve()
    root = folder / "project"
    root.mkdir()
    for name in ("pyproject.toml", "dvc.yaml", ".dvcignore", ".gitignore", "README.md"):
        shutil.copy(ROOT / name, root)
    for name in ("conf", "src"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    (root / ".dvc").mkdir()
    shutil.copy(ROOT / ".dvc" / "config", root / ".dvc")
    (root / "data" / "recordings").mkdir(parents=True)
    (root / "data" / "recordings" / "README.md").write_text("Put recordings here.\n")
    strange = ("MLFLOW_TRACKING_URI", "DVC_ROOT", "DVC_EXP_NAME", "DVC_EXP_BASELINE_REV")
    environment = {key: value for key, value in os.environ.items() if key not in strange}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    environment |= {
        "PYTHONPATH": str(root / "src"),
        "OMP_NUM_THREADS": "1",
        "DVC_SITE_CACHE_DIR": str(folder / "site"),
        "DVC_NO_ANALYTICS": "1",
    }
    found = Checkout(root, environment)
    who = ["-c", "user.name=tester", "-c", "user.email=tester@example.org", "-c", "commit.gpgsign=false"]
    found.run("git", "init", "-q")
    found.signloop("params", *FAST)
    found.run("git", "add", ".")
    found.run("git", *who, "commit", "-q", "-m", "first")
    return found


@pytest.fixture(scope="module")
def empty(checkout: Checkout) -> str:
    """What the first `dvc repro` of somebody says who has not put anything anywhere."""
    return checkout.repro(ok=False)[1]


@pytest.fixture(scope="module")
def first(checkout: Checkout, empty: str) -> Checkout:
    """The first cycle: ten demo recordings with labels, two without."""
    checkout.signloop("demo", "--seeded", 10, "--unlabelled", 2)
    checkout.notes["first"] = checkout.repro()[0]
    checkout.notes["first candidate"] = read_json(checkout.data / "candidate" / "bundle.json")["model_id"]
    checkout.notes["first truth"] = len(checkout.rows("truth/truth.parquet", "truth"))
    checkout.notes["waiting"] = checkout.signloop("status")
    checkout.signloop("export", "coco", "--out", "data/export", "--recording", "demo-011.mp4")
    return checkout


@pytest.fixture(scope="module")
def again(first: Checkout) -> Checkout:
    """`dvc repro` straight after, but for a word in the README."""
    with (first.root / "README.md").open("a") as file:
        file.write("\nA word.\n")
    first.notes["again"] = first.repro()[0]
    first.notes["status"] = first.run("dvc", "status")
    return first


@pytest.fixture(scope="module")
def grown(again: Checkout, make_films: MakeFilms) -> Checkout:
    """New recordings without labels: a good one, and three that are not."""
    before = again.digest("truth")
    recordings = again.data / "recordings"
    make_films(recordings, {"neu ü\n1.avi": [4, 11]}, frames=8)
    whole = (recordings / "demo-000.mp4").read_bytes()
    (recordings / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (recordings / "zero.mp4").touch()
    shutil.copy(recordings / "demo-010.mp4", recordings / "the same again.mp4")
    again.notes["grown"] = again.repro("assemble")[0]
    again.notes["grown, the rest"] = again.repro("--dry")[0]
    again.notes["truth stayed"] = again.digest("truth") == before
    return again


@pytest.fixture(scope="module")
def reviewed(grown: Checkout) -> Checkout:
    """A person corrects one export, made before the recordings came; another is played from truth."""
    labels = grown.data / "export" / "annotations.json"
    coco = read_json(labels)
    kept, moved, renamed, _ = coco["annotations"][:4]  # the fourth and all others are taken out: there is no sign in this recording
    moved["bbox"][2] *= 2
    renamed["category_id"] = next(c["id"] for c in coco["categories"] if c["name"] == "stop")
    kept["category_id"] = moved["category_id"] = next(c["id"] for c in coco["categories"] if c["name"] == "snow")
    image = next(i for i in coco["images"] if i["id"] not in {kept["image_id"], moved["image_id"], renamed["image_id"]})
    added = {"id": 10**6, "image_id": image["id"], "category_id": renamed["category_id"], "bbox": [5, 5, 30, 30], "iscrowd": 0, "area": 900}
    coco["annotations"] = [kept, moved, renamed, added]
    write_json(labels, coco)
    grown.notes["published"] = grown.signloop("publish", "coco", labels, "--annotator", "Ann Example")
    truth = ["--truth", "data/demo-truth.json", "--recording", "demo-010.mp4", "--error-rate", "0.1"]
    grown.notes["simulated"] = grown.signloop("simulate-review", *truth)
    grown.notes["reviewed"] = grown.repro("--dry")[0]
    return grown


@pytest.fixture(scope="module")
def killed(reviewed: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """The second cycle meets another `dvc repro`, the death of its dvc, and the death of a training."""
    log = tmp_path_factory.mktemp("log") / "repro.log"
    with log.open("w") as file:
        dvc = subprocess.Popen(["dvc", "repro"], cwd=reviewed.root, env=reviewed.environment, stdout=file, stderr=file)
    deadline = time.monotonic() + 240
    while "steps 1 of" not in log.read_text():  # its lock is held by now
        assert time.monotonic() < deadline, log.read_text()
        assert dvc.poll() is None, log.read_text()
        time.sleep(0.05)
    training = reviewed.pids("train")
    for pid in training:
        os.kill(pid, signal.SIGSTOP)
    try:
        reviewed.notes["two at once"] = reviewed.repro(ok=False)[1]
        dvc.kill()
        dvc.wait()
        reviewed.notes["orphan"] = reviewed.repro(ok=False)[1]
    finally:
        for pid in training:
            os.kill(pid, signal.SIGKILL)
    reviewed.notes["killed"] = len(training)
    return reviewed


@pytest.fixture(scope="module")
def second(killed: Checkout) -> Checkout:
    """The second cycle, up to its champion."""
    killed.notes["second"] = killed.repro("promote")[0]
    killed.notes["goes on from"] = {
        name: read_json(killed.data / "models" / name / f"{name}.json")["start"] for name in ("detector", "classifier")
    }
    killed.notes["second, the rest"] = killed.repro("--dry")[0]
    killed.notes["champions"] = [entry.version for entry in versions.versions(killed.uri) if "champion" in entry.aliases]
    return killed


@pytest.fixture(scope="module")
def moved(second: Checkout) -> Checkout:
    """A person puts the alias back to the first version in the UI of MLflow."""
    store.client(second.uri).set_registered_model_alias(versions.NAME, "champion", "1")
    second.notes["obeyed"] = second.repro()[1]
    second.notes["moved"] = second.repro("--dry")[0]
    return second


def test_an_empty_project_says_what_to_do(empty: str) -> None:
    assert "recordings is empty" in empty
    assert "Run `signloop demo` or put videos there" in empty


def test_the_first_cycle_leaves_all_that_is_promised(first: Checkout) -> None:
    assert first.notes["first"] == ALL
    card = read_json(first.data / "champion" / "champion.json")
    assert card == {"version": 1, "model_id": first.notes["first candidate"]}
    (version,) = versions.versions(first.uri)
    assert version.aliases == ("champion",)
    assert version.tags["model_id"] == card["model_id"]
    assert {"ap50", "class_accuracy", "sign_recall", "test_version", "git_commit", "data_hash"} <= version.tags.keys()
    assert {"detector_run", "classifier_run"} <= version.tags.keys()
    names = {row["recording_id"]: row["name"] for row in first.rows("frames/recordings.parquet", "recordings")}
    assert len(names) == 12
    prelabelled = {path.stem.split("-")[0] for path in (first.data / "prelabels" / "signs").glob("*.parquet")}
    assert prelabelled == names.keys()
    asked = {names[row["recording_id"]] for row in first.rows("queue/queue.parquet", "queue")}
    assert asked == {"demo-010.mp4", "demo-011.mp4"}  # those with labels are not asked again
    for picture in ("models/detector/report/precision_recall.png", "models/classifier/report/confusion.png", "scores/report/confusion.png"):
        assert (first.data / picture).stat().st_size > 1000
    assert "demo-010" not in str(first.rows("truth/frames.parquet", "truth_frames"))
    assert re.search(r"recordings  12 \(12 video\), \d+ frames extracted", first.notes["waiting"])
    assert "champion    version 1" in first.notes["waiting"]
    assert "next        signloop review" in first.notes["waiting"]


def test_every_training_is_a_run_of_mlflow(first: Checkout) -> None:
    link = store.client(first.uri)
    experiment = link.get_experiment_by_name("signloop")
    assert experiment is not None
    runs = {run.info.run_name: run for run in link.search_runs([experiment.experiment_id])}
    for network in ("detector", "classifier"):
        run = runs[f"train {network}"]
        assert run.info.status == "FINISHED"
        assert run.data.params[f"{network}.weights"] == {"detector": "imagenet-lite0", "classifier": "none"}[network]
        assert len(run.data.tags["data_hash"]) == 64
        assert run.data.tags["overrides"] == " ".join(FAST)
        assert any("loss" in name for name in run.data.metrics)
        assert any(name.startswith("lr") for name in run.data.metrics)
        assert {path.path for path in link.list_artifacts(run.info.run_id, "report")} >= {"report/worst_and_best.png"}


def test_straight_after_all_is_up_to_date_but_the_look_at_the_alias(again: Checkout) -> None:
    assert again.notes["again"] == ["promote"]
    assert again.notes["status"].split() == ["promote:", "always", "changed"]
    assert len(versions.versions(again.uri)) == 1


@pytest.mark.parametrize(
    ("file", "runs", "rests"),
    [
        (
            "src/signloop/models/fit.py",
            {"train-detector", "train-classifier", "bundle", "evaluate", "prelabel"},
            {"extract", "assemble", "start-detector", "start-classifier"},
        ),
        ("src/signloop/frames/sampling.py", {"extract", "assemble", "evaluate", "prelabel"}, {"train-detector", "train-classifier"}),
        (
            "src/signloop/prelabel/track.py",
            {"evaluate", "prelabel"},
            {"extract", "assemble", "train-detector", "train-classifier", "bundle"},
        ),
        ("src/signloop/review/queue.py", {"queue"}, set(ALL) - {"queue", "promote"}),
        ("src/signloop/review/export.py", set(), set(ALL) - {"promote"}),
        ("conf/gate/default.yaml", set(), set(ALL) - {"promote"}),
    ],
)
def test_an_edit_runs_its_stages_and_no_other(file: str, runs: set[str], rests: set[str], again: Checkout) -> None:
    path = again.root / file
    before = path.read_bytes()
    try:
        path.write_bytes(before + b"\n# An edit.\n")
        would = set(again.repro("--dry")[0])
    finally:
        path.write_bytes(before)
    assert runs <= would
    assert not rests & would


def test_a_parameter_runs_its_stages_and_no_other(again: Checkout) -> None:
    before = (again.root / "params.yaml").read_bytes()
    try:
        again.signloop("params", *FAST, "classifier.lr=0.01")
        would = again.repro("--dry")[0]
    finally:
        (again.root / "params.yaml").write_bytes(before)
    assert "train-classifier" in would
    assert not {"extract", "start-detector", "start-classifier", "assemble", "train-detector", "prelabel", "queue"} & set(would)


def test_a_new_recording_trains_nothing(grown: Checkout) -> None:
    assert grown.notes["grown"] == ["extract", "assemble"]
    assert grown.notes["truth stayed"]
    assert grown.notes["grown, the rest"] == ["promote", "prelabel", "queue"]
    names = [row["name"] for row in grown.rows("frames/recordings.parquet", "recordings")]
    assert len(names) == 13
    assert "neu ü\n1.avi" in names


def test_a_damaged_file_ends_up_in_the_skipped_table(grown: Checkout) -> None:
    rows = {row["item"]: row["reason"] for row in grown.rows("frames/skipped.parquet", "skipped")}
    assert rows.keys() == {"cut.mp4", "zero.mp4", "the same again.mp4"}
    assert rows["zero.mp4"] == "the file is empty (0 bytes)"
    assert rows["the same again.mp4"] == "the same content as another recording"
    assert "left out    by extract: 'zero.mp4', the file is empty (0 bytes)" in grown.signloop("status")


def test_a_corrected_export_and_a_played_person_become_rounds(reviewed: Checkout) -> None:
    counts = {
        word: int(n) for n, word in re.findall(r"(\d+) (accepted|relabelled|moved|rejected|added|unsure)", reviewed.notes["published"])
    }
    assert counts["rejected"] > 0
    assert (counts["added"], counts["moved"] + counts["relabelled"] + counts["accepted"]) == (1, 3)
    assert "slips on signs" in reviewed.notes["simulated"]
    folders = sorted(path.name for path in (reviewed.data / "verified").glob("round_*"))
    assert folders == ["round_001-demo-seed", "round_002-Ann-Example", "round_003-simulated"]
    assert (reviewed.root / "data" / "verified.dvc").is_file()
    assert "verified" not in reviewed.run("dvc", "status", "data/verified.dvc")
    rows = read_rounds(reviewed.data / "verified").boxes.to_pylist()
    assert {row["annotator"] for row in rows} == {"demo", "Ann Example", "simulated"}
    assert Counter(row["verdict"] for row in rows if row["annotator"] == "simulated").keys() >= {"added", "rejected"}


def test_the_rounds_are_in_the_hands_of_dvc(reviewed: Checkout) -> None:
    before = reviewed.digest("verified")
    assert "data/verified.dvc" in reviewed.run("dvc", "stage", "list", "--all")  # else checkout and gc would delete them
    reviewed.run("dvc", "checkout")
    assert reviewed.digest("verified") == before
    shutil.rmtree(reviewed.data / "verified")
    said = reviewed.signloop("status")
    assert "verified    0 rounds" in said
    reviewed.run("dvc", "checkout")
    assert reviewed.digest("verified") == before


def test_a_round_trains_again(reviewed: Checkout) -> None:
    assert {"assemble", "promote", "queue"} <= set(reviewed.notes["reviewed"])
    assert "extract" not in reviewed.notes["reviewed"]


def test_two_at_once_and_an_orphan_are_told_clearly(killed: Checkout) -> None:
    assert killed.notes["killed"] >= 1
    assert re.search(r"is busy|being blocked|Unable to acquire lock|another DVC process", killed.notes["two at once"])
    assert re.search(r"stage train-detector is running already.*Wait for it", killed.notes["orphan"]) or re.search(
        r"is busy|being blocked|Unable to acquire lock", killed.notes["orphan"]
    )


def test_after_a_kill_the_next_run_is_right_and_keeps_what_was_finished(second: Checkout) -> None:
    assert second.notes["second"] == ["train-detector", "train-classifier", "bundle", "evaluate", "promote"]
    assert second.notes["second, the rest"] == ["promote", "prelabel", "queue"]
    assert not second.pids("train")


def test_the_second_cycle_goes_on_from_the_first_champion(second: Checkout) -> None:
    assert second.notes["goes on from"] == {"detector": second.notes["first candidate"], "classifier": second.notes["first candidate"]}


def test_the_second_cycle_trains_on_the_new_rounds(second: Checkout) -> None:
    rows = second.rows("truth/truth.parquet", "truth")
    assert len(rows) > second.notes["first truth"]
    assert {row["round"] for row in rows} == {1, 2, 3}
    names = {row["recording_id"]: row["name"] for row in second.rows("frames/recordings.parquet", "recordings")}
    ours = [row for row in rows if names[row["recording_id"]] == "demo-011.mp4"]
    assert Counter(row["class_id"] for row in ours if row["role"] == "positive") == {14: 2, 30: 2}
    rejected = {row["box_id"] for row in ours if row["role"] == "negative"}
    crops = {row["crop_id"]: row for row in second.rows("truth/crops.parquet", "crops")}
    assert rejected & crops.keys()
    assert all(crops[box_id]["class_id"] is None for box_id in rejected & crops.keys())
    splits: dict[str, set[str]] = {}
    for row in rows:
        splits.setdefault(row["recording_id"], set()).add(row["split"])
    assert all(len(found) == 1 for found in splits.values())
    candidate = read_json(second.data / "candidate" / "bundle.json")["model_id"]
    assert candidate != second.notes["first candidate"]
    link = store.client(second.uri)
    experiment = link.get_experiment_by_name("signloop")
    assert experiment is not None
    runs = link.search_runs([experiment.experiment_id], order_by=["attributes.start_time DESC"])
    newest = next(run for run in runs if run.info.run_name == "train classifier")
    truth = second.data / "truth"
    assert newest.data.tags["data_hash"] == sha256_json(
        [sha256_file(truth / file) for file in ("frames.parquet", "truth.parquet", "crops.parquet")]
    )
    found = versions.versions(second.uri)
    assert [entry.version for entry in found] == [2, 1]
    assert found[0].tags["model_id"] == candidate
    assert found[0].tags["classifier_run"] == newest.info.run_id
    assert second.notes["champions"] == [2]
    assert found[1].aliases == ("previous",)


def test_what_the_client_buys_is_exported(second: Checkout) -> None:
    second.signloop("export", "coco", "--labels", "final", "--out", "data/final")
    coco = read_json(second.data / "final" / "annotations.json")
    assert {a["origin"] for a in coco["annotations"]} == {"verified"}
    positives = [row for row in second.rows("truth/truth.parquet", "truth") if row["role"] != "negative"]
    assert len(coco["annotations"]) == len(positives)
    assert all((second.data / "final" / "images" / image["file_name"]).is_file() for image in coco["images"])


def test_a_person_who_moves_the_alias_is_obeyed(moved: Checkout) -> None:
    card = read_json(moved.data / "champion" / "champion.json")
    assert card == {"version": 1, "model_id": moved.notes["first candidate"]}
    assert "Version 1" in moved.notes["obeyed"]
    assert moved.notes["moved"] == ["promote"]
    (champion,) = (entry for entry in versions.versions(moved.uri) if "champion" in entry.aliases)
    assert champion.version == 1  # the older verdict of the gate does not overrule it
    assert set(read_signs(moved.data / "prelabels")["model_id"].to_pylist()) == {card["model_id"]}
    assert re.search(r"in 13 recordings, 12 of them labelled before, \d+ entries left out", moved.notes["obeyed"])
    names = {row["recording_id"]: row["name"] for row in moved.rows("frames/recordings.parquet", "recordings")}
    asked = {names[row["recording_id"]] for row in moved.rows("queue/queue.parquet", "queue")}
    assert asked <= {"neu ü\n1.avi"}  # nobody is asked again what a person has answered


@pytest.fixture(scope="module")
def experiments(moved: Checkout) -> Checkout:
    """All is committed, so that `dvc exp` can start from it."""
    moved.run("git", "add", "-A")
    moved.run("git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-q", "-m", "second")
    return moved


def choices(*more: str) -> list[str]:
    return [word for override in (*FAST, *more) for word in ("-S", override)]


@pytest.mark.slow
def test_a_queued_experiment_has_the_recordings_and_the_registry_of_the_checkout(experiments: Checkout) -> None:
    before = experiments.digest("prelabels"), len(versions.versions(experiments.uri))
    experiments.run("dvc", "exp", "run", "--queue", *choices("classifier.lr=0.004"))
    experiments.run("dvc", "exp", "run", "--run-all")
    assert (experiments.digest("prelabels"), len(versions.versions(experiments.uri))) == (before[0], before[1] + 1)
    assert versions.versions(experiments.uri)[0].aliases == ("challenger",)
    assert read_json(experiments.data / "champion" / "champion.json")["version"] == 1


@pytest.mark.slow
def test_an_experiment_makes_a_challenger_at_most(experiments: Checkout) -> None:
    before = len(versions.versions(experiments.uri))
    said = experiments.run("dvc", "exp", "run", *choices("detector.lr=2e-3"))
    assert "is stale" not in said
    found = versions.versions(experiments.uri)
    assert len(found) == before + 1
    assert found[0].aliases == ("challenger",)
    assert "champion" in found[-1].aliases
    assert read_json(experiments.data / "champion" / "champion.json")["version"] == 1


def modules(name: str) -> set[str]:
    """Return the files of this package that a module imports, also through others and within functions."""
    todo, found = [name], set[str]()
    while todo:
        place = Path("src", *todo.pop().split("."))
        for path in (place.with_suffix(".py"), place / "__init__.py"):
            if str(path) not in found and (ROOT / path).is_file():
                found.add(str(path))
                for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
                    if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("signloop"):
                        todo += [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
    return {path for path in found if not path.endswith("__init__.py")}


# Imports that do not count: `promote` runs always; `queue` reads the signs that `prelabel` wrote, and those are its dependency.
BESIDE = {"promote": ("src/signloop/",), "queue": ("src/signloop/prelabel/", "src/signloop/frames/")}


@pytest.mark.parametrize("stage", ALL)
def test_all_that_a_stage_imports_is_its_dependency_and_nothing_else(stage: str) -> None:
    declared = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"][stage]["deps"]
    ours = [dep for dep in declared if dep.startswith("src/")]
    needed = modules(f"signloop.stages.{stage.partition('-')[0]}")  # two stages train
    beside = BESIDE.get(stage, ())
    assert [path for path in sorted(needed) if not path.startswith(beside) and not _covered(path, ours)] == []
    assert [dep for dep in ours if not any(_covered(path, [dep]) for path in needed)] == []


def _covered(path: str, deps: list[str]) -> bool:
    return any(path == dep or path.startswith(f"{dep}/") for dep in deps)
