"""Requests of a browser enter; those of strangers are refused here, before any route: Host, token, Origin, size and kind of the body."""

import re
import secrets
from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse

LARGEST_BODY = 1_000_000  # bytes of a request
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


def guard(app: FastAPI, hosts: frozenset[str], token: str) -> None:
    """Let only the page in.

    Args:
        app: the server.
        hosts: permitted Host headers, with port.
        token: secret of the link.
    """

    @app.middleware("http")
    async def check(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        refused = _refusal(request, hosts, token)
        response = refused if refused is not None else await call_next(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response


def _refusal(request: Request, hosts: frozenset[str], token: str) -> Response | None:
    host = request.headers.get("host", "")
    if host not in hosts:
        return error(421, "this server does not answer to that name")
    cookie = f"signloop-{host.rpartition(':')[2]}"
    given = request.query_params.get("token")
    if request.method == "GET" and request.url.path == "/" and given is not None:
        return _enter(given, token, cookie)
    if not secrets.compare_digest(request.cookies.get(cookie, "").encode(), token.encode()):
        return error(403, "open the link that `signloop review` printed")
    return None if request.method in ("GET", "HEAD") else _refused_change(request, host)


def _enter(given: str, token: str, cookie: str) -> Response:
    """Exchange the link's token for a cookie, so that it stands in no address afterwards."""
    if not secrets.compare_digest(given.encode(), token.encode()):
        return error(403, "this link is not valid (any more); use the one that `signloop review` printed")
    answer = RedirectResponse("/", status_code=303)
    answer.set_cookie(cookie, token, httponly=True, samesite="strict", path="/")
    return answer


def _refused_change(request: Request, host: str) -> Response | None:
    if request.headers.get("origin") not in (f"http://{host}", f"https://{host}"):
        return error(403, "only the review page itself may change something")
    length = request.headers.get("content-length", "")
    if re.fullmatch(r"[0-9]{1,9}", length) is None or int(length) > LARGEST_BODY:
        return error(413, "the request is too large, or does not say how large it is")
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return error(415, "only JSON is understood")
    return None


def error(status: int, text: str, **more: object) -> JSONResponse:
    """Answer with an error in words."""
    return JSONResponse({"detail": text, **more}, status_code=status)
