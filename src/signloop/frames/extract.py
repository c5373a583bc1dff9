"""A folder of recordings in, the stored frames with their tables out; what was finished before is kept, also after a SIGKILL.

`images/<recording_id>/` holds the frames of one recording and `parts/<recording_id>-<hash>/` their rows. Both appear by one rename
each, the rows last: a recording whose rows are there is finished, any other begins anew. The three tables are put together at the end.
"""

import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from signloop.core import tables
from signloop.core.errors import DataError
from signloop.core.files import atomic_folder, require_free_space, sha256_file, sha256_json
from signloop.core.params import Extract
from signloop.frames.images import Header, list_images, printable, read_header
from signloop.frames.sampling import Selection
from signloop.frames.video import NOT_A_RECORDING, SAME_CONTENT, Frame, Recording, find_recordings, read_frames

Progress = Callable[[str, int, int], None]
_READERS = frozenset({"truth.py"})  # modules of this package that only read what is stored
_BYTES_PER_PIXEL = 0.4  # twice what real roads take as JPEG at quality 95
_SPARE_BYTES = 20_000_000
_HARMLESS = (NOT_A_RECORDING, SAME_CONTENT)  # listed as skipped, but nothing is lost by it


@dataclass(frozen=True)
class ExtractReport:
    """What the stage did.

    Attributes:
        recordings: recordings in the tables.
        frames: frames in the tables.
        reused: recordings that an earlier run had finished.
        skipped: one line for each recording or image left out, with its reason.
    """

    recordings: int
    frames: int
    reused: int
    skipped: tuple[str, ...]

    def __str__(self) -> str:
        lines = "".join(f"\n  {line}" for line in self.skipped)
        return (
            f"{self.frames} frames of {self.recordings} recordings, {self.reused} of them extracted before, "
            f"{len(self.skipped)} entries left out{lines}"
        )


def extract(
    recordings_folder: Path,
    out_folder: Path,
    params: Extract,
    max_skipped: float,
    progress: Progress | None = None,
) -> ExtractReport:
    """Store the kept frames of all recordings.

    Args:
        recordings_folder: videos and folders of images, as in `video.find_recordings`.
        out_folder: gets images/, parts/ and the tables recordings, frames (its `path` is relative to this folder) and skipped;
            what lies in images/ and parts/ and belongs to no recording is deleted.
        params: which frames are kept; of stills every readable one is.
        max_skipped: share of the recordings, and of the stills, that may be left out; entries that are no recording and second
            copies do not count.
        progress: told of recording, frames done and frames in all (an estimate while it runs, met at the end).

    Raises:
        DataError: there is no recording, more than `max_skipped` were left out (the tables are written nevertheless), the disk is
            full or cannot be written.
    """
    recordings, skipped = find_recordings(recordings_folder, params.sequence_fps)
    if not recordings and all(row["reason"] in _HARMLESS for row in skipped):
        raise DataError(
            f"{recordings_folder.name} is empty",
            where=recordings_folder,
            expected="at least one video or folder of images",
            found=[row["item"] for row in skipped[:5]] or None,
            todo="Run `signloop demo` or put videos there.",
        )
    code = code_hash()
    keys = {recording.recording_id: _key(recording, params, code) for recording in recordings}
    ticker = _Ticker(recordings, progress)
    try:
        _remove_strangers(out_folder / "images", set(keys))
        _remove_strangers(out_folder / "parts", set(keys.values()))
        finished = {r.recording_id for r in recordings if _read_part(out_folder, keys[r.recording_id]) is not None}
        require_free_space(out_folder, estimate_bytes([r for r in recordings if r.recording_id not in finished], params))
        parts: list[tuple[Recording, pa.Table, pa.Table]] = []
        for recording in recordings:
            if recording.recording_id not in finished:
                try:
                    _store(recording, out_folder, keys[recording.recording_id], params, ticker)
                except _UnusableError as error:
                    skipped.append(_skipped_row(recording.name, error.problem))
            ticker.finish(recording)
            part = _read_part(out_folder, keys[recording.recording_id])
            if part is not None:
                parts.append((recording, *part))
        return _conclude(out_folder, parts, skipped, len(finished), max_skipped)
    except OSError as error:
        raise DataError(
            "the frames cannot be stored",
            where=out_folder,
            found=error.strerror or str(error),
            todo="Free some space or check the permissions, then run it again: finished recordings are kept.",
        ) from error


