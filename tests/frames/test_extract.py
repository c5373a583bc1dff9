import errno
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tests.frames.conftest import draw, number_in, write_film, write_images, write_timed_film

from signloop.core import files, tables
from signloop.core.errors import DataError
from signloop.core.params import Extract
from signloop.frames import extract as stage
from signloop.frames.extract import ExtractReport, estimate_bytes, extract
from signloop.frames.video import open_recording

ALL = Extract(fps=None, sequence_fps=10.0, duplicate=0.0, blur=0.0, jpeg_quality=95, max_frames=None)


def run(sources: Path, out: Path, max_skipped: float = 0.0, **changes: Any) -> ExtractReport:
    return extract(sources, out, ALL.model_copy(update=changes), max_skipped)


def rows(out: Path, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tables.read(out / f"{name}.parquet", name).to_pylist()
    return found


def tree(folder: Path) -> dict[str, str]:
    """Every file with the hash of its bytes."""
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()}


def image_of(out: Path, row: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    image = np.asarray(cv2.imread(str(out / row["path"]), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION), dtype=np.uint8)
    return image[:, :, ::-1]


def test_frames_of_all_kinds_are_stored_with_their_numbers_and_times(sources: Path, tmp_path: Path) -> None:
    out = tmp_path / "frames"
    write_film(sources / "film.mp4", frames=9)
    write_timed_film(sources / "uneven.mkv", [0, 100, 350, 400, 900])
    write_images(sources / "drive", [f"f{k}.png" for k in range(11)], first=20)
    write_images(sources / "stills", ["b.jpg", "a.png", "c.bmp"], first=40)
    (sources / "stills" / "recording.json").write_text('{"kind": "stills"}')
    seen: list[tuple[str, int, int]] = []
    report = extract(sources, out, ALL.model_copy(update={"fps": 5.0}), 0.0, lambda *step: seen.append(step))
    names = {row["recording_id"]: row for row in rows(out, "recordings")}
    assert {row["name"]: row["kind"] for row in names.values()} == {
        "film.mp4": "video",
        "uneven.mkv": "video",
        "drive": "sequence",
        "stills": "stills",
    }
    stored: dict[str, list[tuple[int, int, float]]] = {}
    for row in rows(out, "frames"):
        image = image_of(out, row)
        assert image.shape == (row["height"], row["width"], 3)
        assert row["frame_id"] == f"{row['recording_id']}/{row['index']:06d}"
        assert row["path"].startswith(f"images/{row['frame_id']}.")
        assert row["sha256"] == files.sha256_file(out / row["path"])
        stored.setdefault(names[row["recording_id"]]["name"], []).append((row["index"], number_in(image), round(row["time_s"], 2)))
    assert stored["film.mp4"] == [(k, k, k / 10) for k in range(0, 9, 2)]
    assert stored["drive"] == [(k, 20 + k, k / 10) for k in range(0, 11, 2)]
    assert stored["stills"] == [(0, 41, 0.0), (1, 40, 0.0), (2, 42, 0.0)]
    assert stored["uneven.mkv"][0] == (0, 0, 0.0)
    assert all(index == number for index, number, _ in stored["uneven.mkv"])
    assert (report.recordings, report.frames, report.reused, report.skipped) == (4, len(rows(out, "frames")), 0, ())
    assert seen[-1][1] == seen[-1][2]
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)


def test_original_bytes_are_kept_where_they_can_be(sources: Path, tmp_path: Path) -> None:
    folder = write_images(sources / "stills", ["a.jpg", "b.png", "c.bmp"])
    (folder / "recording.json").write_text('{"kind": "stills"}')
    run(sources, tmp_path / "frames")
    stored = rows(tmp_path / "frames", "frames")
    assert [Path(row["path"]).suffix for row in stored] == [".jpg", ".png", ".jpg"]
    for row, name in zip(stored, ["a.jpg", "b.png"], strict=False):
        assert (tmp_path / "frames" / row["path"]).read_bytes() == (folder / name).read_bytes()


