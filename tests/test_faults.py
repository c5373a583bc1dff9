"""What lies in a folder of recordings: whatever it is, the good ones are labelled and the bad ones are listed with their reason."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from tests.frames.conftest import draw, number_in, write_film, write_images, write_timed_film

from signloop.core import tables
from signloop.core.params import Params
from signloop.frames.video import find_recordings, read_frames
from signloop.prelabel.crew import Alone, prelabel_all
from signloop.prelabel.proposal import Runtime
from signloop.prelabel.write import Job


def encode(
    path: Path, codec: str, frames: int = 12, size: tuple[int, int] = (160, 120), fmt: str = "yuv420p", first: int = 0, dropped: int = 0
) -> Path:
    """Write numbered frames, of which only the first is a key frame, from the instant `first` on, without the first packets."""
    options = {"g": "100"} | ({"x265-params": "log-level=none"} if codec == "libx265" else {})
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10, options=options)
        stream.width, stream.height, stream.pix_fmt = *size, fmt
        stream.codec_context.time_base = Fraction(1, 10)
        packets = []
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(draw(number, *size), format="rgb24").reformat(format=fmt)
            frame.pts, frame.time_base = number + first, Fraction(1, 10)
            packets += stream.encode(frame)
        for packet in [*packets, *stream.encode(None)][dropped:]:
            container.mux(packet)
    return path


def fill(folder: Path) -> tuple[dict[str, int], dict[str, str]]:
    """Put good and bad recordings there; returns how many frames the good ones have, and the reason why each bad one is none."""
    folder.mkdir()
    write_film(folder / "usual.mp4")
    write_film(folder / "single.avi", frames=1, first=3)
    write_timed_film(folder / "uneven.mkv", [0, 100, 200, 500, 510, 900, 1000])
    for rotation in (90, 180, 270) if hasattr(av.VideoStream, "set_display_rotation") else ():
        write_timed_film(folder / f"turned {rotation}.mp4", [100 * k for k in range(12)], rotation)
    encode(folder / "late.mkv", "mpeg4", first=50)
    encode(folder / "one pixel.mkv", "ffv1", frames=3, size=(1, 1))
    encode(folder / "8k.mkv", "mjpeg", frames=1, size=(7680, 4320), fmt="yuvj420p")
    write_images(folder / "a number missing", ["1.png", "2.png", "4.png"])
    write_images(folder / "one still broken", ["1.png", "2.png", "3.png"], first=4)
    (folder / "one still broken" / "2.png").write_bytes(b"broken")
    (folder / "one still broken" / "recording.json").write_text('{"kind": "stills"}')
    good = dict.fromkeys((path.name for path in folder.iterdir()), 12)
    good |= {"single.avi": 1, "uneven.mkv": 7, "one pixel.mkv": 3, "8k.mkv": 1, "a number missing": 3, "one still broken": 2}
    if "libx265" in av.codecs_available:
        encode(folder / "ten bits.mp4", "libx265", fmt="yuv420p10le")
        good["ten bits.mp4"] = 12

    bad = {}
    content = write_film(folder.parent / "whole.avi", frames=40).read_bytes()
    for percent in (30, 60, 95):
        (folder / f"cut at {percent}.avi").write_bytes(content[: len(content) * percent // 100])
        bad[f"cut at {percent}.avi"] = "the recording is damaged"
    bad["cut at 30.avi"] = "the recording ends before its time: it is truncated or damaged"  # between two frames
    flipped, rng = bytearray(write_film(folder.parent / "whole.mp4", frames=40).read_bytes()), np.random.default_rng(3)
    for at in rng.integers(len(flipped) // 3, len(flipped) * 8 // 10, 40):
        flipped[at] ^= 1
    (folder / "flipped.mp4").write_bytes(flipped)
    (folder / "nothing.mp4").touch()
    (folder / "text.mp4").write_text("no film\n" * 100)
    encode(folder / "headless.mp4", "mpeg4", dropped=1)
    with av.open(str(folder / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        stream.layout = "mono"
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 8000
        for frame in (sound, None):
            container.mux(stream.encode(frame))
    write_images(folder / "one picture broken", ["1.png", "2.png", "3.png"], first=7)
    (folder / "one picture broken" / "2.png").write_bytes(b"broken")
    write_images(folder / "another size", ["1.png", "2.png"], first=10)
    cv2.imwrite(str(folder / "another size" / "3.png"), draw(12, 80, 60))
    return good, bad | {
        "flipped.mp4": "the recording is damaged",
        "nothing.mp4": "the file is empty (0 bytes)",
        "text.mp4": "the file is damaged or no video",
        "headless.mp4": "no frame could be decoded",
        "sound.mp4": "no video in the file",
        "one picture broken": "an image of the sequence cannot be read",
        "another size": "the images of a sequence differ in size",
    }


def test_the_good_ones_are_labelled_and_the_bad_ones_are_listed(tmp_path: Path, seer: Runtime, shape_params: Params) -> None:
    good, bad = fill(tmp_path / "recordings")
    found, skipped = find_recordings(tmp_path / "recordings", 10.0)
    job = Job(shape_params.prelabel, tmp_path / "prelabels", "0" * 64)
    for reused in (0, len(good)):
        report = prelabel_all(found, skipped, Alone(seer), job, 0.9, lambda *told: None)
        assert (report.recordings, report.reused) == (len(good), reused)
        rows = tables.read(job.out_folder / "skipped.parquet", "skipped").to_pylist()
        assert {row["item"]: row["reason"] for row in rows} == bad
        assert all(row["item"].split("/")[0] in row["detail"] for row in rows)
    assert len(list(job.out_folder.glob("signs/*"))) == len(good)


def test_indices_and_times_of_frames_are_those_of_the_container(tmp_path: Path) -> None:
    good, _ = fill(tmp_path / "recordings")
    found, _ = find_recordings(tmp_path / "recordings", 10.0)
    checked = 0
    for recording in found:
        if recording.name not in good:
            continue
        frames = list(read_frames(recording, on_bad=lambda path, error: None))
        assert len(frames) == good[recording.name], recording.name
        if recording.kind == "video" and min(recording.width, recording.height) > 100:
            first = 3 if recording.name == "single.avi" else 0
            assert [number_in(frame.image) - first for frame in frames] == [frame.index for frame in frames], recording.name
            times = [0, 0.1, 0.2, 0.5, 0.51, 0.9, 1.0] if recording.name == "uneven.mkv" else [k / 10 for k in range(len(frames))]
            assert [frame.time_s for frame in frames] == pytest.approx(times, abs=2e-3), recording.name
            checked += 1
    assert checked >= 4
