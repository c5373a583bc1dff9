"""A good index is read whole; every wrong line of another is listed."""

from pathlib import Path

import pytest

from signloop.core.errors import DataError
from signloop.core.taxonomy import Taxonomy
from signloop.formats.crops import CropRow, read_crops

TAXONOMY = Taxonomy.model_validate(
    {
        "name": "shapes",
        "object_name": "shape",
        "classes": ({"id": 3, "name": "circle", "group": "round"}, {"id": 8, "name": "square", "group": "straight"}),
    }
)
HEADER = "path,class_id,class_name,track_id,frame_no,width,height"
GOOD = "a/1.jpg,3,circle,t1,0,20,30"


def save(folder: Path, *lines: str) -> Path:
    (folder / "index.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "index.csv"


def test_rows_come_in_order(tmp_path: Path) -> None:
    rows = read_crops(save(tmp_path, HEADER, GOOD, "2.png,8,,t2,,,"), TAXONOMY)
    assert rows == [CropRow(2, "a/1.jpg", 3, "t1", 0, 20, 30), CropRow(3, "2.png", 8, "t2", None, None, None)]


def test_only_three_columns_are_needed_and_others_do_not_disturb(tmp_path: Path) -> None:
    path = save(tmp_path, "camera,track_id,class_id,path", "front,t1,3,1.jpg")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())  # as spreadsheets save it
    assert read_crops(path, TAXONOMY) == [CropRow(2, "1.jpg", 3, "t1", None, None, None)]


def test_a_header_alone_has_no_rows(tmp_path: Path) -> None:
    assert read_crops(save(tmp_path, HEADER), TAXONOMY) == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1.jpg,5,,t,0,1,1", "line 3: class_id '5' is not in the taxonomy"),
        ("1.jpg,,,t,0,1,1", "class_id '' is not"),
        ("1.jpg,three,,t,0,1,1", "class_id: expected a whole number"),
        ("1.jpg,-3,,t,0,1,1", "class_id: expected a whole number"),
        ("1.jpg,3,square,t,0,1,1", "class 3 is 'circle', but class_name says 'square'"),
        ("1.jpg,3,,,0,1,1", "track_id is empty"),
        ("1.jpg,3,,t,0.5,1,1", "frame_no: expected a whole number"),
        ("1.jpg,3,,t,0,0,1", "width: expected a whole number from 1"),
        (",3,,t,0,1,1", "no plain path"),
        ("../1.jpg,3,,t,0,1,1", "no plain path"),
        ("/etc/1.jpg,3,,t,0,1,1", "no plain path"),
        ("a\\..\\1.jpg,3,,t,0,1,1", "no plain path"),
        ("a//1.jpg,3,,t,0,1,1", "no plain path"),
        ("a/1.jpg,3,,t2,0,1,1", "the file of line 2 again"),
        ("b.jpg,3,,t1,0,1,1", "frame 0 of track t1 was in line 2 already"),
        ("b.jpg,8,,t1,1,1,1", "track t1 has class 8, but 3 in line 2"),
        ("b.jpg", "class_id '' is not"),
        ("b.jpg,3,,cam1,7,1,1,9", r"line 3: has more cells than the header: ['9']"),
    ],
)
def test_wrong_lines_are_named(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read_crops(save(tmp_path, HEADER, GOOD, line), TAXONOMY)
    assert message in str(caught.value)


def test_all_lines_come_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="3 problems"):
        read_crops(save(tmp_path, HEADER, *["x.jpg,4,,t,0,1,1"] * 3), TAXONOMY)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "columns are missing"),
        (b"path,class_id\n", "columns are missing"),
        (b"path,class_id,track_id\n\xff\xfe,1,2\n", "cannot be read as CSV"),
        (b'path,class_id,track_id\n"a"b,1,2\n', "cannot be read as CSV"),
    ],
)
def test_what_is_no_index_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "i.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_crops(tmp_path / "i.csv", TAXONOMY)


def test_a_missing_index_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_crops(tmp_path / "i.csv", TAXONOMY)
