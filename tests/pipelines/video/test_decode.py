from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import decord
import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from pipelines.synthetic.picture import make_world, render_frame
from pipelines.video import decord_decode
from pipelines.video.decode import open_video
from pipelines.video.preprocess import preprocess_frames
from schemas.errors import TakeError
from tests.video_files import make_frames, write_video

NO_B_FRAMES = {"preset": "veryfast", "crf": "20", "bf": "0", "threads": "1"}


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 frames, B-frames, key frames 250 apart."""
    return write_video(tmp_path_factory.mktemp("video") / "b.mp4", make_frames(300))


@pytest.fixture(scope="module")
def ordered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same without B-frames: stored in the order in which they are shown."""
    path = tmp_path_factory.mktemp("video") / "p.mp4"
    return write_video(path, make_frames(300), options=NO_B_FRAMES)


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


@pytest.mark.parametrize("name", ["video", "ordered"])
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
    request: pytest.FixtureRequest, name: str, decoder: Any, indices: Any
) -> None:
    path: Path = request.getfixturevalue(name)
    times, frames = plain_pyav(path)
    reader = open_video(path, decoder=decoder)
    assert reader.decoder == ("pyav" if decoder == "auto" else decoder)
    assert reader.pts_ns.tolist() == times
    wanted = as_indices(indices)
    chunks = list(reader.read(wanted, chunk=32))
    assert [len(c) for c in chunks[:-1]] == [32] * (len(chunks) - 1)
    np.testing.assert_array_equal(np.concatenate(chunks), frames[wanted])


def test_av1_is_decoded_unless_decord_is_asked_for(tmp_path: Path) -> None:
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


