"""A person who answers from truth works through the review page in a real browser, as fast as it lets them, and counts what they press.

As a command it measures the page on a project's own queue:

    python -m tests.browser.person PROJECT TRUTH.json [--port 8765] [--json FILE]

PROJECT is a checkout after `dvc repro`; the recordings that wait must be in the truth, or verified already. It uses the system's
Chromium, decides everything, publishes, compares the round with what it decided, and prints the figures.
"""

import argparse
import json
import re
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np
from playwright.sync_api import Page, sync_playwright
from rich.console import Console
from rich.table import Table

from signloop.core import tables
from signloop.core.boxes import inside_share, iou
from signloop.core.rounds import read_rounds, round_folders
from signloop.review.questions import Questions, newest
from signloop.review.state import Item, Span
from signloop.review.tracks import track

QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
SCREEN = {"width": 1366, "height": 768}
MOST_PRESSES = {"sheet": 0.5, "single": 1.3}  # an item
MOST_WAIT_MS = 100.0  # p95, from a key to the next item painted
VIEWS = ("sheet", "single", "sweep")
KEYS = {"sheet": "Shift+1", "single": "Shift+2", "sweep": "Shift+3", "report": "Shift+4"}
Right = tuple[str, int | None]
Row = Mapping[str, Any]
NOTHING: Right = ("nothing", None)
UNSURE: Right = ("unsure", None)

WATCH = """(() => {
  const loaded = new Map();
  const shown = (selector) => [...document.querySelectorAll(selector)];
  const cards = () => shown(".card:not([hidden])");
  const large = () => document.querySelector(".single .frame image")?.getAttribute("href") ?? null;
  const chosen = () => Object.entries(sessionStorage).find(([key]) => key.endsWith(".single"))?.[1];
  const isMissing = () => shown(".single .frame .missing:not([hidden])").length > 0;
  const isEmpty = () => shown("section > .empty:not([hidden]), section > .work > .empty:not([hidden])").length > 0;
  const words = () => shown("section h1, section .facts").map((one) => one.textContent);
  const what = {
    sheet: () => JSON.stringify([isEmpty(), cards().map((one) => one.dataset.item)]),
    single: () => JSON.stringify([isEmpty(), chosen(), large()]),
    sweep: () => JSON.stringify([isEmpty(), large(), words()]),
  };
  const isPainted = {
    sheet: () => isEmpty() || (cards().length > 0 && cards().every((one) => one.dataset.picture !== "loading")),
    single: (before, since) => isEmpty() || isMissing() || (large() === before ? loaded.has(before) : loaded.get(large()) >= since),
  };
  isPainted.sweep = isPainted.single;
  for (const settled of ["load", "error"]) {
    document.addEventListener(settled, ({ target }) => {
      const url = target.getAttribute?.("href") ?? target.getAttribute?.("src");
      if (!url) return;
      loaded.delete(url);
      loaded.set(url, performance.now());
      if (loaded.size > 1000) loaded.delete(loaded.keys().next().value);
    }, true);
  }
  const until = (isDone, then) => {
    const look = () => (isDone() ? setTimeout(then) : requestAnimationFrame(look));
    requestAnimationFrame(look);
  };
  window.person = {
    first: new Promise((done) => until(() => isPainted.sheet(), () => done(performance.now()))),
    arm(view) {
      const [before, picture] = [what[view](), large()];
      window.person.painted = new Promise((done, fail) => addEventListener("keydown", ({ timeStamp: since }) => {
        until(() => what[view]() !== before && isPainted[view](picture, since), () => done(performance.now() - since));
        setTimeout(() => fail(new Error(`nothing new was painted in ${view}: ${words()}`)), 30000);
      }, { capture: true, once: true }));
    },
    isEmpty,
    ready: (view) => isPainted[view](large(), 0),
    stored: () => Object.entries(sessionStorage).every(([key, value]) => !key.endsWith(".queue") || value === "[]"),
  };
})();"""


