from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from pipelines.video.decode import open_video
from pipelines.video.packet_times import read_packet_times
from schemas.errors import TakeError
from tests.video_files import make_frames, write_video


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "b.mp4", make_frames(300))


def test_real_ntsc_video(shared_data: Path) -> None:
    reader = open_video(shared_data / "gopro_karma.mp4", decoder="auto")
    assert (reader.decoder, len(reader)) == ("pyav", 362)
    # 3003 ticks of 1/90000 s a frame.
    assert reader.pts_ns.tolist() == [round(Fraction(i * 1001, 30000) * 10**9) for i in range(362)]


def test_variable_rate_keeps_the_recorded_times(tmp_path: Path) -> None:
    pts = [0, 3000, 5000, 14000, 17000]
    path = write_video(tmp_path / "v.mp4", make_frames(5), pts=pts)
    for decoder in ("auto", "pyav"):
        reader = open_video(path, decoder=decoder)
        assert reader.pts_ns.tolist() == [round(p / 90_000 * 1e9) for p in pts]


@pytest.mark.parametrize("decoder", ["auto", "decord", "pyav"])
def test_truncated_video_is_refused(video: Path, tmp_path: Path, decoder: Any) -> None:
    data = video.read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(TakeError, match=r"video_unreadable: .*300 frames it lists, got \d+ of"):
        open_video(path, decoder=decoder)


@pytest.mark.parametrize("content", [b"", b"no video at all" * 99], ids=["empty", "text"])
def test_no_video_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.mp4"
    path.write_bytes(content)
    with pytest.raises(TakeError, match="video_unreadable: video must be readable, got"):
        open_video(path, decoder="auto")


def test_file_without_a_picture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 48_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(TakeError, match=r"video_stream_missing: .* video stream \[.*sound\.mp4\]"):
        open_video(path, decoder="auto")


def test_times_start_at_zero_wherever_the_file_does(tmp_path: Path) -> None:
    pts = [90_000, 93_000, 97_000]
    path = write_video(tmp_path / "late.mp4", make_frames(3), pts=pts)
    times = read_packet_times(path)
    recorded, pts_ns = times.pts, times.pts_ns
    assert np.diff(recorded).tolist() == [3000, 4000]
    assert pts_ns.tolist() == [0, 33_333_333, 77_777_778]
