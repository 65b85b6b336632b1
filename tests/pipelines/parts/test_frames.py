import math
import threading
import time
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from pipelines.config import EncoderConfig, VideoConfig
from pipelines.encoders.clip4clip import Clip4ClipEncoder, open_clip4clip
from pipelines.encoders.make_encoder import make_encoder
from pipelines.parts.frames import to_embedding_column, write_frames_part
from pipelines.parts.keys import FRAMES_PART_VERSION
from pipelines.parts.store import PartStore
from pipelines.profile.work import WorkMeter
from pipelines.video.decode import VideoReader, open_video
from pipelines.video.motion import image_shifts, small_grey
from schemas.embedding import EmbeddingSpec, frames_part_schema
from schemas.errors import TakeError
from schemas.time import NS_PER_MS, Interval
from tests.video_files import make_frames, write_video

KEY = "ab" * 32


class MeanEncoder:
    """Embeds a frame as its mean colour and its corner's: exact to compute by hand."""

    def __init__(self, *, batch_size: int = 8, scale: float = 1.0) -> None:
        self.calls: list[int] = []
        self.scale = scale
        self.spec = EmbeddingSpec(
            name="mean",
            revision=None,
            weights_sha256="0" * 64,
            video_dim=4,
            text_dim=4,
            image_size=8,
            max_tokens=77,
            batch_size=batch_size,
            device_kind="cpu",
            precision="float32",
        )

    def encode_frames(self, frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        self.calls.append(len(frames))
        means = frames.mean(axis=(1, 2))
        corner = frames[:, :16, :16].mean(axis=(1, 2, 3))
        return (np.column_stack([means, corner]) * self.scale).astype(np.float32)

    def encode_texts(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        raise AssertionError("no text is in a frames part")

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        raise AssertionError("no text is in a frames part")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """75 frames at 30 a second, 2.5 s."""
    return write_video(tmp_path_factory.mktemp("video") / "v.mp4", make_frames(75))


def span_ms(start: int, end: int) -> Interval:
    return Interval(start * NS_PER_MS, end * NS_PER_MS)


def write(
    root: Path, path: Path, *, encoder: Any, span: Interval, **options: Any
) -> list[dict[str, Any]]:
    parts = PartStore(root)
    progress = options.pop("progress", None)
    config = VideoConfig(**options)
    write_frames_part(
        parts, KEY, paths=[path], span=span, config=config, encoder=encoder, progress=progress
    )
    table = parts.read_table("frames", KEY)
    schema = frames_part_schema(encoder.spec.video_dim)
    assert table.schema.remove_metadata() == schema
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def plain_frames(path: Path) -> list[npt.NDArray[np.uint8]]:
    with av.open(str(path)) as container:
        return [
            np.asarray(f.to_ndarray(format="rgb24"), dtype=np.uint8)
            for f in container.decode(video=0)
        ]


def test_each_grid_time_has_its_frame(video: Path, tmp_path: Path) -> None:
    rows = write(tmp_path, video, encoder=MeanEncoder(), span=span_ms(0, 2500))
    frames = plain_frames(video)
    assert [r["t_ns"] for r in rows] == [i * 100 * NS_PER_MS for i in range(25)]
    assert [r["frame_index"] for r in rows] == [3 * i for i in range(25)]
    assert [r["pts_ns"] for r in rows] == [i * 100 * NS_PER_MS for i in range(25)]
    assert {r["decoder"] for r in rows} == {"pyav"}
    expected = MeanEncoder().encode_frames(np.stack(frames[::3])).astype(np.float16)
    np.testing.assert_array_equal(np.array([r["embedding"] for r in rows], np.float16), expected)


def test_motion_is_that_of_consecutive_grid_frames(video: Path, tmp_path: Path) -> None:
    rows = write(tmp_path, video, encoder=MeanEncoder(batch_size=7), span=span_ms(0, 2500))
    greys = small_grey(np.stack(plain_frames(video)[::3]))
    assert [rows[0][f"motion_{k}"] for k in ("dx", "dy", "peak")] == [None] * 3
    for i in range(1, 25):
        (shift,) = image_shifts(greys[i - 1 : i + 1])
        found = [rows[i][f"motion_{k}"] for k in ("dx", "dy", "peak")]
        assert found == pytest.approx(shift, abs=1e-6)
    # Three frames apart, the texture moved by -9 of 160 and -6 of 96 pixels.
    assert rows[5]["motion_dx"] == pytest.approx(-9 / 160, abs=0.006)
    assert rows[5]["motion_dy"] == pytest.approx(-6 / 96, abs=0.008)


def test_first_frame_of_each_second_has_a_thumbnail(video: Path, tmp_path: Path) -> None:
    rows = write(tmp_path, video, encoder=MeanEncoder(batch_size=10), span=span_ms(300, 2500))
    starts = [r["t_ns"] // NS_PER_MS for r in rows if r["jpeg"] is not None]
    assert starts == [300, 1000, 2000]
    with Image.open(BytesIO(rows[7]["jpeg"])) as picture:
        assert picture.size == (96, 58)
        thumbnail = np.asarray(picture, dtype=np.float64)
    frame = plain_frames(video)[30]
    assert np.abs(thumbnail.mean(axis=(0, 1)) - frame.mean(axis=(0, 1))).max() < 3


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_chunks_change_nothing(video: Path, tmp_path: Path, batch_size: int) -> None:
    reference = write(tmp_path / "a", video, encoder=MeanEncoder(), span=span_ms(0, 2500))
    encoder = MeanEncoder(batch_size=batch_size)
    calls: list[tuple[int, int]] = []
    rows = write(
        tmp_path / "b",
        video,
        encoder=encoder,
        span=span_ms(0, 2500),
        progress=lambda done, total: calls.append((done, total)),
    )
    assert rows == reference
    assert max(encoder.calls) == min(batch_size, 25)
    assert calls[-1] == (25, 25)
    assert len(calls) == len(encoder.calls)


def test_decoders_agree(video: Path, tmp_path: Path) -> None:
    a = write(tmp_path / "a", video, encoder=MeanEncoder(), span=span_ms(0, 900), decoder="decord")
    b = write(tmp_path / "b", video, encoder=MeanEncoder(), span=span_ms(0, 900), decoder="pyav")
    assert {r.pop("decoder") for r in a} == {"decord"}
    assert {r.pop("decoder") for r in b} == {"pyav"}
    assert a == b


def test_missing_frames_have_no_row_and_break_the_motion(tmp_path: Path) -> None:
    # 30 frames a second; nothing between 0.5 and 1.2 s.
    pts = [3000 * i for i in range(75) if not 15 < i < 36]
    path = write_video(tmp_path / "gap.mp4", make_frames(len(pts)), pts=pts)
    rows = write(tmp_path, path, encoder=MeanEncoder(), span=span_ms(0, 2300))
    ms = [r["t_ns"] // NS_PER_MS for r in rows]
    assert ms == [*range(0, 501, 100), *range(1200, 2300, 100)]
    assert rows[6]["pts_ns"] == 1_200_000_000
    assert rows[6]["frame_index"] == 16
    assert [i for i, r in enumerate(rows) if r["motion_dx"] is None] == [0, 6]
    assert rows[6]["jpeg"] is not None


def test_grid_and_tolerance_come_from_the_config(video: Path, tmp_path: Path) -> None:
    encoder = MeanEncoder()
    rows = write(tmp_path, video, encoder=encoder, span=span_ms(0, 200), step_ms=10)
    # Frames lie 33 ms apart, so neighbouring grid times share one, which is encoded once.
    expected = [math.ceil(t * 0.03 - 0.5) for t in range(0, 200, 10)]
    assert [r["frame_index"] for r in rows] == expected
    assert sum(encoder.calls) == len(set(expected))
    few = write(tmp_path / "few", video, encoder=encoder, span=span_ms(0, 200), step_ms=10,
                tolerance_ms=1)  # fmt: skip
    assert [r["t_ns"] // NS_PER_MS for r in few] == [0, 100]


def test_uneven_times_lead_each_grid_time_to_its_nearest_frame(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    pts = np.cumsum(rng.integers(1200, 7000, 60)).tolist()
    path = write_video(tmp_path / "vfr.mp4", make_frames(60), pts=pts)
    encoder = MeanEncoder()
    rows = write(tmp_path, path, encoder=encoder, span=span_ms(0, 2000), tolerance_ms=500)
    at_ms = [(p - pts[0]) / 90 for p in pts]
    expected = [min(range(60), key=lambda i: abs(at_ms[i] - t)) for t in range(0, 2000, 100)]
    assert [r["frame_index"] for r in rows] == expected
    assert [r["pts_ns"] / 1e6 for r in rows] == pytest.approx([at_ms[i] for i in expected])
    frames = encoder.encode_frames(np.stack([plain_frames(path)[i] for i in expected]))
    np.testing.assert_array_equal([r["embedding"] for r in rows], frames.astype(np.float16))


def test_chapters_are_one_recording(video: Path, tmp_path: Path) -> None:
    second = write_video(tmp_path / "2.mp4", make_frames(75, seed=1))
    encoder = MeanEncoder()
    parts = PartStore(tmp_path)
    write_frames_part(
        parts,
        KEY,
        paths=[video, second],
        span=span_ms(0, 5000),
        config=VideoConfig(),
        encoder=encoder,
    )
    rows = parts.read_table("frames", KEY).to_pylist()
    assert [r["t_ns"] for r in rows] == [i * 100 * NS_PER_MS for i in range(50)]
    assert [r["frame_index"] for r in rows] == [3 * i for i in range(50)]
    # 75 frames last 2.5 s, to the tick of a steady 30 a second.
    assert [r["pts_ns"] for r in rows] == [r["t_ns"] for r in rows]
    alone = encoder.encode_frames(np.stack(plain_frames(second)[::3])).astype(np.float16)
    np.testing.assert_array_equal([r["embedding"] for r in rows[25:]], alone)


def test_motion_is_left_out_where_it_is_not_asked_for(video: Path, tmp_path: Path) -> None:
    encoder, parts = MeanEncoder(), PartStore(tmp_path)
    for key, motion in ((KEY, True), ("e" * 64, False)):
        write_frames_part(
            parts,
            key,
            paths=[video],
            span=span_ms(0, 800),
            config=VideoConfig(),
            encoder=encoder,
            motion=motion,
        )
    told, silent = parts.read_table("frames", KEY), parts.read_table("frames", "e" * 64)
    names = ("motion_dx", "motion_dy", "motion_peak")
    assert [told[name].null_count for name in names] == [1, 1, 1]
    assert [silent[name].null_count for name in names] == [len(silent)] * 3 == [8, 8, 8]
    assert told.drop_columns(list(names)).equals(silent.drop_columns(list(names)))


def test_picture_too_small_for_motion_has_none(tmp_path: Path) -> None:
    path = write_video(tmp_path / "s.mp4", make_frames(12, height=64, width=64))
    rows = write(tmp_path, path, encoder=MeanEncoder(), span=span_ms(0, 400))
    assert [r["motion_dx"] for r in rows] == [None] * 4


def test_av1_is_read_and_says_by_whom(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "av1.mp4", make_frames(12), codec="libsvtav1", options={"preset": "12"}
    )
    rows = write(tmp_path, path, encoder=MeanEncoder(), span=span_ms(0, 400))
    assert [r["decoder"] for r in rows] == ["pyav"] * 4


def test_no_frame_in_the_span_is_a_fault_of_the_take(video: Path, tmp_path: Path) -> None:
    parts = PartStore(tmp_path)
    with pytest.raises(TakeError, match=r"video_frames_missing: .* 10 grid times .* \[v\.mp4\]"):
        write_frames_part(
            parts,
            KEY,
            paths=[video],
            span=span_ms(9000, 10_000),
            config=VideoConfig(),
            encoder=MeanEncoder(),
        )
    assert not parts.path("frames", KEY).exists()


def test_overflow_of_float16_is_a_fault_of_the_take(video: Path, tmp_path: Path) -> None:
    parts = PartStore(tmp_path)
    with pytest.raises(TakeError, match=r"embedding_not_finite: .* 3 are not \[v\.mp4\]"):
        write_frames_part(
            parts,
            KEY,
            paths=[video],
            span=span_ms(0, 300),
            config=VideoConfig(),
            encoder=MeanEncoder(scale=1e6),
        )
    assert not parts.path("frames", KEY).exists()


def test_embedding_without_direction_is_a_fault_of_the_take() -> None:
    rows = np.array([[1.0, 0.0], [0.0, 0.0], [1e-9, 0.0]], dtype=np.float32)
    with pytest.raises(TakeError, match=r"embedding_zero: .*, 2 are all zeros \[v\.mp4\]"):
        to_embedding_column(rows, place="v.mp4")
    assert len(to_embedding_column(rows[:1], place="v.mp4")) == 1


def test_embedding_column_keeps_the_largest_float16() -> None:
    column = to_embedding_column(np.array([[65504.0, -1.0]], np.float32), place="x")
    assert column.to_pylist() == [[65504.0, -1.0]]
    with pytest.raises(TakeError, match=r"1 are not \[x\]"):
        to_embedding_column(np.array([[1.0, 1.0], [np.nan, 1.0]], np.float32), place="x")


def test_golden_output_of_this_part_version(video: Path, tmp_path: Path) -> None:
    """Raise FRAMES_PART_VERSION with these numbers when they change on purpose."""
    make_encoder(tmp_path / "tiny", preset="tiny", seed=0)
    encoder: Clip4ClipEncoder = open_clip4clip(
        EncoderConfig(name=str(tmp_path / "tiny"), precision="float32")
    )
    rows = write(tmp_path, video, encoder=encoder, span=span_ms(50, 1000), step_ms=300)
    assert FRAMES_PART_VERSION == 2
    places = [(r["t_ns"] // NS_PER_MS, r["frame_index"], r["pts_ns"]) for r in rows]
    assert places == [(300, 9, 300_000_000), (600, 18, 600_000_000), (900, 27, 900_000_000)]
    first = np.array(rows[0]["embedding"], np.float64)
    golden = np.array(GOLDEN)
    np.testing.assert_allclose(first[:8], golden, atol=0.02 * np.abs(golden).max())
    motion = [rows[1][f"motion_{k}"] for k in ("dx", "dy", "peak")]
    assert motion == pytest.approx(GOLDEN_MOTION, abs=0.02)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    make_encoder(folder, preset="tiny", seed=0)
    return folder


@pytest.fixture(scope="module")
def larger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 frames of 360 x 270, which the reader scales down."""
    frames = make_frames(30, height=270, width=360)
    return write_video(tmp_path_factory.mktemp("video") / "l.mp4", frames)


def part_bytes(root: Path, path: Path, *, encoder: Any, threads: int, **options: Any) -> bytes:
    parts = PartStore(root / str(threads))
    write_frames_part(
        parts,
        KEY,
        paths=[path],
        span=span_ms(0, 1000),
        config=VideoConfig(step_ms=40, tolerance_ms=40),
        encoder=encoder,
        threads=threads,
        **options,
    )
    return parts.path("frames", KEY).read_bytes()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_number_of_threads_changes_no_byte(
    larger: Path, tiny: Path, tmp_path: Path, precision: str
) -> None:
    encoder = open_clip4clip(
        EncoderConfig(name=str(tiny), batch_size=4, device="cpu", precision=precision)  # type: ignore[arg-type]
    )
    one, two, three = (
        part_bytes(tmp_path, larger, encoder=encoder, threads=threads) for threads in (1, 2, 3)
    )
    assert one == two == three
    # The oracle: each picture alone through the encoder.
    table = PartStore(tmp_path / "3").read_table("frames", KEY)
    found = [row["embedding"] for row in table.to_pylist()]
    frames = list(
        open_video(larger, decoder="auto").read(
            table.column("frame_index").to_numpy(), chunk=1, short_side=224
        )
    )
    alone = [encoder.encode_frames(frame)[0].astype(np.float16) for frame in frames]
    np.testing.assert_array_equal(np.array(found, np.float16), alone)
    assert len(alone) == 25


def test_larger_pictures_come_scaled_and_smaller_ones_as_they_are(
    larger: Path, video: Path, tmp_path: Path
) -> None:
    seen: list[tuple[int, ...]] = []

    class Shapes(MeanEncoder):
        def encode_frames(self, frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
            seen.append(frames.shape[1:])
            return super().encode_frames(frames)

    encoder = Shapes()
    # An encoder of 8 pixels: motion needs 160.
    write(tmp_path / "a", larger, encoder=encoder, span=span_ms(0, 300))
    encoder.spec = encoder.spec.model_copy(update={"image_size": 224})
    write(tmp_path / "b", larger, encoder=encoder, span=span_ms(0, 300))
    write(tmp_path / "c", video, encoder=encoder, span=span_ms(0, 300))
    assert seen == [(160, 213, 3), (224, 298, 3), (96, 160, 3)]


def test_wanted_grid_times_alone_are_covered(video: Path, tmp_path: Path) -> None:
    whole = write(tmp_path / "all", video, encoder=MeanEncoder(), span=span_ms(0, 2500))
    encoder = MeanEncoder(batch_size=3)
    parts = PartStore(tmp_path / "some")
    wanted = np.array([2, 3, 4, 11, 12, 20], np.int64) * 100 * NS_PER_MS
    write_frames_part(
        parts,
        KEY,
        paths=[video],
        span=span_ms(0, 2500),
        config=VideoConfig(coverage="needed"),
        encoder=encoder,
        grid=wanted,
    )
    rows = parts.read_table("frames", KEY).to_pylist()
    assert [r["t_ns"] for r in rows] == wanted.tolist()
    assert sum(encoder.calls) == 6
    motion = ("motion_dx", "motion_dy", "motion_peak")
    at = {r["t_ns"]: r for r in whole}
    for row in rows:
        same = at[row["t_ns"]]
        starts = row["t_ns"] // NS_PER_MS in (200, 1100, 2000)
        for name in motion:
            assert row[name] == (None if starts else same[name])
        assert all(row[k] == same[k] for k in row if k not in (*motion, "jpeg"))
    # The first row of each second that is there.
    assert [i for i, r in enumerate(rows) if r["jpeg"]] == [0, 3, 5]


class HeldUp(MeanEncoder):
    """Counts the frames decoded while its first call waits."""

    def __init__(self, meter: WorkMeter, *, batch_size: int) -> None:
        super().__init__(batch_size=batch_size)
        self.meter = meter
        self.most_ahead = 0
        self.done = 0

    def encode_frames(self, frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        time.sleep(0.03)
        decoded = self.meter.work()["frames.decode"].items
        self.most_ahead = max(self.most_ahead, decoded - self.done)
        found = super().encode_frames(frames)
        self.done += len(frames)
        return found


@pytest.mark.parametrize(("threads", "batches"), [(1, 1), (2, 6), (3, 7)])
def test_decoding_runs_ahead_in_bounds(
    video: Path, tmp_path: Path, threads: int, batches: int
) -> None:
    meter = WorkMeter()
    encoder = HeldUp(meter, batch_size=2)
    write_frames_part(
        PartStore(tmp_path),
        KEY,
        paths=[video],
        span=span_ms(0, 2500),
        config=VideoConfig(step_ms=34),
        encoder=encoder,
        threads=threads,
        meter=meter,
    )
    assert sum(encoder.calls) > 70
    # Under way: threads + 1 started, two decoded ahead, one decoded and about to be started.
    assert encoder.most_ahead <= 2 * batches
    assert encoder.most_ahead > 2 or threads == 1


def test_work_is_counted(larger: Path, tmp_path: Path) -> None:
    for threads in (1, 2):
        meter = WorkMeter()
        encoder = MeanEncoder()
        made = part_bytes(tmp_path, larger, encoder=encoder, threads=threads, meter=meter)
        work = meter.work()
        assert set(work) == {"frames", "frames.decode", "frames.encode", "frames.motion"}
        assert {stage: done.items for stage, done in work.items()} == dict.fromkeys(work, 25)
        assert work["frames"].bytes_in == larger.stat().st_size
        assert work["frames"].bytes_out == len(made)
        assert work["frames"].seconds == 0.0
        assert all(work[f"frames.{s}"].seconds > 0 for s in ("decode", "encode", "motion"))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("error", [ValueError("bad call"), KeyboardInterrupt()])
def test_a_failing_encoder_ends_the_part_and_every_thread(
    video: Path, tmp_path: Path, threads: int, error: BaseException
) -> None:
    class Failing(MeanEncoder):
        def encode_frames(self, frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
            if len(self.calls) >= 2:
                raise error
            return super().encode_frames(frames)

    before = threading.active_count()
    encoder = Failing(batch_size=2)
    with pytest.raises(type(error)):
        part_bytes(tmp_path, video, encoder=encoder, threads=threads)
    assert threading.active_count() == before
    # Long before all thirteen batches; one that was running may have ended.
    assert len(encoder.calls) <= 1 + threads
    assert not PartStore(tmp_path / str(threads)).path("frames", KEY).exists()


@pytest.mark.parametrize("threads", [1, 2])
def test_a_failing_decoder_ends_the_part_and_every_thread(
    tmp_path: Path, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "v.mp4", make_frames(40))

    def read(self: VideoReader, indices: Any, **options: Any) -> Iterator[Any]:
        yield np.full((8, 96, 160, 3), 9, np.uint8)
        raise TakeError("video_undecodable", "no more")

    monkeypatch.setattr(VideoReader, "read", read)
    before = threading.active_count()
    with pytest.raises(TakeError, match="video_undecodable: no more"):
        part_bytes(tmp_path, path, encoder=MeanEncoder(), threads=threads)
    assert threading.active_count() == before
    # An earlier fault of the embeddings is the one that is told, as it would be on one thread.
    with pytest.raises(TakeError, match="embedding_not_finite"):
        part_bytes(tmp_path, path, encoder=MeanEncoder(scale=1e6), threads=threads)
    assert threading.active_count() == before


def test_each_row_says_who_decoded_it_where_the_decoder_changes(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = VideoReader.read

    def change(self: VideoReader, indices: Any, **options: Any) -> Iterator[Any]:
        for number, frames in enumerate(read(self, indices, **options)):
            self.decoder = "decord" if number < 2 else "pyav"
            yield frames

    monkeypatch.setattr(VideoReader, "read", change)
    for threads in (1, 3):
        parts = PartStore(tmp_path / str(threads))
        part_bytes(tmp_path, video, encoder=MeanEncoder(batch_size=4), threads=threads)
        column = parts.read_table("frames", KEY).column("decoder").to_pylist()
        assert column == ["decord"] * 8 + ["pyav"] * (len(column) - 8)


GOLDEN = [-1.3242, -0.5601, -1.2256, 1.7549, -1.5332, 0.4407, 0.3872, 1.3848]
GOLDEN_MOTION = [-0.1684, -0.1869, 0.4598]