class Truth:
    """What is really there: frames of recordings by name and index, from a truth file and from rounds that are verified already.

    Args:
        path: COCO with videos.
        verified: data/verified.
        class_of_name: the project's classes.
    """

    def __init__(self, path: Path, verified: Path, class_of_name: Mapping[str, int]) -> None:
        value = json.loads(path.read_text(encoding="utf-8"))
        videos = {video["id"]: video["file_name"] for video in value["videos"]}
        place = {image["id"]: (videos[image["video_id"]], image["frame_index"]) for image in value["images"]}
        names = {c["id"]: class_of_name.get(c["name"]) for c in value["categories"]}
        self._boxes: dict[tuple[str, int], list[tuple[list[float], int | None]]] = defaultdict(list)
        for a in value["annotations"]:
            x, y, w, h = a["bbox"]
            class_id = None if a.get("iscrowd") else names[a["category_id"]]
            self._boxes[place[a["image_id"]]].append(([x, y, x + w, y + h], class_id))
        self._known = set(place.values())
        self._verified: dict[tuple[str, int], list[tuple[list[float], int | None]]] = defaultdict(list)
        for row in read_rounds(verified).boxes.to_pylist():
            recording_id, index = row["frame_id"].split("/")
            if row["verdict"] != "rejected":
                self._verified[recording_id, int(index)].append(([row[c] for c in ("x1", "y1", "x2", "y2")], row["class_id"]))

    def of_box(self, card: Row, index: int, xyxy: Sequence[float]) -> Right:
        """Return what a box shows: a sign of a class, nothing, or what nobody can tell (an ignore region)."""
        key = (card["recording"], index)
        boxes = self._boxes[key] if key in self._known else self._verified[card["recording_id"], index]
        real = [(box, class_id) for box, class_id in boxes if class_id is not None]
        if real:
            overlaps = iou([xyxy], [box for box, _ in real])[0]
            if overlaps.max() >= 0.5:
                return "sign", real[int(np.argmax(overlaps))][1]
        ignored = [box for box, class_id in boxes if class_id is None]
        return UNSURE if ignored and inside_share([xyxy], ignored).max() >= 0.5 else NOTHING

    def of_sign(self, detail: Row) -> Right:
        """Return what a sign is: what most of its boxes show, real ones before nothing."""
        votes = Counter(self.of_box(detail["card"], box["index"], box["xyxy"]) for box in detail["boxes"])
        real = Counter({right: n for right, n in votes.items() if right[0] == "sign"})
        return (real or votes).most_common(1)[0][0]

    def missing(self, frame: Row) -> list[tuple[list[float], int]]:
        """Return the real boxes of a frame that no known sign covers."""
        known = [sign["xyxy"] for sign in frame["signs"]]
        real = [(box, c) for box, c in self._boxes[frame["recording"], frame["index"]] if c is not None]
        return [(box, c) for box, c in real if not known or iou([box], known).max() < 0.5]


@dataclass
class Count:
    """What the person did.

    Attributes:
        items: answered, by view; on sheets each card counts.
        presses: keys, clicks and drags, by view.
        waits_ms: from a key to the next item painted, by view.
        said: sign -> the last answer; what was put aside is not in it.
        added: class and boxes by frame_id of each sign that was drawn.
        swept: frames, as recording_id/index, that were called complete.
        first_ms: from the opening of the page to the first sheet.
    """

    items: Counter[str] = field(default_factory=Counter)
    presses: Counter[str] = field(default_factory=Counter)
    waits_ms: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    said: dict[str, Right] = field(default_factory=dict)
    added: list[tuple[int, dict[str, Sequence[float]]]] = field(default_factory=list)
    swept: set[str] = field(default_factory=set)
    first_ms: float = 0.0


@dataclass(frozen=True)
class Server:
    """A running `signloop review`: its link, and the process."""

    link: str
    process: "subprocess.Popen[str]"


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(project: Path, port: int, *options: str) -> Iterator[Server]:
    """Run `signloop review` in a project until the end of the block."""
    code = "from signloop.cli import main; main()"
    command = [sys.executable, "-c", code, "review", "--no-browser", "--name", "person", "--port", str(port), *options]
    with subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            link = next((line.strip() for line in process.stdout if line.startswith("http")), None)
            assert link is not None, "the server did not start"
            _wait_for(port)
            yield Server(link, process)
        finally:
            process.terminate()


def _wait_for(port: int) -> None:
    for _ in range(400):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("the server does not listen")


def chromium() -> str:
    """Return the system's Chromium."""
    found = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
    assert found is not None, "no Chromium is installed"
    return found


@contextmanager
def browser_page(link: str) -> Iterator[Page]:
    """Open the page in a new browser."""
    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=chromium(), args=list(QUIET))
        page = browser.new_context(viewport=SCREEN).new_page()  # type: ignore[arg-type]
        page.add_init_script(WATCH)
        page.goto(link)
        yield page
        browser.close()


