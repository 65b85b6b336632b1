from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pipelines.video import chapters as module
from pipelines.video.chapters import ChapteredReader, open_chapters, probe_chapters
from pipelines.video.decode import VideoReader, open_video
from pipelines.video.probe import VideoProbe
from schemas.errors import TakeError
from tests.video_files import make_frames, write_video

NTSC = Fraction(30000, 1001)
NO_B_FRAMES = {"preset": "veryfast", "crf": "20", "bf": "0", "threads": "1"}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Chapters of 20, 1 and 15 frames at 29.97 a second; the last is AV1."""
    folder = tmp_path_factory.mktemp("chapters")
    return [
        write_video(folder / "1.mp4", make_frames(20), rate=NTSC, options=NO_B_FRAMES),
        write_video(folder / "2.mp4", make_frames(1, seed=1), rate=NTSC, options=NO_B_FRAMES),
        write_video(
            folder / "3.mp4",
            make_frames(15, seed=2),
            rate=NTSC,
            codec="libsvtav1",
            options={"preset": "12"},
        ),
    ]


def whole(reader: VideoReader | ChapteredReader, indices: Any) -> npt.NDArray[np.uint8]:
    return np.concatenate(list(reader.read(np.array(indices, dtype=np.int64), chunk=8)))


def test_frames_stand_at_the_sum_of_the_durations_before(files: list[Path]) -> None:
    reader = open_chapters(files, decoder="auto")
    assert len(reader) == 36
    # One steady rate through all chapters, to the rounding of each.
    exact = [Fraction(i * 1001, 30000) * 10**9 for i in range(36)]
    assert np.abs(reader.pts_ns - np.array([float(t) for t in exact])).max() <= 2
    assert [c.start_ns for c in probe_chapters(files)] == pytest.approx(
        [0, float(exact[20]), float(exact[21])], abs=1
    )
    assert probe_chapters(files)[-1].end_ns == pytest.approx(36 * 1001 / 30000 * 1e9, abs=2)


def test_frames_are_those_of_each_file(files: list[Path]) -> None:
    reader = open_chapters(files, decoder="auto")
    alone = [open_video(path, decoder="auto") for path in files]
    oracle = np.concatenate([whole(r, range(len(r))) for r in alone])
    for indices in (range(36), range(0, 36, 3), [20], [35], [3, 19, 20, 21, 22]):
        np.testing.assert_array_equal(whole(reader, indices), oracle[list(indices)])


def test_chunks_keep_to_one_file_and_say_who_decoded(files: list[Path]) -> None:
    reader = open_chapters(files, decoder="auto")
    chunks = [(len(frames), reader.decoder) for frames in reader.read(np.arange(4, 36), chunk=8)]
    assert chunks == [(8, "pyav"), (8, "pyav"), (1, "pyav"), (8, "pyav"), (7, "pyav")]


def test_scaling_and_threads_reach_every_file(files: list[Path]) -> None:
    reader = open_chapters(files, decoder="auto")
    wanted = np.array([0, 19, 20, 21, 35])
    one = np.concatenate(list(reader.read(wanted, chunk=8, short_side=48)))
    assert one.shape == (5, 48, 80, 3)
    two = np.concatenate(list(reader.read(wanted, chunk=8, short_side=48, threads=2)))
    np.testing.assert_array_equal(one, two)


def test_one_file_is_opened_as_it_is(files: list[Path]) -> None:
    assert isinstance(open_chapters(files[:1], decoder="auto"), VideoReader)
    assert isinstance(open_chapters(files[:2], decoder="auto"), ChapteredReader)


@pytest.mark.parametrize("indices", [[-1, 0], [0, 36], [3, 3], [30, 2]])
def test_indices_outside_or_out_of_order_are_refused(files: list[Path], indices: list[int]) -> None:
    reader = open_chapters(files, decoder="auto")
    with pytest.raises(ValueError, match=r"increase strictly within \[0, 36\)"):
        whole(reader, indices)


def test_nothing_wanted_reads_nothing(files: list[Path]) -> None:
    reader = open_chapters(files, decoder="auto")
    assert list(reader.read(np.array([], dtype=np.int64))) == []


def test_damaged_chapter_is_refused_by_name(files: list[Path], tmp_path: Path) -> None:
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(files[0].read_bytes()[:3000])
    with pytest.raises(TakeError, match=r"video_unreadable: .*cut\.mp4"):
        open_chapters([files[0], cut], decoder="auto")


def test_header_that_ends_before_its_frames_is_refused(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    short = VideoProbe(
        num_frames_from_header=20,
        rate=NTSC,
        first_pts_ns=0,
        duration_ns=600_000_000,
        width=160,
        height=96,
        codec="h264",
        rate_varies=False,
    )
    monkeypatch.setattr(module, "probe_video", lambda _: short)
    message = r"video_chapters_overlap: .* got a duration of 600000000 ns \[1\.mp4\]"
    with pytest.raises(TakeError, match=message):
        open_chapters(files, decoder="auto")