def test_again_changes_no_byte_and_reuses_everything(sources: Path, tmp_path: Path) -> None:
    write_film(sources / "b.mp4", first=5)
    write_film(sources / "a.avi")
    out, other = tmp_path / "frames", tmp_path / "other"
    run(sources, out)
    before = tree(out)
    (sources / "b.mp4").rename(sources / "renamed.mp4")
    assert run(sources, out).reused == 2
    assert {row["name"] for row in rows(out, "recordings")} == {"a.avi", "renamed.mp4"}
    (sources / "renamed.mp4").rename(sources / "b.mp4")
    run(sources, out)
    run(sources, other)
    assert tree(out) == tree(other) == before


def test_a_change_redoes_what_it_touches_and_strangers_go(sources: Path, tmp_path: Path) -> None:
    write_film(sources / "a.mp4")
    write_film(sources / "b.mp4", first=20)
    out = tmp_path / "frames"
    run(sources, out)
    (out / "images" / "stranger").mkdir()
    (out / "images" / ".half.tmp").mkdir()
    (out / "parts" / "note").write_text("x")
    (sources / "b.mp4").unlink()
    write_film(sources / "c.mp4", first=40)
    report = run(sources, out)
    assert (report.recordings, report.reused) == (2, 1)
    ids = {row["recording_id"] for row in rows(out, "recordings")}
    assert {p.name for p in (out / "images").iterdir()} == ids
    assert {p.name.split("-")[0] for p in (out / "parts").iterdir()} == ids
    assert run(sources, out, fps=5.0).reused == 0
    assert [row["index"] for row in rows(out, "frames")] == [0, 2, 4, 6, 8, 10] * 2


