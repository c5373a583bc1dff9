"""What happened in a training in, an MLflow run out; and back: the runs that carry given tags."""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from signloop.core.errors import DataError
from signloop.registry import store

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from pytorch_lightning.loggers import MLFlowLogger

BATCH = 100  # the most params or tags that MLflow takes at once
LONGEST_PARAM = 6000
LONGEST_TAG = 8000


@dataclass(frozen=True)
class RunInfo:
    """One run as the store has it.

    Attributes:
        run_id: of MLflow.
        name: shown in the UI.
        status: RUNNING, FINISHED, FAILED or KILLED; a process that was killed hard leaves RUNNING.
        params, tags: as text.
        metrics: the last value of each.
    """

    run_id: str
    name: str
    status: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    metrics: Mapping[str, float]


class Run:
    """A run that is being written.

    Attributes:
        run_id: of MLflow.
    """

    def __init__(self, link: "MlflowClient", run_id: str) -> None:
        self._link, self.run_id = link, run_id

    def log_metrics(self, values: Mapping[str, float], step: int = 0, model_id: str | None = None) -> None:
        """Add values at one step; those that are not finite are left out, since no chart can show them.

        Args:
            values: by name.
            step: epoch or step.
            model_id: MLflow's id of a logged model that shows them too.
        """
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(name, float(value), now, step, model_id=model_id) for name, value in values.items() if math.isfinite(value)]
        with store.understood("metrics cannot be logged", self.run_id):
            for start in range(0, len(metrics), BATCH):
                self._link.log_batch(self.run_id, metrics=metrics[start : start + BATCH])

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Add a file, or all files of a folder, under `folder` of the run's artifacts.

        Raises:
            DataError: `path` does not exist.
        """
        if not path.exists():
            raise DataError("there is nothing to log", where=path)
        with store.understood("an artifact cannot be logged", path):
            if path.is_dir():
                self._link.log_artifacts(self.run_id, str(path), folder)
            else:
                self._link.log_artifact(self.run_id, str(path), folder)

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Set tags, for instance a hash that is known only at the end."""
        from mlflow.entities import RunTag

        entries = [RunTag(name, str(value)[:LONGEST_TAG]) for name, value in tags.items()]
        with store.understood("tags cannot be set", self.run_id):
            for start in range(0, len(entries), BATCH):
                self._link.log_batch(self.run_id, tags=entries[start : start + BATCH])


@contextmanager
def start_run(
    uri: str,
    experiment: str,
    name: str,
    tags: Mapping[str, object],
    params: Mapping[str, object],
    *,
    artifact_root: Path | None = None,
) -> Iterator[Run]:
    """Open a run; it is closed as FINISHED, as FAILED after an error, or as KILLED after Ctrl-C.

    Args:
        uri: of the store.
        experiment: created if need be.
        name: shown in the UI.
        tags: `git_commit` is also set as MLflow's own tag of it.
        params: may be nested; keys are joined by dots.
        artifact_root: as in `store.prepare`.

    Raises:
        RegistryError: the store cannot be used.
    """
    link = store.client(uri, artifact_root)
    experiment_id = store.experiment_id(link, uri, experiment, artifact_root)
    with store.understood("the run cannot be started", name):
        run = Run(link, link.create_run(experiment_id, run_name=name).info.run_id)
    status = "FAILED"
    try:
        _describe(link, run, tags, params)
        yield run
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        with store.understood("the run cannot be closed", run.run_id):
            link.set_terminated(run.run_id, status)


def find(uri: str, tags: Mapping[str, object], *, artifact_root: Path | None = None) -> list[RunInfo]:
    """Return the finished runs that carry all these tags, in any experiment, newest first.

    With a content hash as tag, it tells whether a result that DVC restored from its run cache has a run in this store.

    Raises:
        RegistryError: the store cannot be used.
    """
    link = store.client(uri, artifact_root)
    with store.understood("runs cannot be searched", uri):
        experiments = [entry.experiment_id for entry in link.search_experiments()]
        clauses = ["attributes.status = 'FINISHED'"] + [f"tags.`{name}` = {_quoted(str(value))}" for name, value in tags.items()]
        found = link.search_runs(experiments, " and ".join(clauses), order_by=["attributes.start_time DESC"])
    return [
        RunInfo(run.info.run_id, run.info.run_name or "", run.info.status, run.data.params, run.data.tags, run.data.metrics)
        for run in found
    ]  # fmt: skip


def lightning_logger(uri: str, run_id: str, experiment: str) -> "MLFlowLogger":
    """Return a logger for a Lightning Trainer that writes into a run opened by `start_run`; checkpoints are not logged.

    Raises:
        RegistryError: there is no such run.
    """
    store.client(uri)
    from pytorch_lightning.loggers import MLFlowLogger

    with store.as_default(uri), store.understood("the run cannot be continued", run_id):
        logger = MLFlowLogger(experiment_name=experiment, tracking_uri=uri, run_id=run_id, log_model=False)
        _ = logger.experiment  # connects now: later, it would make `uri` the default of the whole process
    return logger


def _describe(link: "MlflowClient", run: Run, tags: Mapping[str, object], params: Mapping[str, object]) -> None:
    from mlflow.entities import Param

    own = {"mlflow.source.name": "signloop", "mlflow.source.type": "LOCAL"}
    if "git_commit" in tags:
        own["mlflow.source.git.commit"] = str(tags["git_commit"])
    run.set_tags({**own, **tags})
    flat = [Param(name, str(value)[:LONGEST_PARAM]) for name, value in _flat(params)]
    with store.understood("params cannot be logged", run.run_id):
        for start in range(0, len(flat), BATCH):
            link.log_batch(run.run_id, params=flat[start : start + BATCH])


def _flat(params: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in params.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _quoted(value: str) -> str:
    # MLflow's filter language has no escape: a text with both kinds of quotes cannot be asked for.
    if "'" not in value:
        return f"'{value}'"
    if '"' not in value:
        return f'"{value}"'
    raise DataError("a tag with both kinds of quotes cannot be searched", where=value)
