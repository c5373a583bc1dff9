"""The review page's server: requests of a browser enter, JSON and pictures leave. One process, no account, this machine only by default.

Whoever opens the link with its random token gets a cookie; without it nothing is answered. What changes something also needs the page's
own Origin, so that no other page in the same browser can do it. Pictures are asked for by ids, never by paths. Others log in by the
shared name, if there is one; the name that they gave there stands under all that they do.
"""

import mimetypes
import re
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import cv2
import numpy as np
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi import Path as InPath
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from numpy.typing import NDArray
from pydantic import BeforeValidator

from signloop.core.errors import DataError
from signloop.demo.signs import draw_sign
from signloop.review import views
from signloop.review.desk import Desk
from signloop.review.guard import error as refuse
from signloop.review.guard import guard
from signloop.review.log import ITEM_ID, Entry
from signloop.review.login import Share, login_routes
from signloop.review.pictures import MissingPictureError, Pictures
from signloop.review.state import ConflictError, touches
from signloop.review.wire import (
    About,
    ActRequest,
    BoxInFrame,
    Card,
    ClassInfo,
    Detail,
    Done,
    FrameDetail,
    HistoryRow,
    Progress,
    Published,
    Quality,
    SheetInfo,
    SheetName,
    UndoRequest,
)

KEEP_AFTER_S = 2.0  # until then the first sheet has the server for itself
SOON = 240  # signs behind those of a sheet: their crops are made before all others
T = TypeVar("T")
WEB = Path(__file__).parent / "web"
Id = Annotated[str, InPath(pattern=r"^[0-9a-f]{16}$")]
Index = Annotated[int, InPath(ge=0, le=2**31 - 1)]
Side = Annotated[Literal[96, 160, 320], BeforeValidator(int), Query()]  # a query is text
Crops = Annotated[str, Query(pattern=r"^[0-9a-f]{16}\.[0-9]{1,9}(,[0-9a-f]{16}\.[0-9]{1,9}){0,59}$")]
Px = Annotated[float, Query(ge=-100_000, le=100_000)]


def _login(request: Request) -> str | None:
    """Return the name that a person logged in with; None for whoever came by the link."""
    name: str | None = request.state.login
    return name


Login = Annotated[str | None, Depends(_login)]


def create_app(
    desk: Desk,
    pictures: Pictures,
    publish: Callable[[], str],
    reviewer: str,
    hosts: frozenset[str],
    token: str,
    share: Share | None = None,
) -> FastAPI:
    """Build the server of one review.

    Args:
        desk: the review.
        pictures: its pictures.
        publish: writes the round and tells it in words.
        reviewer: who decides, if the page names nobody else.
        hosts: permitted Host headers of this machine, with port, for instance "127.0.0.1:8000".
        token: secret of the link.
        share: the name under which others may log in; None for nobody.
    """
    stop = threading.Event()

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        threading.Thread(target=pictures.cut_ahead, args=(stop, desk.upcoming()), daemon=True).start()
        keeper = threading.Timer(KEEP_AFTER_S, pictures.keep, args=(stop,))
        keeper.daemon = True
        keeper.start()
        yield
        stop.set()
        keeper.cancel()

    app = FastAPI(
        title="Signloop review",
        version="1",
        lifespan=life,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        redirect_slashes=False,  # behind a TLS proxy the address would be one without TLS
    )
    guard(app, hosts, token, share)
    _explain_errors(app)
    app.include_router(_read_routes(desk, pictures, reviewer))
    app.include_router(_change_routes(desk, publish, reviewer))
    app.include_router(_picture_routes(desk, pictures))
    if share is not None:
        app.include_router(login_routes(share))

    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(WEB / "index.html")

    modules = {path.name: path.read_bytes() for path in WEB.iterdir()}  # StaticFiles would take the first sheet's time

    @app.get("/web/{name}", include_in_schema=False)
    async def module(name: str) -> Response:
        if name not in modules:
            raise HTTPException(404, "there is no such file")
        return Response(modules[name], media_type=mimetypes.guess_type(name)[0], headers={"Cache-Control": "no-cache"})

    return app


def _explain_errors(app: FastAPI) -> None:
    @app.exception_handler(ConflictError)
    async def conflict(_: Request, error: ConflictError) -> Response:
        where = error.where if isinstance(error.where, str) else ""
        return refuse(409, str(error), item_id=where if re.match(ITEM_ID, where) else None)

    @app.exception_handler(DataError)
    async def data(_: Request, error: DataError) -> Response:
        return refuse(507 if isinstance(error.__cause__, OSError) else 409, str(error))

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        """Say what is wrong without repeating it: what was sent may be no text that can be written."""
        found = [{"loc": [_plain(part) for part in e["loc"]], "msg": _plain(e["msg"]), "type": e["type"]} for e in error.errors()]
        return JSONResponse({"detail": found}, status_code=422)

    @app.exception_handler(MissingPictureError)
    async def missing(_: Request, error: MissingPictureError) -> Response:
        return refuse(404, f"the picture of frame {error} is not there (yet)")