def _misfit(name: str, words: Sequence[str]) -> int:
    """Rank a class as the page's search does: what was typed is its name, begins it, begins words of it, is in it, or in its group."""
    if name == " ".join(words):
        return 0
    if name.startswith(" ".join(words)):
        return 1
    parts = re.split(r"[\W_]+", name)
    if all(any(part.startswith(word) for part in parts) for word in words):
        return 2
    return 3 if all(word in name for word in words) else 4


def search_keys(name: str, classes: Sequence[Row]) -> list[str]:
    """Return the fewest keys that bring a class to the top of the search, or down to it: a word's beginning with what follows, arrows.

    Args:
        name: of the class.
        classes: all, in the order of the search's list.
    """
    ways = []
    for start in (match.start() for match in re.finditer(r"\S+", name)):
        for end in range(start + 1, len(name) + 1):
            words = name[start:end].lower().split()
            fits = [c for c in classes if all(word in c["name"].lower() or word in c["group"].lower() for word in words)]
            found = [c["name"] for c in sorted(fits, key=lambda c: _misfit(c["name"].lower(), words))]
            typed = ["Space" if letter == " " else letter for letter in name[start:end].lower()]
            ways.append(typed + ["ArrowDown"] * found.index(name))
    return min(ways, key=len)


class Hands:
    """Presses keys on the page, and measures until the next item is painted.

    Args:
        page: opened, with `WATCH` in it.

    Attributes:
        count: what was done.
    """

    def __init__(self, page: Page) -> None:
        self.page, self.count = page, Count()
        page.wait_for_selector("section")
        self._base = page.evaluate("location.origin")

    def get(self, path: str) -> Any:
        """Read what the page reads."""
        answer = self.page.request.get(self._base + path)
        assert answer.ok, answer.text()
        return answer.json()

    def _press(self, view: str, key: str) -> None:
        self.page.keyboard.press(key)
        self.count.presses[view] += 1

    def _timed(self, view: str, key: str) -> None:
        """Press a key that decides, and wait until the next item is painted."""
        self.page.evaluate("(view) => window.person.arm(view)", view)
        self._press(view, key)
        self.count.waits_ms[view].append(self.page.evaluate("window.person.painted"))

    def _is_at(self, view: str) -> None:
        """Wait until a view is open."""
        self.page.wait_for_selector(f"nav a[href='#{view}'][aria-current=page]")

    def _is_done(self, view: str) -> bool:
        """Wait until something is painted; tells whether nothing waits in the view."""
        self.page.wait_for_function("(view) => window.person.ready(view)", arg=view)
        return bool(self.page.evaluate("window.person.isEmpty()"))


