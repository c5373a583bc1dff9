import os
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from tests.frames.conftest import draw, huge_png, number_in, write_film, write_images, write_timed_film

from signloop.core.errors import DataError
from signloop.frames.images import MAX_PIXELS
from signloop.frames.video import Frame, find_recordings, open_recording, read_frames, turn_upright


def read_all(path: Path, fps: float | None = None) -> list[Frame]:
    return list(read_frames(open_recording(path, 10), fps=fps))


def good_until_damage(path: Path) -> tuple[list[Frame], str]:
    frames: list[Frame] = []
    try:
        for frame in read_frames(open_recording(path, 10)):
            frames.append(frame)
    except DataError as error:
        return frames, str(error)
    return frames, ""


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".avi", ".MP4"])
def test_a_film_gives_its_frames_in_order_at_their_times(tmp_path: Path, suffix: str) -> None:
    path = write_film(tmp_path / f"film{suffix}")
    recording = open_recording(path, 10)
    assert (recording.kind, recording.frames, recording.width, recording.height, recording.rotation) == ("video", 12, 160, 120, 0)
    assert recording.fps == pytest.approx(10)
    assert recording.duration_s == pytest.approx(1.2, abs=0.01)
    frames = list(read_frames(recording))
    assert [number_in(frame.image) for frame in frames] == [frame.index for frame in frames] == list(range(12))
    assert [frame.time_s for frame in frames] == pytest.approx([k / 10 for k in range(12)], abs=0.002)
    assert frames[0].image.dtype == np.uint8
    assert frames[0].image.flags.c_contiguous


def test_fewer_frames_a_second_keep_index_and_time(tmp_path: Path) -> None:
    path = write_film(tmp_path / "film.mp4")
    for fps, indices in ((5, [0, 2, 4, 6, 8, 10]), (3, [0, 3, 6, 9]), (40, list(range(12)))):
        frames = read_all(path, fps)
        assert [frame.index for frame in frames] == [number_in(frame.image) for frame in frames] == indices


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_variable_rate_has_true_times(tmp_path: Path, suffix: str) -> None:
    times_ms = [0, 40, 80, 480, 520, 1000, 1033, 1900]
    frames = read_all(write_timed_film(tmp_path / f"film{suffix}", times_ms))
    assert [frame.time_s for frame in frames] == pytest.approx([t / 1000 for t in times_ms], abs=0.002)
    assert [number_in(frame.image) for frame in frames] == list(range(8))


def test_times_start_at_the_first_frame(tmp_path: Path) -> None:
    frames = read_all(write_timed_film(tmp_path / "late.mkv", [3000, 3100, 3200]))
    assert [frame.time_s for frame in frames] == pytest.approx([0, 0.1, 0.2], abs=0.002)


@pytest.mark.skipif(not hasattr(av.VideoStream, "set_display_rotation"), reason="this PyAV cannot write a rotation")
@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_turned_film_is_shown_upright(tmp_path: Path, rotation: int) -> None:
    times = [0, 100, 200]
    path = write_timed_film(tmp_path / "turned.mp4", times, rotation=rotation)
    recording = open_recording(path, 10)
    frames = list(read_frames(recording))
    assert recording.rotation == rotation
    assert {frame.image.shape[:2] for frame in frames} == {(recording.height, recording.width)}
    capture = cv2.VideoCapture(str(path))
    shown = capture.read()[1][:, :, ::-1].astype(int)
    assert shown.shape == frames[0].image.shape
    assert np.abs(shown - frames[0].image).mean() < 6  # OpenCV turns by itself; both agree
    assert [number_in(frame.image) for frame in frames] == [0, 1, 2]


def test_turning_an_array() -> None:
    image = draw(3)
    assert turn_upright(image, 0) is image
    assert np.array_equal(turn_upright(turn_upright(image, 90), 270), image)
    assert np.array_equal(turn_upright(image, 90)[-1, 0], image[0, 0])  # the upper left corner goes down


def test_one_frame_is_a_recording(tmp_path: Path) -> None:
    for suffix in (".mp4", ".avi"):
        assert [frame.index for frame in read_all(write_film(tmp_path / f"one{suffix}", frames=1))] == [0]


