"""Recordings and a bundle in; how fast pre-labelling and each of its steps are, beside eager PyTorch in the same run, out.

The whole act is what the stage does with a recording, from its first frame to its written result. A step is measured alone, one after the
other, so that together they take longer than the whole act, in which they overlap.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from signloop.core import tables
from signloop.core.errors import DataError
from signloop.core.params import Prelabel
from signloop.frames.video import Frame, Recording, read_frames
from signloop.models.bundle import Bundle
from signloop.models.detector import build_detector
from signloop.models.runtime import Runtime
from signloop.prelabel import write
from signloop.prelabel.crew import Alone
from signloop.prelabel.gallery import Gallery
from signloop.prelabel.predict import Progress
from signloop.prelabel.proposal import box_rows
from signloop.prelabel.track import Stills, Tracker

STEPS = ("decode", "detect", "track", "classify", "write")
HELD = 32  # frames in memory while each step has its turn
MATRIX, PRODUCTS = 4096, 4  # rows and columns of a product that tells what the machine can do, and how many are timed
PROTOTYPE = {"channels": 96, "head_convs": 4, "weights": "none", "min_score": 0.5}  # random weights: it finds nothing, which favours it


@dataclass(frozen=True)
class Pace:
    """How fast some recordings went through once.

    Attributes:
        frames: looked at.
        recorded_s: how long the recordings are.
        whole_s: seconds of the whole act.
        steps_s: seconds of each of `STEPS` alone.
    """

    frames: int
    recorded_s: float
    whole_s: float
    steps_s: dict[str, float]


@dataclass
class _Clock:
    """Seconds that were spent on each thing."""

    spent: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STEPS, 0.0))

    @contextmanager
    def on(self, what: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.spent[what] += time.perf_counter() - start


def some(recordings: Sequence[Recording], frames: int) -> list[Recording]:
    """Return the first recordings that have this many frames together, or all of them.

    Raises:
        DataError: there is none.
    """
    chosen, total = [], 0
    for recording in recordings:
        if total < frames:
            chosen.append(recording)
            total += recording.frames
    if not chosen:
        raise DataError("there is no recording to measure with", expected="videos or folders of frames")
    return chosen


def prototype(bundle: Bundle) -> Bundle:
    """Return a bundle whose detector is what a first attempt looks like: FCOS with 96 channels and heads of four layers."""
    cfg = bundle.detector_params.model_copy(update=PROTOTYPE)
    return replace(bundle, detector=build_detector(cfg).eval(), detector_params=cfg, onnx={})


def run(
    recordings: Sequence[Recording],
    runtimes: dict[str, Callable[[], Runtime]],
    params: Prelabel,
    repeats: int,
    progress: Progress,
) -> dict[str, list[Pace]]:
    """Let each runtime label the recordings in turn, several times.

    Args:
        recordings: what is labelled; results go into a temporary folder.
        runtimes: by name, what makes each; it has seen one frame when the clock starts.
        params: how boxes become signs.
        repeats: turns.
        progress: called with a word, passes done and in all.
    """
    made = {name: make() for name, make in runtimes.items()}
    first = next(iter(read_frames(recordings[0])))
    for runtime in made.values():
        runtime.detect([first.image] * params.batch)
    paces: dict[str, list[Pace]] = {name: [] for name in made}
    for turn in range(repeats):
        for number, (name, runtime) in enumerate(made.items(), start=1):
            paces[name].append(_pace(recordings, runtime, params))
            progress("passes", turn * len(made) + number, repeats * len(made))
    return paces


def _pace(recordings: Sequence[Recording], runtime: Runtime, params: Prelabel) -> Pace:
    frames = 0

    def hear(news: write.Looked | write.Ended) -> None:
        nonlocal frames
        if isinstance(news, write.Looked):
            frames += news.frames
        elif news.reason is not None:
            raise DataError("a recording cannot be measured with", found=news.detail)

    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        Alone(runtime).label(recordings, write.Job(params, Path(folder), "0" * 64), hear)
        whole_s = time.perf_counter() - start
    return Pace(frames, sum(recording.duration_s for recording in recordings), whole_s, _steps(recordings, runtime, params))


def _steps(recordings: Sequence[Recording], runtime: Runtime, params: Prelabel) -> dict[str, float]:
    clock = _Clock()
    for recording in recordings:
        follower = Stills(params) if recording.kind == "stills" else Tracker(params, recording.width, recording.height)
        gallery = Gallery(runtime, params.crops_per_sign)
        reading = iter(read_frames(recording, fps=params.fps))
        while True:
            with clock.on("decode"):
                frames: list[Frame] = list(islice(reading, HELD))
            if not frames:
                break
            with clock.on("detect"):
                groups = (frames[i : i + params.batch] for i in range(0, len(frames), params.batch))
                found = [boxes for group in groups for boxes in runtime.detect([frame.image for frame in group])]
            for frame, boxes in zip(frames, found, strict=True):
                with clock.on("track"):
                    numbers = follower.update(frame.index, frame.time_s, boxes)
                with clock.on("classify"):
                    gallery.add(frame.index, frame.image, boxes, numbers)
                    gallery.settle(follower.live, follower.kept)
        with clock.on("track"):
            tracks = follower.finish()
        with clock.on("classify"):
            gallery.settle(follower.live, follower.kept)
        with clock.on("write"), tempfile.TemporaryDirectory() as folder:
            rows = [row for track in tracks for row in box_rows(track, f"{track.number}", recording.recording_id, runtime.model_id)]
            tables.write(Path(folder) / "boxes.parquet", "prelabel_boxes", tables.from_rows("prelabel_boxes", rows))
    return clock.spent


def matrix_rate(kind: torch.dtype) -> float:
    """Return how many 1e9 multiplications and additions a second a product of large matrices does, the best of `PRODUCTS`."""
    a, b = (torch.rand(MATRIX, MATRIX).to(kind) for _ in range(2))
    best = float("inf")
    for _ in range(PRODUCTS):
        start = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - start)
    return 2 * MATRIX**3 / best / 1e9


def gflop(detector: torch.nn.Module, height: int, width: int) -> float:
    """Count the arithmetic of a detector for one frame, in 1e9 multiplications and additions."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        detector.eval()([torch.zeros(3, height, width)])
    return float(counter.get_total_flops()) / 1e9


