"""A name and a password enter, a cookie leaves: how others come to the review page, under the one name by which a TLS proxy serves it."""

import asyncio
import html
import re
from pathlib import Path
from string import Template
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse

from signloop.core.errors import ConfigError
from signloop.review.password import Password
from signloop.review.sessions import LASTING, Attempts, Sessions

LONGEST_NAME = 100  # characters, as everywhere
POLICY = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
HEADERS = {"Content-Security-Policy": POLICY, "Referrer-Policy": "same-origin"}  # with no-referrer a form would have no Origin
PAGE = Path(__file__).parent / "web" / "login.html"
NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*(:[1-9][0-9]{0,4})?")


def public_host(name: str) -> str:
    """Return a public host name as browsers send it: lower case, without the port that https has anyway.

    Args:
        name: for instance "labels.example.org" or "labels.example.org:8443".

    Raises:
        ConfigError: it is no host name.
    """
    host = name.lower()
    if NAME.fullmatch(host) is None:
        raise ConfigError(
            "this is no name to share the page under",
            where="--share",
            expected="a host name such as labels.example.org or labels.example.org:8443",
            found=name,
        )
    return host.removesuffix(":443")


class Share:
    """What the server knows of those who come by the shared name.

    Attributes:
        host: the Host header of their requests; all others are not theirs.
        origin: the Origin header of what they change.
        cookie: name of their cookie; browsers take the prefix from this very host only, over TLS, for all paths.
        password: that they must know.
        sessions: who is logged in.
        attempts: how often the password was guessed wrongly.
    """

    def __init__(self, host: str, password: Password, sessions: Sessions | None = None, attempts: Attempts | None = None) -> None:
        self.host = host
        self.origin = f"https://{host}"
        self.cookie = f"__Host-signloop-{host.partition(':')[2] or '443'}"
        self.password = password
        self.sessions = sessions or Sessions()
        self.attempts = attempts or Attempts()
        self._one_at_a_time = asyncio.Lock()  # so that many at once neither fill the memory nor have more guesses

    def key(self, request: Request) -> str:
        """Return the key that a request brings, "" without one."""
        return request.cookies.get(self.cookie, "")

    async def check(self, given: str) -> tuple[bool, int]:
        """Look at a password, beside the other requests.

        Returns:
            Whether it is right, and the seconds to wait if it was not looked at.
        """
        async with self._one_at_a_time:
            wait = self.attempts.wait()
            if wait:
                return False, wait
            self.attempts.failed()  # until it is known to be right, however this request ends
            right = await run_in_threadpool(self.password.fits, given)
            if right:
                self.attempts.succeeded()
            return right, 0


def login_routes(share: Share) -> APIRouter:
    """Build the pages to log in and out; the guard lets nobody in who does not come by the shared name."""
    router = APIRouter(include_in_schema=False)
    page = Template(PAGE.read_text(encoding="utf-8"))

    def form(status: int, name: str = "", trouble: str = "") -> Response:
        said = f'<p role="alert" id="trouble">{html.escape(trouble)}</p>' if trouble else ""
        first, second = ("", "autofocus") if name else ("autofocus", "")
        return HTMLResponse(page.substitute(name=html.escape(name), trouble=said, first=first, second=second), status, HEADERS)

    @router.get("/login")
    def ask(request: Request) -> Response:
        return form(200) if share.sessions.name(share.key(request)) is None else RedirectResponse("/", 303)

    @router.post("/login")
    async def log_in(request: Request) -> Response:
        name, password = _read(await request.body())
        if not _is_name(name):
            return form(422, trouble=f"Please give a name of 1 to {LONGEST_NAME} letters.")
        right, wait = await share.check(password)
        if wait:
            refused = form(429, name, f"The password was wrong too often. Try again in {wait} s.")
            refused.headers["Retry-After"] = str(wait)
            return refused
        if not right:
            return form(403, name, "This is not the password.")
        share.sessions.end(share.key(request))
        answer = RedirectResponse("/", 303)
        key = share.sessions.begin(name)
        answer.set_cookie(share.cookie, key, max_age=LASTING, path="/", secure=True, httponly=True, samesite="strict")
        return answer

    @router.post("/logout")
    def log_out(request: Request) -> Response:
        share.sessions.end(share.key(request))
        answer = JSONResponse({})
        answer.delete_cookie(share.cookie, path="/", secure=True, httponly=True, samesite="strict")
        return answer

    return router


def _read(body: bytes) -> tuple[str, str]:
    """Read the form; what is missing is empty."""
    try:
        fields = parse_qs(body.decode("ascii", "replace"), keep_blank_values=True, max_num_fields=10)
    except ValueError:
        fields = {}
    return " ".join(fields.get("name", [""])[0].split()), fields.get("password", [""])[0]


def _is_name(name: str) -> bool:
    return 0 < len(name) <= LONGEST_NAME and name.isprintable()
