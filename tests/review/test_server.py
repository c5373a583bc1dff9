"""The server answers what its document says: whatever is sent, it neither breaks nor writes what nobody with the right to it has said."""

import copy
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import schemathesis
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core.result import Ok

from signloop.core import tables
from signloop.core.errors import DataError
from signloop.core.rounds import Verified
from signloop.core.taxonomy import Taxonomy
from signloop.demo.signs import CLASSES
from signloop.review import questions
from signloop.review.desk import Desk
from signloop.review.guard import HEADERS
from signloop.review.log import Answer, Decide, Entry, Split, read
from signloop.review.pictures import Pictures
from signloop.review.questions import item_id_of
from signloop.review.server import create_app

DRIVE, PHOTOS, MODEL = "d" * 16, "f" * 16, "mtest"
CIRCLE, SQUARE = 3, 8
HOST, TOKEN, NOBODY = "127.0.0.1:8000", "let-me-in", "0" * 16
HOSTILE = "</script><img src=x onerror=alert(1)>'\"&\u202e"
CHANGE = {"origin": f"http://{HOST}", "content-type": "application/json"}
Do = Callable[..., Entry]


def sign(desk: Desk, number: int, recording_id: str = DRIVE) -> str:
    return item_id_of(desk.questions.review_id, f"{recording_id}/{MODEL}/{number:04d}")


def frame(desk: Desk, index: int, recording_id: str = DRIVE) -> str:
    return item_id_of(desk.questions.review_id, f"frame:{recording_id}/{index:06d}")


def decision(item_id: str, version: int = 0, **more: Any) -> dict[str, Any]:
    answer = {"item_id": item_id, "verdict": "sign", "class_id": CIRCLE, "seen": [0]} | more
    return {"act": {"act": "decide", "view": "single", "answers": [answer]}, "based_on": {item_id: version}, "seconds": 1.5}


def serve(desk: Desk, queued: Path, publish: Callable[[], str]) -> FastAPI:
    pictures = Pictures(desk.questions, queued / "frames", queued / "recordings")
    return create_app(desk, pictures, publish, "ann", frozenset({HOST}), TOKEN)


@pytest.fixture
def published() -> list[str]:
    """How often the button was pressed."""
    return []


@pytest.fixture
def app(desk: Desk, queued: Path, published: list[str]) -> FastAPI:
    def publish() -> str:
        published.append("round")
        if len(published) > 1:
            raise DataError("nothing is decided in this review yet")
        return "round_001: 1 decided"

    return serve(desk, queued, publish)


@pytest.fixture
def stranger(app: FastAPI) -> Iterator[TestClient]:
    """A browser that does not know the link."""
    with TestClient(app, base_url=f"http://{HOST}", follow_redirects=False) as opened:
        yield opened


@pytest.fixture
def page(stranger: TestClient) -> TestClient:
    """The page itself."""
    assert stranger.get(f"/?token={TOKEN}").status_code == 303
    stranger.headers.update(CHANGE)
    return stranger


def test_the_page_learns_what_it_needs_once(page: TestClient, desk: Desk) -> None:
    about = page.get("/api/about").json()
    assert (about["review_id"], about["reviewer"], about["object_name"]) == (desk.questions.review_id, "ann", "shape")
    assert (about["is_login"], about["counts"]) == (False, "shapes of any colour")
    assert [(c["id"], c["name"], c["also"], c["has_picture"]) for c in about["classes"]] == [
        (CIRCLE, "circle", "ring", False), (SQUARE, "square", "", False), (9, "star", "", False)
    ]  # fmt: skip


