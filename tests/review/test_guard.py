"""Whoever is not the page is refused before any route: by Host, by token, and where something would change by Origin, size and kind."""

from collections.abc import Iterator

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from signloop.review.guard import HEADERS, LARGEST_BODY, POLICY, error, guard
from signloop.review.login import Share
from signloop.review.password import Password

HOST, TOKEN = "127.0.0.1:8000", "let-me-in"
COOKIE = f"signloop-8000={TOKEN}"
CHANGE = {"cookie": COOKIE, "origin": f"http://{HOST}", "content-type": "application/json"}
Headers = dict[str, str]


@pytest.fixture
def reached() -> list[str]:
    """What came through to a route."""
    return []


@pytest.fixture
def client(reached: list[str]) -> Iterator[TestClient]:
    app = FastAPI()
    guard(app, frozenset({HOST, "localhost:8000"}), TOKEN)

    @app.get("/thing")
    def read() -> str:
        reached.append("read")
        return "thing"

    @app.post("/thing")
    def change() -> str:
        reached.append("change")
        return "changed"

    with TestClient(app, base_url=f"http://{HOST}", follow_redirects=False) as opened:
        yield opened


def test_the_page_is_let_in(client: TestClient, reached: list[str]) -> None:
    assert client.get("/thing", headers={"cookie": COOKIE}).json() == "thing"
    assert client.post("/thing", headers=CHANGE, json={}).json() == "changed"
    assert client.post("/thing", headers=CHANGE | {"content-type": "Application/JSON; charset=utf-8"}, content=b"{}").status_code == 200
    local = {"host": "localhost:8000", "cookie": COOKIE, "origin": "http://localhost:8000"}
    assert client.post("/thing", headers=CHANGE | local, json={}).status_code == 200
    assert reached == ["read", *["change"] * 3]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "127.0.0.1:8001", "127.0.0.1:8000.evil.example", "LOCALHOST:8000", "0.0.0.0:8000", ""]
)
def test_another_host_is_refused(client: TestClient, reached: list[str], method: str, host: str) -> None:
    answer = client.request(method, "/thing", headers=CHANGE | {"host": host, "origin": f"http://{host}"})
    assert (answer.status_code, reached) == (421, [])


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize(
    "cookie",
    [
        "",
        "signloop-8000=",
        "signloop-8000=wrong",
        f"signloop-8000={TOKEN}x",
        f"signloop-8000={TOKEN[:-1]}",
        f"signloop-8001={TOKEN}",
        f"other={TOKEN}",
        "signloop-8000=\u00fc\u00fc",
    ],
)
def test_without_the_token_nothing_is_answered(client: TestClient, reached: list[str], method: str, cookie: str) -> None:
    headers = CHANGE | {"cookie": cookie}
    answer = client.request(method, f"/thing?token={TOKEN}", headers={k.encode(): v.encode("latin-1") for k, v in headers.items()})
    assert (answer.status_code, reached) == (403, [])
    assert TOKEN not in answer.text


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "",
        "null",
        "http://evil.example",
        "http://127.0.0.1",
        "http://127.0.0.1:8001",
        f"http://{HOST}.evil.example",
        f"ftp://{HOST}",
        f"https://{HOST}",
        HOST,
    ],
)
def test_another_page_in_the_same_browser_changes_nothing(client: TestClient, reached: list[str], origin: str | None) -> None:
    headers = {k: v for k, v in CHANGE.items() if k != "origin"} | ({} if origin is None else {"origin": origin})
    answer = client.post("/thing", headers=headers, json={})
    assert (answer.status_code, answer.json()["detail"], reached) == (403, "only the review page itself may change something", [])


def test_the_page_of_the_other_name_changes_nothing(client: TestClient, reached: list[str]) -> None:
    assert client.post("/thing", headers=CHANGE | {"origin": "http://localhost:8000"}, json={}).status_code == 403
    assert reached == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-type": "multipart/form-data; boundary=application/json"}, 415),
        ({"content-type": ""}, 415),
        ({"content-length": str(LARGEST_BODY + 1)}, 413),
        ({"content-length": "-1"}, 413),
        ({"content-length": "1e3"}, 413),
        ({"content-length": "9" * 5000}, 413),
        ({"content-length": "\u00b2"}, 413),
        ({"content-length": ""}, 413),
        ({"transfer-encoding": "chunked"}, 413),  # beside a length that would not count
    ],
)
def test_bodies_of_another_kind_or_size_are_refused(client: TestClient, reached: list[str], headers: Headers, status: int) -> None:
    sent = {k.encode(): v.encode("latin-1") for k, v in (CHANGE | headers).items()}
    assert client.post("/thing", headers=sent, content=b"{}").status_code == status
    assert reached == []


def test_a_body_of_unknown_length_is_refused(client: TestClient, reached: list[str]) -> None:
    assert client.post("/thing", headers=CHANGE, content=iter([b"{", b"}"])).status_code == 413
    assert client.post("/thing", headers=CHANGE | {"content-length": str(LARGEST_BODY)}, content=b"{}").status_code == 200
    assert reached == ["change"]


