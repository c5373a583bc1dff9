"""Image files in, their order, sizes and upright RGB arrays out; a size is known and checked before anything is decoded."""

import re
import stat
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from signloop.core.errors import DataError
from signloop.core.files import sha256_file, sha256_json

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".webp", ".tif", ".tiff"})
MAX_PIXELS = 64_000_000  # 192 MB as RGB; more is a mistake or an attack
MAX_SIDE = 65_000  # what a JPEG can store, rounded down
_FORMATS = ("JPEG", "PNG", "BMP", "PPM", "WEBP", "TIFF")  # a closed list: Pillow would start programs for some others
_ORIENTATION = 0x0112  # the EXIF tag; 1 is upright, 5 to 8 swap width and height
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257
_AS_IT_IS = {"JPEG": ".jpg", "PNG": ".png"}
# What Pillow raises on damaged files; it has no error of its own.
_UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    EOFError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


@dataclass(frozen=True)
class Header:
    """What an image file says of itself.

    Attributes:
        width: px, upright.
        height: px, upright.
        copy_suffix: suffix under which the bytes can be stored as they are (upright 8-bit JPEG or PNG); None: encode anew.
    """

    width: int
    height: int
    copy_suffix: str | None


def printable(name: str) -> str:
    """Return a file name as text that can be stored: bytes that are no UTF-8 become escapes."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def check_size(width: int, height: int, where: str) -> None:
    """Refuse a picture that is too large to decode safely.

    Raises:
        DataError: more than `MAX_PIXELS` or a side over `MAX_SIDE`, or no pixel at all.
    """
    if width < 1 or height < 1 or width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise DataError(
            "the picture has no size that can be decoded",
            where=where,
            expected=f"1 to {MAX_PIXELS / 1e6:.0f} megapixels",
            found=f"{width}x{height}",
        )


def refuse_strange_file(path: Path) -> None:
    """Refuse what must not be opened: links that lead out of the file's folder, broken links, pipes, devices.

    Raises:
        DataError: says which.
    """
    name = printable(path.name)
    try:
        target = path.resolve(strict=True)
        mode = target.stat().st_mode
    except (OSError, RuntimeError) as error:
        raise DataError("the file cannot be opened", where=name, found=type(error).__name__) from error
    if not target.is_relative_to(path.parent.resolve()):
        raise DataError("a link that leads out of the folder is not followed", where=name, todo="Put the file itself there.")
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise DataError("neither a file nor a folder", where=name)


def list_images(folder: Path, *, ordered: bool) -> list[Path]:
    """Return the image files of a folder (not of its subfolders) in the order that gives frames their index.

    Args:
        folder: what else lies in it (recording.json, labels, dot files) is left alone.
        ordered: the images follow one another in time: numbers in names count as numbers, so that 10 follows 9; otherwise the
            names are sorted as text.
    """
    files = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and not path.is_dir()]
    return sorted(files, key=_by_numbers if ordered else _by_name)


def _by_name(path: Path) -> tuple[list[tuple[str, int]], str]:
    return [], path.name


def _by_numbers(path: Path) -> tuple[list[tuple[str, int]], str]:
    parts = re.findall(r"([^0-9]*)([0-9]*)", path.name)
    return [(text, int(number[:18] or -1)) for text, number in parts], path.name


def folder_id(files: Sequence[Path]) -> str:
    """Return the recording id of a folder: 16 hex digits of its images' names and contents, in whatever order they are given."""
    return sha256_json([[printable(path.name), _content(path)] for path in sorted(files, key=_by_name)])[:16]


def _content(path: Path) -> str:
    try:
        refuse_strange_file(path)
        return sha256_file(path)
    except (DataError, OSError):
        return "unreadable"


def read_header(path: Path) -> Header:
    """Read the size of an image without decoding it.

    Raises:
        DataError: no image, too large, or a file that must not be opened.
    """
    with _opened(path) as image:
        turned = image.getexif().get(_ORIENTATION, 1)
        plain = turned in (0, 1) and image.mode in ("RGB", "L")
        tags = getattr(image, "tag_v2", None)  # Pillow swaps the sides of a turned TIFF, and of no other format, by itself
        width, height = (tags[_TIFF_WIDTH], tags[_TIFF_HEIGHT]) if tags else image.size
        width, height = (height, width) if turned >= 5 else (width, height)
        return Header(width, height, _AS_IT_IS.get(str(image.format)) if plain else None)


def read_image(path: Path) -> NDArray[np.uint8]:
    """Decode an image whole.

    Returns:
        RGB, (H, W, 3), upright; 16-bit grey is scaled to 8 bit, transparency is dropped.

    Raises:
        DataError: no image, too large, truncated, damaged, or a file that must not be opened.
    """
    with _opened(path) as image:
        image.load()
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I"):
            grey = np.clip(np.asarray(upright, dtype=np.int64) >> 8, 0, 255).astype(np.uint8)
            return np.ascontiguousarray(np.repeat(grey[:, :, None], 3, axis=2))
        return np.array(upright.convert("RGB"), dtype=np.uint8)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    refuse_strange_file(path)
    name = printable(path.name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with path.open("rb") as file, Image.open(file, formats=_FORMATS) as image:
                check_size(*image.size, name)
                yield image
    except _UNREADABLE as error:
        unknown = isinstance(error, UnidentifiedImageError)  # its text names a Python object
        found = "no image of a known format" if unknown else f"{type(error).__name__}: {error}".splitlines()[0][:200]
        raise DataError("the image cannot be read", where=name, found=found) from error