def test_a_sign_is_decided_and_the_answer_says_how_far_it_is(page: TestClient, desk: Desk) -> None:
    assert page.get("/api/progress").json()["signs_open"] == 5
    assert page.get("/api/sheets").json() == [
        *({"sheet": str(c), "open": 2, "odd": 0, "signs": 2} for c in (CIRCLE, SQUARE)),
        {"sheet": "none", "open": 1, "odd": 0, "signs": 1},
    ]
    cards = page.get("/api/sheet", params={"name": CIRCLE}).json()
    assert [card["item_id"] for card in cards] == [sign(desk, 2), sign(desk, 0)]
    done = page.post("/api/acts", json=decision(sign(desk, 0))).json()
    assert (done["number"], done["versions"], done["progress"]["signs_open"]) == (1, {sign(desk, 0): 1}, 4)
    (entry,) = read(desk.questions.folder / "log.jsonl")
    assert (entry.annotator, entry.seconds) == ("ann", 1.5)
    assert entry.act == Decide(view="single", answers=(Answer(item_id=sign(desk, 0), verdict="sign", class_id=CIRCLE, seen=(0,)),))
    assert [detail["card"]["item_id"] for detail in page.get("/api/single", params={"size": 2}).json()] == [sign(desk, 3), sign(desk, 2)]
    assert page.get("/api/quality").json()["decided"] == 1


def test_an_answer_names_the_versions_of_all_that_is_another_now(page: TestClient, desk: Desk) -> None:
    one, other, new = sign(desk, 0), sign(desk, 1), "c" * 16

    def act(based_on: dict[str, int], **act: Any) -> Any:
        return page.post("/api/acts", json={"act": act, "based_on": based_on, "seconds": 1}).json()["versions"]

    assert act({one: 0}, act="split", item_id=one, index=2, new_id=new) == {one: 1, new: 1}
    assert act({one: 1, other: 0}, act="merge", item_id=one, other_id=other) == {one: 2, other: 2}
    undo = page.post("/api/undo", json={"seconds": 1}).json()
    assert (undo["versions"], undo["text"]) == ({one: 3, other: 3}, "two merged")
    assert page.post("/api/undo", json={"seconds": 1}).json()["versions"] == {one: 4}  # the new sign is gone
    assert page.post("/api/undo", json={"seconds": 1, "again": True}).json()["versions"] == {one: 5, new: 5}
    assert [row["text"] for row in page.get("/api/history").json()][-2:] == ["two merged", "split in two"]


def test_who_comes_second_gets_a_conflict(page: TestClient, desk: Desk) -> None:
    item_id = sign(desk, 0)
    assert page.post("/api/acts", json=decision(item_id)).status_code == 200
    answer = page.post("/api/acts", json=decision(item_id) | {"reviewer": "bob"})
    assert (answer.status_code, answer.json()["item_id"]) == (409, item_id)
    assert "somebody has decided about this meanwhile" in answer.json()["detail"]
    assert len(desk.entries) == 1
    assert page.post("/api/acts", json=decision(item_id, 1) | {"reviewer": "bob"}).status_code == 200
    assert [entry.annotator for entry in desk.entries] == ["ann", "bob"]


def test_a_conflict_names_the_sign_if_it_is_about_one(page: TestClient, desk: Desk) -> None:
    page.post("/api/acts", json=decision(sign(desk, 0)))
    undo = {"act": {"act": "undo", "number": 1}, "based_on": {}, "seconds": 1}
    assert page.post("/api/acts", json=undo).status_code == 200
    answer = page.post("/api/acts", json=undo)
    assert (answer.status_code, answer.json()["item_id"]) == (409, None)
    assert "this was taken back already (entry 1)" in answer.json()["detail"]


def test_nothing_to_undo_is_told(page: TestClient) -> None:
    for again, text in ((False, "there is nothing to undo"), (True, "there is nothing to do again")):
        answer = page.post("/api/undo", json={"seconds": 1, "again": again})
        assert (answer.status_code, answer.json()["detail"]) == (409, text)


