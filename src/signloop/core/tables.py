"""The schema of every table, and the only functions that read, check and write one.

Every file carries the table's name and version; rows are sorted by key before writing, so that equal content gives equal bytes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from signloop.core.errors import DataError
from signloop.core.files import atomic_path

VERDICTS = ("accepted", "relabelled", "moved", "rejected", "added", "unsure")
SPLITS = ("train", "val", "test")
KINDS = ("video", "sequence", "stills")
ROLES = ("positive", "negative", "ignore")


def _fields(text: str) -> list[pa.Field]:
    """Read `name:type` pairs; a `?` behind the name allows nulls."""
    types = {
        "str": pa.string(),
        "i32": pa.int32(),
        "f32": pa.float32(),
        "f64": pa.float64(),
        "bool": pa.bool_(),
        "bytes": pa.binary(),
        "time": pa.timestamp("ms", tz="UTC"),
        "ids": pa.list_(pa.int32()),
        "floats": pa.list_(pa.float32()),
    }
    pairs = (word.split(":") for word in text.split())
    return [pa.field(name.rstrip("?"), types[kind], nullable=name.endswith("?")) for name, kind in pairs]


@dataclass(frozen=True)
class Spec:
    """What one table must look like.

    Attributes:
        schema: columns in order; a column that is not nullable holds no null.
        key: columns that together name a row once.
        version: raised whenever the meaning of a column changes.
        allowed: the values that a text column may take.
        boxes: the columns x1, y1, x2, y2 are there and hold a box with an area.
        added: columns that may be null and that the version before did not have.
    """

    schema: pa.Schema
    key: tuple[str, ...]
    version: int = 1
    allowed: Mapping[str, tuple[str, ...]] | None = None
    boxes: bool = False
    added: tuple[str, ...] = ()


_BOX = "x1:f32 y1:f32 x2:f32 y2:f32"
SPECS: dict[str, Spec] = {
    "recordings": Spec(
        pa.schema(_fields("recording_id:str name:str kind:str fps?:f64 frames:i32 width:i32 height:i32 duration_s:f64 rotation:i32")),
        ("recording_id",),
        allowed={"kind": KINDS},
    ),
    "frames": Spec(
        pa.schema(_fields("frame_id:str recording_id:str index:i32 time_s:f64 width:i32 height:i32 path:str sha256:str")), ("frame_id",)
    ),
    "skipped": Spec(pa.schema(_fields("stage:str item:str reason:str detail:str")), ("stage", "item")),
    "verified_boxes": Spec(
        pa.schema(
            _fields(
                f"round:i32 box_id:str annotator:str frame_id:str sign_id?:str {_BOX} class_id?:i32 verdict:str seen:bool "
                "model_id?:str seconds?:f64 verified_at:time"
            )
        ),
        ("round", "box_id", "annotator"),
        allowed={"verdict": VERDICTS},
        boxes=True,
    ),
    "verified_frames": Spec(pa.schema(_fields("round:i32 frame_id:str annotator:str complete:bool")), ("round", "frame_id", "annotator")),
    "verified_crops": Spec(
        pa.schema(_fields("round:i32 crop_id:str class_id:i32 track_id:str file_name:str image:bytes")), ("round", "crop_id")
    ),
    "splits": Spec(pa.schema(_fields("unit_id:str split:str round:i32")), ("unit_id",), allowed={"split": SPLITS}),
    "truth_frames": Spec(
        pa.schema(
            _fields(
                "frame_id:str recording_id:str kind:str index:i32 time_s:f64 width:i32 height:i32 path:str sha256:str "
                "split:str complete:bool"
            )
        ),
        ("frame_id",),
        allowed={"split": SPLITS, "kind": KINDS},
    ),
    "truth": Spec(
        pa.schema(
            _fields(f"box_id:str frame_id:str recording_id:str sign_id?:str split:str {_BOX} class_id?:i32 role:str origin:str round:i32")
        ),
        ("box_id",),
        allowed={"split": SPLITS, "role": ROLES, "origin": VERDICTS},
        boxes=True,
    ),
    "crops": Spec(
        pa.schema(_fields("crop_id:str path:str class_id?:i32 track_id?:str split:str origin:str margin:f32")),
        ("crop_id",),
        allowed={"split": SPLITS},
    ),
    "prelabel_boxes": Spec(
        pa.schema(_fields(f"box_id:str frame_id:str sign_id:str index:i32 time_s:f64 {_BOX} score:f32 interpolated:bool model_id:str")),
        ("box_id",),
        boxes=True,
    ),
    "prelabel_signs": Spec(
        pa.schema(
            _fields(
                "sign_id:str recording_id:str first_index:i32 last_index:i32 n_boxes:i32 class_id?:i32 confidence:f32 margin:f32 "
                "top_ids:ids top_confidences:floats contrary_index?:i32 decision:str reason:str model_id:str"
            )
        ),
        ("sign_id",),
        version=2,  # 2: the frame in which a track seems to show something else
        added=("contrary_index",),
        allowed={"decision": ("accept", "ask")},
    ),
    "queue": Spec(
        pa.schema(
            _fields("queue_id:str kind:str sign_id?:str frame_id?:str recording_id:str class_id?:i32 confidence?:f32 reason:str rank:i32")
        ),
        ("queue_id",),
        version=2,  # 2: what is proposed, so that a review opens without reading all prelabels
        allowed={"kind": ("sign", "frame", "audit", "seeded")},
    ),
}


def empty(name: str) -> pa.Table:
    """Return the table with its columns and no row."""
    return SPECS[name].schema.empty_table()


def from_rows(name: str, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Build a checked table from one mapping per row; every column must be named, also one that is None."""
    schema = SPECS[name].schema
    for number, row in enumerate(rows):
        if set(row) != set(schema.names):
            raise DataError(
                f"a row of table {name} has the wrong columns", where=f"row {number}", expected=sorted(schema.names), found=sorted(row)
            )
    try:
        table = pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        raise DataError(f"a value does not fit table {name}", found=str(error)) from error
    check(name, table)
    return table


