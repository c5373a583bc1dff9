import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from signloop.core.files import sha256_file, sha256_json, write_json
from signloop.registry import store

MakeBundle = Callable[[str], tuple[Path, str]]


@pytest.fixture
def uri(migrated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    root = tmp_path / "a project ü"
    root.mkdir()
    shutil.copyfile(migrated, root / "mlflow.db")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return store.sqlite_uri(root)


@pytest.fixture
def make_bundle(tmp_path: Path) -> MakeBundle:
    def make(content: str) -> tuple[Path, str]:
        folder = tmp_path / f"bundle-{content}"
        (folder / "detector").mkdir(parents=True)
        (folder / "detector" / "weights.safetensors").write_text(content)
        (folder / "card.json").write_text("{}")
        files = {name: sha256_file(folder / name) for name in ("detector/weights.safetensors", "card.json")}
        model_id = f"m{sha256_json(files)[:12]}"
        write_json(folder / "bundle.json", {"model_id": model_id, "files": files})
        return folder, model_id

    return make
