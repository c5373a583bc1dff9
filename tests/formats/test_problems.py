"""Problems are listed by row, at most twenty, with their number; names from outside are plain or refused."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signloop.core.errors import DataError
from signloop.formats.problems import Problems, is_plain


def test_no_problem_raises_nothing() -> None:
    Problems(Path("labels.json")).raise_if_any("Correct it.")


def test_twenty_are_shown_and_all_are_counted() -> None:
    problems = Problems(Path("labels.json"))
    for i in range(25):
        problems.add(f"line {i}", "is wrong")
    with pytest.raises(DataError, match=r"labels\.json") as caught:
        problems.raise_if_any("Correct it.")
    text = str(caught.value)
    assert len(problems) == 25
    assert "25 problems" in text
    assert "line 19: is wrong" in text
    assert "line 20" not in text
    assert "... and 5 more" in text


@pytest.mark.parametrize("name", ["a.jpg", "Foto 1 (neu).JPG", "straße.png", "0"])
def test_plain_names(name: str) -> None:
    assert is_plain(name)


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "a\\b", "C:x", "a\nb", "a\x00", " a", "a ", "x" * 201, "\ud800"])
def test_names_that_are_not(name: str) -> None:
    assert not is_plain(name)


@given(st.text(max_size=30))
def test_a_plain_name_stays_in_its_folder(name: str) -> None:
    if is_plain(name):
        assert (Path("/folder") / name).parent == Path("/folder")
        assert Path(name).name == name
