"""Which signs, weather and look-alikes each recording gets: sizes and a seed enter, one line per recording leaves."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from signloop.core.errors import DataError
from signloop.demo.signs import CLASSES
from signloop.demo.weather import NAMES
from signloop.demo.world import World, build

SIGNS_PER_RECORDING = 5.0
MOST_PER_RECORDING = 12.0  # more do not fit along a few seconds of road
_SEEDED, _UNLABELLED, _TEST = 1, 2, 3
# From the commonest to the rarest, roughly as on German roads.
_COMMON_FIRST = (
    2,
    1,
    12,
    38,
    13,
    4,
    10,
    5,
    9,
    25,
    7,
    8,
    18,
    11,
    17,
    3,
    35,
    33,
    14,
    26,
    28,
    16,
    15,
    40,
    34,
    23,
    20,
    36,
    22,
    31,
    30,
    6,
    19,
    21,
    29,
    32,
    27,
    39,
    24,
    42,
    41,
    37,
    0,
)
_WEATHER: dict[int, tuple[float, ...]] = {  # in the order of weather.NAMES; what a client has labelled was filmed on fine days
    _SEEDED: (0.34, 0.26, 0.10, 0.10, 0.08, 0.07, 0.05),
    _UNLABELLED: (0.21, 0.20, 0.12, 0.12, 0.14, 0.12, 0.09),
    _TEST: (0.21, 0.20, 0.12, 0.12, 0.14, 0.12, 0.09),
}


@dataclass(frozen=True)
class Planned:
    """One recording before it is built.

    Attributes:
        name: without suffix.
        seeded: its labels are published.
        entropy: seed of everything drawn on it.
        classes: class ids of its physical signs.
        first_track: number of the first of them; numbers are unique among all recordings of a plan.
        weather: one of weather.NAMES.
        lookalikes: their number.
    """

    name: str
    seeded: bool
    entropy: tuple[int, ...]
    classes: tuple[int, ...]
    first_track: int
    weather: str
    lookalikes: int

    def world(self) -> World:
        """Build it; the same plan gives the same world."""
        return build(np.random.default_rng(self.entropy), self.classes, self.first_track, self.weather, lookalikes=self.lookalikes)


def deck(rng: np.random.Generator, count: int, *, whole: bool) -> list[int]:
    """Draw `count` class ids, few classes often and many rarely.

    Args:
        whole: about 44 % of a deck of at least 43 are whole sets of the 43 classes, so that none is missing.
    """
    weights = 1 / (np.arange(len(_COMMON_FIRST)) + 3.0)
    sets = max(1, round(count * 0.44 / len(CLASSES))) if whole and count >= len(CLASSES) else 0
    drawn = list(_COMMON_FIRST) * sets + rng.choice(_COMMON_FIRST, count - sets * len(CLASSES), p=weights / weights.sum()).tolist()
    return [int(k) for k in rng.permutation(np.array(drawn, np.int64))]


def _counts(rng: np.random.Generator, recordings: int, mean: float) -> list[int]:
    """Draw how many signs each recording has: at least one, on average about `mean`."""
    return [int(n) for n in np.clip(np.round(rng.normal(mean, 0.3 * mean, recordings)), 1, MOST_PER_RECORDING + 3)]


def _recordings(part: int, seed: int, names: list[str], mean: float, first_track: int, empty: int | None) -> list[Planned]:
    rng = np.random.default_rng([part, seed])
    counts = _counts(rng, len(names), mean)
    if empty is not None:
        counts[empty] = 0
    cards = iter(deck(rng, sum(counts), whole=part != _SEEDED))
    found = []
    for k, (name, count) in enumerate(zip(names, counts, strict=True)):
        weather = str(rng.choice(NAMES, p=_WEATHER[part]))
        found.append(
            Planned(
                name,
                part == _SEEDED,
                (part, seed, k),
                tuple(next(cards) for _ in range(count)),
                first_track,
                weather,
                int(rng.integers(2, 6)) + (3 if count == 0 else 0),
            )
        )
        first_track += count
    return found


def plan(seeded: int, unlabelled: int, seed: int, signs_per_recording: float = SIGNS_PER_RECORDING) -> list[Planned]:
    """Plan the recordings demo-000, demo-001, ...: the seeded ones first; the last unlabelled one has no sign.

    Raises:
        DataError: a number is negative, both are 0, or so many signs do not fit.
    """
    if min(seeded, unlabelled, seed) < 0 or seeded + unlabelled == 0:
        raise DataError(
            "the demo needs recordings",
            expected="seeded and unlabelled >= 0, not both 0, seed >= 0",
            found=f"seeded {seeded}, unlabelled {unlabelled}, seed {seed}",
        )
    if not 0 < signs_per_recording <= MOST_PER_RECORDING:
        raise DataError(
            "so many signs do not fit into a recording", expected=f"above 0, at most {MOST_PER_RECORDING:.0f}", found=signs_per_recording
        )
    names = [f"demo-{k:03d}" for k in range(seeded + unlabelled)]
    first = _recordings(_SEEDED, seed, names[:seeded], signs_per_recording, 0, None)
    signs = sum(len(p.classes) for p in first)
    return first + _recordings(_UNLABELLED, seed, names[seeded:], signs_per_recording, signs, unlabelled - 1 if unlabelled else None)


def plan_test(seed: int) -> Iterator[Planned]:
    """Plan recordings demo-test-000, ... without end, from the same world as the unlabelled ones but never the same as any of them."""
    done = track = 0
    for block in range(10**6):
        names = [f"demo-test-{done + k:03d}" for k in range(40)]
        for one in _recordings(_TEST, seed * 10**6 + block, names, SIGNS_PER_RECORDING, track, None):
            yield one
            track += len(one.classes)
        done += len(names)
