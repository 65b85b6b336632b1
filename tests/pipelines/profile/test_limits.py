"""The probes count what they did, end in time, and leave nothing behind."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from av.error import FFmpegError

from pipelines.profile import limits
from pipelines.profile.limits import (
    probe_decode,
    probe_encode,
    probe_encode_text,
    probe_read,
    probe_sha256,
    probe_write,
)
from pipelines.video.picture_stream import open_picture
from schemas.embedding import EmbeddingSpec
from schemas.time import NS_PER_MS
from tests.video_files import make_frames, write_video

SPEC = EmbeddingSpec(
    name="fake", revision=None, weights_sha256="0", video_dim=4, text_dim=4, image_size=32,
    max_tokens=77, batch_size=5, device_kind="cpu", precision="float32",
)  # fmt: skip


class Clock:
    """A clock that goes on by the same step whenever it is looked at."""

    def __init__(self, step: float) -> None:
        self._t, self._step, self._lock = 0.0, step, threading.Lock()

    def perf_counter(self) -> float:
        with self._lock:
            self._t += self._step
            return self._t


class FakeEncoder:
    def __init__(self, spec: EmbeddingSpec = SPEC) -> None:
        self.spec = spec
        self.shapes: list[Any] = []
        self.threads: set[int] = set()

    def encode_frames(self, frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        self.shapes.append(frames.shape)
        self.threads.add(threading.get_ident())
        return np.zeros((len(frames), 4), np.float32)

    def encode_texts(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        return np.zeros((len(texts), 4), np.float32)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [1] * len(texts)


def test_bytes_are_counted_over_the_time_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "source").write_bytes(bytes(3 << 20))
    monkeypatch.setattr(limits, "time", Clock(0.25))
    # Looked at first, before each block and last: five looks lie within the second and a half.
    found = probe_sha256(seconds=1.5)
    assert found.per_s == pytest.approx(5 * (1 << 20) / 1.75)
    found_read = probe_read(tmp_path / "source", seconds=1.5)
    assert found_read is not None
    # One of the five reads found the end of the file.
    assert found_read.per_s == pytest.approx(4 * (1 << 20) / 1.75)
    assert (found_read.unit, found_read.name) == ("bytes", "read")


def test_an_empty_file_has_no_speed(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert probe_read(tmp_path / "empty", seconds=0.01) is None


def test_what_was_written_is_gone_again(tmp_path: Path) -> None:
    found = probe_write(tmp_path / "store", seconds=0.01)
    assert found.per_s > 0
    assert list((tmp_path / "store").iterdir()) == []


@pytest.mark.parametrize(("step_ms", "grid_frames"), [(100, 10), (20, 30)])
def test_decoding_counts_grid_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step_ms: int, grid_frames: int
) -> None:
    path = write_video(tmp_path / "video.mp4", make_frames(30))
    monkeypatch.setattr(limits, "time", Clock(1 / 64))
    found = probe_decode(path, threads=1, step_ns=step_ms * NS_PER_MS, seconds=60.0)
    assert found is not None
    # A look at the start, after each frame, and at the end.
    assert found.per_s == pytest.approx(grid_frames / (31 / 64))


def test_decoding_ends_where_a_video_cannot_be_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "video.mp4", make_frames(30))

    class Container:
        def decode(self, _stream: object) -> Iterator[int]:
            yield from range(12)
            raise FFmpegError(1, "damaged")

    @contextmanager
    def opened(path: Path) -> Iterator[tuple[Container, Any]]:
        with open_picture(path) as (_, stream):
            yield Container(), stream

    monkeypatch.setattr(limits, "open_picture", opened)
    monkeypatch.setattr(limits, "time", Clock(1 / 64))
    found = probe_decode(path, threads=1, step_ns=20 * NS_PER_MS, seconds=60.0)
    assert found is not None
    assert found.per_s == pytest.approx(12 / (13 / 64))


def test_every_lane_encodes_batches_of_the_one_shape() -> None:
    encoder = FakeEncoder()
    found = probe_encode(encoder, lanes=2, seconds=0.01)
    assert set(encoder.shapes) == {(5, 160, 160, 3)}
    assert len(encoder.threads) in (1, 2)
    assert found.per_s > 0
    # A GPU takes one batch at a time, whatever is asked for.
    gpu = FakeEncoder(SPEC.model_copy(update={"device_kind": "cuda"}))
    assert "1 side by side" in probe_encode(gpu, lanes=2, seconds=0.0).what
    assert len(gpu.threads) == 1


def test_sentences_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "time", Clock(0.5))
    # Looks at 0.5 (start), 1.0, 1.5: two batches of five in a second.
    assert probe_encode_text(FakeEncoder(), seconds=1.0).per_s == pytest.approx(10.0)
