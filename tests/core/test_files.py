"""Writes are whole or absent; hashes depend on content only."""

import csv
import errno
import hashlib
import os
from pathlib import Path

import pytest

from signloop.core import files
from signloop.core.errors import DataError


def test_hash_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    assert files.sha256_file(tmp_path / "a") == hashlib.sha256(b"content").hexdigest()


def test_hash_of_json_ignores_the_order_of_keys_only() -> None:
    assert files.sha256_json({"a": 1, "b": [1, 2]}) == files.sha256_json({"b": [1, 2], "a": 1})
    assert files.sha256_json([1, 2]) != files.sha256_json([2, 1])
    with pytest.raises(ValueError, match="JSON"):
        files.sha256_json(float("nan"))


def test_json_comes_back_as_it_went(tmp_path: Path) -> None:
    value = {"b": [1, 2.5, None, True], "a": "Straße\n"}
    files.write_json(tmp_path / "new" / "x.json", value)
    assert files.read_json(tmp_path / "new" / "x.json") == value
    assert list(files.read_json(tmp_path / "new" / "x.json")) == ["b", "a"]


@pytest.mark.parametrize("content", [b"", b"{", b'{"a": NaN}', b"[Infinity]", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_json_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(DataError, match="no valid JSON"):
        files.read_json(tmp_path / "x.json")


def test_missing_json_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"does not exist .*absent\.json"):
        files.read_json(tmp_path / "absent.json")


def test_a_table_for_a_reader_has_short_numbers_and_no_other_columns(tmp_path: Path) -> None:
    files.write_csv(tmp_path / "table.csv", ("name", "gain", "low"), [{"name": "x, y", "gain": 0.123456, "low": None, "more": 1}])
    with (tmp_path / "table.csv").open() as file:
        assert list(csv.DictReader(file)) == [{"name": "x, y", "gain": "0.1235", "low": ""}]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    files.write_bytes(path, b"old")

    def fill_the_disk() -> None:
        with files.atomic_path(path) as temporary:
            temporary.write_bytes(b"half of the n")
            raise OSError(errno.ENOSPC, "disk full")

    with pytest.raises(OSError, match="full"):
        fill_the_disk()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_temporary_keeps_the_suffix_and_the_result_is_readable_for_all(tmp_path: Path) -> None:
    with files.atomic_path(tmp_path / "film.mp4") as temporary:
        assert temporary.suffix == ".mp4"
        temporary.write_bytes(b"x")
    assert (tmp_path / "film.mp4").stat().st_mode & 0o777 == 0o644


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def stop_half_way() -> None:
        with files.atomic_folder(tmp_path / "out") as temporary:
            (temporary / "a").write_text("1")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        stop_half_way()
    assert not list(tmp_path.iterdir())
    with files.atomic_folder(tmp_path / "out") as temporary:
        (temporary / "a").write_text("1")
        assert not (tmp_path / "out").exists()
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "a"]
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o755
    with pytest.raises(DataError, match="never overwritten"), files.atomic_folder(tmp_path / "out"):
        pass


def test_what_lies_in_a_folder_is_on_the_disk_before_the_folder_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []

    def fsync(handle: int) -> None:
        synced.append(os.path.relpath(Path(f"/proc/self/fd/{handle}").readlink(), tmp_path))

    monkeypatch.setattr(os, "fsync", fsync)
    with files.atomic_folder(tmp_path / "new") as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "image.png").write_bytes(b"pixels")
        (folder / "link").symlink_to("deep/image.png")
    name = synced[-2]
    assert set(synced) == {name, f"{name}/deep", f"{name}/deep/image.png", "."}
    assert synced[-1] == "."  # the rename itself


def test_too_little_space_is_told_before_the_work(tmp_path: Path) -> None:
    files.require_free_space(tmp_path / "not" / "yet", 1)
    with pytest.raises(DataError, match="not enough disk space"):
        files.require_free_space(tmp_path / "not" / "yet", 10**18)
