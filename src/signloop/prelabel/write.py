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
from signloop.frames.video import NOT_A_RECORDING, SAME_CONTENT, Frame, Recording
from signloop.frames.video import read_frames as read_video
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
        return f"{self.signs} signs in {self.recordings} recordings, {self.reused} of them labelled before, {len(self.skipped)} left out{lines}"


def result_key(recording: Recording, model_id: str, params_hash: str) -> str:
    """Return the name that the result of a recording has."""
    return f"{recording.recording_id}-{model_id}-{params_hash[:8]}"


def is_finished(out_folder: Path, key: str) -> bool:
    """Tell whether a whole, readable result of the present version is there."""
    try:
        for part, name in PARTS.items():
            tables.read(out_folder / part / f"{key}.parquet", name)
    except DataError:
        return False
    return True


def prelabel_recording(
    recording: Recording, runtime: Runtime, params: Prelabel, out_folder: Path, params_hash: str, read_frames: ReadFrames,
) -> Path:
    """Label one recording, unless that was done before.

    Args:
        recording: what is labelled.
        runtime: the model.
        params: how boxes become signs.
        out_folder: data/prelabels.
        params_hash: of everything but the model that the result depends on.
        read_frames: yields the frames to look at.

    Returns:
        The file with the signs.

    Raises:
        DataError: the recording is damaged; nothing is written.
    """
    key = result_key(recording, runtime.model_id, params_hash)
    marker = out_folder / "signs" / f"{key}.parquet"
    if not is_finished(out_folder, key):
        marker.unlink(missing_ok=True)
        proposal = propose(read_frames(recording), runtime, params, recording)
        for part, rows in (("boxes", proposal.boxes), ("signs", proposal.signs)):
            tables.write(out_folder / part / f"{key}.parquet", PARTS[part], tables.from_rows(PARTS[part], rows))
    return marker


def prelabel_all(
    recordings: Sequence[Recording], skipped: Sequence[dict[str, str]], runtime: Runtime, params: Prelabel, out_folder: Path,
    params_hash: str, max_skipped: float, progress: Progress,
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
    failed: list[dict[str, str]] = []
    stills: list[dict[str, str]] = []
    ticker = _Ticker(waiting, progress)
    for recording in waiting:
        bad: list[dict[str, str]] = []

        def read(one: Recording, bad: list[dict[str, str]] = bad) -> Iterator[Frame]:
            def note(path: Path, error: DataError) -> None:
                bad.append(_skipped_row(f"{one.name}/{path.name}", error))

            return ticker.count(one, read_video(one, fps=params.fps, on_bad=note))

        try:
            prelabel_recording(recording, runtime, params, out_folder, params_hash, read)
            stills += bad
        except DataError as error:
            failed.append(_skipped_row(recording.name, error))
        ticker.finish(recording)
    return _conclude(out_folder, len(recordings), len(recordings) - len(waiting), failed, [*skipped, *stills], max_skipped)
