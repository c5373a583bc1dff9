"""Verified rounds and splits: tables of verdicts enter, an immutable folder a round leaves; read together, the newest verdict wins.

A round is a folder `round_NNN[-label]` with boxes, frames, splits and perhaps crops, and a round.json that holds their content hash.
"""

import hashlib
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from filelock import FileLock
from numpy.typing import NDArray

from signloop.core import tables
from signloop.core.errors import DataError
from signloop.core.files import atomic_folder, read_json, sha256_json, write_json

CROPS_PREFIX = "crops:"
UNIT_KINDS = (*tables.KINDS, "crops")
MINIMUM_UNITS = 10
MINIMUM_PER_SPLIT = 2
_ROUND = re.compile(r"round_(\d{3,})(?:-[A-Za-z0-9._-]+)?")
_LABEL = re.compile(r"[A-Za-z0-9._-]{0,60}")
_SPOKEN_OF = (("verified_boxes", "box_id"), ("verified_frames", "frame_id"), ("verified_crops", "crop_id"))
_NOT_CONTENT = ("round", "verified_at", "seconds")  # publishing the same verdicts an hour later is the same round


@dataclass(frozen=True, eq=False)
class Verified:
    """What people have said so far, over all rounds.

    Attributes:
        boxes: verified_boxes, one row per box_id: its newest verdict.
        frames: verified_frames, one row per frame_id: its newest row.
        splits: splits, one row per unit: the first that was drawn.
        crops: verified_crops, one row per crop_id: the newest.
        conflicts: box_ids on which two people disagreed within the newest round that names them; not in `boxes`.
        disputed: verified_boxes, all rows of those box_ids in that round.
    """

    boxes: pa.Table = field(default_factory=lambda: tables.empty("verified_boxes"), repr=False)
    frames: pa.Table = field(default_factory=lambda: tables.empty("verified_frames"), repr=False)
    splits: pa.Table = field(default_factory=lambda: tables.empty("splits"), repr=False)
    crops: pa.Table = field(default_factory=lambda: tables.empty("verified_crops"), repr=False)
    conflicts: tuple[str, ...] = ()
    disputed: pa.Table = field(default_factory=lambda: tables.empty("verified_boxes"), repr=False)


def round_folders(folder: Path) -> dict[int, Path]:
    """Return the rounds of `data/verified` by number, ascending; a missing folder has none.

    Raises:
        DataError: two rounds have the same number.
    """
    found: dict[int, Path] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        match = _ROUND.fullmatch(path.name)
        if match and path.is_dir():
            if int(match[1]) in found:
                raise DataError(
                    "two rounds have the same number",
                    where=folder,
                    found=f"{found[int(match[1])].name} and {path.name}",
                    todo="Rename the later one to the next free number; then run `dvc add` on it.",
                )
            found[int(match[1])] = path
    return dict(sorted(found.items()))


def _read_all(folders: Iterable[Path], file: str, name: str) -> pa.Table:
    parts = [tables.read(path / file, name) for path in folders if file != "crops.parquet" or (path / file).exists() or _has_crops(path)]
    return pa.concat_tables([tables.empty(name), *parts]).combine_chunks()


def _has_crops(round_folder: Path) -> bool:
    return bool(read_json(round_folder / "round.json")["rows"]["verified_crops"])


def _rounds(table: pa.Table) -> NDArray[np.int64]:
    return np.asarray(table["round"].to_numpy(), np.int64)


def _newest(table: pa.Table, key: str) -> pa.Table:
    """Keep the rows of the newest round that names each key; several people may have one each."""
    keys, rounds = table[key].to_pylist(), _rounds(table)
    last: dict[str, int] = {}
    for name, number in zip(keys, rounds.tolist(), strict=True):
        last[name] = max(number, last.get(name, -1))
    return table.filter(pa.array(rounds == np.array([last[name] for name in keys], np.int64)))


def _first_rows(table: pa.Table, key: str, order: Sequence[tuple[str, str]]) -> pa.Table:
    """Keep the first row of each key after sorting by key and `order`."""
    ordered = table.sort_by([(key, "ascending"), *order])
    keys = ordered[key].to_pylist()
    return ordered.filter(pa.array([i == 0 or keys[i - 1] != name for i, name in enumerate(keys)], pa.bool_()))


