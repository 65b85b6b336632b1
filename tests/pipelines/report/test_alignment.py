from collections.abc import Callable

import numpy as np
import pytest

from pipelines.parts.store import PartStore
from pipelines.report.alignment import read_motion_trace
from schemas.errors import StoreDamagedError

from .conftest import SECOND, HandmadeVersion, segment_row

KEY = "0" * 64


def test_trace_holds_valid_samples_up_to_the_limit(
    make_version: Callable[..., HandmadeVersion],
) -> None:
    made = make_version([segment_row()], seconds=8)
    trace = read_motion_trace(PartStore(made.parts_root), imu_key=KEY, frames_key=KEY, seconds=4)
    assert trace.gyro_t_ns.tolist() == [i * SECOND // 50 for i in range(50, 200)]
    assert (trace.gyro_rad_s == np.array([1, 2, 3])).all()
    assert trace.gyro_rad_s.shape == (150, 3)
    assert trace.motion_t_ns.tolist() == [i * SECOND // 2 for i in range(8)]
    assert np.isnan(trace.motion[0]).all()
    assert np.allclose(trace.motion[1:], [0.01, 0.0])


def test_missing_part_is_refused(make_version: Callable[..., HandmadeVersion]) -> None:
    made = make_version([segment_row()])
    with pytest.raises(StoreDamagedError, match="part must be there"):
        read_motion_trace(PartStore(made.parts_root), imu_key="f" * 64, frames_key=KEY)
