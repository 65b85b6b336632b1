"""Spoiled videos as PyAV and our reader find them: what is wrong, and what is still right."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipelines.synthetic.plan import plan_dataset
from pipelines.synthetic.spoil_video import plan_frame_times, write_spoiled_video
from pipelines.synthetic.timecode import decode_timecode
from pipelines.synthetic.truth import TakeTruth
from pipelines.synthetic.video_writer import regular_times
from pipelines.video.decode import open_video
from pipelines.video.probe import probe_video
from schemas.errors import TakeError

_FRAMES = 24
_SIZE = 176


@pytest.fixture(scope="module")
def take() -> TakeTruth:
    return plan_dataset(takes=1, seconds=3, seed=8).takes[0]


def write(path: Path, take: TakeTruth, fault: str | None) -> Path:
    times = plan_frame_times(fault, frames=_FRAMES, seed=4)
    write_spoiled_video(
        path, fault=fault, scene=take, seen_ns=times.ns(), times=times, size_px=_SIZE
    )
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "frames", "codec", "decoder"),
    [
        (None, 24, "h264", "pyav"),
        ("imu_gap", 24, "h264", "pyav"),
        ("video_short", 22, "h264", "pyav"),
        ("video_av1", 24, "av1", "pyav"),
        ("video_2997", 24, "h264", "pyav"),
        ("video_variable_rate", 24, "h264", "pyav"),
        ("video_rotated", 24, "h264", "pyav"),
    ],
)
def test_readable_faults_show_every_frame_upright_at_its_time(
    tmp_path: Path, take: TakeTruth, fault: str | None, frames: int, codec: str, decoder: str
) -> None:
    path = write(tmp_path / "v.mp4", take, fault)
    with av.open(str(path)) as container:
        rotation = next(container.decode(video=0)).rotation
    assert rotation == (90 if fault == "video_rotated" else 0)
    reader = open_video(path, decoder="auto")
    assert reader.decoder == decoder
    assert probe_video(path).codec == codec
    times = plan_frame_times(fault, frames=_FRAMES, seed=4).ns()
    np.testing.assert_array_equal(reader.pts_ns, times)
    pictures = np.concatenate(list(reader.read(np.arange(len(reader)))))
    assert [decode_timecode(picture) for picture in pictures] == list(range(frames))
    # What a plain file shows at the same number; the scene of other instants differs by more.
    plain = open_video(write(tmp_path / "plain.mp4", take, None), decoder="auto")
    first = next(plain.read(np.array([0])))[0]
    assert np.abs(pictures[0].astype(int) - first).mean() < 6


def test_sound_stands_alone_without_a_picture(tmp_path: Path, take: TakeTruth) -> None:
    path = write(tmp_path / "v.mp4", take, "video_audio_only")
    with av.open(str(path)) as container:
        assert not container.streams.video
        stream = container.streams.audio[0]
        seconds = sum(frame.samples for frame in container.decode(stream)) / stream.rate
    assert seconds == pytest.approx(_FRAMES / 30, abs=0.05)


def test_truncated_and_empty_files_cannot_be_opened(tmp_path: Path, take: TakeTruth) -> None:
    whole = write(tmp_path / "whole.mp4", take, None).stat().st_size
    cut = write(tmp_path / "cut.mp4", take, "video_truncated")
    assert cut.stat().st_size == int(whole * 0.6)
    empty = write(tmp_path / "empty.mp4", take, "video_empty")
    assert empty.stat().st_size == 0
    for path in (cut, empty):
        with pytest.raises(TakeError, match="video_unreadable: video must be readable"):
            probe_video(path)


def test_plan_of_times() -> None:
    plain = plan_frame_times(None, frames=90, seed=1)
    assert plain.ns().tolist() == [round(Fraction(i, 30) * 10**9) for i in range(90)]
    ntsc = plan_frame_times("video_2997", frames=90, seed=1)
    assert ntsc.ns().tolist() == [round(Fraction(1001 * i, 30_000) * 10**9) for i in range(90)]
    assert len(plan_frame_times("video_short", frames=90, seed=1)) == 81
    assert len(plan_frame_times("video_short", frames=9, seed=1)) == 7
    uneven = plan_frame_times("video_variable_rate", frames=90, seed=1).ns()
    off = uneven - plain.ns()
    assert uneven[0] == 0
    assert np.abs(off).max() <= 0.4e9 / 30 + 1e5
    assert np.diff(uneven).min() > 0.19e9 / 30
    assert np.diff(uneven).std() > 5e6
    other = plan_frame_times("video_variable_rate", frames=90, seed=2).ns()
    assert not np.array_equal(uneven, other)


def test_one_instant_a_frame(tmp_path: Path, take: TakeTruth) -> None:
    with pytest.raises(ValueError, match="times must be one a frame, got 3 for 2"):
        write_spoiled_video(
            tmp_path / "v.mp4",
            fault=None,
            scene=take,
            seen_ns=np.array([0, 1], np.int64),
            times=regular_times(3),
            size_px=_SIZE,
        )
