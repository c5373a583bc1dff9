"""A bundle folder in, a registered version of `signloop-labeller` out; and back: an alias in, a folder whose hashes were checked out."""

import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, cast

from signloop.core.errors import DataError, ModelError, RegistryError
from signloop.core.files import atomic_folder, read_json, sha256_file, write_json
from signloop.registry import store
from signloop.registry.runs import Run, start_run

if TYPE_CHECKING:
    from mlflow import MlflowClient

NAME = "signloop-labeller"
CARD = "bundle.json"
SCORES_CARD = "hashes.json"
SCORES_TAG = "scores_card"  # sha256 of the scores' card; written last, so that scores which were cut off half way are kept anew
TRAININGS = ("detector_run", "classifier_run")  # tags that hold the ids of runs
CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
PICKLES = frozenset({".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".joblib"})
LONGEST_TAG = 5000
SOURCE = re.compile(r"models:/(?P<id>m-\w+)")  # of a version: MLflow's logged model, which holds the files
REFERENCE = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>[0-9]+))")


@dataclass(frozen=True)
class VersionInfo:
    """One registered version.

    Attributes:
        version: counts from 1.
        model_id: of the bundle; "" for a version that was not registered by this package.
        tags: scores, hashes, verdict of the gate, as text.
        aliases: sorted.
        run_id: of its source run; None if it has none.
    """

    version: int
    model_id: str
    tags: Mapping[str, str]
    aliases: tuple[str, ...]
    run_id: str | None


@dataclass(frozen=True)
class Measured:
    """Scores of a version, and what they were measured on.

    Attributes:
        metrics: shown at the run and the version, and with four places as tags. None: not measured.
        on: tags beside them: test set, parameters.
        folder: files with scores per recording, kept with the version (see `fetch_scores`).
    """

    metrics: Mapping[str, float | None]
    on: Mapping[str, object]
    folder: Path


def register(
    uri: str, bundle_folder: Path, model_id: str, tags: Mapping[str, object], run_id: str | None = None, *,
    measured: Measured | None = None, follow: bool = True, experiment: str = "signloop", artifact_root: Path | None = None,
) -> VersionInfo:  # fmt: skip
    """Register a bundle once per content: the same model id gives the version that is already there.

    A version that is there keeps its tags and gets those it lacks. Its scores follow what is measured now.

    Args:
        uri: of the store.
        bundle_folder: holds bundle.json with `model_id` and `files` (name -> sha256) and these files; checked before anything is sent.
        model_id: of the bundle.
        tags: of the version: hashes, git commit. A tag whose value is None is left out. Those in TRAININGS are shown as links, too.
        run_id: source run; None makes a run of its own.
        measured: its scores; None keeps those that are there.
        follow: whether other scores take the place of those that are there.
        experiment: of the run that is made.
        artifact_root: as in `store.prepare`.

    Raises:
        ModelError: the bundle is incomplete, damaged, holds a pickle, or has another model id.
        RegistryError: the store cannot be used.
    """
    files = _check(bundle_folder, ModelError)
    found = read_json(bundle_folder / CARD).get("model_id")
    if found != model_id:
        raise ModelError("the bundle has another model id", where=bundle_folder, expected=model_id, found=found)
    link = store.client(uri, artifact_root)
    given = {key: str(value)[:LONGEST_TAG] for key, value in tags.items() if value is not None}
    every = {**given, "model_id": model_id, "bundle_sha256": sha256_file(bundle_folder / CARD)}
    with store.lock(uri):
        known = by_model_id(uri, model_id)
        if known is not None:
            number = known.version
            _complete(link, uri, known, every)
        else:
            with (
                nullcontext(Run(link, run_id)) if run_id is not None
                else start_run(uri, experiment, f"bundle {model_id}", every, {}, artifact_root=artifact_root)
            ) as run:  # fmt: skip
                number = _upload(link, uri, run, bundle_folder, files, every)
        if measured is not None and (follow or known is None or SCORES_TAG not in known.tags):
            keep_scores(uri, number, measured)
        return info(uri, number)