def estimate_bytes(recordings: Sequence[Recording], params: Extract) -> int:
    """Return about how many bytes the frames of these recordings will take, rather too many than too few."""
    total = 0.0
    for recording in recordings:
        if recording.kind == "video":
            total += _most_frames(recording, params) * recording.width * recording.height * _BYTES_PER_PIXEL
        else:
            files = list_images(recording.path, ordered=recording.kind == "sequence")
            total += sum(path.stat().st_size for path in files if path.is_file())
    return int(total) + _SPARE_BYTES if recordings else 0


def _most_frames(recording: Recording, params: Extract) -> float:
    rate = _wanted_rate(recording, params)
    step = 1 if rate is None or recording.fps is None else max(1, round(recording.fps / rate))
    return min(math.ceil(recording.frames / step), params.max_frames or math.inf)


def _wanted_rate(recording: Recording, params: Extract) -> float | None:
    """Return the frames a second to ask for, so that `max_frames` spread over the whole recording; None asks for all."""
    if params.max_frames is None or recording.frames <= params.max_frames or not recording.duration_s:
        return params.fps
    most = params.max_frames / recording.duration_s
    if params.fps is not None and params.fps <= most:
        return params.fps
    # A whole number of frames apart, rounded up: `Pace` rounds to the nearest, which could be too many.
    return recording.fps / math.ceil(recording.fps / most - 1e-9) if recording.fps else most


def code_hash() -> str:
    """Return a hash of the code that makes the stored frames: after an edit of it nothing that was finished is reused.

    Of core, whose other modules change often and have no part in it, only what hashes and writes files and tables counts.
    """
    core = Path(tables.__file__).parent
    here = sorted(path for path in Path(__file__).parent.glob("*.py") if path.name not in _READERS)
    return sha256_json([[path.name, sha256_file(path)] for path in (*here, core / "files.py", core / "tables.py")])


def _key(recording: Recording, params: Extract, code: str) -> str:
    """Return the name under which the finished work on a recording is found again."""
    fps = recording.fps if recording.kind == "sequence" else None
    made_by = [code, params.model_dump(), recording.kind, fps]
    return f"{recording.recording_id}-{sha256_json(made_by)[:8]}"


def _remove_strangers(folder: Path, wanted: set[str]) -> None:
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name not in wanted:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def _read_part(out_folder: Path, key: str) -> tuple[pa.Table, pa.Table] | None:
    """Return the rows of a finished recording, None if it is not finished or one of its images is gone."""
    folder = out_folder / "parts" / key
    if not folder.is_dir():
        return None
    try:
        frames = tables.read(folder / "frames.parquet", "frames")
        skipped = tables.read(folder / "skipped.parquet", "skipped")
    except DataError:
        return None  # damaged, or of an older version: made again
    whole = all((path := out_folder / name).is_file() and path.stat().st_size for name in frames["path"].to_pylist())
    return (frames, skipped) if whole else None


class _UnusableError(Exception):
    """A recording, not the disk, is at fault: it is left out and the others go on."""

    def __init__(self, problem: DataError) -> None:
        super().__init__(str(problem))
        self.problem = problem


def _store(recording: Recording, out_folder: Path, key: str, params: Extract, ticker: "_Ticker") -> None:
    """Decode one recording and store its frames; on any failure nothing of it is left.

    Raises:
        _UnusableError: the recording is damaged or none of its frames is worth keeping.
        OSError: the disk is full.
    """
    part, images = out_folder / "parts" / key, out_folder / "images" / recording.recording_id
    for old in (part, images):
        shutil.rmtree(old, ignore_errors=True)
    skipped: list[dict[str, str]] = []

    def bad(path: Path, error: DataError) -> None:
        skipped.append(_skipped_row(printable(path.name), error))

    with atomic_folder(images) as temporary:
        try:
            rows = _write_frames(recording, temporary, params, ticker, bad)
        except DataError as error:
            raise _UnusableError(error) from error
    with atomic_folder(part) as temporary:
        tables.write(temporary / "frames.parquet", "frames", tables.from_rows("frames", rows))
        tables.write(temporary / "skipped.parquet", "skipped", tables.from_rows("skipped", skipped))