def _without_replaced(boxes: pa.Table, frames: pa.Table) -> pa.Table:
    """Drop what another round says of a frame that was complete: older rounds, and, while it is, verdicts that were only carried over.

    Args:
        boxes: of all rounds.
        frames: of all rounds.
    """
    newest: dict[str, int] = {}
    complete: dict[str, int] = {}
    for frame_id, number, is_complete in zip(*(frames[n].to_pylist() for n in ("frame_id", "round", "complete")), strict=True):
        newest[frame_id] = max(number, newest.get(frame_id, -1))
        if is_complete:
            complete[frame_id] = max(number, complete.get(frame_id, -1))
    frame_ids = boxes["frame_id"].to_pylist()
    since = np.array([complete.get(f, -1) for f in frame_ids], np.int64)
    is_open = np.array([complete.get(f, -1) < newest.get(f, 0) for f in frame_ids], bool)
    rounds, seen = _rounds(boxes), np.array(boxes["seen"].to_pylist(), bool)
    return boxes.filter(pa.array((rounds == since) | ((rounds > since) & (seen | is_open))))


def _disputed(boxes: pa.Table) -> set[str]:
    """Return box_ids whose rows, of one round, differ in class, in rejection or in doubt."""
    says: dict[str, set[tuple[str, int | None]]] = defaultdict(set)
    columns = (boxes[name].to_pylist() for name in ("box_id", "verdict", "class_id"))
    for box_id, verdict, class_id in zip(*columns, strict=True):
        plain = verdict if verdict in ("rejected", "unsure") else "sign"
        says[box_id].add((plain, class_id if plain == "sign" else None))
    return {box_id for box_id, answers in says.items() if len(answers) > 1}


def _seen_first(boxes: pa.Table) -> pa.Table:
    """Drop propagated rows of box_ids that somebody looked at in the same round."""
    keys, seen = boxes["box_id"].to_pylist(), boxes["seen"].to_pylist()
    looked_at = {box_id for box_id, flag in zip(keys, seen, strict=True) if flag}
    return boxes.filter(pa.array([flag or box_id not in looked_at for box_id, flag in zip(keys, seen, strict=True)], pa.bool_()))


def _frames_of(frames: pa.Table, open_frames: set[str]) -> pa.Table:
    """One row per frame; complete only if all people of the newest round say so and nothing on it is disputed."""
    newest = _newest(frames, "frame_id")
    open_frames = open_frames | {f for f, c in zip(newest["frame_id"].to_pylist(), newest["complete"].to_pylist(), strict=True) if not c}
    single = _first_rows(newest, "frame_id", [("annotator", "ascending")])
    complete = pa.array([f not in open_frames for f in single["frame_id"].to_pylist()], pa.bool_())
    return single.set_column(single.schema.get_field_index("complete"), single.schema.field("complete"), complete)


def read_rounds(folder: Path) -> Verified:
    """Read `data/verified`: newest verdict per box, first split per unit.

    A frame that a round marks as complete replaces what older rounds said of that frame, so that a second look with another
    model's boxes does not double its signs; for the same reason verdicts of a later round that nobody looked at (not `seen`) do not
    count on it. A still later round that leaves it open brings nothing of the older ones back. Two people who disagree within one
    round: the box leaves `boxes`, and its frame is no longer complete (else the hole would teach "no sign").

    Returns:
        Tables without rows for a missing or empty folder.

    Raises:
        DataError: a table is missing, damaged or of another version, or a round's rows carry another round's number.
    """
    rounds = round_folders(folder)
    for number, path in rounds.items():
        strange = set(tables.read(path / "boxes.parquet", "verified_boxes")["round"].to_pylist()) - {number}
        if strange:
            raise DataError(
                "a round holds rows of another round",
                where=path,
                expected=number,
                found=sorted(strange),
                todo="Rounds are never renamed or edited; run `dvc checkout`.",
            )
    boxes = _read_all(rounds.values(), "boxes.parquet", "verified_boxes")
    frames = _read_all(rounds.values(), "frames.parquet", "verified_frames")
    boxes = _seen_first(_newest(_without_replaced(boxes, frames), "box_id"))
    conflicts = _disputed(boxes)
    clash = pa.array([box_id in conflicts for box_id in boxes["box_id"].to_pylist()], pa.bool_())
    disputed = boxes.filter(clash)
    agreed = boxes.filter(pa.array([not flag for flag in clash.to_pylist()], pa.bool_()))
    return Verified(
        boxes=_first_rows(agreed, "box_id", [("annotator", "ascending")]),
        frames=_frames_of(frames, set(disputed["frame_id"].to_pylist())),
        splits=_first_rows(_read_all(rounds.values(), "splits.parquet", "splits"), "unit_id", [("round", "ascending")]),
        crops=_first_rows(_read_all(rounds.values(), "crops.parquet", "verified_crops"), "crop_id", [("round", "descending")]),
        conflicts=tuple(sorted(conflicts)),
        disputed=disputed,
    )


