import numpy as np
import pytest

from pipelines.imu.gpmf_klv import read_samples, read_streams
from pipelines.synthetic.gpmf_writer import klv, nest, sensor_stream, text


def test_records_are_the_bytes_of_the_format() -> None:
    # Key, type, size of a structure, how many, data padded to four bytes.
    assert text("DVNM", "Hero6") == b"DVNMc\x01\x00\x05Hero6\0\0\0"
    assert klv("SCAL", "s", 2, 1, b"\x01\xa1") == b"SCALs\x02\x00\x01\x01\xa1\0\0"
    assert nest("STRM") == b"STRM\0\x01\0\0"
    assert nest("DEVC", text("ABCD", "xy")) == b"DEVC\0\x01\0\x0cABCDc\x01\x00\x02xy\0\0"


def test_what_is_too_long_for_bytes_is_counted_in_fours() -> None:
    body = klv("FILL", "B", 4, 16384, bytes(1 << 16))
    assert nest("DEVC", body)[:8] == b"DEVC\0\x04" + (len(body) // 4).to_bytes(2, "big")


def test_samples_are_read_back_to_a_step_and_clipped_at_16_bits() -> None:
    values = np.array([[0.5, -1.25, 9.81], [1000.0, -1000.0, 0.0]])
    (stream,) = read_streams(nest("DEVC", sensor_stream("ACCL", values, total=7, scale=417)))
    assert "STMP" not in stream.records
    assert stream.records["TSMP"].numbers().tolist() == [[7]]
    found = read_samples(stream, "ACCL")
    np.testing.assert_allclose(found[0], values[0], atol=0.5 / 417)
    assert found[1].tolist() == pytest.approx([32767 / 417, -32768 / 417, 0])


def test_stamp_is_in_microseconds() -> None:
    payload = nest("DEVC", sensor_stream("GYRO", np.zeros((1, 3)), total=1, scale=1, stamp_us=5))
    (stream,) = read_streams(payload)
    assert stream.records["STMP"].numbers().tolist() == [[5]]