def test_a_full_disk_is_told_and_the_next_answer_is_taken(page: TestClient, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", fail)
        answer = page.post("/api/acts", json=decision(sign(desk, 0)))
    assert (answer.status_code, "cannot be stored" in answer.json()["detail"]) == (507, True)
    assert desk.is_open(sign(desk, 0))
    assert page.post("/api/acts", json=decision(sign(desk, 0))).json()["number"] == 1


def test_the_button_publishes(page: TestClient, published: list[str]) -> None:
    assert page.post("/api/publish", headers={"content-length": "0"}).json() == {"report": "round_001: 1 decided"}
    refused = page.post("/api/publish", json={})
    assert (refused.status_code, refused.json()["detail"]) == (409, "nothing is decided in this review yet")
    assert published == ["round"] * 2


def test_signs_and_frames_are_told_by_id(page: TestClient, desk: Desk) -> None:
    assert page.get(f"/api/signs/{sign(desk, 0)}").json()["card"]["item_id"] == sign(desk, 0)
    assert page.get(f"/api/frames/{frame(desk, 2)}").json()["index"] == 2
    assert len(page.get("/api/frames", params={"size": 50}).json()) == 5
    for path in (f"signs/{NOBODY}", f"frames/{NOBODY}", f"signs/{frame(desk, 2)}", f"frames/{sign(desk, 0)}"):
        answer = page.get(f"/api/{path}")
        assert answer.status_code == 404
        assert answer.json()["detail"].startswith("there is no such")


def picture(content: bytes) -> tuple[int, ...]:
    return np.asarray(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)).shape


def test_pictures_come_by_id(page: TestClient, desk: Desk) -> None:
    crop = page.get(f"/pictures/crop/{sign(desk, 0)}/2.jpg", params={"side": 96})
    assert (crop.headers["content-type"], picture(crop.content)) == ("image/jpeg", (96, 96, 3))
    assert crop.headers["cache-control"] == "private, max-age=86400"
    assert picture(page.get(f"/pictures/frame/{DRIVE}/2").content) == (80, 100, 3)
    region = page.get(f"/pictures/region/{DRIVE}/2.jpg", params={"x1": -1e5, "y1": -1e5, "x2": 1e5, "y2": 1e5})
    assert picture(region.content) == (160, 160, 3)


def test_the_crops_of_a_sheet_come_in_one_answer(page: TestClient, desk: Desk) -> None:
    asked = [f"{sign(desk, 0)}.2", f"{sign(desk, 0)}.7", f"{NOBODY}.2", f"{frame(desk, 2)}.2", f"{sign(desk, 2)}.1", f"{sign(desk, 1)}.4"]
    answer = page.get("/pictures/sheet", params={"crops": ",".join(asked), "side": 96})
    assert answer.headers["content-type"] == "application/octet-stream"
    content, found = answer.content, []
    while content:
        end = 4 + int.from_bytes(content[:4], "big")
        found.append(content[4:end])
        content = content[end:]
    singly = [page.get(f"/pictures/crop/{one.replace('.', '/')}.jpg", params={"side": 96}) for one in asked]
    assert found == [one.content if one.status_code == 200 else b"" for one in singly]
    assert [bool(one) for one in found] == [True, False, False, False, False, True]
    for strange in ("", "a", f"{NOBODY}", f"{NOBODY}.-1", f"{NOBODY}.2,", f"{NOBODY}.2/..", ",".join([f"{NOBODY}.2"] * 61)):
        assert page.get("/pictures/sheet", params={"crops": strange}).status_code == 422


def test_a_crop_that_was_split_off_is_still_given_to_a_page_that_does_not_know_of_it(page: TestClient, desk: Desk) -> None:
    desk.act("ann", 1.0, {sign(desk, 0): 0}, Split(item_id=sign(desk, 0), index=2, new_id="c" * 16))
    assert picture(page.get(f"/pictures/crop/{sign(desk, 0)}/4.jpg").content) == (160, 160, 3)
    assert page.get(f"/pictures/crop/{sign(desk, 0)}/7.jpg").status_code == 404


