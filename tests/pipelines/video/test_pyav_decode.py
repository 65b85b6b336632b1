"""Each shortcut of decoding against a plain decode of every frame."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
import torch

from pipelines.video import pyav_decode
from pipelines.video.packet_times import read_packet_times
from pipelines.video.pyav_decode import read_pyav, read_size
from pipelines.video.scale import PictureConverter
from schemas.errors import TakeError
from tests.video_files import make_frames, write_video

FRAMES = 80
X264 = {"preset": "medium", "crf": "22", "threads": "1"}
UNEVEN = np.cumsum(np.random.default_rng(5).integers(1500, 6000, FRAMES)).tolist()


def x264(params: str, *, bf: int) -> dict[str, Any]:
    return {"codec": "libx264", "options": {**X264, "bf": str(bf), "x264-params": params}}


def x265(params: str) -> dict[str, Any]:
    quiet = "log-level=none:pools=1:frame-threads=1"
    return {"codec": "libx265", "options": {"preset": "ultrafast", "x265-params": quiet + params}}


# With the smallest number of frames that a full decode of reference frames gives, and of key
# frames that may be jumped to: none but the first where groups of pictures lean on one another.
KINDS = {
    "no_b_frames": (x264("scenecut=0", bf=0), "mp4", 4),
    "b_frames": (x264("b-pyramid=none:b-adapt=0:scenecut=0", bf=3), "mp4", 4),
    "pyramid": (x264("b-pyramid=normal:b-adapt=0:scenecut=0", bf=5), "mp4", 4),
    "strict_pyramid": (x264("b-pyramid=strict:b-adapt=0:scenecut=0", bf=5), "mkv", 4),
    "temporal_direct": (x264("direct=temporal:weightp=2:b-adapt=0:scenecut=0", bf=3), "mkv", 4),
    "uneven_times": ({**x264("scenecut=0", bf=3), "pts": UNEVEN}, "mp4", 4),
    "no_index": (x264("b-adapt=0:scenecut=0", bf=3), "ts", 4),
    "open_groups": (x264("open-gop=1:b-adapt=0:scenecut=0", bf=3), "mp4", 1),
    "intra_refresh": (x264("intra-refresh=1", bf=0), "mp4", 1),
    "hevc": (x265(":bframes=3:b-adapt=0:scenecut=0:open-gop=0"), "mp4", 4),
    "hevc_open_groups": (x265(":bframes=3:b-adapt=0:scenecut=0:open-gop=1"), "mp4", 4),
}


def write(folder: Path, name: str) -> Path:
    how, suffix, _ = KINDS[name]
    path = folder / f"{name}.{suffix}"
    if suffix == "mp4":
        return write_video(path, make_frames(FRAMES), gop=20, **how)
    # Only mp4 takes the option that puts its index first.
    source = write_video(path.with_suffix(".mp4"), make_frames(FRAMES), gop=20, **how)
    with av.open(str(source)) as file, av.open(str(path), "w") as copy:
        stream = copy.add_stream_from_template(file.streams.video[0])
        for packet in file.demux(video=0):
            if packet.size:
                packet.stream = stream
                copy.mux(packet)
    return path


def plain(path: Path) -> npt.NDArray[np.uint8]:
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def read(path: Path, indices: Any, *, threads: int = 1, **changed: Any) -> npt.NDArray[np.uint8]:
    times = replace(read_packet_times(path), **changed)
    wanted = np.array(indices, dtype=np.int64)
    chunks = read_pyav(path, wanted, times=times, chunk=7, short_side=None, threads=threads)
    return np.concatenate(list(chunks))


def count(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Count packets that go into the decoder, frames that come out, and second attempts."""
    counted = {"packets": 0, "frames": 0, "plain": 0}
    inner_packets, inner_frames = pyav_decode._packets, pyav_decode._frames
    inner_decode = pyav_decode._decode

    def packets(*args: Any, **kwargs: Any) -> Iterator[Any]:
        for packet in inner_packets(*args, **kwargs):
            counted["packets"] += 1
            yield packet

    def frames(*args: Any, **kwargs: Any) -> Iterator[Any]:
        for frame in inner_frames(*args, **kwargs):
            counted["frames"] += 1
            yield frame

    def decode(*args: Any, **kwargs: Any) -> Iterator[Any]:
        counted["plain"] += not kwargs.get("shortcuts", True)
        yield from inner_decode(*args, **kwargs)

    monkeypatch.setattr(pyav_decode, "_packets", packets)
    monkeypatch.setattr(pyav_decode, "_frames", frames)
    monkeypatch.setattr(pyav_decode, "_decode", decode)
    return counted


