"""Takes the README's pictures of the review page: its four views, as a person who answers from truth meets them.

    python -m tests.browser.pictures PROJECT TRUTH.json --out FOLDER

PROJECT is a copy of a checkout after `dvc repro`, for instance of the demo; all of its review is decided and published.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import Page
from tests.browser.person import VIEWS, Person, Truth, browser_page, free_port, served

MARKS = "[...document.querySelectorAll('.card:not([hidden])')].map((one) => one.dataset.mark ?? '')"
SETTLED = """() => document.querySelector(".toasts").childElementCount === 0
    && [...document.querySelectorAll("img[src]")].every((one) => one.complete || !one.checkVisibility())"""
NOWHERE = (700, 45)  # px, in the bar
REST_MS = 1000  # a filmstrip loads its pictures only for who rests
PLACES = ".single .filmstrip button:visible"
FULL, LARGEST = 12, 0.7  # cards of a sheet that shows what both marks are for, and the share of marked ones
LONG = 6  # places of a filmstrip that shows what it is for


class Posing(Person):
    """Stops for a picture where a view shows what it is for.

    Args:
        page, truth: as of `Person`.
        out: folder of the pictures.
    """

    def __init__(self, page: Page, truth: Truth, out: Path) -> None:
        super().__init__(page, truth)
        self._out = out

    def _timed(self, view: str, key: str) -> None:
        if (view == "sheet" and self._is_mixed()) or (view == "single" and key.isdigit() and self._is_long()):
            self._take(view)
        super()._timed(view, key)

    def _draw(self, xyxy: Sequence[float]) -> None:
        super()._draw(xyxy)
        self._take("sweep")

    def publish(self) -> str:
        said = super().publish()
        self._take("report")
        return said

    def _is_mixed(self) -> bool:
        marks: list[str] = self.page.evaluate(MARKS)
        return len(marks) >= FULL and {"odd", "nothing"} <= set(marks) and sum(map(bool, marks)) <= LARGEST * len(marks)

    def _is_long(self) -> bool:
        return self.page.locator(PLACES).count() >= LONG

    def _take(self, view: str) -> None:
        path = self._out / f"{view}.jpg"
        if not path.exists():
            self.page.mouse.move(*NOWHERE)  # over a card it would show the whole frame
            self.page.wait_for_timeout(REST_MS)
            self.page.wait_for_function(SETTLED)
            self.page.screenshot(path=path, type="jpeg", quality=80)


def main(words: Sequence[str] | None = None) -> int:
    """Run the command; returns 0 if there is a picture of each view."""
    parser = argparse.ArgumentParser(description="Take the README's pictures of the review page.")
    parser.add_argument("project", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(words)
    given.out.mkdir(parents=True, exist_ok=True)
    with served(given.project, free_port()) as server, browser_page(server.link) as page:
        page.wait_for_selector("section")
        classes = page.request.get(page.evaluate("location.origin") + "/api/about").json()["classes"]
        truth = Truth(given.truth, given.project / "data" / "verified", {c["name"]: c["id"] for c in classes})
        Posing(page, truth, given.out).work()
    missing = [view for view in (*VIEWS, "report") if not (given.out / f"{view}.jpg").exists()]
    sys.stdout.write(f"no picture of {missing}: nothing in this review suited\n" if missing else f"pictures are in {given.out}\n")
    return int(bool(missing))


if __name__ == "__main__":
    sys.exit(main())
