"""What is true of stored frames."""

from signloop.core import tables
from signloop.prelabel.named import NO_CLASS
from signloop.prelabel.verified import split_truth

FRAME = {"recording_id": "r", "kind": "video", "index": 0, "time_s": 0.0, "width": 9, "height": 9, "path": "p", "sha256": "0"}
BOX = {"recording_id": "r", "sign_id": None, "x1": 1.0, "y1": 2.0, "x2": 5.0, "y2": 8.0, "origin": "added", "round": 0}


def test_the_truth_of_a_split_is_that_of_its_complete_frames() -> None:
    frames = tables.from_rows(
        "truth_frames",
        [
            {**FRAME, "frame_id": "r/0", "split": "val", "complete": True},
            {**FRAME, "frame_id": "r/1", "split": "val", "complete": False},
            {**FRAME, "frame_id": "r/2", "split": "test", "complete": True},
            {**FRAME, "frame_id": "r/3", "split": "val", "complete": True},
        ],
    )
    rows = [("r/0", 7, "positive"), ("r/0", None, "ignore"), ("r/0", 7, "negative"), ("r/1", 7, "positive"), ("r/2", 7, "positive")]
    boxes = [
        {**BOX, "box_id": f"b{n}", "frame_id": frame_id, "split": "val", "class_id": class_id, "role": role}
        for n, (frame_id, class_id, role) in enumerate(rows)
    ]
    real, chosen = split_truth(frames, tables.from_rows("truth", boxes), "val")
    assert list(real) == list(chosen) == ["r/0", "r/3"]
    assert real["r/0"].xyxy.tolist() == [[1, 2, 5, 8], [1, 2, 5, 8]]
    assert (real["r/0"].class_ids.tolist(), real["r/0"].ignore.tolist()) == ([7, NO_CLASS], [False, True])
    assert len(real["r/3"].xyxy) == 0
