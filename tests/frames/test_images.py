import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.frames.conftest import draw, huge_png, number_in, write_images

from signloop.core.errors import DataError
from signloop.frames.images import folder_id, list_images, printable, read_header, read_image


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".ppm", ".webp", ".tif"])
def test_every_format_is_read_upright_and_in_order_of_colours(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    Image.fromarray(draw(677)).save(path)
    assert number_in(read_image(path)) == 677
    header = read_header(path)
    assert (header.width, header.height) == (160, 120)
    assert header.copy_suffix == {".jpg": ".jpg", ".png": ".png"}.get(suffix)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
@pytest.mark.parametrize(("orientation", "stored"), [(3, 2), (6, 1), (8, 3)])
def test_exif_orientation_is_applied_and_such_a_file_is_not_copied(tmp_path: Path, suffix: str, orientation: int, stored: int) -> None:
    path = tmp_path / f"turned{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(np.rot90(draw(21), stored))).save(path, exif=exif)
    header = read_header(path)
    assert (header.width, header.height, header.copy_suffix) == (160, 120, None)
    assert number_in(read_image(path)) == 21


def test_grey_transparent_and_sixteen_bit_images_become_rgb(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 6), 7, np.uint8)).save(tmp_path / "grey.png")
    Image.fromarray(np.full((4, 6), 7 * 256 + 9, np.uint16)).save(tmp_path / "deep.png")
    Image.fromarray(np.full((4, 6, 4), 7, np.uint8)).save(tmp_path / "clear.png")
    for name, copied in (("grey.png", ".png"), ("deep.png", None), ("clear.png", None)):
        assert read_image(tmp_path / name).shape == (4, 6, 3)
        assert np.unique(read_image(tmp_path / name)).tolist() == [7]
        assert read_header(tmp_path / name).copy_suffix == copied


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    write_images(tmp_path, ["cut.jpg", "cut.png", "flipped.png"])
    for name in ("cut.jpg", "cut.png"):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) * 2 // 3])
    flipped = bytearray((tmp_path / "flipped.png").read_bytes())
    flipped[len(flipped) // 2] ^= 255
    (tmp_path / "flipped.png").write_bytes(flipped)
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "empty.png").touch()
    for name in ("cut.jpg", "cut.png", "flipped.png", "text.jpg", "empty.png"):
        with pytest.raises(DataError, match=rf"the image cannot be read \({name}\)"):
            read_image(tmp_path / name)
    with pytest.raises(DataError, match="cannot be opened"):
        read_image(tmp_path / "missing.png")


@pytest.mark.parametrize(("width", "height"), [(30_000, 30_000), (9_000, 9_000), (66_000, 10), (10_000, 7_000)])
def test_an_image_bomb_is_refused_by_its_header(tmp_path: Path, width: int, height: int, monkeypatch: pytest.MonkeyPatch) -> None:
    path = huge_png(tmp_path / "bomb.png", width, height)
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("it was decoded"))
    for read in (read_header, read_image):
        with pytest.raises(DataError, match=r"bomb\.png.*(megapixels|Bomb)"):
            read(path)


def test_links_out_of_the_folder_pipes_and_broken_links_are_refused(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "folder", ["real.png"])
    outside = write_images(tmp_path, ["outside.png"]) / "outside.png"
    (folder / "out.png").symlink_to(outside)
    (folder / "in.png").symlink_to(folder / "real.png")
    (folder / "lost.png").symlink_to(folder / "nothing.png")
    os.mkfifo(folder / "pipe.png")
    assert number_in(read_image(folder / "in.png")) == 0
    for name, reason in (("out", "leads out of the folder"), ("lost", "cannot be opened"), ("pipe", "neither a file nor a folder")):
        with pytest.raises(DataError, match=reason):
            read_image(folder / f"{name}.png")
    assert len(folder_id(list_images(folder, ordered=False))) == 16  # and does not wait for the pipe


def test_order_and_identity_of_a_folder(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "a", ["f1.png", "f2.png", "f10.png"])
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "labels.json").write_text("{}")
    (folder / "deeper.png").mkdir()
    assert [p.name for p in list_images(folder, ordered=True)] == ["f1.png", "f2.png", "f10.png"]
    assert [p.name for p in list_images(folder, ordered=False)] == ["f1.png", "f10.png", "f2.png"]
    files = list_images(folder, ordered=True)
    again = write_images(tmp_path / "b", ["f1.png", "f2.png", "f10.png"])
    assert folder_id(files) == folder_id(files[::-1]) == folder_id(list_images(again, ordered=False))
    (again / "f2.png").rename(again / "f3.png")
    assert folder_id(list_images(again, ordered=False)) != folder_id(files)


def test_a_name_that_is_no_text_can_be_stored() -> None:
    assert printable("ü \n.png") == "ü \n.png"
    assert printable(os.fsdecode(b"a\xff.mp4")).encode("utf-8") == b"a\\xff.mp4"
