from pathlib import Path

import numpy as np
import pytest

from pipelines.imu.gpmf_klv import GpmfError
from pipelines.imu.gpmf_track import SENSORS, gpmf_faults, parse_payloads, read_payloads
from pipelines.synthetic.gpmf_writer import klv, nest
from schemas.errors import TakeError
from tests.gopro_files import Sensor, make_payloads, write_clip


def test_payloads_of_a_real_clip_by_their_time_and_running_numbers(shared_data: Path) -> None:
    payloads = list(read_payloads(shared_data / "gopro_karma.mp4"))
    # By ffprobe -show_packets: 13 packets, 1001 ms apart.
    assert [payload.pts_ns for payload in payloads] == [i * 1_001_000_000 for i in range(13)]
    for key, total in zip(SENSORS, (2397, 4795), strict=True):
        counts = [payload.streams[key].records[key].repeat for payload in payloads]
        assert [payload.numbers[key] for payload in payloads] == [
            sum(counts[:i]) for i in range(13)
        ]
        assert sum(counts) == total


def test_samples_are_counted_where_the_camera_does_not(shared_data: Path, tmp_path: Path) -> None:
    clip = shared_data / "gopro_karma.mp4"
    untold = tmp_path / "untold.mp4"
    untold.write_bytes(clip.read_bytes().replace(b"TSMPL", b"XSMPL"))
    payloads = list(read_payloads(untold))
    assert all("TSMP" not in p.streams[key].records for p in payloads for key in SENSORS)
    assert [p.numbers for p in payloads] == [p.numbers for p in read_payloads(clip)]


def test_stamps_are_nanoseconds_of_each_sensor(tmp_path: Path) -> None:
    sensors = {"accel": Sensor(rate_hz=200, first_s=0.002), "gyro": Sensor(rate_hz=400)}
    data = make_payloads(seconds=3, camera_zero_us=1 << 40, **sensors)
    payloads = list(read_payloads(write_clip(tmp_path / "a.mp4", data, frames=3)))
    assert [dict(payload.stamps_ns) for payload in payloads] == [
        {"ACCL": ((1 << 40) + i * 1_000_000 + 2000) * 1000, "GYRO": ((1 << 40) + i * 10**6) * 1000}
        for i in range(3)
    ]
    plain = make_payloads(seconds=1, **sensors)
    (payload,) = read_payloads(write_clip(tmp_path / "b.mp4", plain, frames=3))
    assert payload.stamps_ns == {}


def test_stamp_that_is_no_single_number_is_refused(tmp_path: Path) -> None:
    samples = klv("ACCL", "s", 6, 1, b"\0" * 6)
    data = nest("DEVC", nest("STRM", klv("STMP", "J", 8, 2, b"\0" * 16), samples))
    path = write_clip(tmp_path / "a.mp4", [data], frames=1)
    with pytest.raises(GpmfError, match="STMP of ACCL must be one number, got 2"):
        list(read_payloads(path))


def test_malformed_bytes_become_the_fault_of_their_take(tmp_path: Path) -> None:
    message = r"gpmf_malformed: ACCL must end \[.*a.mp4\]"
    with pytest.raises(TakeError, match=message), gpmf_faults(tmp_path / "a.mp4"):
        raise GpmfError("ACCL must end")


def test_other_faults_pass_unchanged(tmp_path: Path) -> None:
    fault = TakeError("gyro_missing", "none")
    with pytest.raises(TakeError) as caught, gpmf_faults(tmp_path / "a.mp4"):
        raise fault
    assert caught.value is fault


@pytest.mark.parametrize("name", ["TSMP", "STMP"])
@pytest.mark.parametrize("number", [np.nan, np.inf, 1e300, -1.0])
def test_count_or_stamp_that_cannot_be_is_refused(name: str, number: float) -> None:
    said = klv(name, "d", 8, 1, np.array([number], ">f8").tobytes())
    data = nest("DEVC", nest("STRM", said, klv("ACCL", "s", 6, 1, b"\0" * 6)))
    with pytest.raises(GpmfError, match=rf"{name} of ACCL must lie in \[0, \d+\], got"):
        list(parse_payloads([(0, data)]))


@pytest.mark.parametrize("pts_ns", [1 << 61, -(1 << 63)])
def test_payload_at_an_instant_that_cannot_be_is_refused(pts_ns: int) -> None:
    with pytest.raises(GpmfError, match="payload must be within 36 years of zero"):
        list(parse_payloads([(pts_ns, nest("DEVC"))]))


def test_names_in_other_letters_than_utf8_are_no_fault(tmp_path: Path) -> None:
    sensors = {"accel": Sensor(rate_hz=20), "gyro": Sensor(rate_hz=40)}
    path = write_clip(tmp_path / "a.mp4", make_payloads(seconds=2, **sensors), frames=2)
    data = path.read_bytes()
    assert b"VideoHandler" in data
    path.write_bytes(data.replace(b"VideoHandler", b"Vid\xe9oHandler"))
    assert [dict(payload.numbers) for payload in read_payloads(path)] == [
        {"ACCL": 0, "GYRO": 0},
        {"ACCL": 20, "GYRO": 40},
    ]