def test_a_class_that_the_demo_draws_has_a_picture(queued: Path) -> None:
    class_id, about = next(iter(CLASSES.items()))
    taxonomy = Taxonomy.model_validate({"name": "t", "object_name": "sign", "classes": ({"id": class_id, "name": about[0], "group": "g"},)})
    desk = Desk(questions.begin(queued, queued / "review", Verified(), [], 0.0, 0), taxonomy)
    with TestClient(serve(desk, queued, str), base_url=f"http://{HOST}") as page:
        page.cookies.set("signloop-8000", TOKEN)
        assert page.get("/api/about").json()["classes"][0]["has_picture"]
        assert picture(page.get(f"/pictures/class/{class_id}.png").content) == (96, 96, 4)
        assert page.get("/pictures/class/9999.png").status_code == 404
    desk.close()


PRIVATE = [
    "/pictures/frame/../../review.json",
    "/pictures/frame/..%2f..%2freview.json/1",
    "/pictures/frame/%2e%2e/1",
    "/pictures/frame/%2fetc%2fpasswd/0",
    f"/pictures/frame/{DRIVE}/..%2f..%2f..%2flog.jsonl",
    f"/pictures/frame/{DRIVE}/-1",
    f"/pictures/frame/{DRIVE}/1",
    f"/pictures/frame/{DRIVE}/99999999999",
    f"/pictures/frame/{DRIVE}/" + "9" * 300,
    f"/pictures/frame/{DRIVE}/2%00",
    f"/pictures/frame/{NOBODY}/2",
    f"/pictures/crop/{NOBODY}/2.jpg",
    "/pictures/crop/{sign}/7.jpg",
    "/pictures/crop/{sign}/1.jpg",
    "/pictures/crop/{sign}/2.jpg?side=10000",
    "/pictures/crop/{frame}/2.jpg",
    f"/pictures/region/{DRIVE}/2.jpg",
    f"/pictures/region/{DRIVE}/2.jpg?x1=9&y1=9&x2=1&y2=1",
    f"/pictures/region/{DRIVE}/2.jpg?x1=0&y1=0&x2=nan&y2=9",
    f"/pictures/region/{NOBODY}/2.jpg?x1=0&y1=0&x2=9&y2=9",
    f"/api/follow/{NOBODY}/2?x1=0&y1=0&x2=9&y2=9",
    f"/api/follow/{DRIVE}/1?x1=0&y1=0&x2=9&y2=9",
    "/pictures/class/3.png",
    "/pictures/class/..%2f3.png",
    "/web/../server.py",
    "/web/..%2fserver.py",
    "/web/%2e%2e/server.py",
    "/web/%00",
    "/web/" + "a" * 300,
    "/web",
    "/log.jsonl",
]


def test_nothing_but_pictures_and_the_page_is_given_out(page: TestClient, desk: Desk) -> None:
    for path in PRIVATE:
        answer = page.get(path.replace("{sign}", sign(desk, 0)).replace("{frame}", frame(desk, 0)))
        assert (answer.status_code in (307, 404, 422), "import" in answer.text) == (True, False), path


def test_hostile_names_are_sent_as_text(queued: Path, do: Do) -> None:
    path = queued / "frames" / "recordings.parquet"
    rows = [{**row, "name": HOSTILE} for row in tables.read(path, "recordings").to_pylist()]
    tables.write(path, "recordings", tables.from_rows("recordings", rows))
    classes = tuple({"id": i, "name": f"{HOSTILE} {i}", "group": HOSTILE} for i in (CIRCLE, SQUARE, 9))
    taxonomy = Taxonomy.model_validate({"name": HOSTILE, "object_name": "shape", "classes": classes})
    desk = Desk(questions.begin(queued, queued / "review", Verified(), [], 0.0, 0), taxonomy)
    with TestClient(serve(desk, queued, str), base_url=f"http://{HOST}", headers=CHANGE) as page:
        page.cookies.set("signloop-8000", TOKEN)
        assert page.post("/api/acts", json=decision(sign(desk, 0)) | {"reviewer": HOSTILE}).status_code == 200
        card = page.get(f"/api/signs/{sign(desk, 0)}")
        about, history = page.get("/api/about"), page.get("/api/history")
    desk.close()
    assert (card.json()["card"]["recording"], card.json()["card"]["answers"][0]["annotator"]) == (HOSTILE, HOSTILE)
    assert (about.json()["taxonomy"], about.json()["classes"][0]["name"]) == (HOSTILE, f"{HOSTILE} 3")
    assert (history.json()[0]["annotator"], history.json()[0]["text"]) == (HOSTILE, f"{HOSTILE} 3")
    for answer in (card, about, history):
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"


