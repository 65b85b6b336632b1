"""Columns that a take's imu and frames parts give its planned segments."""

import numpy as np
import numpy.typing as npt
import polars as pl

from pipelines.stores.cut_imu import ImuGrid
from pipelines.stores.frame_counts import FrameCounts

__all__ = ["describe_frames", "describe_imu"]


def describe_imu(grid: ImuGrid | None, *, padded: npt.NDArray[np.int32]) -> pl.DataFrame:
    """Return stream, frame of reference and padding of N segments.

    Args:
        grid: the take's imu part; None without one.
        padded: (N,) zeros at each window's end.
    """
    count = len(padded)
    stream, frame = (grid.stream, grid.frame) if grid is not None else (None, None)
    return pl.DataFrame(
        {
            "imu_stream": [stream] * count,
            "imu_frame": [frame] * count,
            "imu_padded_samples": padded,
        },
        schema={
            "imu_stream": pl.String(),
            "imu_frame": pl.String(),
            "imu_padded_samples": pl.Int32(),
        },
    )


def describe_frames(
    counts: FrameCounts, *, expected: npt.NDArray[np.int64], has_part: bool
) -> pl.DataFrame:
    """Return which frames N segments rest on.

    Args:
        counts: what the segments draw from the frames part.
        expected: (N,) grid frames that lie in each segment.
        has_part: whether there is a part; without one no frame is missing, as none was looked for.
    """
    missing = expected - counts.frames
    return pl.DataFrame(
        {
            "frames": counts.frames,
            "frame_error_ns": counts.error_ns,
            "frames_missing": missing if has_part else [None] * len(missing),
            "decoder": counts.decoder,
        },
        schema={
            "frames": pl.Int32(),
            "frame_error_ns": pl.Int64(),
            "frames_missing": pl.Int32(),
            "decoder": pl.String(),
        },
    )
