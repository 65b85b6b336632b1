import numpy as np

from pipelines.imu.plausible import MOST, find_plausible


def test_what_no_sensor_reads_is_not_plausible() -> None:
    cells = [0.0, -MOST, MOST, np.nextafter(MOST, np.inf), -1e300, np.nan, np.inf, -np.inf]
    for axis in range(3):
        values = np.zeros((len(cells), 3))
        values[:, axis] = cells
        assert find_plausible(values).tolist() == [True] * 3 + [False] * 5
    assert find_plausible(np.zeros((0, 3))).shape == (0,)
