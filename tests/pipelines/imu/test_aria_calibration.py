"""The calibration in a file's tag against projectaria-tools, to the bit."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.imu.aria_calibration import parse_aria_calibration, read_aria_calibration
from pipelines.imu.aria_records import open_aria_provider
from pipelines.imu.calibrate import ImuCalibration
from pipelines.imu.vrs_file import UnknownVrsError, read_vrs_file
from pipelines.synthetic.aria_imu import make_calib_json
from pipelines.synthetic.vrs_writer import AriaImuStream, write_aria_vrs
from schemas.errors import TakeError

HERE = Path("a.vrs")


def assert_same(ours: ImuCalibration | None, theirs: ImuCalibration | None) -> None:
    assert ours is not None
    assert theirs is not None
    for mine, other in ((ours.accel, theirs.accel), (ours.gyro, theirs.gyro)):
        assert mine.matrix.tolist() == other.matrix.tolist()
        assert mine.bias.tolist() == other.bias.tolist()
        assert mine.time_offset_ns == other.time_offset_ns
    assert ours.rotation.tolist() == theirs.rotation.tolist()


@pytest.mark.parametrize("name", ["aria_everyday_activities.vrs", "aria_unit_test.vrs"])
@pytest.mark.parametrize("stream", ["imu-right", "imu-left"])
def test_real_calibration_is_the_library_s_to_the_bit(
    shared_data: Path, name: str, stream: str
) -> None:
    pytest.importorskip("projectaria_tools.core.data_provider")
    path = shared_data / name
    calib_json = read_vrs_file(path).tags["calib_json"]
    theirs = read_aria_calibration(open_aria_provider(path), stream=stream, path=path)
    assert_same(parse_aria_calibration(calib_json, stream=stream, path=path), theirs)


def test_any_rotation_is_the_library_s_to_the_bit(tmp_path: Path) -> None:
    pytest.importorskip("projectaria_tools.core.data_provider")
    whole = json.loads(make_calib_json())
    rng = np.random.default_rng(0)
    for i in range(80):
        imu = copy.deepcopy(whole["ImuCalibrations"][0])
        # As many that are far from unit length: they are brought to it.
        w, *xyz = (rng.normal(size=4) * (1 if i % 2 else 10.0 ** rng.integers(-3, 4))).tolist()
        imu["T_Device_Imu"]["UnitQuaternion"] = [w, xyz]
        matrix = np.eye(3) + rng.normal(size=(3, 3)) / 20
        imu["Accelerometer"]["Model"]["RectificationMatrix"] = matrix.tolist()
        whole["ImuCalibrations"].append({**imu, "Label": f"imu-{i}"})
    path, calib_json = tmp_path / "a.vrs", json.dumps(whole)
    stream = AriaImuStream(instance=1, label="imu-right", nominal_rate_hz=1000)
    write_aria_vrs(path, streams=[stream], blocks=[], calib_json=calib_json)
    provider = open_aria_provider(path)
    for i in range(80):
        theirs = read_aria_calibration(provider, stream=f"imu-{i}", path=path)
        assert_same(parse_aria_calibration(calib_json, stream=f"imu-{i}", path=path), theirs)


def changed(change: Callable[[dict[str, Any]], object]) -> str:
    whole = json.loads(make_calib_json())
    change(whole)
    return json.dumps(whole)


def right(whole: dict[str, Any]) -> dict[str, Any]:
    (imu,) = (imu for imu in whole["ImuCalibrations"] if imu["Label"] == "imu-right")
    assert isinstance(imu, dict)
    return imu


def test_no_tag_or_no_such_imu_is_no_calibration() -> None:
    assert parse_aria_calibration(None, stream="imu-right", path=HERE) is None
    assert parse_aria_calibration(make_calib_json(), stream="imu-top", path=HERE) is None


@pytest.mark.parametrize(
    "calib_json",
    [
        pytest.param("{", id="no_json"),
        pytest.param("[" * 100_000, id="too_deep"),
        pytest.param("[]", id="list"),
        pytest.param(changed(lambda c: c["DeviceClassInfo"].update(DeviceClass="B")), id="device"),
        pytest.param(changed(lambda c: c["OriginSpecification"].update(ChildLabel="imu-right")),
                     id="origin"),
        pytest.param(changed(lambda c: c["ImuCalibrations"].append(right(c))), id="twice"),
        pytest.param(changed(lambda c: right(c).pop("Gyroscope")), id="no_gyroscope"),
        pytest.param(changed(lambda c: right(c)["Gyroscope"]["Bias"].update(Offset=[1, 2])),
                     id="two_axes"),
        pytest.param(changed(lambda c: right(c)["Gyroscope"]["Bias"].update(Offset=[1, 2, "3"])),
                     id="text"),
        pytest.param(changed(lambda c: right(c)["Gyroscope"]["Bias"].update(Offset=[1, 2, True])),
                     id="bool"),
        pytest.param(
            changed(lambda c: right(c)["Gyroscope"]["Bias"].update(Offset=[1, 2, float("nan")])),
            id="nan",
        ),
        pytest.param(
            changed(lambda c: right(c)["Gyroscope"]["Bias"].update(Offset=[1, 2, 10**400])),
            id="too_large",
        ),
        pytest.param(
            changed(lambda c: right(c)["T_Device_Imu"].update(UnitQuaternion=[0, [0, 0, 0]])),
            id="no_rotation",
        ),
        pytest.param(
            changed(lambda c: right(c)["T_Device_Imu"].update(UnitQuaternion=[1, 0, 0, 0])),
            id="quaternion_as_a_row",
        ),
    ],
)  # fmt: skip
def test_calibration_of_another_form_is_left_to_the_library(calib_json: str) -> None:
    with pytest.raises(UnknownVrsError, match="calibration that cannot be read"):
        parse_aria_calibration(calib_json, stream="imu-right", path=HERE)


def test_rectification_without_inverse_is_refused() -> None:
    flat = [[1, 0, 0], [1, 0, 0], [0, 0, 1]]
    calib_json = changed(lambda c: right(c)["Gyroscope"]["Model"].update(RectificationMatrix=flat))
    with pytest.raises(TakeError, match=r"no_calibration: .*gyroscope must have an inverse"):
        parse_aria_calibration(calib_json, stream="imu-right", path=HERE)
