from dataclasses import asdict, replace

import pytest

from signloop.core.errors import DataError
from signloop.core.params import Gate
from signloop.measure.gate import Scores, judge

MARGINS = Gate(ap50_margin=0.01, class_accuracy_margin=0.02, sign_recall_margin=0.03)
CHAMPION = Scores("v1", 0.95, 0.9, 0.8)


def test_the_first_one_passes() -> None:
    assert judge(replace(CHAMPION, ap50=0.0), None, MARGINS).passed


@pytest.mark.parametrize(
    ("name", "value", "passed"),
    [
        ("ap50", 0.94, True),
        ("ap50", 0.9399, False),
        ("class_accuracy", 0.88, True),
        ("class_accuracy", 0.8799, False),
        ("sign_recall", 0.77, True),
        ("sign_recall", 0.7699, False),
        ("ap50", 1.0, True),
        ("ap50", float("nan"), False),
    ],
)
def test_each_measure_has_its_margin(name: str, value: float, passed: bool) -> None:
    decision = judge(Scores(**{**asdict(CHAMPION), name: value}), CHAMPION, MARGINS)
    assert decision.passed == passed
    assert len(decision.reasons) == 3
    assert sum(" is worse" in reason for reason in decision.reasons) == (not passed)


def test_without_recordings_two_measures_decide() -> None:
    decision = judge(replace(CHAMPION, sign_recall=None), replace(CHAMPION, sign_recall=None), MARGINS)
    assert decision.passed
    assert len(decision.reasons) == 2


def test_a_champion_without_a_number_stops_nobody() -> None:
    assert judge(CHAMPION, replace(CHAMPION, ap50=float("nan")), MARGINS).passed


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(DataError, match="different test sets"):
        judge(CHAMPION, replace(CHAMPION, test_version="v2"), MARGINS)
    with pytest.raises(DataError, match="only one of"):
        judge(CHAMPION, replace(CHAMPION, sign_recall=None), MARGINS)
