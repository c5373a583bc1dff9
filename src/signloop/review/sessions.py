"""Logins enter, random keys for cookies leave; and guesses of passwords are counted, so that there cannot be many.

Both live in the memory of one server: whoever starts it again ends all logins.
"""

import hashlib
import math
import secrets
import time
from collections.abc import Callable

LASTING = 12 * 3600  # s, of a login
MOST = 100  # logins at a time
FREE = 5  # wrong passwords in a row before anybody waits
FIRST_WAIT, LONGEST_WAIT = 30, 900  # s


class Sessions:
    """Who is logged in. Keys are kept as hashes only; the oldest login ends where there would be too many."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._open: dict[bytes, tuple[str, float]] = {}  # hash of the key -> name, and when it ends

    def begin(self, name: str) -> str:
        """Log a person in, and return a new key."""
        now = self._now()
        self._open = {digest: session for digest, session in self._open.items() if session[1] > now}
        while len(self._open) >= MOST:
            del self._open[next(iter(self._open))]
        key = secrets.token_urlsafe(32)
        self._open[_digest(key)] = (name, now + LASTING)
        return key

    def name(self, key: str) -> str | None:
        """Return whose key it is; None if it is nobody's (any more)."""
        name, end = self._open.get(_digest(key), (None, 0.0))
        return name if end > self._now() else None

    def end(self, key: str) -> None:
        """Log out; a key that is nobody's changes nothing."""
        self._open.pop(_digest(key), None)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


class Attempts:
    """Wrong passwords in a row, of all people together: behind a proxy they have no addresses that could be believed."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._wrong, self._until = 0, 0.0

    def wait(self) -> int:
        """Return the whole seconds until the next password is looked at."""
        return max(0, math.ceil(self._until - self._now()))

    def failed(self) -> None:
        """Count a wrong password; from the fifth in a row on, each doubles the wait."""
        self._wrong += 1
        if self._wrong >= FREE:
            self._until = self._now() + min(LONGEST_WAIT, FIRST_WAIT * 2 ** (self._wrong - FREE))

    def succeeded(self) -> None:
        """Forget the wrong ones."""
        self._wrong, self._until = 0, 0.0
