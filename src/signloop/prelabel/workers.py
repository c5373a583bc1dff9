"""Recordings in, labelled by worker processes; what a recording does to its worker costs that recording and no other.

A worker may end (no memory left, a fault in a decoder) or stand still. Its recording is then tried once more, by a new worker and after
all others; if that fails too, it is left out with its reason. Results go straight to the disk; only news pass between processes.
"""

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import connection, get_context, parent_process
from pathlib import Path

from signloop.core.errors import ModelError, SignloopError
from signloop.frames.video import Recording
from signloop.prelabel.proposal import Runtime
from signloop.prelabel.write import Ended, Hear, Job, Looked, label_recording

Load = Callable[[], Runtime]
ATTEMPTS = 2  # at a recording
NEWS_S = 0.2  # between two news of the same recording
PATIENCE_S = 0.5  # between two looks at the clock
CORES_A_WORKER = 4  # beyond that, more cores make one recording hardly faster


def how_many(asked: int | None, on_gpu: bool) -> tuple[int, int]:
    """Return how many workers this machine feeds, and how many threads each of them gets.

    Args:
        asked: `crew.workers`; None: as many as there are cores for, on a GPU one.
        on_gpu: the networks do not run on the cores.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = asked or (1 if on_gpu else max(1, cores // CORES_A_WORKER))
    return workers, max(1, cores // workers)


@dataclass(frozen=True)
class _Task:
    recording: Recording
    attempt: int = 1


class Workers:
    """Labels recordings in processes of their own.

    Args:
        load: makes the runtime, in each worker.
        model_id: of that runtime.
        count: most workers at a time.
        stall_s: seconds without a frame after which a worker stands still.
        say: told, once, what the runtime calls itself.
    """

    def __init__(self, load: Load, model_id: str, count: int, stall_s: float, say: Callable[[str], None]) -> None:
        self.model_id = model_id
        self._load, self._count, self._stall_s = load, count, stall_s
        self._say: Callable[[str], None] | None = say

    def _introduce(self, runtime: str) -> None:
        if self._say is not None:
            self._say(runtime)
            self._say = None

    def label(self, recordings: Sequence[Recording], job: Job, hear: Hear) -> None:
        """Label recordings, as `Crew` says.

        Raises:
            ModelError: the model cannot be loaded, or a worker did not get as far as that.
            OSError: results cannot be written.
        """
        waiting = deque(_Task(recording) for recording in recordings)
        crew: list[_Worker] = []
        try:
            while waiting or any(worker.task for worker in crew):
                crew += [_Worker(self._load, job) for _ in range(min(self._count, len(waiting)) - len(crew))]
                for worker in crew:
                    if worker.task is None and waiting:
                        worker.give(waiting.popleft())
                connection.wait([worker.link for worker in crew], timeout=PATIENCE_S)
                for worker in list(crew):
                    failure = worker.listen(hear, self._introduce, self._stall_s)
                    if failure is None:
                        continue
                    crew.remove(worker)
                    worker.stop()
                    if worker.task is not None:
                        _try_again(worker.task, failure, waiting, hear)
        finally:
            for worker in crew:
                worker.stop()


def _try_again(task: _Task, failure: str, waiting: deque[_Task], hear: Hear) -> None:
    """Put a recording that cost a worker behind all others, or leave it out."""
    if task.attempt < ATTEMPTS:
        waiting.append(_Task(task.recording, task.attempt + 1))
    else:
        detail = f"{failure} ({task.recording.name}), {ATTEMPTS} times. Convert it, or leave it out."
        hear(Ended(task.recording.recording_id, reason=failure, detail=detail))


class _Worker:
    """One worker process, as seen from the process that gives it recordings.

    Attributes:
        task: what it is at; None while it waits.
        link: what is heard of it.
    """

    def __init__(self, load: Load, job: Job) -> None:
        context = get_context("spawn")  # a fork would copy the threads and locks of decoders and networks
        self.link, far = context.Pipe()
        self.task: _Task | None = None
        self._process = context.Process(target=_serve, args=(far, load, job), daemon=True)
        self._process.start()
        far.close()  # so that the link ends with the worker
        self._is_ready, self._heard = False, time.monotonic()

    def give(self, task: _Task) -> None:
        """Let it label a recording; a worker that is gone is noticed by `listen`."""
        self.task, self._heard = task, time.monotonic()
        try:
            self.link.send(task.recording)
        except OSError:
            self._process.join()

    def listen(self, hear: Hear, introduce: Callable[[str], None], stall_s: float) -> str | None:
        """Pass on what it has told; returns what is wrong with it, None if nothing is.

        Raises:
            ModelError: it ended, or stands still, before it had loaded the model; or what it told.
            OSError: what it told.
        """
        failure = self._pass_on(hear, introduce)
        if failure is None and self.task is not None and time.monotonic() - self._heard > stall_s:
            failure = f"the worker stood still for {stall_s:g} s"
        if failure is not None and not self._is_ready:
            todo = "Is the memory too small for as many workers (crew.workers), or the limit too short (crew.stall_s)?"
            raise ModelError("a worker could not load the model", found=failure, todo=todo)
        return failure

    def _pass_on(self, hear: Hear, introduce: Callable[[str], None]) -> str | None:
        try:
            while self.link.poll():
                told = self.link.recv()
                self._heard = time.monotonic()
                if isinstance(told, Exception):
                    raise told
                self._is_ready = True
                if isinstance(told, str):
                    introduce(told)
                    continue
                if isinstance(told, Ended):
                    self.task = None
                hear(told)
        except (EOFError, ConnectionError):
            self._process.join()
            code = self._process.exitcode or 0
            return f"the worker was ended by signal {-code}" if code < 0 else f"the worker ended with code {code}"
        return None

    def stop(self) -> None:
        """End the process, whatever it is at; its results are whole or absent."""
        self.link.close()
        self._process.kill()
        self._process.join()


def _serve(link: connection.Connection, load: Load, job: Job) -> None:
    """Be a worker: load the model, then label what comes until the other side is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process ends the workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    offer = Path("/proc/self/oom_score_adj")
    if offer.exists():
        offer.write_text("500")  # if the memory is used up, a worker goes first
    try:
        runtime = load()
        link.send(str(runtime))
        while True:
            label_recording(link.recv(), runtime, job, _Rare(link).hear)
    except (EOFError, ConnectionError):
        return
    except (SignloopError, OSError) as error:
        link.send(error)


def _end_with_parent() -> None:
    """Wait until the first process is gone, even if it was killed while this one stood still, and go, too."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


class _Rare:
    """Sends news of one recording, but not of each frame."""

    def __init__(self, link: connection.Connection) -> None:
        self._link, self._sent, self._frames = link, 0.0, 0

    def hear(self, news: Looked | Ended) -> None:
        """Take news, and send them if it is time."""
        if isinstance(news, Looked):
            self._frames += news.frames
            if time.monotonic() - self._sent < NEWS_S:
                return
            news = Looked(news.recording_id, news.index, self._frames)
            self._sent, self._frames = time.monotonic(), 0
        self._link.send(news)
