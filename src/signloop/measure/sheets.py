"""Small pictures with captions enter, one contact sheet (PNG) leaves."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from signloop.core.files import write_bytes

CAPTION_PX = 16


def contact_sheet(images: Sequence[NDArray[np.uint8]], captions: Sequence[str], path: Path, columns: int = 8, side_px: int = 96) -> Path:
    """Lay pictures out in rows, each with a line of text below.

    Args:
        images: uint8 (H, W, 3) RGB, resized to a square; none gives one empty row.
        captions: one each; letters that the font lacks show as "?".
        path: of the PNG.
        columns: pictures a row.
        side_px: of each picture.
    """
    rows = max(1, -(-len(images) // columns))
    sheet = np.full((rows * (side_px + CAPTION_PX), columns * side_px, 3), 255, np.uint8)
    for number, (image, caption) in enumerate(zip(images, captions, strict=True)):
        top, left = number // columns * (side_px + CAPTION_PX), number % columns * side_px
        sheet[top : top + side_px, left : left + side_px] = cv2.resize(image, (side_px, side_px), interpolation=cv2.INTER_AREA)
        text = caption.encode("ascii", "replace").decode()
        cv2.putText(sheet, text, (left + 1, top + side_px + 12), cv2.FONT_HERSHEY_SIMPLEX, 0.33, (0, 0, 0), 1, cv2.LINE_AA)
    write_bytes(path, cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))[1].tobytes())
    return path
