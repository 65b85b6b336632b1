from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from pipelines.datasets.base import ImuRecording
from pipelines.imu.gpmf import open_gpmf_imu
from pipelines.imu.gpmf_chapters import open_gpmf_chapters, read_chapters_span
from pipelines.video.chapters import probe_chapters
from schemas.errors import TakeError
from schemas.imu import TriadSamples
from tests.gopro_files import Sensor, accel_at, gyro_at, make_payloads, write_clip

NTSC = Fraction(30000, 1001)
CHAPTER_NS = 2_002_000_000  # 60 frames


def stamps(recording: ImuRecording) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    runs = list(recording.runs)
    accel, gyro = ([getattr(run, name).t_ns for run in runs] for name in ("accel", "gyro"))
    return np.concatenate(accel), np.concatenate(gyro)


def values(triads: list[TriadSamples]) -> npt.NDArray[np.float64]:
    return np.concatenate([triad.values for triad in triads])


def write_chapters(folder: Path, *, accel: Sensor, gyro: Sensor, chapters: int = 3) -> list[Path]:
    """Chapters of 60 frames at 29.97 a second; samples go on through them, two seconds each."""
    paths = []
    for k in range(chapters):
        start_s = 2 * k
        here = [Sensor(rate_hz=s.rate_hz, first_s=start_s + s.first_s) for s in (accel, gyro)]
        payloads = make_payloads(seconds=2, start_s=start_s, accel=here[0], gyro=here[1])
        path = folder / f"GX{k + 1:02}0123.MP4"
        paths.append(write_clip(path, payloads, frames=60, rate=NTSC, seed=k))
    return paths


def test_chapters_stand_at_the_sum_of_the_durations_before(tmp_path: Path) -> None:
    paths = write_chapters(tmp_path, accel=Sensor(rate_hz=200), gyro=Sensor(rate_hz=400))
    chapters = probe_chapters(paths)
    recording = open_gpmf_chapters(chapters, accept_sensor_frame=False)
    accel_ns, gyro_ns = stamps(recording)
    oracle_accel, oracle_gyro = [], []
    for k, path in enumerate(paths):
        alone = stamps(open_gpmf_imu(path, origin_ns=0, accept_sensor_frame=False))
        oracle_accel.append(alone[0] + k * CHAPTER_NS)
        oracle_gyro.append(alone[1] + k * CHAPTER_NS)
    np.testing.assert_array_equal(accel_ns, np.concatenate(oracle_accel))
    np.testing.assert_array_equal(gyro_ns, np.concatenate(oracle_gyro))
    assert (len(accel_ns), len(gyro_ns)) == (1200, 2400)
    assert recording.info["accel_samples"] == 1200
    assert recording.info["gyro_samples"] == 2400
    assert (recording.info["chapters"], recording.info["overlap_samples"]) == (3, 0)
    assert np.diff(accel_ns).min() > 0


def test_values_go_on_through_the_chapters(tmp_path: Path) -> None:
    paths = write_chapters(tmp_path, accel=Sensor(rate_hz=200), gyro=Sensor(rate_hz=400))
    runs = list(open_gpmf_chapters(probe_chapters(paths), accept_sensor_frame=False).runs)
    truth = np.arange(1200) / 200
    found = values([run.accel for run in runs])
    np.testing.assert_allclose(found, accel_at(truth), atol=0.51 / 417)
    truth = np.arange(2400) / 400
    np.testing.assert_allclose(values([r.gyro for r in runs]), gyro_at(truth), atol=0.51 / 939)
    assert max(len(run.gyro) for run in runs) == 400  # a payload at a time


def test_overlap_is_taken_off_the_later_chapter(tmp_path: Path) -> None:
    # The first second holds 194 samples, the next 200: a line of 194 Hz ends 29 ms too late.
    late = Sensor(rate_hz=200, first_s=0.03)
    paths = write_chapters(tmp_path, accel=late, gyro=Sensor(rate_hz=400))
    chapters = probe_chapters(paths[:2])
    early = open_gpmf_chapters(chapters, accept_sensor_frame=False)
    alone = [open_gpmf_imu(p, origin_ns=0, accept_sensor_frame=False) for p in paths[:2]]
    (first_accel, first_gyro), (second_accel, second_gyro) = (stamps(r) for r in alone)
    cut_ns = max(first_accel[-1], first_gyro[-1])
    accel_ns, gyro_ns = stamps(early)
    expected = np.concatenate([first_gyro, second_gyro + CHAPTER_NS])
    keep = (np.arange(len(expected)) < len(first_gyro)) | (expected > cut_ns)
    np.testing.assert_array_equal(gyro_ns, expected[keep])
    expected_accel = np.concatenate([first_accel, second_accel + CHAPTER_NS])
    keep_accel = (np.arange(len(expected_accel)) < len(first_accel)) | (expected_accel > cut_ns)
    np.testing.assert_array_equal(accel_ns, expected_accel[keep_accel])
    lost = int((~keep).sum() + (~keep_accel).sum())
    assert early.info["overlap_samples"] == lost
    assert lost > 10
    assert np.diff(gyro_ns).min() > 0


def test_chapter_whose_picture_is_cut_short_is_refused(tmp_path: Path) -> None:
    sensors = {"accel": Sensor(rate_hz=200), "gyro": Sensor(rate_hz=400)}
    paths = [
        write_clip(tmp_path / f"GX0{k}0001.MP4", make_payloads(seconds=2, **sensors), frames=45)
        for k in (1, 2)
    ]
    recording = open_gpmf_chapters(probe_chapters(paths), accept_sensor_frame=False)
    with pytest.raises(TakeError, match=r"imu_clock_unstable: chapters must overlap by 100 ms at "
                       r"most, got 497 ms .*GX020001"):  # fmt: skip
        list(recording.runs)


def test_span_runs_from_the_first_chapter_to_the_last(tmp_path: Path) -> None:
    accel, gyro = Sensor(rate_hz=200, first_s=0.004), Sensor(rate_hz=400, first_s=0.0015)
    paths = write_chapters(tmp_path, accel=accel, gyro=gyro)
    span = read_chapters_span(probe_chapters(paths))
    recording = open_gpmf_chapters(probe_chapters(paths), accept_sensor_frame=False)
    accel_ns, gyro_ns = stamps(recording)
    assert abs(span.start_ns - max(accel_ns[0], gyro_ns[0])) <= 1
    assert abs(span.end_ns - min(accel_ns[-1], gyro_ns[-1])) <= 1


def test_one_file_is_that_file(shared_data: Path) -> None:
    (chapter,) = probe_chapters([shared_data / "gopro_karma.mp4"])
    joined = open_gpmf_chapters([chapter], accept_sensor_frame=False)
    plain = open_gpmf_imu(chapter.path, origin_ns=0, accept_sensor_frame=False)
    assert joined.info == plain.info
    for ours, theirs in zip(stamps(joined), stamps(plain), strict=True):
        np.testing.assert_array_equal(ours, theirs)