def report(paces: Mapping[str, Sequence[Pace]], detector: torch.nn.Module, recording: Recording) -> dict[str, Any]:
    """Return what two runtimes reached, the fast one first, and what the machine can do.

    Returns:
        paces: by runtime, frames a second of the "whole act" and of each of `STEPS`, each as median, lowest and highest, and how many
        times as fast as recorded the whole act is (real_time); speedup: of the whole act, over the last runtime; gflop_a_frame of the
        detector, gflop_a_second of its step, and that of a product of large matrices by kind of number (matrix).
    """
    found = {name: _summary(passes) for name, passes in paces.items()}
    fast, *_, slow = found.values()
    work = gflop(detector, recording.height, recording.width)
    return {
        "paces": found,
        "speedup": fast["whole act"][0] / slow["whole act"][0],
        "gflop_a_frame": work,
        "gflop_a_second": work * fast["detect"][0],
        "matrix": {"f32": matrix_rate(torch.float32), "bf16": matrix_rate(torch.bfloat16)},
    }


def _summary(paces: Sequence[Pace]) -> dict[str, Any]:
    rates = {"whole act": [pace.frames / pace.whole_s for pace in paces]}
    rates |= {step: [pace.frames / max(pace.steps_s[step], 1e-9) for pace in paces] for step in STEPS}
    out: dict[str, Any] = {name: [statistics.median(values), min(values), max(values)] for name, values in rates.items()}
    return out | {"real_time": statistics.median(pace.recorded_s / pace.whole_s for pace in paces), "frames": paces[0].frames}


def table_rows(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Lay a report out for reading: a row for the whole act and for each step, a column for each runtime."""
    paces = found["paces"].values()
    return [(name, *("{:.1f} ({:.1f} to {:.1f})".format(*one[name]) for one in paces)) for name in ("whole act", *STEPS)]


def words(found: Mapping[str, Any]) -> str:
    """Say what the table does not."""
    fast = next(iter(found["paces"].values()))
    matrix = " and ".join(f"{rate:.0f} in {kind}" for kind, rate in found["matrix"].items())
    times = f"{found['speedup']:.1f} times as fast as eager PyTorch, {fast['real_time']:.1f} times as fast as recorded"
    work = f"{found['gflop_a_frame']:.1f} GFLOP a frame at {found['gflop_a_second']:.0f} GFLOP/s"
    return f"{fast['frames']} frames, {times}\nthe detector: {work}; large matrices: {matrix}"
