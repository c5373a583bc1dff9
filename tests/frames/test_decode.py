"""Films as phones and dash cameras write them, H.264 and HEVC with frames held back (B-frames): order, number and times."""

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from tests.frames.conftest import draw, number_in

from signloop.core.errors import DataError
from signloop.frames.video import Frame, open_recording, read_frames

FPS = 10
STEADY = [k / FPS for k in range(30)]
UNEVEN = [k / FPS for k in (0, 1, 2, 5, 6, 7, 12, 13, 15, 16, 17, 18, 28, 29, 30, 31, 33, 34, 40, 41, 42, 43, 44, 45)]
HELD_BACK = 2  # frames, by the encoders as they are set here
CODECS = {
    "libx264": {"bf": "3", "x264-params": "b-adapt=0:b-pyramid=normal"},
    "libx265": {"x265-params": "bframes=3:b-adapt=0:log-level=none"},
}
pytestmark = pytest.mark.skipif(not set(CODECS) <= av.codecs_available, reason="this PyAV has no encoder for H.264 or HEVC")


def pictures(times: Sequence[float], turned: int = 0) -> Iterator[av.VideoFrame]:
    for number, time_s in enumerate(times):
        picture = np.ascontiguousarray(np.rot90(draw(number, 120, 160), -turned // 90)) if turned else draw(number)
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
        frame.pts, frame.time_base = round(time_s * FPS), Fraction(1, FPS)
        yield frame


def set_up(context: Any) -> None:
    context.width, context.height, context.pix_fmt, context.time_base = 160, 120, "yuv420p", Fraction(1, FPS)


def write(path: Path, codec: str, times: Sequence[float], turned: int = 0, options: dict[str, str] | None = None) -> Path:
    """Write a film of numbered pictures at these times, all of them multiples of 1 / FPS."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FPS, options=CODECS[codec] | (options or {}))
        set_up(stream.codec_context)
        if turned:
            stream.set_display_rotation(turned)
        for frame in (*pictures(times, turned=turned), None):
            container.mux(stream.encode(frame))
    return path


def write_avi(path: Path, codec: str, times: Sequence[float]) -> Path:
    """Write an AVI; FFmpeg reads HEVC in it, as some cameras write it, but writes that only under the name of H.264."""
    if codec == "libx264":
        return write(path, codec, times)
    encoder: Any = av.CodecContext.create("libx265", "w")
    set_up(encoder)
    encoder.framerate, encoder.options = FPS, CODECS["libx265"]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        set_up(stream.codec_context)
        for frame in (*pictures(times), None):
            for packet in encoder.encode(frame):
                packet.stream, packet.time_base = stream, Fraction(1, FPS)
                container.mux(packet)
    content = path.read_bytes()
    assert content.count(b"H264") == 2
    path.write_bytes(content.replace(b"H264", b"HEVC"))
    return path


def read(path: Path) -> list[Frame]:
    """Read all frames and check that each is there once, in order."""
    frames = list(read_frames(open_recording(path, FPS)))
    assert [number_in(frame.image) for frame in frames] == [frame.index for frame in frames] == list(range(len(frames)))
    return frames


def are_right(frames: Sequence[Frame], times: Sequence[float]) -> bool:
    return all(abs(frame.time_s - time_s) < 0.5 / FPS for frame, time_s in zip(frames, times, strict=True))


def has_b_frames(path: Path) -> bool:
    with av.open(str(path)) as container:
        return any(frame.pict_type == av.video.frame.PictureType.B for frame in container.decode(video=0))


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".ts"])
@pytest.mark.parametrize("times", [STEADY, UNEVEN], ids=["steady", "uneven"])
def test_frames_come_in_order_at_their_times(tmp_path: Path, codec: str, suffix: str, times: list[float]) -> None:
    path = write(tmp_path / f"film{suffix}", codec, times)
    assert has_b_frames(path)
    assert are_right(read(path), times)


@pytest.mark.parametrize("codec", CODECS)
def test_an_avi_has_its_times_though_it_states_none(tmp_path: Path, codec: str) -> None:
    path = write_avi(tmp_path / "film.avi", codec, STEADY)
    assert has_b_frames(path)
    assert [frame.time_s for frame in read(path)] == pytest.approx(STEADY, abs=1e-6)


@pytest.mark.parametrize("codec", CODECS)
def test_gaps_in_an_avi_are_kept(tmp_path: Path, codec: str) -> None:
    """But for the last frames, of which an AVI does not say when they are shown: they follow at the mean rate."""
    frames = read(write_avi(tmp_path / "film.avi", codec, UNEVEN))
    assert len(frames) == len(UNEVEN)
    assert are_right(frames[:-HELD_BACK], UNEVEN[:-HELD_BACK])
    assert np.diff([frame.time_s for frame in frames[-HELD_BACK - 1 :]]) == pytest.approx([1 / FPS] * HELD_BACK)


@pytest.mark.parametrize("options", [{"bf": "0"}, {"g": "1"}, {"g": "7", "x264-params": "b-adapt=0:open-gop=1"}], ids=str)
def test_other_orders_in_an_avi(tmp_path: Path, options: dict[str, str]) -> None:
    frames = read(write(tmp_path / "film.avi", "libx264", UNEVEN, options=options))
    assert are_right(frames[:-HELD_BACK], UNEVEN[:-HELD_BACK])


def test_fewer_frames_a_second_of_an_avi(tmp_path: Path) -> None:
    recording = open_recording(write(tmp_path / "film.avi", "libx264", STEADY), FPS)
    assert (recording.fps, recording.frames, recording.duration_s) == (FPS, 30, 3.0)
    assert [frame.index for frame in read_frames(recording, fps=2)] == [0, 5, 10, 15, 20, 25]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(("whole_frames", "more_bytes"), [(96, 0), (70, 40)])
def test_a_truncated_avi_is_noticed(tmp_path: Path, codec: str, whole_frames: int, more_bytes: int) -> None:
    times = [k / FPS for k in range(100)]
    path = write_avi(tmp_path / "film.avi", codec, times)
    content = path.read_bytes()
    starts = [match.start() for match in re.finditer(b"00dc", content) if content.index(b"movi") < match.start() < content.index(b"idx1")]
    assert len(starts) == 100
    path.write_bytes(content[: starts[whole_frames] + more_bytes])
    frames: list[Frame] = []
    with pytest.raises(DataError, match="damaged"):
        frames.extend(read_frames(open_recording(path, FPS)))
    assert len(frames) == pytest.approx(whole_frames, abs=4)
    whole = frames[:-4]  # of the last group the frame that is cut may lie between others
    assert [number_in(frame.image) for frame in whole] == list(range(len(whole)))
    assert are_right(whole, times[: len(whole)])


@pytest.mark.skipif(not hasattr(av.VideoStream, "set_display_rotation"), reason="this PyAV cannot write a rotation")
@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_a_turned_film_is_shown_upright(tmp_path: Path, codec: str, suffix: str) -> None:
    path = write(tmp_path / f"film{suffix}", codec, STEADY, turned=90)
    assert open_recording(path, FPS).rotation == 90
    frames = read(path)
    assert are_right(frames, STEADY)
    assert {frame.image.shape for frame in frames} == {(160, 120, 3)}
