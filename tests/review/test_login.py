"""Others come in by the shared name with a name and the password, and by nothing else; what they answer then stands under that name."""

import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from signloop.core.errors import ConfigError
from signloop.review.desk import Desk
from signloop.review.guard import LARGEST_LOGIN
from signloop.review.log import read
from signloop.review.login import HEADERS, POLICY, Share, public_host
from signloop.review.password import LONGEST, Password, read_password, set_password
from signloop.review.pictures import Pictures
from signloop.review.server import create_app
from signloop.review.sessions import FREE, LASTING, Attempts, Sessions

HOST, TOKEN, NAME = "127.0.0.1:8000", "let-me-in", "labels.example.org"
WORDS, COOKIE = "correct horse battery", "__Host-signloop-443"
FORM = {"origin": f"https://{NAME}", "content-type": "application/x-www-form-urlencoded"}
CHANGE = {"origin": f"https://{NAME}", "content-type": "application/json"}
Open = Callable[[], TestClient]


@pytest.fixture(scope="module")
def password(tmp_path_factory: pytest.TempPathFactory) -> Password:
    path = tmp_path_factory.mktemp("password") / "password.json"
    set_password(path, WORDS)
    return read_password(path)


@pytest.fixture
def now() -> list[float]:
    """What the clock of logins and attempts says."""
    return [1000.0]


@pytest.fixture
def share(password: Password, now: list[float]) -> Share:
    return Share(NAME, password, Sessions(lambda: now[0]), Attempts(lambda: now[0]))


@pytest.fixture
def app(desk: Desk, queued: Path, share: Share) -> FastAPI:
    pictures = Pictures(desk.questions, queued / "frames", queued / "recordings")
    return create_app(desk, pictures, lambda: "round_001", "owner", frozenset({HOST}), TOKEN, share)


@pytest.fixture
def browser(app: FastAPI) -> Iterator[Open]:
    """A function that opens one more browser that comes by the shared name."""
    with TestClient(app, base_url=f"https://{NAME}", follow_redirects=False) as first:

        def act() -> TestClient:
            client = TestClient(app, base_url=f"https://{NAME}", follow_redirects=False)
            client.portal = first.portal  # one server, one event loop
            return client

        yield act


@pytest.fixture
def guest(browser: Open) -> TestClient:
    return browser()


def log_in(client: TestClient, name: str = "Ann B.", given: str = WORDS, **headers: str) -> Any:
    return client.post("/login", headers=FORM | headers, content=urlencode({"name": name, "password": given}))


def decide(client: TestClient, **more: Any) -> Any:
    item_id = client.get("/api/single").json()[0]["card"]["item_id"]
    act = {"act": "decide", "view": "single", "answers": [{"item_id": item_id, "verdict": "nothing"}]}
    return client.post("/api/acts", headers=CHANGE, json={"act": act, "based_on": {item_id: 0}, "seconds": 1, **more})


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("labels.example.org", "labels.example.org"),
        ("Labels.Example.ORG", "labels.example.org"),
        ("labels.example.org:443", "labels.example.org"),
        ("labels.example.org:8443", "labels.example.org:8443"),
        ("xn--mnchen-3ya.example", "xn--mnchen-3ya.example"),
        ("box", "box"),
        ("192.168.1.5:8443", "192.168.1.5:8443"),
    ],
)
def test_a_name_is_taken_as_browsers_send_it(name: str, host: str) -> None:
    assert public_host(name) == host


@pytest.mark.parametrize(
    "name",
    [
        "",
        "https://a.example",
        "a.example/",
        "a.example:",
        "a.example:x",
        "a.example:0",
        "a..b",
        "-a",
        "a b",
        "a\n",
        "a@b",
        "*",
        "[::1]",
        "ü.de",
    ],
)
def test_what_is_no_host_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"no name to share the page under \(--share\); expected a host name such as"):
        public_host(name)


def test_a_stranger_sees_the_login_page_and_nothing_else(guest: TestClient) -> None:
    answer = guest.get("/")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    page = guest.get("/login")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert guest.get("/web/style.css").status_code == 200
    assert guest.get("/web/icon.svg").status_code == 200
    for path in ("/api/about", "/api/openapi.json", "/web/main.js", "/web/index.html", "/pictures/class/1.png", "/logout", "/nowhere"):
        assert guest.get(path).status_code == 403, path
    for path in ("/", "/api/acts", "/api/undo", "/api/publish", "/logout"):
        assert guest.post(path, headers=CHANGE, json={}).status_code == 403, path


