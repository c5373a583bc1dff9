"""A password fits only itself; its file is whole, its owner's alone from the first byte on, and a damaged one is told."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from signloop.core.errors import DataError
from signloop.review.password import LONGEST, SHORTEST, read_password, set_password

WORDS = "correct horse battery"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "review" / "password.json"


def modes(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[int]:
    """The modes that the files of a folder have whenever one of them is synced, renamed or given another mode."""
    found: list[int] = []

    def watched(act: Callable[..., Any]) -> Callable[..., Any]:
        def look(*args: Any, **kwargs: Any) -> Any:
            value = act(*args, **kwargs)
            found.extend(one.stat().st_mode & 0o777 for one in folder.iterdir())
            return value

        return look

    for name in ("fsync", "chmod", "rename", "replace"):
        monkeypatch.setattr(os, name, watched(getattr(os, name)))
    return found


def test_only_the_password_itself_fits(path: Path) -> None:
    set_password(path, WORDS)
    kept = read_password(path)
    assert kept.fits(WORDS)
    for wrong in ("", WORDS[:-1], WORDS + " ", WORDS.upper(), "\ud800" * 12):
        assert not kept.fits(wrong)
    assert WORDS not in path.read_text()


def test_a_letter_is_the_same_however_it_is_composed(path: Path) -> None:
    set_password(path, "gr\u00fcne Hecke")
    assert read_password(path).fits("gru\u0308ne Hecke")


def test_the_same_password_is_never_kept_the_same_way(path: Path) -> None:
    set_password(path, WORDS)
    first = json.loads(path.read_text())
    set_password(path, WORDS)
    second = json.loads(path.read_text())
    assert first["salt"] != second["salt"]
    assert first["scrypt"] != second["scrypt"]


def test_nobody_else_can_read_it_even_for_a_moment(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.parent.mkdir()
    before = os.umask(0)
    found = modes(monkeypatch, path.parent)
    try:
        set_password(path, WORDS)
        set_password(path, WORDS + "!")
    finally:
        os.umask(before)
    assert set(found) == {0o600}
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_open_file_is_replaced_by_a_closed_one(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("{}")
    path.chmod(0o644)
    set_password(path, WORDS)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_failed_write_leaves_the_old_password_and_nothing_else(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_password(path, WORDS)

    def full(_: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="full"):
        set_password(path, "another password")
    assert read_password(path).fits(WORDS)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(("length", "word"), [(0, "short"), (SHORTEST - 1, "short"), (LONGEST + 1, "long")])
def test_a_password_of_a_wrong_length_is_refused(path: Path, length: int, word: str) -> None:
    with pytest.raises(DataError, match=f"too {word}; expected {SHORTEST} to {LONGEST} characters; found {length}"):
        set_password(path, "x" * length)
    assert not path.exists()


def test_a_missing_file_is_named(path: Path) -> None:
    with pytest.raises(DataError, match=r"does not exist .*password\.json"):
        read_password(path)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"version": None},
        {"salt": "00"},
        {"salt": "zz" * 16},
        {"scrypt": "00" * 31},
        {"scrypt": 5},
        {"n": 2},
    ],
    ids=str,
)
def test_a_damaged_file_is_told_with_what_to_do(path: Path, change: dict[str, Any]) -> None:
    set_password(path, WORDS)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DataError, match=r"hash is damaged .*password\.json.*signloop review-password"):
        read_password(path)


@pytest.mark.parametrize("content", ["", "[]", "null", '"x"', '{"version": 1}'])
def test_what_is_no_password_file_is_told(path: Path, content: str) -> None:
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(DataError, match=r"damaged|no valid JSON"):
        read_password(path)
