"""A small project whose review is known by hand, the real server on it, and a real browser.

`DRIVE` has nine frames, of which every second one is stored, and nine predicted signs:
    0000-0004 are called circles; 0001 is a star, 0002 is nothing
    0005-0007 are called by the hostile class name, rightly
    0008 has no class; it is a square
`OTHER` has two frames and two signs called squares. In frame 4 of DRIVE a heart was missed at MISSED.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from playwright.sync_api import Browser, Page, sync_playwright
from tests.browser import person

from signloop.core import tables
from signloop.core.params import Queue
from signloop.core.rounds import Verified
from signloop.review import log, queue, snapshot
from signloop.review.questions import Questions, newest
from signloop.stages import _edge

ROOT = Path(__file__).parents[2]
HOSTILE = '<img src=x onerror="window.hacked=1">'
DRIVE, OTHER, MODEL = "d" * 16, "e" * 16, "mtest"
NAMES = {DRIVE: f"{HOSTILE}.mp4", OTHER: "other drive.mp4"}
CLASSES = ["circle", HOSTILE, "star", "square", "cross", "moon", "heart"]
CIRCLE, EVIL, STAR, SQUARE, CROSS, MOON, HEART = range(7)
WIDTH, HEIGHT = 640, 360
MISSED = (500.0, 250.0, 550.0, 300.0)
PROPOSED: dict[str, list[int | None]] = {DRIVE: [CIRCLE] * 5 + [EVIL] * 3 + [None], OTHER: [SQUARE] * 2}
RIGHT: dict[str, list[int | None]] = {DRIVE: [CIRCLE, STAR, None, CIRCLE, CIRCLE, EVIL, EVIL, EVIL, SQUARE], OTHER: [SQUARE, SQUARE]}
INDICES = {DRIVE: range(9), OTHER: range(2)}
LOADED = """() => {
    const cards = [...document.querySelectorAll(".card:not([hidden])")];
    return cards.length > 0 && cards.every((one) => one.dataset.picture !== "loading");
}"""
Served = Callable[..., person.Server]


def loaded(page: Page) -> None:
    """Wait until a sheet's pictures are there, and the page has heard of it."""
    page.wait_for_function(LOADED)
    page.evaluate("new Promise((go) => setTimeout(go, 20))")


def sign_id(recording_id: str, number: int) -> str:
    return f"{recording_id}/{MODEL}/{number:04d}"


