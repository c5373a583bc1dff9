"""The simulated person gives the right verdict without errors, and errs as often as told with them."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from signloop.core import tables
from signloop.core.errors import ConfigError, DataError
from signloop.core.params import Data
from signloop.core.rounds import read_rounds
from signloop.core.taxonomy import Taxonomy
from signloop.review import snapshot
from signloop.review.simulate import SimulateReport, first_signs, simulate_review

DRIVE, PHOTOS = "d" * 16, "f" * 16


@pytest.fixture
def shown(project: Path) -> Path:
    return snapshot.take(project / "prelabels", project / "frames", project / "review", [DRIVE])


def play(project: Path, shown: Path, taxonomy: Taxonomy, data: Data, error_rate: float = 0.0, seed: int = 0, **more: Any) -> SimulateReport:
    return simulate_review(shown, project / "truth.json", project / "verified", taxonomy, data, error_rate=error_rate, seed=seed, **more)


def test_a_careful_person_finds_the_truth(project: Path, shown: Path, taxonomy: Taxonomy, data: Data) -> None:
    report = play(project, shown, taxonomy, data)
    assert report.published.frames == 3
    assert report.published.counts == {"accepted": 2, "relabelled": 3, "moved": 1, "rejected": 1, "added": 1, "unsure": 2}
    assert report.slips == {"misnamed": 0, "kept": 0, "missed": 0}
    assert "slips" in str(report)
    rows = read_rounds(project / "verified").boxes.to_pylist()
    said = {(str(r["sign_id"]), str(r["frame_id"])[-1], r["seen"]): (r["verdict"], r["class_id"], r["x1"], r["y1"]) for r in rows}
    sign = f"{DRIVE}/mtest/"
    expected: dict[tuple[str, str, bool], tuple[str, int | None, float, float]] = {
        (sign + "0000", "0", True): ("accepted", 3, 10, 10),
        (sign + "0000", "2", True): ("accepted", 3, 12, 10),
        (sign + "0000", "4", True): ("moved", 3, 14, 15),
        (sign + "0000", "1", False): ("accepted", 3, 11, 10),
        (sign + "0000", "3", False): ("accepted", 3, 13, 10),
        **{(sign + "0001", str(i), i % 2 == 0): ("relabelled", 3, 50, 10) for i in range(5)},
        (sign + "0002", "0", True): ("rejected", None, 5, 50),
        (sign + "0002", "1", False): ("rejected", None, 5, 50),
        (sign + "0003", "2", True): ("unsure", None, 80, 60),
        (f"{DRIVE}/truth/9", "4", True): ("added", 8, 60, 50),
        ("None", "0", True): ("unsure", None, 80, 0),
    }
    assert said == expected


def test_the_same_seed_gives_the_same_round_and_another_one_other_slips(project: Path, shown: Path, taxonomy: Taxonomy, data: Data) -> None:
    first = play(project, shown, taxonomy, data, 0.5, 1)
    assert play(project, shown, taxonomy, data, 0.5, 1).published.path == first.published.path
    paths = {play(project, shown, taxonomy, data, 0.5, seed).published.path.name for seed in range(2, 7)}
    assert len(paths) > 1


def test_a_person_who_always_errs(project: Path, shown: Path, taxonomy: Taxonomy, data: Data) -> None:
    report = play(project, shown, taxonomy, data, 1.0)
    assert report.slips == {"misnamed": 2, "kept": 1, "missed": 1}
    rows = read_rounds(project / "verified").boxes.to_pylist()
    by_sign = {(r["sign_id"] or "none")[-4:]: r for r in rows}
    assert by_sign["0000"]["class_id"] in (8, 9)  # named rightly by the models, so any other class
    assert (by_sign["0001"]["verdict"], by_sign["0001"]["class_id"]) == ("accepted", 8)  # the models' wrong answer is left
    assert by_sign["0002"]["verdict"] == "accepted"
    assert not any(r["verdict"] == "added" for r in rows)


def test_slips_come_as_often_as_told(project: Path, shown: Path, taxonomy: Taxonomy, data: Data) -> None:
    total: Counter[str] = Counter()
    for seed in range(60):
        total += Counter(play(project, shown, taxonomy, data, 0.2, seed).slips)
    assert total["misnamed"] / 120 == pytest.approx(0.2, abs=0.07)
    assert total["kept"] / 60 == pytest.approx(0.2, abs=0.1)


def test_a_slip_is_that_of_a_sign_and_stays_the_same_in_all_frames(project: Path, shown: Path, taxonomy: Taxonomy, data: Data) -> None:
    for seed in range(10):
        play(project, shown, taxonomy, data, 0.5, seed)
        rows = read_rounds(project / "verified").boxes.to_pylist()
        assert len({r["class_id"] for r in rows if r["sign_id"] == f"{DRIVE}/mtest/0001"}) == 1


def test_only_known_recordings_can_be_played(project: Path, shown: Path, taxonomy: Taxonomy, data: Data) -> None:
    with pytest.raises(DataError, match="not in the snapshot"):
        play(project, shown, taxonomy, data, recordings=["photos"])
    both = snapshot.take(project / "prelabels", project / "frames", project / "review", None)
    with pytest.raises(DataError, match="does not tell all frames"):
        play(project, both, taxonomy, data)
    assert play(project, both, taxonomy, data, recordings=["drive one.mp4"]).published.frames == 3


def test_wrong_truth_is_refused(project: Path, shown: Path, taxonomy: Taxonomy, data: Data) -> None:
    value = json.loads((project / "truth.json").read_text())
    value["categories"][0]["name"] = "blob"
    (project / "truth.json").write_text(json.dumps(value))
    with pytest.raises(DataError, match=r"unknown class .*found blob"):
        play(project, shown, taxonomy, data)
    (project / "truth.json").write_text("{}")
    with pytest.raises(DataError, match=r"truth\.json"):
        play(project, shown, taxonomy, data)
    with pytest.raises(DataError, match="no share"):
        play(project, shown, taxonomy, data, 1.5)
    assert not (project / "verified").exists()


def test_truth_without_categories_uses_ids(project: Path, shown: Path, taxonomy: Taxonomy, data: Data) -> None:
    value = json.loads((project / "truth.json").read_text())
    del value["categories"]
    for a in value["annotations"]:
        a["category_id"] = {1: 3, 2: 8, 99: 99}[a["category_id"]]
    (project / "truth.json").write_text(json.dumps(value))
    assert play(project, shown, taxonomy, data).published.counts["relabelled"] == 3


def test_a_person_who_stops_after_some_signs_says_nothing_of_others_and_completes_no_frame(
    project: Path, shown: Path, taxonomy: Taxonomy, data: Data
) -> None:
    sign = f"{DRIVE}/mtest/"
    report = play(project, shown, taxonomy, data, signs=[sign + "0001", sign + "0002"])
    assert report.published.counts == {"accepted": 0, "relabelled": 3, "moved": 0, "rejected": 1, "added": 0, "unsure": 0}
    verified = read_rounds(project / "verified")
    assert {(r["sign_id"], r["verdict"]) for r in verified.boxes.to_pylist()} == {
        (sign + "0001", "relabelled"),
        (sign + "0002", "rejected"),
    }
    assert verified.boxes.num_rows == 7  # both in the frames between, too
    assert not any(verified.frames["complete"].to_pylist())


def test_a_frame_without_a_chosen_sign_is_not_looked_at(project: Path, shown: Path, taxonomy: Taxonomy, data: Data) -> None:
    play(project, shown, taxonomy, data, signs=[f"{DRIVE}/mtest/0002"])
    assert read_rounds(project / "verified").frames["frame_id"].to_pylist() == [f"{DRIVE}/000000"]


def test_slips_on_signs_that_were_not_asked_do_not_count(project: Path, shown: Path, taxonomy: Taxonomy, data: Data) -> None:
    report = play(project, shown, taxonomy, data, error_rate=1.0, signs=[f"{DRIVE}/mtest/0002"])
    assert report.slips == {"misnamed": 0, "kept": 1, "missed": 0}


def questions(*asked: tuple[str, str]) -> pa.Table:
    """A queue that asks about these (recording, sign), the first one first, and then about a frame."""
    nothing = {"sign_id": None, "frame_id": None, "class_id": None, "confidence": None, "reason": "test"}
    rows = [
        {**nothing, "queue_id": sign, "kind": "sign", "sign_id": sign, "recording_id": recording, "rank": rank}
        for rank, (recording, sign) in enumerate(asked, 1)
    ]
    frame = {**nothing, "queue_id": "frame:0", "kind": "audit", "frame_id": f"{DRIVE}/000000", "recording_id": DRIVE, "rank": len(rows) + 1}
    return tables.from_rows("queue", [*rows, frame])


def test_signs_are_answered_in_the_order_of_the_queue_or_drawn() -> None:
    queue = questions((DRIVE, "s3"), (PHOTOS, "s9"), (DRIVE, "s1"), (DRIVE, "s2"), *((DRIVE, f"t{n}") for n in range(20)))
    assert first_signs(queue, [DRIVE], 3, "queue", 0) == ["s3", "s1", "s2"]
    assert len(first_signs(queue, [DRIVE], 99, "queue", 0)) == 23
    drawn = first_signs(queue, [DRIVE], 23, "random", 0)
    assert sorted(drawn) == sorted(first_signs(queue, [DRIVE], 99, "queue", 0))
    assert first_signs(queue, [DRIVE], 5, "random", 0) == drawn[:5]
    assert first_signs(queue, [DRIVE], 23, "random", 1) != drawn


def test_an_order_needs_questions() -> None:
    with pytest.raises(DataError, match="no sign of these recordings waits"):
        first_signs(questions((PHOTOS, "s9")), [DRIVE], 3, "queue", 0)
    with pytest.raises(ConfigError, match=r"unknown order of answers; expected \['queue', 'random'\]; found best"):
        first_signs(questions((DRIVE, "s1")), [DRIVE], 3, "best", 0)
