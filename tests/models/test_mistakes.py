from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from signloop.core import tables
from signloop.core.boxes import Boxes
from signloop.core.params import Params
from signloop.core.taxonomy import Taxonomy
from signloop.models.datasets import crop_truths
from signloop.models.mistakes import FRAMES, save_mistakes, wrong

CORNERS = ("x1", "y1", "x2", "y2")


def _row(role: str, *corners: float) -> dict[str, object]:
    return {"role": role, **dict(zip(CORNERS, corners, strict=True))}


def _boxes(*rows: tuple[float, ...]) -> Boxes:
    values = np.array(rows, np.float32)
    return Boxes(values[:, :4], values[:, 4])


def _never(image: NDArray[np.uint8]) -> Boxes:
    raise AssertionError("nothing needs to be found")


def test_only_boxes_on_nothing_labelled_are_mistakes_the_surest_first(fast: Params) -> None:
    known = [_row("positive", 10, 10, 30, 30), _row("ignore", 100, 0, 160, 60)]
    found = _boxes(
        (50, 50, 70, 70, 0.3),
        (12, 12, 32, 32, 0.9),  # on an object
        (28, 28, 60, 60, 0.5),  # beside it, with a corner in common
        (110, 10, 120, 20, 0.8),  # in a region that nobody judged
        (0, 90, 3, 93, 0.7),  # too small for a crop
        (80, 80, 100, 100, 0.6),
        (0, 60, 20, 80, 0.2),
    )
    data = fast.data.model_copy(update={"mistakes_per_frame": 3, "min_side_px": 8.0})
    assert wrong(found, known, data) == [[80, 80, 100, 100], [28, 28, 60, 60], [50, 50, 70, 70]]
    assert wrong(found, [], data)[0] == [12, 12, 32, 32]
    assert wrong(Boxes.empty(), known, data) == []


def test_the_crops_show_the_mistakes_of_searched_frames_outside_of_the_test_split(
    truth_folder: Path, fast: Params, taxonomy: Taxonomy, tmp_path: Path
) -> None:
    shown: list[NDArray[np.uint8]] = []

    def find(image: NDArray[np.uint8]) -> Boxes:
        shown.append(image)
        return _boxes((140, 100, 160, 120, 0.4))

    saved = save_mistakes(find, truth_folder, tmp_path, fast.data.model_copy(update={"crop_margin": 0.0}), taxonomy, silent)
    rows = tables.read(tmp_path / "crops.parquet", "crops").to_pylist()
    assert Counter(row["split"] for row in rows) == {"train": 6, "val": 3}
    assert saved == len(rows) == len(shown)
    assert {(row["class_id"], row["origin"]) for row in rows} == {(None, "mistake")}
    crops = crop_truths([tmp_path], taxonomy, "train")
    assert set(crops.labels.tolist()) == {len(taxonomy)}
    np.testing.assert_array_equal(crops.images[0], shown[0][100:120, 140:160])


def test_of_a_recording_few_frames_are_searched_and_only_complete_ones(truth_folder: Path, fast: Params, tmp_path: Path) -> None:
    frames = tables.read(truth_folder / "frames.parquet", "truth_frames").to_pylist()
    one = [{**frames[0], "frame_id": f"{frames[0]['recording_id']}/{n:06d}", "complete": n != 0} for n in range(40)]
    for kind, expected in (("video", FRAMES), ("stills", 39)):
        folder = tmp_path / kind
        (folder / "frames").mkdir(parents=True)
        (folder / "frames" / "picture.png").write_bytes((truth_folder / frames[0]["path"]).read_bytes())
        rows = [{**row, "kind": kind, "path": "frames/picture.png"} for row in one]
        tables.write(folder / "frames.parquet", "truth_frames", tables.from_rows("truth_frames", rows))
        tables.write(folder / "truth.parquet", "truth", tables.from_rows("truth", []))
        box = _boxes((100, 90, 120, 110, 0.4))
        assert save_mistakes(lambda _, box=box: box, folder, folder / "out", fast.data, fast.taxonomy, silent) == expected  # type: ignore[misc]


def test_none_wanted_gives_an_empty_table(truth_folder: Path, fast: Params, tmp_path: Path) -> None:
    data = fast.data.model_copy(update={"mistakes_per_frame": 0})
    assert save_mistakes(_never, truth_folder, tmp_path, data, fast.taxonomy, silent) == 0
    assert not len(crop_truths([tmp_path], fast.taxonomy, "train"))


def silent(what: str, done: int, total: int) -> None:
    """No progress bar."""
