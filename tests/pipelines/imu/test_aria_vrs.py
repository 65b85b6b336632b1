"""Real Aria files against measured figures; hand-made files for every fault."""

import json
import struct
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from pipelines.align.clock import TakeClock
from pipelines.datasets.base import ImuRecording
from pipelines.imu.aria_vrs import open_aria_imu
from pipelines.synthetic.aria_imu import make_calib_json
from pipelines.synthetic.vrs_writer import AriaImuBlock, AriaImuStream, write_aria_vrs
from schemas.errors import SchemaError, TakeError
from schemas.imu import ImuSamples
from schemas.time import NS_PER_MS, NS_PER_S, Interval

pytest.importorskip("projectaria_tools.core.data_provider")

ORIGIN_NS = 300 * NS_PER_S
BIAS = [0.5, -0.25, 0.125]
# A quarter turn about z: x of the chip is y of the device.
QUARTER_TURN = [0.5**0.5, [0.0, 0.0, 0.5**0.5]]


def clock(start_ns: int, *, seconds: float) -> TakeClock:
    span = Interval(0, round(seconds * NS_PER_S))
    return TakeClock(
        device_ns=np.array([start_ns, start_ns + span.end_ns]),
        take_ns=np.array([0, span.end_ns]),
        span=span,
    )


def open_imu(
    path: Path, *, seconds: float = 1.0, run_s: float = 60, **options: object
) -> ImuRecording:
    settings = {"stream": "imu-right", "accept_sensor_frame": False, **options}
    return open_aria_imu(path, clock=clock(ORIGIN_NS, seconds=seconds), run_s=run_s, **settings)


def read_all(recording: ImuRecording) -> dict[str, npt.NDArray[np.generic]]:
    runs = list(recording.runs)
    return {
        f"{name}_{field}": np.concatenate([getattr(getattr(r, name), field) for r in runs])
        for name in ("accel", "gyro")
        for field in ("t_ns", "values")
    }


def calibration(label: str = "imu-right", *, matrix: object = None) -> str:
    sensor = {
        "Bias": {"Name": "Constant", "Offset": BIAS},
        "Model": {
            "Name": "Linear",
            "RectificationMatrix": matrix or np.diag([2.0, 4.0, 1.0]).tolist(),
        },
    }
    return json.dumps(
        {
            **json.loads(make_calib_json()),
            "ImuCalibrations": [
                {
                    "Label": label,
                    "SerialNumber": "n",
                    "Calibrated": True,
                    "Accelerometer": {**sensor, "TimeOffsetSec_Device_Accel": 0.0029},
                    "Gyroscope": {**sensor, "TimeOffsetSec_Device_Gyro": 0.0041},
                    "T_Device_Imu": {
                        "Translation": [0.1, 0.2, 0.3],
                        "UnitQuaternion": QUARTER_TURN,
                    },
                }
            ],
        }
    )


def write(
    path: Path,
    t_ns: npt.NDArray[np.int64],
    *,
    calib_json: str | None,
    accel: npt.NDArray[np.float64] | None = None,
    gyro: npt.NDArray[np.float64] | None = None,
    accel_valid: npt.NDArray[np.bool_] | None = None,
    gyro_valid: npt.NDArray[np.bool_] | None = None,
    label: str = "imu-right",
    stamps_ns: npt.NDArray[np.int64] | None = None,
) -> Path:
    count = np.arange(len(t_ns), dtype=np.float64)
    accel = np.stack([count, count + 1, count + 2], axis=1) if accel is None else accel
    block = AriaImuBlock(
        instance=1,
        t_ns=t_ns,
        accel_m_s2=accel,
        gyro_rad_s=-accel if gyro is None else gyro,
        stamps_ns=stamps_ns,
        accel_valid=accel_valid,
        gyro_valid=gyro_valid,
    )
    stream = AriaImuStream(instance=1, label=label, nominal_rate_hz=1000)
    write_aria_vrs(path, streams=[stream], blocks=[[block]], calib_json=calib_json)
    return path


