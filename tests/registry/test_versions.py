import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest

from signloop.core.errors import DataError, ModelError, RegistryError
from signloop.core.files import write_json
from signloop.registry import store, versions
from signloop.registry.runs import find, start_run
from signloop.registry.versions import Measured, fetch, fetch_scores, keep_scores, register, resolve, set_alias, set_tags

MakeBundle = Callable[[str], tuple[Path, str]]
CHAMPION = "models:/signloop-labeller@champion"


def stored(uri: str, version: int) -> Path:
    place = store.client(uri).get_model_version_download_uri(versions.NAME, str(version))
    return Path(unquote(urlparse(place).path))


def measure(folder: Path, metrics: Mapping[str, float | None], test_version: str) -> Measured:
    """What a stage hands over: the numbers, and a folder with the same ones."""
    shutil.rmtree(folder, ignore_errors=True)
    write_json(folder / "scores.json", {"metrics": dict(metrics), "test_version": test_version})
    return Measured(metrics, {"test_version": test_version}, folder)


def stored_scores(uri: str, version: int, folder: Path) -> dict[str, object] | None:
    """What the gate would read of a version."""
    shutil.rmtree(folder, ignore_errors=True)
    got = fetch_scores(uri, version, folder)
    return None if got is None else json.loads((got / "scores.json").read_text())


def test_register_and_fetch(uri: str, make_bundle: MakeBundle, tmp_path: Path) -> None:
    folder, model_id = make_bundle("a")
    (folder / "stray.txt").write_text("not in the card")
    with start_run(uri, "signloop", "train", {}, {}) as run:
        pass
    made = register(uri, folder, model_id, {"data_hash": "d", "none": None}, run.run_id)
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
    made = register(uri, folder, model_id, {}, measured=measure(tmp_path / "scores", {"ap50": 0.75, "sign_recall": None}, "t1"))
    assert made.tags["ap50"] == "0.7500"
    assert "sign_recall" not in made.tags
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
    assert [register(uri, folder, model_id, {"at": "first"}).version, register(uri, other, other_id, {}).version] == [1, 2]
    again = register(uri, folder, model_id, {"at": "later", "late": 1})
    assert again == versions.info(uri, 1)
    assert (again.tags["at"], again.tags["late"]) == ("first", "1")  # what it lacks is added, what it says of its making stays
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
    register(uri, folder, model_id, {}, measured=measure(tmp_path / "scores", {"ap50": 0.5}, "t1"))
    assert stored_scores(uri, 1, tmp_path / "got") == {"metrics": {"ap50": 0.5}, "test_version": "t1"}
    assert not list(fetch(uri, 1, tmp_path / "out").glob("scores*"))
    (place,) = stored(uri, 1).glob("scores-*")
    (place / "scores.json").write_text("{}")
    with pytest.raises(RegistryError, match="damaged"):
        fetch_scores(uri, 1, tmp_path / "again")
    other, other_id = make_bundle("b")
    register(uri, other, other_id, {})
    assert fetch_scores(uri, 2, tmp_path / "none") is None


def test_tags_are_set_and_taken_away(uri: str, make_bundle: MakeBundle) -> None:
    folder, model_id = make_bundle("a")
    register(uri, folder, model_id, {"old": "x"})
    set_tags(uri, 1, {"ap50": 0.25, "old": None, "never was": None})
    tags = versions.info(uri, 1).tags
    assert tags["ap50"] == "0.25"
    assert not {"old", "never was"} & tags.keys()
    with pytest.raises(RegistryError, match="cannot be tagged"):
        set_tags(uri, 9, {"a": 1})


def test_scores_of_a_known_model_follow_what_is_measured_now(uri: str, make_bundle: MakeBundle, tmp_path: Path) -> None:
    folder, model_id = make_bundle("a")
    register(uri, folder, model_id, {"git_commit": "c1"}, measured=measure(tmp_path / "1", {"ap50": 0.5, "sign_recall": 0.9}, "t1"))
    set_alias(uri, "champion", 1)
    set_tags(uri, 1, {"gate": "passed"})
    for _ in range(2):  # the second time, nothing is new
        newer = measure(tmp_path / "2", {"ap50": 0.6, "sign_recall": None}, "t2")
        now = register(uri, folder, model_id, {"git_commit": "c2"}, measured=newer)
        assert (now.version, now.aliases, now.tags["gate"], now.tags["git_commit"]) == (1, ("champion",), "passed", "c1")
        assert (now.tags["ap50"], now.tags["test_version"]) == ("0.6000", "t2")
        assert "sign_recall" not in now.tags  # of the former test set, and no longer measured
        assert stored_scores(uri, 1, tmp_path / "got") == {"metrics": {"ap50": 0.6, "sign_recall": None}, "test_version": "t2"}
    (run,) = find(uri, {"model_id": model_id})
    assert (run.metrics["ap50"], run.tags["test_version"]) == (0.6, "t2")
    assert [entry.value for entry in store.client(uri).get_metric_history(run.run_id, "ap50")] == [0.5, 0.6]
    assert register(uri, folder, model_id, {}) == now  # nothing measured: nothing follows


