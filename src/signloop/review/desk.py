"""One open review: questions, log and state together. What a person does enters; what they see next leaves. All of the page's logic."""

import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from signloop.core.boxes import SAME_IOU, clip, iou
from signloop.core.errors import SignloopError
from signloop.core.taxonomy import Taxonomy
from signloop.measure.effort import Effort, Rate, agreement
from signloop.review.log import Act, Add, Corners, Decide, Drop, Entry, Fix, Log, Merge, Split, Sweep, Undo, taken_back
from signloop.review.questions import Question, Questions, Row, item_id_of
from signloop.review.state import ConflictError, Given, Span, replay
from signloop.review.tracks import Track, recording_of, track

MIXED, UNKNOWN = "mixed", "none"  # sheets beside those of one class each, whose name is the class's id
FEW = 5  # a class of which fewer signs are asked has no sheet of its own
SEVERAL = 3  # so many classes with few signs share one: fewer are no burden
LONGEST_S = 3600.0  # that one act can have taken
EVIDENCE_S = 60.0  # of work, before anybody is told how long the rest takes
PRIOR = {"sheet": (30, 1.0), "single": (5, 4.0), "frame": (3, 10.0)}  # as if so many things had taken so many s each: one act is no pace


@dataclass(frozen=True)
class Progress:
    """How far a review is.

    Attributes:
        signs, signs_open: asked in all, and not decided yet. Planted ones and repeats count from the start, so that nothing grows when a
            repeat comes up, and nobody can tell them apart; what was merged into another, or will not come up any more, does not count.
        waiting: of the open ones, those that wait on sheets, with the repeats of these; the others wait to be looked at by themselves.
        frames, frames_open: to be searched in all, and not searched yet.
        odd: signs that a person put aside, to be looked at by themselves.
        seconds: spent so far.
        seconds_left: that the rest will take; None as long as there is too little to tell it from.
    """

    signs: int
    signs_open: int
    waiting: int
    frames: int
    frames_open: int
    odd: int
    seconds: float
    seconds_left: float | None


@dataclass
class _Pace:
    """How long things of one kind took."""

    things: float
    seconds: float

    @property
    def each(self) -> float:
        """Seconds for one."""
        return self.seconds / self.things


@dataclass
class _Tally:
    """Signs of one kind, and how many there are on each sheet."""

    members: dict[str, str | None] = field(default_factory=dict)
    of_sheet: Counter[str | None] = field(default_factory=Counter)

    def put(self, item_id: str, sheet: str | None, belongs: bool) -> None:
        """Take a sign in or out; one that a person made, split or merged is on no sheet."""
        if item_id in self.members:
            self.of_sheet[self.members.pop(item_id)] -= 1
        if belongs:
            self.members[item_id] = sheet
            self.of_sheet[sheet] += 1