def even(count: int) -> npt.NDArray[np.int64]:
    return ORIGIN_NS + np.arange(count) * NS_PER_MS


EVERYDAY, UNIT = "aria_everyday_activities.vrs", "aria_unit_test.vrs"
REAL = [
    # file, stream, samples, rate, mean raw accel, mean accel in the device frame
    (EVERYDAY, "imu-right", 400, 1001.1, (-8.70, -0.86, 4.09), (-9.36, 2.48, -0.23)),
    (EVERYDAY, "imu-left", 319, 798.2, (2.58, -9.30, 1.16), (-9.40, 2.40, -0.35)),
    (UNIT, "imu-right", 150, 999.5, (-9.65, 0.38, 1.80), (-9.7, -0.27, -0.7)),
    (UNIT, "imu-left", 121, 807.4, (-0.21, -9.53, 1.70), (-9.7, -0.27, -0.7)),
]


@pytest.mark.parametrize(("name", "stream", "samples", "rate_hz", "raw", "device"), REAL)
def test_real_recordings_have_their_measured_figures(
    shared_data: Path,
    name: str,
    stream: str,
    samples: int,
    rate_hz: float,
    raw: tuple[float, float, float],
    device: tuple[float, float, float],
) -> None:
    starts = {EVERYDAY: 86_347_000_000, UNIT: 280_566_000_000}
    for accept, expected in ((True, raw), (False, device)):
        recording = open_aria_imu(
            shared_data / name,
            stream=stream,
            clock=clock(starts[name], seconds=2),
            accept_sensor_frame=accept,
        )
        got = read_all(recording)
        assert len(got["accel_t_ns"]) == len(got["gyro_t_ns"]) == samples
        steps_s = np.diff(got["accel_t_ns"]) / NS_PER_S
        assert 1 / steps_s.mean() == pytest.approx(rate_hz, abs=0.1)
        # The one reference given for both sides of this recording is rounded to 0.1.
        rounded = (name, stream, accept) == (UNIT, "imu-right", False)
        tolerance = 0.1 if rounded else 0.05
        np.testing.assert_allclose(got["accel_values"].mean(axis=0), expected, atol=tolerance)
        assert recording.frame == ("sensor" if accept else "device")
        assert recording.info["samples"] == samples


@pytest.mark.parametrize("name", ["aria_everyday_activities.vrs", "aria_unit_test.vrs"])
def test_both_sides_agree_only_in_the_device_frame(shared_data: Path, name: str) -> None:
    def mean(stream: str, *, accept: bool) -> npt.NDArray[np.float64]:
        recording = open_aria_imu(
            shared_data / name,
            stream=stream,
            clock=clock(86_347_000_000 if name == EVERYDAY else 280_566_000_000, seconds=2),
            accept_sensor_frame=accept,
        )
        return np.asarray(read_all(recording)["accel_values"].mean(axis=0))

    apart = [
        np.linalg.norm(mean("imu-right", accept=a) - mean("imu-left", accept=a))
        for a in (False, True)
    ]
    assert apart[0] < 0.2
    assert apart[1] > 9