def test_decord_that_gives_up_is_no_silent_change_of_decoder(
    ordered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class FailingReader:
        def __init__(self, path: Path, **_: Any) -> None:
            self._inner = decord.VideoReader(str(path))
            self._calls = 0

        def get_batch(self, indices: list[int]) -> Any:
            self._calls += 1
            if self._calls > 2:
                raise decord.DECORDError("broken")
            return self._inner.get_batch(indices)

    reader = open_video(ordered, decoder="decord")
    monkeypatch.setattr(decord_decode, "_new_reader", FailingReader)
    chunks = reader.read(as_indices(range(0, 60, 2)), chunk=8)
    assert [len(next(chunks)) for _ in range(2)] == [8, 8]
    with pytest.raises(TakeError, match="decodable by decord, got broken"):
        next(chunks)
    assert reader.decoder == "decord"


def test_decord_that_counts_otherwise_is_not_used(
    ordered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OtherCount:
        def __init__(self, path: Path, **_: Any) -> None:
            pass

        def __len__(self) -> int:
            return 299

    monkeypatch.setattr(decord_decode, "_new_reader", OtherCount)
    with pytest.raises(TakeError, match="got 299 frames where the file holds 300"):
        open_video(ordered, decoder="decord")


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


@pytest.mark.parametrize("seed", range(4))
def test_decord_gives_the_right_frame_wherever_it_could_jump(tmp_path: Path, seed: int) -> None:
    # Its own jumps are some frames off in such a file: B-frames that lean on B-frames.
    options = {"preset": "medium", "bf": "5", "threads": "1"}
    options["x264-params"] = "b-pyramid=normal:b-adapt=0"
    path = write_video(tmp_path / "v.mp4", make_frames(80), options=options, gop=20)
    _, frames = plain_pyav(path)
    wanted = np.sort(np.random.default_rng(seed).choice(80, size=6, replace=False))
    got = np.concatenate(list(open_video(path, decoder="decord").read(wanted, chunk=4)))
    np.testing.assert_array_equal(got, frames[wanted])


@pytest.mark.parametrize("size", [(96, 160), (160, 96), (96, 96)])
@pytest.mark.parametrize("rotation", [0, 90])
def test_pictures_are_scaled_inside_the_reader(
    tmp_path: Path, size: tuple[int, int], rotation: int
) -> None:
    height, width = size
    # Grey cells of 16 pixels: colour is stored at half the size, which would blur the comparison.
    small = make_frames(4, height=height, width=width)
    frames = [f[..., :1].repeat(3, axis=2).repeat(2, axis=0).repeat(2, axis=1) for f in small]
    path = write_video(tmp_path / "v.mp4", frames, options=NO_B_FRAMES, rotation=rotation)
    full = [np.rot90(f, rotation // 90) for f in plain_pyav(path)[1]]
    expected = np.stack([shrink(f, by=2) for f in full])
    for decoder in ("decord", "pyav"):
        got = next(open_video(path, decoder=decoder).read(as_indices(range(4)), short_side=96))
        assert got.shape == expected.shape
        error = np.abs(got.astype(int) - expected)
        assert error.mean() < 4
        # One pixel aside would be another picture.
        assert np.abs(got[:, :-1].astype(int) - expected[:, 1:]).mean() > 2 * error.mean()


def shrink(frame: npt.NDArray[np.uint8], *, by: int) -> npt.NDArray[np.uint8]:
    height, width, _ = frame.shape
    picture = Image.fromarray(np.ascontiguousarray(frame))
    return np.asarray(picture.resize((width // by, height // by), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("decoder", ["decord", "pyav"])
def test_pictures_are_never_enlarged(ordered: Path, decoder: Any) -> None:
    reader = open_video(ordered, decoder=decoder)
    full = next(reader.read(as_indices([5, 9])))
    for short_side in (96, 97, 4000):
        got = next(reader.read(as_indices([5, 9]), short_side=short_side))
        np.testing.assert_array_equal(got, full)
    assert next(reader.read(as_indices([5]), short_side=95)).shape == (1, 95, 158, 3)


@pytest.mark.parametrize("decoder", ["decord", "pyav"])
@pytest.mark.parametrize("name", ["video", "ordered"])
def test_scaled_bits_depend_on_the_frame_alone(
    request: pytest.FixtureRequest, name: str, decoder: Any
) -> None:
    reader = open_video(request.getfixturevalue(name), decoder=decoder)
    whole = np.concatenate(list(reader.read(as_indices(range(60)), short_side=48)))
    for wanted in ([0], [7, 11, 59], range(0, 60, 3)):
        for threads, chunk in ((1, 4), (2, 32), (3, 5)):
            got = np.concatenate(
                list(reader.read(as_indices(wanted), short_side=48, threads=threads, chunk=chunk))
            )
            np.testing.assert_array_equal(got, whole[as_indices(wanted)])


CLIP_SIZES = [
    pytest.param(448, id="448"),
    pytest.param(1408, id="1408", marks=pytest.mark.slow),
]


@pytest.mark.slow
@pytest.mark.parametrize("size", CLIP_SIZES)
def test_an_encoder_of_real_size_sees_no_difference(tmp_path: Path, size: int) -> None:
    world = make_world(5, sub_action=1)
    frames = [
        av.VideoFrame.from_ndarray(
            render_frame(
                world,
                angles=np.array([0.2, 0.1, 0.05]) * (i - 4),
                centre_px=(500, 500),
                size_px=size,
                index=i,
            ),
            format="yuv420p",
        ).to_ndarray(format="rgb24")
        for i in range(9)
    ]
    options = {"preset": "ultrafast", "crf": "20", "bf": "0"}
    path = write_video(tmp_path / "v.mp4", frames, options=options)
    full = plain_pyav(path)[1][::4]
    pillow = np.stack(
        [np.asarray(Image.fromarray(f).resize((224, 224), Image.Resampling.BICUBIC)) for f in full]
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tower = CLIPVisionModelWithProjection(CLIPVisionConfig(projection_dim=512)).eval()

    @torch.no_grad()
    def embed(pictures: npt.NDArray[np.uint8]) -> torch.Tensor:
        seen = tower(pixel_values=preprocess_frames(pictures, image_size=224)).image_embeds
        return torch.nn.functional.normalize(seen)

    expected = embed(pillow)
    for decoder in ("decord", "pyav"):
        reader = open_video(path, decoder=decoder)
        got = next(reader.read(as_indices(range(0, 9, 4)), short_side=224))
        assert float((embed(got) * expected).sum(dim=1).min()) >= 0.9999
    # The measure tells pictures apart.
    assert float((expected[0] * expected[1]).sum()) < 0.9999


def test_nothing_wanted_reads_nothing(video: Path) -> None:
    assert list(open_video(video, decoder="pyav").read(as_indices([]))) == []
    assert list(open_video(video, decoder="decord").read(as_indices([]))) == []