class Person(Hands):
    """Works through the page.

    Args:
        page: opened, with `WATCH` in it.
        truth: what they see in the pictures.
    """

    def __init__(self, page: Page, truth: Truth) -> None:
        super().__init__(page)
        self.truth = truth
        self._classes = self.get("/api/about")["classes"]
        self._name_of = {c["id"]: c["name"] for c in self._classes}

    def work(self) -> str:
        """Do the whole review, and publish it; returns what the page says of it."""
        self.count.first_ms = self.page.evaluate("window.person.first")
        self.sheets()
        self.singles()
        self.sweeps()
        return self.publish()

    def sheets(self) -> None:
        """Answer all sheets: mark what is odd or nothing, accept the rest."""
        while not self._is_done("sheet"):
            cards = self.page.evaluate("[...document.querySelectorAll('.card:not([hidden])')].map((one) => ({ ...one.dataset }))")
            items = [card["item"] if card["picture"] == "shown" else None for card in cards]  # the page puts aside what has no picture
            details = {item_id: self.get(f"/api/signs/{item_id}") for item_id in items if item_id}
            rights = {item_id: self.truth.of_sign(detail) for item_id, detail in details.items()}
            proposed = {item_id: detail["card"]["class_id"] for item_id, detail in details.items()}
            marks = [None if i is None else _mark(rights[i], proposed[i]) for i in items]
            self._mark(marks, is_named=any(c is not None for c in proposed.values()))
            for item_id, mark in zip(items, marks, strict=True):
                if item_id is not None and mark != "odd":
                    self.count.said[item_id] = rights[item_id]
            self._timed("sheet", "Enter")
            self.count.items["sheet"] += len(items)

    def _mark(self, marks: Sequence[str | None], *, is_named: bool) -> None:
        """Mark the cards with the fewest presses; on a sheet without a class what is not marked is put aside anyhow."""
        wanted = {mark: [k for k, one in enumerate(marks) if one == mark] for mark in ("odd", "nothing", "")}
        is_rest_nothing = not wanted[""] and (is_named or len(wanted["odd"]) + 1 < len(wanted["nothing"])) and len(wanted["nothing"]) > 1
        for k in wanted["odd"] if is_named or is_rest_nothing else []:
            self._click(k, "left")
        if is_rest_nothing:
            self._press("sheet", "Shift+X")
        for k in [] if is_rest_nothing else wanted["nothing"]:
            self._click(k, "right")
        found = self.page.evaluate("[...document.querySelectorAll('.card:not([hidden])')].map((one) => one.dataset.mark)")
        same = [mark or ("odd" if one == "odd" and not is_named else mark) for one, mark in zip(marks, found, strict=True)]
        assert all(one is None or one == mark for one, mark in zip(marks, same, strict=True)), (marks, found)

    def _click(self, k: int, side: Any) -> None:
        where = "(k) => { const a = document.querySelectorAll('.card:not([hidden])')[k].getBoundingClientRect(); "
        x, y = self.page.evaluate(where + "return [a.x + a.width / 2, a.y + a.height / 2]; }", k)
        self.page.mouse.click(x, y, button=side)
        self.count.presses["sheet"] += 1

    def singles(self) -> None:
        """Answer what was put aside, one by one, and what is asked again only then."""
        for _ in range(3):
            with self.page.expect_response("**/api/single*"):
                self._press("single", KEYS["single"])
            self._is_at("single")
            self.page.evaluate("new Promise((go) => setTimeout(go, 50))")  # what was asked for is shown, or that there is nothing
            self._answer_singles()
            self.page.wait_for_function("() => window.person.stored()")
            if not self.get("/api/progress")["signs_open"]:
                break

    def _answer_singles(self) -> None:
        while not self._is_done("single"):
            key = "Object.entries(sessionStorage).find(([key]) => key.endsWith('.single'))[1]"
            item_id = json.loads(self.page.evaluate(key))
            detail = self.get(f"/api/signs/{item_id}")
            right = self.truth.of_sign(detail)
            likely = [one["class_id"] for one in detail["classes"]]
            if right == ("sign", detail["card"]["class_id"]):
                self._timed("single", "Enter")
            elif right[0] == "sign":
                assert right[1] is not None
                self._name("single", right[1], likely)
            else:
                self._timed("single", "x" if right == NOTHING else "u")
            self.count.said[item_id] = right
            self.count.items["single"] += 1

    def sweeps(self) -> None:
        """Search the frames for what the models missed."""
        self._press("sweep", KEYS["sweep"])
        self._is_at("sweep")
        while not self._is_done("sweep"):
            picture = self.page.evaluate("document.querySelector('.frame image').getAttribute('href')")
            recording_id, index = picture.split("/")[3:5]
            frames = self.get("/api/frames?size=50")
            frame = next(f for f in frames if (f["recording_id"], f["index"]) == (recording_id, int(index)))
            for xyxy, class_id in self.truth.missing(frame):
                self._draw(xyxy)
                names = self.page.locator(".proposals .name").all_inner_texts()
                likely = [next((i for i, known in self._name_of.items() if known == name), None) for name in names]
                self._name("sweep", class_id, likely, is_timed=False)
                self.count.added.append((class_id, {f"{recording_id}/{int(index):06d}": xyxy, **self._confirm(frame, class_id)}))
            self._timed("sweep", "Enter")
            self.count.swept.add(f"{recording_id}/{int(index):06d}")
            self.count.items["sweep"] += 1

    def _draw(self, xyxy: Sequence[float]) -> None:
        to_screen = """([x1, y1, x2, y2]) => {
            const place = document.querySelector(".frame svg").getScreenCTM();
            return [[x1, y1], [x2, y2]].map(([x, y]) => { const p = new DOMPoint(x, y).matrixTransform(place); return [p.x, p.y]; });
        }"""
        start, end = self.page.evaluate(to_screen, list(xyxy))
        self.page.mouse.move(*start)
        self.page.mouse.down()
        self.page.mouse.move(*end, steps=2)
        self.page.mouse.up()
        self.count.presses["sweep"] += 1
        self.page.wait_for_selector(".right > button.main:disabled")

    def _name(self, view: str, class_id: int, likely: Sequence[int | None], *, is_timed: bool = True) -> None:
        """Name what is shown: by digit if the class is among the likely ones, otherwise by search."""
        last = str(likely.index(class_id) + 1) if class_id in likely else "Enter"
        if last == "Enter":
            self._press(view, "/")
            for key in search_keys(self._name_of[class_id], self._classes):
                self._press(view, key)
            found = self.page.locator("#classes [aria-selected=true]:visible").inner_text()
            assert found == self._name_of[class_id], (found, self._name_of[class_id])
        if is_timed:
            self._timed(view, last)
        else:
            self._press(view, last)

    def _confirm(self, frame: Row, class_id: int) -> dict[str, Sequence[float]]:
        """Take the boxes that the page found in the frames around, as far as they are right; returns them by frame_id."""
        self.page.wait_for_function(
            """() => {
                const panel = document.querySelector("dialog.follow");
                if (!panel?.open) return document.querySelector(".right > button.main:enabled") !== null;
                const images = [...panel.querySelectorAll(".strip img")];
                return images.length > 0 && images.every((one) => one.complete);
            }"""
        )
        places = self.page.locator("dialog.follow[open] .strip button")
        if not places.count():
            return {}
        urls = places.locator("img").evaluate_all("(all) => all.map((one) => one.getAttribute('src'))")
        boxes = [[float(dict(parse_qsl(urlsplit(url).query))[c]) for c in ("x1", "y1", "x2", "y2")] for url in urls]
        indices = [int(Path(urlsplit(url).path).stem) for url in urls]
        own = indices.index(frame["index"])
        right = [self.truth.of_box(frame, i, box) == ("sign", class_id) for i, box in zip(indices, boxes, strict=True)]
        first = next((k + 1 for k in range(own - 1, -1, -1) if not right[k]), 0)
        last = next((k - 1 for k in range(own + 1, len(right)) if not right[k]), len(right) - 1)
        if first == last == own:
            self._press("sweep", "o")
        else:
            for k in [k for k in (first - 1, last + 1) if 0 <= k < len(right)]:
                places.nth(k).click()
                self.count.presses["sweep"] += 1
            self._press("sweep", "Enter")
        self.page.wait_for_selector(".right > button.main:enabled")
        kept = [k for k in range(first, last + 1) if k != own]
        return {f"{frame['recording_id']}/{indices[k]:06d}": boxes[k] for k in kept}

    def publish(self) -> str:
        """Publish, and return the report."""
        self.page.keyboard.press(KEYS["report"])
        self.page.wait_for_selector("section.report tbody tr")
        self.page.keyboard.press("p")
        self.page.wait_for_function("() => document.querySelector('.published').textContent.includes('round_')")
        return self.page.locator(".published").inner_text()


