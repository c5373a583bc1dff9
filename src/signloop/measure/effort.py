"""What a person answered, and how long it took, enters; how well they look, and how many mistakes are left, leaves."""

from collections.abc import Sequence
from dataclasses import dataclass

from signloop.core.bounds import Interval, clopper_pearson


@dataclass(frozen=True)
class Rate:
    """A share of trials with its 95 % interval (Clopper & Pearson 1934); no trial gives None for both."""

    successes: int
    trials: int

    @property
    def value(self) -> float | None:
        """Successes / trials."""
        return self.successes / self.trials if self.trials else None

    @property
    def interval(self) -> Interval | None:
        """Exact bounds of the share."""
        return clopper_pearson(self.successes, self.trials) if self.trials else None


@dataclass(frozen=True)
class Effort:
    """A review so far.

    Attributes:
        decided: signs with an answer, planted ones and repeats left out.
        corrected: of these, how many are another class than proposed, or no sign.
        seconds: that people spent on all answers, pauses left out.
        caught: planted mistakes that were found, of those that were answered.
        agreed: repeats that were answered as the first time.
    """

    decided: int
    corrected: int
    seconds: float
    caught: Rate
    agreed: Rate

    @property
    def signs_per_minute(self) -> float | None:
        """Answers a minute; None before the first."""
        return 60 * self.decided / self.seconds if self.seconds else None

    @property
    def mistakes_left(self) -> tuple[float, float, float] | None:
        """Expected mistakes that were looked at and not seen, with the bounds that the catch rate's interval gives.

        Who finds a share c of the planted mistakes has found about that share of the real ones: with f found, f (1 - c) / c are left, but
        no more than signs were accepted as proposed. None without a planted mistake that was answered and found.
        """
        share, bounds = self.caught.value, self.caught.interval
        if not share or bounds is None:
            return None

        def left(rate: float) -> float:
            accepted = self.decided - self.corrected
            return min(self.corrected * (1 - rate) / rate, accepted) if rate else accepted

        return left(share), left(bounds.high), left(bounds.low)


def agreement(pairs: Sequence[tuple[object, object]]) -> Rate:
    """Count pairs of equal answers."""
    return Rate(sum(first == second for first, second in pairs), len(pairs))
