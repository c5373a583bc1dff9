"""The tables of data/truth in, what is true of each completely verified frame of a split out."""

from collections import defaultdict
from typing import Any

import numpy as np
import pyarrow as pa

from signloop.measure.matching import TruthFrame
from signloop.prelabel.named import NO_CLASS


def split_truth(frames: pa.Table, truth: pa.Table, split: str) -> tuple[dict[str, TruthFrame], dict[str, dict[str, Any]]]:
    """Return truth and row of every completely labelled frame of a split, by frame_id; objects of no known class have class -1."""
    boxes: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in truth.to_pylist():
        if row["role"] != "negative":
            boxes[row["frame_id"]].append(row)
    chosen = {row["frame_id"]: row for row in frames.to_pylist() if row["split"] == split and row["complete"]}
    out = {}
    for frame_id in chosen:
        rows = boxes[frame_id]
        corners = np.array([[b["x1"], b["y1"], b["x2"], b["y2"]] for b in rows], np.float64).reshape(-1, 4)
        class_ids = np.array([NO_CLASS if b["class_id"] is None else b["class_id"] for b in rows], np.int64)
        out[frame_id] = TruthFrame.from_xyxy(corners, class_ids, np.array([b["role"] == "ignore" for b in rows], bool))
    return out, chosen
