import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from signloop.registry import store, versions
from signloop.registry.runs import find, lightning_logger, start_run

MakeBundle = Callable[[str], tuple[Path, str]]


@pytest.fixture
def server(tmp_path: Path, migrated: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{migrated}", "--artifacts-destination", str(tmp_path / "artifacts")]
    process = subprocess.Popen(command, cwd=tmp_path, env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}, stderr=subprocess.DEVNULL)
    uri = f"http://127.0.0.1:{port}"
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"{uri}/health", timeout=5).close()  # noqa: S310  (our own server)
                break
            except OSError:
                time.sleep(0.5)
        yield uri
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.mark.slow
def test_a_server_does_what_the_file_does(server: str, make_bundle: MakeBundle, tmp_path: Path) -> None:
    folder, model_id = make_bundle("a")
    (tmp_path / "scores").mkdir()
    (tmp_path / "scores" / "r.json").write_text("{}")
    scores = versions.Measured({"ap50": 0.5, "sign_recall": 0.9}, {"test_version": "t1"}, tmp_path / "scores")
    made = versions.register(server, folder, model_id, {}, measured=scores)
    assert versions.register(server, folder, model_id, {}) == made
    (tmp_path / "scores" / "r.json").write_text("[]")
    again = versions.register(server, folder, model_id, {}, measured=replace(scores, metrics={"ap50": 0.6, "sign_recall": None}))
    assert again.tags["ap50"] == "0.6000"
    assert "sign_recall" not in again.tags
    versions.set_alias(server, "champion", made.version)
    out = versions.fetch(server, "models:/signloop-labeller@champion", tmp_path / "out")
    assert (out / "detector" / "weights.safetensors").read_text() == "a"
    got = versions.fetch_scores(server, 1, tmp_path / "got")
    assert got is not None
    assert (got / "r.json").read_text() == "[]"
    with start_run(server, "signloop", "train", {"data_hash": "d"}, {"lr": 0.1}) as run:
        lightning_logger(server, run.run_id, "signloop").log_metrics({"loss": 1.0}, step=1)
        run.log_artifact(folder / "card.json", "pictures")
    (found,) = find(server, {"data_hash": "d"})
    assert found.metrics == {"loss": 1.0}
    assert store.client(server).list_artifacts(run.run_id, "pictures")[0].path == "pictures/card.json"
