"""The scores of a challenger and of the champion enter, a decision with its reasons leaves."""

from dataclasses import dataclass
from math import isfinite

from signloop.core.errors import DataError
from signloop.core.params import Gate

_ROUNDING = 1e-9  # 0.95 - 0.01 is not 0.94 in binary


@dataclass(frozen=True)
class Scores:
    """What the gate looks at.

    Attributes:
        test_version: hash of the test set; numbers of different sets cannot be compared.
        ap50: of the detector, in [0, 1].
        class_accuracy: of the classifier, in [0, 1].
        sign_recall: in [0, 1]; None where no recording is in the test set.
    """

    test_version: str
    ap50: float
    class_accuracy: float
    sign_recall: float | None


@dataclass(frozen=True)
class Decision:
    """Whether the challenger may replace the champion; `reasons` has one sentence per measure."""

    passed: bool
    reasons: tuple[str, ...]


def judge(challenger: Scores, champion: Scores | None, margins: Gate) -> Decision:
    """Let a challenger pass that is nowhere worse than the champion by more than a margin; the first one passes.

    A number of the challenger that is not finite never passes; one of the champion never stops.

    Raises:
        DataError: the two were scored on different test sets, or only one of them has a sign recall.
    """
    if champion is None:
        return Decision(True, ("there is no champion yet",))
    if challenger.test_version != champion.test_version:
        raise DataError(
            "challenger and champion were scored on different test sets",
            expected=challenger.test_version,
            found=champion.test_version,
            todo="Score the champion again on the present test set.",
        )
    if (challenger.sign_recall is None) != (champion.sign_recall is None):
        raise DataError(
            "only one of challenger and champion has a sign recall",
            expected="both or none, on one test set",
            found=(challenger.sign_recall, champion.sign_recall),
            todo="Score the champion again on the present test set.",
        )
    rows = [
        ("ap50", challenger.ap50, champion.ap50, margins.ap50_margin),
        ("class_accuracy", challenger.class_accuracy, champion.class_accuracy, margins.class_accuracy_margin),
    ]
    if challenger.sign_recall is not None and champion.sign_recall is not None:
        rows.append(("sign_recall", challenger.sign_recall, champion.sign_recall, margins.sign_recall_margin))
    verdicts = [_not_worse(mine, theirs, margin) for _, mine, theirs, margin in rows]
    reasons = tuple(
        f"{name} {mine:.4f} {'is not' if good else 'is'} worse than the champion's {theirs:.4f} by more than {margin:g}"
        for (name, mine, theirs, margin), good in zip(rows, verdicts, strict=True)
    )
    return Decision(all(verdicts), reasons)


def _not_worse(mine: float, theirs: float, margin: float) -> bool:
    return isfinite(mine) and (not isfinite(theirs) or mine >= theirs - margin - _ROUNDING)
