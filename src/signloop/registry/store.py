"""A tracking URI in, an MLflow store that exists and is quiet out; the only place that builds MLflow clients."""

import hashlib
import logging
import os
import sqlite3
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from signloop.core.errors import RegistryError
from signloop.core.files import atomic_path

if TYPE_CHECKING:
    from mlflow import MlflowClient

SQLITE = "sqlite:///"
BESIDE_TAG = "signloop.artifacts_beside_database"  # of an experiment whose artifacts travel with the database
LOCK_SECONDS = 600.0
SERVER_SECONDS = 10.0
# Where MLflow 3 keeps absolute places of artifacts, all of which move with the project's folder.
PLACES = (
    ("experiments", "artifact_location"), ("runs", "artifact_uri"), ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"), ("model_versions", "source"),
)  # fmt: skip


def sqlite_uri(root: Path) -> str:
    """Return the URI of the store of a project, `<root>/mlflow.db`.

    Raises:
        RegistryError: the path holds `?`, `#` or `%`, which a database URI would read as something else.
    """
    path = root.resolve() / "mlflow.db"
    if set("?#%") & set(str(path)):
        raise RegistryError("the folder's name cannot be part of a database URI", where=root, expected="a path without ?, # and %",
                            todo="Rename the folder, or set MLFLOW_TRACKING_URI to another store.")  # fmt: skip
    return f"{SQLITE}{path}"


def artifact_root_of(uri: str, artifact_root: Path | None) -> Path | None:
    """Return where artifacts lie: the folder given, else `mlruns` beside a sqlite database, else None: the server decides."""
    if artifact_root is not None:
        return artifact_root.resolve()
    database = _database(uri)
    return None if database is None else database.parent / "mlruns"


def prepare(uri: str, artifact_root: Path | None = None) -> None:
    """Make the store ready: create a sqlite database once, under a lock; look whether a server answers.

    A database is built in a temporary file and renamed, so a killed process leaves none that is half migrated. The places of
    artifacts that it holds are absolute; if its folder was moved or copied together with `mlruns`, they are set right.

    Args:
        uri: `sqlite:///…` or the address of a server.
        artifact_root: folder for artifacts of a sqlite store; None is `mlruns` beside the database.

    Raises:
        RegistryError: the server does not answer, the database is damaged or of another MLflow version, or the lock is not freed.
    """
    if uri.startswith(("http://", "https://")):
        _require_answer(uri)
    database = _database(uri)
    root = artifact_root_of(uri, artifact_root)
    if database is None or root is None:
        return
    if not database.exists() or database.stat().st_size == 0:
        with lock(uri):
            if not database.exists() or database.stat().st_size == 0:
                _create(database, root)
    elif root == database.parent / "mlruns":
        _follow_move(uri, database, root)


def client(uri: str, artifact_root: Path | None = None) -> "MlflowClient":
    """Return a client of a store that `prepare` has made ready.

    Raises:
        RegistryError: as `prepare`.
    """
    prepare(uri, artifact_root)
    quiet()
    from mlflow import MlflowClient

    with understood("the MLflow store cannot be opened", uri):
        return MlflowClient(tracking_uri=uri, registry_uri=uri)


def experiment_id(store: "MlflowClient", uri: str, name: str, artifact_root: Path | None = None) -> str:
    """Return the id of an experiment, created if need be with an absolute place for its artifacts.

    Raises:
        RegistryError: the experiment was deleted in the UI.
    """
    with understood("the experiment cannot be had", name), lock(uri):
        found = store.get_experiment_by_name(name)
        if found is not None:
            if found.lifecycle_stage == "deleted":
                raise RegistryError("the experiment was deleted", where=name, todo="Restore it in the MLflow UI.")
            return str(found.experiment_id)
        root = artifact_root_of(uri, artifact_root)
        if root is None:
            return store.create_experiment(name)
        database = _database(uri)
        tags = {BESIDE_TAG: root.as_uri()} if database is not None and root == database.parent / "mlruns" else {}
        return store.create_experiment(name, artifact_location=(root / name).as_uri(), tags=tags)