def routes(app: FastAPI, desk: Desk) -> list[tuple[str, str]]:
    """Every route with a method that it has, filled with ids that are there."""
    known = {"recording_id": DRIVE, "index": "2", "class_id": "3"}
    found = [("GET", "/"), ("GET", "/web/index.html"), ("GET", "/api/openapi.json")]
    for path, methods in app.openapi()["paths"].items():
        item_id = frame(desk, 2) if "frames" in path else sign(desk, 0)
        found += [(method.upper(), path.format(item_id=item_id, **known)) for method in methods]
    return found


def bodies(desk: Desk) -> dict[str, Any]:
    return {"/api/acts": decision(sign(desk, 0)), "/api/undo": {"seconds": 1}, "/api/publish": {}}


def test_every_route_is_closed_to_strangers(app: FastAPI, stranger: TestClient, desk: Desk, do: Do, published: list[str]) -> None:
    do(desk, Decide(view="single", answers=(Answer(item_id=sign(desk, 1), verdict="nothing"),)))
    found = routes(app, desk)
    assert len(found) > 15
    assert {path for method, path in found if method == "POST"} >= set(bodies(desk))
    right = CHANGE | {"cookie": f"signloop-8000={TOKEN}"}
    wrong: list[tuple[int, dict[str, str]]] = [
        (403, {"cookie": ""}),
        (403, {"cookie": "signloop-8000=wrong"}),
        (421, {"host": "evil.example"}),
        (421, {"host": "localhost:8000"}),  # permitted only if it was named
    ]
    for method, path in found:
        body = {"json": bodies(desk).get(path, {})} if method == "POST" else {}
        only_changes: list[tuple[int, dict[str, str]]] = [
            (403, {"origin": "http://evil.example"}),
            (403, {"origin": "null"}),
            (415, {"content-type": "text/plain"}),
            (413, {"content-length": "2000000"}),
        ]
        for status, headers in [*wrong, *(only_changes if method == "POST" else [])]:
            answer = stranger.request(method, path, headers=right | headers, **body)
            assert (answer.status_code, method, path, headers) == (status, method, path, headers)
            assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert len(desk.entries) == 1
    assert published == []


