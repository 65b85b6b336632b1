from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipelines.video.probe import probe_video
from schemas.errors import TakeError


def write_video(path: Path, *, frames: int, rate: Fraction = Fraction(30)) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(frames):
            picture = np.full((48, 64, 3), i * 7 % 256, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


@pytest.mark.parametrize("rate", [Fraction(30), Fraction(30000, 1001)])
def test_header_says_what_was_encoded(tmp_path: Path, rate: Fraction) -> None:
    write_video(tmp_path / "v.mp4", frames=17, rate=rate)
    probe = probe_video(tmp_path / "v.mp4")
    assert (probe.num_frames_from_header, probe.rate) == (17, rate)
    assert (probe.width, probe.height, probe.codec) == (64, 48, "h264")
    assert probe.first_pts_ns == 0
    assert probe.duration_ns == pytest.approx(17 * 1e9 / rate, abs=2e6)


def test_frames_are_counted_where_the_header_does_not_say(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mkv", frames=9)
    with av.open(str(tmp_path / "v.mkv")) as container:
        assert container.streams.video[0].frames == 0
    assert probe_video(tmp_path / "v.mkv").num_frames_from_header == 9


def test_real_recording_agrees_with_its_packets(shared_data: Path) -> None:
    probe = probe_video(shared_data / "gopro_karma.mp4")
    with av.open(str(shared_data / "gopro_karma.mp4")) as container:
        packets = [p for p in container.demux(video=0) if p.size]
        first_s = min(p.pts * p.time_base for p in packets)
    assert probe.num_frames_from_header == len(packets) == 362
    assert probe.rate == Fraction(30000, 1001)
    assert probe.first_pts_ns == round(first_s * 1_000_000_000)
    assert (probe.width, probe.height) == (854, 480)


def test_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "v.mp4").write_bytes(b"no video" * 100)
    with pytest.raises(TakeError, match=r"video must be readable, got .*v\.mp4\]") as caught:
        probe_video(tmp_path / "v.mp4")
    assert caught.value.code == "video_unreadable"


def test_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TakeError, match="video_unreadable"):
        probe_video(tmp_path / "none.mp4")


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    with pytest.raises(TakeError, match="must hold a video stream"):
        probe_video(tmp_path / "a.wav")


def test_boxes_nested_deeper_than_calls_are_refused(tmp_path: Path) -> None:
    data = b""
    for _ in range(2000):
        data = (8 + len(data)).to_bytes(4, "big") + b"moov" + data
    path = tmp_path / "deep.mp4"
    path.write_bytes((16).to_bytes(4, "big") + b"ftypisomisom" + data)
    with pytest.raises(TakeError, match="must not nest boxes so deep") as caught:
        probe_video(path)
    assert caught.value.code == "video_unreadable"
