import numpy as np
import numpy.typing as npt
import pytest

from pipelines.imu.gpmf_axes import axes_of, axes_rotation, stream_rotation
from pipelines.imu.gpmf_klv import GpmfError, GpmfStream, KlvRecord


def stream_named(device: str, **texts: str) -> GpmfStream:
    records = {
        key: KlvRecord(key=key, kind="c", size=1, repeat=len(text), data=text.encode())
        for key, text in texts.items()
    }
    return GpmfStream(device=device, records=records)


@pytest.mark.parametrize(
    ("stream", "axes"),
    [
        pytest.param(stream_named("Camera", STNM="Gyroscope (z,x,y)"), "ZXY", id="hero5_gyro"),
        pytest.param(
            stream_named("Camera", STNM="Accelerometer (up/down, right/left, forward/back)"),
            "ZXY",
            id="hero5_accel",
        ),
        pytest.param(stream_named("Hero6 Black", STNM="Accelerometer"), "YxZ", id="hero6"),
        pytest.param(stream_named("HERO10 Black", STNM="Gyroscope"), "YxZ", id="hero10"),
        pytest.param(stream_named("HERO9 Black", ORIN="ZXY"), "ZXY", id="orin_before_camera"),
        pytest.param(stream_named("GoPro Max", ORIN="XzY"), "XzY", id="max"),
        pytest.param(stream_named("GoPro Fusion FS1.04", STNM="Gyroscope"), "yXZ", id="fusion"),
        pytest.param(stream_named("Hero5 Black", STNM="Gyroscope"), "ZXY", id="hero5_by_name"),
        pytest.param(stream_named("HERO9 Black", STNM="Gyroscope"), "YxZ", id="hero9"),
        pytest.param(stream_named("GoPro Max", STNM="Gyroscope"), None, id="max_without_orin"),
        pytest.param(stream_named("Hero4 Silver", STNM="Gyroscope"), None, id="hero4"),
        pytest.param(stream_named("Camera", STNM="Gyroscope"), None, id="unknown"),
    ],
)
def test_axis_order_by_camera(stream: GpmfStream, axes: str | None) -> None:
    assert axes_of(stream) == axes


@pytest.mark.parametrize(
    ("device", "model", "axes"),
    [
        ("Camera", "HERO5", "ZXY"),
        ("Camera", "HERO7 Black", "YxZ"),
        ("Camera", "Fusion", "yXZ"),
        ("Camera", "", None),
        ("Hero6 Black", "HERO5", "YxZ"),
    ],
)
def test_axis_order_by_the_header_s_model(device: str, model: str, axes: str | None) -> None:
    assert axes_of(stream_named(device, STNM="Gyroscope"), model=model) == axes


def with_matrix(orin: str, orio: str, matrix: npt.NDArray[np.float64]) -> GpmfStream:
    record = KlvRecord(
        key="MTRX", kind="f", size=4 * matrix.size, repeat=1, data=matrix.astype(">f4").tobytes()
    )
    named = stream_named("GoPro Max", ORIN=orin, ORIO=orio)
    return GpmfStream(device=named.device, records={**named.records, "MTRX": record})


MAX_MATRIX = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])  # X, -Z, Y into Z, X, Y


def test_matrix_of_a_mere_order_changes_nothing() -> None:
    found = stream_rotation(with_matrix("XzY", "ZXY", MAX_MATRIX), "XzY")
    np.testing.assert_array_equal(found, axes_rotation("XzY"))


def test_matrix_that_carries_a_calibration_is_applied() -> None:
    tilt = np.deg2rad(2.0)
    turn = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    found = stream_rotation(with_matrix("XzY", "ZXY", MAX_MATRIX @ turn), "XzY")
    # The tilted sensor read gravity 2 degrees off its second column, which is -Z.
    sensed = np.array([0.0, -9.81 * np.cos(tilt), 9.81 * np.sin(tilt)])
    np.testing.assert_allclose(found @ sensed, [0, 0, 9.81], atol=1e-5)
    assert abs((axes_rotation("XzY") @ sensed)[1]) > 0.3


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.eye(3), "MTRX must turn XzY into ZXY within 0.18, got"),
        (np.full((3, 3), np.nan), "MTRX must turn XzY into ZXY"),
        (np.eye(2), "MTRX must be 9 numbers, got 4"),
    ],
)
def test_matrix_that_contradicts_the_orders_is_refused(
    matrix: npt.NDArray[np.float64], message: str
) -> None:
    with pytest.raises(GpmfError, match=message):
        stream_rotation(with_matrix("XzY", "ZXY", matrix), "XzY")


def test_without_a_matrix_the_order_alone_counts() -> None:
    rotation = stream_rotation(stream_named("HERO9 Black", ORIN="YxZ", ORIO="ZXY"), "YxZ")
    np.testing.assert_array_equal(rotation, axes_rotation("YxZ"))


@pytest.mark.parametrize(
    ("axes", "sample", "device"),
    [
        ("ZXY", [3.0, 1.0, 2.0], [1.0, 2.0, 3.0]),
        ("YxZ", [2.0, -1.0, 3.0], [1.0, 2.0, 3.0]),
        ("XzY", [1.0, -3.0, 2.0], [1.0, 2.0, 3.0]),
        ("yXZ", [-2.0, 1.0, 3.0], [1.0, 2.0, 3.0]),
        ("XYZ", [1.0, 2.0, 3.0], [1.0, 2.0, 3.0]),
    ],
)
def test_rotation_puts_each_column_on_its_axis(
    axes: str, sample: list[float], device: list[float]
) -> None:
    rotation = axes_rotation(axes)
    assert (rotation @ sample).tolist() == device
    np.testing.assert_array_equal(rotation @ rotation.T, np.eye(3))
    assert np.linalg.det(rotation) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ("XXZ", "X, Y and Z in some order and sign, got 'XXZ'"),
        ("XY", "X, Y and Z in some order and sign, got 'XY'"),
        ("", "X, Y and Z in some order and sign, got ''"),
        ("XYz", "right-handed, got 'XYz'"),
    ],
)
def test_axes_that_are_no_frame_are_refused(axes: str, message: str) -> None:
    with pytest.raises(GpmfError, match=message):
        axes_rotation(axes)
