"""Tables come back as they went, equal content gives equal bytes, and what pyarrow lets through is caught."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signloop.core import tables
from signloop.core.errors import DataError

SPLIT = {"unit_id": "a", "split": "val", "round": 1}
BOX = {
    "box_id": "r/0/added/1",
    "frame_id": "r/000000",
    "recording_id": "r",
    "sign_id": None,
    "split": "train",
    "x1": 1.0,
    "y1": 2.0,
    "x2": 3.5,
    "y2": 4.0,
    "class_id": None,
    "role": "ignore",
    "origin": "unsure",
    "round": 1,
}


@pytest.mark.parametrize("name", sorted(tables.SPECS))
def test_an_empty_table_can_be_written_and_read(tmp_path: Path, name: str) -> None:
    tables.write(tmp_path / "t.parquet", name, tables.empty(name))
    assert tables.read(tmp_path / "t.parquet", name).equals(tables.empty(name))


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), st.sampled_from(tables.SPLITS), max_size=8))
def test_rows_come_back(tmp_path_factory: pytest.TempPathFactory, units: dict[str, str]) -> None:
    path = tmp_path_factory.mktemp("t") / "t.parquet"
    rows = [{"unit_id": u, "split": s, "round": i} for i, (u, s) in enumerate(units.items())]
    tables.write(path, "splits", tables.from_rows("splits", rows))
    assert sorted(tables.read(path, "splits").to_pylist(), key=lambda r: r["round"]) == rows


def test_equal_content_gives_equal_bytes_in_any_order(tmp_path: Path) -> None:
    rows = [{**SPLIT, "unit_id": f"u{i}"} for i in range(20)]
    tables.write(tmp_path / "a", "splits", tables.from_rows("splits", rows))
    tables.write(tmp_path / "b", "splits", pa.concat_tables(tables.from_rows("splits", [row]) for row in reversed(rows)))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x2": 1.0}, "no area"),
        ({"x1": float("nan")}, "not finite"),
        ({"y2": float("inf")}, "not finite"),
        ({"split": "holdout"}, "unknown word"),
        ({"frame_id": None}, "missing"),
        ({"round": 2**40}, "does not fit"),
        ({"x1": "left"}, "does not fit"),
    ],
)
def test_wrong_values_are_refused(change: dict[str, Any], message: str) -> None:
    tables.from_rows("truth", [BOX])
    with pytest.raises(DataError, match=message):
        tables.from_rows("truth", [{**BOX, **change}])


def test_a_row_must_name_every_column() -> None:
    with pytest.raises(DataError, match="wrong columns"):
        tables.from_rows("splits", [SPLIT, {"unit_id": "b", "split": "val"}])


def test_a_key_occurs_once() -> None:
    with pytest.raises(DataError, match="key occurs more than once"):
        tables.from_rows("splits", [SPLIT, {**SPLIT, "split": "test"}])


def test_a_table_of_other_columns_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="wrong columns"):
        tables.write(tmp_path / "t", "splits", tables.empty("truth"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no table at all"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"damaged \(.*t\.parquet"):
        tables.read(tmp_path / "t.parquet", "splits")


def test_a_truncated_table_is_damaged(tmp_path: Path) -> None:
    tables.write(tmp_path / "t", "splits", tables.from_rows("splits", [SPLIT]))
    whole = (tmp_path / "t").read_bytes()
    (tmp_path / "t").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="damaged"):
        tables.read(tmp_path / "t", "splits")


@pytest.mark.parametrize(("name", "todo"), [("truth", "dvc repro"), ("splits", "dvc checkout"), ("verified_boxes", "dvc checkout")])
def test_a_missing_table_says_what_to_do(tmp_path: Path, name: str, todo: str) -> None:
    with pytest.raises(DataError, match=f"table {name} does not exist .*Run `{todo}`"):
        tables.read(tmp_path / "t", name)


def test_another_table_and_another_version_are_refused(tmp_path: Path) -> None:
    tables.write(tmp_path / "t", "splits", tables.from_rows("splits", [SPLIT]))
    with pytest.raises(DataError, match="not the table that was asked for"):
        tables.read(tmp_path / "t", "truth")
    old = pq.read_table(tmp_path / "t").replace_schema_metadata({"signloop.table": "splits", "signloop.version": "0"})
    pq.write_table(old, tmp_path / "t")
    with pytest.raises(DataError, match="version 0"):
        tables.read(tmp_path / "t", "splits")
    pq.write_table(old.replace_schema_metadata(None), tmp_path / "t")
    with pytest.raises(DataError, match="no name"):
        tables.read(tmp_path / "t", "splits")


SIGN = {
    "sign_id": "r/m/0",
    "recording_id": "r",
    "first_index": 0,
    "last_index": 1,
    "n_boxes": 2,
    "class_id": None,
    "confidence": 0.5,
    "margin": 0.25,
    "top_ids": [1],
    "top_confidences": [0.5],
    "contrary_index": 1,
    "decision": "ask",
    "reason": "",
    "model_id": "m",
}


def test_a_table_of_the_version_before_is_read_where_it_lacks_only_what_may_be_null(tmp_path: Path) -> None:
    path = tmp_path / "t"
    tables.write(path, "prelabel_signs", tables.from_rows("prelabel_signs", [SIGN]))
    old = pq.read_table(path).drop_columns(["contrary_index"])
    pq.write_table(old.replace_schema_metadata({"signloop.table": "prelabel_signs", "signloop.version": "1"}), path)
    with pytest.raises(DataError, match="version 1"):
        tables.read(path, "prelabel_signs")
    assert tables.read(path, "prelabel_signs", older=True).to_pylist() == [{**SIGN, "contrary_index": None}]
    pq.write_table(old.replace_schema_metadata({"signloop.table": "prelabel_signs", "signloop.version": "0"}), path)
    with pytest.raises(DataError, match="version 0"):
        tables.read(path, "prelabel_signs", older=True)
    tables.write(path, "splits", tables.from_rows("splits", [SPLIT]))
    with pytest.raises(DataError, match="found splits"):
        tables.read(path, "prelabel_signs", older=True)
