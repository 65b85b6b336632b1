import numpy as np
import pytest

from pipelines.imu.gpmf_axes import axes_of, axes_rotation
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
        pytest.param(stream_named("Hero4 Silver", STNM="Gyroscope"), None, id="hero4"),
        pytest.param(stream_named("Camera", STNM="Gyroscope"), None, id="unknown"),
    ],
)
def test_axis_order_by_camera(stream: GpmfStream, axes: str | None) -> None:
    assert axes_of(stream) == axes


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