def _mark(right: Right, proposed: int | None) -> str:
    return "nothing" if right == NOTHING else "" if right == ("sign", proposed) else "odd"


def differences(project: Path, count: Count) -> list[str]:
    """Compare the newest round of a project with what the person decided, sign by sign, and return what is not the same, in words."""
    data = project / "data"
    questions = Questions(newest(data / "review"))
    folder = round_folders(data / "verified")[max(round_folders(data / "verified"))]
    published: dict[str, set[Right]] = defaultdict(set)
    drawn: dict[str, list[Row]] = defaultdict(list)
    decided = {q.source_id: count.said.get(q.item_id) for q in questions.items.values() if q.kind == "sign"}
    guessed = {box_id for q in questions.items.values() if q.kind == "sign" for box_id in _guessed(questions, q.item_id)}
    for row in tables.read(folder / "boxes.parquet", "verified_boxes").to_pylist():
        if row["verdict"] == "added":
            drawn[row["sign_id"]].append(row)
        elif row["box_id"] in guessed and not row["seen"] and decided.get(row["sign_id"], NOTHING) != NOTHING:
            if row["verdict"] != "unsure":
                published[row["sign_id"]].add(("taken for seen", None))
        else:
            verdict = {"rejected": "nothing", "unsure": "unsure"}.get(row["verdict"], "sign")
            published[row["sign_id"]].add((verdict, row["class_id"] if verdict == "sign" else None))
    wrong = [
        f"{sign_id}: {decided.get(sign_id)} became {rights}" for sign_id, rights in published.items() if rights != {decided.get(sign_id)}
    ]
    wrong += [f"{sign_id}: {right} is not in the round" for sign_id, right in decided.items() if right and sign_id not in published]
    wrong += [f"{sign_id} was never answered" for sign_id, right in decided.items() if right is None]
    for class_id, boxes in count.added:
        if not any(_is_same(class_id, boxes, rows) for rows in drawn.values()):
            wrong.append(f"the sign drawn in {', '.join(boxes)} is not in the round")
    if len(drawn) != len(count.added):
        wrong.append(f"{len(count.added)} signs were drawn, {len(drawn)} are in the round")
    complete = {f["frame_id"] for f in tables.read(folder / "frames.parquet", "verified_frames").to_pylist() if f["complete"]}
    return wrong + [f"frame {frame_id} is complete on one side only" for frame_id in sorted(complete ^ count.swept)]