@contextmanager
def lock(uri: str) -> Iterator[None]:
    """Hold the lock of a store: beside a sqlite database, else one for this user on this machine.

    Raises:
        RegistryError: another process held it for ten minutes.
    """
    database = _database(uri)
    if database is not None:
        database.parent.mkdir(parents=True, exist_ok=True)
        path = database.with_name(f"{database.name}.lock")
    else:
        key = hashlib.sha256(uri.encode()).hexdigest()[:16]
        path = Path(tempfile.gettempdir()) / f"signloop-{os.getuid()}-{key}.lock"
    with held(path):
        yield


@contextmanager
def held(path: Path, seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """Hold a lock file, which ends with its process; it may be nested within a thread.

    Raises:
        RegistryError: another process held it for `seconds`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path, is_singleton=True).acquire(timeout=seconds):
            yield
    except Timeout:
        raise RegistryError("another process holds the registry", where=path, expected=f"free within {seconds:.0f} s",
                            todo="Wait until the other command has ended, then run again.") from None  # fmt: skip


@contextmanager
def understood(what: str, where: object) -> Iterator[None]:
    """Turn what MLflow and its database raise into a RegistryError."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        todo = f"Make a copy of the database, then run `mlflow db upgrade {where}`." if "out-of-date database schema" in text else ""
        raise RegistryError(what, where=where, found=text, todo=todo) from error


@contextmanager
def as_default(uri: str) -> Iterator[None]:
    """Make `uri` MLflow's process-wide store for a moment: some of its calls look at nothing else.

    MLflow writes the store into the environment too; that is undone, or the next command in this process would inherit it.
    """
    import mlflow

    before = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)  # type: ignore[arg-type]  # None is handled there and means: as configured
        if before is not None:
            os.environ["MLFLOW_TRACKING_URI"] = before


def quiet() -> None:
    """Silence MLflow's notes, its progress bars and its usage reports; warnings and errors still come through."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    import mlflow  # noqa: F401  (its import sets up the loggers below)

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _database(uri: str) -> Path | None:
    return Path(uri.removeprefix(SQLITE)).resolve() if uri.startswith(SQLITE) else None


def _require_answer(uri: str) -> None:
    # Asked here because MLflow itself repeats for minutes before it gives up.
    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=SERVER_SECONDS):  # noqa: S310  (http and https only)
            return
    except urllib.error.HTTPError:
        return  # it answers; whether we may come in is for MLflow to say
    except (OSError, ValueError) as error:
        raise RegistryError("the MLflow server does not answer", where=uri, found=str(error),
                            todo="Start it, or unset MLFLOW_TRACKING_URI to use the project's own store.") from error  # fmt: skip


def _create(database: Path, root: Path) -> None:
    quiet()
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    with understood("the MLflow database cannot be created", database), atomic_path(database) as temporary:
        SqlAlchemyStore(f"{SQLITE}{temporary}", root.as_uri()).engine.dispose()  # type: ignore[no-untyped-call]


def _follow_move(uri: str, database: Path, root: Path) -> None:
    query = "SELECT DISTINCT value FROM experiment_tags WHERE key = ? AND value != ?"
    try:
        with closing(sqlite3.connect(database, timeout=60)) as link:
            if not link.execute(query, (BESIDE_TAG, root.as_uri())).fetchall() or not root.exists():
                return
            with lock(uri), link:
                for (old,) in link.execute(query, (BESIDE_TAG, root.as_uri())).fetchall():
                    _rewrite(link, old, root.as_uri())
    except sqlite3.DatabaseError as error:
        raise RegistryError("the MLflow database cannot be read", where=database, found=str(error),
                            todo="Move it away; the next `dvc repro` makes a new one and registers again.") from error  # fmt: skip


def _rewrite(link: sqlite3.Connection, old: str, new: str) -> None:
    for table, column in PLACES:
        link.execute(
            f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",  # noqa: S608  (our own names)
            (new, len(old) + 1, len(old) + 1, f"{old}/"),
        )
    link.execute("UPDATE experiment_tags SET value = ? WHERE key = ? AND value = ?", (new, BESIDE_TAG, old))
