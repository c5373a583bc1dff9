import math
from pathlib import Path
from typing import Any

import pytest

from signloop.core.errors import DataError, RegistryError
from signloop.registry import store
from signloop.registry.runs import find, lightning_logger, start_run


def test_run_holds_what_was_logged(uri: str, tmp_path: Path) -> None:
    picture = tmp_path / "curve.png"
    picture.write_bytes(b"png")
    params = {"detector": {"lr": 0.01, "long": "x" * 9000}, "seed": 1, **{f"p{i}": i for i in range(150)}}
    with start_run(uri, "signloop", "detector", {"data_hash": "d1", "git_commit": "abc"}, params) as run:
        run.log_metrics({"loss": 2.0, "bad": math.nan}, step=0)
        run.log_metrics({"loss": 1.0}, step=1)
        run.log_artifact(picture, "pictures")
        run.log_artifact(tmp_path / "elsewhere")
    (found,) = find(uri, {"data_hash": "d1"})
    assert (found.run_id, found.name, found.status) == (run.run_id, "detector", "FINISHED")
    assert found.metrics == {"loss": 1.0}
    assert found.params["detector.lr"] == "0.01"
    assert found.params["p149"] == "149"
    assert found.tags["mlflow.source.git.commit"] == "abc"
    history = store.client(uri).get_metric_history(run.run_id, "loss")
    assert [(entry.step, entry.value) for entry in history] == [(0, 2.0), (1, 1.0)]
    root = Path(uri.removeprefix("sqlite:///")).parent
    assert (root / "mlruns" / "signloop" / run.run_id / "artifacts" / "pictures" / "curve.png").read_bytes() == b"png"


def test_failed_runs_are_closed_and_not_found(uri: str) -> None:
    for error, status in ((ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")):
        with pytest.raises(error), start_run(uri, "signloop", "x", {"k": "v"}, {}) as run:
            raise error
        assert store.client(uri).get_run(run.run_id).info.status == status
    assert find(uri, {"k": "v"}) == []


def test_find_is_by_all_tags_newest_first(uri: str) -> None:
    ids = []
    for experiment, tags in (("one", {"a": "1", "b": "it's"}), ("two", {"a": "1", "b": "it's"}), ("two", {"a": "1", "b": "no"})):
        with start_run(uri, experiment, "x", tags, {}) as run:
            ids.append(run.run_id)
    assert [entry.run_id for entry in find(uri, {"a": "1", "b": "it's"})] == [ids[1], ids[0]]
    assert find(uri, {"never.set": "1"}) == []
    with pytest.raises(DataError, match="both kinds of quotes"):
        find(uri, {"a": "'\""})


def test_missing_artifact(uri: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing to log"), start_run(uri, "signloop", "x", {}, {}) as run:
        run.log_artifact(tmp_path / "none.png")


def test_deleted_experiment_says_so(uri: str) -> None:
    link = store.client(uri)
    link.delete_experiment(store.experiment_id(link, uri, "gone"))
    with pytest.raises(RegistryError, match=r"experiment was deleted.*Restore it"), start_run(uri, "gone", "x", {}, {}):
        pass


def test_lightning_writes_into_the_open_run(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with start_run(uri, "signloop", "classifier", {"k": "v"}, {}) as run:
        logger: Any = lightning_logger(uri, run.run_id, "signloop")
        logger.log_metrics({"val_loss": 0.5}, step=3)
        logger.finalize("success")
        run.log_metrics({"top1": 0.9})
    (found,) = find(uri, {"k": "v"})
    assert found.metrics == {"val_loss": 0.5, "top1": 0.9}
    assert list(Path.cwd().iterdir()) == []
    with pytest.raises(RegistryError, match="run cannot be continued"):
        lightning_logger(uri, "0" * 32, "signloop")