def _plain(part: int | str) -> int | str:
    return part if isinstance(part, int) else part.encode("utf-8", "backslashreplace").decode()


def _each(tell: Callable[[str], T], item_ids: Iterable[str]) -> list[T]:
    """Tell of several signs, without those whose making was taken back meanwhile."""
    found = []
    for item_id in item_ids:
        with suppress(ConflictError):
            found.append(tell(item_id))
    return found


def _known(desk: Desk, item_id: str, *, frame: bool) -> None:
    known = item_id in desk.questions.items or item_id in desk.state.items
    is_frame = item_id in desk.questions.items and desk.questions.items[item_id].kind == "frame"
    if not known or is_frame != frame:
        raise HTTPException(404, f"there is no such {'frame' if frame else 'sign'} in this review")


def _read_routes(desk: Desk, pictures: Pictures, reviewer: str) -> APIRouter:
    router = APIRouter(prefix="/api")

    @router.get("/about")
    def about(login: Login) -> About:
        """What the page needs once."""
        also = desk.taxonomy.also
        classes = [
            ClassInfo(id=c.id, name=c.name, group=c.group, also=also.get(c.name, ""), has_picture=views.has_face(c.id, c.name))
            for c in desk.taxonomy.classes
        ]
        return About(
            review_id=desk.questions.review_id,
            reviewer=login or reviewer,
            is_login=login is not None,
            taxonomy=desk.taxonomy.name,
            object_name=desk.taxonomy.object_name,
            counts=desk.taxonomy.counts,
            classes=classes,
        )

    @router.get("/progress")
    def progress() -> Progress:
        """How far the review is."""
        return views.progress(desk)

    @router.get("/sheets")
    def sheets() -> list[SheetInfo]:
        """All sheets: most open signs first, then the mixed one, then that of signs without a class."""
        return [SheetInfo(sheet=s, open=waiting, odd=odd, signs=signs) for s, waiting, odd, signs in desk.sheets()]

    @router.get("/sheet")
    def sheet(
        name: SheetName,
        size: Annotated[int, Query(ge=1, le=120)] = 40,
        after: Annotated[str | None, Query(pattern=r"^[0-9a-f]{16}$")] = None,
        side: Side = 160,
    ) -> list[Card]:
        """The open signs of one sheet, the most doubtful first; crops will be of that side."""
        item_ids = desk.sheet(name, size + SOON, after)
        pictures.expect(item_ids, side)
        return _each(lambda item_id: views.card(desk, pictures, item_id), item_ids[:size])

    @router.get("/single")
    def single(
        size: Annotated[int, Query(ge=1, le=50)] = 5,
        after: Annotated[str | None, Query(pattern=r"^[0-9a-f]{16}$")] = None,
    ) -> list[Detail]:
        """Open signs to be looked at one by one."""
        return _each(lambda item_id: views.detail(desk, pictures, item_id), desk.single(size, after))

    @router.get("/signs/{item_id}")
    def sign(item_id: Id) -> Detail:
        """One sign."""
        _known(desk, item_id, frame=False)
        return views.detail(desk, pictures, item_id)

    @router.get("/signs/{item_id}/near")
    def near(item_id: Id, size: Annotated[int, Query(ge=1, le=20)] = 8) -> list[Card]:
        """Signs of the same recording that may be the same physical one, the likeliest first."""
        _known(desk, item_id, frame=False)
        return _each(lambda one: views.card(desk, pictures, one), desk.near(item_id, size))

    @router.get("/frames")
    def frames(size: Annotated[int, Query(ge=1, le=50)] = 3) -> list[FrameDetail]:
        """Frames that nobody has searched yet."""
        return [views.frame_detail(desk, pictures, item_id) for item_id in desk.frames(size)]

    @router.get("/frames/{item_id}")
    def frame(item_id: Id) -> FrameDetail:
        """One frame."""
        _known(desk, item_id, frame=True)
        return views.frame_detail(desk, pictures, item_id)

    @router.get("/follow/{recording_id}/{index}")
    def follow_box(recording_id: Id, index: Index, x1: Px, y1: Px, x2: Px, y2: Px) -> list[BoxInFrame]:
        """Where a box that was drawn in one frame is in the stored frames before and after it, as far as that can be seen."""
        if recording_id not in desk.questions.recordings or x2 <= x1 or y2 <= y1:
            raise HTTPException(404, "there is no such box in this review")
        return views.followed(desk, pictures, recording_id, index, (x1, y1, x2, y2))

    @router.get("/history")
    def history(before: Annotated[int | None, Query(ge=1)] = None, size: Annotated[int, Query(ge=1, le=500)] = 100) -> list[HistoryRow]:
        """What was done, the newest first."""
        return views.history(desk, before, size)

    @router.get("/quality")
    def quality() -> Quality:
        """How well the review was done so far."""
        return views.quality(desk)

    return router


