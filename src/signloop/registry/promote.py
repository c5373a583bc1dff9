"""A candidate and a judge in, the champion out: the gate acts once per content, afterwards only the aliases count."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from signloop.core.errors import RegistryError
from signloop.registry import store
from signloop.registry.versions import (
    CHALLENGER,
    CHAMPION,
    NAME,
    PREVIOUS,
    VersionInfo,
    by_alias,
    by_model_id,
    champion,
    info,
    set_alias,
    set_tags,
    versions,
)

# Tags of a version. GATE is written last: with AGAINST but no GATE, a promotion was cut off half way.
GATE, AGAINST, REASONS = "gate", "gate_against", "gate_reasons"
PASSED, FAILED, BY_HAND, DELETED = "passed", "failed", "champion by hand", "deleted before"
JUDGING_SECONDS = 7200.0  # a judge may have to score the champion again
MEMORY = "gate."  # tag of the registered model, with the model id: a verdict outlives the version that it was passed on


class Decision(Protocol):
    """What a judge says; `measure.gate.Decision` is one."""

    @property
    def passed(self) -> bool:
        """Whether the candidate may replace the champion."""

    @property
    def reasons(self) -> Sequence[str]:
        """Sentences for a person."""


Judge = Callable[[VersionInfo | None], Decision]


@dataclass(frozen=True)
class PromoteReport:
    """What `promote` found and did.

    Attributes:
        champion: the version that serves from now on. In an experiment before there is any champion: the candidate, without an alias.
        action: one or two sentences for a person.
        reasons: of the gate, if it acted now; else empty.
    """

    champion: VersionInfo
    action: str
    reasons: tuple[str, ...]


def promote(uri: str, *, model_id: str, judge: Judge, is_experiment: bool, lock_path: Path) -> PromoteReport:
    """Let the gate act on a candidate once, then obey the aliases.

    - The gate acts once per model id. Verdict, reasons and the champion it was judged against become tags of the version; the
      verdict is also kept at the registered model, so that a version which a person deleted does not come back as champion
      when its content is registered again.
    - Passed: the champion becomes `previous`, the candidate `champion`. Failed: the candidate becomes `challenger`.
    - Where a person has put the alias `champion`, it stands until a candidate that was not judged before passes against it.
      A candidate whom a person made champion before the gate saw it is not judged any more.
    - In an experiment the candidate becomes `challenger` at most and no verdict is kept: the gate acts when it comes outside of one.
    - If no version is champion any more (version or alias deleted), `previous` takes over, else the newest version that passed or
      that a person had made champion; if there is none of these, the candidate is judged like the first one.

    Args:
        uri: of the store.
        model_id: of the candidate, which is registered.
        judge: compares the candidate with a champion (None: there is none); called at most once, and may take long.
        is_experiment: within `dvc exp`.
        lock_path: held throughout; one promotion at a time.

    Raises:
        RegistryError: the candidate is not registered, or the first one failed so that there is no champion, or the lock is not freed.
    """
    with store.held(lock_path, JUDGING_SECONDS):
        candidate = by_model_id(uri, model_id)
        if candidate is None:
            raise RegistryError("the candidate is not registered", where=model_id, todo="Register it first (`dvc repro promote` does).")
        current, note = _current(uri, repair=not is_experiment)
        if is_experiment:
            return _experiment(uri, candidate, current, judge, note)
        if current is not None and current.version == candidate.version and GATE not in candidate.tags:
            return _note_champion(uri, candidate, note)
        known = _verdict(uri, candidate)
        if known is not None and current is not None:
            if GATE not in candidate.tags:
                set_tags(uri, candidate.version, {GATE: DELETED})
                known = f"{known} before a person deleted it"
            words = f"{_name(current)} is champion; the gate has acted on {_name(candidate)} already ({known})."
            return PromoteReport(current, _join(note, words), ())
        return _judge(uri, candidate, current, judge, note)


def _current(uri: str, *, repair: bool) -> tuple[VersionInfo | None, str]:
    found = champion(uri)
    if found is not None:
        return found, ""
    fit = [entry for entry in versions(uri) if entry.tags.get(GATE) in {PASSED, BY_HAND}]
    heir = by_alias(uri, PREVIOUS) or next(iter(fit), None)
    if heir is None:
        return None, ""
    if repair:
        set_alias(uri, CHAMPION, heir.version)
    how = "becomes" if repair else "stands in as"
    return info(uri, heir.version), f"No version had the alias `{CHAMPION}` any more: {_name(heir)} {how} champion."


def _experiment(uri: str, candidate: VersionInfo, current: VersionInfo | None, judge: Judge, note: str) -> PromoteReport:
    if current is not None and current.version == candidate.version:
        return PromoteReport(current, _join(note, f"{_name(current)} is champion already."), ())
    decision = judge(current)
    set_alias(uri, CHALLENGER, candidate.version)
    would = "would pass" if decision.passed else "would not pass"
    words = f"An experiment: {_name(candidate)} becomes challenger at most; outside it {would} the gate."
    return PromoteReport(current or info(uri, candidate.version), _join(note, words), tuple(decision.reasons))


def _note_champion(uri: str, candidate: VersionInfo, note: str) -> PromoteReport:
    # Either a person set the alias before the gate saw this version, or a promotion was killed after it had set the alias.
    verdict = PASSED if AGAINST in candidate.tags else BY_HAND
    _remember(uri, candidate, verdict)
    words = f"{_name(candidate)} is champion" + ("." if verdict == PASSED else ": a person made it so, the gate does not act.")
    return PromoteReport(info(uri, candidate.version), _join(note, words), ())


def _judge(uri: str, candidate: VersionInfo, current: VersionInfo | None, judge: Judge, note: str) -> PromoteReport:
    decision = judge(current)
    reasons = tuple(decision.reasons)
    meanwhile = champion(uri)
    if meanwhile is not None and (current is None or meanwhile.version != current.version):
        words = f"While {_name(candidate)} was judged, a person made {_name(meanwhile)} champion: it stands; the next run judges again."
        return PromoteReport(meanwhile, _join(note, words), reasons)
    against = "nothing: the first" if current is None else str(current.version)
    if decision.passed:
        set_tags(uri, candidate.version, {AGAINST: against, REASONS: "\n".join(reasons)})
        if current is not None:
            set_alias(uri, PREVIOUS, current.version)
        set_alias(uri, CHAMPION, candidate.version)
        if CHALLENGER in candidate.aliases:
            set_alias(uri, CHALLENGER, None)
        _remember(uri, candidate, PASSED)
        then = f"; {_name(current)} is previous." if current else ": it is the first."
        words = f"{_name(candidate)} passed the gate and is champion{then}"
        return PromoteReport(info(uri, candidate.version), _join(note, words), reasons)
    set_alias(uri, CHALLENGER, candidate.version)
    if current is None:
        raise RegistryError("the gate refused the candidate and there is no champion", where=_name(candidate), found="; ".join(reasons),
                            todo=f"Set the alias `{CHAMPION}` in the MLflow UI by hand, or train again with other params.")  # fmt: skip
    set_tags(uri, candidate.version, {AGAINST: against, REASONS: "\n".join(reasons)})
    _remember(uri, candidate, FAILED)
    words = f"{_name(candidate)} did not pass the gate and is challenger; {_name(current)} stays champion."
    return PromoteReport(info(uri, current.version), _join(note, words), reasons)


def _verdict(uri: str, candidate: VersionInfo) -> str | None:
    if GATE in candidate.tags:
        return candidate.tags[GATE]
    with store.understood("the verdicts of the gate cannot be read", uri):
        remembered: dict[str, str] = store.client(uri).get_registered_model(NAME).tags
    return remembered.get(MEMORY + candidate.model_id)


def _remember(uri: str, candidate: VersionInfo, verdict: str) -> None:
    with store.understood("the verdict of the gate cannot be kept", uri):
        store.client(uri).set_registered_model_tag(NAME, MEMORY + candidate.model_id, verdict)
    set_tags(uri, candidate.version, {GATE: verdict})


def _name(version: VersionInfo) -> str:
    return f"version {version.version} ({version.model_id})" if version.model_id else f"version {version.version}"


def _join(*sentences: str) -> str:
    return " ".join(text[0].upper() + text[1:] for text in sentences if text)