def test_the_name_is_no_part_of_the_id(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mp4")
    first = open_recording(path, 10).recording_id
    assert open_recording(path.rename(tmp_path / "b.mp4"), 10).recording_id == first
    assert open_recording(write_film(tmp_path / "c.mp4", first=1), 10).recording_id != first
    assert len(first) == 16


@pytest.mark.parametrize("share", [0.4, 0.7, 0.9])
@pytest.mark.parametrize("suffix", [".avi", ".mkv"])
def test_a_truncated_film_gives_its_good_frames_and_then_says_so(tmp_path: Path, suffix: str, share: float) -> None:
    path = write_film(tmp_path / f"film{suffix}", frames=40)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    frames, problem = good_until_damage(path)
    assert "damaged" in problem
    assert 40 * share - 6 < len(frames) < 40 * share + 1
    assert [number_in(frame.image) for frame in frames] == list(range(len(frames)))


def test_a_truncated_mp4_with_its_index_in_front_says_so(tmp_path: Path) -> None:
    plain, path = write_film(tmp_path / "plain.mp4", frames=40), tmp_path / "film.mp4"
    with av.open(str(plain)) as source, av.open(str(path), "w", options={"movflags": "faststart"}) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])
    frames, problem = good_until_damage(path)
    assert "damaged" in problem
    assert [number_in(frame.image) for frame in frames] == list(range(len(frames)))
    assert 15 < len(frames) < 28