def test_another_code_makes_the_frames_anew(sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_film(sources / "a.mp4")
    out = tmp_path / "frames"
    run(sources, out)
    before = stage.code_hash()
    code = tmp_path / "code"
    shutil.copytree(Path(stage.__file__).parent, code, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(stage, "__file__", str(code / "extract.py"))
    assert stage.code_hash() == before  # the place of the checkout has no part in it
    (code / "truth.py").write_text("# edited")  # it reads what is stored
    assert run(sources, out).reused == 1
    for name in ("decode.py", "images.py", "new.py"):
        with (code / name).open("a") as file:
            file.write("# edited")
        assert run(sources, out).reused == 0
        assert run(sources, out).reused == 1


def test_a_lost_image_or_a_damaged_part_is_made_again(sources: Path, tmp_path: Path) -> None:
    write_film(sources / "a.mp4")
    out = tmp_path / "frames"
    run(sources, out)
    before = tree(out)
    (out / rows(out, "frames")[3]["path"]).unlink()
    assert run(sources, out).reused == 0
    next((out / "parts").rglob("frames.parquet")).write_bytes(b"damaged")
    assert run(sources, out).reused == 0
    assert tree(out) == before


def test_near_duplicates_blur_and_the_most_frames(sources: Path, tmp_path: Path) -> None:
    folder = write_images(sources / "drive", [f"{k:02d}.png" for k in range(20)])
    for k in (3, 4, 5):
        shutil.copyfile(folder / "02.png", folder / f"{k:02d}.png")
    cv2.imwrite(str(folder / "07.png"), np.full((120, 160, 3), 90, np.uint8))
    out = tmp_path / "frames"
    run(sources, out, duplicate=0.5, blur=10.0)
    assert [row["index"] for row in rows(out, "frames")] == [0, 1, 2, 6, *range(8, 20)]
    run(sources, out, max_frames=5)
    assert [row["index"] for row in rows(out, "frames")] == [0, 4, 8, 12, 16]  # spread over the whole recording
    run(sources, out, max_frames=7)
    assert [row["index"] for row in rows(out, "frames")] == [0, 3, 6, 9, 12, 15, 18]
    run(sources, out, max_frames=100, fps=1.0)
    assert [row["index"] for row in rows(out, "frames")] == [0, 10]
    with pytest.raises(DataError, match="no frame of the recording was kept"):
        run(sources, out, blur=1e9)


def test_bad_recordings_are_listed_and_the_others_go_on(sources: Path, tmp_path: Path) -> None:
    out = tmp_path / "frames"
    write_film(sources / "good one.mp4")
    write_film(sources / "two\nlines.mp4", first=50)
    (sources / "twin.mp4").write_bytes((sources / "good one.mp4").read_bytes())
    content = write_film(sources / "cut.avi", frames=40, first=100).read_bytes()
    (sources / "cut.avi").write_bytes(content[: len(content) * 7 // 10])
    (sources / "empty.mp4").touch()
    (sources / "text.mp4").write_text("no film")
    (sources / "notes.txt").write_text("a note")
    folder = write_images(sources / "drive", ["a.jpg", "b.jpg", "c.jpg"], first=200)
    (folder / "b.jpg").write_bytes((folder / "b.jpg").read_bytes()[:1500])
    stills = write_images(sources / "stills", ["a.jpg", "b.jpg", "c.jpg"], first=300)
    (stills / "recording.json").write_text('{"kind": "stills"}')
    (stills / "b.jpg").write_text("no image")
    report = run(sources, out, max_skipped=0.6)
    assert {row["name"] for row in rows(out, "recordings")} == {"good one.mp4", "two\nlines.mp4", "stills"}
    listed = {row["item"]: row["reason"] for row in rows(out, "skipped")}
    assert set(listed) == {"twin.mp4", "cut.avi", "empty.mp4", "text.mp4", "notes.txt", "drive", "stills/b.jpg"}
    assert "damaged" in listed["cut.avi"]
    assert "0 bytes" in listed["empty.mp4"]
    assert len(report.skipped) == 7
    kept = {row["recording_id"] for row in rows(out, "recordings")}
    assert {p.name for p in (out / "images").iterdir()} == {row["recording_id"] for row in rows(out, "frames")} == kept
    again = run(sources, out, max_skipped=0.6)
    assert again.reused == 3
    assert again.skipped == report.skipped
    with pytest.raises(DataError, match=r"(?s)too many recordings were left out.*50%.*found 4 of 7:\n.*cut\.avi") as caught:
        run(sources, out, max_skipped=0.5)
    assert "notes.txt" in str(caught.value)
    assert len(rows(out, "skipped")) == 7


def test_too_many_broken_stills_fail_even_where_all_recordings_are_good(sources: Path, tmp_path: Path) -> None:
    stills = write_images(sources / "stills", ["a.jpg", "b.jpg", "c.jpg"])
    (stills / "recording.json").write_text('{"kind": "stills"}')
    (stills / "b.jpg").write_text("no image")
    with pytest.raises(DataError, match=r"too many stills were left out.*found 1 of 3"):
        run(sources, tmp_path / "frames", max_skipped=0.3)


def test_nothing_to_do_says_what_to_do(sources: Path, tmp_path: Path) -> None:
    for folder in (sources, sources / "missing"):
        with pytest.raises(DataError, match=r"is empty .*Run `signloop demo` or put videos there"):
            run(folder, tmp_path / "frames", max_skipped=1.0)
    (sources / "notes.txt").write_text("x")
    with pytest.raises(DataError, match=r"recordings is empty.*notes\.txt"):
        run(sources, tmp_path / "frames", max_skipped=1.0)
    (sources / "text.mp4").write_text("x")
    with pytest.raises(DataError, match="one that is good"):
        run(sources, tmp_path / "frames", max_skipped=1.0)


def test_a_full_disk_before_the_start(sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_film(sources / "a.mp4")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("signloop.core.files.shutil.disk_usage", lambda _: usage._replace(free=1_000_000))
    with pytest.raises(DataError, match="not enough disk space"):
        run(sources, tmp_path / "frames")
    assert not (tmp_path / "frames" / "frames.parquet").exists()


def test_a_disk_that_fills_up_loses_nothing_that_was_finished(sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_film(sources / "a.mp4")
    write_film(sources / "b.mp4", first=50)
    out, whole = tmp_path / "frames", tmp_path / "whole"
    run(sources, whole)
    real, written = Path.write_bytes, 0

    def write_until_full(path: Path, content: bytes) -> int:
        nonlocal written
        written += 1
        if written > 17:
            real(path, content[:100])
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, content)

    monkeypatch.setattr(Path, "write_bytes", write_until_full)
    with pytest.raises(DataError, match=r"the frames cannot be stored.*No space left.*Free some space"):
        run(sources, out, max_skipped=1.0)
    monkeypatch.undo()
    assert len(list((out / "images").iterdir())) == 1
    assert not (out / "frames.parquet").exists()
    assert run(sources, out).reused == 1
    assert tree(out) == tree(whole)


KILLED = """
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from signloop.core.params import Extract
from signloop.frames import extract as stage
params = Extract.model_validate_json(sys.argv[3])
def tell(name, done, total):
    print(name, done, flush=True)
stage.extract(Path(sys.argv[1]), Path(sys.argv[2]), params, 0.0, tell)
"""


@pytest.mark.parametrize("after", [3, 20, 33])
def test_killed_in_the_middle_the_next_run_is_right_and_keeps_what_was_finished(sources: Path, tmp_path: Path, after: int) -> None:
    for number, name in enumerate(["a.mp4", "b.mp4", "c.mp4"]):
        write_film(sources / name, first=number * 50)
    out, whole = tmp_path / "frames", tmp_path / "whole"
    command = [sys.executable, "-c", KILLED, str(sources), str(out), ALL.model_dump_json()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(after):
            process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    finished = len(list((out / "parts").glob("[!.]*"))) if (out / "parts").exists() else 0
    assert finished >= after // 13  # twelve frames and an end are told of each recording
    assert run(sources, out).reused == finished
    run(sources, whole)
    assert tree(out) == tree(whole)
    assert not [p for p in out.rglob("*") if p.name.startswith(".")]


def test_killed_between_the_images_and_their_rows(sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_film(sources / "a.mp4")
    out = tmp_path / "frames"
    run(sources, out)
    before = tree(out)
    shutil.rmtree(next((out / "parts").iterdir()))  # as if it had ended right after the images were renamed
    assert run(sources, out).reused == 0
    assert tree(out) == before
    monkeypatch.setattr(stage, "_store", lambda *_: pytest.fail("it was started over"))
    assert run(sources, out).reused == 1


def test_the_estimate_is_no_less_than_what_is_written(sources: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    folder = sources / "noise"
    folder.mkdir()
    for k in range(4):
        cv2.imwrite(str(folder / f"{k}.png"), rng.integers(0, 255, (400, 600, 3), dtype=np.uint8))
    write_film(sources / "a.mp4", frames=40)
    recordings = [open_recording(path, 10) for path in (folder, sources / "a.mp4")]
    run(sources, tmp_path / "frames")
    assert estimate_bytes(recordings, ALL) > sum(p.stat().st_size for p in (tmp_path / "frames").rglob("*") if p.is_file())
    assert estimate_bytes([], ALL) == 0
    assert estimate_bytes(recordings[1:], ALL.model_copy(update={"max_frames": 2})) < estimate_bytes(recordings[1:], ALL)


def test_a_link_out_of_a_stills_folder_is_not_copied(sources: Path, tmp_path: Path) -> None:
    folder = write_images(sources / "stills", ["a.jpg", "b.jpg"])
    (folder / "recording.json").write_text('{"kind": "stills"}')
    secret = tmp_path / "secret.jpg"
    cv2.imwrite(str(secret), draw(7))
    (folder / "c.jpg").symlink_to(secret)
    report = run(sources, tmp_path / "frames", max_skipped=0.5)
    assert report.frames == 2
    assert "stills/c.jpg: a link that leads out of the folder" in report.skipped[0]


def write_locked(path: Path) -> None:
    path.write_bytes(b"x")
    path.chmod(0)


STRANGE: dict[str, tuple[Callable[[Path], object], str]] = {  # what it is called, how it is made, and the reason that is given for it
    "broken link": (lambda path: path.symlink_to("nothing"), "the file cannot be opened"),
    "link to itself": (lambda path: path.symlink_to(path.name), "the file cannot be opened"),
    "pipe": (os.mkfifo, "neither a file nor a folder"),
    "locked file": (write_locked, "the recording cannot be read"),
    "locked folder": (lambda path: write_images(path, ["a.png"]).chmod(0), "the recording cannot be read"),
    "folder without entry": (lambda path: write_images(path, ["a.png"]).chmod(0o400), "the recording cannot be read"),
}


@contextmanager
def ordinary_user(folder: Path) -> Iterator[None]:
    """Work as the owner of a folder who may not read everything, as root may; perhaps not even the checkout."""
    if os.geteuid() != 0:
        yield
        return
    run(folder / "recordings", folder / "as root", max_skipped=1.0)  # loads every module that is loaded late
    code = stage.code_hash()
    for path in (folder, *folder.rglob("*")):
        os.chown(path, 65534, 65534, follow_symlinks=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "code_hash", lambda: code)
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A folder whose parents every user may enter; those of `tmp_path` let in no other."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        (Path(name) / "recordings").mkdir()
        yield Path(name)


@pytest.mark.parametrize("kind", STRANGE)
def test_what_cannot_be_read_is_listed_and_the_others_go_on(open_to_all: Path, kind: str) -> None:
    make, reason = STRANGE[kind]
    sources, out = open_to_all / "recordings", open_to_all / "frames"
    write_film(sources / "good.mp4")
    make(sources / "strange.mp4")
    with ordinary_user(open_to_all):
        report = run(sources, out, max_skipped=0.5)
        assert (report.recordings, len(report.skipped)) == (1, 1)
        assert [row["item"] for row in rows(out, "skipped")] == ["strange.mp4"]
        assert reason in rows(out, "skipped")[0]["reason"]
        with pytest.raises(DataError, match="too many recordings were left out"):
            run(sources, out)


@pytest.mark.parametrize("kind", ["broken link", "link to itself", "pipe", "locked file"])
def test_what_cannot_be_read_in_a_folder_is_listed(open_to_all: Path, kind: str) -> None:
    make, _ = STRANGE[kind]
    sources, out = open_to_all / "recordings", open_to_all / "frames"
    for number, name in enumerate(("drive", "stills", "described")):
        write_images(sources / name, ["a.png", "b.png"], first=10 * number)
    (sources / "stills" / "recording.json").write_text('{"kind": "stills"}')
    make(sources / "drive" / "c.png")
    make(sources / "stills" / "c.png")
    make(sources / "described" / "recording.json")
    with ordinary_user(open_to_all):
        report = run(sources, out, max_skipped=0.7)
        assert (report.recordings, report.frames) == (1, 2)
        assert {row["item"] for row in rows(out, "skipped")} == {"drive", "described", "stills/c.png"}


RAW = os.fsdecode(b"raw\xff")


def test_names_that_are_no_utf8_are_recordings_like_others(sources: Path, tmp_path: Path) -> None:
    write_film(tmp_path / "film.mp4").rename(sources / f"{RAW}.mp4")
    write_images(sources / RAW, ["a.png", "b.png"], first=20)
    (sources / RAW / "b.png").rename(sources / RAW / f"{RAW}.png")
    assert run(sources, tmp_path / "frames").frames == 14
    assert {row["name"] for row in rows(tmp_path / "frames", "recordings")} == {"raw\\xff.mp4", "raw\\xff"}


@pytest.mark.parametrize("kind", ["video", "note", "description", "image", "still"])
def test_names_that_are_no_utf8_can_be_left_out(sources: Path, tmp_path: Path, kind: str) -> None:
    out = tmp_path / "frames"
    write_film(sources / "good.mp4")
    if kind in ("video", "note"):
        (sources / (RAW + {"video": ".mp4", "note": ".txt"}[kind])).write_text("no film")
    else:
        folder = write_images(sources / RAW, ["a.png", "b.png"], first=20)
        (folder / "recording.json").write_text({"description": "{", "image": "{}", "still": '{"kind": "stills"}'}[kind])
        (folder / f"{RAW}.png").write_text("no image")
    report = run(sources, out, max_skipped=0.5)
    assert len(report.skipped) == 1
    listed = rows(out, "skipped")[0]
    assert listed["item"].startswith("raw\\xff")
    assert str(tmp_path) not in listed["detail"]
