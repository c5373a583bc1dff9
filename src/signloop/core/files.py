"""Content hashes and writes that are either whole or absent."""

import csv
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from signloop.core.errors import DataError


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """Return the SHA-256 of a JSON value, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()).hexdigest()


def sync_folder(folder: Path) -> None:
    """Make a rename inside `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_tree(folder: Path) -> None:
    """Bring all that lies in a folder to the disk: after a power cut a renamed folder would hold empty files otherwise."""
    for path in folder.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            sync_folder(path)
        elif path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    sync_folder(folder)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it replaces `path`, on an error it is deleted.

    The caller writes a file (not a folder) at the path it is given. The temporary keeps the suffix, which encoders look at.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=f".tmp{path.suffix}", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder beside `path`; on success it is renamed to `path`, which must not exist.

    Raises:
        DataError: `path` exists already.
    """
    if path.exists():
        raise DataError("the folder exists and is never overwritten", where=path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    try:
        yield temporary
        temporary.chmod(0o755)  # mkdtemp gives 0o700, which would lock others out
        _sync_tree(temporary)
        temporary.rename(path)
        sync_folder(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, keys in the given order, NaN refused."""
    write_bytes(path, (json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode())


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        DataError: the file is missing, is no UTF-8 JSON, or holds NaN or Infinity.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_constant)
    except FileNotFoundError:
        raise DataError("the file does not exist", where=path) from None
    except OSError as error:
        raise DataError("the file cannot be read", where=path, found=error.strerror) from error
    except (ValueError, RecursionError) as error:
        raise DataError("the file is no valid JSON", where=path, found=str(error)) from error


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a table for a reader, whole or not at all: these columns of each row, floats to four digits, None as nothing."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: f"{v:.4f}" if isinstance(v := row[name], float) else v for name in columns} for row in rows)


def require_free_space(folder: Path, needed_bytes: int) -> None:
    """Refuse to start what would fill the disk.

    Raises:
        DataError: less than `needed_bytes` are free where `folder` lies.
    """
    at = folder
    while not at.exists():
        at = at.parent
    free = shutil.disk_usage(at).free
    if free < needed_bytes:
        raise DataError(
            "not enough disk space",
            where=folder,
            expected=f"{needed_bytes / 1e6:.0f} MB free",
            found=f"{free / 1e6:.0f} MB",
            todo="Free some space, or move the project to a larger disk.",
        )
