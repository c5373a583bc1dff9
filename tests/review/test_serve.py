"""`signloop review` begins a review once, goes on with what is not published, tells where the page is, and lets go of it at the end."""

import gc
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import uvicorn
import yaml
from fastapi.testclient import TestClient

from signloop.core import tables
from signloop.core.errors import ConfigError, DataError
from signloop.core.files import read_json
from signloop.core.params import Params, Queue
from signloop.core.rounds import Verified, publish_round, read_rounds
from signloop.core.taxonomy import Taxonomy
from signloop.review import plant, questions, queue, snapshot, views
from signloop.review.desk import Desk
from signloop.review.log import Answer, Decide, read
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


def test_of_a_long_queue_no_more_is_asked_twice_than_tells_enough(
    queued: Path, params: Params, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plant, "ENOUGH", 1)
    assert read_json(start(queued, params, 0.0, 1.0, told.append) / "review.json")["repeat_share"] == 0.2  # one of five


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

    def act(visit: Callable[[TestClient], None], share: str | None = None, name: str = "Ann B.") -> list[str]:
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
            name=name,
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
        assert "round_001-Ann-B: 1 answered;" in browser.post("/api/publish", json={}, headers=change).json()["report"]

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


def test_garbage_is_collected_while_the_page_is_used(run: Callable[..., list[str]], queued: Path, params: Params, told: list[str]) -> None:
    run(lambda browser: told.append(f"collected: {gc.isenabled()}"))
    assert told[-1] == "collected: True"
    desk = Desk(start(queued, params, 0.0, 0.0, told.append), params.taxonomy)
    with pytest.raises(DataError, match="open already"):
        run(lambda browser: None)
    desk.close()
    assert gc.isenabled()


@pytest.mark.parametrize("name", ["", "  ", "x" * 101])
def test_a_name_that_no_decision_could_carry_is_refused(run: Callable[..., list[str]], name: str) -> None:
    with pytest.raises(ConfigError, match=r"nobody has such a name \(--name\); expected 1 to 100 letters"):
        run(lambda browser: None, name=name)


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


SERVER = """
import sys
from pathlib import Path
from signloop.core.params import load
from signloop.review.serve import serve
root = Path(sys.argv[1])
serve(
    root / "data", root / "data" / "recordings", load(root / "params.yaml"), name="ann", port=int(sys.argv[2]), planted=0.0, repeats=0.0,
    share=None, after_publish=lambda: None, say=lambda text: print(text, flush=True), open_browser=False,
)
"""
DECISIONS, KILLS = 500, 50


