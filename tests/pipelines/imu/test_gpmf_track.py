from pathlib import Path

import pytest

from pipelines.imu.gpmf_klv import GpmfError
from pipelines.imu.gpmf_track import SENSORS, gpmf_faults, read_payloads
from schemas.errors import TakeError


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


def test_malformed_bytes_become_the_fault_of_their_take(tmp_path: Path) -> None:
    message = r"gpmf_malformed: ACCL must end \[.*a.mp4\]"
    with pytest.raises(TakeError, match=message), gpmf_faults(tmp_path / "a.mp4"):
        raise GpmfError("ACCL must end")


def test_other_faults_pass_unchanged(tmp_path: Path) -> None:
    fault = TakeError("gyro_missing", "none")
    with pytest.raises(TakeError) as caught, gpmf_faults(tmp_path / "a.mp4"):
        raise fault
    assert caught.value is fault
