"""The sheet of errors, on a recording whose signs are plain colours; what `signloop score` prints is tested with the command."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from signloop.core.errors import DataError
from signloop.core.files import write_json
from signloop.core.taxonomy import SignClass, Taxonomy
from signloop.frames.images import read_image
from signloop.measure.truth import parse_truth
from signloop.studies.score import SIDE_PX, draw_errors, require_class_ids

KNOWN = Taxonomy(name="t", object_name="sign", classes=(SignClass(id=4, name="red", group="a"), SignClass(id=9, name="blue", group="a")))
PLACES = {"red": (20, 20), "blue": (120, 20), "green": (220, 120)}
COLOURS = {"red": (255, 0, 0), "blue": (0, 0, 255), "green": (0, 255, 0)}  # RGB


@pytest.mark.parametrize("content", [[], {"categories": [{"id": 4, "name": "red"}, {"id": 77, "name": "moon"}]}])
def test_a_truth_may_have_no_categories_or_further_ones(tmp_path: Path, content: object) -> None:
    write_json(tmp_path / "truth.json", content)
    require_class_ids(tmp_path / "truth.json", KNOWN)


def test_a_truth_that_numbers_classes_otherwise_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "truth.json", {"categories": [{"id": 4, "name": "red"}, {"id": 1, "name": "blue"}]})
    with pytest.raises(DataError, match=r"not numbered like the classes.*expected \{'blue': 9\}; found \{'blue': 1\}"):
        require_class_ids(tmp_path / "truth.json", KNOWN)


def box(name: str) -> list[float]:
    x, y = PLACES[name]
    return [x, y, x + 30, y + 30]


def test_each_error_is_cut_from_its_frame(tmp_path: Path) -> None:
    """The red sign is missed, the blue one called red, and a green patch taken for a sign; the frames are one recording's, as pictures."""
    (tmp_path / "a").mkdir()
    image = np.full((200, 300, 3), 128, np.uint8)
    for name, (x, y) in PLACES.items():
        image[y : y + 30, x : x + 30] = COLOURS[name]
    for index in range(2):
        cv2.imwrite(str(tmp_path / "a" / f"{index}.png"), image[:, :, ::-1])
    truth = parse_truth(
        {
            "videos": [{"id": 0, "file_name": "a", "fps": 10}],
            "images": [{"id": i, "video_id": 0, "frame_index": i} for i in range(2)],
            "annotations": [
                {"id": 1 + 2 * i + k, "image_id": i, "track_id": k, "category_id": (4, 9)[k], "bbox": [*PLACES[name], 30, 30]}
                for i in range(2)
                for k, name in enumerate(("red", "blue"))
            ],
        }
    )
    signs = [
        {"video": "a", "class_id": 4, "confidence": 0.9, "boxes": [[0, *box("blue")], [1, *box("blue")]]},
        {"video": "a", "class_id": None, "confidence": 0.9, "boxes": [[1, *box("green")]]},
    ]
    draw_errors(tmp_path, truth, {"fps": 10, "frames": [], "signs": signs}, KNOWN, tmp_path / "errors.png")
    sheet = read_image(tmp_path / "errors.png")
    middles = [sheet[SIDE_PX // 2, k * SIDE_PX + SIDE_PX // 2].tolist() for k in range(4)]
    assert middles == [list(COLOURS["red"]), list(COLOURS["blue"]), list(COLOURS["green"]), [255, 255, 255]]

    (tmp_path / "a" / "1.png").unlink()
    with pytest.raises(DataError, match=r"frames that the recordings do not have .*\('a', 1\)"):
        draw_errors(tmp_path, truth, {"fps": 10, "frames": [], "signs": signs}, KNOWN, tmp_path / "short.png")
    cv2.imwrite(str(tmp_path / "a" / "1.png"), image[:, :, ::-1])
    draw_errors(tmp_path, truth, {"fps": 10, "frames": [], "signs": []}, KNOWN, tmp_path / "missed.png")
    assert (read_image(tmp_path / "missed.png")[SIDE_PX // 2, SIDE_PX // 2 :: SIDE_PX] != 255).any(axis=1).sum() == 2
