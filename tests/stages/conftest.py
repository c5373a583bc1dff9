import shutil
from pathlib import Path

import pytest

from signloop.stages._edge import Project


@pytest.fixture
def bare(migrated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with a store of MLflow in which nothing is, and without data."""
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT", "DVC_EXP_NAME"):
        monkeypatch.delenv(name, raising=False)
    shutil.copyfile(migrated, tmp_path / "mlflow.db")
    return Project(tmp_path, tmp_path)
