import hashlib
from pathlib import Path

import av
import numpy as np
import pytest

from pipelines.imu.gpmf import open_gpmf_imu
from pipelines.imu.gpmf_axes import axes_rotation
from pipelines.imu.gpmf_klv import read_samples, read_streams
from pipelines.synthetic.faults import faults_of
from pipelines.synthetic.gopro import write_gopro
from pipelines.synthetic.gopro_mux import mux_clip
from pipelines.synthetic.gopro_sentences import CueTruth, format_captions
from pipelines.synthetic.gopro_track import make_payloads
from pipelines.synthetic.gopro_truth import (
    GoProTake,
    clip_frames_ns,
    gopro_signal,
    plan_gopro,
    read_gopro_truth,
)
from pipelines.synthetic.truth import imu_sample_ns, take_motion
from pipelines.text.captions import parse_srt, parse_webvtt
from pipelines.text.narration_csv import parse_narration_csv
from pipelines.video.probe import probe_video
from schemas.errors import UsageError
from schemas.time import NS_PER_MS, NS_PER_S

SECONDS = 8.0


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("gopro") / "data"
    write_gopro(root, takes=3, seconds=SECONDS, seed=3, participants=1, size_px=84)
    return root


def plan(*faults: str, takes: int = 1) -> tuple[GoProTake, ...]:
    return plan_gopro(takes=takes, seconds=12, seed=0, participants=2, faults=faults).takes


