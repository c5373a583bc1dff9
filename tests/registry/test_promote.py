from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from signloop.core.errors import RegistryError
from signloop.registry import store, versions
from signloop.registry.promote import PromoteReport, promote
from signloop.registry.versions import VersionInfo, info, register, set_alias

MakeBundle = Callable[[str], tuple[Path, str]]


@dataclass(frozen=True)
class Decision:
    passed: bool
    reasons: tuple[str, ...]


class World:
    """A registry whose judge goes by the score written into the bundle, as the real one does by numbers."""

    def __init__(self, uri: str, make_bundle: MakeBundle, lock: Path) -> None:
        self.uri, self.make_bundle, self.lock = uri, make_bundle, lock
        self.bundles: dict[str, tuple[Path, str]] = {}
        self.judged: list[tuple[str, int | None]] = []
        self.during: Callable[[], None] = lambda: None

    def repro(self, score: str, *, is_experiment: bool = False) -> PromoteReport:
        if score not in self.bundles:
            self.bundles[score] = self.make_bundle(score)
        folder, model_id = self.bundles[score]
        register(self.uri, folder, model_id, {"score": score})

        def judge(champion: VersionInfo | None) -> Decision:
            self.judged.append((score, None if champion is None else champion.version))
            self.during()
            better = champion is None or float(score) >= float(champion.tags["score"])
            return Decision(better, ("as good",) if better else ("ap50 is worse",))

        return promote(self.uri, model_id=model_id, judge=judge, is_experiment=is_experiment, lock_path=self.lock)

    def aliases(self) -> dict[str, int]:
        return {alias: entry.version for entry in versions.versions(self.uri) for alias in entry.aliases}

    def delete(self, version: int) -> None:
        store.client(self.uri).delete_model_version(versions.NAME, str(version))


@pytest.fixture
def world(uri: str, make_bundle: MakeBundle, tmp_path: Path) -> World:
    return World(uri, make_bundle, tmp_path / "promote.lock")


def test_first_passes_better_passes_worse_is_challenger(world: World) -> None:
    first = world.repro("0.5")
    assert first.champion.version == 1
    assert "it is the first" in first.action
    assert world.aliases() == {"champion": 1}
    second = world.repro("0.6")
    assert (second.champion.version, second.reasons) == (2, ("as good",))
    assert "Version 2" in second.action
    assert world.aliases() == {"champion": 2, "previous": 1}
    third = world.repro("0.4")
    assert (third.champion.version, third.reasons) == (2, ("ap50 is worse",))
    assert world.aliases() == {"champion": 2, "previous": 1, "challenger": 3}
    tags = info(world.uri, 3).tags
    assert (tags["gate"], tags["gate_against"], tags["gate_reasons"]) == ("failed", "2", "ap50 is worse")
    assert info(world.uri, 1).tags["gate"] == info(world.uri, 2).tags["gate"] == "passed"


def test_gate_acts_once_and_a_persons_move_stands(world: World) -> None:
    world.repro("0.5")
    world.repro("0.6")
    set_alias(world.uri, "champion", 1)
    for _ in range(2):
        report = world.repro("0.6")
        assert report.champion.version == 1
        assert "acted on version 2" in report.action
    assert world.judged == [("0.5", None), ("0.6", 1)]
    assert world.aliases()["champion"] == 1
    assert world.repro("0.55").champion.version == 3  # a new candidate is judged against the person's choice
    assert world.judged[-1] == ("0.55", 1)
    assert world.aliases()["previous"] == 1


def test_failed_one_that_a_person_chose_is_champion(world: World) -> None:
    world.repro("0.5")
    world.repro("0.4")
    set_alias(world.uri, "champion", 2)
    assert world.repro("0.4").champion.version == 2
    assert world.repro("0.5").champion.version == 2  # an older bundle, restored, was judged long ago
    assert len(world.judged) == 2


def test_experiment_becomes_challenger_at_most_and_is_judged_later(world: World) -> None:
    world.repro("0.5")
    report = world.repro("0.6", is_experiment=True)
    assert report.champion.version == 1
    assert "would pass" in report.action
    assert world.aliases() == {"champion": 1, "challenger": 2}
    assert "gate" not in info(world.uri, 2).tags
    assert world.repro("0.5", is_experiment=True).champion.version == 1
    assert world.aliases() == {"champion": 1, "challenger": 2}
    assert world.repro("0.6").champion.version == 2
    assert world.aliases() == {"champion": 2, "previous": 1}


