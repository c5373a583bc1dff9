"""`signloop review` begins a review once, goes on with what is not published, tells where the page is, and lets go of it at the end."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi.testclient import TestClient

from signloop.core import tables
from signloop.core.errors import ConfigError, DataError
from signloop.core.params import Params
from signloop.core.rounds import publish_round, read_rounds
from signloop.core.taxonomy import Taxonomy
from signloop.review import questions
from signloop.review.desk import Desk
from signloop.review.log import Answer, Decide
from signloop.review.password import set_password
from signloop.review.serve import password_file, serve, start

DRIVE, PHOTOS, CIRCLE = "d" * 16, "f" * 16, 3


@pytest.fixture
def params(shape_params: Params, taxonomy: Taxonomy) -> Params:
    return shape_params.model_copy(update={"taxonomy": taxonomy})


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def verified(queued: Path) -> Path:
    """The project in which somebody verified a circle that the models do not ask about."""
    row = {
        "round": -1,
        "box_id": "b",
        "annotator": "ann",
        "frame_id": f"{DRIVE}/000002",
        "sign_id": f"{DRIVE}/old/0000",
        **{"x1": 40.0, "y1": 40.0, "x2": 60.0, "y2": 60.0},
        "class_id": CIRCLE,
        "verdict": "accepted",
        "seen": True,
        "model_id": None,
        "seconds": None,
        "verified_at": 0,
    }
    publish_round(
        queued / "verified",
        label="old",
        boxes=tables.from_rows("verified_boxes", [row]),
        frames=tables.empty("verified_frames"),
        units={DRIVE: "video"},
        val_share=0.2,
        test_share=0.2,
        meta={},
    )
    return queued


def kinds(folder: Path) -> list[str]:
    return [question.kind for question in questions.Questions(folder).items.values()]


def decide(folder: Path, params: Params) -> None:
    desk = Desk(folder, params.taxonomy)
    item_id = desk.single(1)[0]
    desk.act("ann", 1.0, {}, Decide(view="single", answers=(Answer(item_id=item_id, verdict="nothing"),)))
    desk.close()


def test_a_review_begins_with_planted_mistakes_and_repeats(verified: Path, params: Params, told: list[str]) -> None:
    folder = start(verified, params, 0.5, 0.5, told.append)
    assert kinds(folder).count("planted") == 1
    assert kinds(folder).count("sign") == 5
    assert start(verified, params, 0.0, 0.0, told.append) == folder
    assert kinds(folder).count("planted") == 1  # as it was begun, so it stays
    assert told == []


def test_without_rounds_or_without_a_share_nothing_is_planted(queued: Path, params: Params, told: list[str]) -> None:
    assert kinds(start(queued, params, 0.5, 0.0, told.append)) == ["sign"] * 5 + ["frame"] * 5


def test_what_is_not_published_is_gone_on_with(queued: Path, params: Params, told: list[str]) -> None:
    first = start(queued, params, 0.0, 0.0, told.append)
    decide(first, params)
    path = queued / "queue" / "queue.parquet"
    tables.write(path, "queue", tables.read(path, "queue").slice(0, 4))
    assert start(queued, params, 0.0, 0.0, told.append) == first
    assert told == ["this review began before the last `dvc repro`; publish it, and the next one shows what is new"]
    questions.mark_published(first, 1)
    assert start(queued, params, 0.0, 0.0, told.append) != first


def test_an_untouched_review_gives_way_to_a_new_queue(queued: Path, params: Params, told: list[str]) -> None:
    first = start(queued, params, 0.0, 0.0, told.append)
    path = queued / "queue" / "queue.parquet"
    tables.write(path, "queue", tables.read(path, "queue").slice(0, 4))
    assert start(queued, params, 0.0, 0.0, told.append) != first
    assert told == []


def test_nothing_that_waits_is_told(project: Path, params: Params, told: list[str]) -> None:
    with pytest.raises(DataError, match="table queue does not exist"):
        start(project, params, 0.5, 0.5, told.append)


@pytest.fixture
def run(queued: Path, params: Params, told: list[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """A function (visit) that serves the page, lets `visit` use it in place of a browser, and returns what was published."""

    def act(visit: Callable[[TestClient], None], share: str | None = None) -> list[str]:
        published: list[str] = []

        def instead(server: uvicorn.Server, sockets: list[socket.socket]) -> None:
            [(host, port)] = [listening.getsockname() for listening in sockets]
            assert host == "127.0.0.1"
            assert not server.config.server_header
            assert not server.config.proxy_headers
            assert server.config.ws == "none"
            app: Any = server.config.app
            with TestClient(app, base_url=f"http://{host}:{port}", follow_redirects=False) as browser:
                visit(browser)

        monkeypatch.setattr(uvicorn.Server, "run", instead)
        serve(
            queued,
            queued / "recordings",
            params,
            name="Ann B.",
            port=8123,
            planted=0.0,
            repeats=0.0,
            share=share,
            after_publish=lambda: published.append("added"),
            say=told.append,
            open_browser=False,
        )
        return published

    return act


def test_the_link_opens_the_page_and_its_button_publishes(run: Callable[..., list[str]], queued: Path, told: list[str]) -> None:
    def visit(browser: TestClient) -> None:
        link = next(word for word in " ".join(told).split() if word.startswith("http://"))
        assert link.startswith("http://127.0.0.1:8123/?token=")
        assert browser.get("/api/about").status_code == 403
        assert browser.get(link).status_code == 303
        assert browser.get("/api/about").json()["reviewer"] == "Ann B."
        item_id = browser.get("/api/single").json()[0]["card"]["item_id"]
        change = {"origin": "http://127.0.0.1:8123"}
        answers = [{"item_id": item_id, "verdict": "nothing"}]
        request = {"act": {"act": "decide", "view": "single", "answers": answers}, "based_on": {item_id: 0}, "seconds": 1}
        assert browser.post("/api/acts", json=request, headers=change).status_code == 200
        assert "round_001-Ann-B: 1 decided" in browser.post("/api/publish", json={}, headers=change).json()["report"]

    assert run(visit) == ["added"]
    assert told[0].startswith("5 of 5 shapes and 5 frames wait")
    assert set(read_rounds(queued / "verified").boxes["annotator"].to_pylist()) == {"Ann B."}


def test_each_start_has_a_token_of_its_own(run: Callable[..., list[str]], told: list[str]) -> None:
    for _ in range(2):
        run(lambda browser: None)
    links = {line for line in told if "token" in line}
    assert len(links) == 2
    assert all(len(link.split("token=")[1]) >= 32 for link in links)


def test_the_review_is_let_go_however_it_ends(run: Callable[..., list[str]], queued: Path, params: Params, told: list[str]) -> None:
    def stop(browser: TestClient) -> None:
        raise KeyboardInterrupt

    run(stop)
    folder = start(queued, params, 0.0, 0.0, told.append)
    Desk(folder, params.taxonomy).close()


def test_a_second_process_is_told_that_it_is_open(run: Callable[..., list[str]], queued: Path, params: Params, told: list[str]) -> None:
    desk = Desk(start(queued, params, 0.0, 0.0, told.append), params.taxonomy)
    with pytest.raises(DataError, match="this review is open already"):
        run(lambda browser: None)
    desk.close()


def test_a_port_that_is_taken_is_told_before_anything_is_done(run: Callable[..., list[str]], queued: Path, told: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 8123)), pytest.raises(ConfigError, match=r"the port cannot be had \(127.0.0.1:8123\)"):
        run(lambda browser: None)
    assert told == []
    assert not (queued / "review" / "reviews").exists()


def test_a_shared_page_is_entered_by_its_name_and_the_password(run: Callable[..., list[str]], queued: Path, told: list[str]) -> None:
    set_password(password_file(queued), "correct horse battery")

    def visit(browser: TestClient) -> None:
        assert told[-1].startswith(
            "others log in at https://labels.example.org, if a TLS proxy on this machine passes it on to 127.0.0.1:8123"
        )
        browser.base_url = "https://labels.example.org"
        assert browser.get(f"/?token={told[-2].split('token=')[1]}").headers["location"] == "/login"
        form = {"name": "Bob", "password": "correct horse battery"}
        assert browser.post("/login", data=form, headers={"origin": "https://labels.example.org"}).status_code == 303
        assert browser.get("/api/about").json()["reviewer"] == "Bob"

    run(visit, "Labels.example.org:443")


def test_a_page_that_is_not_shared_knows_no_other_name(run: Callable[..., list[str]], queued: Path) -> None:
    set_password(password_file(queued), "correct horse battery")

    def visit(browser: TestClient) -> None:
        assert browser.get("/login", headers={"host": "labels.example.org"}).status_code == 421
        assert browser.get("/login").status_code == 403

    run(visit)


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        ("labels.example.org", r"only with a password, and none was set .*password\.json.*Run `signloop review-password`"),
        ("https://labels.example.org", "this is no name to share the page under"),
        ("localhost:8123", "the link is for this name"),
        ("127.0.0.1:8123", "the link is for this name"),
    ],
)
def test_a_page_that_cannot_be_shared_is_not_served_at_all(
    run: Callable[..., list[str]], queued: Path, told: list[str], share: str, expected: str
) -> None:
    with pytest.raises(ConfigError, match=expected):
        run(lambda browser: None, share)
    assert told == []
    assert not (queued / "review" / "reviews").exists()


def test_a_damaged_password_file_is_told(run: Callable[..., list[str]], queued: Path, told: list[str]) -> None:
    password_file(queued).parent.mkdir()
    password_file(queued).write_text("{}")
    with pytest.raises(DataError, match="hash is damaged"):
        run(lambda browser: None, "labels.example.org")
    assert told == []
