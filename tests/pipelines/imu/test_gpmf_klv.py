import struct

import numpy as np
import pytest
from py_gpmf_parser import gopro_telemetry_extractor

from pipelines.imu.gpmf_axes import axes_rotation
from pipelines.imu.gpmf_klv import (
    GpmfError,
    KlvRecord,
    find_text,
    full_range,
    read_samples,
    read_streams,
)
from pipelines.synthetic.gpmf_writer import klv, nest, text

gpmf = gopro_telemetry_extractor.pgfp


SCALE = klv("SCAL", "s", 2, 1, struct.pack(">h", 100))
VALUES = np.array([[1000, -200, 30], [1100, -300, 40]])
ACCL = klv("ACCL", "s", 6, 2, VALUES.astype(">i2").tobytes())
NAME = klv("DVNM", "c", 1, 6, b"Camera")


def payload(*records: bytes, name: bytes = NAME) -> bytes:
    return nest("DEVC", name, nest("STRM", *records))


def test_hand_made_payload_gives_its_records_and_scaled_samples() -> None:
    total = klv("TSMP", "L", 4, 1, struct.pack(">I", 70_000))
    (stream,) = read_streams(payload(total, SCALE, ACCL))
    assert stream.device == "Camera"
    assert list(stream.records) == ["TSMP", "SCAL", "ACCL"]
    assert stream.records["TSMP"].numbers() == np.array([[70_000]])
    np.testing.assert_array_equal(read_samples(stream, "ACCL"), VALUES / 100)


def test_a_scale_for_each_column_is_applied_by_column() -> None:
    scale = klv("SCAL", "l", 4, 3, struct.pack(">iii", 1, 10, 100))
    (stream,) = read_streams(payload(scale, ACCL))
    np.testing.assert_array_equal(read_samples(stream, "ACCL"), VALUES / [1, 10, 100])


def test_samples_without_a_scale_are_as_written() -> None:
    (stream,) = read_streams(payload(ACCL))
    np.testing.assert_array_equal(read_samples(stream, "ACCL"), VALUES)


def test_streams_keep_the_order_of_devices_and_padding_ends_the_payload() -> None:
    second = payload(SCALE, name=klv("DVNM", "c", 1, 3, b"Two"))
    streams = read_streams(payload(ACCL) + second + b"\0" * 12)
    assert [stream.device for stream in streams] == ["Camera", "Two"]


def test_every_truncation_is_noticed() -> None:
    whole = payload(SCALE, ACCL)
    for length in range(len(whole)):
        with pytest.raises(GpmfError):
            read_streams(whole[:length])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"", "must begin with DEVC, got b''", id="empty"),
        pytest.param(nest("STRM", ACCL), "must begin with DEVC, got b'STRM'", id="no_device"),
        pytest.param(
            payload(klv("ACCL", "s", 6, 9, b"\0" * 12)),
            "ACCL must end inside its parent of 20 bytes, got 62",
            id="too_many_samples",
        ),
        pytest.param(payload(ACCL, b"AB"), "2 bytes must be a whole record", id="rest"),
    ],
)
def test_malformed_bytes_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(GpmfError, match=message):
        read_streams(data)


@pytest.mark.parametrize(
    ("records", "message"),
    [
        pytest.param(
            [klv("SCAL", "s", 2, 1, b"\0\0"), ACCL], "1 or 3 numbers other than 0", id="zero_scale"
        ),
        pytest.param(
            [klv("SCAL", "s", 2, 2, b"\0\1\0\1"), ACCL], "1 or 3 numbers", id="two_scales"
        ),
        pytest.param(
            [klv("ACCL", "c", 1, 4, b"abcd")], "must hold numbers, got type 'c'", id="letters"
        ),
        pytest.param(
            [klv("ACCL", "s", 3, 2, b"\0" * 6)], "got type 's' of 3 bytes", id="half_a_number"
        ),
        pytest.param([klv("ACCL", "s", 0, 2, b"")], "got type 's' of 0 bytes", id="no_size"),
    ],
)
def test_samples_that_are_no_numbers_are_refused(records: list[bytes], message: str) -> None:
    (stream,) = read_streams(payload(*records))
    with pytest.raises(GpmfError, match=message):
        read_samples(stream, "ACCL")


