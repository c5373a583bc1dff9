"""What was answered is in the log for good: over crashes, full disks and other processes; to undo takes nothing out of it."""

import errno
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signloop.core.errors import DataError
from signloop.review.log import Act, Answer, Decide, Entry, Log, Undo, active, read

AT = datetime(2024, 5, 1, 12, tzinfo=UTC)


def said(number: int) -> Decide:
    """An answer about sign `number`."""
    return Decide(view="single", answers=(Answer(item_id=f"{number:016x}", verdict="sign", class_id=3, seen=(0, 2)),))


def entries_of(acts: Sequence[Act]) -> list[Entry]:
    return [Entry(number=n, at=AT, annotator="ann", seconds=1.5, act=act) for n, act in enumerate(acts, start=1)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "review" / "log.jsonl"


@pytest.fixture
def log(path: Path) -> Iterator[Log]:
    opened = Log(path)
    yield opened
    opened.close()


def append(log: Log, number: int) -> Entry:
    return log.append(AT, "ann", 1.5, said(number))


def test_an_act_is_on_the_disk_when_it_is_answered(log: Log, path: Path) -> None:
    assert read(path) == []
    for number in range(1, 4):
        entry = append(log, number)
        assert entry == Entry(number=number, at=AT, annotator="ann", seconds=1.5, act=said(number))
        assert read(path) == log.entries == entries_of([said(n) for n in range(1, number + 1)])


def test_a_log_goes_on_where_it_was_left(log: Log, path: Path) -> None:
    append(log, 1)
    log.close()
    again = Log(path)
    append(again, 2)
    again.close()
    assert [entry.number for entry in read(path)] == [1, 2]


def test_a_missing_log_has_no_entry(tmp_path: Path) -> None:
    assert read(tmp_path / "log.jsonl") == []


def test_half_a_last_line_is_dropped_and_the_file_goes_on(log: Log, path: Path) -> None:
    append(log, 1)
    append(log, 2)
    log.close()
    whole = path.read_bytes()
    second = len(whole.splitlines(keepends=True)[0])
    for cut in (len(whole) - 1, second + 40, second + 1):
        path.write_bytes(whole[:cut])
        assert [entry.number for entry in read(path)] == [1]
        again = Log(path)
        append(again, 2)
        again.close()
        assert path.read_bytes() == whole


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"number":2,"at":"2024-05-01T12:00:00Z"\n', r"the log of decisions is damaged .*line 2.*Put a copy"),
        (b"\n", "is damaged .*line 2"),
        (b"\xff\xfe\n", "is damaged .*line 2"),
        (entries_of([said(1), said(2), said(3)])[2].model_dump_json().encode() + b"\n", r"has a gap .*line 2\); expected 2; found 3"),
        (entries_of([said(1)])[0].model_dump_json().encode() + b"\n", r"has a gap .*line 2\); expected 2; found 1"),
        (entries_of([said(1), Undo(number=2)])[1].model_dump_json().encode() + b"\n", r"takes back what is not there yet .*line 2"),
    ],
)
def test_a_damaged_log_is_refused_and_left_as_it_is(log: Log, path: Path, line: bytes, message: str) -> None:
    append(log, 1)
    log.close()
    whole = path.read_bytes()
    path.write_bytes(whole + line)
    for attempt in (read, Log):
        with pytest.raises(DataError, match=message):
            attempt(path)
    assert path.read_bytes() == whole + line
    path.write_bytes(whole)
    Log(path).close()  # nobody holds it


def test_only_one_at_a_time_holds_a_log(log: Log, path: Path) -> None:
    append(log, 1)
    with pytest.raises(DataError, match=r"this review is open already .*Use the page that is open"):
        Log(path)
    code = "import sys; from pathlib import Path; from signloop.review.log import Log; Log(Path(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=False)
    assert "this review is open already" in done.stderr
    log.close()
    again = Log(path)
    assert len(again.entries) == 1
    again.close()


def test_a_full_disk_adds_nothing(log: Log, path: Path) -> None:
    append(log, 1)
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 30, limits[1]))
    try:
        with pytest.raises(DataError, match=r"the decision cannot be stored .*File too large.*Make room"):
            append(log, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert len(log.entries) == 1
    append(log, 2)
    assert read(path) == log.entries == entries_of([said(1), said(2)])


def test_what_cannot_be_brought_to_the_disk_is_not_added(log: Log, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(handle: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    append(log, 1)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(DataError, match=r"cannot be stored .*Input/output error"):
            append(log, 2)
    assert read(path) == log.entries == entries_of([said(1)])
    append(log, 3)
    assert read(path) == log.entries == entries_of([said(1), said(3)])


def test_a_write_in_pieces_is_a_whole_one(log: Log, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, content: write(handle, content[:7]))
    append(log, 1)
    assert read(path) == log.entries


@pytest.mark.parametrize(
    ("undone", "left"),
    [
        ([], [1, 2, 3]),
        ([2], [1, 3]),
        ([2, 4], [1, 2, 3]),
        ([2, 4, 5], [1, 3]),
        ([2, 4, 5, 6], [1, 2, 3]),
        ([3, 2], [1]),
        ([3, 2, 5], [1, 2]),
        ([3, 2, 5, 4], [1, 2, 3]),
    ],
)
def test_an_undo_takes_back_and_its_undo_does_again(undone: list[int], left: list[int]) -> None:
    entries = entries_of([said(1), said(2), said(3), *(Undo(number=n) for n in undone)])
    assert [entry.number for entry in active(entries)] == left


@given(st.lists(st.none() | st.integers(0, 30), max_size=30))
def test_an_entry_counts_unless_an_undo_that_counts_took_it_back(targets: list[int | None]) -> None:
    entries = entries_of([said(n) if t is None or n == 1 else Undo(number=1 + t % (n - 1)) for n, t in enumerate(targets, start=1)])

    def counts(entry: Entry) -> bool:
        return not any(isinstance(other.act, Undo) and other.act.number == entry.number and counts(other) for other in entries)

    assert active(entries) == [entry for entry in entries if not isinstance(entry.act, Undo) and counts(entry)]


WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from signloop.review.log import Answer, Decide, Log
log = Log(Path(sys.argv[1]))
print("open", flush=True)
while len(log.entries) < 3000:
    number = len(log.entries) + 1
    answers = tuple(Answer(item_id=f"{1000 * number + k:016x}", verdict="nothing") for k in range(20))
    log.append(datetime.now(UTC), "ann", 1.0, Decide(view="sheet", answers=answers))
    print(number, flush=True)
"""


def kill_while_it_writes(path: Path, rng: np.random.Generator) -> int:
    """Start a writer, kill it after a random while, and return the last number that it has answered."""
    writer = subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "open\n"
    time.sleep(rng.uniform(0, 0.05))
    writer.send_signal(signal.SIGKILL)
    answered = [int(line) for line in writer.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    writer.wait()
    writer.stdout.close()
    return max(answered, default=0)


@pytest.mark.parametrize("kills", [4, pytest.param(50, marks=pytest.mark.slow)])
def test_a_killed_process_takes_no_answered_act_with_it(path: Path, kills: int) -> None:
    rng, last = np.random.default_rng(kills), 0
    for _ in range(kills):
        last = max(last, kill_while_it_writes(path, rng))
        entries = read(path)
        assert last <= len(entries) <= last + 1  # the one that was on its way
        last = len(entries)
        items = [answer.item_id for entry in entries if isinstance(entry.act, Decide) for answer in entry.act.answers]
        assert items == [f"{1000 * n + k:016x}" for n in range(1, last + 1) for k in range(20)]
    assert last > 0