class Desk:
    """An open review; its methods may be called from several threads.

    Args:
        folder: of the review, from `questions.begin`.
        taxonomy: the classes.

    Raises:
        DataError: it is damaged, or open in another process.
    """

    def __init__(self, folder: Path, taxonomy: Taxonomy) -> None:
        self.questions, self.taxonomy = Questions(folder), taxonomy
        self._lock = threading.RLock()
        self._log = Log(folder / "log.jsonl")
        try:
            self._open_up()
        except SignloopError:
            self._log.close()
            raise

    def _open_up(self) -> None:
        items = self.questions.items.values()
        self._signs = [q.item_id for q in items if q.kind != "frame"]
        self._frames = [q.item_id for q in items if q.kind == "frame"]
        self._first_of = {q.item_id: item_id_of(self.questions.review_id, q.source_id) for q in items if q.kind == "repeat"}
        self._repeat_of = {first: again for again, first in self._first_of.items()}
        self._sheet_of = _sheets(items)
        self.state = replay(self._signs, self._frames, self._log.entries)
        self._seconds = sum(entry.seconds for entry in self._log.entries)
        self._made: dict[str, None] = {}  # signs that people split off or added, in the order of their making
        self._pace = {kind: _Pace(things, things * each) for kind, (things, each) in PRIOR.items()}
        for entry in self._log.entries:
            self._clock(entry)
        self._asked, self._open, self._odd = _Tally(), _Tally(), _Tally()
        self._later = set(self._first_of)  # repeats that will come up
        for question in items:
            if question.kind in ("sign", "planted"):
                self._asked.put(question.item_id, self._sheet_of[question.item_id], True)
                self._open.put(question.item_id, self._sheet_of[question.item_id], True)
        self._recount(self.state.items)
        by_sheet: dict[str, list[Question]] = defaultdict(list)
        for item_id, sheet in self._sheet_of.items():
            by_sheet[sheet].append(self.questions.items[item_id])
        self._by_sheet = {s: [q.item_id for q in sorted(qs, key=_alike if s == MIXED else _doubt)] for s, qs in by_sheet.items()}
        self._by_recording: dict[str, list[str]] = defaultdict(list)
        for question in items:
            if question.kind == "sign":
                self._by_recording[question.recording_id].append(question.item_id)

    def close(self) -> None:
        """Let another process open it."""
        self._log.close()

    @property
    def entries(self) -> Sequence[Entry]:
        """All that was ever done, in order."""
        return tuple(self._log.entries)

    def real(self) -> list[str]:
        """Signs that labels can come from: predicted, split off and added ones; never a planted one or a repeat."""
        with self._lock:
            return [i for ids in self._by_recording.values() for i in ids] + list(self._made)

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """Let nobody change anything meanwhile."""
        with self._lock:
            yield

    def signs_in(self, recording_id: str, index: int) -> list[tuple[str, int | None, NDArray[np.float32], bool]]:
        """Return (sign, class, box, decided) of the signs with a box in a frame; those that people called nothing are left out.

        What older rounds know there is among them, under its box_id.
        """
        found = []
        with self._lock:
            for item_id, box in self._boxes_in(recording_id, index):
                answers = self.answers(item_id)
                if not any(g.answer.verdict == "nothing" for g in answers):
                    newest = max(answers, key=lambda given: given.number, default=None)
                    class_id = self.question(item_id).class_id if newest is None else newest.answer.class_id
                    found.append((item_id, class_id, box, bool(answers)))
            return found + [(row["box_id"], row["class_id"], _corners(row), True) for row in self.known_in(recording_id, index)]

    def known_in(self, recording_id: str, index: int) -> list[Row]:
        """Return what older rounds say of a frame to be searched, rows of verified_boxes, but of what this review asks about itself."""
        with self._lock:
            asked = [box for _, box in self._boxes_in(recording_id, index)]
        known = self.questions.known.get(f"{recording_id}/{index:06d}", [])
        return [row for row in known if iou([_corners(row)], asked).max(initial=0) < SAME_IOU]

    def _boxes_in(self, recording_id: str, index: int) -> list[tuple[str, NDArray[np.float32]]]:
        """Return the signs of this review with a box in a frame, and the box."""
        made = [i for i in self._made if recording_of(self.questions, self.state.item(i)) == recording_id]
        found = []
        for item_id in [*self._by_recording.get(recording_id, []), *made]:
            item = self.state.item(item_id)
            if item.merged_into is None:
                boxes = track(self.questions, item)
                found += [(item_id, boxes.xyxy[int(k)]) for k in np.flatnonzero(boxes.indices == index)]
        return found

    def near(self, item_id: str, size: int) -> list[str]:
        """Return signs of the same recording that may be the same physical one: near in time and place, and not beside it in one frame.

        Raises:
            ConflictError: there is no such sign (any more).
        """
        with self._lock:
            item = self.state.item(item_id)
            recording_id = recording_of(self.questions, item)
            own = track(self.questions, item)
            others = [*self._by_recording.get(recording_id, []), *self._made]
            found = []
            for other_id in others:
                other = self.state.item(other_id)
                if other_id == item_id or other.merged_into is not None or recording_of(self.questions, other) != recording_id:
                    continue
                found.append((_distance(own, track(self.questions, other)), other_id))
        return [other_id for _, other_id in sorted(found)[:size]]

    def sheets(self) -> list[tuple[str, int, int, int]]:
        """Return (sheet, open signs, those of them that are odd, signs), most open signs first; then the mixed one and the unnamed."""
        with self._lock:
            found = [(s, self._open.of_sheet[s], self._odd.of_sheet[s], self._asked.of_sheet[s]) for s in self._by_sheet]
        return sorted(found, key=lambda row: (row[0] == UNKNOWN, row[0] == MIXED, -row[1], len(row[0]), row[0]))

    def sheet(self, sheet: str, size: int, after: str | None = None) -> list[str]:
        """Return the signs of a sheet that are open and not odd, the most doubtful first: `size` of them, from behind `after` on.

        On the mixed one those of a class are together.
        """
        with self._lock:
            order = self._by_sheet.get(sheet, [])
            start = order.index(after) + 1 if after in order else 0
            waiting = (i for i in order[start:] if self._open.members.get(i) == sheet and i not in self._odd.members)
            return list(islice(waiting, size))

    def sheet_of(self, item_id: str) -> str | None:
        """Return the sheet that a sign is on; None for one that a person made, split or merged: it is looked at by itself."""
        with self._lock:
            return self._sheet_of.get(item_id) if self.state.item(item_id).spans == (Span(item_id),) else None

    def upcoming(self) -> Iterator[str]:
        """Return the signs that wait on sheets, in the order in which the page comes to them."""
        for sheet, *_ in self.sheets():
            yield from self.sheet(sheet, len(self.questions.items))

    def single(self, size: int, after: str | None = None) -> list[str]:
        """Return open signs to be looked at one by one: those on no sheet first, in the order of the queue, from behind `after` on."""
        with self._lock:
            open_, odd = self._open.members, self._odd.members
            order = [i for i in (*self._signs, *self._made) if i in open_]
            waiting = [i for i in order if i in odd or open_[i] is None] + [i for i in order if i not in odd and open_[i] is not None]
        start = waiting.index(after) + 1 if after in waiting else 0
        return (waiting[start:] + waiting[:start])[:size]

    def frames(self, size: int) -> list[str]:
        """Return frames that nobody has searched, in the order of the queue."""
        with self._lock:
            return [item_id for item_id in self._frames if item_id not in self.state.swept][:size]

    def is_open(self, item_id: str) -> bool:
        """Whether a sign is asked and not decided; an odd one is open."""
        return item_id in self._open.members

    def progress(self) -> Progress:
        """Count, and estimate the time left at the pace so far."""
        with self._lock:
            odd = len(self._odd.members)
            signs_open, frames_open = len(self._open.members) + len(self._later), len(self._frames) - len(self.state.swept)
            made = self._open.of_sheet[None] - self._odd.of_sheet[None]
            behind = sum(self._first_of[again] in self._odd.members for again in self._later)  # repeats of what waits one by one
            waiting = signs_open - odd - made - behind
            left = {"sheet": waiting, "single": signs_open - waiting, "frame": frames_open}
            return Progress(
                len(self._asked.members) + len(self._later),
                signs_open,
                waiting,
                len(self._frames),
                frames_open,
                odd,
                self._seconds,
                sum(self._pace[kind].each * things for kind, things in left.items()) if self._seconds >= EVIDENCE_S else None,
            )

    def track(self, item_id: str) -> Track:
        """Return the boxes of a sign as they are now.

        Raises:
            ConflictError: there is no such sign (any more).
        """
        with self._lock:
            return track(self.questions, self.state.item(item_id))

    def box(self, item_id: str, index: int) -> NDArray[np.float32] | None:
        """Return the box of a sign in a frame, (4,) px; None if it has none.

        One that was split off meanwhile is still found as it was proposed: a page that does not know of it yet may show it.

        Raises:
            ConflictError: there is no such sign (any more).
        """
        with self._lock:
            item = self.state.item(item_id)
            now = track(self.questions, item)
            sources = [self.questions.shown(span.source_id) for span in item.spans]
        at = np.flatnonzero(now.indices == index)
        if len(at):
            return np.asarray(now.xyxy[int(at[0])], np.float32)
        return next((box for shown in sources if (box := shown.at(index)) is not None), None)

    def question(self, item_id: str) -> Question:
        """Return what is asked of a sign; of one that was split off or added, as of the sign it came from.

        Of merged signs, the class is the one that a person gave to a part last, or else that of which the models are surest.

        Raises:
            ConflictError: there is no such sign (any more).
        """
        if item_id not in self.state.items and item_id in self.questions.items:
            return self.questions.items[item_id]
        item = self.state.item(item_id)
        if item.spans:
            own, surest = self.questions.items.get(item_id), self.questions.items[self.surest(item_id)]
            if own is None:
                asked = replace(surest, item_id=item_id, kind="split", reason="split off by a person")
            else:
                asked = replace(own, class_id=surest.class_id, confidence=surest.confidence)
            if item.called:
                asked = replace(asked, class_id=item.called[0], confidence=1.0, reason="a part of it was called this")
            return asked
        given = next(iter(item.answers.values()))
        return Question(item_id, "added", item_id, recording_of(self.questions, item), given.answer.class_id, 1.0, "added by a person", 0)

    def surest(self, item_id: str) -> str:
        """Return, of the predicted signs that a sign is made of, the one whose class the models are surest of."""
        sources = [self.questions.items[span.source_id] for span in self.state.item(item_id).spans]
        return max(sources, key=lambda source: (source.class_id is not None, source.confidence)).item_id

    def act(self, annotator: str, seconds: float, based_on: Mapping[str, int], act: Act) -> Entry:
        """Do what a person asks for; on return it is on the disk.

        Args:
            annotator: who.
            seconds: they took, pauses left out.
            based_on: version of each sign and frame that the person saw when they decided.
            act: what.

        Raises:
            ConflictError: somebody else was there meanwhile, or it does not fit; nothing was changed.
            DataError: the disk is full; nothing was changed.
        """
        with self._lock:
            self._check(act)
            for item_id in _speaks_of(act):
                version = self.state.version(item_id) if self._is_known(item_id) else 0
                if based_on.get(item_id, 0) != version:
                    raise ConflictError(
                        "somebody has decided about this meanwhile", where=item_id, expected=based_on.get(item_id, 0), found=version
                    )
            at = datetime.now(UTC)
            entry = Entry(number=len(self._log.entries) + 1, at=at, annotator=annotator, seconds=min(seconds, LONGEST_S), act=act)
            self.state.check(entry)
            self._log.append(at, annotator, entry.seconds, act)
            self._seconds += entry.seconds
            self._clock(entry)
            self._recount(self.state.apply(entry))
            return entry

    def undo(self, annotator: str, seconds: float, *, again: bool = False) -> Entry:
        """Take back the last act of a person that counts; or, with `again`, do the one again that they took back last.

        Raises:
            ConflictError: there is none, or something later builds on it.
        """
        with self._lock:
            number = self._to_redo(annotator) if again else self._to_undo(annotator)
            if number is None:
                raise ConflictError("there is nothing to do again" if again else "there is nothing to undo")
            return self.act(annotator, seconds, {}, Undo(number=number))

    def effort(self) -> Effort:
        """Measure how well people look, from planted mistakes and repeats."""
        with self._lock:
            closed = [i for i in self.state.items if i in self._asked.members and i not in self._open.members]
            decided = [(self.question(i), g) for i in closed for g in self.answers(i)]
            planted = [(self.questions.planted[q.source_id], g.answer) for q, g in decided if q.kind == "planted"]
            caught = sum(a.verdict != "sign" or a.class_id != sign.class_id for sign, a in planted)
            pairs = []
            for question, given in decided:
                if question.kind == "repeat":
                    for first in self.answers(self._first_of[question.item_id]):
                        if first.annotator == given.annotator:
                            pairs.append(((first.answer.verdict, first.answer.class_id), (given.answer.verdict, given.answer.class_id)))
            real = [(q, g) for q, g in decided if q.kind in ("sign", "split")]
            corrected = sum(
                g.answer.verdict == "nothing" or (g.answer.verdict == "sign" and g.answer.class_id != q.class_id) for q, g in real
            )
            seconds = sum(g.seconds for q, g in decided)
            return Effort(len(real), corrected, seconds, Rate(caught, len(planted)), agreement(pairs))

    def added(self) -> int:
        """Count the signs that people added; merged into others, they are these."""
        with self._lock:
            made = [self.state.item(item_id) for item_id in self._made]
            return sum(item.added is not None and item.merged_into is None for item in made)

    def answers(self, item_id: str) -> list[Given]:
        """Return what people have decided about a sign; that it is odd is no decision."""
        return [g for g in self.state.item(item_id).answers.values() if g.answer.verdict != "odd"]

    def _clock(self, entry: Entry) -> None:
        """Take in how long an act took: all seconds for signs and frames count, whatever was done to them on the way."""
        match entry.act:
            case Decide(view="sheet", answers=answers):
                kind, things = "sheet", len(answers)
            case Decide():
                kind, things = "single", 1
            case Sweep():
                kind, things = "frame", 1
            case Add():
                kind, things = "frame", 0
            case _:
                kind, things = "single", 0
        self._pace[kind].things += things
        self._pace[kind].seconds += entry.seconds

    def _recount(self, touched: Iterable[str]) -> None:
        """Count anew the signs that may be another now, and their repeats."""
        touched = list(touched)
        for item_id in [*touched, *(self._repeat_of[i] for i in touched if i in self._repeat_of)]:
            question = self.questions.items.get(item_id)
            if question is not None and question.kind == "frame":
                continue
            if question is None and item_id in self.state.items:
                self._made[item_id] = None
            elif question is None:
                self._made.pop(item_id, None)  # its making was taken back
            is_asked = self._is_known(item_id) and self._is_asked(item_id)
            if item_id in self._first_of:
                (self._later.add if not is_asked and self._is_whole(item_id) else self._later.discard)(item_id)
            item = self.state.item(item_id) if is_asked else None
            is_open = item is not None and item.merged_into is None and not self.answers(item_id)
            sheet = self.sheet_of(item_id) if is_asked else None
            self._asked.put(item_id, sheet, item is not None and item.merged_into is None)
            self._open.put(item_id, sheet, is_open)
            self._odd.put(item_id, sheet, is_open and item is not None and bool(item.answers))

    def _is_known(self, item_id: str) -> bool:
        return item_id in self.questions.items or item_id in self.state.items

    def _is_asked(self, item_id: str) -> bool:
        """A repeat is asked only once its first time is answered."""
        first = self._first_of.get(item_id)
        return first is None or (first not in self._open.members and self._is_whole(item_id))

    def _is_whole(self, repeat: str) -> bool:
        """Whether the first time of a repeat is as it was proposed, neither split nor merged: otherwise it is not asked again."""
        first = self._first_of[repeat]
        item = self.state.item(first)
        return item.merged_into is None and item.spans == (Span(first),)

    def _to_undo(self, annotator: str) -> int | None:
        gone = taken_back(self._log.entries)
        mine = (e for e in reversed(self._log.entries) if e.annotator == annotator and not isinstance(e.act, Undo))
        return next((e.number for e in mine if e.number not in gone), None)

    def _to_redo(self, annotator: str) -> int | None:
        """The newest undo of the person that counts, unless they have done something else since."""
        gone: set[int] = set()
        for entry in reversed(self._log.entries):
            if entry.annotator != annotator:
                continue
            if not isinstance(entry.act, Undo):
                return None
            if entry.number in gone:
                continue
            target = self._log.entries[entry.act.number - 1]
            if not isinstance(target.act, Undo):
                return entry.number
            gone.add(target.number)
        return None

    def _check(self, act: Act) -> None:
        """Refuse what the state alone cannot judge: classes, recordings, frames."""
        for item_id in _speaks_of(act):
            is_frame = item_id in self.questions.items and self.questions.items[item_id].kind == "frame"
            if is_frame != isinstance(act, Sweep):
                raise ConflictError("a frame is searched, and only a sign is decided", where=item_id)
        classes = [a.class_id for a in act.answers] if isinstance(act, Decide) else [act.class_id] if isinstance(act, Add) else []
        strange = [c for c in classes if c is not None and c not in self.taxonomy.by_id]
        if strange:
            raise ConflictError("there is no such class", expected=f"an id of {self.taxonomy.name}", found=strange)
        if isinstance(act, Merge):
            one, other = (recording_of(self.questions, self.state.item(i)) for i in (act.item_id, act.other_id))
            if one != other:
                raise ConflictError("signs of two recordings cannot be one", where=act.item_id, found=act.other_id)
        if isinstance(act, (Split, Merge)):
            self._check_whole(act)
        if isinstance(act, Drop):
            boxes = self.track(act.item_id)
            goes = (boxes.indices >= act.first) & (boxes.indices < act.end)
            proposed = np.array([bool(box_id) for box_id in boxes.box_ids]) | (not self.state.item(act.item_id).spans)
            if not goes.any() or not (proposed & ~goes).any():
                raise ConflictError(
                    "some of the models' boxes must go, and some stay", where=act.item_id, found=f"{goes.sum()} of {len(goes)} boxes go"
                )
        if isinstance(act, Fix):
            if act.index not in set(self.track(act.item_id).indices.tolist()):
                raise ConflictError("the sign has no box in this frame", where=act.item_id, found=act.index)
            self._check_inside(recording_of(self.questions, self.state.item(act.item_id)), [act.xyxy])
        if isinstance(act, Add):
            about = self.questions.recordings.get(act.recording_id)
            if about is None or not all(self._is_frame(act.recording_id, box.index) for box in act.boxes):
                raise ConflictError("there is no such frame in this review", where=act.recording_id)
            self._check_inside(act.recording_id, [box.xyxy for box in act.boxes])

    def _is_frame(self, recording_id: str, index: int) -> bool:
        """Tell whether a recording has a frame; how many there are is an estimate, which what is stored goes beyond."""
        within = index < max(1, self.questions.recordings[recording_id]["frames"])
        return within or self.questions.frame(f"{recording_id}/{index:06d}") is not None

    def _check_whole(self, act: Split | Merge) -> None:
        """Refuse what would mix labels with questions that no label may come from, and signs without a box."""
        for item_id in _speaks_of(act):
            spans = self.state.item(item_id).spans
            if any(self.questions.items[span.source_id].kind != "sign" for span in spans):  # planted, or asked again; which is not told
                raise ConflictError("this sign can be neither split nor merged", where=item_id, todo="Decide it as it is.")
        if isinstance(act, Split):
            indices = self.track(act.item_id).indices
            if not (indices < act.index).any() or not (indices >= act.index).any():
                raise ConflictError("a split needs boxes on both sides", where=act.item_id, found=act.index)

    def _check_inside(self, recording_id: str, corners: Sequence[Corners]) -> None:
        about = self.questions.recordings[recording_id]
        inside = clip(corners, about["width"], about["height"])
        if (inside[:, 2:] - inside[:, :2] < 1).any():
            raise ConflictError("a box lies outside of its frame, or is smaller than a pixel", where=recording_id)


