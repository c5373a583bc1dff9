"""Recordings and who labels them in; a result of each out, or the reason why it was left out."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from signloop.core import tables
from signloop.core.errors import DataError
from signloop.frames.video import NOT_A_RECORDING, SAME_CONTENT, Recording
from signloop.prelabel.proposal import Runtime
from signloop.prelabel.write import Ended, Hear, Job, Looked, is_finished, label_recording, read_signs, remove_strangers, result_key

Progress = Callable[[str, int, int], None]


class Crew(Protocol):
    """Who labels recordings: `Alone` in this process, or `workers.Workers`."""

    @property
    def model_id(self) -> str:
        """Of the model that labels."""

    def label(self, recordings: Sequence[Recording], job: Job, hear: Hear) -> None:
        """Label recordings that have no result yet, in any order; of each one `Ended` is heard once, what came of it."""


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


class Alone:
    """Labels in this process, one recording after the other."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    @property
    def model_id(self) -> str:
        """Of the model that labels."""
        return self._runtime.model_id

    def label(self, recordings: Sequence[Recording], job: Job, hear: Hear) -> None:
        """Label recordings, as `Crew` says."""
        for recording in recordings:
            label_recording(recording, self._runtime, job, hear)


def prelabel_all(
    recordings: Sequence[Recording],
    skipped: Sequence[dict[str, str]],
    crew: Crew,
    job: Job,
    max_skipped: float,
    progress: Progress,
) -> PrelabelReport:
    """Label all recordings that have no result yet and delete the results of others.

    Args:
        recordings: what is labelled.
        skipped: what could not even be opened, rows of table skipped; entries that are no recording and second copies do not count.
        crew: labels them.
        job: how, and where results go.
        max_skipped: share of the recordings that may be left out.
        progress: told of the frames done and in all (an estimate).

    Raises:
        DataError: more than `max_skipped` were left out; the results of the others and skipped.parquet are written nevertheless.
        ModelError: the crew could not begin.
        OSError: results cannot be written; what was finished before is kept.
    """
    out = job.out_folder
    keys = {recording.recording_id: result_key(recording, crew.model_id, job.params_hash) for recording in recordings}
    remove_strangers(out, set(keys.values()))
    waiting = [recording for recording in recordings if not is_finished(out, keys[recording.recording_id])]
    board = _Board(waiting, progress)
    crew.label(waiting, job, board.hear)
    failed = [row for row in skipped if row["reason"] not in (NOT_A_RECORDING, SAME_CONTENT)] + board.left_out
    rows = [*skipped, *board.left_out]
    tables.write(out / "skipped.parquet", "skipped", tables.from_rows("skipped", rows))
    lines = tuple(f"{row['item']}: {row['detail']}" for row in rows)
    good = len(recordings) - len(board.left_out)
    if len(failed) > max_skipped * (len(failed) + good):
        raise DataError(
            "too many recordings were left out",
            where=out / "skipped.parquet",
            expected=f"at most {max_skipped:.0%} (data.max_skipped)",
            found=f"{len(failed)} of {len(failed) + good}:\n  " + "\n  ".join(lines[:20]) + "\n",
            todo="Repair or remove them, or raise data.max_skipped.",
        )
    return PrelabelReport(good, len(recordings) - len(waiting), read_signs(out).num_rows, lines)


class _Board:
    """Collects the news of all recordings, and shows how far they are.

    Attributes:
        left_out: rows of table skipped.
    """

    def __init__(self, recordings: Sequence[Recording], progress: Progress) -> None:
        self.left_out: list[dict[str, str]] = []
        self._names = {recording.recording_id: recording.name for recording in recordings}
        self._sizes = {recording.recording_id: max(1, recording.frames) for recording in recordings}
        self._read = dict.fromkeys(self._sizes, 0)
        self._ended = self._looked = self._signs = 0
        self._since = time.monotonic()
        self._progress = progress

    def hear(self, news: Looked | Ended) -> None:
        """Take news."""
        if isinstance(news, Looked):
            if not self._looked:
                self._since = time.monotonic()  # what came before was no looking
            self._looked += news.frames
            self._read[news.recording_id] = min(news.index + 1, self._sizes[news.recording_id])
        else:
            self._ended += 1
            self._signs += news.signs
            self._read[news.recording_id] = self._sizes[news.recording_id]
            if news.reason is not None:
                row = {"stage": "prelabel", "item": self._names[news.recording_id], "reason": news.reason, "detail": news.detail}
                self.left_out.append(row)
        rate = self._looked / max(time.monotonic() - self._since, 1e-3)
        done, total = sum(self._read.values()), sum(self._sizes.values())
        if self._ended < len(self._sizes):
            done = min(done, total - 1)  # the last frame is not the end
        what = f"{self._ended} of {len(self._sizes)} recordings, {self._signs} signs, {rate:.0f} frames a second, frame"
        self._progress(what, done, total)
