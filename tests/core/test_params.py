import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from signloop.core.errors import ConfigError
from signloop.core.params import Params, load, parse

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def committed() -> dict[str, Any]:
    value: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    return value


@pytest.fixture
def value(committed: dict[str, Any]) -> dict[str, Any]:
    return copy.deepcopy(committed)


def leaves(node: Any, place: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if isinstance(node, dict):
        return [leaf for key, child in node.items() for leaf in leaves(child, (*place, key))]
    return [place]


def change(value: dict[str, Any], place: tuple[str, ...], new: Any = ...) -> None:
    """Replace the value at a place; without a new value the key goes."""
    for key in place[:-1]:
        value = value[key]
    if new is ...:
        del value[place[-1]]
    else:
        value[place[-1]] = new


def test_it_comes_back_as_it_was_written(value: dict[str, Any]) -> None:
    params = parse(value, "test")
    assert json.loads(params.model_dump_json(exclude_none=True)).keys() == value.keys()
    assert parse(json.loads(params.model_dump_json()), "again") == params
    with pytest.raises(ValueError, match="frozen"):
        params.detector.lr = 1.0


def test_every_missing_key_is_named_in_full(committed: dict[str, Any]) -> None:
    places = [place for place in leaves(committed) if place[0] != "taxonomy"]
    assert len(places) > 60
    for place in places:
        value = copy.deepcopy(committed)
        change(value, place)
        with pytest.raises(ConfigError, match=rf"\b{'.'.join(place)}: Field required"):
            parse(value, "params.yaml")


def test_every_wrong_type_is_named_in_full(committed: dict[str, Any]) -> None:
    for place in leaves(committed):
        value = copy.deepcopy(committed)
        change(value, place, {"strange": [1]})
        with pytest.raises(ConfigError, match=rf"\b{re.escape('.'.join(place))}[.:]"):
            parse(value, "params.yaml")


@pytest.mark.parametrize(
    ("place", "new", "expected"),
    [
        (("detector", "learning_rate"), 0.1, r"detector\.learning_rate: Extra inputs are not permitted"),
        (("detctor",), {}, r"detctor: Extra inputs"),
        (("detector", "lr"), "0.1", r"detector\.lr: .*number \(found '0\.1'\)"),
        (("detector", "batch"), 2.5, r"detector\.batch: .*integer"),
        (("detector", "batch"), 0, r"detector\.batch: .*greater than or equal to 1 \(found 0\)"),
        (("classifier", "contrast"), 1, r"classifier\.contrast: .*boolean"),
        (("data", "val_share"), 1.2, r"data\.val_share: .*less than or equal to 1"),
        (("data", "test_share"), 0.9, "data: .*val_share and test_share together must not be above 1"),
        (("detector", "rejected_share"), 0.9, "detector: .*background_share and rejected_share together must not be above 1"),
        (("detector", "scale_min"), 3.0, "detector: .*scale_min must not be above scale_max"),
        (("train", "classifier", "steps"), None, r"train\.classifier\.steps: .*integer"),
        (("prelabel", "precision"), "16", r"prelabel\.precision: Input should be 'auto', 'f32' or 'bf16'"),
        (("taxonomy", "classes", 3, "mirror"), 4, "mirror 4 is unknown or does not point back"),
    ],
)
def test_a_typo_a_wrong_type_and_a_wrong_value(value: dict[str, Any], place: tuple[str, ...], new: Any, expected: str) -> None:
    change(value, place, new)
    with pytest.raises(ConfigError, match=rf"(?s)wrong parameters \(params\.yaml\).*{expected}.*signloop params"):
        parse(value, "params.yaml")


def test_no_more_crops_are_changed_than_there_are(value: dict[str, Any]) -> None:
    value["classifier"] |= {"hybrid_share": 0.6, "painted_share": 0.4}
    assert parse(value, "params.yaml").classifier.painted_share == 0.4
    value["classifier"]["painted_share"] = 0.5
    with pytest.raises(ConfigError, match=r"classifier: .*hybrid_share and painted_share together must not be above 1"):
        parse(value, "params.yaml")


def test_all_problems_are_told_at_once(value: dict[str, Any]) -> None:
    del value["gate"]["ap50_margin"]
    value["queue"]["frame_shar"] = 0.1
    with pytest.raises(ConfigError, match=r"(?s)queue\.frame_shar.*gate\.ap50_margin"):
        parse(value, "params.yaml")


def test_a_file_that_is_no_set_of_parameters(tmp_path: Path, value: dict[str, Any]) -> None:
    path = tmp_path / "params.yaml"
    with pytest.raises(ConfigError, match=r"does not exist.*Run `signloop params`"):
        load(path)
    for content, expected in (
        ("detector: [1, 2", "no valid YAML"),
        ("seed: &a [*a, 1]", "wrong parameters.*finite numbers, lists and mappings"),
        ("- 1\n- 2\n", "top level: Input should be an object"),
        ("", "top level"),
        ("seed: .nan", "wrong parameters.*finite numbers"),
        ("seed: 2024-01-01", "wrong parameters.*finite numbers"),
        ("? [1, 2]\n: 3\n", "no valid YAML"),
    ):
        path.write_text(content)
        with pytest.raises(ConfigError, match=expected):
            load(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="no valid YAML"):
        load(path)
    path.write_text(yaml.safe_dump(value))
    assert isinstance(load(path), Params)
