"""Frames of one recording and a model in, proposals out: detect, follow, name. Read this first; the rest of the package are its verbs."""

from collections.abc import Iterable, Iterator

from signloop.core.params import Prelabel
from signloop.frames.video import Frame, Recording
from signloop.prelabel.gallery import Gallery
from signloop.prelabel.proposal import Proposal, Runtime, to_proposal
from signloop.prelabel.track import Stills, Tracker

__all__ = ["Proposal", "Runtime", "propose"]


def propose(frames: Iterable[Frame], runtime: Runtime, params: Prelabel, recording: Recording) -> Proposal:
    """Find every physical sign of a recording, with its boxes and one class.

    Args:
        frames: of `recording`, in order; only `params.batch` of them are held at a time.
        runtime: the detector and the classifier.
        params: what is a sign, and how it is followed.
        recording: of kind "stills", each box is a sign of its own; otherwise boxes are joined over time.

    Returns:
        Boxes and signs, numbered in the order in which they appear. A sign that looks like no class has none; one that the crops call
        "not an object" neither, and is left out if they are as sure of it as `params.nothing`. No frames give an empty proposal.

    Raises:
        DataError: whatever reading `frames` raises.
    """
    follower = Stills(params) if recording.kind == "stills" else Tracker(params, recording.width, recording.height)
    gallery = Gallery(runtime, params.crops_per_sign)
    looked = []
    for batch in _batches(frames, params.batch):
        for frame, boxes in zip(batch, runtime.detect([frame.image for frame in batch]), strict=True):
            looked.append((frame.index, frame.time_s, boxes))
            gallery.add(frame.index, frame.image, boxes, follower.update(frame.index, frame.time_s, boxes))
            gallery.settle(follower.live, follower.kept)
    tracks = follower.finish()
    gallery.settle(follower.live, follower.kept)
    named = [(track, gallery.votes[track.number]) for track in tracks]
    named = [(track, vote) for track, vote in named if vote.class_index is not None or vote.nothing < params.nothing]
    return to_proposal(named, gallery.contrary, looked, recording, runtime)


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
