"""How good the recording behind each IMU window is, from the columns of the imu part."""

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from pipelines.stores.cut_imu import ImuGrid
from schemas.time import NS_PER_S

__all__ = ["STILL_ACCEL_M_S2", "STILL_GYRO_RAD_S", "measure_imu_quality"]

STILL_ACCEL_M_S2: Final = 0.05
"""A half second is still only below this root of the axes' summed variances."""
STILL_GYRO_RAD_S: Final = 0.05
"""... and below this root mean square of the turn rate."""

_STILL_BLOCK_NS: Final = NS_PER_S // 2
_SENSORS: Final = 2
_US2_TO_NS2: Final = 1e6
# Windows worked on at once; bounds memory whatever the take's length.
_WINDOWS: Final = 256

_COLUMNS: Final = {
    "imu_coverage": pl.Float64(),
    "imu_gap_ns": pl.Int64(),
    "imu_jitter_ns": pl.Float64(),
    "imu_invalid_share": pl.Float64(),
    "imu_saturated_share": pl.Float64(),
    "imu_still_share": pl.Float64(),
}


def measure_imu_quality(
    grid: ImuGrid | None,
    *,
    first: npt.NDArray[np.int64],
    samples: int,
    has_imu: npt.NDArray[np.bool_],
) -> pl.DataFrame:
    """Return the quality columns of N windows.

    - ``imu_coverage``: share of the window's grid points that are valid; null without a part.
    - ``imu_gap_ns``: longest recording gap the window rests on.
    - ``imu_jitter_ns``: standard deviation of the intervals between accelerometer samples that end
      in the window, gaps left out, to the nanosecond; null with fewer than two intervals.
    - ``imu_invalid_share``: samples left out, among those and the kept ones.
    - ``imu_saturated_share``: samples with an axis at the end of its range, among those kept.
    - ``imu_still_share``: share of the window's whole half seconds (of the window itself where it
      is shorter) in which accelerometer and gyroscope stay below both limits above.

    Samples of both sensors count; the gyroscope is taken to have kept as many as the
    accelerometer. All but the coverage are null where ``has_imu`` is False; a window that reaches
    beyond the grid is judged by what lies on it.

    Args:
        grid: the take's imu part; None without one.
        first: (N,) grid point at which each window starts; may lie outside the grid.
        samples: grid points a window.
        has_imu: (N,) whether the window holds real data.
    """
    count = len(first)
    if grid is None:
        return pl.DataFrame({name: [None] * count for name in _COLUMNS}, schema=_COLUMNS)
    covered = _window_sums(grid.valid, first=first, samples=samples) / samples
    columns = {name: np.full(count, np.nan) for name in _COLUMNS} | {"imu_coverage": covered}
    low = np.clip(first, 0, len(grid.valid))
    points = np.clip(first + samples, 0, len(grid.valid)) - low
    for length in np.unique(points[has_imu & (points > 0)]).tolist():
        rows = has_imu & (points == length)
        # Several sentences often share one window.
        unique, inverse = np.unique(low[rows], return_inverse=True)
        for name, values in _measure(grid, first=unique, samples=length).items():
            columns[name][rows] = values[inverse]
    return pl.DataFrame(columns).select(
        pl.col(name).fill_nan(None).cast(dtype) for name, dtype in _COLUMNS.items()
    )


def _measure(
    grid: ImuGrid, *, first: npt.NDArray[np.int64], samples: int
) -> dict[str, npt.NDArray[np.float64]]:
    """Return the columns of windows that lie on the grid throughout, NaN where not told."""
    sums = {
        name: _window_sums(grid.counts[name], first=first, samples=samples)
        for name in (
            "samples",
            "invalid_samples",
            "saturated_samples",
            "intervals",
            "interval_sum_ns",
        )
    }
    kept = _SENSORS * sums["samples"]
    left_out = sums["invalid_samples"]
    number = np.where(sums["intervals"] > 1, sums["intervals"], np.nan)
    mean_ns = sums["interval_sum_ns"] / number
    squares = np.lib.stride_tricks.sliding_window_view(grid.counts["interval_sum_us2"], samples)
    square_ns2 = np.zeros(len(first))
    still = np.zeros(len(first))
    for low in range(0, len(first), _WINDOWS):
        here = slice(low, low + _WINDOWS)
        square_ns2[here] = squares[first[here]].sum(axis=-1) * _US2_TO_NS2
        still[here] = _still_share(grid.cut(first[here], samples=samples), step_ns=grid.step_ns)
    variance = np.maximum(square_ns2 / number - mean_ns**2, 0)
    return {
        "imu_gap_ns": grid.longest_gap_ns(first, samples=samples).astype(np.float64),
        "imu_jitter_ns": np.rint(np.sqrt(variance)),
        "imu_invalid_share": _share(left_out, of=kept + left_out),
        "imu_saturated_share": np.minimum(_share(sums["saturated_samples"], of=kept), 1),
        "imu_still_share": still,
    }


def _window_sums(
    values: npt.NDArray[np.generic], *, first: npt.NDArray[np.int64], samples: int
) -> npt.NDArray[np.int64]:
    """Return the sums (N,) of whole numbers over each window, as far as it lies on the grid."""
    before = np.concatenate([[0], np.cumsum(values, dtype=np.int64)])
    low = np.clip(first, 0, len(values))
    high = np.clip(first + samples, 0, len(values))
    sums: npt.NDArray[np.int64] = before[high] - before[low]
    return sums


def _share(part: npt.NDArray[np.int64], *, of: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    share: npt.NDArray[np.float64] = part / np.where(of > 0, of, np.nan)
    return share


def _still_share(windows: npt.NDArray[np.float32], *, step_ns: int) -> npt.NDArray[np.float64]:
    """Return, for windows (N, 6, T), the share (N,) of half seconds without motion."""
    count, channels, samples = windows.shape
    points = min(max(round(_STILL_BLOCK_NS / step_ns), 1), samples)
    blocks = samples // points
    cut = windows[:, :, : blocks * points].reshape(count, channels, blocks, points)
    accel, gyro = cut[:, :3].astype(np.float64), cut[:, 3:].astype(np.float64)
    shaking = np.sqrt(accel.var(axis=-1).sum(axis=1))
    turning = np.sqrt((gyro**2).mean(axis=-1).sum(axis=1))
    still = (shaking < STILL_ACCEL_M_S2) & (turning < STILL_GYRO_RAD_S)
    share: npt.NDArray[np.float64] = still.mean(axis=1)
    return share