def keep_scores(uri: str, version: int, measured: Measured) -> None:
    """Keep scores with a version in the place of those it has; the same ones are not kept twice.

    Where a person deleted what holds the files of the version, or registered it by other means, only its tags follow.

    Raises:
        RegistryError: there is no such version.
    """
    link = store.client(uri)
    names = [path.relative_to(measured.folder).as_posix() for path in sorted(measured.folder.rglob("*")) if path.is_file()]
    on = {key: str(value)[:LONGEST_TAG] for key, value in measured.on.items()}
    numbers = {key: value for key, value in measured.metrics.items() if value is not None}
    shown = {**on, **{key: f"{numbers[key]:.4f}" if key in numbers else None for key in measured.metrics}}
    with store.lock(uri), tempfile.TemporaryDirectory() as scratch:
        write_json(Path(scratch) / SCORES_CARD, {"files": {name: sha256_file(measured.folder / name) for name in names}})
        card = sha256_file(Path(scratch) / SCORES_CARD)
        if info(uri, version).tags.get(SCORES_TAG) == card:
            return
        for name in names:
            _link(measured.folder / name, Path(scratch) / name)
        with store.understood("the scores cannot be kept", f"models:/{NAME}/{version}"):
            model_id, run = _source(link, version)
            if model_id is not None:
                link.log_model_artifacts(model_id, scratch, _scores_folder(card))
                link.set_logged_model_tags(model_id, on)
        if run is not None:
            run.log_metrics(numbers, model_id=model_id)
            run.set_tags(on)
        set_tags(uri, version, {**shown, SCORES_TAG: None if model_id is None else card})


def champion(uri: str) -> VersionInfo | None:
    """Return the version with the alias `champion`, or None."""
    return by_alias(uri, CHAMPION)


def by_alias(uri: str, alias: str) -> VersionInfo | None:
    """Return the version with an alias, or None."""
    return next((entry for entry in versions(uri) if alias in entry.aliases), None)


def by_model_id(uri: str, model_id: str) -> VersionInfo | None:
    """Return the newest version of a bundle's content, or None."""
    return next((entry for entry in versions(uri) if entry.model_id == model_id), None)


def info(uri: str, version: int) -> VersionInfo:
    """Return a version by number.

    Raises:
        RegistryError: there is none.
    """
    every = versions(uri)
    found = next((entry for entry in every if entry.version == version), None)
    if found is None:
        raise RegistryError("there is no such version", where=f"models:/{NAME}/{version}", found=sorted(entry.version for entry in every))
    return found


def versions(uri: str) -> list[VersionInfo]:
    """Return all versions, newest first; none for a store in which nothing was registered."""
    link = store.client(uri)
    with store.understood("the registry cannot be read", uri):
        models = link.search_registered_models(f"name = '{NAME}'")
        if not models:
            return []
        aliases: dict[int, list[str]] = {}
        for alias, number in models[0].aliases.items():
            aliases.setdefault(int(number), []).append(alias)
        found = cast(list[Any], link.search_model_versions(f"name = '{NAME}'"))
    entries = []
    for version in found:
        number, tags = int(version.version), dict(version.tags)
        names = tuple(sorted(aliases.get(number, [])))
        entries.append(VersionInfo(number, tags.get("model_id", ""), tags, names, version.run_id or None))
    return sorted(entries, key=lambda entry: -entry.version)


def set_alias(uri: str, alias: str, version: int | None) -> None:
    """Point an alias at a version; None takes the alias away.

    Raises:
        RegistryError: there is no such version.
    """
    link = store.client(uri)
    with store.understood("the alias cannot be set", f"{NAME}@{alias}"):
        if version is None:
            link.delete_registered_model_alias(NAME, alias)
        else:
            link.set_registered_model_alias(NAME, alias, str(version))


