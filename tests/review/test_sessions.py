"""A key is its person's until it is given back, too old, or one too many; wrong passwords in a row cost ever more time."""

import pytest

from signloop.review.sessions import FREE, LASTING, LONGEST_WAIT, MOST, Attempts, Sessions


class Clock:
    """A clock that goes only when it is told to."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(clock: Clock) -> Sessions:
    return Sessions(clock)


@pytest.fixture
def attempts(clock: Clock) -> Attempts:
    return Attempts(clock)


def test_each_login_has_a_key_of_its_own(sessions: Sessions) -> None:
    keys = {sessions.begin(name): name for name in ("ann", "bob", "Zoë")}
    again = sessions.begin("ann")
    assert len({*keys, again}) == 4
    assert min(map(len, keys)) >= 32
    assert {key: sessions.name(key) for key in keys} == keys
    assert sessions.name(again) == "ann"


@pytest.mark.parametrize("key", ["", "x", "ann", "\ud800", "ü" * 5000])
def test_another_key_is_nobodys(sessions: Sessions, key: str) -> None:
    sessions.begin("ann")
    assert sessions.name(key) is None
    sessions.end(key)


def test_a_key_that_was_given_back_is_nobodys(sessions: Sessions) -> None:
    first, second = sessions.begin("ann"), sessions.begin("ann")
    sessions.end(first)
    assert (sessions.name(first), sessions.name(second)) == (None, "ann")


def test_a_login_ends_by_itself_however_often_it_is_used(sessions: Sessions, clock: Clock) -> None:
    key = sessions.begin("ann")
    clock.at += LASTING - 1
    assert sessions.name(key) == "ann"
    clock.at += 1
    assert sessions.name(key) is None


def test_the_oldest_login_ends_where_there_would_be_too_many(sessions: Sessions) -> None:
    keys = [sessions.begin(str(number)) for number in range(MOST + 2)]
    assert [sessions.name(key) for key in keys] == [None, None, *map(str, range(2, MOST + 2))]


def test_logins_that_are_over_make_room(sessions: Sessions, clock: Clock) -> None:
    for _ in range(MOST - 1):
        sessions.begin("ann")
    clock.at += LASTING / 2
    lasting = sessions.begin("bob")
    clock.at += LASTING / 2
    for _ in range(MOST - 1):
        sessions.begin("eve")
    assert sessions.name(lasting) == "bob"


def test_no_key_is_kept_as_it_is(sessions: Sessions) -> None:
    key = sessions.begin("ann")
    assert key not in repr(vars(sessions))


def test_the_wait_doubles_up_to_a_bound(attempts: Attempts, clock: Clock) -> None:
    for _ in range(FREE - 1):
        attempts.failed()
    assert attempts.wait() == 0
    waits = []
    for _ in range(8):
        attempts.failed()
        waits.append(attempts.wait())
        clock.at += waits[-1] - 0.5
        assert attempts.wait() == 1
        clock.at += 0.5
        assert attempts.wait() == 0
    assert waits == [30, 60, 120, 240, 480, LONGEST_WAIT, LONGEST_WAIT, LONGEST_WAIT]


def test_the_right_password_forgets_the_wrong_ones(attempts: Attempts) -> None:
    for _ in range(FREE + 1):
        attempts.failed()
    attempts.succeeded()
    assert attempts.wait() == 0
    for _ in range(FREE - 1):
        attempts.failed()
    assert attempts.wait() == 0
