import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from py_gpmf_parser.gopro_telemetry_extractor import GoProTelemetryExtractor

from pipelines.align.sync_audit import SyncAudit, measure_lag
from pipelines.datasets.base import ImuRecording
from pipelines.imu.gpmf import GPMF_STREAM, open_gpmf_imu
from pipelines.synthetic.gpmf_writer import klv, nest, sensor_stream, text
from pipelines.video.motion import image_shifts, small_grey
from schemas.errors import TakeError
from schemas.imu import TriadSamples
from tests.gopro_files import Sensor, accel_at, gyro_at, make_payloads, write_clip

CLIP = "gopro_karma.mp4"


def whole(triads: list[TriadSamples]) -> TriadSamples:
    return TriadSamples(
        t_ns=np.concatenate([triad.t_ns for triad in triads]),
        values=np.concatenate([triad.values for triad in triads]),
    )


def joined(recording: ImuRecording) -> tuple[TriadSamples, TriadSamples]:
    runs = list(recording.runs)
    return whole([run.accel for run in runs]), whole([run.gyro for run in runs])


@pytest.fixture
def clip(shared_data: Path) -> Path:
    return shared_data / CLIP


@pytest.fixture
def damaged(clip: Path, tmp_path: Path) -> Callable[..., Path]:
    """Writes a copy of the clip with bytes changed, of equal length."""

    def write(*changes: tuple[bytes, bytes]) -> Path:
        data = clip.read_bytes()
        for old, new in changes:
            assert len(old) == len(new)
            assert old in data
            data = data.replace(old, new)
        path = tmp_path / "damaged.mp4"
        path.write_bytes(data)
        return path

    return write


def with_totals(clip: Path, key: bytes, change: Callable[[int, int], int]) -> bytes:
    """The clip's bytes with the key's TSMP in payload i changed from n to change(i, n)."""
    data = bytearray(clip.read_bytes())
    at = i = 0
    while (at := data.find(key + b"s\x06", at + 1)) > 0:
        place = data.rfind(b"TSMP", 0, at) + 8
        (total,) = struct.unpack_from(">I", data, place)
        struct.pack_into(">I", data, place, change(i, total))
        i += 1
    assert i == 13
    return bytes(data)


def packet_counts(clip: Path, key: bytes) -> list[tuple[Fraction, int]]:
    """By payload: presentation time in seconds, and the samples its bytes declare."""
    counts = []
    with av.open(str(clip)) as container:
        for packet in container.demux(container.streams[3]):
            data = bytes(packet)
            at = data.find(key + b"s\x06")
            if at >= 0 and packet.pts is not None and packet.time_base is not None:
                counts.append(
                    (packet.pts * packet.time_base, struct.unpack_from(">H", data, at + 6)[0])
                )
    return counts


def test_counts_and_gravity_of_a_real_clip(clip: Path) -> None:
    recording = open_gpmf_imu(clip, origin_ns=0, accept_sensor_frame=False)
    accel, gyro = joined(recording)
    accel_counts = [n for _, n in packet_counts(clip, b"ACCL")]
    gyro_counts = [n for _, n in packet_counts(clip, b"GYRO")]
    assert len(accel) == sum(accel_counts) == recording.info["accel_samples"] == 2397
    assert len(gyro) == sum(gyro_counts) == recording.info["gyro_samples"] == 4795
    assert np.linalg.norm(accel.values, axis=1).mean() == pytest.approx(9.8, rel=0.05)
    assert accel.values[:, 2].mean() == pytest.approx(9.8, rel=0.05)  # upright: Z points up
    assert (recording.frame, recording.stream) == ("device", GPMF_STREAM)
    assert recording.info["camera"] == "Camera"
    assert recording.info["camera_model"] == "HERO5"  # by the firmware, HD5.02.02.00.00
    assert recording.info["timing"] == "payload"
    assert recording.info["accel_axes"] == recording.info["gyro_axes"] == "ZXY"