@pytest.mark.parametrize("run_s", [0.007, 60])
def test_runs_say_where_samples_were_left_out(tmp_path: Path, run_s: float) -> None:
    accel, accel_valid = np.ones((40, 3)), np.ones(40, np.bool_)
    gyro, gyro_valid = np.ones((40, 3)), np.ones(40, np.bool_)
    accel[3, 1], accel[20, 2], accel_valid[7] = np.nan, np.inf, False
    gyro[3, 0], gyro_valid[30] = np.nan, False
    path = write(
        tmp_path / "a.vrs",
        even(40),
        calib_json=calibration(),
        accel=accel,
        gyro=gyro,
        accel_valid=accel_valid,
        gyro_valid=gyro_valid,
    )
    runs = list(open_imu(path, run_s=run_s).runs)
    invalid = np.concatenate([run.invalid_ns for run in runs])
    # Both sensors lost number 3: it counts for each.
    assert (invalid // NS_PER_MS).tolist() == [3, 3, 7, 20, 30]
    assert invalid.dtype == np.int64
    assert np.concatenate([run.saturated_ns for run in runs]).tolist() == []
    kept = np.concatenate([run.accel.t_ns for run in runs]) // NS_PER_MS
    assert kept.tolist() == [i for i in range(40) if i not in (3, 7, 20)]


G = 9.80665


@pytest.mark.parametrize(
    ("accel", "gyro_deg_s", "ends"),
    [
        pytest.param((0, 8 * G * 32767 / 32768, 0), 0.0, 1, id="8_g"),
        pytest.param((-8 * G, 0, 0), 0.0, 1, id="minus_8_g"),
        pytest.param((0, 0, 16 * G), 0.0, 1, id="16_g"),
        pytest.param((7.99 * G, 0, 0), 0.0, 0, id="below"),
        pytest.param((9 * G, 0, 0), 0.0, 0, id="between_two_ranges"),
        pytest.param((4 * G, 0, 0), 0.0, 0, id="a_range_of_the_other_chip"),
        pytest.param((0, 0, 0), 1000.0, 1, id="1000_deg_s"),
        pytest.param((0, 0, 0), -2000.0 * 32767 / 32768, 1, id="minus_2000_deg_s"),
        pytest.param((0, 0, 0), 500.0, 0, id="500_deg_s"),
        pytest.param((8 * G, -8 * G, 0), 1000.0, 2, id="both_sensors"),
    ],
)
def test_samples_at_the_end_of_the_range_are_kept_and_marked(
    tmp_path: Path, accel: tuple[float, float, float], gyro_deg_s: float, ends: int
) -> None:
    values, turns = np.zeros((20, 3)), np.zeros((20, 3))
    values[11] = accel
    turns[11, 2] = np.deg2rad(gyro_deg_s)
    path = write(tmp_path / "a.vrs", even(20), calib_json=calibration(), accel=values, gyro=turns)
    # By the raw values: the calibration doubles, quarters and moves them.
    (run,) = open_imu(path).runs
    assert (run.saturated_ns // NS_PER_MS).tolist() == [11] * ends
    assert len(run.accel.t_ns) == len(run.gyro.t_ns) == 20
    assert run.invalid_ns.tolist() == []


def test_real_recordings_step_by_the_ranges_in_use(shared_data: Path) -> None:
    # 16-bit values: a sample is a whole number of steps, and no finer and no coarser step fits all.
    for name, start_ns in ((EVERYDAY, 86_347_000_000), (UNIT, 280_566_000_000)):
        for stream, accel_g, gyro_deg_s in (("imu-right", 8, 1000), ("imu-left", 4, 500)):
            recording = open_aria_imu(
                shared_data / name,
                stream=stream,
                clock=clock(start_ns, seconds=2),
                accept_sensor_frame=True,
            )
            runs = list(recording.runs)
            for sensor, step in (
                ("accel", accel_g * G / 2**15),
                ("gyro", np.deg2rad(gyro_deg_s) / 2**15),
            ):
                raw = np.concatenate([getattr(run, sensor).values for run in runs])
                jumps = np.diff(np.unique(raw[:, 0])) / step
                assert np.abs(jumps - np.rint(jumps)).max() < 0.05
                assert np.abs(jumps / 2 - np.rint(jumps / 2)).max() > 0.4
            assert sum(len(run.saturated_ns) for run in runs) == 0


def test_stamps_that_step_back_inside_the_records_are_refused(tmp_path: Path) -> None:
    t_ns = even(40)
    stamps_ns = np.where(np.arange(40) < 25, t_ns, t_ns - 10 * NS_PER_MS)
    path = write(tmp_path / "a.vrs", t_ns, calib_json=calibration(), stamps_ns=stamps_ns)
    with pytest.raises(TakeError, match=r"imu_not_monotonic: .*step of -9000000 ns at record 25"):
        list(open_imu(path).runs)


def test_samples_stand_on_the_take_clock_in_the_device_frame(tmp_path: Path) -> None:
    path = write(tmp_path / "a.vrs", even(50), calib_json=calibration())
    recording = open_imu(path)
    got = read_all(recording)
    assert got["accel_t_ns"].tolist() == (np.arange(50) * NS_PER_MS).tolist()
    i = np.arange(50.0)
    x, y, z = (i - 0.5) / 2, (i + 1 + 0.25) / 4, i + 2 - 0.125
    np.testing.assert_allclose(got["accel_values"], np.stack([-y, x, z], axis=1), atol=1e-5)
    assert (recording.frame, recording.stream) == ("device", "imu-right")
    assert recording.info == {
        "read_by": "bulk",
        "samples": 50,
        "invalid_accel_samples": 0,
        "invalid_gyro_samples": 0,
        "repeated_stamps": 0,
        "accel_time_offset_ns": 2_900_000,
        "gyro_time_offset_ns": 4_100_000,
    }


def test_sensor_frame_is_raw_even_where_calibration_is_there(tmp_path: Path) -> None:
    path = write(tmp_path / "a.vrs", even(5), calib_json=calibration())
    recording = open_imu(path, accept_sensor_frame=True)
    assert recording.frame == "sensor"
    got = read_all(recording)
    assert got["accel_values"].tolist() == [[i, i + 1, i + 2] for i in range(5)]
    assert got["gyro_values"].tolist() == [[-i, -i - 1, -i - 2] for i in range(5)]


@pytest.mark.parametrize("run_s", [0.001, 0.007, 0.05, 60])
def test_run_length_changes_no_bit(tmp_path: Path, run_s: float) -> None:
    path = write(tmp_path / "a.vrs", even(50), calib_json=calibration())
    runs: list[ImuSamples] = list(open_imu(path, run_s=run_s).runs)
    assert len(runs) == -(-50 // round(run_s * 1000))
    whole = read_all(open_imu(path))
    for name, column in read_all(open_imu(path, run_s=run_s)).items():
        assert column.tobytes() == whole[name].tobytes()


def test_flagged_samples_are_left_out_by_sensor_and_counted(tmp_path: Path) -> None:
    accel_valid, gyro_valid = np.ones(20, bool), np.ones(20, bool)
    accel_valid[[3, 4]] = False
    gyro_valid[7] = False
    path = write(
        tmp_path / "a.vrs",
        even(20),
        calib_json=None,
        accel_valid=accel_valid,
        gyro_valid=gyro_valid,
    )
    recording = open_imu(path, accept_sensor_frame=True)
    got = read_all(recording)
    assert got["accel_t_ns"].tolist() == [i * NS_PER_MS for i in range(20) if i not in (3, 4)]
    assert got["gyro_t_ns"].tolist() == [i * NS_PER_MS for i in range(20) if i != 7]
    assert recording.info["invalid_accel_samples"] == 2
    assert recording.info["invalid_gyro_samples"] == 1


def test_samples_that_are_not_finite_count_as_invalid(tmp_path: Path) -> None:
    accel = np.ones((10, 3))
    accel[6, 1] = np.nan
    path = write(tmp_path / "a.vrs", even(10), calib_json=None, accel=accel)
    recording = open_imu(path, accept_sensor_frame=True)
    assert len(read_all(recording)["accel_t_ns"]) == 9
    assert recording.info["invalid_accel_samples"] == 1


@pytest.mark.parametrize("run_s", [0.004, 60])
def test_repeated_stamps_are_left_out_and_counted(tmp_path: Path, run_s: float) -> None:
    t_ns = even(10)
    t_ns[4] = t_ns[3]
    path = write(tmp_path / "a.vrs", t_ns, calib_json=None)
    recording = open_imu(path, accept_sensor_frame=True, run_s=run_s)
    got = read_all(recording)
    assert got["accel_t_ns"].tolist() == [i * NS_PER_MS for i in range(10) if i != 4]
    assert recording.info["repeated_stamps"] == 1


@pytest.mark.parametrize("run_s", [0.004, 60])
def test_step_back_in_time_is_refused(tmp_path: Path, run_s: float) -> None:
    path = write(tmp_path / "a.vrs", even(10), calib_json=None)
    early = struct.pack("<q", ORIGIN_NS + NS_PER_MS)
    path.write_bytes(path.read_bytes().replace(struct.pack("<q", ORIGIN_NS + 8 * NS_PER_MS), early))
    recording = open_imu(path, accept_sensor_frame=True, run_s=run_s)
    with pytest.raises(TakeError, match="must not go back, got a step of -6000000 ns at record 8"):
        read_all(recording)


def test_long_recording_is_read_around_its_take_only(tmp_path: Path) -> None:
    path = write(tmp_path / "a.vrs", ORIGIN_NS - 9 * NS_PER_S + np.arange(20_000) * NS_PER_MS,
                 calib_json=None)  # fmt: skip
    recording = open_imu(path, seconds=1.0, accept_sensor_frame=True)
    t_ns = read_all(recording)["accel_t_ns"]
    assert (t_ns[0], t_ns[-1]) == (-2 * NS_PER_S, 3 * NS_PER_S)


def test_uncalibrated_take_is_refused_unless_accepted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.vrs", even(5), calib_json=None)
    with pytest.raises(TakeError, match="must hold the calibration of imu-right; ") as caught:
        open_imu(path)
    assert caught.value.code == "no_calibration"
    assert open_imu(path, accept_sensor_frame=True).frame == "sensor"


def test_calibration_of_the_other_imu_alone_does_not_count(tmp_path: Path) -> None:
    path = write(tmp_path / "a.vrs", even(5), calib_json=calibration("imu-left"))
    with pytest.raises(TakeError, match="no_calibration"):
        open_imu(path)


def test_rectification_without_inverse_is_refused(tmp_path: Path) -> None:
    flat = [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    path = write(tmp_path / "a.vrs", even(5), calib_json=calibration(matrix=flat))
    with pytest.raises(TakeError, match="accelerometer must have an inverse, got"):
        open_imu(path)


@pytest.mark.parametrize("stream", ["imu-left", "imu-nowhere"])
def test_missing_stream_is_refused(tmp_path: Path, stream: str) -> None:
    path = write(tmp_path / "a.vrs", even(5), calib_json=calibration())
    with pytest.raises(TakeError, match=f"must hold the stream {stream} ") as caught:
        open_imu(path, stream=stream)
    assert caught.value.code == "imu_stream_missing"


def test_file_of_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.vrs").write_bytes(b"garbage" * 1000)
    with pytest.raises(TakeError, match="VRS must be readable") as caught:
        open_imu(tmp_path / "a.vrs")
    assert caught.value.code == "vrs_unreadable"


def test_damage_in_the_middle_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.vrs", even(2000), calib_json=None)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 500] = b"\xff" * 500
    path.write_bytes(data)
    with pytest.raises(TakeError, match="must be readable, got a damaged one at") as caught:
        read_all(open_imu(path, accept_sensor_frame=True))
    assert caught.value.code == "vrs_unreadable"


def of_another_device(path: Path) -> Path:
    """Have the device call itself by a name that only the library may know."""
    data = path.read_bytes()
    at = data.index(b"device_type\x04\0\0\0Aria") + 15
    path.write_bytes(data[:at] + b"Area" + data[at + 4 :])
    return path


def test_missing_library_names_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "projectaria_tools.core.data_provider", None)
    path = write(tmp_path / "a.vrs", even(5), calib_json=None)
    # What is read in bulk needs no library.
    assert len(read_all(open_imu(path, accept_sensor_frame=True))["accel_t_ns"]) == 5
    with pytest.raises(TakeError, match="the extra `aria`: pip install") as caught:
        open_imu(of_another_device(path), accept_sensor_frame=True)
    # One odd file costs no night.
    assert caught.value.code == "vrs_layout_unknown"


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TakeError, match=r"VRS must be readable, got .*No such file") as caught:
        open_imu(tmp_path / "a.vrs")
    assert caught.value.code == "vrs_unreadable"


def test_what_only_the_library_reads_comes_out_the_same(tmp_path: Path) -> None:
    path = write(tmp_path / "a.vrs", even(50), calib_json=None)
    bulk = open_imu(path, accept_sensor_frame=True)
    expected = read_all(bulk)
    by_library = open_imu(of_another_device(path), accept_sensor_frame=True)
    for name, column in read_all(by_library).items():
        assert column.tobytes() == expected[name].tobytes()
    assert (bulk.info["read_by"], by_library.info["read_by"]) == ("bulk", "projectaria-tools")
    assert {**bulk.info, "read_by": ""} == {**by_library.info, "read_by": ""}


def test_records_in_another_order_than_their_time_are_left_to_the_library(tmp_path: Path) -> None:
    path = write(tmp_path / "a.vrs", even(50), calib_json=calibration())
    expected = read_all(open_imu(path))
    data = bytearray(path.read_bytes())
    (index,) = struct.unpack_from("<q", data, 24)
    # Two records change places, and so do their entries in the index.
    for first, size in ((index - 30 * 111, 111), (index + 32 + 4 + 6 + 4 + (2 + 20) * 19, 19)):
        early, late = data[first : first + size], data[first + size : first + 2 * size]
        data[first : first + 2 * size] = late + early
    path.write_bytes(data)
    recording = open_imu(path)
    for name, column in read_all(recording).items():
        assert column.tobytes() == expected[name].tobytes()
    assert recording.info["read_by"] == "projectaria-tools"


@pytest.mark.slow
def test_damage_anywhere_is_refused_or_changes_what_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *, stream: str) -> None:
        raise TakeError("vrs_unreadable", f"left to the library [{path}]")

    # Whatever the library makes of a broken file is its own affair.
    monkeypatch.setattr("pipelines.imu.aria_vrs.open_aria_library", refuse)
    path = write(tmp_path / "a.vrs", even(60), calib_json=calibration())
    sound = path.read_bytes()
    rng = np.random.default_rng(0)
    (index,) = struct.unpack_from("<q", sound, 24)
    # Numbers stand thick in the header, at the description's ends, and in the index.
    dense = [(0, 120), (index - 200, index + 300), (0, len(sound))]
    numbers = [0, 1, 31, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1]
    outcomes: dict[str, int] = {}
    for trial in range(900):
        data = bytearray(sound)
        for _ in range(int(rng.integers(1, 4))):
            low, high = dense[trial % len(dense)]
            at = int(rng.integers(low, high))
            width = int(rng.choice([1, 4, 8]))
            number = numbers[rng.integers(len(numbers))] if trial % 2 else int(rng.integers(256))
            data[at : at + width] = number.to_bytes(8, "little")[:width]
        if trial % 7 == 0:
            data = data[: int(rng.integers(len(sound)))]
        path.write_bytes(data)
        try:
            count = sum(len(run.accel) for run in open_imu(path).runs)
            outcome = "whole" if count == 60 else "less"
            assert count <= 60
        except (TakeError, SchemaError) as error:
            outcome = error.code if isinstance(error, TakeError) else "schema"
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    assert set(outcomes) <= {
        "whole", "less", "vrs_unreadable", "imu_not_monotonic", "imu_stream_missing",
        "no_calibration",
    }  # fmt: skip
    assert outcomes["vrs_unreadable"] > 200
    assert outcomes["whole"] > 100


def test_samples_that_no_chip_reads_count_as_invalid(tmp_path: Path) -> None:
    accel = np.ones((10, 3))
    accel[6, 1] = 3e38
    path = write(tmp_path / "a.vrs", even(10), calib_json=calibration(), accel=accel)
    recording = open_imu(path)
    # Scaled by the calibration, float32 would have no number for it.
    assert len(read_all(recording)["accel_t_ns"]) == 9
    assert recording.info["invalid_accel_samples"] == 1
