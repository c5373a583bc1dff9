import json
import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest

from signloop.core.errors import DataError, ModelError, RegistryError
from signloop.core.files import write_json
from signloop.registry import store, versions
from signloop.registry.runs import find, start_run
from signloop.registry.versions import fetch, fetch_scores, register, resolve, set_alias, set_tags

MakeBundle = Callable[[str], tuple[Path, str]]
CHAMPION = "models:/signloop-labeller@champion"


def stored(uri: str, version: int) -> Path:
    place = store.client(uri).get_model_version_download_uri(versions.NAME, str(version))
    return Path(unquote(urlparse(place).path))


def test_register_and_fetch(uri: str, make_bundle: MakeBundle, tmp_path: Path) -> None:
    folder, model_id = make_bundle("a")
    (folder / "stray.txt").write_text("not in the card")
    with start_run(uri, "signloop", "train", {}, {}) as run:
        pass
    made = register(uri, folder, model_id, {"data_hash": "d", "none": None}, run.run_id, metrics={"ap50": 0.75})
    assert (made.version, made.model_id, made.run_id, made.aliases) == (1, model_id, run.run_id, ())
    assert made.tags["data_hash"] == "d"
    assert "none" not in made.tags
    set_alias(uri, "champion", 1)
    out = fetch(uri, CHAMPION, tmp_path / "out" / "champion")
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()) == [
        "bundle.json", "card.json", "detector/weights.safetensors",
    ]  # fmt: skip
    assert not any(path.is_symlink() for path in stored(uri, 1).rglob("*"))
    assert [path.name for path in out.parent.iterdir()] == ["champion"]
    with pytest.raises(DataError, match="never overwritten"):
        fetch(uri, CHAMPION, out)


def test_the_version_is_seen_by_mlflow_itself(uri: str, make_bundle: MakeBundle, tmp_path: Path) -> None:
    folder, model_id = make_bundle("a")
    made = register(uri, folder, model_id, {"ap50": 0.75}, metrics={"ap50": 0.75})
    set_alias(uri, "champion", 1)
    import mlflow

    with store.as_default(uri):
        got = Path(mlflow.artifacts.download_artifacts(CHAMPION, dst_path=str(tmp_path / "by mlflow")))
    assert (got / "detector" / "weights.safetensors").read_text() == "a"
    (run,) = find(uri, {"model_id": model_id})
    assert (run.run_id, run.metrics) == (made.run_id, {"ap50": 0.75})
    link = store.client(uri)
    (model,) = link.search_logged_models([link.get_run(run.run_id).info.experiment_id])
    assert [(metric.key, metric.value) for metric in model.metrics or []] == [("ap50", 0.75)]
    assert json.loads(model.tags["mlflow.modelVersions"]) == [{"name": "signloop-labeller", "version": 1}]


def test_same_content_is_registered_once(uri: str, make_bundle: MakeBundle) -> None:
    folder, model_id = make_bundle("a")
    other, other_id = make_bundle("b")
    assert [register(uri, folder, model_id, {}).version, register(uri, other, other_id, {}).version] == [1, 2]
    assert register(uri, folder, model_id, {"late": 1}) == versions.info(uri, 1)
    assert len(versions.versions(uri)) == 2
    assert len(find(uri, {"model_id": model_id})) == 1


def test_fetch_refuses_a_damaged_artifact(uri: str, make_bundle: MakeBundle, tmp_path: Path) -> None:
    folder, model_id = make_bundle("a")
    register(uri, folder, model_id, {})
    place = stored(uri, 1)
    whole = shutil.copytree(place, tmp_path / "whole")
    damages: dict[str, Callable[[], object]] = {
        "damaged": lambda: (place / "detector/weights.safetensors").write_text("evil"),
        "missing": (place / "card.json").unlink,
        "card is not the one": lambda: (place / "bundle.json").write_text((whole / "bundle.json").read_text() + " "),
        r"no bundle\.json": (place / "bundle.json").unlink,
    }
    for what, damage in damages.items():
        damage()
        with pytest.raises(RegistryError, match=what):
            fetch(uri, 1, tmp_path / "out")
        assert not list(tmp_path.glob("*out*"))
        shutil.rmtree(place)
        shutil.copytree(whole, place)
    assert fetch(uri, 1, tmp_path / "out").is_dir()


