import json
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from signloop.core.errors import DataError
from signloop.core.taxonomy import Taxonomy
from signloop.demo.signs import CLASSES, draw_sign, face, outline, worn_face

GERMAN = Path(__file__).parents[2] / "conf" / "taxonomy" / "german.yaml"


def on_grey(class_id: int, size: int) -> NDArray[np.float64]:
    image = face(class_id, size).astype(np.float64)
    return np.asarray(image[..., :3] + 120 * (1 - image[..., 3:] / 255))


def german() -> Taxonomy:
    return Taxonomy.model_validate_json(json.dumps(yaml.safe_load(GERMAN.read_text(encoding="utf-8"))))


def test_classes_are_those_of_the_german_taxonomy() -> None:
    assert {c.id: (c.name, c.group) for c in german().classes} == CLASSES


def test_every_class_is_drawn_and_no_two_look_alike() -> None:
    pictures = {k: on_grey(k, 48) for k in CLASSES}
    assert len(pictures) == 43
    for a, b in combinations(pictures, 2):
        changed = np.abs(pictures[a] - pictures[b]).max(axis=2) > 80
        assert changed.mean() > 0.008, f"{a} and {b} differ in {changed.mean():.2%} of their pixels"


def test_mirrored_classes_are_mirrored_pictures() -> None:
    for c in german().classes:
        if c.mirror is not None and c.id != 12:
            difference = np.abs(on_grey(c.id, 64)[:, ::-1] - on_grey(c.mirror, 64))
            assert difference.mean() < 2, f"{c.name} and its mirrored class"


@pytest.mark.parametrize("class_id", [2, 12, 13, 14, 18, 33])
def test_the_outline_is_the_edge_of_the_picture(class_id: int) -> None:
    alpha = face(class_id, 128)[..., 3]
    edge = (outline(class_id) * 128).astype(np.float32)
    assert alpha.sum() / 255 == pytest.approx(cv2.contourArea(edge), abs=0.2 * cv2.arcLength(edge, True)), "a fifth of a pixel all around"
    ys, xs = np.nonzero(alpha > 100)
    assert [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1] == pytest.approx([*edge.min(axis=0), *edge.max(axis=0)], abs=1.1)


def test_a_reference_picture_is_transparent_outside_and_full_inside() -> None:
    picture = draw_sign(17, 96)
    assert picture.shape == (96, 96, 4)
    assert picture[0, 0, 3] == 0
    assert picture[48, 48, 3] == 255
    assert picture[48, 48, :3].min() > 200, "the white bar"
    assert picture[20, 48, 0] > 150
    assert picture[20, 48, 1] < 80


def test_wear_changes_colours_but_not_the_shape_and_repeats_with_its_seed() -> None:
    first, again, other = (worn_face(2, 64, np.random.default_rng(seed), 0.8) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()
    assert (first[..., 3] == face(2, 64)[..., 3]).all()
    assert (first[..., :3] <= first[..., 3:]).all(), "colours multiplied by alpha"


def test_an_unknown_class_is_refused() -> None:
    with pytest.raises(DataError, match="draws no such sign"):
        draw_sign(43, 32)
