"""What is decided follows from the log alone: entry by entry or all at once, with every undo; what does not fit changes nothing."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signloop.review.log import Act, Add, Answer, Decide, Drop, Entry, Fix, Merge, Placed, Split, Sweep, Undo, active
from signloop.review.state import NEVER, ConflictError, Span, State, replay, touches

AT = datetime(2024, 5, 1, 12, tzinfo=UTC)
SIGNS = [f"a{n:015x}" for n in range(3)]
FRAMES = [f"f{n:015x}" for n in range(2)]
NEW = [f"b{n:015x}" for n in range(3)]
BOX = (10.0, 10.0, 30.0, 30.0)
A, B, C = SIGNS


def entry(number: int, act: Act, who: str = "ann", seconds: float = 3.0) -> Entry:
    return Entry(number=number, at=AT, annotator=who, seconds=seconds, act=act)


def said(*item_ids: str, class_id: int | None = 3, verdict: str = "sign") -> Decide:
    answers = [{"item_id": i, "verdict": verdict, "class_id": class_id if verdict == "sign" else None, "seen": (2,)} for i in item_ids]
    return Decide(view="sheet", answers=tuple(Answer.model_validate(a) for a in answers))


def after(*acts: Act) -> State:
    state = State(SIGNS, FRAMES)
    for number, act in enumerate(acts, start=1):
        state.apply(entry(number, act))
    return state


def seen_of(state: State) -> tuple[object, ...]:
    """All that can be asked of a state."""
    known = [i for i in [*SIGNS, *FRAMES, *NEW] if i in FRAMES or i in SIGNS or i in state.items]
    return dict(state.items), dict(state.swept), {i: state.version(i) for i in known}


ids = st.sampled_from([*SIGNS, *NEW, *FRAMES])
indices = st.integers(0, 12)
boxes = st.sampled_from([BOX, (0.0, 0.0, 5.0, 5.0), (5.0, 5.0, 5.0, 9.0)])
answers = st.builds(
    lambda item_id, verdict, class_id: Answer(item_id=item_id, verdict=verdict, class_id=class_id if verdict == "sign" else None),
    ids,
    st.sampled_from(["sign", "sign", "nothing", "unsure", "odd"]),
    st.sampled_from([3, 8]),
)
placed = st.builds(Placed, index=indices, xyxy=boxes, seen=st.booleans())
ACTS = st.one_of(
    st.builds(Decide, view=st.sampled_from(["sheet", "single"]), answers=st.lists(answers, min_size=1, max_size=3).map(tuple)),
    st.builds(Fix, item_id=ids, index=indices, xyxy=boxes),
    st.builds(Split, item_id=ids, index=indices, new_id=ids),
    st.builds(Merge, item_id=ids, other_id=ids),
    st.builds(Add, item_id=ids, recording_id=st.just("d"), class_id=st.just(3), boxes=st.lists(placed, min_size=1, max_size=3).map(tuple)),
    st.builds(Sweep, item_id=ids, complete=st.booleans()),
    st.builds(Undo, number=st.integers(1, 20)),
    st.builds(Undo, number=st.integers(1, 20)),
)
HISTORIES = st.lists(st.tuples(ACTS, st.sampled_from(["ann", "bob"])), max_size=20)


def play(history: Sequence[tuple[Act, str]]) -> tuple[State, list[Entry]]:
    """Do what fits, one act after the other; what does not must change nothing."""
    state, entries = State(SIGNS, FRAMES), list[Entry]()
    for act, who in history:
        new = entry(len(entries) + 1, act, who)
        before = seen_of(state)
        try:
            state.check(new)
        except ConflictError:
            with pytest.raises(ConflictError):
                state.apply(new)
            assert seen_of(state) == before
            continue
        assert seen_of(state) == before
        state.apply(new)
        entries.append(new)
    return state, entries


@given(HISTORIES)
def test_a_log_replayed_gives_the_state_that_the_acts_gave(history: list[tuple[Act, str]]) -> None:
    state, entries = play(history)
    stored = [Entry.model_validate_json(e.model_dump_json()) for e in entries]
    assert stored == entries
    assert seen_of(replay(SIGNS, FRAMES, stored)) == seen_of(state)


@given(HISTORIES)
def test_what_is_taken_back_was_never_done(history: list[tuple[Act, str]]) -> None:
    state, entries = play(history)
    left = State(SIGNS, FRAMES)
    for number, kept in enumerate(active(entries), start=1):
        left.apply(kept.model_copy(update={"number": number}))

    def plain(one: State) -> tuple[object, ...]:
        """A state without the numbers of its entries, which differ."""
        said = {i: {who: (g.answer, g.seconds) for who, g in item.answers.items()} for i, item in one.items.items()}
        shape = {i: (item.spans, dict(item.placed), item.added, item.merged_into) for i, item in one.items.items()}
        return said, shape, dict(one.swept)

    assert plain(state) == plain(left)


@given(HISTORIES, st.integers(1, 20))
def test_undo_and_redo_give_the_same_state(history: list[tuple[Act, str]], number: int) -> None:
    state, entries = play(history)
    before = (dict(state.items), dict(state.swept))
    try:
        state.apply(entry(len(entries) + 1, Undo(number=number)))
    except ConflictError:
        return
    state.apply(entry(len(entries) + 2, Undo(number=len(entries) + 1)))
    assert (state.items, state.swept) == before


@given(HISTORIES)
def test_what_an_act_touches_has_its_number_and_nothing_else_has(history: list[tuple[Act, str]]) -> None:
    state, entries = play(history)
    last = dict.fromkeys([*SIGNS, *FRAMES, *NEW], NEVER)
    for e in entries:
        last.update(dict.fromkeys(touches(state.meant(e).act), e.number))
    assert seen_of(state)[2] == {i: n for i, n in last.items() if i in SIGNS or i in FRAMES or i in state.items}


def test_an_untouched_sign_is_as_it_was_asked() -> None:
    state = State(SIGNS, FRAMES)
    item = state.item(A)
    assert (item.spans, item.answers, item.placed, item.merged_into, item.added) == ((Span(A),), {}, {}, None, None)
    assert state.version(A) == state.version(FRAMES[0]) == NEVER
    assert [state.is_frame(i) for i in (A, FRAMES[0], NEW[0])] == [False, True, False]


def test_a_sheet_gives_each_of_its_signs_an_answer_and_its_share_of_the_time() -> None:
    state = after(said(A, B))
    for item_id in (A, B):
        given_answer = state.item(item_id).answers["ann"]
        assert (given_answer.answer.class_id, given_answer.number, given_answer.seconds) == (3, 1, 1.5)
    assert state.version(C) == NEVER


def test_the_newest_answer_of_each_person_counts() -> None:
    state = after(said(A), said(A, class_id=8))
    state.apply(entry(3, said(A, verdict="nothing"), "bob"))
    said_by = {who: (g.answer.verdict, g.answer.class_id) for who, g in state.item(A).answers.items()}
    assert said_by == {"ann": ("sign", 8), "bob": ("nothing", None)}
    assert state.version(A) == 3


def test_an_undo_is_a_version_of_its_own() -> None:
    """Who saw version 2 saw another sign than the one that is there once number 1 is taken back."""
    state = after(Fix(item_id=A, index=0, xyxy=BOX), said(A), Undo(number=1))
    assert state.version(A) == 3
    assert state.item(A).placed == {}
    assert set(state.item(A).answers) == {"ann"}


def test_a_split_shares_frames_and_corrections_and_asks_again() -> None:
    fixes = [Fix(item_id=A, index=i, xyxy=BOX) for i in (1, 4)]
    state = after(said(A), *fixes, Split(item_id=A, index=4, new_id=NEW[0]))
    first, second = state.item(A), state.item(NEW[0])
    assert (first.spans, second.spans) == ((Span(A, 0, 4),), (Span(A, 4),))
    assert (list(first.placed), list(second.placed)) == ([1], [4])
    assert first.answers == second.answers == {}
    assert state.version(A) == state.version(NEW[0]) == 4


def test_dropped_boxes_leave_a_sign_with_its_answers() -> None:
    fixes = [Fix(item_id=A, index=i, xyxy=BOX) for i in (1, 4)]
    state = after(said(A), *fixes, Drop(item_id=A, first=4, end=6, seen=(4, 8)))
    item = state.item(A)
    assert item.spans == (Span(A, 0, 4), Span(A, 6))
    assert [(dropped.span, dropped.annotator, dropped.seen) for dropped in item.dropped] == [(Span(A, 4, 6), "ann", frozenset({4, 8}))]
    assert (list(item.placed), list(item.answers)) == ([1], ["ann"])
    state.apply(entry(5, Undo(number=4)))
    assert (state.item(A).spans, state.item(A).dropped, list(state.item(A).placed)) == ((Span(A),), (), [1, 4])


def test_what_was_dropped_of_one_of_two_merged_signs_does_not_touch_the_other() -> None:
    state = after(Drop(item_id=A, first=4, end=2**31 - 1), Merge(item_id=B, other_id=A))
    assert state.item(B).spans == (Span(B), Span(A, 0, 4), Span(A, 2**31 - 1))
    assert [dropped.span for dropped in state.item(B).dropped] == [Span(A, 4, 2**31 - 1)]


def test_a_box_that_a_person_set_beside_dropped_ones_can_be_corrected() -> None:
    one = Add(item_id=NEW[0], recording_id="d", class_id=8, boxes=(Placed(index=4, xyxy=BOX, seen=True),))
    state = after(one, Merge(item_id=A, other_id=NEW[0]), Drop(item_id=A, first=2, end=4), Drop(item_id=A, first=5, end=2**31 - 1))
    state.apply(entry(5, Fix(item_id=A, index=4, xyxy=(1.0, 1.0, 2.0, 2.0))))
    assert state.item(A).placed == {4: ((1.0, 1.0, 2.0, 2.0), True)}


def test_a_merge_joins_frames_and_corrections_and_asks_again() -> None:
    state = after(said(A), Fix(item_id=A, index=1, xyxy=BOX), Fix(item_id=B, index=7, xyxy=BOX), Merge(item_id=A, other_id=B))
    assert state.item(A).spans == (Span(A), Span(B))
    assert sorted(state.item(A).placed) == [1, 7]
    assert state.item(A).answers == {}
    assert state.item(B).merged_into == A
    assert state.version(A) == state.version(B) == 4


def test_where_both_of_two_merged_signs_were_corrected_the_first_counts() -> None:
    other = (0.0, 0.0, 5.0, 5.0)
    state = after(Fix(item_id=A, index=1, xyxy=BOX), Fix(item_id=B, index=1, xyxy=other), Merge(item_id=A, other_id=B))
    assert state.item(A).placed == {1: (BOX, True)}


def test_an_added_sign_is_decided_by_who_drew_it() -> None:
    drawn = tuple(Placed(index=i, xyxy=BOX, seen=seen) for i, seen in ((4, True), (5, False)))
    item = after(Add(item_id=NEW[0], recording_id="d", class_id=8, boxes=drawn)).item(NEW[0])
    assert item.added == ("ann", "d")
    assert item.spans == ()
    assert item.placed == {4: (BOX, True), 5: (BOX, False)}
    assert item.answers["ann"].answer == Answer(item_id=NEW[0], verdict="sign", class_id=8, seen=(4,))


def test_who_draws_a_box_without_a_class_cannot_tell_which_sign_it_is() -> None:
    item = after(Add(item_id=NEW[0], recording_id="d", class_id=None, boxes=(Placed(index=4, xyxy=BOX, seen=True),))).item(NEW[0])
    assert item.answers["ann"].answer == Answer(item_id=NEW[0], verdict="unsure", seen=(4,))


def test_each_person_says_whether_a_frame_is_complete() -> None:
    state = after(Sweep(item_id=FRAMES[0], complete=True))
    state.apply(entry(2, Sweep(item_id=FRAMES[0], complete=False), "bob"))
    assert state.swept[FRAMES[0]].complete == {"ann": True, "bob": False}
    assert state.version(FRAMES[0]) == 2
    state.apply(entry(3, Undo(number=1)))
    assert state.swept[FRAMES[0]].complete == {"bob": False}
    state.apply(entry(4, Undo(number=2)))
    assert state.swept == {}


DRAWN = Add(item_id=NEW[0], recording_id="d", class_id=8, boxes=(Placed(index=4, xyxy=BOX, seen=True),))


@pytest.mark.parametrize(
    ("before", "act", "message"),
    [
        ([], said(NEW[0]), r"there is no such sign in this review .*Reload the page"),
        ([], said(A, A), "one sign is answered twice in one act"),
        ([], said(A, class_id=None), "a sign has a class, and nothing else has one"),
        ([], Decide(view="single", answers=(Answer(item_id=A, verdict="odd", class_id=3),)), "a sign has a class, and nothing else"),
        ([], Fix(item_id=A, index=0, xyxy=(5.0, 5.0, 5.0, 9.0)), "a box has no area"),
        ([Split(item_id=A, index=4, new_id=NEW[0])], Fix(item_id=A, index=4, xyxy=BOX), "this frame belongs to another sign"),
        ([], Drop(item_id=A, first=0, end=2**31), r"nothing of the sign would be left \(.*\)\. Say that it is nothing"),
        ([Merge(item_id=A, other_id=B)], Drop(item_id=B, first=0, end=4), "this sign was merged into another"),
        ([], Split(item_id=A, index=0, new_id=NEW[0]), "a split needs frames on both sides"),
        ([], Split(item_id=A, index=3, new_id=A), "the new sign exists already"),
        ([], Split(item_id=A, index=3, new_id=B), "the new sign exists already"),
        ([], DRAWN.model_copy(update={"item_id": B}), "the new sign exists already"),
        ([], DRAWN.model_copy(update={"item_id": FRAMES[0]}), "the new sign exists already"),
        ([DRAWN], Split(item_id=NEW[0], index=4, new_id=NEW[1]), "a split needs frames on both sides"),
        ([Split(item_id=A, index=4, new_id=NEW[0])], Split(item_id=A, index=2, new_id=NEW[0]), "the new sign exists already"),
        ([], Merge(item_id=A, other_id=A), "a sign cannot be merged with itself"),
        ([Merge(item_id=A, other_id=B)], said(B), rf"this sign was merged into another \({B}\); found {A}"),
        ([Merge(item_id=A, other_id=B)], Merge(item_id=C, other_id=B), "this sign was merged into another"),
        ([DRAWN], DRAWN, "the new sign exists already"),
        ([], DRAWN.model_copy(update={"boxes": DRAWN.boxes * 2}), "a sign has two boxes in one frame"),
        ([], Sweep(item_id=A, complete=True), "there is no such frame in this review"),
        ([], Undo(number=1), "there is no such entry; found 1"),
        ([said(A), Undo(number=1)], Undo(number=1), r"this was taken back already \(entry 1\). Reload the page"),
        ([DRAWN, said(NEW[0])], Undo(number=1), r"a later decision builds on it \(entry 2\); found there is no such sign"),
        ([Split(item_id=A, index=4, new_id=NEW[0]), said(C), said(A)], Undo(number=1), r"a later decision builds on it \(entry 3\)"),
        ([Merge(item_id=A, other_id=B), said(A)], Undo(number=1), r"a later decision builds on it \(entry 2\)"),
        ([Split(item_id=A, index=4, new_id=NEW[0]), Undo(number=1), said(A)], Undo(number=2), r"a later decision .*\(entry 3\)"),
    ],
)
def test_what_does_not_fit_is_refused_in_words_and_changes_nothing(before: list[Act], act: Act, message: str) -> None:
    state = after(*before)
    was = seen_of(state)
    for attempt in (state.check, state.apply):
        with pytest.raises(ConflictError, match=message):
            attempt(entry(len(before) + 1, act))
    assert seen_of(state) == was


def test_what_others_build_on_can_be_taken_back_after_them() -> None:
    state = after(Split(item_id=A, index=4, new_id=NEW[0]), said(NEW[0]), Undo(number=2), Undo(number=1))
    assert state.item(A).spans == (Span(A),)
    assert NEW[0] not in state.items
    state.apply(entry(5, Undo(number=4)))
    assert state.item(NEW[0]).spans == (Span(A, 4),)
    state.apply(entry(6, Undo(number=3)))
    assert state.item(NEW[0]).answers["ann"].number == 2


def test_a_log_of_another_review_is_refused_with_its_entry() -> None:
    with pytest.raises(ConflictError, match=r"the log of decisions does not fit the review \(entry 2\); found there is no such sign"):
        replay([A], FRAMES, [entry(1, said(A)), entry(2, said(B))])