def _change_routes(desk: Desk, publish: Callable[[], str], reviewer: str) -> APIRouter:
    router = APIRouter(prefix="/api")

    def done(entry: Entry) -> Done:
        meant = desk.state.meant(entry)
        touched = [i for i in touches(meant.act) if i in desk.questions.items or i in desk.state.items]
        versions = {i: desk.state.version(i) for i in touched}
        return Done(number=entry.number, text=views.in_words(desk, meant), versions=versions, progress=views.progress(desk))

    def who(said: str | None, login: str | None) -> str:
        """Return who decides: nobody can do so under another name than that of their login."""
        if login is not None and said not in (None, login):
            raise HTTPException(403, f"in this browser {login} is logged in now: reload the page")
        return login or said or reviewer

    @router.post("/acts")
    def act(request: ActRequest, login: Login) -> Done:
        """Decide, correct, split, merge, add, or say that a frame was searched. Once it is answered, it is on the disk."""
        return done(desk.act(who(request.reviewer, login), request.seconds, request.based_on, request.act))

    @router.post("/undo")
    def undo(request: UndoRequest, login: Login) -> Done:
        """Take the last act back, or do it again."""
        return done(desk.undo(who(request.reviewer, login), request.seconds, again=request.again))

    @router.post("/publish")
    def write_round() -> Published:
        """Turn all that is decided into a verified round; the same decisions again change nothing."""
        return Published(report=publish())

    return router


def _picture_routes(desk: Desk, pictures: Pictures) -> APIRouter:
    router = APIRouter(prefix="/pictures")
    lasting = {"Cache-Control": "private, max-age=86400"}

    @router.get("/crop/{item_id}/{index}.jpg", response_class=Response)
    def crop(item_id: Id, index: Index, side: Side = 160) -> Response:
        """A sign in one frame, square, with some context."""
        _known(desk, item_id, frame=False)
        box = desk.box(item_id, index)
        if box is None:
            raise HTTPException(404, "the sign has no box in this frame")
        content = pictures.crop(desk.question(item_id).recording_id, index, box, side)
        return Response(content, media_type="image/jpeg", headers=lasting)

    @router.get("/sheet", response_class=Response)
    def sheet(crops: Crops, side: Side = 160) -> Response:
        """Crops of several signs, named as ID.INDEX: of each its length in 4 bytes, the highest first, and a JPEG; 0 if it is not there."""

        def find(name: str) -> tuple[str, int, NDArray[np.float32]] | None:
            item_id, index = name.split(".")
            with suppress(HTTPException, ConflictError, DataError):
                _known(desk, item_id, frame=False)
                box = desk.box(item_id, int(index))
                return None if box is None else (desk.question(item_id).recording_id, int(index), box)
            return None

        found = pictures.crops([find(name) for name in crops.split(",")], side)
        content = b"".join(part for jpeg in found for part in (len(jpeg).to_bytes(4, "big"), jpeg))
        return Response(content, media_type="application/octet-stream")

    @router.get("/frame/{recording_id}/{index}", response_class=FileResponse)
    def frame(recording_id: Id, index: Index) -> FileResponse:
        """A whole frame."""
        if recording_id not in desk.questions.recordings:
            raise HTTPException(404, "there is no such recording in this review")
        return FileResponse(pictures.path(recording_id, index), headers=lasting)

    @router.get("/region/{recording_id}/{index}.jpg", response_class=Response)
    def region(
        recording_id: Id,
        index: Index,
        x1: Px,
        y1: Px,
        x2: Px,
        y2: Px,
        side: Side = 160,
    ) -> Response:
        """Any part of a frame, square, with some context."""
        if recording_id not in desk.questions.recordings or x2 <= x1 or y2 <= y1:
            raise HTTPException(404, "there is no such part of a frame in this review")
        return Response(pictures.crop(recording_id, index, (x1, y1, x2, y2), side), media_type="image/jpeg", headers=lasting)

    @router.get("/class/{class_id}.png", response_class=Response)
    def reference(class_id: Annotated[int, InPath(ge=0)]) -> Response:
        """What a class looks like, drawn."""
        known = desk.taxonomy.by_id.get(class_id)
        if known is None or not views.has_face(class_id, known.name):
            raise HTTPException(404, "there is no picture of this class")
        _, content = cv2.imencode(".png", cv2.cvtColor(draw_sign(class_id, 96), cv2.COLOR_RGBA2BGRA))
        return Response(bytes(content), media_type="image/png", headers=lasting)

    return router
