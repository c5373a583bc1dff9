"""A recording and a model in, its result under data/prelabels out: whole or absent, and never made twice, also after a SIGKILL.

`boxes/<key>.parquet` is written first and `signs/<key>.parquet` last: a recording whose signs are there is finished. The key names the
content of the recording, the model and the parameters, so that a result is never taken for that of another model.
"""

from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from signloop.core import tables
from signloop.core.errors import DataError
from signloop.core.params import Prelabel
from signloop.frames.video import Frame, Recording, read_frames, refuse_changed
from signloop.prelabel.propose import Runtime, propose

PARTS = {"boxes": "prelabel_boxes", "signs": "prelabel_signs"}  # folder -> table; the last one marks the recording as finished


@dataclass(frozen=True)
class Job:
    """What the result of a recording depends on beside the recording and the model, and where it goes.

    Attributes:
        params: how boxes become signs.
        out_folder: data/prelabels.
        params_hash: of everything but recording and model that the result depends on.
    """

    params: Prelabel
    out_folder: Path
    params_hash: str


@dataclass(frozen=True)
class Looked:
    """News of a recording on which work goes on.

    Attributes:
        recording_id: which one.
        index: of the frame that was read last.
        frames: looked at since the news before.
    """

    recording_id: str
    index: int
    frames: int


@dataclass(frozen=True)
class Ended:
    """The last news of a recording.

    Attributes:
        recording_id: which one.
        signs: that it has.
        reason, detail: why it was left out, as in table skipped; None if it was not.
    """

    recording_id: str
    signs: int = 0
    reason: str | None = None
    detail: str = ""


Hear = Callable[[Looked | Ended], None]


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


def label_recording(recording: Recording, runtime: Runtime, job: Job, hear: Hear) -> None:
    """Label one recording, unless that was done before, and tell how far it is and how it ended.

    A damaged recording, and one that is another by the time that it was read, leaves no result.
    """
    key = result_key(recording, runtime.model_id, job.params_hash)
    marker = job.out_folder / "signs" / f"{key}.parquet"
    try:
        if not is_finished(job.out_folder, key):
            marker.unlink(missing_ok=True)
            # A still that cannot be read is left out here; the stage that extracts frames lists it with its reason.
            frames = read_frames(recording, fps=job.params.fps, on_bad=lambda path, error: None)
            proposal = propose(_told(frames, recording, hear), runtime, job.params, recording)
            refuse_changed(recording)
            for part, rows in (("boxes", proposal.boxes), ("signs", proposal.signs)):
                tables.write(job.out_folder / part / f"{key}.parquet", PARTS[part], tables.from_rows(PARTS[part], rows))
        signs = tables.read(marker, PARTS["signs"]).num_rows
    except DataError as error:
        hear(Ended(recording.recording_id, reason=error.what, detail=str(error)))
    else:
        hear(Ended(recording.recording_id, signs))


def _told(frames: Iterable[Frame], recording: Recording, hear: Hear) -> Iterator[Frame]:
    for frame in frames:
        hear(Looked(recording.recording_id, frame.index, 1))
        yield frame


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
