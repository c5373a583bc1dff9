from pathlib import Path

import cv2
import numpy as np
import pytest

from signloop.measure.sheets import CAPTION_PX, contact_sheet


def test_pictures_stand_in_rows_in_their_own_colours(tmp_path: Path) -> None:
    red, blue = np.zeros((10, 20, 3), np.uint8), np.zeros((30, 30, 3), np.uint8)
    red[:], blue[:] = (255, 0, 0), (0, 0, 255)
    path = contact_sheet([red, blue, red], ["a", "b", "größer"], tmp_path / "sheet.png", columns=2, side_px=40)
    sheet = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    assert sheet.shape == (2 * (40 + CAPTION_PX), 80, 3)
    assert sheet[20, 20].tolist() == [255, 0, 0]
    assert sheet[20, 60].tolist() == [0, 0, 255]
    assert sheet[40 + CAPTION_PX + 20, 20].tolist() == [255, 0, 0]
    assert (sheet[40 + CAPTION_PX :, 40:] == 255).all()  # no fourth picture
    assert (sheet[41:55, :40] < 128).any()  # the caption


def test_nothing_gives_an_empty_row(tmp_path: Path) -> None:
    sheet = cv2.imread(str(contact_sheet([], [], tmp_path / "sheet.png")))
    assert (np.asarray(sheet) == 255).all()


def test_every_picture_needs_a_caption(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="shorter"):
        contact_sheet([np.zeros((4, 4, 3), np.uint8)], [], tmp_path / "sheet.png")