def _position(unit_id: str) -> float:
    """Return where a unit's hash puts it, in [0, 1)."""
    return int.from_bytes(hashlib.sha256(unit_id.encode()).digest()[:6]) / 2**48


def _draw_family(new: Sequence[str], known: Mapping[str, str], val_share: float, test_share: float) -> dict[str, str]:
    def by_hash(unit_id: str) -> str:
        position = _position(unit_id)
        return "test" if position < test_share else "val" if position < test_share + val_share else "train"

    drawn = {unit_id: by_hash(unit_id) for unit_id in sorted(new)}
    if len(known) + len(drawn) < MINIMUM_UNITS:
        return drawn
    wanted = {split: MINIMUM_PER_SPLIT for split, share in (("test", test_share), ("val", val_share)) if share > 0}
    while True:
        counts = Counter([*known.values(), *drawn.values()])
        short = [split for split in wanted if counts[split] < wanted[split]]
        spare = [u for u, split in drawn.items() if counts[split] > wanted.get(split, 0)]
        if not short or not spare:
            return drawn
        moved = min(spare, key=lambda u: (drawn[u] != "train", _position(u)))
        drawn[moved] = min(short, key=lambda split: counts[split])


def draw_splits(unit_ids: Iterable[str], known: Mapping[str, str], val_share: float, test_share: float) -> dict[str, str]:
    """Put units that have no split yet into train, val or test by the hash of their id.

    Once there are ten units (known and new), new ones that the hash put nearest to val and test are moved there from train until
    each of the two has two, as far as there are new ones; a share of 0 stays empty. Tracks of crops ("crops:...") are counted
    apart from recordings and stills. Known units never change, so the draw does not depend on the order of rounds beyond that.

    Args:
        unit_ids: units of a round, new and known mixed, any order.
        known: splits drawn before, by unit.
        val_share, test_share: in [0, 1].

    Returns:
        Splits of the new units only, sorted by unit; empty if all are known.
    """
    new = set(unit_ids) - set(known)
    drawn: dict[str, str] = {}
    families: tuple[Callable[[str], bool], ...] = (lambda u: u.startswith(CROPS_PREFIX), lambda u: not u.startswith(CROPS_PREFIX))
    for belongs in families:
        family_known = {u: s for u, s in known.items() if belongs(u)}
        drawn |= _draw_family([u for u in new if belongs(u)], family_known, val_share, test_share)
    return dict(sorted(drawn.items()))


def _content_hash(parts: Mapping[str, pa.Table]) -> str:
    content: dict[str, Any] = {}
    for name, table in sorted(parts.items()):
        rows = table.select([c for c in table.schema.names if c not in _NOT_CONTENT]).to_pylist()
        for row in rows:
            row.update({k: hashlib.sha256(v).hexdigest() for k, v in row.items() if isinstance(v, bytes)})
        content[name] = sorted(rows, key=sha256_json)
    return sha256_json(content)


def _numbered(table: pa.Table, number: int) -> pa.Table:
    at = table.schema.get_field_index("round")
    return table.set_column(at, table.schema.field(at), pa.array([number] * table.num_rows, pa.int32()))


