"""Frames of one recording and a model in, proposals out: detect, follow, name. Read this first; the rest of the package are its verbs."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from signloop.core.boxes import Boxes
from signloop.core.params import Prelabel
from signloop.frames.video import Frame, Recording
from signloop.prelabel.gallery import Gallery
from signloop.prelabel.proposal import Proposal, Runtime, to_proposal
from signloop.prelabel.track import Stills, Tracker

__all__ = ["Note", "Proposal", "Runtime", "look", "propose"]
Note = Callable[[Frame, Boxes], None]


def _forget(frame: Frame, boxes: Boxes) -> None:
    """Keep nothing of a frame, so that memory does not grow with their number."""


def propose(frames: Iterable[Frame], runtime: Runtime, params: Prelabel, recording: Recording, note: Note = _forget) -> Proposal:
    """Find every physical sign of a recording, with its boxes and one class.

    Args:
        frames: of `recording`, in order; only a few calls of the detector, of `params.batch` frames each, are held at a time.
        runtime: the detector and the classifier.
        params: what is a sign, and how it is followed.
        recording: of kind "stills", each box is a sign of its own; otherwise boxes are joined over time.
        note: told of each frame and of all boxes that the detector found in it.

    Returns:
        Boxes and signs, numbered in the order in which they appear. A sign that looks like no class has none; one that the crops call
        "not an object" neither, and is left out if they are as sure of it as `params.nothing`. No frames give an empty proposal.

    Raises:
        DataError: whatever reading `frames` raises.
    """
    follower = Stills(params) if recording.kind == "stills" else Tracker(params, recording.width, recording.height)
    gallery = Gallery(runtime, params.crops_per_sign)
    for frame, boxes in look(frames, runtime, params.batch):
        note(frame, boxes)
        gallery.add(frame.index, frame.image, boxes, follower.update(frame.index, frame.time_s, boxes))
        gallery.settle(follower.live, follower.kept)
    tracks = follower.finish()
    gallery.settle(follower.live, follower.kept)
    named = [(track, gallery.votes[track.number]) for track in tracks]
    named = [(track, vote) for track, vote in named if vote.class_index is not None or vote.nothing < params.nothing]
    return to_proposal(named, gallery.contrary, recording, runtime)


def look(frames: Iterable[Frame], runtime: Runtime, batch: int) -> Iterator[tuple[Frame, Boxes]]:
    """Yield each frame with its boxes, in order, while the next ones are read and looked at in other threads.

    Args:
        frames: read in the thread of the caller, at most two calls of the detector ahead for each of the runtime's streams.
        runtime: the detector.
        batch: frames a call.
    """
    calls: deque[tuple[list[Frame], Future[list[Boxes]]]] = deque()
    with ThreadPoolExecutor(runtime.streams) as streams:
        for group in _batches(frames, batch):
            calls.append((group, streams.submit(runtime.detect, [frame.image for frame in group])))
            if len(calls) > 2 * runtime.streams:
                yield from _answer(calls)
        while calls:
            yield from _answer(calls)


def _answer(calls: deque[tuple[list[Frame], Future[list[Boxes]]]]) -> Iterator[tuple[Frame, Boxes]]:
    """Wait for the oldest call."""
    group, boxes = calls.popleft()
    return zip(group, boxes.result(), strict=True)


def _batches(frames: Iterable[Frame], size: int) -> Iterator[list[Frame]]:
    """Group frames that follow each other; stills of different sizes never share a call, where one would be padded to the other."""
    batch: list[Frame] = []
    for frame in frames:
        if batch and (len(batch) == size or frame.image.shape != batch[0].image.shape):
            yield batch
            batch = []
        batch.append(frame)
    if batch:
        yield batch
