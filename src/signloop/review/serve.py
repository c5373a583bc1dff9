"""A project's data and a person's name enter; the review page runs until they end it."""

import gc
import secrets
import socket
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow.compute as pc
import uvicorn

from signloop.core import tables
from signloop.core.errors import ConfigError
from signloop.core.params import Params
from signloop.core.rounds import read_rounds
from signloop.review import plant, questions
from signloop.review.desk import Desk
from signloop.review.login import Share, public_host
from signloop.review.password import read_password
from signloop.review.pictures import Pictures
from signloop.review.publish import publish_review
from signloop.review.server import create_app
from signloop.review.wire import LONGEST_NAME

HOST = "127.0.0.1"


def serve(
    data_folder: Path,
    recordings_folder: Path,
    settings: Params,
    *,
    name: str,
    port: int,
    planted: float,
    repeats: float,
    share: str | None,
    after_publish: Callable[[], None],
    say: Callable[[str], None],
    open_browser: bool,
) -> None:
    """Run the page on 127.0.0.1 until Ctrl-C.

    Args:
        data_folder: data/.
        recordings_folder: data/recordings.
        settings: its taxonomy, shares of the splits, and seed count.
        name: who decides.
        port: of the server.
        planted: share of planted mistakes, of the signs asked.
        repeats: share of signs that are asked twice.
        share: host name under which a TLS proxy on this machine serves the page to others, who log in; None for nobody else.
        after_publish: called once a round was written.
        say: told how much waits, and the link.
        open_browser: open the link.

    Raises:
        ConfigError: the name is none, the port is taken, or the page cannot be shared: it is no host name, or no password was set.
        DataError: nothing waits, the review is damaged, or open in another process.
    """
    if not 1 <= len(name.strip()) <= LONGEST_NAME:
        raise ConfigError("nobody has such a name", where="--name", expected=f"1 to {LONGEST_NAME} letters", found=name[:120])
    name = name.strip()
    shared = None if share is None else _shared(share, port, data_folder)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:  # asyncio sends at once only if TCP is named
        _listen(listening, port)
        with _all_stays():
            desk = Desk(start(data_folder, settings, planted, repeats, say), settings.taxonomy)
        try:
            _run(desk, listening, data_folder, recordings_folder, settings, name, shared, after_publish, say, open_browser)
        finally:
            desk.close()


def password_file(data_folder: Path) -> Path:
    """Return where the hash of the password is kept."""
    return data_folder / "review" / "password.json"


def _shared(name: str, port: int, data_folder: Path) -> Share:
    host, path = public_host(name), password_file(data_folder)
    if host in _hosts(port):
        raise ConfigError("the link is for this name; others need one of their own", where="--share", found=name)
    if not path.exists():
        raise ConfigError("the page is shared only with a password, and none was set", where=path, todo="Run `signloop review-password`.")
    return Share(host, read_password(path))


def _hosts(port: int) -> frozenset[str]:
    return frozenset({f"{HOST}:{port}", f"localhost:{port}"})


@contextmanager
def _all_stays() -> Iterator[None]:
    """Let nobody look for garbage meanwhile: with 100,000 signs that takes as long as making them, and finds nothing."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _listen(listening: socket.socket, port: int) -> None:
    """Take the port, of this machine only; whoever comes before the server is ready waits."""
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
    except OSError as error:
        raise ConfigError(
            "the port cannot be had",
            where=f"{HOST}:{port}",
            found=error.strerror,
            todo="Is the page open already? Or choose another --port.",
        ) from error
    listening.listen()


def _run(
    desk: Desk,
    listening: socket.socket,
    data_folder: Path,
    recordings_folder: Path,
    settings: Params,
    name: str,
    shared: Share | None,
    after_publish: Callable[[], None],
    say: Callable[[str], None],
    open_browser: bool,
) -> None:
    one_by_one = threading.Lock()

    def publish() -> str:
        with one_by_one:
            report = publish_review(desk, data_folder / "verified", settings.data)
            after_publish()
            return str(report)

    token = secrets.token_urlsafe(24)
    pictures = Pictures(desk.questions, data_folder / "frames", recordings_folder)
    port = listening.getsockname()[1]
    link = f"http://{HOST}:{port}/?token={token}"
    now = desk.progress()
    say(f"{now.signs_open} of {now.signs} {settings.taxonomy.object_name}s and {now.frames_open} frames wait; Ctrl-C ends, all is kept")
    say(link)
    if shared is not None:
        say(f"others log in at {shared.origin}, if a TLS proxy on this machine passes it on to {HOST}:{port} with that Host header")
    if open_browser:
        webbrowser.open(link)
    app = create_app(desk, pictures, publish, name, _hosts(port), token, shared)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # what they say is believed by nothing
        ws="none",  # the guard sees HTTP only
    )
    with suppress(KeyboardInterrupt):  # the way to end it
        uvicorn.Server(config).run(sockets=[listening])


def start(data_folder: Path, settings: Params, planted: float, repeats: float, say: Callable[[str], None]) -> Path:
    """Return the folder of the review to go on with: one whose decisions are not published yet, otherwise that of the present queue.

    What is decided and not published would be asked again in a new review.

    Raises:
        DataError: nothing waits for a person.
    """
    path = data_folder / "queue" / "queue.parquet"
    begun = questions.unpublished(data_folder / "review")
    if begun:
        if begun[0].name != questions.review_id_of(path):
            say("this review began before the last `dvc repro`; publish it, and the next one shows what is new")
        return begun[0]
    folder = data_folder / "review" / "reviews" / str(questions.review_id_of(path))
    if folder.exists():
        return folder
    queue = tables.read(path, "queue")
    asked = queue.filter(pc.equal(queue["kind"], "sign")).select(["class_id", "confidence", "reason", "rank"])
    verified = read_rounds(data_folder / "verified")
    chosen: list[plant.Planted] = []
    if planted and asked.num_rows and verified.boxes.num_rows:
        shown = tables.read(data_folder / "frames" / "frames.parquet", "frames")
        shown = shown.filter(pc.is_in(shown["frame_id"], verified.boxes["frame_id"].combine_chunks()))
        frames = {row["frame_id"]: row for row in shown.to_pylist()}
        chosen = plant.choose(verified, frames, asked.to_pylist(), settings.taxonomy, planted, settings.seed)
    again = min(repeats, plant.ENOUGH / max(1, asked.num_rows))
    return questions.begin(data_folder, data_folder / "review", verified, chosen, again, settings.seed)