@pytest.mark.parametrize(
    "path", ["/login/", "/login%2f", "/login%3f/../api/about", "/web/style.css%3f/../main.js", "/web/style.css/../main.js", "/LOGIN"]
)
def test_no_other_writing_of_an_open_path_opens_anything(guest: TestClient, path: str) -> None:
    assert guest.get(path).status_code in (403, 404)


def test_the_login_page_has_no_script_and_its_fields_have_labels(guest: TestClient) -> None:
    page = guest.get("/login")
    assert {name: page.headers[name] for name in HEADERS} == HEADERS
    rules = dict(rule.strip().split(" ", 1) for rule in POLICY.split(";"))
    assert "script-src" not in rules
    assert (rules["default-src"], rules["form-action"], rules["style-src"]) == ("'none'", "'self'", "'self'")
    assert re.search(r"<script|<style|style=|onload|https?://", page.text) is None
    assert len(re.findall(r"<label>[^<]+<input", page.text)) == page.text.count("<input") == 2
    assert re.search(r"name=\"name\"[^>]* autofocus>", page.text)
    assert "$" not in page.text


def test_the_password_opens_the_page_under_ones_own_name(guest: TestClient) -> None:
    answer = log_in(guest, "  Ann \t B. ")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert re.match(rf"{COOKIE}=[\w-]{{43}};", cookie)
    assert {part.strip().lower() for part in cookie.split(";")[1:]} == {
        *("httponly", f"max-age={LASTING}", "path=/", "samesite=strict", "secure"),
    }
    about = guest.get("/api/about").json()
    assert (about["reviewer"], about["is_login"]) == ("Ann B.", True)
    assert guest.get("/").status_code == 200
    assert guest.get("/web/main.js").status_code == 200
    assert guest.get("/login").headers["location"] == "/"


def test_two_people_keep_their_names_apart(browser: Open, desk: Desk) -> None:
    ann, bob = browser(), browser()
    log_in(ann, "ann")
    log_in(bob, "bob")
    assert decide(ann).status_code == 200
    assert decide(bob, reviewer="bob").status_code == 200
    assert bob.post("/api/undo", headers=CHANGE, json={"seconds": 1}).status_code == 200
    assert [entry.annotator for entry in read(desk.questions.folder / "log.jsonl")] == ["ann", "bob", "bob"]
    assert desk.entries[-1].act.model_dump() == {"act": "undo", "number": 2}  # not that of the other


def test_nobody_answers_under_another_name(guest: TestClient, desk: Desk) -> None:
    log_in(guest, "bob")
    answer = decide(guest, reviewer="ann")
    assert (answer.status_code, answer.json()["detail"]) == (403, "in this browser bob is logged in now: reload the page")
    assert guest.post("/api/undo", headers=CHANGE, json={"seconds": 1, "reviewer": "ann"}).status_code == 403
    assert desk.entries == ()


@pytest.mark.parametrize("given", ["", "wrong", WORDS + " ", WORDS[:-1], WORDS.upper(), TOKEN, "ü" * LONGEST])
def test_a_wrong_password_opens_nothing(guest: TestClient, given: str) -> None:
    answer = log_in(guest, '"><b>ann', given)
    assert answer.status_code == 403
    assert re.search(r'<p role="alert"[^>]*>This is not the password.</p>', answer.text)
    assert re.search(r"type=\"password\"[^>]* autofocus>", answer.text)
    assert 'value="&quot;&gt;&lt;b&gt;ann"' in answer.text
    assert not given or given not in answer.text
    assert "set-cookie" not in answer.headers
    assert guest.get("/api/about").status_code == 403


@pytest.mark.parametrize("name", ["", "  ", "a" * 101, "a\0b", "a\u202eb", "\u200b", "a\x1b[2J"])
def test_a_name_that_is_none_is_refused_before_the_password_is_looked_at(guest: TestClient, share: Share, name: str) -> None:
    for _ in range(FREE + 1):
        assert log_in(guest, name).status_code == 422
    assert share.attempts.wait() == 0


@pytest.mark.parametrize("body", [b"", b"password=x", b"&" * 50, b"\xff\xfe", b"name=%ff%fe", b"name[]=a&password[]=b", b'{"name": "a"}'])
def test_a_spoilt_form_is_refused(guest: TestClient, body: bytes) -> None:
    answer = guest.post("/login", headers=FORM, content=body)
    assert answer.status_code in (403, 422)
    assert "set-cookie" not in answer.headers


