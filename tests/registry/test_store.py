import logging
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from signloop.core.errors import RegistryError
from signloop.registry import store, versions
from signloop.registry.runs import find, start_run

PREPARE = "import sys; from signloop.registry import store; store.prepare(sys.argv[1])"


def test_two_processes_create_the_store_at_once(tmp_path: Path) -> None:
    uri = store.sqlite_uri(tmp_path)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    both = [subprocess.Popen([sys.executable, "-c", PREPARE, uri], cwd=tmp_path, env=environment, stderr=subprocess.PIPE) for _ in range(2)]
    for process in both:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()
        assert errors == b""  # quiet, too
    assert versions.versions(uri) == []
    assert {path.name for path in tmp_path.iterdir()} <= {"mlflow.db", "mlflow.db.lock"}


def test_packages_import_without_mlflow() -> None:
    code = "import sys; from signloop.registry import store, runs, versions, promote; sys.exit('mlflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_nothing_is_written_into_the_working_folder_or_the_environment(uri: str, make_bundle: object) -> None:
    folder, model_id = make_bundle("a")  # type: ignore[operator]
    versions.register(uri, folder, model_id, {})
    assert list(Path.cwd().iterdir()) == []
    assert "MLFLOW_TRACKING_URI" not in os.environ


def test_default_store_is_put_back(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///before.db")
    with store.as_default(uri):
        assert os.environ["MLFLOW_TRACKING_URI"] == uri
    assert os.environ["MLFLOW_TRACKING_URI"] == "sqlite:///before.db"


def test_moved_project_finds_its_artifacts(uri: str, make_bundle: object, tmp_path: Path) -> None:
    folder, model_id = make_bundle("a")  # type: ignore[operator]
    made = versions.register(uri, folder, model_id, {})
    versions.set_alias(uri, "champion", made.version)
    shutil.move(tmp_path / "a project ü", tmp_path / "moved")
    there = store.sqlite_uri(tmp_path / "moved")
    assert (versions.fetch(there, "models:/signloop-labeller@champion", tmp_path / "out") / "card.json").is_file()
    with start_run(there, "signloop", "after", {"k": "v"}, {}) as run:
        run.log_artifact(folder / "card.json")
    assert not (tmp_path / "a project ü").exists()
    assert list((tmp_path / "moved" / "mlruns" / "signloop").glob("*/artifacts/card.json"))


def test_artifacts_in_a_chosen_folder_stay_there(uri: str, make_bundle: object, tmp_path: Path) -> None:
    folder, model_id = make_bundle("a")  # type: ignore[operator]
    versions.register(uri, folder, model_id, {}, artifact_root=tmp_path / "big disk")
    (tmp_path / "a project ü" / "mlruns").mkdir()
    assert (versions.fetch(uri, 1, tmp_path / "out") / "card.json").is_file()
    assert list((tmp_path / "big disk" / "signloop" / "models").iterdir())


def test_silent_server_is_an_error_at_once() -> None:
    with pytest.raises(RegistryError, match=r"server does not answer.*unset MLFLOW_TRACKING_URI"):
        store.prepare("http://127.0.0.1:9")


def test_damaged_database(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("this is no database at all " * 100)
    with pytest.raises(RegistryError, match=r"database cannot be read.*Move it away"):
        versions.versions(store.sqlite_uri(tmp_path))


def test_older_database_says_what_to_run(uri: str) -> None:
    path = uri.removeprefix("sqlite:///")
    with sqlite3.connect(path) as link:
        link.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")
    with pytest.raises(RegistryError, match=r"out-of-date.*mlflow db upgrade"):
        find(uri, {})


def test_file_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="cannot be opened"):
        find((tmp_path / "mlruns").as_uri(), {})


def test_folder_that_no_uri_can_name(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"cannot be part of a database URI.*Rename"):
        store.sqlite_uri(tmp_path / "what?")


def test_lock_is_nested_in_a_thread_and_keeps_others_out(tmp_path: Path) -> None:
    path, errors = tmp_path / "x.lock", list[str]()

    def other() -> None:
        try:
            with store.held(path, 0.1):
                errors.append("came in")
        except RegistryError as error:
            errors.append(str(error))

    with store.held(path), store.held(path):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert "another process holds the registry" in errors[0]
    with store.held(path, 0.1):
        assert len(errors) == 1


def test_mlflow_is_quiet(uri: str) -> None:
    store.client(uri)
    assert logging.getLogger("mlflow").level == logging.getLogger("alembic").level == logging.WARNING
