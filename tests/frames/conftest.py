"""Films and pictures whose every frame carries its own number as a bar code, so that order and time can be proved."""

import struct
import zlib
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

Image = NDArray[np.uint8]
BITS = 10


def draw(number: int, width: int = 160, height: int = 120) -> Image:
    """Draw a picture: the number as ten bars in the upper half (white = 1), red at the lower left, blue at the lower right."""
    image = np.zeros((height, width, 3), np.uint8)
    for bit in range(BITS):
        image[: height // 2, bit * width // BITS : (bit + 1) * width // BITS] = 230 if number >> bit & 1 else 20
    image[height // 2 :, : width // 2] = (200, 30, 30)
    image[height // 2 :, width // 2 :] = (30, 30, 200)
    return image


def number_in(image: Image) -> int:
    """Read the number back, and check on the way that the picture is upright and its colours are in order."""
    height, width = image.shape[:2]
    left, right = image[height * 3 // 4, width // 4].astype(int), image[height * 3 // 4, width * 3 // 4].astype(int)
    assert left[0] > left[2] + 60
    assert right[2] > right[0] + 60
    middles = [int((bit + 0.5) * width / BITS) for bit in range(BITS)]
    bars = [image[height // 8 : height * 3 // 8, x - width // 50 : x + width // 50].mean() for x in middles]
    return sum(1 << bit for bit, value in enumerate(bars) if value > 128)


def write_film(path: Path, frames: int = 12, fps: float = 10, size: tuple[int, int] = (160, 120), first: int = 0) -> Path:
    """Write a film of constant rate with OpenCV: MJPG in .avi, MPEG-4 in all others."""
    code = cv2.VideoWriter.fourcc(*("MJPG" if path.suffix == ".avi" else "mp4v"))
    writer = cv2.VideoWriter(str(path), code, fps, size)
    assert writer.isOpened()
    for number in range(first, first + frames):
        writer.write(np.ascontiguousarray(draw(number, *size)[:, :, ::-1]))
    writer.release()
    return path


def write_timed_film(path: Path, times_ms: Sequence[int], rotation: int = 0) -> Path:
    """Write an MPEG-4 film whose frames have the given times; `rotation` (degrees counter-clockwise) turns it when shown."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=1000)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        if rotation:
            stream.set_display_rotation(rotation)
        for number, time_ms in enumerate(times_ms):
            upright = draw(number, 120, 160) if rotation % 180 else draw(number)
            picture = np.ascontiguousarray(np.rot90(upright, -rotation // 90))
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_images(folder: Path, names: Sequence[str], first: int = 0) -> Path:
    """Write a folder of pictures that carry first, first + 1, … in the order of the given names."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names, first):
        done, content = cv2.imencode(Path(name).suffix, np.ascontiguousarray(draw(number)[:, :, ::-1]))
        assert done
        (folder / name).write_bytes(content.tobytes())
    return folder


def huge_png(path: Path, width: int, height: int) -> Path:
    """A few bytes that claim to be a very large picture."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b""))
    return path


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """An empty folder of recordings."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    return folder