def test_the_link_is_exchanged_for_a_cookie(client: TestClient) -> None:
    answer = client.get(f"/?token={TOKEN}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"signloop-8000={TOKEN};")
    for word in ("HttpOnly", "SameSite=strict", "Path=/"):
        assert word in cookie
    assert client.get("/thing").status_code == 200  # the client sends it from now on


@pytest.mark.parametrize("given", ["", "wrong", f"{TOKEN}%00", "%ff%fe", f"{TOKEN}&token=wrong"])
def test_a_wrong_link_gives_no_cookie(client: TestClient, given: str) -> None:
    answer = client.get(f"/?token={given}")
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    assert client.post(f"/?token={TOKEN}").status_code == 403


@pytest.fixture
def share() -> Share:
    return Share("labels.example.org:8443", Password(version=1, salt="0" * 32, scrypt="0" * 64))


@pytest.fixture
def shared(share: Share) -> Iterator[TestClient]:
    """A server with both doors; what comes through tells whose login it is."""
    app = FastAPI()
    guard(app, frozenset({HOST}), TOKEN, share)

    @app.api_route("/{path:path}", methods=["GET", "POST"])
    def tell(request: Request) -> str | None:
        login: str | None = request.state.login
        return login

    with TestClient(app, base_url=f"https://{share.host}", follow_redirects=False) as opened:
        yield opened


def test_each_name_has_its_own_door(shared: TestClient, share: Share) -> None:
    key = share.sessions.begin("ann")
    here, there = f"signloop-8000={TOKEN}", f"{share.cookie}={key}"
    found = {
        (host, cookie): shared.get("/thing", headers={"host": host, "cookie": cookie}).status_code
        for host in (HOST, share.host, "labels.example.org", "evil.example")
        for cookie in (here, there, f"signloop-8443={TOKEN}", f"signloop-8000={key}")
    }
    assert {door for door, status in found.items() if status == 200} == {(HOST, here), (share.host, there)}
    assert {host for (host, _), status in found.items() if status == 421} == {"labels.example.org", "evil.example"}
    assert shared.get("/thing", headers={"host": HOST, "cookie": f"{here}; {there}"}).json() is None
    assert shared.get("/thing", headers={"cookie": f"{here}; {there}"}).json() == "ann"


def test_a_change_by_the_shared_name_needs_its_origin_with_tls_and_port(shared: TestClient, share: Share) -> None:
    headers = {"cookie": f"{share.cookie}={share.sessions.begin('ann')}", "content-type": "application/json"}
    origins = [None, "null", f"http://{share.host}", "https://labels.example.org", f"http://{HOST}", f"https://{HOST}", share.origin]
    statuses = [shared.post("/thing", headers=headers | ({} if o is None else {"origin": o}), json={}).status_code for o in origins]
    assert statuses == [403] * 6 + [200]


def test_what_is_refused_by_the_shared_name_has_the_headers_too(shared: TestClient, share: Share) -> None:
    for path, status in (("/", 303), ("/login", 200), ("/thing", 403), ("/web/style.css", 200), ("/web/main.js", 403)):
        answer = shared.get(path)
        assert answer.status_code == status
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
    for headers in ({"host": HOST}, {"host": HOST, "cookie": f"signloop-8000={TOKEN}"}, {"host": "evil.example"}):
        assert "strict-transport-security" not in shared.get("/thing", headers=headers).headers


def test_every_answer_has_the_headers_that_keep_others_out(client: TestClient) -> None:
    answers = [
        client.get("/thing", headers={"cookie": COOKIE}),
        client.get("/nowhere", headers={"cookie": COOKIE}),
        client.delete("/thing", headers=CHANGE | {"content-length": "0"}),
        client.get("/thing"),
        client.get("/thing", headers={"host": "evil.example"}),
        client.post("/thing", headers={"cookie": COOKIE}),
        client.get("/?token=wrong"),
        client.get(f"/?token={TOKEN}"),
    ]
    assert [answer.status_code for answer in answers] == [200, 404, 405, 403, 421, 403, 403, 303]
    for answer in answers:
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
        assert "access-control-allow-origin" not in answer.headers


def test_the_policy_lets_in_only_the_server_itself() -> None:
    rules = dict(rule.strip().split(" ", 1) for rule in POLICY.split(";"))
    assert rules.pop("default-src") == "'none'"
    assert set(rules.values()) <= {"'self'", "'none'"}
    assert {"script-src", "style-src", "img-src", "connect-src", "frame-ancestors", "base-uri", "form-action"} <= set(rules)


def test_an_error_is_json_with_words() -> None:
    answer = error(409, "<b>no</b>", item_id=None)
    assert (answer.status_code, bytes(answer.body)) == (409, b'{"detail":"<b>no</b>","item_id":null}')
