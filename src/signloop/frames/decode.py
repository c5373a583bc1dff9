"""One video file in, its decoded frames and their times out; knows PyAV and the ways in which files are damaged."""

import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import av
import av.stream
from av.video.frame import PictureType

from signloop.core.errors import DataError
from signloop.frames.images import check_size, printable

USUAL_RATE = 25.0  # frames a second where a file states neither times nor a rate
# FFmpeg looks at the content, not at the name: without these lists a playlist called .mp4 would open other files or the network.
_OPTIONS = {"format_whitelist": "mov,matroska,avi,mpegts,mpeg", "protocol_whitelist": "file"}
_READ_ERRORS = (av.FFmpegError, OSError, ValueError)
_HOLD_BACK = ("h264", "hevc")
_DEPENDENT = (PictureType.P, PictureType.B, PictureType.S, PictureType.SP)
_MIN_STEP_S = 1e-3  # two frames never share a time


class Film:
    """A video that is open for one pass from its first frame to its last.

    Attributes:
        rate: mean frames a second; None if the file does not say, or says nonsense.
        stated_s: how long the file says the video is, seconds; 0 if it does not.
        stated_frames: how many frames the file says there are; 0 if it does not.
    """

    def __init__(self, container: Any, stream: Any, name: str) -> None:
        self._container, self._stream, self._name = container, stream, name
        rate = float(stream.average_rate or 0) or float(stream.guessed_rate or 0)
        self.rate = rate if 0 < rate <= 1000 else None
        self.stated_frames = int(stream.frames or 0)
        self.stated_s = self._stated_duration()

    def frames(self) -> Iterator[tuple[float, Any]]:
        """Yield (seconds since the first frame, PyAV frame) in the order shown; the seconds always increase.

        Raises:
            DataError: no frame at all, or, after the good frames: damage, a picture of another size, an end before the stated one.
        """
        clock = _Clock(self.rate, in_order=self._container.format.name == "avi")
        size: tuple[int, int] | None = None
        for frame in self._decoded():
            size = size or (frame.width, frame.height)
            if (frame.width, frame.height) != size:
                raise DataError(
                    "the size of the picture changes within the recording",
                    where=self._name,
                    expected=f"{size[0]}x{size[1]}",
                    found=f"{frame.width}x{frame.height}",
                )
            yield clock.read(frame), frame
        self._check_end(clock.end_s)

    def _decoded(self) -> Iterator[Any]:
        """Yield frames; what cannot be decoded before the first clean one (a recording cut open) is passed over."""
        clean, problem = False, ""
        for packet in self._container.demux(self._stream):
            frames, problem = self._decode(packet)
            for frame in frames:
                if frame.is_corrupt:
                    problem = "a frame with decoding errors"
                    break
                if not clean and not self._stands_alone(frame):
                    problem = "no key frame before the first one"
                    continue
                clean = True
                yield frame
            if clean and problem:
                raise DataError("the recording is damaged", where=self._name, found=problem)
        if not clean:
            raise DataError("no frame could be decoded", where=self._name, found=problem or "no picture")

    def _stands_alone(self, frame: Any) -> bool:
        """Tell whether a frame needs none before it; the decoders of H.264 and HEVC hold back what does and has none."""
        return self._stream.codec_context.name in _HOLD_BACK or frame.pict_type not in _DEPENDENT

    def _decode(self, packet: Any) -> tuple[list[Any], str]:
        """Return the frames that a packet completes and what is wrong with it; a broken one gives what the decoder held back."""
        try:
            if not (packet.is_corrupt and packet.size):
                return packet.decode(), ""
            problem = "a packet is cut short"
        except _READ_ERRORS as error:
            problem = _reason(error)
        with suppress(*_READ_ERRORS):
            return self._stream.decode(None), problem
        return [], problem

    def _stated_duration(self) -> float:
        if self._container.format.name == "avi" and self.stated_frames and self.rate:
            return self.stated_frames / self.rate  # FFmpeg shortens the duration of a truncated AVI, but not the count in its header
        if self._stream.duration and self._stream.time_base:
            return float(self._stream.duration * self._stream.time_base)
        with suppress(ValueError):  # Matroska: 00:00:04.000000000 of this stream, where the container's duration covers all
            hours, minutes, seconds = (float(part) for part in self._stream.metadata.get("DURATION", "").split(":"))
            total = hours * 3600 + minutes * 60 + seconds
            return total if math.isfinite(total) else 0.0
        return float((self._container.duration or 0) / av.time_base)

    def _check_end(self, end_s: float) -> None:
        tolerance_s = 1.5 / (self.rate or USUAL_RATE) + 0.01 * self.stated_s
        if not self._stream.duration and "DURATION" not in self._stream.metadata and len(self._container.streams) > 1:
            tolerance_s += 1 + 0.2 * self.stated_s  # the stated time is that of the longest stream, which may be the sound
        if end_s < self.stated_s - tolerance_s:
            raise DataError(
                "the recording ends before its time: it is truncated or damaged",
                where=self._name,
                expected=f"{self.stated_s:.2f} s",
                found=f"{end_s:.2f} s",
            )