def test_the_longest_name_and_password_fit_in_the_form(guest: TestClient, password: Password, tmp_path: Path, share: Share) -> None:
    path, words = tmp_path / "password.json", "\U0001f98a" * LONGEST
    set_password(path, words)
    share.password = read_password(path)
    answer = log_in(guest, "\U0001f98a" * 100, words)
    assert answer.status_code == 303


@pytest.mark.parametrize(
    "origin",
    ["", "null", f"http://{NAME}", f"https://{NAME}:443", f"https://{NAME}.evil.example", "https://evil.example", f"http://{HOST}"],
)
def test_another_page_can_neither_log_in_nor_out_nor_change_something(guest: TestClient, desk: Desk, origin: str) -> None:
    assert log_in(guest, origin=origin).status_code == 403
    assert log_in(guest).status_code == 303
    for path in ("/logout", "/api/publish", "/api/undo"):
        assert guest.post(path, headers=CHANGE | {"origin": origin}, json={"seconds": 1}).status_code == 403
    assert guest.get("/api/about").status_code == 200


def test_a_form_of_another_kind_or_size_is_refused(guest: TestClient, share: Share) -> None:
    form = {"name": "ann", "password": WORDS}
    assert guest.post("/login", headers=FORM | {"content-type": "application/json"}, json=form).status_code == 415
    assert guest.post("/login", headers={"origin": FORM["origin"]}, files=form).status_code == 415
    assert guest.post("/login", headers=FORM, content=b"x" * (LARGEST_LOGIN + 1)).status_code == 413
    assert guest.post("/login", headers=FORM, content=iter([b"name=ann"])).status_code == 413
    assert log_in(guest).status_code == 303
    assert guest.post("/api/undo", headers=FORM, content=b"{}").status_code == 415  # a form changes nothing else


def test_after_five_wrong_ones_the_right_one_has_to_wait_too(guest: TestClient, browser: Open, now: list[float]) -> None:
    early = browser()
    assert log_in(early, "early").status_code == 303
    assert [log_in(guest, given="wrong").status_code for _ in range(FREE)] == [403] * FREE
    other = browser()
    answer = log_in(other)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "30")
    assert "wrong too often. Try again in 30 s." in answer.text
    assert early.get("/api/about").status_code == 200  # who is in stays in
    now[0] += 30
    assert log_in(guest, given="wrong").status_code == 403
    assert log_in(other).headers["retry-after"] == "60"
    now[0] += 60
    assert log_in(other).status_code == 303
    assert [log_in(guest, given="wrong").status_code for _ in range(FREE)] == [403] * FREE  # it begins anew


def test_many_at_once_have_no_more_guesses_and_stop_nobody(guest: TestClient, share: Share, monkeypatch: pytest.MonkeyPatch) -> None:
    looking, go, guesses = threading.Event(), threading.Event(), []

    def fits(_: Password, given: str) -> bool:
        guesses.append(given)
        looking.set()
        assert go.wait(30)
        return False

    monkeypatch.setattr(Password, "fits", fits)
    with ThreadPoolExecutor(12) as pool:
        waiting = [pool.submit(log_in, guest, given=str(number)) for number in range(12)]
        assert looking.wait(30)
        assert guest.get("/login").status_code == 200  # while the password is looked at
        go.set()
        statuses = [one.result().status_code for one in waiting]
    assert sorted(statuses) == [403] * FREE + [429] * (12 - FREE)
    assert len(guesses) == FREE


def test_a_login_gives_a_new_key_and_ends_the_old_one(guest: TestClient, share: Share) -> None:
    guest.cookies.set(COOKIE, "planted-by-somebody", domain=NAME)
    assert log_in(guest, "ann").status_code == 303
    first = guest.cookies[COOKIE]
    assert first != "planted-by-somebody"
    assert log_in(guest, "bob").status_code == 303
    assert guest.cookies[COOKIE] != first
    assert share.sessions.name(first) is None
    assert guest.get("/api/about").json()["reviewer"] == "bob"