def set_tags(uri: str, version: int, tags: Mapping[str, object]) -> None:
    """Set tags of a version; None takes a tag away.

    Raises:
        RegistryError: there is no such version.
    """
    link = store.client(uri)
    with store.understood("the version cannot be tagged", f"{NAME}/{version}"):
        for key, value in tags.items():
            if value is None:
                link.delete_model_version_tag(NAME, str(version), key)
            else:
                link.set_model_version_tag(NAME, str(version), key, str(value)[:LONGEST_TAG])


def resolve(uri: str, ref: str | int) -> VersionInfo:
    """Return the version that `models:/signloop-labeller@ALIAS`, `models:/signloop-labeller/3` or a number means.

    Raises:
        RegistryError: the reference is malformed, of another model, or names what is not there.
    """
    if isinstance(ref, int):
        return info(uri, ref)
    match = REFERENCE.fullmatch(ref)
    if match is None or match["name"] != NAME:
        wanted = f"models:/{NAME}@{CHAMPION} or models:/{NAME}/3"
        raise RegistryError("this is no reference to a registered model", where=ref, expected=wanted)
    if match["version"]:
        return info(uri, int(match["version"]))
    found = by_alias(uri, match["alias"])
    if found is None:
        there = sorted(f"{alias} (version {entry.version})" for entry in versions(uri) for alias in entry.aliases)
        raise RegistryError("no version has this alias", where=ref, expected="an alias that is set", found=", ".join(there) or "none",
                            todo="Run `dvc repro` to train and register a model, or set the alias in the MLflow UI.")  # fmt: skip
    return found


def fetch(uri: str, ref: str | int, out_folder: Path) -> Path:
    """Download a version's bundle into a new folder; every file is checked against bundle.json, which is checked against the version's tag.

    Args:
        uri: of the store.
        ref: see `resolve`.
        out_folder: must not exist; absent after an error.

    Returns:
        `out_folder`.

    Raises:
        DataError: `out_folder` exists.
        RegistryError: no such version, or what the store holds is missing or damaged.
    """
    version = resolve(uri, ref)
    with atomic_folder(out_folder) as target, tempfile.TemporaryDirectory(prefix=f".{out_folder.name}.", dir=target.parent) as scratch:
        got = _download(uri, version, "", Path(scratch))
        files = _check(got, RegistryError, version.tags.get("bundle_sha256"))
        for name in (CARD, *files):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(got / name, target / name)
    return out_folder


def fetch_scores(uri: str, ref: str | int, out_folder: Path) -> Path | None:
    """Download the scores kept with a version into a new folder; None if it has none.

    Raises:
        DataError: `out_folder` exists.
        RegistryError: no such version, or the store cannot give them.
    """
    version = resolve(uri, ref)
    card = version.tags.get(SCORES_TAG)
    if card is None:
        return None
    with atomic_folder(out_folder) as target, tempfile.TemporaryDirectory(prefix=f".{out_folder.name}.", dir=target.parent) as scratch:
        got = _download(uri, version, _scores_folder(card), Path(scratch))
        for name in _check(got, RegistryError, card, SCORES_CARD):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(got / name, target / name)
    return out_folder


def _check(
    folder: Path, error: type[ModelError] | type[RegistryError], card_sha256: str | None = None, card_name: str = CARD,
) -> dict[str, str]:  # fmt: skip
    card = folder / card_name
    if not card.is_file():
        raise error(f"the bundle has no {card_name}", where=folder, todo="Run `dvc repro`; if it goes on, register the bundle again.")
    if card_sha256 is not None and sha256_file(card) != card_sha256:
        raise error("the bundle's card is not the one that was registered", where=card, expected=card_sha256, found=sha256_file(card))
    try:
        content = read_json(card)
    except DataError as cause:
        raise error("the bundle's card cannot be read", where=card, found=str(cause)) from cause
    files = content.get("files") if isinstance(content, dict) else None
    if not isinstance(files, dict) or not files or not all(isinstance(value, str) for value in files.values()):
        raise error("the bundle's card names no files", where=card, expected="files: {name: sha256}")
    _compare(folder, files, error)
    return files


