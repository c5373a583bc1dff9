"""Messages are checked on arrival: what is not in the document is refused, and JSON lists are taken for what they are."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from signloop.review import wire
from signloop.review.log import Decide, Undo
from signloop.review.wire import ActRequest, UndoRequest

ITEM = "0123456789abcdef"


def request(**more: Any) -> dict[str, Any]:
    answers = [{"item_id": ITEM, "verdict": "sign", "class_id": 3, "seen": [1, 2]}]
    return {"act": {"act": "decide", "view": "single", "answers": answers}, "based_on": {ITEM: 4}, "seconds": 2, **more}


def answer(**more: Any) -> dict[str, Any]:
    value = request()
    value["act"]["answers"][0].update(more)
    return value


def acting(**more: Any) -> dict[str, Any]:
    return request(act=more)


def test_a_request_is_read_as_a_browser_sends_it() -> None:
    found = ActRequest.model_validate(request())
    assert isinstance(found.act, Decide)
    assert (found.act.answers[0].seen, found.based_on, found.seconds) == ((1, 2), {ITEM: 4}, 2.0)
    assert ActRequest.model_validate_json(ActRequest.model_validate(request()).model_dump_json()) == found


@pytest.mark.parametrize(
    "act",
    [
        {"act": "fix", "item_id": ITEM, "index": 3, "xyxy": [1, 2, 3, 4.5]},
        {"act": "split", "item_id": ITEM, "index": 3, "new_id": ITEM},
        {"act": "merge", "item_id": ITEM, "other_id": ITEM},
        {"act": "add", "item_id": ITEM, "recording_id": "d", "class_id": 3, "boxes": [{"index": 1, "xyxy": [1, 2, 3, 4], "seen": True}]},
        {"act": "sweep", "item_id": ITEM, "complete": True},
        {"act": "undo", "number": 1},
    ],
    ids=lambda act: str(act["act"]),
)
def test_every_act_is_read(act: dict[str, Any]) -> None:
    assert ActRequest.model_validate(request(act=act)).act.act == act["act"]


@pytest.mark.parametrize(
    "value",
    [
        request(more=1),
        request(seconds=-1),
        request(seconds=86401),
        request(seconds=float("nan")),
        request(seconds="2"),
        request(based_on={"../..": 1}),
        request(based_on={ITEM: -1}),
        request(based_on={ITEM: True}),
        request(based_on={f"{n:016x}": 0 for n in range(501)}),
        request(reviewer=""),
        request(reviewer="x" * 101),
        answer(item_id=ITEM.upper()),
        answer(item_id=ITEM + "0"),
        answer(item_id=f"{ITEM}\n"),
        answer(verdict="perhaps"),
        answer(class_id="3"),
        answer(class_id=3.5),
        answer(class_id=True),
        answer(seen=[-1]),
        answer(seen=["1"]),
        answer(seen={"a": 1}),
        answer(note="hello"),
        acting(act="decide", view="single", answers=[]),
        acting(act="decide", view="single", answers=[{"item_id": ITEM, "verdict": "odd"}] * 501),
        acting(act="decide", view="other", answers=[{"item_id": ITEM, "verdict": "odd"}]),
        acting(act="fix", item_id=ITEM, index=0, xyxy=[1, 2, 3]),
        acting(act="fix", item_id=ITEM, index=0, xyxy=[1, 2, 3, float("inf")]),
        acting(act="fix", item_id=ITEM, index=0, xyxy=[1, 2, 3, "4"]),
        acting(act="fix", item_id=ITEM, index=-1, xyxy=[1, 2, 3, 4]),
        acting(act="add", item_id=ITEM, recording_id="d", class_id=3, boxes=[]),
        acting(act="undo", number=0),
        acting(act="delete", item_id=ITEM),
        acting(item_id=ITEM),
        {},
        [],
        "text",
        None,
    ],
)
def test_what_is_not_in_the_document_is_refused(value: Any) -> None:
    with pytest.raises(ValidationError):
        ActRequest.model_validate(value)


def test_an_undo_says_what_it_wants() -> None:
    assert UndoRequest.model_validate({"seconds": 1}).again is False
    for value in ({}, {"seconds": 1, "again": 1}, {"seconds": 1, "number": 3}):
        with pytest.raises(ValidationError):
            UndoRequest.model_validate(value)
    assert Undo(number=1).act == "undo"


def test_no_message_can_be_changed_or_hold_more_than_it_says() -> None:
    models = [m for m in vars(wire).values() if isinstance(m, type) and issubclass(m, BaseModel) and m.__module__ == wire.__name__]
    assert len(models) > 15
    for model in models:
        assert (model.model_config["extra"], model.model_config["frozen"], model.model_config["strict"]) == ("forbid", True, True)
