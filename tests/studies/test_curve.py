"""The curve of score against verified signs: its points, and the whole on a few drawn recordings; the networks learn next to nothing."""

from pathlib import Path

import pytest

from signloop.registry import runs, store
from signloop.studies import curve
from signloop.studies.curve import COLUMNS, Point, points
from signloop.studies.cycles import Bench
from signloop.studies.roads import Store


def test_the_points_go_from_no_sign_to_all_of_them() -> None:
    assert list(points(10)) == [
        Point("none", 0),
        Point("queue", 2),
        Point("random", 2),
        Point("queue", 5),
        Point("random", 5),
        Point("queue", 10),
    ]
    assert min(point.signs for point in list(points(1))[1:]) == 1


def test_a_point_answers_its_signs_in_its_order() -> None:
    assert Point("random", 7).answers(3) == ("--signs", "7", "--order", "random", "--seed", "3")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_each_point_is_trained_once_and_is_a_run(checkout: Path, road_data: Path, tiny: list[str], tmp_path: Path) -> None:
    said: list[str] = []
    bench = Bench(checkout, road_data, tmp_path / "out", tiny, said.append)
    mlflow = Store(store.sqlite_uri(tmp_path), tmp_path / "artifacts")
    rows = curve.run(bench, 0, mlflow, lambda what, done, total: None)
    assert [set(row) for row in rows] == [set(COLUMNS)] * 6
    assert [row["order"] for row in rows] == ["none", "queue", "random", "queue", "random", "queue"]
    assert [rows[0][name] for name in ("signs", "difference", "low", "high")] == [0, 0, 0, 0]
    assert all(row["difference"] == row["errors"] - rows[0]["errors"] for row in rows)
    logged = runs.find(mlflow.uri, {"kind": "bench curve"}, artifact_root=mlflow.artifact_root)
    assert {run.metrics["errors"] for run in logged} == {row["errors"] for row in rows}
    said.clear()
    assert curve.run(bench, 0, mlflow, lambda what, done, total: None) == rows
    assert [text for text in said if text.startswith("seed-0/")] == []
