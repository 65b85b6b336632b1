"""What a machine without a GPU can tell: that decoding falls back, and that no pixel is lost."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest

from pipelines.video import decode, hardware, pyav_decode
from pipelines.video.decode import open_video
from pipelines.video.hardware import HardwareError, gpu_may_decode
from pipelines.video.packet_times import read_packet_times
from pipelines.video.pyav_decode import read_hardware
from pipelines.video.scale import PictureConverter
from tests.video_files import make_frames, write_video

ORDERED = {"preset": "veryfast", "crf": "20", "bf": "0", "threads": "1"}


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "v.mp4"
    return write_video(path, make_frames(30, height=180, width=320), options=ORDERED)


def read(reader: decode.VideoReader, **options: Any) -> npt.NDArray[np.uint8]:
    return np.concatenate(list(reader.read(np.arange(0, 30, 3), chunk=4, **options)))


@pytest.mark.parametrize("decoder", ["auto", "pyav"])
def test_device_that_cannot_be_opened_leaves_the_work_to_a_core(
    video: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], decoder: Any
) -> None:
    if gpu_may_decode():
        pytest.skip("here the device could be opened")
    expected = read(open_video(video, decoder=decoder), short_side=90)
    monkeypatch.setattr(decode, "gpu_may_decode", lambda: True)
    reader = open_video(video, decoder=decoder, hardware="auto")
    assert reader.decoder == "pyav-cuda"
    np.testing.assert_array_equal(read(reader, short_side=90), expected)
    assert reader.decoder == "pyav"
    assert capfd.readouterr().err == ""
    times = read_packet_times(video)
    with pytest.raises(HardwareError, match="must be readable, got"):
        next(read_hardware(video, np.arange(3), times=times, chunk=2, short_side=None, threads=1))


def test_device_that_fails_on_the_way_hands_over_what_is_left(
    video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> Iterator[npt.NDArray[np.uint8]]:
        chunks = pyav_decode.read_pyav(*args, **kwargs)
        yield next(chunks)
        yield next(chunks)
        raise HardwareError("out of surfaces")

    expected = read(open_video(video, decoder="pyav"))
    monkeypatch.setattr(decode, "gpu_may_decode", lambda: True)
    monkeypatch.setattr(decode, "read_hardware", fail)
    reader = open_video(video, decoder="pyav", hardware="auto")
    who, chunks = [], []
    for frames in reader.read(np.arange(0, 30, 3), chunk=4):
        who.append(reader.decoder)
        chunks.append(frames)
    assert who == ["pyav-cuda", "pyav-cuda", "pyav"]
    np.testing.assert_array_equal(np.concatenate(chunks), expected)


def test_the_gpu_is_left_alone_where_it_is_not_asked_for(
    video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode, "gpu_may_decode", lambda: True)
    assert open_video(video, decoder="auto", hardware="none").decoder == "pyav"
    assert open_video(video, decoder="decord", hardware="auto").decoder == "decord"


@pytest.mark.parametrize(
    ("visible", "driver", "built", "expected"),
    [
        (None, True, ["cuda"], True),
        ("0", True, ["cuda"], True),
        ("", True, ["cuda"], False),
        ("-1", True, ["cuda"], False),
        (None, False, ["cuda"], False),
        (None, True, ["vaapi"], False),
    ],
)
def test_a_gpu_is_tried_where_there_may_be_one(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    visible: str | None,
    driver: bool,
    built: list[str],
    expected: bool,
) -> None:
    device = tmp_path / "nvidiactl"
    if driver:
        device.touch()
    monkeypatch.setattr(hardware, "_DRIVERS", (device,))
    monkeypatch.setattr(hardware, "hwdevices_available", lambda: built)
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpu_may_decode() is expected


@pytest.mark.parametrize(
    ("planar", "as_a_gpu_holds_it"), [("yuv420p", "nv12"), ("yuv420p10le", "p010le")]
)
@pytest.mark.parametrize("short_side", [None, 96, 45])
def test_pictures_as_a_gpu_holds_them_become_the_same_pixels(
    video: Path, planar: str, as_a_gpu_holds_it: str, short_side: int | None
) -> None:
    with av.open(str(video)) as container:
        frame = next(container.decode(video=0)).reformat(format=planar)
    held = frame.reformat(format=as_a_gpu_holds_it)
    np.testing.assert_array_equal(held.reformat(format=planar).to_ndarray(), frame.to_ndarray())
    height = short_side or 180
    shape = (height, 320 * height // 180, 3)
    pixels = []
    for picture in (frame, held):
        out = np.zeros(shape, dtype=np.uint8)
        PictureConverter(short_side=short_side).convert(picture, out)
        pixels.append(out)
    assert pixels[0].std() > 20
    np.testing.assert_array_equal(pixels[0], pixels[1])
