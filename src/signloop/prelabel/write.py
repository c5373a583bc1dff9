"""Recordings and a model in, one result per recording under data/prelabels out; what was finished before is kept, also after a SIGKILL.

`boxes/<key>.parquet` is written first and `signs/<key>.parquet` last: a recording whose signs are there is finished. The key names the
content of the recording, the model and the parameters, so that a result is never taken for that of another model.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from signloop.core import tables
from signloop.core.errors import DataError
from signloop.core.params import Prelabel
from signloop.frames.video import NOT_A_RECORDING, SAME_CONTENT, Frame, Recording, read_frames
from signloop.prelabel.propose import Runtime, propose

Progress = Callable[[str, int, int], None]
ReadFrames = Callable[[Recording], Iterable[Frame]]
PARTS = {"boxes": "prelabel_boxes", "signs": "prelabel_signs"}  # folder -> table; the last one marks the recording as finished


@dataclass(frozen=True)
class PrelabelReport:
    """What the stage did.

    Attributes:
        recordings: recordings with a result.
        reused: how many of them an earlier run had finished.
        signs: signs in all results.
        skipped: one line for each recording or still left out, with its reason.
    """

    recordings: int
    reused: int
    signs: int
    skipped: tuple[str, ...]

    def __str__(self) -> str:
        lines = "".join(f"\n  {line}" for line in self.skipped)
        return (
            f"{self.signs} signs in {self.recordings} recordings, {self.reused} of them labelled before, "
            f"{len(self.skipped)} entries left out{lines}"
        )


def result_key(recording: Recording, model_id: str, params_hash: str) -> str:
    """Return the name that the result of a recording has; a person may change the kind and the rate of a folder of images."""
    read_as = "" if recording.kind == "video" else f"-{recording.kind}" + (f"-{recording.fps:g}" if recording.fps else "")
    return f"{recording.recording_id}-{model_id}-{params_hash[:8]}{read_as}"


def is_finished(out_folder: Path, key: str) -> bool:
    """Tell whether a whole, readable result of the present version is there."""
    try:
        for part, name in PARTS.items():
            tables.read(out_folder / part / f"{key}.parquet", name)
    except DataError:
        return False
    return True


def prelabel_recording(
    recording: Recording,
    runtime: Runtime,
    params: Prelabel,
    out_folder: Path,
    params_hash: str,
    read: ReadFrames,
) -> Path:
    """Label one recording, unless that was done before.

    Args:
        recording: what is labelled.
        runtime: the model.
        params: how boxes become signs.
        out_folder: data/prelabels.
        params_hash: of everything but the model that the result depends on.
        read: yields the frames to look at.

    Returns:
        The file with the signs.

    Raises:
        DataError: the recording is damaged; nothing is written.
    """
    key = result_key(recording, runtime.model_id, params_hash)
    marker = out_folder / "signs" / f"{key}.parquet"
    if not is_finished(out_folder, key):
        marker.unlink(missing_ok=True)
        proposal = propose(read(recording), runtime, params, recording)
        for part, rows in (("boxes", proposal.boxes), ("signs", proposal.signs)):
            tables.write(out_folder / part / f"{key}.parquet", PARTS[part], tables.from_rows(PARTS[part], rows))
    return marker


def prelabel_all(
    recordings: Sequence[Recording],
    skipped: Sequence[dict[str, str]],
    runtime: Runtime,
    params: Prelabel,
    out_folder: Path,
    params_hash: str,
    max_skipped: float,
    progress: Progress,
) -> PrelabelReport:
    """Label all recordings that have no result yet and delete the results of others.

    Args:
        recordings: what is labelled.
        skipped: what could not even be opened, rows of table skipped; entries that are no recording and second copies do not count.
        runtime, params, out_folder, params_hash: as in `prelabel_recording`.
        max_skipped: share of the recordings that may be left out.
        progress: told of the frames done and in all (an estimate).

    Raises:
        DataError: more than `max_skipped` were left out; the results of the others and skipped.parquet are written nevertheless.
    """
    keys = {recording.recording_id: result_key(recording, runtime.model_id, params_hash) for recording in recordings}
    remove_strangers(out_folder, set(keys.values()))
    waiting = [recording for recording in recordings if not is_finished(out_folder, keys[recording.recording_id])]
    failed = [row for row in skipped if row["reason"] not in (NOT_A_RECORDING, SAME_CONTENT)]
    rows = list(skipped)
    ticker = _Ticker(waiting, progress)
    for recording in waiting:
        try:
            prelabel_recording(recording, runtime, params, out_folder, params_hash, lambda one: ticker.count(_read(one, params.fps)))
        except DataError as error:
            rows.append({"stage": "prelabel", "item": recording.name, "reason": error.what, "detail": str(error)})
            failed.append(rows[-1])
        ticker.finish(recording)
    tables.write(out_folder / "skipped.parquet", "skipped", tables.from_rows("skipped", rows))
    lines = tuple(f"{row['item']}: {row['detail']}" for row in rows)
    good = len(recordings) - sum(row["stage"] == "prelabel" for row in failed)
    if len(failed) > max_skipped * (len(failed) + good):
        raise DataError(
            "too many recordings were left out",
            where=out_folder / "skipped.parquet",
            expected=f"at most {max_skipped:.0%} (data.max_skipped)",
            found=f"{len(failed)} of {len(failed) + good}:\n  " + "\n  ".join(lines[:20]) + "\n",
            todo="Repair or remove them, or raise data.max_skipped.",
        )
    return PrelabelReport(good, len(recordings) - len(waiting), read_signs(out_folder).num_rows, lines)


def remove_strangers(out_folder: Path, keys: AbstractSet[str]) -> None:
    """Delete results of other recordings, models or parameters, and what a killed run left half written."""
    for part in PARTS:
        for path in sorted((out_folder / part).glob("*")):
            if path.suffix != ".parquet" or path.stem not in keys:
                path.unlink()


def read_signs(out_folder: Path) -> pa.Table:
    """Return the signs of all finished recordings, sorted by sign_id; none if nothing was labelled yet.

    Raises:
        DataError: a file is damaged or of another version.
    """
    return _read_part(out_folder, "signs")


def read_boxes(out_folder: Path) -> pa.Table:
    """Return the boxes of all finished recordings, sorted by box_id; none if nothing was labelled yet.

    Raises:
        DataError: a file is damaged, of another version, or missing.
    """
    return _read_part(out_folder, "boxes")


def _read_part(out_folder: Path, part: str) -> pa.Table:
    keys = sorted(path.stem for path in (out_folder / "signs").glob("*.parquet") if not path.name.startswith("."))
    whole = pa.concat_tables([tables.empty(PARTS[part]), *(tables.read(out_folder / part / f"{key}.parquet", PARTS[part]) for key in keys)])
    return whole.sort_by(tables.SPECS[PARTS[part]].key[0])


def _read(recording: Recording, fps: float | None) -> Iterator[Frame]:
    # A still that cannot be read is left out here; the stage that extracts frames lists it with its reason.
    return read_frames(recording, fps=fps, on_bad=lambda path, error: None)


class _Ticker:
    """Counts frames over all recordings for a progress bar."""

    def __init__(self, recordings: Sequence[Recording], progress: Progress) -> None:
        self._progress = progress
        self._total = sum(max(1, recording.frames) for recording in recordings)
        self._before = 0

    def count(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Pass frames on and tell how far they are."""
        for frame in frames:
            self._progress("frames", min(self._before + frame.index, self._total), self._total)
            yield frame

    def finish(self, recording: Recording) -> None:
        """Tell that a recording is done."""
        self._before += max(1, recording.frames)
        self._progress("frames", self._before, self._total)