def test_stamps_are_steady_and_follow_the_payloads(clip: Path) -> None:
    recording = open_gpmf_imu(clip, origin_ns=0, accept_sensor_frame=False)
    for triad, key in zip(joined(recording), (b"ACCL", b"GYRO"), strict=True):
        steps = np.diff(triad.t_ns)
        assert steps.min() > 0
        assert np.abs(steps / np.median(steps) - 1).max() < 0.02
        counts = packet_counts(clip, key)
        # Oracle: numpy's own line through the payloads' first samples.
        numbers = np.cumsum([0] + [n for _, n in counts[:-1]])
        step_s, first_s = np.polyfit(numbers, [float(t) for t, _ in counts], 1)
        assert triad.t_ns[0] == pytest.approx(first_s * 1e9, abs=1e3)
        assert triad.t_ns[-1] == pytest.approx((first_s + step_s * (len(triad) - 1)) * 1e9, abs=1e3)
        assert recording.info["accel_rate_hz" if key == b"ACCL" else "gyro_rate_hz"] == (
            pytest.approx(1 / step_s, rel=1e-6)
        )


def test_values_are_those_of_gopros_own_parser(clip: Path) -> None:
    extractor = GoProTelemetryExtractor(str(clip))
    extractor.open_source()
    oracle = [extractor.extract_data(key)[0] for key in ("ACCL", "GYRO")]
    extractor.close_source()
    raw = open_gpmf_imu(clip, origin_ns=0, accept_sensor_frame=True)
    assert raw.frame == "sensor"
    device = open_gpmf_imu(clip, origin_ns=0, accept_sensor_frame=False)
    for ours, turned, theirs in zip(joined(raw), joined(device), oracle, strict=True):
        np.testing.assert_array_equal(ours.values, theirs)
        np.testing.assert_array_equal(turned.values, theirs[:, [1, 2, 0]])  # Z X Y to X Y Z


def test_stamps_count_from_the_first_frame(clip: Path) -> None:
    at_zero, _ = joined(open_gpmf_imu(clip, origin_ns=0, accept_sensor_frame=False))
    later, _ = joined(open_gpmf_imu(clip, origin_ns=1_000_000_000, accept_sensor_frame=False))
    np.testing.assert_array_equal(at_zero.t_ns - 1_000_000_000, later.t_ns)


def test_lost_samples_leave_a_gap(clip: Path, tmp_path: Path) -> None:
    path = tmp_path / "lost.mp4"
    path.write_bytes(with_totals(clip, b"GYRO", lambda i, n: n + 8 * (i >= 6)))
    _, gyro = joined(open_gpmf_imu(path, origin_ns=0, accept_sensor_frame=False))
    assert len(gyro) == 4795
    steps = np.diff(gyro.t_ns)
    first_after = sum(n for _, n in packet_counts(clip, b"GYRO")[:6])
    assert steps[first_after - 1] == pytest.approx(9 * np.median(steps), rel=1e-3)
    assert (np.delete(steps, first_after - 1) < 1.01 * np.median(steps)).all()


def test_totals_that_no_steady_rate_explains_are_refused(clip: Path, tmp_path: Path) -> None:
    path = tmp_path / "unsteady.mp4"
    path.write_bytes(with_totals(clip, b"GYRO", lambda i, n: n + 600 * (i >= 6)))
    recording = open_gpmf_imu(path, origin_ns=0, accept_sensor_frame=False)
    with pytest.raises(TakeError, match="imu_clock_unstable: GYRO payloads must lie within 100 ms"):
        list(recording.runs)