@pytest.mark.parametrize("name", list(KINDS))
def test_every_choice_of_frames_is_that_of_a_plain_decode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = write(tmp_path, name)
    frames = plain(path)
    assert len(frames) == FRAMES
    assert len(read_packet_times(path).key_places) == KINDS[name][2]
    counted = count(monkeypatch)
    rng = np.random.default_rng(3)
    choices: list[Any] = [range(0, FRAMES, 3), range(FRAMES), [0], [FRAMES - 1]]
    choices += [np.sort(rng.choice(FRAMES, size=n, replace=False)) for n in (1, 2, 3, 6, 15)]
    for threads in (1, 3):
        for indices in choices:
            np.testing.assert_array_equal(
                read(path, indices, threads=threads), frames[np.array(indices)]
            )
    # By the shortcuts: not one had to be given up.
    assert counted["plain"] == 0


@pytest.mark.parametrize("threads", [1, 2])
def test_frames_nobody_leans_on_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    path = write(tmp_path, "b_frames")
    counted = count(monkeypatch)
    read(path, range(0, FRAMES, 3), threads=threads)
    # Three frames of four lean on others alone; of these, the wanted third is decoded.
    assert counted["packets"] >= FRAMES - 4
    assert FRAMES // 4 + FRAMES // 4 <= counted["frames"] <= FRAMES * 0.55
    counted["frames"] = 0
    read(write(tmp_path, "hevc"), range(0, FRAMES, 3), threads=threads)
    assert counted["frames"] >= FRAMES - 4


def test_nothing_is_decoded_beyond_the_last_wanted_frame_or_between_distant_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, "no_b_frames")
    counted = count(monkeypatch)
    read(path, [5])
    assert counted["packets"] == 6
    counted["packets"] = 0
    # Key frames at 0, 20, 40 and 60.
    read(path, [2, 43, 63])
    assert counted["packets"] == 3 + 4 + 4


@pytest.mark.parametrize("shift", [1, -1])
def test_a_jump_that_lands_elsewhere_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shift: int
) -> None:
    path = write(tmp_path, "pyramid")
    frames, times = plain(path), read_packet_times(path)
    counted = count(monkeypatch)
    wanted = [1, 45, 70]
    # Behind: never met. Before: the packets up to the key frame are read over.
    moved = times.key_seek + shift * 25 * 512
    np.testing.assert_array_equal(read(path, wanted, key_seek=moved), frames[wanted])
    assert counted["plain"] == (1 if shift > 0 else 0)


def test_a_false_key_frame_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "no_b_frames")
    frames, times = plain(path), read_packet_times(path)
    counted = count(monkeypatch)
    false: dict[str, Any] = {
        "key_places": np.array([0, 51]), "key_pts": times.pts[[0, 51]],
        "key_seek": times.pts[[0, 51]],
    }  # fmt: skip
    np.testing.assert_array_equal(read(path, [3, 60], **false), frames[[3, 60]])
    assert counted["plain"] == 1


def test_one_thread_is_one_thread(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", make_frames(30, height=192, width=320))
    before = len(list(Path("/proc/self/task").iterdir()))
    times = read_packet_times(path)
    for threads, more in ((1, False), (2, True)):
        chunks = read_pyav(
            path, np.arange(30), times=times, chunk=4, short_side=96, threads=threads
        )
        next(chunks)
        now = len(list(Path("/proc/self/task").iterdir()))
        assert (now > before) == more
        chunks.close()


@pytest.mark.parametrize(("threads", "libav"), [(1, 1), (2, 3), (5, 6)])
def test_a_core_more_is_a_decoding_thread_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int, libav: int
) -> None:
    counts, inner = [], pyav_decode._packets

    def packets(container: Any, stream: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        counts.append(stream.codec_context.thread_count)
        yield from inner(container, stream, *args, **kwargs)

    monkeypatch.setattr(pyav_decode, "_packets", packets)
    read(write(tmp_path, "b_frames"), [3], threads=threads)
    assert counts == [libav]


def test_helpers_use_one_torch_thread_and_leave_the_callers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, inner = set(), PictureConverter.convert

    def convert(self: PictureConverter, *args: Any) -> None:
        seen.add((threading.current_thread().name, torch.get_num_threads()))
        inner(self, *args)

    monkeypatch.setattr(PictureConverter, "convert", convert)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        read(write(tmp_path, "b_frames"), range(0, 30, 3), threads=2)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert [count for _, count in seen] == [1]
    assert threading.current_thread().name not in dict(seen)


def test_helpers_end_with_a_reading_that_is_given_up(tmp_path: Path) -> None:
    path = write(tmp_path, "b_frames")
    before = threading.active_count()
    chunks = read_pyav(
        path, np.arange(60), times=read_packet_times(path), chunk=4, short_side=48, threads=2
    )
    next(chunks)
    assert threading.active_count() > before
    chunks.close()
    assert threading.active_count() == before


def test_size_is_upright(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", make_frames(2), rotation=90)
    assert read_size(path) == (160, 96)
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4
    data[start:] = bytes(len(data) - start)
    path.write_bytes(data)
    with pytest.raises(TakeError, match=r"video_undecodable: .*v\.mp4"):
        read_size(path)