class Tab:
    """Decides on a server of its own as the page does, and starts the server again when it was killed.

    What got no answer is looked up in the history once the server is there again, and sent again only if it is not there.

    Args:
        root: folder with `data` and params.yaml.
        rng: of the moments of the kills, and of what is said.

    Attributes:
        answered: number -> the act that the server said it has.
        unanswered: requests that got no answer as the server was killed.
    """

    def __init__(self, root: Path, rng: np.random.Generator) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self._root, self._rng = root, rng
        self._times = [0.02]
        self.answered: dict[int, Decide] = {}
        self.unanswered = self.kills = 0
        self._start()

    def _start(self) -> None:
        command = [sys.executable, "-c", SERVER, str(self._root), str(self._port)]
        self._server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._server.stdout is not None
        link = next((line.strip() for line in self._server.stdout if line.startswith("http")), None)
        assert link is not None, "the server did not start"
        base = f"http://127.0.0.1:{self._port}"
        self._client = httpx2.Client(base_url=base, headers={"origin": base}, timeout=20, follow_redirects=True)
        assert self._client.get(link).status_code == 200

    def close(self) -> None:
        """End the server."""
        assert self._server.stdout is not None
        self._client.close()
        self._server.kill()
        self._server.wait()
        self._server.stdout.close()

    def get(self, path: str) -> Any:
        """Read, for as long as it takes."""
        try:
            answer = self._client.get(path)
        except httpx2.TransportError:
            self._restart()
            return self.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def decide(self, *, killed: bool) -> None:
        """Decide about the sign that comes next; if `killed`, the server dies at any moment of that."""
        began = time.perf_counter()
        dying = threading.Timer(self._rng.uniform(0, 1.2) * float(np.median(self._times)), self._server.kill)
        if killed:
            self.kills += 1
            dying.start()
        card = self.get("/api/single?size=1")[0]["card"]
        verdict = str(self._rng.choice(["sign", "nothing", "unsure"]))
        said = {"verdict": verdict, "class_id": CIRCLE if verdict == "sign" else None}
        answer = Answer.model_validate({"item_id": card["item_id"], **said, "seen": [card["index"]]})
        act, after = Decide(view="single", answers=(answer,)), max(self.answered, default=0)
        number = self._send(act, card["version"])
        while number is None:
            self._restart()
            number = self._stored(act, after) or self._send(act, card["version"])
        assert number not in self.answered
        self.answered[number] = act
        if not killed:
            self._times.append(time.perf_counter() - began)
        elif dying.is_alive():
            dying.join()

    def _send(self, act: Decide, version: int) -> int | None:
        based_on = {answer.item_id: version for answer in act.answers}
        request = {"act": act.model_dump(mode="json"), "based_on": based_on, "seconds": 1.5, "reviewer": "ann"}
        try:
            answer = self._client.post("/api/acts", json=request)
        except httpx2.TransportError:
            self.unanswered += 1
            return None
        assert answer.status_code == 200, answer.text
        return int(answer.json()["number"])

    def _stored(self, act: Decide, after: int) -> int | None:
        """Find an act in the history that was stored though its answer never came."""
        items = [answer.item_id for answer in act.answers]
        rows = self.get("/api/history?size=100")
        return next((row["number"] for row in rows if row["number"] > after and row["act"] == "decide" and row["items"] == items), None)

    def _restart(self) -> None:
        self.close()
        entries = read(questions.newest(self._root / "data" / "review") / "log.jsonl") if self.answered else []
        assert self.answered.items() <= {entry.number: entry.act for entry in entries}.items()
        self._start()


@pytest.fixture
def tab(project: Path, params: Params) -> Iterator[Tab]:
    """A server on the project with signs enough, and its page."""
    for part in ("signs", "boxes"):
        [path] = (project / "prelabels" / part).glob(f"{DRIVE}-*.parquet")
        rows = [row for row in tables.read(path, f"prelabel_{part}").to_pylist() if row["sign_id"].endswith("/0000")]
        ids = [key for key in ("sign_id", "box_id") if key in rows[0]]
        many = [{**row, **{key: row[key].replace("/0000", f"/{n:04d}", 1) for key in ids}} for n in range(DECISIONS) for row in rows]
        tables.write(path, f"prelabel_{part}", tables.from_rows(f"prelabel_{part}", many))
    boxes, signs = snapshot.read_prelabels(project / "prelabels", [snapshot.finished(project / "prelabels")[DRIVE]])
    frames = tables.read(project / "frames" / "frames.parquet", "frames")
    asked = queue.build(signs, boxes, Verified(), Queue(frame_share=0.0), frames)
    tables.write(project / "queue" / "queue.parquet", "queue", asked)
    (project.parent / "params.yaml").write_text(yaml.safe_dump(params.model_dump(mode="json")))
    opened = Tab(project.parent, np.random.default_rng(0))
    yield opened
    opened.close()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_server_takes_no_answer_with_it_and_none_is_there_twice(tab: Tab, project: Path, taxonomy: Taxonomy) -> None:
    moments = set(np.random.default_rng(1).choice(DECISIONS, KILLS, replace=False).tolist())
    for number in range(DECISIONS):
        tab.decide(killed=number in moments)
    assert tab.kills == KILLS
    assert tab.unanswered > 0  # some died in the middle of a request
    live, progress = tab.get("/api/history?size=500"), tab.get("/api/progress")
    tab.close()
    folder = questions.newest(project / "review")
    entries = read(folder / "log.jsonl")
    assert {entry.number: entry.act for entry in entries} == tab.answered
    assert {(entry.annotator, entry.seconds) for entry in entries} == {("ann", 1.5)}
    desk = Desk(folder, taxonomy)
    said = {item_id: [given.answer for given in desk.answers(item_id)] for item_id in desk.real()}
    assert len(said) == DECISIONS
    assert said == {answer.item_id: [answer] for act in tab.answered.values() for answer in act.answers}
    assert [row.model_dump(mode="json") for row in views.history(desk, None, 500)] == live
    assert views.progress(desk).model_dump(mode="json") == progress
    desk.close()