def test_text_is_found_however_deep_and_the_first_counts() -> None:
    data = nest("DEVC", nest("STRM", text("MINF", "HERO7 Black")), text("MINF", "other"))
    assert find_text(data, "MINF") == "HERO7 Black"
    assert find_text(data, "STNM") == ""
    assert find_text(b"", "MINF") == ""


@pytest.mark.parametrize(
    ("kind", "limits"),
    [
        ("s", (-32768.0, 32767.0)),
        ("B", (0.0, 255.0)),
        ("l", (-2147483648.0, 2147483647.0)),
        ("f", (-np.inf, np.inf)),
        ("c", (-np.inf, np.inf)),
    ],
)
def test_full_range_is_that_of_the_type(kind: str, limits: tuple[float, float]) -> None:
    record = KlvRecord(key="ACCL", kind=kind, size=1, repeat=0, data=b"")
    assert full_range(record) == limits


def test_rotation_agrees_with_the_cameras_own_matrix_as_gopros_parser_applies_it() -> None:
    # GoPro's parser turns ORIN columns into ORIO columns by MTRX: here X, -Z, Y into Z, X, Y.
    matrix = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]], dtype=">f4")
    orientation = (
        klv("ORIN", "c", 1, 3, b"XzY"),
        klv("ORIO", "c", 1, 3, b"ZXY"),
        klv("MTRX", "f", 36, 1, matrix.tobytes()),
    )
    data = payload(SCALE, *orientation, ACCL)
    words = np.frombuffer(data, dtype="<u4")
    _, parsed = gpmf.GPMF_Init(words, words.nbytes)
    levels = gpmf.GPMF_LEVELS.GPMF_RECURSE_LEVELS_AND_TOLERANT
    gpmf.GPMF_FindNext(parsed, gpmf.Str2FourCC("ACCL"), levels)
    _, scaled = gpmf.GPMF_ScaledData(parsed, 48, 0, 2, gpmf.GPMF_SampleType.DOUBLE)
    z, x, y = np.reshape(scaled[:6], (2, 3)).T
    (stream,) = read_streams(data)
    ours = read_samples(stream, "ACCL") @ axes_rotation("XzY").T
    np.testing.assert_allclose(ours, np.column_stack([x, y, z]), rtol=1e-6)


def test_records_may_nest_deeper_than_calls() -> None:
    deep = text("MINF", "HERO7 Black")
    for _ in range(3000):
        deep = nest("DEVC", deep)
    assert find_text(deep, "MINF") == "HERO7 Black"
    assert find_text(deep, "FIRM") == ""


@pytest.mark.parametrize("scale", [np.inf, np.nan, 0.0])
def test_scale_that_is_no_number_is_refused(scale: float) -> None:
    # Divided by infinity, every sample would be a zero that nobody recorded.
    record = klv("SCAL", "f", 4, 1, np.array([scale], ">f4").tobytes())
    (stream,) = read_streams(payload(record, ACCL))
    with pytest.raises(GpmfError, match="1 or 3 numbers other than 0"):
        read_samples(stream, "ACCL")


def test_sample_beyond_floats_is_infinite() -> None:
    samples = klv("ACCL", "d", 24, 1, np.array([1e308, 1.0, -1e308], ">f8").tobytes())
    record = klv("SCAL", "f", 4, 1, np.array([1e-20], ">f4").tobytes())
    (stream,) = read_streams(payload(record, samples))
    (row,) = read_samples(stream, "ACCL").tolist()
    assert (row[0], row[2]) == (np.inf, -np.inf)
    assert row[1] == pytest.approx(1e20)