def test_falling_totals_are_refused(clip: Path, tmp_path: Path) -> None:
    path = tmp_path / "falling.mp4"
    path.write_bytes(with_totals(clip, b"ACCL", lambda i, n: n - 100 * (i >= 6)))
    with pytest.raises(TakeError, match="gpmf_malformed: TSMP of ACCL must count every sample"):
        open_gpmf_imu(path, origin_ns=0, accept_sensor_frame=False)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        pytest.param(b"GYROs", b"GYRXs", "gyro_missing: .* must hold GYRO, got none", id="gyro"),
        pytest.param(b"ACCLs", b"ACCXs", "accel_missing: .* must hold ACCL, got none", id="accel"),
        pytest.param(
            b"DEVC\x00\x01", b"XEVC\x00\x01", "imu_stream_missing: video must hold", id="track"
        ),
        pytest.param(
            b"ACCLs\x06\x00\xc4", b"ACCLs\x06\x0f\xc4", "gpmf_malformed: ACCL must end", id="size"
        ),
        pytest.param(
            b"rad/s\0\0\0SCAL", b"deg/s\0\0\0SCAL", "SIUN of GYRO must be rad/s", id="unit"
        ),
    ],
)
def test_faults_have_their_reason(
    damaged: Callable[..., Path], old: bytes, new: bytes, message: str
) -> None:
    path = damaged((old, new))
    with pytest.raises(TakeError, match=message):
        open_gpmf_imu(path, origin_ns=0, accept_sensor_frame=False)


def test_unknown_axis_order_is_refused_unless_the_sensor_frame_is_accepted(
    damaged: Callable[..., Path],
) -> None:
    path = damaged((b"Gyroscope (z,x,y)", b"Gyroscope (?,?,?)"), (b"FIRMHD5.", b"FIRMXX5."))
    with pytest.raises(TakeError, match="no_calibration: axis order of GYRO must be known, got"):
        open_gpmf_imu(path, origin_ns=0, accept_sensor_frame=False)
    recording = open_gpmf_imu(path, origin_ns=0, accept_sensor_frame=True)
    assert (recording.frame, recording.info["gyro_axes"]) == ("sensor", "unknown")
    assert len(joined(recording)[1]) == 4795


ACCEL = Sensor(rate_hz=200, first_s=0.004)
GYRO = Sensor(rate_hz=400, first_s=0.0015)
LATE_S = (0.0, 0.012, -0.006, 0.015, 0.003, -0.009)


def written_late(sensor: Sensor, *, seconds: int) -> npt.NDArray[np.float64]:
    """By payload: seconds from its first sample to its presentation time."""
    begins = np.array([i + LATE_S[i % len(LATE_S)] for i in range(seconds)])
    first = np.ceil(np.round((begins - sensor.first_s) * sensor.rate_hz, 6)).clip(0)
    return np.arange(seconds) - sensor.times(first.astype(np.int64))


@pytest.mark.parametrize(
    ("device", "orin"),
    [("HERO9 Black", "YxZ"), ("GoPro Max", "XzY"), ("GoPro Fusion FS1.04", "yXZ"),
     ("Hero5 Black", "ZXY"), ("HERO11 Black", "ZXY")],
)  # fmt: skip
def test_stamps_of_the_camera_place_samples_exactly(tmp_path: Path, device: str, orin: str) -> None:
    payloads = make_payloads(
        seconds=12, accel=ACCEL, gyro=GYRO, late_s=LATE_S, camera_zero_us=10_050_065,
        device=device, orin=orin,
    )  # fmt: skip
    path = write_clip(tmp_path / "a.mp4", payloads, frames=4)
    recording = open_gpmf_imu(path, origin_ns=0, accept_sensor_frame=False)
    assert (recording.info["timing"], recording.info["accel_axes"]) == ("stmp", orin)
    # Both sensors lie one common shift from their true times: the payloads' mean lateness.
    shift = np.concatenate([written_late(s, seconds=12) for s in (ACCEL, GYRO)]).mean()
    for triad, sensor, truth, scale in zip(
        joined(recording), (ACCEL, GYRO), (accel_at, gyro_at), (417, 939), strict=True
    ):
        t_s = sensor.times(np.arange(len(triad)))
        assert t_s[-1] > 11.99
        np.testing.assert_allclose(triad.t_ns * 1e-9, t_s + shift, atol=1.5e-6)
        np.testing.assert_allclose(triad.values, truth(t_s), atol=0.51 / scale)