def _write_frames(
    recording: Recording,
    folder: Path,
    params: Extract,
    ticker: "_Ticker",
    bad: Callable[[Path, DataError], None],
) -> list[dict[str, object]]:
    """Write the kept frames of a recording into `folder` and return their rows."""
    stills = recording.kind == "stills"
    selection = Selection(0, 0) if stills else Selection(params.duplicate, params.blur)  # a still is there because someone chose it
    most = math.inf if stills or params.max_frames is None else params.max_frames
    files = [] if recording.kind == "video" else list_images(recording.path, ordered=not stills)
    rows: list[dict[str, object]] = []
    for frame in read_frames(recording, fps=_wanted_rate(recording, params), on_bad=bad):
        ticker.tick(recording, frame.index + 1)
        if len(rows) < most and selection.keep(frame.image):  # read on after the last one: the rest may be damaged
            path = _write_image(frame, files[frame.index] if files else None, folder, params.jpeg_quality)
            rows.append(_frame_row(recording, frame, path))
    if not rows:
        raise DataError(
            "no frame of the recording was kept",
            where=recording.name,
            found="all are too blurred, or unreadable",
            todo="Lower extract.blur.",
        )
    return rows


def _write_image(frame: Frame, original: Path | None, folder: Path, quality: int) -> Path:
    """Store a frame: a copy of its own file where that is an upright JPEG or PNG, else as JPEG."""
    header = read_header(original) if original else Header(0, 0, None)
    path = folder / f"{frame.index:06d}{header.copy_suffix or '.jpg'}"
    if original and header.copy_suffix:
        shutil.copyfile(original, path)
    else:
        path.write_bytes(_encode(frame.image, quality))
    return path


def _encode(image: NDArray[np.uint8], quality: int) -> bytes:
    done, content = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise DataError("the frame cannot be stored as JPEG", found=f"{image.shape[1]}x{image.shape[0]}")
    return bytes(content)


def _frame_row(recording: Recording, frame: Frame, path: Path) -> dict[str, object]:
    return {
        "frame_id": f"{recording.recording_id}/{frame.index:06d}",
        "recording_id": recording.recording_id,
        "index": frame.index,
        "time_s": frame.time_s,
        "width": frame.image.shape[1],
        "height": frame.image.shape[0],
        "path": f"images/{recording.recording_id}/{path.name}",
        "sha256": sha256_file(path),
    }


def _skipped_row(item: str, error: DataError) -> dict[str, str]:
    return {"stage": "extract", "item": item, "reason": error.what, "detail": str(error)}


def _recording_row(recording: Recording) -> dict[str, object]:
    return {name: getattr(recording, name) for name in tables.SPECS["recordings"].schema.names}


def _conclude(
    out_folder: Path,
    parts: Sequence[tuple[Recording, pa.Table, pa.Table]],
    skipped: list[dict[str, str]],
    reused: int,
    max_skipped: float,
) -> ExtractReport:
    """Write the three tables, then judge whether too much was left out.

    Raises:
        DataError: it was.
    """
    failed = sum(row["reason"] not in _HARMLESS for row in skipped)
    images = [{**row, "item": f"{r.name}/{row['item']}"} for r, _, bad in parts for row in bad.to_pylist()]
    frames = pa.concat_tables([tables.empty("frames"), *(part for _, part, _ in parts)])
    tables.write(out_folder / "recordings.parquet", "recordings", tables.from_rows("recordings", [_recording_row(r) for r, _, _ in parts]))
    tables.write(out_folder / "frames.parquet", "frames", frames)
    tables.write(out_folder / "skipped.parquet", "skipped", tables.from_rows("skipped", [*skipped, *images]))
    lines = tuple(f"{row['item']}: {row['detail']}" for row in (*skipped, *images))
    stills = sum(part.num_rows for r, part, _ in parts if r.kind == "stills") + len(images)
    for kind, left_out, total in (("recordings", failed, failed + len(parts)), ("stills", len(images), stills)):
        if left_out > max_skipped * total or (kind == "recordings" and not parts):
            raise DataError(
                f"too many {kind} were left out",
                where=out_folder / "skipped.parquet",
                expected=f"at most {max_skipped:.0%} (data.max_skipped) and one that is good",
                found=f"{left_out} of {total}:\n  " + "\n  ".join(lines[:20]) + "\n",
                todo="Repair or remove them, or raise data.max_skipped.",
            )
    return ExtractReport(len(parts), frames.num_rows, reused, lines)


class _Ticker:
    """Counts frames over all recordings for a progress bar."""

    def __init__(self, recordings: Sequence[Recording], progress: Progress | None) -> None:
        self._progress = progress
        self._total = sum(max(1, recording.frames) for recording in recordings)
        self._before = 0

    def tick(self, recording: Recording, frames: int) -> None:
        """Tell that `frames` frames of this recording are done."""
        if self._progress is not None:
            self._progress(recording.name, self._before + min(frames, max(1, recording.frames)), self._total)

    def finish(self, recording: Recording) -> None:
        """Tell that this recording is done, finished or left out."""
        self._before += max(1, recording.frames)
        self.tick(recording, 0)
