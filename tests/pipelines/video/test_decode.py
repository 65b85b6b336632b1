from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import decord
import numpy as np
import numpy.typing as npt
import pytest

from pipelines.video import decode
from pipelines.video.decode import open_video
from schemas.errors import TakeError
from tests.video_files import make_frames, write_video


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 frames, B-frames, key frames 250 apart."""
    return write_video(tmp_path_factory.mktemp("video") / "b.mp4", make_frames(300))


def plain_pyav(path: Path) -> tuple[list[int], npt.NDArray[np.uint8]]:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    start = frames[0].pts or 0
    ns = [
        round(Fraction((f.pts or 0) - start) * f.time_base * 10**9)
        for f in frames
        if f.time_base is not None
    ]
    return ns, np.stack([f.to_ndarray(format="rgb24") for f in frames])


def as_indices(values: Any) -> npt.NDArray[np.int64]:
    return np.array(list(values), dtype=np.int64)


@pytest.mark.parametrize("decoder", ["auto", "decord", "pyav"])
@pytest.mark.parametrize(
    "indices",
    [
        pytest.param(range(300), id="all"),
        pytest.param(range(0, 300, 3), id="grid"),
        pytest.param([0], id="first"),
        pytest.param([299], id="last"),
        pytest.param([1, 247, 249, 250, 251, 298], id="around_the_key_frame"),
    ],
)
def test_frames_and_times_are_those_of_plain_decoding(
    video: Path, decoder: Any, indices: Any
) -> None:
    times, frames = plain_pyav(video)
    reader = open_video(video, decoder=decoder)
    assert reader.decoder == ("pyav" if decoder == "pyav" else "decord")
    assert reader.pts_ns.tolist() == times
    wanted = as_indices(indices)
    chunks = list(reader.read(wanted, chunk=32))
    assert [len(c) for c in chunks[:-1]] == [32] * (len(chunks) - 1)
    np.testing.assert_array_equal(np.concatenate(chunks), frames[wanted])


def test_av1_falls_back_to_pyav(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write_video(
        tmp_path / "av1.mp4", make_frames(12), codec="libsvtav1", options={"preset": "12"}
    )
    times, frames = plain_pyav(path)
    reader = open_video(path, decoder="auto")
    assert reader.decoder == "pyav"
    assert reader.pts_ns.tolist() == times
    np.testing.assert_array_equal(next(reader.read(as_indices(range(12)))), frames)
    with pytest.raises(TakeError, match=r"video_undecodable: .*decodable by decord.*av1\.mp4"):
        open_video(path, decoder="decord")


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_both_decoders_turn_pictures_upright(tmp_path: Path, rotation: int) -> None:
    path = write_video(tmp_path / "r.mp4", make_frames(4), rotation=rotation)
    upright = np.stack([np.rot90(f, rotation // 90) for f in plain_pyav(path)[1]])
    for decoder in ("decord", "pyav"):
        frames = next(open_video(path, decoder=decoder).read(as_indices(range(4))))
        np.testing.assert_array_equal(frames, upright)


def test_pyav_takes_over_where_decord_gives_up(
    video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class FailingReader:
        def __init__(self, path: Path) -> None:
            self._inner = decord.VideoReader(str(path))
            self._calls = 0

        def get_batch(self, indices: list[int]) -> Any:
            self._calls += 1
            if self._calls > 2:
                raise decord.DECORDError("broken")
            return self._inner.get_batch(indices)

    reader, strict = open_video(video, decoder="auto"), open_video(video, decoder="decord")
    monkeypatch.setattr(decode, "_new_decord", FailingReader)
    wanted = as_indices(range(0, 60, 2))
    decoders, chunks = [], []
    for frames in reader.read(wanted, chunk=8):
        decoders.append(reader.decoder)
        chunks.append(frames)
    assert decoders == ["decord", "decord", "pyav", "pyav"]
    np.testing.assert_array_equal(np.concatenate(chunks), plain_pyav(video)[1][wanted])
    with pytest.raises(TakeError, match="decodable by decord, got broken"):
        list(strict.read(wanted, chunk=8))


def test_decord_that_counts_otherwise_is_not_used(
    video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OtherCount:
        def __init__(self, path: Path) -> None:
            pass

        def __len__(self) -> int:
            return 299

    monkeypatch.setattr(decode, "_new_decord", OtherCount)
    assert open_video(video, decoder="auto").decoder == "pyav"
    with pytest.raises(TakeError, match="got 299 frames where the file holds 300"):
        open_video(video, decoder="decord")


@pytest.mark.parametrize(("most", "chosen"), [(300, "decord"), (299, "pyav")])
def test_long_files_are_read_by_pyav_unless_decord_is_asked_for(
    video: Path, monkeypatch: pytest.MonkeyPatch, most: int, chosen: str
) -> None:
    assert len(open_video(video, decoder="auto")) == 300
    monkeypatch.setattr(decode, "_DECORD_FRAMES", most)
    assert open_video(video, decoder="auto").decoder == chosen
    assert open_video(video, decoder="decord").decoder == "decord"


@pytest.mark.parametrize("decoder", ["auto", "decord", "pyav"])
def test_damaged_stretch_is_refused_and_never_repeated(
    video: Path, tmp_path: Path, decoder: Any
) -> None:
    data = bytearray(video.read_bytes())
    middle = len(data) * 3 // 4
    data[middle : middle + 4000] = bytes(4000)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(data)
    reader = open_video(path, decoder=decoder)
    with pytest.raises(TakeError, match=r"video_undecodable: .*damaged\.mp4"):
        list(reader.read(as_indices(range(300))))


@pytest.mark.parametrize("indices", [[-1, 0], [0, 300], [3, 3], [4, 2]])
def test_indices_outside_or_out_of_order_are_refused(video: Path, indices: list[int]) -> None:
    with pytest.raises(ValueError, match=r"increase strictly within \[0, 300\)"):
        next(open_video(video, decoder="auto").read(as_indices(indices)))


def test_nothing_wanted_reads_nothing(video: Path) -> None:
    assert list(open_video(video, decoder="pyav").read(as_indices([]))) == []
    assert list(open_video(video, decoder="decord").read(as_indices([]))) == []
