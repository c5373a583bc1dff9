"""The notebook on a tiny finished cycle: every cell runs, and the file in git holds no output."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from numpy.typing import ArrayLike, NDArray

from signloop.core import tables
from signloop.core.boxes import Boxes
from signloop.core.files import write_json
from signloop.core.params import Params, load
from signloop.core.rounds import read_rounds
from signloop.core.taxonomy import Taxonomy
from signloop.demo.write import draw
from signloop.frames.extract import extract
from signloop.frames.truth import assemble, save_crop
from signloop.frames.video import find_recordings
from signloop.prelabel.crew import Alone, prelabel_all
from signloop.prelabel.evaluate import evaluate
from signloop.prelabel.proposal import Opinions
from signloop.prelabel.write import Job, read_boxes, read_signs
from signloop.review.queue import build

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "notebooks" / "look_at_a_cycle.ipynb"
STOP = 14


class OneBox:
    """Stands in for a model: it sees one box in every frame and is fairly sure that it is a stop sign."""

    model_id = "m0123456789ab"
    streams = 1

    def __init__(self, taxonomy: Taxonomy) -> None:
        self.taxonomy = taxonomy

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[Boxes]:
        return [Boxes(np.array([[100, 80, 140, 120]], np.float32), np.array([0.9], np.float32)) for _ in images]

    def cut(self, image: NDArray[np.uint8], xyxy: ArrayLike) -> NDArray[np.uint8]:
        x1, y1, x2, y2 = np.asarray(xyxy, int)
        return np.resize(image[y1:y2, x1:x2], (32, 32, 3))

    def classify(self, crops: Sequence[NDArray[np.uint8]]) -> Opinions:
        probs = np.full((len(crops), len(self.taxonomy) + 1), 0.3 / len(self.taxonomy), np.float32)
        probs[:, self.taxonomy.index_of[STOP]] = 0.7
        return probs, np.full((len(crops), len(self.taxonomy)), -50, np.float32)


def silent(what: str, done: int, total: int) -> None:
    """No progress bar."""


def finish_a_cycle(root: Path, params: Params) -> None:
    """Leave what each stage leaves; only the training's history is written by hand, and a stand-in plays the models."""
    data, runtime = root / "data", OneBox(params.taxonomy)
    draw(root, params.taxonomy, params.data, seeded=3, unlabelled=1)
    extract(data / "recordings", data / "frames", params.extract, params.data.max_skipped)
    assemble(data / "frames", data / "verified", data / "truth", params.data, params.taxonomy, silent)
    for network in ("detector", "classifier"):
        rows = [{"step": step, "top1": step / 10, "score": step / 10} for step in (2, 4)]
        write_json(data / "models" / network / "history.json", {"metrics": {}, "rows": rows, "best_step": 4, "best_score": 0.4})
    mistakes = data / "models" / "detector" / "mistakes"
    box = {
        "x1": 5.0,
        "y1": 5.0,
        "x2": 25.0,
        "y2": 25.0,
        "box_id": "a/0/mistake/0",
        "sign_id": None,
        "role": "negative",
        "origin": "mistake",
    }
    row = save_crop(np.full((40, 40, 3), 90, np.uint8), box, "train", mistakes, params.data, params.taxonomy)
    tables.write(mistakes / "crops.parquet", "crops", tables.from_rows("crops", [row]))
    evaluate(runtime, data / "truth", params.prelabel, data / "scores", silent)
    write_json(data / "champion" / "champion.json", {"version": 1, "model_id": runtime.model_id})
    found, skipped = find_recordings(data / "recordings", params.extract.sequence_fps)
    prelabel_all(found, skipped, Alone(runtime), Job(params.prelabel, data / "prelabels", "0" * 64), params.data.max_skipped, silent)
    queue = build(
        read_signs(data / "prelabels"),
        read_boxes(data / "prelabels"),
        read_rounds(data / "verified"),
        params.queue,
        tables.read(data / "frames" / "frames.parquet", "frames"),
    )
    tables.write(data / "queue" / "queue.parquet", "queue", queue)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small checkout with the notebook and a finished cycle, all of whose labelled recordings are test recordings."""
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("conf", "notebooks"):
        shutil.copytree(ROOT / name, tmp_path / name)
    params = load(tmp_path / "params.yaml")
    data = params.data.model_copy(update={"val_share": 0.0, "test_share": 1.0})
    few = params.extract.model_copy(update={"fps": 1.0})
    look = params.prelabel.model_copy(update={"fps": 2.0})
    finish_a_cycle(tmp_path, params.model_copy(update={"data": data, "extract": few, "prelabel": look}))
    return tmp_path


def read(path: Path) -> Any:
    """Read a notebook."""
    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]


def words(cell: Any) -> str:
    """Join what a cell printed or returned as text."""
    texts = [output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in cell.get("outputs", [])]
    return "\n".join(texts)


def test_every_cell_runs_and_shows_the_cycle(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = read(project / "notebooks" / NOTEBOOK.name)
    # The cells run in the notebook's own folder, as they do for a person; an error in one raises here.
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(project / "notebooks")}}).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    shown = "\n".join(words(cell) for cell in cells)
    assert "demo-000.mp4" in shown
    assert "m0123456789ab" in shown
    assert "sign_recall" in shown
    assert "stop" in shown
    assert "the models are 70% sure of the class" in shown
    pictures = sum("image/png" in output.get("data", {}) for cell in cells for output in cell.outputs)
    assert pictures == 7  # crops, mistakes, a frame, two curves in one, worst boxes, confusion, precision-recall


def test_the_file_holds_no_output() -> None:
    notebook = read(NOTEBOOK)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
