"""The shared page as two people use it: the real server behind a TLS proxy, two browsers, a login each."""

import asyncio
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page
from tests.browser import person
from tests.browser.conftest import Served

from signloop.review.log import Entry
from signloop.review.password import set_password

pytestmark = pytest.mark.browser
WORDS = "correct horse battery"
SHOWN = "() => document.querySelector('section.single > .work:not([hidden]) h1')?.textContent"
STORED = "() => Object.entries(sessionStorage).every(([key, value]) => !key.endsWith('.queue') || value === '[]')"


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while content := await reader.read(65536):
            writer.write(content)
            await writer.drain()
    writer.close()


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """Ports of a TLS proxy, and of the server to which it passes on what it gets; its certificate is signed by itself."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "1"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    outside, inside = person.free_port(), person.free_port()

    ready, end = threading.Event(), threading.Event()
    connected: set[asyncio.Task[None]] = set()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", inside)
        both = [asyncio.create_task(pass_on(*ways)) for ways in ((reader, forth), (back, writer))]
        connected.update(both)
        await asyncio.wait(both)
        connected.difference_update(both)

    async def serve() -> None:
        async with await asyncio.start_server(connect, "127.0.0.1", outside, ssl=context):
            ready.set()
            await asyncio.to_thread(end.wait)
            if connected:
                await asyncio.wait(connected, timeout=20)

    running = threading.Thread(target=lambda: asyncio.run(serve()))
    running.start()
    assert ready.wait(10)
    yield outside, inside
    end.set()
    running.join()


@pytest.fixture
def new_person(browser: Browser) -> Iterator[Callable[[], Page]]:
    """A function that opens a tab of one more person, who takes the certificate as it is."""
    contexts: list[BrowserContext] = []

    def act() -> Page:
        contexts.append(browser.new_context(viewport={"width": 1366, "height": 768}, ignore_https_errors=True))
        return contexts[-1].new_page()

    yield act
    for context in contexts:
        context.close()


def enter(tab: Page, words: str) -> None:
    """Type a password into its field, which has the focus, and send it."""
    tab.wait_for_selector("[type=password]:focus")
    tab.keyboard.type(words)
    tab.keyboard.press("Enter")


def test_two_people_log_in_and_keep_their_names(
    project: Path, serve: Served, tls: tuple[int, int], new_person: Callable[[], Page], entries: Callable[..., list[Entry]]
) -> None:
    set_password(project / "data" / "review" / "password.json", WORDS)
    outside, inside = tls
    server = serve(inside, "--share", f"localhost:{outside}")
    page = f"https://localhost:{outside}"
    ann, bob = new_person(), new_person()
    for tab, name in ((ann, "ann"), (bob, "bob")):
        tab.goto(f"{page}/?{server.link.split('?')[1]}")  # the link's token is worth nothing here
        assert tab.url == f"{page}/login"
        tab.wait_for_selector("[name=name]:focus")
        tab.keyboard.type(name)
        tab.keyboard.press("Tab")
        if name == "bob":
            enter(tab, "not the password")
            tab.wait_for_selector("[role=alert] >> text=This is not the password.")
        enter(tab, WORDS)
        tab.wait_for_selector(".card")
    for number, tab in enumerate((ann, bob), 1):
        tab.keyboard.press(person.KEYS["single"])
        tab.wait_for_function(SHOWN)
        tab.keyboard.press("u")
        tab.wait_for_function(STORED)
        assert len(entries(number)) == number
    assert [entry.annotator for entry in entries()] == ["ann", "bob"]
    bob.keyboard.press("w")
    bob.wait_for_selector(".report .who input:focus")
    bob.keyboard.type("ann")
    assert bob.input_value(".report .who input") == "bob"
    bob.keyboard.press("Tab")
    bob.keyboard.press("Enter")  # "log out"
    bob.wait_for_url(f"{page}/login")
    bob.goto(page)
    assert bob.url == f"{page}/login"
    ann.reload()
    ann.wait_for_function(SHOWN)