def box(number: int, index: int) -> tuple[float, float, float, float]:
    left, top = 20 + 120 * (number % 5) + 2 * index, 20 + 120 * (number // 5) + index
    return float(left), float(top), float(left + 40), float(top + 40)


def likely(class_id: int | None) -> list[int]:
    """The five classes on the keys: the proposed one first; hearts are never among them."""
    return [*([] if class_id is None else [class_id]), *(c for c in (SQUARE, STAR, CIRCLE, CROSS, MOON, EVIL) if c != class_id)][:5]


def _prelabels(recording_id: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    boxes, signs = [], []
    for number, class_id in enumerate(PROPOSED[recording_id]):
        name, confidence = sign_id(recording_id, number), 0.5 + 0.05 * number
        about = {"sign_id": name, "model_id": MODEL}
        for index in INDICES[recording_id]:
            place: dict[str, Any] = {
                "box_id": f"{name}/{index:06d}",
                "frame_id": f"{recording_id}/{index:06d}",
                "index": index,
                "time_s": index / 10,
            }
            corners: dict[str, Any] = dict(zip(("x1", "y1", "x2", "y2"), box(number, index), strict=True))
            boxes.append({**about, **place, **corners, "score": 0.8, "interpolated": False})
        top = {"top_ids": likely(class_id), "top_confidences": [confidence, *[(1 - confidence) / 4] * 4], "contrary_index": None}
        range_ = {"first_index": INDICES[recording_id][0], "last_index": INDICES[recording_id][-1], "n_boxes": len(INDICES[recording_id])}
        said = {"class_id": class_id, "confidence": confidence, "margin": confidence / 2, "decision": "ask", "reason": "for a test"}
        signs.append({**about, "recording_id": recording_id, **range_, **said, **top})
    return boxes, signs


def _picture(recording_id: str, index: int) -> Any:
    image = np.full((HEIGHT, WIDTH, 3), 110, np.uint8)
    for number in range(len(PROPOSED[recording_id])):
        x1, y1, x2, y2 = (int(v) for v in box(number, index))
        cv2.rectangle(image, (x1, y1), (x2, y2), (40 + 20 * number, 200 - 20 * number, 60), -1)
    if (recording_id, index) == (DRIVE, 4):
        cv2.rectangle(image, tuple(map(int, MISSED[:2])), tuple(map(int, MISSED[2:])), (30, 30, 230), -1)
    return image


def _frames(data: Path) -> list[dict[str, Any]]:
    rows = []
    for recording_id, indices in INDICES.items():
        for index in list(indices)[::2]:
            path = data / "frames" / "images" / recording_id / f"{index:06d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), _picture(recording_id, index))
            place = {"frame_id": f"{recording_id}/{index:06d}", "recording_id": recording_id, "index": index, "time_s": index / 10}
            size = {"width": WIDTH, "height": HEIGHT, "path": f"images/{recording_id}/{path.name}", "sha256": f"{recording_id}{index}"}
            rows.append({**place, **size})
    return rows


def _truth() -> dict[str, Any]:
    images = [{"id": len(INDICES[r]) * k + i, "video_id": k, "frame_index": i} for k, r in enumerate(INDICES) for i in INDICES[r]]
    images = [{**image, "id": n} for n, image in enumerate(images)]
    boxes = []
    for image in images:
        recording_id, index = list(INDICES)[image["video_id"]], image["frame_index"]
        found = [(box(number, index), c) for number, c in enumerate(RIGHT[recording_id]) if c is not None]
        if (recording_id, index) == (DRIVE, 4):
            found.append((MISSED, HEART))
        boxes += [(image["id"], [x1, y1, x2 - x1, y2 - y1], c) for (x1, y1, x2, y2), c in found]
    return {
        "categories": [{"id": i, "name": name} for i, name in enumerate(CLASSES)],
        "videos": [{"id": k, "file_name": NAMES[r]} for k, r in enumerate(INDICES)],
        "images": images,
        "annotations": [{"id": n, "image_id": i, "bbox": bbox, "category_id": c} for n, (i, bbox, c) in enumerate(boxes)],
    }


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A checkout after `dvc repro`, with truth.json."""
    root, data = tmp_path / "project", tmp_path / "project" / "data"
    shutil.copytree(ROOT / "conf", root / "conf")
    shutil.copy(ROOT / "dvc.yaml", root)
    (data / "recordings").mkdir(parents=True)
    classes = [{"id": i, "name": name, "group": "shapes"} for i, name in enumerate(CLASSES)]
    params = {
        **_edge.compose(ROOT / "conf", []),
        "taxonomy": {"name": "shapes", "object_name": "shape", "also": {"heart": "love"}, "classes": classes},
    }
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    for recording_id in INDICES:
        for part, rows in zip(("boxes", "signs"), _prelabels(recording_id), strict=True):
            path = data / "prelabels" / part / f"{recording_id}-{MODEL}-abcdef01.parquet"
            tables.write(path, f"prelabel_{part}", tables.from_rows(f"prelabel_{part}", rows))
    frames = tables.from_rows("frames", _frames(data))
    tables.write(data / "frames" / "frames.parquet", "frames", frames)
    size = {"kind": "video", "fps": 10.0, "width": WIDTH, "height": HEIGHT, "duration_s": 1.0, "rotation": 0}
    recordings = [{"recording_id": r, "name": NAMES[r], "frames": len(INDICES[r]), **size} for r in INDICES]
    tables.write(data / "frames" / "recordings.parquet", "recordings", tables.from_rows("recordings", recordings))
    boxes, signs = snapshot.read_prelabels(data / "prelabels", list(snapshot.finished(data / "prelabels").values()))
    asked = queue.build(signs, boxes, Verified(), Queue(frame_share=1.0), frames)
    tables.write(data / "queue" / "queue.parquet", "queue", asked)
    (root / "truth.json").write_text(json.dumps(_truth()))
    return root


@pytest.fixture
def repeats() -> float:
    """The share of the signs that are asked a second time."""
    return 0.0


@pytest.fixture
def serve(project: Path, repeats: float) -> Iterator[Callable[..., person.Server]]:
    """A function (port=0, *options) that runs `signloop review` on the project, without planted mistakes, until the test ends."""
    fixed = ("--planted", "0", "--repeats", str(repeats))
    with ExitStack() as running:
        yield lambda port=0, *more: running.enter_context(person.served(project, port or person.free_port(), *fixed, *more))


@pytest.fixture
def server(serve: Served) -> person.Server:
    return serve()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as tools:
        running = tools.chromium.launch(executable_path=person.chromium(), args=list(person.QUIET))
        yield running
        running.close()


@pytest.fixture
def troubles() -> list[str]:
    """Errors on the console, exceptions, requests to other hosts: none at the end; a test that means to see some takes them out."""
    return []


@pytest.fixture
def new_tab(browser: Browser, server: person.Server, troubles: list[str]) -> Iterator[Callable[[], Page]]:
    """A function that opens the page in one more tab of the same browser, on its first sheet."""
    context = browser.new_context(viewport={"width": 1366, "height": 768})
    host = server.link.split("?")[0]

    def act() -> Page:
        tab = context.new_page()
        tab.on("console", lambda message: troubles.append(message.text) if message.type in ("error", "warning") else None)
        tab.on("response", lambda answer: troubles.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None)
        tab.on("pageerror", lambda error: troubles.append(str(error)))
        tab.on("request", lambda request: None if request.url.startswith((host, "data:")) else troubles.append(request.url))
        tab.goto(server.link)
        loaded(tab)
        return tab

    yield act
    for tab in context.pages:
        tab.unroute_all(behavior="wait")  # a handler that still fetches would fail once the context is closed
    context.close()
    assert troubles == []


@pytest.fixture
def page(new_tab: Callable[[], Page]) -> Page:
    return new_tab()


@pytest.fixture
def entries(project: Path) -> Callable[..., list[log.Entry]]:
    """A function (at_least=0) that waits until the log of the review has so many entries, and returns all."""

    def act(at_least: int = 0) -> list[log.Entry]:
        path = newest(project / "data" / "review") / "log.jsonl"
        for _ in range(200):
            found = log.read(path)
            if len(found) >= at_least:
                return found
            time.sleep(0.05)
        raise AssertionError(f"{at_least} entries were expected: {found}")

    return act


@pytest.fixture
def item_of(project: Path, server: person.Server) -> Callable[[str], str]:
    """A function (sign_id or frame_id) that returns the id under which it is asked."""
    questions = Questions(newest(project / "data" / "review"))
    items = {question.source_id: question.item_id for question in questions.items.values()}
    return items.__getitem__