def _check_round(label: str, parts: Mapping[str, pa.Table], units: Mapping[str, str]) -> None:
    if not _LABEL.fullmatch(label):
        raise DataError("a round's label is no plain name", expected="at most 60 letters, digits, '.', '_', '-'", found=label)
    if not any(table.num_rows for table in parts.values()):
        raise DataError("a round without a verdict is not published", found="no box, no frame, no crop")
    for name, table in parts.items():
        tables.check(name, table)
    strange = sorted(set(units.values()) - set(UNIT_KINDS))
    if strange:
        raise DataError("unknown kinds of units", expected=list(UNIT_KINDS), found=strange)
    boxes = parts["verified_boxes"]
    nameless = [
        b
        for b, v, c in zip(*(boxes[n].to_pylist() for n in ("box_id", "verdict", "class_id")), strict=True)
        if c is None and v not in ("rejected", "unsure")
    ]
    if nameless:
        raise DataError("a verified sign has no class", expected="a class, or the verdict unsure", found=nameless[:5])
    frame_ids = {*boxes["frame_id"].to_pylist(), *parts["verified_frames"]["frame_id"].to_pylist()}
    lost = sorted(f for f in frame_ids if f not in units and f.rpartition("/")[0] not in units)
    lost += sorted({CROPS_PREFIX + t for t in parts["verified_crops"]["track_id"].to_pylist()} - set(units))
    if lost:
        raise DataError("verdicts lie outside the units of the round", expected="every frame's recording, still or track", found=lost[:5])


def _published(rounds: Mapping[int, Path], content: str, parts: Mapping[str, pa.Table]) -> Path | None:
    """Return the round that says the same, unless a later one has spoken of the same things since: then it must be said again."""
    wanted = {(name, key): set(parts[name][key].to_pylist()) for name, key in _SPOKEN_OF}
    for _, path in sorted(rounds.items(), reverse=True):
        if read_json(path / "round.json").get("content") == content:
            return path
        for (name, key), ids in wanted.items():
            file = path / f"{name.removeprefix('verified_')}.parquet"
            if file.exists() and ids & set(tables.read(file, name)[key].to_pylist()):
                return None
    return None


def publish_round(
    folder: Path,
    *,
    label: str,
    boxes: pa.Table,
    frames: pa.Table,
    units: Mapping[str, str],
    crops: pa.Table | None = None,
    val_share: float,
    test_share: float,
    meta: Mapping[str, Any],
) -> Path:
    """Write one immutable round, whole or not at all.

    Content (times aside) that some round has already is not written again, unless a later round has said otherwise since.

    Args:
        folder: `data/verified`; made if it is missing. A lock file lies beside it, not in it.
        label: part of the folder's name; may be empty.
        boxes, frames, crops: verified_boxes, verified_frames, verified_crops with any round; the number is filled in.
        units: split unit -> kind (video, sequence, stills, crops); must cover every frame and crop of the round.
        val_share, test_share: see `draw_splits`; for units seen for the first time.
        meta: JSON values kept in round.json.

    Returns:
        The folder of the round, an old one if its content is the same.

    Raises:
        DataError: no row at all, a label that is no plain name, a table that breaks its schema, a sign without a class,
            a verdict outside the units.
    """
    parts = {
        "verified_boxes": boxes,
        "verified_frames": frames,
        "verified_crops": tables.empty("verified_crops") if crops is None else crops,
    }
    _check_round(label, parts, units)
    content = _content_hash(parts)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / f".{folder.name}.lock"):
        for half in folder.glob(".round_*.tmp"):
            shutil.rmtree(half, ignore_errors=True)  # left by a killed process: the lock is ours, so nobody writes it now
        rounds = round_folders(folder)
        old = _published(rounds, content, parts)
        if old is not None:
            return old
        number = max(rounds, default=0) + 1
        known = dict(zip(*(read_rounds(folder).splits[name].to_pylist() for name in ("unit_id", "split")), strict=True))
        drawn = draw_splits(units, known, val_share, test_share)
        of_round = {u: known[u] for u in units if u in known} | drawn  # those known too: an older round may be removed
        splits = tables.from_rows("splits", [{"unit_id": u, "split": s, "round": number} for u, s in of_round.items()])
        path = folder / (f"round_{number:03d}-{label}" if label else f"round_{number:03d}")
        with atomic_folder(path) as temporary:
            for name, table in parts.items():
                if name != "verified_crops" or table.num_rows:
                    tables.write(temporary / f"{name.removeprefix('verified_')}.parquet", name, _numbered(table, number))
            tables.write(temporary / "splits.parquet", "splits", splits)
            write_json(
                temporary / "round.json",
                {
                    "round": number,
                    "label": label,
                    "content": content,
                    "rows": {n: t.num_rows for n, t in parts.items()},
                    "meta": dict(meta),
                },
            )
    return path