def test_scores_stay_where_they_are_not_to_follow(uri: str, make_bundle: MakeBundle, tmp_path: Path) -> None:
    folder, model_id = make_bundle("a")
    register(uri, folder, model_id, {})
    for value in (0.5, 0.6):
        now = register(uri, folder, model_id, {}, measured=measure(tmp_path / "s", {"ap50": value}, "t1"), follow=False)
        assert now.tags["ap50"] == "0.5000"


def test_scores_that_were_cut_off_leave_the_former_ones_whole(
    uri: str, make_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, model_id = make_bundle("a")
    register(uri, folder, model_id, {}, measured=measure(tmp_path / "1", {"ap50": 0.5}, "t1"))
    newer = measure(tmp_path / "2", {"ap50": 0.6}, "t2")
    with monkeypatch.context() as patch:
        patch.setattr(versions, "set_tags", lambda *_: (_ for _ in ()).throw(SystemExit(9)))
        with pytest.raises(SystemExit):
            keep_scores(uri, 1, newer)
    assert stored_scores(uri, 1, tmp_path / "got") == {"metrics": {"ap50": 0.5}, "test_version": "t1"}
    keep_scores(uri, 1, newer)
    assert stored_scores(uri, 1, tmp_path / "got") == {"metrics": {"ap50": 0.6}, "test_version": "t2"}


def test_scores_follow_though_a_person_deleted_the_run_or_the_files(uri: str, make_bundle: MakeBundle, tmp_path: Path) -> None:
    folder, model_id = make_bundle("a")
    made = register(uri, folder, model_id, {}, measured=measure(tmp_path / "s", {"ap50": 0.5}, "t1"))
    link = store.client(uri)
    link.delete_run(str(made.run_id))
    keep_scores(uri, 1, measure(tmp_path / "s", {"ap50": 0.6}, "t2"))
    assert versions.info(uri, 1).tags["ap50"] == "0.6000"
    assert stored_scores(uri, 1, tmp_path / "got") == {"metrics": {"ap50": 0.6}, "test_version": "t2"}
    link.delete_logged_model(str(link.get_model_version(versions.NAME, "1").source).removeprefix("models:/"))
    keep_scores(uri, 1, measure(tmp_path / "s", {"ap50": 0.7}, "t3"))
    tags = versions.info(uri, 1).tags
    assert (tags["ap50"], tags["test_version"]) == ("0.7000", "t3")
    assert fetch_scores(uri, 1, tmp_path / "none") is None  # not the scores of another test set


def test_a_version_leads_to_its_trainings(uri: str, make_bundle: MakeBundle) -> None:
    ids = []
    for network in ("detector", "classifier"):
        with start_run(uri, "signloop", f"train {network}", {}, {}) as run:
            ids.append(run.run_id)
    both = {"detector_run": ids[0], "classifier_run": ids[1]}
    text = f"Trained in these runs: [detector](#/runs/{ids[0]}), [classifier](#/runs/{ids[1]})"
    link = store.client(uri)

    def description(version: int) -> str:
        return link.get_model_version(versions.NAME, str(version)).description or ""

    folder, model_id = make_bundle("a")
    made = register(uri, folder, model_id, both)
    assert both.items() <= made.tags.items()
    assert description(1) == text
    link.update_model_version(versions.NAME, "1", "The one for Ann.")
    register(uri, folder, model_id, both)
    assert description(1) == "The one for Ann."
    folder, model_id = make_bundle("b")  # registered before its trainings were known
    register(uri, folder, model_id, {})
    assert description(2) == ""
    register(uri, folder, model_id, {**both, "classifier_run": None})
    assert description(2) == f"Trained in these runs: [detector](#/runs/{ids[0]})"
    register(uri, folder, model_id, both)
    assert description(2) == text