def test_artifacts_that_are_gone(uri: str, make_bundle: MakeBundle, tmp_path: Path) -> None:
    folder, model_id = make_bundle("a")
    register(uri, folder, model_id, {})
    stored(uri, 1).rename(tmp_path / "away")
    with pytest.raises(RegistryError):
        fetch(uri, 1, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_register_refuses_what_is_no_bundle(uri: str, make_bundle: MakeBundle, tmp_path: Path) -> None:
    folder, model_id = make_bundle("a")
    with pytest.raises(ModelError, match="another model id"):
        register(uri, folder, "m0", {})
    for name in ("../secret", "/etc/hosts", "weights.pt"):
        write_json(folder / "bundle.json", {"model_id": model_id, "files": {name: "0"}})
        with pytest.raises(ModelError, match="not allowed"):
            register(uri, folder, model_id, {})
    write_json(folder / "bundle.json", {"model_id": model_id, "files": {}})
    with pytest.raises(ModelError, match="names no files"):
        register(uri, folder, model_id, {})
    (folder / "bundle.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be read"):
        register(uri, folder, model_id, {})
    with pytest.raises(ModelError, match=r"no bundle\.json"):
        register(uri, tmp_path, model_id, {})
    assert versions.versions(uri) == []


def test_references(uri: str, make_bundle: MakeBundle) -> None:
    assert versions.champion(uri) is None
    with pytest.raises(RegistryError, match=r"no version has this alias.*found none.*dvc repro"):
        resolve(uri, CHAMPION)
    folder, model_id = make_bundle("a")
    register(uri, folder, model_id, {})
    set_alias(uri, "challenger", 1)
    with pytest.raises(RegistryError, match=r"found challenger \(version 1\)"):
        resolve(uri, CHAMPION)
    assert resolve(uri, "models:/signloop-labeller/1") == resolve(uri, 1) == resolve(uri, "models:/signloop-labeller@challenger")
    with pytest.raises(RegistryError, match=r"no such version.*\[1\]"):
        resolve(uri, 7)
    for wrong in ("models:/other@champion", "signloop-labeller", "models:/signloop-labeller@../x", "models:/signloop-labeller"):
        with pytest.raises(RegistryError, match="no reference"):
            resolve(uri, wrong)
    set_alias(uri, "challenger", None)
    assert versions.info(uri, 1).aliases == ()
    with pytest.raises(RegistryError, match="alias cannot be set"):
        set_alias(uri, "champion", 9)


def test_scores_lie_with_the_version(uri: str, make_bundle: MakeBundle, tmp_path: Path) -> None:
    folder, model_id = make_bundle("a")
    (tmp_path / "scores").mkdir()
    write_json(tmp_path / "scores" / "recordings.json", {"r1": 0.5})
    register(uri, folder, model_id, {}, scores=tmp_path / "scores")
    got = fetch_scores(uri, 1, tmp_path / "got")
    assert got is not None
    assert json.loads((got / "recordings.json").read_text()) == {"r1": 0.5}
    assert not (fetch(uri, 1, tmp_path / "out") / "scores").exists()
    (stored(uri, 1) / "scores" / "recordings.json").write_text("{}")
    with pytest.raises(RegistryError, match="damaged"):
        fetch_scores(uri, 1, tmp_path / "again")
    other, other_id = make_bundle("b")
    register(uri, other, other_id, {})
    assert fetch_scores(uri, 2, tmp_path / "none") is None
    set_tags(uri, 2, {"ap50": 0.25})
    assert versions.info(uri, 2).tags["ap50"] == "0.25"
    with pytest.raises(RegistryError, match="cannot be tagged"):
        set_tags(uri, 9, {"a": 1})
