"""A taxonomy that contradicts itself is refused; the one that is delivered is whole."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from signloop.core.taxonomy import Taxonomy

ROOT = Path(__file__).parents[2]
CONF = ROOT / "conf" / "taxonomy" / "german.yaml"
LEFT = {"id": 4, "name": "turn left", "group": "arrows", "mirror": 9}
RIGHT = {"id": 9, "name": "turn right", "group": "arrows", "mirror": 4}


def make(*classes: dict[str, Any]) -> Taxonomy:
    return Taxonomy.model_validate({"name": "arrows", "object_name": "arrow", "classes": classes})


def test_positions_follow_the_order_and_not_the_ids() -> None:
    taxonomy = make(RIGHT, LEFT)
    assert len(taxonomy) == 2
    assert taxonomy.ids == (9, 4)
    assert taxonomy.index_of == {9: 0, 4: 1}
    assert taxonomy.id_of == {"turn right": 9, "turn left": 4}
    assert taxonomy.name_of(4) == "turn left"
    assert taxonomy.name_of(None) == "arrow of no known class"
    assert taxonomy.by_id[9].mirror == 4


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ((), "at least 1"),
        ((LEFT, {**RIGHT, "id": 4, "mirror": None}), "unique"),
        ((LEFT, {**RIGHT, "name": "turn left"}), "unique"),
        ((LEFT,), "unknown or does not point back"),
        ((LEFT, {**RIGHT, "mirror": 9}), "unknown or does not point back"),
        (({**LEFT, "mirror": None, "id": -1},), "greater than or equal to 0"),
        (({**LEFT, "mirror": None, "colour": "red"},), "Extra inputs"),
        (({**LEFT, "mirror": None, "id": "4"},), "valid integer"),
    ],
)
def test_contradictions_are_refused(classes: tuple[dict[str, Any], ...], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        make(*classes)


def test_the_german_signs_are_43_and_their_mirrors_fit() -> None:
    value = yaml.safe_load(CONF.read_text(encoding="utf-8"))
    taxonomy = Taxonomy.model_validate({**value, "classes": tuple(value["classes"])})
    assert taxonomy.ids == tuple(range(43))
    assert taxonomy.name_of(14) == "stop"
    assert taxonomy.counts.startswith("Road signs of the classes in the list")
    sided = [c for c in taxonomy.classes if "left" in c.name]
    assert len(sided) == 4
    assert all(taxonomy.name_of(c.mirror) == c.name.replace("left", "right") for c in sided)
    assert taxonomy.by_id[taxonomy.id_of["speed limit 30"]].mirror is None


def test_other_words_are_of_known_classes() -> None:
    with pytest.raises(ValidationError, match="also: no class is called 'give wey'"):
        Taxonomy.model_validate({**make(LEFT, RIGHT).model_dump(), "also": {"give wey": "yield"}})


def test_what_is_said_to_people_makes_no_model_out_of_date() -> None:
    silent = make(LEFT, RIGHT)
    talking = silent.model_copy(update={"counts": "arrows on the road", "also": {silent.classes[0].name: "arrow"}})
    assert talking.card() == silent.card()
    assert Taxonomy.model_validate(talking.card()) == silent
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    read = {name for stage in stages.values() for name in stage.get("params", ()) if name.startswith("taxonomy")}
    assert read == {f"taxonomy.{name}" for name in silent.card()}