def _guessed(questions: Questions, item_id: str) -> list[str]:
    """Return the boxes of a sign of which nothing is said as long as nobody sees them."""
    boxes = track(questions, Item(item_id, (Span(item_id),)))
    return [box_id for box_id, is_guessed in zip(boxes.box_ids, boxes.guessed, strict=True) if is_guessed]


def _is_same(class_id: int, boxes: Mapping[str, Sequence[float]], rows: Sequence[Row]) -> bool:
    published = {row["frame_id"]: [row[c] for c in ("x1", "y1", "x2", "y2")] for row in rows if row["class_id"] == class_id}
    return published.keys() == boxes.keys() and all(iou([boxes[f]], [published[f]])[0, 0] > 0.7 for f in boxes)


def figures(count: Count, wrong: Sequence[str]) -> dict[str, Any]:
    """Return what was measured, and whether the bars hold."""
    waits = [ms for view in VIEWS for ms in count.waits_ms[view]]
    value: dict[str, Any] = {"first_sheet_ms": count.first_ms, "decisions": len(waits), "differences": list(wrong)}
    for view in VIEWS:
        own, items = count.waits_ms[view], count.items[view]
        p50, p95 = (None, None) if not own else (float(np.percentile(own, 50)), float(np.percentile(own, 95)))
        each = count.presses[view] / items if items else None
        value[view] = {"items": items, "presses": count.presses[view], "presses_per_item": each, "p50_ms": p50, "p95_ms": p95}
    value["p50_ms"], value["p95_ms"] = (float(np.percentile(waits, q)) for q in (50, 95))
    presses = {view: value[view]["presses_per_item"] for view in MOST_PRESSES}
    value["holds"] = {
        **{f"presses_{view}": each is None or each <= MOST_PRESSES[view] for view, each in presses.items()},
        "p95": value["p95_ms"] < MOST_WAIT_MS,
        "round": not wrong,
    }
    return value


def _number(value: float | None, unit: str = "") -> str:
    return "-" if value is None else f"{value:.3g}{unit}"


def _show(value: Mapping[str, Any]) -> None:
    out = Console(soft_wrap=True, highlight=False)
    table = Table("view", "items", "presses", "an item", "bar", "key to next item: p50", "p95")
    for view in VIEWS:
        one = value[view]
        cells = (
            _number(one["presses_per_item"]),
            _number(MOST_PRESSES.get(view)),
            _number(one["p50_ms"], " ms"),
            _number(one["p95_ms"], " ms"),
        )
        table.add_row(view, str(one["items"]), str(one["presses"]), *cells)
    table.add_row("all", str(value["decisions"]), "", "", "", _number(value["p50_ms"], " ms"), _number(value["p95_ms"], " ms"))
    out.print(table)
    out.print(f"first sheet after {value['first_sheet_ms']:.0f} ms, in a browser just started; p95 must be under {MOST_WAIT_MS:.0f} ms")
    out.print(f"the round is {'what was decided' if not value['differences'] else 'NOT what was decided'}", markup=False)
    for words in value["differences"][:20]:
        out.print(f"  {words}", markup=False)
    out.print(
        "all bars hold" if all(value["holds"].values()) else f"missed: {[k for k, v in value['holds'].items() if not v]}", markup=False
    )


def main(words: Sequence[str] | None = None) -> int:
    """Run the command; returns 0 if all bars hold."""
    parser = argparse.ArgumentParser(description="Work through a project's review from truth, in a real browser, and count.")
    parser.add_argument("project", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--port", type=int, default=0, help="0: any that is free")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    given = parser.parse_args(words)
    with served(given.project, given.port or free_port()) as server, browser_page(server.link) as page:
        page.wait_for_selector("section")
        classes = page.request.get(page.evaluate("location.origin") + "/api/about").json()["classes"]
        truth = Truth(given.truth, given.project / "data" / "verified", {c["name"]: c["id"] for c in classes})
        person = Person(page, truth)
        report = person.work()
    value = {"report": report, **figures(person.count, differences(given.project, person.count))}
    if given.json:
        given.json.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    _show(value)
    return 0 if all(value["holds"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
