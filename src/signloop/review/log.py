"""Acts of people enter, an append-only file leaves: each act is on the disk before it is answered, and to undo is an act too."""

import os
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from signloop.core.errors import DataError
from signloop.core.files import sync_folder

Index = Annotated[int, Field(ge=0)]
ITEM_ID = r"^[0-9a-f]{16}$"
ItemId = Annotated[str, Field(pattern=ITEM_ID)]
Pixel = Annotated[float, Field(ge=-100_000, le=100_000)]
Many = Field(strict=False)  # a JSON list is taken as a tuple; what is in it stays strict
Corners = Annotated[tuple[Pixel, Pixel, Pixel, Pixel], Many]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Answer(_Model):
    """What a person says of one sign.

    Attributes:
        item_id: the sign.
        verdict: it is a sign of `class_id`; it is nothing; the person cannot tell; or it is odd: not decided, to be looked at by itself.
        class_id: of a sign only.
        seen: frames (indices) in which its box was on the screen; in all others the answer is propagated.
    """

    item_id: ItemId
    verdict: Literal["sign", "nothing", "unsure", "odd"]
    class_id: int | None = None
    seen: Annotated[tuple[Index, ...], Many] = ()


class Decide(_Model):
    """Answers given with one key: one in the single view, all of a sheet there."""

    act: Literal["decide"] = "decide"
    view: Literal["sheet", "single"]
    answers: Annotated[tuple[Answer, ...], Field(min_length=1, max_length=500, strict=False)]


class Fix(_Model):
    """The box of a sign in one frame is another one, px of the frame; those up to other fixed ones, and the nearest, follow."""

    act: Literal["fix"] = "fix"
    item_id: ItemId
    index: Index
    xyxy: Corners


class Drop(_Model):
    """The boxes of a sign from frame `first` to before frame `end` lie on something else; `seen` are those that were on the screen."""

    act: Literal["drop"] = "drop"
    item_id: ItemId
    first: Index
    end: Index
    seen: Annotated[tuple[Index, ...], Many] = ()


class Split(_Model):
    """From frame `index` on it is another physical sign, `new_id`."""

    act: Literal["split"] = "split"
    item_id: ItemId
    index: Index
    new_id: ItemId


class Merge(_Model):
    """`other_id` is the same physical sign as `item_id`, and becomes part of it."""

    act: Literal["merge"] = "merge"
    item_id: ItemId
    other_id: ItemId


class Placed(_Model):
    """A box in one frame, px; `seen` tells whether the person looked at this very box."""

    index: Index
    xyxy: Corners
    seen: bool


class Add(_Model):
    """A sign that the models missed; without a class the person cannot tell which it is, and it is to be ignored."""

    act: Literal["add"] = "add"
    item_id: ItemId
    recording_id: str
    class_id: int | None
    boxes: Annotated[tuple[Placed, ...], Field(min_length=1, max_length=5000, strict=False)]


class Sweep(_Model):
    """A frame was searched for missed signs: `complete` says that nothing is missing now."""

    act: Literal["sweep"] = "sweep"
    item_id: ItemId
    complete: bool


class Undo(_Model):
    """Takes back an earlier act; taking back an undo does the act again."""

    act: Literal["undo"] = "undo"
    number: Annotated[int, Field(ge=1)]


Act = Annotated[Decide | Fix | Drop | Split | Merge | Add | Sweep | Undo, Field(discriminator="act")]


class Entry(_Model):
    """One line of the log.

    Attributes:
        number: from 1, without gaps.
        at: when the server wrote it, with a time zone.
        annotator: who.
        seconds: that the person spent on it, pauses left out.
        act: what they did.
    """

    number: Annotated[int, Field(ge=1)]
    at: datetime
    annotator: Annotated[str, Field(min_length=1, max_length=100)]
    seconds: Annotated[float, Field(ge=0)]
    act: Act


def taken_back(entries: Sequence[Entry]) -> dict[int, int]:
    """Return, for each entry that does not count, the number of the undo that took it back."""
    gone: dict[int, int] = {}
    for entry in reversed(entries):
        if isinstance(entry.act, Undo) and entry.number not in gone:
            gone[entry.act.number] = entry.number
    return gone


def active(entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries that count, in order: those that no undo that counts has taken back, without the undos."""
    gone = taken_back(entries)
    return [entry for entry in entries if entry.number not in gone and not isinstance(entry.act, Undo)]


def read(path: Path) -> list[Entry]:
    """Read a log; a missing file has no entry.

    A last line without its end was never answered: it is no entry.

    Raises:
        DataError: a line is damaged, or numbers are missing.
    """
    content = path.read_bytes() if path.exists() else b""
    return _parse(content[: content.rfind(b"\n") + 1].splitlines(), path)


def _parse(lines: Iterable[bytes], path: Path) -> list[Entry]:
    entries: list[Entry] = []
    for line in lines:
        number = len(entries) + 1
        try:
            entry = Entry.model_validate_json(line)
        except ValidationError as error:
            raise DataError(
                "the log of decisions is damaged",
                where=f"{path}, line {number}",
                found=str(error).splitlines()[0],
                todo="Put a copy of the file back; what stands in it is never changed by Signloop.",
            ) from error
        if entry.number != number:
            raise DataError("the log of decisions has a gap", where=f"{path}, line {number}", expected=number, found=entry.number)
        if isinstance(entry.act, Undo) and entry.act.number >= number:
            raise DataError("the log takes back what is not there yet", where=f"{path}, line {number}", found=entry.act.number)
        entries.append(entry)
    return entries


class Log:
    """The open log of one review; one process at a time holds it.

    Attributes:
        entries: all that was ever done, in order.
    """

    def __init__(self, path: Path) -> None:
        """Open or begin a log.

        Raises:
            DataError: another process holds it, or it is damaged.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(path.with_suffix(".lock"))
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise DataError(
                "this review is open already", where=path.parent, todo="Use the page that is open, or end that process."
            ) from None
        try:
            self.entries = read(path)
        except DataError:
            self._lock.release()
            raise
        self._file = path.open("ab", buffering=0)  # what a full disk refused must not lie in a buffer and be written later
        self._size = path.read_bytes().rfind(b"\n") + 1
        self._file.truncate(self._size)  # half a line that a power cut left, of an act that was never answered
        sync_folder(path.parent)

    def append(self, at: datetime, annotator: str, seconds: float, act: Act) -> Entry:
        """Write an act; on return it is on the disk.

        Raises:
            DataError: the disk is full or gone; nothing was added.
        """
        entry = Entry(number=len(self.entries) + 1, at=at, annotator=annotator, seconds=seconds, act=act)
        line = entry.model_dump_json().encode() + b"\n"
        try:
            written = 0
            while written < len(line):
                written += os.write(self._file.fileno(), line[written:])
            os.fsync(self._file.fileno())
        except OSError as error:
            os.ftruncate(self._file.fileno(), self._size)
            raise DataError(
                "the decision cannot be stored", where=self._file.name, found=error.strerror, todo="Make room on the disk."
            ) from error
        self._size += len(line)
        self.entries.append(entry)
        return entry

    def close(self) -> None:
        """Let others open it."""
        self._file.close()
        self._lock.release()