def test_without_stamps_samples_lie_on_the_line_through_the_payloads(tmp_path: Path) -> None:
    payloads = make_payloads(seconds=12, accel=ACCEL, gyro=GYRO, late_s=LATE_S)
    path = write_clip(tmp_path / "a.mp4", payloads, frames=4)
    recording = open_gpmf_imu(path, origin_ns=0, accept_sensor_frame=False)
    assert recording.info["timing"] == "payload"
    for triad, sensor in zip(joined(recording), (ACCEL, GYRO), strict=True):
        late_s = written_late(sensor, seconds=12)
        numbers = np.rint((np.arange(12) - late_s - sensor.first_s) * sensor.rate_hz)
        step_s, first_s = np.polyfit(numbers, np.arange(12), 1)
        assert step_s != pytest.approx(1 / sensor.rate_hz, rel=1e-6)  # jitter tilts the line
        expected = first_s + step_s * np.arange(len(triad))
        np.testing.assert_allclose(triad.t_ns * 1e-9, expected, atol=1e-8)


def test_values_at_the_end_of_the_range_are_told_as_saturated(tmp_path: Path) -> None:
    accel = np.array([[0, 0, 9.8], [79.0, 0, 0], [0, -79.0, 0], [0, 0, -78.57], [0, 0, 78.5]])
    gyro = np.zeros((10, 3))
    gyro[4, 2] = 40.0
    payloads = [
        nest(
            "DEVC",
            text("DVNM", "HERO9 Black"),
            sensor_stream("ACCL", accel, total=5 * (i + 1), scale=417),
            sensor_stream("GYRO", gyro, total=10 * (i + 1), scale=939),
        )
        for i in range(2)
    ]
    path = write_clip(tmp_path / "a.mp4", payloads, frames=4)
    runs = list(open_gpmf_imu(path, origin_ns=0, accept_sensor_frame=False).runs)
    # 32767 / 417 is 78.578 and 32767 / 939 is 34.9; samples 200 and 100 ms apart.
    assert [run.saturated_ns.tolist() for run in runs] == [
        [200_000_000, 400_000_000, 400_000_000],
        [1_200_000_000, 1_400_000_000, 1_400_000_000],
    ]
    assert [len(run.accel) for run in runs] == [5, 5]
    assert all(len(run.invalid_ns) == 0 for run in runs)


def test_samples_that_are_no_number_are_left_out_and_told(tmp_path: Path) -> None:
    accel = np.tile([0.0, 0.0, 9.81], (4, 1)).astype(">f4")
    accel[1, 0], accel[3, 2] = np.nan, np.inf
    payloads = [
        nest(
            "DEVC",
            text("DVNM", "HERO9 Black"),
            nest("STRM", klv("ACCL", "f", 12, 4, accel.tobytes())),
            sensor_stream("GYRO", np.zeros((4, 3)), total=4 * (i + 1), scale=939),
        )
        for i in range(2)
    ]
    path = write_clip(tmp_path / "a.mp4", payloads, frames=4)
    run = next(open_gpmf_imu(path, origin_ns=0, accept_sensor_frame=False).runs)
    assert run.accel.t_ns.tolist() == [0, 500_000_000]
    assert run.invalid_ns.tolist() == [250_000_000, 750_000_000]
    assert (len(run.gyro), len(run.saturated_ns)) == (4, 0)


def write_video(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height = 64, 64
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), dtype=np.uint8), format="rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_video_without_a_data_track_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TakeError, match="imu_stream_missing: video must hold a GoPro metadata"):
        open_gpmf_imu(write_video(tmp_path / "a.mp4"), origin_ns=0, accept_sensor_frame=False)


def test_file_that_is_no_video_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"no video at all")
    with pytest.raises(TakeError, match="video_unreadable: video must be readable, got"):
        open_gpmf_imu(path, origin_ns=0, accept_sensor_frame=False)


