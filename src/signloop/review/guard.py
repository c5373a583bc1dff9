"""Requests of a browser enter; those of strangers are refused here, before any route: Host, token, Origin, size and kind of the body.

There are two doors, told apart by the Host header alone. By a name of this machine one comes with the link's token; by the shared name,
if there is one, with a login. No key opens the other door. What a proxy or a browser says in X-Forwarded-* or Forwarded is not looked at.
"""

import re
import secrets
from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse

from signloop.review.login import Share

LARGEST_BODY, LARGEST_LOGIN = 1_000_000, 8_000  # bytes of a request
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
OPEN = frozenset({"/web/style.css", "/web/icon.svg"})  # what the login page needs
HSTS = "max-age=31536000"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def guard(app: FastAPI, hosts: frozenset[str], token: str, share: Share | None = None) -> None:
    """Let only the page in.

    Args:
        app: the server.
        hosts: permitted Host headers of this machine, with port.
        token: secret of the link.
        share: the name under which others may log in; a request of theirs that is let in has their name in `state.login`.
    """

    @app.middleware("http")
    async def check(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        is_guest = share is not None and request.headers.get("host") == share.host
        request.state.login = None
        refused = _refused_guest(request, share) if share is not None and is_guest else _refusal(request, hosts, token)
        response = refused if refused is not None else await call_next(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        if is_guest:
            response.headers["Strict-Transport-Security"] = HSTS
        return response


def _refusal(request: Request, hosts: frozenset[str], token: str) -> Response | None:
    host, path = request.headers.get("host", ""), request.scope["path"]
    if host not in hosts:
        return error(421, "this server does not answer to that name")
    cookie = f"signloop-{host.rpartition(':')[2]}"
    given = request.query_params.get("token")
    if request.method == "GET" and path == "/" and given is not None:
        return _enter(given, token, cookie)
    if not secrets.compare_digest(request.cookies.get(cookie, "").encode(), token.encode()):
        return error(403, "open the link that `signloop review` printed")
    if path in ("/login", "/logout"):
        return error(404, "with the link there is nothing to log in to")
    return None if _reads(request) else _refused_change(request, f"http://{host}", JSON, LARGEST_BODY)


def _refused_guest(request: Request, share: Share) -> Response | None:
    """Let in whoever is logged in; anybody may see the login page and send it."""
    path = request.scope["path"]
    name = share.sessions.name(share.key(request))
    if path == "/login":
        return None if _reads(request) else _refused_change(request, share.origin, FORM, LARGEST_LOGIN)
    if name is None:
        if _reads(request) and path == "/":
            return RedirectResponse("/login", status_code=303)
        return None if _reads(request) and path in OPEN else error(403, "you are not logged in (any more): reload the page")
    request.state.login = name
    return None if _reads(request) else _refused_change(request, share.origin, JSON, LARGEST_BODY)


def _reads(request: Request) -> bool:
    return request.method in ("GET", "HEAD")


def _enter(given: str, token: str, cookie: str) -> Response:
    """Exchange the link's token for a cookie, so that it stands in no address afterwards."""
    if not secrets.compare_digest(given.encode(), token.encode()):
        return error(403, "this link is not valid (any more); use the one that `signloop review` printed")
    answer = RedirectResponse("/", status_code=303)
    answer.set_cookie(cookie, token, httponly=True, samesite="strict", path="/")
    return answer


def _refused_change(request: Request, origin: str, kind: str, largest: int) -> Response | None:
    if request.headers.get("origin") != origin:
        return error(403, "only the review page itself may change something")
    length = request.headers.get("content-length", "")
    is_sized = "transfer-encoding" not in request.headers and re.fullmatch(r"[0-9]{1,9}", length)  # chunks would count, not the length
    if not is_sized or int(length) > largest:
        return error(413, "the request is too large, or does not say how large it is")
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != kind:
        return error(415, "only JSON is understood" if kind == JSON else "only the login page's form is understood")
    return None


def error(status: int, text: str, **more: object) -> JSONResponse:
    """Answer with an error in words."""
    return JSONResponse({"detail": text, **more}, status_code=status)
