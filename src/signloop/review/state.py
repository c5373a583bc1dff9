"""The log of a review enters, what is decided now leaves; the same entries always give the same state."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from signloop.core.errors import SignloopError
from signloop.review.log import Act, Add, Answer, Corners, Decide, Drop, Entry, Fix, Merge, Split, Sweep, Undo, taken_back

NEVER = 0  # version of an item that nobody has touched


class ConflictError(SignloopError):
    """An act does not fit what was decided meanwhile; nothing was changed."""


@dataclass(frozen=True)
class Given:
    """An answer with its origin."""

    answer: Answer
    number: int
    annotator: str
    at: datetime
    seconds: float


@dataclass(frozen=True)
class Span:
    """Boxes of one predicted sign from frame `first` to before frame `end` (indices)."""

    source_id: str
    first: int = 0
    end: int = 2**31

    def holds(self, index: int) -> bool:
        """Whether a frame lies in it."""
        return self.first <= index < self.end

    def between(self, first: int, end: int) -> "Span":
        """Return what of it lies in these frames; maybe nothing."""
        return replace(self, first=max(self.first, first), end=min(self.end, end))

    def __bool__(self) -> bool:
        """Whether any frame can lie in it."""
        return self.first < self.end


@dataclass(frozen=True)
class Dropped:
    """Boxes of a predicted sign that a person took off it; `seen` are the frames in which they looked at them."""

    span: Span
    annotator: str
    at: datetime
    seen: frozenset[int]


@dataclass(frozen=True)
class Item:
    """One sign as the people see it now.

    Attributes:
        item_id: as asked, or as split off or added by a person.
        spans: predicted boxes that belong to it; none for an added sign.
        placed: boxes by frame index that a person set, (xyxy, seen).
        answers: annotator -> their newest answer.
        dropped: predicted boxes that lie on something else.
        added: who added it, and in which recording; None for a predicted one.
        merged_into: the sign that it has become a part of.
        called: classes that people gave to the parts of a merged sign before they were one, the newest first.
    """

    item_id: str
    spans: tuple[Span, ...]
    placed: Mapping[int, tuple[Corners, bool]] = field(default_factory=dict)
    answers: Mapping[str, Given] = field(default_factory=dict)
    dropped: tuple[Dropped, ...] = ()
    added: tuple[str, str] | None = None
    merged_into: str | None = None
    called: tuple[int, ...] = ()


@dataclass(frozen=True)
class Swept:
    """What people say of a frame: annotator -> complete."""

    complete: Mapping[str, bool]


Changes = Mapping[str, Item | Swept | None]


class State:
    """All decisions of a review.

    Args:
        signs: ids of the predicted signs that are asked.
        frames: ids of the frames that are searched.

    Attributes:
        items: signs that somebody touched.
        swept: frames that somebody searched.
    """

    def __init__(self, signs: Iterable[str], frames: Iterable[str]) -> None:
        self._signs, self._frames = frozenset(signs), frozenset(frames)
        self.items: dict[str, Item] = {}
        self.swept: dict[str, Swept] = {}
        self._versions: dict[str, int] = {}
        self._entries: list[Entry] = []
        self._undos: list[Entry] = []
        self._about: dict[str, list[int]] = defaultdict(list)  # numbers of all entries but undos that touch a sign or a frame

    def item(self, item_id: str) -> Item:
        """Return a sign.

        Raises:
            ConflictError: there is no such sign (any more).
        """
        if item_id in self.items:
            return self.items[item_id]
        if item_id not in self._signs:
            raise ConflictError("there is no such sign in this review", where=item_id, todo="Reload the page.")
        return Item(item_id, (Span(item_id),))

    def version(self, item_id: str) -> int:
        """Return the number of the last entry that touched a sign or a frame, be it an undo: it never goes back to an older one.

        Raises:
            ConflictError: there is no such sign (any more).
        """
        if item_id not in self._frames:
            self.item(item_id)
        return self._versions.get(item_id, NEVER)

    def check(self, entry: Entry) -> None:
        """Refuse an entry that does not fit.

        Raises:
            ConflictError: says why.
        """
        _changes(self, entry)

    def apply(self, entry: Entry) -> list[str]:
        """Take an entry in; returns the ids of what may be another now.

        Raises:
            ConflictError: it does not fit; the state is unchanged.
        """
        changes = _changes(self, entry)
        self._take(changes)
        self._note(entry)
        return list(changes)

    def meant(self, entry: Entry) -> Entry:
        """Return the entry that an undo takes back or does again in the end; any other entry itself."""
        while isinstance(entry.act, Undo):
            entry = self._entries[entry.act.number - 1]
        return entry

    def is_frame(self, item_id: str) -> bool:
        """Whether an id is that of a frame to search."""
        return item_id in self._frames

    def require_new(self, item_id: str) -> None:
        """Refuse an id that something has already.

        Raises:
            ConflictError: it has.
        """
        if item_id in self.items or item_id in self._signs or item_id in self._frames:
            raise ConflictError("the new sign exists already", where=item_id)

    def _take(self, changes: Changes) -> None:
        for item_id, value in changes.items():
            if isinstance(value, Item):
                self.items[item_id] = value
            elif isinstance(value, Swept):
                self.swept[item_id] = value
            else:
                self.items.pop(item_id, None)
                self.swept.pop(item_id, None)

    def _note(self, entry: Entry) -> None:
        self._entries.append(entry)
        touched = touches(self.meant(entry).act)
        self._versions.update(dict.fromkeys(touched, entry.number))
        if isinstance(entry.act, Undo):
            self._undos.append(entry)
        else:
            for item_id in touched:
                self._about[item_id].append(entry.number)

    def _undo(self, entry: Entry, act: Undo) -> Changes:
        """Build all that hangs together with what is taken back (or done again) anew from its entries."""
        if act.number > len(self._entries):
            raise ConflictError("there is no such entry", found=act.number)
        if act.number in taken_back(self._undos):
            raise ConflictError("this was taken back already", where=f"entry {act.number}", todo="Reload the page.")
        target, gone = self.meant(self._entries[act.number - 1]), taken_back([*self._undos, entry])
        if isinstance(target.act, (Split, Merge)):
            later = {n for i in touches(target.act) for n in self._about[i] if n > target.number and n not in gone}
            if later:
                raise ConflictError("a later decision builds on it", where=f"entry {min(later)}")
        together = self._together(touches(target.act))
        fresh = State(self._signs, self._frames)
        for number in sorted({n for item_id in together for n in self._about[item_id]} - gone.keys()):
            try:
                fresh._take(_changes(fresh, self._entries[number - 1], together))
            except ConflictError as error:
                raise ConflictError("a later decision builds on it", where=f"entry {number}", found=error.what) from error
        return {item_id: fresh.items.get(item_id) or fresh.swept.get(item_id) for item_id in together}

    def _together(self, item_ids: Iterable[str]) -> set[str]:
        """Return these signs and all that were ever split from them or merged with them."""
        found, todo = set(item_ids), list(item_ids)
        while todo:
            for number in self._about[todo.pop()]:
                act = self._entries[number - 1].act
                if isinstance(act, (Split, Merge)):
                    new = set(touches(act)) - found
                    found |= new
                    todo += new
        return found


def touches(act: Act) -> list[str]:
    """Return the signs and frames that an act changes; none for an undo."""
    if isinstance(act, Decide):
        return [answer.item_id for answer in act.answers]
    if isinstance(act, Split):
        return [act.item_id, act.new_id]
    if isinstance(act, Merge):
        return [act.item_id, act.other_id]
    return [] if isinstance(act, Undo) else [act.item_id]


def replay(signs: Iterable[str], frames: Iterable[str], entries: Iterable[Entry]) -> State:
    """Build the state from a log; the same as to apply its entries one by one.

    Raises:
        ConflictError: an entry does not fit those before it.
    """
    state, whole = State(signs, frames), list(entries)
    gone = taken_back(whole)
    for entry in whole:
        if not isinstance(entry.act, Undo) and entry.number not in gone:
            try:
                state._take(_changes(state, entry))
            except ConflictError as error:
                raise ConflictError(
                    "the log of decisions does not fit the review", where=f"entry {entry.number}", found=error.what
                ) from error
        state._note(entry)
    return state


def _changes(state: State, entry: Entry, only: Collection[str] | None = None) -> Changes:
    """Return what an entry makes of the signs and frames that it touches, or of those among `only`."""
    act: Act = entry.act
    match act:
        case Decide():
            changes: Changes = dict(_decide(state, entry, act, only))
        case Fix():
            changes = {act.item_id: _fix(state, act)}
        case Drop():
            changes = {act.item_id: _drop(state, entry, act)}
        case Split():
            changes = dict(_split(state, act))
        case Merge():
            changes = dict(_merge(state, act))
        case Add():
            changes = {act.item_id: _add(state, entry, act)}
        case Sweep():
            changes = {act.item_id: _sweep(state, entry, act)}
        case Undo():
            changes = state._undo(entry, act)
    return changes


def _open(state: State, item_id: str) -> Item:
    item = state.item(item_id)
    if item.merged_into is not None:
        raise ConflictError("this sign was merged into another", where=item_id, found=item.merged_into)
    return item


def _box(xyxy: Corners) -> Corners:
    x1, y1, x2, y2 = xyxy
    if x2 <= x1 or y2 <= y1:
        raise ConflictError("a box has no area", found=list(xyxy))
    return xyxy


def _within(item: Item, index: int) -> None:
    if item.spans and index not in item.placed and not any(span.holds(index) for span in item.spans):
        raise ConflictError("this frame belongs to another sign", where=item.item_id, found=index)


def _decide(state: State, entry: Entry, act: Decide, only: Collection[str] | None) -> Iterable[tuple[str, Item]]:
    if len({answer.item_id for answer in act.answers}) != len(act.answers):
        raise ConflictError("one sign is answered twice in one act")
    for answer in act.answers:
        if only is not None and answer.item_id not in only:
            continue
        if (answer.verdict == "sign") != (answer.class_id is not None):
            raise ConflictError("a sign has a class, and nothing else has one", where=answer.item_id)
        item = _open(state, answer.item_id)
        given = Given(answer, entry.number, entry.annotator, entry.at, entry.seconds / len(act.answers))
        yield answer.item_id, replace(item, answers={**item.answers, entry.annotator: given})


def _fix(state: State, act: Fix) -> Item:
    item = _open(state, act.item_id)
    _within(item, act.index)
    return replace(item, placed={**item.placed, act.index: (_box(act.xyxy), True)})


def _drop(state: State, entry: Entry, act: Drop) -> Item:
    item = _open(state, act.item_id)
    parts = [span.between(act.first, act.end) for span in item.spans]
    left = [piece for span in item.spans for piece in (span.between(0, act.first), span.between(act.end, span.end)) if piece]
    if item.spans and not left:
        raise ConflictError("nothing of the sign would be left", where=item.item_id, todo="Say that it is nothing.")
    placed = {index: box for index, box in item.placed.items() if not act.first <= index < act.end}
    dropped = [Dropped(part, entry.annotator, entry.at, frozenset(act.seen)) for part in parts if part]
    return replace(item, spans=tuple(left), placed=placed, dropped=(*item.dropped, *dropped))


def _sweep(state: State, entry: Entry, act: Sweep) -> Swept:
    if not state.is_frame(act.item_id):
        raise ConflictError("there is no such frame in this review", where=act.item_id)
    before = state.swept[act.item_id].complete if act.item_id in state.swept else {}
    return Swept({**before, entry.annotator: act.complete})


def _split(state: State, act: Split) -> Iterable[tuple[str, Item]]:
    item = _open(state, act.item_id)
    state.require_new(act.new_id)
    before = tuple(part for span in item.spans if (part := span.between(0, act.index)))
    after = tuple(part for span in item.spans if (part := span.between(act.index, span.end)))
    if not before or not after:
        raise ConflictError("a split needs frames on both sides", where=item.item_id, found=act.index)
    yield act.item_id, replace(item, spans=before, placed={i: b for i, b in item.placed.items() if i < act.index}, answers={})
    yield act.new_id, Item(act.new_id, after, {i: b for i, b in item.placed.items() if i >= act.index})


def _merge(state: State, act: Merge) -> Iterable[tuple[str, Item]]:
    item, other = _open(state, act.item_id), _open(state, act.other_id)
    if act.item_id == act.other_id:
        raise ConflictError("a sign cannot be merged with itself", where=act.item_id)
    spans, dropped = item.spans + other.spans, item.dropped + other.dropped
    given = sorted([*item.answers.values(), *other.answers.values()], key=lambda one: -one.number)
    called = (*(one.answer.class_id for one in given if one.answer.class_id is not None), *item.called, *other.called)
    yield act.item_id, replace(item, spans=spans, placed={**other.placed, **item.placed}, answers={}, dropped=dropped, called=called)
    yield act.other_id, replace(other, merged_into=act.item_id)


def _add(state: State, entry: Entry, act: Add) -> Item:
    state.require_new(act.item_id)
    placed = {box.index: (_box(box.xyxy), box.seen) for box in act.boxes}
    if len(placed) != len(act.boxes):
        raise ConflictError("a sign has two boxes in one frame", where=act.item_id)
    seen = tuple(sorted(box.index for box in act.boxes if box.seen))
    answer = Answer(item_id=act.item_id, verdict="unsure" if act.class_id is None else "sign", class_id=act.class_id, seen=seen)
    given = Given(answer, entry.number, entry.annotator, entry.at, entry.seconds)
    return Item(act.item_id, (), placed, {entry.annotator: given}, added=(entry.annotator, act.recording_id))