def test_every_answer_has_the_headers_that_keep_others_out(app: FastAPI, page: TestClient, desk: Desk) -> None:
    for method, path in routes(app, desk):
        answer = page.request(method, path, **({"json": bodies(desk).get(path, {})} if method == "POST" else {}))
        assert answer.status_code < 500
        assert {name: answer.headers[name] for name in HEADERS if name != "Cache-Control"} == {
            name: value for name, value in HEADERS.items() if name != "Cache-Control"
        }
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("method", ["HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_other_methods_are_refused_cleanly(app: FastAPI, page: TestClient, desk: Desk, method: str) -> None:
    for _, path in routes(app, desk):
        answer = page.request(method, path, headers={"content-length": "0"})
        assert answer.status_code in ((200, 405) if method == "HEAD" else (405,))
    assert desk.entries == ()


STRANGE: list[bytes] = [
    b"",
    b"null",
    b"[]",
    b"{",
    b"\xff\xfe",
    b'{"seconds": NaN}',
    b'{"seconds": 1e999, "again": false}',
    b'{"seconds": -Infinity}',
    b'{"\\ud800": 1}',
    b'{"seconds": "\\ud800"}',
    b'{"act": {"act": "\\ud800"}, "seconds": 1}',
    b'{"act": {"act": "undo", "number": 1' + b"0" * 5000 + b'}, "seconds": 1}',
    b'{"seconds": 1, "seconds": "x"}',
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b'{"act": {"act": "sweep", "item_id": "\\u0000", "complete": true}, "seconds": 1}',
]


@pytest.mark.parametrize("path", ["/api/acts", "/api/undo"])
def test_strange_bodies_are_refused_in_words(page: TestClient, desk: Desk, path: str) -> None:
    for content in STRANGE:
        answer = page.post(path, content=content)
        assert answer.status_code in (400, 422), content[:40]
        assert answer.json()["detail"]
    assert desk.entries == ()


def test_what_is_wrong_is_told_without_repeating_it(page: TestClient) -> None:
    answer = page.post("/api/undo", json={"seconds": "<b>secret</b>"})
    assert answer.status_code == 422
    assert answer.json() == {
        "detail": [{"loc": ["body", "seconds"], "msg": "Input should be a valid number", "type": "float_type"}],
    }


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(st.characters(), max_size=20),
    st.sampled_from(["../../etc/passwd", "\ud800", HOSTILE, NOBODY, "decide", 0, -1, 2**63, 1e308, [], {}, [[]], {"": ""}]).map(
        copy.deepcopy
    ),
    st.lists(st.integers(0, 9), max_size=4),
)
ACTS = ("decide", "fix", "split", "merge", "add", "sweep", "undo")


def valid(desk: Desk, act: str) -> dict[str, Any]:
    """A request that would be done."""
    new, known = "c" * 16, sign(desk, 0)
    acts: dict[str, dict[str, Any]] = {
        "decide": {"view": "sheet", "answers": [{"item_id": known, "verdict": "sign", "class_id": CIRCLE, "seen": [0, 1]}]},
        "fix": {"item_id": known, "index": 2, "xyxy": [10, 10, 30, 30.5]},
        "split": {"item_id": known, "index": 2, "new_id": new},
        "merge": {"item_id": known, "other_id": sign(desk, 1)},
        "add": {
            "item_id": new,
            "recording_id": DRIVE,
            "class_id": CIRCLE,
            "boxes": [{"index": 2, "xyxy": [1, 2, 20, 21], "seen": True}],
        },
        "sweep": {"item_id": frame(desk, 2), "complete": True},
        "undo": {"number": max(1, len(desk.entries))},
    }
    based_on = {i: desk.state.version(i) for i in (known, sign(desk, 1), frame(desk, 2))}
    return {"act": {"act": act} | acts[act], "based_on": based_on, "seconds": 1.0}


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) inside a JSON value."""
    found: list[tuple[Any, Any]] = []
    inside = list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    for key, child in inside:
        found += [(value, key), *places(child)]
    return found


def spoil(data: st.DataObject, request: dict[str, Any]) -> bytes:
    """Change a request in one to three places."""
    for _ in range(data.draw(st.integers(1, 3))):
        if not places(request):
            break
        container, key = data.draw(st.sampled_from(places(request)))
        way = data.draw(st.sampled_from(["replace", "replace", "delete", "add"]))
        if way == "delete":
            del container[key]
        elif way == "add" and isinstance(container, dict):
            container[data.draw(st.text(max_size=5))] = data.draw(JUNK)
        else:
            container[key] = data.draw(JUNK)
    return json.dumps(request).encode()


def send(app: FastAPI, desk: Desk, examples: int, headers: dict[str, str], check: Callable[[int, int, str], None]) -> None:
    """Send spoilt requests and tell `check` the status, by how many entries the log grew, and the answer."""
    with TestClient(app, base_url=f"http://{HOST}", raise_server_exceptions=False) as client:

        @settings(max_examples=examples, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
        @given(st.sampled_from(ACTS), st.data())
        def one(act: str, data: st.DataObject) -> None:
            before = len(desk.entries)
            answer = client.post("/api/acts", content=spoil(data, copy.deepcopy(valid(desk, act))), headers=headers)
            check(answer.status_code, len(desk.entries) - before, answer.text)

        one()


@pytest.mark.parametrize("examples", [200, pytest.param(1000, marks=pytest.mark.slow)])
def test_spoilt_requests_neither_break_the_server_nor_its_log(app: FastAPI, desk: Desk, examples: int) -> None:
    seen = set()

    def check(status: int, grown: int, answer: str) -> None:
        seen.add(status)
        assert status in (200, 400, 409, 422), answer
        assert grown == (status == 200)

    send(app, desk, examples, CHANGE | {"cookie": f"signloop-8000={TOKEN}"}, check)
    assert seen >= {200, 422}
    desk.close()
    assert read(desk.questions.folder / "log.jsonl") == list(desk.entries)
    again = Desk(desk.questions.folder, desk.taxonomy)
    again.close()
    assert (again.state.items, again.state.swept) == (desk.state.items, desk.state.swept)


@pytest.mark.parametrize("examples", [60, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "wrong", [{"cookie": ""}, {"host": "evil.example"}, {"origin": "http://evil.example"}], ids=lambda w: next(iter(w))
)
def test_spoilt_requests_of_strangers_change_nothing(app: FastAPI, desk: Desk, wrong: dict[str, str], examples: int) -> None:
    def check(status: int, grown: int, answer: str) -> None:
        assert status in (403, 421)
        assert grown == 0

    send(app, desk, examples, CHANGE | {"cookie": f"signloop-8000={TOKEN}"} | wrong, check)
    assert desk.entries == ()


@pytest.mark.parametrize("examples", [8, pytest.param(60, marks=pytest.mark.slow)])
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.value)
def test_the_server_keeps_to_its_document(app: FastAPI, desk: Desk, mode: GenerationMode, examples: int) -> None:
    """Requests made from the OpenAPI document, right and wrong ones, to every operation in it."""
    right = {"Host": HOST, "Origin": f"http://{HOST}", "Cookie": f"signloop-8000={TOKEN}"}
    schema = schemathesis.openapi.from_asgi("/api/openapi.json", app, headers=right)
    operations: list[Any] = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    assert len(operations) > 15
    sent = []
    for operation in operations:

        @settings(max_examples=examples, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
        @given(operation.as_strategy(generation_mode=mode))
        def one(case: Any) -> None:
            before = len(desk.entries)
            answer = case.call(headers=right)
            sent.append(answer.status_code)
            assert answer.status_code < 500, answer.text
            assert len(desk.entries) - before == (answer.status_code == 200 and case.path in ("/api/acts", "/api/undo"))

        with suppress(Unsatisfiable):  # who takes nothing cannot be asked wrongly
            one()
    assert len(sent) > 100
    if mode is GenerationMode.POSITIVE:
        assert 200 in sent


def test_reading_and_writing_at_once(page: TestClient, desk: Desk) -> None:
    """Pages that are read while somebody decides are never half of one state."""
    problems: list[object] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            for path in ("/api/single?size=50", "/api/sheets", "/api/progress", "/api/quality", "/api/history", "/api/frames?size=50"):
                answer = page.get(path)
                if answer.status_code != 200:
                    problems.append((path, answer.text))

    with ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(look) for _ in range(3)]
        try:
            for number in range(40):
                item_id, version = sign(desk, 0), desk.state.version(sign(desk, 0))
                split = {"act": "split", "item_id": item_id, "index": 2, "new_id": f"{number:016x}"}
                assert page.post("/api/acts", json={"act": split, "based_on": {item_id: version}, "seconds": 1}).status_code == 200
                assert page.post("/api/undo", json={"seconds": 1}).status_code == 200
        finally:
            stop.set()
        for reader in readers:
            reader.result()  # what the server raises comes out here
    assert problems == []