def test_flipped_bits_are_noticed(tmp_path: Path) -> None:
    path = write_film(tmp_path / "film.mp4", frames=40)
    content, rng = bytearray(path.read_bytes()), np.random.default_rng(3)
    for _ in range(40):
        content[rng.integers(len(content) // 3, len(content) * 8 // 10)] ^= 1 << int(rng.integers(8))
    path.write_bytes(content)
    frames, problem = good_until_damage(path)
    assert "damaged" in problem
    assert [number_in(frame.image) for frame in frames[:5]] == list(range(5))


def test_what_is_no_video_is_refused_with_its_reason(tmp_path: Path) -> None:
    whole = write_film(tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])  # OpenCV and phones write the index last: nothing is left to read
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("hello world\n" * 100)
    (tmp_path / "list.mp4").write_text(f"#EXTM3U\n#EXTINF:1\n{tmp_path / 'whole.mp4'}\n")
    (tmp_path / "join.mkv").write_text(f"ffconcat version 1.0\nfile '{tmp_path / 'whole.mp4'}'\n")
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    cases = {
        "cut.mp4": "damaged or no video",
        "empty.mp4": "0 bytes",
        "text.mp4": "damaged or no video",
        "sound.mp4": "no video in the file",
        "list.mp4": "damaged or no video",
        "join.mkv": "damaged or no video",
        "missing.mp4": "cannot be read",
    }
    for name, reason in cases.items():
        with pytest.raises(DataError, match=rf"{reason}.*\({name}\)"):
            open_recording(tmp_path / name, 10)


def test_sound_beside_the_pictures_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "film.mkv"
    with av.open(str(path), "w") as container:
        video, audio = container.add_stream("mpeg4", rate=10), container.add_stream("aac", rate=8000)
        video.width, video.height, video.pix_fmt, audio.layout = 160, 120, "yuv420p", "mono"
        for number in range(10):
            container.mux(video.encode(av.VideoFrame.from_ndarray(draw(number), format="rgb24")))
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 8000
        for stream, frame in ((audio, sound), (video, None), (audio, None)):
            container.mux(stream.encode(frame))
    assert [number_in(frame.image) for frame in read_all(path)] == list(range(10))


def test_too_large_a_picture_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signloop.frames.images.MAX_PIXELS", 160 * 120 - 1)
    assert MAX_PIXELS > 7680 * 4320
    with pytest.raises(DataError, match="no size that can be decoded"):
        open_recording(write_film(tmp_path / "film.mp4"), 10)


def test_a_sequence(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "drive", [f"f{k}.png" for k in range(12)])
    recording = open_recording(folder, 5)
    assert (recording.kind, recording.fps, recording.frames) == ("sequence", 5, 12)
    assert recording.duration_s == pytest.approx(2.4)
    frames = list(read_frames(recording, fps=2.5))
    assert [number_in(frame.image) for frame in frames] == [frame.index for frame in frames] == [0, 2, 4, 6, 8, 10]
    assert [frame.time_s for frame in frames] == pytest.approx([0, 0.4, 0.8, 1.2, 1.6, 2.0])
    (folder / "recording.json").write_text('{"kind": "sequence", "fps": 20}')
    assert open_recording(folder, 5).fps == 20
    assert open_recording(folder, 5).recording_id == recording.recording_id


def test_a_sequence_with_a_broken_image_or_one_of_another_size(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "drive", [f"{k:03d}.jpg" for k in range(6)])
    content = (folder / "004.jpg").read_bytes()
    (folder / "004.jpg").write_bytes(content[: len(content) // 2])
    frames, problem = good_until_damage(folder)
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    assert "004.jpg" in problem
    cv2.imwrite(str(folder / "004.jpg"), draw(4, 80, 60))
    with pytest.raises(DataError, match=r"differ in size \(drive/004\.jpg\).*160x120.*80x60.*stills"):
        open_recording(folder, 10)
    (folder / "004.jpg").write_text("no image")
    with pytest.raises(DataError, match=r"cannot be read \(drive\).*004\.jpg"):
        open_recording(folder, 10)


def test_stills_may_differ_and_a_broken_one_leaves_a_gap(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "stills", ["a.jpg", "b.jpg", "c.jpg"])
    (folder / "recording.json").write_text('{"kind": "stills"}')
    cv2.imwrite(str(folder / "d.png"), np.ascontiguousarray(draw(3, 320, 200)[:, :, ::-1]))
    (folder / "b.jpg").write_text("no image")
    huge_png(folder / "e.png", 30_000, 30_000)
    recording = open_recording(folder, 10)
    assert (recording.kind, recording.fps, recording.frames, recording.width, recording.duration_s) == ("stills", None, 5, 160, 0)
    bad: list[str] = []
    frames = list(read_frames(recording, fps=1, on_bad=lambda path, _: bad.append(path.name)))
    assert [number_in(frame.image) for frame in frames] == [frame.index for frame in frames] == [0, 2, 3]
    assert [frame.image.shape[1] for frame in frames] == [160, 160, 320]
    assert bad == ["b.jpg", "e.png"]
    frames, problem = good_until_damage(folder)
    assert len(frames) == 3
    assert "some images cannot be read (stills); found 2" in problem


@pytest.mark.parametrize(
    "text",
    [
        '{"kind": "film"}',
        "[1]",
        '{"speed": 3}',
        '{"fps": 0}',
        '{"fps": true}',
        '{"fps": "5"}',
        '{"fps": NaN}',
        "{",
    ],
)
def test_a_wrong_description_is_refused(tmp_path: Path, text: str) -> None:
    folder = write_images(tmp_path / "drive", ["a.png"])
    (folder / "recording.json").write_text(text)
    with pytest.raises(DataError, match=r"recording\.json"):
        open_recording(folder, 10)


def test_folders_without_a_readable_image_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write_film(tmp_path / "empty" / "film.mp4")
    with pytest.raises(DataError, match="no image in the folder"):
        open_recording(tmp_path / "empty", 10)
    folder = tmp_path / "bad"
    folder.mkdir()
    (folder / "recording.json").write_text('{"kind": "stills"}')
    (folder / "a.png").touch()
    with pytest.raises(DataError, match="no image in the folder can be read"):
        open_recording(folder, 10)


def test_finding_recordings_lists_every_entry_once(sources: Path, tmp_path: Path) -> None:
    strange = ["a b.mp4", "grün ☃.mp4", "two\nlines.mp4", "d:e|f.mp4", os.fsdecode(b"raw\xff.mp4")]
    for number, name in enumerate(strange):
        write_film(tmp_path / "film.mp4", first=number).rename(sources / name)
    (sources / "zz copy.mp4").write_bytes((sources / "a b.mp4").read_bytes())
    write_images(sources / "folder", ["a.png"])
    (sources / "notes.txt").write_text("hello")
    for name in ("README.md", ".gitignore", "film.dvc", "demo-truth.json"):
        (sources / name).write_text("ignored")
    (sources / "text.mp4").write_text("hello")
    outside = write_film(tmp_path / "outside.mp4", first=9)
    (sources / "link.mp4").symlink_to(outside)
    (sources / "lost.mp4").symlink_to(sources / "nothing")
    (sources / "out").symlink_to(write_images(tmp_path / "elsewhere", ["a.png"]))
    os.mkfifo(sources / "pipe.mp4")
    recordings, skipped = find_recordings(sources, 10)
    assert [r.name for r in recordings] == ["a b.mp4", "d:e|f.mp4", "folder", "grün ☃.mp4", "raw\\xff.mp4", "two\nlines.mp4"]
    assert all(number_in(next(iter(read_frames(r))).image) in range(5) for r in recordings)
    reasons = {row["item"]: row["reason"] for row in skipped}
    assert reasons == {
        "zz copy.mp4": "the same content as another recording",
        "notes.txt": "not a recording",
        "text.mp4": "the file is damaged or no video",
        "link.mp4": "a link that leads out of the folder is not followed",
        "lost.mp4": "the file cannot be opened",
        "out": "a link that leads out of the folder is not followed",
        "pipe.mp4": "neither a file nor a folder",
    }
    assert all(str(tmp_path) not in row["detail"] for row in skipped)
    assert {row["stage"] for row in skipped} == {"extract"}
    assert find_recordings(sources / "missing", 10) == ([], [])
