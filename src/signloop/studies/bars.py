"""What several seeds reached enters; their medians beside the bars leave."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Measured:
    """A value, None where it could not be measured, and its 95 % interval where one is defined."""

    value: float | None
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Bar:
    """What the median over the seeds must reach.

    Attributes:
        least, aim: bounds of the value.
        is_most: it must be at most that, not at least.
        is_paired: it is a difference, whose whole interval must be beyond `least`.
    """

    least: float
    aim: float
    is_most: bool = False
    is_paired: bool = False

    def holds(self, found: Measured) -> bool:
        """Tell whether `least` is reached; what was not measured does not hold."""
        if self.is_paired:
            return found.interval is not None and (found.interval[1] < self.least if self.is_most else found.interval[0] > self.least)
        return found.value is not None and (found.value <= self.least if self.is_most else found.value >= self.least)


BARS = {
    "stills.ap50": Bar(0.98, 0.99),
    "stills.ap75": Bar(0.93, 0.96),
    "drives.ap50": Bar(0.975, 0.99),
    "drives.ap75": Bar(0.85, 0.94),
    "drives.10fps.sign_recall": Bar(0.985, 0.995),
    "drives.5fps.sign_recall": Bar(0.975, 0.99),
    "drives.2fps.sign_recall": Bar(0.95, 0.98),
    "drives.10fps.tracks_per_sign": Bar(1.05, 1.01, is_most=True),
    "drives.5fps.tracks_per_sign": Bar(1.06, 1.02, is_most=True),
    "drives.2fps.tracks_per_sign": Bar(1.12, 1.04, is_most=True),
    "drives.10fps.false_signs_per_minute": Bar(8, 3, is_most=True),
    "drives.10fps.sign_class_accuracy": Bar(0.97, 0.99),
    "crops.top1": Bar(0.95, 0.975),
    "crops.track_accuracy": Bar(0.985, 0.995),
    "crops.ece": Bar(0.03, 0.015, is_most=True),
    "detector.gflop": Bar(24, 16, is_most=True),
    "strangers.named": Bar(0, 0, is_most=True),
    "second_minus_first.errors": Bar(0, 0, is_most=True, is_paired=True),
    "first_cycle.minutes": Bar(40, 20, is_most=True),
}


COLUMNS = ("commit", "seed", "measure", "value", "low", "high")


def rows_of_seeds(results: Mapping[int, Mapping[str, Measured]], commit: str) -> list[dict[str, Any]]:
    """Lay out what each seed reached for a file, one row per measure, with the `COLUMNS`; what was not measured is None."""
    rows = []
    for seed, result in results.items():
        for name, one in result.items():
            low, high = one.interval or (None, None)
            rows.append({"commit": commit, "seed": seed, "measure": name, "value": one.value, "low": low, "high": high})
    return rows


def medians(results: Mapping[int, Mapping[str, Measured]]) -> dict[str, Measured]:
    """Return each measure of the seed that reached its median; of an even number of seeds the lower one.

    A measure that some seed could not take (the minutes of a run that was cut) has no value.
    """
    out = {}
    for name in next(iter(results.values()), {}):
        values = [result[name].value for result in results.values()]
        known = [value for value in values if value is not None]
        if len(known) < len(values):
            out[name] = Measured(None)
        else:
            middle = statistics.median_low(known)
            out[name] = next(result[name] for result in results.values() if result[name].value == middle)
    return out


def table_rows(found: Mapping[str, Measured]) -> list[tuple[str, str, str, str, str, str]]:
    """Lay out measures for reading: name, value, interval, least, aim, and whether the bar holds; "-" was not measured."""
    rows = []
    for name, one in found.items():
        bar = BARS.get(name)
        value = "-" if one.value is None else f"{one.value:.4g}"
        interval = "" if one.interval is None else f"{one.interval[0]:.4g} to {one.interval[1]:.4g}"
        judged = ("", "", "") if bar is None else (f"{bar.least:g}", f"{bar.aim:g}", "holds" if bar.holds(one) else "missed")
        rows.append((name, value, interval, *judged))
    return rows
