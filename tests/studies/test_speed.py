"""How fast things are is not tested; that every frame is counted, each step is timed, and the words follow from the numbers is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from signloop.core.errors import DataError
from signloop.core.params import Params
from signloop.frames.video import Recording, find_recordings
from signloop.models.bundle import Bundle
from signloop.models.detector import build_detector, detect, eager
from signloop.studies import speed
from signloop.studies.speed import STEPS, Pace, prototype, report, run, some, table_rows, words

MakeFilms = Callable[..., dict[str, Any]]


@pytest.fixture
def films(tmp_path: Path, make_films: MakeFilms) -> list[Recording]:
    """Two films of 40 frames, more than are held at a time."""
    make_films(tmp_path, {"a.avi": [4], "b.avi": [11, 30]}, frames=40)
    return find_recordings(tmp_path, 10.0)[0]


def test_every_frame_is_labelled_in_each_pass_and_each_step_takes_time(films: list[Recording], seer: Any, shape_params: Params) -> None:
    told: list[tuple[str, int, int]] = []
    runtimes: dict[str, Callable[[], Any]] = {"first": lambda: seer, "second": lambda: seer}
    paces = run(films, runtimes, shape_params.prelabel, 2, lambda *what: told.append(what))
    assert {name: [pace.frames for pace in passes] for name, passes in paces.items()} == {"first": [80, 80], "second": [80, 80]}
    assert told == [("passes", n, 4) for n in range(1, 5)]
    for pace in (*paces["first"], *paces["second"]):
        assert pace.recorded_s == pytest.approx(8.0)
        assert pace.whole_s > 0
        assert set(pace.steps_s) == set(STEPS)
        assert min(pace.steps_s.values()) > 0


def test_a_damaged_recording_is_nothing_to_measure_with(films: list[Recording], seer: Any, shape_params: Params) -> None:
    content = films[0].path.read_bytes()
    films[0].path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"cannot be measured with; found the recording .*\(a\.avi\)"):
        run(films, {"only": lambda: seer}, shape_params.prelabel, 1, lambda *what: None)


def test_as_many_recordings_are_taken_as_have_the_frames(films: list[Recording]) -> None:
    assert [one.name for one in some(films, 40)] == ["a.avi"]
    assert [one.name for one in some(films, 41)] == ["a.avi", "b.avi"]
    assert len(some(films, 10_000)) == 2
    with pytest.raises(DataError, match="there is no recording to measure with"):
        some([], 1)


def test_the_arithmetic_of_a_detector_is_counted() -> None:
    class One(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 8, 3, padding=1, bias=False)

        def forward(self, images: list[torch.Tensor]) -> torch.Tensor:
            out: torch.Tensor = self.conv(images[0][None])
            return out

    assert speed.gflop(One(), 10, 20) == pytest.approx(2 * 10 * 20 * 8 * 3 * 9 / 1e9)


def test_what_is_said_follows_from_the_passes(films: list[Recording], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "gflop", lambda detector, height, width: 20.0)
    monkeypatch.setattr(speed, "matrix_rate", lambda kind: 100.0 if kind == torch.float32 else 700.0)
    steps = dict.fromkeys(STEPS, 1.0) | {"detect": 4.0}
    fast = [Pace(100, 30.0, seconds, steps) for seconds in (2.0, 5.0, 4.0)]
    slow = [Pace(100, 30.0, 100.0, dict.fromkeys(STEPS, 50.0))]
    found = report({"fast": fast, "slow": slow}, torch.nn.Identity(), films[0])
    assert found["paces"]["fast"]["whole act"] == [25.0, 20.0, 50.0]
    assert (found["speedup"], found["gflop_a_second"]) == (25.0, 500.0)
    assert table_rows(found)[0] == ("whole act", "25.0 (20.0 to 50.0)", "1.0 (1.0 to 1.0)")
    assert [row[0] for row in table_rows(found)] == ["whole act", *STEPS]
    assert words(found) == (
        "100 frames, 25.0 times as fast as eager PyTorch, 7.5 times as fast as recorded\n"
        "the detector: 20.0 GFLOP a frame at 500 GFLOP/s; large matrices: 100 in f32 and 700 in bf16"
    )


def test_a_large_product_has_a_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "MATRIX", 64)
    assert speed.matrix_rate(torch.float32) > 0


def test_a_first_attempt_has_more_to_do_and_finds_nothing(shape_params: Params) -> None:
    cfg, nothing = shape_params.detector, torch.nn.Identity()
    network: Any = nothing  # stands in for a classifier
    known = Bundle(nothing, network, cfg, shape_params.classifier, shape_params.taxonomy, 1.0, None, "m", {"detector.onnx": b"x"})
    first = prototype(known)
    assert (first.detector_params.channels, first.detector_params.head_convs, first.onnx) == (96, 4, {})
    mine = build_detector(cfg.model_copy(update={"weights": "none"}))
    assert speed.gflop(first.detector, 64, 96) > 1.5 * speed.gflop(mine, 64, 96)
    frame = np.random.default_rng(0).integers(0, 255, (64, 96, 3)).astype(np.uint8)
    assert len(detect(eager(first.detector, torch.device("cpu")), [frame], first.detector_params)[0]) == 0