def _corners(row: Row) -> NDArray[np.float32]:
    return np.array([row[c] for c in ("x1", "y1", "x2", "y2")], np.float32)


def _distance(one: Track, other: Track) -> tuple[bool, float]:
    """Return whether two tracks are two things for sure, side by side in one frame, and how far they are apart.

    That is frames between them plus px between their boxes where they are nearest in time, in units of the box's longer side.
    """
    gaps = np.abs(one.indices[:, None] - other.indices[None, :])
    nearest = np.argwhere(gaps == gaps.min())
    mine, theirs = one.xyxy[nearest[:, 0]], other.xyxy[nearest[:, 1]]
    apart = float((np.abs(mine - theirs).max(axis=1) / (mine[:, 2:] - mine[:, :2]).max(axis=1)).min())
    return bool(gaps.min() == 0 and apart > 1), float(gaps.min()) + apart


def _sheets(questions: Iterable[Question]) -> dict[str, str]:
    """Return on which sheet each sign is shown.

    One of a class each, but for classes with few signs; what is asked again is mixed among these: beside the others of its class, it
    would look as if the answer had been lost.
    """
    signs = [question for question in questions if question.kind != "frame"]
    sizes = Counter(question.class_id for question in signs if question.kind != "repeat" and question.class_id is not None)
    few = {class_id for class_id, size in sizes.items() if size < FEW}

    def sheet(question: Question) -> str:
        if question.class_id is None:
            return UNKNOWN
        is_mixed = question.kind == "repeat" or (question.class_id in few and len(few) >= SEVERAL)
        return MIXED if is_mixed else str(question.class_id)

    return {question.item_id: sheet(question) for question in signs}


def _alike(question: Question) -> tuple[int, float, str]:
    return question.class_id or 0, question.confidence, question.item_id


def _doubt(question: Question) -> tuple[bool, float, int, str]:
    return question.kind == "repeat", question.confidence, question.rank, question.item_id


def _speaks_of(act: Act) -> list[str]:
    """Return the signs and frames whose version must be the one that the person saw."""
    if isinstance(act, Decide):
        return [answer.item_id for answer in act.answers]
    if isinstance(act, Merge):
        return [act.item_id, act.other_id]
    if isinstance(act, (Fix, Drop, Split, Sweep)):
        return [act.item_id]
    return []
