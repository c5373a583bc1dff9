"""The message of an error says the four things, and only those that are there."""

import pytest

from signloop.core.errors import ConfigError, DataError, ModelError, RegistryError, SignloopError


def test_message_names_what_where_expected_found_and_todo() -> None:
    error = DataError("a box has no area", where="row 3", expected="x1 < x2", found=(4, 4), todo="Run `dvc repro`.")
    assert str(error) == "a box has no area (row 3); expected x1 < x2; found (4, 4). Run `dvc repro`."
    assert (error.what, error.where, error.expected, error.found, error.todo) == (
        "a box has no area",
        "row 3",
        "x1 < x2",
        (4, 4),
        "Run `dvc repro`.",
    )


def test_message_leaves_out_what_is_not_told_but_keeps_zero() -> None:
    assert str(SignloopError("broken")) == "broken"
    assert str(SignloopError("broken", found=0)) == "broken; found 0"


@pytest.mark.parametrize("kind", [ConfigError, DataError, ModelError, RegistryError])
def test_every_kind_is_caught_as_one(kind: type[SignloopError]) -> None:
    with pytest.raises(SignloopError, match="broken"):
        raise kind("broken")