def test_whoever_logs_out_is_out_whatever_is_kept_of_the_cookie(guest: TestClient, browser: Open) -> None:
    log_in(guest)
    kept = guest.cookies[COOKIE]
    answer = guest.post("/logout", headers=CHANGE, json={})
    assert answer.status_code == 200
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert "Secure" in answer.headers["set-cookie"]
    assert COOKIE not in guest.cookies
    assert browser().get("/api/about", headers={"cookie": f"{COOKIE}={kept}"}).status_code == 403
    assert guest.get("/").headers["location"] == "/login"


def test_a_login_ends_by_itself_with_words_for_the_page(guest: TestClient, now: list[float]) -> None:
    log_in(guest)
    now[0] += LASTING
    answer = guest.get("/api/progress")
    assert (answer.status_code, answer.json()["detail"]) == (403, "you are not logged in (any more): reload the page")


def test_the_link_opens_nothing_under_the_shared_name(guest: TestClient) -> None:
    answer = guest.get(f"/?token={TOKEN}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert "set-cookie" not in answer.headers
    for cookie in (f"signloop-8000={TOKEN}", f"signloop-443={TOKEN}", f"{COOKIE}={TOKEN}", f"signloop-{NAME}={TOKEN}"):
        assert guest.get("/api/about", headers={"cookie": cookie}).status_code == 403


def test_a_login_opens_nothing_on_this_machine(guest: TestClient, browser: Open) -> None:
    log_in(guest)
    key, here = guest.cookies[COOKIE], browser()
    for cookie in (f"{COOKIE}={key}", f"signloop-8000={key}"):
        assert here.get("/api/about", headers={"host": HOST, "cookie": cookie}).status_code == 403


def test_the_link_works_beside_it_as_ever(browser: Open) -> None:
    here, link = browser(), {"host": HOST, "cookie": f"signloop-8000={TOKEN}"}
    answer = here.get(f"/?token={TOKEN}", headers={"host": HOST})
    assert answer.status_code == 303
    assert "strict-transport-security" not in answer.headers
    about = here.get("/api/about", headers=link).json()
    assert (about["reviewer"], about["is_login"]) == ("owner", False)
    change = link | {"origin": f"http://{HOST}", "content-type": "application/json"}
    assert here.post("/api/undo", headers=change, json={"seconds": 1, "reviewer": "zoe"}).status_code == 409  # nothing to take back
    assert here.get("/login", headers=link).status_code == 404
    for path in ("/login", "/logout"):
        assert here.post(path, headers=change, json={}).status_code == 404
    assert here.post("/api/undo", headers=change | {"origin": f"https://{NAME}"}, json={"seconds": 1}).status_code == 403


@pytest.mark.parametrize(
    "host", ["LABELS.example.org", f"{NAME}:443", f"{NAME}:80", f"{NAME}.", f"a.{NAME}", "example.org", f"{NAME}, {HOST}"]
)
def test_another_writing_of_the_name_is_refused(guest: TestClient, host: str) -> None:
    log_in(guest)
    assert guest.get("/api/about", headers={"host": host}).status_code == 421
    assert guest.get("/login", headers={"host": host}).status_code == 421


@pytest.mark.parametrize(
    "header",
    ["x-forwarded-host", "x-forwarded-proto", "x-forwarded-for", "x-real-ip", "forwarded", "x-original-url", "x-http-method-override"],
)
def test_what_a_proxy_is_made_to_say_changes_nothing(guest: TestClient, header: str) -> None:
    for value in (HOST, NAME, "127.0.0.1", "https", f"host={HOST};for=127.0.0.1", "/login", "GET"):
        assert guest.get("/api/about", headers={header: value}).status_code == 403
        assert guest.get("/login", headers={"host": "evil.example", header: value}).status_code == 421
        assert guest.post("/api/publish", headers=CHANGE | {header: value}, json={}).status_code == 403


def test_every_answer_tells_browsers_to_stay_with_tls(guest: TestClient) -> None:
    answers = [guest.get("/"), guest.get("/login"), guest.get("/api/about"), log_in(guest, given="wrong"), log_in(guest), guest.get("/")]
    assert [answer.status_code for answer in answers] == [303, 200, 403, 403, 303, 200]
    assert {answer.headers["strict-transport-security"] for answer in answers} == {"max-age=31536000"}
    assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}
    assert {answer.headers["x-frame-options"] for answer in answers} == {"DENY"}


def test_the_cookies_of_two_reviews_on_one_host_are_two(password: Password) -> None:
    assert Share("a.example", password).cookie == "__Host-signloop-443"
    assert Share("a.example:8443", password).cookie == "__Host-signloop-8443"
