"""Measures the review page at the size it is meant for, in a real browser: a long queue of signs on frames as a camera gives them.

    python -m tests.browser.scale [--signs 5000] [--decisions 2000] [--most 100000] [--json FILE]

It makes both projects in a temporary folder, runs `signloop review` on them, prints the figures beside what they must be, and fails if
one of them is missed. What runs beside it makes it slower: the load is printed too.
"""

import argparse
import json
import math
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import httpx2
import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Page, Playwright, sync_playwright
from rich.console import Console
from rich.table import Table
from tests.browser.person import KEYS, MOST_WAIT_MS, QUIET, SCREEN, WATCH, Hands, Server, chromium, free_port, served

from signloop.core import tables
from signloop.core.params import load
from signloop.core.rounds import Verified, publish_round
from signloop.demo.plan import plan_test
from signloop.demo.render import frames
from signloop.demo.signs import draw_sign
from signloop.review import queue

ROOT = Path(__file__).parents[2]
WIDTH, HEIGHT, FPS = 1280, 720, 5.0
SIGNS, FRAMES, BOXES = 50, 22, 10  # signs and frames of a recording, boxes of a sign
DRAWN = 40  # recordings with pictures of their own
GRAIN = 4.0  # grey levels, of the camera
UNNAMED = 0.03  # share of the signs that the models cannot name
DOUBTFUL = 0.3  # share of those of which a second picture is shown
VERIFIED = 0.05  # as many signs as this share of those that wait were verified before
KEPT = ("box_id", "frame_id", "sign_id", "x1", "y1", "x2", "y2", "model_id")
SAID: dict[str, Any] = {"round": -1, "annotator": "ann", "verdict": "accepted", "seen": True, "seconds": None, "verified_at": 0}

STARTS = 5  # of the server and of the browser
MOST_START_S, MOST_FIRST_S, MOST_GROWTH = 3.0, 1.0, 0.05
PRESSES = 300  # at least, in each view
PAUSE_S = 0.5  # before a sheet is answered: nobody looks at 32 crops in less
WARM = 700  # decisions until what may be kept is full: the page's last 600 answers, the browser's pictures, its log for who drives it
SAMPLED = 100  # decisions between two looks at the memory
Image = NDArray[np.uint8]
Laid = tuple[int, int, NDArray[np.float64]]  # class, first frame, a box in each of the frames from there on


def lay(rng: np.random.Generator, classes: Sequence[int]) -> list[Laid]:
    """Lay out the signs of a recording: each comes nearer over its frames."""
    laid = []
    for class_id in rng.choice(classes, SIGNS).tolist():
        sides = (rng.uniform(16, 40) * np.linspace(1, rng.uniform(1.2, 2.4), BOXES)).round()
        x = (rng.uniform(100, WIDTH - 200) + rng.uniform(-8, 8) * np.arange(BOXES)).round()
        y = (rng.uniform(60, HEIGHT - 160) + rng.uniform(-4, 4) * np.arange(BOXES)).round()
        laid.append((class_id, int(rng.integers(FRAMES - BOXES + 1)), np.column_stack([x, y, x + sides, y + sides])))
    return laid