@contextmanager
def open_film(path: Path) -> Iterator[Film]:
    """Open the first stream of moving pictures in a file.

    Raises:
        DataError: no video, too large a picture, or an error of the file while the film is open.
    """
    name = printable(path.name)
    try:
        # A file object, not a path: a path may hold characters that FFmpeg reads as a protocol.
        with path.open("rb") as file, av.open(file, options=dict(_OPTIONS), metadata_errors="replace") as container:
            streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
            if not streams:
                raise DataError("no video in the file", where=name, found=f"{len(container.streams)} streams of other kinds")
            check_size(streams[0].width or 1, streams[0].height or 1, name)
            streams[0].thread_type = "AUTO"
            yield Film(container, streams[0], name)
    except _READ_ERRORS as error:
        raise DataError(
            "the file is damaged or no video", where=name, found=_reason(error), todo="Convert it to an mp4 or leave it out."
        ) from error


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)[:200]  # the text of the error would repeat the whole path


class _Clock:
    """Turns a stream's timestamps into increasing seconds since its first frame.

    AVI states no time at which a frame is shown, only the place of each packet, and packets lie in the order of decoding. With
    B-frames the time shown (`pts`) is FFmpeg's guess, and wrong for H.264 and HEVC. Right is the time (`dts`) of the packet on
    whose arrival the decoder gave the frame out: it holds a frame back for as long as the encoder shifted its packets. The last
    frames come out when no packet is left; they follow at the mean rate.

    Args:
        rate: mean frames a second; None if unknown.
        in_order: the file is an AVI.

    Attributes:
        end_s: where the frames read so far end, counted from the first frame or from the file's own zero, whichever is later.
    """

    def __init__(self, rate: float | None, *, in_order: bool) -> None:
        self._step_s = 1 / (rate or USUAL_RATE)
        self._in_order = in_order
        self._start_s: float | None = None
        self._last_s = -math.inf
        self.end_s = 0.0

    def read(self, frame: Any) -> float:
        """Return the time of the next frame in seconds."""
        stamp = frame.dts if self._in_order else frame.pts
        stamped = stamp is not None and frame.time_base
        absolute_s = float(stamp * frame.time_base) if stamped else (self._start_s or 0.0) + max(self._last_s + self._step_s, 0.0)
        if self._start_s is None:
            self._start_s = absolute_s
        time_s = max(absolute_s - self._start_s, self._last_s + _MIN_STEP_S, 0.0)
        length_s = float(frame.duration * frame.time_base) if stamped and frame.duration else self._step_s
        self.end_s = max(self.end_s, time_s + length_s, absolute_s + length_s if stamped else 0.0)
        self._last_s = time_s
        return time_s
