import logging
from pathlib import Path

import pytest

from signloop.core.params import Params, load
from signloop.frames.truth import TruthReport
from signloop.stages import assemble
from signloop.stages._edge import Project


@pytest.mark.parametrize("not_extracted", [0, 12])
def test_verified_frames_that_are_not_extracted_are_warned_of(
    not_extracted: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    params: Params = load(Path(__file__).parents[2] / "params.yaml")
    monkeypatch.setattr(assemble, "assemble", lambda *_: TruthReport(28, 30, 40, 1, not_extracted))
    with caplog.at_level(logging.INFO, "signloop"):
        assemble.act(Project(tmp_path, tmp_path), params)
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "28 labelled frames, 30 boxes, 40 crops, 1 skipped" in caplog.text
    assert len(warnings) == bool(not_extracted)
    if warnings:
        assert warnings[0].startswith("12 verified frames are not extracted any more")
        assert "max_frames have changed since; set them back and run `dvc repro`" in warnings[0]