def draw(folder: Path, world: Iterator[Any], laid: Sequence[Laid], quality: int, rng: np.random.Generator) -> None:
    """Draw the frames of a recording: a world of the demo in the size of a camera, with its grain and all those signs."""
    folder.mkdir(parents=True)
    grain = rng.normal(0, GRAIN, (HEIGHT, WIDTH, 3)).astype(np.float32)
    for drawn in islice(world, FRAMES):
        image = cv2.resize(drawn.image, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC).astype(np.float32)
        for class_id, first, boxes in laid:
            if first <= drawn.index < first + BOXES:
                x1, y1, x2, y2 = boxes[drawn.index - first].astype(int)
                face = draw_sign(class_id, int(x2 - x1)).astype(np.float32)
                image[y1:y2, x1:x2] += (face[..., :3] - image[y1:y2, x1:x2]) * face[..., 3:] / 255
        noisy = np.clip(image + np.roll(grain, 97 * drawn.index), 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{drawn.index:06d}.jpg"), noisy[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])


def _predicted(recording_id: str, laid: Sequence[Laid], classes: Sequence[int], rng: np.random.Generator) -> dict[str, list[Any]]:
    signs, boxes = [], []
    for number, (class_id, first, corners) in enumerate(laid):
        sign_id, sure = f"{recording_id}/m1/{number:04d}", float(rng.uniform(0.2, 1))
        about = {"sign_id": sign_id, "model_id": "m1"}
        top = {"top_ids": [class_id, *rng.choice(classes, 4).tolist()], "top_confidences": [sure, *[(1 - sure) / 4] * 4]}
        said = {"class_id": None if rng.random() < UNNAMED else class_id, "confidence": sure, "margin": sure / 2, "decision": "ask"}
        range_ = {"first_index": first, "last_index": first + BOXES - 1, "n_boxes": BOXES}
        two = {"contrary_index": first if rng.random() < DOUBTFUL else None}
        signs.append({**about, "recording_id": recording_id, **range_, **said, **top, **two, "reason": ""})
        for index, xyxy in enumerate(corners.tolist(), start=first):
            place = {"frame_id": f"{recording_id}/{index:06d}", "index": index, "time_s": index / FPS, "score": 0.8, "interpolated": False}
            boxes.append({**about, "box_id": f"{sign_id}/{index:06d}", **place, **dict(zip(("x1", "y1", "x2", "y2"), xyxy, strict=True))})
    return {"signs": signs, "boxes": boxes}


def make(root: Path, signs: int, drawn: int) -> None:
    """Make a checkout after `dvc repro`, with a first verified round from which mistakes can be planted.

    Args:
        root: a new folder.
        signs: that wait.
        drawn: recordings with pictures of their own; the others show the same ones again.
    """
    shutil.copytree(ROOT / "conf", root / "conf")
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, root)
    settings, data, rng = load(root / "params.yaml"), root / "data", np.random.default_rng(0)
    (data / "recordings").mkdir(parents=True)
    classes, waiting = [c.id for c in settings.taxonomy.classes], -(-signs // SIGNS)
    laid = [lay(rng, classes) for _ in range(min(drawn, waiting))]
    for number, (one, planned) in enumerate(zip(laid, plan_test(0), strict=False)):
        draw(data / "frames" / "images" / f"{number:04d}", frames(planned.world()), one, settings.extract.jpeg_quality, rng)
    recording_ids = [f"{number:016x}" for number in range(waiting + math.ceil(VERIFIED * waiting))]
    stored, asked, verified = [], [], []
    for number, recording_id in enumerate(recording_ids):
        pictures = [f"images/{number % len(laid):04d}/{index:06d}.jpg" for index in range(FRAMES)]
        stored += [_frame(recording_id, index, path) for index, path in enumerate(pictures)]
        predicted = _predicted(recording_id, laid[number % len(laid)], classes, rng)
        if number < waiting:
            asked += predicted["signs"]
            for part, rows in predicted.items():
                path = data / "prelabels" / part / f"{recording_id}-m1-abcdef01.parquet"
                tables.write(path, f"prelabel_{part}", tables.from_rows(f"prelabel_{part}", rows))
        else:
            class_of = {f"{recording_id}/m1/{k:04d}": class_id for k, (class_id, *_) in enumerate(laid[number % len(laid)])}
            verified += [{**{c: box[c] for c in KEPT}, **SAID, "class_id": class_of[box["sign_id"]]} for box in predicted["boxes"]]
    film = {"kind": "video", "fps": FPS, "frames": FRAMES, "width": WIDTH, "height": HEIGHT, "duration_s": FRAMES / FPS, "rotation": 0}
    recordings = [{"recording_id": recording_id, "name": f"drive {n}.mp4", **film} for n, recording_id in enumerate(recording_ids)]
    tables.write(data / "frames" / "recordings.parquet", "recordings", tables.from_rows("recordings", recordings))
    shown, signs_asked = tables.from_rows("frames", stored), tables.from_rows("prelabel_signs", asked)
    tables.write(data / "frames" / "frames.parquet", "frames", shown)
    publish_round(
        data / "verified",
        label="first",
        boxes=tables.from_rows("verified_boxes", verified),
        frames=tables.empty("verified_frames"),
        units=dict.fromkeys(recording_ids[waiting:], "video"),
        val_share=settings.data.val_share,
        test_share=settings.data.test_share,
        meta={},
    )
    rows = queue.build(signs_asked, tables.empty("prelabel_boxes"), Verified(), settings.queue, shown)
    tables.write(data / "queue" / "queue.parquet", "queue", rows)


def _frame(recording_id: str, index: int, path: str) -> dict[str, Any]:
    place = {"frame_id": f"{recording_id}/{index:06d}", "recording_id": recording_id, "index": index, "time_s": index / FPS}
    return {**place, "width": WIDTH, "height": HEIGHT, "path": path, "sha256": f"{recording_id}{index}"}


@contextmanager
def started(project: Path, *, anew: bool) -> Iterator[tuple[Server, float]]:
    """Start the server, with a review that begins or goes on; gives it and the seconds until its first answer."""
    if anew:
        shutil.rmtree(project / "data" / "review", ignore_errors=True)
    before = time.perf_counter()
    with served(project, free_port()) as server:
        assert httpx2.get(server.link).status_code == 303
        yield server, time.perf_counter() - before


@contextmanager
def opened(tools: Playwright, project: Path) -> Iterator[tuple["Hurry", float]]:
    """Open a new review in a browser that knows nothing; gives who works there, and the seconds that the server took to start."""
    browser = tools.chromium.launch(executable_path=chromium(), args=list(QUIET))
    page = browser.new_context(viewport=SCREEN).new_page()  # type: ignore[arg-type]
    page.add_init_script(WATCH)
    with started(project, anew=True) as (server, seconds):
        page.goto(server.link)
        yield Hurry(page, server), seconds
        browser.close()


class Hurry(Hands):
    """Answers whatever is shown, and looks at the memory meanwhile.

    Args:
        page: opened, with `WATCH` in it.
        server: of the page.

    Attributes:
        memory: what was in use, after so many `decisions`: MB of the page's process, of its JavaScript and of the server; nodes, listeners.
    """

    def __init__(self, page: Page, server: Server) -> None:
        super().__init__(page)
        self.memory: list[dict[str, float]] = []
        self._server = server
        self._session = page.context.new_cdp_session(page)
        self._session.send("Performance.enable")
        browser = page.context.browser
        assert browser is not None
        self._whole = browser.new_browser_cdp_session()

    def work(self, view: str, presses: int, pause_s: float = 0.0, *, sampled: bool = False) -> list[float]:
        """Answer what is shown until so many keys were pressed, or nothing waits; returns the ms from each key to the next item painted."""
        before = len(self.count.waits_ms[view])
        self._press(view, KEYS[view])
        self._is_at(view)
        for number in range(presses):
            if self._is_done(view):
                break
            if sampled and number % SAMPLED == 0:
                self._sample(number)
            time.sleep(pause_s)
            self._timed(view, "Enter" if view == "sheet" else "x")
        return self.count.waits_ms[view][before:]

    def _sample(self, decisions: int) -> None:
        self.page.wait_for_function("() => window.person.stored()")
        self._session.send("HeapProfiler.collectGarbage")
        found = {one["name"]: one["value"] for one in self._session.send("Performance.getMetrics")["metrics"]}
        processes = self._whole.send("SystemInfo.getProcessInfo")["processInfo"]
        page_mb = sum(resident_mb(one["id"]) for one in processes if one["type"] == "renderer")
        counts = {"nodes": found["Nodes"], "listeners": found["JSEventListeners"]}
        used = {"page_mb": page_mb, "heap_mb": found["JSHeapUsedSize"] / 1e6, "server_mb": resident_mb(self._server.process.pid)}
        self.memory.append({"decisions": decisions, **used, **counts})


def resident_mb(process_id: int) -> float:
    """Return the memory of a process that is in use."""
    status = Path(f"/proc/{process_id}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) / 1000


def growth(memory: Sequence[Mapping[str, float]], key: str, decisions: int) -> float:
    """Return by what share something grows over so many decisions, by the straight line through what was measured once all was warm."""
    warm = [one for one in memory if one["decisions"] >= WARM]
    slope = float(np.polyfit([one["decisions"] for one in warm], [one[key] for one in warm], 1)[0])
    return slope * decisions / warm[0][key]


def measure_page(tools: Playwright, project: Path, decisions: int) -> dict[str, Any]:
    """Open the review again and again, each time a new one in a new browser, and answer its sheets and then its signs one by one."""
    starts, firsts, memory = [], [], []
    waits: dict[str, list[float]] = {"sheet": [], "sheet_at_once": [], "single": []}
    for number in range(STARTS):
        with opened(tools, project) as (hurry, seconds):
            starts.append(seconds)
            firsts.append(hurry.page.evaluate("window.person.first") / 1000)
            if number == 0:
                waits["sheet_at_once"] = hurry.work("sheet", PRESSES)
            elif number == STARTS - 1:
                waits["single"] = hurry.work("single", WARM + decisions + 1, sampled=True)
                memory = hurry.memory
            elif len(waits["sheet"]) < PRESSES:
                waits["sheet"] += hurry.work("sheet", PRESSES - len(waits["sheet"]), PAUSE_S)
    return {"server_s": starts, "first_sheet_s": firsts, "waits_ms": waits, "memory": memory}


def measure_starts(project: Path) -> list[float]:
    """Start the server for a review that begins, and for one that goes on, in turn."""
    found = []
    for number in range(STARTS + 1):
        with started(project, anew=number % 2 == 0) as (_, seconds):
            found.append(seconds)
    return found


def rows(
    page: Mapping[str, Any], starts: Sequence[float], signs: int, most: int, decisions: int
) -> list[tuple[str, str, str, bool | None]]:
    """Return what was measured in words, what it must be, and whether it is; None for what has no bar."""
    found = []
    for name, values, bar in (
        (f"server's first answer, {signs} signs", page["server_s"], None),
        ("first sheet painted", page["first_sheet_s"], MOST_FIRST_S),
        (f"server's first answer, {most} signs", starts, MOST_START_S),
    ):
        if values:
            words = f"median {np.median(values):.2f} s, worst of {len(values)} {max(values):.2f} s"
            found.append((name, words, "" if bar is None else f"worst {bar:.0f} s", None if bar is None else max(values) <= bar))
    for view, pause in (("sheet", f" after {PAUSE_S} s"), ("sheet_at_once", " at once"), ("single", " at once")):
        values = page["waits_ms"][view]
        p50, p95 = np.percentile(values, (50, 95))
        bar = None if view == "sheet_at_once" else MOST_WAIT_MS
        words = f"p50 {p50:.0f} ms, p95 {p95:.0f} ms, max {max(values):.0f} ms of {len(values)}"
        holds = None if bar is None else p95 < bar and len(values) >= PRESSES
        found.append((f"{view.split('_')[0]}: key{pause} to next item", words, "" if bar is None else f"p95 under {bar:.0f} ms", holds))
    for key, name in (
        ("page_mb", "page, MB"),
        ("heap_mb", "its JavaScript, MB"),
        ("nodes", "nodes"),
        ("listeners", "listeners"),
        ("server_mb", "server, MB"),
    ):
        warm = [one[key] for one in page["memory"] if one["decisions"] >= WARM]
        more = growth(page["memory"], key, decisions)
        words = f"{page['memory'][0][key]:.4g} at first, {warm[0]:.4g} to {warm[-1]:.4g}: {more:+.1%}"
        bar = key != "server_mb"
        found.append((f"{name}, over {decisions}", words, f"under {MOST_GROWTH:+.0%}" if bar else "", more < MOST_GROWTH if bar else None))
    return found


def main(words: Sequence[str] | None = None) -> int:
    """Run the command; returns 0 if all bars hold."""
    parser = argparse.ArgumentParser(description="Measure the review page with a long queue, in a real browser.")
    parser.add_argument("--signs", type=int, default=5000, help="that wait while the page is measured")
    parser.add_argument("--decisions", type=int, default=2000, help="over which the memory must be flat")
    parser.add_argument("--most", type=int, default=100_000, help="signs that wait while only the server's start is measured; 0: do not")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    given = parser.parse_args(words)
    if given.signs < WARM + given.decisions:
        parser.error(f"so many decisions need {WARM + given.decisions} signs")
    out = Console(width=140, highlight=False)
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder, "small"), Path(folder, "large")
        make(small, given.signs, DRAWN)
        if given.most:
            make(large, given.most, 1)
        before = os.getloadavg()[0]
        with sync_playwright() as tools:
            page = measure_page(tools, small, given.decisions)
        starts = measure_starts(large) if given.most else []
        load_ = (before, os.getloadavg()[0])
    found = rows(page, starts, given.signs, given.most, given.decisions)
    if given.json:
        bars = [{"what": what, "found": value, "bar": bar, "holds": holds} for what, value, bar, holds in found]
        given.json.write_text(json.dumps({"bars": bars, "starts_s": starts, **page, "load": load_}, indent=2) + "\n", encoding="utf-8")
    table = Table("what", "found", "must be", "holds")
    for what, value, bar, holds in found:
        table.add_row(what, value, bar, "" if holds is None else "yes" if holds else "NO")
    out.print(table)
    out.print(f"load {load_[0]:.1f} before, {load_[1]:.1f} after, on {os.cpu_count()} cores", markup=False)
    return 0 if all(holds for *_, holds in found if holds is not None) else 1


if __name__ == "__main__":
    sys.exit(main())