def frames_at_10_hz(clip: Path) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Every third frame's stamp and shift since the one before; NaN first."""
    t_ns, greys = [], []
    with av.open(str(clip)) as container:
        for i, frame in enumerate(container.decode(video=0)):
            if i % 3 == 0 and frame.pts is not None and frame.time_base is not None:
                t_ns.append(round(frame.pts * frame.time_base * 1_000_000_000))
                picture = frame.to_ndarray(format="rgb24").astype(np.uint8)
                greys.append(small_grey(picture[None])[0])
    motion = np.full((len(greys), 2), np.nan, dtype=np.float32)
    motion[1:] = image_shifts(np.stack(greys))[:, :2]
    return np.array(t_ns, dtype=np.int64), motion


@pytest.mark.slow
def test_gyro_agrees_with_the_picture_of_a_real_clip(clip: Path) -> None:
    t_ns, motion = frames_at_10_hz(clip)
    _, gyro = joined(open_gpmf_imu(clip, origin_ns=int(t_ns[0]), accept_sensor_frame=False))

    def audit(late_ns: int) -> SyncAudit:
        return measure_lag(
            gyro_t_ns=gyro.t_ns + late_ns,
            gyro_rad_s=gyro.values,
            motion_t_ns=t_ns - t_ns[0],
            motion=motion,
        )

    found = audit(0)
    assert found.lag_ns is not None
    assert abs(found.lag_ns) < 50_000_000
    assert found.r2 > 0.9
    # Stamps 300 ms late are found 300 ms late: the audit would see a wrong clock.
    assert audit(300_000_000).lag_ns == pytest.approx(found.lag_ns + 300_000_000, abs=15_000_000)
    # A turn to the left (about +Z) moves the picture to the right.
    turned = np.interp(t_ns[1:], gyro.t_ns, np.cumsum(gyro.values[:, 2])) - np.interp(
        t_ns[:-1], gyro.t_ns, np.cumsum(gyro.values[:, 2])
    )
    assert np.corrcoef(turned, motion[1:, 0])[0, 1] > 0.9


def test_rate_faster_than_any_sensor_is_refused(tmp_path: Path) -> None:
    sensors = {"accel": Sensor(rate_hz=20), "gyro": Sensor(rate_hz=20)}
    payloads = make_payloads(seconds=3, **sensors)
    path = write_clip(tmp_path / "a.mp4", payloads, frames=1)
    data = path.read_bytes()
    # Each payload claims a million more samples so far than the one before.
    for i in range(3):
        old = klv("TSMP", "L", 4, 1, struct.pack(">I", 20 * (i + 1)))
        new = klv("TSMP", "L", 4, 1, struct.pack(">I", 10_000_000 * (i + 1)))
        assert data.count(old) == 2
        data = data.replace(old, new)
    path.write_bytes(data)
    with pytest.raises(TakeError, match="ACCL must be sampled once in 10000 ns to") as caught:
        open_gpmf_imu(path, origin_ns=0, accept_sensor_frame=True)
    assert caught.value.code == "imu_clock_unstable"


def test_samples_that_no_sensor_reads_are_left_out_and_told(tmp_path: Path) -> None:
    values = np.ones((20, 3))
    streams = []
    for key in ("ACCL", "GYRO"):
        raw = values.copy()
        if key == "ACCL":
            raw[3, 1] = 1e30
        data = raw.astype(">f4").tobytes()
        streams.append(nest("STRM", text("ORIN", "XYZ"), klv(key, "f", 12, 20, data)))
    path = write_clip(tmp_path / "a.mp4", [nest("DEVC", *streams)] * 2, frames=1)
    runs = list(open_gpmf_imu(path, origin_ns=0, accept_sensor_frame=True).runs)
    assert [len(run.accel) for run in runs] == [19, 19]
    assert [run.invalid_ns.tolist() for run in runs] == [[150_000_000], [1_150_000_000]]