def _compare(folder: Path, files: Mapping[str, str], error: type[ModelError] | type[RegistryError]) -> None:
    for name, expected in files.items():
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or "\\" in name or ".." in parts or PurePosixPath(name).suffix.lower() in PICKLES:
            raise error("a file of the bundle is not allowed", where=name, expected="a plain relative name, no pickle")
        path = folder / name
        if path.is_symlink() or not path.is_file():
            raise error("a file of the bundle is missing", where=path)
        found = sha256_file(path)
        if found != expected:
            raise error("a file of the bundle is damaged", where=path, expected=f"sha256 {expected}", found=found)


def _upload(link: "MlflowClient", uri: str, run: Run, folder: Path, files: Mapping[str, str], tags: Mapping[str, str]) -> int:
    with store.understood("the bundle cannot be registered", folder), tempfile.TemporaryDirectory() as scratch:
        for name in (CARD, *files):
            _link(folder / name, Path(scratch) / name)
        experiment = link.get_run(run.run_id).info.experiment_id
        model = link.create_logged_model(experiment, name=NAME, source_run_id=run.run_id, tags=dict(tags), model_type="bundle")
        link.log_model_artifacts(model.model_id, scratch)
        link.finalize_logged_model(model.model_id, "READY")
        if not link.search_registered_models(f"name = '{NAME}'"):
            link.create_registered_model(NAME, description="Detector, classifier and calibration in one bundle, made by signloop.")
        with store.as_default(uri):  # the source is looked up in the process-wide store only
            made = link.create_model_version(
                NAME, source=model.model_uri, run_id=run.run_id, tags=dict(tags), description=_links(tags), model_id=model.model_id
            )
        # A server sets this itself; without one the model's page in the UI would not show its version.
        link.set_logged_model_tags(model.model_id, {"mlflow.modelVersions": json.dumps([{"name": NAME, "version": made.version}])})
    return int(made.version)


def _complete(link: "MlflowClient", uri: str, known: VersionInfo, tags: Mapping[str, str]) -> None:
    missing = {key: value for key, value in tags.items() if key not in known.tags}
    set_tags(uri, known.version, missing)
    with store.understood("the version cannot be described", f"models:/{NAME}/{known.version}"):
        now = link.get_model_version(NAME, str(known.version)).description or ""
        links = _links({**known.tags, **missing})
        if now != links and now in ("", _links(known.tags)):  # what a person wrote there stands
            link.update_model_version(NAME, str(known.version), links)


def _links(tags: Mapping[str, str]) -> str:
    # MLflow shows a tag as plain text, a description as Markdown; `#/runs/` is a page of its UI.
    found = [f"[{key.removesuffix('_run')}](#/runs/{tags[key]})" for key in TRAININGS if key in tags]
    return f"Trained in these runs: {', '.join(found)}" if found else ""


def _source(link: "MlflowClient", version: int) -> tuple[str | None, Run | None]:
    """Return MLflow's logged model of a version and its run, each None if it is not there any more."""
    found = link.get_model_version(NAME, str(version))
    source = SOURCE.fullmatch(found.source or "")
    model_id = run = None
    if source is not None:
        with _may_be_gone():
            model_id = link.get_logged_model(source["id"]).model_id
    if found.run_id:
        with _may_be_gone():
            run = Run(link, found.run_id) if link.get_run(found.run_id).info.lifecycle_stage == "active" else None
    return model_id, run


@contextmanager
def _may_be_gone() -> Iterator[None]:
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise


def _scores_folder(card: str) -> str:
    return f"scores-{card[:12]}"  # a folder of their own: a half written one leaves the former scores whole


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.symlink_to(source.resolve())


def _download(uri: str, version: VersionInfo, path: str, scratch: Path) -> Path:
    link = store.client(uri)
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    with store.understood("the files of the version cannot be had", f"models:/{NAME}/{version.version}"):
        place = link.get_model_version_download_uri(NAME, str(version.version))
        repository: Any = get_artifact_repository(place, tracking_uri=uri, registry_uri=uri)
        return Path(repository.download_artifacts(path, dst_path=str(scratch)))
