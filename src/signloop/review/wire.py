"""What the review page and its server say to each other: one model a message, checked on arrival; the OpenAPI document is made of them."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from signloop.review.log import Act, ItemId

SheetName = Annotated[str, Field(pattern=r"^([0-9]{1,10}|mixed|none)$")]
LONGEST_NAME = 100
Reviewer = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ClassInfo(_Model):
    """One class of the taxonomy; `also`: other words for it; `has_picture` tells whether /pictures/class/ID.png exists."""

    id: int
    name: str
    group: str
    also: str
    has_picture: bool


class About(_Model):
    """What the page needs once.

    `is_login` tells that the reviewer's name is that of a login, and stays; `counts` is the taxonomy's word on what is labelled, or "".
    """

    review_id: str
    reviewer: str
    is_login: bool
    taxonomy: str
    object_name: str
    counts: str
    classes: list[ClassInfo]


class Progress(_Model):
    """How far the review is; seconds of work, pauses left out. `waiting`: open ones that wait on sheets; `odd`: that were put aside."""

    signs: int
    signs_open: int
    waiting: int
    frames: int
    frames_open: int
    odd: int
    seconds: float
    seconds_left: float | None


class SheetInfo(_Model):
    """How many signs of a sheet are open; `odd` of the open ones are put aside.

    A sheet is named by the id of the class that is proposed for all on it; "mixed" shows several classes, "none" what has no class.
    """

    sheet: SheetName
    open: int
    odd: int
    signs: int


class Given(_Model):
    """An answer of one person."""

    annotator: str
    verdict: str
    class_id: int | None
    at: str


class Likely(_Model):
    """A class and the model's confidence in it."""

    class_id: int
    confidence: float


class Card(_Model):
    """One sign on a sheet.

    `sheet` is where it is shown, None for what a person made, split or merged; `index` is the frame of its best crop, None without a
    picture; `frames` are those with a box of it; `contrary` is a frame in which the models see something else, None if there is none or it
    has no picture; `others` are the few classes that the models find likeliest after the proposed one.
    """

    item_id: str
    version: int
    sheet: str | None
    recording: str
    recording_id: str
    time_s: float | None
    index: int | None
    frames: int
    contrary: int | None
    class_id: int | None
    confidence: float
    others: list[Likely]
    reason: str
    is_odd: bool
    answers: list[Given]


class BoxInFrame(_Model):
    """Where a sign is in one frame, px; `guessed`: nobody knows well, and unless the person sees it, it is published as to be ignored."""

    index: int
    time_s: float | None
    xyxy: tuple[float, float, float, float]
    score: float
    stored: bool
    moved: bool
    guessed: bool


class Detail(_Model):
    """All of one sign."""

    card: Card
    width: int
    height: int
    classes: list[Likely]
    boxes: list[BoxInFrame]
    merged_into: str | None


class SignInFrame(_Model):
    """A sign that is known in a frame already; one that only an older round knows is not asked here."""

    item_id: str
    class_id: int | None
    xyxy: tuple[float, float, float, float]
    decided: bool
    is_asked: bool


class Searched(_Model):
    """What one person said of a frame: that nothing (more) is missing in it, or that they cannot tell."""

    annotator: str
    complete: bool


class FrameDetail(_Model):
    """A frame to be searched for signs that the models missed; `is_alone` tells that a box cannot be followed to other frames."""

    item_id: str
    version: int
    recording: str
    recording_id: str
    index: int
    time_s: float
    width: int
    height: int
    reason: str
    has_picture: bool
    is_alone: bool
    signs: list[SignInFrame]
    searched: list[Searched]


class Done(_Model):
    """An act that is on the disk.

    Attributes:
        number: of its entry.
        text: what was done, of an undo what was taken back or done again, in words.
        versions: of what it touched.
        progress: after it.
    """

    number: int
    text: str
    versions: dict[str, int]
    progress: Progress


class ActRequest(_Model):
    """What the person did.

    Attributes:
        act: it.
        based_on: version of each sign or frame that they saw.
        seconds: they took, pauses left out.
        reviewer: who; None for the one that the server was started for.
    """

    act: Act
    based_on: Annotated[dict[ItemId, Annotated[int, Field(ge=0)]], Field(max_length=500)] = {}
    seconds: Annotated[float, Field(ge=0, le=86400)]
    reviewer: Reviewer | None = None


class UndoRequest(_Model):
    """Take the person's last act back, or do again what they took back."""

    seconds: Annotated[float, Field(ge=0, le=86400)]
    again: bool = False
    reviewer: Reviewer | None = None


class HistoryRow(_Model):
    """One entry of the log, in words."""

    number: int
    at: str
    annotator: str
    seconds: float
    act: str
    text: str
    items: list[str]
    is_undone: bool
    undone_by: int | None


class Quality(_Model):
    """How well the review was done so far; intervals are 95 %. `published`: the last entry before it was published last, 0 if never."""

    decided: int
    added: int
    corrected: int
    signs_per_minute: float | None
    seconds_per_sign: float | None
    caught: int
    planted: int
    catch_interval: tuple[float, float] | None
    agreed: int
    repeats: int
    agree_interval: tuple[float, float] | None
    mistakes_left: float | None
    mistakes_left_bounds: tuple[float, float] | None
    published: int


class Published(_Model):
    """The round that was written."""

    report: str