def test_experiment_before_any_champion(world: World) -> None:
    report = world.repro("0.5", is_experiment=True)
    assert report.champion.version == 1
    assert world.aliases() == {"challenger": 1}
    assert world.repro("0.5").champion.aliases == ("champion",)


def test_challenger_of_an_experiment_that_a_person_made_champion(world: World) -> None:
    world.repro("0.5")
    world.repro("0.4", is_experiment=True)
    set_alias(world.uri, "champion", 2)
    report = world.repro("0.4")
    assert report.champion.version == 2
    assert "a person made it so" in report.action
    assert info(world.uri, 2).tags["gate"] == "champion by hand"
    assert world.judged == [("0.5", None), ("0.4", 1)]


def test_deleted_champion_gives_way_to_the_previous_and_does_not_come_back(world: World) -> None:
    world.repro("0.5")
    world.repro("0.6")
    world.delete(2)
    for number in range(2):
        report = world.repro("0.6")  # the bundle is still on disk and is registered again
        assert report.champion.version == 1
        assert ("No version had the alias `champion`" in report.action) == (number == 0)
    assert world.aliases() == {"champion": 1, "previous": 1}
    assert info(world.uri, 3).tags["gate"] == "deleted before"
    assert len(world.judged) == 2


def test_lost_aliases_give_way_to_the_newest_that_passed(world: World) -> None:
    for score in ("0.5", "0.6", "0.4"):
        world.repro(score)
    for alias in ("champion", "previous"):
        set_alias(world.uri, alias, None)
    experiment = world.repro("0.4", is_experiment=True)
    assert experiment.champion.version == 2
    assert "champion" not in world.aliases()
    assert world.repro("0.4").champion.version == 2
    assert world.aliases()["champion"] == 2


def test_nothing_left_but_the_candidate(world: World) -> None:
    world.repro("0.5")
    world.repro("0.4")
    world.delete(1)
    assert world.repro("0.4").champion.version == 2
    world.delete(2)
    assert world.repro("0.4").champion.aliases == ("champion",)


def test_promotion_that_was_killed_half_way_is_finished(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.repro("0.5")
    with monkeypatch.context() as patch:
        patch.setattr("signloop.registry.promote._remember", lambda *_: (_ for _ in ()).throw(SystemExit(9)))
        with pytest.raises(SystemExit):
            world.repro("0.6")
    assert world.aliases() == {"champion": 2, "previous": 1}
    assert world.repro("0.6").champion.version == 2
    assert info(world.uri, 2).tags["gate"] == "passed"
    assert len(world.judged) == 2


def test_person_who_moves_the_alias_during_judging_wins(world: World) -> None:
    for score in ("0.5", "0.6"):
        world.repro(score)
    world.during = lambda: set_alias(world.uri, "champion", 1)
    report = world.repro("0.7")
    assert report.champion.version == 1
    assert "it stands" in report.action
    world.during = lambda: None
    assert world.repro("0.7").champion.version == 3
    assert world.judged[-1] == ("0.7", 1)


def test_judge_that_fails_leaves_no_verdict(world: World) -> None:
    world.repro("0.5")

    def broken() -> None:
        raise RegistryError("scores differ")

    world.during = broken
    with pytest.raises(RegistryError, match="scores differ"):
        world.repro("0.6")
    world.during = lambda: None
    assert world.repro("0.6").champion.version == 2


def test_unregistered_candidate_and_refused_first(uri: str, make_bundle: MakeBundle, tmp_path: Path) -> None:
    def no(_: VersionInfo | None) -> Decision:
        return Decision(False, ("not a number",))

    lock = tmp_path / "x.lock"
    with pytest.raises(RegistryError, match="not registered"):
        promote(uri, model_id="m0", judge=no, is_experiment=False, lock_path=lock)
    folder, model_id = make_bundle("a")
    register(uri, folder, model_id, {})
    with pytest.raises(RegistryError, match=r"there is no champion.*not a number"):
        promote(uri, model_id=model_id, judge=no, is_experiment=False, lock_path=lock)
    assert versions.champion(uri) is None