def check(name: str, table: pa.Table, where: object = None) -> None:
    """Test what pyarrow does not: columns, nulls, unique keys, allowed words, boxes with an area, finite numbers.

    Raises:
        DataError: names the table, the column and the first rows that are wrong.
    """
    spec = SPECS[name]
    at = where or f"table {name}"
    if not table.schema.equals(spec.schema):
        raise DataError("a table has the wrong columns", where=at, expected=spec.schema.names, found=table.schema.names)
    for field in spec.schema:
        column = table.column(field.name)
        if not field.nullable and column.null_count:
            raise DataError("a value is missing", where=f"{at}, column {field.name}", found=f"{column.null_count} nulls")
        if pa.types.is_floating(field.type) and not pc.all(pc.is_finite(column)).as_py() and table.num_rows > column.null_count:
            raise DataError("a number is not finite", where=f"{at}, column {field.name}")
    for column_name, words in (spec.allowed or {}).items():
        strange = sorted(set(pc.unique(table.column(column_name)).to_pylist()) - set(words))
        if strange:
            raise DataError("an unknown word", where=f"{at}, column {column_name}", expected=list(words), found=strange[:5])
    keys = table.select(list(spec.key)).group_by(list(spec.key)).aggregate([([], "count_all")])
    if keys.num_rows != table.num_rows:
        double = keys.filter(pc.greater(keys.column("count_all"), 1)).slice(0, 3).to_pylist()
        raise DataError("a key occurs more than once", where=f"{at}, key {', '.join(spec.key)}", found=double)
    if spec.boxes:
        bad = pc.or_(pc.less_equal(table["x2"], table["x1"]), pc.less_equal(table["y2"], table["y1"]))
        if pc.any(bad).as_py():
            raise DataError("a box has no area", where=at, found=table.filter(bad).select(list(spec.key)).slice(0, 3).to_pylist())


def write(path: Path, name: str, table: pa.Table) -> None:
    """Check, sort by key and write a table atomically; equal content gives equal bytes."""
    check(name, table, where=path)
    spec = SPECS[name]
    ordered = table.sort_by([(column, "ascending") for column in spec.key]).combine_chunks()
    marked = ordered.replace_schema_metadata({"signloop.table": name, "signloop.version": str(spec.version)})
    with atomic_path(path) as temporary:
        pq.write_table(marked, temporary, compression="zstd")


def read(path: Path, name: str, *, older: bool = False) -> pa.Table:
    """Read and check a table.

    Args:
        path: of the file.
        name: of the table.
        older: take the version before, too, if it lacks no more than columns that may be null; for what nobody can make anew.

    Raises:
        DataError: the file is missing, damaged, another table, or of another version.
    """
    spec = SPECS[name]
    try:
        with pa.memory_map(str(path)) as source:
            table = pq.ParquetFile(source).read()  # of small files in a third less time than read_table
    except FileNotFoundError:
        todo = "Run `dvc checkout`." if name.startswith("verified_") or name == "splits" else "Run `dvc repro`."
        raise DataError(f"table {name} does not exist", where=path, todo=todo) from None
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"table {name} cannot be read: the file is damaged",
            where=path,
            found=str(error).splitlines()[0],
            todo="Delete it and run `dvc repro`; restore a verified round by `dvc checkout`.",
        ) from error
    found = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    if older and spec.added and found == {"signloop.table": name, "signloop.version": str(spec.version - 1)}:
        for field in (spec.schema.field(column) for column in spec.added):
            table = table.append_column(field, pa.nulls(table.num_rows, field.type))
        table = table.select(spec.schema.names)
    elif found.get("signloop.table") != name or found.get("signloop.version") != str(spec.version):
        raise DataError(
            "not the table that was asked for",
            where=path,
            expected=f"{name}, version {spec.version}",
            found=f"{found.get('signloop.table', 'no name')}, version {found.get('signloop.version', 'none')}",
            todo="Delete what a stage wrote and run `dvc repro`; install the version that wrote a verified round.",
        )
    table = table.replace_schema_metadata(None)
    check(name, table, where=path)
    return table