def digests(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.mark.slow
def test_equal_arguments_give_equal_bytes_in_any_number_of_processes(
    written: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    write_gopro(other, takes=3, seconds=SECONDS, seed=3, participants=1, size_px=84, workers=2)
    found = digests(written)
    assert found == digests(other)
    folder = "DCIM/100GOPRO/GX0"
    assert sorted(found) == [
        *(f"{folder}{name}" for name in ("10001.MP4", "10001.vtt", "10002.MP4", "10002.srt")),
        *(f"{folder}{name}" for name in ("10003.MP4", "10003.csv", "20001.MP4", "20001.vtt")),
        "truth.json",
    ]


@pytest.mark.slow
def test_clips_hold_what_the_truth_says(written: Path) -> None:
    for take in read_gopro_truth(written).takes:
        for clip in take.clips:
            path = written / clip.path
            probe = probe_video(path)
            assert probe.num_frames_from_header == clip.frames
            assert probe.first_pts_ns == take.picture_start_ns
            assert probe.duration_ns == pytest.approx(clip.end_ns - clip.start_ns, abs=1)
            with av.open(str(path)) as container:
                assert bool(container.streams.audio) == take.has_sound
                shown = [f.pts * f.time_base for f in container.decode(video=0)]
            ns = np.array([round(t * NS_PER_S) for t in shown]) - take.picture_start_ns
            assert np.abs(ns + clip.start_ns - clip_frames_ns(take, clip)).max() <= 1
            read = open_gpmf_imu(
                path, origin_ns=probe.first_pts_ns - clip.start_ns, accept_sensor_frame=False
            )
            assert read.info["camera"] == take.camera
            assert read.info["timing"] == ("payload" if take.clock_us is None else "stmp")
            runs = list(read.runs)
            for stream, name, columns, most in (
                (take.accel, "accel", slice(0, 3), 0.8),
                (take.gyro, "gyro", slice(3, 6), 0.08),
            ):
                triads = [getattr(run, name) for run in runs]
                t_ns = np.concatenate([triad.t_ns for triad in triads])
                true_ns = imu_sample_ns(stream)
                true_ns = true_ns[(true_ns >= clip.start_ns - take.picture_start_ns)]
                true_ns = true_ns[true_ns < clip.end_ns]
                # Where a payload begins, its first sample follows within a step.
                assert len(t_ns) == len(true_ns)
                assert np.abs(t_ns - true_ns).max() < 6 * NS_PER_MS
                felt = gopro_signal(take, true_ns)[:, columns]
                values = np.concatenate([triad.values for triad in triads])
                assert np.abs(values - felt).max() < most


def test_columns_stand_in_the_order_of_the_camera() -> None:
    take = plan()[0]
    (clip,) = take.clips
    at_ms, payload = next(make_payloads(take, clip))
    assert at_ms == 0
    for stream in read_streams(payload):
        key = "ACCL" if "ACCL" in stream.records else "GYRO"
        truth = take.accel if key == "ACCL" else take.gyro
        columns = slice(0, 3) if key == "ACCL" else slice(3, 6)
        assert stream.records["ORIN"].text() == "YxZ"
        values = read_samples(stream, key) @ axes_rotation("YxZ").T
        felt = gopro_signal(take, imu_sample_ns(truth, count=len(values)))[:, columns]
        assert np.abs(values - felt).max() < (0.6 if key == "ACCL" else 0.06)


def test_camera_axes_are_a_right_handed_turn_of_the_motions() -> None:
    (take,) = plan()
    t_ns = np.arange(0, 5 * NS_PER_S, 50 * NS_PER_MS)
    felt, moved = gopro_signal(take, t_ns), take_motion(take).imu(t_ns / NS_PER_S)
    # Z up is x down negated; X left is y; Y backward is z forward negated.
    turn = np.array([[0, 1, 0], [0, 0, -1], [-1, 0, 0]])
    assert np.linalg.det(turn) == pytest.approx(1)
    np.testing.assert_allclose(felt[:, :3], moved[:, :3] @ turn.T)
    np.testing.assert_allclose(felt[:, 3:], moved[:, 3:] @ turn.T)
    assert felt[:, 2].mean() > 5


@pytest.mark.parametrize("suffix", [".vtt", ".srt", ".csv"])
def test_captions_are_read_back(suffix: str) -> None:
    cues = (
        CueTruth(clip=0, at_ms=1, half_ms=1, text="C opens, then closes"),
        CueTruth(clip=0, at_ms=3_723_004, half_ms=500, text="Ц открывает 🚪"),
        CueTruth(clip=0, at_ms=3_724_000, half_ms=500, text=""),
    )
    parse = {".vtt": parse_webvtt, ".srt": parse_srt, ".csv": parse_narration_csv}[suffix]
    found = parse(format_captions(cues, suffix=suffix))
    assert [((c.start_ns + c.end_ns) // 2, c.text) for c in found.cues] == [
        (cue.at_ms * NS_PER_MS, cue.text) for cue in cues[:2]
    ]
    assert [problem.kind for problem in found.problems] == ["empty"]


def test_chapters_part_the_frames_and_the_sentences() -> None:
    first, second = plan(takes=2)
    assert [len(take.clips) for take in (first, second)] == [2, 1]
    ahead, behind = first.clips
    assert ahead.frames + behind.frames == behind.first_frame + behind.frames == 360
    assert behind.start_ns == ahead.end_ns == round(180 * 1001 / 30_000 * NS_PER_S)
    assert {cue.clip for cue in first.cues} == {0, 1}
    assert all(0 < cue.at_ms <= 6_006 for cue in first.cues)
    assert hashlib.sha256(b"DCIM/100GOPRO/GX010001.MP4").hexdigest()[:16] == first.take_uid


def test_faults_go_to_the_last_takes_one_each() -> None:
    names = ["imu_gap", "imu_late", "imu_short", "narration_outside"]
    takes = plan(*names, takes=6)
    assert [take.fault for take in takes] == [None, None, *reversed(names)]
    outside, short, late, gap = takes[2:]
    assert outside.captions == ".csv"
    assert {cue.at_ms < 0 for cue in outside.cues} == {False, True}
    assert imu_sample_ns(short.gyro)[-1] == pytest.approx(6.012 * NS_PER_S, abs=6 * NS_PER_MS)
    # Late stamps cover the take all the same.
    assert late.late_ns == 800 * NS_PER_MS
    assert late.accel.first_ns == pytest.approx(-800 * NS_PER_MS, abs=2 * NS_PER_MS)
    assert gap.gap_ns is not None
    assert gap.gap_ns[1] - gap.gap_ns[0] == 400 * NS_PER_MS
    every = list(faults_of("gopro"))
    spoilt = plan(*every, takes=len(every))
    assert [take.fault for take in spoilt] == every[::-1]
    # A fault stands alone: no spoilt recording has chapters.
    assert {len(take.clips) for take in spoilt} == {1}


def test_a_gap_is_told_by_the_running_count() -> None:
    (take,) = plan("imu_gap")
    assert take.gap_ns is not None
    ends: list[int] = []
    starts: list[int] = []
    for _, payload in make_payloads(take, take.clips[0]):
        for stream in read_streams(payload):
            if "ACCL" in stream.records:
                total = int(stream.records["TSMP"].numbers()[0, 0])
                starts.append(total - stream.records["ACCL"].repeat)
                ends.append(total)
    lost = [start - end for start, end in zip(starts[1:], ends[:-1], strict=True)]
    whole_ns = imu_sample_ns(take.accel)
    inside = int(((whole_ns >= take.gap_ns[0]) & (whole_ns < take.gap_ns[1])).sum())
    assert inside == pytest.approx(80, abs=2)
    assert sorted(lost) == [0] * (len(lost) - 1) + [inside]


def test_a_turned_picture_stays_turned_and_no_payloads_make_no_track(tmp_path: Path) -> None:
    picture = tmp_path / "picture.mp4"
    with av.open(str(picture), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width = stream.height = 32
        stream.set_display_rotation(90)
        container.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
        container.mux(stream.encode(None))
    mux_clip(tmp_path / "clip.mp4", picture=picture, payloads=())
    with av.open(str(tmp_path / "clip.mp4")) as container:
        assert [stream.type for stream in container.streams] == ["video"]
        assert [frame.rotation for frame in container.decode(video=0)] == [90]


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"takes": 0}, "must be at least 1, got 0, 2"),
        ({"seconds": 7.5}, r"seconds must be at least 8 for gopro, got 7\.5"),
        ({"faults": ["vrs_missing"]}, "faults of gopro must be among"),
        ({"size_px": 90}, "size_px must be a positive multiple of 4, got 90"),
    ],
)
def test_arguments_that_cannot_be(fields: dict[str, object], match: str, tmp_path: Path) -> None:
    given = {"takes": 4, "seconds": 12.0, "seed": 0, "participants": 2, "faults": (), **fields}
    with pytest.raises(UsageError, match=match):
        write_gopro(tmp_path / "data", **given)  # type: ignore[arg-type]
    assert not (tmp_path / "data").exists()


def test_truth_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"truth.json must lie in a synthetic dataset"):
        read_gopro_truth(tmp_path)
    (tmp_path / "truth.json").write_text("{}")
    with pytest.raises(UsageError, match=r"truth.json must fit its schema"):
        read_gopro_truth(tmp_path)
